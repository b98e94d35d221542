"""Takes paths from a container, below the descriptor of its root: some are hidden, others not to be written to.

runtime-spec config-linux.md has them as maskedPaths and readonlyPaths.
"""

from __future__ import annotations

import errno
import os
import stat

from sandbox import syscalls
from sandbox.errors import SandboxError
from sandbox.inroot import host_path, in_root_open
from sandbox.rootfs import SAFE
from sandbox.syscalls import MS_BIND, MS_RDONLY, MS_REC, MS_REMOUNT

__all__ = ["MOUNT_ATTR_RDONLY", "make_read_only", "mask", "remount_read_only"]

MOUNT_ATTR_RDONLY = 1


def mask(root: int, path: str) -> None:
    """Lay an empty read-only filesystem over a directory, the null device over a file; a `*` stands for several."""
    for each in _expand(root, path):
        _cover(root, each)


def _expand(root: int, path: str) -> list[str]:
    """Return the paths that one with a `*` stands for."""
    if "*" not in path:
        return [path]
    before, _, after = path.partition("*")
    try:
        fd = in_root_open(root, before, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return []
    try:
        with os.scandir(fd) as entries:
            return [f"{before}{entry.name}{after}" for entry in entries if entry.is_dir()]
    finally:
        os.close(fd)


def _cover(root: int, path: str) -> None:
    fd = in_root_open(root, path, but=(errno.ENOENT, errno.ENOTDIR))
    if fd < 0:
        return
    try:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            syscalls.mount("tmpfs", host_path(fd), "tmpfs", SAFE | MS_RDONLY, "nr_inodes=2,size=4k")
            return
        null = in_root_open(root, "/dev/null")
        try:
            if os.fstat(null).st_rdev != os.makedev(1, 3):  # CVE-2025-31133
                raise SandboxError("rootfs: /dev/null is not the null device")
            syscalls.mount(host_path(null), host_path(fd), None, MS_BIND)
        finally:
            os.close(null)
    finally:
        os.close(fd)


def make_read_only(root: int, path: str) -> None:
    """Forbid writing through the mount at a path; where there is none the path is bound to itself first."""
    fd = in_root_open(root, path, but=(errno.ENOENT,))
    if fd < 0:
        return
    try:
        if not _forbid_writing(fd):
            syscalls.mount(host_path(fd), host_path(fd), None, MS_BIND | MS_REC)
            remount_read_only(root, path)
    finally:
        os.close(fd)


def remount_read_only(root: int, path: str) -> None:
    """Forbid writing through the mount at a path; OSError where there is none."""
    fd = in_root_open(root, path)
    try:
        if not _forbid_writing(fd):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
    finally:
        os.close(fd)


def _forbid_writing(fd: int) -> bool:
    """Forbid writing through a mount; False for what is no mount point."""
    try:
        return syscalls.set_mount_attributes(fd, MOUNT_ATTR_RDONLY, recursive=False, but=(errno.EINVAL,))
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
    try:
        # Before Linux 5.12 the other attributes cannot be left as they are.
        syscalls.mount(None, host_path(fd), None, MS_REMOUNT | MS_BIND | MS_RDONLY | SAFE)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return False
    return True
