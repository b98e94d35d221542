"""Which namespaces a container has of its own, and the little each needs to be usable (namespaces(7))."""

from __future__ import annotations

import errno
import fcntl
import os

from sandbox import syscalls
from sandbox.contexts import suppress
from sandbox.errors import SandboxError
from sandbox.quick import socket, struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from sandbox.idmap import IdMap
    from sandbox.spec import Spec

__all__ = [
    "become_its_root",
    "enter_user_namespace",
    "join",
    "let_users_serve",
    "loopback_up",
    "make_user_namespace",
    "open_user_namespace",
    "own",
]

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
HINT = "(see /proc/sys/user/max_user_namespaces)"


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
        raise SandboxError(f"{reason} {HINT}") from None


def make_user_namespace(ids: IdMap) -> int:
    """Make a user namespace with these ids, and return its descriptor; needs CAP_SETUID and CAP_SETGID over them.

    It is made by a child, as who makes one is in it, and has lost every right over what is around it.
    """
    ours, its = socket.socketpair()
    child = os.fork()
    if child == 0:
        ours.close()
        _be_in_user_namespace(its)
    its.close()
    try:
        try:
            if number := int.from_bytes(ours.recv(4), "little"):
                raise SandboxError(f"cannot make a user namespace: {os.strerror(number)} {HINT}")
            for name, ranges in zip(("uid_map", "gid_map"), ids, strict=True):
                text = "".join(f"{each.inside} {each.outside} {each.length}\n" for each in ranges)
                try:
                    with open(f"/proc/{child}/{name}", "wb", buffering=0) as file:
                        file.write(text.encode())
                except OSError as error:
                    raise SandboxError(f"cannot map the ids {' '.join(text.split())}: {error.strerror}") from None
            return open_user_namespace(child)
        finally:
            ours.close()
    finally:
        os.waitpid(child, 0)


def _be_in_user_namespace(channel: socket.socket) -> NoReturn:
    """Say with which error number one is made, and wait until it is open elsewhere, or nobody wants it any more."""
    number = 0
    try:
        try:
            syscalls.unshare(syscalls.CLONE_NEWUSER)
        except OSError as error:
            number = error.errno or errno.EIO
        channel.send(number.to_bytes(4, "little"))
        channel.recv(1)
    finally:
        os._exit(0)  # whatever comes: the code that has forked us is its parent's to go on with


def open_user_namespace(pid: int) -> int:
    """Return a descriptor of the user namespace that a process is in."""
    return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)


def become_its_root(fd: int, flags: int = syscalls.CLONE_NEWUSER) -> None:
    """Enter a user namespace, with others of the same process if so, and take the ids of its root: we are nobody there.

    Our own groups go first, as a user namespace without setgroups would not let them go.
    """
    os.setgroups(())
    syscalls.setns(fd, flags)
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def join(pid: int, pidfd: int) -> None:
    """Enter all namespaces of a process at once (setns of a pidfd, Linux 5.8); its PID namespace counts for children.

    Its user and time namespace are only named when they are others: entering one's own is an error (EINVAL).
    """
    flags = ALL
    for kind, flag in (("user", syscalls.CLONE_NEWUSER), ("time", syscalls.CLONE_NEWTIME)):
        with suppress(FileNotFoundError):  # a kernel without time namespaces
            if os.stat(f"/proc/self/ns/{kind}").st_ino != os.stat(f"/proc/{pid}/ns/{kind}").st_ino:
                flags |= flag
    if flags & syscalls.CLONE_NEWUSER and os.geteuid() == 0:
        become_its_root(pidfd, flags)
    else:
        syscalls.setns(pidfd, flags)


def loopback_up() -> None:
    """Bring up `lo`, which a new network namespace has, down (netdevice(7))."""
    control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        answer = fcntl.ioctl(control, SIOCGIFFLAGS, struct.pack(IFREQ, b"lo", 0))
        flags = struct.unpack(IFREQ, answer)[1]
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack(IFREQ, b"lo", flags | IFF_UP))
    finally:
        control.close()


def let_users_serve() -> None:
    """Let every user of a new network namespace bind any port and ping: its ports are nobody else's, as in Docker.

    A user namespace does not have all groups, and where it has one only its users do not ping.
    """
    for name, values in (("ip_unprivileged_port_start", ("0",)), ("ping_group_range", ("0 2147483647", "0 65535"))):
        for value in values:
            with suppress(OSError), open(f"/proc/sys/net/ipv4/{name}", "wb", buffering=0) as file:
                file.write(value.encode())
                break
