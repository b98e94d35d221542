"""Effective limits: the least along a cgroup and its ancestors, and which one sets it. Pure.

Inside a cgroup namespace the ancestors above its root cannot be seen:
`hidden_ancestors` says so, and nothing here then means "unlimited".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import TypeVar

from inspector.errors import ParseError
from inspector.kernel.cgroups import Hierarchy, ancestors
from inspector.kernel.controllers import Cpu, Cpuset, Memory, Pids, Reading
from inspector.kernel.named import NamedTuple
from inspector.kernel.system import parse_cpu_list

__all__ = [
    "Limit",
    "chain_of",
    "cpu_limit",
    "cpuset_limit",
    "effective",
    "guarantee",
    "limits_of",
    "quota_cores",
    "swap_limit",
]

R = TypeVar("R", Cpu, Cpuset, Memory, Pids)
Readings = Mapping[tuple[str, str], Reading]


class Limit(NamedTuple):
    """A limit and its origin. `value` None: no visible cgroup limits it; `set_by` None with a value: one we can't see.

    `chain` holds every visible cgroup, the innermost first, with its own value.
    """

    value: float | None
    set_by: str | None
    chain: tuple[tuple[str, float | None], ...]
    hidden_ancestors: bool = False


def chain_of(
    readings: Readings, resource: str, kind: type[R], path: str, root: str = "/"
) -> tuple[tuple[str, R], ...]:
    """Return the readings of a resource along the ancestors, the innermost first."""
    found = [(above, readings.get((resource, above))) for above in ancestors(path, root)]
    return tuple([(above, reading) for above, reading in found if isinstance(reading, kind)])


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


@lru_cache(maxsize=256)  # many cgroups have the same CPUs
def _count(cpus: str | None) -> float | None:
    try:
        return float(len(parse_cpu_list(cpus))) if cpus else None
    except ParseError:
        return None


def cpuset_limit(chain: tuple[tuple[str, Cpuset], ...], cpus: int, *, hidden: bool = False) -> Limit:
    """Return how many CPUs the cpuset leaves, where that is fewer than the machine has.

    The kernel has already cut each group's set down to its ancestors', so the
    innermost value is the effective one; the outermost group with it set it.
    """
    counts = tuple([(path, _count(reading.cpus)) for path, reading in chain])
    if not counts or counts[0][1] is None or counts[0][1] >= cpus:
        return Limit(None, None, counts, hidden)
    value = counts[0][1]
    setter = counts[0][0]
    for path, count in counts:
        if count != value:
            break
        setter = path
    return Limit(value, setter, counts, hidden)


def cpu_limit(quota: Limit, cpuset: Limit) -> Limit:
    """Return the tighter of quota and cpuset, with the quota's chain."""
    if cpuset.value is not None and (quota.value is None or cpuset.value < quota.value):
        return Limit(cpuset.value, cpuset.set_by, quota.chain, quota.hidden_ancestors)
    return quota


def _memory_limit(chain: tuple[tuple[str, Memory], ...], *, hidden: bool, told: bool) -> Limit:
    """Return the limit of memory; `told`: v1 tells the least of all ancestors, also of those that we cannot see."""
    limit = effective([(path, reading.limit_bytes) for path, reading in chain], hidden=hidden and not told)
    above = chain[0][1].hierarchical_limit_bytes if chain else None
    if above is not None and (limit.value is None or above < limit.value):
        return Limit(above, None, limit.chain, hidden)
    return limit


def _tells_all(memory: tuple[tuple[str, Memory], ...], place: tuple[Hierarchy, int] | None) -> bool:
    """Tell whether hierarchical_memory_limit was read: v1's memory.stat has it, beside the anonymous memory."""
    return place is not None and place[0].version == 1 and bool(memory) and memory[0][1].anon_bytes is not None


def limits_of(
    readings: Readings,
    cgroups: Mapping[str, str],
    located: Mapping[str, tuple[Hierarchy, int]],
    true_roots: frozenset[int],
    cpus: int,
) -> dict[str, Limit]:
    """Return the effective limits ("cpu" in cores, "memory" in bytes, "pids", "cpuset" in CPUs) of one container."""

    def look(resource: str, kind: type[R]) -> tuple[tuple[tuple[str, R], ...], bool]:
        path, place = cgroups.get(resource), located.get(resource)
        if path is None or place is None:
            return (), True
        return chain_of(readings, resource, kind, path, place[0].root), place[1] not in true_roots

    quota, hidden = look("cpu", Cpu)
    sets, sets_hidden = look("cpuset", Cpuset)
    memory, memory_hidden = look("memory", Memory)
    pids, pids_hidden = look("pids", Pids)
    cpuset = cpuset_limit(sets, cpus, hidden=sets_hidden)
    least: Callable[..., Limit] = effective
    return {
        "cpu": cpu_limit(least([(path, quota_cores(cpu)) for path, cpu in quota], hidden=hidden), cpuset),
        "cpuset": cpuset,
        "memory": _memory_limit(memory, hidden=memory_hidden, told=_tells_all(memory, located.get("memory"))),
        "pids": least([(path, reading.limit) for path, reading in pids], hidden=pids_hidden),
    }


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
