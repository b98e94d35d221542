"""Paths that a container, an image or an archive gives, resolved inside a root directory (openat2(2)).

The directory is "/" for the whole walk: neither `..` nor a symbolic link, also
one that is put there during the walk, leads out of it, and the links of /proc
that lead anywhere (/proc/<pid>/fd, exe, root) are not followed at all. Nothing
of the sandbox joins a root and a foreign path as text. (CVE-2018-15664, CVE-2021-30465, CVE-2024-21626)
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from sandbox import syscalls
from sandbox.contexts import contextmanager, suppress
from sandbox.errors import SandboxError

__all__ = ["follow", "host_path", "in_root_open", "make_directories", "open_parent", "root_directory"]

MOST_LINKS = 40
IN_ROOT = syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_MAGICLINKS


@contextmanager
def root_directory(path: str = "/") -> Iterator[int]:
    """Open a directory to resolve paths in."""
    fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def in_root_open(root: int, path: str, flags: int = os.O_PATH, *, links: bool = True, mounts: bool = True) -> int:
    """Open an existing `path` below the descriptor `root`, close-on-exec.

    Without `links` a link in it is ELOOP, without `mounts` a mount point in it is EXDEV. Raises OSError with the
    path as it is called inside.
    """
    resolve = IN_ROOT | (0 if links else syscalls.RESOLVE_NO_SYMLINKS) | (0 if mounts else syscalls.RESOLVE_NO_XDEV)
    return syscalls.openat2(root, path or ".", flags, resolve)


def open_parent(root: int, path: str) -> tuple[int, str]:
    """Open the directory that `path` is in, and return it with the last name, whose link is not followed."""
    folder, name = os.path.split(path.rstrip("/"))
    if name in ("", ".", ".."):
        raise SandboxError(f"{path or '/'!r} names no entry of a directory")
    return in_root_open(root, folder, os.O_PATH | os.O_DIRECTORY), name


def follow(root: int, path: str) -> str:
    """Return the path of what `path` leads to when the links at its end are followed; it need not exist.

    Links on the way stay in it: the kernel follows those, in the root, each time it is used.
    """
    for _ in range(MOST_LINKS):
        try:
            parent, name = open_parent(root, path)
        except (SandboxError, FileNotFoundError):  # it ends with dots, is the root itself, or its directory is missing
            return path
        try:
            target = os.readlink(name, dir_fd=parent)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOENT):
                raise
            return path
        finally:
            os.close(parent)
        path = target if target.startswith("/") else f"{os.path.dirname(path.rstrip('/'))}/{target}"
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)


def make_directories(root: int, path: str, mode: int = 0o755) -> int:
    """Open the directory `path` below `root`, made with what is missing of it."""
    try:
        return in_root_open(root, path, os.O_PATH | os.O_DIRECTORY)
    except FileNotFoundError:
        pass
    parts = [part for part in path.split("/") if part]
    for end in range(1, len(parts) + 1):
        _make_one(root, "/".join(parts[:end]), mode)
    return in_root_open(root, path, os.O_PATH | os.O_DIRECTORY)


def _make_one(root: int, path: str, mode: int) -> None:
    try:
        os.close(in_root_open(root, path))
    except FileNotFoundError:
        parent, name = open_parent(root, path)
        try:
            with suppress(FileExistsError):  # made meanwhile; or a link to nowhere, as the next open tells
                os.mkdir(name, mode, dir_fd=parent)
        finally:
            os.close(parent)


def host_path(fd: int) -> str:
    """Return a path that stands for an open file in calls that take no descriptor."""
    return f"/proc/self/fd/{fd}"
