"""The processes there are, remembered from tick to tick.

Facts that belong to a process's identity (its namespaces, its parent) are read
once and remembered until it is its turn to be looked at anew; one that has
just started, and so may still be on its way into its namespaces, is read
again at the next tick.

Not even /proc is listed at every tick. Who was born is among the PIDs that
were handed out since (kernel/births.py) or has come into a cgroup, and who
has ended has left its cgroup: the lists of members, which are read anyway,
vouch for all others. Those in none of them, zombies and who is outside of what
is mounted, are looked for one by one. All are listed when there are
too many of either, when nothing tells who is new, and once in a round.
"""

from __future__ import annotations

import errno
from collections.abc import Collection, Iterable
from itertools import chain

from inspector.absence import Absence
from inspector.errors import ParseError
from inspector.kernel.births import Births
from inspector.kernel.host import Host
from inspector.kernel.namespaces import read_namespaces
from inspector.kernel.process import CLOCK_TICKS, list_pids
from inspector.kernel.stat_brief import Brief, is_thread, parse_brief
from inspector.kernel.system import System
from inspector.model import Group, Process
from inspector.turns import SLICES, Turns

__all__ = ["Roster"]

APART = ("pid", "mnt")  # the namespaces that set a container apart
YOUNG_SECONDS = 2.0  # a runtime has moved its process into cgroups and namespaces by then
ENDED = (errno.ENOENT, errno.ESRCH)
# A list costs a quarter of looking at as many PIDs one by one; but of few it is not worth to ask.
SHARE, FEW = 4, 64
AT_ONCE = 64  # processes: what is read of one is of nearly the same moment


class Roster:
    """The processes of one machine. Not thread safe."""

    def __init__(self, host: Host, absence: Absence) -> None:
        self._host = host
        self._absence = absence
        self._births = Births(host)
        self._known: dict[int, Process | None] = {}  # None: a thread of the kernel
        self._slices: list[set[int]] = [set() for _ in range(SLICES)]  # of those, by when it is their turn
        self._denied: set[int] = set()  # whose namespaces we may not read
        self._refused: set[int] = set()  # of which not even the name can be read
        self._young: set[int] = set()
        self._again: set[int] = set()
        self._unlisted: set[int] = set()  # known, and in no cgroup's list of members
        self._moved: set[int] = set()
        self._whole = True
        self._system: System | None = None
        self.processes: dict[int, Process] = {}  # the last tick's own when nothing in it has changed
        self.looked: dict[int, Brief] = {}  # those that were looked at at this tick
        self.unsettled: set[int] = set()  # those that were young, or are

    def begin(self, system: System, turns: Turns, firsts: Collection[int], *, refresh: bool) -> None:
        """Start a tick: whose turn it is will be looked at anew; not the groups' first processes, who have their own.

        A PID can be another process's by now, and a process in other namespaces.
        """
        self._system = system
        self._whole |= refresh
        self.looked.clear()
        if self._known:
            self._again.update(*map(self._slices.__getitem__, turns.due))
        self._again.difference_update(firsts)

    def look_again(self, pids: Iterable[int]) -> None:
        """Look anew at some processes at this tick."""
        self._again.update(pids)

    def forget(self) -> None:
        """Forget all."""
        for pid in list(self._known):
            self._drop(pid)
        self._whole = True

    def update(self, came: Collection[int], left: Collection[int], groups: Iterable[Group]) -> None:
        """Bring `processes` up to date; who has come into the cgroups' lists since the last tick, and who is in none.

        `groups` are all of them, with their members.
        """
        system = self._system
        many = max(FEW, len(self._known) // SHARE)
        if self._whole:
            self._births.check()
        born = self._births.since(system.forks, system.last_pid, many) if system else None
        self._unlisted |= self._known.keys() & left
        self._unlisted.difference_update(came)
        again = self._young | self._again | self._refused
        self._young, self._again, self._refused = set(), set(), set()
        if self._whole or born is None or not self._births.is_ours or len(self._unlisted) > many:
            reused = self._births.reused(self._known) if born is None else set()
            self._look_at_all(again | (self._known.keys() & came) | reused)
            self._unlisted = set(self._known) - set(chain.from_iterable(group.members for group in groups))
        else:
            self._look_at_some(again.union(born, came), came)
            self._drop_threads(self._refused - again - set(came))
        self._whole = False
        self.unsettled = (again & self._known.keys()) | self._young
        # What is remembered as denied is so at every tick.
        self._absence.denied.update(f"process {pid}" for pid in self._denied)
        if self._moved:
            self._keep()

    def _look_at_all(self, again: set[int]) -> None:
        """List them, and look at those that are new."""
        present = set(self._absence.attempt("/proc", list_pids, self._host) or ())
        for pid in self._known.keys() - present:
            self._drop(pid)
        self._look_at((present - self._known.keys()) | (again & present), listed=True)

    def _look_at_some(self, pids: set[int], came: Collection[int]) -> None:
        """Look at those that may be new, and whether those are still there for whom no list vouches."""
        for pid in self._unlisted - pids:
            if not self._host.access(f"/proc/{pid}"):
                self._drop(pid)
        known = self._known.keys() & pids
        self._look_at(pids)
        self._unlisted |= (self._known.keys() & pids) - known - set(came)
        self._unlisted &= self._known.keys()

    def _drop_threads(self, pids: Collection[int]) -> None:
        """Forget who refused to be looked at (hidepid=1) and is a thread: only a list tells those from processes."""
        threads = set(pids).difference(self._absence.attempt("/proc", list_pids, self._host) or ()) if pids else set()
        self._refused -= threads
        self._absence.denied.difference_update(f"process {pid}" for pid in threads)

    def _look_at(self, pids: Collection[int], *, listed: bool = False) -> None:
        """Look at processes that are new to us, or young, or may be gone; what /proc has `listed` is no thread."""
        waiting = list(pids)
        for start in range(0, len(waiting), AT_ONCE):
            self._look_at_few(waiting[start : start + AT_ONCE], listed=listed)

    def _look_at_few(self, pids: Collection[int], *, listed: bool) -> None:
        """Look at some of them: first at what all say, then at their namespaces (as take_out() in inspector.texts)."""
        there: list[tuple[int, Brief]] = []
        texts = list(self._host.read_each([f"/proc/{pid}/stat" for pid in pids]))
        for pid, data in zip(pids, texts, strict=True):
            self._denied.discard(pid)
            # No attempt() for each: there may be thousands.
            try:
                if isinstance(data, OSError):
                    raise data
                seen = parse_brief(data)
            except (ParseError, OSError) as error:
                self._drop(pid)
                if not isinstance(error, OSError) or error.errno not in ENDED:
                    self._refused.add(pid)
                    self._absence.account(f"process {pid}", error)
                continue
            known = self._known.get(pid)
            if not listed and (known is None or known.starttime_ticks != seen.starttime_ticks) and is_thread(data):
                self._drop(pid)
            elif seen.is_kernel_thread:
                self._put(pid, None)
            else:
                there.append((pid, seen))
        for pid, seen in there:
            self._put(pid, self._looked_at(pid, seen))

    def _looked_at(self, pid: int, seen: Brief) -> Process:
        found: dict[str, int] = {}
        before = self._known.get(pid)
        # A process never leaves its PID namespace (pid_namespaces(7)): one link less for each at a refresh.
        settled = {"pid": before.pid_ns} if before and before.starttime_ticks == seen.starttime_ticks else None
        try:
            found = read_namespaces(self._host, pid, APART, settled)
        except (ParseError, OSError) as error:
            subject = f"process {pid}"
            self._absence.account(subject, error)
            if subject in self._absence.denied:
                self._denied.add(pid)
        if self._system and self._system.uptime_seconds - seen.starttime_ticks / CLOCK_TICKS < YOUNG_SECONDS:
            self._young.add(pid)
        self.looked[pid] = seen
        return Process(pid, seen.starttime_ticks, seen.ppid, seen.comm, found.get("pid"), found.get("mnt"))

    def _put(self, pid: int, process: Process | None) -> None:
        if pid not in self._known or self._known[pid] != process:
            self._known[pid] = process
            self._moved.add(pid)
            self._slices[pid % SLICES].add(pid)

    def _drop(self, pid: int) -> None:
        if pid in self._known:
            del self._known[pid]
            self._moved.add(pid)
            self._slices[pid % SLICES].discard(pid)
        self._denied.discard(pid)
        self._unlisted.discard(pid)

    def _keep(self) -> None:
        processes = dict(self.processes)
        for pid in self._moved:
            process = self._known.get(pid)
            if process is not None:
                processes[pid] = process
            else:
                processes.pop(pid, None)
        self._moved.clear()
        if processes != self.processes:
            self.processes = processes
