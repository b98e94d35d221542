"""How much: what the kernel says of cgroups, processes and interfaces at this moment.

The files of every tick are kept open (Host.bundle, Host.read_kept); which file
holds a resource in which version is looked up in one table.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

from inspector import model
from inspector.absence import Absence
from inspector.inner_kills import InnerKills
from inspector.kernel import cgroup_v1, cgroup_v2
from inspector.kernel.cgroups import Hierarchy
from inspector.kernel.controllers import ControlFile, Reading
from inspector.kernel.host import Host
from inspector.kernel.network import Interface, parse_net_dev
from inspector.kernel.process import PAGE_SIZE, Stat, parse_stat, read_cmdline, read_stat_kept, read_status
from inspector.model import Key, Process, ProcessDetail, Tally
from inspector.plan import COUNTERS, SETTINGS, Plan
from inspector.sheet import Sheet, parse_first
from inspector.turns import Turns

__all__ = ["FILES", "UNSHOWN", "Figures", "Meter"]

FILES = {1: cgroup_v1.FILES, 2: cgroup_v2.FILES}
SPARE = 1.2
Figures = tuple[dict[Key, Reading], dict[Key, int]]
# What is needed of an ancestor: its limits, and whether its quota throttles.
BRIEF = frozenset(
    {
        "cpu.cfs_period_us",
        "cpu.cfs_quota_us",
        "cpu.max",
        "cpu.stat",
        "cpuset.cpus.effective",
        "cpuset.effective_cpus",
        "memory.limit_in_bytes",
        "memory.max",
        "pids.max",
    }
)
# What no view or metric shows: nsinspect reads it when a person asks.
UNSHOWN = frozenset(
    {
        "blkio.throttle.io_serviced_recursive",
        "cpuset.effective_mems",
        "cpuset.mems.effective",
        "memory.high",
        "memory.low",
        "memory.min",
        "memory.soft_limit_in_bytes",
        "memory.swap.max",
    }
)


class Meter:
    """Reads the figures of one tick from `files`, by version; those that `omit` names are left out. Not thread safe.

    `lasting` is set to False for two looks alone, of which only the counters are read at both: nothing else is kept
    open then, as that costs more than to open, read and close.
    """

    def __init__(
        self,
        host: Host,
        absence: Absence,
        *,
        omit: frozenset[str] = frozenset(),
        files: Mapping[int, Mapping[str, tuple[ControlFile, ...]]] = FILES,
    ) -> None:
        self.host = host
        self.lasting = True
        self._omit = omit
        self._files_of = files
        self._account = absence.account
        self._attempt = absence.attempt
        self._located: Mapping[str, tuple[Hierarchy, int]] = {}
        self._wanted: Mapping[Key, bool] = {}
        self._interfaces: dict[int, tuple[bytes, tuple[Interface, ...]]] = {}
        # By PID, of whom tally() was asked at this tick and at the last one: what stat said.
        self._stats: dict[int, tuple[bytes, Stat]] = {}
        self._stats_before: dict[int, tuple[bytes, Stat]] = {}
        self._sheets: dict[tuple[str, Plan], Sheet] = {}
        self._plans: dict[tuple[tuple[str, bool], ...], Plan] = {}
        self._thrifty = False
        self._inner_kills = InnerKills(host, absence)
        self._told: Figures = {}, {}  # what figures() has said last

    def begin(self, located: Mapping[str, tuple[Hierarchy, int]], turns: Turns | None = None) -> None:
        """Start a tick; files that did not exist are looked for again in the cgroups whose turn it is."""
        self._stats_before, self._stats = self._stats, {}
        if located != self._located:  # the same paths are other files now
            self._located, self._wanted = located, {}
            self._plans.clear()
        if turns is not None and turns.due:
            for (path, _), sheet in self._sheets.items():
                if hash(path) in turns:
                    sheet.retry()

    def open(self, wanted: Mapping[Key, bool], *, counters: bool = False) -> None:
        """Open the files that `figures` reads and that are not open yet, which takes far longer than to read them."""
        if wanted != self._wanted:
            self._arrange(wanted)
        for sheet in self._sheets.values():
            try:
                sheet.open(counters=counters)
            except OSError:  # what cannot be read is told of by figures
                sheet.close()

    def read_ahead(self) -> None:
        """Begin to read what is open, for figures(), while the caller looks who is there; what is not is read there."""
        self.host.read_ahead([one for sheet in self._sheets.values() if (one := sheet.ahead())])

    def figures(
        self, wanted: Mapping[Key, bool], *, counters: bool = False, seen: Container[str] | None = None
    ) -> Figures:
        """Read resources of cgroups, in full (True) or their limits alone, and the inodes that identify them.

        With `counters`, of that what is counted alone; of cgroups that are not `seen`, nothing that is of detail. Both
        are the last tick's own while nothing in them has changed.
        """
        if wanted != self._wanted:
            self._arrange(wanted)
        new = []
        for (path, _), sheet in self._sheets.items():
            brief = seen is not None and path not in seen
            if (texts := sheet.read(self._account, counters=counters, brief=brief)) is not None:
                new.append((sheet, texts))
        if new:
            parse_first(new, self._account)
        moved = [sheet for sheet in self._sheets.values() if sheet.moved]
        if moved:
            readings, inodes = dict(self._told[0]), dict(self._told[1])
            for sheet in moved:
                sheet.tell(readings, inodes)
            self._told = readings, inodes
        return self._told

    def _arrange(self, wanted: Mapping[Key, bool]) -> None:
        """Keep the sheets that go on, open those that are new, close the others."""
        keys: dict[str, list[Key]] = {}  # by path
        for key in wanted:
            keys.setdefault(key[1], []).append(key)
        plans = {
            path: self._plan(tuple([(key[0], wanted[key]) for key in those]))  # a list: cheaper than a generator
            for path, those in keys.items()
        }
        files = sum(len(plan.files) if self.lasting else len(plan.counters) for plan in plans.values())
        # Once thrifty, it stays so until there is room to spare: to change it, every file is opened anew.
        if self._thrifty == self.host.can_keep(files * SPARE if self._thrifty else files):
            self._thrifty = not self._thrifty
            self._plans.clear()
            self._arrange(wanted)
            return
        old = self._sheets
        self._sheets = {
            key: old.pop(key) if key in old else Sheet(self.host, key[0], keys[key[0]], key[1]) for key in plans.items()
        }
        for sheet in old.values():
            sheet.close()
        self._told = {}, {}
        for sheet in self._sheets.values():
            sheet.moved = True
        self._wanted = wanted

    def _plan(self, resources: tuple[tuple[str, bool], ...]) -> Plan:
        """Choose the files of some resources, each in full or in brief; the same for every cgroup."""
        known = self._plans.get(resources)
        if known is None and (ordered := tuple(sorted(resources))) != resources:
            known = self._plans[resources] = self._plan(ordered)
        if known is None:
            uses = (
                (resource, self._located[resource][0], file)
                for resource, full in resources
                if resource in self._located
                for file in self._files_of[self._located[resource][0].version].get(resource, ())
                if file.name in BRIEF or (full and file.name not in self._omit)
            )
            known = self._plans[resources] = Plan(uses, unkept=self._is_unkept)
        return known

    def _is_unkept(self, name: str) -> bool:
        return name not in COUNTERS if not self.lasting else self._thrifty and name in SETTINGS

    def tally(self, pids: Sequence[int], processes: Mapping[int, Process], *, memory: bool) -> Tally:
        """Sum what processes used that have no cgroup of their own."""
        ticks = {}
        anon = threads = 0
        for pid, stat in zip(pids, self._each_stat(pids), strict=True):
            known = processes.get(pid)
            if stat is None or known is None or stat.starttime_ticks != known.starttime_ticks:
                continue
            ticks[known.identity] = (stat.utime_ticks, stat.stime_ticks)
            threads += stat.num_threads
            status = self._attempt(f"process {pid}", read_status, self.host, pid) if memory else None
            anon += (status.rss_anon_bytes or 0) if status else 0
        return Tally(ticks, anon if memory else None, threads)

    def _each_stat(self, pids: Sequence[int]) -> Iterator[Stat | None]:
        """Read what changes of some processes, None of one that is gone; what says the same again is not parsed."""
        texts = self.host.read_each_kept([f"/proc/{pid}/stat" for pid in pids])
        for pid, text in zip(pids, texts, strict=True):
            if isinstance(text, OSError):
                self._account(f"process {pid}", text)
                yield None
                continue
            before = self._stats_before.get(pid)
            stat = before[1] if before and before[0] == text else self._attempt(f"process {pid}", parse_stat, text)
            if stat is not None:
                self._stats[pid] = text, stat
            yield stat

    def with_inner_kills(
        self, figures: Figures, shown: Sequence[model.Container], groups: Mapping[str, model.Group]
    ) -> Mapping[Key, Reading]:
        """Return the readings of `figures`; on v1 with who was killed in cgroups that a container has made."""
        return self._inner_kills.added(*figures, shown, groups, self._located.get("memory"))

    def details(self, pids: Iterable[int], processes: Mapping[int, Process]) -> tuple[ProcessDetail, ...]:
        """Read the processes of one container for its process view."""
        found = []
        for pid in pids:
            process, stat = processes.get(pid), self._kept_stat(pid)
            if process is None or stat is None or stat.starttime_ticks != process.starttime_ticks:
                continue
            if (process.ppid, process.comm) != (stat.ppid, stat.comm):  # looked at earlier: it has executed since
                process = process._replace(ppid=stat.ppid, comm=stat.comm)
            subject = f"process {pid}"
            status = self._attempt(subject, read_status, self.host, pid)
            cmdline = self._attempt(subject, read_cmdline, self.host, pid)
            found.append(
                ProcessDetail(
                    process=process,
                    inner_pid=status.ns_pids[-1] if status else pid,
                    cmdline=cmdline or "",
                    state=stat.state,
                    ticks=stat.utime_ticks + stat.stime_ticks,
                    rss_bytes=stat.rss_pages * PAGE_SIZE,
                    threads=stat.num_threads,
                    uid=status.uids[1] if status else None,
                )
            )
        return tuple(found)

    def _kept_stat(self, pid: int) -> Stat | None:
        return self._attempt(f"process {pid}", read_stat_kept, self.host, pid)

    def interfaces(self, pids: Mapping[int, int]) -> dict[int, tuple[Interface, ...]]:
        """Read the interfaces of network namespaces, of each through one process in it.

        Not kept open: such a descriptor would keep the namespace alive.
        """
        found: dict[int, tuple[bytes, tuple[Interface, ...]]] = {}
        texts = self.host.read_each(f"/proc/{pid}/net/dev" for pid in pids.values())
        for (inode, pid), text in zip(pids.items(), texts, strict=True):
            known = self._interfaces.get(inode)
            if isinstance(text, OSError):
                self._account(f"process {pid}", text)
            elif known is not None and known[0] == text:
                found[inode] = known
            elif (parsed := self._attempt(f"process {pid}", parse_net_dev, text)) is not None:
                found[inode] = text, parsed
        self._interfaces = found
        return {inode: interfaces for inode, (_, interfaces) in found.items()}
