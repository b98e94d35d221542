"""Enters a container's user namespace, with all in hand that only root of this machine can reach.

Its root is nobody here: he cannot look into the state directory, mount an overlay of an image's layers, or bind what
is closed to others. So it is mounted before, as copies of mounts that are nowhere yet (open_tree(2)), and he puts them
in their places (move_mount(2)). Layers, volumes and the container's own files are idmapped (mount_setattr(2)): on the
disk everything belongs to the ids that it has inside, whatever those are outside.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable

from sandbox import mounting, namespaces, rare_syscalls, syscalls
from sandbox.errors import SandboxError
from sandbox.init import Launch
from sandbox.inroot import host_path, open_source, root_directory
from sandbox.overlays import Root
from sandbox.rootfs import Bind, Mount, Step
from sandbox.sharing import NOTHING_SHARED, write_time_offsets
from sandbox.userns import Users
from sandbox.value import replace

__all__ = ["cross"]

NO_IDMAP = "its filesystem cannot show files as other users' (idmapped mounts: ext4, xfs, btrfs, tmpfs since Linux 6.3)"


def cross(launch: Launch, users: Users) -> Launch:
    """Become root of a container's user namespace; returns the launch with what was opened for it."""
    own = users.fd if users.fd >= 0 else namespaces.make_user_namespace(users.ids)
    uid, gid = users.ids.outside((0, 0))
    for fd in _pipes(launch):
        os.fchown(fd, uid, gid)  # so that he may give them to the program's user
    if launch.new_namespaces & syscalls.CLONE_NEWTIME:
        syscalls.unshare(syscalls.CLONE_NEWTIME)  # its clocks are set in a file of ours
        write_time_offsets(launch.sharing)
    syscalls.unshare(syscalls.CLONE_NEWNS)
    mounting.isolate(launch.mounts)
    # An overlay acts as who mounts it, in layers that know the container's users only.
    rare_syscalls.set_filesystem_ids(uid, gid)
    assert launch.root is not None  # noqa: S101
    root = _mounted(launch.root, own, users)
    mounts = tuple(_opened(step, own) for step in launch.mounts)
    namespaces.become_its_root(own)
    os.close(own)
    new = launch.new_namespaces & ~syscalls.CLONE_NEWTIME
    return replace(launch, root=root, mounts=mounts, new_namespaces=new, sharing=NOTHING_SHARED)


def _pipes(launch: Launch) -> Iterable[int]:
    """Return the pipes that a monitor made for the program."""
    streams = launch.program.streams
    found = (streams.stdin, streams.stdout, streams.stderr) if streams.owned else ()
    return [fd for fd in found if fd >= 0 and stat.S_ISFIFO(os.fstat(fd).st_mode)]


def _mounted(root: Root, own: int, users: Users) -> Root:
    """Mount a root, after its layers were mounted on themselves, and take it from there."""
    if root.skeleton:
        folders = tuple(replace(one, owner=users.ids.outside(one.owner)) for one in root.skeleton.folders)
        root = replace(root, skeleton=replace(root.skeleton, folders=folders))
    for path, tree in [(path, _idmapped(path, own)) for path in root.mapped]:
        with root_directory(path) as place:
            syscalls.move_mount(tree, place)
        os.close(tree)
    mounting.mount_root(root)
    tree = syscalls.clone_mount(root.target, recursive=True)
    for path in reversed(root.mapped):  # the overlay has its own of each
        syscalls.umount(path, syscalls.MNT_DETACH)
    os.chdir(root.target)  # where he puts it
    return Root(Mount("", "."), tree=tree)


def _opened(step: Step, own: int) -> Step:
    """Return a bind mount with its source in hand; other steps as they are."""
    if not isinstance(step, Bind) or step.tree >= 0:
        return step
    try:
        source = open_source(step.source, step.subpath)
        try:
            path = host_path(source) if step.subpath else step.source
            tree = _idmapped(path, own) if step.idmap else syscalls.clone_mount(path, recursive=step.below)
        finally:
            os.close(source)
    except OSError as error:
        raise SandboxError(f"cannot bind {step.comes_from}: {os.strerror(error.errno or 0)}") from None
    return replace(step, tree=tree)


def _idmapped(path: str, own: int) -> int:
    """Return a mount of a directory or file that shows its files as those of the container's users."""
    tree = syscalls.clone_mount(path)
    try:
        rare_syscalls.idmap_mount(tree, own)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS):
            raise
        raise SandboxError(f"--userns: {path}: {NO_IDMAP}") from None
    return tree

