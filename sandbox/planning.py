"""The plan of a container's filesystem, from its spec: what is mounted on its root, in order; pure.

Defaults: moby daemon/pkg/oci/defaults.go.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence

from sandbox.cgroup import Place
from sandbox.devices import NODES
from sandbox.rootfs import (
    FLAG_NAMES,
    LINKS,
    MASKED,
    READ_ONLY,
    SAFE,
    Bind,
    Foreign,
    Layout,
    Link,
    Mask,
    Mount,
    Node,
    ReadOnly,
    Step,
)
from sandbox.spec import Spec
from sandbox.syscalls import MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY, MS_STRICTATIME
from sandbox.volumes.wanted import Volume

__all__ = ["hide", "plan"]

SHM = "/dev/shm"  # noqa: S108  not a temporary file of ours


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
        subpath=volume.subpath,
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
