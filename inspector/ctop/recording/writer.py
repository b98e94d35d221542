"""Writes recordings: each tick one transaction of a few kilobytes."""

from __future__ import annotations

import sqlite3
import zlib
from contextlib import ExitStack, suppress
from threading import Lock
from typing import Self

from inspector.ctop.recording.codec import Encoder
from inspector.ctop.recording.file import RecordingError, locked, open_writer, said
from inspector.ctop.sources import Source
from inspector.garbage import uncollected
from inspector.schema import Document

__all__ = ["Recorder", "Writer"]

WHOLE_EVERY = 240
"""Ticks from one whole picture to the next: what it takes to go to a moment, against the size of the file."""


class Writer:
    """A recording that is being written; an existing one of ours is continued. RecordingError when it cannot be."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._known: dict[str, int] = {}
        self._used: dict[str, int] = {}
        self._encoder = Encoder(self._intern)
        with ExitStack() as stack:
            try:
                new = stack.enter_context(locked(path))
                self._database = open_writer(path, new=new)
                stack.callback(self._database.close)
                [(self._number,)] = self._database.execute("SELECT ifnull(max(id), 0) FROM tick")
                [(self._abouts,)] = self._database.execute("SELECT ifnull(max(id), 0) FROM about")
            except (sqlite3.Error, OSError) as error:
                raise said(path, error) from error
            self._open = stack.pop_all()
        self._base = 0

    def write(self, document: Document) -> None:
        """Write one tick. RecordingError when it cannot be: it is as if it had not been."""
        number = self._number + 1
        whole = not self._base or number - self._base >= WHOLE_EVERY
        try:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                with uncollected():
                    data = self._encoder.encode(document, whole=whole)
                base = number if whole else self._base
                row = number, base, self._encoder.last["taken_at"], data
                self._database.execute("INSERT INTO tick VALUES (?, ?, ?, ?)", row)
                self._database.execute("COMMIT")
            except BaseException:
                # The stream is broken off: the next tick has to be whole.
                self._base, self._encoder = 0, Encoder(self._intern)
                self._known = {}
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise
        except (sqlite3.Error, ValueError) as error:
            raise said(self._path, error) from error
        self._number, self._base = number, base
        if whole:
            self._known, self._used = self._used, {}

    def last(self) -> Document:
        """Return the last tick as it will be read again."""
        return self._encoder.last

    def _intern(self, text: str) -> int:
        """Keep what is said of a container, once for as long as it is the same."""
        number = self._known.get(text) or self._used.get(text)
        if number is None:
            self._abouts += 1
            number = self._abouts
            self._database.execute("INSERT INTO about VALUES (?, ?)", (number, zlib.compress(text.encode())))
        self._used[text] = number
        return number

    def close(self) -> None:
        """End the recording: what is in the log beside it goes into the file, and needs none to be read."""
        try:
            with suppress(sqlite3.OperationalError):  # somebody reads it just now
                self._database.execute("PRAGMA journal_mode = DELETE")
            self._open.close()
        except sqlite3.Error as error:
            raise said(self._path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Recorder:
    """A source whose documents are recorded as well; when that fails, it says so in their problems and goes on.

    What it gives are the documents as they were recorded, in rounded figures: a replay is the same to the last digit.
    """

    sight: frozenset[str] | None = None
    """What is in sight of a person now; the source is not told, as all is recorded."""

    def __init__(self, source: Source, writer: Writer) -> None:
        self._source = source
        self._writer = writer
        self._lock = Lock()
        self._closed = False
        self.failure: RecordingError | None = None

    def __getattr__(self, name: str) -> object:
        return getattr(self._source, name)

    @property
    def focus(self) -> str | None:
        """The container whose processes are listed."""
        return self._source.focus

    @focus.setter
    def focus(self, container: str | None) -> None:
        self._source.focus = container

    def begin(self) -> None:
        """Take a sample of which nothing is shown or recorded."""
        self._source.begin()

    def __call__(self) -> Document:
        """Take a sample and record it."""
        document = self._source()
        with self._lock:
            if self.failure is None and not self._closed:
                try:
                    self._writer.write(document)
                    return self._writer.last()
                except RecordingError as error:
                    self.failure = error
        if self.failure is None:
            return document
        return {**document, "problems": [f"not recorded any more: {self.failure}", *document["problems"]]}

    def close(self) -> None:
        """End the recording; a sample that is under way is not recorded."""
        with self._lock:
            self._closed = True
            self._writer.close()
