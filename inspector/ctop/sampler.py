"""The thread that takes the samples, so that a slow one never holds up a key.

A source is not made for two threads, so this one alone calls it. The first
sample has no rates; the second follows soon, for the first picture with them.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from inspector.closeup import Ask, Closeup, unknown
from inspector.ctop.sources import CloseSource, Source, SparingSource, Stored
from inspector.errors import InspectorError
from inspector.schema import Document

__all__ = ["Moved", "Sampler"]

SOON = 0.3
"""Seconds from the first sample to the second, and the least between two when one is wanted now."""


class Moved(NamedTuple):
    """The document that a person has gone to, or why there is none."""

    document: Document | None
    problem: str = ""


class Sampler:
    """Calls `deliver` with a document, or with the exception that ended it, every `delay` seconds.

    While a close look at a container is asked for, the answer follows each document, and comes at once at first.
    """

    def __init__(
        self, source: Source, delay: float, deliver: Callable[[Document | Closeup | Exception | Moved], object]
    ) -> None:
        self._source = source
        self._delay = delay
        self._stored = source if isinstance(source, Stored) else None
        self._sparing = source if isinstance(source, SparingSource) else None
        self._deliver = deliver
        self._change = threading.Condition()
        self._stopped = self._paused = False
        self._wanted = 0  # samples that are to come soon
        self._ask: Ask | None = None
        self._asked = False
        self._moves: deque[Callable[[], Document]] = deque()
        # A daemon: a read that hangs must not keep the terminal from coming back.
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)

    def start(self) -> None:
        """Take the first sample."""
        self._thread.start()

    def stop(self) -> None:
        """Take no more; returns when the sample under way is done, or after a second."""
        with self._change:
            self._stopped = True
            self._change.notify()
        if self._thread.is_alive():
            self._thread.join(timeout=1)

    def pause(self, paused: bool) -> None:
        """Hold, or go on."""
        with self._change:
            self._paused = paused
            self._change.notify()

    def focus(self, container: str | None) -> None:
        """Ask for the processes of one container too; if so the next sample comes soon."""
        self._source.focus = container
        if container is not None:
            with self._change:
                self._wanted = max(self._wanted, 1)
                self._change.notify()

    def sight(self, containers: frozenset[str] | None) -> None:
        """Tell which containers are in sight, None for all: of the others a source may read less.

        When all are again, what was not read is asked for soon: a sample for it, and a second for its rates.
        """
        if self._sparing is None:
            return
        before, self._sparing.sight = self._sparing.sight, containers
        if containers is None and before is not None:
            with self._change:
                self._wanted = self._wanted if self._paused else 2
                self._change.notify()

    def look(self, ask: Ask | None) -> None:
        """Ask for a close look at a container, now and after each sample; None: no longer."""
        with self._change:
            if ask != self._ask:
                self._ask, self._asked = ask, ask is not None
                self._change.notify()

    def move(self, go: Callable[[], Document]) -> None:
        """Go somewhere else in what was, after the moves asked for before; delivers a Moved."""
        with self._change:
            self._moves.append(go)
            self._change.notify()

    def _run(self) -> None:
        delay = min(SOON, self._delay)
        while True:
            taken = time.monotonic()
            if not self._take(self._source):
                return
            due = "look"
            while due in ("look", "move"):
                if not (self._look() if due == "look" else self._take(self._moved)):
                    return
                due = self._wait(taken, delay)
            if due == "end":
                return
            delay = self._stored.pace if self._stored else self._delay

    def _look(self) -> bool:
        """Answer what is asked for; as _take."""
        with self._change:
            ask, self._asked = self._ask, False
        return ask is None or self._take(lambda: self._closeup(ask))

    def _closeup(self, ask: Ask) -> Closeup:
        source = self._source
        return source.closeup(ask) if isinstance(source, CloseSource) else unknown(ask, "this source")

    def _moved(self) -> Moved:
        try:
            return Moved(self._moves.popleft()())
        except InspectorError as error:
            return Moved(None, str(error))

    def _take(self, read: Callable[[], Document | Closeup | Moved]) -> bool:
        """Deliver what is read, or the exception; False when nothing more is to come."""
        try:
            result = read()
        except Exception as error:  # noqa: BLE001  the application raises it again, where it is seen
            self._deliver(error)
            return False
        with self._change:
            if self._stopped:
                return False
        self._deliver(result)
        return True

    def _wait(self, taken: float, delay: float) -> str:
        """Wait until the next "sample" is due, or a "move" or a close "look" is asked for; "end" when none will be."""
        with self._change:
            while not self._stopped:
                if self._moves:
                    return "move"
                if self._asked:
                    return "look"
                left = taken + (min(SOON, delay) if self._wanted else delay) - time.monotonic()
                if left <= 0 and (self._wanted or not self._paused):
                    self._wanted = max(self._wanted - 1, 0)
                    return "sample"
                self._change.wait(None if self._paused and not self._wanted else max(left, 0.001))
            return "end"
