"""Directories seen as overlayfs merges them: what a container's layers have at a path, without mounting anything.

A name is looked for from the top. A whiteout ends the search, and so does what
is no directory; of directories the first gives the metadata, and those below
it are searched as well, down to an opaque one. No link is followed.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence

from inspector.kernel.named import NamedTuple
from sandbox.inroot import host_path, in_root_open, root_directory
from sandbox.metadata import is_whiteout

__all__ = ["Found", "find", "find_lacking", "is_opaque", "names"]

OPAQUE = ("trusted.overlay.opaque", "user.overlay.opaque")
ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class Found(NamedTuple):
    """What the layers have at a path: the layer that gives it, and its metadata."""

    layer: str
    stat: os.stat_result


def is_opaque(path: str) -> bool:
    """Tell whether a directory hides those of its name in lower layers."""
    for name in OPAQUE:
        try:
            if os.getxattr(path, name) == b"y":
                return True
        except OSError:
            continue
    return False


def _look(layer: str, path: str, *, is_last: bool) -> tuple[os.stat_result, bool] | None:
    """Return the metadata of a path in one layer, and whether it hides what is in those below; None when it has none.

    The last layer has none below.
    """
    with root_directory(layer) as root:
        fd = in_root_open(root, path, os.O_PATH | os.O_NOFOLLOW, links=False, but=ABSENT)
        if fd < 0:
            return None
        try:
            found = os.fstat(fd)
            return found, is_last or (stat.S_ISDIR(found.st_mode) and is_opaque(host_path(fd)))
        finally:
            os.close(fd)


def find(layers: Sequence[str], path: str) -> Found | None:
    """Return what is at `path` (relative to the root, links not followed) in layers, the highest first."""
    return _search(layers, path)[0]


def find_lacking(layers: Sequence[str], path: str, wanted: Sequence[str]) -> tuple[Found | None, list[str]]:
    """Return what is at `path`, as find() does, and which of these names it lacks: all, if it is no directory."""
    found, candidates = _search(layers, path)
    if found is None or not stat.S_ISDIR(found.stat.st_mode):
        return found, list(wanted)
    return found, [name for name in wanted if _step(candidates, f"{path}/{name}")[0] is None]


def names(layers: Sequence[str], path: str) -> set[str]:
    """Return the names in a directory of the layers."""
    found: set[str] = set()
    deleted: set[str] = set()
    for layer in _search(layers, path)[1]:
        with root_directory(layer) as root:
            fd = in_root_open(root, path, os.O_RDONLY | os.O_DIRECTORY, links=False)
            try:
                entries = {name: os.lstat(name, dir_fd=fd) for name in os.listdir(fd)}
            finally:
                os.close(fd)
        found |= {name for name, seen in entries.items() if not is_whiteout(seen)} - deleted
        deleted |= {name for name, seen in entries.items() if is_whiteout(seen)}
    return found


def _search(layers: Sequence[str], path: str) -> tuple[Found | None, list[str]]:
    """Return what gives a path, and the layers in which the search goes on below it."""
    candidates = list(layers)
    found: Found | None = None
    parts = [part for part in path.split("/") if part]
    for end in range(1 if parts else 0, len(parts) + 1):
        if found is not None and not stat.S_ISDIR(found.stat.st_mode):
            return None, []
        found, candidates = _step(candidates, "/".join(parts[:end]) or ".")
        if found is None:
            return None, []
    return found, candidates


def _step(layers: Sequence[str], path: str) -> tuple[Found | None, list[str]]:
    """Return what gives one path, and the layers in which the search goes on below it."""
    result: Found | None = None
    deeper: list[str] = []
    for layer in layers:
        looked = _look(layer, path, is_last=layer is layers[-1])
        if looked is None:
            continue
        found, hides = looked
        if is_whiteout(found) or (result is not None and not stat.S_ISDIR(found.st_mode)):
            break
        result = result or Found(layer, found)
        deeper.append(layer)
        if hides or not stat.S_ISDIR(found.st_mode):
            break
    return result, deeper
