"""How long the threads of containers ran and waited for a CPU: the scheduler's own figures of each thread, on request.

The kernel keeps them by thread and forgets them with it, so what a thread had at
the last scrape it was seen at goes on being counted: sums do not fall.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from exporter.families.readings import at, part, prepared
from exporter.sight import Sight
from exporter.table import Collector, Group, Row
from inspector.kernel.schedstat import Schedstat, read_thread_schedstats

__all__ = ["SCHED", "Counted"]

Thread = tuple[int, int]  # PID and TID


@dataclass(slots=True)
class Counted:
    """The threads of one container: those that are there, and the sum over those that were."""

    alive: Mapping[Thread, Schedstat] = field(default_factory=dict)
    gone: Schedstat = field(default_factory=Schedstat)

    def update(self, now: Mapping[Thread, Schedstat]) -> Schedstat:
        """Take the threads that are there now; returns the sum over all that were ever seen."""
        # One that has run for less than before is another one of the same number.
        ended = [old for one, old in self.alive.items() if one not in now or now[one].run_ns < old.run_ns]
        self.gone = _sum([self.gone, *ended])
        self.alive = now
        return _sum([self.gone, *now.values()])


def _sum(each: list[Schedstat]) -> Schedstat:
    return Schedstat(*map(sum, zip(*each, strict=True)))


def _prepare(sight: Sight) -> Any:  # noqa: ANN401
    known: dict[str, Counted] = sight.memory("sched", dict)
    found = {}
    for subject in sight.subjects:
        one = subject.container
        if one is not None and one.kind == "container":
            found[subject.labels] = known.setdefault(subject.labels, Counted()).update(_threads(sight, one.members))
    for gone in known.keys() - found.keys():
        del known[gone]
    return found


def _threads(sight: Sight, members: tuple[int, ...]) -> dict[Thread, Schedstat]:
    threads: dict[Thread, Schedstat] = {}
    for pid in members:
        try:
            threads |= {(pid, tid): one for tid, one in read_thread_schedstats(sight.host, pid).items()}
        except OSError:  # it has ended, or is hidden
            continue
    return threads


SCHED = Collector(
    "sched",
    "how long threads ran and waited for a CPU (reads each thread's schedstat)",
    (
        Group(
            (
                Row("container_cpu_schedstat_run_seconds_total", "counter", "Time that threads were on a CPU.",
                    part("run_ns", 1e9)),
                Row("container_cpu_schedstat_runqueue_seconds_total", "counter", "Time that threads waited for a CPU.",
                    part("wait_ns", 1e9)),
                Row("container_cpu_schedstat_run_periods_total", "counter", "Times that a thread was given a CPU.",
                    at("timeslices")),
            ),
            prepared("sched"),
        ),
    ),
    default=False,
    prepare=_prepare,
)  # fmt: skip
