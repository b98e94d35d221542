"""The file of a recording: whether it is one of ours, found out without touching it; its tables.

A file of somebody else's is looked at, never opened as a database: SQLite
would already roll back a transaction in it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn
from urllib.parse import quote

from inspector.ctop.recording.codec import MOST_BYTES
from inspector.errors import InspectorError

__all__ = ["SCHEMA", "RecordingError", "is_ours", "locked", "open_reader", "open_writer", "said"]

MAGIC = b"SQLite format 3\x00"
HEADER = 100
VERSION_AT, APPLICATION_AT = 60, 68
APPLICATION = 0x63677363
"""What PRAGMA application_id says: "cgsc"."""

SCHEMA = 4  # of the tables, and of what recording.columns and recording.codec make of a tick
TABLES = (
    "CREATE TABLE tick (id INTEGER PRIMARY KEY, base INTEGER NOT NULL, taken_at REAL NOT NULL, data BLOB NOT NULL)",
    "CREATE TABLE about (id INTEGER PRIMARY KEY, data BLOB NOT NULL)",
)
LOG_PAGES = 100  # which it may take beside the file, a minute or two
PAGE = 16384  # a tick takes a kilobyte or two: little is left over at a page's end


class RecordingError(InspectorError):
    """A recording that cannot be written or read: which, why, what to do."""


def said(path: str, error: Exception) -> RecordingError:
    """Return what a person should know of an error while a recording is written or read."""
    code = getattr(error, "sqlite_errorcode", None)
    full = code == sqlite3.SQLITE_FULL or (isinstance(error, OSError) and error.errno == errno.ENOSPC)
    text = "no space is left on the device" if full else str(error.strerror if isinstance(error, OSError) else error)
    return RecordingError(f"the recording {path!r}: {text}")


def is_ours(path: str, descriptor: int) -> bool:
    """Tell whether an open file is a recording, False when it is empty; RecordingError when it is anything else."""
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        raise RecordingError(f"{path!r} is {'a directory' if stat.S_ISDIR(mode) else 'no regular file'}: no recording")
    header = os.pread(descriptor, HEADER, 0)
    if not header:
        return False
    if len(header) < HEADER or not header.startswith(MAGIC) or _word(header, APPLICATION_AT) != APPLICATION:
        raise RecordingError(f"{path!r} is no recording of ctop, and was left as it is")
    if (found := _word(header, VERSION_AT)) != SCHEMA:
        raise RecordingError(f"{path!r} is a recording in schema {found}; this ctop knows {SCHEMA}: use another file")
    return True


def _word(header: bytes, at: int) -> int:
    return int.from_bytes(header[at : at + 4], "big")


@contextmanager
def locked(path: str) -> Iterator[bool]:
    """Open or make a recording to write to, for its owner alone, and keep others from it; gives whether it is new.

    A new one that nothing came of is removed. The descriptor stays open for
    as long as SQLite has the file: closing it would drop SQLite's own locks.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, 0o600)
    except OSError as error:
        raise said(path, error) from error
    try:
        new = not is_ours(path, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RecordingError(f"{path!r} is being written by another ctop") from None
        yield new
    finally:
        if stat.S_ISREG((found := os.fstat(descriptor)).st_mode) and not found.st_size and found.st_nlink:
            os.unlink(path)
        os.close(descriptor)


def open_writer(path: str, *, new: bool) -> sqlite3.Connection:
    """Open the database of a locked file; a new one gets its tables."""
    # Autocommit: the writer begins and ends each transaction itself. The sampler's thread writes, another closes.
    connection = sqlite3.connect(_uri(path, "rw"), uri=True, isolation_level=None, check_same_thread=False)
    try:
        if new:
            connection.execute(f"PRAGMA page_size = {PAGE}")
            connection.execute("BEGIN")
            for statement in (*TABLES, f"PRAGMA application_id = {APPLICATION}", f"PRAGMA user_version = {SCHEMA}"):
                connection.execute(statement)
            connection.execute("COMMIT")
        _check_tables(path, connection)
        # A log beside the file, which one who is killed leaves whole; and one reads while another writes.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
    except BaseException:
        connection.close()
        if new:
            os.truncate(path, 0)
        raise
    return connection


def open_reader(path: str) -> sqlite3.Connection:
    """Open a recording to read; RecordingError when it is none, or cannot be read at all."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise said(path, error) from error
    try:
        if not is_ours(path, descriptor):
            raise RecordingError(f"{path!r} is empty: nothing was recorded")
    finally:
        os.close(descriptor)
    try:
        return _connected(path, "ro")
    except sqlite3.OperationalError:
        # A log beside it that cannot be used, as the directory cannot be written to: without what is in it, then.
        try:
            return _connected(path, "ro&immutable=1")
        except sqlite3.Error as error:
            raise said(path, error) from error
    except sqlite3.Error as error:
        raise said(path, error) from error


def _connected(path: str, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(_uri(path, mode), uri=True, isolation_level=None, check_same_thread=False)
    try:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 2 * MOST_BYTES)
        # Nothing a file brings along is run; and one that was cut off is read as far as it goes.
        for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "writable_schema = ON"):
            connection.execute(f"PRAGMA {pragma}")
        _check_tables(path, connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_tables(path: str, connection: sqlite3.Connection) -> None:
    """Hold the tables against ours: a view of the same name could do anything."""
    found = connection.execute("SELECT substr(sql, 1, 1000) FROM sqlite_schema ORDER BY rowid LIMIT 10").fetchall()
    if [row[0] for row in found] != list(TABLES):
        _other_tables(path)


def _other_tables(path: str) -> NoReturn:
    raise RecordingError(f"{path!r} has not the tables of a recording, and was left as it is")


def _uri(path: str, mode: str) -> str:
    return f"file:{quote(os.fsencode(os.path.abspath(path)))}?mode={mode}"
