"""What is kept of a counter: its growth to seven binary digits, time no finer than a view shows it. Pure.

The last digits of microseconds and bytes are noise that nothing foretells: all a busy machine's recording would
consist of. A step is a share of the growth (0.8 to 1.6 percent), or a thousandth of a core's time where that is more.
What was left out is made up for as soon as it comes to a whole step, so that a counter that is kept never runs away
from the real one, and never ahead of it. Three columns rounded each for itself would be noise about their sum: system
time is kept so that with user time it stays as far from the total as it was, wherever that is near enough.

The kernel's shares of time, averages that move for a minute after each stall, are kept in whole percents, as findings
tell of them (inspector.findings).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inspector.ctop.recording.columns import MICRO
from inspector.fields import FIELDS

__all__ = ["DIGITS", "ROUGH", "SHARES", "finest", "rounded", "rounded_rest", "rounded_top",
           "whole_percents"]

DIGITS = 7
CLOCK_DIGITS, TIME_DIGITS, CORES_DIGITS = 3, 4, 4
"""Decimals of the moment, of the interval (which rates are over), and of the machine's cores in use."""
ROUGH = frozenset(row.name for row in FIELDS if row.kind == "counter" and row.unit in ("seconds", "bytes"))
SHARES = frozenset(row.name for row in FIELDS if row.unit == "share")
PERCENT = 10_000  # of a column of shares, which are in millionths


def finest(name: str, seconds: float | None) -> int:
    """Return the least step of a column: of time about a thousandth of what passed, a power of two."""
    # A step too many or too few at the middle between two powers of two, where no interval is.
    return 1 << max(int((seconds or 1.0) * 1448).bit_length() - 1, 0) if name in MICRO else 1


def rounded(now: Sequence[int], before: Sequence[int], kept: Sequence[int], least: int) -> list[int]:
    """Return what is kept of a column, from it `now` and `before` and what was kept of it then; 0 is unknown."""
    found, short = [], least << DIGITS
    for after, earlier, base in zip(now, before, kept, strict=True):
        grown = after - earlier
        if grown < 0 or not 0 < base <= earlier:  # begun anew, or new
            found.append(after)
        elif not grown:  # what does nothing has done nothing, whatever is still to be made up for
            found.append(base)
        else:
            step = least if grown < short else 1 << grown.bit_length() - DIGITS
            more = base + (grown & -step)
            found.append(more + step if after - more >= step else more)
    return found


def rounded_rest(
    now: Sequence[int], before: Sequence[int], kept: Sequence[int], least: int, expected: Sequence[int]
) -> list[int]:
    """Return what is kept of a column of which it is `expected` by how much it grows: that, where it is near enough.

    As near as `rounded` may ever be: never ahead, never two steps behind, and still where the real one is.
    """
    found = rounded(now, before, kept, least)
    for index, (after, earlier, base, change) in enumerate(zip(now, before, kept, expected, strict=True)):
        grown, wanted = after - earlier, base + change
        step = max(least, 1 << max(grown.bit_length() - DIGITS, 0))
        if grown > 0 and 0 < base <= earlier and change >= 0 and 0 <= after - wanted < 2 * step:
            found[index] = wanted
    return found


def whole_percents(shares: Sequence[int]) -> list[int]:
    """Return what is kept of a column of shares: never more than it is, so that nothing comes to a threshold by it."""
    return [(one - 1) // PERCENT * PERCENT + 1 if one > 0 else one for one in shares]  # 0 is unknown


def rounded_top(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is kept of a document beside its containers."""
    top = {key: value for key, value in document.items() if key != "containers"}
    seconds, cores = top["interval_seconds"], top["host"]["usage_cores"]
    top["taken_at"] = round(top["taken_at"], CLOCK_DIGITS)
    # Never to nothing: rates are divided by it.
    top["interval_seconds"] = seconds and (round(seconds, TIME_DIGITS) or seconds)
    top["host"] = {**top["host"], "usage_cores": cores and round(cores, CORES_DIGITS)}
    return top
