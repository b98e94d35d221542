"""How much: what the kernel says of cgroups, processes and interfaces at this moment.

The files of every tick are kept open (Host.bundle, Host.read_kept); which file
holds a resource in which version is looked up in one table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from inspector.absence import Absence
from inspector.errors import ParseError
from inspector.kernel import cgroup_v1, cgroup_v2
from inspector.kernel.cgroups import Hierarchy
from inspector.kernel.controllers import RESOURCES, ControlFile, Reading, Values
from inspector.kernel.host import Bundle, Host
from inspector.kernel.network import Interface, parse_net_dev
from inspector.kernel.process import PAGE_SIZE, Stat, read_cmdline, read_stat_kept, read_status
from inspector.model import Key, Process, ProcessDetail, Tally

__all__ = ["UNSHOWN", "Meter"]

FILES = {1: cgroup_v1.FILES, 2: cgroup_v2.FILES}
Parse = Callable[[bytes], Values]
SHORT = 32  # bytes
SPARE = 1.2
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
# What changes only when somebody writes it. On a machine with more cgroups than we may keep files open of, these are
# read anew at a refresh, not at every tick: opening them again would cost more than all the others together.
SETTINGS = frozenset(
    {
        "cpu.cfs_burst_us",
        "cpu.cfs_period_us",
        "cpu.cfs_quota_us",
        "cpu.max",
        "cpu.max.burst",
        "cpu.shares",
        "cpu.weight",
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


@lru_cache(1024)
def _parsed(parse: Parse, text: bytes) -> Values:
    """Parse a short text; many cgroups say the same there: "max", "0", "100000"."""
    return parse(text)


class Sheet:
    """What the files of one cgroup, in all its hierarchies, say; a file is parsed only when its text has changed.

    While a kept control file can be read its cgroup is the one that was opened,
    so the inode that identifies it is looked up only then.
    """

    def __init__(
        self, host: Host, path: str, uses: Iterable[tuple[str, str, ControlFile]], *, thrifty: bool = False
    ) -> None:
        self._host = host
        self._path = path
        self._directories: dict[str, str] = {}  # by resource
        self._uses: dict[str, list[tuple[str, Parse]]] = {}
        self._seldom: list[str] = []  # the files that are not read at every tick
        for resource, directory, file in uses:
            self._directories[resource] = directory
            place = f"{directory}/{file.name}"
            self._uses.setdefault(place, []).append((resource, file.parse))
            if thrifty and file.name in SETTINGS:
                self._seldom.append(place)
        self.files = len(self._uses)
        self._bundle: Bundle | None = None
        self._settings: dict[str, bytes] = {}
        self._texts: list[bytes] = []
        self._values: dict[str, dict[str, Values]] = {}  # by resource and file
        self._failed: dict[str, OSError | ParseError] = {}
        self.readings: dict[Key, Reading] = {}
        self.inodes: dict[Key, int] = {}

    def read(self, account: Callable[[str, OSError | ParseError], None]) -> None:
        """Bring `readings` and `inodes` up to date; both are empty when the cgroup is gone."""
        try:
            texts = [*self._bundle.read(), *self._settings.values()] if self._bundle else self._open()
        except OSError:  # gone, perhaps with another one of its name in its place; or a file that became unreadable
            self.close()
            try:
                texts = self._open()
            except OSError as error:
                self.close()
                account(f"cgroup {self._path!r}", error)
                return
        if texts != self._texts:
            self._parse(texts)
        for name, failure in self._failed.items():
            account(name, failure)

    def close(self) -> None:
        """Close the files and forget what they said."""
        if self._bundle:
            self._bundle.close()
        self._bundle = None
        for known in (self._texts, self._settings, self._values, self._failed, self.readings, self.inodes):
            known.clear()

    def retry(self) -> None:
        """Look for files that were not there or not readable, and for settings that were changed."""
        missing = self._uses.keys() - (self._bundle.paths if self._bundle else ()) - self._settings.keys()
        if any(map(self._host.access, missing)):
            self.close()
        elif self._settings:
            settings, failed = self._read_each(self._settings)
            if failed:
                self.close()
            else:
                self._settings = settings

    def _open(self) -> list[bytes]:
        self._bundle, unopened = self._host.bundle(path for path in self._uses if path not in self._seldom)
        self._settings, unread = self._read_each(self._seldom)
        unopened |= unread
        places = {directory: self._inode(directory) for directory in dict.fromkeys(self._directories.values())}
        wanted = tuple(self._bundle.paths)
        try:
            texts = self._bundle.read()
        except OSError:  # one of them cannot be read, or all: the others are opened without it
            unopened |= self._read_each(wanted)[1]
            self._bundle.close()
            self._bundle, _ = self._host.bundle(path for path in wanted if path not in unopened)
            texts = self._bundle.read()
        self._failed = {
            name: error for name, error in unopened.items() if not isinstance(error, FileNotFoundError)
        }
        self.inodes = {
            (resource, self._path): inode
            for resource, directory in self._directories.items()
            if (inode := places[directory]) is not None
        }
        return [*texts, *self._settings.values()]

    def _inode(self, directory: str) -> int | None:
        try:
            return self._host.stat(directory).inode
        except FileNotFoundError:
            return None

    def _read_each(self, paths: Iterable[str]) -> tuple[dict[str, bytes], dict[str, OSError]]:
        """Return what each of some files says, and why those cannot be read that cannot."""
        found, failed = {}, {}
        for path in paths:
            try:
                found[path] = self._host.read(path)
            except OSError as error:
                failed[path] = error
        return found, failed

    def _parse(self, texts: list[bytes]) -> None:
        """Parse what changed, and make the readings of those resources anew."""
        changed = set()
        names = (*(self._bundle.paths if self._bundle else ()), *self._settings)
        for place, (name, text) in enumerate(zip(names, texts, strict=True)):
            if self._texts and text == self._texts[place]:
                continue
            self._failed.pop(name, None)
            for resource, parse in self._uses[name]:
                changed.add(resource)
                files = self._values.setdefault(resource, {})
                try:
                    files[name] = _parsed(parse, text) if len(text) < SHORT else parse(text)
                except ParseError as error:
                    files.pop(name, None)
                    self._failed[name] = error
        self._texts = texts
        for resource in changed:
            values: dict[str, Any] = {}
            for found in self._values[resource].values():
                values.update(found)
            if values:
                self.readings[resource, self._path] = RESOURCES[resource](**values)
            else:
                self.readings.pop((resource, self._path), None)


class Meter:
    """Reads the figures of one tick; those files that `omit` names are left out. Not thread safe."""

    def __init__(self, host: Host, absence: Absence, *, omit: frozenset[str] = frozenset()) -> None:
        self.host = host
        self._omit = omit
        self._account = absence.account
        self._attempt = absence.attempt
        self._located: Mapping[str, tuple[Hierarchy, int]] = {}
        self._wanted: Mapping[Key, bool] = {}
        self._interfaces: dict[int, tuple[bytes, tuple[Interface, ...]]] = {}
        self._sheets: dict[tuple[str, frozenset[tuple[str, bool]]], Sheet] = {}
        self._thrifty = False

    def begin(self, located: Mapping[str, tuple[Hierarchy, int]], *, refresh: bool) -> None:
        """Start a tick; at a refresh, files that did not exist are looked for again."""
        if located != self._located:
            self._located, self._wanted = located, {}
        if refresh:
            for sheet in self._sheets.values():
                sheet.retry()

    def figures(self, wanted: Mapping[Key, bool]) -> tuple[dict[Key, Reading], dict[Key, int]]:
        """Read resources of cgroups, in full (True) or their limits alone, and the inodes that identify them."""
        if wanted != self._wanted:
            self._arrange(wanted)
        readings: dict[Key, Reading] = {}
        inodes: dict[Key, int] = {}
        for sheet in self._sheets.values():
            sheet.read(self._account)
            readings.update(sheet.readings)
            inodes.update(sheet.inodes)
        return readings, inodes

    def _arrange(self, wanted: Mapping[Key, bool]) -> None:
        """Keep the sheets that go on, open those that are new, close the others."""
        places: dict[str, set[tuple[str, bool]]] = {}
        for (resource, path), full in wanted.items():
            places.setdefault(path, set()).add((resource, full))
        keys = [(path, frozenset(resources)) for path, resources in places.items()]
        sheets = {key: self._sheets.pop(key) if key in self._sheets else self._sheet(*key) for key in keys}
        for sheet in self._sheets.values():
            sheet.close()
        files = sum(sheet.files for sheet in sheets.values())
        # Once thrifty, it stays so until there is room to spare: to change it, every file is opened anew.
        if self._thrifty == self.host.can_keep(files * SPARE if self._thrifty else files):
            self._thrifty = not self._thrifty
            for sheet in sheets.values():
                sheet.close()
            sheets = {key: self._sheet(*key) for key in keys}
        self._sheets, self._wanted = sheets, wanted

    def _sheet(self, path: str, resources: Iterable[tuple[str, bool]]) -> Sheet:
        return Sheet(self.host, path, self._files(path, resources), thrifty=self._thrifty)

    def _files(self, path: str, resources: Iterable[tuple[str, bool]]) -> Iterator[tuple[str, str, ControlFile]]:
        for resource, full in sorted(resources):
            located = self._located.get(resource)
            directory = located[0].directory(path) if located else None
            if located is None or directory is None:
                continue
            for file in FILES[located[0].version].get(resource, ()):
                if file.name in BRIEF or (full and file.name not in self._omit):
                    yield resource, directory, file

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

    def _kept_stat(self, pid: int) -> Stat | None:
        return self._attempt(f"process {pid}", read_stat_kept, self.host, pid)

    def interfaces(self, pids: Mapping[int, int]) -> dict[int, tuple[Interface, ...]]:
        """Read the interfaces of network namespaces, of each through one process in it.

        Not kept open: such a descriptor would keep the namespace alive.
        """
        found: dict[int, tuple[bytes, tuple[Interface, ...]]] = {}
        for inode, pid in pids.items():
            subject = f"process {pid}"
            text = self._attempt(subject, self.host.read, f"/proc/{pid}/net/dev")
            known = self._interfaces.get(inode)
            if text is None:
                continue
            if known is not None and known[0] == text:
                found[inode] = known
            elif (parsed := self._attempt(subject, parse_net_dev, text)) is not None:
                found[inode] = text, parsed
        self._interfaces = found
        return {inode: interfaces for inode, (_, interfaces) in found.items()}
