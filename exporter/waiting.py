"""Those who have been sent something and do not read it: few are kept, and who reads is none of them.

Each holds a piece of its answer, and what of its page nobody else has. For a
moment everyone does who asks for a large page, as it is sent faster than it is
read. So when there are many, who has read next to nothing for a while is let
go, the one that has for longest first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, NamedTuple, Protocol, TypeVar

__all__ = ["MOST", "Waiting"]

MOST = 16
SECONDS, AT_LEAST = 5.0, 1.0
"""TCP tells of reading in steps of a sixteenth of what the reader's kernel holds for it, which may be 6 MB."""
LITTLE = 64 << 10
"""Bytes: who reads less in that time has a page of some megabytes long after Prometheus would have given up."""


class Reader(Protocol):
    """One who is sent something."""

    @property
    def unread(self) -> int:
        """How many bytes of what was sent it has not got."""


R = TypeVar("R", bound=Reader)


class _Mark(NamedTuple):
    """When somebody had read something last, and how much there was left to read then."""

    at: float
    unread: int


class Waiting(Generic[R]):
    """Those who do not read at the moment; `drop` lets one go. For the event loop's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, drop: Callable[[R], object]) -> None:
        self._loop = loop
        self._drop = drop
        self._marks: dict[R, _Mark] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, one: R) -> None:
        """Take note that there is no room for more of what it is sent."""
        self._marks[one] = _Mark(self._loop.time(), one.unread)
        self._wait()

    def remove(self, one: R) -> None:
        """Take note that there is room again, or that it is gone."""
        self._marks.pop(one, None)

    def slowest(self) -> R | None:
        """Return the one that has read nothing for longest, a second at least."""
        return next(iter(self._late(AT_LEAST)), None)

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self) -> None:
        if len(self._marks) > MOST and self._timer is None:
            self._timer = self._loop.call_later(SECONDS, self._check)

    def _check(self) -> None:
        self._timer = None
        for one in self._late(SECONDS)[: max(len(self._marks) - MOST, 0)]:
            self.remove(one)
            self._drop(one)
        self._wait()

    def _late(self, seconds: float) -> list[R]:
        """Return those who have read next to nothing for so long, the slowest first."""
        now, marks = self._loop.time(), self._marks
        for one, mark in marks.items():
            if (unread := one.unread) <= mark.unread - LITTLE:
                marks[one] = _Mark(now, unread)
        return sorted((one for one, mark in marks.items() if mark.at <= now - seconds), key=lambda one: marks[one].at)
