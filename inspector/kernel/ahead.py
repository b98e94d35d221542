"""Kept files that are read on another CPU while Python does something else, and handed out when they are asked for.

All of them, however late they come: what one says belongs to the same moment as what another does. They come in parts,
so that of the first ones sense can be made while the last ones are read.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from operator import ge, is_

from inspector.kernel.aio import AT_ONCE, Context, Reads
from inspector.kernel.named import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from concurrent.futures import Future

    # The descriptors of a bundle, and what those files said last.
    Wanted = tuple[list[int], Sequence[bytes]]

__all__ = ["ReadAhead"]

WORTH_IT = 500  # files: of fewer, waking a thread and sharing out what it has read takes as long as reading them
SPARE = 16  # bytes more than a file said last, and an eighth: counters grow
# With which a read is refused before Linux 5.10, which cannot read control files so, and by a seccomp filter.
UNFIT = -errno.EINVAL, -errno.EPERM, -errno.ENOSYS
LONG = 4096  # bytes: where one says more, those that do not are given no room for as much


class Room(NamedTuple):
    """Where in the room of a bundle that of each file begins, and how large it is; the same for all of so many files.

    `end` is where the last one's ends.
    """

    starts: tuple[int, ...]
    sizes: tuple[int, ...]
    end: int


class Place(NamedTuple):
    """A bundle among those that are read: in which part, the number of its first file there, where its room begins."""

    part: int
    first: int
    start: int
    room: Room


class ReadAhead:
    """Reads files of bundles by a thread of its own; one thread at a time uses it. OSError where the kernel cannot."""

    def __init__(self) -> None:
        if len(os.sched_getaffinity(0)) < 2:  # noqa: PLR2004
            raise OSError(errno.ENOSYS, "there is no other CPU")
        self._context = Context()
        self._thread = ThreadPoolExecutor(1, "read-ahead")
        self._wanted: list[list[int]] = []
        self._places: dict[int, Place] = {}  # by the id() of a list of descriptors, all of which `wanted` keeps
        self._parts: list[Reads] = []
        self._is_unfit = False
        self._is_tight = False  # some had more to say than there was room for
        self._reading: list[Future[array[int]]] = []  # one for each part
        self._read_parts: dict[int, array[int] | None] = {}  # of those that were asked for; None: it could not be read
        self._begun = 0.0, 0.0  # when that thread began to read: of Unix, and of the monotonic clock

    def begin(self, wanted: Sequence[Wanted]) -> bool:
        """Begin to read; False when that are too few."""
        self.end()
        lists = [descriptors for descriptors, _ in wanted]
        if self._is_tight or len(lists) != len(self._wanted) or not all(map(is_, lists, self._wanted)):
            self._arrange(wanted)
        if not self._parts or self._is_unfit:
            return False
        try:
            self._reading = [self._thread.submit(self._read, part) for part in self._parts]
        except RuntimeError:  # no thread can be started
            self._is_unfit = True
        return not self._is_unfit

    def _read(self, part: Reads) -> array[int]:
        if part is self._parts[0]:
            self._begun = time.time(), time.monotonic()
        return self._context.read(part)

    def _arrange(self, wanted: Sequence[Wanted]) -> None:
        self._wanted, self._places, self._parts = [descriptors for descriptors, _ in wanted], {}, []
        self._is_tight = False
        if sum(map(len, self._wanted)) < WORTH_IT:
            return
        # By the number of files, and how long the longest is.
        kinds = [(len(descriptors), max(map(len, texts)) // LONG) for descriptors, texts in wanted]
        alike: dict[tuple[int, int], list[Sequence[bytes]]] = {}
        for kind, (_, texts) in zip(kinds, wanted, strict=True):
            alike.setdefault(kind, []).append(texts)
        rooms = {kind: _room(kind[0], texts) for kind, texts in alike.items()}
        numbers: list[int] = []
        sizes: list[int] = []
        start = 0
        for kind, descriptors in zip(kinds, self._wanted, strict=True):
            if len(numbers) + len(descriptors) > AT_ONCE and numbers:
                self._parts.append(Reads(numbers, sizes))
                numbers, sizes, start = [], [], 0
            room = rooms[kind]
            self._places[id(descriptors)] = Place(len(self._parts), len(numbers), start, room)
            numbers += descriptors
            sizes += room.sizes
            start += room.end
        self._parts.append(Reads(numbers, sizes))
        self._is_unfit = self._is_unfit or self._context.read(Reads(numbers[:1], sizes[:1]))[0] in UNFIT

    def texts(self, descriptors: list[int]) -> list[bytes] | None:
        """Return what these have said; None where they were not read, or one refuses or has more to say."""
        place = self._places.get(id(descriptors))
        if place is None or not self._reading:
            return None
        part, first, start, room = place
        if part not in self._read_parts:
            failed = self._reading[part].exception() is not None  # when it has been read
            self._read_parts[part] = None if failed else self._reading[part].result()
        read = self._read_parts[part]
        if read is None or min(lengths := read[first : first + len(room.sizes)]) < 0:
            return None
        if any(map(ge, lengths, room.sizes)):
            self._is_tight = True
            return None
        said = bytes(memoryview(self._parts[part].buffer)[start : start + room.end])
        return [said[at : at + length] for at, length in zip(room.starts, lengths, strict=True)]

    def read_at(self) -> tuple[float, float] | None:
        """Return when all this was read, by the clocks of Unix and of monotonic time; None where nothing was."""
        failed = any(part.exception() is not None for part in self._reading)
        return self._begun if self._reading and not failed else None

    def wait(self) -> None:
        """Wait until nothing is being read: before a descriptor is closed."""
        for part in self._reading:
            part.exception()

    def end(self) -> None:
        """Forget what was read."""
        self.wait()
        self._reading = []
        self._read_parts.clear()

    def close(self) -> None:
        """End for good."""
        self._thread.shutdown()  # when it has read what it reads
        self._context.close()


def _room(count: int, texts: Sequence[Sequence[bytes]]) -> Room:
    """Return room for each of so many files, by the longest text of its place."""
    longest = [max(map(len, column)) for column in zip(*(text[:count] for text in texts), strict=True)]
    sizes = tuple([length + length // 8 + SPARE for length in longest])
    *starts, end = accumulate(sizes, initial=0)
    return Room(tuple(starts), sizes, end)
