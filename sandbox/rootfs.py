"""The container's filesystem: what a plan of it consists of, as data.

planning.py makes the plan, mounting.py carries it out. The overlay
(overlays.py) lives in the container's own mount namespace: the kernel takes it
down with the last process. Its lower layers are plain directories, without what
is mounted below them: with `/` as rootfs no other mount of the host shows.

Defaults: moby daemon/pkg/oci/defaults.go.
"""

from __future__ import annotations

from sandbox.syscalls import (
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    MS_SHARED,
    MS_SLAVE,
    MS_UNBINDABLE,
)
from sandbox.value import Value

__all__ = [
    "LINKS",
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

    `copy_up`: what the root has there is copied into it. `may_go`: where the layer below is gone, nothing is mounted.
    """

    fstype: str
    target: str
    flags: int = 0
    data: str = ""
    source: str = ""
    plain: bool = True
    copy_up: bool = False
    propagation: str = ""
    may_go: bool = False

    def __str__(self) -> str:
        names = [name for name, bit in FLAG_NAMES.items() if self.flags & bit] + ([self.data] if self.data else [])
        return f"mount  {self.fstype} on {self.target} {','.join(names)}".rstrip()


class Bind(Value):
    """A file or directory of the host on `target`; `own`: /proc and /sys themselves.

    `below`: with what is mounted below it; `read_only_below`: that is read-only too. `fill`: what the root has there
    is copied into it first, when it is empty. `attributes`: MOUNT_ATTR_* besides; `cleared`: those that are taken from
    it, not from what is below. `idmap`: in a user namespace of its own it shows what is stored by ids inside, without
    what is mounted below it; `tree` is its source then, opened. `may_go`: where the source is gone, nothing is mounted.
    `subpath`: not the source, but what is there in it, which others may be changing.
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
    may_go: bool = False
    subpath: str = ""

    @property
    def comes_from(self) -> str:
        """Return what is bound, to be read."""
        return f"{self.source}/{self.subpath}" if self.subpath else self.source

    def __str__(self) -> str:
        notes = [" read-only"] * self.read_only + [" filled from the image"] * self.fill + [" idmap"] * self.idmap
        return f"bind   {self.comes_from} on {self.target}{','.join(notes)}"


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
