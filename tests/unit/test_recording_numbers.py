"""The numbers of a recording in as few bits as they need."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from inspector.ctop.recording import packing, picture
from inspector.ctop.recording.columns import COLUMNS
from inspector.ctop.recording.prefix import END, Codes


def streams() -> st.SearchStrategy[list[list[tuple[str, list[int]]]]]:
    """Return ticks of a stream, each of some columns of numbers: small ones, large ones, many zeros."""
    number = st.just(0) | st.integers(0, 20) | st.integers(0, (1 << 66) - 1)
    column = st.tuples(st.sampled_from("ab"), st.lists(number, max_size=40))
    return st.lists(st.lists(column, max_size=3), max_size=12)


@given(streams())
def test_numbers_come_back_as_they_were(ticks: list[list[tuple[str, list[int]]]]) -> None:
    """Whoever reads makes the same codes as who wrote, tick by tick, whatever the numbers."""
    ours, theirs = Codes(), Codes()
    for columns in ticks:
        bits = "".join(ours.write((name, False), numbers) for name, numbers in columns) + END
        at = 0
        for name, numbers in columns:
            found, at = theirs.read((name, False), bits, at, len(numbers))
            assert found == numbers
        assert at == len(bits) - len(END)
        ours.end_tick()
        theirs.end_tick()


LOOK = st.lists(st.lists(st.integers(0, 9), min_size=6, max_size=6), min_size=3, max_size=3)
"""Six figures of each of three containers."""


@given(st.lists(LOOK, min_size=2, max_size=5), st.sets(st.integers(0, 2)))
def test_columns_that_foretell_others_come_back(looks: list[list[list[int]]], still: set[int]) -> None:
    """Whoever reads expects the same of a column as who wrote, whichever of them and of the containers stand still."""
    names = [f"cpu.{part}_seconds" for part in ("usage", "user", "system")]
    names += [f"memory.{part}_bytes" for part in ("usage", "anon", "peak")]
    ours, theirs = Codes(), Codes()
    old = picture.none_of(3)
    for number, look in enumerate(looks):
        rows = [looks[0][place] if place in still else row for place, row in enumerate(look)]
        new = old | {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
        if not number:
            body, bits = packing.pack_whole(new)
        else:
            places = sorted({0, 1, 2} - still)
            before = {name: [old[name][place] for place in places] for name in packing.FORETOLD_BY}
            changes = {name: [new[name][place] - old[name][place] for place in places] for name in names}
            body, bits = packing.pack(changes, packing.Moved(places, before, 3), ours)
        found, *_ = packing.unpack(body, 0, bits + END, 0, old, COLUMNS, theirs, whole=not number)
        assert found == new
        old = new


@given(st.text("01", max_size=300), st.integers(0, 60))
def test_any_bits_are_numbers_or_an_error(bits: str, count: int) -> None:
    """Bits that nobody wrote end in numbers or in a ValueError, not later and not elsewhere."""
    codes = Codes()
    codes.write(("a", False), [1, 2, 3, 0, 0, 0, 1 << 40])
    codes.end_tick()
    with contextlib.suppress(ValueError):
        numbers, at = codes.read(("a", False), bits + END, 0, count)
        assert len(numbers) == count
        assert at <= len(bits)


def test_codes_learn() -> None:
    """Numbers that are alike take hardly more bits than the numbers themselves, zeros in a row next to none."""
    codes = Codes()
    numbers = [1000 + number for number in range(24)]
    sizes = []
    for _ in range(9):
        sizes.append(len(codes.write(("a", False), numbers)))
        codes.end_tick()
    assert sizes[0] > sizes[-1]
    assert sizes[-1] <= 24 * (9 + 1)
    zeros = Codes()
    zeros.write(("a", False), [0] * 200)
    zeros.end_tick()
    assert len(zeros.write(("a", False), [0] * 200)) < 20
