"""What a container's limits are in the control files of each cgroup version: one table, pure.

Sources: Documentation/admin-guide/cgroup-v1/*.rst, cgroup-v2.rst, scheduler/sched-bwc.rst.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sandbox.limits import DEFAULT_PERIOD_US, SHARES_RANGE, UNLIMITED, WEIGHT, Limits

__all__ = ["CONTROLLERS", "OOM_CONTROL", "Setting", "controllers", "ignored", "is_weight_of_a_disk", "lifted",
           "settings", "weight_of_shares"]

# A file below the cgroup, its value, and whether a kernel without that file is fine: or where it has another, named.
Setting = tuple[str, str, bool | str]
# In the order in which they are written: what is bound last is what setting up needs most.
CONTROLLERS = ("cpuset", "memory", "pids", "cpu", "io", "hugetlb")
# v1's name of what is called otherwise on v2.
V1_NAMES = {"io": "blkio"}
OOM_CONTROL = "memory.oom_control"
THROTTLE_KEYS = {"read_bps": "rbps", "write_bps": "wbps", "read_iops": "riops", "write_iops": "wiops"}


def settings(controller: str, version: int, limits: Limits) -> list[Setting]:
    """Return the files of one controller (by its name on v2) and what is to be written to them, in order."""
    return list(FILES[controller, version](limits))


def lifted(controller: str, version: int, before: Limits, after: Limits) -> list[Setting]:
    """Return what is written when a limit that has no value for "not limited" is taken back."""
    if (controller, version) == ("memory", 1) and before.oom_kill_disable and not after.oom_kill_disable:
        return [(OOM_CONTROL, "0", False)]
    return []


def controllers(controller: str) -> tuple[str, ...]:
    """Return the names that a controller has in a hierarchy, either version's."""
    return (controller, V1_NAMES[controller]) if controller in V1_NAMES else (controller,)


def weight_of_shares(shares: int) -> int:
    """Translate v1's shares (2 to 262144, 1024 is usual) to v2's weight (1 to 10000, 100 is usual).

    The curve of runc 1.4 and crun 1.23, through 2 -> 1, 1024 -> 100, 262144 -> 10000:
    the straight line of before gave a container with the default of one less than half of the other's.
    """
    low, high = SHARES_RANGE
    if shares <= low:
        return 1
    if shares >= high:
        return 10_000
    import math  # noqa: PLC0415  rare

    power = math.log2(shares)
    return math.ceil(10 ** ((power * power + 125 * power) / 612 - 7 / 34))


def _cpuset(limits: Limits) -> Iterator[Setting]:
    for file, value in (("cpuset.cpus", limits.cpuset_cpus), ("cpuset.mems", limits.cpuset_mems)):
        if value:
            yield file, value, False


def _cpu_v1(limits: Limits) -> Iterator[Setting]:
    if limits.cpu_shares is not None:
        yield "cpu.shares", str(limits.cpu_shares), False
    if limits.cpu_quota_us is not None or limits.cpu_period_us is not None:
        # The period first: a quota is checked against the period that is there.
        yield "cpu.cfs_period_us", str(limits.cpu_period_us or DEFAULT_PERIOD_US), False
        yield "cpu.cfs_quota_us", str(limits.cpu_quota_us or UNLIMITED), False
    if limits.cpu_burst_us is not None:
        yield "cpu.cfs_burst_us", str(limits.cpu_burst_us), False


def _cpu_v2(limits: Limits) -> Iterator[Setting]:
    if limits.cpu_shares is not None:
        yield "cpu.weight", str(weight_of_shares(limits.cpu_shares)), False
    if limits.cpu_quota_us is not None or limits.cpu_period_us is not None:
        quota = "max" if limits.cpu_quota_us in (None, UNLIMITED) else limits.cpu_quota_us
        yield "cpu.max", f"{quota} {limits.cpu_period_us or DEFAULT_PERIOD_US}", False
    if limits.cpu_burst_us is not None:
        yield "cpu.max.burst", str(limits.cpu_burst_us), False


def _with_swap(limits: Limits) -> int | None:
    """Return the bound of memory and swap together; Docker's default is as much swap again."""
    if limits.memory_swap_bytes is not None or limits.memory_bytes is None:
        return limits.memory_swap_bytes
    return 2 * limits.memory_bytes


def _memory_v1(limits: Limits) -> Iterator[Setting]:
    if limits.memory_bytes is not None:
        yield "memory.limit_in_bytes", str(limits.memory_bytes), False
    both = _with_swap(limits)
    if both is not None:
        # The file is missing where swap accounting is off: only what was asked for must be there.
        yield "memory.memsw.limit_in_bytes", str(both), limits.memory_swap_bytes is None
    if limits.memory_reservation_bytes is not None:
        yield "memory.soft_limit_in_bytes", str(limits.memory_reservation_bytes), False
    if limits.memory_swappiness is not None:
        yield "memory.swappiness", str(limits.memory_swappiness), False
    if limits.oom_kill_disable:
        yield OOM_CONTROL, "1", False


def _memory_v2(limits: Limits) -> Iterator[Setting]:
    if limits.memory_bytes is not None:
        yield "memory.max", str(limits.memory_bytes), False
    both = _with_swap(limits)
    if both is not None:
        swap = "max" if both == UNLIMITED else str(both - (limits.memory_bytes or 0))
        yield "memory.swap.max", swap, limits.memory_swap_bytes is None
    if limits.memory_reservation_bytes is not None:
        yield "memory.low", str(limits.memory_reservation_bytes), False


def _pids(limits: Limits) -> Iterator[Setting]:
    if limits.pids is not None:
        yield "pids.max", "max" if limits.pids == UNLIMITED else str(limits.pids), False


def _io_v1(limits: Limits) -> Iterator[Setting]:
    if limits.blkio_weight is not None:
        yield "blkio.bfq.weight", str(limits.blkio_weight), False
    for one in limits.throttles:
        file = "blkio.bfq.weight_device" if one.kind == WEIGHT else f"blkio.throttle.{one.kind}_device"
        yield file, f"{one.device} {one.rate}", False


def _io_v2(limits: Limits) -> Iterator[Setting]:
    if limits.blkio_weight is not None:
        # Disks under BFQ look at a file of its own, which is there when that scheduler is loaded; the others, where
        # io.cost is switched on, at this one: 10 to 1000 becomes 1 to 10000. A kernel may have either alone.
        yield "io.bfq.weight", f"default {limits.blkio_weight}", True
        yield "io.weight", f"default {1 + (limits.blkio_weight - 10) * 9999 // 990}", "io.bfq.weight"
    for one in limits.throttles:
        if one.kind == WEIGHT:
            yield "io.bfq.weight", f"{one.device} {one.rate}", False
        else:
            yield "io.max", f"{one.device} {THROTTLE_KEYS[one.kind]}={one.rate}", False


def _hugetlb_v1(limits: Limits) -> Iterator[Setting]:
    for size, amount in limits.huge_pages:
        yield f"hugetlb.{size}.limit_in_bytes", str(amount), False


def _hugetlb_v2(limits: Limits) -> Iterator[Setting]:
    for size, amount in limits.huge_pages:
        yield f"hugetlb.{size}.max", str(amount), False


FILES: dict[tuple[str, int], Callable[[Limits], Iterator[Setting]]] = {
    ("cpuset", 1): _cpuset,
    ("cpuset", 2): _cpuset,
    ("cpu", 1): _cpu_v1,
    ("cpu", 2): _cpu_v2,
    ("memory", 1): _memory_v1,
    ("memory", 2): _memory_v2,
    ("pids", 1): _pids,
    ("pids", 2): _pids,
    ("io", 1): _io_v1,
    ("io", 2): _io_v2,
    ("hugetlb", 1): _hugetlb_v1,
    ("hugetlb", 2): _hugetlb_v2,
}


def is_weight_of_a_disk(setting: Setting) -> bool:
    """Tell whether something is a share of one disk, beside that of all of them."""
    file, value, _ = setting
    return "bfq.weight" in file and ":" in value


def ignored(memory_version: int, limits: Limits) -> list[str]:
    """Return what a version of the memory controller has no file for, by the name of its option."""
    if memory_version == 1:
        return []
    wanted = {
        "--memory-swappiness": limits.memory_swappiness is not None,
        "--oom-kill-disable": limits.oom_kill_disable,
    }
    return [option for option, is_wanted in wanted.items() if is_wanted]
