"""Which cgroups a hierarchy has, remembered from tick to tick.

A directory's link count is two more than its children. While every count is
the same and every directory that was known is still there, nothing has come
or gone, so nothing is listed: one stat(2) a directory, or a directory with
children, instead of a walk.
"""

from __future__ import annotations

from inspector.kernel.cgroups import LEAF_LINKS, Hierarchy, walk
from inspector.kernel.host import Host

__all__ = ["Tree"]

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
