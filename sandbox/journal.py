"""Reads the journal that events.py writes: its lines as they come, those that are events.

It lies in the state directory, and whatever lies there in its place is refused: a
FIFO is not waited at, and nothing is read that is larger than a journal can become.
"""

from __future__ import annotations

import math
import os
import stat
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO

from sandbox.contexts import suppress
from sandbox.errors import SandboxError
from sandbox.events import FILE, Event
from sandbox.quick import loads

__all__ = ["follow", "whole_lines"]

# The last line of a file of events.LARGEST may be a long one.
READABLE = 64 << 20
POLL_SECONDS = 0.1
LATEST_NS = 1 << 63


def follow(
    root: str,
    since: float,
    until: float | None,
    wait: Callable[[float], None] = time.sleep,
    odd: Callable[[str], None] = lambda _: None,
) -> Iterator[Event]:
    """Yield events from `since` on (seconds since 1970), the oldest first; SandboxError where no journal can be read.

    Ends at `until`; without it goes on as long as it is asked. A line that is no event is left out, and `odd` is told
    of the first.
    """
    path = f"{root}/{FILE}"
    chosen = _Chosen(since, until, odd)
    with suppress(FileNotFoundError), _readable(f"{path}.1") as older:
        yield from chosen.of(older)
    file = None
    try:
        while True:
            # The time first: what is written after it is not missed by the last look.
            over = until is not None and time.time() >= until
            if file is None:
                with suppress(FileNotFoundError):
                    file = _readable(path)
            if file is not None:
                yield from chosen.of(file)
                with suppress(FileNotFoundError):
                    if os.fstat(file.fileno()).st_ino != os.stat(path).st_ino:
                        yield from chosen.of(file)  # what came between the two looks
                        file.close()
                        file = None
                        continue
            if over:
                return
            wait(POLL_SECONDS)
    finally:
        if file is not None:
            file.close()


def _readable(path: str) -> BinaryIO:
    """Open one of the two files; SandboxError for anything else that is there."""
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))  # noqa: SIM115  its caller closes it
    found = os.fstat(file.fileno())
    if stat.S_ISREG(found.st_mode) and found.st_size <= READABLE:
        return file
    file.close()
    raise SandboxError(f"{path}: no journal: not a plain file of at most {READABLE >> 20} MiB", 1)


def whole_lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines from where the file is; one that is not whole yet is left for the next time."""
    while True:
        position = file.tell()
        line = file.readline()
        if not line.endswith(b"\n"):
            file.seek(position)
            return
        yield line


class _Chosen:
    """The events of a time; `odd` is told of the first line that is none."""

    def __init__(self, since: float, until: float | None, odd: Callable[[str], None]) -> None:
        self._since, self._until, self._odd = since, math.inf if until is None else until, odd
        self._told = False

    def of(self, file: BinaryIO) -> Iterator[Event]:
        """Yield those that a file has from where it is."""
        for line in whole_lines(file):
            event = _event(line)
            if event is None:
                if not self._told:
                    self._told = True
                    self._odd(f"{file.name}: a line that is no event is left out")
            elif self._since <= event["timeNano"] / 1e9 <= self._until:
                yield event


def _event(line: bytes) -> Event | None:
    """Return the event of a line; None for one that lacks what each has, or has it in another form."""
    try:
        found = loads(line)
        actor, when = found["Actor"], (found["time"], found["timeNano"])
        texts = (found["Type"], found["Action"], found["scope"], actor["ID"], *actor["Attributes"].values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    # A year that no calendar has would end the look, too.
    whole = all(type(text) is str for text in texts) and all(type(number) is int for number in when)
    return found if whole and 0 <= when[1] < LATEST_NS else None
