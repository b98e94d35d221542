"""Recordings that tests make."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from inspector.ctop.recording.reader import Recording
from inspector.ctop.recording.writer import Writer
from inspector.schema import Document
from tests.bench.bench_recording import SORTS, Machine
from tests.unit.documents import container, document

START = 1_700_093_600.0


def day(ticks: int) -> list[Document]:
    """Return the first documents of the bench's made-up machine, of 20 containers."""
    machine = Machine(tuple(sort._replace(many=max(1, sort.many // 10)) for sort in SORTS))
    return [machine.tick() for _ in range(ticks)]


def recorded(path: Path, documents: list[Document]) -> list[Document]:
    """Write a recording of these; return what is said to have been recorded."""
    said = []
    with Writer(str(path)) as writer:
        for one in documents:
            writer.write(one)
            said.append(writer.last())
    return said


def record(path: Path, documents: list[Document]) -> Path:
    """Write a recording of these."""
    with Writer(str(path)) as writer:
        for one in documents:
            writer.write(one)
    return path


def ticks(path: Path) -> list[Document]:
    """Return every document of a recording."""
    with Recording(str(path)) as recording:
        return [recording.document(number) for number in range(1, recording.length + 1)]


def hours(*names: str) -> list[Document]:
    """Return an hour of documents, one a minute, in each of which a container's name tells the minute."""
    return [document(*(container(f"{name}{minute}") for name in names), taken_at=START + 60.0 * minute)
            for minute in range(60)]  # fmt: skip


def changed(path: Path, statement: str, *values: object) -> None:
    """Change a recording as somebody hostile could."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = DELETE")
        database.execute(statement, values)
        database.commit()
