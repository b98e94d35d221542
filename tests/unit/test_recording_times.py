"""A recording that is shown: which moment a text means, and steps from one to another."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from inspector.ctop.recording.replay import Replay, moment_of
from inspector.schema import Document
from tests.unit.recordings import START, hours, record


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("+5m", 300), ("-5m", -300), ("+90s", 90), ("-1h", -3600), ("+2", 120), ("-1d", -86400)],
)
def test_times_away_from_now(text: str, seconds: float) -> None:
    """A sign is a time away; minutes where there is no unit."""
    assert moment_of(text, START, 0) == START + seconds


def test_times_of_day_and_dates() -> None:
    """HH:MM is the last one that was, or the next if the recording is younger; ISO 8601 is taken whole."""
    now = time.mktime((2026, 11, 28, 18, 30, 0, 0, 0, -1))
    morning = time.mktime((2026, 11, 28, 6, 15, 0, 0, 0, -1))
    assert moment_of("06:15", now, 0) == morning
    assert moment_of("6:15:30", now, 0) == morning + 30
    assert moment_of("19:00", now, 0) == time.mktime((2026, 11, 27, 19, 0, 0, 0, 0, -1))
    assert moment_of("19:00", now, now - 60) == time.mktime((2026, 11, 28, 19, 0, 0, 0, 0, -1))
    assert moment_of("2026-11-28T06:15", now, 0) == morning
    assert moment_of("1970-01-02T00:00:00+00:00", now, 0) == 86400


@pytest.mark.parametrize("text", ["", "soon", "25:00", "12:60", "+5y", "9" * 50, "2026-13-01", "+99999999d"])
def test_what_is_no_time(text: str) -> None:
    """A text that is no time is refused, and what would be one is said."""
    with pytest.raises(ValueError, match=r"is no time: HH:MM"):
        moment_of(text, START, 0)


def test_a_replay_steps_jumps_and_plays(tmp_path: Path) -> None:
    """A call is the next tick; steps, times and the ends are where they should be, and it never leaves the file."""
    real = hours("a")
    path = record(tmp_path / "file", real)

    def minute(of: Document) -> int:
        return real.index(of)

    with Replay(str(path)) as replay:
        assert minute(replay()) == 0
        assert minute(replay()) == 1
        assert minute(replay.step(1)) == 2
        assert minute(replay.step(-1)) == 1
        assert minute(replay.pass_time(300)) == 6
        assert minute(replay.pass_time(-1)) == 5
        assert minute(replay.go_to(replay.moment("+10m"))) == 15
        assert minute(replay.go_to(replay.moment(time.strftime("%H:%M:%S", time.localtime(START + 60 * 7 + 59))))) == 7
        assert minute(replay.step(-1000)) == 0
        assert minute(replay.edge(1)) == 59
        assert minute(replay()) == 59
        assert replay.position(real[59]) == time.strftime("%Y-%m-%d %H:%M:%S  60/60", time.localtime(START + 59 * 60))
        assert replay.pace == 1.0
        with pytest.raises(ValueError, match="is no time"):
            replay.moment("never")
        assert minute(replay.edge(-1)) == 0
        assert replay.pace == 5.0  # a minute is not waited for
    # The whole minute is twenty seconds before a tick.
    for at, expected in (("+5m", 5), ("-5m", 54), (time.strftime("%H:%M", time.localtime(START + 420)), 6)):
        with Replay(str(path), at) as replay:
            assert minute(replay()) == expected
