"""`sandbox logs`: the records of a container, its own streams on ours."""

from __future__ import annotations

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
from sandbox.log_file import files
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
    """Reads a log that is being written, and goes on in the next file when it has been rotated."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._older = files(path)[:-1]
        self._told = False

    def records(self) -> Iterator[Document]:
        """Yield the records that are there and were not yielded yet."""
        while self._older:
            with open(self._older.pop(0), "rb") as older:
                yield from self._whole(older)
        while (file := self._open()) is not None:
            yield from self._whole(file)
            if not self._is_rotated(file):
                return
            yield from self._whole(file)  # what came between the two looks
            self.close()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> BinaryIO | None:
        if self._file is None:
            try:
                self._file = open(self._path, "rb")  # noqa: SIM115  close() does
            except FileNotFoundError:
                return None
        return self._file

    def _is_rotated(self, file: BinaryIO) -> bool:
        try:
            return os.stat(self._path).st_ino != os.fstat(file.fileno()).st_ino
        except FileNotFoundError:
            return False

    def _whole(self, file: BinaryIO) -> Iterator[Document]:
        """Yield the whole records from where the file is; of a line that is none it is told once."""
        for line in whole_lines(file):
            record = _record(line)
            if record is not None:
                yield record
            elif not self._told:
                self._told = True
                warn(f"{file.name}: a line that is no record is left out")


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
