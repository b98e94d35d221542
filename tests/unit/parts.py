"""Parts of the model made by hand, for the tests of the pure modules: a v2 machine seen from the host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from inspector.kernel.cgroups import Hierarchy, Membership
from inspector.kernel.controllers import RESOURCES, Reading
from inspector.kernel.mounts import Mount, parse_mountinfo
from inspector.kernel.namespaces import INITIAL
from inspector.kernel.network import Interface
from inspector.kernel.system import System
from inspector.model import Census, Container, Group, Key, Leader, Observation, Own, Process, Tally

__all__ = [
    "LOCATED", "OVERLAY", "OWN", "ROOT", "census", "container", "group", "interface", "leader", "mount", "observation",
    "process",
]  # fmt: skip


def mount(line: str) -> Mount:
    """Return the mount that one line of mountinfo tells."""
    return parse_mountinfo(line.encode())[0]


ROOT = mount("27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n")
OVERLAY = mount("30 1 0:50 / / rw - overlay overlay rw,lowerdir=/l,upperdir=/var/lib/docker/overlay2/x/diff,workdir=/w")
TREE = Hierarchy(2, frozenset({"cpu", "cpuset", "io", "memory", "pids"}), "/sys/fs/cgroup")
LOCATED = {name: (TREE, 0) for name in RESOURCES if name != "hugetlb"}
OWN = Own(1, dict(INITIAL), Membership({"": "/"}), ROOT, False, False, False, frozenset({0}), "fake")  # noqa: FBT003
SYSTEM = System("fake", "6.1.0", 4, 8 << 30, 7 << 30, 0, 0, 1.7e9, (0.0, 0.0, 0.0), 1000.0, 100.0)


def process(
    pid: int,
    pid_ns: int | None = INITIAL["pid"],
    mnt_ns: int | None = INITIAL["mnt"],
    *,
    ppid: int = 1,
    starttime: int = 5000,
    comm: str = "sh",
) -> Process:
    """Return a process, on the host where no namespace is given."""
    return Process(pid, starttime, ppid, comm, pid_ns, mnt_ns)


def group(path: str, *members: int) -> Group:
    """Return a cgroup with these processes directly in it."""
    return Group(path, frozenset({0}), members)


def census(processes: Iterable[Process], groups: Iterable[Group] = (), own: Own = OWN) -> Census:
    """Return a census of these processes and cgroups."""
    return Census((TREE,), own, {one.pid: one for one in processes}, {one.path: one for one in groups})


def leader(of: Process, path: str = "/", *, root: Mount | None = ROOT, parent: str = "") -> Leader:
    """Return the full look at a process in the cgroup `path`; `parent` is its parent's command line."""
    found = {"pid": of.pid_ns, "mnt": of.mnt_ns}
    namespaces = {**INITIAL, **{kind: inode for kind, inode in found.items() if inode is not None}}
    return Leader(of, namespaces, Membership({"": path}), root, parent)


def container(name: str = "web", **changes: object) -> Container:
    """Return a container of Docker whose own cgroup is /docker/<name>."""
    path = f"/docker/{name}"
    first = process(100, 4026540001, 4026550001)
    made = Container(
        id=name, name=name, kind="container", runtime="docker", image="unknown", leader=leader(first, path),
        members=(100,), evidence=("cgroup pattern docker",), cgroups=dict.fromkeys(LOCATED, path),
        owned=frozenset(LOCATED),
    )  # fmt: skip
    return made._replace(**changes)  # type: ignore[arg-type]  # the fields that a test is about


def interface(name: str, received: int, sent: int) -> Interface:
    """Return an interface with these bytes."""
    return Interface(name, received, 0, 0, 0, sent, 0, 0, 0)


def observation(
    monotonic: float,
    *,
    containers: Iterable[Container] = (),
    readings: Mapping[Key, Reading] | None = None,
    inodes: Mapping[Key, int] | None = None,
    tallies: Mapping[str, Tally] | None = None,
    interfaces: Mapping[int, tuple[Interface, ...]] | None = None,
    own: Own = OWN,
) -> Observation:
    """Return what is held of one instant, `monotonic` seconds after boot; each cgroup read has the inode 1."""
    readings = readings or {}
    return Observation(
        1.7e9 + monotonic, monotonic, SYSTEM._replace(uptime_seconds=monotonic), own, (TREE,), LOCATED,
        tuple(containers), readings, dict.fromkeys(readings, 1) if inodes is None else inodes, tallies or {},
        interfaces or {}, {}, (), 0,
    )  # fmt: skip
