"""The cgroups there are and who is in them, remembered from tick to tick.

Listing costs with the number of cgroups, not of processes: a list of members
that says what it said is not taken apart again.
"""

from __future__ import annotations

import errno
from collections.abc import Collection, Iterable, Mapping
from itertools import repeat

from inspector.absence import Absence
from inspector.kernel.cgroup_tree import MOST_BELOW, Limit, Tree, read_cgroup_counts, read_descendants
from inspector.kernel.cgroups import Hierarchy, members_of
from inspector.kernel.controllers import RESOURCES
from inspector.kernel.host import Host
from inspector.model import Group
from inspector.runtimes import match
from inspector.turns import Turns

__all__ = ["Groups"]

GONE = (errno.ENOENT, errno.ENODEV)
MOST_LISTS = 64
LEVEL = 2  # from which on cgroups may be those of anybody, but systemd's slices and the kubelet's groups of pods
MANY = (".slice", "/kubepods", "/kubepods/burstable", "/kubepods/besteffort")
NOBODY = 0  # stands in a list of members for whoever is outside the reader's PID namespace


class Groups:
    """The cgroups of one machine in some of its hierarchies. Not thread safe."""

    def __init__(self, host: Host, absence: Absence, turns: Turns) -> None:
        self._host = host
        self._absence = absence
        self._attempt = absence.attempt
        self._turns = turns
        self._hierarchies: tuple[Hierarchy, ...] = ()
        self._located: Mapping[str, tuple[Hierarchy, int]] = {}
        self._trees: dict[int, Tree] = {}  # by index of the hierarchy, those whose members matter most first
        self._counts: dict[int, int | None] = {}  # by index of the hierarchy: how many cgroups the kernel counts there
        self._gone = False  # a cgroup that we know is not there any more
        self._places: dict[str, tuple[int, ...]] = {}  # the hierarchies that a path is in, by index
        # What was read at this tick: who is in a cgroup, by hierarchy and path.
        self._listed: dict[tuple[int, str], tuple[int, ...]] = {}
        self._lists: dict[bytes, tuple[int, ...]] = {}  # what each text of a list of members said
        self.by_path: dict[str, Group] = {}  # the last tick's own when nothing in it has changed
        self.changed: set[str] = set()  # the paths of the groups that came, went or have other members at this tick
        self.came: set[int] = set()  # who is in a group and was not in it at the last tick
        self.left: set[int] = set()  # who was in one and is not in it any more

    def begin(self, hierarchies: tuple[Hierarchy, ...], located: Mapping[str, tuple[Hierarchy, int]]) -> None:
        """Start a tick; `located` says which of the hierarchies carries a resource."""
        if hierarchies != self._hierarchies:
            self._trees = {}
        self._hierarchies, self._located = hierarchies, located
        self._listed.clear()
        if len(self._lists) > MOST_LISTS + 4 * len(self.by_path):  # of members of long ago
            self._lists.clear()

    def end(self) -> None:
        """End a tick."""
        self._listed.clear()

    def update(self) -> None:
        """Bring the cgroups and their members up to date."""
        known = self.by_path if self._trees and not self._trees_changed() else self._list_groups()
        self._gone = False
        found = self._members_changed(known)
        if self._gone:  # and perhaps another in its place
            for tree in self._trees.values():
                tree.update(leaves=True)
            known = self._list_groups()
            found = self._members_changed(known)
        for path in set().union(*(tree.cut for tree in self._trees.values())):
            self._absence.problem(f"cgroup {path!r}: there are more than {MOST_BELOW} below it, not all are looked at")
        self.changed = found.keys() | (known.keys() ^ self.by_path.keys())
        self._note_moves(known, found)
        if self.changed or known is not self.by_path:
            self.by_path = {**known, **found}

    def _note_moves(self, known: Mapping[str, Group], found: Mapping[str, Group]) -> None:
        self.came, self.left = set(), set()
        for path, group in found.items():
            before, now = set(known[path].members), set(group.members)
            self.came |= now - before
            self.left |= before - now
        for path in self.by_path.keys() - known.keys():
            self.left.update(self.by_path[path].members)
        self.left -= self.came
        self.came.discard(NOBODY)

    def _members_changed(self, known: Mapping[str, Group]) -> dict[str, Group]:
        """Return the groups that have other members than at the last tick."""
        there: dict[str, tuple[int, ...]] = {}
        left, rank = list(known), 0
        # On v1 a process may be in this cgroup of one hierarchy and not of another: the first with any counts.
        while left:
            wanted: dict[int, list[str]] = {}
            for path in left:
                wanted.setdefault(self._places[path][rank], []).append(path)
            for index, paths in wanted.items():
                there.update(zip(paths, self._read_members(index, paths), strict=True))
            rank += 1
            left = [path for path in left if not there[path] and rank < len(self._places[path])]
        return {
            path: Group(path, group.hierarchies, there[path])
            for path, group in known.items()
            if there[path] != group.members
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
            turn = self._turns.of(place, len(self._trees))
            leaves = turn or changed or (moved and count != len(tree.paths))
            changed |= tree.update(leaves=leaves, count=count)
        return changed

    def _count(self) -> dict[int, int | None]:
        """Read how many cgroups each hierarchy has; None where nothing tells."""
        machine: dict[str, int] | None = None
        counts: dict[int, int | None] = {}
        for index in self._trees:
            hierarchy = self._hierarchies[index]
            if hierarchy.version == 2:  # noqa: PLR2004  what is below the mount, which may be a part of the machine's
                below = self._attempt("cgroup.stat", read_descendants, self._host, hierarchy.mountpoint)
                counts[index] = None if below is None else below + 1
                continue
            if machine is None:
                machine = self._attempt("/proc/cgroups", read_cgroup_counts, self._host) or {}
            counts[index] = next((machine[name] for name in hierarchy.controllers if name in machine), None)
        return counts

    def _list_groups(self) -> dict[str, Group]:
        hierarchies = self._hierarchies
        if not self._trees:
            made = (Tree(self._host, hierarchies[index], Limit(_may_be_full)) for index in self._reported_hierarchies())
            self._trees = dict(zip(self._reported_hierarchies(), made, strict=True))
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
            path: Group(path, alike[places][1], self.by_path[path].members if path in self.by_path else ())
            for path, places in indexes.items()
        }

    def members(self, places: Iterable[tuple[int, str]]) -> Mapping[tuple[int, str], tuple[int, ...]]:
        """Read who is in some cgroups, given by hierarchy and path, once a tick: hierarchy by hierarchy."""
        wanted: dict[int, dict[str, None]] = {}
        for place in places:
            if place not in self._listed:
                wanted.setdefault(place[0], {})[place[1]] = None
        for index, paths in wanted.items():
            self._read_members(index, paths)
        return self._listed

    def _read_members(self, index: int, paths: Collection[str]) -> list[tuple[int, ...]]:
        """Read who is in some cgroups of one hierarchy."""
        found: list[tuple[int, ...]] = []
        read = members_of(self._host, self._hierarchies[index], paths, self._lists)
        for path, members in zip(paths, read, strict=True):
            if isinstance(members, tuple):
                found.append(members)
                continue
            self._absence.account(f"cgroup {path!r}", members)
            self._gone |= isinstance(members, OSError) and members.errno in GONE
            found.append(())
        self._listed.update(zip(zip(repeat(index), paths), found, strict=True))
        return found

    def _reported_hierarchies(self) -> list[int]:
        """Return the hierarchies that carry a resource we report, those whose members matter most first."""
        order = ("cpu", "memory", "pids", *RESOURCES)
        return list(dict.fromkeys(self._located[name][1] for name in order if name in self._located))


def _may_be_full(path: str) -> bool:
    """Tell whether who is not root may make cgroups below one: it is a container's, or may be."""
    names = [name for name in path.split("/")[1:] if name != ".."]  # above our cgroup namespace
    return (len(names) >= LEVEL and not path.endswith(MANY)) or match(path) is not None
