"""Documents one after the other: of what has not moved, nothing is worked out again.

On most machines most containers do nothing most of the time, and to say so again costs as much as to read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from inspector import schema
from inspector.document import document, network_sharers
from inspector.kernel.cgroups import Hierarchy, ancestors
from inspector.model import Container, Key, Observation, Own

__all__ = ["Documents"]

CHAINS = ("cpu", "cpuset", "memory", "pids")  # the resources of which the ancestors' figures matter too


class Around(NamedTuple):
    """What every container's part of a document depends on."""

    own: Own
    located: Mapping[str, tuple[Hierarchy, int]]
    cpus: int
    boot_time: float | None
    is_timed: bool


class Seen(NamedTuple):
    """What one container's part of a document depends on, but for the readings of its cgroups."""

    one: Container
    interfaces: object
    sharers: object
    hollow: str | None


class Documents:
    """Makes the documents of a machine's observations; a container that stood still between two keeps its part.

    The parts are the same objects then: nobody may change a document.
    """

    def __init__(self) -> None:
        self._last: Observation | None = None
        self._around: Around | None = None
        self._kept: dict[str, tuple[Seen, schema.Container]] = {}
        self._keys: dict[str, tuple[Container, frozenset[Key]]] = {}

    def document(self, before: Observation | None, after: Observation) -> schema.Document:
        """Return what inspector.document does; it costs less where `before` is the `after` of the last call."""
        system = after.system
        is_timed = before is not None and after.monotonic > before.monotonic
        around = Around(after.own, after.located, system.cpus, system.boot_time, is_timed)
        if around != self._around or before is not self._last:
            self._around, self._kept = around, {}
        self._last = after
        still = self._still(before, after) if before is not None else {}
        rows = {name: self._kept[name][1] for name, seen in still.items() if self._is_kept(name, seen)}
        made = document(before, after, known=rows)
        self._kept = {one["id"]: (still[one["id"]], one) for one in made["containers"] if one["id"] in still}
        return made

    def _is_kept(self, name: str, seen: Seen) -> bool:
        known = self._kept.get(name)
        return known is not None and known[0] == seen

    def _still(self, before: Observation, after: Observation) -> dict[str, Seen]:
        """Return the containers of which all that is read was the same at both looks."""
        moved = _moved(before.readings, after.readings) | _moved(before.inodes, after.inodes)
        sharers = network_sharers(after)
        keys = self._keys
        self._keys = {}
        still: dict[str, Seen] = {}
        for one in after.containers:
            known = keys.get(one.id)
            if known is None or known[0] is not one:
                known = one, _keys_of(one)
            self._keys[one.id] = known
            # A container without cgroups of its own is the sum of its processes, whose figures are not looked at here.
            if one.id in after.tallies or one.id in after.processes or not moved.isdisjoint(known[1]):
                continue
            inode = one.leader.namespaces.get("net", 0) if one.leader else 0
            interfaces = after.interfaces.get(inode)
            if before.interfaces.get(inode) == interfaces:
                still[one.id] = Seen(one, interfaces, sharers.get(inode), after.hollow.get(one.id))
        return still


def _moved(before: Mapping[Key, object], after: Mapping[Key, object]) -> set[Key]:
    """Return the keys under which there is something else than before, or only at one of the two looks."""
    get = before.get
    moved = {key for key, one in after.items() if (other := get(key)) is not one and other != one}
    return moved | (before.keys() - after.keys())


def _keys_of(one: Container) -> frozenset[Key]:
    """List the readings that a container's part of a document is made from."""
    chains = [(name, path) for name in CHAINS for path in ancestors(one.cgroups.get(name, "/"))]
    return frozenset([*chains, *((name, one.cgroups[name]) for name in one.owned)])
