"""Gathers the report on one process from the kernel: what cannot be read is noted, never guessed."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from inspector.absence import Absence
from inspector.document import document
from inspector.errors import NoSuchProcess, ParseError
from inspector.kernel.cgroups import Membership, ancestors, path_in, read_cgroup
from inspector.kernel.controllers import Memory
from inspector.kernel.host import Host
from inspector.kernel.mounts import Mount, read_mountinfo
from inspector.kernel.namespaces import NAMESPACES, read_namespaces, read_relatives
from inspector.kernel.process import (
    CAPABILITIES,
    CLOCK_TICKS,
    Stat,
    list_pids,
    read_cmdline,
    read_gid_map,
    read_lsm_label,
    read_stat,
    read_status,
    read_uid_map,
)
from inspector.kernel.system import parse_cpu_totals, parse_floats, parse_meminfo
from inspector.limits import limits_of
from inspector.measure import Meter
from inspector.model import Container, Observation
from inspector.nsinspect import facts
from inspector.nsinspect.report import Cgroup, Limits, Namespace, Report, Resources, Unreadable
from inspector.schema import SCHEMA, Finding

__all__ = ["Gatherer", "census_of_namespaces"]

P = ParamSpec("P")
T = TypeVar("T")
LIMITED = ("cpu", "cpuset", "memory", "pids")
PROC_BYTES = 1 << 20
SYS_PTRACE = CAPABILITIES.index("CAP_SYS_PTRACE")


def census_of_namespaces(host: Host) -> dict[int, dict[str, int]]:
    """Read the namespaces of every process; those of a process we may not look into are left out."""
    found = {}
    for pid in list_pids(host):
        try:
            found[pid] = read_namespaces(host, pid)
        except (OSError, ParseError):
            continue
    return found


class Gatherer:
    """Reads everything about one process of an observed machine. Not reusable."""

    def __init__(self, host: Host, observation: Observation, pid: int) -> None:
        self.host = host
        self.seen = observation
        self.pid = pid
        self.unreadable: list[Unreadable] = []
        self._meter = Meter(host, Absence())
        self._meter.begin(observation.located, refresh=True)
        status = self._try("our own status", read_status, host, "self")
        self._may_trace = bool(status and status.capabilities.get("effective", 0) >> SYS_PTRACE & 1)

    def report(self) -> Report:
        """Gather it; NoSuchProcess when the process is not there, or was another one at the end."""
        stat = self._identify()
        host, pid = self.host, self.pid
        status = self._try("status", read_status, host, pid)
        membership = self._try("cgroups", read_cgroup, host, pid) or Membership({})
        mounts, hosts_mounts = self._try("mounts", read_mountinfo, host, pid) or (), self._hosts_mounts()
        namespaces = self._namespaces()
        own = next((one for one in self.seen.containers if one.kind == "container" and pid in one.members), None)
        limits, swap_limit = self._limits(membership)
        held = namespaces.get("mnt", {"same_as_host": None})["same_as_host"]
        report: Report = {
            "schema": SCHEMA,
            "pid": pid,
            "pids": list(status.ns_pids) if status else [pid],
            "comm": stat.comm,
            "cmdline": self._try("command line", read_cmdline, host, pid) or "",
            "container": own.id if own else None,
            "container_name": own.name if own else None,
            "namespaces": namespaces,
            "cgroups": self._cgroups(membership),
            "limits": limits,
            "rootfs": facts.rootfs(mounts, hosts_mounts),
            "chroot": self._chroot(),
            "mounts": [] if held else facts.foreign_mounts(mounts, hosts_mounts),
            "security": facts.security(
                status,
                self._try("user id map", read_uid_map, host, pid),
                self._try("group id map", read_gid_map, host, pid),
                self._try("security label", read_lsm_label, host, pid),
            ),
            "proc_says": self._proc_says(),
            "really_has": self._really_has(limits, swap_limit, stat, namespaces.get("pid")),
            "findings": [],
            "unreadable": self.unreadable,
        }
        if self._identify().starttime_ticks != stat.starttime_ticks:
            raise NoSuchProcess(pid)
        report["findings"] = [*self._findings_of(own), *facts.own_findings(report)]
        return report

    def _identify(self) -> Stat:
        try:
            return read_stat(self.host, self.pid)
        except (FileNotFoundError, ProcessLookupError):
            raise NoSuchProcess(self.pid) from None

    def _try(self, what: str, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Return what `read` returns, or note that it could not be read. That the process ended shows at the end."""
        try:
            return read(*args, **kwargs)
        except ParseError as error:
            self.unreadable.append({"what": what, "error": str(error), "needs": None})
        except (FileNotFoundError, ProcessLookupError, NotADirectoryError):
            pass
        except OSError as error:
            self._refused(what, error)
        return None

    def _refused(self, what: str, error: OSError) -> None:
        text, needs = error.strerror or str(error), None
        if isinstance(error, PermissionError):
            needs = None if self._may_trace else "CAP_SYS_PTRACE"
            text += "" if needs else ", although we have CAP_SYS_PTRACE: a security module refuses it"
        self.unreadable.append({"what": what, "error": text, "needs": needs})

    def _hosts_mounts(self) -> tuple[Mount, ...]:
        """Return the mounts of the machine: PID 1's; from inside a container they cannot be seen."""
        if self.seen.own.own_pid_namespace:
            error = "we run inside a container: every mount is listed"
            self.unreadable.append({"what": "the host's mounts", "error": error, "needs": None})
            return ()
        return self._try("the host's mounts", read_mountinfo, self.host, 1) or ()

    def _namespaces(self) -> dict[str, Namespace]:
        mine = self._try("namespaces", read_namespaces, self.host, self.pid) or {}
        everyone = census_of_namespaces(self.host)
        hosts = facts.hosts_namespaces(everyone, on_host=not self.seen.own.own_pid_namespace)
        inside = {pid: one.name for one in self.seen.containers if one.kind == "container" for pid in one.members}
        found: dict[str, Namespace] = {}
        for kind, inode in sorted(mine.items(), key=lambda item: NAMESPACES.index(item[0])):
            members = [pid for pid, namespaces in everyone.items() if namespaces.get(kind) == inode]
            owner, parent = self._relatives(kind)
            found[kind] = {
                "inode": inode,
                "same_as_host": facts.same_as_host(kind, inode, hosts),
                "processes": len(members),
                "containers": sorted({inside[pid] for pid in members if pid in inside}),
                "owner": owner,
                "parent": parent,
            }
        return found

    def _relatives(self, kind: str) -> tuple[int | None, int | None]:
        # Elsewhere the links lead nowhere: only on the machine itself is there a namespace behind them.
        if not self.host.is_live:
            return None, None
        return self._try(f"owner of the {kind} namespace", read_relatives, self.host, self.pid, kind) or (None, None)

    def _cgroups(self, membership: Membership) -> list[Cgroup]:
        found: list[Cgroup] = []
        for hierarchy in self.seen.hierarchies:
            path = path_in(hierarchy, membership)
            if path is not None:
                controllers = sorted(hierarchy.controllers)
                found.append({"controllers": controllers, "version": hierarchy.version, "path": path})
        return found

    def _limits(self, membership: Membership) -> tuple[Limits, int | None]:
        """Return the effective limits along the process's own cgroups, and the least limit of swap."""
        paths = {}
        wanted: dict[tuple[str, str], bool] = {}
        for name in LIMITED:
            hierarchy = self.seen.located[name][0] if name in self.seen.located else None
            path = path_in(hierarchy, membership) if hierarchy else None
            if hierarchy is None or path is None:
                continue
            paths[name] = path
            wanted.update(((name, above), True) for above in ancestors(path, hierarchy.root))
        readings, _ = self._meter.figures(wanted)
        seen = self.seen
        limits = limits_of(readings, paths, seen.located, seen.own.true_roots, seen.system.cpus)
        lines = {name: facts.limit_line(limits[name], whole=name != "cpu") for name in LIMITED}
        swap = (one.swap_limit_bytes for one in readings.values() if isinstance(one, Memory))
        return (
            {"cpu": lines["cpu"], "memory": lines["memory"], "pids": lines["pids"], "cpuset": lines["cpuset"]},
            min((one for one in swap if one is not None), default=None),
        )

    def _chroot(self) -> str | None:
        root = self._try("root directory", self.host.readlink, f"/proc/{self.pid}/root") if self.host.is_live else None
        return None if root in ("/", None) else root

    def _inside(self, name: str) -> bytes | None:
        """Read a file of the process's own /proc, which need not be the kernel's (lxcfs)."""
        try:
            return self.host.read_inside(f"/proc/{self.pid}/root", f"proc/{name}", PROC_BYTES)
        except OSError:
            return None

    def _proc_says(self) -> Resources:
        stat, memory = self._inside("stat"), self._inside("meminfo")
        load, uptime = self._inside("loadavg"), self._inside("uptime")
        cpus = self._try("its /proc/stat", parse_cpu_totals, stat) if stat else None
        meminfo = (self._try("its /proc/meminfo", parse_meminfo, memory) if memory else None) or {}
        loads = self._try("its /proc/loadavg", parse_floats, "/proc/loadavg", load, 3) if load else None
        up = self._try("its /proc/uptime", parse_floats, "/proc/uptime", uptime, 1) if uptime else None
        return {
            "cpus": cpus.cpus if cpus else None,
            "memory_bytes": meminfo.get("MemTotal"),
            "swap_bytes": meminfo.get("SwapTotal"),
            "uptime_seconds": up[0] if up else None,
            "load": list(loads) if loads else None,
        }

    def _really_has(
        self, limits: Limits, swap_limit: int | None, stat: Stat, pid_ns: Namespace | None
    ) -> Resources:
        system = self.seen.system
        cpus, memory = limits["cpu"], limits["memory"]
        return {
            "cpus": _least(cpus["value"], system.cpus, hidden=cpus["hidden_ancestors"]),
            "memory_bytes": _whole(_least(memory["value"], system.memory_bytes, hidden=memory["hidden_ancestors"])),
            "swap_bytes": system.swap_bytes if swap_limit is None else min(swap_limit, system.swap_bytes),
            "uptime_seconds": self._age(stat, pid_ns),
            "load": None,
        }

    def _age(self, stat: Stat, pid_ns: Namespace | None) -> float | None:
        """Return the seconds since the first process of the PID namespace started; the machine's for the first one."""
        if pid_ns is None:
            return None
        if pid_ns["same_as_host"]:
            return self.seen.system.uptime_seconds
        leaders = [one.leader.process for one in self.seen.containers if one.leader]
        started = [one.starttime_ticks for one in leaders if one.pid_ns == pid_ns["inode"]]
        first = min([stat.starttime_ticks, *started])
        return max(0.0, self.seen.system.uptime_seconds - first / CLOCK_TICKS)

    def _findings_of(self, own: Container | None) -> list[Finding]:
        if own is None:
            return []
        return next(one["findings"] for one in document(None, self.seen)["containers"] if one["id"] == own.id)


def _least(limit: float | None, machine: float, *, hidden: bool) -> float | None:
    """Return the tighter of limit and machine; unknown when no limit is seen and one may be hidden."""
    if limit is None:
        return None if hidden else machine
    return min(limit, machine)


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
