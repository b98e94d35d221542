"""The system calls that Python 3.11 does not have.

Each call is typed, retried on EINTR where the kernel may return it, and raises
OSError with the path it was about. Flags are from the uapi headers; libc.py
has the numbers, and how C is called.
"""

from __future__ import annotations

import _thread
import errno
import os
import sys
from collections.abc import Iterable

from sandbox.libc import (
    INT,
    LONG,
    TEXT,
    ULONG,
    address,
    buffer,
    check,
    failed_with,
    fork_by,
    libc,
    syscall,
    uints,
    ulongs,
)

__all__ = [
    "AT_EMPTY_PATH", "AT_FDCWD", "AT_RECURSIVE", "CLONE_NEWCGROUP", "CLONE_NEWIPC", "CLONE_NEWNET", "CLONE_NEWNS",
    "CLONE_NEWPID", "CLONE_NEWTIME", "CLONE_NEWUSER", "CLONE_NEWUTS", "MNT_DETACH", "MS_BIND", "MS_NODEV", "MS_NOEXEC",
    "MS_NOSUID", "MS_PRIVATE", "MS_RDONLY", "MS_REC", "MS_RELATIME", "MS_REMOUNT", "MS_SHARED", "MS_SLAVE",
    "MS_STRICTATIME", "MS_UNBINDABLE", "PR_CAPBSET_DROP", "PR_CAPBSET_READ", "PR_CAP_AMBIENT", "PR_SET_CHILD_SUBREAPER",
    "PR_SET_DUMPABLE", "PR_SET_KEEPCAPS", "PR_SET_NAME", "PR_SET_NO_NEW_PRIVS", "PR_SET_PDEATHSIG", "PR_SET_SECUREBITS",
    "RESOLVE_IN_ROOT", "RESOLVE_NO_MAGICLINKS", "RESOLVE_NO_SYMLINKS", "RESOLVE_NO_XDEV", "capset", "clone_mount",
    "close_on_exec_from", "default_action", "exchange", "fork_into", "join_new_session_keyring", "load_seccomp_filter",
    "mount", "move_mount", "openat2", "pivot_root", "prctl", "set_mount_attributes", "set_process_name", "setns",
    "signal_descriptor", "umount", "unshare",
]  # fmt: skip

CLONE_NEWTIME = 0x00000080
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
CLONE_INTO_CGROUP = 0x200000000
SIGCHLD = 17
SIGSET_BYTES = 128  # libc's sigset_t, of which the kernel reads the first 8

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_UNBINDABLE = 0x20000
MS_PRIVATE = 0x40000
MS_SLAVE = 0x80000
MS_SHARED = 0x100000
MS_RELATIME = 0x200000
MS_STRICTATIME = 0x1000000
MNT_DETACH = 0x2

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_NAME = 15
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_SET_SECUREBITS = 28
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_IN_ROOT = 0x10

AT_FDCWD = -100
RENAME_EXCHANGE = 0x2
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
OPEN_TREE_CLONE = 0x1
MOVE_MOUNT_F_EMPTY_PATH = 0x4
MOVE_MOUNT_T_EMPTY_PATH = 0x40
CLOSE_RANGE_CLOEXEC = 0x4
KEYCTL_JOIN_SESSION_KEYRING = 1
SECCOMP_SET_MODE_FILTER = 1
CAPABILITY_VERSION_3 = 0x20080522

_mount = libc("mount", TEXT, TEXT, TEXT, ULONG, TEXT)
_umount = libc("umount2", TEXT, INT)
_unshare = libc("unshare", INT)
_setns = libc("setns", INT, INT)
_prctl = libc("prctl", INT, ULONG, ULONG, ULONG, ULONG)
# A start makes some sixty of them: with its types known beforehand each takes two thirds of the time.
_openat2 = libc("syscall", LONG, LONG, TEXT, ULONG, ULONG)
OPENAT2 = 437


def mount(source: str | None, target: str, fstype: str | None, flags: int = 0, data: str | None = None) -> None:
    """Mount, bind, remount or change propagation, by `flags` (mount(2))."""
    arguments = [None if text is None else os.fsencode(text) for text in (source, target, fstype, data)]
    result = _mount(*arguments[:3], flags, arguments[3])
    check(result, f"mount {fstype or source or 'flags'}", target)


def umount(target: str, flags: int = 0) -> None:
    """Unmount (umount2(2))."""
    check(_umount(os.fsencode(target), flags), "umount", target)


def unshare(flags: int) -> None:
    """Move into new namespaces (unshare(2))."""
    check(_unshare(flags), "unshare")


def setns(fd: int, flags: int) -> None:
    """Join namespaces: of one /proc/<pid>/ns file, or several at once of a pidfd (setns(2), Linux 5.8)."""
    check(_setns(fd, flags), "setns")


def pivot_root(new: str, old: str) -> None:
    """Make `new` the root of the mount namespace and put the old one on `old` (pivot_root(2))."""
    check(syscall("pivot_root", os.fsencode(new), os.fsencode(old)), "pivot_root", new)


def prctl(option: int, argument: int = 0, third: int = 0) -> int:
    """Operate on the calling process (prctl(2))."""
    return check(_prctl(option, argument, third, 0, 0), f"prctl {option}")


def fork_into(cgroup: str, namespaces: int = 0) -> int:
    """Fork as os.fork() does, into a cgroup of v2 and new namespaces (CLONE_NEW*), with no move there (clone3(2)).

    The cgroup needs Linux 5.7; "" is ours. OSError also where there is more than one thread.
    """
    if _thread._count():  # noqa: SLF001  threading, which tells it too, is long to import
        raise OSError(errno.EAGAIN, "clone3: there are other threads")
    place = os.open(cgroup, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) if cgroup else -1
    try:
        flags = namespaces | (CLONE_INTO_CGROUP if cgroup else 0)
        # struct clone_args, the first version of which (Linux 5.3) ends before the cgroup
        arguments = ulongs(flags, 0, 0, 0, SIGCHLD, 0, 0, 0, *((0, 0, place) if cgroup else ()))
        return fork_by("clone3", address(arguments), 8 * len(arguments))
    finally:
        if cgroup:
            os.close(place)


def set_process_name(name: str) -> None:
    """Set what `ps -o comm` shows for this process, 15 bytes (PR_SET_NAME)."""
    text = buffer(os.fsencode(name)[:15] + b"\0")
    prctl(PR_SET_NAME, address(text))


def signal_descriptor(signals: Iterable[int]) -> int:
    """Return a descriptor from which blocked signals are read, close-on-exec, that never waits (signalfd(2))."""
    mask = sum(1 << (number - 1) for number in signals).to_bytes(8, sys.byteorder).ljust(SIGSET_BYTES, b"\0")
    return check(libc("signalfd", INT, TEXT, INT)(-1, mask, os.O_CLOEXEC | os.O_NONBLOCK), "signalfd")


def default_action(signal: int) -> None:
    """Reset a signal's disposition, also of the two that glibc keeps to itself and refuses to touch (rt_sigaction(2)).

    Signals 32 and 33 arrive ignored in what glibc's posix_spawn starts, as make does.
    """
    action = ulongs(0, 0, 0, 0)  # struct kernel_sigaction: SIG_DFL, no flags, no restorer, an empty mask
    check(syscall("rt_sigaction", signal, address(action), None, 8), f"rt_sigaction {signal}")


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """Set the calling thread's capability sets, each a bit mask (capset(2), version 3)."""
    header = uints(CAPABILITY_VERSION_3, 0)
    words = []
    for shift in (0, 32):
        words += [(mask >> shift) & 0xFFFFFFFF for mask in (effective, permitted, inheritable)]
    data = uints(*words)
    check(syscall("capset", address(header), address(data)), "capset")


def join_new_session_keyring() -> None:
    """Leave the caller's session keyring for a new, empty one (keyctl(2)); a kernel without keys has none."""
    try:
        check(syscall("keyctl", KEYCTL_JOIN_SESSION_KEYRING, None), "keyctl")
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise


def close_on_exec_from(first: int) -> None:
    """Mark every descriptor from `first` on close-on-exec (close_range(2), Linux 5.11)."""
    try:
        check(syscall("close_range", first, 0xFFFFFFFF, CLOSE_RANGE_CLOEXEC), "close_range")
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EINVAL):
            raise
        for name in os.listdir("/proc/self/fd"):
            if int(name) >= first:
                _cloexec(int(name))


def _cloexec(fd: int) -> None:
    try:
        os.set_inheritable(fd, False)  # noqa: FBT003  its only argument
    except OSError as error:  # the descriptor of the listing itself
        if error.errno != errno.EBADF:
            raise


def openat2(directory: int, path: str, flags: int, resolve: int, but: tuple[int, ...] = ()) -> int:
    """Open `path` below a directory under `resolve` rules; returns a close-on-exec descriptor (openat2(2)).

    With RESOLVE_IN_ROOT the directory is "/" for the walk: neither ".." nor a
    symbolic link leads out of it. EAGAIN tells of a rename during the walk. -1 for an errno of `but`.
    """
    how = ulongs(flags | os.O_CLOEXEC, 0, resolve)  # struct open_how
    for _ in range(64):
        result = _openat2(OPENAT2, directory, os.fsencode(path), address(how), 8 * len(how))
        if result >= 0 or failed_with() not in (errno.EAGAIN, errno.EINTR):
            break
    return check(result, "open", path, but)


def set_mount_attributes(
    fd: int, attributes: int, *, recursive: bool, propagation: int = 0, cleared: int = 0, but: tuple[int, ...] = ()
) -> bool:
    """Add MOUNT_ATTR_* (RDONLY 1, NOSUID 2, NODEV 4, NOEXEC 8) to a mount, or its whole tree (mount_setattr(2)).

    EPERM: those that are `cleared` are locked, as they come from another user namespace.
    `propagation`: MS_PRIVATE, MS_SLAVE and so on, or 0 for what it is. False for an errno of `but`.
    """
    attr = ulongs(attributes, cleared, propagation, 0)  # struct mount_attr: set, clear, propagation, user namespace
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    result = syscall("mount_setattr", fd, b"", flags, address(attr), 8 * len(attr))
    return check(result, "mount_setattr", None, but) >= 0


def exchange(one: str, other: str) -> bool:
    """Give two files each other's name, at once (renameat2(2)); False where the filesystem or the kernel cannot."""
    result = syscall("renameat2", AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE)
    return check(result, "rename", one, (errno.EINVAL, errno.ENOSYS)) >= 0


def clone_mount(path: str, *, recursive: bool = False) -> int:
    """Return a descriptor of a copy of the mount at `path`, which is mounted nowhere yet (open_tree(2), Linux 5.2).

    `recursive`: with all that is mounted below it.
    """
    flags = OPEN_TREE_CLONE | os.O_CLOEXEC | (AT_RECURSIVE if recursive else 0)
    return check(syscall("open_tree", AT_FDCWD, os.fsencode(path), flags), "open_tree", path)


def move_mount(tree: int, target: int) -> None:
    """Mount what clone_mount() returned on the directory or file of a descriptor (move_mount(2))."""
    flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
    check(syscall("move_mount", tree, b"", target, b"", flags), "move_mount")


def load_seccomp_filter(program: bytes, flags: int) -> None:
    """Filter the calling thread's system calls from now on, by an array of struct sock_filter (seccomp(2))."""
    filters = buffer(program)
    fprog = ulongs(len(program) // 8, address(filters))  # struct sock_fprog, whose length has the low two bytes
    result = syscall("seccomp", SECCOMP_SET_MODE_FILTER, flags, address(fprog))
    check(result, "load a seccomp filter")
