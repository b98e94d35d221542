"""The types of the JSON document: what ctop, nsinspect and the exporter say about containers.

This is the contract of the project. Units: cores as float, bytes, seconds;
a kernel figure in microseconds keeps the suffix `_us`. Unknown is null.
`*_ratio`, `*_cores` and `*_per_second` cover the interval between the two
samples; everything else is a total or the state now. Keys are stable: more
may be added, none is renamed or dropped.
"""

# Annotations are not postponed here: typing would compile the text of each of so many fields at every start.
from typing import Literal, TypedDict

from inspector.figures import SCHEMA

__all__ = [
    "SCHEMA",
    "Container",
    "Cpu",
    "Document",
    "Finding",
    "Io",
    "Machine",
    "Memory",
    "Network",
    "OfMany",
    "Pids",
    "ProcessRow",
    "Rootfs",
    "Viewpoint",
]


class Machine(TypedDict):
    """The machine's own totals: what plain /proc says to everyone."""

    hostname: str
    kernel: str
    cpus: int
    memory_bytes: int
    memory_available_bytes: int | None
    swap_bytes: int
    boot_time: float | None
    load: list[float]
    usage_cores: float | None
    memory_used_bytes: int | None


class Viewpoint(TypedDict):
    """From where we look: a container's view of limits ends at its cgroup namespace."""

    inside_container: bool
    hidden_ancestors: bool
    self: str | None


class Cpu(TypedDict):
    """CPU time, quota and throttling. `source`: "cgroup", or "processes" for a sum over the members."""

    source: Literal["cgroup", "processes"]
    cpuset: str | None
    usage_seconds: float | None
    user_seconds: float | None
    system_seconds: float | None
    usage_cores: float | None
    user_cores: float | None
    system_cores: float | None
    quota_us: int | None
    period_us: int | None
    burst_us: int | None
    weight: int | None
    limit_cores: float | None
    limit_set_by: str | None
    limit_ratio: float | None
    periods: int | None
    throttled_periods: int | None
    throttled_seconds: float | None
    throttled_ratio: float | None
    throttled_by: str | None
    inherited_throttled_ratio: float | None
    pressure_some_seconds: float | None
    pressure_some_ratio: float | None
    pressure_full_avg10: float | None
    pressure_full_avg60: float | None


class Memory(TypedDict):
    """Memory by Docker's and the kubelet's definition (working set), and the parts of it."""

    source: Literal["cgroup", "processes"]
    usage_bytes: int | None
    working_set_bytes: int | None
    anon_bytes: int | None
    file_bytes: int | None
    unreclaimable_bytes: int | None
    swap_bytes: int | None
    limit_bytes: int | None
    limit_set_by: str | None
    limit_ratio: float | None
    own_limit_bytes: int | None
    oom_kills: int | None
    limit_hits: int | None
    peak_bytes: int | None
    pressure_some_seconds: float | None
    pressure_full_seconds: float | None
    pressure_some_ratio: float | None
    pressure_full_ratio: float | None
    pressure_full_avg10: float | None
    pressure_full_avg60: float | None


class Pids(TypedDict):
    """Tasks (threads too) of the container and how many it may have."""

    current: int | None
    limit: int | None
    limit_set_by: str | None


class Io(TypedDict):
    """Bytes to and from block devices."""

    read_bytes: int | None
    write_bytes: int | None
    read_bytes_per_second: float | None
    write_bytes_per_second: float | None
    pressure_some_seconds: float | None
    pressure_some_ratio: float | None
    pressure_full_avg10: float | None
    pressure_full_avg60: float | None


class Network(TypedDict):
    """Traffic of the container's network namespace, loopback left out; null where it is the host's.

    `shared_with` names 20 of those in it at most, `shared_with_count` says how many there are beside this one.
    """

    shared_with_host: bool | None
    shared_with: list[str]
    shared_with_count: int | None
    receive_bytes: int | None
    transmit_bytes: int | None
    receive_bytes_per_second: float | None
    transmit_bytes_per_second: float | None


class Rootfs(TypedDict):
    """The root filesystem; `lower` from top to bottom."""

    type: str | None
    source: str | None
    read_only: bool | None
    lower: list[str]
    upper: str | None
    work: str | None
    merged: str | None


class Finding(TypedDict):
    """Something a person should know, in one sentence, with a stable code."""

    code: str
    severity: Literal["info", "warning", "critical"]
    text: str


class ProcessRow(TypedDict):
    """One process; `inner_pid` is its PID in the innermost PID namespace, `uid` its effective user in our terms."""

    pid: int
    inner_pid: int
    ppid: int
    comm: str
    cmdline: str
    state: str
    cpu_cores: float | None
    rss_bytes: int
    cpu_seconds: float
    threads: int
    uid: int | None
    started_at: float | None


class OfMany(TypedDict, total=False):
    """What only a document of many machines tells of a container: which of them it is on."""

    node: str


class Container(OfMany):
    """One container, service or control group.

    `started_at` is when its first process started, `created_at` what its runtime wrote down, or else the same. The
    kernel's boot is known in whole seconds, so that the former can be told up to a second too early.
    """

    id: str
    name: str
    kind: Literal["container", "service", "cgroup"]
    runtime: str | None
    image: str
    labels: dict[str, str]
    parent: str | None
    pod: str | None
    created_at: float | None
    started_at: float | None
    state: Literal["running", "paused", "hollow"]
    pid: int | None
    members: int
    evidence: list[str]
    cgroups: dict[str, str]
    namespaces: dict[str, int]
    cpu: Cpu
    memory: Memory
    pids: Pids
    io: Io
    network: Network
    rootfs: Rootfs
    findings: list[Finding]
    processes: list[ProcessRow] | None


class Document(TypedDict):
    """One look at the machine. `denied`: what we may not read, processes and files; `denied_files` of these files."""

    schema: int
    taken_at: float
    interval_seconds: float | None
    host: Machine
    viewpoint: Viewpoint
    containers: list[Container]
    problems: list[str]
    denied: int
    denied_files: int | None
