"""Findings as states: a series of value 1 for as long as it is so (inspector.findings)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple, cast

from exporter.sight import Sight
from exporter.subjects import Subject
from exporter.table import Collector, Group, Row
from exporter.text import pairs
from inspector.findings import findings
from inspector.kernel.cgroups import ancestors
from inspector.kernel.controllers import Cpu, Memory, Pids
from inspector.model import Container, Key, Own
from inspector.rates import Interval
from inspector.schema import Container as Document

__all__ = ["FINDINGS", "evidence", "rests_on"]

Found = tuple[tuple[str, str], ...]  # codes with their severities
# Of a cgroup, the share of periods throttled by its own quota, by the worst of those above, by the worst of all; whose.
Throttling = tuple[float | None, float | None, float | None, str | None]
NOBODY: Throttling = (None, None, None, None)
NO_CPU, NO_MEMORY, NO_PIDS = Cpu(), Memory(), Pids()
LEAST_SECONDS, MOST_SECONDS = 0.5, 300.0  # between two looks for a share of periods to mean anything


class Basis(NamedTuple):
    """All that the findings of one container rest on: while it is the same, so are they."""

    one: Container
    cpu: Cpu
    memory: Memory
    pids: Pids
    tasks: int | None
    limited: Any
    throttled: tuple[float | None, float | None, str | None]  # see _throttling
    hollow: str | None


def _judge(sight: Sight) -> Any:  # noqa: ANN401
    """Judge every container, its throttling since the last scrape."""
    after, before = sight.observation, sight.before
    if before is None or not LEAST_SECONDS <= after.monotonic - before.monotonic <= MOST_SECONDS:
        before = None
    interval, throttling = Interval(before, after), dict[str, Throttling]()
    limits, own = sight.of("limits"), after.own
    known: dict[str, tuple[Own, Basis, Found]] = sight.memory("findings", dict)
    judged = {}
    for subject in sight.subjects:
        if subject.container is None:
            continue
        labels = subject.labels
        basis = rests_on(interval, subject, limits.get(labels), throttling)
        earlier = known.get(labels)
        if earlier is None or earlier[0] is not own or earlier[1] != basis:
            what = findings(evidence(basis, own), own.namespaces, basis.hollow)
            earlier = own, basis, tuple((one["code"], one["severity"]) for one in what)
        judged[labels] = earlier
    sight.kept["findings"] = judged
    return {labels: found for labels, (_, _, found) in judged.items()}


def rests_on(interval: Interval, subject: Subject, limited: Any, known: dict[str, Throttling]) -> Basis:  # noqa: ANN401
    """Return what a container's findings rest on; `known` remembers how cgroups are throttled."""
    one, after, keys, readings = subject.container, interval.after, subject.keys, interval.after.readings
    assert one is not None  # noqa: S101  for the type checker

    def read(resource: str) -> Any:  # noqa: ANN401
        key = keys.get(resource)
        return readings.get(key) if key else None

    cpu, memory, pids = read("cpu") or NO_CPU, read("memory") or NO_MEMORY, read("pids") or NO_PIDS
    tally = after.tallies.get(one.id)
    tasks = pids.current if pids.current is not None or tally is None else tally.threads
    throttled = _throttling(interval, one, known) if interval.before else (None, None, None)
    return Basis(one, cpu, memory, pids, tasks, limited, throttled, after.hollow.get(one.id))


def evidence(basis: Basis, own: Own) -> Document:
    """Return that part of a container's document which findings are drawn from; a test holds it against the whole."""
    one, limited = basis.one, basis.limited
    own_ratio, inherited, by = basis.throttled
    found = {
        "kind": one.kind,
        "namespaces": one.leader.namespaces if one.leader else {},
        "cpu": {
            "throttled_by": by,
            "throttled_ratio": own_ratio,
            "inherited_throttled_ratio": inherited,
            "quota_us": basis.cpu.quota_us,
            "period_us": basis.cpu.period_us,
        },
        "memory": {
            "limit_bytes": limited.memory.value if limited else None,
            "unreclaimable_bytes": basis.memory.unreclaimable_bytes,
            "oom_kills": basis.memory.oom_kills,
        },
        "pids": {
            "current": basis.tasks,
            "limit": limited.pids.value if limited else None,
        },
        "network": {"shared_with_host": _shares_network(own, one)},
    }
    return cast("Document", found)


def _shares_network(own: Own, one: Container) -> bool | None:
    inode = one.leader.namespaces.get("net") if one.leader else None
    return None if inode is None or own.inside_container else inode == own.namespaces.get("net")


def _throttling(
    interval: Interval, one: Container, known: dict[str, Throttling]
) -> tuple[float | None, float | None, str | None]:
    """Return the share of periods throttled by the own quota, by the worst ancestor's, and who throttles most."""
    path = one.cgroups.get("cpu")
    if path is None:
        return None, None, None
    own, above, worst, by = _of_cgroup(interval, path, known)
    by = by if worst else None
    return (own, above, by) if "cpu" in one.owned else (None, worst, by)


def _of_cgroup(interval: Interval, path: str, known: dict[str, Throttling]) -> Throttling:
    found = known.get(path)
    if found is None:
        parent = next(islice(ancestors(path), 1, None), None)
        _, _, above, by = _of_cgroup(interval, parent, known) if parent is not None else NOBODY
        own = _ratio(interval, ("cpu", path))
        mine = own is not None and (above is None or own >= above)
        found = known[path] = (own, above, own, path) if mine else (own, above, above, by)
    return found


def _ratio(interval: Interval, key: Key) -> float | None:
    """Return the share of periods in which a quota throttled since the last look; None without a quota."""
    cpu = interval.after.readings.get(key)
    if not isinstance(cpu, Cpu) or cpu.quota_us is None:
        return None
    if interval.before is not None and interval.before.readings.get(key) is cpu:  # not a period more
        return 0.0
    return interval.ratio("throttled_periods", "periods", *key)


def _source(sight: Sight) -> Callable[[Subject], Any]:
    return lambda subject: sight.of("findings").get(subject.labels) or None


def _each(found: Found) -> Iterator[tuple[str, int]]:
    for code, severity in dict(found).items():
        yield "," + pairs({"code": code, "severity": severity}), 1


FINDINGS = Collector(
    "findings",
    "what is wrong or risky, as a state",
    (
        Group(
            (Row("container_finding", "gauge", "1 while it is so: what a person should know.", lambda one: one),),
            _source,
            _each,
        ),
    ),
    prepare=_judge,
)
