"""Namespaces of a process: the links /proc/<pid>/ns/* (namespaces(7))."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping

from inspector.errors import ParseError
from inspector.kernel.figures import MOST_DIGITS
from inspector.kernel.host import Host
from inspector.kernel.named import NamedTuple
from inspector.kernel.remembered import remembered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "INITIAL",
    "NAMESPACES",
    "Relations",
    "is_initial",
    "parse_namespace",
    "parse_timens_offsets",
    "read_boottime_offset",
    "read_namespace",
    "read_namespaces",
    "read_relations",
    "read_relatives",
]

NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")

# Inode numbers of the machine's first namespaces (include/linux/proc_ns.h; uapi/linux/nsfs.h since Linux 6.18).
INITIAL = {
    "ipc": 0xEFFFFFFF,
    "uts": 0xEFFFFFFE,
    "user": 0xEFFFFFFD,
    "pid": 0xEFFFFFFC,
    "cgroup": 0xEFFFFFFB,
    "time": 0xEFFFFFFA,
    "net": 0xEFFFFFF9,
    "mnt": 0xEFFFFFF8,
}
# Before Linux 6.18 these two had a number of the dynamic range, which starts at 0xF0000000.
FIXED_SINCE_6_18 = ("net", "mnt")

# ioctl_ns(2), since Linux 4.9.
NS_GET_USERNS = 0xB701
NS_GET_PARENT = 0xB702
NS_GET_OWNER_UID = 0xB704  # since Linux 4.11
HIERARCHICAL = ("pid", "user")


# A link's text: "mnt:[4026531832]"
@remembered(16384)  # most processes share theirs with others
def parse_namespace(text: str) -> tuple[str, int]:
    """Parse the text of a namespace link: its kind and its inode number."""
    kind, opened, rest = text.partition(":[")
    digits = rest[:-1]
    if not (
        opened and rest.endswith("]") and digits.isdecimal() and len(digits) <= MOST_DIGITS
        and kind.isalpha() and kind.islower() and text.isascii()
    ):  # fmt: skip
        raise ParseError("/proc/<pid>/ns", text)
    return kind, int(digits)


def read_namespace(host: Host, pid: int | str, kind: str) -> int:
    """Read the inode number of a namespace (/proc/<pid>/ns/<kind>); ENOENT: no such process, or kind in this kernel."""
    return parse_namespace(host.readlink(f"/proc/{pid}/ns/{kind}"))[1]


def read_namespaces(
    host: Host, pid: int | str, types: Collection[str] = NAMESPACES, known: Mapping[str, int | None] | None = None
) -> dict[str, int]:
    """Read the inode numbers of a process's namespaces (/proc/<pid>/ns/) by kind; not those that are `known` by now.

    A kind that this kernel lacks is left out, as are those a zombie no longer
    has. Other errors are raised: EACCES without CAP_SYS_PTRACE over the
    process, ENOENT when the process is gone.
    """
    directory = f"/proc/{pid}/ns"
    read: dict[str, Any] = dict.fromkeys(types)
    unknown = types
    if known:
        read |= known
        unknown = [kind for kind, inode in read.items() if inode is None]
    missing: OSError | None = None
    for kind, text in zip(unknown, host.readlinks(directory, unknown), strict=True):
        if isinstance(text, str):
            read[kind] = parse_namespace(text)[1]
        elif isinstance(text, FileNotFoundError):
            missing = text
        else:
            raise text
    if missing is not None and not host.access(directory):
        raise missing
    return {kind: inode for kind, inode in read.items() if inode is not None} if None in read.values() else read


def read_relatives(host: Host, pid: int | str, kind: str) -> tuple[int | None, int | None]:
    """Return the inode of the user namespace that owns a process's namespace, and of its parent (pid and user).

    None where there is none, or where the kernel does not let us see it
    (EPERM: it lies above our own user or PID namespace).
    """
    fd = host.open_fd(f"/proc/{pid}/ns/{kind}")
    try:
        return _related(fd, NS_GET_USERNS), _related(fd, NS_GET_PARENT) if kind in HIERARCHICAL else None
    finally:
        os.close(fd)


class Relations(NamedTuple):
    """Who is above a namespace, by inode, the nearest first, as far up as the kernel lets us see.

    `owners` are the user namespace that governs it and that one's parents,
    `parents` its own (PID and user namespaces have some). `uid` is the user
    who made a user namespace, in our terms.
    """

    owners: tuple[int, ...] = ()
    parents: tuple[int, ...] = ()
    uid: int | None = None


def read_relations(host: Host, path: str, kind: str) -> Relations:
    """Ask the kernel what is above the namespace that the file `path` stands for (ioctl_ns(2))."""
    fd = host.open_fd(path)
    try:
        parents = _line(fd, NS_GET_PARENT) if kind in HIERARCHICAL else ()
        return Relations(_line(fd, NS_GET_USERNS), parents, _owner_uid(fd) if kind == "user" else None)
    finally:
        os.close(fd)


def _line(fd: int, request: int) -> tuple[int, ...]:
    """Follow one request, and from there the parents, to the last namespace that we may see."""
    import fcntl  # noqa: PLC0415  a tick asks nothing of a namespace

    found: list[int] = []
    current = os.dup(fd)
    try:
        while True:
            above = fcntl.ioctl(current, request if not found else NS_GET_PARENT)
            os.close(current)
            current = above
            found.append(os.fstat(current).st_ino)
    except OSError:  # EPERM: the first one, or one above our own
        return tuple(found)
    finally:
        os.close(current)


def _owner_uid(fd: int) -> int | None:
    import fcntl  # noqa: PLC0415  as above

    try:
        return int.from_bytes(fcntl.ioctl(fd, NS_GET_OWNER_UID, bytes(4)), sys.byteorder)
    except OSError:
        return None


def _related(fd: int, request: int) -> int | None:
    import fcntl  # noqa: PLC0415  as above

    try:
        related = fcntl.ioctl(fd, request)
    except OSError:
        return None
    try:
        return os.fstat(related).st_ino
    finally:
        os.close(related)


def is_initial(kind: str, inode: int) -> bool | None:
    """Tell whether a namespace is the machine's first of its kind; None where this kernel does not let us know."""
    if inode == INITIAL[kind]:
        return True
    return None if kind in FIXED_SINCE_6_18 else False


# Lines "monotonic           0         0", "boottime       100000         0": seconds, nanoseconds
def parse_timens_offsets(data: bytes) -> float:
    """Parse /proc/<pid>/timens_offsets: the seconds that the clock since boot is ahead in a time namespace."""
    for line in data.splitlines():
        words = line.split()
        if len(words) == 3 and words[0] == b"boottime" and max(map(len, words)) <= MOST_DIGITS:  # noqa: PLR2004
            try:
                return int(words[1]) + int(words[2]) / 1e9
            except ValueError:
                break
    raise ParseError("/proc/<pid>/timens_offsets", data)


def read_boottime_offset(host: Host, pid: int | str) -> float:
    """Return by how many seconds a process's clock since boot is ahead of the machine's (time_namespaces(7))."""
    # The file is of the namespace that its children will be in: its own, but for who has just called unshare(2).
    links = host.readlinks(f"/proc/{pid}/ns", ("time", "time_for_children"))
    own, childrens = (str(link).rpartition(":")[2] for link in links)
    return parse_timens_offsets(host.read(f"/proc/{pid}/timens_offsets")) if own == childrens else 0.0
