"""System calls that few starts need, typed as those of syscalls.py: schedulers, ids of files, BPF, and the like."""

from __future__ import annotations

from sandbox.libc import INT, UINT, ULONG, address, buffer, check, libc, syscall, ulongs
from sandbox.syscalls import AT_EMPTY_PATH, AT_RECURSIVE, PR_SET_SECUREBITS, prctl

__all__ = [
    "bpf",
    "buffer_address",
    "filesystem_type",
    "foreign_descriptor",
    "idmap_mount",
    "set_filesystem_ids",
    "set_io_priority",
    "set_memory_policy",
    "set_personality",
    "set_scheduler",
    "syncfs",
]

MOUNT_ATTR_IDMAP = 0x100000
SECBIT_NO_SETUID_FIXUP = 0x4
STATFS_WORDS = 16  # struct statfs has 120 bytes, of which the first word is the type


def syncfs(fd: int) -> None:
    """Put all that was written to a file's filesystem on its disk (syncfs(2))."""
    check(libc("syncfs", INT)(fd), "syncfs")


def filesystem_type(fd: int) -> int:
    """Return the magic number of an open file's filesystem (fstatfs(2), linux/magic.h)."""
    found = ulongs(*[0] * STATFS_WORDS)
    check(libc("fstatfs", INT, ULONG)(fd, address(found)), "fstatfs")
    return found[0]


def idmap_mount(tree: int, user_namespace: int, *, recursive: bool = False) -> None:
    """Let files of what clone_mount() returned belong to the ids that a user namespace maps theirs to (Linux 5.12).

    EINVAL: the filesystem cannot do that.
    """
    attr = ulongs(MOUNT_ATTR_IDMAP, 0, 0, user_namespace)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    result = syscall("mount_setattr", tree, b"", flags, address(attr), 8 * len(attr))
    check(result, "mount_setattr")


def set_filesystem_ids(uid: int, gid: int) -> None:
    """Set whose the files are that we make, and keep every capability (setfsuid(2), securebits of capabilities(7))."""
    prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP)
    libc("setfsgid", UINT)(gid)
    libc("setfsuid", UINT)(uid)


def set_scheduler(attributes: bytes) -> None:
    """Set the calling process's policy by a struct sched_attr (sched_setattr(2))."""
    address, _kept = buffer_address(attributes)
    check(syscall("sched_setattr", 0, address, 0), "sched_setattr")


def set_io_priority(priority: int) -> None:
    """Set the calling process's I/O priority, class << 13 | level (ioprio_set(2))."""
    check(syscall("ioprio_set", 1, 0, priority), "ioprio_set")  # 1: IOPRIO_WHO_PROCESS


def set_personality(domain: int) -> None:
    """Set the execution domain: what uname(2) calls the machine (personality(2))."""
    check(syscall("personality", domain, 0, 0), "personality")


def set_memory_policy(policy: tuple[int, int]) -> None:
    """Set from which NUMA nodes, a bit mask, new memory comes in which mode (set_mempolicy(2))."""
    mode, nodes = policy
    words = nodes.bit_length() // 64 + 1
    address, _kept = buffer_address(nodes.to_bytes(8 * words, "little"))
    # The kernel takes one bit less than it is told.
    check(syscall("set_mempolicy", mode, address if nodes else 0, 64 * words + 1 if nodes else 0),
           "set_mempolicy")  # fmt: skip


def bpf(command: int, attributes: bytes) -> int:
    """Load or attach a BPF object; `attributes` is an encoded `union bpf_attr` (bpf(2)). Returns a descriptor or 0."""
    attr = buffer(attributes)
    return check(syscall("bpf", command, address(attr), len(attributes)), "bpf")


def foreign_descriptor(pidfd: int, number: int) -> int:
    """Return a copy of another process's descriptor, EBADF when it has none of that number (pidfd_getfd(2))."""
    return check(syscall("pidfd_getfd", pidfd, number, 0), "pidfd_getfd")


def buffer_address(data: bytes) -> tuple[int, object]:
    """Return the address of a copy of `data`, and the object that keeps it alive."""
    kept = buffer(data)
    return address(kept), kept
