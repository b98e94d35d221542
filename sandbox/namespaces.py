"""Which namespaces a container has of its own, and the little each needs to be usable (namespaces(7))."""

from __future__ import annotations

import fcntl
import os
import socket
import struct

from sandbox import syscalls
from sandbox.errors import SandboxError
from sandbox.spec import Spec

__all__ = ["enter_user_namespace", "join", "loopback_up", "own"]

ALWAYS = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWUTS | syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWCGROUP
ALL = ALWAYS | syscalls.CLONE_NEWNET | syscalls.CLONE_NEWPID
SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8913, 0x8914
IFF_UP = 0x1
IFREQ = "16sH14x"


def own(spec: Spec) -> int:
    """Return the CLONE_NEW* flags of the namespaces that are the container's alone, without the user namespace."""
    flags = ALWAYS
    if not spec.host_network:
        flags |= syscalls.CLONE_NEWNET
    if not spec.host_pid:
        flags |= syscalls.CLONE_NEWPID
    return flags


def enter_user_namespace() -> None:
    """Become root of a new user namespace that knows the caller's own ids only, as 0 (user_namespaces(7))."""
    uid, gid = os.geteuid(), os.getegid()
    try:
        syscalls.unshare(syscalls.CLONE_NEWUSER)
        # Without privilege a group map needs setgroups to be given up first (CVE-2014-8989).
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
            with open(f"/proc/self/{name}", "wb") as file:
                file.write(text.encode())
    except OSError as error:
        reason = f"cannot make a user namespace without root: {error.strerror}"
        raise SandboxError(f"{reason} (see /proc/sys/user/max_user_namespaces)") from None


def join(pid: int, pidfd: int) -> None:
    """Enter all namespaces of a process at once (setns of a pidfd, Linux 5.8); its PID namespace counts for children.

    Its user namespace is only named when it is another one: entering one's own is an error (EINVAL).
    """
    flags = ALL
    mine, its = os.stat("/proc/self/ns/user"), os.stat(f"/proc/{pid}/ns/user")
    if mine.st_ino != its.st_ino:
        flags |= syscalls.CLONE_NEWUSER
    syscalls.setns(pidfd, flags)


def loopback_up() -> None:
    """Bring up `lo`, which a new network namespace has, down (netdevice(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        answer = fcntl.ioctl(control, SIOCGIFFLAGS, struct.pack(IFREQ, b"lo", 0))
        flags = struct.unpack(IFREQ, answer)[1]
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack(IFREQ, b"lo", flags | IFF_UP))
