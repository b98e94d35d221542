"""Keeps what a container says: one JSON record a line, {"log": ..., "stream": ..., "time": ...}, as Docker's json-file.

Bytes that are not UTF-8 are surrogate escapes, so that reading gives back exactly what was written.
"""

from __future__ import annotations

import contextlib
import json
import os
import time

from sandbox import terminal
from sandbox.document import timestamp

__all__ = ["LONGEST_LINE", "Log"]

LONGEST_LINE = 16384


class Log:
    """A container's output, being written."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._pending: dict[str, bytes] = {}

    def write(self, stream: str, data: bytes) -> None:
        """Record output; what is not a whole line yet waits for its end, 16 KiB at most."""
        *lines, rest = (self._pending.pop(stream, b"") + data).split(b"\n")
        records = [line + b"\n" for line in lines]
        while len(rest) >= LONGEST_LINE:
            records.append(rest[:LONGEST_LINE])
            rest = rest[LONGEST_LINE:]
        if rest:
            self._pending[stream] = rest
        self._record(stream, records)

    def close(self, stream: str) -> None:
        """Record what a stream ended with."""
        rest = self._pending.pop(stream, b"")
        self._record(stream, [rest] if rest else [])

    def _record(self, stream: str, records: list[bytes]) -> None:
        now = timestamp(time.time())
        text = "".join(
            json.dumps({"log": record.decode(errors="surrogateescape"), "stream": stream, "time": now}) + "\n"
            for record in records
        )
        with contextlib.suppress(OSError):  # a full disk does not stop the container
            terminal.write_all(self._fd, text.encode())
