"""Mounts the overlay that becomes a container's root, as overlays.py has planned it."""

from __future__ import annotations

import errno
import os

from sandbox import syscalls
from sandbox.contexts import suppress
from sandbox.inroot import root_directory
from sandbox.overlays import VOLATILE, Root, Skeleton
from sandbox.rootfs import Mount

__all__ = ["mount_root"]


def mount_root(root: Root) -> None:
    """Mount a root and the layer of mount points in it. Changes the working directory where layers need it.

    One that is mounted already is put on the working directory, and that is in it then.
    """
    if root.tree >= 0:
        syscalls.move_mount(root.tree, syscalls.AT_FDCWD)  # a path to it need not be open to us
        os.fchdir(root.tree)
        return
    if root.skeleton is not None:
        _make_skeleton(root.skeleton)
    if root.directory:
        os.chdir(root.directory)
    try:
        _mount(root.mount)
    except OSError as error:
        hint = ""
        if error.errno == errno.EINVAL:
            hint = ": the filesystem of the state directory cannot hold an overlay's upper layer, choose another --root"
        elif error.errno == errno.ELOOP:
            hint = ": the state directory and the rootfs overlap"
        raise OSError(error.errno, f"{error.strerror}{hint}", root.target) from None


def _mount(mount: Mount) -> None:
    """Mount it; a kernel that knows no volatile overlay (before Linux 5.10) gets it without."""
    for data in dict.fromkeys((mount.data, mount.data.removesuffix(f",{VOLATILE}"))):
        try:
            syscalls.mount(mount.source, mount.target, mount.fstype, mount.flags, data)
        except OSError as error:
            if error.errno != errno.EINVAL or not data.endswith(f",{VOLATILE}"):
                raise
        else:
            return


def _make_skeleton(skeleton: Skeleton) -> None:
    syscalls.mount("tmpfs", skeleton.path, "tmpfs", syscalls.MS_NOSUID, "mode=755,nr_inodes=16,size=64k")
    with root_directory(skeleton.path) as root:
        for folder in skeleton.folders:
            os.mkdir(folder.path, dir_fd=root)
        for path in skeleton.files:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644, dir_fd=root))
        for path, text in skeleton.links:
            os.symlink(text, path, dir_fd=root)
        for folder in skeleton.folders:
            with suppress(OSError):  # without root all belongs to one user
                os.chown(folder.path, *folder.owner, dir_fd=root)
            os.chmod(folder.path, folder.mode, dir_fd=root)
            if folder.mtime_ns is not None:
                os.utime(folder.path, ns=(folder.mtime_ns, folder.mtime_ns), dir_fd=root)
