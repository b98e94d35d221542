"""What happened to containers: a journal in the state directory, one JSON record a line with Docker's keys.

Every command and monitor appends to it with one write(2), which the kernel
does not mix with another's. There are two files: when events.jsonl has grown
to a mebibyte it becomes events.jsonl.1, and the one before is gone.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator

from sandbox.contexts import suppress
from sandbox.quick import dumps, loads

TYPE_CHECKING = False  # importing it from typing would be a twentieth of a small monitor's memory
if TYPE_CHECKING:
    from typing import Any

    Event = dict[str, Any]
else:
    Event = dict

__all__ = ["Event", "append", "follow", "of_container", "whole_lines"]

FILE = "events.jsonl"
LARGEST = 1 << 20
POLL_SECONDS = 0.1


def of_container(root: str, document: Event, action: str, journal: int | None = None, **attributes: str) -> None:
    """Record what happened to a container, in what opened() returned or what is there now."""
    labels = document["Config"].get("Labels") or {}
    known = {**labels, "image": document["Config"]["Image"], "name": document["Name"], **attributes}
    append(root, "container", action, document["Id"], known, journal)


def opened(root: str) -> int:
    """Open the journal: for somebody who may not any more when there is something to record."""
    return os.open(f"{root}/{FILE}", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


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


def follow(root: str, since: float, until: float | None, wait: Callable[[float], None] = time.sleep) -> Iterator[Event]:
    """Yield events from `since` on (seconds since 1970), the oldest first.

    Ends at `until`; without it goes on as long as it is asked. A line that is no event is left out.
    """
    path = f"{root}/{FILE}"
    yield from _chosen(f"{path}.1", since, until)
    file = None
    try:
        while True:
            # The time first: what is written after it is not missed by the last look.
            over = until is not None and time.time() >= until
            if file is None:
                with suppress(FileNotFoundError):
                    file = open(path, "rb")  # noqa: SIM115  closed below
            if file is not None:
                yield from _wanted(file, since, until)
                with suppress(FileNotFoundError):
                    if os.fstat(file.fileno()).st_ino != os.stat(path).st_ino:
                        yield from _wanted(file, since, until)  # what came between the two looks
                        file.close()
                        file = None
                        continue
            if over:
                return
            wait(POLL_SECONDS)
    finally:
        if file is not None:
            file.close()


def _chosen(path: str, since: float, until: float | None) -> Iterator[Event]:
    with suppress(FileNotFoundError), open(path, "rb") as file:
        yield from _wanted(file, since, until)


def whole_lines(file: Any) -> Iterator[bytes]:  # noqa: ANN401  a binary file
    """Yield the lines from where the file is; one that is not whole yet is left for the next time."""
    while True:
        position = file.tell()
        line = file.readline()
        if not line.endswith(b"\n"):
            file.seek(position)
            return
        yield line


def _wanted(file: Any, since: float, until: float | None) -> Iterator[Event]:  # noqa: ANN401  a binary file
    """Yield the events of a time from where the file is."""
    for line in whole_lines(file):
        with suppress(ValueError, KeyError, TypeError):
            event = loads(line)
            if since <= event["timeNano"] / 1e9 and (until is None or event["timeNano"] / 1e9 <= until):
                yield event
