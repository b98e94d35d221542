"""Passes what reaches a published port on to the container: TCP with half-close, UDP with timeouts.

It lives in the container's monitor, and connects from the host over the
bridge: that is no forwarding, so neither a policy of DROP nor the loopback
address of the caller is in the way. The container sees the bridge's address
as its peer, as with docker-proxy.
"""

from __future__ import annotations

import errno
import os
import resource
import socket
import struct
import time
from collections.abc import Callable
from functools import partial

__all__ = ["Proxy"]

TYPE_CHECKING = False  # a monitor is small: typing would be a twentieth of its memory
if TYPE_CHECKING:
    from typing import Any

    from sandbox.loop import Loop

IP_PKTINFO = 8  # linux/in.h; not in Python's socket
CHUNK = 65536
AT_ONCE = 64
# docker-proxy's UDPConnTrackTimeout.
UDP_SECONDS = 90.0
MOST_FLOWS = 1024
SPARE_FILES = 64
PKTINFO_BYTES = 64
NO_FILES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
Address = tuple[str, int] | tuple[str, int, int, int]
Ancillary = list[tuple[int, int, bytes]]


class Proxy:
    """The published ports of one container: `handed` is what Linked.handed() left, and the loop serves them.

    A container that was taken off its networks has the address "": who comes is turned away.
    """

    def __init__(self, handed: dict[str, Any], loop: Loop) -> None:
        self._loop = loop
        self._address: str = handed["address"]
        self._connections: set[_Connection] = set()
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._most = max(1, (files - SPARE_FILES - MOST_FLOWS // 4) // 2)
        self._listeners: dict[socket.socket, int] = {}
        self._datagrams: list[_Datagrams] = []
        for fd, protocol, port in handed["listeners"]:
            listener = socket.socket(fileno=fd)
            if protocol == "tcp":
                self._listeners[listener] = port
            else:
                self._datagrams.append(_Datagrams(listener, (self._address, port), loop))
        self._accept_more()

    def move(self, address: str) -> None:
        """Pass what comes from now on to another address."""
        if address != self._address:
            self._address = address
            for datagrams in self._datagrams:
                datagrams.move(address)

    def close(self) -> None:
        """End every connection and give the ports back."""
        for listener in self._listeners:
            self._loop.unwatch(listener.fileno())
            listener.close()
        self._listeners = {}
        for connection in list(self._connections):
            connection.close()
        for datagrams in self._datagrams:
            datagrams.close()

    def _accept_more(self) -> None:
        for listener, port in self._listeners.items():
            self._loop.watch(listener.fileno(), partial(self._accept, listener, port))

    def _accept(self, listener: socket.socket, port: int) -> None:
        for _ in range(AT_ONCE):
            if len(self._connections) >= self._most:
                self._pause()
                return
            try:
                client, _ = listener.accept()
            except OSError as error:
                if error.errno in NO_FILES:
                    self._pause()
                return
            try:
                self._connections.add(_Connection(client, (self._address, port), self._loop, self._gone))
            except OSError:
                client.close()

    def _pause(self) -> None:
        """Accept nothing until a connection has ended; without any, try again in a second."""
        for listener in self._listeners:
            self._loop.unwatch(listener.fileno())
        if not self._connections:
            self._loop.after(1, self._accept_more)

    def _gone(self, connection: _Connection) -> None:
        self._connections.discard(connection)
        self._accept_more()


class _Way:
    """One direction of a connection: what was read and is not yet written."""

    __slots__ = ("buffer", "ended", "source", "target")

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self.source, self.target = source, target
        self.buffer = memoryview(b"")
        self.ended = False


class _Connection:
    """A client and the container's server, and the two ways between them."""

    def __init__(
        self, client: socket.socket, address: tuple[str, int], loop: Loop, gone: Callable[[_Connection], None]
    ) -> None:
        self._loop, self._gone = loop, gone
        self._client = client
        self._server = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        client.settimeout(0)
        for each in (client, self._server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._in, self._out = _Way(client, self._server), _Way(self._server, client)
        code = self._server.connect_ex(address) if address[0] else errno.EHOSTUNREACH
        if code not in (0, errno.EINPROGRESS):
            self._server.close()
            raise OSError(code, os.strerror(code))
        loop.watch(self._server.fileno(), write=self._connected)

    def _connected(self) -> None:
        if self._server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.close()
            return
        self._watch()

    def _watch(self) -> None:
        """Read what has room, write what waits; a socket with neither, and nothing to come, is served no more."""
        for own, other in ((self._in, self._out), (self._out, self._in)):
            read = partial(self._read, own) if not own.ended and not own.buffer else None
            write = partial(self._write, other) if other.buffer else None
            self._loop.watch(own.source.fileno(), read, write)

    def _read(self, way: _Way) -> None:
        try:
            data = way.source.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        if data:
            way.buffer = memoryview(data)
            self._write(way)
            return
        way.ended = True
        self._finish(way)

    def _write(self, way: _Way) -> None:
        try:
            while way.buffer:
                way.buffer = way.buffer[way.target.send(way.buffer) :]
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        self._finish(way)

    def _finish(self, way: _Way) -> None:
        """Pass the end of one way on, once all before it is written; with both at their end it is over."""
        if way.ended and not way.buffer:
            try:
                way.target.shutdown(socket.SHUT_WR)
            except OSError:
                self.close()
                return
            if self._in.ended and self._out.ended and not self._in.buffer and not self._out.buffer:
                self.close()
                return
        self._watch()

    def close(self) -> None:
        """End the connection."""
        for each in (self._client, self._server):
            if each.fileno() >= 0:
                self._loop.unwatch(each.fileno())
                each.close()
        self._gone(self)


class _Flow:
    """One client of a UDP port: a socket towards the container, and where the answers go."""

    __slots__ = ("client", "reply", "socket", "used")

    def __init__(self, towards: socket.socket, client: Address, reply: Ancillary) -> None:
        self.socket, self.client, self.reply = towards, client, reply
        self.used = time.monotonic()


class _Datagrams:
    """A published UDP port."""

    def __init__(self, listener: socket.socket, target: tuple[str, int], loop: Loop) -> None:
        self._listener, self._target, self._loop = listener, target, loop
        self._flows: dict[tuple[Address, bytes], _Flow] = {}
        loop.watch(self._listener.fileno(), self._receive)
        self._timer = loop.after(UDP_SECONDS / 2, self._expire)

    def move(self, address: str) -> None:
        """Begin anew towards another address."""
        self._target = (address, self._target[1])
        for key in list(self._flows):
            self._end(key)

    def close(self) -> None:
        """End every flow and give the port back."""
        self._timer.cancel()
        for key in list(self._flows):
            self._end(key)
        self._loop.unwatch(self._listener.fileno())
        self._listener.close()

    def _receive(self) -> None:
        for _ in range(AT_ONCE):
            try:
                data, ancillary, _, client = self._listener.recvmsg(CHUNK, PKTINFO_BYTES)
            except OSError:  # nothing more, or an ICMP error of an answer
                return
            if not self._target[0]:
                continue
            reply = _reply_from(ancillary)
            key = (client, reply[0][2] if reply else b"")
            try:
                flow = self._flows.get(key) or self._new_flow(key, client, reply)
                flow.used = time.monotonic()
                flow.socket.send(data)
            except OSError:  # the container refuses, or does not keep up: a datagram may be lost
                continue

    def _new_flow(self, key: tuple[Address, bytes], client: Address, reply: Ancillary) -> _Flow:
        if len(self._flows) >= MOST_FLOWS:
            self._end(min(self._flows, key=lambda each: self._flows[each].used))
        towards = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            towards.connect(self._target)
        except OSError:
            towards.close()
            raise
        flow = self._flows[key] = _Flow(towards, client, reply)
        self._loop.watch(towards.fileno(), partial(self._answer, flow))
        return flow

    def _answer(self, flow: _Flow) -> None:
        for _ in range(AT_ONCE):
            try:
                data = flow.socket.recv(CHUNK)
            except OSError:  # nothing more, or nobody listens there (yet)
                return
            flow.used = time.monotonic()
            try:
                self._listener.sendmsg([data], flow.reply, 0, flow.client)
            except OSError:
                continue

    def _expire(self) -> None:
        oldest = time.monotonic() - UDP_SECONDS
        for key in [key for key, flow in self._flows.items() if flow.used < oldest]:
            self._end(key)
        self._timer = self._loop.after(UDP_SECONDS / 2, self._expire)

    def _end(self, key: tuple[Address, bytes]) -> None:
        flow = self._flows.pop(key)
        self._loop.unwatch(flow.socket.fileno())
        flow.socket.close()


def _reply_from(ancillary: Ancillary) -> Ancillary:
    """Return what makes an answer come from the address that was asked (ip(7) IP_PKTINFO, ipv6(7) IPV6_PKTINFO)."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
            _, local, _ = struct.unpack("=i4s4s", data[:12])
            return [(level, kind, struct.pack("=i4s4s", 0, local, bytes(4)))]
        if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
            return [(level, kind, data[:20])]
    return []
