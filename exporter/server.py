"""uvicorn, made to sleep: between requests it wakes ten times a second to look at a flag, we do not.

The exporter runs on every machine, all day, and is asked once in 15 seconds.
uvicorn starts, stops and speaks HTTP; connections are ours (exporter.listener,
exporter.connection), and what stands before the application (exporter.guard).
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from exporter.connection import Connection, Owner
from exporter.guard import Guard
from exporter.listener import Listener
from exporter.reload import WebConfigFile

__all__ = ["serve"]

log = logging.getLogger(__name__)

SHUTDOWN_SECONDS = 3
KEEP_ALIVE_SECONDS = 130
"""Longer than two minutes between scrapes: a handshake costs more than an idle connection."""


class _Server(uvicorn.Server):
    """Listens by itself, and sleeps until a signal comes."""

    def __init__(self, config: uvicorn.Config, sockets: Sequence[socket.socket], web_config: WebConfigFile,
                 before_shutdown: Callable[[], object]) -> None:  # fmt: skip
        super().__init__(config)
        self._sockets = sockets
        self._web_config = web_config
        self._before_shutdown = before_shutdown
        self._wake: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def main_loop(self) -> None:
        """Serve until handle_exit() wakes us; uvicorn then ends the connections."""
        self._wake, self._loop = asyncio.Event(), asyncio.get_running_loop()
        self._loop.set_exception_handler(_log_exception)
        listener = Listener(self._sockets, self._connection, self._web_config.context)
        with _woken_by_signals(self._loop):
            if not self.should_exit:
                await self._wake.wait()
        log.info("stopping")
        listener.close()
        self._before_shutdown()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Note the signal. The event loop sleeps in epoll_wait(2), which Python resumes after a signal handler."""
        super().handle_exit(sig, frame)
        if self._loop and self._wake and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake.set)

    def _connection(self, owner: Owner) -> Connection:
        return Connection(self.config, self.server_state, owner)


@contextmanager
def _woken_by_signals(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Wake the event loop at a signal that the kernel gives to another thread, too: its epoll_wait(2) sleeps on then.

    Any thread may get what is sent to the process (signal(7)): another one where ours is stopped by a debugger.
    """
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.setblocking(False)  # noqa: FBT003
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        loop.add_reader(reader, reader.recv, 1)
        try:
            yield
        finally:
            signal.set_wakeup_fd(-1)
            loop.remove_reader(reader)


def serve(
    app: ASGIApp, sockets: Sequence[socket.socket], web_config: WebConfigFile, before_shutdown: Callable[[], object]
) -> None:
    """Answer requests on listening sockets until SIGTERM or SIGINT, then let those under way finish.

    `before_shutdown` is called then, in the event loop: it ends what would not end by itself.
    """
    config = uvicorn.Config(
        Guard(app, web_config.config), loop="asyncio", http=Connection, ws="none", lifespan="off", log_config=None,
        access_log=False, server_header=False, date_header=False, proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS, timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )  # fmt: skip
    server = _Server(config, sockets, web_config, before_shutdown)
    # uvicorn takes the signals over while it runs and afterwards sends itself the one it got: to end with
    # status 0, its own handler has to be there then as well.
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, server.handle_exit)
    server.run(sockets=[])  # none of uvicorn's own: should it rename what is replaced here, nothing listens at all


def _log_exception(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Write asyncio's complaints as one line each."""
    error = context.get("exception")
    text = f"{type(error).__name__}: {error}" if error else ""
    log.error("%s", context.get("message"), extra={"fields": {"error": text}},
              exc_info=error if log.isEnabledFor(logging.DEBUG) else None)  # fmt: skip
