"""What happened to containers: a journal in the state directory, one JSON record a line with Docker's keys.

Every command and monitor appends to it with one write(2), which the kernel
does not mix with another's. There are two files: when events.jsonl has grown
to a mebibyte it becomes events.jsonl.1, and the one before is gone. Who
reads them: journal.py.
"""

from __future__ import annotations

import fcntl
import os
import time

from sandbox.contexts import suppress
from sandbox.quick import dumps

TYPE_CHECKING = False  # importing it from typing would be a twentieth of a small monitor's memory
if TYPE_CHECKING:
    from typing import Any

    Event = dict[str, Any]
else:
    Event = dict

__all__ = ["FILE", "LARGEST", "Event", "append", "of_container", "opened"]

FILE = "events.jsonl"
LARGEST = 1 << 20


def of_container(root: str, document: Event, action: str, journal: int | None = None, **attributes: str) -> None:
    """Record what happened to a container, in what opened() returned or what is there now."""
    labels = document["Config"].get("Labels") or {}
    known = {**labels, "image": document["Config"]["Image"], "name": document["Name"], **attributes}
    append(root, "container", action, document["Id"], known, journal)


def opened(root: str) -> int:
    """Open the journal: for somebody who may not any more when there is something to record."""
    # Not for ever at a FIFO that nobody reads, which somebody put there.
    how = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
    return os.open(f"{root}/{FILE}", how, 0o600)


def append(
    root: str, kind: str, action: str, identity: str, attributes: dict[str, str], journal: int | None = None
) -> None:
    """Record that something (`kind` is container, network, volume, image) was done with what `identity` names.

    A journal that cannot be written stops nobody. A descriptor of it is closed.
    """
    now = time.time_ns()
    event = {
        "Type": kind,
        "Action": action,
        "Actor": {"ID": identity, "Attributes": attributes},
        "scope": "local",
        "time": now // 10**9,
        "timeNano": now,
    }
    with suppress(OSError):
        fd = opened(root) if journal is None else journal
        try:
            os.write(fd, dumps(event).encode() + b"\n")
            if os.fstat(fd).st_size > LARGEST:
                _rotate(f"{root}/{FILE}", fd)
        finally:
            os.close(fd)


def _rotate(path: str, fd: int) -> None:
    """Begin a new file; only who has this one locked, and finds it still in its place, does."""
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if os.stat(path).st_ino == os.fstat(fd).st_ino:
        os.replace(path, f"{path}.1")
