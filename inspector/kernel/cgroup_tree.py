"""Which cgroups a hierarchy has: all of them, and remembered from tick to tick.

A directory's link count is two more than its children. While every count is
the same and every directory that was known is still there, nothing has come
or gone, so nothing is listed: one stat(2) a directory, or a directory with
children, instead of a walk.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from inspector.errors import SHORTAGE
from inspector.kernel.cgroups import Hierarchy, parse_pids
from inspector.kernel.figures import number
from inspector.kernel.host import Host

__all__ = ["Tree", "hidden_tasks", "walk"]

LEAF_LINKS = 2  # of a directory without directories: "." and the entry in its parent
UNCOUNTED = 1  # a filesystem that does not count: none of the kernel's own


class Tree:
    """The cgroups of one hierarchy. Not thread safe."""

    def __init__(self, host: Host, hierarchy: Hierarchy) -> None:
        self._host = host
        self._hierarchy = hierarchy
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
        self.paths = tuple(walk(self._host, self._hierarchy, self._links, count))
        return True

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
    host: Host, hierarchy: Hierarchy, links: dict[str, int] | None = None, count: int | None = None
) -> Iterator[str]:
    """Yield the path of every cgroup of a hierarchy, parents first; one that vanishes meanwhile is left out.

    `links` is filled with the link count of each one's directory: a leaf's is 2, and it need not be listed. Once there
    are as many as the kernel counted (`count`), all that is left are leaves, and are not looked at. OSError where we
    lack what it takes to list one.
    """
    try:
        stack = [(hierarchy.root, hierarchy.mountpoint, host.links(hierarchy.mountpoint))]
    except OSError:
        return
    found = 1
    while stack:
        path, directory, linked = stack.pop()
        try:
            names = host.subdirectories(directory) if linked != LEAF_LINKS else []
        except OSError as error:
            if error.errno in SHORTAGE:
                raise
            continue
        if links is not None:
            links[directory] = linked
        yield path
        if not names:
            continue
        found += len(names)
        alike: list[int | None] = [LEAF_LINKS] * len(names)
        counts = alike if found == count else host.links_in(directory, names)
        prefix = "" if path == "/" else path
        # A path stands in each hierarchy of v1 and with each process in it: it is kept once.
        stack.extend(
            (sys.intern(f"{prefix}/{name}"), f"{directory}/{name}", links_of)
            for name, links_of in zip(names, counts, strict=True)
            if links_of is not None
        )


def hidden_tasks(host: Host, hierarchy: Hierarchy, path: str) -> int:
    """Return how many more tasks a v1 `pids` cgroup counts than it and those below it list for us.

    v1 leaves a task of a PID namespace around ours out of its lists, and counts it (pids.current). A zombie is
    counted and not listed either, and one that begins or ends meanwhile may be.
    """
    directory = hierarchy.directory(path) or hierarchy.mountpoint
    counted = number("pids.current", host.read(f"{directory}/pids.current"))
    inner = hierarchy._replace(root=path, mountpoint=directory)
    lists = (parse_pids(host.read(f"{inner.directory(below)}/tasks")) for below in walk(host, inner))
    return counted - sum(map(len, lists))
