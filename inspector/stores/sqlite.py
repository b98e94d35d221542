"""Podman's database since version 5, <graphroot>/db.sql or <graphroot>/libpod/db.sql: SQLite, where it was bbolt's.

Of it is asked in which pod a container is, and how that is called. The file is read as any other and opened in memory
(sqlite3_deserialize): nothing is locked, waited for or written, no journal beside it is followed. Podman changes it in
place, so what was read may be torn. What stands in it is the user's whose containers they are: its schema is a program
of his, of which only two tables may be read, in few steps.
Schema: libpod/sqlite_state_internal.go, createSQLiteTables; place: libpod/sqlite_state.go, NewSqliteState.
"""

from __future__ import annotations

from inspector.errors import ParseError
from inspector.stores.facts import MOST_TEXT, Facts

__all__ = ["parse_podman_sql"]

HEADER = b"SQLite format 3\0"
VERSIONS = slice(18, 20)  # of the file format, to write and to read: 2 is with a write-ahead log, 1 without
TABLES = ("ContainerConfig", "PodConfig")
QUESTION = """
    SELECT container.Name AS name, container.PodID AS pod, pod.Name AS pod_name
    FROM ContainerConfig AS container LEFT JOIN PodConfig AS pod ON pod.ID = container.PodID
    WHERE container.ID = ?
"""
MOST_STEPS = 10_000  # of SQLite's machine: the question takes fewer than 100, and one at most a row without an index
MOST_VALUE = 1 << 20  # bytes: a container's configuration has some 10 KiB


def parse_podman_sql(data: bytes, identifier: str) -> Facts:
    """Look up in db.sql what a container is called, and its pod: the pod's id and name."""
    if not data.startswith(HEADER):
        raise ParseError("db.sql", "not an SQLite database")
    import sqlite3  # noqa: PLC0415  some milliseconds, and only Podman's pods need it

    database = bytearray(data)
    if database[VERSIONS] == b"\2\2":  # what is still in the log alone is not known; without one it can be opened
        database[VERSIONS] = b"\1\1"
    connection = sqlite3.connect(":memory:")
    try:
        connection.text_factory = bytes
        connection.deserialize(database)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_VALUE)
        connection.set_authorizer(_may)
        connection.set_progress_handler(lambda: True, MOST_STEPS)
        row = connection.execute(QUESTION, (identifier.encode(errors="replace").decode(),)).fetchone()
    except (sqlite3.Error, UnicodeError, AttributeError) as error:  # the last: an SQLite built without deserialize
        raise ParseError("db.sql", "not a database of Podman's, or changed as it was read") from error
    finally:
        connection.close()
    name, pod, pod_name = map(_text, row or ("", "", ""))
    return Facts(name=name, pod=pod_name, pod_id=pod)


def _may(action: int, table: str | None, _column: str | None, _database: str | None, view: str | None) -> int:
    """Let the two tables be read; neither functions nor views, whose text is whatever stands in the file."""
    import sqlite3  # noqa: PLC0415

    reads = action == sqlite3.SQLITE_SELECT or (action == sqlite3.SQLITE_READ and table in TABLES)
    return sqlite3.SQLITE_OK if reads and view is None else sqlite3.SQLITE_DENY


def _text(value: object) -> str:
    return value.decode(errors="replace")[:MOST_TEXT] if isinstance(value, bytes) else ""
