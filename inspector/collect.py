"""Who is there: the processes, the cgroups, and the full look at each group's first process.

Facts that belong to an identity (a process's namespaces, cgroups, root) are
read once and remembered until it is its turn to be looked at anew; a process
that has just started, and so may still be on its way into its namespaces, is
read again at the next tick. Listing costs with the number of cgroups and of new processes,
not of all processes.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Collection, Iterable, Mapping

from inspector.absence import Absence
from inspector.errors import ParseError
from inspector.kernel.cgroup_tree import Tree
from inspector.kernel.cgroups import Hierarchy, locate, members_of, path_in, read_cgroup_counts, read_descendants
from inspector.kernel.controllers import RESOURCES
from inspector.kernel.host import Host
from inspector.kernel.mounts import read_root_mount
from inspector.kernel.namespaces import read_namespaces
from inspector.kernel.process import (
    CLOCK_TICKS,
    Stat,
    list_pids,
    parse_stat,
    read_cmdline,
)
from inspector.kernel.system import System, read_system
from inspector.model import Census, Group, Identity, Leader, Process
from inspector.turns import Turns
from inspector.viewpoint import Viewpoint

__all__ = ["Collector"]

APART = ("pid", "mnt")  # the namespaces that set a container apart
YOUNG_SECONDS = 2.0  # a runtime has moved its process into cgroups and namespaces by then
GONE = (errno.ENOENT, errno.ENODEV)
REFRESH_SECONDS = 10.0  # within which every group's first process is looked at anew
# And all others, which may be many: that one has moved into other namespaces, or into a container's cgroup in one
# hierarchy and not in that whose members are read at every tick, is rare.
OTHERS_SECONDS = 60.0
# Of a leader: itself, its group's members, the paths of its cgroups, and who is in them.
Cohabitants = tuple[Leader, tuple[int, ...], frozenset[str], dict[str, frozenset[int]]]


class Collector:
    """Lists what is on one machine, tick after tick. Not thread safe."""

    def __init__(self, host: Host, absence: Absence, *, refresh_seconds: float | None = None) -> None:
        self.host = host
        self._refresh_seconds = refresh_seconds
        self.located: dict[str, tuple[Hierarchy, int]] = {}
        self._absence = absence
        self._attempt = absence.attempt
        self._viewpoint = Viewpoint(host, absence)
        self._system: System | None = None
        self._known: dict[int, Process | None] = {}
        self._leaders: dict[Identity, Leader] = {}
        self._denied: set[int] = set()
        self._young: set[int] = set()
        self._unsettled: set[int] = set()
        self._looked: dict[int, Stat] = {}  # the processes that were looked at at this tick
        self.turns = Turns()
        self._others_turns = Turns()
        self._uptime = 0.0
        self._trees: dict[int, Tree] = {}  # by index of the hierarchy, those whose members matter most first
        self._counts: dict[int, int | None] = {}  # by index of the hierarchy: how many cgroups the kernel counts there
        self._groups: dict[str, Group] = {}
        self._gone = False  # a cgroup that we know is not there any more
        self._changed: set[str] = set()  # the paths of the groups that came, went or have other members at this tick
        self._places: dict[str, tuple[int, ...]] = {}  # the hierarchies that a path is in, by index
        self._glances: dict[int, tuple[bytes, Stat]] = {}
        self._processes: dict[int, Process] = {}
        self._cohabitants: dict[Identity, Cohabitants] = {}
        # What was read at this tick: who is in a cgroup, by hierarchy and path; what started a group's first process.
        self._listed: dict[tuple[int, str], tuple[int, ...]] = {}
        self._lists: dict[bytes, tuple[int, ...]] = {}
        self._starters: dict[int, tuple[str, str]] = {}

    def begin(self) -> tuple[System, bool]:
        """Start a tick: read the machine's totals; tell whether what is remembered has to be read anew."""
        # Without the machine's own totals there is nothing to compare with: a first look that has none fails.
        system = self._attempt("the machine's totals", read_system, self.host) or self._system or read_system(self.host)
        self._system = system
        self._uptime = system.uptime_seconds
        after = REFRESH_SECONDS if self._refresh_seconds is None else self._refresh_seconds
        now = time.monotonic()
        self.turns.begin(now, after)
        self._others_turns.begin(now, max(after, OTHERS_SECONDS) if after else after)
        # A PID can be another process's by now, and a process in other namespaces.
        firsts = {pid for pid, _ in self._leaders}
        for pid in [pid for pid in self._known if pid in (self.turns if pid in firsts else self._others_turns)]:
            del self._known[pid]
        refresh = 0 in self.turns
        if refresh:
            hierarchies = self._viewpoint.hierarchies
            self._viewpoint.look()
            if hierarchies != self._viewpoint.hierarchies:  # of which all that is remembered tells
                self._trees, self._leaders, self._known = {}, {}, {}
            self.located = self._locate_all()
            self.host.anchor(dict.fromkeys(hierarchy.mountpoint for hierarchy, _ in self.located.values()))
        self._listed.clear()
        self._lists.clear()
        self._starters.clear()
        self._looked.clear()
        return system, refresh

    def end(self, leaders: Iterable[Leader]) -> None:
        """End a tick: keep only the leaders it used."""
        self._leaders = {leader.process.identity: leader for leader in leaders}
        for identity in self._cohabitants.keys() - self._leaders.keys():
            del self._cohabitants[identity]
        for pid in self._glances.keys() - {pid for pid, _ in self._leaders}:
            del self._glances[pid]
        self._listed.clear()
        self._lists.clear()

    def census(self) -> Census:
        """List the processes and the cgroups; either mapping is the last tick's own when nothing in it has changed."""
        self._update_processes()
        self._update_groups()
        return Census(self._viewpoint.hierarchies, self._viewpoint.own, self._processes, self._groups)

    def _update_processes(self) -> None:
        self._recheck_leaders()
        present = set(self._attempt("/proc", list_pids, self.host) or ())
        for pid in self._known.keys() - present:
            del self._known[pid]
        again = self._young & present
        self._young = set()
        self._look_at((present - self._known.keys()) | again)
        self._unsettled = again | self._young
        self._keep_processes()
        # What is remembered as denied is so at every tick.
        self._denied &= present
        self._absence.denied.update(f"process {pid}" for pid in self._denied)

    def _keep_processes(self) -> None:
        processes = {pid: process for pid, process in self._known.items() if process is not None}
        if processes != self._processes:
            self._processes = processes

    def _recheck_newcomers(self, before: Mapping[str, Group], after: Mapping[str, Group]) -> None:
        """Look anew at those that have come into a group and were known: their PIDs can be others' by now."""
        came = {pid for path, group in after.items() for pid in set(group.members).difference(before[path].members)}
        stale = (came & self._known.keys()) - self._looked.keys()
        if stale:
            self._look_at(stale)
            self._unsettled |= self._young
            self._keep_processes()

    def _recheck_leaders(self) -> None:
        """Forget the groups' first processes that have executed another program, or whose PID is another's now."""
        for leader in self._leaders.values():
            pid = leader.process.pid
            stat = self._glance(pid)
            if stat is None or not _is(leader.process, stat):
                self._known.pop(pid, None)

    def ended(self, process: Process) -> bool:
        """Tell whether a group's first process has ended, reaped by its parent or not yet (a zombie)."""
        stat = self._looked.get(process.pid) or self._glance(process.pid)
        return stat is None or stat.state in "ZX"

    def _glance(self, pid: int) -> Stat | None:
        """Read a first process's stat, as at every tick; parsed again only when it says something else."""
        data = self._attempt(f"process {pid}", self.host.read_kept, f"/proc/{pid}/stat")
        known = self._glances.get(pid)
        if data is None or (known is not None and known[0] == data):
            return known[1] if data is not None and known is not None else None
        stat = self._attempt(f"process {pid}", parse_stat, data)
        if stat is not None:
            self._glances[pid] = data, stat
        return stat

    def _look_at(self, pids: Collection[int]) -> None:
        """Look at processes that are new to us, or young."""
        for pid, data in zip(pids, self.host.read_each(f"/proc/{pid}/stat" for pid in pids), strict=True):
            self._known.pop(pid, None)
            self._denied.discard(pid)
            # No attempt() for each: there may be thousands.
            try:
                stat = _parsed_stat(data)
                if stat.is_kernel_thread:
                    self._known[pid] = None
                    continue
            except (ParseError, OSError) as error:
                self._absence.account(f"process {pid}", error)
                continue
            try:
                found = read_namespaces(self.host, pid, APART)
            except (ParseError, OSError) as error:
                found = {}
                self._absence.account(f"process {pid}", error)
                if f"process {pid}" in self._absence.denied:
                    self._denied.add(pid)
            if self._uptime - stat.starttime_ticks / CLOCK_TICKS < YOUNG_SECONDS:
                self._young.add(pid)
            self._looked[pid] = stat
            self._known[pid] = Process(
                pid, stat.starttime_ticks, stat.ppid, stat.comm, found.get("pid"), found.get("mnt")
            )

    def _update_groups(self) -> None:
        """Bring the cgroups and their members up to date; nothing changes in `_groups` when nothing has changed."""
        known = self._groups if self._trees and not self._trees_changed() else self._list_groups()
        self._gone = False
        found = self._members_changed(known)
        if self._gone:  # and perhaps another in its place
            for tree in self._trees.values():
                tree.update(leaves=True)
            known = self._list_groups()
            found = self._members_changed(known)
        if self._groups:  # else everybody has just been looked at
            self._recheck_newcomers(known, found)
        self._changed = found.keys() | (known.keys() ^ self._groups.keys())
        if self._changed or known is not self._groups:
            self._groups = {**known, **found}

    def _members_changed(self, known: Mapping[str, Group]) -> dict[str, Group]:
        """Return the groups that have other members than at the last tick."""
        there: dict[str, tuple[int, ...]] = {}
        left, rank = list(known), 0
        # On v1 a process may be in this cgroup of one hierarchy and not of another: the first with any counts.
        while left:
            self._list((self._places[path][rank], path) for path in left)
            there.update((path, self._listed[self._places[path][rank], path]) for path in left)
            rank += 1
            left = [path for path in left if not there[path] and rank < len(self._places[path])]
        return {
            path: group._replace(members=there[path]) for path, group in known.items() if there[path] != group.members
        }

    def _trees_changed(self) -> bool:
        """Look for cgroups that came or went.

        In every directory of a hierarchy when it is its turn. In between nothing is looked for where the kernel counts
        as many as we know (whether those are still there, reading their members tells). Else, a first child of a
        leaf is looked for in the first hierarchy, as who makes groups within groups makes them there too, and in
        those whose count is another than it was (on v1 it includes what was removed and is not yet freed).
        """
        first = next(iter(self._trees))
        before, self._counts = self._counts, self._count()
        changed = False
        for place, (index, tree) in enumerate(self._trees.items()):
            count = self._counts[index]
            moved = index == first or count != before.get(index)
            turn = self.turns.of(place, len(self._trees))
            leaves = turn or changed or (moved and count != len(tree.paths))
            changed |= tree.update(leaves=leaves, count=count)
        return changed

    def _count(self) -> dict[int, int | None]:
        """Read how many cgroups each hierarchy has; None where nothing tells."""
        machine: dict[str, int] | None = None
        counts: dict[int, int | None] = {}
        for index in self._trees:
            hierarchy = self._viewpoint.hierarchies[index]
            if hierarchy.version == 2:  # noqa: PLR2004  what is below the mount, which may be a part of the machine's
                below = self._attempt("cgroup.stat", read_descendants, self.host, hierarchy.mountpoint)
                counts[index] = None if below is None else below + 1
                continue
            if machine is None:
                machine = self._attempt("/proc/cgroups", read_cgroup_counts, self.host) or {}
            counts[index] = next((machine[name] for name in hierarchy.controllers if name in machine), None)
        return counts

    def _list_groups(self) -> dict[str, Group]:
        hierarchies = self._viewpoint.hierarchies
        if not self._trees:
            self._trees = {index: Tree(self.host, hierarchies[index]) for index in self._reported_hierarchies()}
            self._counts = self._count()
            for index, tree in self._trees.items():
                tree.update(leaves=True, count=self._counts[index])
        indexes: dict[str, tuple[int, ...]] = {}
        for index, tree in self._trees.items():
            for path in tree.paths:
                indexes[path] = (*indexes.get(path, ()), index)
        # Most are in the same hierarchies: what says so is kept once.
        alike = {places: (places, frozenset(places)) for places in indexes.values()}
        self._places = {path: alike[places][0] for path, places in indexes.items()}
        return {
            path: Group(path, alike[places][1], self._groups[path].members if path in self._groups else ())
            for path, places in indexes.items()
        }

    def _list(self, places: Iterable[tuple[int, str]]) -> None:
        """Read who is in some cgroups, given by hierarchy and path: hierarchy by hierarchy."""
        wanted: dict[int, dict[str, None]] = {}
        for place in places:
            if place not in self._listed:
                wanted.setdefault(place[0], {})[place[1]] = None
        for index, paths in wanted.items():
            read = members_of(self.host, self._viewpoint.hierarchies[index], paths, self._lists)
            for path, members in zip(paths, read, strict=True):
                if isinstance(members, tuple):
                    self._listed[index, path] = members
                    continue
                self._absence.account(f"cgroup {path!r}", members)
                self._gone |= isinstance(members, OSError) and members.errno in GONE
                self._listed[index, path] = ()

    def _reported_hierarchies(self) -> list[int]:
        """Return the hierarchies that carry a resource we report, those whose members matter most first."""
        order = ("cpu", "memory", "pids", *RESOURCES)
        return list(dict.fromkeys(self.located[name][1] for name in order if name in self.located))

    def _locate_all(self) -> dict[str, tuple[Hierarchy, int]]:
        found = {name: locate(self._viewpoint.hierarchies, name) for name in RESOURCES}
        return {name: (h, self._viewpoint.hierarchies.index(h)) for name, h in found.items() if h is not None}

    def leader(self, process: Process, processes: Mapping[int, Process]) -> Leader | None:
        """Look at a group's first process in full, or remember it."""
        host, pid, subject = self.host, process.pid, f"process {process.pid}"
        known = self._leaders.get(process.identity)
        if known is not None and (known.process != process or pid in self._unsettled):
            known = None
        if known is not None and pid not in self.turns:
            return known
        membership = self._attempt(subject, self._viewpoint.membership, pid)
        if membership is None:
            return None
        if known is not None:  # of all that is known of it, somebody else can change its cgroups alone
            return known if known.membership == membership else known._replace(membership=membership)
        parent = processes.get(process.ppid)
        command, directory = self._started_by(parent.pid) if parent else ("", "")
        root, kept_in = self._attempt(subject, read_root_mount, host, pid) or (None, "")
        spaces = {"pid": process.pid_ns, "mnt": process.mnt_ns} if pid in self._looked else {}
        return Leader(
            process=process,
            namespaces=self._attempt(subject, read_namespaces, host, pid, known=spaces) or {},
            membership=membership,
            root=root,
            parent_cmdline=command,
            kept_in=kept_in,
            parent_directory=directory,
        )

    def _started_by(self, pid: int) -> tuple[str, str]:
        """Return the command line and the directory of a process that started another; it may have started many."""
        if pid not in self._starters:
            subject = f"process {pid}"
            command = self._attempt(subject, read_cmdline, self.host, pid) or ""
            directory = self._attempt(subject, self.host.readlink, f"/proc/{pid}/cwd") or ""
            self._starters[pid] = command, directory
        return self._starters[pid]

    def cohabitants(
        self, wanted: Collection[tuple[Leader, tuple[int, ...]]]
    ) -> dict[Identity, dict[str, frozenset[int]]]:
        """Return, of groups by their leaders and members, who is in the leader's cgroup of each resource.

        Only an unshared one is the container's own. Read again when the leader is another or in other cgroups, when its
        group has other members, or the cgroup in the hierarchy whose members are listed at every tick.
        """
        anew = []
        for leader, members in wanted:
            known = self._cohabitants.get(leader.process.identity)
            if (
                known is None
                or known[0] is not leader
                or known[1] != members
                or leader.process.pid in self._others_turns
                or not self._changed.isdisjoint(known[2])
            ):
                anew.append((leader, members, self._accounted(leader)))
        self._list(place for _, _, places in anew for place in places.values())
        for leader, members, places in anew:
            listed = {resource: self._listed[place] for resource, place in places.items()}
            same = {there: frozenset(there) for there in listed.values()}  # in most hierarchies the same: kept once
            found = {resource: same[there] for resource, there in listed.items()}
            paths = frozenset(path for _, path in places.values())
            self._cohabitants[leader.process.identity] = leader, members, paths, found
        return {leader.process.identity: self._cohabitants[leader.process.identity][3] for leader, _ in wanted}

    def _accounted(self, leader: Leader) -> dict[str, tuple[int, str]]:
        """Return the cgroup of each resource that a process is in; not the machine's own, whoever is in it."""
        true_roots = self._viewpoint.own.true_roots
        return {
            resource: (index, path)
            for resource, (hierarchy, index) in self.located.items()
            if (path := path_in(hierarchy, leader.membership)) is not None and not (path == "/" and index in true_roots)
        }


def _parsed_stat(data: bytes | OSError) -> Stat:
    if isinstance(data, OSError):
        raise data
    return parse_stat(data)


def _is(process: Process, stat: Stat) -> bool:
    return (process.starttime_ticks, process.ppid, process.comm) == (stat.starttime_ticks, stat.ppid, stat.comm)
