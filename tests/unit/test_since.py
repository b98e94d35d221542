"""Since when something is there, and how well that is known."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from inspector.since import booted


@dataclass
class Totals:
    """What is asked of the kernel's totals."""

    boot_time: float | None
    uptime_seconds: float = 50.0


@pytest.mark.parametrize(
    ("told", "now", "expected"),
    [
        (1000.0, 1050.7, 1000.7),
        (1000.0, 1050.0, 1000.0),
        (1000.0, 1051.2, 1001.2),  # its totals were read a moment before
        (1000.0, 1049.9, 1000.0),  # another machine's, or the clock has been set meanwhile
        (1000.0, 1051.6, 1000.0),
        (None, 1050.7, None),
    ],
)
def test_the_boot_is_told_in_whole_seconds(told: float | None, now: float, expected: float | None) -> None:
    """What is missing of a second is known from the uptime, as far as that belongs to what was told."""
    assert booted(Totals(told), now) == (None if expected is None else pytest.approx(expected))  # type: ignore[arg-type]
