"""Text for a terminal: hostile names made visible, figures with their unit, cells cut to a width.

Pure functions. An unknown value (None, NaN) is always "-", never 0.
"""

from __future__ import annotations

import math
import time

from inspector.figures import UNKNOWN, byte_size, three_digits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    Align = Literal["left", "right"]

__all__ = [
    "UNKNOWN", "Align", "byte_size", "cores", "cores_of", "count", "duration", "fit", "fit_path", "in_units", "percent",
    "rate", "safe", "short_id", "width_of",
]  # fmt: skip

FULL_ID, SHORT_ID = 64, 12  # digits
# os.fsdecode() turns an undecodable byte 0xNN into the lone surrogate U+DCNN.
SURROGATE_BYTES = range(0xDC80, 0xDD00)


def safe(text: str) -> str:
    r"""Return text that can do nothing to a terminal: what does not print becomes \xNN, \uNNNN or \UNNNNNNNN.

    A process chooses its name, command line and cgroup path. Control
    characters and escape sequences, characters that reverse or hide text
    (bidi, zero width), lone surrogates and line separators are made visible.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _visible(ord(char)) for char in text)


def short_id(identifier: str) -> str:
    """Return a full id's first twelve digits, as Docker writes it; any other id is told by all of it."""
    is_full = len(identifier) == FULL_ID and not identifier.strip("0123456789abcdef")
    return identifier[:SHORT_ID] if is_full else safe(identifier)


def _visible(code: int) -> str:
    if code in SURROGATE_BYTES:
        code -= 0xDC00
    if code < 0x100:  # noqa: PLR2004  the code points that fit in \xNN
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"  # noqa: PLR2004


def _known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def rate(value: float | None) -> str:
    """Bytes per second: 12.3KiB/s."""
    return f"{byte_size(value)}/s" if _known(value) else UNKNOWN


def percent(ratio: float | None) -> str:
    """Write a ratio in percent: 0.2 is 20.0%; from 1000% on without a fraction."""
    if ratio is None or not math.isfinite(ratio):
        return UNKNOWN
    value = ratio * 100
    return f"{value:.0f}%" if value >= 999.95 else f"{value:.1f}%"  # noqa: PLR2004  where rounding adds a digit


def cores(value: float | None) -> str:
    """CPUs: 0.20, 1.50, 12.5; a whole number has no fraction, and below a tenth there is a third digit."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if 0 < value < 0.0995:  # noqa: PLR2004  where rounding adds a digit
        return f"{value:.3f}"
    return three_digits(value)


def in_units(shown: str, one: str, many: str = "") -> str:
    """Write a figure with its unit, whose plural is with an "s" unless it is told: "1 core", "0.20 cores"."""
    return f"{shown} {one if shown == '1' else many or one + 's'}"


def cores_of(used: float | None, limit: float | None) -> str:
    """Write how many cores are used, of how many that may be: "0.20 of 1 core", "0.20 cores" without a limit."""
    return f"{cores(used)} of {in_units(cores(limit), 'core')}" if limit is not None else in_units(cores(used), "core")


def duration(seconds: float | None) -> str:
    """Write a length of time in its two largest units: 250ms, 4.20s, 45s, 12m30s, 2h05m, 3d04h."""
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        return UNKNOWN
    if seconds < 0.9995:  # noqa: PLR2004  where rounding adds a digit
        return f"{seconds * 1000:.0f}ms" if seconds else "0s"
    if seconds < 60:  # noqa: PLR2004  seconds in a minute
        return f"{three_digits(min(seconds, 59.9))}s"
    minutes, secs = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours:02d}h"
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{secs:02d}s"


def moment(value: float | None) -> str:
    """Write a time since the epoch as local date and time: 2026-11-29 07:15:34."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(value)) if value is not None else UNKNOWN
    except (OverflowError, ValueError, OSError):  # what a recording or another machine told may be no time at all
        return UNKNOWN


def count(value: float | None) -> str:
    """Write a whole number."""
    return f"{value:.0f}" if value is not None and math.isfinite(value) else UNKNOWN


def width_of(text: str) -> int:
    """Columns of a terminal that `text` takes (a Chinese character takes two)."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # noqa: PLC0415  slow, and names are nearly always ASCII

    return cell_len(text)


def fit(text: str, width: int, align: Align = "left") -> str:
    """Return `text` in exactly `width` columns: padded, or cut with a final "…"."""
    length = width_of(text)
    if length > width:
        text = _cut(text, width)
        length = width_of(text)
    pad = " " * (width - length)
    return pad + text if align == "right" else text + pad


def fit_path(path: str, width: int) -> str:
    """Return a path in exactly `width` columns, without its beginning: its end tells it from its neighbours."""
    if width < 2 or width_of(path) <= width:  # noqa: PLR2004  "…" and something behind it
        return fit(path, width)
    start = len(path) - width + 1
    while width_of(path[start:]) >= width:
        start += 1
    return fit("…" + path[start:], width)


def _cut(text: str, width: int) -> str:
    if width <= 0:
        return ""
    if text.isascii():
        return text[: width - 1] + "…"
    from rich.cells import set_cell_size  # noqa: PLC0415  slow, and names are nearly always ASCII

    return set_cell_size(text, width - 1) + "…"
