"""What there really is for a process, beside what its /proc says. Pure.

Equal to lxcfs's answers where it has one, but for three: CPUs are a fraction
here (lxcfs rounds up, and only with --enable-cfs), free memory is that of the
fullest cgroup on the way up (lxcfs subtracts the group's own use from the
least limit), and available memory leaves shared memory out, which lxcfs
counts with the page cache although it cannot be dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from inspector.errors import ParseError
from inspector.kernel.controllers import Memory
from inspector.kernel.system import System, parse_cpu_totals, parse_floats, parse_meminfo
from inspector.limits import Limit
from inspector.report import LimitLine, Limits, Resources
from inspector.views.text import in_units

__all__ = ["above_of", "proc_says", "really_has"]

T = TypeVar("T")
WAITS = 0.2
LOADS = 3


def proc_says(
    read: Callable[[str], bytes | None], failed: Callable[[str, ParseError], None], ahead: float = 0.0
) -> Resources:
    """Return what the files of a process's own /proc say; `read` gives one by name, `failed` hears of a bad one.

    `ahead` is by how many seconds its clock since boot is ahead of the reader's.
    """

    def parsed(name: str, parse: Callable[[bytes], T]) -> T | None:
        data = read(name)
        try:
            return parse(data) if data else None
        except ParseError as error:
            failed(f"its /proc/{name}", error)
            return None

    cpus = parsed("stat", parse_cpu_totals)
    memory = parsed("meminfo", parse_meminfo) or {}
    load = parsed("loadavg", lambda data: parse_floats("/proc/loadavg", data, LOADS))
    up = parsed("uptime", lambda data: parse_floats("/proc/uptime", data, 1))
    return {
        "cpus": cpus.cpus if cpus else None,
        "memory_bytes": memory.get("MemTotal"),
        "memory_free_bytes": memory.get("MemFree"),
        "memory_available_bytes": memory.get("MemAvailable"),
        "swap_bytes": memory.get("SwapTotal"),
        "swap_free_bytes": memory.get("SwapFree"),
        "uptime_seconds": up[0] + ahead if up else None,
        "load": list(load) if load else None,
        "pressure": None,
    }


def really_has(
    limits: Limits,
    memories: Sequence[Memory],
    system: System,
    machine_free: int | None,
    uptime: float | None,
    pressure: Mapping[str, float | None] | None,
) -> Resources:
    """Return what limits and machine leave; `memories` are the readings along the cgroups, the innermost first."""
    cpus, memory = limits["cpu"], limits["memory"]
    total = _within(memory, system.memory_bytes)
    swap_line = limits["memory_others"].get("swap")
    swap = system.swap_bytes
    if swap_line and swap_line["value"] is not None:
        swap = min(int(swap_line["value"]), swap)
    swapped = memories[0].swap_bytes if memories else None
    # v1 tells the limit of a cgroup that we cannot see, but not what is used of it.
    unseen = total is None or (memory["value"] is not None and memory["set_by"] is None)
    return {
        "cpus": _within(cpus, system.cpus),
        "memory_bytes": None if total is None else int(total),
        "memory_free_bytes": None if unseen else _left((_free(one) for one in memories), machine_free),
        "memory_available_bytes": None
        if unseen
        else _left((_available(one) for one in memories), system.memory_available_bytes),
        "swap_bytes": swap,
        "swap_free_bytes": min(max(0, swap - (swapped or 0)), system.swap_free_bytes),
        "uptime_seconds": uptime,
        "load": None,
        "pressure": dict(pressure) if pressure else None,
    }


def _free(memory: Memory) -> int | None:
    if memory.limit_bytes is None or memory.usage_bytes is None:
        return None
    return max(0, memory.limit_bytes - memory.usage_bytes)


def _available(memory: Memory) -> int | None:
    if memory.limit_bytes is None or memory.unreclaimable_bytes is None:
        return None
    return max(0, memory.limit_bytes - memory.unreclaimable_bytes)


def _left(inside: Iterable[int | None], machine: int | None) -> int | None:
    """Return the least that is left anywhere; unknown when the machine's own is."""
    known = [one for one in (*inside, machine) if one is not None]
    return None if machine is None else min(known)


def _within(line: LimitLine, machine: float) -> float | int | None:
    """Return the tighter of limit and machine; unknown when no limit is seen and one may be hidden."""
    if line["value"] is None:
        return None if line["hidden_ancestors"] else machine
    return min(line["value"], machine)


def above_of(limits: Mapping[str, Limit], waits: float | None, used: float | None) -> list[str]:
    """Say what tells of cgroups that are hidden from us: nothing where none are.

    `waits` is the share of the last 10 s in which a task waited for a CPU, `used` the cores used meanwhile.
    """
    cpu, memory = limits["cpu"], limits["memory"]
    found = []
    if memory.hidden_ancestors and memory.value is not None and memory.set_by is None:
        found.append(f"memory.stat tells of a limit of {int(memory.value)} bytes above: hierarchical_memory_limit")
    slow = waits is not None and waits >= WAITS and used is not None
    if cpu.hidden_ancestors and slow and (cpu.value is None or (used or 0.0) < 0.9 * cpu.value):
        own = "no quota of its own" if cpu.value is None else "a quota of " + in_units(f"{cpu.value:.3g}", "core")
        found.append(
            f"waited for a CPU in {waits:.0%} of the time, using {in_units(f'{used:.3g}', 'core')} under {own}: "
            "a quota above, or busy neighbours"
        )
    return found
