"""A container as text: what changes in its document (new_document.py), and in the rows of a table; pure.

The keys are Docker's (moby api/types/container). "Cgscope" holds what only
the sandbox needs to find a container's processes and cgroups again.
"""

from __future__ import annotations

from collections.abc import Sequence

from inspector.kernel.cgroups import Hierarchy
from sandbox.cgroup import Place
from sandbox.state import Document
from sandbox.times import timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["CGROUP_PARENT", "NEVER", "end", "places_of", "private", "running", "table", "timestamp"]

CGROUP_PARENT = "/cgscope"  # unless another is asked for
NEVER = "0001-01-01T00:00:00Z"


def private(places: Sequence[Place], keep: int, *, rootless: bool) -> dict[str, Any]:
    """Return what of a document is computed anew for each start: where its cgroups are, and its capabilities."""
    return {"Cgroups": [_place(each) for each in places], "Capabilities": keep, "Rootless": rootless}


def running(now: float) -> dict[str, Any]:
    """Return what changes in the state of a container whose program starts."""
    return {
        "Status": "running",
        "Running": True,
        "Paused": False,
        "Restarting": False,
        "OOMKilled": False,
        "ExitCode": 0,
        "Error": "",
        "StartedAt": timestamp(now),
        "FinishedAt": NEVER,
    }


def end(state: dict[str, Any], code: int, now: float, error: str = "", *, out_of_memory: bool = False) -> None:
    """Change the state of a container whose program has ended."""
    state.update(
        Status="exited",
        Running=False,
        Paused=False,
        Restarting=False,
        OOMKilled=out_of_memory,
        Pid=0,
        ExitCode=code,
        Error=error,
        FinishedAt=timestamp(now),
    )
    if "Health" in state:  # Docker's word too: nobody who waits for "healthy" shall find it in what has ended
        state["Health"]["Status"] = "unhealthy"


def _place(place: Place) -> dict[str, Any]:
    return {
        "Version": place.hierarchy.version,
        "Controllers": sorted(place.hierarchy.controllers),
        "Mountpoint": place.hierarchy.mountpoint,
        "Root": place.hierarchy.root,
        "Path": place.path,
        "Directory": place.directory,
    }


def places_of(document: Document) -> tuple[Place, ...]:
    """Return the cgroups that a container's document names."""
    return tuple(
        Place(
            Hierarchy(each["Version"], frozenset(each["Controllers"]), each["Mountpoint"], each["Root"]),
            each["Path"],
            each["Directory"],
        )
        for each in document["Cgscope"]["Cgroups"]
    )


def table(rows: Sequence[Sequence[str]]) -> str:
    """Align columns as Docker does: three blanks apart, and no two begin closer than ten cells."""
    widths = [max(7, *map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
