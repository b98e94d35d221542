"""Every namespace of a machine, and who is in each by container name. Pure.

From who is where (inspector.namespace_census) and the containers to the rows
of `nsinspect --namespaces`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, TypedDict

from inspector.kernel.namespaces import FIXED_SINCE_6_18, INITIAL, NAMESPACES, Relations, is_initial
from inspector.model import Container

__all__ = [
    "EXPOSED",
    "Exposed",
    "Inhabitant",
    "Keeper",
    "KeptBy",
    "Row",
    "Share",
    "exposed",
    "hosts_own",
    "rows",
]

Key = tuple[str, int]  # kind and inode
How = Literal["mount", "descriptor", "children", "namespace"]

# What a container should have of its own. The host's time and user namespaces, and on cgroup v1 its cgroup
# namespace, are what runtimes leave a container with unless asked.
EXPOSED = ("net", "pid", "mnt", "ipc", "uts")
MOST_KEEPERS = 20


class Inhabitant(NamedTuple):
    """A process and the inodes of its namespaces by kind."""

    pid: int
    comm: str
    command: str
    kernel_thread: bool
    namespaces: Mapping[str, int]


class Keeper(NamedTuple):
    """What holds a namespace that needs no process in it: `how`, the process it was seen at, and where.

    A "mount" has its mountpoint in that process's mount namespace, a
    "descriptor" its number; "children" are those that a process has yet to
    make; a "namespace" is one below it.
    """

    key: Key
    how: How
    pid: int | None
    comm: str
    place: str


class Share(TypedDict):
    """A container and how many of its processes are in a namespace."""

    id: str
    name: str
    runtime: str | None
    processes: int


class KeptBy(TypedDict):
    """What keeps a namespace alive beside its processes: see Keeper."""

    how: How
    pid: int | None
    comm: str
    place: str


class Row(TypedDict):
    """One namespace. `pid` is its lowest process; `outside` counts its processes that are in no container.

    `same_as_host` is null where that can't be known; `owner` is the user
    namespace that governs it, `parent` the one around it (PID and user),
    `owner_uid` who made a user namespace.
    """

    type: str
    inode: int
    same_as_host: bool | None
    processes: int
    pid: int | None
    comm: str | None
    command: str | None
    containers: list[Share]
    outside: int
    owner: int | None
    parent: int | None
    owner_uid: int | None
    kept_by: list[KeptBy]


class Exposed(TypedDict):
    """A container and the types of namespace that it shares with the host, of those it should have of its own."""

    id: str
    name: str
    runtime: str | None
    types: list[str]


def hosts_own(inhabitants: Iterable[Inhabitant]) -> dict[str, int]:
    """Return the machine's first namespaces by kind, as far as known.

    Most have a fixed number; before Linux 6.18 net and mnt are those of the
    first kernel thread (kthreadd never leaves them), or of a PID 1 that is the machine's.
    """
    for one in sorted(inhabitants, key=lambda one: (not one.kernel_thread, one.pid)):
        if one.kernel_thread or (one.pid == 1 and one.namespaces.get("pid") == INITIAL["pid"]):
            return {**INITIAL, **one.namespaces}
    return {kind: inode for kind, inode in INITIAL.items() if kind not in FIXED_SINCE_6_18}


def rows(
    inhabitants: Sequence[Inhabitant],
    containers: Iterable[Container],
    keepers: Iterable[Keeper] = (),
    relations: Mapping[Key, Relations] | None = None,
    inits: Collection[int] = (),
) -> list[Row]:
    """Return a row for each namespace: by kind, the host's own first; `inits` are first in a PID namespace."""
    relations = relations or {}
    members: dict[Key, list[Inhabitant]] = {}
    for one in inhabitants:
        for key in one.namespaces.items():
            members.setdefault(key, []).append(one)
    kept: dict[Key, list[Keeper]] = {}
    for keeper in [*keepers, *_above(relations)]:
        if keeper.how != "namespace" or keeper.key not in members:
            kept.setdefault(keeper.key, []).append(keeper)
    hosts, inside = hosts_own(inhabitants), _whose(inhabitants, containers, inits)
    related = {**_lines(relations), **relations}
    found = [
        _row(key, members.get(key, ()), kept.get(key, ()), (hosts, inside, related.get(key, Relations())))
        for key in members.keys() | kept.keys()
    ]
    return sorted(found, key=lambda row: (NAMESPACES.index(row["type"]), row["same_as_host"] is not True, row["inode"]))


def _row(
    key: Key,
    members: Sequence[Inhabitant],
    kept: Sequence[Keeper],
    known: tuple[Mapping[str, int], Mapping[int, Container], Relations],
) -> Row:
    hosts, inside, related = known
    kind, inode = key
    first = min(members, key=lambda one: one.pid, default=None)
    shares: dict[str, Share] = {}
    for container in (inside[one.pid] for one in members if one.pid in inside):
        share: Share = {"id": container.id, "name": container.name, "runtime": container.runtime, "processes": 0}
        shares.setdefault(container.id, share)["processes"] += 1
    return {
        "type": kind,
        "inode": inode,
        "same_as_host": inode == hosts[kind] if kind in hosts else is_initial(kind, inode),
        "processes": len(members),
        "pid": first.pid if first else None,
        "comm": first.comm if first else None,
        "command": first.command if first else None,
        "containers": sorted(shares.values(), key=lambda share: (share["name"], share["id"])),
        "outside": sum(one.pid not in inside for one in members),
        "owner": related.owners[0] if related.owners else None,
        "parent": related.parents[0] if related.parents else None,
        "owner_uid": related.uid,
        "kept_by": [
            {"how": one.how, "pid": one.pid, "comm": one.comm, "place": one.place} for one in kept[:MOST_KEEPERS]
        ],
    }


def _whose(
    inhabitants: Iterable[Inhabitant], containers: Iterable[Container], inits: Collection[int]
) -> dict[int, Container]:
    """Map each process to its container; one born since the containers were listed, by its PID namespace."""
    real = [one for one in containers if one.kind == "container"]
    inside = {pid: one for one in real for pid in one.members}
    homes: dict[int, set[str]] = {}
    by_id = {one.id: one for one in real}
    for one in real:
        if one.leader and one.leader.process.pid in inits:
            homes.setdefault(one.leader.namespaces.get("pid", 0), set()).add(one.id)
    for process in inhabitants:
        home = homes.get(process.namespaces.get("pid", 0), set())
        if process.pid not in inside and len(home) == 1:
            inside[process.pid] = by_id[next(iter(home))]
    return inside


def _above(relations: Mapping[Key, Relations]) -> list[Keeper]:
    """Return what the namespaces below hold: a namespace keeps its parent and its owner alive."""
    found: dict[Key, Keeper] = {}
    for (kind, inode), related in relations.items():
        for of, line in ((kind, related.parents), ("user", related.owners)):
            below = f"{kind}:[{inode}]"
            for above in line:
                found.setdefault((of, above), Keeper((of, above), "namespace", None, "", below))
                below = f"{of}:[{above}]"
    return list(found.values())


def _lines(relations: Mapping[Key, Relations]) -> dict[Key, Relations]:
    """Say of each namespace that was only seen above another one what is above itself."""
    found: dict[Key, Relations] = {}
    for (kind, _), related in relations.items():
        for of, line in ((kind, related.parents), ("user", related.owners)):
            for place, above in enumerate(line):
                rest = line[place + 1 :]
                found[of, above] = Relations(rest if of == "user" else (), rest)
    return found


def exposed(containers: Iterable[Container], hosts: Mapping[str, int]) -> list[Exposed]:
    """List the containers whose first process is in a namespace of the host that a container should not be in."""
    found: list[Exposed] = []
    for one in containers:
        namespaces = one.leader.namespaces if one.leader and one.kind == "container" else {}
        types = [kind for kind in EXPOSED if kind in hosts and namespaces.get(kind) == hosts[kind]]
        if types:
            found.append({"id": one.id, "name": one.name, "runtime": one.runtime, "types": types})
    return sorted(found, key=lambda one: (-("net" in one["types"]) - ("pid" in one["types"]), one["name"], one["id"]))
