"""Columns of whole numbers as bits: what changed, less what was to be expected of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from itertools import accumulate, compress
from operator import add, or_, sub

from inspector.ctop.recording.columns import COLUMNS, EXPECTED
from inspector.ctop.recording.prefix import END, LONGEST, Codes
from inspector.ctop.recording.rounding import DIGITS, ROUGH

__all__ = ["pack", "read_varint", "unpack", "varint"]

SHIFT, EXACT, FALLS = 0x3F, 0x40, 0x80
"""Of a column's byte: how many zeros all its numbers end with, whether more than DIGITS are written, the signs."""
TOTAL, USER = "cpu.usage_seconds", "cpu.user_seconds"
USED, PEAK = "memory.usage_bytes", "memory.peak_bytes"


def _expected(name: str, changes: Mapping[str, list[int]], old: Mapping[str, Sequence[int]]) -> list[int] | None:
    """Return how a column should change, from changes that are known already; None when nothing is to be expected."""
    if name == USER and TOTAL in changes:
        each = zip(changes[TOTAL], old[USER], old[TOTAL], strict=True)
        step = -1 << _zeros(changes[TOTAL])
        return [change * min(part, whole) // whole & step if whole > 0 else 0 for change, part, whole in each]
    if name == PEAK and USED in changes:
        each = zip(changes[USED], old[USED], old[PEAK], strict=True)
        return [max(used + change - peak, 0) if peak > 0 else 0 for change, used, peak in each]
    expected = None
    for other, sign in EXPECTED.get(name, ()):
        if other in changes:
            column = changes[other] if sign > 0 else [-one for one in changes[other]]
            expected = list(map(add, expected, column)) if expected else column
    return expected


def _zeros(column: Sequence[int]) -> int:
    """Return how many zero bits all numbers of a column end with."""
    every = reduce(or_, column)
    return min((every & -every).bit_length() - 1, SHIFT) if every else 0


def pack(
    old: Mapping[str, list[int]], new: Mapping[str, list[int]], codes: Codes, *, whole: bool
) -> tuple[bytes, str]:
    """Write the columns that changed, as differences from what was expected, of the containers that changed.

    Two parts: which columns and containers, and a byte about each column, for the deflate stream; and the numbers'
    bits, in which there is nothing left to compress. Of a whole picture, in which much is the same, how long its
    numbers are is in the first part.
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
    parts = [varint(mask), places.to_bytes(len(new[TOTAL]) // 8 + 1, "little")]
    bits = []
    for name, column in left.items():
        shift = _zeros(column)
        plain = [one >> shift for one in compress(column, active)]
        falls = min(plain) < 0
        if falls:
            plain = [one << 1 if one >= 0 else (-one << 1) - 1 for one in plain]
        if whole:
            parts.append(bytes((shift | FALLS * falls,)))
            parts.append(bytes(map(int.bit_length, plain)))
            bits += [bin(one)[3:] for one in plain if one > 1]
            continue
        exact = falls or name not in ROUGH or any(one & _behind(one) for one in plain)
        parts.append(bytes((shift | FALLS * falls | EXACT * exact,)))
        bits.append(codes.write((name, falls), plain, LONGEST if exact else DIGITS))
    return b"".join(parts), "".join(bits)


def _behind(number: int) -> int:
    """Return a mask of the bits of a number that are behind its first DIGITS."""
    return (1 << max(number.bit_length() - DIGITS, 0)) - 1


def unpack(
    body: bytes, at: int, bits: str, position: int, old: Mapping[str, list[int]], names: Sequence[str], codes: Codes,
    *, whole: bool,
) -> tuple[dict[str, list[int]], int, int]:  # fmt: skip
    """Return the columns that `pack` wrote, and the places behind both parts; ValueError when they are cut off.

    `bits` end with END.
    """
    mask, at = read_varint(body, at)
    count = len(old[TOTAL])
    size = count // 8 + 1
    places, at = int.from_bytes(body[at : at + size], "little"), at + size
    active = [place for place in range(count) if places >> place & 1]
    changes: dict[str, list[int]] = {}
    for bit, name in enumerate(names):
        expected = _expected(name, changes, old)
        if not mask >> bit & 1:
            if expected and any(expected):
                changes[name] = expected
            continue
        about, at = body[at], at + 1
        if whole:
            lengths, at = body[at : at + len(active)], at + len(active)
            plain, position = _plain(lengths, bits, position)
        else:
            digits = LONGEST if about & EXACT else DIGITS
            plain, position = codes.read((name, bool(about & FALLS)), bits, position, len(active), digits)
        column = [0] * count
        for place, value in zip(active, plain, strict=True):
            column[place] = ((value >> 1) ^ -(value & 1) if about & FALLS else value) << (about & SHIFT)
        column = list(accumulate(column)) if whole else column
        column = list(map(add, column, expected)) if expected else column
        if any(column):  # what stays as it is foretells nothing, in `pack` either
            changes[name] = column
    if position > len(bits) - len(END):
        raise ValueError("its numbers are cut off")
    new = {name: list(map(add, column, changes[name])) if name in changes else column for name, column in old.items()}
    return new, at, position


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
