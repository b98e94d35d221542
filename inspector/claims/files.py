"""Tolerant reading of a store: what is missing, unreadable or of another shape is empty, and no link is followed."""

from __future__ import annotations

import json
from typing import Any

from inspector.kernel.host import Host

__all__ = ["SHORT_ID", "items", "names", "record", "records", "short_name", "text", "word"]

MOST_BYTES = 1 << 20
MOST_NAMES = 10_000
SHORT_ID = 12


def names(host: Host, directory: str) -> list[str]:
    """Return the names in a directory but the hidden ones, as many as are sane."""
    try:
        return [name for name in host.listdir(directory) if not name.startswith(".")][:MOST_NAMES]
    except OSError:
        return []


def text(host: Host, store: str, relative: str) -> str:
    """Return a file's text without the space around it."""
    try:
        return host.read_inside(store, relative, MOST_BYTES).decode(errors="surrogateescape").strip()
    except (OSError, ValueError):
        return ""


def record(host: Host, store: str, relative: str) -> dict[str, Any]:
    """Return the JSON object in a file."""
    return dict(_json(text(host, store, relative), dict))


def records(host: Host, store: str, relative: str) -> list[dict[str, Any]]:
    """Return the objects of the JSON list in a file."""
    return items(_json(text(host, store, relative), list))


def _json(found: str, kind: type[Any]) -> Any:  # noqa: ANN401  any JSON of that kind
    try:
        value = json.loads(found or "null")
    except (ValueError, RecursionError):
        return kind()
    return value if isinstance(value, kind) else kind()


def items(value: object) -> list[dict[str, Any]]:
    """Return the objects of a JSON list, or of an object's values; [] where there is something else."""
    found = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [one for one in found if isinstance(one, dict)]


def word(value: object) -> str:
    """Return a JSON string, or "" where there is something else."""
    return value if isinstance(value, str) else ""


def short_name(record: dict[str, Any], identifier: str) -> str:
    """Return the name in a container's document of Docker's shape, else the beginning of its id."""
    return word(record.get("Name")).removeprefix("/") or identifier[:SHORT_ID]
