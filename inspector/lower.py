"""What the lower layers of a union show together, looked up name by name and never remembered.

How a layer hides what is below it: inspector.marks.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from typing import NamedTuple

from inspector.kernel.host import Directory, Entry, Host
from inspector.kernel.mounts import read_mountinfo
from inspector.layers import Layers
from inspector.marks import Marks, attribute

__all__ = ["Below", "Lower"]

MOST_PROBLEMS = 100
HIDDEN = "hidden by a mount on the host: what the image holds there cannot be seen"


class Below(NamedTuple):
    """What the lower layers show under a name; `directories` are those merged into it, the top one first."""

    entry: Entry
    path: str
    directories: tuple[str, ...]


class Lower:
    """The lower layers; `view` is the directory at which the mounter's own "/" is found.

    A directory of theirs is a tuple of paths, the top layer first. `problems`
    is what could not be read, `entries` how much was seen.
    """

    def __init__(self, host: Host, layers: Layers, view: str = "") -> None:
        self.problems: list[str] = []
        self.entries = 0
        self._host = host
        self.marks = Marks(layers)
        paths = [(view + path).rstrip("/") for path in layers.lower]
        self.root = tuple(path for path in paths if host.access(f"{path}/."))
        if len(self.root) < len(paths):
            self.problem("/", f"{len(paths) - len(self.root)} of {len(paths)} lower layers cannot be seen from here")
        self.mounted = frozenset() if view else frozenset(m.mountpoint for m in read_mountinfo(host, "self"))

    def problem(self, path: str, error: object) -> None:
        """Keep account of what could not be read."""
        if len(self.problems) < MOST_PROBLEMS:
            text = error.strerror if isinstance(error, OSError) else error
            self.problems.append(f"{path}: {text}")

    def below(self, directories: tuple[str, ...], name: str) -> Below | None:
        """Look a name up in a directory, from the top layer down to where one hides the rest."""
        found: Below | None = None
        for directory in directories:
            path = f"{directory}/{name}"
            if self.marks.deleted(self._host, name, directory):
                break
            entry = self._lstat(path)
            if entry is None:
                continue
            if self._is_whiteout(entry, directory, path):
                break
            if not stat.S_ISDIR(entry.mode):
                return found or Below(entry, path, ())
            if path in self.mounted:
                self.problem(path, HIDDEN)
                return found or Below(entry, path, ())
            found = Below(found.entry, found.path, (*found.directories, path)) if found else Below(entry, path, (path,))
            if self.marks.opaque(self._host, path) == b"y":
                break
        return found

    def union(self, directories: tuple[str, ...]) -> Iterator[tuple[str, Below]]:
        """Yield what a directory shows, each name once: that a higher layer has it is looked up, not remembered."""
        for number, path in enumerate(directories):
            try:
                directory = self._host.directory(f"{path}/.")
            except OSError as error:
                self.problem(path, error)
                continue
            try:
                for name, _ in directory.scan():
                    self.entries += 1
                    if self.marks.deletes(name) is not None:
                        continue
                    if any(self._decides(above, name) for above in directories[:number]):
                        continue
                    if below := self.below(directories[number:], name):
                        yield name, below
            finally:
                directory.close()

    def weigh(self, below: Below) -> tuple[int, int]:
        """Add up the sizes, apparent and on disk, of all files in what was found."""
        if not stat.S_ISDIR(below.entry.mode):
            return below.entry.size, below.entry.disk
        size = disk = 0
        waiting = [below.directories]
        while waiting:
            for _, inner in self.union(waiting.pop()):
                if inner.directories:
                    waiting.append(inner.directories)
                elif not stat.S_ISDIR(inner.entry.mode):
                    size, disk = size + inner.entry.size, disk + inner.entry.disk
        return size, disk

    def redirected(self, directories: tuple[str, ...], renamed: str) -> Below | None:
        """Find where a renamed directory was: beside where it is now, or (absolute) from the root on."""
        if not renamed.startswith("/"):
            return self.below(directories, renamed)
        below: Below | None = None
        directories = self.root
        for name in filter(None, renamed.split("/")):
            below = self.below(directories, name)
            directories = below.directories if below else ()
        return below

    def same_capability(self, directory: Directory, name: str, below: str) -> bool:
        """Compare the file capabilities of an upper file and the one below."""
        key = "security.capability"
        return attribute(directory, key, name) == attribute(self._host, key, below)

    def _decides(self, directory: str, name: str) -> bool:
        """Tell whether a directory has a name, or says that it is deleted: what those below it have does not count."""
        return self._lstat(f"{directory}/{name}") is not None or self.marks.deleted(self._host, name, directory)

    def _is_whiteout(self, entry: Entry, directory: str, path: str) -> bool:
        candidate = stat.S_ISREG(entry.mode) and not entry.size
        mark = self.marks.opaque(self._host, directory) if candidate else b""
        return self.marks.is_whiteout(entry, mark, self._host, path)

    def _lstat(self, path: str) -> Entry | None:
        try:
            return self._host.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            self.problem(path, error)
            return None
