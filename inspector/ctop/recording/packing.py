"""Columns of whole numbers as bits: what changed, less what was to be expected of it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import reduce
from itertools import accumulate, compress
from operator import add, and_, neg, or_, sub
from typing import NamedTuple

from inspector.ctop.recording.columns import COLUMNS, EXPECTED
from inspector.ctop.recording.prefix import END, LONGEST, Codes
from inspector.ctop.recording.rounding import DIGITS, ROUGH

__all__ = ["FORETOLD_BY", "Moved", "pack", "pack_whole", "read_varint", "unpack", "varint"]

SHIFT, EXACT, FALLS = 0x3F, 0x40, 0x80
"""Of a column's byte: how many zeros all its numbers end with, whether more than DIGITS are written, the signs."""
TOTAL, USER = "cpu.usage_seconds", "cpu.user_seconds"
USED, PEAK = "memory.usage_bytes", "memory.peak_bytes"
FORETOLD_BY = (TOTAL, USER, USED, PEAK)
"""The columns whose numbers, not their changes alone, foretell others."""
BIT = (1).__lshift__
BEHIND = [(1 << max(length - DIGITS, 0)) - 1 for length in range(LONGEST + 2)]
"""Of a number with so many bits, those behind the first DIGITS."""


class Moved(NamedTuple):
    """Containers that may have changed: their places `among` how many, and what FORETOLD_BY said of each before."""

    places: Sequence[int]
    old: Mapping[str, Sequence[int]]
    among: int


def _expected(name: str, changes: Mapping[str, list[int]], old: Mapping[str, Sequence[int]]) -> list[int] | None:
    """Return how a column should change, from changes that are known already; None when nothing is to be expected."""
    if name == USER and TOTAL in changes:
        each = zip(changes[TOTAL], old[USER], old[TOTAL], strict=True)
        step = -1 << _zeros(changes[TOTAL])
        return [change * min(part, whole) // whole & step if whole > 0 else 0
                for change, part, whole in each]  # fmt: skip
    if name == PEAK and USED in changes:
        each = zip(changes[USED], old[USED], old[PEAK], strict=True)
        return [max(used + change - peak, 0) if peak > 0 else 0 for change, used, peak in each]
    expected = None
    for other, sign in EXPECTED.get(name, ()):
        if other in changes:
            column = changes[other] if sign > 0 else list(map(neg, changes[other]))
            expected = list(map(add, expected, column)) if expected else column
    return expected


def _zeros(column: Sequence[int]) -> int:
    """Return how many zero bits all numbers of a column end with."""
    every = reduce(or_, column)
    return min((every & -every).bit_length() - 1, SHIFT) if every else 0


def pack_whole(numbers: Mapping[str, list[int]]) -> tuple[bytes, str]:
    """Write columns as they are, in two parts as `pack`; how long the numbers are is in the first one.

    Of each number what differs from the container before: most have in common how they are limited.
    """
    count = len(numbers[TOTAL])
    known = {name: column for name, column in numbers.items() if any(column)}
    left = _unexpected(known, dict.fromkeys(FORETOLD_BY, [0] * count))
    left = {name: list(map(sub, column, [0, *column[:-1]])) for name, column in left.items()}
    parts, bits = [_which(left, range(count), count)], []
    for column in left.values():
        about, plain = _plainly(column)
        parts += bytes((about,)), bytes(map(int.bit_length, plain))
        bits += [bin(one)[3:] for one in plain if one > 1]
    return b"".join(parts), "".join(bits)


def pack(changes: Mapping[str, list[int]], moved: Moved, codes: Codes) -> tuple[bytes, str]:
    """Write how columns changed, as differences from what was expected, of the containers that changed.

    Two parts: which columns and containers, and a byte about each column, for the deflate stream; and the numbers'
    bits, in which there is nothing left to compress.
    """
    changes = {name: column for name, column in changes.items() if any(column)}
    places, old = moved.places, moved.old
    active = list(map(any, zip(*changes.values(), strict=True)))
    if not all(active):
        places = list(compress(places, active))
        changes = {name: list(compress(column, active)) for name, column in changes.items()}
        old = {name: list(compress(column, active)) for name, column in old.items()}
    left = _unexpected(changes, old)
    parts, bits = [_which(left, places if changes else (), moved.among)], []
    for name, column in left.items():
        about, plain = _plainly(column)
        exact = about & FALLS or name not in ROUGH or _is_exact(plain)
        parts.append(bytes((about | EXACT * bool(exact),)))
        bits.append(codes.write((name, bool(about & FALLS)), plain, LONGEST if exact else DIGITS))
    return b"".join(parts), "".join(bits)


def _unexpected(changes: Mapping[str, list[int]], old: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    """Return what of changes is not as expected, column by column in their order."""
    left = {}
    for name in COLUMNS:
        column, expected = changes.get(name), _expected(name, changes, old)
        if expected:
            column = list(map(sub, column or [0] * len(expected), expected))
        if column and any(column):
            left[name] = column
    return left


def _which(left: Collection[str], places: Iterable[int], count: int) -> bytes:
    """Write which columns follow, and of which of so many containers."""
    mask = sum(1 << bit for bit, name in enumerate(COLUMNS) if name in left)
    return varint(mask) + sum(map(BIT, places)).to_bytes(count // 8 + 1, "little")


def _plainly(column: Sequence[int]) -> tuple[int, list[int]]:
    """Return a column's byte and its numbers, without the zeros that all end with and none below zero."""
    about = _zeros(column)
    plain = [one >> about for one in column] if about else list(column)
    if min(plain) < 0:
        about |= FALLS
        plain = [one << 1 if one >= 0 else (-one << 1) - 1 for one in plain]
    return about, plain


def _is_exact(plain: Sequence[int]) -> bool:
    """Tell whether a number has more than DIGITS digits, zeros at the end not counted."""
    return max(plain) >> DIGITS > 0 and any(map(and_, plain, map(BEHIND.__getitem__, map(int.bit_length, plain))))


def unpack(
    body: bytes, at: int, bits: str, position: int, old: Mapping[str, list[int]], names: Sequence[str], codes: Codes,
    *, whole: bool,
) -> tuple[dict[str, list[int]], int, int]:  # fmt: skip
    """Return the columns that `pack` or `pack_whole` wrote, and the places behind both parts; or a ValueError.

    `bits` end with END.
    """
    mask, at = read_varint(body, at)
    count = len(old[TOTAL])
    size = count // 8 + 1
    said, at = int.from_bytes(body[at : at + size], "little"), at + size
    places = [place for place in range(count) if said >> place & 1]
    before = {name: [old[name][place] for place in places] for name in FORETOLD_BY}
    changes: dict[str, list[int]] = {}
    for bit, name in enumerate(names):
        expected = _expected(name, changes, before) if places else None
        if not mask >> bit & 1:
            if expected and any(expected):
                changes[name] = expected
            continue
        about, at = body[at], at + 1
        if whole:
            lengths, at = body[at : at + len(places)], at + len(places)
            plain, position = _plain(lengths, bits, position)
        else:
            digits = LONGEST if about & EXACT else DIGITS
            plain, position = codes.read((name, bool(about & FALLS)), bits, position, len(places), digits)
        column = [(one >> 1 ^ -(one & 1) if about & FALLS else one) << (about & SHIFT) for one in plain]
        column = list(accumulate(column)) if whole else column
        column = list(map(add, column, expected)) if expected else column
        if any(column):  # what stays as it is foretells nothing, in `pack` either
            changes[name] = column
    if position > len(bits) - len(END):
        raise ValueError("its numbers are cut off")
    return {name: _changed(column, places, changes.get(name)) for name, column in old.items()}, at, position


def _changed(column: list[int], places: Sequence[int], changes: Sequence[int] | None) -> list[int]:
    """Return a column after changes at some places."""
    if not changes:
        return column
    new = column[:]
    for place, change in zip(places, changes, strict=True):
        new[place] += change
    return new


def _plain(lengths: bytes, bits: str, position: int) -> tuple[list[int], int]:
    """Return the numbers that are so many bits long, and the place behind them."""
    plain = []
    for length in lengths:
        plain.append(int("1" + bits[position : position + length - 1], 2) if length else 0)
        position += max(length - 1, 0)
    return plain, position


def varint(value: int) -> bytes:
    """Write a number, seven bits a byte."""
    out = bytearray()
    while value > 0x7F:  # noqa: PLR2004  seven bits a byte
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(body: bytes, at: int) -> tuple[int, int]:
    """Return the number at a place, and the place behind it."""
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
