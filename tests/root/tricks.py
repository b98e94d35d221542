"""Known ways out of a container, tried from inside it; prints as JSON how each ends, for test_sandbox_escapes.py.

Each trick stops where it would begin to harm: a kernel file is opened for
writing and not written, a call gets arguments that are wrong, so that whoever
may make it is told EINVAL and whoever may not, EPERM. `tricks.py HOST_PID
MAJOR:MINOR` names a process and the disk of the host.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import glob
import json
import os
import socket
import struct
import sys
from collections.abc import Callable, Iterator

from tests.root.probe import LIBC, call, call_32

BAD = 2**64 - 1
SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8913, 0x8914
Trick = Callable[[], object]


def attempt(trick: Trick) -> str:
    """Return how a trick ends: what it returns, or the name of its error."""
    try:
        return str(trick() or "ok")
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def apart(trick: Trick) -> str:
    """Try a trick in a process of its own, which it may change for good."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    if os.fork() == 0:
        os.write(writing, attempt(trick).encode())
        os._exit(0)
    os.close(writing)
    os.wait()
    with open(reading, encoding="ascii") as file:
        return file.read() or "ok"  # it became another program


def opened(path: str, flags: int = os.O_WRONLY) -> Trick:
    """Open a file, and do nothing with it; one that this kernel does not have is "absent"."""

    def trick() -> object:
        if not os.path.exists(path):
            return "absent"
        os.close(os.open(path, flags))
        return None

    return trick


def mounted(fstype: str, target: str = "/mnt") -> Trick:
    """Mount a filesystem of the kernel's."""
    return lambda: called(LIBC.mount(b"none", target.encode(), fstype.encode(), 0, None))


def called(result: int) -> None:
    """Raise what a function of the C library has set."""
    if result < 0:
        raise OSError(ctypes.get_errno(), "")


def node(kind: int, major: int, minor: int) -> Trick:
    """Make a device and open it for reading."""

    def trick() -> object:
        path = f"/tmp/node-{kind}-{major}-{minor}"  # noqa: S108  the container's own
        os.mknod(path, kind | 0o600, os.makedev(major, minor))
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        return None

    return trick


def cgroup_files(name: str) -> list[str]:
    """Return the files of that name in the container's own cgroups."""
    return sorted(glob.glob(f"/sys/fs/cgroup/{name}") + glob.glob(f"/sys/fs/cgroup/*/{name}"))


def first_opened(name: str) -> Trick:
    """Open such a file of any hierarchy for writing; nothing where there is none."""

    def trick() -> object:
        paths = cgroup_files(name)
        answers = {attempt(opened(path)) for path in paths}
        return "absent" if not paths else "ok" if "ok" in answers else min(answers)

    return trick


def walk_up() -> str:
    """Look for cgroups other than one's own, above the root that is shown."""
    with open("/proc/self/cgroup", encoding="ascii") as file:
        outside = [line for line in file if not line.rstrip().endswith(":/")]
    parents = {os.path.realpath(f"{path}/../..") for path in glob.glob("/sys/fs/cgroup/*/")}
    return "contained" if not outside and parents <= {"/sys/fs", "/sys/fs/cgroup"} else "escaped"


def memory_of(pid: int) -> object:
    """Read a byte at an address of another process (process_vm_readv)."""
    byte = ctypes.create_string_buffer(1)
    local = (ctypes.c_ulong * 2)(ctypes.addressof(byte), 1)
    remote = (ctypes.c_ulong * 2)(4096, 1)
    return call(310, pid, ctypes.addressof(local), 1, ctypes.addressof(remote), 1, 0)


def chroot_and_back() -> str:
    """Climb out of a second root by a descriptor from before it, and tell whose root that leads to."""
    before, outside = os.stat("/"), os.open("/", os.O_RDONLY)
    os.makedirs("/tmp/second", exist_ok=True)  # noqa: S108  the container's own
    os.chroot("/tmp/second")  # noqa: S108
    os.fchdir(outside)
    for _ in range(64):
        os.chdir("..")
    os.chroot(".")
    return "contained" if os.path.samestat(os.stat("/"), before) else "escaped"


def capability_of_a_file(number: int) -> Trick:
    """Give a program a capability by its file, and run it: what the bounding set lacks is refused at execve."""

    def trick() -> object:
        path = "/tmp/privileged"  # noqa: S108  the container's own
        with open(path, "wb") as target, open("/usr/bin/true", "rb") as source:
            target.write(source.read())
        os.chmod(path, 0o700)
        masks = [1 << number & 0xFFFFFFFF, 0, 1 << number >> 32, 0]
        os.setxattr(path, "security.capability", struct.pack("<I4I", 0x02000001, *masks))
        return os.execv(path, ["true"])  # noqa: S606

    return trick


def take_all_capabilities() -> None:
    """Ask for every capability there is."""
    header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(*[0xFFFFFFFF] * 6)
    # All but CAP_SYS_RESOURCE, which a machine may lack altogether.
    for at in range(3):
        data[at] = 0xFEFFFFFF
        data[at + 3] = 0x1FF
    called(LIBC.syscall(126, ctypes.byref(header), ctypes.byref(data)))


def raise_interface() -> None:
    """Bring the loopback up, as its administrator."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        answer = fcntl.ioctl(control, SIOCGIFFLAGS, struct.pack("16sH14x", b"lo", 0))
        fcntl.ioctl(control, SIOCSIFFLAGS, answer)


def numbered(number: int, *arguments: int) -> Trick:
    """Make a system call of x86_64."""
    return lambda: call(number, *arguments)


def join_namespaces() -> object:
    """Enter a mount namespace: our own, as no other is to be seen."""
    fd = os.open("/proc/self/ns/mnt", os.O_RDONLY)
    return call(308, fd, 0x00020000)


def tricks(host_pid: int, major: int, minor: int) -> Iterator[tuple[str, Trick]]:
    """Yield each trick by name."""
    yield from files()
    yield from devices(major, minor)
    yield from mounts()
    yield from processes(host_pid)
    yield from calls()
    yield from rights()


def files() -> Iterator[tuple[str, Trick]]:
    """Yield files by which root rules the whole machine."""
    yield "cgroup: release_agent", first_opened("release_agent")
    yield "cgroup: notify_on_release", first_opened("notify_on_release")
    yield "cgroup: cgroup.procs", first_opened("cgroup.procs")
    yield "cgroup: devices.allow", first_opened("devices.allow")
    yield "cgroup: walk up", walk_up
    for path in ("core_pattern", "modprobe", "hotplug", "panic", "printk", "hostname", "ns_last_pid"):
        yield f"/proc/sys/kernel/{path}", opened(f"/proc/sys/kernel/{path}")
    yield "/proc/sys/vm/drop_caches", opened("/proc/sys/vm/drop_caches")
    yield "/proc/sys/fs/binfmt_misc", mounted("binfmt_misc")
    yield "/proc/sysrq-trigger", opened("/proc/sysrq-trigger")
    yield "/proc/irq", opened("/proc/irq/default_smp_affinity")
    yield "/sys/kernel/uevent_helper", opened("/sys/kernel/uevent_helper")
    yield "/sys/kernel/mm", opened("/sys/kernel/mm/transparent_hugepage/enabled")
    yield "/sys/class/block", opened("/sys/block/loop0/queue/nr_requests")


def devices(major: int, minor: int) -> Iterator[tuple[str, Trick]]:
    """Yield devices that are not the container's."""
    char, block = 0o20000, 0o60000
    yield "device: disk", node(block, major, minor)
    yield "device: another disk", node(block, 7, 0)
    for name, number in (("mem", 1), ("port", 4), ("kmsg", 11)):
        yield f"device: /dev/{name}", node(char, 1, number)
    for name, number in (("loop-control", 237), ("fuse", 229), ("net/tun", 200)):
        yield f"device: /dev/{name}", node(char, 10, number)


def mounts() -> Iterator[tuple[str, Trick]]:
    """Yield ways to see other files, or these without their guards."""
    handle = ctypes.create_string_buffer(struct.pack("<II", 8, 1) + bytes(8))
    for fstype in ("proc", "sysfs", "cgroup2", "tmpfs", "debugfs", "devtmpfs", "nfs"):
        yield f"mount: {fstype}", mounted(fstype)
    yield "mount: uncover /proc/sys", numbered(166, addressed(b"/proc/sys"), 2)
    yield "mount: writable /proc/sys", lambda: called(LIBC.mount(None, b"/proc/sys", None, 0x1020, None))
    yield "mount: open_tree", numbered(428, BAD, BAD, 0)
    yield "mount: move_mount", numbered(429, BAD, BAD, BAD, BAD, BAD)
    yield "mount: fsopen", numbered(430, addressed(b"no-such-filesystem"), 0)
    yield "mount: mount_setattr", numbered(442, BAD, 0, BAD, 0, 0)
    yield "pivot_root", numbered(155, addressed(b"/no"), addressed(b"/no"))
    yield "chroot and fchdir", chroot_and_back
    yield "open_by_handle_at", numbered(304, os.open("/", os.O_RDONLY), ctypes.addressof(handle), 0)


def processes(host_pid: int) -> Iterator[tuple[str, Trick]]:
    """Yield ways to reach a process outside."""
    yield "host process: signal", numbered(62, host_pid, 0)
    yield "host process: ptrace", numbered(101, 16, host_pid, 0, 0)
    yield "host process: memory", lambda: memory_of(host_pid)
    yield "host process: pidfd", numbered(434, host_pid, 0)
    yield "host process: root", lambda: os.stat(f"/proc/{host_pid}/root/") and None


def calls() -> Iterator[tuple[str, Trick]]:
    """Yield system calls that only whoever owns the machine needs, or that were a way out before."""
    yield "kexec_load", numbered(246, 0, 99999, 0, 0)
    yield "init_module", numbered(175, 0, 0, 0)
    yield "delete_module", numbered(176, addressed(b"no_such_module"), 0)
    yield "bpf", numbered(321, 9999, 0, 0)
    yield "perf_event_open", numbered(298, 0, 0, BAD, BAD, BAD)
    yield "userfaultfd", numbered(323, 0)
    yield "io_uring_setup", numbered(425, 0, 0)
    yield "keyctl", numbered(250, 0, 2**32 - 3, 0)
    yield "add_key", numbered(248, 0, 0, 0, 0, 0)
    yield "fanotify_init", numbered(300, BAD, 0)
    yield "setns", join_namespaces
    for name, flag in (("user", 0x10000000), ("mnt", 0x20000), ("net", 0x40000000), ("cgroup", 0x02000000)):
        yield f"unshare: {name}", numbered(272, flag)
    yield "reboot", numbered(169, 0, 0, 0)
    yield "swapon", numbered(167, addressed(b"/no/such/file"), 0)
    yield "acct", numbered(163, addressed(b"/no/such/file"))
    yield "syslog", numbered(103, 10, 0, 0)
    yield "iopl", numbered(172, 4)
    yield "clock_settime", numbered(227, 0, addressed(struct.pack("<qq", 0, -1)))
    yield "sethostname", numbered(170, 0, 0)
    yield "setdomainname", numbered(171, 0, BAD >> 1)
    yield "quotactl", numbered(179, 0, 0, 0, 0)
    yield "vhangup by number of 32 bits", lambda: call_32(111)
    yield "mount by number of 32 bits", lambda: call_32(21, 0, 0)
    yield "mount by number of x32", numbered(0x40000000 | 165, 0, 0, 0, 0, 0)
    yield "socket: AF_ALG", numbered(41, 38, 5, 0)
    yield "socket: AF_VSOCK", numbered(41, 40, 1, 0)


def rights() -> Iterator[tuple[str, Trick]]:
    """Yield ways to more rights."""
    yield "interface", raise_interface
    yield "capability: all", take_all_capabilities
    yield "capability: SYS_ADMIN by file", capability_of_a_file(21)
    yield "capability: CHOWN by file", capability_of_a_file(0)
    yield "xattr: trusted", lambda: os.setxattr("/tmp", "trusted.overlay.redirect", b"/")  # noqa: S108


KEPT: list[object] = []


def addressed(data: bytes) -> int:
    """Return the address of some bytes, which stay."""
    KEPT.append(ctypes.create_string_buffer(data))
    return ctypes.addressof(KEPT[-1])  # type: ignore[arg-type]


if __name__ == "__main__":
    disk = [int(number) for number in sys.argv[2].split(":")]
    sys.stdout.write(json.dumps({name: apart(trick) for name, trick in tricks(int(sys.argv[1]), *disk)}))
