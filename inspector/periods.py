"""Long periods of CPU quotas: what is known while, between two looks, none has ended. Pure.

Throttling is told by the periods in which a quota stopped a cgroup, of those that ended (`nr_throttled` of
`nr_periods` in cpu.stat, sched-bwc.rst). A period is a second at most (max_cfs_quota_period in kernel/sched/core.c),
and who looks as often as that sees some intervals in which none has ended, of a cgroup that runs and stops without a
pause. So what the last one with an end told holds on, until two periods have passed (one, and as much for a timer that
is late): then nothing runs there, as the kernel counts none for a cgroup that is idle.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from inspector.kernel.controllers import Cpu, Reading
from inspector.kernel.named import NamedTuple
from inspector.model import Key
from inspector.rates import grown

__all__ = ["Periods"]

LONGEST_SECONDS = 1.0


class Look(NamedTuple):
    """The figures of one tick, and when they were read."""

    monotonic: float
    readings: Mapping[Key, Reading]
    inodes: Mapping[Key, int]


class Periods:
    """Remembers from tick to tick when a period last ended. Not thread safe."""

    def __init__(self) -> None:
        self._last: Look | None = None
        self._ended: dict[Key, tuple[float, float]] = {}  # when, and the share of periods throttled then
        self._wanted: Iterable[Key] | None = None
        self._keys: list[Key] = []

    def look(
        self, wanted: Iterable[Key], monotonic: float, readings: Mapping[Key, Reading], inodes: Mapping[Key, int]
    ) -> Mapping[str, float]:
        """Return, by path, the share of periods throttled of cgroups in which none has ended since the last look.

        That of the look at which the last one had ended, where it was throttled, and where one may still be running.
        """
        last, self._last = self._last, Look(monotonic, readings, inodes)
        before, self._ended = self._ended, {}
        seconds = 2 * LONGEST_SECONDS if last is None else monotonic - last.monotonic
        if last is None or seconds >= 2 * LONGEST_SECONDS:
            return {}
        if wanted is not self._wanted:
            self._wanted, self._keys = wanted, [key for key in wanted if key[0] == "cpu"]
        found: dict[str, float] = {}
        for key in self._keys:
            now = readings.get(key)
            period = now.period_us * 1e-6 if isinstance(now, Cpu) and now.quota_us and now.period_us else 0.0
            if 2 * period <= seconds:  # of most: one has ended, or the cgroup is idle
                continue
            then = last.readings.get(key)
            if not isinstance(now, Cpu) or not isinstance(then, Cpu) or last.inodes.get(key) != inodes.get(key):
                continue
            ended = before.get(key)
            if now.periods != then.periods:
                ended = monotonic, _share(then, now)
            elif ended is not None and monotonic - ended[0] < 2 * period:
                found[key[1]] = ended[1]
            else:
                continue
            if ended[1]:
                self._ended[key] = ended
        return found


def _share(then: Cpu, now: Cpu) -> float:
    """Return how many of the periods that ended in between were throttled."""
    periods = grown(then.periods, now.periods)
    throttled = grown(then.throttled_periods, now.throttled_periods)
    return min(1.0, (throttled or 0) / periods) if periods else 0.0
