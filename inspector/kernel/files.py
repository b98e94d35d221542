"""Reads the kernel files of the machine we run on, whole: all that a start of the sandbox needs to read.

Other roots, listing and following are a Reader's (reader.py), which takes as
long to import as the sandbox takes to read what it needs.
"""

from __future__ import annotations

import errno
import os

__all__ = ["CHUNK", "OPEN", "SURELY_WHOLE", "Files", "drain"]

CHUNK = 16384
# A seq_file of many records (cgroup.procs) hands out a page at a time; a read
# this far below a page has met the end, so no second read is needed to see it.
SURELY_WHOLE = 2048
MOST_BYTES = 64 << 20  # no kernel file is longer: mountinfo of 100,000 mounts has 20 MB
# What stands below another root than "/" may be anything: a FIFO is not waited for, no terminal becomes ours.
OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Files:
    """The kernel files of the machine we run on. Every method raises the OSError of its system call unchanged."""

    @property
    def viewer(self) -> str:
        """The process whose mounts are this machine's: we ourselves."""
        return "self"

    def _open(self, path: str) -> int:
        return os.open(path, OPEN)

    def read(self, path: str) -> bytes:
        """Return the whole content of a file.

        Not for mountinfo, whose lines may be longer than what SURELY_WHOLE leaves: see read_long_lines.
        """
        fd = self._open(path)
        try:
            data = os.read(fd, CHUNK)
            return data if len(data) < SURELY_WHOLE else data + drain(fd)
        finally:
            os.close(fd)

    def read_long_lines(self, path: str) -> bytes:
        """Return the whole content of a file where a read may end early: before a line that did not fit."""
        fd = self._open(path)
        try:
            return drain(fd)
        finally:
            os.close(fd)


def drain(fd: int, offset: int | None = None) -> bytes:
    """Read to the end, from `offset` on or from where the descriptor stands; EFBIG for what has none (a device)."""
    parts: list[bytes] = []
    left = MOST_BYTES
    while part := os.read(fd, CHUNK) if offset is None else os.pread(fd, CHUNK, offset):
        parts.append(part)
        left -= len(part)
        if left < 0:
            raise OSError(errno.EFBIG, "longer than any kernel file", os.readlink(f"/proc/self/fd/{fd}"))
        if offset is not None:
            offset += len(part)
    return b"".join(parts)
