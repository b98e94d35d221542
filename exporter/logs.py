"""--log.level and --log.format: one line an event on standard error, as logfmt or JSON, like Prometheus' own exporters.

    time=2026-03-01T12:00:00.123Z level=WARN source=guard.py:88 msg="request refused" status=404 path="/x y"

What others chose (paths, names, a client's certificate) arrives here: each
value is quoted with everything outside printable ASCII escaped and is cut
after VALUE_LIMIT characters, so no event is two lines or reaches a terminal
raw. A traceback is a value like any other, and only at the level debug.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator
from typing import TextIO

__all__ = ["FORMATS", "LEVELS", "fields", "set_up"]

LEVELS = ("debug", "info", "warn", "error")
VALUE_LIMIT = 300
BARE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.,:;/+*@%()[]<>?!~#$&'|^{}")


def fields(**values: object) -> dict[str, dict[str, object]]:
    """Return the `extra` of a log call: log.warning("request refused", extra=fields(status=404))."""
    return {"fields": values}


class Logfmt(logging.Formatter):
    """Pairs of key=value, quoted where they need it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return " ".join(f"{key}={_quoted(value)}" for key, value in _pairs(record))


class Json(logging.Formatter):
    """One JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; numbers stay numbers."""
        return _json({key: value if isinstance(value, int | float) else str(value) for key, value in _pairs(record)})


FORMATS: dict[str, type[logging.Formatter]] = {"logfmt": Logfmt, "json": Json}


def set_up(level: str, format_: str, stream: TextIO | None = None) -> None:
    """Write all events of that level or above, in that format, to a stream (standard error)."""
    logging.raiseExceptions = False  # a standard error that nobody reads is no reason for a traceback
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(FORMATS[format_]())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # What uvicorn notes of a request comes with a traceback and without the client: our own guard notes it.
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL + 1)


def _pairs(record: logging.LogRecord) -> Iterator[tuple[str, object]]:
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    yield "time", f"{seconds}.{int(record.msecs):03d}Z"
    yield "level", "WARN" if record.levelno == logging.WARNING else record.levelname
    yield "source", f"{record.filename}:{record.lineno}"
    yield "msg", _cut(record.getMessage())
    given = getattr(record, "fields", {})
    yield from ((key, _cut(value)) for key, value in given.items())
    if record.exc_info and logging.getLogger().isEnabledFor(logging.DEBUG):
        yield "traceback", logging.Formatter().formatException(record.exc_info)


def _cut(value: object) -> object:
    return f"{value[:VALUE_LIMIT]}..." if isinstance(value, str) and len(value) > VALUE_LIMIT else value


def _quoted(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if text and BARE.issuperset(text) else _json(text)


def _json(value: object) -> str:
    return json.dumps(value).replace("\x7f", "\\u007f")  # the one control character that JSON allows as it is
