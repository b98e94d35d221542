"""A limit on the CPU time of a step: a filter's pattern may take longer than the age of the universe."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

__all__ = ["TooSlow", "at_most"]


class TooSlow(Exception):
    """The step took more than it may."""


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise TooSlow in the body once it has used so much CPU time; outside the main thread there is no limit.

    Python's pattern matcher has no limit of its own, but looks for signals
    while it runs. CPU time and not real time: a busy machine is no reason.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    armed = True

    def ring(*_: object) -> None:
        if armed:  # not when it rings just after the body has ended
            raise TooSlow

    before = signal.signal(signal.SIGVTALRM, ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
