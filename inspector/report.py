"""The types of `nsinspect --json`: everything that walls one process in, and what it is told of the machine.

Units: cores as float, bytes, seconds. Unknown is null. Keys are stable.
"""

from __future__ import annotations

from typing import TypedDict

from inspector.schema import Finding, Rootfs

__all__ = [
    "Capabilities",
    "Cgroup",
    "CpuOwn",
    "DeviceLimit",
    "IdMap",
    "LimitLine",
    "Limits",
    "MountEntry",
    "Namespace",
    "Report",
    "Resources",
    "Security",
    "Step",
    "Unreadable",
]


class Namespace(TypedDict):
    """One namespace of the process. `owner` is the user namespace that governs it; `parent`: pid and user have one."""

    inode: int
    same_as_host: bool | None
    processes: int
    containers: list[str]
    owner: int | None
    parent: int | None


class Cgroup(TypedDict):
    """Where the process is in one hierarchy."""

    controllers: list[str]
    version: int
    path: str


class Step(TypedDict):
    """One cgroup on the way up, and the limit it sets itself."""

    path: str
    value: float | int | None


class LimitLine(TypedDict):
    """One resource: the effective limit, its origin, and what its `own` cgroup sets.

    `kind`: "limit", or "guarantee" (memory.low and memory.min: so much is kept from others' reclaim), or "target"
    (v1's soft limit: what reclaim pushes it back to). `hidden_ancestors`: there may be tighter ones we cannot see.
    """

    kind: str
    own: float | int | None
    value: float | int | None
    set_by: str | None
    chain: list[Step]
    hidden_ancestors: bool


class CpuOwn(TypedDict):
    """What the process's own cgroup says of the CPU: the weight is a share among its siblings, not a limit."""

    quota_us: int | None
    period_us: int | None
    burst_us: int | None
    weight: int | None
    cpuset: str | None


class DeviceLimit(TypedDict):
    """A limit of I/O on one device ("8:0"); `figure` e.g. read_bytes_per_second."""

    device: str
    figure: str
    limit: LimitLine


class Limits(TypedDict):
    """`cpu` in cores (quota and cpuset together), memory in bytes, `pids` in tasks, `cpuset` in CPUs.

    `memory_others` by name: high, swap, low, min, soft, as far as this kernel has them. `above`: what still tells of
    cgroups that we cannot see.
    """

    cpu: LimitLine
    memory: LimitLine
    pids: LimitLine
    cpuset: LimitLine
    cpu_own: CpuOwn | None
    memory_others: dict[str, LimitLine]
    io: list[DeviceLimit]
    hugetlb: dict[str, LimitLine]
    above: list[str]


class MountEntry(TypedDict):
    """A mount that the host does not have; `source_root` is the directory of the filesystem that it shows."""

    mountpoint: str
    type: str
    source: str
    source_root: str
    read_only: bool
    options: list[str]
    propagation: list[str]


class IdMap(TypedDict):
    """`length` ids from `inside` on are `outside` on for us."""

    inside: int
    outside: int
    length: int


class Capabilities(TypedDict):
    """The five sets of capabilities(7), by name."""

    effective: list[str]
    permitted: list[str]
    inheritable: list[str]
    bounding: list[str]
    ambient: list[str]


class Security(TypedDict):
    """What the process may do. `seccomp`: disabled, strict or filter. `lsm`: AppArmor profile, SELinux context."""

    uid: int | None
    gid: int | None
    uid_map: list[IdMap] | None
    gid_map: list[IdMap] | None
    capabilities: Capabilities | None
    seccomp: str | None
    seccomp_filters: int | None
    no_new_privs: bool | None
    lsm: str | None
    devices: list[str] | None
    devices_note: str | None
    masked_paths: list[str]
    read_only_paths: list[str]


class Resources(TypedDict):
    """What there is: as /proc says it to the process, or as it really is for it.

    The kernel keeps no load of a cgroup: beside it `pressure` is the share of the last 10 s in which some task of
    its cgroup waited for a resource (PSI).
    """

    cpus: float | int | None
    memory_bytes: int | None
    memory_free_bytes: int | None
    memory_available_bytes: int | None
    swap_bytes: int | None
    swap_free_bytes: int | None
    uptime_seconds: float | None
    load: list[float] | None
    pressure: dict[str, float | None] | None


class Unreadable(TypedDict):
    """What could not be read, why, and the capability that would help."""

    what: str
    error: str
    needs: str | None


class Report(TypedDict):
    """All of it. `pids` from the outermost PID namespace to the innermost; `chroot` a root that is no mount's.

    `thread_of` is the process of a thread that is not its first one, None of all others.

    `state` is the letter of proc_pid_stat(5), `container_state` "running", "paused" or "hollow"; `container_parents`
    names the containers around its own, the innermost first.
    """

    schema: int
    pid: int
    pids: list[int]
    thread_of: int | None
    comm: str
    cmdline: str
    state: str
    kernel_thread: bool
    container: str | None
    container_name: str | None
    container_runtime: str | None
    container_image: str | None
    container_state: str | None
    container_evidence: list[str]
    container_parents: list[str]
    namespaces: dict[str, Namespace]
    cgroups: list[Cgroup]
    limits: Limits
    rootfs: Rootfs
    chroot: str | None
    mounts: list[MountEntry]
    security: Security
    proc_says: Resources
    really_has: Resources
    findings: list[Finding]
    unreadable: list[Unreadable]
