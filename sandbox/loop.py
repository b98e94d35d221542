"""The event loop of a monitor: descriptors and timers, each with the function that serves it.

    loop.watch(fd, read=function, write=function)   called when it can be read or written; again to change
    loop.unwatch(fd)                                before it is closed
    loop.after(seconds, function) -> Timer          once; cancel() before it comes
    loop.run()                                      until somebody calls stop()

One thread, no callbacks beside these: a function must not wait. What it raises
ends the loop. (No dataclass, no typing: they are a tenth of a small monitor's memory.)
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import selectors
import time
from collections.abc import Callable

__all__ = ["Loop", "Timer"]

Function = Callable[[], object]


class Timer:
    """Something that is to be done later; `due` is on the monotonic clock."""

    __slots__ = ("due", "function", "number")

    def __init__(self, due: float, number: int, function: Function) -> None:
        self.due, self.number = due, number
        self.function: Function | None = function

    def __lt__(self, other: Timer) -> bool:
        return (self.due, self.number) < (other.due, other.number)

    def cancel(self) -> None:
        """Let it not come."""
        self.function = None


class Loop:
    """Serves descriptors and timers until stop()."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[Timer] = []
        self._numbers = itertools.count()
        self._stopped = False

    def close(self) -> None:
        """Give back what the loop itself has open."""
        self._selector.close()

    def watch(self, fd: int, read: Function | None = None, write: Function | None = None) -> None:
        """Serve a descriptor from now on, in place of what served it before; with neither function, not at all.

        Raises PermissionError for a regular file, which cannot be waited for.
        """
        events = (selectors.EVENT_READ if read else 0) | (selectors.EVENT_WRITE if write else 0)
        if not events:
            self.unwatch(fd)
        elif fd in self._selector.get_map():
            self._selector.modify(fd, events, (read, write))
        else:
            self._selector.register(fd, events, (read, write))

    def unwatch(self, fd: int) -> None:
        """Serve a descriptor no more."""
        with contextlib.suppress(KeyError):
            self._selector.unregister(fd)

    def after(self, seconds: float, function: Function) -> Timer:
        """Do something once, later."""
        timer = Timer(time.monotonic() + seconds, next(self._numbers), function)
        heapq.heappush(self._timers, timer)
        return timer

    def stop(self) -> None:
        """End run() when what is being served is done."""
        self._stopped = True

    def run(self) -> None:
        """Serve until stop() is called."""
        self._stopped = False
        while not self._stopped:
            for key, events in self._selector.select(self._patience()):
                # What was served just before may have closed this one, or stopped us.
                current = self._selector.get_map().get(key.fd)
                if current is None or self._stopped:
                    continue
                read, write = current.data
                if events & selectors.EVENT_READ and read:
                    read()
                current = self._selector.get_map().get(key.fd)
                if events & selectors.EVENT_WRITE and write and current is not None and current.data[1] is write:
                    write()
            self._ring()

    def _patience(self) -> float | None:
        """Return how long nothing is due."""
        while self._timers and self._timers[0].function is None:
            heapq.heappop(self._timers)
        return max(0.0, self._timers[0].due - time.monotonic()) if self._timers else None

    def _ring(self) -> None:
        now = time.monotonic()
        while not self._stopped and self._timers and self._timers[0].due <= now:
            function = heapq.heappop(self._timers).function
            if function is not None:
                function()
