"""Text for a terminal: hostile names, figures, widths."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.views import text
from inspector.views.text import byte_size, cores, duration, fit, fit_path, percent, rate, safe, width_of


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("web-1", "web-1"),
        ("caf\u00e9 日本", "caf\u00e9 日本"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("a\nb\tc\x7f", "a\\x0ab\\x09c\\x7f"),
        ("\x9b2J", "\\x9b2J"),
        ("user\u202etxt", "user\\u202etxt"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("line\u2028end", "line\\u2028end"),
        ("byte\udc9b", "byte\\x9b"),
        ("lone\ud800", "lone\\ud800"),
        ("tag\U000e0001", "tag\\U000e0001"),
    ],
)
def test_hostile_text_is_made_visible(hostile: str, shown: str) -> None:
    """Control, escape, bidi, invisible and undecodable characters are spelled out; letters of any script stay."""
    assert safe(hostile) == shown


@given(st.text(st.characters()))
def test_safe_text_is_always_printable(text: str) -> None:
    """Whatever goes in, what comes out can be printed and encoded, and escaping it again changes nothing."""
    result = safe(text)
    assert result.isprintable()
    assert len(result.encode()) >= len(text)
    assert safe(result) == result


@given(st.text(st.characters()), st.integers(min_value=1, max_value=30), st.sampled_from(["left", "right"]))
def test_a_cell_has_exactly_its_width(text: str, width: int, align: str) -> None:
    """A cell is as wide as its column, also when a character takes two columns or none."""
    assert width_of(fit(safe(text), width, "left" if align == "left" else "right")) == width


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), (float("nan"), "-"), (0, "0B"), (1023, "1023B"), (1536, "1.50KiB"), (64 * 2**20, "64MiB"),
     (12.34 * 2**20, "12.3MiB"), (1023.9 * 2**20, "1.00GiB"), (2**63, "8EiB")],
)  # fmt: skip
def test_bytes(value: float | None, shown: str) -> None:
    """Bytes have three digits and a binary unit; an unknown amount is "-"."""
    assert byte_size(value) == shown


@given(st.text().map(lambda text: "/" + safe(text)), st.integers(0, 30))
def test_a_path_is_cut_at_its_beginning(path: str, width: int) -> None:
    """Any path takes exactly its columns; what does not fit is left out in front."""
    shown = fit_path(path, width)
    assert width_of(shown) == width
    if width > 1 and width_of(path) > width:
        assert shown.startswith("…")
        assert path.endswith((shown[1:].rstrip(" "), " "))


@given(st.floats(min_value=0, max_value=2.0**63))
def test_bytes_never_outgrow_their_column(value: float) -> None:
    """Any number of bytes fits seven columns."""
    assert len(byte_size(value)) <= 7


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "-"), (0.2, "20.0%"), (0, "0.0%"), (16, "1600%"), (9.9999, "1000%")]
)
def test_percent(value: float | None, shown: str) -> None:
    """A ratio of 0.2 is 20.0%."""
    assert percent(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), (0.2, "0.20"), (0.012, "0.012"), (2.0, "2"), (1.5, "1.50"), (12.34, "12.3"), (128, "128")],
)
def test_cores(value: float | None, shown: str) -> None:
    """Small quotas keep a third digit, whole numbers have no fraction."""
    assert cores(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), (-1, "-"), (0, "0s"), (0.25, "250ms"),
     (45, "45s"), (59.99, "59.9s"), (60, "1m00s"), (7500, "2h05m"), (273600, "3d04h")],
)  # fmt: skip
def test_duration(value: float | None, shown: str) -> None:
    """A length of time has its two largest units."""
    assert duration(value) == shown


def test_a_rate_says_per_second() -> None:
    """A rate has its unit, an unknown one has none."""
    assert rate(2048) == "2KiB/s"
    assert rate(None) == "-"


def test_a_time_is_a_date_that_a_person_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Local date and time; what is unknown, or no time that a calendar has, is a dash."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    assert text.moment(1795936534.83) == "2026-11-29 07:15:34"
    assert [text.moment(value) for value in (None, float("nan"), float("inf"), 1e300)] == ["-"] * 4
