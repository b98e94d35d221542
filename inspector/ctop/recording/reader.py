"""Reads recordings: the document of any tick by its number, and the tick of any moment."""

from __future__ import annotations

import json
import sqlite3
import zlib
from functools import lru_cache
from typing import Any, Self, cast

from inspector.ctop.recording.codec import MOST_BYTES, Decoder
from inspector.ctop.recording.file import RecordingError, open_reader
from inspector.ctop.recording.picture import Picture
from inspector.ctop.shape import checked
from inspector.schema import Document

__all__ = ["Recording"]

MOST_ABOUTS = 20_000  # in memory
TROUBLE = (sqlite3.Error, ValueError)


class Recording:
    """A recording to read. RecordingError when it is none, or has not a single tick that can be read."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._database = open_reader(path)
        self._about = lru_cache(MOST_ABOUTS)(self._read_about)
        self._base = 0
        self._decoder = Decoder(self._about)
        self._pictures: list[Picture] = []
        self.damaged = False
        self.length = 0
        try:
            self.refresh()
        except BaseException:
            self.close()
            raise

    def refresh(self) -> None:
        """Look how many ticks there are: it may still be growing."""
        try:
            [(last,)] = self._database.execute("SELECT max(id) FROM tick")
            self.length = self._number(last) if last is not None else 0
            self.damaged = self.length > 0 and self._moment(self.length) is None
        except TROUBLE:
            self.damaged = True
        if self.damaged:
            self.length = self._readable()
        if not self.length:
            raise RecordingError(f"{self.path!r} has not one tick that can be read")

    def _number(self, value: object) -> int:
        if not isinstance(value, int) or not 0 < value < 1 << 40:
            raise ValueError(f"tick {value!r}")
        return value

    def _readable(self) -> int:
        """Return the last tick before the first that cannot be read: of a file that was cut off."""
        good, bad = 0, 1
        while self._moment(bad) is not None:
            good, bad = bad, bad * 2
        while bad - good > 1:
            middle = (good + bad) // 2
            good, bad = (middle, bad) if self._moment(middle) is not None else (good, middle)
        return good

    def _moment(self, number: int) -> float | None:
        """Return when a tick was taken; None when it is not there or damaged."""
        try:
            row = self._database.execute("SELECT taken_at FROM tick WHERE id = ?", (number,)).fetchone()
        except TROUBLE:
            return None
        return float(row[0]) if row and isinstance(row[0], (int, float)) and abs(row[0]) < 1e12 else None  # noqa: PLR2004

    def moment(self, number: int) -> float:
        """Return when a tick was taken, seconds since 1970."""
        return self._moment(number) or 0.0

    def at(self, moment: float) -> int:
        """Return the last tick taken at or before a moment, or the first one."""
        low, high = 1, self.length + 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.moment(middle) <= moment else (low, middle)
        return low

    def document(self, number: int) -> Document:
        """Return the document of a tick, 1 to `length`; RecordingError when it cannot be read."""
        try:
            return checked(self._picture(number).document())
        except (*TROUBLE, LookupError, TypeError) as error:
            self._base = 0
            raise RecordingError(f"tick {number} of {self.path!r} cannot be read: {error}") from error

    def _picture(self, number: int) -> Picture:
        """Decode from the whole picture on; those of its stream stay in memory."""
        base: int = self._row(number, "base")
        if not 0 < base <= number or number - base > 100_000:  # noqa: PLR2004
            raise ValueError(f"starts from tick {base}")
        if base != self._base:
            self._base, self._pictures, self._decoder = base, [], Decoder(self._about)
        while len(self._pictures) <= number - base:
            self._pictures.append(self._decoder.decode(self._row(base + len(self._pictures), "data")))
        return self._pictures[number - base]

    def _row(self, number: int, column: str) -> Any:  # noqa: ANN401
        query = f"SELECT {column} FROM tick WHERE id = ? AND length(data) < ?"  # noqa: S608  one of two words of ours
        row = self._database.execute(query, (number, MOST_BYTES)).fetchone()
        if row is None or not isinstance(row[0], int if column == "base" else bytes):
            raise ValueError("it is missing, or no tick")
        return row[0]

    def _read_about(self, number: int) -> dict[str, Any]:
        query = "SELECT data FROM about WHERE id = ? AND length(data) < ?"
        row = self._database.execute(query, (number, MOST_BYTES)).fetchone()
        if row is None or not isinstance(row[0], bytes):
            raise ValueError(f"what container {number!r} is, is missing")
        inflate = zlib.decompressobj()
        try:
            found = json.loads(inflate.decompress(row[0], MOST_BYTES))
        except (zlib.error, RecursionError) as error:
            raise ValueError(str(error)) from error
        if not isinstance(found, dict) or inflate.unconsumed_tail:
            raise ValueError(f"what container {number!r} is, is no object")
        return cast("dict[str, Any]", found)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
