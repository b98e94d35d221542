"""Figures as a reader sees them, in the texts of findings as in the views. Pure."""

from __future__ import annotations

import math

__all__ = ["SCHEMA", "UNKNOWN", "byte_size", "three_digits"]

SCHEMA = 1  # of the document (inspector.schema, whose types take as long to import as all that writes it)
UNKNOWN = "-"
BYTE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def three_digits(value: float) -> str:
    """Write three significant digits: 1.23, 12.3, 123; a whole number has no fraction ("64MiB" is exact)."""
    if value == int(value):
        return str(int(value))
    decimals = 2 if value < 9.995 else 1 if value < 99.95 else 0  # noqa: PLR2004  where rounding adds a digit
    return f"{value:.{decimals}f}"


def byte_size(value: float | None) -> str:
    """Bytes in binary units as docker writes them, at most seven characters: 512B, 12.3MiB, 1023MiB."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    unit = 0
    while round(value) >= 1024 and unit < len(BYTE_UNITS) - 1:  # noqa: PLR2004  binary units
        value /= 1024
        unit += 1
    return three_digits(round(value) if unit == 0 else value) + BYTE_UNITS[unit]
