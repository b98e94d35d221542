"""`sandbox logs`: the records of a container, its own streams on ours."""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from typing import BinaryIO
from urllib.parse import quote

from sandbox import terminal
from sandbox.commands.output import warn
from sandbox.errors import NobodyReads, NoSuchContainer, SandboxError
from sandbox.journal import whole_lines
from sandbox.liveness import has_monitor
from sandbox.state import Document, Store
from sandbox.times import seconds_of
from sandbox.value import Value

__all__ = ["Shown", "show"]

POLL_SECONDS = 0.1
STREAMS = {"stdout": 1, "stderr": 2}


class Shown(Value):
    """What of a log is shown: the last `tail` records, of a time (seconds since 1970), with or without their times."""

    follow: bool = False
    tail: int | None = None
    timestamps: bool = False
    details: bool = False
    since: float = 0.0
    until: float | None = None

    def wants(self, record: Document) -> bool:
        """Tell whether a record is of that time."""
        if not self.since and self.until is None:
            return True
        try:
            said = seconds_of(record["time"])
        except ValueError:
            return False
        return self.since <= said and (self.until is None or said <= self.until)

    @property
    def is_over(self) -> bool:
        """Tell whether nothing can come any more that is to be shown."""
        return self.until is not None and time.time() > self.until


def show(store: Store, name: str, shown: Shown) -> int:
    """Write a container's records to the streams they came from; returns 0."""
    text = store.find(name)
    path = text["LogPath"]
    if not path:
        raise SandboxError("configured logging driver does not support reading", 1)
    # Of one in the background the file may be about to be made: its monitor has just begun.
    if not os.path.exists(path) and text["State"]["Running"] and text["HostConfig"]["AutoRemove"]:
        raise SandboxError(f"container {name} is run with --rm in the foreground: its output is not kept", 1)
    reader = _Reader(path)
    details = _details(text) if shown.details else ""
    try:
        records = (record for record in reader.records() if shown.wants(record))
        for record in records if shown.tail is None else deque(records, maxlen=shown.tail):
            _write(record, details, timestamps=shown.timestamps)
        while shown.follow:
            # Looked at before the file is: what it said last is there once it has ended.
            over = shown.is_over or _ended(store, text["Id"])
            for record in reader.records():
                if shown.wants(record):
                    _write(record, details, timestamps=shown.timestamps)
            if over:
                break
            time.sleep(POLL_SECONDS)
    finally:
        reader.close()
    return 0


class _Reader:
    """Reads a log that is being written, and goes on in the next files when it has been rotated, however often."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._files: list[BinaryIO] = []  # the oldest first
        self._told = False

    def records(self) -> Iterator[Document]:
        """Yield the records that are there and were not yielded yet."""
        self._files = self._files or self._after(None)
        while self._files:
            yield from self._whole(self._files[0])
            if len(self._files) == 1:
                self._files += self._after(self._files[0])
                if len(self._files) == 1:
                    return
            yield from self._whole(self._files[0])  # what came between the two looks
            self._files.pop(0).close()

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            file.close()

    def _after(self, last: BinaryIO | None) -> list[BinaryIO]:
        """Open what was begun after a file, or all there is; the newest first, as a rotation renames the other way."""
        found: list[BinaryIO] = []
        for number in itertools.count():
            try:
                file = open(f"{self._path}.{number}" if number else self._path, "rb")  # noqa: SIM115  close() does
            except FileNotFoundError:
                if number:
                    break
                continue  # it is just being rotated
            if last is not None and _is_same(file, last):
                file.close()
                break
            if found and _is_same(file, found[-1]):
                file.close()
            else:
                found.append(file)
        return found[::-1]

    def _whole(self, file: BinaryIO) -> Iterator[Document]:
        """Yield the whole records from where the file is; of a line that is none it is told once."""
        for line in whole_lines(file):
            record = _record(line)
            if record is not None:
                yield record
            elif not self._told:
                self._told = True
                warn(f"{file.name}: a line that is no record is left out")


def _is_same(one: BinaryIO, other: BinaryIO) -> bool:
    return os.path.samestat(os.fstat(one.fileno()), os.fstat(other.fileno()))


def _record(line: bytes) -> Document | None:
    """Return the record of a line; what a machine that lost its power left before it in zeros is none of it."""
    try:
        found = json.loads(line.lstrip(b"\0"))
        texts = (found["log"], found["stream"], found["time"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if all(type(text) is str for text in texts) else None


def _details(text: Document) -> str:
    """Return what stands before each record, as Docker has it: the labels and variables that the log options name."""
    options, config = text["HostConfig"]["LogConfig"]["Config"], text["Config"]
    known = {"labels": config["Labels"], "env": dict(item.split("=", 1) for item in config["Env"])}
    chosen = {name: found[name] for key, found in known.items() for name in options.get(key, "").split(",")
              if name in found}  # fmt: skip
    return ",".join(f"{quote(name)}={quote(chosen[name])}" for name in sorted(chosen)) + " "


def _write(record: Document, details: str, *, timestamps: bool) -> None:
    data = (details + record["log"]).encode(errors="surrogateescape")
    if timestamps:
        data = record["time"].encode() + b" " + data
    try:
        sys.stdout.flush()
        terminal.write_whole(STREAMS.get(record["stream"], 1), data)
    except BrokenPipeError:
        raise NobodyReads from None


def _ended(store: Store, name: str) -> bool:
    try:
        text = store.load(name)
    except NoSuchContainer:
        return True
    return not text["State"]["Running"] or not has_monitor(text)
