"""The container's filesystem: a plan that is data.

mounting.py carries it out. The overlay (overlays.py) lives in the container's own mount namespace: the kernel takes
it down with the last process. Its lower layers are plain directories, without
what is mounted below them: with `/` as rootfs no other mount of the host shows.

Defaults: moby daemon/pkg/oci/defaults.go.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence

from sandbox.cgroup import Place
from sandbox.devices import NODES
from sandbox.spec import Spec
from sandbox.syscalls import (
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    MS_SHARED,
    MS_SLAVE,
    MS_STRICTATIME,
    MS_UNBINDABLE,
)
from sandbox.value import Value
from sandbox.volumes.wanted import Volume

__all__ = [
    "MASKED",
    "PROPAGATIONS",
    "READ_ONLY",
    "Bind",
    "Directory",
    "Foreign",
    "Layout",
    "Link",
    "Mask",
    "Mount",
    "Node",
    "ReadOnly",
    "Step",
    "hide",
    "plan",
]

MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/devices/system/cpu/*/thermal_throttle",
)
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
LINKS = (
    ("/dev/ptmx", "pts/ptmx"),
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
)
SHM = "/dev/shm"  # noqa: S108  not a temporary file of ours
SAFE = MS_NOSUID | MS_NODEV | MS_NOEXEC
KINDS = {"private": MS_PRIVATE, "slave": MS_SLAVE, "shared": MS_SHARED, "unbindable": MS_UNBINDABLE}
# By which words mount(8) calls what becomes of mounts below one: here or there, and of all that are there already.
PROPAGATIONS = KINDS | {f"r{name}": kind | MS_REC for name, kind in KINDS.items()}
FLAG_NAMES = {"ro": MS_RDONLY, "nosuid": MS_NOSUID, "nodev": MS_NODEV, "noexec": MS_NOEXEC}


class Layout(Value):
    """Where a container's own files are on the host; `lowers`: what it is made of, the highest layer first."""

    lowers: tuple[str, ...]
    upper: str
    work: str
    merged: str
    hostname_file: str
    hosts_file: str
    resolv_file: str = ""


class Mount(Value):
    """A new filesystem on `target`; `plain` refuses a target that is reached through a symbolic link.

    `copy_up`: what the root has there is copied into it.
    """

    fstype: str
    target: str
    flags: int = 0
    data: str = ""
    source: str = ""
    plain: bool = True
    copy_up: bool = False
    propagation: str = ""

    def __str__(self) -> str:
        names = [name for name, bit in FLAG_NAMES.items() if self.flags & bit] + ([self.data] if self.data else [])
        return f"mount  {self.fstype} on {self.target} {','.join(names)}".rstrip()


class Bind(Value):
    """A file or directory of the host on `target`; `own`: /proc and /sys themselves.

    `below`: with what is mounted below it; `read_only_below`: that is read-only too. `fill`: what the root has there
    is copied into it first, when it is empty. `attributes`: MOUNT_ATTR_* besides; `cleared`: those that are taken from
    it, not from what is below. `idmap`: in a user namespace of its own it shows what is stored by ids inside, without
    what is mounted below it; `tree` is its source then, opened.
    """

    source: str
    target: str
    read_only: bool = False
    own: bool = False
    below: bool = True
    read_only_below: bool = True
    propagation: str = ""
    fill: bool = False
    attributes: int = 0
    cleared: int = 0
    idmap: bool = False
    tree: int = -1

    def __str__(self) -> str:
        notes = [" read-only"] * self.read_only + [" filled from the image"] * self.fill + [" idmap"] * self.idmap
        return f"bind   {self.source} on {self.target}{','.join(notes)}"


class Directory(Value):
    """A directory that has to be there."""

    path: str

    def __str__(self) -> str:
        return f"mkdir  {self.path}"


class Node(Value):
    """A device; in a user namespace the host's own node, `source`, is bound, as none can be made."""

    path: str
    kind: int
    major: int
    minor: int
    mode: int = 0o666
    bind: bool = False
    owner: tuple[int, int] = (0, 0)
    source: str = ""

    def __str__(self) -> str:
        return f"{'bind  ' if self.bind else 'mknod '} {self.path} {self.major}:{self.minor}"


class Link(Value):
    """A symbolic link."""

    path: str
    text: str

    def __str__(self) -> str:
        return f"link   {self.path} -> {self.text}"


class Mask(Value):
    """A path that is hidden, where it exists. `*` stands for any one name."""

    path: str

    def __str__(self) -> str:
        return f"mask   {self.path}"


class ReadOnly(Value):
    """A path that cannot be written, where it exists."""

    path: str

    def __str__(self) -> str:
        return f"rdonly {self.path}"


class Foreign(Value):
    """A mount of another container, on the same path here; `pidfd` is a process of it."""

    pidfd: int
    path: str

    def __str__(self) -> str:
        return f"bind   {self.path} of the other container"


Step = Mount | Bind | Directory | Node | Link | Mask | ReadOnly | Foreign


def plan(
    spec: Spec,
    layout: Layout,
    places: Sequence[Place],
    *,
    rootless: bool = False,
    host_devices: Iterable[Node] = (),
    pieces: Iterable[Step] = (),
    shared_ipc: int | None = None,
    over: Iterable[Step] = (),
) -> tuple[Step, ...]:
    """Return what is mounted on the root, in order; first its `pieces`, when it is not one overlay.

    `host_devices` come besides the usual ones; `over` comes after /proc and /sys.
    """
    # proc can be mounted by the owner of the PID namespace only, sysfs by that of the network namespace.
    shared_proc = rootless and spec.sharing.pid == "host"
    steps: list[Step] = [*pieces, Bind("/proc", "/proc", own=True) if shared_proc else Mount("proc", "/proc", SAFE)]
    has_users = spec.sharing.has_users
    steps += _dev(bound=rootless or has_users, one_id=rootless, host_devices=host_devices)
    steps += _shm(spec, shared_ipc)
    steps += _sys(spec, places, rootless=rootless)
    steps += over
    files = {"/etc/hostname": layout.hostname_file, "/etc/hosts": layout.hosts_file}
    files |= {"/etc/resolv.conf": layout.resolv_file} if layout.resolv_file else {}
    own_files = [Bind(source, target, spec.read_only, idmap=has_users) for target, source in files.items()]
    # A mount is made before those below it, in whatever order they were given.
    mounts: list[Bind | Mount] = [_volume(volume, has_users=has_users) for volume in spec.volumes]
    for tmpfs in spec.tmpfs:
        flags = sum(FLAG_NAMES[name] for name in tmpfs.flags)
        mounts.append(Mount("tmpfs", tmpfs.target, flags, tmpfs.data, "tmpfs", plain=False))
    chosen = {mount.target for mount in mounts}
    steps += [file for file in own_files if file.target not in chosen]
    mounts.sort(key=lambda mount: mount.target.count("/"))
    steps += mounts
    if spec.security.system_paths and not spec.privileged:
        steps += [ReadOnly(path) for path in READ_ONLY]
        steps += [Mask(path) for path in MASKED]
    return tuple(steps)


def hide(store: str, rootfs: str) -> Iterator[Step]:
    """Yield an empty filesystem over the directory with every container's files, when it lies in the rootfs."""
    inside = os.path.relpath(store, rootfs)
    if not inside.startswith("..") and inside != ".":
        yield Mount("tmpfs", f"/{inside}", MS_NOSUID | MS_NODEV, "mode=700", "tmpfs", plain=False)


def _volume(volume: Volume, *, has_users: bool) -> Bind:
    return Bind(
        volume.source,
        volume.target,
        volume.read_only,
        below=volume.recursion != "disabled",
        read_only_below=volume.recursion == "enabled",
        propagation=volume.propagation,
        fill=bool(volume.name and volume.copy),
        idmap=volume.idmap or bool(has_users and volume.name),
    )


def _dev(*, bound: bool, one_id: bool, host_devices: Iterable[Node]) -> Iterator[Step]:
    yield Mount("tmpfs", "/dev", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k", "tmpfs")
    given = list(host_devices)
    taken = {node.path for node in given}
    for name, major, minor in NODES:
        if f"/dev/{name}" not in taken:
            yield Node(f"/dev/{name}", stat.S_IFCHR, major, minor, bind=bound)
    yield from given
    # gid 5 is tty on every distribution; a user namespace with one id has no such group.
    group = "" if one_id else ",gid=5"
    data = f"newinstance,ptmxmode=0666,mode=0620{group}"
    yield Mount("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, data, "devpts")
    yield Mount("mqueue", "/dev/mqueue", SAFE, "", "mqueue")
    for path, text in LINKS:
        yield Link(path, text)


def _shm(spec: Spec, shared_ipc: int | None) -> Iterator[Step]:
    """Yield /dev/shm, where the memory that goes by name is: whose IPC a container shares, that memory too."""
    if shared_ipc is not None:
        yield Foreign(shared_ipc, SHM)
    elif spec.sharing.ipc == "host":
        yield Bind(SHM, SHM)
    elif spec.sharing.ipc != "none":
        yield Mount("tmpfs", SHM, SAFE, f"mode=1777,size={spec.attributes.shm_bytes}", "shm")


def _sys(spec: Spec, places: Sequence[Place], *, rootless: bool) -> Iterator[Step]:
    read_only = 0 if spec.privileged else MS_RDONLY
    if rootless and spec.host_network:
        yield Bind("/sys", "/sys", read_only=True, own=True)
        return
    yield Mount("sysfs", "/sys", SAFE | read_only, "", "sysfs")
    if not places:
        return
    if len(places) == 1 and places[0].hierarchy.version != 1:
        yield Mount("cgroup2", "/sys/fs/cgroup", SAFE | read_only, "", "cgroup")
        return
    yield Mount("tmpfs", "/sys/fs/cgroup", SAFE, "mode=755", "cgroup")
    for where in places:
        target = f"/sys/fs/cgroup/{os.path.basename(where.hierarchy.mountpoint)}"
        if where.hierarchy.version == 1:
            names = sorted(where.hierarchy.controllers)
            # A named hierarchy without controllers is asked for with `none,name=...`.
            data = ",".join(["none", *names] if names[0].startswith("name=") and len(names) == 1 else names)
            yield Mount("cgroup", target, SAFE | read_only, data, "cgroup")
        else:
            yield Mount("cgroup2", target, SAFE | read_only, "", "cgroup")
    for where in places:  # "cpu,cpuacct" in one hierarchy answers to both names
        name = os.path.basename(where.hierarchy.mountpoint)
        for alias in sorted(where.hierarchy.controllers - {name}) if "," in name else ():
            yield Link(f"/sys/fs/cgroup/{alias}", name)
    if read_only:
        yield ReadOnly("/sys/fs/cgroup")
