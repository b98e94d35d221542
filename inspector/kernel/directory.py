"""What stat(2) says of a file, and directories that somebody else may be changing while we walk them."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from inspector.kernel.named import NamedTuple

__all__ = ["OPEN_DIRECTORY", "Directory", "Entry", "get_attribute", "to_entry"]

STAT_BLOCK = 512  # bytes in a unit of st_blocks, whatever the filesystem's own block is
OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
NO_ATTRIBUTE = (errno.ENODATA, errno.EOPNOTSUPP)


class Entry(NamedTuple):
    """What stat(2) says of a file: its identity, its kind and its owner. Sizes in bytes, `disk` what it takes there."""

    device: int
    inode: int
    mode: int
    links: int
    uid: int
    rdev: int
    size: int
    gid: int = 0
    disk: int = 0
    mtime_ns: int = 0


def to_entry(got: os.stat_result) -> Entry:
    """Convert what os.stat returns."""
    return Entry(
        got.st_dev, got.st_ino, got.st_mode, got.st_nlink, got.st_uid, got.st_rdev, got.st_size,
        got.st_gid, got.st_blocks * STAT_BLOCK, got.st_mtime_ns,
    )  # fmt: skip


class Directory:
    """An open directory in a tree that somebody else may be changing, a hostile container for one.

    A name is a single component and is never followed when it is a symbolic
    link, so the walk cannot be led out of the tree. Methods raise OSError.
    """

    __slots__ = ("_fd", "identity")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        got = os.fstat(fd)
        self.identity = got.st_dev, got.st_ino

    def scan(self) -> Iterator[tuple[str, Entry]]:
        """Yield what is in it, one at a time; what vanishes meanwhile is left out."""
        with os.scandir(self._fd) as entries:
            for entry in entries:
                try:
                    got = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                yield entry.name, to_entry(got)

    def entry(self, name: str) -> Entry | None:
        """Return what stands under a name, None for nothing."""
        try:
            return to_entry(os.stat(name, dir_fd=self._fd, follow_symlinks=False))
        except FileNotFoundError:
            return None

    def attribute(self, key: str, name: str = ".") -> bytes | None:
        """Return an extended attribute of an entry or of the directory itself; None without it."""
        # There is no getxattrat(2) before Linux 6.13; the last component is not followed here either.
        return get_attribute(f"/proc/self/fd/{self._fd}/{name}", key)

    def enter(self, name: str) -> Directory:
        """Open a directory in this one, or ".."; ELOOP or ENOTDIR when it is anything else."""
        return Directory(os.open(name, OPEN_DIRECTORY, dir_fd=self._fd))

    def close(self) -> None:
        """Close it; twice is once."""
        if self._fd >= 0:
            descriptor, self._fd = self._fd, -1  # first: Ctrl-C may come right behind the call, and it be closed again
            os.close(descriptor)


def get_attribute(path: str, key: str) -> bytes | None:
    """Return an extended attribute of what stands at a path (getxattr(2), a symbolic link's own); None without it."""
    try:
        return os.getxattr(path, key, follow_symlinks=False)
    except OSError as error:
        if error.errno in NO_ATTRIBUTE:
            return None
        raise
