"""The name server of a container, 127.0.0.11 there: who is on its networks, and for the rest the machine's servers.

Docker's users know it by that address. It lives in the container's monitor, on sockets that belong to the
container's network (answering.py); what it does not know it asks from the machine's own, so that a server on the
machine's loopback is asked as well, and each time those that /etc/resolv.conf names then. A container all of whose
networks are internal gets no answer from beyond them: a name can carry a message (CVE-2024-29018).
"""

from __future__ import annotations

import os
import socket

from sandbox.network import dns
from sandbox.network.names import servers
from sandbox.network.upstream import Carried, Framed, Relayed

__all__ = ["Resolver"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from sandbox.loop import Loop
    from sandbox.network.zone import Zone

LARGEST = 65535
SMALL = 512  # what a datagram may hold when its sender says nothing else (RFC 1035, 4.2.1)
AT_ONCE = 64
MOST_RELAYED, MOST_CONNECTIONS = 128, 32
PAUSE_SECONDS = 1.0
IDLE_SECONDS = 10.0


class Resolver:
    """One container's; `handed` is what Linked.resolver() left, and the loop serves it."""

    def __init__(self, handed: dict[str, Any], zone: Zone, loop: Loop) -> None:
        self._loop, self._zone = loop, zone
        self._asked: list[str] = handed["dns"]
        self._udp, self._tcp = (socket.socket(fileno=handed[kind]) for kind in ("udp", "tcp"))
        self._relayed: set[Relayed] = set()
        self._clients: dict[_Client, None] = {}  # the oldest first
        loop.watch(self._udp.fileno(), self._receive)
        self._listen()

    def close(self) -> None:
        """End everything."""
        for listener in (self._udp, self._tcp):
            self._loop.unwatch(listener.fileno())
            listener.close()
        for relayed in self._relayed:
            relayed.close()
        for client in list(self._clients):
            client.close()

    def servers(self) -> list[str]:
        """Return who is asked what we do not know, in order; nobody when no network leads there."""
        return (self._asked or servers()) if self._zone.outward else []

    def known(self, question: dns.Question, room: int) -> bytes | None:
        """Return the answer that we have ourselves; None when others have to be asked."""
        values = self._zone.find(question.name, question.kind)
        if values is not None:
            # Not always the same one first: whoever shares an alias shares the work.
            return dns.answer(question, _turned(values), room=room)
        return None if self.servers() else dns.answer(question, (), code=dns.REFUSED)

    def _listen(self) -> None:
        if self._tcp.fileno() >= 0:
            self._loop.watch(self._tcp.fileno(), self._accept)

    def _receive(self) -> None:
        for _ in range(AT_ONCE):
            try:
                data, client = self._udp.recvfrom(LARGEST)
            except OSError:  # nothing more
                return
            try:
                question = dns.parse(data)
            except ValueError:
                continue
            if (answer := self.known(question, SMALL)) is not None:
                self._reply(client, answer)
            elif len(self._relayed) < MOST_RELAYED:  # who gets no answer asks again
                self._relay(question, data, client)

    def _relay(self, question: dns.Question, data: bytes, client: tuple[str, int]) -> None:
        def done(answer: bytes) -> None:
            self._relayed.discard(relayed)
            self._reply(client, answer or dns.answer(question, (), code=dns.SERVFAIL))

        relayed = Relayed(self._loop, question, data, self.servers(), done)
        self._relayed.add(relayed)
        relayed.begin()

    def _reply(self, client: tuple[str, int], answer: bytes) -> None:
        try:
            self._udp.sendto(answer, client)
        except OSError:  # it does not read, or there is no lo
            return

    def _accept(self) -> None:
        try:
            connection, _ = self._tcp.accept()
        except BlockingIOError:
            return
        except OSError:  # too many open files
            self._loop.unwatch(self._tcp.fileno())
            self._loop.after(PAUSE_SECONDS, self._listen)
            return
        if len(self._clients) >= MOST_CONNECTIONS:  # the oldest that waits for no answer makes room (RFC 7766, 6.2.3)
            idle = next((client for client in self._clients if client.is_idle), None)
            if idle is None:
                connection.close()
                return
            idle.close()
        self._clients[_Client(self._loop, connection, self, lambda client: self._clients.pop(client, None))] = None


def _turned(values: list[bytes]) -> list[bytes]:
    first = os.urandom(1)[0] % len(values) if values else 0
    return values[first:] + values[:first]


class _Client:
    """Somebody who asks over TCP: one question after another."""

    def __init__(
        self, loop: Loop, connection: socket.socket, resolver: Resolver, gone: Callable[[_Client], object]
    ) -> None:
        self._loop, self._resolver, self._gone = loop, resolver, gone
        self._carried: Carried | None = None
        self._framed = Framed(loop, connection, self._asked, self.close)
        self._timer = loop.after(IDLE_SECONDS, self.close)

    @property
    def is_idle(self) -> bool:
        """Tell whether it waits for no answer."""
        return self._carried is None

    def _asked(self, data: bytes) -> None:
        self._timer.cancel()
        self._timer = self._loop.after(IDLE_SECONDS, self.close)
        try:
            question = dns.parse(data)
        except ValueError:
            self.close()
            return
        if (answer := self._resolver.known(question, LARGEST)) is not None:
            self._framed.send(answer)
            return
        self._framed.pause()

        def done(answer: bytes) -> None:
            self._carried = None
            self._framed.send(answer or dns.answer(question, (), code=dns.SERVFAIL))
            self._framed.resume()

        self._carried = Carried(self._loop, data, self._resolver.servers(), done)
        self._carried.begin()

    def close(self) -> None:
        """End the connection."""
        self._timer.cancel()
        if self._carried is not None:
            self._carried.close()
            self._carried = None
        self._framed.close()
        self._gone(self)
