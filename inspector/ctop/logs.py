"""The page with what a container has said: the end of its log, and what comes. Bounded, and read only."""

from __future__ import annotations

from collections import deque

from inspector.ctop.logfiles import LogFile, find, parse_line
from inspector.kernel.host import Host
from inspector.schema import Container
from inspector.views.layout import Line
from inspector.views.text import safe

__all__ = ["Logs"]

TAIL_BYTES = 256 << 10
"""How much of the end is read at first, and at most each time."""
MOST_LINES = 5000
LONGEST_LINE = 4096
TIME_WIDTH = 19


class Logs:
    """One container's log. `has_times` shows when each line was said; `problem` why there is nothing more."""

    hint = "Esc back  Up Down End  t times  q quit"

    def __init__(self, host: Host, container: Container) -> None:
        self.name = safe(container["name"])
        self.has_times = False
        self.problem = ""
        self._host = host
        self._records: deque[tuple[str, str, str]] = deque(maxlen=MOST_LINES)
        self._offset = -TAIL_BYTES
        self._inode = 0
        self._rest = b""
        self._file = find(host, container)
        if self._file is None:
            self.problem = f"no log file is known for {self.name} ({safe(container['runtime'] or container['kind'])})"

    def heading(self) -> Line:
        """Return which file it is."""
        path = safe(self._file.path) if self._file else ""
        return [(f"log of {self.name}", "title"), (f"  {path}", "dim"), (f"  {self.problem}", "warn")]

    def lines(self) -> list[Line]:
        """Return what is known, the newest last."""
        if not self._records:
            return [[("nothing has been said yet" if not self.problem else self.problem, "dim")]]
        return [self._line(*record) for record in self._records]

    def _line(self, time: str, stream: str, text: str) -> Line:
        when = [(f"{safe(time[:TIME_WIDTH]):{TIME_WIDTH}} ", "dim")] if self.has_times else []
        return [*when, (text, "warn" if stream == "stderr" else "")]

    def read_on(self) -> bool:
        """Read what has come since; tell whether there is anything new."""
        if self._file is None:
            return False
        try:
            return self._read(self._file)
        except FileNotFoundError:
            news = not self.problem
            self.problem = "the file is gone"
        except OSError as error:
            news = not self.problem
            self.problem = (error.strerror or "cannot be read").lower()
        return news

    def _read(self, file: LogFile) -> bool:
        data, entry = self._host.read_inside_from(file.store, file.relative, self._offset, TAIL_BYTES)
        if self._offset >= 0 and (entry.inode != self._inode or entry.size < self._offset):
            # Rotated: the new one from its beginning.
            self._offset, self._rest = 0, b""
            data, entry = self._host.read_inside_from(file.store, file.relative, 0, TAIL_BYTES)
        elif self._offset < 0:
            self._offset, self._rest = max(entry.size - TAIL_BYTES, 0), b""
            if self._offset > 0:  # from the middle of a line
                cut = data.find(b"\n") + 1
                self._offset, data = self._offset + cut, data[cut:]
        self._inode, self.problem = entry.inode, ""
        self._offset += len(data)
        if entry.size - self._offset > TAIL_BYTES:  # it says more than can be read: on with its end
            self._offset = -TAIL_BYTES
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > TAIL_BYTES:
            lines, self._rest = [*lines, self._rest], b""
        for line in lines:
            time, stream, text = parse_line(file.form, line.decode(errors="surrogateescape"))
            self._records.append((time, stream, safe(text[:LONGEST_LINE].expandtabs())))
        return bool(lines)
