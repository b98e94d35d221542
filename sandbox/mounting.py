"""Carries out the plan of rootfs.py, in the container's mount namespace.

Everything is mounted through descriptors that were opened below the new root
with openat2(RESOLVE_IN_ROOT), so that no symbolic link of a hostile rootfs
leads out of it; /proc, /sys and /dev must not be links at all (CVE-2019-19921).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection

from sandbox import syscalls
from sandbox.contexts import suppress
from sandbox.errors import SandboxError
from sandbox.inroot import Parent, host_path, in_root_open, mount_point, open_source, root_directory
from sandbox.masking import MOUNT_ATTR_RDONLY, make_read_only, mask, remount_read_only
from sandbox.overlays import Root
from sandbox.rootfs import PROPAGATIONS, Bind, Directory, Foreign, Link, Mask, Mount, Node, Step
from sandbox.stacking import mount_root
from sandbox.syscalls import MS_BIND, MS_RDONLY, MS_REC, MS_REMOUNT

__all__ = ["apply", "enter", "furnish", "isolate", "lay", "make_root_read_only", "mount_root", "set_propagation"]


def apply(root: Root, steps: Collection[Step]) -> None:
    """Mount the root and everything in it; the caller is in a mount namespace of its own."""
    lay(root, steps)
    furnish(root, steps)


def lay(root: Root, steps: Collection[Step], propagation: str = "") -> None:
    """Mount the root alone; `steps` will be done in it.

    With a `propagation` that makes slaves, the root too hears of what is mounted where it comes from.
    """
    isolate(steps, propagation)
    umask = os.umask(0)
    try:
        mount_root(root)
    finally:
        os.umask(umask)


def furnish(root: Root, steps: Collection[Step]) -> None:
    """Mount everything in a root that is mounted."""
    umask = os.umask(0)
    try:
        with root_directory(root.target) as fd:
            parent = Parent(fd)
            for step in steps:
                try:
                    _do(fd, step, parent)
                except OSError as error:
                    raise _named(error, step) from None
                if not isinstance(step, Node | Link):
                    parent.changed(step.target if isinstance(step, Mount) else "")
            parent.changed()
    finally:
        os.umask(umask)


def isolate(steps: Collection[Step], propagation: str = "") -> None:
    """Let nothing that is mounted from now on be seen outside of this mount namespace."""
    # A slave gets what is mounted on the host later, where that is asked for; never the other way round.
    asked = (propagation, *(step.propagation for step in steps if isinstance(step, Bind)))
    is_slave = any("slave" in word for word in asked)
    syscalls.mount(None, "/", None, (syscalls.MS_SLAVE if is_slave else syscalls.MS_PRIVATE) | MS_REC)


def _named(error: OSError, step: Step) -> OSError:
    """Return the error with the path in the container instead of a descriptor's."""
    known = str(error.filename)  # mknod(2) has none, and names in an open directory are no paths
    if known.startswith("/") and not known.startswith("/proc/self/fd/"):
        return error
    path = step.target if isinstance(step, Mount | Bind) else step.path
    return OSError(error.errno, error.strerror, path)


def enter(root: Root) -> None:
    """Make `root` the only filesystem there is: pivot_root onto itself, then drop the old one below it."""
    old = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.chdir(root.target if root.tree < 0 else root.tree)
        syscalls.pivot_root(".", ".")
        os.fchdir(old)
        syscalls.umount(".", syscalls.MNT_DETACH)
        os.chdir("/")
    finally:
        os.close(old)


def make_root_read_only() -> None:
    """Let nothing be written to the root; what is mounted in it stays as it is."""
    syscalls.mount(None, "/", None, MS_REMOUNT | MS_BIND | MS_RDONLY)


def _do(root: int, step: Step, parent: Parent) -> None:
    """Carry out one step below the descriptor `root`."""
    if isinstance(step, Mount):
        _mount(root, step, parent)
    elif isinstance(step, Bind):
        _bind(root, step)
    elif isinstance(step, Directory):
        with mount_point(root, step.path):
            pass
    elif isinstance(step, Node):
        _node(root, step, parent)
    elif isinstance(step, Foreign):
        _foreign(root, step)
    elif isinstance(step, Link):
        with suppress(FileExistsError):  # from an earlier container, on a root that is kept and has no mount there
            os.symlink(step.text, os.path.basename(step.path), dir_fd=parent.open(os.path.dirname(step.path)))
    elif isinstance(step, Mask):
        mask(root, step.path)
    else:
        make_read_only(root, step.path)


def _mount(root: int, step: Mount, parent: Parent) -> None:
    data = _with_mode(root, step) if step.fstype == "tmpfs" else step.data
    flags = step.flags & ~MS_RDONLY if step.copy_up else step.flags
    with mount_point(root, step.target, plain=step.plain, user=not step.plain, parent=parent) as fd:
        try:
            syscalls.mount(step.source or step.fstype, host_path(fd), step.fstype, flags, data or None)
        except FileNotFoundError:
            if not step.may_go:
                raise
        if step.copy_up:
            from sandbox.filling import copy_up  # noqa: PLC0415  loaded in time by oci/plan.py, as it is long

            copy_up(fd, root, step.target)
    if flags != step.flags:
        remount_read_only(root, step.target)
    if step.propagation:
        fd = in_root_open(root, step.target)
        try:
            set_propagation(host_path(fd), step.propagation)
        finally:
            os.close(fd)


def _with_mode(root: int, step: Mount) -> str:
    """Return the options of a filesystem in memory: it is as open as the directory that it hides, as in runc."""
    if any(option.startswith("mode=") for option in step.data.split(",")):
        return step.data
    try:
        fd = in_root_open(root, step.target)
    except FileNotFoundError:
        return step.data
    mode = stat.S_IMODE(os.fstat(fd).st_mode)
    os.close(fd)
    return ",".join(filter(None, (step.data, f"mode={mode:o}")))


def _foreign(root: int, step: Foreign) -> None:
    """Mount here what another container has on the same path: a mount is cloned where it is, and moved here."""
    ours = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        syscalls.setns(step.pidfd, syscalls.CLONE_NEWNS)
        tree = syscalls.clone_mount(step.path)
        syscalls.set_mount_attributes(tree, 0, recursive=True, propagation=syscalls.MS_PRIVATE)  # whatever it is there
    finally:
        syscalls.setns(ours, syscalls.CLONE_NEWNS)
        os.close(ours)
    try:
        with mount_point(root, step.path) as target:
            syscalls.move_mount(tree, target)
    finally:
        os.close(tree)


def _bind(root: int, step: Bind) -> None:
    try:
        source = step.tree if step.tree >= 0 else open_source(step.source, step.subpath)
    except OSError as error:
        if step.may_go and error.errno == errno.ENOENT:
            return
        raise SandboxError(f"cannot bind {step.comes_from}: {os.strerror(error.errno or 0)}") from None
    try:
        file = not stat.S_ISDIR(os.fstat(source).st_mode)
        if step.fill and not file:
            from sandbox.filling import fill  # noqa: PLC0415  loaded in time by prepare.py, as it is long

            fill(root, step.target, host_path(source))
        with mount_point(root, step.target, plain=step.own, file=file, user=not step.own) as fd:
            if step.tree >= 0:
                syscalls.move_mount(source, fd)
            else:
                syscalls.mount(host_path(source), host_path(fd), None, MS_BIND | (MS_REC if step.below else 0))
        if step.read_only or step.propagation or step.attributes or step.cleared:
            fd = in_root_open(root, step.target)
            try:
                _finish_bind(fd, step)
            finally:
                os.close(fd)
    finally:
        os.close(source)


def _finish_bind(fd: int, step: Bind) -> None:
    """Set the attributes of a bind mount, which come with a second call."""
    if step.cleared:
        syscalls.set_mount_attributes(fd, 0, recursive=False, cleared=step.cleared)
    if step.attributes:
        syscalls.set_mount_attributes(fd, step.attributes, recursive=step.below)
    if step.read_only:
        syscalls.set_mount_attributes(fd, MOUNT_ATTR_RDONLY, recursive=step.below and step.read_only_below)
    set_propagation(host_path(fd), step.propagation)


def set_propagation(path: str, word: str) -> None:
    """Say what becomes of mounts below a mount, where that is asked for."""
    if word in PROPAGATIONS:
        syscalls.mount(None, path, None, PROPAGATIONS[word])


def _node(root: int, step: Node, parent: Parent) -> None:
    if step.bind:
        with mount_point(root, step.path, file=True) as fd:
            syscalls.mount(step.source or step.path, host_path(fd), None, MS_BIND)
        return
    folder, name = parent.open(os.path.dirname(step.path)), os.path.basename(step.path)
    with suppress(FileExistsError):
        os.mknod(name, step.kind | step.mode, os.makedev(step.major, step.minor), dir_fd=folder)
        if step.owner != (0, 0):
            os.chown(name, *step.owner, dir_fd=folder, follow_symlinks=False)
