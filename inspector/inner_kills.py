"""Who was killed for lack of memory in the cgroups that a container has made within its own.

systemd in a container makes one for each service. On v2 memory.events counts
kills in all below; on v1 memory.oom_control counts those of the cgroup that the
victim was in alone (mm/memcontrol-v1.c), so there those below are asked too:
those that are listed, of which there is a bound (MOST_BELOW).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from inspector.absence import Absence
from inspector.errors import ParseError
from inspector.kernel.cgroup_v1 import parse_oom_control
from inspector.kernel.cgroups import Hierarchy, ancestors
from inspector.kernel.controllers import Memory, Reading
from inspector.kernel.host import Host
from inspector.model import Container, Group, Key

__all__ = ["InnerKills"]


class InnerKills:
    """Counts them from look to look; of a cgroup that is gone, what was seen stays counted. Not thread safe."""

    def __init__(self, host: Host, absence: Absence) -> None:
        self._host = host
        self._account = absence.account
        self._seen: tuple[object, object] | None = None
        self._owners: dict[str, int | None] = {}  # the inodes of the containers' own cgroups, by path
        self._homes: dict[str, tuple[str, ...]] = {}  # by inner cgroup's path: those of them that it is within
        self._last: dict[str, int] = {}  # by inner cgroup's path
        self._totals: dict[str, int] = {}  # by container's cgroup's path

    def added(
        self,
        readings: Mapping[Key, Reading],
        inodes: Mapping[Key, int],
        shown: Sequence[Container],
        groups: Mapping[str, Group],
        memory: tuple[Hierarchy, int] | None,
    ) -> Mapping[Key, Reading]:
        """Return the readings, with these kills in those of the containers; `memory` is where its controller is."""
        if memory is None or memory[0].version != 1:
            return readings
        hierarchy, index = memory
        if self._seen is None or shown is not self._seen[0] or groups is not self._seen[1]:
            self._seen = shown, groups
            self._keep_up(_owners(shown, inodes))
            self._homes = _homes(self._owners, groups, index)
        self._count(hierarchy)
        totals = ((("memory", path), kills) for path, kills in self._totals.items() if kills)
        more = {key: _with(reading, kills) for key, kills in totals if isinstance(reading := readings.get(key), Memory)}
        return {**readings, **more} if more else readings

    def _keep_up(self, owners: dict[str, int | None]) -> None:
        """Forget what was in the containers' cgroups that are gone, or are others now under the same path."""
        same = {path for path, inode in self._owners.items() if path in owners and owners[path] == inode}
        self._owners = owners
        self._totals = {path: kills for path, kills in self._totals.items() if path in same}
        self._last = {path: kills for path, kills in self._last.items() if same.issuperset(self._homes[path])}

    def _count(self, hierarchy: Hierarchy) -> None:
        last, self._last = self._last, {}
        files = (f"{hierarchy.directory(path)}/memory.oom_control" for path in self._homes)
        for (path, homes), data in zip(self._homes.items(), self._host.read_each(files), strict=True):
            before, kills = last.get(path, 0), self._kills(path, data)
            if kills is None:
                kills = before
            self._last[path] = kills
            # A count that is lower than before is that of another cgroup under the same name.
            more = kills - before if before <= kills else kills
            for home in homes if more else ():
                self._totals[home] = self._totals.get(home, 0) + more

    def _kills(self, path: str, data: bytes | OSError) -> int | None:
        try:
            if isinstance(data, OSError):
                raise data
            return int(parse_oom_control(data).get("oom_kills", 0))
        except (OSError, ParseError) as error:
            self._account(f"cgroup {path!r}", error)
            return None


def _with(memory: Memory, kills: int) -> Memory:
    return memory._replace(oom_kills=(memory.oom_kills or 0) + kills)


def _owners(shown: Iterable[Container], inodes: Mapping[Key, int]) -> dict[str, int | None]:
    """Return the containers' own cgroups of memory, with what identifies each."""
    paths = (one.cgroups["memory"] for one in shown if one.kind == "container" and "memory" in one.owned)
    return {path: inodes.get(("memory", path)) for path in paths}


def _homes(owners: Mapping[str, int | None], groups: Mapping[str, Group], index: int) -> dict[str, tuple[str, ...]]:
    """Map each cgroup below those of containers, in the hierarchy of that index, to these."""
    inner = (path for path, group in groups.items() if index in group.hierarchies)
    found = ((path, tuple(above for above in ancestors(path)[1:] if above in owners)) for path in inner)
    return {path: homes for path, homes in found if homes}
