"""`sandbox logs`: the records of a detached container, its own streams on ours."""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

from sandbox import terminal
from sandbox.errors import NoSuchContainer, SandboxError
from sandbox.liveness import has_monitor
from sandbox.state import Store

__all__ = ["show"]

POLL_SECONDS = 0.1
STREAMS = {"stdout": 1, "stderr": 2}
Record = dict[str, Any]


def show(store: Store, name: str, *, follow: bool, tail: int | None, timestamps: bool) -> int:
    """Write a container's records to the streams they came from; returns 0.

    With `tail` the last so many; with `follow` goes on until the container has ended.
    """
    text = store.find(name)
    path = text["LogPath"]
    if not path:
        raise SandboxError(f"container {name} was run in the foreground: its output was not kept", 1)
    try:
        file = open(path, "rb")  # noqa: SIM115  closed below
    except FileNotFoundError:
        return 0
    with file:
        records: Iterator[Record] = _records(file)
        kept = records if tail is None else iter(deque(records, maxlen=tail))
        for record in kept:
            _write(record, timestamps=timestamps)
        while follow:
            # Looked at before the file is: what it said last is there once it has ended.
            ended = _ended(store, text["Id"])
            for record in _records(file):
                _write(record, timestamps=timestamps)
            if ended:
                break
            time.sleep(POLL_SECONDS)
    return 0


def _records(file: Any) -> Iterator[Record]:  # noqa: ANN401  a binary file
    """Yield the whole records from where the file is; what is half written is left for the next time."""
    while True:
        position = file.tell()
        line = file.readline()
        if not line.endswith(b"\n"):
            file.seek(position)
            return
        yield json.loads(line)


def _write(record: Record, *, timestamps: bool) -> None:
    data = record["log"].encode(errors="surrogateescape")
    if timestamps:
        data = record["time"].encode() + b" " + data
    sys.stdout.flush()
    terminal.write_all(STREAMS.get(record["stream"], 1), data)


def _ended(store: Store, name: str) -> bool:
    try:
        text = store.load(name)
    except NoSuchContainer:
        return True
    return text["State"]["Status"] != "running" or not has_monitor(text)
