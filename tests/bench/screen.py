"""A program on a terminal of its own, whose CPU time, memory and answers are measured."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["Screen"]

TICKS = os.sysconf("SC_CLK_TCK")
DEADLINE = 60.0


class Screen:
    """Runs a program in a pseudo-terminal; all it writes is taken, and looked through for what is waited for."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str], rows: int = 24, columns: int = 80) -> None:
        self._argv = argv
        self._size = struct.pack("HHHH", rows, columns, 0, 0)
        self._environment = {**os.environ, "TERM": "xterm-256color", **environment}
        self.pid = self._terminal = -1

    def __enter__(self) -> Self:
        self.started = time.monotonic()
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, self._size)
            os.execvpe(self._argv[0], list(self._argv), self._environment)  # noqa: S606  a shell would be measured too
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, self._size)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._terminal)

    def wait(self, text: bytes) -> float:
        """Take what it writes until `text` is among it; return the seconds this took."""
        start = time.monotonic()
        seen = b""
        while text not in seen:
            seen = seen[-200:] + self._read(DEADLINE)
            if time.monotonic() - start > DEADLINE:
                raise TimeoutError(f"{self._argv[0]} never wrote {text!r}")
        return time.monotonic() - start

    def watch(self, seconds: float) -> int:
        """Take what it writes for so long; return how many bytes that was."""
        end, count = time.monotonic() + seconds, 0
        while (left := end - time.monotonic()) > 0:
            count += len(self._read(left))
        return count

    def _read(self, seconds: float) -> bytes:
        return os.read(self._terminal, 65536) if select.select([self._terminal], [], [], seconds)[0] else b""

    def press(self, keys: bytes) -> None:
        """Type."""
        os.write(self._terminal, keys)

    @property
    def cpu_seconds(self) -> float:
        """CPU time it and the children it has waited for have used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / TICKS

    @property
    def resident_bytes(self) -> int:
        """Memory it holds."""
        return int(Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
