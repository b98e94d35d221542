"""Ticks as bytes: a head in JSON, then the columns that changed, in one deflate stream from one whole picture on. Pure.

    length of the next | deflate(length of head | head | which columns | which containers
                                 | for each column a byte about its numbers) | the numbers' bits

Head: t taken_at, s interval_seconds, h what is new of host, d of the rest; o the order of the containers, as runs
of the order before and null for a new one; a what is new of each about; x the values that no rule gives.
A tick that starts a stream has instead of o and a: c, the names of the columns, n, the rows of `about`, and r, the
rest of each container's about; and before its columns those of the tick before it, as the rates are made from both.
Columns may come and go between versions; what is expected of them, and the rules of
recording.columns, are part of the schema (recording.file).
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from inspector.ctop.recording.columns import COLUMNS, KEPT
from inspector.ctop.recording.fleet import Fleet
from inspector.ctop.recording.packing import pack, pack_whole, read_varint, unpack, varint
from inspector.ctop.recording.picture import EMPTY, About, Picture, none_of, reordered
from inspector.ctop.recording.prefix import END, Codes
from inspector.ctop.recording.rounding import rounded_top
from inspector.schema import Document

__all__ = ["MOST_BYTES", "Decoder", "Encoder"]

MOST_BYTES = 32 << 20
"""Of one tick, not compressed: some ten thousand containers. Who asks for more is not believed."""

MOVING = frozenset({"findings", "processes", "state", "cpu.throttled_by"})
"""What of an about does not stay the same for long."""
TAIL = b"\x00\x00\xff\xff"  # what every flush of a deflate stream ends with

Intern = Callable[[str], int]
Lookup = Callable[[int], About]


def _dumps(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


class Encoder:
    """Makes the bytes of one tick after the other; `intern` keeps a text in `about` and returns its number.

    `last` is the last tick as it will be read again: counters are rounded (recording.rounding).
    """

    def __init__(self, intern: Intern) -> None:
        self._intern = intern
        self._fleet = Fleet()
        self._top: dict[str, Any] = {}
        self._deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
        self._codes = Codes()

    @property
    def last(self) -> Document:
        """The last tick; none had a container that was not there."""
        return cast("Document", {**self._top, "containers": list(self._fleet.shown)})

    def encode(self, document: Document, *, whole: bool) -> bytes:
        """Return one tick; a `whole` one can be read without those before."""
        top = rounded_top(document)
        head = _head({} if whole else self._top, top)
        before = self._fleet.follow(document["containers"])
        first, bits = b"", ""
        if whole:
            self._deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
            self._codes = Codes()
            first, bits = pack_whole(self._fleet.numbers)
        news = self._fleet.take(document, top["interval_seconds"], whole=whole)
        if whole:
            head |= {"c": COLUMNS, **self._interned(list(news.abouts.values()))}
        else:
            head |= {"o": _runs(before)} if before is not None else {}
            head |= {"a": news.abouts} if news.abouts else {}
        head |= {"x": news.fixes} if news.fixes else {}
        text = _dumps(head).encode()
        columns, more = pack(news.changes, news.moved, self._codes)
        self._codes.end_tick()
        body = b"".join((varint(len(text)), text, first, columns))
        if len(body) > MOST_BYTES:
            raise ValueError(f"a tick of {len(body)} bytes is more than a recording takes")
        self._top = top
        packed = (self._deflate.compress(body) + self._deflate.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)
        tail = int(f"1{bits}{more}", 2)
        return varint(len(packed)) + packed + tail.to_bytes((tail.bit_length() + 7) // 8, "big")

    def _interned(self, abouts: Sequence[About]) -> dict[str, Any]:
        still = ({key: value for key, value in about.items() if key not in MOVING} for about in abouts)
        moving = [{key: value for key, value in about.items() if key in MOVING} for about in abouts]
        return {"n": [self._intern(_dumps(about)) for about in still], "r": moving}


class Decoder:
    """Reads the ticks of one stream, from the whole one on. Damaged or hostile bytes are a ValueError.

    `lookup` gives a row of `about`.
    """

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._inflate = zlib.decompressobj(-15)
        self._names: tuple[str, ...] = COLUMNS
        self._codes = Codes()
        self.last = EMPTY

    def decode(self, data: bytes) -> Picture:
        """Return the next tick."""
        try:
            length, start = read_varint(data, 0)
            body = self._inflate.decompress(data[start : start + length] + TAIL, MOST_BYTES)
            if self._inflate.unconsumed_tail:
                raise ValueError("a tick is too large")
            self.last = self._read(body, data[start + length :])
        except (LookupError, TypeError, AttributeError, ArithmeticError, RecursionError, zlib.error) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error
        return self.last

    def _read(self, body: bytes, tail: bytes) -> Picture:
        length, start = read_varint(body, 0)
        head = json.loads(body[start : start + length])
        old = self.last
        at = start + length
        bits, position = bin(int.from_bytes(tail, "big"))[3:] + END, 0
        if "n" in head:
            self._codes = Codes()
            self._names = tuple(map(str, head["c"]))
            stills = map(self._lookup, head["n"])
            abouts = [{**still, **rest} for still, rest in zip(stills, head["r"], strict=True)]
            old = reordered(EMPTY, [None] * len(abouts))
            none = none_of(len(abouts), self._names)
            numbers, at, position = unpack(body, at, bits, position, none, self._names, self._codes, whole=True)
            old = old._replace(numbers=numbers)
        else:
            if "o" in head:
                old = reordered(old, _places(head["o"], len(old.abouts)))
            abouts = list(old.abouts)
            for place, news in head.get("a", {}).items():
                abouts[int(place)] = {**abouts[int(place)], **news}
        numbers, _, position = unpack(body, at, bits, position, old.numbers, self._names, self._codes, whole=False)
        self._codes.end_tick()
        if position != len(bits) - len(END):
            raise ValueError("its numbers are cut off")
        top = {**old.head, **head.get("d", {})}
        top |= {"taken_at": head["t"], "interval_seconds": head["s"]}
        top["host"] = {**old.head.get("host", {}), **head.get("h", {})}
        fixes = [(name, place, value) for name, place, value in head.get("x", ())]
        kept: Mapping[str, Sequence[Any]] = old.kept
        if fixes:
            changed = {name: list(values) for name, values in old.kept.items()}
            for name, place, value in fixes:
                if name in KEPT:
                    changed[name][place] = value
            kept = changed
        return Picture(top, abouts, numbers, old.numbers, kept, fixes)


def _head(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    host = old.get("host", {})
    head: dict[str, Any] = {"t": new["taken_at"], "s": new["interval_seconds"]}
    if news := {key: value for key, value in new["host"].items() if key not in host or host[key] != value}:
        head["h"] = news
    plain = (key for key in new if key not in ("taken_at", "interval_seconds", "host"))
    if news := {key: new[key] for key in plain if key not in old or old[key] != new[key]}:
        head["d"] = news
    return head


def _runs(places: Sequence[int | None]) -> list[list[int] | None]:
    """Write places of the order before as runs [first, length]."""
    runs: list[list[int] | None] = []
    for place in places:
        last = runs[-1] if runs else None
        if place is None:
            runs.append(None)
        elif last is not None and last[0] + last[1] == place:
            last[1] += 1
        else:
            runs.append([place, 1])
    return runs


def _places(runs: Sequence[Sequence[int] | None], known: int) -> list[int | None]:
    places: list[int | None] = []
    for run in runs:
        if run is None:
            places.append(None)
        elif 0 <= run[0] <= run[0] + run[1] <= known:
            places += range(run[0], run[0] + run[1])
        else:
            raise ValueError("a container that was not there")
    return places


