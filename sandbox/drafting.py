"""A container's next document, written beside the one it has while there is nothing else to do; a rename is left.

What was changed meanwhile counts: then the draft is none, and its maker changes the document as it is by then.
Until keep() it is in memory alone: most containers that are removed at their end are gone before it would be written.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable

from sandbox.atomic import write_document
from sandbox.contexts import suppress
from sandbox.state import Document, Store, hold
from sandbox.syscalls import exchange

__all__ = ["KEEP_SECONDS", "Draft", "keep"]

# The time of the start that it tells, is so much too early at most.
STALE_SECONDS = 0.05
# So long after its start a container is recorded on the disk: a machine that loses its power leaves no empty document.
KEEP_SECONDS = 0.2


class Draft:
    """What a container's document is to be, in a file of its own, which goes with the container's directory."""

    def __init__(self, store: Store, container: str, change: Callable[[Document], None]) -> None:
        self._directory, self._begun = store.directory(container), time.monotonic()
        self._path = f"{self._directory}/state.json"
        # Kept open: as long as it is, its number is no other file's.
        self._base = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            text = store.load(container)
            change(text)
            write_document(f"{self._path}.draft", text)
        except BaseException:
            os.close(self._base)
            raise

    def save(self) -> bool:
        """Put it in place of the document; False where that is another one by now, or the draft too old."""
        try:
            held = hold(self._directory, fcntl.LOCK_EX)
            return held is not None and self._replace(held)
        finally:
            os.close(self._base)

    def _replace(self, held: int) -> bool:
        try:
            if self._changed() or time.monotonic() - self._begun > STALE_SECONDS:
                os.unlink(f"{self._path}.draft")
                return False
            # What takes another's place, ext4 writes to the disk at once, and removing it waits for that: 0.4 ms.
            if exchange(f"{self._path}.draft", self._path):
                os.unlink(f"{self._path}.draft")
            else:
                os.replace(f"{self._path}.draft", self._path)
            return True
        finally:
            fcntl.flock(held, fcntl.LOCK_UN)
            os.close(held)

    def _changed(self) -> bool:
        try:
            now, then = os.stat(self._path), os.fstat(self._base)
        except FileNotFoundError:
            return True
        return (now.st_ino, now.st_mtime_ns, now.st_size) != (then.st_ino, then.st_mtime_ns, then.st_size)


def keep(store: Store, container: str) -> None:
    """Have a container's document on the disk; none that is gone."""
    with suppress(OSError):
        fd = os.open(f"{store.directory(container)}/state.json", os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fdatasync(fd)
        finally:
            os.close(fd)
