"""What a file has beside its data: owner, mode, extended attributes, times; read and set by descriptor."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping

from inspector.kernel.named import NamedTuple
from sandbox.inroot import host_path

__all__ = ["CAPABILITY", "Metadata", "is_whiteout", "nanoseconds", "read_attributes", "set_metadata"]

CAPABILITY = "security.capability"
LARGEST_TIME_NS = 2**62
UNSUPPORTED = (errno.EPERM, errno.ENOTSUP, errno.EACCES)


class Metadata(NamedTuple):
    """Owner (None: left as it is), permission bits, time of the last change in ns, extended attributes."""

    owner: tuple[int, int] | None
    mode: int
    mtime_ns: int
    attributes: Mapping[str, bytes] = {}


def is_whiteout(found: os.stat_result) -> bool:
    """Tell whether a file is overlayfs's mark for "deleted": a character device 0:0."""
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def wanted(name: str) -> bool:
    """Tell whether an attribute belongs to the file: all others are the host's, or overlayfs's own."""
    return name == CAPABILITY or (name.startswith("user.") and not name.startswith("user.overlay."))


def read_attributes(fd: int) -> dict[str, bytes]:
    """Return the extended attributes that go with a file, of an open or an O_PATH descriptor."""
    try:
        names = os.listxattr(host_path(fd))
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        return {}
    return {name: os.getxattr(host_path(fd), name) for name in names if wanted(name)}


def set_metadata(fd: int, given: Metadata) -> Iterator[str]:
    """Set all of it; yield what could not be set. The order matters: chown clears set-uid and capabilities."""
    if given.owner is not None:
        os.fchown(fd, *given.owner)
    os.fchmod(fd, given.mode)
    for name, value in given.attributes.items():
        if not wanted(name):
            continue
        try:
            os.setxattr(fd, name, value)
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
            yield "file capabilities" if name == CAPABILITY else "extended attributes"
    os.utime(fd, ns=(given.mtime_ns, given.mtime_ns))


def nanoseconds(seconds: float | str) -> int:
    """Return a time, in digits as an archive has it or as a number, as utimensat takes it; what is none is 1970."""
    try:
        if isinstance(seconds, str) and seconds.replace(".", "", 1).isdecimal():
            whole, _, rest = seconds.partition(".")
            return min(int(whole or 0) * 1_000_000_000 + int(rest[:9].ljust(9, "0")), LARGEST_TIME_NS)
        return max(min(int(float(seconds) * 1_000_000_000), LARGEST_TIME_NS), 0)
    except (ValueError, OverflowError):
        return 0
