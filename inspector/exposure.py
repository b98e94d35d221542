"""What the mounts of a process show of the host, and what they keep from it. Pure.

Whose directory a mount shows is told by its device and its root field, held
against the host's own mounts (proc_pid_mountinfo(5)): what a path is called
inside says nothing.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import NamedTuple

from inspector.kernel.mounts import Mount

__all__ = ["Exposure", "below", "exposures", "guarded", "host_directory"]

SPECIAL = frozenset({"proc", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue", "securityfs", "debugfs", "tracefs"})
NOTHING = ("/dev/null", "/firejail/firejail.ro.dir", "/firejail/firejail.ro.file")


class Exposure(NamedTuple):
    """A mount that shows something of the host: `host_path` there, `mountpoint` inside."""

    mountpoint: str
    host_path: str
    writable: bool


def exposures(mounts: Sequence[Mount], hosts: Sequence[Mount]) -> list[Exposure]:
    """Tell which of a process's mounts show a directory or file of a filesystem that the host has mounted, and which.

    The pseudo filesystems are left out: they show the kernel, not files.
    """
    found = []
    for mount in mounts:
        if mount.fstype in SPECIAL:
            continue
        if (path := host_directory(mount, hosts)) is not None:
            found.append(Exposure(mount.mountpoint, path, not mount.read_only))
    return found


def host_directory(mount: Mount, hosts: Sequence[Mount]) -> str | None:
    """Return where the host has what a mount shows: the mount that shows the least around it, then the shortest."""
    places = []
    for one in hosts:
        if (one.device_major, one.device_minor) != (mount.device_major, mount.device_minor):
            continue
        if not below(mount.root, one.root):
            continue
        rest = mount.root[len(one.root.rstrip("/")) :].lstrip("/")
        path = posixpath.join(one.mountpoint, rest) if rest else one.mountpoint
        places.append((len(path), path))
    return min(places)[1] if places else None


def below(path: str, above: str) -> bool:
    """Tell whether a path is `above` or lies below it."""
    return path == above or path.startswith(above.rstrip("/") + "/")


def guarded(mounts: Sequence[Mount]) -> tuple[list[str], list[str]]:
    """Return the paths of /proc and /sys that are masked (something empty lies over them), and the read-only ones."""
    masked, read_only = [], []
    for mount in mounts:
        if not any(below(mount.mountpoint, top) for top in ("/proc", "/sys")):
            continue
        empty = mount.fstype == "tmpfs" and mount.mountpoint != "/sys/fs/cgroup"
        if empty or mount.root == "/null" or mount.root.endswith(NOTHING):
            masked.append(mount.mountpoint)
        elif mount.read_only:
            read_only.append(mount.mountpoint)
    return sorted(set(masked)), sorted(set(read_only))
