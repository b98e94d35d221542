"""Which groups of processes there are that may be containers: by runtimes' cgroups, by namespaces, by cgroups. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from inspector.kernel.cgroups import ancestors
from inspector.kernel.named import NamedTuple
from inspector.kernel.namespaces import INITIAL
from inspector.model import Census, Own, Process
from inspector.runtimes import Match, match

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    Kind = Literal["runtime", "self", "pid", "mnt", "group"]

__all__ = ["Candidate", "GroupKey", "candidates"]

GroupKey = tuple["Kind", str | int]
Ranks = Mapping[int, tuple[bool, int, int]]


class Candidate(NamedTuple):
    """A group of processes that may be a container; `key` is the cgroup or namespace that sets it apart."""

    key: GroupKey
    members: tuple[int, ...]
    leader: Process
    match: Match | None = None

    @property
    def kind(self) -> Kind:
        """Return what sets the group apart."""
        return self.key[0]


def candidates(census: Census, *, plain: bool = True) -> tuple[Candidate, ...]:
    """Find the groups: by the runtimes' cgroups, by namespaces, and the `plain` cgroups that remain.

    No process is in two. Of two that would have one id the first has it: a runtime's cgroup, or the older one.
    """
    matches = {path: matched for path in census.groups if (matched := match(path))}
    owner = _owners(census, matches)
    ranks = _ranks(census)
    pools: dict[str, list[int]] = {}
    for pid, path in owner.items():
        pools.setdefault(path, []).append(pid)
    mains = {path: leader.pid_ns for path, pids in pools.items() if (leader := _first(census, ranks, pids))}
    ours = _our_own(census, pools)
    if ours is not None:
        mains[ours] = census.own.namespaces.get("pid")
    homes = {pid_ns: path for path, pid_ns in mains.items()}
    groups: dict[GroupKey, list[int]] = {}
    hosts = _hosts_mounts(census)
    # Most are where others are: there may be thousands.
    keys: dict[tuple[str | None, int | None, int | None], GroupKey | None] = {}
    for pid, process in census.processes.items():
        above = owner.get(pid, ours)
        alike = above, process.pid_ns, process.mnt_ns
        if alike not in keys:
            keys[alike] = _key(census.own, process, homes, None if above is None else (above, mains[above]), hosts)
        key = keys[alike]
        if key is not None:
            groups.setdefault(key, []).append(pid)
    _join_launchers(census, ranks, groups)
    found = [
        Candidate(key, tuple(sorted(pids)), leader, matches.get(str(key[1])))
        for key, pids in groups.items()
        if (leader := _first(census, ranks, pids))
    ]
    found.sort(key=_rank)
    return tuple(found + _plain_groups(census, ranks, matches)) if plain else tuple(found)


def _rank(found: Candidate) -> tuple[bool, int, int]:
    return found.match is None, found.leader.starttime_ticks, found.leader.pid


def _owners(census: Census, matches: Mapping[str, Match]) -> dict[int, str]:
    """Map each process in a runtime's cgroup, or below one, to the innermost."""
    owner: dict[int, str] = {}
    for path, group in census.groups.items():
        nearest = next((above for above in ancestors(path) if above in matches), None) if group.members else None
        if nearest is not None:
            owner.update((pid, nearest) for pid in group.members if pid in census.processes)
    return owner


def _our_own(census: Census, pools: Mapping[str, list[int]]) -> str | None:
    """Return the runtime's cgroup of the container we are in: that with process 1 of our own PID namespace.

    Whoever is in our PID namespace belongs there, also when he came in without the cgroup; whoever made a namespace
    of his own in it does not.
    """
    if not census.own.own_pid_namespace or 1 not in census.processes:
        return None
    return next((path for path, pids in pools.items() if 1 in pids), None)


def _ranks(census: Census) -> Ranks:
    """Rank the processes as the first one of a group: in a PID namespace that is not ours, and the oldest."""
    own = census.own.namespaces.get("pid")
    return {
        pid: (process.pid_ns is None or process.pid_ns == own, process.starttime_ticks, pid)
        for pid, process in census.processes.items()
    }


def _first(census: Census, ranks: Ranks, pids: Iterable[int]) -> Process | None:
    """Choose a group's first process."""
    there = [pid for pid in pids if pid in ranks]
    return census.processes[min(there, key=ranks.__getitem__)] if there else None


def _hosts_mounts(census: Census) -> frozenset[int | None]:
    """Return the mount namespaces that are the host's, or may be: ours or not, they make no container."""
    own, first = census.own, census.processes.get(1)
    found: set[int | None] = {INITIAL["mnt"], None}
    if not own.inside_container:
        found.add(own.namespaces.get("mnt"))
    if not own.own_pid_namespace and first is not None:  # we see the host's processes: 1 is its init
        found.add(first.mnt_ns)
    return frozenset(found)


def _key(
    own: Own,
    process: Process,
    homes: Mapping[int | None, str],
    place: tuple[str, int | None] | None,
    hosts: frozenset[int | None],
) -> GroupKey | None:
    """Tell which group a process is in, None for the host itself; `place`: its runtime's cgroup and PID namespace."""
    own_pid_ns = own.namespaces.get("pid")
    if place is not None and process.pid_ns in (place[1], own_pid_ns, None):
        return "runtime", place[0]
    if process.pid_ns is not None and process.pid_ns != own_pid_ns:
        # A process that entered a container's namespaces but not its cgroup (nsenter) belongs there all the same.
        home = homes.get(process.pid_ns)
        return ("runtime", home) if home is not None else ("pid", process.pid_ns)
    if own.inside_container and own.own_pid_namespace:
        return "self", ""
    if process.mnt_ns in hosts:
        return None
    mine = own.namespaces.get("mnt")
    return ("self", "") if own.inside_container and process.mnt_ns == mine else ("mnt", process.mnt_ns or 0)


def _join_launchers(census: Census, ranks: Ranks, groups: dict[GroupKey, list[int]]) -> None:
    """Put a launcher that shares the mount namespace of the container it made (`unshare`) into that container."""
    apart = [key for key in groups if key[0] == "mnt"]
    if not apart:
        return
    by_mounts = {}
    for key, pids in groups.items():
        leader = _first(census, ranks, pids)
        if key[0] in ("pid", "runtime") and leader is not None:
            by_mounts[leader.mnt_ns] = key
    for key in apart:
        if key[1] in by_mounts:
            groups[by_mounts[int(key[1])]].extend(groups.pop(key))


def _plain_groups(census: Census, ranks: Ranks, matches: Mapping[str, Match]) -> list[Candidate]:
    """List the cgroups outside the runtimes' with processes in them or below."""
    below: dict[str, list[int]] = {}
    for path, group in census.groups.items():
        if not group.members:
            continue
        line = ancestors(path)
        inside = next((place for place, above in reversed(list(enumerate(line))) if above in matches), -1)
        for above in line[inside + 1 :]:
            below.setdefault(above, []).extend(group.members)
    return [
        Candidate(("group", path), tuple(sorted(set(pids) & census.processes.keys())), leader)
        for path, pids in below.items()
        if path != "/" and path in census.groups and (leader := _first(census, ranks, pids))
    ]
