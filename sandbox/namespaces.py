"""Which namespaces a container has of its own, and the little each needs to be usable (namespaces(7))."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct

from sandbox import syscalls
from sandbox.errors import SandboxError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.spec import Spec

__all__ = ["enter_user_namespace", "join", "let_users_serve", "loopback_up", "own"]

ALL = (
    syscalls.CLONE_NEWNS
    | syscalls.CLONE_NEWUTS
    | syscalls.CLONE_NEWIPC
    | syscalls.CLONE_NEWCGROUP
    | syscalls.CLONE_NEWNET
    | syscalls.CLONE_NEWPID
)
SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8913, 0x8914
IFF_UP = 0x1
IFREQ = "16sH14x"


def own(spec: Spec) -> int:
    """Return the CLONE_NEW* flags of the namespaces that are the container's alone, without the user namespace."""
    shares_network = spec.host_network or spec.network.container
    return syscalls.CLONE_NEWNS | spec.sharing.own | (0 if shares_network else syscalls.CLONE_NEWNET)


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

    Its user and time namespace are only named when they are others: entering one's own is an error (EINVAL).
    """
    flags = ALL
    for kind, flag in (("user", syscalls.CLONE_NEWUSER), ("time", syscalls.CLONE_NEWTIME)):
        with contextlib.suppress(FileNotFoundError):  # a kernel without time namespaces
            if os.stat(f"/proc/self/ns/{kind}").st_ino != os.stat(f"/proc/{pid}/ns/{kind}").st_ino:
                flags |= flag
    syscalls.setns(pidfd, flags)


def loopback_up() -> None:
    """Bring up `lo`, which a new network namespace has, down (netdevice(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        answer = fcntl.ioctl(control, SIOCGIFFLAGS, struct.pack(IFREQ, b"lo", 0))
        flags = struct.unpack(IFREQ, answer)[1]
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack(IFREQ, b"lo", flags | IFF_UP))


def let_users_serve() -> None:
    """Let every user of a new network namespace bind any port and ping: its ports are nobody else's, as in Docker.

    A user namespace of one id cannot name all groups; there users do not ping.
    """
    for name, value in (("ip_unprivileged_port_start", "0"), ("ping_group_range", "0 2147483647")):
        with contextlib.suppress(OSError), open(f"/proc/sys/net/ipv4/{name}", "wb") as file:
            file.write(value.encode())
