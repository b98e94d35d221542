"""Writes to a descriptor without ever waiting: what it does not take at once is kept, and goes out when it can.

Nothing is lost while the reader lives; who fills an outlet looks at `full` and
stops reading its own source until `drained` is called.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable

from sandbox.loop import Loop

__all__ = ["LIMIT", "Outlet"]

LIMIT = 1 << 20
GONE = (errno.EPIPE, errno.EIO, errno.ECONNRESET, errno.ENOTCONN, errno.EBADF)


class Outlet:
    """A queue before a descriptor that does not block; `watch` tells the loop whether we wait to write.

    A socket of datagrams gets each write() as one; a pipe or a terminal may get them in pieces.
    """

    def __init__(self, loop: Loop, fd: int, drained: Callable[[], object], broken: Callable[[], object]) -> None:
        self._loop, self.fd = loop, fd
        self._drained, self._broken = drained, broken
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._read: Callable[[], object] | None = None
        self._end = False
        self.closed = False
        os.set_blocking(fd, False)

    @property
    def full(self) -> bool:
        """Tell whether more is waiting than should be."""
        return self._size > LIMIT

    @property
    def empty(self) -> bool:
        """Tell whether everything has gone out."""
        return not self._waiting

    def read_with(self, function: Callable[[], object] | None) -> None:
        """Have the loop call a function when the same descriptor can be read."""
        self._read = function
        self._tell_loop()

    def write(self, data: bytes) -> None:
        """Send, now or later."""
        if self.closed or self._end or not data:
            return
        self._waiting.append(data)
        self._size += len(data)
        if len(self._waiting) == 1:
            self._flush()

    def end(self) -> None:
        """Close the descriptor when everything has gone out."""
        self._end = True
        if self.empty:
            self.close()

    def close(self) -> None:
        """Close the descriptor now."""
        if not self.closed:
            self.closed = True
            self._waiting.clear()
            self._size = 0
            self._loop.unwatch(self.fd)
            os.close(self.fd)

    def _flush(self) -> None:
        was_full = self.full
        while self._waiting and not self.closed:
            data = self._waiting[0]
            try:
                count = os.write(self.fd, data)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno not in GONE:
                    raise
                self._lose()
                return
            self._size -= count
            self._waiting.popleft()
            if count < len(data):
                self._waiting.appendleft(data[count:])
        if self._end and self.empty:
            self.close()
        else:
            self._tell_loop()
        if was_full and not self.full:
            self._drained()

    def _lose(self) -> None:
        """Give up writing to who is gone; what was said before that is still read, up to its end."""
        if self._read is None:
            self.close()
            self._broken()
            return
        self._waiting.clear()
        self._size = 0
        self._end = True
        self._tell_loop()

    def _tell_loop(self) -> None:
        if not self.closed:
            self._loop.watch(self.fd, self._read, self._flush if self._waiting else None)
