"""What happened between two observations. Pure.

Nothing is subtracted before identities agree: the same cgroup is the same
path and inode, the same process the same PID and start time, the same
interface the same name in the same network namespace. A missing side or a
counter that fell gives None, never zero.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from operator import attrgetter

from inspector.kernel.cgroups import ancestors
from inspector.kernel.controllers import Cpu, Reading
from inspector.kernel.process import CLOCK_TICKS
from inspector.kernel.remembered import remembered
from inspector.model import Observation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Interval"]


class Interval:
    """Two observations of one machine; without a `before` every rate is None.

    `seconds` is the time between the two, None when there is no time to divide by; it is another one for processes and
    interfaces, which are read later than cgroups.
    """

    __slots__ = ("_below", "_later", "after", "before", "seconds")

    def __init__(self, before: Observation | None, after: Observation) -> None:
        self.before = before
        self.after = after
        seconds = after.monotonic - before.monotonic if before is not None else 0.0
        self.seconds = seconds if seconds > 0 else None
        self._later = seconds + after.later_seconds - before.later_seconds if before is not None else 0.0
        self._below: dict[str, float] | None = None

    def delta(self, resource: str, path: str | None, name: str) -> int | None:
        """Return by how much a counter of a cgroup grew."""
        if self.before is None or path is None:
            return None
        sides = self._seen(resource, path)
        return grown(getattr(sides[0], name, None), getattr(sides[1], name, None))

    def _seen(self, resource: str, path: str) -> tuple[Reading | None, Reading | None]:
        """Return what was read of one cgroup at both looks."""
        key = (resource, path)
        before, after = self.before, self.after
        if before is None or before.inodes.get(key) != after.inodes.get(key):
            return None, None
        return before.readings.get(key), after.readings.get(key)

    def rates(self, resource: str, path: str | None, *names: str) -> list[float | None]:
        """Return some counters' growths a second: of each delta(), in one go."""
        seconds = self.seconds
        if self.before is None or path is None or seconds is None:
            return [None] * len(names)
        before, after = self._seen(resource, path)
        if before is None or after is None:
            return [None] * len(names)
        take = _taker(names)
        pairs = zip(take(before), take(after), strict=True)
        return [None if old is None or new is None or new < old else (new - old) / seconds for old, new in pairs]

    def over_time(self, grown_by: float | None) -> float | None:
        """Divide a growth in what processes or interfaces count by the time between the two observations."""
        return None if grown_by is None or self._later <= 0 else grown_by / self._later

    def throttled(self, path: str) -> float | None:
        """Return the share of periods in which the quota of a cgroup throttled; 0 where it ran in none.

        Where none has ended, of a period that takes longer than a look, it is that of the last ones that did
        (inspector.periods).
        """
        before, after = self._seen("cpu", path)
        if not isinstance(before, Cpu) or not isinstance(after, Cpu):
            return None
        throttled = grown(before.throttled_periods, after.throttled_periods)
        periods = grown(before.periods, after.periods)
        if throttled is None or periods is None:
            return None
        return min(1.0, throttled / periods) if periods else self.after.unended.get(path, 0.0)

    def stopped_below(self, path: str | None) -> float:
        """Return the share of periods in which the worst quota of those below a cgroup throttled.

        1 where a quota there, its own or one above has periods so long that between the two looks none has ended:
        whether it stopped what runs, nobody can tell. Only of the cgroups that were looked at. 0 where none did, or
        nobody knows.
        """
        if self._below is None:
            self._below = {}
            for (resource, below), reading in self.after.readings.items():
                if resource != "cpu" or not getattr(reading, "throttled_periods", None):
                    continue
                share = 1.0 if self._is_too_soon(below) else self.throttled(below)
                for above in islice(ancestors(below), 1, None):
                    self._below[above] = max(share or 0.0, self._below.get(above, 0.0))
        around = ancestors(path) if path else ()
        return 1.0 if any(map(self._is_too_soon, around)) else self._below.get(path or "", 0.0)

    def _is_too_soon(self, path: str) -> bool:
        """Tell whether no period of a cgroup's quota has ended, and none need have: two of them take longer."""
        reading, seconds = self.after.readings.get(("cpu", path)), self.seconds
        period = getattr(reading, "period_us", None) if getattr(reading, "quota_us", None) else None
        if not period or seconds is None or seconds * 1e6 >= 2 * period:
            return False
        return self.delta("cpu", path, "periods") == 0

    def member_cores(self, container: str) -> tuple[float, float] | None:
        """Return user and system cores of a container's members, where it has no cgroup of its own to tell.

        A process that is new counts whole: it started within the interval. One
        that has ended is missing from both sides, as nobody keeps its total.
        """
        if self.before is None or self._later <= 0:
            return None
        old, new = self.before.tallies.get(container), self.after.tallies.get(container)
        if old is None or new is None:
            return None
        user = system = 0
        for identity, (utime, stime) in new.ticks.items():
            utime_before, stime_before = old.ticks.get(identity, (0, 0))
            if identity in old.ticks or identity[1] > _ticks_at(self.before):
                user += max(0, utime - utime_before)
                system += max(0, stime - stime_before)
        unit = CLOCK_TICKS * self._later
        return user / unit, system / unit

    def traffic(self, netns: int | None) -> tuple[float | None, float | None]:
        """Return bytes received and sent a second by a network namespace, loopback left out."""
        if self.before is None or netns is None:
            return None, None
        before, after = self.before.interfaces.get(netns), self.after.interfaces.get(netns)
        if before is None or after is None:
            return None, None
        old = {one.name: one for one in before if one.name != "lo"}
        pairs = [(old[one.name], one) for one in after if one.name in old]
        received = [grown(a.receive_bytes, b.receive_bytes) for a, b in pairs]
        sent = [grown(a.transmit_bytes, b.transmit_bytes) for a, b in pairs]
        return self.over_time(_sum(received)), self.over_time(_sum(sent))


@remembered(128)
def _taker(names: tuple[str, ...]) -> Callable[[object], tuple[Any, ...]]:
    """Return what takes these counters out of a reading."""
    take = attrgetter(*names)
    return take if len(names) > 1 else lambda reading: (take(reading),)


def _ticks_at(observation: Observation) -> float:
    return observation.system.uptime_seconds * CLOCK_TICKS


def _sum(values: list[int | None]) -> int | None:
    return None if None in values else sum(filter(None, values))


def grown(before: int | None, after: int | None) -> int | None:
    """Return the growth of a counter, or None where a side is missing or it fell (it is another counter then)."""
    return None if before is None or after is None or after < before else after - before
