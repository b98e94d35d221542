"""From what the kernel said to the parts of the report. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from inspector.entry import rootfs_of
from inspector.kernel.cgroups import Hierarchy
from inspector.kernel.controllers import Cpu, Cpuset
from inspector.kernel.mounts import Mount, overlay_layers, root_identity, root_mount
from inspector.kernel.namespaces import is_initial
from inspector.kernel.process import IdRange, Stat, Status, capability_names
from inspector.limits import Limit
from inspector.model import Container
from inspector.report import CpuOwn, IdMap, LimitLine, MountEntry, Report, Security
from inspector.schema import Container as Entry
from inspector.schema import Finding, Rootfs
from inspector.security import EVERY

__all__ = [
    "CODES",
    "around",
    "cpu_own",
    "findings_since_start",
    "foreign_mounts",
    "hosts_namespaces",
    "limit_line",
    "overmounted",
    "own_findings",
    "rootfs",
    "same_as_host",
    "security",
    "told_once",
    "why_no_devices",
    "zombies",
]

SECCOMP = {0: "disabled", 1: "strict", 2: "filter"}
THROTTLED = 0.05

CODES = {
    "all-capabilities": "its root may do everything that root of the host may",
    "cpu-was-throttled": "its quota stopped it often since it started, not just now",
    "chroot-only": "another root directory, and none of the namespaces that would hold it there",
    "proc-misleads": "/proc tells it of more than it may use",
    "zombies": "processes that have ended pile up, as their parent takes no notice of it",
}
MANY_ZOMBIES = 10
"""Fewer may be there at any moment, where children end often."""


def around(own: Container | None, containers: Iterable[Container]) -> list[str]:
    """Name the containers around one, the innermost first."""
    ones = {one.id: one for one in containers}
    found = []
    while own is not None and (own := ones.get(own.parent or "")):
        found.append(own.name)
    return found


def hosts_namespaces(everyone: Mapping[int, Mapping[str, int]], *, on_host: bool) -> dict[str, int]:
    """Return the machine's own namespaces, as far as they are known from those of every process.

    On the host they are PID 1's, or where we may not look into it kthreadd's,
    which is always PID 2. Elsewhere whatever has a number that the kernel fixes.
    """
    fixed = {
        kind: inode for its in everyone.values() for kind, inode in its.items() if is_initial(kind, inode) is True
    }
    return {**fixed, **(everyone.get(1) or everyone.get(2) or {})} if on_host else fixed


def same_as_host(kind: str, inode: int, hosts: Mapping[str, int]) -> bool | None:
    """Tell whether a namespace is the machine's own, of which `hosts` are those that are known."""
    if kind in hosts:
        return inode == hosts[kind]
    return is_initial(kind, inode)


def limit_line(limit: Limit, *, whole: bool = True, kind: str = "limit") -> LimitLine:
    """Write a limit; `whole` for bytes and counts."""

    def number(value: float | None) -> float | int | None:
        return int(value) if whole and value is not None else value

    return {
        "kind": kind,
        "own": number(limit.chain[0][1]) if limit.chain else None,
        "value": number(limit.value),
        "set_by": limit.set_by,
        "chain": [{"path": path, "value": number(value)} for path, value in limit.chain],
        "hidden_ancestors": limit.hidden_ancestors,
    }


def rootfs(mounts: Sequence[Mount], hosts: Sequence[Mount]) -> Rootfs:
    """Describe the mount that is the process's "/"; `merged` is where the host has it mounted, if it has."""
    root = root_mount(tuple(mounts))
    layers = overlay_layers(root) if root else None
    merged = next((one.mountpoint for one in hosts if layers and root_identity(one) == root_identity(root)), None)
    return rootfs_of(root, merged)


def foreign_mounts(mounts: Iterable[Mount], hosts: Sequence[Mount]) -> list[MountEntry]:
    """List the mounts that the host does not have.

    A new mount namespace starts as a copy, so a mount counts as the host's
    when it shows the same directory of the same filesystem at the same place.
    With another root the places are other ones, whatever they are called.
    """
    mounts = tuple(mounts)
    copied = root_identity(root_mount(mounts)) == root_identity(root_mount(tuple(hosts)))
    known = {_place(one) for one in hosts} if copied else set()
    return [_entry(one) for one in mounts if _place(one) not in known]


def _place(mount: Mount) -> tuple[int, int, str, str]:
    return mount.device_major, mount.device_minor, mount.root, mount.mountpoint


def _entry(mount: Mount) -> MountEntry:
    return {
        "mountpoint": mount.mountpoint,
        "type": mount.fstype,
        "source": mount.source,
        "source_root": mount.root,
        "read_only": mount.read_only,
        "options": [f"{name}={value}" if value else name for name, value in mount.options.items()],
        "propagation": list(mount.propagation),
    }


def overmounted(mounts: Iterable[MountEntry]) -> list[str]:
    """Return the mountpoints that several mounts share: only the last of them is seen."""
    places = sorted(mount["mountpoint"] for mount in mounts)
    return sorted({one for one, other in pairwise(places) if one == other})


def security(
    status: Status | None,
    uid_map: Iterable[IdRange] | None,
    gid_map: Iterable[IdRange] | None,
    lsm: str | None,
) -> Security:
    """Put together what the process may do."""
    masks = status.capabilities if status else {}

    def names(kind: str) -> list[str]:
        return capability_names(masks.get(kind, 0))

    return {
        "uid": status.uids[1] if status else None,
        "gid": status.gids[1] if status else None,
        "uid_map": _id_map(uid_map),
        "gid_map": _id_map(gid_map),
        "capabilities": {
            "effective": names("effective"),
            "permitted": names("permitted"),
            "inheritable": names("inheritable"),
            "bounding": names("bounding"),
            "ambient": names("ambient"),
        }
        if masks
        else None,
        "seccomp": SECCOMP.get(status.seccomp) if status and status.seccomp is not None else None,
        "seccomp_filters": status.seccomp_filters if status else None,
        "no_new_privs": status.no_new_privs if status else None,
        "lsm": lsm,
        "devices": None,
        "devices_note": None,
        "masked_paths": [],
        "read_only_paths": [],
    }


def _id_map(ranges: Iterable[IdRange] | None) -> list[IdMap] | None:
    if ranges is None:
        return None
    return [{"inside": one.inside, "outside": one.outside, "length": one.length} for one in ranges]


def own_findings(report: Report) -> list[Finding]:
    """List what a person should know of this one process, beside the findings of its container."""
    found: list[Finding] = []
    capabilities = report["security"]["capabilities"]
    mnt, user = report["namespaces"].get("mnt"), report["namespaces"].get("user")
    walled = mnt is not None and mnt["same_as_host"] is False
    hosts_user = user is not None and user["same_as_host"] is True
    if walled and hosts_user and capabilities and set(capabilities["effective"]) >= EVERY:
        text = "has all capabilities in the host's user namespace: its root is root of the host"
        found.append({"code": "all-capabilities", "severity": "warning", "text": text})
    if report["chroot"] is not None and mnt is not None and mnt["same_as_host"]:
        text = "only chroot: the host's mount namespace, which root can walk back into"
        found.append({"code": "chroot-only", "severity": "warning", "text": text})
    told, has = report["proc_says"], report["really_has"]
    # Whole CPUs are all that /proc could tell, and what lxcfs makes of a quota.
    cpus = None if has["cpus"] is None else math.ceil(has["cpus"])
    more = {"CPUs": _more(told["cpus"], cpus), "memory": _more(told["memory_bytes"], has["memory_bytes"])}
    if any(more.values()):
        what = " and ".join(name for name, is_more in more.items() if is_more)
        text = f"/proc tells it of the host's {what}, not of what it may use"
        found.append({"code": "proc-misleads", "severity": "info", "text": text})
    return found


def findings_since_start(container: Entry) -> list[Finding]:
    """Tell of throttling that the two samples did not see: the totals since the cgroup was made."""
    cpu = container["cpu"]
    throttled, periods = cpu["throttled_periods"] or 0, cpu["periods"] or 0
    now = {"cpu-throttled", "cpu-throttled-by-ancestor"} & {one["code"] for one in container["findings"]}
    if now or not periods or throttled / periods < THROTTLED:
        return []
    text = f"throttled in {throttled} of {periods} periods since it started"
    return [{"code": "cpu-was-throttled", "severity": "info", "text": text}]


def zombies(parent: Stat | None, count: int) -> list[Finding]:
    """Tell of processes that have ended and that their parent does not wait for, where they are many."""
    if parent is None or count < MANY_ZOMBIES:
        return []
    text = f"{count} zombies, which {parent.comm} (PID {parent.pid}) does not wait for: each holds a PID and a task"
    return [{"code": "zombies", "severity": "warning", "text": text}]


def told_once(found: Iterable[Finding]) -> list[Finding]:
    """Leave out what another finding says already: a privileged process has all capabilities."""
    listed = list(found)
    privileged = any(one["code"] == "privileged" for one in listed)
    return [one for one in listed if not (privileged and one["code"] == "all-capabilities")]


def cpu_own(cpu: object, cpuset: object) -> CpuOwn | None:
    """Write what the process's own cgroup says of the CPU; None where nothing is read."""
    if not isinstance(cpu, Cpu):
        return None
    return {
        "quota_us": cpu.quota_us,
        "period_us": cpu.period_us,
        "burst_us": cpu.burst_us,
        "weight": cpu.weight,
        "cpuset": cpuset.cpus if isinstance(cpuset, Cpuset) else None,
    }


def why_no_devices(hierarchies: Sequence[Hierarchy], place: Hierarchy | None) -> str:
    """Say why it is not known which devices a process may use."""
    if place is not None:
        return "not readable"
    if all(one.version == 1 for one in hierarchies):
        return "unknown: the cgroups that decide it are not mounted here"
    return "on v2 a BPF program decides: it cannot be read"


def _more(told: float | None, has: float | None) -> bool:
    return told is not None and has is not None and told > has * 1.01
