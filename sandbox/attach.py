"""The other end of attachments.py: a container's output on ours, what is typed here in the container."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import termios
from fcntl import ioctl

from sandbox import terminal
from sandbox.attachments import LARGEST, SOCKET
from sandbox.errors import NoSuchContainer, SandboxError
from sandbox.foreground import PATIENCE
from sandbox.loop import Loop
from sandbox.outlet import Outlet
from sandbox.signals import caught_signals, read_signals
from sandbox.state import Document, Store
from sandbox.value import Value

__all__ = ["DETACH_KEYS", "Attaching", "DetachKeys", "attach", "connect", "nudge", "parse_keys", "program_of"]

DETACH_KEYS = "ctrl-p,ctrl-q"
STREAMS = {b"o": 1, b"r": 2}
MONITOR_KILLED = 137


class Attaching(Value):
    """How to attach: whether we type, pass signals on, what leaves it (bytes; nothing: no key does), what is shown."""

    stdin: bool = True
    signals: bool = True
    tty: bool = False
    keys: bytes = b"\x10\x11"
    shown: frozenset[int] = frozenset((1, 2))


def parse_keys(text: str) -> bytes:
    """Return the bytes of `--detach-keys`: letters, or ctrl- and a letter or one of @[]^_, a comma between them."""
    keys = bytearray()
    for part in text.split(",") if text else ():
        control = part.removeprefix("ctrl-")
        if part.isascii() and len(part) == 1:
            keys += part.encode()
        elif part != control and control.isascii() and len(control) == 1 and "@" <= control.upper() <= "_":
            keys.append(ord(control.upper()) - 64)
        else:
            raise SandboxError(f"invalid detach keys ({text}) provided: unknown character: {part!r}", 1)
    return bytes(keys)


class DetachKeys:
    """Finds the keys in what is typed; the beginning of them is held back until it is clear that they are not."""

    def __init__(self, keys: bytes) -> None:
        self._keys, self._held = keys, b""

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """Return what is to be passed on, and whether the keys have come."""
        if not self._keys:
            return data, False
        passed = bytearray()
        for number in data:
            self._held += bytes((number,))
            while not self._keys.startswith(self._held):
                passed += self._held[:1]
                self._held = self._held[1:]
            if self._held == self._keys:
                self._held = b""
                return bytes(passed), True
        return bytes(passed), False


def connect(store: Store, text: Document) -> socket.socket:
    """Connect to a container's monitor; SandboxError when there is none."""
    end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        fd = os.open(store.directory(text["Id"]), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            end.connect(f"/proc/self/fd/{fd}/{SOCKET}")
        finally:
            os.close(fd)
    except OSError:
        end.close()
        raise SandboxError(f"container {text['Name']} is not running in the background", 1) from None
    return end


def nudge(store: Store, text: Document) -> None:
    """Have a container's monitor look at its document again; one that is gone need not."""
    with contextlib.suppress(SandboxError, OSError), connect(store, text) as end:
        end.send(b"n")


def attach(end: socket.socket, how: Attaching, signalled: int | None) -> int | None:
    """Show a container and type into it until it ends: its exit code, or None when it was left by the keys.

    `signalled` is a pidfd of its program, for the signals that we get.
    """
    with contextlib.ExitStack() as stack:
        caught = stack.enter_context(caught_signals())
        loop = Loop()
        stack.callback(loop.close)
        if how.tty and how.stdin and os.isatty(0):
            stack.enter_context(terminal.raw(0))
        return _Attached(loop, end, how, signalled, caught).run()


class _Attached:
    """One attachment, from our side."""

    def __init__(self, loop: Loop, end: socket.socket, how: Attaching, signalled: int | None, caught: int) -> None:
        self._loop, self._how, self._signalled, self._caught = loop, how, signalled, caught
        self._keys = DetachKeys(how.keys if how.tty else b"")
        self._impatience = 0
        self._code: int | None = MONITOR_KILLED
        self._cut_off = False
        self._typing = how.stdin
        self._outlet = Outlet(loop, end.detach(), self._type_again, loop.stop)
        self._outlet.read_with(self._show)  # first: a short program's end may be there already, and its monitor gone
        self._outlet.write(b"J" + json.dumps({"stdin": how.stdin}).encode())
        loop.watch(caught, self._pass_signals)
        self._type_again()
        self._send_size()

    def run(self) -> int | None:
        """Serve until the container has ended or we have left."""
        self._loop.run()
        self._outlet.close()
        if self._cut_off:
            raise SandboxError("the container's monitor was killed, or we read too slowly for it", MONITOR_KILLED)
        return self._code

    def _show(self) -> None:
        try:
            data = os.read(self._outlet.fd, LARGEST + 1)
        except BlockingIOError:
            return
        except ConnectionResetError:  # told once, where words of ours were not read; what was said to us is still there
            self._show()
            return
        except OSError:
            data = b""
        kind, text = data[:1], data[1:]
        if kind in STREAMS:
            try:
                if STREAMS[kind] in self._how.shown:
                    terminal.write_whole(STREAMS[kind], text)
            except BrokenPipeError:  # nobody reads us: we end as by the signal, and so does what is ours
                self._code = 128 + signal.SIGPIPE
                self._loop.stop()
            return
        if kind == b"x":
            self._code = json.loads(text)["code"]
        else:
            self._cut_off = True
        self._loop.stop()

    def _type_again(self) -> None:
        if self._typing:
            try:
                self._loop.watch(0, self._type)
            except PermissionError:  # a regular file: it never keeps us waiting
                while self._typing and not self._outlet.full:
                    self._type()

    def _type(self) -> None:
        data = os.read(0, LARGEST)
        if not data:
            self._typing = False
            self._loop.unwatch(0)
            self._outlet.write(b"e")
            return
        passed, left = self._keys.feed(data)
        self._outlet.write(b"i" + passed if passed else b"")
        if left:
            self._code = None
            self._outlet.write(b"d")
            self._loop.stop()
        elif self._outlet.full:
            self._loop.unwatch(0)

    def _pass_signals(self) -> None:
        for number in read_signals(self._caught):
            if number == signal.SIGWINCH:
                self._send_size()
                continue
            if not self._how.signals or self._signalled is None:
                self._code = 128 + number
                self._outlet.write(b"d")
                self._loop.stop()
                return
            self._impatience += number in (signal.SIGINT, signal.SIGTERM)
            if self._impatience >= PATIENCE:
                number = signal.SIGKILL  # noqa: PLW2901
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._signalled, number)

    def _send_size(self) -> None:
        """Tell the size of our terminal; twice another one first, so that a full-screen program draws itself anew."""
        if not self._how.tty:
            return
        with contextlib.suppress(OSError):
            size = ioctl(0 if os.isatty(0) else 1, termios.TIOCGWINSZ, bytes(8))
            rows, columns = struct.unpack("HHHH", size)[:2]
            if rows and columns:
                self._outlet.write(b"w" + struct.pack("HH", rows + 1, columns + 1))
            self._outlet.write(b"w" + struct.pack("HH", rows, columns))


def program_of(store: Store, container: str) -> int | None:
    """Return a pidfd of a container's program, or None when it is gone."""
    try:
        text = store.load(container)
        return os.pidfd_open(text["State"]["Pid"])
    except (NoSuchContainer, OSError, ValueError):
        return None
