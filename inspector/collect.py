"""Who is there: the processes, the cgroups, and the full look at each group's first process.

Facts that belong to an identity (a process's namespaces, cgroups, root) are
read once and remembered; a process that has just started, and so may still be
on its way into its namespaces, is read again at the next tick. Listing costs
with the number of cgroups and of new processes, not of all processes.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from inspector.absence import Absence
from inspector.kernel.cgroups import (
    Hierarchy,
    Membership,
    locate,
    members_of,
    path_in,
    read_cgroup,
    read_hierarchies,
    walk,
)
from inspector.kernel.controllers import RESOURCES
from inspector.kernel.host import Host
from inspector.kernel.mounts import read_mountinfo, root_mount
from inspector.kernel.namespaces import is_initial, read_namespaces
from inspector.kernel.process import CLOCK_TICKS, KERNEL_THREAD, list_pids, read_cmdline, read_stat, read_status
from inspector.kernel.system import System, read_system
from inspector.model import Census, Group, Identity, Leader, Own, Process

__all__ = ["Collector"]

YOUNG_SECONDS = 2.0  # a runtime has moved its process into cgroups and namespaces by then
REFRESH_SECONDS = 10.0  # then every process is checked to be the one we knew


class Collector:
    """Lists what is on one machine, tick after tick. Not thread safe."""

    def __init__(self, host: Host, absence: Absence) -> None:
        self.host = host
        self.located: dict[str, tuple[Hierarchy, int]] = {}
        self._attempt = absence.attempt
        self._own: Own | None = None
        self._known: dict[int, Process | None] = {}
        self._leaders: dict[Identity, Leader] = {}
        self._young: set[int] = set()
        self._refreshed = float("-inf")
        self._uptime = 0.0
        self._hierarchies: tuple[Hierarchy, ...] = ()

    def begin(self) -> tuple[System, bool]:
        """Start a tick: read the machine's totals; tell whether everything remembered was checked anew."""
        system = read_system(self.host)
        self._uptime = system.uptime_seconds
        now = time.monotonic()
        refresh = now - self._refreshed >= REFRESH_SECONDS
        if refresh:
            self._refreshed = now
            self._hierarchies = self._attempt("hierarchies", read_hierarchies, self.host) or ()
            self.located = self._locate_all()
            self._own = self._read_own()
            self._verify()
        return system, refresh

    def end(self, leaders: Iterable[Leader]) -> None:
        """End a tick: keep only the leaders it used."""
        self._leaders = {leader.process.identity: leader for leader in leaders}

    def census(self) -> Census:
        """List the processes and the cgroups."""
        self._update_processes()
        processes = {pid: process for pid, process in self._known.items() if process is not None}
        own = self._own or self._read_own()
        return Census(self._hierarchies, own, processes, self._groups())

    def _update_processes(self) -> None:
        present = set(self._attempt("/proc", list_pids, self.host) or ())
        for pid in self._known.keys() - present:
            del self._known[pid]
        again = self._young & present
        self._young = set()
        for pid in (present - self._known.keys()) | again:
            self._look_at(pid)

    def _look_at(self, pid: int) -> None:
        stat = self._attempt(f"process {pid}", read_stat, self.host, pid)
        self._known.pop(pid, None)
        if stat is None:
            return
        if stat.flags & KERNEL_THREAD:
            self._known[pid] = None
            return
        found = self._attempt(f"process {pid}", read_namespaces, self.host, pid, ("pid", "mnt")) or {}
        if self._uptime - stat.starttime_ticks / CLOCK_TICKS < YOUNG_SECONDS:
            self._young.add(pid)
        self._known[pid] = Process(
            pid, stat.starttime_ticks, stat.ppid, stat.comm, found.get("pid"), found.get("mnt")
        )

    def _verify(self) -> None:
        """Forget each known process that is no longer the one with this PID, or has changed its name by exec."""
        for pid, known in list(self._known.items()):
            if known is None:
                continue
            stat = self._attempt(f"process {pid}", read_stat, self.host, pid)
            if stat is None or (stat.starttime_ticks, stat.comm, stat.ppid) != (
                known.starttime_ticks,
                known.comm,
                known.ppid,
            ):
                del self._known[pid]

    def _read_own(self) -> Own:
        host = self.host
        namespaces = self._attempt("self", read_namespaces, host, "self") or {}
        initial = {kind: is_initial(kind, inode) for kind, inode in namespaces.items()}
        tops = [(index, h, h.directory(h.root)) for index, h in enumerate(self._hierarchies)]
        # Only the root cgroup has release_agent (v1), and only it lacks cgroup.type (v2).
        true_roots = frozenset(
            index
            for index, h, top in tops
            if (host.access(f"{top}/release_agent") if h.version == 1 else not host.access(f"{top}/cgroup.type"))
        )
        mounts = self._attempt("self", read_mountinfo, host, "self") or ()
        stat = self._attempt("self", read_stat, host, "self")
        hostname = self._attempt("hostname", host.read, "/proc/sys/kernel/hostname") or b""
        return Own(
            pid=stat.pid if stat else 0,
            namespaces=namespaces,
            membership=self._attempt("self", read_cgroup, host, "self") or Membership({}),
            root=root_mount(mounts),
            own_pid_namespace=initial.get("pid") is False,
            inside_container=initial.get("pid") is False or initial.get("cgroup") is False,
            hidden_ancestors=any(index not in true_roots for index, _, _ in tops),
            true_roots=true_roots,
            hostname=hostname.decode(errors="surrogateescape").strip(),
        )

    def _groups(self) -> dict[str, Group]:
        found: dict[str, list[int]] = {}
        for index in self._reported_hierarchies():
            for path in walk(self.host, self._hierarchies[index]):
                found.setdefault(path, []).append(index)
        groups = {}
        for path, indexes in found.items():
            hierarchy = self._hierarchies[indexes[0]]
            directory = hierarchy.directory(path)
            if directory is None:
                continue
            members = self._attempt(f"cgroup {path!r}", members_of, self.host, hierarchy, directory)
            groups[path] = Group(path, frozenset(indexes), members or ())
        return groups

    def _reported_hierarchies(self) -> list[int]:
        """Return the hierarchies that carry a resource we report, those whose members matter most first."""
        order = ("cpu", "memory", "pids", *RESOURCES)
        return list(dict.fromkeys(self.located[name][1] for name in order if name in self.located))

    def _locate_all(self) -> dict[str, tuple[Hierarchy, int]]:
        found = {name: locate(self._hierarchies, name) for name in RESOURCES}
        return {name: (h, self._hierarchies.index(h)) for name, h in found.items() if h is not None}

    def leader(self, process: Process, processes: Mapping[int, Process]) -> Leader | None:
        """Look at a group's first process in full, or remember it."""
        known = self._leaders.get(process.identity)
        if known is not None and process.pid not in self._young and known.process == process:
            return known
        host, pid, subject = self.host, process.pid, f"process {process.pid}"
        membership = self._attempt(subject, read_cgroup, host, pid)
        if membership is None:
            return None
        status = self._attempt(subject, read_status, host, pid)
        mounts = self._attempt(subject, read_mountinfo, host, pid) or ()
        parent = processes.get(process.ppid)
        return Leader(
            process=process,
            inner_pids=status.ns_pids if status else (pid,),
            namespaces=self._attempt(subject, read_namespaces, host, pid) or {},
            membership=membership,
            root=root_mount(mounts),
            parent_cmdline=(self._attempt(subject, read_cmdline, host, parent.pid) or "") if parent else "",
        )

    def cohabitants(self, leader: Leader) -> dict[str, frozenset[int]]:
        """Return, by resource, who else is in the leader's cgroup: only an unshared one is the container's own."""
        found: dict[str, frozenset[int]] = {}
        for resource, (hierarchy, _) in self.located.items():
            path = path_in(hierarchy, leader.membership)
            directory = hierarchy.directory(path) if path is not None else None
            if directory is not None:
                members = self._attempt(f"cgroup {path!r}", members_of, self.host, hierarchy, directory)
                found[resource] = frozenset(members or ())
        return found
