"""Control files read in full: what the exporter tells of a cgroup on top of what every tick reads.

The same files as cgroup_v1.FILES and cgroup_v2.FILES, by parsers that take
more out of them, and a few more files. The types are those of controllers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from inspector.kernel import cgroup_v1, cgroup_v2
from inspector.kernel.controllers import ControlFile, Values
from inspector.kernel.figures import Keyed, number

__all__ = ["IN_FULL"]

Files = Mapping[str, tuple[ControlFile, ...]]


V1_MEMORY = Keyed("memory.stat", cgroup_v1.MEMORY | {
    b"total_active_file": "active_file_bytes",
    b"total_mapped_file": "mapped_file_bytes",
    b"total_dirty": "dirty_file_bytes",
    b"total_writeback": "writeback_file_bytes",
    b"total_pgfault": "page_faults",
    b"total_pgmajfault": "major_page_faults",
    b"pgfault": "own_page_faults",
    b"pgmajfault": "own_major_page_faults",
})  # fmt: skip
V2_MORE = {
    b"active_file": "active_file_bytes",
    b"file_mapped": "mapped_file_bytes",
    b"file_dirty": "dirty_file_bytes",
    b"file_writeback": "writeback_file_bytes",
    b"pgfault": "page_faults",
    b"pgmajfault": "major_page_faults",
    b"pgscan": "pages_scanned",
    b"pgsteal": "pages_reclaimed",
    b"workingset_refault_anon": "anon_refaults",
    b"workingset_refault_file": "file_refaults",
}
V2_MEMORY = Keyed("memory.stat", cgroup_v2.MEMORY | V2_MORE | {b"slab": "slab"})
V2_KERNEL = ("kernel_stack", "pagetables", "percpu", "slab")
V2_EVENTS = Keyed("memory.events", {
    b"low": "low_events",
    b"high": "high_events",
    b"max": "limit_hits",
    b"oom": "oom_events",
    b"oom_kill": "oom_kills",
    b"oom_group_kill": "oom_group_kills",
})  # fmt: skip


# total_mapped_file 4096
def parse_v1_memory_stat(data: bytes) -> Values:
    """Parse memory.stat of v1; the keys without `total_` leave descendants out."""
    return cgroup_v1.memory_of(V1_MEMORY(data))


# 212992
def parse_v1_kernel(data: bytes) -> Values:
    """Parse memory.kmem.usage_in_bytes: v1 does not tell what of it could be reclaimed."""
    value = number("memory.kmem.usage_in_bytes", data)
    return {"kernel_bytes": value, "kernel_usage_bytes": value}


# 9223372036854771712
def parse_v1_swap_limit(data: bytes) -> Values:
    """Parse memory.memsw.limit_in_bytes: memory and swap together."""
    value = number("memory.memsw.limit_in_bytes", data)
    return {"swap_limit_bytes": None if cgroup_v1.is_unlimited(value) else value}


# 1024
def parse_v1_shares(data: bytes) -> Values:
    """Parse cpu.shares, as a weight and as it is."""
    return {**cgroup_v1.parse_shares(data), "shares": number("cpu.shares", data)}


# 254:0 Read 4096
def parse_v1_io_bytes(data: bytes) -> Values:
    """Parse blkio.throttle.io_service_bytes_recursive, by device too."""
    moved = cgroup_v1.parse_io_service(data)
    read, write = cgroup_v1.summed(moved)
    return {"read_bytes": read, "write_bytes": write, "bytes_by_device": moved}


# 254:0 Read 1
def parse_v1_io_operations(data: bytes) -> Values:
    """Parse blkio.throttle.io_serviced_recursive, by device too."""
    done = cgroup_v1.parse_io_service(data)
    reads, writes = cgroup_v1.summed(done)
    return {"reads": reads, "writes": writes, "operations_by_device": done}


# 100
def parse_v2_weight(data: bytes) -> Values:
    """Parse cpu.weight, as it is and in v1's unit on the straight line from 1 as 2 to 10000 as 262144: cAdvisor's."""
    weight = number("cpu.weight", data)
    return {"weight": weight, "shares": 2 + max(weight - 1, 0) * 262142 // 9999}


# file_mapped 4096
def parse_v2_memory_stat(data: bytes) -> Values:
    """Parse memory.stat of v2; everything includes descendants."""
    values = V2_MEMORY(data)
    found = cgroup_v2.memory_of(values) | {name: values[name] for name in V2_MORE.values() if name in values}
    if values:  # before Linux 5.18 the parts alone are there
        parts = ("kernel",) if "kernel" in values else V2_KERNEL
        found["kernel_usage_bytes"] = sum(values.get(name, 0) for name in parts)
    return found


# oom_group_kill 0
def parse_v2_memory_events(data: bytes) -> Values:
    """Parse memory.events: all of them, descendants included."""
    return V2_EVENTS(data)


# 254:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0
def parse_v2_io_stat(data: bytes) -> Values:
    """Parse io.stat, by device too; a device that has done nothing may stand there without figures."""
    moved, done = {}, {}
    for line in data.splitlines():
        device, _, rest = line.partition(b" ")
        pairs = dict(pair.split(b"=", 1) for pair in rest.split() if b"=" in pair)
        if device.replace(b":", b"", 1).isdigit() and b"rbytes" in pairs:
            name = device.decode("ascii")
            read, written, reads, writes = (
                number("io.stat", pairs.get(key, b"0")) for key in (b"rbytes", b"wbytes", b"rios", b"wios")
            )
            moved[name], done[name] = (read, written), (reads, writes)
    return {**cgroup_v2.parse_io_stat(data), "bytes_by_device": moved, "operations_by_device": done}


def _number_file(field: str, file: str) -> ControlFile:
    return ControlFile(file, lambda data: {field: number(file, data)})


# max 0
def _v2_huge_page_failures(field: str, file: str) -> ControlFile:
    return ControlFile(file, Keyed(file, {b"max": field}))


def _with(files: Files, **others: Iterable[ControlFile]) -> Files:
    """Return the files, by resource, with others in the place of those of the same name or behind them."""
    changed = {
        name: tuple({file.name: file for file in (*files[name], *more)}.values()) for name, more in others.items()
    }
    return {**files, **changed}


# By cgroup version, then by resource.
IN_FULL: Mapping[int, Files] = {
    1: _with(
        cgroup_v1.FILES,
        cpu=[ControlFile("cpu.shares", parse_v1_shares)],
        memory=[
            ControlFile("memory.stat", parse_v1_memory_stat),
            ControlFile("memory.kmem.usage_in_bytes", parse_v1_kernel),
            ControlFile("memory.memsw.limit_in_bytes", parse_v1_swap_limit),
        ],
        io=[
            ControlFile("blkio.throttle.io_service_bytes_recursive", parse_v1_io_bytes),
            ControlFile("blkio.throttle.io_serviced_recursive", parse_v1_io_operations),
        ],
        hugetlb=[
            _number_file("peak_2mb_bytes", "hugetlb.2MB.max_usage_in_bytes"),
            _number_file("failures_2mb", "hugetlb.2MB.failcnt"),
            _number_file("peak_1gb_bytes", "hugetlb.1GB.max_usage_in_bytes"),
            _number_file("failures_1gb", "hugetlb.1GB.failcnt"),
        ],
    ),
    2: _with(
        cgroup_v2.FILES,
        cpu=[ControlFile("cpu.weight", parse_v2_weight)],
        memory=[
            ControlFile("memory.stat", parse_v2_memory_stat),
            ControlFile("memory.events", parse_v2_memory_events),
        ],
        io=[ControlFile("io.stat", parse_v2_io_stat)],
        hugetlb=[
            _v2_huge_page_failures("failures_2mb", "hugetlb.2MB.events"),
            _v2_huge_page_failures("failures_1gb", "hugetlb.1GB.events"),
        ],
    ),
}
