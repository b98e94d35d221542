"""Who is there: the processes, the cgroups, and the full look at each group's first process.

Facts that belong to an identity (a first process's namespaces, cgroups, root)
are read once and remembered until it is its turn to be looked at anew. The
processes are roster's, the cgroups those of groups.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain

from inspector.absence import Absence
from inspector.groups import Groups
from inspector.kernel.cgroups import Hierarchy, locate, path_in
from inspector.kernel.controllers import RESOURCES
from inspector.kernel.host import Host
from inspector.kernel.mounts import parse_root_mount
from inspector.kernel.namespaces import read_namespaces
from inspector.kernel.process import Stat, parse_stat, read_cmdline
from inspector.kernel.stat_brief import Brief
from inspector.kernel.system import System, read_system
from inspector.model import Census, Identity, Leader, Process
from inspector.roster import Roster
from inspector.turns import Turns
from inspector.viewpoint import Viewpoint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    T = TypeVar("T")

__all__ = ["Collector"]

AT_ONCE = 32  # of the groups' first processes: what is read of one is of nearly the same moment
REFRESH_SECONDS = 10.0  # within which every group's first process is looked at anew
# And all others, which may be many: that one has moved into other namespaces, or into a container's cgroup in one
# hierarchy and not in that whose members are read at every tick, is rare.
OTHERS_SECONDS = 60.0
# And who else is in a container's cgroups in v1's other hierarchies, of which there may be ten: rarer still, where
# neither its members nor its first process have changed.
COHABITANTS_SECONDS = 300.0
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
        self._leaders: dict[Identity, Leader] = {}
        self.turns = Turns()
        self._others_turns = Turns()
        self._cohabitants_turns = Turns()
        self._roster = Roster(host, absence)
        self._groups = Groups(host, absence, self.turns)
        self._glances: dict[int, tuple[bytes, Stat]] = {}  # by PID: what a first process's stat said at the last tick
        self._checked: dict[int, tuple[bytes, Leader]] = {}  # and of whom that is known to be true
        self._cohabitants: dict[Identity, Cohabitants] = {}
        self._starters: dict[int, tuple[str, str]] = {}  # what started a group's first process, read at this tick

    def begin(self) -> tuple[System, bool]:
        """Start a tick: read the machine's totals; tell whether what is remembered has to be read anew."""
        # Without the machine's own totals there is nothing to compare with: a first look that has none fails.
        system = self._attempt("the machine's totals", read_system, self.host) or self._system or read_system(self.host)
        self._system = system
        after = REFRESH_SECONDS if self._refresh_seconds is None else self._refresh_seconds
        now = time.monotonic()
        self.turns.begin(now, after)
        for turns, seconds in (self._others_turns, OTHERS_SECONDS), (self._cohabitants_turns, COHABITANTS_SECONDS):
            turns.begin(now, max(after, seconds) if after else after)
        refresh = 0 in self.turns
        firsts = {pid for pid, _ in self._leaders}
        self._roster.begin(system, self._others_turns, firsts, refresh=refresh)
        self._roster.look_again(pid for pid in firsts if pid in self.turns)
        if refresh:
            hierarchies = self._viewpoint.hierarchies
            self._viewpoint.look(system.hostname)
            if hierarchies != self._viewpoint.hierarchies:  # of which all that is remembered tells
                self._leaders = {}
                self._roster.forget()
            self.located = self._locate_all()
            mounted = (hierarchy.mountpoint for hierarchy, _ in self.located.values())
            self.host.anchor(dict.fromkeys(("/proc", *mounted)))
        self._groups.begin(self._viewpoint.hierarchies, self.located)
        self._starters.clear()
        return system, refresh

    def end(self, leaders: dict[Identity, Leader]) -> None:
        """End a tick: keep only the leaders it used."""
        if leaders.keys() != self._leaders.keys() or len(self._glances) > len(leaders):
            for identity in self._cohabitants.keys() - leaders.keys():
                del self._cohabitants[identity]
            for pid in self._glances.keys() - {pid for pid, _ in leaders}:
                del self._glances[pid]
        self._leaders = leaders
        self._groups.end()

    def census(self) -> Census:
        """List the processes and the cgroups; either mapping is the last tick's own when nothing in it has changed."""
        self._recheck_leaders()
        groups, roster = self._groups, self._roster
        groups.update()
        roster.update(groups.came, groups.left, groups.by_path.values())
        if self._viewpoint.is_veiled:
            self._absence.denied.update(f"process {pid}" for pid in self._veiled())
        return Census(self._viewpoint.hierarchies, self._viewpoint.own, roster.processes, groups.by_path)

    def _veiled(self) -> set[int]:
        """Return the processes that /proc does not show us, as far as cgroups' lists do: the root's has threads too."""
        listed = (group.members for group in self._groups.by_path.values() if group.path != "/")
        return {1, *chain.from_iterable(listed)} - self._roster.processes.keys()

    def _recheck_leaders(self) -> None:
        """Look anew at the groups' first processes that executed another program, or whose PID is another's now."""
        leaders = self._leaders.values()
        checked, self._checked = self._checked, {}
        texts = self.host.read_each_kept([f"/proc/{leader.process.pid}/stat" for leader in leaders])
        for leader, text in zip(leaders, texts, strict=True):
            pid = leader.process.pid
            known = checked.get(pid)
            if known is None or known[1] is not leader or known[0] != text:
                stat = self._glance(pid)
                if stat is None or not _is(leader.process, stat):
                    self._roster.look_again((pid,))
                    continue
                known = self._glances[pid][0], leader
            self._checked[pid] = known

    def ended(self, process: Process) -> bool:
        """Tell whether a group's first process has ended, reaped by its parent or not yet (a zombie)."""
        stat: Brief | Stat | None = self._roster.looked.get(process.pid) or self._glance(process.pid)
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

    def _locate_all(self) -> dict[str, tuple[Hierarchy, int]]:
        found = {name: locate(self._viewpoint.hierarchies, name) for name in RESOURCES}
        return {name: (h, self._viewpoint.hierarchies.index(h)) for name, h in found.items() if h is not None}

    def leaders(self, firsts: Iterable[Process], processes: Mapping[int, Process]) -> dict[Identity, Leader]:
        """Look at the groups' first processes in full, or remember them; without those that are gone."""
        known, due, unsettled = self._leaders, self.turns.due, self._roster.unsettled
        found: dict[Identity, Leader] = {}
        anew: dict[Identity, Process] = {}
        for process in firsts:
            pid = process.pid
            identity = pid, process.starttime_ticks
            if identity in found:  # of a container and of the plain cgroup that it is in
                continue
            leader = known.get(identity)
            # No call for each: there are thousands, and of most there is nothing to look at.
            if leader is None or leader.process != process or pid in unsettled or (due and pid in self.turns):
                anew[identity] = process
            else:
                found[identity] = leader
        waiting = list(anew.values())
        for start in range(0, len(waiting), AT_ONCE):
            for leader in self._look_at(waiting[start : start + AT_ONCE], processes):
                identity = leader.process.identity
                before = known.get(identity)
                found[identity] = before if before == leader else leader  # all that rests on the same one holds
        return found

    def _look_at(self, firsts: Sequence[Process], processes: Mapping[int, Process]) -> Iterator[Leader]:
        """Look at some groups' first processes in full, file by file (as take_out() in inspector.texts)."""
        host, attempt = self.host, self._attempt
        tables = list(host.read_each([f"/proc/{one.pid}/mountinfo" for one in firsts], whole=0))
        looked = self._roster.looked
        spaces = [
            attempt(
                f"process {one.pid}", read_namespaces, host, one.pid,
                known={"pid": one.pid_ns, "mnt": one.mnt_ns} if one.pid in looked else {},
            )
            for one in firsts
        ]  # fmt: skip
        # Last: of who is gone by then nothing is told, as it would be the half of it.
        memberships = list(host.read_each([f"/proc/{one.pid}/cgroup" for one in firsts]))
        for process, table, namespaces, cgroups in zip(firsts, tables, spaces, memberships, strict=True):
            subject = f"process {process.pid}"
            membership = attempt(subject, _parsed, self._viewpoint.membership_in, cgroups)
            if membership is None:
                continue
            parent = processes.get(process.ppid)
            command, directory = self._started_by(parent.pid) if parent else ("", "")
            root, kept_in = attempt(subject, _parsed, parse_root_mount, table) or (None, "")
            yield Leader(process, namespaces or {}, membership, root, command, directory, kept_in)

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
        group has other members, or the cgroup in the hierarchy whose members are listed at every tick, and in turn.
        """
        anew = []
        for leader, members in wanted:
            known = self._cohabitants.get(leader.process.identity)
            if (
                known is None
                or known[0] is not leader
                or known[1] != members
                or leader.process.pid in self._cohabitants_turns
                or not self._groups.changed.isdisjoint(known[2])
            ):
                anew.append((leader, members, self._accounted(leader)))
        members_in = self._groups.members(place for _, _, places in anew for place in places.values())
        for leader, members, places in anew:
            listed = {resource: members_in[place] for resource, place in places.items()}
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


def _parsed(parse: Callable[[bytes], T], text: bytes | OSError) -> T:
    """Parse what a file says; raise why there is nothing."""
    if isinstance(text, OSError):
        raise text
    return parse(text)


def _is(process: Process, stat: Stat) -> bool:
    return (process.starttime_ticks, process.ppid, process.comm) == (stat.starttime_ticks, stat.ppid, stat.comm)
