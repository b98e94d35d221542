"""What a container changed of its root filesystem: `sandbox diff`, exactly as `docker diff` tells it.

The rules are moby's (pkg/archive: FileInfo.Changes, statDifferent). What is new was added (A), what is gone was
deleted (D), with nothing of what was in it; a file is changed (C) when its mode, owner, size or time is another, a
directory when its mode or owner is, or anything in it was added, changed or deleted. The root itself never is.
Only the upper directory is walked: what is not in it is as it was.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sandbox.inroot import host_path, in_root_open, root_directory
from sandbox.lowers import Found, find, is_opaque, names
from sandbox.metadata import CAPABILITY, is_whiteout, read_attributes
from sandbox.pack import walk

__all__ = ["Change", "changes"]


class Change(NamedTuple):
    """One line: A, C or D, and a path."""

    kind: str
    path: str


def changes(upper: str, lowers: Sequence[str]) -> list[Change]:
    """Return the changes, each directory before what is in it; `lowers` are the layers below, the highest first."""
    found: dict[str, str] = {}
    with root_directory(upper) as top:
        for path, kind in _own(top, lowers):
            found[path] = kind
            while path := os.path.dirname(path):
                found.setdefault(path, "C")
    return [Change(found[path], f"/{path}") for path in sorted(found, key=lambda path: path.split("/"))]


def _own(top: int, lowers: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield what was changed itself, not only in what it holds."""
    for path, mine in walk(top):
        below = find(lowers, path)
        if is_whiteout(mine):
            if below is not None:
                yield path, "D"
        elif below is None:
            yield path, "A"
        else:
            if _differs(top, path, mine, below):
                yield path, "C"
            if stat.S_ISDIR(mine.st_mode) and stat.S_ISDIR(below.stat.st_mode):
                yield from _hidden(top, path, lowers)


def _hidden(top: int, path: str, lowers: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield what is gone of a directory that was removed and made anew."""
    fd = in_root_open(top, path, os.O_RDONLY | os.O_DIRECTORY, links=False)
    try:
        gone = names(lowers, path) - set(os.listdir(fd)) if is_opaque(host_path(fd)) else ()
    finally:
        os.close(fd)
    for name in gone:
        yield f"{path}/{name}", "D"


def _differs(top: int, path: str, mine: os.stat_result, below: Found) -> bool:
    its = below.stat
    if (mine.st_mode, mine.st_uid, mine.st_gid, mine.st_rdev) != (its.st_mode, its.st_uid, its.st_gid, its.st_rdev):
        return True
    if stat.S_ISDIR(mine.st_mode):
        return False
    if mine.st_size != its.st_size or not _same_time(mine.st_mtime_ns, its.st_mtime_ns):
        return True
    if not stat.S_ISREG(mine.st_mode):
        return False
    with root_directory(below.layer) as layer:
        return _capability(top, path) != _capability(layer, path)


def _same_time(one: int, other: int) -> bool:
    """Compare two times in ns; one without a fraction was kept by something that has none."""
    whole = 1_000_000_000
    return one == other or (one // whole == other // whole and (one % whole == 0 or other % whole == 0))


def _capability(root: int, path: str) -> bytes | None:
    fd = in_root_open(root, path, os.O_PATH | os.O_NOFOLLOW, links=False)
    try:
        return read_attributes(fd).get(CAPABILITY)
    finally:
        os.close(fd)
