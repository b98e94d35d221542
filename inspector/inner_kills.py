"""Who was killed for lack of memory in the cgroups that a container has made within its own.

systemd in a container makes one for each service. On v2 memory.events counts
kills in all below; on v1 memory.oom_control counts those of the cgroup that the
victim was in alone (mm/memcontrol-v1.c), so there those below are asked too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from inspector.absence import Absence
from inspector.errors import ParseError
from inspector.kernel.cgroup_v1 import parse_oom_control
from inspector.kernel.cgroups import Hierarchy, ancestors
from inspector.kernel.host import Host
from inspector.model import Container, Group

__all__ = ["InnerKills"]


class InnerKills:
    """Counts them from look to look; of a cgroup that is gone, what was seen stays counted. Not thread safe."""

    def __init__(self, host: Host, absence: Absence) -> None:
        self._host = host
        self._account = absence.account
        self._seen: tuple[object, ...] = ()
        self._homes: dict[str, tuple[str, ...]] = {}  # by inner cgroup's path: the containers that it is within
        self._last: dict[str, int] = {}  # by its path
        self._totals: dict[str, int] = {}

    def look(
        self, shown: Iterable[Container], groups: Mapping[str, Group], memory: tuple[Hierarchy, int] | None
    ) -> Mapping[str, int]:
        """Return by container id how many there were, of those with such cgroups; `memory`: where its controller is."""
        if memory is None or memory[0].version != 1:
            return {}
        hierarchy, index = memory
        if not self._seen or any(one is not other for one, other in zip((shown, groups), self._seen, strict=True)):
            self._seen = shown, groups
            self._homes = _homes(shown, groups, index)
            there = {home for homes in self._homes.values() for home in homes}
            self._totals = {home: self._totals.get(home, 0) for home in there}
        last, self._last = self._last, {}
        files = (f"{hierarchy.directory(path)}/memory.oom_control" for path in self._homes)
        for (path, homes), data in zip(self._homes.items(), self._host.read_each(files), strict=True):
            kills = self._kills(path, data)
            if kills is None:
                continue
            self._last[path] = kills
            # A count that is lower than before is that of another cgroup under the same name.
            more = kills - before if (before := last.get(path, 0)) <= kills else kills
            for home in homes if more else ():
                self._totals[home] += more
        return dict(self._totals)

    def _kills(self, path: str, data: bytes | OSError) -> int | None:
        try:
            if isinstance(data, OSError):
                raise data
            return int(parse_oom_control(data).get("oom_kills", 0))
        except (OSError, ParseError) as error:
            self._account(f"cgroup {path!r}", error)
            return None


def _homes(shown: Iterable[Container], groups: Mapping[str, Group], index: int) -> dict[str, tuple[str, ...]]:
    """Map each cgroup below containers' own, in the hierarchy of that index, to these containers."""
    owners = {one.cgroups["memory"]: one.id for one in shown if one.kind == "container" and "memory" in one.owned}
    inner = (path for path, group in groups.items() if index in group.hierarchies)
    found = ((path, tuple(owners[above] for above in ancestors(path)[1:] if above in owners)) for path in inner)
    return {path: homes for path, homes in found if homes}
