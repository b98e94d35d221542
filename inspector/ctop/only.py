"""Some containers of a machine: those of some processes, those of a user."""

from __future__ import annotations

from collections.abc import Collection

from inspector.errors import InspectorError
from inspector.kernel.host import Host
from inspector.kernel.process import process_of, read_status
from inspector.model import Container, Observation
from inspector.schema import Document

__all__ = ["only"]


def only(host: Host, after: Observation, document: Document, pids: Collection[int], uid: int | None) -> Document:
    """Return the document with the containers alone that hold one of `pids`, and whose first process is of user `uid`.

    A process that has ended, or is in none, is a problem that the document tells of.
    """
    held = {pid for one in after.containers for pid in one.members} if pids else set()
    processes = {pid: pid if pid in held else process_of(host, pid) for pid in pids}  # one may be a thread's number
    ids = {one.id for one in after.containers if _is_chosen(host, one, processes.values(), uid)}
    lost = (pid for pid, process in processes.items() if process not in held)
    problems = [f"process {pid} has ended, or is in none of these" for pid in lost] + document["problems"]
    return {**document, "containers": [one for one in document["containers"] if one["id"] in ids], "problems": problems}


def _is_chosen(host: Host, one: Container, pids: Collection[int], uid: int | None) -> bool:
    if pids and not any(pid in one.members for pid in pids):
        return False
    return uid is None or (one.leader is not None and _user_of(host, one.leader.process.pid) == uid)


def _user_of(host: Host, pid: int) -> int | None:
    """Return a process's effective user, as the kernel names it to us; None when it is gone or hidden."""
    try:
        return read_status(host, pid).uids[1]
    except (OSError, InspectorError):
        return None
