"""cgroup v1 control files (Documentation/admin-guide/cgroup-v1/), translated up to v2's units.

Nanoseconds become microseconds, shares become weights, -1 and the page
counter's maximum become None. Every parse_x here takes one file's bytes and
returns the fields of a type of inspector.kernel.controllers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from inspector.errors import ParseError
from inspector.kernel.controllers import ControlFile, Values
from inspector.kernel.figures import MOST_DIGITS, Keyed, number
from inspector.kernel.process import CLOCK_TICKS

__all__ = ["FILES", "has_limit", "is_unlimited"]

# The page counter's maximum is 2^63 less a page, whose size varies; no machine has 2^62 bytes.
UNLIMITED_FROM = 1 << 62
# Of a kernel of 32 bits it is 2^31 - 1 pages, for huge pages whole ones (of 4 MiB at most): a little below 8 TiB.
UNLIMITED_32 = range((1 << 43) - (1 << 22), 1 << 43)


# -1
def parse_quota(data: bytes) -> Values:
    """Parse cpu.cfs_quota_us: microseconds a period, -1 for no quota."""
    return {"quota_us": None if data.strip() == b"-1" else number("cpu.cfs_quota_us", data)}


# 100000
def parse_period(data: bytes) -> Values:
    """Parse cpu.cfs_period_us: microseconds."""
    return {"period_us": number("cpu.cfs_period_us", data)}


# 0
def parse_burst(data: bytes) -> Values:
    """Parse cpu.cfs_burst_us: microseconds of unused quota that may be saved up (since Linux 5.14)."""
    return {"burst_us": number("cpu.cfs_burst_us", data)}


# 1024
def parse_shares(data: bytes) -> Values:
    """Parse cpu.shares (2 to 262144, 1024 by default) into a v2 weight (1 to 10000, 100 by default)."""
    return {"weight": shares_to_weight(number("cpu.shares", data))}


def shares_to_weight(shares: int) -> int:
    """Convert shares to a weight as runc and crun do, so that both defaults (1024 and 100) meet.

    Source: github.com/opencontainers/cgroups, ConvertCPUSharesToCgroupV2Value.
    """
    if shares <= 2:  # noqa: PLR2004  the kernel's least
        return 1
    if shares >= 1 << 18:
        return 10000
    log = math.log2(shares)
    return math.ceil(10 ** ((log * log + 125 * log) / 612 - 7 / 34))


# nr_periods 51
# nr_throttled 50
# throttled_time 3999400000
# nr_bursts 0
# burst_time 0
def parse_cpu_stat(data: bytes) -> Values:
    """Parse cpu.stat: how many periods ran, how many were throttled, and for how long (nanoseconds)."""
    values = CPU_STAT(data)
    for name in values.keys() & {"throttled_us", "bursted_us"}:
        values[name] //= 1000
    return values


CPU_STAT = Keyed(
    "cpu.stat",
    {
        b"nr_periods": "periods",
        b"nr_throttled": "throttled_periods",
        b"throttled_time": "throttled_us",
        b"nr_bursts": "bursts",
        b"burst_time": "bursted_us",
    },
)


# 3999400000
def parse_usage(data: bytes) -> Values:
    """Parse cpuacct.usage: nanoseconds."""
    return {"usage_us": number("cpuacct.usage", data) // 1000}


# user 398
# system 3
def parse_cpuacct_stat(data: bytes) -> Values:
    """Parse cpuacct.stat: clock ticks (USER_HZ) in user mode and in the kernel."""
    return {name: ticks * 1_000_000 // CLOCK_TICKS for name, ticks in CPUACCT_STAT(data).items()}


CPUACCT_STAT = Keyed("cpuacct.stat", {b"user": "user_us", b"system": "system_us"})


# 0-3,8
def parse_cpus(data: bytes) -> Values:
    """Parse cpuset.effective_cpus: a CPU list; empty until somebody fills the group's cpuset.cpus."""
    return {"cpus": _list("cpuset.effective_cpus", data)}


# 0
def parse_mems(data: bytes) -> Values:
    """Parse cpuset.effective_mems: a list of memory nodes."""
    return {"mems": _list("cpuset.effective_mems", data)}


def _list(what: str, data: bytes) -> str | None:
    try:
        text = data.decode("ascii").strip()
    except UnicodeDecodeError as error:
        raise ParseError(what, data) from error
    if not set(text) <= set("0123456789-,"):
        raise ParseError(what, data)
    return text or None


def is_unlimited(value: int) -> bool:
    """Tell whether a number of bytes is the page counter's maximum, which v1 shows where no limit is set."""
    return value >= UNLIMITED_FROM or value in UNLIMITED_32


def bytes_file(name: str, file: str) -> ControlFile:
    """Describe a file of a single number of bytes, where the page counter's maximum means "no limit"."""

    def parse(data: bytes) -> Values:
        value = number(file, data)
        return {name: None if is_unlimited(value) else value}

    return ControlFile(file, parse)


MEMORY = {
    b"total_rss": "anon_bytes",
    b"total_cache": "file_bytes",
    b"total_inactive_file": "inactive_file_bytes",
    b"total_swap": "swap_bytes",
    b"hierarchical_memory_limit": "hierarchical_limit_bytes",
    b"total_inactive_anon": "inactive_anon",
    b"total_active_anon": "active_anon",
    b"total_unevictable": "unevictable",
}
MEMORY_STAT = Keyed("memory.stat", MEMORY)


# cache 4096
# ... (own figures, then the same with "total_" for the group and its descendants)
# hierarchical_memory_limit 67108864
# total_inactive_file 4096
def parse_memory_stat(data: bytes) -> Values:
    """Parse memory.stat. The `total_` lines are taken: like usage_in_bytes, they include descendants."""
    return memory_of(MEMORY_STAT(data))


def memory_of(values: dict[str, int]) -> dict[str, int | None]:
    """Take from the numbers of memory.stat, by the names of MEMORY, what the memory consists of."""
    result: dict[str, int | None] = {**values}
    lists = [result.pop(name) or 0 for name in ("inactive_anon", "active_anon", "unevictable") if name in values]
    if lists:
        result["locked_and_anon_bytes"] = sum(lists)
    if is_unlimited(values.get("hierarchical_limit_bytes", 0)):
        result["hierarchical_limit_bytes"] = None
    return result


# hierarchical_memory_limit 9223372036854771712
# hierarchical_memsw_limit 9223372036854771712
def has_limit(data: bytes) -> bool:
    """Tell by memory.stat whether the cgroup or one above it may have a limit of memory, or of memory and swap.

    Each is the least along all ancestors and the cgroup itself (mm/memcontrol-v1.c, memcg1_stat_format), hidden ones
    included: where that is none, no memory.limit_in_bytes and memory.memsw.limit_in_bytes among them is set.
    """
    # Found, not matched line by line, which takes longer than to parse the whole text.
    limits = []
    start = data.find(LIMITS)
    while start >= 0:
        end = data.find(b"\n", start)
        _, _, text = data[start : end if end >= 0 else len(data)].partition(b" ")
        if text.isdigit() and len(text) <= MOST_DIGITS:
            limits.append(int(text))
        start = data.find(LIMITS, end) if end >= 0 else end
    return not limits or min(limits) < UNLIMITED_FROM


LIMITS = b"hierarchical_mem"


# oom_kill_disable 0
# under_oom 0
# oom_kill 2
def parse_oom_control(data: bytes) -> Values:
    """Parse memory.oom_control: how many processes were killed (since Linux 4.13)."""
    return OOM_CONTROL(data)


OOM_CONTROL = Keyed("memory.oom_control", {b"oom_kill": "oom_kills"})


# max
def parse_pids_max(data: bytes) -> Values:
    """Parse pids.max (the same file in both versions): a number, or "max"."""
    return {"limit": None if data.strip() == b"max" else number("pids.max", data)}


# max 3
def parse_pids_events(data: bytes) -> Values:
    """Parse pids.events (the same file in both versions): how often fork failed at the limit."""
    return PIDS_EVENTS(data)


PIDS_EVENTS = Keyed("pids.events", {b"max": "limit_hits"})


# 254:0 Read 4096
# 254:0 Write 0
# Total 4096
def parse_io_service(data: bytes) -> dict[str, tuple[int, int]]:
    """Parse a blkio.throttle.io_serviced or io_service_bytes file: reads and writes by device."""
    found: dict[str, tuple[int, int]] = {}
    for line in data.splitlines():
        fields = line.split()
        if len(fields) == 3 and fields[0].replace(b":", b"", 1).isdigit():  # noqa: PLR2004  device, operation, number
            read, written = found.get(device := fields[0].decode("ascii"), (0, 0))
            value = number("blkio.throttle", fields[2])
            is_read, is_write = fields[1] == b"Read", fields[1] == b"Write"
            found[device] = (read + value * is_read, written + value * is_write)
        elif len(fields) != 2 or fields[0] != b"Total":  # noqa: PLR2004  the last line
            raise ParseError("blkio.throttle", line)
    return found


def summed(by_device: Mapping[str, tuple[int, int]]) -> tuple[int, int]:
    """Add up reads and writes of all devices."""
    return sum(read for read, _ in by_device.values()), sum(written for _, written in by_device.values())


def parse_io_bytes(data: bytes) -> Values:
    """Parse blkio.throttle.io_service_bytes_recursive: bytes, descendants included."""
    read, write = summed(parse_io_service(data))
    return {"read_bytes": read, "write_bytes": write}


def parse_io_operations(data: bytes) -> Values:
    """Parse blkio.throttle.io_serviced_recursive: operations, descendants included."""
    read, write = summed(parse_io_service(data))
    return {"reads": read, "writes": write}


# THAWED
def parse_freezer(data: bytes) -> Values:
    """Parse freezer.state: THAWED, FREEZING or FROZEN, whichever group of the ancestors asked for it."""
    state = data.strip()
    if state not in (b"THAWED", b"FREEZING", b"FROZEN"):
        raise ParseError("freezer.state", data)
    return {"frozen": state == b"FROZEN"}


FILES: dict[str, tuple[ControlFile, ...]] = {
    "cpu": (
        ControlFile("cpu.cfs_quota_us", parse_quota),
        ControlFile("cpu.cfs_period_us", parse_period),
        ControlFile("cpu.cfs_burst_us", parse_burst),
        ControlFile("cpu.shares", parse_shares),
        ControlFile("cpu.stat", parse_cpu_stat),
    ),
    "cpuacct": (ControlFile("cpuacct.usage", parse_usage), ControlFile("cpuacct.stat", parse_cpuacct_stat)),
    "cpuset": (
        ControlFile("cpuset.effective_cpus", parse_cpus),
        ControlFile("cpuset.effective_mems", parse_mems),
    ),
    "memory": (
        bytes_file("usage_bytes", "memory.usage_in_bytes"),
        bytes_file("peak_bytes", "memory.max_usage_in_bytes"),
        bytes_file("limit_bytes", "memory.limit_in_bytes"),
        bytes_file("low_bytes", "memory.soft_limit_in_bytes"),
        bytes_file("kernel_bytes", "memory.kmem.usage_in_bytes"),
        ControlFile("memory.failcnt", lambda data: {"limit_hits": number("memory.failcnt", data)}),
        ControlFile("memory.stat", parse_memory_stat),
        ControlFile("memory.oom_control", parse_oom_control),
    ),
    "pids": (
        ControlFile("pids.current", lambda data: {"current": number("pids.current", data)}),
        ControlFile("pids.max", parse_pids_max),
        ControlFile("pids.events", parse_pids_events),
    ),
    "io": (
        ControlFile("blkio.throttle.io_service_bytes_recursive", parse_io_bytes),
        ControlFile("blkio.throttle.io_serviced_recursive", parse_io_operations),
    ),
    "freezer": (ControlFile("freezer.state", parse_freezer),),
    "hugetlb": (
        bytes_file("usage_2mb_bytes", "hugetlb.2MB.usage_in_bytes"),
        bytes_file("limit_2mb_bytes", "hugetlb.2MB.limit_in_bytes"),
        bytes_file("usage_1gb_bytes", "hugetlb.1GB.usage_in_bytes"),
        bytes_file("limit_1gb_bytes", "hugetlb.1GB.limit_in_bytes"),
    ),
}
