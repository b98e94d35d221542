"""Keeps what a container says: one JSON record a line, {"log": ..., "stream": ..., "time": ...}, as Docker's json-file.

Bytes that are not UTF-8 are surrogate escapes, so that reading gives back
exactly what was written. A log that has grown to `max-size` becomes log.1,
log.1 becomes log.2, and so on; `max-file` of them are kept.
"""

from __future__ import annotations

import os
import time

from sandbox.contexts import suppress
from sandbox.errors import SandboxError
from sandbox.quick import dumps
from sandbox.times import timestamp

__all__ = ["LONGEST_LINE", "Log", "check_options", "options"]

LONGEST_LINE = 16384
DIGITS = 19  # no file is larger
SCALE = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def options(given: dict[str, str]) -> tuple[int, int]:
    """Return the bytes of one file (0: any number, of which there is one) and how many files `--log-opt` means."""
    text = given.get("max-size", "-1").lower()
    if text == "-1":
        size = 0
    else:
        number = text.removesuffix("b").rstrip("kmg")
        unit = text.removesuffix("b")[len(number) :]
        if not _is_number(number) or unit not in SCALE or not int(number):
            raise SandboxError(f"invalid value for 'max-size': {given['max-size']!r}")
        size = int(number) * SCALE[unit]
    count = given.get("max-file", "1")
    if not _is_number(count) or not int(count):
        raise SandboxError(f"invalid value for 'max-file': {count!r}: at least 1")
    return size, int(count)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= DIGITS


def check_options(driver: str, given: dict[str, str]) -> None:
    """Refuse what `--log-driver` and `--log-opt` cannot mean here."""
    if driver not in ("json-file", "none"):
        raise SandboxError(f"invalid log driver {driver!r}: json-file or none")
    unknown = sorted(given.keys() - ({"max-size", "max-file", "labels", "env"} if driver == "json-file" else set()))
    if unknown:
        raise SandboxError(f"unknown log opt {unknown[0]!r} for {driver} log driver")
    options(given)


class Log:
    """A container's output, being written."""

    def __init__(self, path: str, size: int = 0, count: int = 1) -> None:
        self._path, self._most, self._count = path, size, count
        self._open()
        self._pending: dict[str, bytes] = {}

    def _open(self) -> None:
        self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._fd).st_size

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
        for record in records:
            text = dumps({"log": record.decode(errors="surrogateescape"), "stream": stream, "time": now})
            self._append(text.encode() + b"\n")

    def _append(self, data: bytes) -> None:
        """Add one record; a full disk does not stop the container, and leaves no half a record."""
        with suppress(OSError):
            if self._most and self._size and self._size + len(data) > self._most:
                self._rotate()
            written = os.write(self._fd, data)
            if written < len(data):
                os.ftruncate(self._fd, self._size)
            else:
                self._size += written

    def _rotate(self) -> None:
        for number in range(self._count - 1, 1, -1):
            with suppress(FileNotFoundError):
                os.replace(f"{self._path}.{number - 1}", f"{self._path}.{number}")
        if self._count > 1:
            os.replace(self._path, f"{self._path}.1")
        else:
            os.unlink(self._path)
        os.close(self._fd)
        self._open()
