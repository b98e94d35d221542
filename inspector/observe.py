"""One tick: collect what is needed, correlate, and keep identities for the next.

An Observer is bound to one Host and is not thread safe; its observations are
frozen and may go anywhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from inspector.absence import Absence, Strict
from inspector.anatomy import Anatomy
from inspector.candidates import Candidate, candidates
from inspector.collect import Collector
from inspector.correlate import Verdicts, containers
from inspector.garbage import uncollected
from inspector.kernel.cgroups import Hierarchy, ancestors
from inspector.kernel.controllers import Reading
from inspector.kernel.host import Host
from inspector.kernel.network import Interface
from inspector.kernel.system import System
from inspector.measure import UNSHOWN, Figures, Meter
from inspector.metadata import Metadata
from inspector.model import Census, Container, Identity, Key, Leader, Observation, Own, Process, ProcessDetail, Tally
from inspector.periods import Periods

TYPE_CHECKING = False
if TYPE_CHECKING:
    from inspector.hollow import Memory

__all__ = ["Observation", "Observer"]

# All that the containers of a tick are made from: while it is the same, so are they.
Seen = tuple[
    Census,
    list[Candidate],
    dict[Identity, Leader],
    dict[Identity, dict[str, frozenset[int]]],
    dict[str, tuple[Hierarchy, int]],
]
# hugetlb is read on demand only: few use it, and its files are many.
# Nobody asks for these.
SELDOM = frozenset({"cpuset.effective_mems", "cpuset.mems.effective"})
COUNTED = ("cpuacct", "io", "pressure")
WATCHED = ("cpu", "cpuacct", "cpuset", "memory", "pids", "io", "pressure", "freezer")


class Observer:
    """Looks at one machine, tick after tick.

    `groups` adds plain control groups and services; `processes` adds every
    container's processes, `focused` those of the containers with these ids. Of those that are neither
    in focus nor in `sight` (None: all are) what is of detail is unknown: who shows a list of many need
    not read the stall times of all. Both may be
    set at any time, also from another thread, and hold from the next tick on. What
    only the exporter wants: no more than `most_processes` of a container, the first
    of its list; `in_full` reads more of each control file, and the machine's own
    root cgroups too, on another CPU while it looks who is there; `more` resources; `health` the result of
    health checks; once in `refresh_seconds` all that is remembered is read anew.
    """

    def __init__(
        self,
        host: Host,
        *,
        groups: bool = True,
        processes: bool = False,
        in_full: bool = False,
        more: frozenset[str] = frozenset(),
        health: bool = False,
        refresh_seconds: float | None = None,
        most_processes: int | None = None,
    ) -> None:
        self.host = host
        self.groups = groups
        self.processes = processes
        self.focused: frozenset[str] = frozenset()
        self.sight: frozenset[str] | None = None
        self._most_processes = most_processes
        self._absence = Absence()
        strict = Strict(self._absence)
        self._collecting: Callable[[], Collector] = lambda: Collector(host, strict, refresh_seconds=refresh_seconds)
        self._collector = self._collecting()
        self._meter = _meter_in_full(host, self._absence) if in_full else Meter(host, self._absence, omit=UNSHOWN)
        self._in_full = in_full
        self._watched = (*WATCHED, *sorted(more))
        self._health = health
        self._metadata = Metadata(host, self._absence)
        self._anatomy = Anatomy(host, self._absence)
        self._periods = Periods()
        self._memories: dict[str, Memory] = {}
        # What the last tick made of its census, and from what.
        self._census: Census | None = None
        self._found: list[Candidate] = []
        self._seen: Seen | None = None
        self._every: tuple[Container, ...] = ()
        self._verdicts: Verdicts = {}
        self._shown: tuple[Container, ...] = ()
        self._wanted: dict[Key, bool] = {}
        self._owning: tuple[Mapping[Key, Reading], tuple[Container, ...]] | None = None

    @property
    def focus(self) -> str | None:
        """The one container in focus, for who looks at one alone."""
        return next(iter(self.focused), None)

    @focus.setter
    def focus(self, container: str | None) -> None:
        self.focused = frozenset() if container is None else frozenset({container})

    def tick(self) -> Observation:
        """Observe the machine now; OSError where /proc is not there, or we lack what it takes to look (descriptors)."""
        return self._look()

    def begin(self, *, once: bool = False) -> Observation:
        """Observe the machine for the sake of the rates at the next tick: of the figures, what is counted alone.

        `once`: that tick will be the last one.
        """
        self._meter.lasting = not once
        return self._look(counters=True)

    def _look(self, *, counters: bool = False) -> Observation:
        with uncollected():
            try:
                return self._observe(counters=counters)
            except OSError:  # of what is remembered a part may be of this moment by now
                self._collector = self._collecting()
                self.host.end_tick()
                raise

    def _observe(self, *, counters: bool = False) -> Observation:
        self._absence.begin()
        if self._in_full:
            self._meter.read_ahead()
        system, refresh = self._collector.begin()
        census = self._collector.census()
        located = self._collector.located
        self._meter.begin(located, self._collector.turns)
        self._metadata.begin(refresh=refresh)
        found, leaders = self._look_at(census)
        # The figures come last and together, or all first, so that they belong to one moment.
        shown = self._containers(census, found, leaders, refresh=refresh)
        (readings, inodes), interfaces, (taken_at, monotonic), later = self._measure(shown, census, counters=counters)
        shown = self._owners(shown, readings, COUNTED if counters else WATCHED)
        observation = Observation(
            taken_at=taken_at,
            monotonic=monotonic,
            later_seconds=later - monotonic,
            system=system,
            own=census.own,
            hierarchies=census.hierarchies,
            located=located,
            containers=shown,
            readings=self._meter.with_inner_kills((readings, inodes), shown, census.groups),
            inodes=inodes,
            tallies=self._tallies(shown, census.processes),
            interfaces=interfaces,
            processes=self._details(shown, census.processes),
            hollow=self._hollow(shown, census.processes, system),
            health=self._metadata.health(shown) if self._health else {},
            problems=tuple(self._absence.problems),
            denied=len(self._absence.denied),
            denied_files=self._absence.denied_files,
            unended=self._periods.look(self._wanted, monotonic, readings, inodes),
        )
        self._collector.end(leaders)
        self.host.end_tick()
        return observation

    def _measure(
        self, shown: tuple[Container, ...], census: Census, *, counters: bool
    ) -> tuple[Figures, dict[int, tuple[Interface, ...]], tuple[float, float], float]:
        """Read the figures of cgroups, and of interfaces; return when the ones were read, and when the others."""
        # While files are being opened the clock goes on: the last figures would be later than taken_at, rates too low.
        self._meter.open(self._wanted, counters=counters)
        now = time.time(), time.monotonic()
        # Interfaces take as long as a third of all figures: meanwhile those that are read ahead come.
        interfaces = self._interfaces(shown, census)
        figures = self._meter.figures(self._wanted, counters=counters, seen=self._seen_paths(shown))
        return figures, interfaces, self.host.read_at() or now, now[1]

    def _seen_paths(self, shown: Iterable[Container]) -> set[str] | None:
        """Return the cgroups of those in sight or in focus; None when all are in sight."""
        if self.sight is None:
            return None
        seen = self.sight | self.focused
        return {path for one in shown if one.id in seen for path in one.cgroups.values()}

    def _look_at(self, census: Census) -> tuple[list[Candidate], dict[Identity, Leader]]:
        """Find the groups of a census, and look at the first process of each."""
        if self._census is None or not (
            census.processes is self._census.processes
            and census.groups is self._census.groups
            and census.own is self._census.own
        ):
            self._found = list(candidates(census, plain=self.groups))
        self._census = census
        # A zombie is in no cgroup, but still in its namespaces, which end with their first process.
        found = [one for one in self._found if one.kind != "pid" or not self._collector.ended(one.leader)]
        return found, self._leaders(census, found)

    def _containers(
        self, census: Census, found: list[Candidate], leaders: dict[Identity, Leader], *, refresh: bool
    ) -> tuple[Container, ...]:
        """Decide what the groups are, and at a refresh name them; the last tick's own answer when nothing changed."""
        apart = [one for one in found if one.kind in ("self", "pid", "mnt") and one.leader.identity in leaders]
        cohabitants = self._collector.cohabitants([(leaders[one.leader.identity], one.members) for one in apart])
        seen = census, found, leaders, cohabitants, self._collector.located
        anew = seen != self._seen
        if anew:
            self._every, self._seen = containers(*seen, self._verdicts), seen
        if anew or refresh:
            shown = tuple(self._metadata.named(one) for one in self._every if self.groups or one.kind == "container")
            if shown != self._shown:
                self._shown, self._owning, anew = shown, None, True
            if anew:
                self._wanted = self._wanted_of(self._shown, census.own)
        return self._shown

    def _wanted_of(self, shown: Iterable[Container], own: Own) -> dict[Key, bool]:
        """List what to read; in full, the machine's own root cgroups with it."""
        located = self._collector.located if self._in_full else {}
        true = (name for name in self._watched if name in located and located[name][1] in own.true_roots)
        return _wanted(shown, self._watched) | {(name, "/"): True for name in true}

    def _owners(
        self, shown: tuple[Container, ...], readings: Mapping[Key, Reading], read: tuple[str, ...]
    ) -> tuple[Container, ...]:
        """Give up the resources that the cgroups turned out not to account, of those that were read."""
        known, found = self._owning or ({}, None)
        if found is None or (known is not readings and known.keys() != readings.keys()):
            found = tuple(_without_absent(one, readings, read) for one in shown)
        self._owning = readings, found
        return found

    def _leaders(self, census: Census, found: Iterable[Candidate]) -> dict[Identity, Leader]:
        return self._collector.leaders([one.leader for one in found], census.processes)

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
        return self._meter.interfaces(wanted)

    def _hollow(self, shown: Iterable[Container], processes: Mapping[int, Process], system: System) -> dict[str, str]:
        """Judge the containers whose first process may be without its application."""
        self._anatomy.begin(system)
        found, memories = {}, {}
        for one in shown:
            earlier = self._memories.get(one.id)
            remembered = earlier is not None and bool(earlier.beside or earlier.before)
            structure = self._anatomy.of(one, processes, system.cpus, remembered=remembered)
            if structure is None:
                continue
            from inspector.hollow import hollow, remember  # noqa: PLC0415  in most containers the application is first

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
        focused, most = self.focused, self._most_processes
        wanted = (one for one in shown if self.processes or one.id in focused)
        return {one.id: self._meter.details(one.members[:most], processes) for one in wanted}


def _meter_in_full(host: Host, absence: Absence) -> Meter:
    from inspector.kernel.cgroup_in_full import IN_FULL  # noqa: PLC0415  only the exporter needs it

    return Meter(host, absence, omit=SELDOM, files=IN_FULL)


def _wanted(shown: Iterable[Container], watched: Iterable[str]) -> dict[Key, bool]:
    """List what to read: what the containers own in full, and of every cgroup above them the limits."""
    wanted: dict[Key, bool] = {}
    for one in shown:
        for name in ("cpu", "cpuset", "memory", "pids"):
            for path in ancestors(one.cgroups[name]) if name in one.cgroups else ():
                if (key := (name, path)) in wanted:  # as are those above it
                    break
                wanted[key] = False
    for one in shown:
        cgroups, owned = one.cgroups, one.owned
        wanted.update([((name, cgroups[name]), True) for name in watched if name in owned])
    return wanted


def _without_absent(one: Container, readings: Mapping[Key, Reading], read: tuple[str, ...]) -> Container:
    """Give up the resources a cgroup does not account: on v2 a controller may not be enabled for it."""
    absent = [name for name in one.owned if name in read and (name, one.cgroups[name]) not in readings]
    return one._replace(owned=one.owned.difference(absent)) if absent else one
