"""Documents one after the other: of what has not moved, nothing is worked out again.

On most machines most containers do nothing most of the time, and to say so again costs as much as to read it.
"""

from __future__ import annotations

from collections.abc import Mapping

from inspector.document import document, network_sharers
from inspector.kernel.cgroups import Hierarchy, ancestors
from inspector.kernel.controllers import Cpu, Memory, Pids
from inspector.kernel.named import NamedTuple
from inspector.limits import fill
from inspector.model import Container, Key, Observation, Own

TYPE_CHECKING = False
if TYPE_CHECKING:
    from inspector import schema

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
    """What one container's part of a document depends on, but for its cgroups' readings (with kills within them)."""

    one: Container
    interfaces: object
    sharers: object
    hollow: str | None


class Keys(NamedTuple):
    """The readings that a container's part of a document is made from: all of its own, of those above the limits."""

    one: Container
    own: frozenset[Key]
    above: frozenset[Key]


class Documents:
    """Makes the documents of a machine's observations; a container that stood still between two keeps its part.

    The parts are the same objects then: nobody may change a document.
    """

    def __init__(self) -> None:
        self._last: Observation | None = None
        self._around: Around | None = None
        self._kept: dict[str, tuple[Seen, schema.Container]] = {}
        self._keys: dict[str, Keys] = {}
        self._sharing: tuple[Container, ...] = ()
        self._sharers: dict[int, list[tuple[str, str]]] = {}

    def document(self, before: Observation | None, after: Observation) -> schema.Document:
        """Return what inspector.document does; it costs less where `before` is the `after` of the last call."""
        system = after.system
        is_timed = before is not None and after.monotonic > before.monotonic
        around = Around(after.own, after.located, system.cpus, system.boot_time, is_timed)
        last, self._last = self._last, after
        if around != self._around or before is not last:
            self._around, self._kept = around, {}
        self._note_sharers(after)
        still = self._still(before, after) if before is not None and before is last else {}
        rows = {name: self._kept[name][1] for name, seen in still.items() if self._is_kept(name, seen)}
        made = document(before, after, known=rows, sharers=self._sharers)
        self._kept = {one["id"]: (still[one["id"]], one) for one in made["containers"] if one["id"] in still}
        return made

    def _note_sharers(self, after: Observation) -> None:
        """Find who shares a network; lists that say what they did before stay the same ones.

        To compare two lists of a thousand for each of the thousand would take 20 ms.
        """
        if after.containers is not self._sharing:
            known = self._sharers
            found = network_sharers(after)
            self._sharers = {inode: old if (old := known.get(inode)) == new else new for inode, new in found.items()}
            self._sharing = after.containers

    def _is_kept(self, name: str, seen: Seen) -> bool:
        known = self._kept.get(name)
        return known is not None and known[0] == seen

    def _still(self, before: Observation, after: Observation) -> dict[str, Seen]:
        """Return the containers of which all that is read was the same at both looks."""
        recounted = _moved(before.inodes, after.inodes)
        moved = _moved(before.readings, after.readings) | recounted
        limits = recounted | {key for key in moved if _limit(before, key) != _limit(after, key)}
        unended = {("cpu", path) for path in after.unended}
        keys = self._keys
        self._keys = {}
        still: dict[str, Seen] = {}
        for one in after.containers:
            known = keys.get(one.id)
            if known is None or known.one is not one:
                known = _keys_of(one)
            self._keys[one.id] = known
            # A container without cgroups of its own is the sum of its processes, whose figures are not looked at here.
            if one.id in after.tallies or one.id in after.processes:
                continue
            if not moved.isdisjoint(known.own) or not limits.isdisjoint(known.above):
                continue
            # What is said of a period that has not ended changes by itself.
            if unended and not unended.isdisjoint(known.own | known.above):
                continue
            inode = one.leader.namespaces.get("net", 0) if one.leader else 0
            interfaces = after.interfaces.get(inode)
            if before.interfaces.get(inode) == interfaces:
                still[one.id] = Seen(one, interfaces, self._sharers.get(inode), after.hollow.get(one.id))
        return still


def _moved(before: Mapping[Key, object], after: Mapping[Key, object]) -> set[Key]:
    """Return the keys under which there is something else than before, or only at one of the two looks."""
    if before == after:
        return set()
    get = before.get
    moved = {key for key, one in after.items() if (other := get(key)) is not one and other != one}
    return moved | (before.keys() - after.keys())


def _limit(seen: Observation, key: Key) -> object:
    """Return what a cgroup's reading means for those below it: its limits, whom its quota stops, whether it is full."""
    reading = seen.readings.get(key)
    if isinstance(reading, Cpu):
        return reading.quota_us, reading.period_us, reading.periods, reading.throttled_periods
    if isinstance(reading, Memory):
        return reading.limit_bytes, reading.hierarchical_limit_bytes, fill(reading)
    return (reading.limit, fill(reading)) if isinstance(reading, Pids) else reading


def _keys_of(one: Container) -> Keys:
    chains = frozenset((name, path) for name in CHAINS for path in ancestors(one.cgroups.get(name, "/")))
    own = frozenset((name, one.cgroups[name]) for name in one.owned)
    return Keys(one, own, chains - own)
