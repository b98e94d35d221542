"""Shows a recording again: a source that goes on tick by tick, and can be sent to any moment of it."""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta
from threading import Lock

from inspector.ctop.recording.file import RecordingError
from inspector.ctop.recording.reader import Recording
from inspector.ctop.source import Secondhand
from inspector.schema import Document

__all__ = ["Replay", "moment_of"]

LEAST_PACE, MOST_PACE = 0.05, 5.0
"""Seconds between two ticks played: a gap of an hour is not waited for."""

POSITIONS = 20
"""Ticks decoded and perhaps not drawn yet."""

CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?", re.ASCII)
AWAY = re.compile(r"([+-])(\d{1,6})([smhd]?)", re.ASCII)
UNITS = {"": 60, "s": 1, "m": 60, "h": 3600, "d": 86400}
HOW = "HH:MM[:SS], +5m, -30s, 2026-11-28T18:00"


def moment_of(text: str, now: float, first: float) -> float:
    """Return the moment that a person means, seconds since 1970; ValueError when it is none.

    HH:MM[:SS] is the last one at or before `now`, or if that is before the
    `first` moment there is, the one after; +5m and -30s are away from `now`,
    minutes without a unit; anything else a date and time in ISO 8601, in local
    time where it names no zone.
    """
    text = text.strip()
    if found := AWAY.fullmatch(text):
        away = int(found[2]) * UNITS[found[3]]
        return now + away if found[1] == "+" else now - away
    try:
        if found := CLOCK.fullmatch(text):
            today = datetime.fromtimestamp(now).astimezone()
            hour, minute, second = int(found[1]), int(found[2]), int(found[3] or 0)
            meant = today.replace(hour=hour, minute=minute, second=second, microsecond=0)
            if meant > today and (meant - timedelta(days=1)).timestamp() >= first - UNITS["m"]:
                meant -= timedelta(days=1)
            return meant.timestamp()
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"{text[:40]!r} is no time: {HOW}") from None


class Replay(Secondhand):
    """A recording as a source: each call is the next tick, and past the end the last one again; while `held` the same.

    What reads the file takes the lock; what the keys' thread asks does not, as a tick may take a while to decode.
    """

    through = "a recording"

    def __init__(self, path: str, at: str | None = None) -> None:
        self.focus: str | None = None
        self.held = False
        self._recording = Recording(path)
        self._lock = Lock()
        self._number = 0  # the tick shown; before the first call none
        self._note = self._recording.damaged
        self._first = self._here = self._recording.moment(1)
        self._positions: dict[float, str] = {}
        if at is not None:
            try:
                last = self._recording.moment(self._recording.length)
                away = AWAY.fullmatch(at.strip())
                now = self._first if away and away[1] == "+" else last
                self._number = self._recording.at(moment_of(at, now, self._first)) - 1
            except ValueError as error:
                self._recording.close()
                raise RecordingError(f"--at {error}") from error

    def begin(self) -> None:
        """Take no sample: each tick was made of two."""

    def __call__(self) -> Document:
        """Return the next tick."""
        with self._lock:
            if self.held and self._number:
                return self._show(self._number)
            if self._number >= self._recording.length and not self._note:
                self._recording.refresh()  # another ctop may be writing it
            return self._show(self._number + 1)

    def _show(self, number: int) -> Document:
        """Go to a tick, or the nearest; one that cannot be read is the end."""
        number = max(1, min(number, self._recording.length))
        try:
            document = self._recording.document(number)
        except RecordingError:
            if number <= 1:
                raise
            base = self._number if 0 < self._number < number else 1
            document, number = self._last_readable(base, number)
            self._recording.length, self._note = number, True
        self._number, self._here = number, document["taken_at"]
        self._positions = {
            **dict(list(self._positions.items())[-POSITIONS:]),
            self._here: f"{_clock(self._here)}  {number}/{self._recording.length}",
        }
        if self._note:
            last = _clock(self._recording.moment(self._recording.length))
            document = {**document, "problems": [f"the recording is damaged after {last}", *document["problems"]]}
        return document

    def _last_readable(self, good: int, bad: int) -> tuple[Document, int]:
        while bad - good > 1:
            middle = (good + bad) // 2
            try:
                self._recording.document(middle)
            except RecordingError:
                bad = middle
            else:
                good = middle
        return self._recording.document(good), good

    def step(self, ticks: int) -> Document:
        """Go some ticks forwards or backwards."""
        with self._lock:
            return self._show(self._number + ticks)

    def pass_time(self, seconds: float) -> Document:
        """Go some seconds forwards or backwards: by a tick at least."""
        with self._lock:
            here = max(self._number, 1)
            there = self._recording.at(self._recording.moment(here) + seconds)
            return self._show(min(there, here - 1) if seconds < 0 else max(there, here + 1))

    def edge(self, side: int) -> Document:
        """Go to the first tick or the last."""
        with self._lock:
            self._recording.refresh()
            return self._show(1 if side < 0 else self._recording.length)

    def moment(self, text: str) -> float:
        """Return the moment that a person means, from the tick shown; ValueError when it is none."""
        return moment_of(text, self._here, self._first)

    def go_to(self, moment: float) -> Document:
        """Go to the last tick at or before a moment, or the first."""
        with self._lock:
            return self._show(self._recording.at(moment))

    @property
    def pace(self) -> float:
        """Seconds until the next tick is due, as it was recorded."""
        with self._lock:
            if self._number >= self._recording.length:
                return 1.0
            moments = [self._recording.moment(number) for number in (max(self._number, 1), self._number + 1)]
            return min(max(moments[1] - moments[0], LEAST_PACE), MOST_PACE)

    @property
    def ended(self) -> bool:
        """Whether the tick shown is the last one."""
        return self._number >= self._recording.length

    def position(self, document: Document) -> str:
        """Return the moment of a document that was shown lately, and which tick that is of how many."""
        return self._positions.get(document["taken_at"]) or _clock(document["taken_at"])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._recording.close()


def _clock(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))
