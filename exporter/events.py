"""One stream of server-sent events: what its reader has not been sent yet, and how that is written.

A reader holds no queue but the newest look: one who reads slowly misses
ticks, and each document it gets is whole. One who reads nothing is let go by
the kernel (exporter.address: TCP_USER_TIMEOUT).

    retry: 2000
    id: 1
    data: {"schema":1,"taken_at":...}
    event: problem                       the machine could not be read this time
    data: {"error":"..."}
    :                                    nothing new, but still here
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from exporter.live import View
from exporter.pieces import GzipStream

__all__ = ["NOSNIFF", "EventStream", "Full", "Reader", "Text"]

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 15.0
"""A proxy in between closes what is silent; most wait for 60 s."""
RETRY_MS = 2000
NOSNIFF = {"X-Content-Type-Options": "nosniff"}


class Text(Protocol):
    """What a look must be able to do: become the JSON of a view (exporter.live.Look)."""

    def text(self, view: View) -> bytes:
        """Return the JSON; may block."""

    def piece(self, view: View) -> bytes:
        """Return it compressed (exporter.pieces); may block."""


class Full(Exception):
    """There are as many streams as allowed."""


@dataclass(eq=False, slots=True)
class Reader:
    """One stream: what it has not been sent yet (None: nothing), and whether it should end."""

    view: View
    news: Text | str | None = None
    ended: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, news: Text | str) -> None:
        """Replace what it has not been sent yet."""
        self.news = news
        self.changed.set()

    def end(self) -> None:
        """Let the stream end."""
        self.ended = True
        self.changed.set()


class EventStream(Response):
    """The response: an event for each look until the reader goes or the server stops; 503 when there is no place."""

    media_type = "text/event-stream"

    def __init__(
        self, join: Callable[[], Reader], leave: Callable[[Reader], object], packed: GzipStream | None
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Vary": "Accept-Encoding",
                                  **NOSNIFF})  # fmt: skip
        if packed:
            self.headers["Content-Encoding"] = "gzip"
        self._packed = packed
        del self.headers["content-length"]
        self._join, self._leave = join, leave
        self._number = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream (the ASGI interface)."""
        try:
            reader = self._join()
        except Full:
            await Response("too many streams at a time\n", 503, {"Retry-After": "5"}, "text/plain; charset=utf-8")(
                scope, receive, send
            )
            return
        gone = asyncio.create_task(_watch(receive, reader))
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if scope["method"] != "HEAD":
                await self._send_events(reader, send)
            body = self._packed.tail() if self._packed else b""
            await send({"type": "http.response.body", "body": body, "more_body": False})
        finally:
            gone.cancel()
            self._leave(reader)

    async def _send_events(self, reader: Reader, send: Send) -> None:
        body = self._packed.head if self._packed else b""
        body += self._short(b"retry: %d\n\n" % RETRY_MS)
        while True:
            await send({"type": "http.response.body", "body": body, "more_body": True})
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.changed.wait(), HEARTBEAT_SECONDS)
            reader.changed.clear()
            if reader.ended:
                return
            news, reader.news = reader.news, None
            body = self._short(b":\n\n") if news is None else await self._event(news, reader.view)

    def _short(self, text: bytes) -> bytes:
        return self._packed.stored(text) if self._packed else text

    async def _event(self, news: Text | str, view: View) -> bytes:
        if not isinstance(news, str):
            try:
                return await run_in_threadpool(self._document, news, view)
            except Exception as error:
                text = "the document could not be made: %s: %s"
                log.error(text, type(error).__name__, error, exc_info=log.isEnabledFor(logging.DEBUG))  # noqa: TRY400
                news = f"the document could not be made: {type(error).__name__}"
        return self._short(b"event: problem\ndata: %b\n\n" % json.dumps({"error": news}).encode())

    def _document(self, look: Text, view: View) -> bytes:
        text = look.text(view)
        # What is packed has to be sent, as it is counted: from here on nothing fails.
        piece = look.piece(view) if self._packed else text
        self._number += 1
        before = self._short(b"id: %d\ndata: " % self._number)
        data = self._packed.piece(text, piece) if self._packed else text
        return before + data + self._short(b"\n\n")


async def _watch(receive: Receive, reader: Reader) -> None:
    """End the stream when its reader goes."""
    while (await receive())["type"] != "http.disconnect":
        pass
    reader.end()
