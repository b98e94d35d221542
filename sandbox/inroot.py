"""Paths that a container, an image or an archive gives, resolved inside a root directory (openat2(2)).

The directory is "/" for the whole walk: neither `..` nor a symbolic link, also
one that is put there during the walk, leads out of it, and the links of /proc
that lead anywhere (/proc/<pid>/fd, exe, root) are not followed at all. Nothing
of the sandbox joins a root and a foreign path as text. (CVE-2018-15664, CVE-2021-30465, CVE-2024-21626)
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator

from sandbox import syscalls
from sandbox.contexts import contextmanager, suppress
from sandbox.errors import SandboxError

__all__ = [
    "Parent",
    "follow",
    "host_path",
    "in_root_open",
    "make_directories",
    "mount_point",
    "open_parent",
    "open_source",
    "root_directory",
]

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


def in_root_open(
    root: int, path: str, flags: int = os.O_PATH, *, links: bool = True, mounts: bool = True, but: tuple[int, ...] = ()
) -> int:
    """Open an existing `path` below the descriptor `root`, close-on-exec; -1 for an errno of `but`.

    Without `links` a link in it is ELOOP, without `mounts` a mount point in it is EXDEV. Raises OSError with the
    path as it is called inside.
    """
    resolve = IN_ROOT | (0 if links else syscalls.RESOLVE_NO_SYMLINKS) | (0 if mounts else syscalls.RESOLVE_NO_XDEV)
    return syscalls.openat2(root, path or ".", flags, resolve, but)


def open_source(path: str, below: str = "") -> int:
    """Open a path of the host to be bound, or what is `below` it by no link that leads out of it."""
    source = os.open(path, os.O_PATH | os.O_CLOEXEC)
    if not below:
        return source
    try:
        return in_root_open(source, below)
    finally:
        os.close(source)


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


class Parent:
    """The directory that something was made in last, open: what comes next is mostly made in the same."""

    def __init__(self, root: int) -> None:
        self._root, self._path, self._fd = root, "", -1

    def make(self, path: str) -> None:
        """Make a directory that is missing, if it belongs right into the one that is open."""
        folder, name = os.path.split(path)
        if self._fd >= 0 and folder == self._path and name not in ("", ".", ".."):
            with suppress(OSError):  # who needs it finds out what is wrong
                os.mkdir(name, 0o755, dir_fd=self._fd)

    def open(self, path: str) -> int:
        """Return a descriptor of a directory, made if it is missing; it stays ours."""
        if path != self._path:
            self.changed()
            self._fd, self._path = make_directories(self._root, path), path
        return self._fd

    def changed(self, target: str = "") -> None:
        """Find it anew next time, unless all that was mounted is something right below it."""
        folder, name = os.path.split(target)
        if self._fd >= 0 and (folder != self._path or name in ("", ".", "..")):
            os.close(self._fd)
            self._path, self._fd = "", -1


@contextmanager
def mount_point(
    root: int, path: str, *, plain: bool = False, file: bool = False, user: bool = False, parent: Parent | None = None
) -> Iterator[int]:
    """Open `path` below the root, made if missing: the mount point of a directory or, with `file`, of a file.

    `plain`: no link may lead there. `user`: somebody asked for it, and no link may lead it into /proc or /sys.
    """
    fd = _open_or_make(root, path, plain=plain, file=file, parent=parent)
    try:
        if user:
            _refuse_kernel_filesystems(root, fd, path)
        yield fd
    finally:
        os.close(fd)


def _open_or_make(root: int, path: str, *, plain: bool, file: bool, parent: Parent | None) -> int:
    if plain and parent is not None and not file:
        parent.make(path)  # mostly it is missing there, which a vain look would only tell
    try:
        return _checked(in_root_open(root, path, links=not plain), path, file=file)
    except OSError as error:
        if error.errno == errno.ELOOP and plain:
            raise SandboxError(f"rootfs: {path} is a symbolic link, which could lead anywhere: refused") from None
        if error.errno != errno.ENOENT:
            raise
    try:
        if plain and parent is not None:  # no link leads on from there
            folder, name = os.path.split(path.rstrip("/"))
            os.mkdir(name, 0o755, dir_fd=parent.open(folder))
        else:
            _make_mount_point(root, path, file=file)
    except OSError as error:
        raise OSError(error.errno, f"cannot make the mount point: {error.strerror}", path) from None
    return in_root_open(root, path, links=not plain)


def _make_mount_point(root: int, path: str, *, file: bool) -> None:
    """Make what a path leads to: an image's /etc/resolv.conf may be a link to what is made at a boot only."""
    os.close(make_directories(root, os.path.dirname(path.rstrip("/"))))
    folder, name = os.path.split(follow(root, path).rstrip("/"))
    parent = make_directories(root, folder)
    try:
        if file:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644, dir_fd=parent))
        else:
            os.mkdir(name, 0o755, dir_fd=parent)
    finally:
        os.close(parent)


def _checked(fd: int, path: str, *, file: bool) -> int:
    if stat.S_ISDIR(os.fstat(fd).st_mode) == file:
        os.close(fd)
        # With the words by which Docker tells what happened, and not those of a program that cannot be executed.
        what, found = ("what is not a directory", "one") if file else ("a directory", "not a directory")
        raise SandboxError(f"cannot mount {what} on {path}, which is {found} in this rootfs")
    return fd


def _refuse_kernel_filesystems(root: int, fd: int, path: str) -> None:
    """Refuse a mount point that a link of the rootfs leads into /proc or /sys, to forge the kernel's files."""
    real, top = os.readlink(host_path(fd)), os.readlink(host_path(root))
    inside = real.removeprefix(top.rstrip("/"))
    if f"{inside}/".startswith(("/proc/", "/sys/")) or inside in ("", "/"):
        raise SandboxError(f"the mount point {path} leads to {inside or '/'} in this rootfs: refused")
