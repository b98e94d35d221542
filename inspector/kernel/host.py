"""A machine whose kernel files are read tick after tick.

A Host is a root directory: "/" for the machine itself, a temporary directory
for a test, "/host" for an exporter that has the machine mounted there. All
paths given to it are the paths of that machine ("/proc/1/stat").

Files that are read at every tick are kept open and read with pread(fd, n, 0):
4 to 9 times cheaper than open+read+close. A kept descriptor also guards an
identity: a kept /proc/<pid>/stat answers ESRCH once its process is gone, and
a kept control file answers ENODEV once its cgroup is removed, even when a
process or cgroup of the same name has come since.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence
from itertools import repeat

from inspector.kernel.bundle import LITTLE, Bundle, close_all
from inspector.kernel.directory import Directory, Entry
from inspector.kernel.files import CHUNK, OPEN, SURELY_WHOLE, drain
from inspector.kernel.reader import Reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from inspector.kernel.ahead import ReadAhead

__all__ = ["Bundle", "Directory", "Entry", "Host"]

SPARE_DESCRIPTORS = 256  # for all else that the process opens: an exporter has up to 128 connections
NOT_OPEN = -1
MANY = 8  # files of one directory: to open that as well takes as long as it takes to go down to four of them
GONE = (errno.ENODEV, errno.ESRCH, errno.ESTALE)


class Host(Reader):
    """Reads the kernel files of one machine below `root`, as a Reader does, and keeps those of every tick open.

    Use it as a context manager, or call close().

    Not for two threads at once where files are kept open (bundle, read_kept, anchor, end_tick, close): who closes
    it while another reads closes numbers that are other files by then.
    """

    def __init__(self, root: str = "/", *, procfs: str | None = None, sysfs: str | None = None) -> None:
        super().__init__(root, procfs, sysfs)
        self._kept: dict[str, int] = {}
        self._bundles: dict[Bundle, int] = {}  # with how many descriptors each keeps
        self._bundled = 0
        self._read_this_tick: dict[str, bytes] = {}
        self._limit: int | None = None
        self._ahead: ReadAhead | None = None
        self._can_read_ahead = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read_kept(self, path: str) -> bytes:
        """Return the whole content of a file that stays open for the next tick; once a tick.

        A second call before end_tick() returns the same bytes. ENODEV and
        ESRCH mean that the cgroup or process is gone; the next call opens anew.
        Not for mountinfo: its lines are long, so a short read of it is not yet its end.
        """
        known = self._read_this_tick.get(path)
        if known is not None:
            return known
        fd = self._kept.get(path)
        if fd is None:
            if len(self._kept) + self._bundled >= self._descriptor_limit():
                data = self._read_this_tick[path] = self.read(path)
                return data
            fd = self._kept[path] = self._open(path)
        try:
            data = os.pread(fd, CHUNK, 0)
            if len(data) >= SURELY_WHOLE:
                data += drain(fd, len(data))
        except OSError as error:
            if error.errno in GONE:
                self.forget(path)
            raise
        self._read_this_tick[path] = data
        return data

    def _try_kept(self, path: str) -> bytes | OSError:
        try:
            return self.read_kept(path)
        except OSError as error:
            return error

    def read_each_kept(self, paths: Sequence[str]) -> list[bytes | OSError]:
        """Return what read_kept() does of each, or why there is nothing: cheaper than one by one."""
        this_tick, kept = self._read_this_tick, self._kept
        if not this_tick.keys().isdisjoint(paths):
            unread = [path for path in paths if path not in this_tick]
            read = dict(zip(unread, self.read_each_kept(unread), strict=True))
            return [read[path] if path in read else this_tick[path] for path in paths]
        new = [path for path in paths if path not in kept]
        if new and self.can_keep(self._bundled + len(new)):
            self._keep(new)
        # What is not open, is gone or has more to read is left to read_kept(). A read that leaves room is whole.
        reads = map(os.pread, map(kept.get, paths, repeat(NOT_OPEN)), repeat(LITTLE), repeat(0))
        texts: list[bytes] = []
        left: list[int] = []
        while len(texts) < len(paths):
            try:
                texts.extend(reads)  # as far as it gets
            except OSError:
                left.append(len(texts))
                texts.append(b"")
        this_tick.update(zip(paths, texts, strict=True))
        if max(map(len, texts), default=0) >= LITTLE:
            left += [number for number, text in enumerate(texts) if len(text) >= LITTLE]
        found: list[bytes | OSError] = [*texts]
        for number in left:
            this_tick.pop(paths[number], None)  # which may be there twice
            found[number] = self._try_kept(paths[number])
        return found

    def _keep(self, paths: Iterable[str]) -> None:
        """Open files that will be read at every tick, those that there are."""
        for path in paths:
            if path not in self._kept:
                try:
                    self._kept[path] = self._open(path)
                except OSError:  # which reading it will tell
                    continue

    def bundle(
        self,
        files: Sequence[tuple[str, Sequence[str]]],
        more: Bundle | None = None,
        sizes: list[int] | None = None,
    ) -> tuple[Bundle, dict[str, OSError]]:
        """Open files that will be read together at every tick, `more` than before: directories, and names in each.

        Tell why some did not open, by their paths. `sizes` are for a new Bundle.
        """
        opened: list[int] = []
        failed: dict[str, OSError] = {}
        for directory, names in files:
            self._open_in(directory, names, opened, failed)
        bundle = more or Bundle(self, sizes)
        before = self._bundles.pop(bundle, 0)
        self._bundled -= before
        if bundle.is_kept and self.can_keep(self._bundled + before + len(opened)):
            count = bundle.add(opened)
        else:
            close_all(opened)
            paths = (f"{directory}/{name}" for directory, names in files for name in names)
            count = bundle.add((), [self.path(path) for path in paths if path not in failed])
        self._bundles[bundle] = count
        self._bundled += count
        return bundle, failed

    def _open_in(
        self, directory: str, names: Sequence[str], opened: list[int], failed: dict[str, OSError]
    ) -> None:
        """Open files of one directory, of many by way of itself: the kernel goes down to it once."""
        place, open_file = self.path(f"{directory}/"), os.open
        top, anchor = self._anchor(place)
        below, way = place[len(top) :], None
        if len(names) >= MANY:
            try:
                way = open_file(below or place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=anchor)
                below, anchor = "", way
            except OSError:  # of which each file will tell
                pass
        for name in names:
            try:
                opened.append(open_file(below + name, OPEN, dir_fd=anchor))
            except OSError as error:
                error.filename = place + name
                failed[f"{directory}/{name}"] = error
        if way is not None:
            os.close(way)

    def can_keep(self, files: float) -> bool:
        """Tell whether so many files in bundles can be kept open, beside the single ones that are kept now."""
        return len(self._kept) + files <= self._descriptor_limit()

    def read_ahead(self, wanted: Sequence[tuple[Bundle, Sequence[bytes]]]) -> bool:
        """Begin to read bundles of this tick by another thread; False when they have to be read one by one.

        As where not all files are kept open: those that are would be of another moment than the others. Each comes with
        what it said last. What it says now its read() returns, until end_tick().
        """
        if self._ahead is None and self._can_read_ahead:
            try:
                from inspector.kernel.ahead import ReadAhead  # noqa: PLC0415  only the exporter needs it

                self._ahead = ReadAhead()
            # Another architecture, a seccomp filter, too many such contexts on this machine; a Python without ctypes.
            except (OSError, ImportError):
                self._can_read_ahead = False
        is_kept = all(bundle.is_kept for bundle in self._bundles)
        ready = [(one.descriptors, texts) for one, texts in wanted] if is_kept else []
        return self._ahead is not None and self._ahead.begin(ready)

    def read_before(self, descriptors: list[int]) -> list[bytes] | None:
        """Return what was read ahead of a bundle with these descriptors; None where it is to be read now."""
        return self._ahead.texts(descriptors) if self._ahead is not None else None

    def read_at(self) -> tuple[float, float] | None:
        """Return when what was read ahead was read, as ReadAhead does; None where all is read when it is asked for."""
        return self._ahead.read_at() if self._ahead is not None else None

    def released(self, bundle: Bundle) -> None:
        """Take note that a bundle is about to be closed."""
        if self._ahead is not None:
            self._ahead.wait()
        self._bundled -= self._bundles.pop(bundle, 0)

    def forget(self, path: str) -> None:
        """Close the kept descriptor of one file, if there is one."""
        fd = self._kept.pop(path, None)
        if fd is not None:
            os.close(fd)
        self._read_this_tick.pop(path, None)

    def end_tick(self) -> None:
        """Close the kept files that this tick did not read, and let the next tick read anew."""
        if self._ahead is not None:
            self._ahead.end()
        for path in self._kept.keys() - self._read_this_tick.keys():
            self.forget(path)
        self._read_this_tick.clear()

    def close(self) -> None:
        """Close every kept file; the Host stays usable."""
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None
        descriptors = [*self._kept.values(), *self._anchors.values()]
        for bundle in self._bundles:
            descriptors += bundle.let_go()
        for known in (self._kept, self._anchors, self._bundles, self._read_this_tick):
            known.clear()
        self._last_anchor = "", None
        self._bundled = 0
        close_all(descriptors)

    def _descriptor_limit(self) -> int:
        """How many files may be kept open: RLIMIT_NOFILE, raised to its hard limit once, less some to spare."""
        if self._limit is None:
            import resource  # noqa: PLC0415  one look, and a container's start, keep no file

            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
                soft = hard
            except (OSError, ValueError):  # a hard limit above /proc/sys/fs/nr_open, or a seccomp filter
                pass
            self._limit = max(0, (1 << 20 if soft == resource.RLIM_INFINITY else soft) - SPARE_DESCRIPTORS)
        return self._limit
