"""`--lxcfs`: the files of /proc that tell a container what it has, not what the machine has, where lxcfs runs.

lxcfs serves them on a mount of its own (/var/lib/lxcfs, often), computed from
the cgroups of the process that reads. They are bound over the container's own.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from inspector.kernel.mounts import Mount
from sandbox.errors import SandboxError
from sandbox.rootfs import Bind

__all__ = ["FILES", "FSTYPE", "steps"]

FSTYPE = "fuse.lxcfs"
FILES = (
    "proc/cpuinfo",
    "proc/diskstats",
    "proc/loadavg",
    "proc/meminfo",
    "proc/slabinfo",
    "proc/stat",
    "proc/swaps",
    "proc/uptime",
    "sys/devices/system/cpu/online",
)


def steps(mounts: Iterable[Mount]) -> list[Bind]:
    """Return what is bound; SandboxError where no lxcfs is mounted, or the one that is does not answer."""
    where = [mount.mountpoint for mount in mounts if mount.fstype == FSTYPE]
    if not where:
        raise SandboxError(f"--lxcfs: lxcfs does not run here: no {FSTYPE} is mounted")
    for mountpoint in reversed(where):
        found = [path for path in FILES if os.path.exists(f"{mountpoint}/{path}")]
        if "proc/meminfo" in found:
            return [Bind(f"{mountpoint}/{path}", f"/{path}", own=True) for path in found]
    raise SandboxError(f"--lxcfs: {where[-1]} does not answer: is lxcfs still running?")
