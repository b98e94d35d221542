"""Numbers as bits: how each begins in a prefix code of its column, and behind it the rest of its bits. Pure.

A symbol is a number below 16, or how long one is and the two bits behind its
first. The codes are Huffman's, of the symbols that the column had so far in
its stream: who reads counts as who wrote did, so no code has to be kept. A
symbol that the column had not yet is written as it is, behind the code NEW.
Zeros in a row are one number in bijective base 2 (as in bzip2): a digit is a
symbol. Of a long number only the first `digits` bits are written where the
others are zeros. Both ends must make the same codes: how they are made is
part of the schema.
"""

from __future__ import annotations

import heapq
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

__all__ = ["END", "Codes"]

LONGEST = 67  # bits of a number, a sign among them
WHOLE = 4  # bits of the numbers that are symbols themselves
ONE, TWO = 0, 4 * LONGEST
"""The digits of a row of zeros. All symbols between say how a number begins."""
NEW = TWO + 1
BITS = NEW.bit_length()  # of a symbol that is written as it is
PEEK = 10  # bits of which a dictionary knows at once what they begin with
END = "0" * 128  # behind the bits, so that the last code can be looked up as any other

Key = tuple[str, bool]
Table = dict[int, str]
Starts = dict[str, tuple[int, int]]
"""What bits begin with, the first PEEK of them or all of a longer code: a symbol, and how long its code is."""

ZERO, ZEROS = "z", re.compile("z+")
MOST_TEXTS = 1 << 14


class Texts(dict[int, str]):
    """The bits of each number that a column had, by a table of codes; of a 0 ZERO."""

    def __init__(self, table: Table, digits: int) -> None:
        self.rows = Rows(table)
        self._table, self._digits = table, digits
        self[0] = ZERO

    def __missing__(self, number: int) -> str:
        symbol = _symbol(number)
        text = _code(self._table, symbol)
        if number >> WHOLE:
            text += bin(number)[5 : self._digits + 2]  # "0b1", two bits, the rest
        if len(self) < MOST_TEXTS:
            self[number] = text
        return text


class Rows(dict[str, str]):
    """The bits of each row of ZEROs that a column had, by a table of codes."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def __missing__(self, zeros: str) -> str:
        text = self[zeros] = "".join(_code(self._table, digit) for digit in _row(len(zeros)))
        return text


class Codes:
    """The codes of one stream; a key is a column, and whether numbers below zero are among its own."""

    def __init__(self) -> None:
        self._ticks = 0
        self._counts: dict[Key, Counter[int]] = {}
        # What was written since the codes were made: numbers, and rows of zeros.
        self._numbers: dict[Key, Counter[int]] = {}
        self._zeros: dict[Key, Counter[str]] = {}
        self._tables: dict[Key, Table] = {}
        self._texts: dict[tuple[Key, int], Texts] = {}
        self._starts: dict[Key, Starts] = {}

    def write(self, key: Key, numbers: Sequence[int], digits: int = LONGEST) -> str:
        """Return numbers, none below zero, as bits."""
        texts = self._texts.get((key, digits))
        if texts is None:
            texts = self._texts[key, digits] = Texts(self._tables.get(key, UNKNOWN), digits)
            self._numbers.setdefault(key, Counter())
            self._zeros.setdefault(key, Counter())
        self._numbers[key].update(numbers)
        bits = "".join(map(texts.__getitem__, numbers))
        if ZERO not in bits:
            return bits
        self._zeros[key].update(ZEROS.findall(bits))
        rows = texts.rows
        return ZEROS.sub(lambda found: rows[found[0]], bits)

    def read(self, key: Key, bits: str, at: int, count: int, digits: int = LONGEST) -> tuple[list[int], int]:
        """Return `count` numbers from a place on, and the place behind them; `bits` end with END. Or a ValueError."""
        start = self._starts_of(key).get
        symbols: list[int] = []
        numbers = [0] * count
        place, weight = 0, 1
        while place < count:
            symbol, length = start(bits[at : at + PEEK]) or _long(start, bits, at)
            at += length
            if symbol == NEW:
                symbol, at = int(bits[at : at + BITS], 2), at + BITS
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
        if place > count or at > len(bits) - len(END) or max(symbols, default=0) > TWO:
            raise ValueError("its numbers are cut off")
        self._count(key).update(symbols)
        return numbers, at

    def end_tick(self) -> None:
        """Make new codes when twice as many ticks have been seen."""
        self._ticks += 1
        if self._ticks & (self._ticks - 1):
            return
        for key, numbers in self._numbers.items():
            counts = self._count(key)
            for number, count in numbers.items():
                if number:
                    counts[_symbol(number)] += count
            for zeros, count in self._zeros[key].items():
                for digit in _row(len(zeros)):
                    counts[digit] += count
        self._numbers, self._zeros, self._texts, self._starts = {}, {}, {}, {}
        self._tables = {key: _table(counts) for key, counts in self._counts.items()}

    def _count(self, key: Key) -> Counter[int]:
        return self._counts.setdefault(key, Counter())

    def _starts_of(self, key: Key) -> Starts:
        starts = self._starts.get(key)
        if starts is None:
            starts = self._starts[key] = {}
            for symbol, code in self._tables.get(key, UNKNOWN).items():
                found, left = (symbol, len(code)), max(PEEK - len(code), 0)
                starts.update(dict.fromkeys([code + rest for rest in ENDINGS[left]], found))
        return starts


def _symbol(number: int) -> int:
    """Return how a number other than 0 begins."""
    length = number.bit_length()
    return 4 * (length - 1) + (number >> (length - 3) & 3) if number >> WHOLE else number


def _code(table: Mapping[int, str], symbol: int) -> str:
    code = table.get(symbol)
    return code if code is not None else f"{table[NEW]}{symbol:0{BITS}b}"


def _row(zeros: int) -> list[int]:
    """Write a number from 1 in base 2 with the digits 1 and 2, the lowest first; 0 has none."""
    digits = []
    while zeros > 0:
        digits.append(ONE if zeros & 1 else TWO)
        zeros = (zeros - 1) >> 1
    return digits


def _table(counts: Mapping[int, int]) -> Table:
    """Return Huffman's codes for the symbols there were, and for NEW, which weighs as much as all when they were."""
    heap = [(count, symbol, {symbol: 0}) for symbol, count in (*counts.items(), (NEW, len(counts) or 1))]
    heapq.heapify(heap)
    while len(heap) > 1:
        lighter, first, some = heapq.heappop(heap)
        heavier, second, others = heap[0]
        both = {symbol: length + 1 for symbol, length in (*some.items(), *others.items())}
        heapq.heapreplace(heap, (lighter + heavier, min(first, second), both))
    # The lengths alone matter: codes in the order of length and symbol.
    table, code, last = {}, 0, 0
    for length, symbol in sorted((length, symbol) for symbol, length in heap[0][2].items()):
        code <<= length - last
        table[symbol] = f"{code:0{length}b}" if length else ""
        code, last = code + 1, length
    return table


def _long(start: Callable[[str], tuple[int, int] | None], bits: str, at: int) -> tuple[int, int]:
    """Return the symbol whose code is longer than PEEK bits, and its length."""
    for length in range(PEEK + 1, NEW + 1):
        if (found := start(bits[at : at + length])) is not None:
            return found
    raise ValueError("its numbers are cut off")


UNKNOWN: Table = {NEW: ""}  # nothing was there yet
ENDINGS = [[f"{rest:b}".zfill(left) if left else "" for rest in range(1 << left)] for left in range(PEEK + 1)]
