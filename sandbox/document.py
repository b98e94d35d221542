"""A container as text: what changes in its document (new_document.py), the rows of `ps`, and `--format`; pure.

The keys are Docker's (moby api/types/container). "Cgscope" holds what only
the sandbox needs to find a container's processes and cgroups again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from inspector.kernel.cgroups import Hierarchy
from sandbox.cgroup import Place
from sandbox.errors import SandboxError
from sandbox.state import Document
from sandbox.times import timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["NEVER", "ended", "places_of", "private", "render", "running", "table", "timestamp"]

NEVER = "0001-01-01T00:00:00Z"
PLACEHOLDER = r"\{\{\s*(json\s+)?\.([\w.]*)\s*\}\}"


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


def ended(code: int, now: float, error: str = "", *, out_of_memory: bool = False) -> dict[str, Any]:
    """Return what changes in the state of a container whose program has ended."""
    return {
        "Status": "exited",
        "Running": False,
        "Paused": False,
        "Restarting": False,
        "OOMKilled": out_of_memory,
        "Pid": 0,
        "ExitCode": code,
        "Error": error,
        "FinishedAt": timestamp(now),
    }


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


def render(document: Document, template: str) -> str:
    """Fill in `{{.State.Pid}}` and `{{json .Config}}`; a key that does not exist is an error, as with Docker."""

    def value(match: re.Match[str]) -> str:
        found: Any = document
        for key in filter(None, match[2].split(".")):
            if not isinstance(found, dict) or key not in found:
                raise SandboxError(f"--format: no such key: .{match[2]}", 1)
            found = found[key]
        if match[1]:
            return json.dumps(found)
        if isinstance(found, bool):
            return str(found).lower()
        return json.dumps(found) if isinstance(found, dict | list) else "<nil>" if found is None else str(found)

    text = re.sub(PLACEHOLDER, value, template)
    if "{{" in text and "{{" in re.sub(PLACEHOLDER, "", template):
        raise SandboxError("--format: only {{.Key.Key}} and {{json .Key}} are understood", 1)
    return text


def printable(text: str) -> str:
    """Escape what a terminal would obey: a container chooses its command line."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape", "surrogatepass").decode() for letter in text
    )


def table(rows: Sequence[Sequence[str]]) -> str:
    """Align columns, three blanks apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
