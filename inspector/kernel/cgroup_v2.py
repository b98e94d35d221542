"""cgroup v2 control files (Documentation/admin-guide/cgroup-v2.rst).

Every parse_x here takes one file's bytes and returns the fields of a type of
inspector.kernel.controllers. The root cgroup has few of these files: the
machine's totals are elsewhere, and it has no limits.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from inspector.errors import ParseError
from inspector.kernel.cgroup_v1 import (
    UNLIMITED_FROM,
    parse_cpus,
    parse_mems,
    parse_pids_events,
    parse_pids_max,
)
from inspector.kernel.controllers import ControlFile, Values
from inspector.kernel.figures import Keyed, number

__all__ = ["FILES"]


def limit(what: str, data: bytes) -> int | None:
    """Return a limit; None for "max", and for the page counter's maximum, which Linux 6.18 shows for huge pages."""
    if data.strip() == b"max":
        return None
    value = number(what, data)
    return None if value >= UNLIMITED_FROM else value


def single(field: str, file: str) -> ControlFile:
    """Describe a file of a single number, or "max" for no limit."""
    return ControlFile(file, lambda data: {field: limit(file, data)})


# 20000 100000
def parse_cpu_max(data: bytes) -> Values:
    """Parse cpu.max: quota ("max" for none) and period, microseconds."""
    fields = data.split()
    if len(fields) != 2:  # noqa: PLR2004
        raise ParseError("cpu.max", data)
    return {"quota_us": limit("cpu.max", fields[0]), "period_us": number("cpu.max", fields[1])}


# usage_usec 1009213
# user_usec 1001211
# system_usec 8002
# nr_periods 51
# nr_throttled 50
# throttled_usec 3999400
# nr_bursts 0
# burst_usec 0
def parse_cpu_stat(data: bytes) -> Values:
    """Parse the bandwidth lines of cpu.stat; they are missing where the cpu controller is not enabled."""
    return CPU_STAT(data)


CPU_STAT = Keyed(
    "cpu.stat",
    {
        b"nr_periods": "periods",
        b"nr_throttled": "throttled_periods",
        b"throttled_usec": "throttled_us",
        b"nr_bursts": "bursts",
        b"burst_usec": "bursted_us",
    },
)


def parse_cpu_usage(data: bytes) -> Values:
    """Parse the usage lines of cpu.stat: every v2 cgroup has them, whatever its controllers."""
    return CPU_USAGE(data)


CPU_USAGE = Keyed("cpu.stat", {b"usage_usec": "usage_us", b"user_usec": "user_us", b"system_usec": "system_us"})
WHOLE = {b"anon": "anon_bytes", b"file": "file_bytes", b"inactive_file": "inactive_file_bytes"}
PARTS = {
    name.encode(): name
    for name in ("kernel", "slab_reclaimable", "slab_unreclaimable", "kernel_stack", "pagetables", "percpu", "sock",
                 "inactive_anon", "active_anon", "unevictable", "hugetlb")
}  # fmt: skip
MEMORY = {**WHOLE, **PARTS}
MEMORY_STAT = Keyed("memory.stat", MEMORY)


# anon 1318912
# file 4096
# kernel 225280
# ...
def parse_memory_stat(data: bytes) -> Values:
    """Parse memory.stat: what the memory consists of, descendants included."""
    return memory_of(MEMORY_STAT(data))


def memory_of(values: Mapping[str, int]) -> dict[str, int]:
    """Take from the numbers of memory.stat, by the names of MEMORY, what the memory consists of."""
    part = values.get
    if "kernel" in values:
        kernel = values["kernel"] - part("slab_reclaimable", 0)
    else:  # before Linux 5.18: the parts that cannot be reclaimed, summed
        kernel = sum(part(name, 0) for name in ("kernel_stack", "pagetables", "percpu", "slab_unreclaimable"))
    found = {name: values[name] for name in WHOLE.values() if name in values}
    locked = part("unevictable", 0) + part("hugetlb", 0)  # memory_hugetlb_accounting, since Linux 6.13 told
    found["locked_and_anon_bytes"] = part("inactive_anon", 0) + part("active_anon", 0) + locked
    found["kernel_bytes"] = max(0, kernel) + part("sock", 0)
    return found


# low 0
# high 0
# max 12
# oom 1
# oom_kill 1
def parse_memory_events(data: bytes) -> Values:
    """Parse memory.events: how often the limit was hit and how many were killed, descendants included."""
    return MEMORY_EVENTS(data)


MEMORY_EVENTS = Keyed("memory.events", {b"max": "limit_hits", b"oom_kill": "oom_kills"})


# 254:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0
def parse_io_stat(data: bytes) -> Values:
    """Parse io.stat: a device a line, `key=number` pairs, summed over the devices.

    A device without I/O may stand there with no pairs at all, and other
    policies (io.cost, io.latency) add keys of their own.
    """
    names = {b"rbytes": "read_bytes", b"wbytes": "write_bytes", b"rios": "reads", b"wios": "writes"}
    totals = dict.fromkeys(names.values(), 0)
    for part in data.split():
        key, equals, value = part.partition(b"=")
        if equals and key in names:
            totals[names[key]] += number("io.stat", value)
        elif not equals and b":" not in part and part != b"(unknown)":
            raise ParseError("io.stat", part)
    return totals


# some avg10=0.00 avg60=0.00 avg300=0.00 total=1234
# full avg10=0.00 avg60=0.00 avg300=0.00 total=1000
def _parse_pressure(names: tuple[str, ...], data: bytes) -> Values:
    """Parse a *.pressure file: totals of "some" and "full" in microseconds, and the averages of "full" as shares."""
    some, full, short, long = names
    words = data.split()
    kinds = words[::LINE]
    if kinds != SOME_AND_FULL and kinds != SOME_ALONE:  # noqa: PLR1714  it costs less
        raise ParseError("pressure", data)
    if len(words) % LINE or words[4][:6] != b"total=" or words[-1][:6] != b"total=":
        raise ParseError("pressure", data)
    found: dict[str, float] = {some: number("pressure", words[4][6:])}
    if len(words) > LINE:
        found[full] = number("pressure", words[9][6:])
        found[short] = 0.0 if words[6] == b"avg10=0.00" else _share(b"avg10", words[6])
        found[long] = 0.0 if words[7] == b"avg60=0.00" else _share(b"avg60", words[7])
    return found


LINE = 5  # words
SOME_AND_FULL, SOME_ALONE = [b"some", b"full"], [b"some"]  # alone: of cpu before Linux 5.13


def _share(name: bytes, text: bytes) -> float:
    """Parse an average, per cent with two decimals, as a share."""
    key, _, value = text.partition(b"=")
    if key != name or value[-3:-2] != b".":
        raise ParseError("pressure", text)
    return number("pressure", value[:-3] + value[-2:]) / 10_000


def _pressure(resource: str) -> ControlFile:
    # Interned, as the names of the fields are: Python finds an argument faster so.
    names = tuple([sys.intern(f"{resource}_{what}") for what in ("some_us", "full_us", "full_avg10", "full_avg60")])
    return ControlFile(f"{resource}.pressure", lambda data: _parse_pressure(names, data))


# populated 1
# frozen 0
def parse_events(data: bytes) -> Values:
    """Parse cgroup.events: whether all tasks of the group are frozen, by it or by an ancestor."""
    return {name: value == 1 for name, value in EVENTS(data).items()}


EVENTS = Keyed("cgroup.events", {b"frozen": "frozen"})


FILES: dict[str, tuple[ControlFile, ...]] = {
    "cpu": (
        ControlFile("cpu.max", parse_cpu_max),
        ControlFile("cpu.max.burst", lambda data: {"burst_us": number("cpu.max.burst", data)}),
        ControlFile("cpu.weight", lambda data: {"weight": number("cpu.weight", data)}),
        ControlFile("cpu.stat", parse_cpu_stat),
    ),
    "cpuacct": (ControlFile("cpu.stat", parse_cpu_usage),),
    "cpuset": (
        ControlFile("cpuset.cpus.effective", parse_cpus),
        ControlFile("cpuset.mems.effective", parse_mems),
    ),
    "memory": (
        single("usage_bytes", "memory.current"),
        single("peak_bytes", "memory.peak"),
        single("limit_bytes", "memory.max"),
        single("high_bytes", "memory.high"),
        single("low_bytes", "memory.low"),
        single("min_bytes", "memory.min"),
        single("swap_bytes", "memory.swap.current"),
        single("swap_limit_bytes", "memory.swap.max"),
        ControlFile("memory.stat", parse_memory_stat),
        ControlFile("memory.events", parse_memory_events),
    ),
    "pids": (
        single("current", "pids.current"),
        ControlFile("pids.max", parse_pids_max),
        ControlFile("pids.events", parse_pids_events),
    ),
    "io": (ControlFile("io.stat", parse_io_stat),),
    "pressure": (
        _pressure("cpu"),
        _pressure("memory"),
        _pressure("io"),
    ),
    "freezer": (ControlFile("cgroup.events", parse_events),),
    "hugetlb": (
        single("usage_2mb_bytes", "hugetlb.2MB.current"),
        single("limit_2mb_bytes", "hugetlb.2MB.max"),
        single("usage_1gb_bytes", "hugetlb.1GB.current"),
        single("limit_1gb_bytes", "hugetlb.1GB.max"),
    ),
}
