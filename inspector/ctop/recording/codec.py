"""Ticks as bytes: a head in JSON, then the columns that changed, in one deflate stream from one whole picture on. Pure.

    length of the next | deflate(length of head | head | which columns | which containers
                                 | for each column: shift, and the lengths of its numbers) | the numbers' bits

Head: t taken_at, s interval_seconds, h what is new of host, d of the rest; o the order of the containers, as runs
of the order before and null for a new one; a what is new of each about; x the values that no rule gives.
A tick that starts a stream has instead of o and a: c, the names of the columns, n, the rows of `about`, and r, the
rest of each container's about. Columns may come and go between versions; what is expected of them, and the rules of
recording.columns, are part of the schema (recording.file).
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from itertools import accumulate, compress
from operator import add, or_, sub
from typing import Any, NamedTuple, cast

from inspector.ctop.recording.columns import (
    COLUMNS,
    DERIVED,
    EXPECTED,
    GROUPS,
    IN_GROUP,
    KEPT,
    NUMBERED,
    TOP,
    Moment,
    coded,
    decoded,
    derived,
    figures,
)
from inspector.findings import findings
from inspector.schema import Container, Document

__all__ = ["MOST_BYTES", "Decoder", "Encoder", "Picture"]

MOST_BYTES = 32 << 20
"""Of one tick, not compressed: some ten thousand containers. Who asks for more is not believed."""

PAGE_SHIFT = 12
TOTAL, USER = "cpu.usage_seconds", "cpu.user_seconds"
MOVING = frozenset({"findings", "processes", "state", "cpu.throttled_by"})
"""What of an about does not stay the same for long."""
TAIL = b"\x00\x00\xff\xff"  # what every flush of a deflate stream ends with

About = dict[str, Any]
Intern = Callable[[str], int]
Lookup = Callable[[int], About]


class Picture(NamedTuple):
    """One tick: the document without containers, each one's about, columns as whole numbers now and before.

    `kept` are the rates that no rule makes; `fixes` the values that differ from what the rules say.
    """

    head: dict[str, Any]
    abouts: list[About]
    numbers: Mapping[str, list[int]]
    before: Mapping[str, list[int]]
    kept: Mapping[str, Sequence[Any]]
    fixes: Sequence[tuple[str, int, Any]] = ()

    def document(self) -> Document:
        """Return the document of this tick."""
        columns = {**{name: decoded(name, self.numbers[name]) for name in COLUMNS}, **self._rates()}
        for name, place, value in self.fixes:
            if name in columns:
                columns[name][place] = value
        places = [(name.partition("."), columns[name]) for name in NUMBERED]
        containers: list[Any] = []
        for index, about in enumerate(self.abouts):
            made: dict[str, Any] = dict.fromkeys(KEYS)
            made |= {group: {} for group in GROUPS}
            for (group, _, key), values in places:
                if key:
                    made[group][key] = values[index]
                else:
                    made[group] = values[index]
            for name, value in about.items():
                group, _, key = name.partition(".")
                if key:
                    made[group][key] = value
                else:
                    made[name] = value
            made["findings"] = _findings(cast("Container", made), made["findings"])
            containers.append(made)
        return cast("Document", {**self.head, "containers": containers})

    def _rates(self) -> dict[str, list[Any]]:
        seconds, apart = self.head["interval_seconds"], _apart(self.abouts)
        moment = Moment(self.numbers, self.before, seconds, self.kept, apart)
        rates: dict[str, list[Any]] = {}
        for name in DERIVED:
            rates[name] = list(derived(name, moment, rates))
            for fixed, place, value in self.fixes:
                if fixed == name:
                    rates[name][place] = value
        return rates


KEYS = tuple(key for key in Container.__annotations__ if key in Container.__required_keys__)
NOTHING: dict[str, list[int]] = {name: [] for name in COLUMNS}
EMPTY = Picture({}, [], NOTHING, NOTHING, dict.fromkeys(KEPT, ()))


def _findings(container: Container, kept: Any) -> Any:  # noqa: ANN401
    """Return what is wrong with a container: what the rules say, but for what they cannot know."""
    if isinstance(kept, list):
        return kept
    own = {"pid": container["namespaces"]["pid"]} if kept and kept["pid"] else {}
    return findings(container, own, kept["hollow"] if kept else None)


def _kept_of_findings(container: Container) -> Any:  # noqa: ANN401
    """Return what `_findings` needs: the findings are drawn anew from the figures, as their texts are full of them."""
    real = container["findings"]
    if not real:
        return None if not findings(container, {}) else real
    hollow = real[0]["text"] if real[0]["code"] == "hollow" else None
    host_pid = real[-1]["code"] == "host-pid" and "pid" in container["namespaces"]
    kept = {"hollow": hollow, "pid": host_pid} if hollow is not None or host_pid else None
    return kept if _findings(container, kept) == real else real


def _abouts(containers: Sequence[Container]) -> list[About]:
    """Return what is not a figure of each container, the keys of a group as "cpu.source"."""
    if not containers:
        return []
    # Any: mypy allows only literal keys of a TypedDict. All containers of a document have the same keys.
    first: Any = containers[0]
    plain = [name for name in first if name not in IN_GROUP and name not in TOP]
    inner = [(f"{group}.{key}", group, key) for group in GROUPS for key in first[group] if key not in IN_GROUP[group]]
    one: Any
    abouts = []
    for one in containers:
        about = {name: one[name] for name in plain}
        for dotted, group, key in inner:
            about[dotted] = one[group][key]
        about["findings"] = _kept_of_findings(one)
        abouts.append(about)
    return abouts


def _dumps(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


class Encoder:
    """Makes the bytes of one tick after the other; `intern` keeps a text in `about` and returns its number."""

    def __init__(self, intern: Intern) -> None:
        self._intern = intern
        self._last = EMPTY
        self._places: dict[str, int] = {}
        self._raw: dict[str, tuple[Any, ...]] = {}
        self._deflate = zlib.compressobj(6, zlib.DEFLATED, -15)

    def encode(self, document: Document, *, whole: bool) -> bytes:
        """Return one tick; a `whole` one can be read without those before."""
        if whole:
            self._last, self._places, self._raw = EMPTY, {}, {}
            self._deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
        containers = document["containers"]
        places = {container["id"]: place for place, container in enumerate(containers)}
        before = [self._places.get(container["id"]) for container in containers]
        moved = whole or before != list(range(len(self._places)))
        old = _moved(self._last, before) if moved else self._last
        picture, head = self._picture(document, old, moved=moved)
        if whole:
            head |= {"c": COLUMNS, **self._interned(picture.abouts)}
        else:
            head |= {"o": _runs(before)} if moved else {}
            head |= {"a": found} if (found := _news(old.abouts, picture.abouts)) else {}
        text = _dumps(head).encode()
        columns, tail = _packed(old.numbers, picture.numbers, whole=whole)
        body = b"".join((_varint(len(text)), text, columns))
        if len(body) > MOST_BYTES:
            raise ValueError(f"a tick of {len(body)} bytes is more than a recording takes")
        self._last, self._places = picture, places
        packed = (self._deflate.compress(body) + self._deflate.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)
        return _varint(len(packed)) + packed + tail

    def _picture(self, document: Document, old: Picture, *, moved: bool) -> tuple[Picture, dict[str, Any]]:
        """Take a document apart: what is kept as the last picture, and the head that tells of it."""
        containers = document["containers"]
        raw = figures(containers)
        numbers: dict[str, list[int]] = {}
        fixes: list[tuple[str, int, Any]] = []
        for name in COLUMNS:
            if not moved and raw[name] == self._raw.get(name):
                numbers[name] = old.numbers[name]
                fixes += [one for one in old.fixes if one[0] == name]
                continue
            numbers[name], places = coded(name, raw[name])
            fixes += [(name, place, raw[name][place]) for place in places]
        self._raw = raw
        abouts = _abouts(containers)
        moment = Moment(numbers, old.numbers, document["interval_seconds"], old.kept, _apart(abouts))
        for name in DERIVED:
            expected, real = derived(name, moment, raw), raw[name]
            if tuple(expected) != real:
                pairs = enumerate(zip(expected, real, strict=True))
                fixes += [(name, place, value) for place, (one, value) in pairs if one != value]
        top = {key: value for key, value in document.items() if key != "containers"}
        head = _head(old.head, top)
        if fixes:
            head["x"] = fixes
        return Picture(top, abouts, numbers, old.numbers, {name: raw[name] for name in KEPT}, fixes), head

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
        self.last = EMPTY

    def decode(self, data: bytes) -> Picture:
        """Return the next tick."""
        try:
            length, start = _read_varint(data, 0)
            body = self._inflate.decompress(data[start : start + length] + TAIL, MOST_BYTES)
            if self._inflate.unconsumed_tail:
                raise ValueError("a tick is too large")
            self.last = self._read(body, data[start + length :])
        except (LookupError, TypeError, AttributeError, ArithmeticError, RecursionError, zlib.error) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error
        return self.last

    def _read(self, body: bytes, tail: bytes) -> Picture:
        length, start = _read_varint(body, 0)
        head = json.loads(body[start : start + length])
        old = self.last
        if "n" in head:
            self._names = tuple(map(str, head["c"]))
            old = EMPTY._replace(numbers={name: [] for name in dict.fromkeys((*COLUMNS, *self._names))})
            stills = map(self._lookup, head["n"])
            abouts = [{**still, **rest} for still, rest in zip(stills, head["r"], strict=True)]
            old = _moved(old, [None] * len(abouts))
        else:
            if "o" in head:
                old = _moved(old, _places(head["o"], len(old.abouts)))
            abouts = list(old.abouts)
            for place, news in head.get("a", {}).items():
                abouts[int(place)] = {**abouts[int(place)], **news}
        numbers = _unpacked(body, start + length, tail, old.numbers, self._names, whole="n" in head)
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


def _apart(abouts: Sequence[About]) -> list[bool]:
    return [about.get("cpu.source") == "processes" for about in abouts]


def _head(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    host = old.get("host", {})
    head: dict[str, Any] = {"t": new["taken_at"], "s": new["interval_seconds"]}
    if news := {key: value for key, value in new["host"].items() if key not in host or host[key] != value}:
        head["h"] = news
    plain = (key for key in new if key not in ("taken_at", "interval_seconds", "host"))
    if news := {key: new[key] for key in plain if key not in old or old[key] != new[key]}:
        head["d"] = news
    return head


def _news(old: Sequence[About], new: Sequence[About]) -> dict[int, About]:
    """Return what is new of each about. Its keys are always the same ones."""
    pairs = enumerate(zip(old, new, strict=True))
    return {
        place: {key: value for key, value in after.items() if key not in before or before[key] != value}
        for place, (before, after) in pairs
        if before != after
    }


def _moved(picture: Picture, before: Sequence[int | None]) -> Picture:
    """Return a picture in another order; a container that was not in it has None and 0 for everything."""
    return picture._replace(
        abouts=[{} if place is None else picture.abouts[place] for place in before],
        numbers={
            name: [0 if place is None else column[place] for place in before]
            for name, column in picture.numbers.items()
        },
        kept={
            name: [None if place is None else column[place] for place in before]
            for name, column in picture.kept.items()
        },
        fixes=(),
    )


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


def _expected(
    name: str, changes: Mapping[str, list[int]], old: Mapping[str, Sequence[int]]
) -> list[int] | None:
    """Return how a column should change, from changes that are known already; None when nothing is to be expected."""
    if name == USER and TOTAL in changes:
        each = zip(changes[TOTAL], old[USER], old[TOTAL], strict=True)
        return [change * min(part, whole) // whole if whole > 0 else 0 for change, part, whole in each]
    expected = None
    for other, sign in EXPECTED.get(name, ()):
        if other in changes:
            column = changes[other] if sign > 0 else [-one for one in changes[other]]
            expected = list(map(add, expected, column)) if expected else column
    return expected


def _packed(
    old: Mapping[str, list[int]], new: Mapping[str, list[int]], *, whole: bool
) -> tuple[bytes, bytes]:
    """Write the columns that changed, as differences from what was expected, of the containers that changed.

    Two parts: which columns and containers, and of each number how long it is in bits, for the deflate stream; and
    those bits without the first, in which there is nothing left to compress.
    """
    changes = {name: list(map(sub, new[name], old[name])) for name in COLUMNS if new[name] is not old[name]}
    changes = {name: column for name, column in changes.items() if any(column)}
    left = {}
    for name in COLUMNS:
        column, expected = changes.get(name), _expected(name, changes, old)
        if expected:
            column = list(map(sub, column or [0] * len(expected), expected))
        if column and any(column):
            # A whole picture: most containers have in common how they are limited.
            left[name] = list(map(sub, column, [0, *column[:-1]])) if whole else column
    active = [whole] * len(new[TOTAL]) if whole else list(map(any, zip(*changes.values(), strict=True)))
    mask = sum(1 << bit for bit, name in enumerate(COLUMNS) if name in left)
    places = sum(1 << place for place, changed in enumerate(active) if changed)
    parts = [_varint(mask), places.to_bytes(len(new[TOTAL]) // 8 + 1, "little")]
    bits = ["1"]
    for column in left.values():
        shift = 0 if reduce(or_, column) & ((1 << PAGE_SHIFT) - 1) else PAGE_SHIFT
        chosen = [one >> shift for one in compress(column, active)]
        plain = [one << 1 if one >= 0 else (-one << 1) - 1 for one in chosen]
        parts += bytes((shift,)), bytes(map(int.bit_length, plain))
        bits += [bin(one)[3:] for one in plain if one > 1]
    tail = "".join(bits)
    return b"".join(parts), int(tail, 2).to_bytes((len(tail) + 7) // 8, "big")


def _unpacked(
    body: bytes, at: int, tail: bytes, old: Mapping[str, list[int]], names: Sequence[str], *, whole: bool
) -> dict[str, list[int]]:
    mask, at = _read_varint(body, at)
    count = len(old[TOTAL])
    size = count // 8 + 1
    places, at = int.from_bytes(body[at : at + size], "little"), at + size
    active = [place for place in range(count) if places >> place & 1]
    bits, position = bin(int.from_bytes(tail, "big"))[3:], 0
    changes: dict[str, list[int]] = {}
    for bit, name in enumerate(names):
        expected = _expected(name, changes, old)
        if not mask >> bit & 1:
            if expected and any(expected):
                changes[name] = expected
            continue
        shift = min(body[at], PAGE_SHIFT)
        column = [0] * count
        lengths, at = body[at + 1 : at + 1 + len(active)], at + 1 + len(active)
        for place, length in zip(active, lengths, strict=True):
            if length:
                value = int("1" + bits[position : position + length - 1], 2)
                position += length - 1
                column[place] = ((value >> 1) ^ -(value & 1)) << shift
        column = list(accumulate(column)) if whole else column
        changes[name] = list(map(add, column, expected)) if expected else column
    if position != len(bits):
        raise ValueError("its numbers are cut off")
    return {name: list(map(add, column, changes[name])) if name in changes else column for name, column in old.items()}


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:  # noqa: PLR2004  seven bits a byte
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(body: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004
            return value, at
        shift += 7
        if shift > 70:  # noqa: PLR2004  nothing written here has more than 64 bits
            raise ValueError("a number is too long")
