"""What we hold of one instant: raw counters and facts, frozen, no I/O, no rates.

A Census says which processes and cgroups there are; correlate makes
containers of it; an Observation joins those containers with what the kernel
said of them at that moment. rates and document subtract and present later.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from inspector.kernel.cgroups import Hierarchy, Membership
from inspector.kernel.controllers import Reading
from inspector.kernel.mounts import Mount
from inspector.kernel.named import NamedTuple
from inspector.kernel.network import Interface
from inspector.kernel.system import System

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

__all__ = [
    "Census",
    "Container",
    "Group",
    "Identity",
    "Key",
    "Leader",
    "Observation",
    "Own",
    "Process",
    "ProcessDetail",
    "Tally",
    "Told",
]

Identity = tuple[int, int]  # PID and start time (clock ticks since boot): one process, for ever
Key = tuple[str, str]  # resource and cgroup path


class Process(NamedTuple):
    """A process as every tick knows it. A namespace we may not read is None."""

    pid: int
    starttime_ticks: int
    ppid: int
    comm: str
    pid_ns: int | None
    mnt_ns: int | None

    @property
    def identity(self) -> Identity:
        """What tells this process from a later one with the same PID."""
        return self.pid, self.starttime_ticks


class Group(NamedTuple):
    """A cgroup path, the hierarchies it exists in, and the processes directly in it."""

    path: str
    hierarchies: frozenset[int]
    members: tuple[int, ...]


class Told(NamedTuple):
    """What the container we are in was told by who made it, and where: names that anyone in it could have written."""

    runtime: str
    source: str
    id: str = ""
    name: str = ""
    image: str = ""


class Own(NamedTuple):
    """The reader itself: where it stands decides what it can see.

    `true_roots` are the hierarchies (by index) whose mount shows the real
    root cgroup, above which there is nothing. `crowded`: a v1 cgroup that we
    are in holds tasks of a PID namespace around ours, which it does not list for us. `borrowed`: our /etc/hostname,
    and what `kept_in` is made of it, are of another container.
    """

    pid: int
    namespaces: Mapping[str, int]
    membership: Membership
    root: Mount | None
    own_pid_namespace: bool
    inside_container: bool
    hidden_ancestors: bool
    true_roots: frozenset[int]
    hostname: str
    kept_in: str = ""
    told: Told | None = None
    crowded: bool = False
    borrowed: bool = False


class Census(NamedTuple):
    """Which processes and cgroups there are at this tick."""

    hierarchies: tuple[Hierarchy, ...]
    own: Own
    processes: Mapping[int, Process]
    groups: Mapping[str, Group]


class Leader(NamedTuple):
    """A full look at the first process of a group; read once for its identity and remembered.

    `kept_in` is the directory that its /etc/hostname comes from: the one its runtime keeps for it.
    """

    process: Process
    namespaces: Mapping[str, int]
    membership: Membership
    root: Mount | None
    parent_cmdline: str
    parent_directory: str = ""
    kept_in: str = ""


class Container(NamedTuple):
    """A container, a service or a plain control group, with the evidence for it.

    `cgroups` gives the path for each resource the kernel accounts here;
    `owned` are the resources for which that cgroup is its alone, so that the
    cgroup's figures are the container's. `created_at` is what its runtime wrote down, `home` the cgroup that it gave
    the container's name: nobody may be in it at this moment.
    """

    id: str
    name: str
    kind: Literal["container", "service", "cgroup"]
    runtime: str | None
    image: str
    leader: Leader | None
    members: tuple[int, ...]
    evidence: tuple[str, ...]
    cgroups: Mapping[str, str]
    owned: frozenset[str]
    parent: str | None = None
    labels: Mapping[str, str] = MappingProxyType({})
    pod: str | None = None
    runtime_id: str | None = None
    created_at: float | None = None
    home: str | None = None

    @property
    def path(self) -> str | None:
        """The cgroup it is known by, where it has one of its own."""
        owned = (self.cgroups[name] for name in ("cpu", "cpuacct", "memory", "pids") if name in self.owned)
        return next(owned, self.home)


class Tally(NamedTuple):
    """What the members of a container without a cgroup of its own used: clock ticks by process, and memory."""

    ticks: Mapping[Identity, tuple[int, int]]
    anon_bytes: int | None
    threads: int


class ProcessDetail(NamedTuple):
    """One process of a container's process view; `uid` is its effective user in our terms, None where not readable."""

    process: Process
    inner_pid: int
    cmdline: str
    state: str
    ticks: int
    rss_bytes: int
    threads: int = 1
    uid: int | None = None


class Observation(NamedTuple):
    """One tick: the containers, and what the kernel said of each at that moment.

    `taken_at` is Unix time; `monotonic` is what rates are taken over. That is when the cgroups were read; what is told
    of processes and interfaces was so many seconds later.
    `readings` and `inodes` are keyed by resource and cgroup path (the kills in a container's memory are also those in
    cgroups within its own, on v1 as on v2: inspector.inner_kills); `hollow` says
    by container id why its application is gone, `health` what its health check said last, `unended` by cgroup path the
    share of periods throttled where, since the last look, none has ended (inspector.periods).
    """

    taken_at: float
    monotonic: float
    system: System
    own: Own
    hierarchies: tuple[Hierarchy, ...]
    located: Mapping[str, tuple[Hierarchy, int]]
    containers: tuple[Container, ...]
    readings: Mapping[Key, Reading]
    inodes: Mapping[Key, int]
    tallies: Mapping[str, Tally]
    interfaces: Mapping[int, tuple[Interface, ...]]
    processes: Mapping[str, tuple[ProcessDetail, ...]]
    problems: tuple[str, ...]
    denied: int
    hollow: Mapping[str, str] = MappingProxyType({})
    health: Mapping[str, str] = MappingProxyType({})
    denied_files: int = 0
    unended: Mapping[str, float] = MappingProxyType({})
    later_seconds: float = 0.0
