"""Numbers as bits: how long each is in a prefix code of its column, behind it the number without its first bit. Pure.

The codes are Huffman's, of the lengths that the column had so far in its
stream: who reads counts as who wrote did, so no code has to be kept. Zeros in
a row are one number in bijective base 2 (as in bzip2): a digit is a symbol.
Both ends must make the same codes: how they are made is part of the schema.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence

__all__ = ["END", "Codes"]

LONGEST = 67  # bits of a number, a sign among them
ONE, TWO = 0, LONGEST + 1
"""The digits of a row of zeros. All symbols between are the lengths of numbers."""
SEEN = 16  # what a symbol that was seen weighs, beside one that never was
PEEK = 8  # bits of which a dictionary knows at once what they begin with
END = "0" * 128  # behind the bits, so that the last code can be looked up as any other

Key = tuple[str, bool]
Table = list[str]


class Codes:
    """The codes of one stream; a key is a column, and whether numbers below zero are among its own."""

    def __init__(self) -> None:
        self._ticks = 0
        self._counts: dict[Key, Counter[int]] = {}
        self._tables: dict[Key, Table] = {}
        self._starts: dict[Key, dict[str, tuple[int, int]]] = {}

    def write(self, key: Key, numbers: Sequence[int]) -> str:
        """Return numbers, none below zero, as bits."""
        table = self._tables.get(key) or DEFAULT
        digits: list[int] = []
        bits: list[str] = []
        zeros = 0
        for text in map(bin, numbers):
            if text == "0b0":
                zeros += 1
                continue
            if zeros:
                digits += (row := _digits(zeros))
                bits += [table[digit] for digit in row]
                zeros = 0
            bits += table[len(text) - 2], text[3:]
        digits += (row := _digits(zeros))
        self._count(key, numbers, digits)
        return "".join((*bits, *(table[digit] for digit in row)))

    def read(self, key: Key, bits: str, at: int, count: int) -> tuple[list[int], int]:
        """Return `count` numbers from a place on, and the place behind them; `bits` end with END. Or a ValueError."""
        table, start = self._tables.get(key) or DEFAULT, self._starts_of(key).get
        digits: list[int] = []
        numbers = [0] * count
        place, weight = 0, 1
        while place < count:
            symbol, length = start(bits[at : at + PEEK]) or _long(table, bits, at)
            at += length
            if 0 < symbol < TWO:
                behind = at + symbol - 1
                numbers[place] = int("1" + bits[at:behind], 2)
                place, at, weight = place + 1, behind, 1
            else:
                digits.append(symbol)
                place += weight << (symbol == TWO)
                weight <<= 1
        if place > count or at > len(bits) - len(END):
            raise ValueError("its numbers are cut off")
        self._count(key, numbers, digits)
        return numbers, at

    def end_tick(self) -> None:
        """Make new codes when twice as many ticks have been seen."""
        self._ticks += 1
        if not self._ticks & (self._ticks - 1):
            self._tables = {key: _table(counts) for key, counts in self._counts.items()}
            self._starts = {}

    def _count(self, key: Key, numbers: Sequence[int], digits: Sequence[int]) -> None:
        counts = self._counts.get(key)
        if counts is None:
            counts = self._counts[key] = Counter()
        counts.update(digits)
        counts.update(map(int.bit_length, filter(None, numbers)))

    def _starts_of(self, key: Key) -> dict[str, tuple[int, int]]:
        starts = self._starts.get(key)
        if starts is None:
            starts = self._starts[key] = {}
            for symbol, code in enumerate(self._tables.get(key) or DEFAULT):
                left = PEEK - len(code)
                for rest in range(1 << left) if left >= 0 else ():
                    starts[code + (f"{rest:b}".zfill(left) if left else "")] = symbol, len(code)
        return starts


def _digits(zeros: int) -> list[int]:
    """Write a number from 1 in base 2 with the digits 1 and 2, the lowest first; 0 has none."""
    digits = []
    while zeros > 0:
        digits.append(ONE if zeros & 1 else TWO)
        zeros = (zeros - 1) >> 1
    return digits


def _table(counts: Counter[int]) -> Table:
    """Return Huffman's codes for all symbols there may be."""
    heap: list[tuple[int, int, tuple[int, ...]]]
    heap = [(counts[symbol] * SEEN + 1, symbol, (symbol,)) for symbol in range(TWO + 1)]
    lengths = [0] * (TWO + 1)
    heapq.heapify(heap)
    while len(heap) > 1:
        (lighter, first, some), (heavier, second, others) = heapq.heappop(heap), heapq.heappop(heap)
        both = some + others
        for symbol in both:
            lengths[symbol] += 1
        heapq.heappush(heap, (lighter + heavier, min(first, second), both))
    # The lengths alone matter: codes in the order of length and symbol.
    table, code, last = [""] * (TWO + 1), 0, 0
    for length, symbol in sorted((length, symbol) for symbol, length in enumerate(lengths)):
        code <<= length - last
        table[symbol] = f"{code:b}".zfill(length)
        code, last = code + 1, length
    return table


def _long(table: Table, bits: str, at: int) -> tuple[int, int]:
    """Return the symbol whose code is longer than PEEK bits, and its length."""
    for symbol, code in enumerate(table):
        if len(code) > PEEK and bits.startswith(code, at):
            return symbol, len(code)
    raise ValueError("its numbers are cut off")


DEFAULT = _table(Counter())
