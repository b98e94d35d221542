"""Which cgroups a hierarchy has, and how many: all of them, and remembered from tick to tick.

A directory's link count is two more than its children. While every count is
the same and every directory that was known is still there, nothing has come
or gone, so nothing is listed: one stat(2) a directory, or a directory with
children, instead of a walk.

Who may make cgroups can make a hundred thousand of them: a container in its
own, a user in that of his session. Below such a one (Limit) so many are looked
at, the upper ones first, and it is known that there are more.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

from inspector.errors import SHORTAGE, ParseError
from inspector.kernel.cgroups import Hierarchy, parse_pids
from inspector.kernel.figures import MOST_DIGITS, number
from inspector.kernel.host import Host

__all__ = [
    "MOST_BELOW",
    "Limit",
    "Tree",
    "hidden_tasks",
    "parse_cgroup_counts",
    "parse_descendants",
    "read_cgroup_counts",
    "read_descendants",
    "walk",
]

LEAF_LINKS = 2  # of a directory without directories: "." and the entry in its parent
UNCOUNTED = 1  # a filesystem that does not count: none of the kernel's own
MOST_BELOW = 2048  # a cluster's node in a container has 500 pods of four cgroups; each costs 20 us at a tick


class Limit:
    """Below which cgroups no more than `most` (MOST_BELOW) are looked at (`begins`), and which have more."""

    def __init__(self, begins: Callable[[str], bool], most: int | None = None) -> None:
        self._begins = begins
        self._most = MOST_BELOW if most is None else most
        self.cut: set[str] = set()

    def room(self, path: str) -> Room | None:
        """Return how many may be looked at below a cgroup, if it is one of those."""
        return Room(path, self._most) if self._begins(path) else None

    def list(self, host: Host, directory: str, room: Room) -> list[str]:
        """List a cgroup's children while there is room."""
        names = host.subdirectories(directory, room.left + 1)
        if len(names) > room.left:
            del names[room.left :]
            self.cut.add(room.path)
        room.left -= len(names)
        return names


class Room:
    """How many cgroups may still be looked at below one."""

    def __init__(self, path: str, most: int) -> None:
        self.path = path
        self.left = most


class Tree:
    """The cgroups of one hierarchy. Not thread safe."""

    def __init__(self, host: Host, hierarchy: Hierarchy, limit: Limit) -> None:
        self._host = host
        self._hierarchy = hierarchy
        self._limit = limit
        self._links: dict[str, int] = {}
        self.paths: tuple[str, ...] = ()

    def update(self, *, leaves: bool, count: int | None = None) -> bool:
        """Bring `paths` up to date, parents first; True when it was listed anew.

        Without `leaves` only directories that had children are looked at: a
        first child of another one is missed then, and that one is gone. `count`
        is how many the kernel counts, if it tells.
        """
        if self._links and self._same(leaves=leaves):
            return False
        # Counted before it is listed: what comes in between makes a difference next time.
        self._links.clear()
        self._limit.cut.clear()
        self.paths = tuple(walk(self._host, self._hierarchy, self._links, count, self._limit))
        return True

    @property
    def cut(self) -> set[str]:
        """The cgroups below which there are more than `paths` has."""
        return self._limit.cut

    def _same(self, *, leaves: bool) -> bool:
        links = self._host.links
        try:
            return all(
                links(directory) == count != UNCOUNTED
                for directory, count in self._links.items()
                if leaves or count != LEAF_LINKS
            )
        except OSError:
            return False


def walk(
    host: Host,
    hierarchy: Hierarchy,
    links: dict[str, int] | None = None,
    count: int | None = None,
    limit: Limit | None = None,
) -> Iterator[str]:
    """Yield the path of every cgroup of a hierarchy, parents first; one that vanishes meanwhile is left out.

    `links` is filled with the link count of each one's directory: a leaf's is 2, and it need not be listed. Once there
    are as many as the kernel counted (`count`), with those that link counts tell of, all that is left are leaves, and
    are not looked at. OSError where we lack what it takes to list one.
    """
    no_room: Room | None = None
    try:
        queue = [(hierarchy.root, hierarchy.mountpoint, host.links(hierarchy.mountpoint), no_room)]
    except OSError:
        return
    found = 1 + queue[0][2] - LEAF_LINKS
    for path, directory, linked, above in queue:  # to which is added meanwhile
        room = above
        try:
            names: list[str] = []
            if linked != LEAF_LINKS:
                room = room or (limit.room(path) if limit else None)
                names = limit.list(host, directory, room) if limit and room else host.subdirectories(directory)
        except OSError as error:
            if error.errno in SHORTAGE:
                raise
            continue
        if links is not None:
            links[directory] = linked
        yield path
        found += len(names) - (linked - LEAF_LINKS)  # nothing, where the link count has told of them
        if not names:
            continue
        below = list(_below(host, path, directory, names, leaves=found == count))
        found += sum(links_of - LEAF_LINKS for _, _, links_of in below)
        queue.extend((*one, room) for one in below)


def _below(
    host: Host, path: str, directory: str, names: list[str], *, leaves: bool
) -> Iterator[tuple[str, str, int]]:
    """Yield the paths of a cgroup's children, with the directories and their link counts; `leaves`: that is known."""
    alike: list[int | None] = [LEAF_LINKS] * len(names)
    prefix = "" if path == "/" else path
    for name, links in zip(names, alike if leaves else host.links_in(directory, names), strict=True):
        if links is not None:
            # A path stands in each hierarchy of v1 and with each process in it: it is kept once.
            yield sys.intern(f"{prefix}/{name}"), f"{directory}/{name}", links


def hidden_tasks(host: Host, hierarchy: Hierarchy, path: str) -> int:
    """Return how many more tasks a v1 `pids` cgroup counts than it and those below it list for us.

    v1 leaves a task of a PID namespace around ours out of its lists, and counts it (pids.current). A zombie is
    counted and not listed either, and one that begins or ends meanwhile may be. Where there are more cgroups than
    MOST_BELOW, what the others list counts as not listed.
    """
    directory = hierarchy.directory(path) or hierarchy.mountpoint
    counted = number("pids.current", host.read(f"{directory}/pids.current"))
    inner = hierarchy._replace(root=path, mountpoint=directory)
    for below in walk(host, inner, limit=Limit(lambda _: True)):
        counted -= len(parse_pids(host.read(f"{inner.directory(below)}/tasks")))
        if counted <= 0:
            break
    return counted


# #subsys_name	hierarchy	num_cgroups	enabled
# cpuset	3	203	1
def parse_cgroup_counts(data: bytes) -> dict[str, int]:
    """Parse /proc/cgroups: by controller, how many cgroups its hierarchy has, those removed but not yet freed too."""
    lines = [line.decode(errors="replace").split() for line in data.split(b"\n") if line and not line.startswith(b"#")]
    try:
        return {name: int(count) for name, _, count, _ in lines}
    except ValueError as error:
        raise ParseError("/proc/cgroups", data) from error


def read_cgroup_counts(host: Host) -> dict[str, int]:
    """Read how many cgroups there are on the machine, whatever our namespaces (/proc/cgroups)."""
    return parse_cgroup_counts(host.read("/proc/cgroups"))


# nr_descendants 3
# nr_subsys_cpu 4
# nr_dying_descendants 0
def parse_descendants(data: bytes) -> int:
    """Parse cgroup.stat of v2: how many cgroups there are below one."""
    for line in data.split(b"\n"):
        name, _, value = line.partition(b" ")
        if name == b"nr_descendants" and value.isdigit() and len(value) <= MOST_DIGITS:
            return int(value)
    raise ParseError("cgroup.stat", data)


def read_descendants(host: Host, directory: str) -> int:
    """Read how many cgroups there are below a v2 one (cgroup.stat)."""
    return parse_descendants(host.read_kept(f"{directory}/cgroup.stat"))
