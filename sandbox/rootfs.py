"""The container's filesystem: a plan that is data, and a short way to carry it out.

Everything is mounted through descriptors that were opened below the new root
with openat2(RESOLVE_IN_ROOT), so that no symbolic link of a hostile rootfs
leads out of it; /proc, /sys and /dev must not be links at all (CVE-2019-19921).
The overlay lives in the container's own mount namespace: the kernel takes it
down with the last process. Its lower layer is the plain directory, without
what is mounted below it: with `/` as rootfs no other mount of the host shows.

Defaults: moby daemon/pkg/oci/defaults.go.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from sandbox import syscalls
from sandbox.cgroup import Place
from sandbox.devices import NODES
from sandbox.errors import SandboxError
from sandbox.spec import Spec
from sandbox.syscalls import MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY, MS_REC, MS_REMOUNT, MS_STRICTATIME

__all__ = [
    "Bind",
    "Directory",
    "Layer",
    "Layout",
    "Link",
    "Mask",
    "Mount",
    "Node",
    "ReadOnly",
    "Step",
    "apply",
    "enter",
    "overlay",
    "plan",
]

MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/devices/system/cpu/*/thermal_throttle",
)
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
LINKS = (
    ("/dev/ptmx", "pts/ptmx"),
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
)
SAFE = MS_NOSUID | MS_NODEV | MS_NOEXEC
FLAG_NAMES = {"ro": MS_RDONLY, "nosuid": MS_NOSUID, "nodev": MS_NODEV, "noexec": MS_NOEXEC}
MOUNT_ATTR_RDONLY = 1
IN_ROOT = syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_MAGICLINKS


class Layout(NamedTuple):
    """Where a container's own files are on the host."""

    lower: str
    upper: str
    work: str
    merged: str
    hostname_file: str
    hosts_file: str


class Layer(NamedTuple):
    """The three directories of one overlay."""

    lower: str
    upper: str
    work: str


class Mount(NamedTuple):
    """A new filesystem on `target`; `plain` refuses a target that is reached through a symbolic link."""

    fstype: str
    target: str
    flags: int = 0
    data: str = ""
    source: str = ""
    plain: bool = True

    def __str__(self) -> str:
        names = [name for name, bit in FLAG_NAMES.items() if self.flags & bit] + ([self.data] if self.data else [])
        return f"mount  {self.fstype} on {self.target} {','.join(names)}".rstrip()


class Bind(NamedTuple):
    """A file or directory of the host on `target`, with what is mounted below it; `own`: /proc and /sys themselves."""

    source: str
    target: str
    read_only: bool = False
    own: bool = False

    def __str__(self) -> str:
        return f"bind   {self.source} on {self.target}{' read-only' if self.read_only else ''}"


class Directory(NamedTuple):
    """A directory that has to be there."""

    path: str

    def __str__(self) -> str:
        return f"mkdir  {self.path}"


class Node(NamedTuple):
    """A device; in a user namespace the host's own node is bound, as none can be made."""

    path: str
    kind: int
    major: int
    minor: int
    mode: int = 0o666
    bind: bool = False

    def __str__(self) -> str:
        return f"{'bind  ' if self.bind else 'mknod '} {self.path} {self.major}:{self.minor}"


class Link(NamedTuple):
    """A symbolic link."""

    path: str
    text: str

    def __str__(self) -> str:
        return f"link   {self.path} -> {self.text}"


class Mask(NamedTuple):
    """A path that is hidden, where it exists. `*` stands for any one name."""

    path: str

    def __str__(self) -> str:
        return f"mask   {self.path}"


class ReadOnly(NamedTuple):
    """A path that cannot be written, where it exists."""

    path: str

    def __str__(self) -> str:
        return f"rdonly {self.path}"


Step = Mount | Bind | Directory | Node | Link | Mask | ReadOnly


def overlay(layer: Layer, target: str, *, rootless: bool) -> Mount:
    """Return an overlay: redirects of an untrusted layer are not followed (trusted.overlay.redirect)."""
    layers = [f"lowerdir={_escape(layer.lower, ':')}", f"upperdir={_escape(layer.upper)}"]
    layers.append(f"workdir={_escape(layer.work)}")
    # redirect_dir and metacopy cannot be named together with userxattr, which turns both off.
    safe = ["userxattr"] if rootless else ["index=off", "metacopy=off", "redirect_dir=nofollow"]
    return Mount("overlay", target, 0, ",".join(layers + safe), "overlay")


def _escape(path: str, also: str = "") -> str:
    return "".join(f"\\{letter}" if letter in "\\," + also else letter for letter in path)


def plan(
    spec: Spec,
    layout: Layout,
    places: Sequence[Place],
    *,
    rootless: bool = False,
    store: str = "",
    host_devices: Iterable[Node] = (),
    pieces: Iterable[Step] = (),
) -> tuple[Step, ...]:
    """Return what is mounted on the root, in order; first its `pieces`, when it is not one overlay.

    `store` is the directory with every container's files: when it lies in the
    rootfs, an empty filesystem hides it. `host_devices` are those of a privileged container.
    """
    # proc can be mounted by the owner of the PID namespace only, sysfs by that of the network namespace.
    shared_proc = rootless and spec.host_pid
    steps: list[Step] = [*pieces, Bind("/proc", "/proc", own=True) if shared_proc else Mount("proc", "/proc", SAFE)]
    steps += _dev(rootless=rootless, host_devices=host_devices)
    steps += _sys(spec, places, rootless=rootless)
    inside = os.path.relpath(store, layout.lower) if store else ".."
    if not inside.startswith("..") and inside != ".":
        steps.append(Mount("tmpfs", f"/{inside}", MS_NOSUID | MS_NODEV, "mode=700", "tmpfs", plain=False))
    own_files = (Bind(layout.hostname_file, "/etc/hostname"), Bind(layout.hosts_file, "/etc/hosts"))
    # A mount is made before those below it, in whatever order they were given.
    mounts: list[Bind | Mount] = [Bind(volume.source, volume.target, volume.read_only) for volume in spec.volumes]
    for tmpfs in spec.tmpfs:
        flags = sum(FLAG_NAMES[name] for name in tmpfs.flags)
        mounts.append(Mount("tmpfs", tmpfs.target, flags, tmpfs.data, "tmpfs", plain=False))
    chosen = {mount.target for mount in mounts}
    steps += [file for file in own_files if file.target not in chosen]
    mounts.sort(key=lambda mount: mount.target.count("/"))
    steps += mounts
    if not spec.privileged:
        steps += [ReadOnly(path) for path in READ_ONLY]
        steps += [Mask(path) for path in MASKED]
    return tuple(steps)


def _dev(*, rootless: bool, host_devices: Iterable[Node]) -> Iterator[Step]:
    yield Mount("tmpfs", "/dev", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k", "tmpfs")
    for name, major, minor in NODES:
        yield Node(f"/dev/{name}", stat.S_IFCHR, major, minor, bind=rootless)
    yield from host_devices
    # gid 5 is tty on every distribution; a user namespace with one id has no such group.
    group = "" if rootless else ",gid=5"
    data = f"newinstance,ptmxmode=0666,mode=0620{group}"
    yield Mount("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, data, "devpts")
    yield Mount("mqueue", "/dev/mqueue", SAFE, "", "mqueue")
    yield Mount("tmpfs", "/dev/shm", SAFE, "mode=1777,size=65536k", "shm")  # noqa: S108
    for path, text in LINKS:
        yield Link(path, text)


def _sys(spec: Spec, places: Sequence[Place], *, rootless: bool) -> Iterator[Step]:
    read_only = 0 if spec.privileged else MS_RDONLY
    if rootless and spec.host_network:
        yield Bind("/sys", "/sys", read_only=True, own=True)
        return
    yield Mount("sysfs", "/sys", SAFE | read_only, "", "sysfs")
    if not places:
        return
    if len(places) == 1 and places[0].hierarchy.version != 1:
        yield Mount("cgroup2", "/sys/fs/cgroup", SAFE | read_only, "", "cgroup")
        return
    yield Mount("tmpfs", "/sys/fs/cgroup", SAFE, "mode=755", "cgroup")
    for where in places:
        target = f"/sys/fs/cgroup/{os.path.basename(where.hierarchy.mountpoint)}"
        if where.hierarchy.version == 1:
            names = sorted(where.hierarchy.controllers)
            # A named hierarchy without controllers is asked for with `none,name=...`.
            data = ",".join(["none", *names] if names[0].startswith("name=") and len(names) == 1 else names)
            yield Mount("cgroup", target, SAFE | read_only, data, "cgroup")
        else:
            yield Mount("cgroup2", target, SAFE | read_only, "", "cgroup")
    for where in places:  # "cpu,cpuacct" in one hierarchy answers to both names
        name = os.path.basename(where.hierarchy.mountpoint)
        for alias in sorted(where.hierarchy.controllers - {name}) if "," in name else ():
            yield Link(f"/sys/fs/cgroup/{alias}", name)
    if read_only:
        yield ReadOnly("/sys/fs/cgroup")


def apply(root: Mount, steps: Iterable[Step]) -> None:
    """Mount the root and everything in it; the caller is in a mount namespace of its own."""
    syscalls.mount(None, "/", None, syscalls.MS_PRIVATE | MS_REC)
    _mount_root(root)
    fd = os.open(root.target, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    umask = os.umask(0)
    try:
        for step in steps:
            try:
                _do(fd, step)
            except OSError as error:
                raise _named(error, step) from None
    finally:
        os.umask(umask)
        os.close(fd)


def _named(error: OSError, step: Step) -> OSError:
    """Return the error with the path in the container instead of a descriptor's."""
    if not str(error.filename).startswith("/proc/self/fd/"):
        return error
    path = step.target if isinstance(step, Mount | Bind) else step.path
    return OSError(error.errno, error.strerror, path)


def _mount_root(root: Mount) -> None:
    try:
        syscalls.mount(root.source, root.target, root.fstype, root.flags, root.data)
    except OSError as error:
        hint = ""
        if error.errno == errno.EINVAL:
            hint = ": the filesystem of the state directory cannot hold an overlay's upper layer, choose another --root"
        elif error.errno == errno.ELOOP:
            hint = ": the state directory and the rootfs overlap"
        raise OSError(error.errno, f"{error.strerror}{hint}", root.target) from None


def enter(root: str, *, read_only: bool) -> None:
    """Make `root` the only filesystem there is: pivot_root onto itself, then drop the old one below it."""
    old = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.chdir(root)
        syscalls.pivot_root(".", ".")
        os.fchdir(old)
        syscalls.umount(".", syscalls.MNT_DETACH)
        os.chdir("/")
    finally:
        os.close(old)
    if read_only:
        syscalls.mount(None, "/", None, MS_REMOUNT | MS_BIND | MS_RDONLY)


def _do(root: int, step: Step) -> None:
    """Carry out one step below the descriptor `root`."""
    if isinstance(step, Mount):
        with _target(root, step.target, plain=step.plain, user=not step.plain) as fd:
            syscalls.mount(step.source or step.fstype, _proc(fd), step.fstype, step.flags, step.data or None)
    elif isinstance(step, Bind):
        _bind(root, step)
    elif isinstance(step, Directory):
        with _target(root, step.path):
            pass
    elif isinstance(step, Node):
        _node(root, step)
    elif isinstance(step, Link):
        with _target(root, os.path.dirname(step.path)) as parent:
            os.symlink(step.text, os.path.basename(step.path), dir_fd=parent)
    elif isinstance(step, Mask):
        for path in _expand(root, step.path):
            _mask(root, path)
    else:
        _make_read_only(root, step.path)


def _proc(fd: int) -> str:
    return f"/proc/self/fd/{fd}"


@contextlib.contextmanager
def _target(
    root: int, path: str, *, plain: bool = False, file: bool = False, user: bool = False
) -> Iterator[int]:
    """Open `path` below the root, made if missing: the mount point of a directory or, with `file`, of a file."""
    fd = _open_or_make(root, path, plain=plain, file=file)
    try:
        if user:
            _refuse_kernel_filesystems(root, fd, path)
        yield fd
    finally:
        os.close(fd)


def _open(root: int, path: str, *, plain: bool = False) -> int:
    resolve = IN_ROOT | (syscalls.RESOLVE_NO_SYMLINKS if plain else 0)
    return syscalls.openat2(root, path, os.O_PATH, resolve)


def _open_or_make(root: int, path: str, *, plain: bool, file: bool) -> int:
    try:
        return _checked(_open(root, path, plain=plain), path, file=file)
    except OSError as error:
        if error.errno == errno.ELOOP and plain:
            raise SandboxError(f"rootfs: {path} is a symbolic link, which could lead anywhere: refused") from None
        if error.errno != errno.ENOENT:
            raise
    parent = _open_or_make(root, os.path.dirname(path), plain=plain, file=False)
    try:
        name = os.path.basename(path)
        if file:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644, dir_fd=parent))
        else:
            os.mkdir(name, 0o755, dir_fd=parent)
    except FileExistsError:
        raise SandboxError(f"rootfs: {path} is a symbolic link that leads nowhere") from None
    except OSError as error:
        raise OSError(error.errno, f"cannot make the mount point: {error.strerror}", path) from None
    finally:
        os.close(parent)
    return _open(root, path, plain=plain)


def _checked(fd: int, path: str, *, file: bool) -> int:
    if stat.S_ISDIR(os.fstat(fd).st_mode) == file:
        os.close(fd)
        raise SandboxError(f"rootfs: {path} is {'a directory' if file else 'not a directory'}")
    return fd


def _refuse_kernel_filesystems(root: int, fd: int, path: str) -> None:
    """Refuse a mount point that a link of the rootfs leads into /proc or /sys, to forge the kernel's files."""
    real, top = os.readlink(_proc(fd)), os.readlink(_proc(root))
    inside = real.removeprefix(top.rstrip("/"))
    if f"{inside}/".startswith(("/proc/", "/sys/")) or inside in ("", "/"):
        raise SandboxError(f"the mount point {path} leads to {inside or '/'} in this rootfs: refused")


def _bind(root: int, step: Bind) -> None:
    try:
        source = os.open(step.source, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        raise SandboxError(f"cannot bind {step.source}: {error.strerror}") from None
    try:
        file = not stat.S_ISDIR(os.fstat(source).st_mode)
        with _target(root, step.target, plain=step.own, file=file, user=not step.own) as fd:
            syscalls.mount(_proc(source), _proc(fd), None, MS_BIND | MS_REC)
        if step.read_only:
            fd = _open(root, step.target)
            try:
                syscalls.set_mount_attributes(fd, MOUNT_ATTR_RDONLY, recursive=True)
            finally:
                os.close(fd)
    finally:
        os.close(source)


def _node(root: int, step: Node) -> None:
    if step.bind:
        with _target(root, step.path, file=True) as fd:
            syscalls.mount(step.path, _proc(fd), None, MS_BIND)
        return
    with _target(root, os.path.dirname(step.path)) as parent:
        name = os.path.basename(step.path)
        with contextlib.suppress(FileExistsError):
            os.mknod(name, step.kind | step.mode, os.makedev(step.major, step.minor), dir_fd=parent)


def _expand(root: int, path: str) -> list[str]:
    """Return the paths that one with a `*` stands for."""
    if "*" not in path:
        return [path]
    before, _, after = path.partition("*")
    try:
        fd = syscalls.openat2(root, before, os.O_RDONLY | os.O_DIRECTORY, IN_ROOT)
    except OSError:
        return []
    try:
        return [f"{before}{name}{after}" for name in os.listdir(fd)]
    finally:
        os.close(fd)


def _mask(root: int, path: str) -> None:
    """Lay an empty read-only filesystem over a directory, the null device over a file."""
    try:
        fd = _open(root, path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return
        raise
    try:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            syscalls.mount("tmpfs", _proc(fd), "tmpfs", SAFE | MS_RDONLY, "nr_inodes=2,size=4k")
            return
        null = _open(root, "/dev/null")
        try:
            if os.fstat(null).st_rdev != os.makedev(1, 3):  # CVE-2025-31133
                raise SandboxError("rootfs: /dev/null is not the null device")
            syscalls.mount(_proc(null), _proc(fd), None, MS_BIND)
        finally:
            os.close(null)
    finally:
        os.close(fd)


def _make_read_only(root: int, path: str) -> None:
    """Forbid writing through the mount at a path; where there is none the path is bound to itself first."""
    try:
        _remount_read_only(root, path)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return
        if error.errno != errno.EINVAL:  # EINVAL: not a mount point
            raise
        fd = _open(root, path)
        try:
            syscalls.mount(_proc(fd), _proc(fd), None, MS_BIND | MS_REC)
        finally:
            os.close(fd)
        _remount_read_only(root, path)


def _remount_read_only(root: int, path: str) -> None:
    fd = _open(root, path)
    try:
        syscalls.mount(None, _proc(fd), None, MS_REMOUNT | MS_BIND | MS_RDONLY | SAFE)
    finally:
        os.close(fd)
