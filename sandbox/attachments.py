"""Those who look at a container and type into it: the monitor's side of `run`, `start -a` and `attach`.

Each is a SOCK_SEQPACKET connection, one message a datagram, its kind the first byte:

    client                                   monitor
    J + {"stdin": true, ...} --------------> (joins; output from now on)
    i + bytes, e (end of input) -----------> the program's input
    w + rows, columns ---------------------> its terminal's size
    d -------------------------------------> (leaves, the container goes on)
    n -------------------------------------> look at the document again (a stop while it waits to be restarted)
      <------------------------------------ o + bytes, r + bytes: standard output, standard error
      <------------------------------------ x + {"code": 0}: it has ended

The launcher's own connection is there before the program starts and is
essential: no output is lost to it, the program waits for its reader, and when
it is cut off without `d`, its launcher was killed, and the container with it.
Another that does not read is dropped when a mebibyte waits for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from sandbox.contexts import suppress
from sandbox.loop import Loop
from sandbox.outlet import Outlet
from sandbox.quick import accept, dumps, loads, socket, struct

__all__ = ["LARGEST", "SOCKET", "Attachments", "listen"]

SOCKET = "attach"
LARGEST = 32768
KINDS = {"stdout": b"o", "stderr": b"r"}


def listen(directory: str) -> socket.socket:
    """Make the socket in a container's directory, for its owner alone."""
    # A path of a socket has 108 bytes at most, so it goes by the directory's descriptor.
    fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(FileNotFoundError):
            os.unlink(f"/proc/self/fd/{fd}/{SOCKET}")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        before = os.umask(0o177)
        try:
            listener.bind(f"/proc/self/fd/{fd}/{SOCKET}")
        finally:
            os.umask(before)
        listener.listen(16)
    finally:
        os.close(fd)
    return listener


class _Client:
    """One connection."""

    def __init__(self, owner: Attachments, end: socket.socket, *, essential: bool) -> None:
        self.essential, self.joined, self.stdin = essential, False, False
        self._owner = owner
        self.outlet = Outlet(owner.loop, end.detach(), owner.drained, lambda: owner.lost(self))
        self.listen()

    def listen(self) -> None:
        """Serve what the client says, unless the program does not take its input."""
        self.outlet.read_with(None if self.stdin and self._owner.choked() else self.receive)

    def receive(self) -> None:
        try:
            data = os.read(self.outlet.fd, LARGEST + 1)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._owner.heard(self, data[:1], data[1:])
        else:
            self.outlet.close()
            self._owner.lost(self)


class Attachments:
    """All who are attached; what they say goes to the four functions."""

    def __init__(
        self,
        loop: Loop,
        listener: socket.socket | None,
        *,
        typed: Callable[[bytes | None], object],
        resized: Callable[[int, int], object],
        news: Callable[[], object],
        abandoned: Callable[[], object],
        drained: Callable[[], object],
        choked: Callable[[], bool],
    ) -> None:
        self.loop, self.drained, self.choked = loop, drained, choked
        self._typed, self._resized, self._news, self._abandoned = typed, resized, news, abandoned
        self._clients: list[_Client] = []
        self._listener = listener
        if listener is not None:
            listener.setblocking(False)  # noqa: FBT003  its only argument
            loop.watch(listener.fileno(), self._accept)

    def detach(self) -> int | None:
        """Return the descriptor by which new clients come, which is not closed with us."""
        return None if self._listener is None else self._listener.detach()

    def adopt(self, end: socket.socket) -> None:
        """Take the launcher's own connection."""
        self._clients.append(_Client(self, end, essential=True))

    def _accept(self) -> None:
        assert self._listener is not None  # noqa: S101
        with suppress(OSError):
            self._clients.append(_Client(self, accept(self._listener), essential=False))

    def listen_again(self) -> None:
        """Go on with what clients type, after the program has taken some of its input."""
        for client in self._clients:
            client.listen()

    def heard(self, client: _Client, kind: bytes, data: bytes) -> None:
        """Serve one message."""
        if kind == b"J":
            client.joined, client.stdin = True, bool(loads(data).get("stdin"))
        elif kind == b"i":
            self._typed(data)
            client.listen()
        elif kind == b"e":
            self._typed(None)
        elif kind == b"w" and len(data) == struct.calcsize("HH"):
            self._resized(*struct.unpack("HH", data))
        elif kind == b"n":
            self._news()
        elif kind == b"d":
            client.essential = False
            client.outlet.end()
            self._clients.remove(client)

    def lost(self, client: _Client) -> None:
        """Forget a client that is gone."""
        with suppress(ValueError):
            self._clients.remove(client)
            if client.essential:
                self._abandoned()
            self.drained()

    def output(self, stream: str, data: bytes) -> None:
        """Show output to everybody."""
        for client in [client for client in self._clients if client.joined or client.essential]:
            if client.outlet.full and not client.essential:
                client.outlet.close()
                self.lost(client)
                continue
            for start in range(0, len(data), LARGEST):
                client.outlet.write(KINDS[stream] + data[start : start + LARGEST])

    @property
    def congested(self) -> bool:
        """Tell whether the launcher reads more slowly than the program writes."""
        return any(client.essential and client.outlet.full for client in self._clients)

    def ended(self, code: int) -> None:
        """Tell everybody that the container has ended, and let them go once they have read all."""
        for client in self._clients:
            client.essential = False
            client.outlet.write(b"x" + dumps({"code": code}).encode())
            client.outlet.read_with(client.receive)
            client.outlet.end()

    @property
    def pending(self) -> bool:
        """Tell whether somebody has not read all yet."""
        self._clients = [client for client in self._clients if not client.outlet.closed]
        return bool(self._clients)

    def descriptors(self) -> list[int]:
        """Return the launcher's connection, if it is there: a program that is executed in our place goes on with it."""
        return [client.outlet.fd for client in self._clients if client.essential]
