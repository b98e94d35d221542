"""Which control files are read of a cgroup, and when: at every tick, seldom, or of those in sight alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby

from inspector.kernel.cgroups import Hierarchy
from inspector.kernel.controllers import ControlFile, Values
from inspector.kernel.named import NamedTuple

__all__ = ["COUNTERS", "SETTINGS", "Parse", "Plan", "Use"]

Parse = Callable[[bytes], Values]
# What is taken out of a file: its number among those that are open, where that is kept, for which resource, by which
# parser. No class of its own: tens of thousands are unpacked at a first look, and Python has a faster way for plain
# tuples.
Use = tuple[int, int, str, Parse]
# What changes only when somebody writes it. On a machine with more cgroups than we may keep files open of, these are
# read anew when it is the cgroup's turn, not at every tick: to open them again would cost more than all the others.
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
        "memory.high",
        "memory.limit_in_bytes",
        "memory.low",
        "memory.max",
        "memory.memsw.limit_in_bytes",
        "memory.min",
        "memory.soft_limit_in_bytes",
        "memory.swap.max",
        "pids.max",
    }
)
# What is counted: of a look of which nothing is told but the rates from it on, that is all there is to read.
COUNTERS = frozenset(
    {
        "blkio.throttle.io_service_bytes_recursive",
        "cpu.pressure",
        "cpu.stat",
        "cpuacct.stat",
        "cpuacct.usage",
        "io.pressure",
        "io.stat",
        "memory.pressure",
    }
)
# What no list of containers shows that has not the columns for it, nor sorts or judges by what has just happened: of
# the many that are out of sight it need not be read at every tick.
OF_DETAIL = frozenset(
    {
        "cpu.cfs_burst_us",
        "cpu.max.burst",
        "cpu.pressure",
        "cpu.shares",
        "cpu.weight",
        "cpuacct.stat",
        "io.pressure",
        "memory.failcnt",
        "memory.max_usage_in_bytes",
        "memory.peak",
        "memory.pressure",
        "pids.events",
    }
)

# What of those says also how it was in the last minute: of who is out of sight too it is read once in a while, for the
# findings that rest on it (inspector.findings).
AVERAGED = frozenset({"cpu.pressure", "io.pressure", "memory.pressure"})
# v1's limits of memory. TELLER has the least along the ancestors, the cgroup's own among them: where that is none
# (cgroup_v1.has_limit) it has told what these say, and they are not even opened.
LIMITS = frozenset({"memory.limit_in_bytes", "memory.memsw.limit_in_bytes"})
TELLER = "memory.stat"


class Brief(NamedTuple):
    """Which of some files are read of a cgroup out of sight, by their numbers among them.

    Those of every tick, and those of averages, behind them; of each of the files its number among those, of one that is
    not read the number behind all.
    """

    numbers: tuple[int, ...]
    averaged: tuple[int, ...]
    spread: tuple[int, ...]


class Planned(NamedTuple):
    """A control file that is read of many cgroups."""

    tree: int
    name: str
    uses: tuple[tuple[int, str, Parse], ...]


class Plan:
    """Which files are read of a cgroup, for which resources: made once for all cgroups that are read alike.

    `unkept` tells by a file's name whether it is not kept open.
    """

    def __init__(
        self, uses: Iterable[tuple[str, Hierarchy, ControlFile]], *, unkept: Callable[[str], bool] = lambda _: False
    ) -> None:
        trees: dict[Hierarchy, int] = {}
        planned: dict[tuple[int, str], list[tuple[int, str, Parse]]] = {}
        self.tree_of: dict[str, int] = {}  # by resource
        self.slots: dict[str, list[int]] = {}
        slot = -1
        for slot, (resource, hierarchy, file) in enumerate(uses):
            tree = self.tree_of.get(resource)
            if tree is None:
                tree = self.tree_of[resource] = trees.setdefault(hierarchy, len(trees))
                self.slots[resource] = []
            self.slots[resource].append(slot)
            planned.setdefault((tree, file.name), []).append((slot, resource, file.parse))
        self._trees = tuple(trees)
        self.size = slot + 1
        self.files = tuple([Planned(*place, tuple(uses)) for place, uses in planned.items()])
        # By their places in `files`: those that are read at every tick, counters and others, and those that are not;
        # and those that are read where another file, the teller, does not tell as much.
        seldom: list[int] = []
        counters: list[int] = []
        rest: list[int] = []
        for place, planned_file in enumerate(self.files):
            (seldom if unkept(planned_file.name) else counters if planned_file.name in COUNTERS else rest).append(place)
        self.counters = tuple(counters)
        self.teller = next((place for place in rest + seldom if self.files[place].name == TELLER), None)
        limits = [place for place in rest if self.teller is not None and self.files[place].name in LIMITS]
        # Those of which a teller tells that is not kept open either.
        told = [place for place in seldom if self.teller in seldom and self.files[place].name in LIMITS]
        self.limits, self.told = tuple(limits), tuple(told)
        self.seldom = tuple([place for place in seldom if place not in told])
        self.others = tuple([place for place in rest if place not in limits])
        self.sizes: list[int] = []  # what all the bundles of such files learn: see Bundle
        self._shared: dict[tuple[int, ...], tuple[int, ...]] = {}
        self._firsts: dict[tuple[int, ...], list[tuple[int, int]]] = {}
        self._brief: dict[tuple[int, ...], Brief] = {}
        self._names: dict[tuple[int, ...], list[tuple[int, list[str]]]] = {}
        self._uses: dict[tuple[int, ...], list[list[Use]]] = {}
        self._missing: dict[tuple[int, ...], tuple[int, ...]] = {}

    def files_of(self, group: str, places: tuple[int, ...]) -> list[tuple[str, list[str]]]:
        """Return where the files of a cgroup are, as paths() does in its order: directories, and names in each."""
        known = self._names.get(places)
        if known is None:
            known = self._names[places] = [
                (tree, [file.name for file in files])
                for tree, files in groupby((self.files[place] for place in places), key=lambda file: file.tree)
            ]
        directories = [tree.directory(group) for tree in self._trees]
        return [(directory, names) for tree, names in known if (directory := directories[tree]) is not None]

    def paths(self, group: str, places: Iterable[int] | None = None) -> dict[int, str]:
        """Return where the files of a cgroup are, by their places in `files`; none outside what is mounted."""
        directories = [tree.directory(group) for tree in self._trees]
        files = self.files
        return {
            place: f"{directory}/{files[place].name}"
            for place in (range(len(files)) if places is None else places)
            if (directory := directories[files[place].tree]) is not None
        }

    def missing(self, opened: tuple[int, ...]) -> tuple[int, ...]:
        """Return the places of those that should be open as well, all but the limits."""
        known = self._missing.get(opened)
        if known is None:
            there = {*opened, *self.limits, *self.told}
            known = self._missing[opened] = tuple(place for place in range(len(self.files)) if place not in there)
        return known

    def share(self, places: Iterable[int]) -> tuple[int, ...]:
        """Return places as a tuple, the same one for all cgroups that have the same files."""
        found = tuple(places)
        return self._shared.setdefault(found, found)

    def uses(self, places: tuple[int, ...]) -> list[list[Use]]:
        """Return what is taken out of each of some files."""
        known = self._uses.get(places)
        if known is None:
            known = self._uses[places] = [
                [(number, *use) for use in self.files[place].uses] for number, place in enumerate(places)
            ]
        return known

    def firsts(self, places: tuple[int, ...]) -> list[tuple[int, int]]:
        """Return the hierarchies that some files are in, each with the number of its first file among them."""
        known = self._firsts.get(places)
        if known is None:
            numbers: dict[int, int] = {}
            for number, place in enumerate(places):
                numbers.setdefault(self.files[place].tree, number)
            known = self._firsts[places] = list(numbers.items())
        return known

    def brief(self, places: tuple[int, ...]) -> Brief:
        """Return which of some files are read also of a cgroup out of sight."""
        known = self._brief.get(places)
        if known is None:
            names = [self.files[place].name for place in places]
            numbers = tuple(number for number, name in enumerate(names) if name not in OF_DETAIL)
            averaged = tuple(number for number, name in enumerate(names) if name in AVERAGED)
            at = {number: place for place, number in enumerate((*numbers, *averaged))}
            spread = tuple(at.get(number, len(at)) for number in range(len(names)))
            known = self._brief[places] = Brief(numbers, averaged, spread)
        return known
