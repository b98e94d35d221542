"""Findings as states: a series of value 1 for as long as it is so (inspector.findings)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

from exporter.sight import Sight
from exporter.subjects import Subject
from exporter.table import Collector, Group, Row
from exporter.text import pairs
from inspector.findings import findings
from inspector.kernel.cgroups import ancestors
from inspector.kernel.controllers import Cpu, Memory, Pids
from inspector.model import Container, Key
from inspector.rates import Interval
from inspector.schema import Container as Document

__all__ = ["FINDINGS", "evidence"]

Found = tuple[tuple[str, str], ...]  # codes with their severities
LEAST_SECONDS, MOST_SECONDS = 0.5, 300.0  # between two looks for a share of periods to mean anything


def _judge(sight: Sight) -> Any:  # noqa: ANN401
    """Judge every container, its throttling since the last scrape."""
    after, before = sight.observation, sight.before
    if before is None or not LEAST_SECONDS <= after.monotonic - before.monotonic <= MOST_SECONDS:
        before = None
    interval, ratios = Interval(before, after), dict[str, float | None]()
    limits = sight.of("limits")
    found: dict[str, Found] = {}
    for subject in sight.subjects:
        if subject.container is None:
            continue
        made = evidence(interval, subject, limits.get(subject.labels), ratios)
        what = findings(made, after.own.namespaces, after.hollow.get(subject.container.id))
        found[subject.labels] = tuple((one["code"], one["severity"]) for one in what)
    return found


def evidence(interval: Interval, subject: Subject, limited: Any, ratios: dict[str, float | None]) -> Document:  # noqa: ANN401
    """Return that part of a container's document which findings are drawn from; a test holds it against the whole."""
    one, after = subject.container, interval.after
    assert one is not None  # noqa: S101  for the type checker
    own, inherited, by = _throttling(interval, one, ratios) if interval.before else (None, None, None)

    def read(resource: str) -> Any:  # noqa: ANN401
        key = subject.keys.get(resource)
        return after.readings.get(key) if key else None

    cpu, memory, pids = read("cpu") or Cpu(), read("memory") or Memory(), read("pids") or Pids()
    tally = after.tallies.get(one.id)
    found = {
        "kind": one.kind,
        "namespaces": one.leader.namespaces if one.leader else {},
        "cpu": {
            "throttled_by": by,
            "throttled_ratio": own,
            "inherited_throttled_ratio": inherited,
            "quota_us": cpu.quota_us,
            "period_us": cpu.period_us,
        },
        "memory": {
            "limit_bytes": limited.memory.value if limited else None,
            "unreclaimable_bytes": memory.unreclaimable_bytes,
            "oom_kills": memory.oom_kills,
        },
        "pids": {
            "current": pids.current if pids.current is not None or tally is None else tally.threads,
            "limit": limited.pids.value if limited else None,
        },
        "network": {"shared_with_host": _shares_network(interval, one)},
    }
    return cast("Document", found)


def _shares_network(interval: Interval, one: Container) -> bool | None:
    own = interval.after.own
    inode = one.leader.namespaces.get("net") if one.leader else None
    return None if inode is None or own.inside_container else inode == own.namespaces.get("net")


def _throttling(
    interval: Interval, one: Container, ratios: dict[str, float | None]
) -> tuple[float | None, float | None, str | None]:
    """Return the share of periods throttled by the own quota, by the worst ancestor's, and who throttles most."""
    path = one.cgroups.get("cpu")
    if path is None:
        return None, None, None
    found: dict[str, float] = {}
    for above in ancestors(path):
        if above not in ratios:
            ratios[above] = _ratio(interval, ("cpu", above))
        if (ratio := ratios[above]) is not None:
            found[above] = ratio
    own = found.get(path) if "cpu" in one.owned else None
    inherited = max((ratio for above, ratio in found.items() if own is None or above != path), default=None)
    worst = max(found, key=lambda above: found[above], default=None)
    return own, inherited, worst if worst is not None and found[worst] > 0 else None


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
