"""Effective limits: the least along a cgroup and its ancestors, and which one sets it. Pure.

Inside a cgroup namespace the ancestors above its root cannot be seen:
`hidden_ancestors` says so, and nothing here then means "unlimited".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from inspector.errors import ParseError
from inspector.kernel.cgroups import Hierarchy, ancestors
from inspector.kernel.controllers import Cpu, Cpuset, Memory, Pids, Reading
from inspector.kernel.named import NamedTuple
from inspector.kernel.remembered import remembered
from inspector.kernel.system import parse_cpu_list

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "NEARLY", "Above", "Full", "Limit", "Lines", "effective", "fill", "fullest", "guarantee", "limited_above",
    "limits_of", "quota_cores", "swap_limit",
]  # fmt: skip

Readings = Mapping[tuple[str, str], Reading]

NEARLY = 0.9
"""Share of a limit from which on somebody should know: of memory what cannot be reclaimed, of tasks all."""


class Limit(NamedTuple):
    """A limit and its origin. `value` None: no visible cgroup limits it; `set_by` None with a value: one we can't see.

    `chain` holds every visible cgroup, the innermost first, with its own value.
    """

    value: float | None
    set_by: str | None
    chain: tuple[tuple[str, float | None], ...]
    hidden_ancestors: bool = False


class Full(NamedTuple):
    """A cgroup that has used nearly all that it may have, with all that is below it."""

    path: str
    used: int
    limit: int


class Above(NamedTuple):
    """Of the cgroups above a container's own, the one that is fullest; None where none nearly is."""

    memory: Full | None = None
    pids: Full | None = None


Lines = dict[str, dict[str, Limit]]  # by resource and cgroup: what was worked out, for cgroups that have one above


def effective(values: Iterable[tuple[str, float | None]], *, hidden: bool = False) -> Limit:
    """Return the least value and its cgroup; of two equal ones the innermost, as it is the one to change."""
    chain = tuple(values)
    least, setter = None, None
    for path, value in chain:
        if value is not None and (least is None or value < least):
            least, setter = value, path
    return Limit(least, setter, chain, hidden)


def quota_cores(cpu: Cpu) -> float | None:
    """Return a quota in cores, or None without one."""
    return cpu.quota_us / cpu.period_us if cpu.quota_us is not None and cpu.period_us else None


@remembered(256)  # many cgroups have the same CPUs
def _count(cpus: str | None) -> float | None:
    try:
        return float(len(parse_cpu_list(cpus))) if cpus else None
    except ParseError:
        return None


# Any: of the resource's own kind.
VALUES: Mapping[str, tuple[type[Reading], Callable[[Any], float | None]]] = {
    "cpu": (Cpu, quota_cores),
    "cpuset": (Cpuset, lambda reading: _count(reading.cpus)),
    "memory": (Memory, lambda reading: reading.limit_bytes),
    "pids": (Pids, lambda reading: reading.limit),
}


def _line(readings: Readings, resource: str, line: tuple[str, ...], lines: Lines, *, hidden: bool) -> Limit:
    """Return effective() of a cgroup and its ancestors; what is above many of them is worked out once."""
    kind, value_of = VALUES[resource]
    known = lines.setdefault(resource, {})
    found = NOWHERE if hidden else NO_LIMIT
    left = []
    for place in line:
        if place in known:
            found = known[place]
            break
        left.append(place)
    for place in reversed(left):
        reading = readings.get((resource, place))
        if isinstance(reading, kind):
            value = value_of(reading)
            least, setter, chain, _ = found
            if value is not None and (least is None or value <= least):
                least, setter = value, place
            found = Limit(least, setter, ((place, value), *chain), hidden)
        known[place] = found
    return found


NO_LIMIT = Limit(None, None, ())
NOWHERE = Limit(None, None, (), hidden_ancestors=True)


def _cpuset_limit(sets: Limit, cpus: int) -> Limit:
    """Return how many CPUs the cpuset leaves, where that is fewer than the machine has.

    The kernel has already cut each group's set down to its ancestors', hidden ones included, so the
    innermost value is the effective one; the outermost group with it set it.
    """
    counts = sets.chain
    value = counts[0][1] if counts else None
    if value is None or value >= cpus:
        return Limit(None, None, counts, sets.hidden_ancestors and value is None)
    setter = counts[0][0]
    for path, count in counts:
        if count != value:
            break
        setter = path
    return Limit(value, setter, counts)


def _memory_limit(limit: Limit, readings: Readings, version: int) -> Limit:
    """Return the limit of memory: v1 tells the least of all ancestors, also of those that we cannot see."""
    first = readings.get(("memory", limit.chain[0][0])) if limit.chain else None
    if not isinstance(first, Memory):
        return limit
    above = first.hierarchical_limit_bytes
    if above is not None and (limit.value is None or above < limit.value):
        return Limit(above, None, limit.chain, limit.hidden_ancestors)
    # It was read where the anonymous memory was: memory.stat has both.
    told = version == 1 and first.anon_bytes is not None
    return Limit(limit.value, limit.set_by, limit.chain) if told and limit.hidden_ancestors else limit


def limits_of(
    readings: Readings,
    cgroups: Mapping[str, str],
    located: Mapping[str, tuple[Hierarchy, int]],
    true_roots: frozenset[int],
    cpus: int,
    lines: Lines | None = None,
    *,
    whole: bool = False,
) -> dict[str, Limit]:
    """Return the effective limits ("cpu" in cores, "memory" in bytes, "pids", "cpuset" in CPUs) of one container.

    `lines`, empty at first, is for who asks about many containers of the same readings. `whole`: no cgroup is hidden,
    so that what no hierarchy carries (a kernel started with cgroup_disable=memory) limits nobody.
    """
    lines = {} if lines is None else lines
    found: dict[str, Limit] = {}
    for resource in VALUES:
        path, place = cgroups.get(resource), located.get(resource)
        if path is None or place is None:
            found[resource] = NO_LIMIT if whole and place is None else NOWHERE
            continue
        hierarchy, index = place
        line = ancestors(path) if hierarchy.root == "/" else ancestors(path, hierarchy.root)
        limit = _line(readings, resource, line, lines, hidden=index not in true_roots)
        if resource == "memory":
            limit = _memory_limit(limit, readings, hierarchy.version)
        found[resource] = _cpuset_limit(limit, cpus) if resource == "cpuset" else limit
    quota, cpuset = found["cpu"], found["cpuset"]
    # The tighter of quota and cpuset, with the quota's chain.
    if cpuset.value is not None and (quota.value is None or cpuset.value < quota.value):
        found["cpu"] = Limit(cpuset.value, cpuset.set_by, quota.chain, quota.hidden_ancestors)
    return found


def fill(reading: Reading | None) -> tuple[int, int] | None:
    """Return what a cgroup has used of its limit of memory or tasks, and the limit, where that is nearly all.

    Below that nobody need know how much it is.
    """
    if isinstance(reading, Memory):
        used, limit = reading.unreclaimable_bytes, reading.limit_bytes
    elif isinstance(reading, Pids):
        used, limit = reading.current, reading.limit
    else:
        return None
    return (used, limit) if limit and used is not None and used >= NEARLY * limit else None


def limited_above(limit: Limit, own: str | None) -> list[str]:
    """List the cgroups that have a limit of their own and are not one's own: those above it."""
    return [path for path, value in limit.chain if value and path != own]


def fullest(resource: str, paths: Iterable[str], readings: Readings) -> Full | None:
    """Return which of these cgroups has used most of its limit, where that is nearly all of it."""
    found = (Full(path, *full) for path in paths if (full := fill(readings.get((resource, path)))))
    return max(found, key=lambda full: full.used / full.limit, default=None)


def guarantee(values: Iterable[tuple[str, float | None]], *, hidden: bool = False) -> Limit:
    """Return how much of memory.low or memory.min counts: no more than every ancestor protects.

    A guarantee, not a limit: None or 0 protects nothing. What a sibling claims
    of the ancestor's protection takes more of it away, which cannot be told here.
    """
    # "max" protects everything.
    chain = tuple((path, float("inf") if value is None else value) for path, value in values)
    least = effective(chain)
    value = None if least.value == float("inf") else least.value
    shown = tuple((path, None if one == float("inf") else one) for path, one in chain)
    return Limit(value, least.set_by, shown, hidden)


def swap_limit(chain: Iterable[tuple[str, Mapping[str, float | None]]], *, hidden: bool = False) -> Limit:
    """Return the limit of swap: v2's own one ("swap"), or v1's of memory and swap together less the one of memory.

    v1 without a limit of memory counts swap within the one sum: all of it may be swap.
    """
    def own(values: Mapping[str, float | None]) -> float | None:
        if values.get("memory_and_swap") is not None:
            return max(0.0, (values["memory_and_swap"] or 0) - (values.get("limit") or 0))
        return values.get("swap")

    return effective(((path, own(values)) for path, values in chain), hidden=hidden)
