"""What a container changed of its image: a walk through the upper directory, beside the layers below it.

What is only in the upper directory was added, what is below as well was copied
up, a whiteout deletes (inspector.marks). The result is that of `docker diff`
(moby, pkg/archive/changes.go): metadata is compared, a directory is changed
when its owner or mode is, or anything in it, and the root itself is never
listed; what the runtime itself put there is left out, as `podman diff` does. On
top of it come files that were copied up and are still the same.

The upper directory belongs to processes that may be changing it: it is walked
by descriptor, no symbolic link is followed, one directory is open at a time
and nothing is kept of what was passed but the directories still to come.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from inspector.kernel.host import Directory, Entry, Host
from inspector.kernel.process import CAPABILITIES, read_status
from inspector.layers import TRUSTED, Change, Layers
from inspector.lower import Below, Lower

__all__ = ["Changes"]

MOST_LINKS = 200_000  # files with several names: so many are remembered, to count each once
MOST_DEPTH = 20_000
SYS_ADMIN = 1 << CAPABILITIES.index("CAP_SYS_ADMIN")
# What Podman and CRI-O make in the upper directory to mount on it, and `podman diff` leaves out (libpod/diff.go).
MOUNTED_ON = frozenset(
    ("/dev", "/proc", "/sys", "/run", "/run/.containerenv", "/run/notify", "/run/secrets",
     "/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/etc/mtab")
)  # fmt: skip
GIVEN = {"podman": MOUNTED_ON, "cri-o": MOUNTED_ON}
KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}


@dataclass(slots=True)
class Level:
    """A directory of the upper layer on the way to where the walk is; only the last one is open."""

    name: str
    directory: Directory
    lower: tuple[str, ...]
    mark: bytes
    untold: Change | None = None
    waiting: list[str] = field(default_factory=list)
    found: int = 0


class Changes:
    """Iterate it once for the changes, as they are found. It can be abandoned at any time.

    `problems` is what could not be read: then the result is not complete.
    """

    def __init__(self, host: Host, layers: Layers, view: str = "", runtime: str | None = None) -> None:
        self._host = host
        self._given = GIVEN.get(runtime or "", frozenset())
        self._layers = layers
        self._upper = view + (layers.upper or "")
        self._lower = Lower(host, layers, view)
        self._marks = self._lower.marks
        self._stack: list[Level] = []
        self._links: set[int] = set()
        self.problems = self._lower.problems

    @property
    def entries(self) -> int:
        """How many files and directories were seen so far."""
        return self._lower.entries

    @property
    def fraction(self) -> float:
        """How much is done, 0 to 1: an estimate that takes each directory to be as large as those beside it."""
        done, share = 0.0, 1.0
        for level in self._stack:
            if not level.found:
                break
            done += share * max(level.found - len(level.waiting) - 1, 0) / level.found
            share /= level.found
        return done

    def __iter__(self) -> Iterator[Change]:
        """Yield the changes; OSError when the upper directory itself cannot be opened."""
        return (change for change in self._walk() if change.kind == "deleted" or change.path not in self._given)

    def _walk(self) -> Iterator[Change]:
        if self._layers.upper is None:
            return
        if self._layers.attributes == TRUSTED and not self._may_see_trusted():
            self._lower.problem("/", "opaque directories cannot be told without CAP_SYS_ADMIN")
        top = self._host.directory(f"{self._upper}/.")
        self._stack = [Level("", top, self._lower.root, self._marks.opaque(top))]
        try:
            yield from self._entries(self._stack[0])
            while self._stack:
                yield from self._step()
        finally:
            for level in self._stack:
                level.directory.close()

    def _may_see_trusted(self) -> bool:
        return bool(read_status(self._host, "self").capabilities.get("effective", 0) & SYS_ADMIN)

    def _step(self) -> Iterator[Change]:
        """Go one directory down, or up where none is left."""
        level = self._stack[-1]
        if level.waiting:
            yield from self._down(level, level.waiting.pop())
            return
        self._stack.pop()
        if self._stack:
            self._up(level, self._stack[-1])
        level.directory.close()

    def _up(self, level: Level, parent: Level) -> None:
        """Open the parent again: by "..", or by name where a directory was moved meanwhile."""
        try:
            again = level.directory.enter("..")
            if again.identity != parent.directory.identity:
                again.close()
                again = self._by_name()
            parent.directory = again
        except OSError as error:
            self._lower.problem(self._path(), f"went away while it was read ({error.strerror})")
            parent.waiting.clear()

    def _by_name(self) -> Directory:
        directory = self._host.directory(f"{self._upper}/.")
        for level in self._stack[1:]:
            try:
                inner = directory.enter(level.name)
            finally:
                directory.close()
            directory = inner
        return directory

    def _down(self, level: Level, name: str) -> Iterator[Change]:
        """Enter a directory: tell what it is itself, and look at what is in it."""
        path = self._path(name)
        if self._upper.rstrip("/") + path in self._lower.mounted or len(self._stack) >= MOST_DEPTH:
            self._lower.problem(path, "not entered: a mount is on it, or it lies too deep")
            return
        try:
            entry = level.directory.entry(name)
            inner = level.directory.enter(name)
        except OSError as error:
            self._lower.problem(path, error)
            return
        level.directory.close()
        child = Level(name, inner, (), self._marks.opaque(inner))
        below = self._lower.below(level.lower, name)
        self._stack.append(child)
        if entry is not None:
            yield from self._directory(child, path, entry, below, level.lower)
        yield from self._entries(child)

    def _directory(
        self, child: Level, path: str, entry: Entry, below: Below | None, around: tuple[str, ...]
    ) -> Iterator[Change]:
        """Tell what a directory of the upper layer is; an unchanged one waits for a change in it."""
        renamed = self._marks.attribute(child.directory, "redirect").decode(errors="surrogateescape")
        if renamed:
            below = self._lower.redirected(around, renamed)
        child.lower = below.directories if below else ()
        if below is None or renamed:
            yield from self._tell(replace(self._change("added", path, entry), renamed_from=renamed or None))
        elif _same(entry, below.entry):
            child.untold = self._change("changed", path, entry)
        else:
            yield from self._tell(self._change("changed", path, entry))

    def _entries(self, level: Level) -> Iterator[Change]:
        """Look at everything in one directory, and keep its directories for later."""
        try:
            for name, entry in level.directory.scan():
                self._lower.entries += 1
                deleted = self._marks.deletes(name)
                if deleted is not None:
                    yield from self._named(level, deleted)
                elif stat.S_ISDIR(entry.mode):
                    level.waiting.append(name)
                elif change := self._compared(level, name, entry):
                    yield from self._tell(change)
            if level.mark == b"y":
                for name, below in self._lower.union(level.lower):
                    if level.directory.entry(name) is None and not self._marks.deleted(level.directory, name):
                        yield from self._tell(self._deleted(name, below))
        except OSError as error:
            self._lower.problem(self._path(), error)
        level.found = len(level.waiting)

    def _named(self, level: Level, name: str) -> Iterator[Change]:
        """Tell what a mark with the name of what it deletes stands for: nothing, if nothing was there."""
        if name and (below := self._lower.below(level.lower, name)):
            yield from self._tell(self._deleted(name, below))

    def _compared(self, level: Level, name: str, entry: Entry) -> Change | None:
        below = self._lower.below(level.lower, name)
        if self._marks.is_whiteout(entry, level.mark, level.directory, name):
            return self._deleted(name, below) if below else None
        path = self._path(name)
        if below is None:
            return self._change("added", path, entry)
        same = (
            _same(entry, below.entry)
            and below.path not in self._lower.mounted
            and self._lower.same_capability(level.directory, name, below.path)
        )
        return replace(self._change("copied" if same else "changed", path, entry), before=below.entry.size)

    def _tell(self, change: Change) -> Iterator[Change]:
        """Yield a change, behind the directories around it: a change in them is theirs."""
        for level in self._stack if change.kind != "copied" else ():
            if level.untold:
                yield level.untold
                level.untold = None
        yield change

    def _change(self, kind: Literal["added", "changed", "copied"], path: str, entry: Entry) -> Change:
        """Make a change out of an entry of the upper directory; a directory has no size of its own here."""
        directory = stat.S_ISDIR(entry.mode)
        again = not directory and entry.links > 1 and entry.inode in self._links
        if not directory and entry.links > 1 and len(self._links) < MOST_LINKS:
            self._links.add(entry.inode)
        size, disk = (0, 0) if directory or again else (entry.size, entry.disk)
        return Change(kind, path, _type(entry), size, disk)

    def _deleted(self, name: str, below: Below) -> Change:
        return Change("deleted", self._path(name), _type(below.entry), *self._lower.weigh(below))

    def _path(self, *names: str) -> str:
        return "/" + "/".join([*(level.name for level in self._stack[1:]), *names])


def _type(entry: Entry) -> str:
    return KINDS.get(stat.S_IFMT(entry.mode), "file")


def _same(entry: Entry, below: Entry) -> bool:
    """Compare as docker does: of a directory neither size nor time; a time without fraction equals any fraction."""
    if (entry.mode, entry.uid, entry.gid, entry.rdev) != (below.mode, below.uid, below.gid, below.rdev):
        return False
    if stat.S_ISDIR(entry.mode):
        return True
    second, rest = divmod(entry.mtime_ns, 10**9)
    its_second, its_rest = divmod(below.mtime_ns, 10**9)
    return entry.size == below.size and second == its_second and (rest == its_rest or 0 in (rest, its_rest))
