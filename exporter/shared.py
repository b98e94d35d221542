"""One look at the machine for everyone who asks at the same time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock
from typing import Generic, TypeVar

__all__ = ["Shared"]

T = TypeVar("T")


class Shared(Generic[T]):
    """Calls `take` in at most one thread at a time; a caller who comes meanwhile gets that call's result.

    Nothing is kept: a call that starts after the last one ended takes anew.
    What `take` raises, every caller of that moment gets.
    """

    def __init__(self, take: Callable[[], T]) -> None:
        self._take = take
        self._lock = Lock()
        self._running: Future[T] | None = None

    def __call__(self) -> T:
        """Return what `take` returns, from a call that is under way or a new one."""
        with self._lock:
            running = self._running
            if running is None:
                mine = self._running = Future()
        if running is not None:
            return running.result()
        try:
            result = self._take()
        except BaseException as error:
            self._end()
            mine.set_exception(error)
            raise
        self._end()
        mine.set_result(result)
        return result

    def _end(self) -> None:
        """Let the next caller start anew: before the waiting ones wake, so none of them gets this result twice."""
        with self._lock:
            self._running = None
