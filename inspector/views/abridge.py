"""A mount table without what a reader would skip: the JSON has all of it. Pure."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterator, Sequence

from inspector.report import MountEntry

__all__ = ["abridged"]

MANY = 4
# Below these lies what the kernel or the runtime made; below any other what came along with a directory of the host.
MADE = frozenset(("proc", "sysfs", "tmpfs", "devtmpfs", "cgroup", "cgroup2"))


def abridged(mounts: Sequence[MountEntry]) -> Iterator[tuple[MountEntry, str]]:
    """Yield each mount and what to say beside it.

    Of many that are alike but for their last name (the cgroup hierarchies), and of many below one directory that
    was bound from elsewhere, the first stands for all.
    """
    tops = {one["mountpoint"] for one in mounts if one["mountpoint"] != "/" and one["type"] not in MADE}
    above = {one["mountpoint"]: _top(one["mountpoint"], tops) for one in mounts}
    below = Counter(above[one["mountpoint"]] for one in mounts)
    alike: dict[tuple[str, ...], list[str]] = {}
    for one in mounts:
        alike.setdefault(_kind(one), []).append(posixpath.basename(one["mountpoint"]))
    for one in mounts:
        place = one["mountpoint"]
        if below[above[place]] >= MANY and above[place] is not None:
            continue
        names = alike[_kind(one)]
        if len(names) < MANY:
            yield one, f"and {below[place]} mounts below it" if below[place] >= MANY else ""
        elif posixpath.basename(place) == names[0]:
            yield one, f"and the same: {' '.join(names[1:])}"


def _top(place: str, tops: set[str]) -> str | None:
    """Return the outermost directory bound from elsewhere that a mountpoint lies below."""
    names = place.split("/")
    return next((path for end in range(2, len(names)) if (path := "/".join(names[:end])) in tops), None)


def _kind(mount: MountEntry) -> tuple[str, ...]:
    options = tuple(mount["options"])
    return (posixpath.dirname(mount["mountpoint"]), mount["type"], mount["source_root"], mount["source"], *options)
