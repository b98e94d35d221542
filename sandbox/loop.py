"""The event loop of a monitor: descriptors and timers, each with the function that serves it.

    loop.watch(fd, read=function, write=function)   called when it can be read or written; again to change
    loop.unwatch(fd)                                before it is closed
    loop.after(seconds, function) -> Timer          once; cancel() before it comes
    loop.run()                                      until somebody calls stop()

One thread, no callbacks beside these: a function must not wait. What it raises
ends the loop. (No dataclass, no typing: they are a tenth of a small monitor's memory; no selectors, which
bring more than they do.)
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable

from sandbox.contexts import suppress

__all__ = ["Loop", "Timer"]

Function = Callable[[], object]


class Timer:
    """Something that is to be done later; `due` is on the monotonic clock."""

    __slots__ = ("due", "function")

    def __init__(self, due: float, function: Function) -> None:
        self.due = due
        self.function: Function | None = function

    def cancel(self) -> None:
        """Let it not come."""
        self.function = None


class Loop:
    """Serves descriptors and timers until stop()."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watched: dict[int, tuple[Function | None, Function | None]] = {}
        self._timers: list[Timer] = []
        self._stopped = False

    def close(self) -> None:
        """Give back what the loop itself has open."""
        self._epoll.close()

    def watch(self, fd: int, read: Function | None = None, write: Function | None = None) -> None:
        """Serve a descriptor from now on, in place of what served it before; with neither function, not at all.

        Raises PermissionError for a regular file, which cannot be waited for.
        """
        events = (select.EPOLLIN if read else 0) | (select.EPOLLOUT if write else 0)
        if not events:
            self.unwatch(fd)
            return
        if fd in self._watched:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)
        self._watched[fd] = read, write

    def unwatch(self, fd: int) -> None:
        """Serve a descriptor no more."""
        if self._watched.pop(fd, None):
            with suppress(OSError):  # closed already
                self._epoll.unregister(fd)

    def after(self, seconds: float, function: Function) -> Timer:
        """Do something once, later."""
        timer = Timer(time.monotonic() + seconds, function)
        # Those that were cancelled go at once: who asks a resolver much leaves thousands of them a second.
        live = [each for each in self._timers if each.function is not None]
        self._timers = sorted([*live, timer], key=lambda timer: timer.due)  # those of one time stay in their order
        return timer

    def stop(self) -> None:
        """End run() when what is being served is done."""
        self._stopped = True

    def run(self) -> None:
        """Serve until stop() is called."""
        self._stopped = False
        while not self._stopped:
            for fd, events in self._epoll.poll(self._patience()):
                # What was served just before may have closed this one, or stopped us.
                if fd not in self._watched or self._stopped:
                    continue
                read, write = self._watched[fd]
                if events & ~select.EPOLLOUT and read:  # an error or an end is both
                    read()
                if events & ~select.EPOLLIN and write and self._watched.get(fd, (None, None))[1] is write:
                    write()
            self._ring()

    def _patience(self) -> float | None:
        """Return how long nothing is due."""
        while self._timers and self._timers[0].function is None:
            del self._timers[0]
        return max(0.0, self._timers[0].due - time.monotonic()) if self._timers else None

    def _ring(self) -> None:
        now = time.monotonic()
        while not self._stopped and self._timers and self._timers[0].due <= now:
            function = self._timers.pop(0).function
            if function is not None:
                function()
