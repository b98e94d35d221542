"""Who is let go of those who do not read, on a clock of our own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from exporter import waiting
from exporter.waiting import LITTLE, MOST, SECONDS, Waiting

PAGE = 25 << 20


class Clock:
    """An event loop of which nothing but the time is there."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        """Return the time."""
        return self.now

    def call_later(self, seconds: float, call: Callable[[], None]) -> Clock:
        """Call it when time has come to that."""
        self.timers.append((self.now + seconds, call))
        return self

    def cancel(self) -> None:
        """Cancel the timer: there is one at a time."""
        self.timers.clear()

    def pass_(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while due := [timer for timer in self.timers if timer[0] <= end]:
            self.timers.remove(due[0])
            self.now, call = due[0]
            call()
        self.now = end


class Client:
    """One who reads so many bytes in a second, in steps as TCP tells of it."""

    def __init__(self, clock: Clock, rate: int, step: int = 1) -> None:
        self._clock, self._since, self._rate, self._step = clock, clock.now, rate, step

    @property
    def unread(self) -> int:
        """How much it has not got."""
        got = int((self._clock.now - self._since) * self._rate)
        return max(PAGE - got // self._step * self._step, 0)


@pytest.fixture
def clock() -> Clock:
    """Return a clock."""
    return Clock()


def waited(clock: Clock) -> tuple[Waiting[Client], list[Client]]:
    """Return a set of those who wait, and who was let go."""
    dropped: list[Client] = []
    return Waiting(cast("Any", clock), dropped.append), dropped


def test_who_reads_is_not_let_go(clock: Clock) -> None:
    """However many wait for a moment; of those who read nothing as many are kept as there may be, the newest."""
    queue, dropped = waited(clock)
    idle = [Client(clock, 0) for _ in range(MOST + 4)]
    readers = [Client(clock, 100 << 10, 400 << 10) for _ in range(30)]
    for one in (*idle, *readers):
        queue.add(one)
        clock.pass_(0.01)
    assert dropped == []
    clock.pass_(3 * SECONDS)
    assert dropped[:4] == idle[:4]
    assert not set(dropped) & set(readers)


def test_few_are_kept_though_they_read_nothing(clock: Clock) -> None:
    """The kernel lets them go (exporter.address); no timer runs for them."""
    queue, dropped = waited(clock)
    for _ in range(MOST):
        queue.add(Client(clock, 0))
    assert clock.timers == []
    one = Client(clock, 0)
    queue.add(one)
    queue.remove(one)
    clock.pass_(10 * SECONDS)
    assert (dropped, clock.timers) == ([], [])


def test_a_trickle_is_no_reading(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads a byte now and then is the first to go, should it have come before those who read nothing."""
    monkeypatch.setattr(waiting, "MOST", 1)
    queue, dropped = waited(clock)
    trickle, other = Client(clock, LITTLE // 10), Client(clock, 0)
    for one in (trickle, other):
        queue.add(one)
        clock.pass_(0.5)
    clock.pass_(2 * SECONDS)
    assert dropped == [trickle]


def test_room_is_made_by_who_reads_nothing(clock: Clock) -> None:
    """Not by one who has only just begun to wait, nor by one who reads."""
    queue, _ = waited(clock)
    slow, reading = Client(clock, 0), Client(clock, 1 << 20)
    queue.add(reading)
    queue.add(slow)
    assert queue.slowest() is None
    clock.pass_(2)
    assert queue.slowest() is slow
    queue.close()
