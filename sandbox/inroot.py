"""Paths that a container, an image or an archive gives, resolved inside a root directory (openat2(2)).

The directory is "/" for the whole walk: neither `..` nor a symbolic link, also
one that is put there during the walk, leads out of it, and the links of /proc
that lead anywhere (/proc/<pid>/fd, exe, root) are not followed at all. Nothing
of the sandbox joins a root and a foreign path as text. (CVE-2018-15664, CVE-2021-30465, CVE-2024-21626)
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from sandbox import syscalls
from sandbox.errors import SandboxError

__all__ = ["host_path", "in_root_open", "make_directories", "open_parent", "root_directory"]

IN_ROOT = syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_MAGICLINKS


@contextlib.contextmanager
def root_directory(path: str = "/") -> Iterator[int]:
    """Open a directory to resolve paths in."""
    fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def in_root_open(root: int, path: str, flags: int = os.O_PATH, *, links: bool = True) -> int:
    """Open an existing `path` below the descriptor `root`, close-on-exec; without `links` a link in it is ELOOP.

    Raises OSError with the path as it is called inside.
    """
    resolve = IN_ROOT | (0 if links else syscalls.RESOLVE_NO_SYMLINKS)
    return syscalls.openat2(root, path or ".", flags, resolve)


def open_parent(root: int, path: str) -> tuple[int, str]:
    """Open the directory that `path` is in, and return it with the last name, whose link is not followed."""
    folder, name = os.path.split(path.rstrip("/"))
    if name in ("", ".", ".."):
        raise SandboxError(f"{path or '/'!r} names no entry of a directory")
    return in_root_open(root, folder, os.O_PATH | os.O_DIRECTORY), name


def make_directories(root: int, path: str, mode: int = 0o755) -> int:
    """Open the directory `path` below `root`, made with what is missing of it."""
    try:
        return in_root_open(root, path, os.O_PATH | os.O_DIRECTORY)
    except FileNotFoundError:
        pass
    folder, name = os.path.split(path.rstrip("/"))
    parent = make_directories(root, folder, mode)
    try:
        os.mkdir(name, mode, dir_fd=parent)
    except FileExistsError:  # made meanwhile; or a link that leads nowhere, which the next open tells
        pass
    finally:
        os.close(parent)
    return in_root_open(root, path, os.O_PATH | os.O_DIRECTORY)


def host_path(fd: int) -> str:
    """Return a path that stands for an open file in calls that take no descriptor."""
    return f"/proc/self/fd/{fd}"
