"""Opens, lists and follows the kernel files of one machine, one after the other or some of a directory at once.

With files.py, bundle.py and directory.py the one place of the inspector that does; a
Host (host.py) keeps files open besides.

To open a control file costs more than to read it, and a quarter of that is the
way to where its hierarchy is mounted: that is walked once (Reader.anchor).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from itertools import islice

from inspector.kernel.bundle import close_all
from inspector.kernel.directory import OPEN_DIRECTORY, Directory, Entry, get_attribute, to_entry
from inspector.kernel.files import CHUNK, OPEN, SURELY_WHOLE, Files, drain

__all__ = ["Reader"]

AT_ONCE = 64  # as many are closed by one system call


class Reader(Files):
    """Reads the kernel files of one machine below `root`.

    `procfs` and `sysfs` replace root/proc and root/sys (an exporter in a
    container has them mounted elsewhere). Every method raises the OSError of
    its system call unchanged.
    """

    def __init__(self, root: str, procfs: str | None, sysfs: str | None) -> None:
        self.root = root.rstrip("/")
        self._mounted = [
            (prefix, target.rstrip("/"))
            for prefix, target in (("/proc", procfs), ("/sys", sysfs))
            if target is not None and target.rstrip("/") != prefix
        ]
        self._plain = not self.root and not self._mounted
        self._anchors: dict[str, int] = {}  # by the path from here, which ends with "/"
        self._above_anchors = ""  # the beginning that these have in common
        self._last_anchor: tuple[str, int | None] = "", None  # most often the next one too

    @property
    def is_live(self) -> bool:
        """True when this Host is the machine we run on, so that system calls and its files agree."""
        return self._plain

    @property
    def viewer(self) -> str:
        """The process whose mounts are this machine's: we ourselves, or process 1 of a procfs mounted elsewhere."""
        return "1" if any(prefix == "/proc" for prefix, _ in self._mounted) else "self"

    def shares_pids(self) -> bool:
        """Tell whether its /proc numbers processes as we do: cgroup.procs has the numbers of whoever opens it."""
        try:
            return self.readlink("/proc/self") == str(os.getpid())
        except OSError:
            return True  # no procfs at all, which reading it will tell

    def path(self, path: str) -> str:
        """Where the machine's `path` is found from here."""
        if self._plain:
            return path
        for prefix, target in self._mounted:
            if path == prefix or path.startswith(prefix + "/"):
                return target + path[len(prefix) :]
        return self.root + path

    def anchor(self, directories: Iterable[str]) -> None:
        """Open what lies below these directories from there from now on, and no longer from others given before."""
        anchors = {}
        for place in map(self.path, directories):
            try:
                anchors[f"{place}/"] = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            except OSError:  # whoever reads there is told
                continue
        before, self._anchors = self._anchors, anchors
        self._last_anchor = "", None
        self._above_anchors = os.path.commonprefix(list(anchors))  # noqa: RUF071  of text
        close_all(list(before.values()))

    def _anchor(self, place: str) -> tuple[str, int | None]:
        """Return the anchor above a place: its path and descriptor, or nothing."""
        if not place.startswith(self._above_anchors):
            return "", None
        last = self._last_anchor
        if last[0] and place.startswith(last[0]):
            return last
        for top in filter(place.startswith, self._anchors):  # without a step of Python's for each of ten hierarchies
            self._last_anchor = top, self._anchors[top]
            return self._last_anchor
        return "", None

    def _open(self, path: str) -> int:
        place = self.path(path)
        top, descriptor = self._anchor(place)
        try:
            return os.open(place[len(top) :], OPEN, dir_fd=descriptor)
        except OSError as error:
            error.filename = place
            raise

    def read_each(self, paths: Iterable[str], whole: int = SURELY_WHOLE) -> Iterator[bytes | OSError]:
        """Yield what read() would return of each, or why there is nothing: cheaper than one by one.

        A read of less than `whole` bytes has met the end; 0: none has, as where lines are long (read_long_lines).
        Where no more may be open at once those that were read are closed, and it is opened again.
        """
        top, anchor = "", None
        opened: list[int] = []
        plain, open_file, read_file = self._plain, os.open, os.read
        try:
            for path in paths:
                place = path if plain else self.path(path)
                if not top or not place.startswith(top):
                    top, anchor = self._anchor(place)
                try:
                    try:
                        descriptor = open_file(place[len(top) :], OPEN, dir_fd=anchor)
                    except OSError as error:
                        if error.errno != errno.EMFILE or not opened:
                            raise
                        close_all(opened)
                        descriptor = open_file(place[len(top) :], OPEN, dir_fd=anchor)
                    opened.append(descriptor)
                    data = read_file(descriptor, CHUNK)
                    yield data if len(data) < whole else data + drain(descriptor)
                except OSError as error:
                    error.filename = error.filename and place  # read(2) has none
                    yield error
                if len(opened) >= AT_ONCE:
                    close_all(opened)
        finally:
            close_all(opened)

    def read_names(self, directory: str, names: Iterable[str]) -> list[bytes | OSError]:
        """Return what each of some control files of one directory says, or why there is nothing: cheaper yet.

        For files of a single record, as those of a Bundle: a read that leaves room is whole.
        """
        place = self.path(f"{directory}/")
        top, anchor = self._anchor(place)
        below = place[len(top) :]
        open_file, read_file, close_file = os.open, os.read, os.close
        found: list[bytes | OSError] = []
        for name in names:
            try:
                descriptor = open_file(below + name, OPEN, dir_fd=anchor)
                try:
                    data = read_file(descriptor, CHUNK)
                    found.append(data if len(data) < CHUNK else data + drain(descriptor))
                finally:
                    close_file(descriptor)
            except OSError as error:
                error.filename = error.filename and place + name  # read(2) has none
                found.append(error)
        return found

    def read_prefix(self, path: str, size: int) -> bytes:
        """Return at most the first `size` bytes, for files a process controls the length of; waits for no FIFO."""
        fd = self._open(path)
        try:
            return os.read(fd, size)
        finally:
            os.close(fd)

    def read_inside(self, store: str, relative: str, size: int) -> bytes:
        """Return a regular file below the directory `store`, at most its first `size` bytes.

        For files that somebody else owns: no symbolic link below `store` is
        followed, and a FIFO or device is not waited for. OSError with ELOOP,
        ENOTDIR or EINVAL says that there is something else at that place.
        """
        with os.fdopen(self._open_inside(store, relative), "rb") as file:
            return file.read(size)

    def read_inside_from(self, store: str, relative: str, offset: int, size: int) -> tuple[bytes, Entry]:
        """Return `size` bytes at most of such a file, from `offset` on, and what it is now; -n: its last n bytes.

        A file that grows is read on from where one was; another inode, or a size below that, is a new file.
        """
        with os.fdopen(self._open_inside(store, relative), "rb") as file:
            entry = to_entry(os.fstat(file.fileno()))
            file.seek(offset if offset >= 0 else max(entry.size + offset, 0))
            return file.read(size), entry

    def _open_inside(self, store: str, relative: str) -> int:
        *directories, name = parts = relative.split("/")
        if {"", ".", ".."} & set(parts):
            raise OSError(errno.EINVAL, "not a plain relative path", f"{store}/{relative}")
        if not _can_be_a_path(f"{store}/{relative}"):
            raise OSError(errno.EINVAL, "not a path", f"{store}/{relative}")
        fd = os.open(self.path(store), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in directories:
                inner = os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
                os.close(fd)
                fd = inner
            opened = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
        finally:
            os.close(fd)
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            os.close(opened)
            raise OSError(errno.EINVAL, "not a regular file", f"{store}/{relative}")
        return opened

    def open_fd(self, path: str) -> int:
        """Open a file and return its descriptor, which never blocks; the caller closes it."""
        return self._open(path)

    def readlink(self, path: str) -> str:
        """Return a symbolic link's text (undecodable bytes as surrogate escapes)."""
        return os.readlink(self.path(path))

    def readlinks(self, directory: str, names: Iterable[str]) -> list[str | OSError]:
        """Return what readlink() would of links in one directory, or why there is nothing: cheaper than one by one."""
        place, follow = self.path(f"{directory}/"), os.readlink
        found: list[str | OSError] = []
        for name in names:
            try:
                found.append(follow(place + name))
            except OSError as error:
                found.append(error)
        return found

    def listdir(self, path: str) -> list[str]:
        """Return the names in a directory, in the kernel's order."""
        return os.listdir(self.path(path))

    def links(self, path: str) -> int:
        """Return a link count: of a directory, two more than it has directories in it (1: not counted there)."""
        place = self.path(path)
        top, anchor = self._anchor(place)
        return os.stat(place[len(top) :], dir_fd=anchor).st_nlink

    def links_in(self, path: str, names: Iterable[str]) -> list[int | None]:
        """Return the link counts of directories in a directory, None of one that is gone."""
        place = self.path(f"{path}/")
        top, anchor = self._anchor(place)
        below, look = place[len(top) :], os.stat
        found: list[int | None] = []
        for name in names:
            try:
                found.append(look(below + name, dir_fd=anchor).st_nlink)
            except OSError:
                found.append(None)
        return found

    def subdirectories(self, path: str, most: int | None = None) -> list[str]:
        """Return the names of a directory's directories, not more than `most`."""
        with os.scandir(self.path(path)) as entries:
            names = (entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
            return list(names if most is None else islice(names, most))

    def stat(self, path: str) -> Entry:
        """Return the identity of what a path leads to (symbolic links followed, as /proc/<pid>/root needs)."""
        return to_entry(os.stat(self.path(path)))

    def lstat(self, path: str) -> Entry:
        """Return the identity of what stands at a path, be it a symbolic link."""
        return to_entry(os.lstat(self.path(path)))

    def attribute(self, path: str, key: str) -> bytes | None:
        """Return an extended attribute of what stands at a path, be it a symbolic link; None without it."""
        return get_attribute(self.path(path), key)

    def directory(self, path: str) -> Directory:
        """Open a directory to walk the tree below it; it must not be a symbolic link itself."""
        return Directory(os.open(self.path(path), OPEN_DIRECTORY))

    def access(self, path: str) -> bool:
        """Tell whether a path exists for us; never raises."""
        return os.path.exists(self.path(path))


def _can_be_a_path(text: str) -> bool:
    """Tell whether a text that a file has told can be one: open() raises ValueError for NUL and for half characters."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False
