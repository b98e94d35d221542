"""Whose turn it is: what is remembered is looked at anew once in a while, each thing at another time.

Were it all at once, one tick in so many would take several times as long as the others.
"""

from __future__ import annotations

__all__ = ["SLICES", "Turns"]

SLICES = 61  # a prime: PIDs that come at regular distances are spread all the same
EVERYBODY = frozenset(range(SLICES))


class Turns:
    """Numbers whose turn it is at this tick, each once in a round of some seconds; at first it is everybody's."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._passed = 0
        self.due: frozenset[int] = frozenset()  # of the numbers below SLICES

    def begin(self, now: float, seconds: float) -> None:
        """Start a tick at a time (monotonic seconds); `seconds` is how long a round takes, 0: a tick."""
        if self._began is None:
            self._began, self.due = now, EVERYBODY
            return
        passed = int((now - self._began) / seconds * SLICES) if seconds else self._passed + SLICES
        new = range(self._passed + 1, passed + 1)
        self.due = EVERYBODY if len(new) >= SLICES else frozenset(number % SLICES for number in new)
        self._passed = passed

    def __contains__(self, number: int) -> bool:
        return number % SLICES in self.due

    def of(self, place: int, places: int) -> bool:
        """Tell whether it is the turn of one of few things, spread over the round: `place` of so many `places`."""
        return place * SLICES // places in self.due
