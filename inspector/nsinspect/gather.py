"""Gathers the report on one process from the kernel: what cannot be read is noted, never guessed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import ParamSpec, TypeVar

from inspector.absence import Absence
from inspector.document import document
from inspector.errors import NoSuchProcess, ParseError
from inspector.exposure import guarded
from inspector.kernel.cgroups import Membership, ancestors, locate, path_in, read_cgroup
from inspector.kernel.controllers import Memory
from inspector.kernel.host import Host
from inspector.kernel.mounts import Mount, read_mountinfo, root_mount
from inspector.kernel.process import (
    CAPABILITIES,
    CLOCK_TICKS,
    Stat,
    Status,
    read_cmdline,
    read_gid_map,
    read_lsm_label,
    read_stat,
    read_status,
    read_uid_map,
)
from inspector.kernel.system import parse_meminfo
from inspector.limits import limits_of
from inspector.measure import Meter
from inspector.model import Container, Observation
from inspector.nsinspect import facts
from inspector.nsinspect.ceilings import read_ceilings, read_devices, read_pressure
from inspector.nsinspect.grouped import groups_of, of_groups
from inspector.nsinspect.neighbours import read_clock_ahead, read_neighbours, read_zombies
from inspector.nsinspect.truth import above_of, proc_says, really_has
from inspector.report import Cgroup, Limits, Namespace, Report, Resources, Security, Unreadable
from inspector.schema import SCHEMA, Document, Finding, Rootfs
from inspector.schema import Container as Entry
from inspector.security import Situation, findings
from inspector.unions import layers_at, view_of
from inspector.victims import Victims

__all__ = ["Gatherer"]

P = ParamSpec("P")
T = TypeVar("T")
LIMITED = ("cpu", "cpuset", "memory", "pids")
ON_DEMAND = ("io", "hugetlb")
KIND = {"low": "guarantee", "min": "guarantee", "soft": "target"}
PROC_BYTES = 1 << 20
ENDED = "ZX"
SYS_PTRACE = CAPABILITIES.index("CAP_SYS_PTRACE")


class Gatherer:
    """Reads everything about one process of an observed machine. Not reusable."""

    def __init__(self, host: Host, observation: Observation, pid: int, before: Observation | None = None) -> None:
        self.host = host
        self.before = before
        self.own_entry: Entry | None = None
        self._of_groups: list[Finding] = []
        self._pressure: dict[str, float | None] = {}
        self.seen = observation
        self.pid = pid
        self.unreadable: list[Unreadable] = []
        self._meter = Meter(host, Absence())
        self._meter.begin(observation.located)
        status = self._try("our own status", read_status, host, "self")
        self._may_trace = bool(status and status.capabilities.get("effective", 0) >> SYS_PTRACE & 1)

    def report(self) -> Report:
        """Gather it; NoSuchProcess when the process is not there, or was another one at the end."""
        stat = self._identify()
        membership = self._try("cgroups", read_cgroup, self.host, self.pid) or Membership({})
        ended = stat.state in ENDED
        mounts = () if ended else self._try("mounts", read_mountinfo, self.host, self.pid) or ()
        hosts = self._hosts_mounts()
        report = self._told(stat, membership, mounts, hosts)
        devices = self._guards(report, mounts, membership)
        if self._identify().starttime_ticks != stat.starttime_ticks:
            raise NoSuchProcess(self.pid)
        entry, situation = self.own_entry, self._situation(report, mounts, hosts, devices)
        of_container = [*entry["findings"], *facts.findings_since_start(entry)] if entry else self._of_groups
        pid_ns = report["namespaces"].get("pid")
        if entry and pid_ns and pid_ns["same_as_host"] is not True:
            of_container += facts.zombies(*read_zombies(self.host, pid_ns["inode"]))
        report["findings"] = facts.told_once([*of_container, *findings(situation), *facts.own_findings(report)])
        return report

    def _told(self, stat: Stat, membership: Membership, mounts: Sequence[Mount], hosts: Sequence[Mount]) -> Report:
        """Return all that is read, without what follows from it."""
        host, pid, containers = self.host, self.pid, self.seen.containers
        status = self._try("status", read_status, host, pid)
        namespaces = read_neighbours(host, pid, self.seen, self._try)
        process = status.tgid if status else pid  # cgroups count threads as their process
        own = next((one for one in containers if one.kind == "container" and process in one.members), None)
        self._find_entry(own, process, membership)
        limits, memories = self._limits(membership)
        is_hosts = "mnt" in namespaces and namespaces["mnt"]["same_as_host"]
        ahead = self._try("time offsets", read_clock_ahead, host, pid, mounts) or 0.0
        return {
            "schema": SCHEMA,
            "pid": pid,
            "pids": list(status.ns_pids) if status else [pid],
            "thread_of": process if process != pid else None,
            "comm": stat.comm,
            "cmdline": self._try("command line", read_cmdline, host, pid) or "",
            "state": stat.state,
            "kernel_thread": stat.is_kernel_thread,
            "container": own.id if own else None,
            "container_name": own.name if own else None,
            "container_runtime": own.runtime if own else None,
            "container_image": own.image if own else None,
            "container_state": self.own_entry["state"] if self.own_entry else None,
            "container_evidence": list(own.evidence) if own else [],
            "container_parents": facts.around(own, containers),
            "namespaces": namespaces,
            "cgroups": self._cgroups(membership),
            "limits": limits,
            "rootfs": self._rootfs(mounts, hosts, own),
            "chroot": self._chroot(),
            "mounts": [] if is_hosts else facts.foreign_mounts(mounts, hosts),
            "security": self._security(status),
            "proc_says": proc_says(self._inside, self._bad, ahead),
            "really_has": self._really_has(limits, memories, self._age(stat, own, namespaces.get("pid"))),
            "findings": [],
            "unreadable": self.unreadable,
        }

    def _security(self, status: Status | None) -> Security:
        host, pid = self.host, self.pid
        return facts.security(
            status,
            self._try("user id map", read_uid_map, host, pid),
            self._try("group id map", read_gid_map, host, pid),
            self._try("security label", read_lsm_label, host, pid),
        )

    def _rootfs(self, mounts: Sequence[Mount], hosts: Sequence[Mount], own: Container | None) -> Rootfs:
        """Describe the root, its layers with their short links resolved."""
        told, root = facts.rootfs(mounts, hosts), root_mount(tuple(mounts))
        view = view_of(own, self.seen.containers) if own else ""
        layers = self._try("layers", layers_at, self.host, root, tuple(hosts), view, own) if root else None
        return {**told, "lower": list(layers.lower), "upper": layers.upper, "work": layers.work} if layers else told

    def _find_entry(self, own: Container | None, process: int, membership: Membership) -> None:
        """Find the container as ctop tells it, with rates when there are two samples; or else what its groups have."""
        if own is not None:
            self.own_entry = next(one for one in self._document()["containers"] if one["id"] == own.id)
            return
        paths = {name: path for name, (place, _) in self.seen.located.items() if (path := path_in(place, membership))}
        groups = groups_of(process, paths, self.seen.containers)
        self._of_groups = [*of_groups(groups, self._document())] if groups else []

    def _document(self) -> Document:
        with closing(Victims(self.host)) as victims:
            return victims.named(document(self.before, self.seen))

    def _identify(self) -> Stat:
        try:
            return read_stat(self.host, self.pid)
        except (FileNotFoundError, ProcessLookupError):
            hint = "" if self.host.access("/proc/1") else " that /proc shows us (hidepid): root sees others' too"
            raise NoSuchProcess(self.pid, hint) from None

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

    def _cgroups(self, membership: Membership) -> list[Cgroup]:
        found: list[Cgroup] = []
        for hierarchy in self.seen.hierarchies:
            path = path_in(hierarchy, membership)
            if path is not None:
                controllers = sorted(hierarchy.controllers)
                found.append({"controllers": controllers, "version": hierarchy.version, "path": path})
        return found

    def _limits(self, membership: Membership) -> tuple[Limits, list[Memory]]:
        """Return the limits along the process's own cgroups, and what the memory ones say, the innermost first."""
        seen, paths = self.seen, {}
        wanted: dict[tuple[str, str], bool] = {}
        for name in (*LIMITED, *ON_DEMAND):
            hierarchy = seen.located[name][0] if name in seen.located else None
            path = path_in(hierarchy, membership) if hierarchy else None
            if hierarchy is None or path is None:
                continue
            paths[name] = path
            if name in LIMITED:
                wanted.update(((name, above), True) for above in ancestors(path, hierarchy.root))
        readings, _ = self._meter.figures(wanted)
        self._meter.figures({})  # closes what it keeps open for another look
        whole = not seen.own.hidden_ancestors
        limits = limits_of(readings, paths, seen.located, seen.own.true_roots, seen.system.cpus, whole=whole)
        others = read_ceilings(self.host, seen.located, paths, seen.own.true_roots)
        self.unreadable += [{"what": "limits", "error": text, "needs": None} for text in others.problems]
        cpu, cpuset = readings.get(("cpu", paths.get("cpu", ""))), readings.get(("cpuset", paths.get("cpuset", "")))
        self._pressure = read_pressure(self.host, seen.hierarchies, membership, paths)
        report: Limits = {
            "cpu": facts.limit_line(limits["cpu"], whole=False),
            "memory": facts.limit_line(limits["memory"]),
            "pids": facts.limit_line(limits["pids"]),
            "cpuset": facts.limit_line(limits["cpuset"]),
            "cpu_own": facts.cpu_own(cpu, cpuset),
            "memory_others": {name: facts.limit_line(one, kind=KIND.get(name, "limit"))
                              for name, one in sorted(others.memory.items())},
            "io": [{"device": device, "figure": figure, "limit": facts.limit_line(one)}
                   for (device, figure), one in others.io.items()],
            "hugetlb": {size: facts.limit_line(one) for size, one in others.hugetlb.items()},
            "above": above_of(limits, self._pressure["cpu"], self._cpu_used()),
        }  # fmt: skip
        along = (readings.get(("memory", path)) for path, _ in limits["memory"].chain)
        return report, [one for one in along if isinstance(one, Memory)]

    def _cpu_used(self) -> float | None:
        return self.own_entry["cpu"]["usage_cores"] if self.own_entry else None

    def _chroot(self) -> str | None:
        root = self._try("root directory", self.host.readlink, f"/proc/{self.pid}/root") if self.host.is_live else None
        return None if root in ("/", None) else root

    def _inside(self, name: str) -> bytes | None:
        """Read a file of the process's own /proc, which need not be the kernel's (lxcfs)."""
        try:
            return self.host.read_inside(f"/proc/{self.pid}/root", f"proc/{name}", PROC_BYTES)
        except OSError:
            return None

    def _bad(self, what: str, error: ParseError) -> None:
        self.unreadable.append({"what": what, "error": str(error), "needs": None})

    def _really_has(self, limits: Limits, memories: list[Memory], uptime: float | None) -> Resources:
        try:
            free = parse_meminfo(self.host.read("/proc/meminfo")).get("MemFree")
        except (OSError, ParseError):
            free = None
        return really_has(limits, memories, self.seen.system, free, uptime, self._pressure)

    def _age(self, stat: Stat, own: Container | None, pid_ns: Namespace | None) -> float | None:
        """Return the seconds since the container's, or the PID namespace's, first process started."""
        if pid_ns is None:
            return None
        up = self.seen.system.uptime_seconds
        leaders = [one.leader.process for one in self.seen.containers if one.leader]
        started = [one.starttime_ticks for one in leaders if one.pid_ns == pid_ns["inode"]]
        if pid_ns["same_as_host"]:
            if own is None or own.leader is None:
                return up
            started = [own.leader.process.starttime_ticks]
        return max(0.0, up - min([stat.starttime_ticks, *started]) / CLOCK_TICKS)

    def _guards(self, report: Report, mounts: Sequence[Mount], membership: Membership) -> tuple[str, ...] | None:
        """Fill in the devices and paths it is kept from."""
        told = report["security"]
        told["masked_paths"], told["read_only_paths"] = guarded(mounts)
        place = locate(self.seen.hierarchies, "devices")
        path = path_in(place, membership) if place else None
        rules = self._try("device rules", read_devices, self.host, (place, path) if place and path else None)
        told["devices"] = list(rules) if rules is not None else None
        if rules is None:
            told["devices_note"] = facts.why_no_devices(self.seen.hierarchies, place)
        return rules

    def _situation(
        self, report: Report, mounts: Sequence[Mount], hosts: Sequence[Mount], devices: tuple[str, ...] | None
    ) -> Situation:
        told = report["security"]
        capabilities = told["capabilities"]["effective"] if told["capabilities"] else []
        same = {kind: one["same_as_host"] for kind, one in report["namespaces"].items()}
        own = self.seen.own
        inside = own.own_pid_namespace or (own.inside_container and report["container"] is not None)
        if inside and same.get("mnt") is None:
            same["mnt"] = False  # in a container: which mounts are the host's is hidden, the rest can be judged
        return Situation(
            same, told["uid"], frozenset(capabilities), told["seccomp"], told["no_new_privs"], mounts, hosts, devices
        )
