"""Which processes form a container, and why we believe so. Pure.

Two steps, as what is read of a group's first process depends on which groups
there are: `candidates` (inspector.candidates) finds the groups in a census,
`containers` decides, with a full look at each first process (Leader), what
each group is.

A *container* is a cgroup with a runtime's name, or processes with a PID
namespace of their own, or with a mount namespace of their own and another
root. A *service* is a systemd unit whose processes have private mounts only.
Every other cgroup is a plain *control group*: limits, no namespaces.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from inspector.candidates import Candidate, GroupKey
from inspector.identity import Naming, name_of
from inspector.kernel.cgroups import Hierarchy, ancestors, path_in
from inspector.kernel.named import NamedTuple
from inspector.kernel.remembered import remembered
from inspector.model import Census, Container, Group, Identity, Leader, Own
from inspector.nesting import parents_of
from inspector.runtimes import Match, match

__all__ = ["Verdicts", "containers"]

OUTSIDER = 0  # who is in a cgroup, and in no PID namespace that we see
Located = Mapping[str, tuple[Hierarchy, int]]
Cohabitants = Mapping[Identity, Mapping[str, frozenset[int]]]


class Grounds(NamedTuple):
    """All that the verdict on one candidate rests on.

    `there` are those in its first process's cgroups, by resource; `alone`: every cgroup to be seen is the candidate's.
    """

    candidate: Candidate
    leader: Leader
    own: Own
    there: Mapping[str, frozenset[int]]
    located: Located
    group: Group | None
    alone: bool


Verdicts = dict[GroupKey, tuple[Grounds, Container | None]]


def containers(
    census: Census,
    found: Iterable[Candidate],
    leaders: Mapping[Identity, Leader],
    cohabitants: Cohabitants,
    located: Located,
    verdicts: Verdicts | None = None,
) -> tuple[Container, ...]:
    """Decide what each candidate is. Those that are nothing of their own are left out.

    `verdicts` are the last call's own, and are brought up to date: a candidate is judged anew only when something
    that its verdict rests on has changed.
    """
    known = {} if verdicts is None else verdicts
    judged: Verdicts = {}
    held: dict[int, str] = {}
    claimed: dict[str, str] = {}
    result: dict[str, Container] = {}
    shown: dict[str, Grounds] = {}
    for candidate, leader in _as_of_now(census.own, tuple(found), leaders):
        if candidate.kind == "group" and candidate.key[1] in claimed:
            continue
        grounds = _grounds(census, candidate, leader, cohabitants, located)
        last = known.get(candidate.key)
        container = last[1] if last is not None and last[0] == grounds else _verdict(grounds)
        judged[candidate.key] = grounds, container
        if container is not None and container.id in result:
            container, grounds = _of_the_same_id(container, grounds, shown)
        if container is None:
            continue
        result[container.id] = container
        shown[container.id] = grounds
        if container.kind != "cgroup":
            held.update(dict.fromkeys(candidate.members, container.id))
            claimed |= dict.fromkeys(map(container.cgroups.__getitem__, container.owned), container.id)
    known.clear()
    known.update(judged)
    parents = parents_of(result, census, held, claimed)
    return tuple(one._replace(parent=parents[one.id]) if one.id in parents else one for one in result.values())


def _as_of_now(
    own: Own, found: Collection[Candidate], leaders: Mapping[Identity, Leader]
) -> Iterator[tuple[Candidate, Leader]]:
    """Yield each candidate that was looked at in full as what it is by now, with that look; no two have one key."""
    taken = {candidate.key for candidate in found}
    # Where no cgroup is mounted none is listed, not even the one that we are in.
    taken |= {("runtime", around.path) for path in own.membership.paths.values() if (around := _innermost(path))}
    for candidate in found:
        if leader := leaders.get(candidate.leader.identity):
            now = _come_since(candidate, leader, taken)
            taken.add(now.key)
            yield now, leader


def _come_since(candidate: Candidate, leader: Leader, taken: Collection[GroupKey]) -> Candidate:
    """Return a group apart as that of a runtime's cgroup, where its first process has come into one since the census.

    A runtime makes the namespaces and then the cgroups, or the other way round, while we look. A cgroup that was
    `taken`, as it was listed or an older one has come into it, is no news: who is in it, and apart, has made himself
    namespaces in the container.
    """
    if candidate.kind not in ("pid", "mnt"):
        return candidate
    matched = next(filter(None, map(_innermost, leader.membership.paths.values())), None)
    if matched is None or ("runtime", matched.path) in taken:
        return candidate
    return candidate._replace(key=("runtime", matched.path), match=matched)


def _grounds(
    census: Census, candidate: Candidate, leader: Leader, cohabitants: Cohabitants, located: Located
) -> Grounds:
    group = census.groups.get(str(candidate.key[1])) if candidate.kind == "group" else None
    there = cohabitants.get(leader.process.identity, {})
    alone = candidate.kind == "self" and _is_alone(census, candidate)
    return Grounds(candidate, leader, census.own, there, located, group, alone)


def _of_the_same_id(
    container: Container, grounds: Grounds, shown: Mapping[str, Grounds]
) -> tuple[Container | None, Grounds]:
    """Tell two groups apart that would have one id; a unit with several mount namespaces is one service.

    What was made in a container's root has that one's files. And an id that a file or a command line told may be
    somebody else's, put there to hide behind. None for a unit's own cgroup.
    """
    if container.kind == "cgroup":
        return None, grounds
    first = shown[container.id]
    kind, value = grounds.candidate.key
    if container.kind != "service":
        if kind == "self":
            # We are in the first, which sees another's processes (--pid container:X): these are that one's.
            value = grounds.leader.namespaces.get("pid", 0)
            grounds = grounds._replace(candidate=grounds.candidate._replace(key=("pid", value)), alone=False)
            return _verdict(grounds, doubted=True), grounds
        if kind not in ("pid", "mnt"):
            return container._replace(id=str(value)), grounds
        other = _verdict(grounds, doubted=True) or container
        if other.id in shown:
            first_process = grounds.leader.process
            name = f"{first_process.comm}-{first_process.pid}"
            other = other._replace(id=f"{kind}-{value}", name=name, runtime_id=None)
        return other, grounds
    members = tuple(sorted({*first.candidate.members, *grounds.candidate.members}))
    whole = first._replace(candidate=first.candidate._replace(members=members))
    return _verdict(whole) or container, whole


def _is_alone(census: Census, candidate: Candidate) -> bool:
    """Tell whether nobody else is in the cgroups to be seen; in our PID namespace there is nobody but what we hold."""
    seen = frozenset(pid for group in census.groups.values() for pid in group.members)
    others = seen.difference(candidate.members)
    return candidate.leader.pid in seen and (OUTSIDER not in others if census.own.own_pid_namespace else not others)


def _verdict(grounds: Grounds, *, doubted: bool = False) -> Container | None:
    """Decide what one candidate is, but for the container around it; None for nothing of its own."""
    candidate = grounds.candidate
    ours = grounds.own.inside_container and grounds.own.pid in candidate.members
    naming = name_of(candidate.key, candidate.match, grounds.leader, grounds.own, ours=ours, doubted=doubted)
    if naming is None:
        return None
    cgroups, owned = _cgroups(grounds)
    return _container(candidate, grounds.leader, naming, cgroups, owned)


def _container(
    candidate: Candidate, leader: Leader, naming: Naming, cgroups: Mapping[str, str], owned: frozenset[str]
) -> Container:
    return Container(
        id=naming.id,
        name=naming.name,
        kind=naming.kind,
        runtime=naming.runtime,
        image=naming.image,
        leader=leader,
        members=candidate.members,
        evidence=naming.evidence,
        cgroups=cgroups,
        owned=owned,
        runtime_id=naming.runtime_id,
        pod=naming.pod,
        home=candidate.match.path if candidate.match else None,
    )


def _cgroups(grounds: Grounds) -> tuple[dict[str, str], frozenset[str]]:
    """Return the cgroup of each resource, and the resources for which it is the container's alone."""
    paths: dict[str, str] = {}
    owned = set()
    unseen = grounds.candidate.kind == "self" and _may_share_unseen(grounds.own, grounds.leader, grounds.located)
    places: dict[int, tuple[str | None, str | None]] = {}  # the same for all resources of a hierarchy
    for resource, (hierarchy, index) in grounds.located.items():
        if index not in places:
            places[index] = _place(grounds, resource, hierarchy, index, hidden=unseen and hierarchy.version == 1)
        path, own = places[index]
        if path is not None:
            paths[resource] = own or path
        if own is not None:
            owned.add(resource)
    return paths, frozenset(owned)


def _place(
    grounds: Grounds, resource: str, hierarchy: Hierarchy, index: int, *, hidden: bool
) -> tuple[str | None, str | None]:
    """Return the cgroup in one hierarchy, and that which is the container's alone; `hidden`: others may be in it."""
    path = path_in(hierarchy, grounds.leader.membership)
    if path is None:
        return None, None
    if grounds.alone and index not in grounds.own.true_roots and hierarchy.directory(path) is not None:
        path = hierarchy.root  # its first process may sit in a child (systemd's /init.scope)
    return path, None if hidden else _own_path(grounds, resource, index, path)


def _may_share_unseen(own: Own, leader: Leader, located: Located) -> bool:
    """Tell whether our container may be in v1 cgroups of others: v1 lists nobody of a PID namespace around ours.

    A runtime that makes a cgroup for a container makes one of every controller, so one at a real root is a sign
    that nobody did (nspawn and unshare stay in their starter's cgroups). So are tasks that a cgroup only counts.
    """
    if own.crowded:
        return True
    accounting = (located[name] for name in ("cpu", "cpuacct", "memory", "pids") if name in located)
    return own.own_pid_namespace and any(
        hierarchy.version == 1 and index in own.true_roots and path_in(hierarchy, leader.membership) == "/"
        for hierarchy, index in accounting
    )


@remembered(8192)  # the same path in every hierarchy
def _innermost(path: str) -> Match | None:
    """Return the innermost cgroup of a runtime that a path is in."""
    return next(filter(None, map(match, ancestors(path))), None)


@remembered(8192)
def _tree_of(container: str, path: str) -> str | None:
    """Return the cgroup of a runtime's container: its first process may sit in a child (systemd's /init.scope)."""
    ids = ((above, match(above)) for above in ancestors(path))
    return next((above for above, its in ids if its is not None and its.id == container), None)


def _own_path(grounds: Grounds, resource: str, index: int, path: str) -> str | None:
    """Return the cgroup that is the candidate's alone for one resource, or None where it shares one with others."""
    candidate, group, pid = grounds.candidate, grounds.group, grounds.leader.process.pid
    if candidate.match is not None:
        return _tree_of(candidate.match.id, path)
    if group is not None:
        return group.path if index in group.hierarchies else None
    if path == "/" and index in grounds.own.true_roots:
        return None
    # An outsider seen from within a PID namespace is 0. Without its first process among them, nothing was learnt.
    there = grounds.there.get(resource, frozenset())
    return path if grounds.alone or (pid in there and there.issubset(candidate.members)) else None
