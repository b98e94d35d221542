"""`sandbox stats --format`: ctop's document as Docker's columns; pure.

(docker/cli cli/command/container/formatter_stats.go)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.errors import printable
from sandbox.images.listing import human_size, memory_size
from sandbox.state import SHORT_ID

__all__ = ["TITLES", "rows"]

NONE = "--"
TITLES = {
    "Container": "CONTAINER",
    "Name": "NAME",
    "ID": "CONTAINER ID",
    "CPUPerc": "CPU %",
    "MemUsage": "MEM USAGE / LIMIT",
    "MemPerc": "MEM %",
    "NetIO": "NET I/O",
    "BlockIO": "BLOCK I/O",
    "PIDs": "PIDS",
}


def rows(document: Mapping[str, Any], *, whole: bool = False) -> list[dict[str, str]]:
    """Return a row a container, with `whole` ids; a figure that is not known is `--`, as with Docker."""
    machine, letters = document["host"]["memory_bytes"], None if whole else SHORT_ID
    return [{**_row(each, machine), "ID": each["id"][:letters]} for each in document["containers"]]


def _row(container: Mapping[str, Any], machine: int) -> dict[str, str]:
    memory = container["memory"]
    used, limit = memory["working_set_bytes"], memory["limit_bytes"] or machine
    name = printable(container["name"])
    return {
        "Container": name,
        "Name": name,
        "CPUPerc": _percent(container["cpu"]["usage_cores"]),
        "MemUsage": " / ".join(NONE if each is None else memory_size(each) for each in (used, limit)),
        "MemPerc": _percent(None if used is None else used / limit),
        "NetIO": _both(container["network"], "receive_bytes", "transmit_bytes"),
        "BlockIO": _both(container["io"], "read_bytes", "write_bytes"),
        "PIDs": NONE if container["pids"]["current"] is None else str(container["pids"]["current"]),
    }


def _percent(ratio: float | None) -> str:
    return NONE if ratio is None else f"{ratio * 100:.2f}%"


def _both(counters: Mapping[str, Any] | None, one: str, other: str) -> str:
    found = [None if counters is None else counters[name] for name in (one, other)]
    return " / ".join("0B" if each is None else human_size(each) for each in found)
