"""/api/v1/stream: the document again and again, as server-sent events, for as long as somebody reads.

One task looks at the machine for all streams, and there is none while there
is no stream. It looks at multiples of half a second, so streams of any
interval fall on the same looks: a thousand of them cost two looks a second.
Streams of one interval share the document too, also compressed
(exporter.live.Look): 200 KB of the table of 200 containers become a few.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Generic, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from exporter.events import NOSNIFF, EventStream, Full, Reader, Text
from exporter.live import View
from exporter.negotiate import accepts_gzip
from exporter.pieces import GzipStream

__all__ = ["Streams"]

log = logging.getLogger(__name__)

MIN_INTERVAL, MAX_INTERVAL = 0.5, 60.0
BEAT = 0.5
"""Seconds: every look is at a multiple of this, and every interval is one."""
RECENT = 5.0
"""Seconds for which the last look serves a new stream as the first of two: a page that is turned has no gap."""
MOST_CLOSE = 8
"""Containers whose processes are read at each look, for all streams together."""

T = TypeVar("T")


@dataclass(slots=True)
class Rhythm(Generic[T]):
    """The streams of one interval: they share looks and documents."""

    interval: float
    due: float
    readers: dict[Reader, None] = field(default_factory=dict)  # a set in the order of their coming
    before: T | None = None
    latest: Text | None = None


class Streams(Generic[T]):
    """The open streams. `observe` takes one observation, `look` makes a document of two (the first may be None).

    `focus` is told before each look which containers somebody looks at closely, at most MOST_CLOSE of them.
    """

    def __init__(
        self,
        observe: Callable[[], T],
        look: Callable[[T | None, T], Text],
        *,
        focus: Callable[[frozenset[str]], object] = lambda _: None,
        most: int = 32,
    ) -> None:
        self._observe = observe
        self._look = look
        self._focus = focus
        self._most = most
        self._rhythms: dict[float, Rhythm[T]] = {}
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._closed = False
        self._last: tuple[T, float] | None = None

    @property
    def open(self) -> int:
        """How many there are."""
        return sum(len(rhythm.readers) for rhythm in self._rhythms.values())

    def respond(self, request: Request) -> Response:
        """`/api/v1/stream?interval=S`: the document every S seconds, rounded to half ones.

        `view=table` leaves what the live page's table shows; `labels=1` adds the labels to it, and `detail=ID` one
        container whole, with its processes.
        """
        interval = _interval(request.query_params.get("interval", "1"))
        view = request.query_params.get("view")
        if interval is None:
            return _error(f"interval must be a number of seconds from {MIN_INTERVAL} to {MAX_INTERVAL:g}")
        if view not in (None, "table"):
            return _error("view must be table, or left out for the whole document")
        packed = accepts_gzip(request.headers.get("accept-encoding", ""))
        asked = request.query_params
        wanted = View(view == "table", view and asked.get("detail"), labels=asked.get("labels", "") == "1")
        join, leave = partial(self.join, interval, wanted), partial(self.leave, interval)
        return EventStream(join, leave, GzipStream() if packed else None)

    def close(self) -> None:
        """End every stream and take no more. For the event loop's thread."""
        self._closed = True
        for rhythm in self._rhythms.values():
            for reader in rhythm.readers:
                reader.end()
        self._wake.set()

    def join(self, interval: float, view: View) -> Reader:
        """Add a reader; it is told the latest look of its interval, or else there is one at once. Full: no place."""
        if self._closed or self.open >= self._most:
            raise Full
        reader = Reader(view)
        rhythm = self._rhythms.get(interval)
        if rhythm is None:
            rhythm = self._rhythms[interval] = self._begin(interval, asyncio.get_running_loop().time())
        elif rhythm.latest is not None:
            reader.tell(rhythm.latest)
        rhythm.readers[reader] = None
        self._wake.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return reader

    def _begin(self, interval: float, now: float) -> Rhythm[T]:
        """Start a rhythm: where somebody looked a moment ago, from there, so that its first rates are no later."""
        if self._last is None or now - self._last[1] > RECENT:
            return Rhythm(interval, now)
        before, at = self._last
        return Rhythm(interval, max(now, at + BEAT), before=before)

    def leave(self, interval: float, reader: Reader) -> None:
        """Remove a reader; the looking ends with the last one."""
        rhythm = self._rhythms[interval]
        rhythm.readers.pop(reader, None)
        if not rhythm.readers:
            del self._rhythms[interval]
            self._wake.set()

    async def _run(self) -> None:
        """Look whenever a rhythm is due, until there is none."""
        loop = asyncio.get_running_loop()
        try:
            while self._rhythms and not self._closed:
                wait = min(rhythm.due for rhythm in self._rhythms.values()) - loop.time()
                if wait <= 0:
                    await self._tick(loop.time())
                    continue
                self._wake.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), wait)
        finally:
            self._task = None
            self._focus(frozenset())

    def _close(self) -> frozenset[str]:
        """Return the containers that readers look at closely, those of the first readers."""
        views = (reader.view for rhythm in self._rhythms.values() for reader in rhythm.readers)
        return frozenset(islice(dict.fromkeys(view.detail for view in views if view.detail), MOST_CLOSE))

    async def _tick(self, now: float) -> None:
        """Look once for every rhythm that is due."""
        due = [rhythm for rhythm in self._rhythms.values() if rhythm.due <= now]
        for rhythm in due:
            # The second look follows the first one soon, for the first rates; from then on all are on the beat.
            first = rhythm.before is None
            rhythm.due = math.ceil(now / BEAT) * BEAT + BEAT if first else round(now / BEAT) * BEAT + rhythm.interval
        self._focus(self._close())
        try:
            after = await run_in_threadpool(self._observe)
            looks = [self._look(rhythm.before, after) for rhythm in due]
        except Exception as error:
            text = "the machine could not be read: %s: %s"
            log.error(text, type(error).__name__, error, exc_info=log.isEnabledFor(logging.DEBUG))  # noqa: TRY400
            for rhythm in due:
                for reader in rhythm.readers:
                    reader.tell(f"the machine could not be read: {type(error).__name__}")
            return
        self._last = after, now
        for rhythm, look in zip(due, looks, strict=True):
            rhythm.before, rhythm.latest = after, look
            for reader in rhythm.readers:
                reader.tell(look)


def _error(text: str) -> Response:
    return Response(json.dumps({"error": text}), 400, NOSNIFF, "application/json")


def _interval(text: str) -> float | None:
    """Return the seconds between two events, or None when the text is no number from 0.5 to 60."""
    try:
        interval = float(text)
    except ValueError:
        return None
    if not math.isfinite(interval) or not MIN_INTERVAL <= interval <= MAX_INTERVAL:
        return None
    return round(interval / BEAT) * BEAT
