"""Descriptors: files that are read together at every tick, and closing many at once."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence
from itertools import repeat
from operator import ge

from inspector.kernel.files import CHUNK, OPEN, drain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from inspector.kernel.host import Host

__all__ = ["LITTLE", "Bundle", "close_all"]

LITTLE = 470  # bytes, which Python has from a pool of its own without asking for memory: enough of most control files


class Bundle:
    """Files that are read together at every tick; made by Host.bundle(), and more of them added there.

    Kept open, their reading costs one pread(2) each. Only for files of a single
    record, as a cgroup's control files are: a read that leaves room is whole.

    `sizes`, of each file how much is asked for, may be one list for all bundles of files that are called the same:
    where one of them turns out to be long, it is in the others too.
    """

    __slots__ = ("_descriptors", "_host", "_places", "_sizes")

    def __init__(self, host: Host, sizes: list[int] | None = None) -> None:
        self._host = host
        self._descriptors: list[int] | None = []  # None once closed
        self._sizes: list[int] = [] if sizes is None else sizes
        self._places: list[str] = []  # where those are that are not kept open: behind the others

    @property
    def is_kept(self) -> bool:
        """True while all of them are kept open."""
        return not self._places

    @property
    def descriptors(self) -> list[int]:
        """Those that are kept open; another list when there are more."""
        assert self._descriptors is not None  # noqa: S101  for the type checker
        return self._descriptors

    def add(self, descriptors: Iterable[int], places: Iterable[str] = ()) -> int:
        """Take more files, kept open or not; return how many are."""
        self._descriptors = [*(self._descriptors or ()), *descriptors]
        self._sizes += [LITTLE] * (len(self._descriptors) - len(self._sizes))
        self._places += places
        return len(self._descriptors)

    def read(self, numbers: tuple[int, ...] | None = None, *, before: Sequence[bytes] = ()) -> list[bytes]:
        """Return what each says now, or those with these numbers alone; no number is of a file that is not kept open.

        `before` is what was returned last: what says the same is known to be whole. OSError of the first that fails,
        ENODEV when its cgroup is gone.
        """
        if self._descriptors is None:
            raise OSError(errno.ENODEV, "closed")
        texts = self._host.read_before(self._descriptors) if numbers is None else None
        if texts is None:
            texts = self._read_kept(numbers, before)
        if self._places and numbers is None:
            texts += map(_read_once, self._places)
        return texts

    def _read_kept(self, numbers: tuple[int, ...] | None, before: Sequence[bytes]) -> list[bytes]:
        kept, sizes = self._descriptors or [], self._sizes
        if numbers is not None:
            kept, sizes = [kept[number] for number in numbers], [sizes[number] for number in numbers]
        texts = list(map(os.pread, kept, sizes, repeat(0)))
        if texts != before and any(map(ge, map(len, texts), sizes)):
            texts = [
                self._whole(place if numbers is None else numbers[place]) if len(text) >= size else text
                for place, (text, size) in enumerate(zip(texts, sizes, strict=False))
            ]
        return texts

    def _whole(self, number: int) -> bytes:
        """Return a kept file that is longer than what was asked for, as it will be again."""
        assert self._descriptors is not None  # noqa: S101  for the type checker
        fd = self._descriptors[number]
        text = os.pread(fd, CHUNK, 0)
        if len(text) >= CHUNK:
            text += drain(fd, CHUNK)
        self._sizes[number] = max(self._sizes[number], (len(text) // CHUNK + 1) * CHUNK)
        return text

    def inode(self, number: int) -> int:
        """Return the inode of one of them, by its number among those that opened."""
        return os.stat(self._where(number)).st_ino

    def _where(self, number: int) -> int | str:
        kept = self._descriptors or ()
        return kept[number] if number < len(kept) else self._places[number - len(kept)]

    def close(self) -> None:
        """Close them; twice is once."""
        self._host.released(self)
        close_all(self.let_go())

    def let_go(self) -> list[int]:
        """Return what is to be closed, for somebody else to do so."""
        left, self._descriptors = self._descriptors or [], None
        return left


def _read_once(place: str) -> bytes:
    """Open, read and close a file of a single record."""
    fd = os.open(place, OPEN)
    try:
        text = os.read(fd, CHUNK)
        return text if len(text) < CHUNK else text + drain(fd)
    finally:
        os.close(fd)


def close_all(descriptors: list[int]) -> None:
    """Close descriptors and empty their list: those that follow one another by one close_range(2)."""
    descriptors.sort()
    while descriptors:
        last = descriptors.pop()
        first = last
        while descriptors and descriptors[-1] == first - 1:
            first = descriptors.pop()
        os.closerange(first, last + 1)
