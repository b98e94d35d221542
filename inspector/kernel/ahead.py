"""Kept files that are read on another CPU while Python does something else, and handed out when they are asked for.

All of them, however late they come: what one says belongs to the same moment as what another does.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from operator import ge, is_

from inspector.kernel.aio import Context, Reads
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
MOST = 4096  # bytes: where a file says more, others of its name would be given as much room in vain


class Room(NamedTuple):
    """Where in the room of a bundle that of each file begins, and how large it is; the same for all of so many files.

    `end` is where the last one's ends.
    """

    starts: tuple[int, ...]
    sizes: tuple[int, ...]
    end: int


class Place(NamedTuple):
    """A bundle among those that are read: the number of its first file, where its room begins, and what that is."""

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
        self._reads: Reads | None = None
        self._is_unfit = False
        self._is_tight = False  # some had more to say than there was room for
        self._reading: Future[array[int]] | None = None

    def begin(self, wanted: Sequence[Wanted]) -> bool:
        """Begin to read; False when that are too few."""
        self.end()
        lists = [descriptors for descriptors, _ in wanted]
        if self._is_tight or len(lists) != len(self._wanted) or not all(map(is_, lists, self._wanted)):
            self._arrange(wanted)
        if self._reads is None or self._is_unfit:
            return False
        try:
            self._reading = self._thread.submit(self._context.read, self._reads, len(self._reads))
        except RuntimeError:  # no thread can be started
            self._is_unfit = True
        return not self._is_unfit

    def _arrange(self, wanted: Sequence[Wanted]) -> None:
        self._wanted, self._places, self._reads = [descriptors for descriptors, _ in wanted], {}, None
        self._is_tight = False
        # Of a cgroup of which nothing can be kept open (RLIMIT_NOFILE) there is nothing to read ahead.
        fit = [one for one in wanted if one[0] and len(one[1]) >= len(one[0]) and max(map(len, one[1])) <= MOST]
        numbers = [number for descriptors, _ in fit for number in descriptors]
        if len(numbers) < WORTH_IT:
            return
        alike: dict[int, list[Sequence[bytes]]] = {}  # by the number of files
        for descriptors, texts in fit:
            alike.setdefault(len(descriptors), []).append(texts)
        rooms = {count: _room(count, texts) for count, texts in alike.items()}
        sizes: list[int] = []
        start = 0
        for descriptors, _ in fit:
            room = rooms[len(descriptors)]
            self._places[id(descriptors)] = Place(len(sizes), start, room)
            sizes += room.sizes
            start += room.end
        self._reads = Reads(numbers, sizes)
        self._is_unfit = self._is_unfit or self._context.read(self._reads, 1)[0] in UNFIT

    def texts(self, descriptors: list[int]) -> list[bytes] | None:
        """Return what these have said; None where they were not read, or one refuses or has more to say."""
        place, reading, reads = self._places.get(id(descriptors)), self._reading, self._reads
        if place is None or reading is None or reads is None:
            return None
        first, start, room = place
        if reading.exception() is not None:
            return None
        lengths = reading.result()[first : first + len(room.sizes)]
        if min(lengths) < 0:
            return None
        if any(map(ge, lengths, room.sizes)):
            self._is_tight = True
            return None
        said = bytes(memoryview(reads.buffer)[start : start + room.end])
        return [said[at : at + length] for at, length in zip(room.starts, lengths, strict=True)]

    def wait(self) -> None:
        """Wait until nothing is being read: before a descriptor is closed."""
        if self._reading is not None:
            self._reading.exception()

    def end(self) -> None:
        """Forget what was read."""
        self.wait()
        self._reading = None

    def close(self) -> None:
        """End for good."""
        self.end()
        self._thread.shutdown()
        self._context.close()


def _room(count: int, texts: Sequence[Sequence[bytes]]) -> Room:
    """Return room for each of so many files, by the longest text of its place."""
    longest = [max(map(len, column)) for column in zip(*(text[:count] for text in texts), strict=True)]
    sizes = tuple([length + length // 8 + SPARE for length in longest])
    *starts, end = accumulate(sizes, initial=0)
    return Room(tuple(starts), sizes, end)
