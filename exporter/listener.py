"""Accepts connections, and keeps few enough of them that there is always room for one more.

uvicorn leaves this to asyncio, which gives every connection the TLS context
of the start, has no bound, and stops accepting for a second when descriptors
run out. Here each connection gets the context of the moment; beyond MOST of
them, or when descriptors run out, the one that has been idle longest makes
room, or else who has not read its answer for longest: a thousand idle
connections keep no scrape out.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import ssl
from collections.abc import Callable, Iterable

from exporter.connection import Connection, Owner
from exporter.guard import client
from exporter.logs import fields
from exporter.waiting import Waiting

__all__ = ["Listener"]

log = logging.getLogger(__name__)

HANDSHAKE_SECONDS, CLOSE_NOTIFY_SECONDS, RETRY_SECONDS = 10.0, 2.0, 1.0
BACKLOG, AT_ONCE = 1024, 64
MOST = 128
"""Connections: more than can be answered at a time. With TLS each costs 300 KB, most of it asyncio's buffer."""
SPARED_DESCRIPTORS = 32
"""For the kernel's files: a scrape keeps most descriptors in use and needs a few more (inspector.kernel.host)."""


class Listener(Owner):
    """Takes connections of listening sockets until close()."""

    def __init__(
        self,
        sockets: Iterable[socket.socket],
        make: Callable[[Owner], Connection],
        context: Callable[[], ssl.SSLContext | None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._make = make
        self._context = context
        # In the order of their last use. The task is the one that makes the connection.
        self._open: dict[Connection, asyncio.Task[None]] = {}
        self._waiting = Waiting[Connection](self._loop, lambda one: self._drop(one, "too many clients do not read"))
        self._sockets = list(sockets)
        for sock in self._sockets:
            sock.settimeout(0)
            sock.listen(BACKLOG)  # with Python's 128, a burst of clients waits a second for the next try
            self._listen(sock)

    def close(self) -> None:
        """Accept no more, so that who comes now is refused at once, and give up handshakes under way."""
        for sock in self._sockets:
            self._loop.remove_reader(sock)
            sock.close()
        self._sockets.clear()
        self._waiting.close()
        for task in self._open.values():
            task.cancel()

    def used(self, connection: Connection) -> None:
        """Let it be the last one that has to make room."""
        if task := self._open.pop(connection, None):
            self._open[connection] = task

    def stuck(self, connection: Connection, *, stuck: bool) -> None:
        """Bound what is held for clients who do not read."""
        if stuck:
            self._waiting.add(connection)
        else:
            self._waiting.remove(connection)

    def lost(self, connection: Connection) -> None:
        """Forget it."""
        self._open.pop(connection, None)
        self._waiting.remove(connection)

    def _listen(self, sock: socket.socket) -> None:
        if sock in self._sockets:
            self._loop.add_reader(sock, self._accept, sock)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(AT_ONCE):
            try:
                sock, peer = listening.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                if not self._make_room():
                    log.error("cannot accept a connection", extra=fields(error=error.strerror))  # noqa: TRY400
                    self._loop.remove_reader(listening)
                    self._loop.call_later(RETRY_SECONDS, self._listen, listening)
                return  # what was dropped is closed when the event loop comes round; then the socket is ready still
            if (len(self._open) >= MOST or _is_among_the_last(sock)) and not self._make_room():
                sock.close()
                continue
            sock.settimeout(0)
            connection = self._make(self)
            self._open[connection] = self._loop.create_task(self._connect(connection, sock, client(peer)))

    async def _connect(self, connection: Connection, sock: socket.socket, peer: str) -> None:
        try:
            context = self._context()
            seconds = {"ssl_handshake_timeout": HANDSHAKE_SECONDS, "ssl_shutdown_timeout": CLOSE_NOTIFY_SECONDS}
            await self._loop.connect_accepted_socket(
                lambda: connection, sock, ssl=context, **(seconds if context else {})
            )
        except ssl.SSLError as error:
            log.warning("a TLS handshake failed", extra=fields(client=peer, reason=_reason(error)))
            self.lost(connection)
        except OSError as error:  # gone again, or too slow: a probe of the port for one
            log.debug("a connection came to nothing", extra=fields(client=peer, reason=str(error)))
            self.lost(connection)
        except asyncio.CancelledError:
            self.lost(connection)

    def _make_room(self) -> bool:
        """Drop the connection that has been idle longest, or who has not read for longest; False without either."""
        idle = [one for one in self._open if one.idle]
        answered = next((one for one in idle if not one.unsent), None)  # nobody is hurt
        connection = answered or self._waiting.slowest() or next(iter(idle), None)
        if connection is None:
            return False
        self._drop(connection, "it made room")
        return True

    def _drop(self, connection: Connection, why: str) -> None:
        log.debug("a connection was dropped", extra=fields(reason=why))
        task = self._open.pop(connection, None)
        self._waiting.remove(connection)
        if connection.transport:
            connection.transport.abort()
        elif task:
            task.cancel()


def _is_among_the_last(sock: socket.socket) -> bool:
    """Tell whether descriptors run out: the lowest that is free is always taken."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft != resource.RLIM_INFINITY and sock.fileno() + SPARED_DESCRIPTORS >= soft


def _reason(error: ssl.SSLError) -> str:
    """Return what is wrong: "certificate has expired", "http request"."""
    verify: str = getattr(error, "verify_message", "")
    reason: str | None = getattr(error, "reason", None)
    return verify or (reason or str(error.args[-1])).replace("_", " ").lower()
