"""How much: what the kernel says of cgroups, processes and interfaces at this moment.

The files of every tick are kept open (Host.read_kept); which file holds a
resource in which version is looked up in one table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from inspector.absence import Absence
from inspector.errors import ParseError
from inspector.kernel import cgroup_v1, cgroup_v2
from inspector.kernel.cgroups import Hierarchy
from inspector.kernel.controllers import RESOURCES, Reading, Values
from inspector.kernel.host import Host
from inspector.kernel.network import Interface, read_net_dev
from inspector.kernel.process import PAGE_SIZE, Stat, read_cmdline, read_stat_kept, read_status
from inspector.model import Process, ProcessDetail, Tally

__all__ = ["Meter"]

FILES = {1: cgroup_v1.FILES, 2: cgroup_v2.FILES}
Plan = tuple[str, dict[str, Callable[[bytes], Values]]]  # a cgroup's directory, and its files with their parsers
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


class Meter:
    """Reads the figures of one tick. Not thread safe."""

    def __init__(self, host: Host, absence: Absence) -> None:
        self.host = host
        self._account = absence.account
        self._attempt = absence.attempt
        self._plans: dict[tuple[str, str, bool], Plan] = {}
        self._inodes: dict[str, int | None] = {}
        self._located: Mapping[str, tuple[Hierarchy, int]] = {}

    def begin(self, located: Mapping[str, tuple[Hierarchy, int]], *, refresh: bool) -> None:
        """Start a tick; at a refresh, files that did not exist are looked for again."""
        self._located = located
        self._inodes.clear()
        if refresh:
            self._plans.clear()

    def reading(self, resource: str, path: str, *, brief: bool = False) -> tuple[Reading, int] | None:
        """Read one resource of one cgroup and the inode that identifies it; `brief` takes the limits alone."""
        key = (resource, path, brief)
        plan = self._plans.get(key) or self._plan(resource, path, brief=brief)
        if plan is None:
            return None
        directory, files = plan
        inode = self._inode(path, directory)
        if inode is None:  # gone; one that is made under this name later starts anew
            self._plans.pop(key, None)
            return None
        self._plans[key] = plan
        values: dict[str, Any] = {}
        for name, parse in list(files.items()):
            try:
                values.update(parse(self.host.read_kept(name)))
            except (ParseError, OSError) as error:
                self._account(name, error)
                if isinstance(error, FileNotFoundError):
                    del files[name]  # this kernel has no such file, or the root cgroup has none
        return (RESOURCES[resource](**values), inode) if values else None

    def _plan(self, resource: str, path: str, *, brief: bool) -> Plan | None:
        located = self._located.get(resource)
        directory = located[0].directory(path) if located else None
        if located is None or directory is None:
            return None
        files = FILES[located[0].version].get(resource, ())
        return directory, {f"{directory}/{file.name}": file.parse for file in files if not brief or file.name in BRIEF}

    def _inode(self, path: str, directory: str) -> int | None:
        """Return what tells a cgroup from a later one of the same name; looked up once a tick."""
        if directory not in self._inodes:
            entry = self._attempt(f"cgroup {path!r}", self.host.stat, directory)
            self._inodes[directory] = entry.inode if entry else None
        return self._inodes[directory]

    def tally(self, pids: Iterable[int], processes: Mapping[int, Process], *, memory: bool) -> Tally:
        """Sum what processes used that have no cgroup of their own."""
        ticks = {}
        anon = threads = 0
        for pid in pids:
            stat = self._kept_stat(pid)
            known = processes.get(pid)
            if stat is None or known is None or stat.starttime_ticks != known.starttime_ticks:
                continue
            ticks[known.identity] = (stat.utime_ticks, stat.stime_ticks)
            threads += stat.num_threads
            status = self._attempt(f"process {pid}", read_status, self.host, pid) if memory else None
            anon += (status.rss_anon_bytes or 0) if status else 0
        return Tally(ticks, anon if memory else None, threads)

    def details(self, pids: Iterable[int], processes: Mapping[int, Process]) -> tuple[ProcessDetail, ...]:
        """Read the processes of one container for its process view."""
        found = []
        for pid in pids:
            process, stat = processes.get(pid), self._kept_stat(pid)
            if process is None or stat is None or stat.starttime_ticks != process.starttime_ticks:
                continue
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
                )
            )
        return tuple(found)

    def ended(self, pid: int) -> bool:
        """Tell whether a process has ended, reaped by its parent or not yet (a zombie)."""
        stat = self._kept_stat(pid)
        return stat is None or stat.state in "ZX"

    def _kept_stat(self, pid: int) -> Stat | None:
        return self._attempt(f"process {pid}", read_stat_kept, self.host, pid)

    def interfaces(self, pid: int) -> tuple[Interface, ...] | None:
        """Read the interfaces of a process's network namespace."""
        return self._attempt(f"process {pid}", read_net_dev, self.host, pid)
