"""A second observer: asks for figures all the time, to know what they were at the moments that a document is of.

A comparison then needs no luck: however busy the machine is, what was read at
a moment lies between the last look that ended before it and the first that
began after it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Self

Look = tuple[float, float, tuple[float, ...]]  # began, ended, figures


class Watch:
    """A thread that looks at figures again and again; a context manager that starts and ends it."""

    def __init__(self, look: Callable[[], tuple[float, ...]], pause_seconds: float = 0.01) -> None:
        self._look = look
        self._pause = pause_seconds
        self._looks: list[Look] = []
        self._failure: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def between(self, since: float, until: float | None = None) -> list[tuple[float, float]]:
        """Return for each figure the least and the most that it can have been at a moment, or from one to another.

        Moments are Unix time, as `taken_at` of a document.
        """
        until = since if until is None else until
        before = [figures for _, ended, figures in self._looks if ended <= since][-1:]
        around = [figures for began, ended, figures in self._looks if ended >= since and began <= until]
        after = [figures for began, _, figures in self._looks if began >= until][:1]
        assert before, "nothing was seen before"
        assert after, "nothing was seen after"
        return [(min(values), max(values)) for values in zip(*before, *around, *after, strict=True)]

    def growth(self, since: float, until: float) -> list[tuple[float, float]]:
        """Return for each figure the least and the most that it can have grown between two moments."""
        pairs = zip(self.between(since), self.between(until), strict=True)
        return [(last[0] - first[1], last[1] - first[0]) for first, last in pairs]

    def _watch(self) -> None:
        try:
            while not self._stop.is_set():
                self._see()
                self._stop.wait(self._pause)
            self._see()
        except BaseException as error:  # noqa: BLE001  raised again in the test's own thread
            self._failure = error

    def _see(self) -> None:
        began = time.time()
        figures = self._look()
        self._looks.append((began, time.time(), figures))

    def __enter__(self) -> Self:
        self._see()
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._failure is not None and exception[0] is None:
            raise self._failure
