"""One tick: collect what is needed, correlate, and keep identities for the next.

An Observer is bound to one Host and is not thread safe; its observations are
frozen and may go anywhere.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace

from inspector.absence import Absence
from inspector.anatomy import Anatomy
from inspector.collect import Collector
from inspector.correlate import Candidate, candidates, containers
from inspector.hollow import Memory, hollow, remember
from inspector.kernel.cgroups import ancestors
from inspector.kernel.controllers import Reading
from inspector.kernel.host import Host
from inspector.kernel.network import Interface
from inspector.kernel.system import System
from inspector.measure import Meter
from inspector.metadata import Metadata
from inspector.model import Census, Container, Identity, Key, Leader, Observation, Process, ProcessDetail, Tally

__all__ = ["Observation", "Observer"]

# hugetlb is read on demand only: few use it, and its files are many.
WATCHED = ("cpu", "cpuacct", "cpuset", "memory", "pids", "io", "pressure", "freezer")


class Observer:
    """Looks at one machine, tick after tick.

    `groups` adds plain control groups and services; `processes` adds every
    container's processes, `focus` those of the container with that id.
    """

    def __init__(self, host: Host, *, groups: bool = True, processes: bool = False) -> None:
        self.host = host
        self.groups = groups
        self.processes = processes
        self.focus: str | None = None
        self._absence = Absence()
        self._collector = Collector(host, self._absence)
        self._meter = Meter(host, self._absence)
        self._metadata = Metadata(host, self._absence)
        self._anatomy = Anatomy(host, self._absence)
        self._memories: dict[str, Memory] = {}

    def tick(self) -> Observation:
        """Observe the machine now."""
        self._absence.begin()
        system, refresh = self._collector.begin()
        census = self._collector.census()
        located = self._collector.located
        self._meter.begin(located, refresh=refresh)
        self._metadata.begin(refresh=refresh)
        found = [one for one in candidates(census) if self.groups or one.kind != "group"]
        # A zombie is in no cgroup, but still in its namespaces, which end with their first process.
        found = [one for one in found if one.kind != "pid" or not self._meter.ended(one.leader.pid)]
        leaders = self._leaders(census, found)
        cohabitants = {
            one.leader.identity: self._collector.cohabitants(leaders[one.leader.identity])
            for one in found
            if one.kind in ("self", "pid", "mnt") and one.leader.identity in leaders
        }
        # The figures come last and together, so that they belong to one moment.
        all_of_them = containers(census, found, leaders, cohabitants, located)
        shown = tuple(self._metadata.named(one) for one in all_of_them if self.groups or one.kind == "container")
        taken_at, monotonic = time.time(), time.monotonic()
        readings, inodes = self._readings(shown)
        shown = tuple(_without_absent(one, readings) for one in shown)
        observation = Observation(
            taken_at=taken_at,
            monotonic=monotonic,
            system=system,
            own=census.own,
            hierarchies=census.hierarchies,
            located=located,
            containers=shown,
            readings=readings,
            inodes=inodes,
            tallies=self._tallies(shown, census.processes),
            interfaces=self._interfaces(shown, census),
            processes=self._details(shown, census.processes),
            hollow=self._hollow(shown, census.processes, system),
            problems=tuple(self._absence.problems),
            denied=len(self._absence.denied),
        )
        self._collector.end(leaders.values())
        self.host.end_tick()
        return observation

    def _leaders(self, census: Census, found: Iterable[Candidate]) -> dict[Identity, Leader]:
        wanted = {one.leader.identity: one.leader for one in found}
        looked = ((key, self._collector.leader(process, census.processes)) for key, process in wanted.items())
        return {key: leader for key, leader in looked if leader is not None}

    def _readings(self, shown: Iterable[Container]) -> tuple[dict[Key, Reading], dict[Key, int]]:
        """Read what the containers own in full, and of every cgroup above them the limits."""
        wanted = {
            (name, path): False
            for one in shown
            for name in ("cpu", "cpuset", "memory", "pids")
            if name in one.cgroups
            for path in ancestors(one.cgroups[name])
        }
        wanted |= {(name, one.cgroups[name]): True for one in shown for name in WATCHED if name in one.owned}
        return self._meter.figures(wanted)

    def _tallies(self, shown: Iterable[Container], processes: Mapping[int, Process]) -> dict[str, Tally]:
        return {
            one.id: self._meter.tally(one.members, processes, memory="memory" not in one.owned)
            for one in shown
            if not {"cpuacct", "memory", "pids"} <= one.owned
        }

    def _interfaces(self, shown: Iterable[Container], census: Census) -> dict[int, tuple[Interface, ...]]:
        """Read each network namespace once; the host's own is nobody's traffic."""
        hosts = None if census.own.inside_container else census.own.namespaces.get("net")
        wanted = {
            one.leader.namespaces["net"]: one.leader.process.pid
            for one in shown
            if one.kind == "container" and one.leader and one.leader.namespaces.get("net") not in (None, hosts)
        }
        read = ((inode, self._meter.interfaces(pid)) for inode, pid in wanted.items())
        return {inode: interfaces for inode, interfaces in read if interfaces is not None}

    def _hollow(
        self, shown: Iterable[Container], processes: Mapping[int, Process], system: System
    ) -> dict[str, str]:
        """Judge the containers whose first process may be without its application."""
        self._anatomy.begin(system)
        found, memories = {}, {}
        for one in shown:
            earlier = self._memories.get(one.id)
            remembered = earlier is not None and bool(earlier.beside or earlier.before)
            structure = self._anatomy.of(one, processes, system.cpus, remembered=remembered)
            if structure is None:
                continue
            evidence = hollow(structure, earlier)
            if evidence is not None:
                found[one.id] = evidence.text
            memories[one.id] = remember(structure, earlier)
        self._memories = memories
        self._anatomy.end()
        return found

    def _details(
        self, shown: Iterable[Container], processes: Mapping[int, Process]
    ) -> dict[str, tuple[ProcessDetail, ...]]:
        wanted = (one for one in shown if self.processes or one.id == self.focus)
        return {one.id: self._meter.details(one.members, processes) for one in wanted}


def _without_absent(one: Container, readings: Mapping[Key, Reading]) -> Container:
    """Give up the resources a cgroup does not account: on v2 a controller may not be enabled for it."""
    owned = frozenset(name for name in one.owned if name not in WATCHED or (name, one.cgroups[name]) in readings)
    return one if owned == one.owned else replace(one, owned=owned)
