"""uvicorn, made to sleep: between requests it wakes ten times a second to look at a flag, we do not.

The exporter runs on every machine, all day, and is asked once in 15 seconds.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from email.utils import formatdate
from types import FrameType

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["serve"]

SHUTDOWN_SECONDS = 3


class _Server(uvicorn.Server):
    """Waits for the signal itself; should uvicorn rename what is replaced here, its own loop does the work."""

    _wake: asyncio.Event | None = None
    _loop: asyncio.AbstractEventLoop | None = None
    before_shutdown: Callable[[], object] | None = None

    async def main_loop(self) -> None:
        """Sleep until handle_exit() wakes us."""
        self._wake, self._loop = asyncio.Event(), asyncio.get_running_loop()
        if not self.should_exit:
            await self._wake.wait()
        if self.before_shutdown:
            self.before_shutdown()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Note the signal. The event loop sleeps in epoll_wait(2), which Python resumes after a signal handler."""
        super().handle_exit(sig, frame)
        if self._loop and self._wake and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake.set)


def serve(app: ASGIApp, sock: socket.socket, before_shutdown: Callable[[], object] | None = None) -> None:
    """Answer requests on a listening socket until SIGTERM or SIGINT, then let those under way finish.

    `before_shutdown` is called then, in the event loop: it ends what would not end by itself.
    """
    config = uvicorn.Config(
        _dated(app), loop="asyncio", http="h11", ws="none", lifespan="off", log_config=None,
        access_log=False, server_header=False, date_header=False, timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )  # fmt: skip
    server = _Server(config)
    server.before_shutdown = before_shutdown
    # uvicorn takes the signals over while it runs and afterwards sends itself the one it got: to end with
    # status 0, its own handler has to be there then as well.
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, server.handle_exit)
    server.run(sockets=[sock])


def _dated(app: ASGIApp) -> ASGIApp:
    """Give every response its Date (RFC 9110, section 6.6.1): uvicorn's is set by the loop that we replace."""

    async def dated(scope: Scope, receive: Receive, send: Send) -> None:
        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"date", formatdate(usegmt=True).encode())]
            await send(message)

        await app(scope, receive, add)

    return dated
