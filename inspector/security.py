"""What lets a contained process reach the host: each finding with its evidence. Pure.

What of the host its mounts show: inspector.exposure. A process in the host's
mount namespace has no walls to break, and no findings. Capabilities count
where they are held in the host's user namespace: in another one they reach no
further than it does (user_namespaces(7)).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from inspector.exposure import below, exposures, host_directory
from inspector.kernel.mounts import Mount, root_mount
from inspector.schema import Finding

__all__ = ["CODES", "DANGEROUS", "DOCKER_DEFAULT", "EVERY", "Situation", "findings"]

CODES = {
    "privileged": "no wall but the namespaces: every capability, every device, no seccomp",
    "host-path-writable": "a directory of the host from which it can be taken over can be written to",
    "host-path-readable": "a directory with the host's secrets can be read",
    "host-root": "its root directory is the host's own",
    "runtime-socket": "a container runtime's socket is mounted inside: whoever may write to it is root of the host",
    "host-devices": "it may read or write block devices: the host's disks",
    "host-proc": "the host's /proc is mounted inside",
    "proc-sys-writable": "root in it can write the kernel's settings, core_pattern among them",
    "sys-writable": "root in it can write to the host's /sys",
    "writable-cgroup": "it can write to its cgroups: lift its own limits, on v1 run a program on the host",
    "dangerous-capability": "a capability beyond those Docker gives, which reaches the host",
    "seccomp-off": "its root may make every system call",
    "host-ipc": "it shares the host's System V and POSIX IPC",
    "root-of-host": "root in it is root of the host, should it get out: there is no user namespace between",
    "may-gain-privileges": "no_new_privs is not set: setuid programs in it work",
}

DOCKER_DEFAULT = frozenset(
    f"CAP_{name}"
    for name in """
    CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW SYS_CHROOT MKNOD AUDIT_WRITE
    SETFCAP
    """.split()  # noqa: SIM905  as in capabilities(7)
)

# Capability: severity, and what it allows (capabilities(7)). Those that need a namespace of the host are in NEEDS.
DANGEROUS: Mapping[str, tuple[str, str]] = {
    "CAP_SYS_ADMIN": ("critical", "mount filesystems and administer nearly everything"),
    "CAP_SYS_MODULE": ("critical", "load code into the kernel"),
    "CAP_SYS_RAWIO": ("critical", "write to I/O ports and raw memory"),
    "CAP_DAC_READ_SEARCH": ("critical", "open any file of a mounted filesystem by its handle, also outside its root"),
    "CAP_SYS_PTRACE": ("warning", "read and change the memory of every process it sees"),
    "CAP_NET_ADMIN": ("warning", "change interfaces, routes and firewall of its network"),
    "CAP_BPF": ("warning", "load BPF programs into the kernel"),
    "CAP_PERFMON": ("warning", "watch the whole machine with perf and BPF"),
    "CAP_SYS_BOOT": ("warning", "reboot, and load another kernel"),
    "CAP_SYS_TIME": ("warning", "set the machine's clock"),
    "CAP_MAC_ADMIN": ("warning", "change the security module's policy"),
    "CAP_MAC_OVERRIDE": ("warning", "pass by the security module's policy"),
    "CAP_LINUX_IMMUTABLE": ("info", "make files immutable"),
    "CAP_SYSLOG": ("info", "read the kernel's log and addresses"),
    "CAP_SYS_NICE": ("info", "take CPU time from others by its priority"),
    "CAP_SYS_RESOURCE": ("info", "go beyond resource limits and quotas"),
    "CAP_CHECKPOINT_RESTORE": ("info", "choose PIDs and read any process's map_files"),
    "CAP_AUDIT_CONTROL": ("warning", "switch off the kernel's audit"),
}
# Whoever has these has all. A maker of containers may lack CAP_SYS_RESOURCE itself, or not know those of Linux 5.8.
EVERY = frozenset(DANGEROUS) - {"CAP_SYS_RESOURCE", "CAP_BPF", "CAP_PERFMON", "CAP_CHECKPOINT_RESTORE"}
# With the host's namespace of that type it is the host that the capability reaches; without, only the container.
NEEDS = {"CAP_SYS_PTRACE": ("pid", "critical"), "CAP_NET_ADMIN": ("net", "critical")}
SEES_ONLY_ITSELF = {"CAP_SYS_PTRACE": "warning", "CAP_NET_ADMIN": "info"}

# Writing here takes the host over. Of the last ones reading tells secrets, too.
TAKEOVER = ("/boot", "/usr", "/bin", "/sbin", "/lib", "/lib64", "/var", "/dev")
SECRET = ("/", "/etc", "/root", "/var/lib/docker", "/var/lib/containerd", "/var/lib/containers", "/var/lib/kubelet")
SECRET_FILES = ("/etc/shadow", "/etc/sudoers", "/etc/sudoers.d", "/etc/cron.d", "/etc/passwd", "/root/.ssh")
# Sockets live here: connecting needs no write access to the mount (connect(2)).
RUNTIME = ("/run", "/var/run")
SOCKETS = ("docker.sock", "containerd.sock", "podman.sock", "crio.sock", "buildkitd.sock", "containerd.sock.ttrpc")
OWN_INTERFACES = "/devices/virtual/net"
DISK_RULE = ("a *:* ", "b ")


class Situation(NamedTuple):
    """What is known of one process. `same` tells of each namespace whether it is the host's; None is unknown.

    `hosts` are the host's own mounts, empty when they cannot be seen; `devices`
    the rules of devices.list, None where they cannot be read.
    """

    same: Mapping[str, bool | None]
    uid: int | None
    capabilities: frozenset[str]
    seccomp: str | None
    no_new_privs: bool | None
    mounts: Sequence[Mount]
    hosts: Sequence[Mount]
    devices: tuple[str, ...] | None = None

    @property
    def root_of_host(self) -> bool:
        """True when its user 0 is the host's: only then do capabilities and the ownership of /proc count there."""
        return self.uid == 0 and self.same.get("user") is True


def findings(of: Situation) -> list[Finding]:
    """List what lets a process reach the host, the worst first; nothing for one that has the host's mounts."""
    if of.same.get("mnt") is not False:
        return []
    root = _hosts_root(of)
    # Behind no wall of files, what is mounted where says no more.
    files = [root] if root else [*_paths(of), *_kernel(of)]
    found = [*_privileged(of), *files, *_devices(of), *_capabilities(of), *_walls(of)]
    order = ("critical", "warning", "info")
    return sorted(found, key=lambda one: order.index(one["severity"]))


def _finding(code: str, severity: str, text: str) -> Finding:
    return {"code": code, "severity": severity, "text": text}  # type: ignore[typeddict-item]


def _has_every(of: Situation) -> bool:
    return of.root_of_host and of.capabilities >= EVERY


def _is_privileged(of: Situation) -> bool:
    return _has_every(of) and of.seccomp == "disabled"


def _privileged(of: Situation) -> Iterator[Finding]:
    if _is_privileged(of):
        text = "privileged: all capabilities in the host's user namespace and no seccomp: its root is root of the host"
        yield _finding("privileged", "critical", text)


def _hosts_root(of: Situation) -> Finding | None:
    """Tell that "/" is the host's own, as after `unshare -m` and in a service with private mounts."""
    root = root_mount(tuple(of.mounts))
    if root is None or host_directory(root, of.hosts) != "/":
        return None
    contained = of.same.get("pid") is False and not root.read_only and of.uid == 0
    return _finding("host-root", "warning" if contained else "info", "its root is the host's own: no wall of files")


def _all_of_host(of: Situation) -> tuple[str, ...]:
    """Return where the whole host is mounted read-write: nothing that is mounted below says more."""
    return tuple(one.mountpoint for one in exposures(of.mounts, of.hosts) if one.host_path == "/" and one.writable)


def _said(mountpoint: str, whole: Sequence[str]) -> bool:
    return any(below(mountpoint, top) and mountpoint != top for top in whole)


def _paths(of: Situation) -> Iterator[Finding]:
    whole = _all_of_host(of)
    for one in exposures(of.mounts, of.hosts):
        if _said(one.mountpoint, whole):
            continue
        if posixpath.basename(one.host_path) in SOCKETS:
            text = f"{one.host_path} is mounted at {one.mountpoint}: who may connect to it controls the host"
            yield _finding("runtime-socket", "critical", text)
        elif one.host_path in RUNTIME:
            text = f"{one.host_path} with the sockets of the host's services is mounted at {one.mountpoint}"
            yield _finding("runtime-socket", "critical", text)
        elif one.writable and one.host_path in (*TAKEOVER, *SECRET, *SECRET_FILES):
            text = f"can write to the host: {one.host_path} is mounted at {one.mountpoint} read-write"
            # Another user is held back by the files' own modes; user 0 of the host owns them in any user namespace.
            severity = "critical" if of.uid == 0 else "warning"
            yield _finding("host-path-writable", severity, text)
        elif one.host_path in (*SECRET, *SECRET_FILES):
            text = f"can read the host's files: {one.host_path} is mounted at {one.mountpoint} read-only"
            yield _finding("host-path-readable", "warning" if of.uid == 0 else "info", text)


def _kernel(of: Situation) -> Iterator[Finding]:
    whole = _all_of_host(of)
    # Of several at one place the last is seen.
    top = {mount.mountpoint: mount for mount in of.mounts if not _said(mount.mountpoint, whole)}
    hosts_proc = {(one.device_major, one.device_minor) for one in of.hosts if one.fstype == "proc"}
    for mount in top.values():
        place = mount.mountpoint
        if mount.fstype == "proc" and mount.root == "/":
            device = mount.device_major, mount.device_minor
            if device in hosts_proc and of.same.get("pid") is not True:
                yield _finding("host-proc", "warning", f"the host's /proc is mounted at {place}: it sees every process")
            settings = top.get(f"{place}/sys", mount)
            if of.root_of_host and not settings.read_only and settings.fstype == "proc":
                text = f"can write to the host's kernel settings: {place}/sys is writable, core_pattern among them"
                yield _finding("proc-sys-writable", "critical", text)
        elif mount.fstype == "sysfs" and not mount.read_only and of.root_of_host:
            if mount.root == OWN_INTERFACES and of.same.get("net") is not True:
                continue  # as LXC mounts it: the interfaces of the network that it is in, and those are its own
            yield _finding("sys-writable", "warning", f"can write to the host's devices: /sys is writable at {place}")
    yield from _cgroups(of, [one for one in top.values() if one.fstype in ("cgroup", "cgroup2") and not one.read_only])


def _cgroups(of: Situation, writable: Sequence[Mount]) -> Iterator[Finding]:
    if not writable or not of.root_of_host:
        return
    places = ", ".join(mount.mountpoint for mount in writable[:3]) + (", ..." if len(writable) > 3 else "")  # noqa: PLR2004
    # Since Linux 5.17 release_agent asks for CAP_SYS_ADMIN in the first user namespace (CVE-2022-0492).
    if "CAP_SYS_ADMIN" in of.capabilities and any(one.fstype == "cgroup" for one in writable):
        text = f"can run a program on the host by release_agent: the cgroups at {places} are writable"
        yield _finding("writable-cgroup", "critical", text)
    else:
        yield _finding("writable-cgroup", "warning", f"can lift its own limits: the cgroups at {places} are writable")


def _devices(of: Situation) -> Iterator[Finding]:
    if of.devices is None or not of.root_of_host:
        return
    disks = [rule for rule in of.devices if rule.startswith(DISK_RULE) and set(rule.rsplit(" ", 1)[1]) & set("rw")]
    if not disks:
        return
    can_make = "CAP_MKNOD" in of.capabilities
    how = "and it can make their nodes (CAP_MKNOD)" if can_make else "where /dev has their nodes"
    text = f"may use the host's disks: the device rules allow {', '.join(disks[:3])}, {how}"
    yield _finding("host-devices", "critical" if can_make else "warning", text)


def _capabilities(of: Situation) -> Iterator[Finding]:
    if of.same.get("user") is not True or _has_every(of):
        return  # one finding says all of it
    for name in sorted(of.capabilities - DOCKER_DEFAULT):
        if name not in DANGEROUS:
            continue
        severity, allows = DANGEROUS[name]
        kind, at_host = NEEDS.get(name, (None, severity))
        if kind is not None:
            severity = at_host if of.same.get(kind) else SEES_ONLY_ITSELF[name]
            allows += f" (it has the host's {kind} namespace)" if of.same.get(kind) else ""
        yield _finding("dangerous-capability", severity, f"{name} lets it {allows}")


def _walls(of: Situation) -> Iterator[Finding]:
    root = of.root_of_host
    if of.seccomp == "disabled" and not _is_privileged(of):
        text = "no seccomp filter: it may make every system call that its capabilities allow"
        beyond = root and bool(of.capabilities - DOCKER_DEFAULT)
        yield _finding("seccomp-off", "warning" if beyond else "info", text)
    if of.same.get("ipc"):
        yield _finding("host-ipc", "warning" if root else "info", "shares the host's IPC namespace")
    if root:
        yield _finding("root-of-host", "info", "its root is the host's root: no user namespace stands between them")
    if of.no_new_privs is False:
        text = "no_new_privs is off: setuid programs and file capabilities in it work"
        yield _finding("may-gain-privileges", "info", text)
