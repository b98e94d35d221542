"""Findings as states: a series of value 1 for as long as it is so (inspector.findings)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple, cast

from exporter.sight import Sight
from exporter.subjects import Roll, Subject
from exporter.table import Collector, Group, Row
from exporter.text import pairs
from inspector.findings import ALONE, findings, may_be_short_of_cpus
from inspector.kernel.cgroups import ancestors
from inspector.kernel.controllers import Cpu, Memory, Pids, Pressure
from inspector.limits import Above, fullest, limited_above
from inspector.model import Container, Key, Own, Tally
from inspector.rates import Interval
from inspector.schema import Container as Document

__all__ = ["FINDINGS", "Basis", "bases", "evidence"]

Found = tuple[tuple[str, str], ...]  # codes with their severities
# Of a cgroup, the share of periods throttled by its own quota, by the worst of those above, by the worst of all; whose.
Throttling = tuple[float | None, float | None, float | None, str | None]
# Of a container: by its own quota, by the worst of those above, and whose throttles most.
Throttled = tuple[float | None, float | None, str | None]
NOBODY: Throttling = (None, None, None, None)
UNKNOWN: Throttled = (None, None, None)
NO_CPU, NO_MEMORY, NO_PIDS, NO_STALLS = Cpu(), Memory(), Pids(), Pressure().averages
LEAST_SECONDS, MOST_SECONDS = 0.5, 300.0  # between two looks for a share of periods to mean anything


class Basis(NamedTuple):
    """All that the findings of one container rest on, beside what it is: while it is the same, so are they."""

    cpu: Cpu | None
    memory: Memory | None
    pids: Pids | None
    stalls: tuple[float | None, ...]
    tally: Tally | None
    limited: Any
    throttled: Throttled
    is_timed: bool
    below: float
    hollow: str | None
    above: Above = ALONE


def _judge(sight: Sight) -> Any:  # noqa: ANN401
    """Judge every container, its throttling since the last scrape."""
    after, before = sight.observation, sight.before
    if before is None or not LEAST_SECONDS <= after.monotonic - before.monotonic <= MOST_SECONDS:
        before = None
    roll, own = sight.subjects, after.own
    found: list[tuple[Any, Found | None]] = roll.once("findings", own, lambda: [(None, None)] * len(roll))
    for place, basis in enumerate(bases(Interval(before, after), roll, sight.of("limits"))):
        one = roll[place].container
        if one is not None and basis != found[place][0]:
            known = Basis._make(basis)
            what = findings(evidence(one, known, own), own.namespaces, known.hollow, known.below, known.above)
            found[place] = basis, tuple((each["code"], each["severity"]) for each in what) or None
    return [one for _, one in found]


def bases(interval: Interval, roll: Roll, limits: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    """Yield what the findings of each rest on, in the order of Basis."""
    after = interval.after
    readings = (roll.read(after.readings, name) for name in ("cpu", "memory", "pids"))
    pressure = roll.read(after.readings, "pressure")
    stalls = [one.averages if isinstance(one, Pressure) else NO_STALLS for one in pressure]
    paths = (one.container.cgroups.get("cpu") if one.container else None for one in roll)
    below = [interval.stopped_below(path) if may_be_short_of_cpus(*averages[:2]) else 0.0
             for path, averages in zip(paths, stalls, strict=True)]  # fmt: skip
    timed = [interval.seconds is not None] * len(roll)
    tallies, hollow = map(after.tallies.get, roll.ids), map(after.hollow.get, roll.ids)
    throttled, above = _throttled(interval, roll), _above(interval, roll, limits)
    return zip(*readings, stalls, tallies, limits, throttled, timed, below, hollow, above, strict=True)


def _above(interval: Interval, roll: Roll, limits: Sequence[Any]) -> Iterator[Above]:
    """Yield for each who above it has nearly used what it may."""
    readings = interval.after.readings
    places = roll.once("limits above", limits, lambda: [*map(_places_above, roll, limits)])
    return (Above(*(fullest(*place, readings) for place in one)) if one else ALONE for one in places)


def _places_above(subject: Subject, limited: Any) -> list[tuple[str, list[str]]]:  # noqa: ANN401
    """List for memory and tasks the cgroups above one that have a limit of it; nothing where none has."""
    if limited is None:
        return []
    own = {name: subject.paths.get(name) if name in subject.owned else None for name in Above._fields}
    found = [(name, limited_above(getattr(limited, name), path)) for name, path in own.items()]
    return found if any(paths for _, paths in found) else []


def evidence(one: Container, basis: Basis, own: Own) -> Document:
    """Return that part of a container's document which findings are drawn from; a test holds it against the whole."""
    cpu, memory, pids = basis.cpu or NO_CPU, basis.memory or NO_MEMORY, basis.pids or NO_PIDS
    limited, tally = basis.limited, basis.tally
    own_ratio, inherited, by = basis.throttled
    cpu_late, cpu_lately, memory_late, memory_lately, io_late, io_lately = basis.stalls
    found = {
        "kind": one.kind,
        "namespaces": one.leader.namespaces if one.leader else {},
        "cpu": {
            "usage_cores": 0.0 if basis.is_timed else None,  # how much is no matter here
            "throttled_by": by,
            "throttled_ratio": own_ratio,
            "inherited_throttled_ratio": inherited,
            "quota_us": cpu.quota_us,
            "period_us": cpu.period_us,
            "pressure_full_avg10": cpu_late,
            "pressure_full_avg60": cpu_lately,
        },
        "memory": {
            "limit_bytes": limited.memory.value if limited else None,
            "unreclaimable_bytes": memory.unreclaimable_bytes,
            "oom_kills": memory.oom_kills,
            "pressure_full_avg10": memory_late,
            "pressure_full_avg60": memory_lately,
        },
        "io": {"pressure_full_avg10": io_late, "pressure_full_avg60": io_lately},
        "pids": {
            "current": tally.threads if pids.current is None and tally else pids.current,
            "limit": limited.pids.value if limited else None,
        },
        "network": {"shared_with_host": _shares_network(own, one)},
    }
    return cast("Document", found)


def _shares_network(own: Own, one: Container) -> bool | None:
    inode = one.leader.namespaces.get("net") if one.leader else None
    return None if inode is None or own.inside_container else inode == own.namespaces.get("net")


def _throttled(interval: Interval, roll: Roll) -> list[Throttled]:
    """Return how each is throttled; worked out again only when a cgroup's counters have moved, or are others."""
    before, after = interval.before, interval.after
    if before is None:
        return [UNKNOWN] * len(roll)
    keys = roll.once("quotas", None, lambda: _quotas(roll))
    sides = before.readings, after.readings, before.inodes, after.inodes
    basis = [after.unended, *([*map(side.get, keys)] for side in sides)]
    known: dict[str, Throttling] = {}
    return roll.each("throttled", basis, lambda subject: _throttling(interval, subject, known))


def _quotas(roll: Roll) -> list[Key]:
    """List where the quotas of the containers and of all above them are."""
    paths = dict.fromkeys(one.container.cgroups.get("cpu") for one in roll if one.container)
    return [*dict.fromkeys(("cpu", above) for path in paths if path is not None for above in ancestors(path))]


def _throttling(interval: Interval, subject: Subject, known: dict[str, Throttling]) -> Throttled:
    """Return the share of periods throttled by the own quota, by the worst ancestor's, and who throttles most."""
    path = subject.container.cgroups.get("cpu") if subject.container else None
    if path is None:
        return UNKNOWN
    own, above, worst, by = _of_cgroup(interval, path, known)
    by = by if worst else None
    return (own, above, by) if "cpu" in subject.owned else (None, worst, by)


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
        return interval.after.unended.get(key[1], 0.0)
    return interval.throttled(key[1])


def _source(sight: Sight) -> Sequence[Any]:
    found: Sequence[Any] = sight.of("findings")
    return found


def _each(found: Found) -> Iterator[tuple[str, int]]:
    for code, severity in dict(found).items():
        yield "," + pairs({"code": code, "severity": severity}), 1


FINDINGS = Collector(
    "findings",
    "what is wrong or risky, as a state",
    (
        Group(
            (Row("container_finding", "gauge", "1 while it is so: what a person should know."),),
            _source,
            _each,
        ),
    ),
    prepare=_judge,
)
