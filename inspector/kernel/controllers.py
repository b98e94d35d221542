"""What a cgroup says of one resource, whatever its version: v1 is translated up to v2's units.

Time is in microseconds, memory in bytes. None is unknown, or, for a limit in
a group that is present, unlimited: never -1 and never 2^63. RESOURCES names
the resources; cgroup_v1.FILES and cgroup_v2.FILES say which control files
hold them in that version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from inspector.kernel.named import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "RESOURCES",
    "ControlFile",
    "Cpu",
    "CpuUsage",
    "Cpuset",
    "DeviceIo",
    "Freezer",
    "HugePages",
    "Hugetlb",
    "Io",
    "Memory",
    "Pids",
    "Pressure",
    "Reading",
]


class Cpu(NamedTuple):
    """The cpu controller: bandwidth (sched-bwc.rst), weight, and how often the quota throttled.

    `shares` is the weight in v1's unit, 2 to 262144; read in full only.
    """

    quota_us: int | None = None
    period_us: int | None = None
    burst_us: int | None = None
    weight: int | None = None
    periods: int | None = None
    throttled_periods: int | None = None
    throttled_us: int | None = None
    bursts: int | None = None
    bursted_us: int | None = None
    shares: int | None = None


class CpuUsage(NamedTuple):
    """CPU time used: cpuacct of v1, cpu.stat of v2."""

    usage_us: int | None = None
    user_us: int | None = None
    system_us: int | None = None


class Cpuset(NamedTuple):
    """The CPUs and memory nodes it may use, as the kernel computed them along the ancestors ("0-3,8")."""

    cpus: str | None = None
    mems: str | None = None


class Memory(NamedTuple):
    """The memory controller.

    `unreclaimable_bytes` is what stays when everything that can be dropped
    has been: anonymous memory (no swap assumed), locked pages, and kernel
    memory less reclaimable slab (v1 does not tell the slab apart: all of it).
    `hierarchical_limit_bytes` is v1's least limit along *all* ancestors, also
    those that a cgroup namespace hides. v1's `swap_limit_bytes` is that of
    memory and swap together. What follows the gap is read in full only: it is
    of interest to dashboards; `own_*` are without the cgroups below.
    """

    usage_bytes: int | None = None
    peak_bytes: int | None = None
    limit_bytes: int | None = None
    high_bytes: int | None = None
    low_bytes: int | None = None
    min_bytes: int | None = None
    swap_bytes: int | None = None
    swap_limit_bytes: int | None = None
    limit_hits: int | None = None
    oom_kills: int | None = None
    anon_bytes: int | None = None
    file_bytes: int | None = None
    inactive_file_bytes: int | None = None
    locked_and_anon_bytes: int | None = None
    kernel_bytes: int | None = None
    hierarchical_limit_bytes: int | None = None

    active_file_bytes: int | None = None
    mapped_file_bytes: int | None = None
    dirty_file_bytes: int | None = None
    writeback_file_bytes: int | None = None
    kernel_usage_bytes: int | None = None
    page_faults: int | None = None
    major_page_faults: int | None = None
    own_page_faults: int | None = None
    own_major_page_faults: int | None = None
    pages_scanned: int | None = None
    pages_reclaimed: int | None = None
    anon_refaults: int | None = None
    file_refaults: int | None = None
    low_events: int | None = None
    high_events: int | None = None
    oom_events: int | None = None
    oom_group_kills: int | None = None

    @property
    def working_set_bytes(self) -> int | None:
        """Usage less inactive page cache: Docker's, Podman's and the kubelet's "memory used"."""
        if self.usage_bytes is None or self.inactive_file_bytes is None:
            return self.usage_bytes
        return max(0, self.usage_bytes - self.inactive_file_bytes)

    @property
    def unreclaimable_bytes(self) -> int | None:
        """What cannot be reclaimed without swap: the true distance to an OOM kill."""
        if self.locked_and_anon_bytes is None:
            return None
        return self.locked_and_anon_bytes + (self.kernel_bytes or 0)


class Pids(NamedTuple):
    """The pids controller: tasks, which are processes and their threads."""

    current: int | None = None
    peak: int | None = None
    limit: int | None = None
    limit_hits: int | None = None


class DeviceIo(NamedTuple):
    """What one block device ("254:0") did; without one of the two files of v1, its half is None."""

    device: str
    read_bytes: int | None
    write_bytes: int | None
    reads: int | None
    writes: int | None


class Io(NamedTuple):
    """Block I/O, summed over the devices; read in full, also by device: (read, written) bytes and operations."""

    read_bytes: int | None = None
    write_bytes: int | None = None
    reads: int | None = None
    writes: int | None = None
    bytes_by_device: Mapping[str, tuple[int, int]] | None = None
    operations_by_device: Mapping[str, tuple[int, int]] | None = None

    def devices(self) -> Iterator[DeviceIo]:
        """Yield what each device did."""
        moved, done = self.bytes_by_device or {}, self.operations_by_device or {}
        for device in dict.fromkeys((*moved, *done)):
            yield DeviceIo(device, *moved.get(device, (None, None)), *done.get(device, (None, None)))


class Pressure(NamedTuple):
    """Pressure stall information (accounting/psi.rst): time in which some, or all, tasks waited.

    The averages are the shares of the last 10 and 60 seconds, 0 to 1, in which all waited. All that wait for a CPU
    are those of one CPU at a time, which ran others' tasks then, or nobody's under a quota; None before Linux 5.13.
    """

    cpu_some_us: int | None = None
    memory_some_us: int | None = None
    memory_full_us: int | None = None
    io_some_us: int | None = None
    io_full_us: int | None = None
    cpu_full_us: int | None = None
    cpu_full_avg10: float | None = None
    cpu_full_avg60: float | None = None
    memory_full_avg10: float | None = None
    memory_full_avg60: float | None = None
    io_full_avg10: float | None = None
    io_full_avg60: float | None = None

    @property
    def averages(self) -> tuple[float | None, ...]:
        """What it says of the last 10 and 60 seconds, without the totals."""
        return self[6:]


class Freezer(NamedTuple):
    """Whether all tasks are stopped (`docker pause`), by this group or by an ancestor."""

    frozen: bool | None = None


class HugePages(NamedTuple):
    """Huge pages of one size: bytes in use now and at most so far, and how often there were none left."""

    usage_bytes: int | None
    peak_bytes: int | None
    failures: int | None


class Hugetlb(NamedTuple):
    """Huge pages of the two common sizes; peaks (v1 alone) and failures are read in full only."""

    usage_2mb_bytes: int | None = None
    limit_2mb_bytes: int | None = None
    peak_2mb_bytes: int | None = None
    failures_2mb: int | None = None
    usage_1gb_bytes: int | None = None
    limit_1gb_bytes: int | None = None
    peak_1gb_bytes: int | None = None
    failures_1gb: int | None = None

    def sizes(self) -> dict[str, HugePages]:
        """Return what there is by size, as the kernel writes it: "2MB", "1GB"."""
        sizes = {
            "2MB": HugePages(self.usage_2mb_bytes, self.peak_2mb_bytes, self.failures_2mb),
            "1GB": HugePages(self.usage_1gb_bytes, self.peak_1gb_bytes, self.failures_1gb),
        }
        return {size: pages for size, pages in sizes.items() if pages.usage_bytes is not None}


Reading = Cpu | CpuUsage | Cpuset | Memory | Pids | Io | Pressure | Freezer | Hugetlb
RESOURCES: Mapping[str, type[Reading]] = {
    "cpu": Cpu,
    "cpuacct": CpuUsage,
    "cpuset": Cpuset,
    "memory": Memory,
    "pids": Pids,
    "io": Io,
    "pressure": Pressure,
    "freezer": Freezer,
    "hugetlb": Hugetlb,
}
# Any: each parser gives the types of the fields of its resource.
Values = Mapping[str, "Any"]


class ControlFile(NamedTuple):
    """One control file of a cgroup directory and the parser that turns it into fields of a Reading."""

    name: str
    parse: Callable[[bytes], Values]
