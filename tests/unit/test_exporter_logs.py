"""The log: one line an event, whatever is in it."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Callable, Iterator

import pytest

from exporter.logs import fields, set_up

log = logging.getLogger("exporter.test")
HOSTILE = 'a\nb\r\x1b[31m "q" \\ \x7f \x00 \u202e \udcff ä' + "x" * 5000

Write = Callable[..., str]


@pytest.fixture(name="write")
def write_fixture() -> Iterator[Write]:
    """Give a function that logs once, at a level and in a format, and returns what was written."""
    root = logging.getLogger()
    before = root.handlers[:], root.level, logging.getLogger("uvicorn").level, logging.raiseExceptions

    def write(format_: str, act: Callable[[], None], level: str = "info") -> str:
        stream = io.StringIO()
        set_up(level, format_, stream)
        act()
        return stream.getvalue()

    yield write
    root.handlers[:], root.level = before[0], before[1]
    logging.getLogger("uvicorn").setLevel(before[2])
    logging.raiseExceptions = before[3]


def test_logfmt(write: Write) -> None:
    """Time in UTC, level, source, message and fields, quoted where a value has a blank, a quote or an equals sign."""
    line = write("logfmt", lambda: log.warning("two words", extra=fields(status=404, path="/a", user='a="b"', on=True)))
    assert re.fullmatch(
        r"time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z level=WARN source=test_exporter_logs\.py:\d+ "
        r'msg="two words" status=404 path=/a user="a=\\"b\\"" on=true\n',
        line,
    )


def test_json(write: Write) -> None:
    """The same as one JSON object; numbers and truth stay what they are."""
    made = json.loads(write("json", lambda: log.error("two words", extra=fields(status=404, on=True, error="x"))))
    del made["time"], made["source"]
    assert made == {"level": "ERROR", "msg": "two words", "status": 404, "on": True, "error": "x"}


@pytest.mark.parametrize("format_", ["logfmt", "json"])
def test_hostile_text_is_one_line_of_printable_ascii(write: Write, format_: str) -> None:
    """Newlines, escape sequences, quotes, lone surrogates and great length, in message and field alike."""
    line = write(format_, lambda: log.info("%s", HOSTILE, extra=fields(path=HOSTILE)))
    assert line.endswith("\n")
    assert re.fullmatch(r"[ -~]{100,1500}", line[:-1])
    assert 'msg="a\\nb\\r\\u001b[31m \\"q\\"' in line.replace('"msg": ', "msg=")


def test_levels(write: Write) -> None:
    """Less than the level is not written."""
    assert write("logfmt", lambda: log.info("x"), "warn") == ""
    assert write("logfmt", lambda: log.warning("x"), "warn")
    assert write("logfmt", lambda: log.debug("x"), "debug")


@pytest.mark.parametrize(("level", "there"), [("info", False), ("debug", True)])
def test_a_traceback_is_a_value_at_debug_alone(write: Write, level: str, there: bool) -> None:
    """Never lines of its own, and not at all at the usual level."""

    def fail() -> None:
        try:
            int("x")
        except ValueError:
            log.exception("failed")

    line = write("logfmt", fail, level)
    assert line.count("\n") == 1
    assert ("Traceback" in line) == there
