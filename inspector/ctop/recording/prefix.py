"""Numbers as bits: how each begins in a prefix code of its column, and behind it the rest of its bits. Pure.

A symbol is a number below 16, or how long one is and the two bits behind its
first. The codes are Huffman's, of the symbols that the column had so far in
its stream: who reads counts as who wrote did, so no code has to be kept.
Zeros in a row are one number in bijective base 2 (as in bzip2): a digit is a
symbol. Of a long number only the first `digits` bits are written where the
others are zeros. Both ends must make the same codes: how they are made is
part of the schema.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Sequence

__all__ = ["END", "Codes"]

LONGEST = 67  # bits of a number, a sign among them
WHOLE = 4  # bits of the numbers that are symbols themselves
ONE, TWO = 0, 4 * LONGEST
"""The digits of a row of zeros. All symbols between say how a number begins."""
SEEN = 16  # what a symbol that was seen weighs, beside one that never was
PEEK = 10  # bits of which a dictionary knows at once what they begin with
END = "0" * 128  # behind the bits, so that the last code can be looked up as any other

Key = tuple[str, bool]
Table = list[str]
Starts = dict[str, tuple[int, int]]
"""What bits begin with, the first PEEK of them or all of a longer code: a symbol, and how long its code is."""


class Codes:
    """The codes of one stream; a key is a column, and whether numbers below zero are among its own."""

    def __init__(self) -> None:
        self._ticks = 0
        self._counts: dict[Key, Counter[int]] = {}
        self._tables: dict[Key, Table] = {}
        self._starts: dict[Key, Starts] = {}

    def write(self, key: Key, numbers: Sequence[int], digits: int = LONGEST) -> str:
        """Return numbers, none below zero, as bits."""
        table = self._tables.get(key) or DEFAULT
        symbols: list[int] = []
        bits: list[str] = []
        zeros = 0
        for number in numbers:
            if not number:
                zeros += 1
                continue
            if zeros:
                symbols += (row := _row(zeros))
                bits += [table[symbol] for symbol in row]
                zeros = 0
            symbol = number
            if number >> WHOLE:
                text = bin(number)  # "0b1", two bits, the rest
                symbol = 4 * (len(text) - 3) + int(text[3:5], 2)
                bits += table[symbol], text[5 : digits + 2]
            else:
                bits.append(table[symbol])
            symbols.append(symbol)
        symbols += (row := _row(zeros))
        self._count(key, symbols)
        return "".join((*bits, *(table[symbol] for symbol in row)))

    def read(self, key: Key, bits: str, at: int, count: int, digits: int = LONGEST) -> tuple[list[int], int]:
        """Return `count` numbers from a place on, and the place behind them; `bits` end with END. Or a ValueError."""
        start = self._starts_of(key).get
        symbols: list[int] = []
        numbers = [0] * count
        place, weight = 0, 1
        while place < count:
            symbol, length = start(bits[at : at + PEEK]) or _long(start, bits, at)
            at += length
            symbols.append(symbol)
            if 0 < symbol < TWO:
                numbers[place] = symbol
                if symbol >> WHOLE:
                    left = (symbol >> 2) - 2  # the bits behind the first three
                    said = min(left, digits - 3)
                    first = 4 | symbol & 3
                    numbers[place] = (first << said | int(bits[at : at + said], 2)) << left - said
                    at += said
                place, weight = place + 1, 1
            else:
                place += weight << (symbol == TWO)
                weight <<= 1
        if place > count or at > len(bits) - len(END):
            raise ValueError("its numbers are cut off")
        self._count(key, symbols)
        return numbers, at

    def end_tick(self) -> None:
        """Make new codes when twice as many ticks have been seen."""
        self._ticks += 1
        if not self._ticks & (self._ticks - 1):
            self._tables = {key: _table(counts) for key, counts in self._counts.items()}
            self._starts = {}

    def _count(self, key: Key, symbols: Sequence[int]) -> None:
        counts = self._counts.get(key)
        if counts is None:
            counts = self._counts[key] = Counter()
        counts.update(symbols)

    def _starts_of(self, key: Key) -> Starts:
        starts = self._starts.get(key)
        if starts is None:
            starts = self._starts[key] = {}
            for symbol, code in enumerate(self._tables.get(key) or DEFAULT):
                left = max(PEEK - len(code), 0)
                for rest in range(1 << left):
                    starts[code + (f"{rest:b}".zfill(left) if left else "")] = symbol, len(code)
        return starts


def _row(zeros: int) -> list[int]:
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


def _long(start: Callable[[str], tuple[int, int] | None], bits: str, at: int) -> tuple[int, int]:
    """Return the symbol whose code is longer than PEEK bits, and its length."""
    for length in range(PEEK + 1, TWO + 1):
        if (found := start(bits[at : at + length])) is not None:
            return found
    raise ValueError("its numbers are cut off")


DEFAULT = _table(Counter())
