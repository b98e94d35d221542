"""Effective limits, along the ancestors, and who sets them; and throttling that an ancestor's quota causes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, compress
from operator import attrgetter, is_not
from typing import Any, NamedTuple

from exporter.families.readings import at, millionth
from exporter.sight import Sight
from exporter.subjects import Roll, Subject
from exporter.table import Collector, Group, Row
from exporter.text import pairs
from inspector.kernel.cgroups import ancestors
from inspector.kernel.controllers import Cpu, Reading
from inspector.limits import Limit, limits_of
from inspector.model import Key

__all__ = ["LIMITS"]

Chain = tuple[object, ...]


class _Limited(NamedTuple):
    """The effective limits of one container."""

    cpu: Limit
    memory: Limit
    pids: Limit


class _Chains:
    """What limits each container's cgroups and those above: while it is the same, so is the effective limit."""

    def __init__(self) -> None:
        self.subjects: Roll | None = None
        self.readings: Mapping[Key, Reading] = {}
        self.known: dict[str, tuple[Chain, _Limited]] = {}
        self.found: list[_Limited | None] = []


# What a cgroup itself sets of each resource.
OWN: dict[str, Callable[[Any], object]] = {
    "cpu": attrgetter("quota_us", "period_us"),
    "cpuset": attrgetter("cpus"),
    "memory": attrgetter("limit_bytes", "hierarchical_limit_bytes"),
    "pids": attrgetter("limit"),
}


def _changed(before: Mapping[Key, Reading], after: Mapping[Key, Reading]) -> bool:
    """Tell whether any cgroup sets something else than before. What says the same is the same object, mostly."""
    if len(before) != len(after):
        return True
    moved = map(is_not, before.values(), after.values())
    return any(
        key != old or (key[0] in OWN and OWN[key[0]](one) != OWN[key[0]](earlier))
        for (old, earlier), (key, one) in compress(zip(before.items(), after.items(), strict=True), moved)
    )


def _chains_of(readings: Mapping[Key, Reading]) -> Callable[[str, str], Chain]:
    """Return the function that tells what a cgroup and those above it set; those above are asked once."""
    known: dict[Key, Chain] = {}

    def chain(resource: str, path: str) -> Chain:
        key = resource, path
        found = known.get(key)
        if found is None:
            reading = readings.get(key)
            above = chain(resource, path.rpartition("/")[0] or "/") if path not in ("/", "") else ()
            found = known[key] = (OWN[resource](reading) if reading else None, above)
        return found

    return chain


def _effective(sight: Sight) -> Any:  # noqa: ANN401
    """Work the limits out anew where anything that they rest on has changed."""
    observation, chains = sight.observation, sight.memory("limits", _Chains)
    if sight.subjects is chains.subjects and not _changed(chains.readings, observation.readings):
        return chains.found
    above = _chains_of(observation.readings)
    known: dict[str, tuple[Chain, _Limited]] = {}
    for subject in sight.subjects:
        one = subject.container
        if one is None:
            continue
        rests_on = (
            one.cgroups,
            [above(name, one.cgroups[name]) for name in OWN if name in one.cgroups],
        )
        before = chains.known.get(subject.labels)
        if before is None or before[0] != rests_on:
            found = limits_of(
                observation.readings, one.cgroups, observation.located, observation.own.true_roots, observation.system.cpus
            )
            before = rests_on, _Limited(found["cpu"], found["memory"], found["pids"])
        known[subject.labels] = before
    chains.subjects, chains.readings, chains.known = sight.subjects, observation.readings, known
    chains.found = [known[one.labels][1] if one.container else None for one in sight.subjects]
    return chains.found


def _source(sight: Sight) -> Sequence[Any]:
    limits: Sequence[Any] = sight.of("limits")
    return limits


def _set_by(resource: str) -> Callable[[_Limited], Iterator[tuple[str, int]]]:
    get = at(f"{resource}.set_by")

    def parts(limited: _Limited) -> Iterator[tuple[str, int]]:
        path = get(limited)
        if path is not None:
            yield "," + pairs({"set_by": path}), 1

    return parts


def _info(metric: str, resource: str, what: str) -> Group:
    return Group((Row(metric, "info", f"The cgroup that sets {what}."),), _source, _set_by(resource))


def _quotas_above(sight: Sight) -> Sequence[Any]:
    """Find the ancestors with a quota: each stops all that is below it, whose own counters stay as they are."""
    readings, roll = sight.observation.readings, sight.subjects
    chains = roll.each("those above", None, _above)
    paths = roll.once("all above", None, lambda: [*dict.fromkeys(chain.from_iterable(chains))])
    found = ((path, readings.get(("cpu", path))) for path in paths)
    quotas = {path: (path, cpu) for path, cpu in found if isinstance(cpu, Cpu) and cpu.quota_us is not None}

    def make() -> list[tuple[tuple[str, Cpu], ...] | None]:
        return [tuple(quotas[path] for path in paths if path in quotas) or None for paths in chains]

    return roll.once("quotas above", quotas, make)


def _above(subject: Subject) -> tuple[str, ...]:
    """Return the cgroups above a container, its own left out."""
    path = subject.container.cgroups.get("cpu") if subject.container else None
    if path is None or path == "/":
        return ()
    return tuple(above for above in ancestors(path) if above != path or "cpu" not in subject.owned)


def _ancestors(quotas: tuple[tuple[str, Cpu], ...]) -> Iterator[tuple[str, Cpu]]:
    for path, cpu in quotas:
        yield "," + pairs({"set_by": path}), cpu


LIMITS = Collector(
    "limits",
    "effective limits, who sets them, and throttling by an ancestor's quota",
    (
        Group(
            (
                Row("container_cpu_limit_cores", "gauge",
                    "Effective CPU limit: the least of quota and cpuset, own and ancestors'.", at("cpu.value")),
                Row("container_memory_limit_bytes", "gauge",
                    "Effective memory limit: the least of the own and the ancestors'.", at("memory.value")),
                Row("container_pids_limit", "gauge", "Effective limit of tasks.", at("pids.value")),
            ),
            _source,
        ),
        _info("container_cpu_limit_info", "cpu", "the effective CPU limit"),
        _info("container_memory_limit_info", "memory", "the effective memory limit"),
        # Not container_pids_limit_info: to OpenMetrics that is a family of the same name as container_pids_limit.
        _info("container_threads_limit_info", "pids", "the effective limit of tasks"),
        Group(
            (
                Row("container_cpu_inherited_periods_total", "counter",
                    "Quota periods of a cgroup above in which it ran.", at("periods")),
                Row("container_cpu_inherited_throttled_periods_total", "counter",
                    "Quota periods in which the quota of a cgroup above throttled it.", at("throttled_periods")),
                Row("container_cpu_inherited_throttled_seconds_total", "counter",
                    "Time a cgroup above was throttled, summed over CPUs.", millionth("throttled_us")),
            ),
            _quotas_above,
            _ancestors,
        ),
    ),
    prepare=_effective,
)  # fmt: skip
