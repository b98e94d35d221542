"""How the processes that make a container talk.

A SOCK_SEQPACKET pair, one datagram a message; both ends close on exec, so the
program starting is the end of the conversation, and so is a peer's death.

    monitor                      joiner                        first process
    fork ----------------------> joins the cgroups
                                 enters the namespaces
                                 fork -----------------------> waits
         <------------ Born(pid)
                                 exit
    Proceed ---------------------------------------------------> mounts, pivots
    loads which devices it may use (v2; those of v1 are written before Proceed)
         <------------------------------------------------------ Console + fd   (with -t)
                                                                 drops its rights, finds the program
         <------------------------------------------------------ Ready
    writes the limits, records the pid and that it runs
    Go -------------------------------------------------------->
         <------------------------------------------------------ Listens        (with a supervised filter)
    gives its descriptor to the supervisor                       loads it
    Go -------------------------------------------------------->                (the same)
                                                                 execve
         <------------------------------------------------------ end of file: it runs
Where no namespace asks for a process between, the first one is the monitor's own child, born in its namespaces, and
joins the cgroups after Proceed; the monitor makes those of v1 meanwhile. A container with a network of its own is
recorded, and that is made, before Proceed.

At any point a Failed(text, exit_code) may come instead: the error, whole.
The program's own process must have seen Go after it asked to die with its
parent: a parent that died earlier is an end of file, never a stray container.
"""

from __future__ import annotations

import os

from sandbox.codec import encode
from sandbox.errors import SandboxError, describe, not_executed
from sandbox.quick import dumps, loads, receive, send, socket
from sandbox.value import Value

__all__ = ["Born", "Channel", "Closed", "Console", "Failed", "Go", "Listens",
           "Message", "Proceed", "Ready", "Socket", "pair"]

LARGEST_MESSAGE = 65536
ERROR_BYTES = 4  # the whole of a NotExecuted


class Born(Value):
    """The first process exists; `pid` is its number in the sender's PID namespace."""

    pid: int


class Proceed(Value):
    """The monitor is the parent now, and has made what is needed from outside."""


class Console(Value):
    """The master of the container's terminal comes with this message."""


class Socket(Value):
    """A socket that belongs to the container's network comes with this message."""


class Ready(Value):
    """Everything is set up; nothing but the execve of `path` is left."""

    path: str = ""


class Go(Value):
    """The limits are written: start the program."""


class Listens(Value):
    """A filter that a supervisor answers for is loaded next; its descriptor gets this number there."""

    number: int


class Failed(Value):
    """What went wrong on the other side, as the user shall read it."""

    text: str
    exit_code: int = 125
    number: int = 0


class NotExecuted(Value):
    """The program could not be executed: the kernel's error, which comes as four bytes."""

    number: int


Message = Born | Proceed | Console | Socket | Ready | Go | Listens | Failed | NotExecuted
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    M = TypeVar("M", Born, Proceed, Console, Socket, Ready, Go, Listens)
KINDS = {kind.__name__: kind for kind in (Born, Proceed, Console, Socket, Ready, Go, Listens, Failed)}


class Closed(SandboxError):
    """The other side is gone."""


class Channel:
    """One end of the conversation."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end

    def send(self, message: Message, fd: int | None = None) -> None:
        """Send one message, with a descriptor if there is one; a peer that is gone is Closed, or what it said last."""
        data = dumps({"kind": type(message).__name__, **encode(message)}).encode()
        try:
            send(self._socket, data, fd)
        except (BrokenPipeError, ConnectionResetError):
            last = self._receive()[0]
            if last is not None:
                _raise(last)
            raise Closed("the other side of the set-up is gone") from None

    def send_error(self, error: BaseException) -> None:
        """Report an exception to the other side; nobody there, or whatever else comes, is no further error.

        Whoever calls this ends: were an error to leave it, a forked process would go on with its parent's code.
        """
        try:
            code = error.exit_code if isinstance(error, SandboxError) else SandboxError.exit_code
            text = describe(error).encode(errors="backslashreplace")[:4096].decode(errors="ignore")
            number = (error.errno or 0) if isinstance(error, OSError) else 0
            self.send(Failed(text, code, number))
        except Exception:  # noqa: BLE001
            return

    def expect(self, kind: type[M]) -> M:
        """Receive a message of one kind; Failed is raised as a SandboxError, an end of file as Closed."""
        return self._expect(kind)[0]

    def expect_descriptor(self, kind: type[M]) -> int:
        """Receive a message of one kind that carries a descriptor, and return the descriptor."""
        _, descriptor = self._expect(kind)
        if descriptor is None:
            raise SandboxError(f"no descriptor came with {kind.__name__}")
        return descriptor

    def expect_end(self, path: str = "") -> None:
        """Wait until the other side closes the channel; a message instead is its error.

        `path` is what it executes: when that fails, trampoline.py says why with a number alone.
        """
        message, _ = self._receive()
        if isinstance(message, NotExecuted):
            raise not_executed(path, message.number)
        if message is not None:
            _raise(message)

    def has_message(self, patience_ms: int) -> bool:
        """Wait so long at most for a message, or the end of the conversation."""
        from select import POLLIN, poll  # noqa: PLC0415  rare

        waiting = poll()
        waiting.register(self._socket, POLLIN)
        return bool(waiting.poll(patience_ms))

    def wait(self) -> None:
        """Wait for any message; an end of file is Closed. By read(2) alone, which a filter hardly forbids."""
        if not os.read(self.fileno(), LARGEST_MESSAGE):
            raise Closed("the other side of the set-up is gone")

    def close(self) -> None:
        """Close this end."""
        self._socket.close()

    def fileno(self) -> int:
        """Return the descriptor, for a selector."""
        return self._socket.fileno()

    def _expect(self, kind: type[M]) -> tuple[M, int | None]:
        message, descriptor = self._receive()
        if message is None:
            raise Closed("the other side of the set-up is gone")
        if not isinstance(message, kind):
            _raise(message)
        return message, descriptor  # type: ignore[return-value]  # mypy loses the TypeVar behind the union

    def _receive(self) -> tuple[Message | None, int | None]:
        try:
            data, descriptor = receive(self._socket, LARGEST_MESSAGE)
        except ConnectionResetError:  # it has gone without reading all, which is told once, before what it said last
            data, descriptor = receive(self._socket, LARGEST_MESSAGE)
        if not data:
            return None, None
        if len(data) == ERROR_BYTES:
            return NotExecuted(-int.from_bytes(data, "little", signed=True)), descriptor
        fields = loads(data)
        message: Message = KINDS[fields.pop("kind")](**fields)
        return message, descriptor


def _raise(message: Message) -> None:
    if isinstance(message, Failed):
        error = SandboxError(message.text, message.exit_code)
        error.number = message.number
        raise error
    raise SandboxError(f"unexpected {type(message).__name__} in the set-up of a container")


def pair() -> tuple[Channel, Channel]:
    """Return both ends of a new conversation."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return Channel(one), Channel(other)
