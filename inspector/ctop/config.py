"""What the key S keeps: $XDG_CONFIG_HOME/cgscope/ctop.toml, read when the live view starts.

The command line wins over it. What is wrong in it costs a line of warning and
never the view.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

from inspector.errors import InspectorError
from inspector.views.columns import Column, column
from inspector.views.selection import sort_key

__all__ = ["NotSaved", "load", "save", "saved_path"]

LARGEST = 65536
HEADING = "# What ctop's live view starts with: written by its key S. Options of the command line come before it.\n"


class NotSaved(InspectorError):
    """The settings could not be kept; says why."""


def _columns(value: object) -> tuple[Column, ...]:
    if not isinstance(value, list):
        raise TypeError
    return tuple(dict.fromkeys(column(name) for name in value))


def _sort(value: object) -> str:
    sort_key(str(value))
    return str(value)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _one_of(*names: str) -> Callable[[object], str]:
    return lambda value: names[names.index(value)]


CHECKS: Mapping[str, Callable[[object], Any]] = {
    "columns": _columns,
    "sort": _sort,
    "reverse": _flag,
    "tree": _flag,
    "every": _flag,
    "header": _flag,
    "cpu": _one_of("core", "limit", "host"),
    "memory": _one_of("working-set", "usage", "anon", "fixed"),
}
"""What may be in the file, by the names of the command line's destinations (inspector.ctop.options)."""


def saved_path() -> str | None:
    """Return where the settings are kept; None without a home. A relative $XDG_CONFIG_HOME does not count."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(base):
        base = os.path.expanduser("~/.config")
    return os.path.join(base, "cgscope", "ctop.toml") if os.path.isabs(base) else None


def load(path: str) -> tuple[dict[str, Any], list[str]]:
    """Return the settings kept in a file, and a complaint for each that makes no sense. No file, no settings."""
    import tomllib  # noqa: PLC0415  most have no such file

    try:
        text = _read(path)
        entries = tomllib.loads(text) if text is not None else {}
    except (OSError, ValueError) as error:
        return {}, [f"{path}: not used: {getattr(error, 'strerror', None) or error}"]
    settings, complaints = {}, []
    for name, value in entries.items():
        check = CHECKS.get(name)
        try:
            if check is None:
                complaints.append(f"{path}: unknown setting {name!r}")
            else:
                settings[name] = check(value)
        except (KeyError, TypeError, ValueError):
            complaints.append(f"{path}: {name} cannot be {value!r}")
    return settings, complaints


def _read(path: str) -> str | None:
    try:
        # It may be anything: a pipe nobody writes to must not hold up the view.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("not a regular file")
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ValueError(f"more than {LARGEST} bytes")
    return content.decode()


def save(settings: Mapping[str, object]) -> str:
    """Write the settings, whole or not at all, and return where; NotSaved says why not.

    Not below another user's directory: `sudo ctop` with that user's home would
    leave a file there which its owner could not change.
    """
    place = saved_path()
    if place is None:
        raise NotSaved("not saved: there is no home directory")
    path = os.path.realpath(place)
    directory = os.path.dirname(path)
    made = None
    try:
        _must_be_ours(directory)
        os.makedirs(directory, mode=0o700, exist_ok=True)
        descriptor, made = tempfile.mkstemp(dir=directory, prefix=".ctop.toml.")
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(HEADING + "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items()))
        os.replace(made, path)
    except OSError as error:
        if made is not None:
            with contextlib.suppress(OSError):
                os.unlink(made)
        raise NotSaved(f"not saved: {error.strerror}: {path}") from error
    return path


def _must_be_ours(directory: str) -> None:
    while not os.path.isdir(directory) and directory != "/":
        directory = os.path.dirname(directory)
    owner = os.stat(directory).st_uid
    if owner != os.geteuid():
        raise NotSaved(f"not saved: {directory} belongs to user {owner}, and we are user {os.geteuid()}")
