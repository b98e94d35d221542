"""Counters of block I/O that last: a cgroup's own do not go down while it is there.

On v1 the kernel adds up what a cgroup and those below it have done whenever it is asked, so that what a child did is
gone with the child (blkg_rwstat_recursive, block/blk-cgroup-rwstat.c). To Prometheus a counter that goes down has begun
again at 0: all that remained would count as done just now. So what has gone is remembered, and added.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from inspector.kernel.controllers import Io
from inspector.model import Key

__all__ = ["Lasting"]

Pairs = Mapping[str, tuple[int, int]]
"""Device -> read, written."""
NONE = 0, 0


class _Known(NamedTuple):
    """What a cgroup said last, and what it no longer says of what it said before; by its inode, as a path may be reused.

    `shown` are both together.
    """

    inode: int | None
    said: Io
    gone_bytes: Pairs
    gone_operations: Pairs
    shown: Io


class Lasting:
    """Remembers the cgroups of one machine from scrape to scrape."""

    def __init__(self) -> None:
        self._known: dict[Key, _Known] = {}

    def of(self, said: Iterable[tuple[Key, Io | None]], inodes: Mapping[Key, int]) -> list[Io | None]:
        """Return what each cgroup has done in all, of what it says now; None of one that could not be read.

        Those that are not asked for are forgotten.
        """
        known, self._known = self._known, {}
        found: list[Io | None] = []
        for key, io in said:
            if io is None:
                if key in known:
                    self._known[key] = known[key]
                found.append(None)
                continue
            now = self._known[key] = _brought_up(known.get(key), inodes.get(key), io)
            found.append(now.shown)
        return found


def _brought_up(known: _Known | None, inode: int | None, said: Io) -> _Known:
    if known is None or known.inode != inode:
        return _Known(inode, said, {}, {}, said)
    if said == known.said:
        return known
    moved = _gone(known.said.bytes_by_device, said.bytes_by_device, known.gone_bytes)
    done = _gone(known.said.operations_by_device, said.operations_by_device, known.gone_operations)
    shown = said
    if moved or done:
        shown = said._replace(
            bytes_by_device=_added(said.bytes_by_device or {}, moved),
            operations_by_device=_added(said.operations_by_device or {}, done),
        )
    return _Known(inode, said, moved, done, shown)


def _gone(before: Pairs | None, now: Pairs | None, gone: Pairs) -> Pairs:
    """Return what is gone by now of what each device did."""
    less = {}
    for device, (read, written) in (before or {}).items():
        reads, writes = (now or {}).get(device, NONE)
        if reads < read or writes < written:
            less[device] = max(read - reads, 0), max(written - writes, 0)
    return _added(gone, less) if less else gone


def _added(some: Pairs, more: Pairs) -> Pairs:
    both = {device: (some.get(device, NONE), more.get(device, NONE)) for device in (*some, *more)}
    return {device: (one[0] + other[0], one[1] + other[1]) for device, (one, other) in both.items()}
