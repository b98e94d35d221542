"""Questions that a resolver passes on to other name servers, one server after another until one knows.

Each question has a socket of its own, so that its port is one by chance and only who was asked is heard; its number
is one by chance too (RFC 5452).
"""

from __future__ import annotations

import os
import socket
import struct

__all__ = ["Carried", "Framed", "Relayed"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.loop import Loop, Timer
    from sandbox.network.dns import Question

PORT = 53
LARGEST = 65535
HEADER_BYTES = 12
SIZE_BYTES = 2
SERVER_SECONDS = 2.0
CODE, SERVFAIL, REFUSED = 0xF, 2, 5
RESPONSE = 0x80


def _connect(server: str, kind: socket.SocketKind) -> socket.socket:
    """Return a socket towards a server; OSError where there is no way, or its address is none (not looked up)."""
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    socket.inet_pton(family, server.partition("%")[0])
    made = socket.socket(family, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        made.connect((server, PORT))
    except BlockingIOError:  # EINPROGRESS
        pass
    except BaseException:
        made.close()
        raise
    return made


class _Asking:
    """A question on its way: `done` is called once, with the answer, or with b"" when nobody had one."""

    def __init__(self, loop: Loop, servers: list[str], done: Callable[[bytes], None]) -> None:
        self._loop, self._left, self._done = loop, list(servers), done
        self._timer: Timer | None = None
        self._spare = b""  # what a server said that has no answer, in case none has

    def begin(self) -> None:
        """Ask the next server, or give up."""
        self.close()
        while self._left:
            try:
                self._ask(self._left.pop(0))
            except OSError:
                self.close()
                continue
            self._timer = self._loop.after(SERVER_SECONDS, self.begin)
            return
        self._done(self._spare)

    def _ask(self, server: str) -> None:
        raise NotImplementedError

    def _heard(self, answer: bytes) -> None:
        """Take an answer: who cannot or will not tell is no reason not to ask another."""
        if answer[3] & CODE in (SERVFAIL, REFUSED):
            self._spare = answer
            self.begin()
            return
        self.close()
        self._done(answer)

    def close(self) -> None:
        """Ask nobody any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Relayed(_Asking):
    """One in a datagram."""

    def __init__(
        self, loop: Loop, question: Question, data: bytes, servers: list[str], done: Callable[[bytes], None]
    ) -> None:
        super().__init__(loop, servers, done)
        self._question, self._data = question, data
        self._identity = b""
        self._socket: socket.socket | None = None

    def _ask(self, server: str) -> None:
        self._socket = _connect(server, socket.SOCK_DGRAM)
        self._identity = os.urandom(2)
        self._socket.send(self._identity + self._data[2:])
        self._loop.watch(self._socket.fileno(), self._receive)

    def _receive(self) -> None:
        assert self._socket is not None  # noqa: S101
        try:
            answer = self._socket.recv(LARGEST)
        except BlockingIOError:
            return
        except OSError:  # nobody serves there
            self.begin()
            return
        if answer[:2] != self._identity or not _answers(answer, self._question.text):
            return
        self._heard(self._question.identity.to_bytes(2, "big") + answer[2:])

    def close(self) -> None:
        """Ask nobody any more."""
        super().close()
        if self._socket is not None:
            self._loop.unwatch(self._socket.fileno())
            self._socket.close()
            self._socket = None


def _answers(answer: bytes, question: bytes) -> bool:
    """Tell whether a message is a response to a question; whether it has small letters is the server's own."""
    asked = answer[HEADER_BYTES : HEADER_BYTES + len(question)]
    return len(answer) >= HEADER_BYTES and bool(answer[2] & RESPONSE) and asked.lower() == question.lower()


class Carried(_Asking):
    """One over TCP."""

    def __init__(self, loop: Loop, data: bytes, servers: list[str], done: Callable[[bytes], None]) -> None:
        super().__init__(loop, servers, done)
        self._data = data
        self._framed: Framed | None = None

    def _ask(self, server: str) -> None:
        self._framed = Framed(self._loop, _connect(server, socket.SOCK_STREAM), self._receive, self.begin)
        self._framed.send(self._data)

    def _receive(self, answer: bytes) -> None:
        if len(answer) < HEADER_BYTES or answer[:2] != self._data[:2]:
            self.begin()
            return
        self._heard(answer)

    def close(self) -> None:
        """Ask nobody any more."""
        super().close()
        if self._framed is not None:
            self._framed.close()
            self._framed = None


class Framed:
    """Messages over TCP, each after its length (RFC 1035, 4.2.2); `ended` is called when the other side is gone."""

    def __init__(
        self, loop: Loop, connection: socket.socket, received: Callable[[bytes], None], ended: Callable[[], None]
    ) -> None:
        self._loop, self._connection, self._received, self._ended = loop, connection, received, ended
        self._in = self._out = b""
        self._paused = False
        connection.settimeout(0)
        self._watch()

    def send(self, message: bytes) -> None:
        """Send one, now or when there is room."""
        self._out += struct.pack("!H", len(message)) + message
        self._watch()

    def pause(self) -> None:
        """Hear nothing for a while."""
        self._paused = True
        self._watch()

    def resume(self) -> None:
        """Hear again, also what has come already."""
        self._paused = False
        self._watch()
        self._deliver()

    def close(self) -> None:
        """End the connection."""
        if self._connection.fileno() >= 0:
            self._loop.unwatch(self._connection.fileno())
            self._connection.close()

    def _watch(self) -> None:
        """Read while nothing waits to be written: who does not read answers gets no more of them."""
        if self._connection.fileno() >= 0:
            read = None if self._paused or self._out else self._read
            self._loop.watch(self._connection.fileno(), read, self._write if self._out else None)

    def _write(self) -> None:
        try:
            self._out = self._out[self._connection.send(self._out) :]
        except BlockingIOError:
            return
        except OSError:
            self._ended()
            return
        self._watch()
        self._deliver()

    def _read(self) -> None:
        try:
            data = self._connection.recv(LARGEST)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._ended()
            return
        self._in += data
        self._deliver()

    def _deliver(self) -> None:
        """Hand on what is whole, one after another."""
        while not self._paused and not self._out and len(self._in) >= SIZE_BYTES and self._connection.fileno() >= 0:
            end = SIZE_BYTES + int.from_bytes(self._in[:SIZE_BYTES], "big")
            if len(self._in) < end:
                return
            message, self._in = self._in[SIZE_BYTES:end], self._in[end:]
            self._received(message)
