"""Times and durations as Docker writes and reads them: RFC 3339 with nanoseconds, Go's `1m30s`, `3 hours ago`."""

from __future__ import annotations

import time

from sandbox.errors import SandboxError
from sandbox.quick import fullmatch

__all__ = ["ago", "format_duration", "moment", "parse_duration", "seconds_of", "timestamp"]

SCALE = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
LONGEST_SECONDS = 2**63 / 1e9  # what Go's nanoseconds hold
# Not compiled before they are used, as in network/settings.py.
PART = r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)"
STAMP = r"(?a)(\d{4})-(\d\d)-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(\.\d{1,9})?)?)?(Z|[+-]\d\d:\d\d)?"


def timestamp(seconds: float) -> str:
    """Write a time as RFC 3339 in UTC, with nanoseconds as Docker has them."""
    whole = int(seconds)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{int((seconds - whole) * 1e9):09d}Z"


def seconds_of(text: str) -> float:
    """Return the time that RFC 3339, or the beginning of it, says; without a zone it is local. ValueError otherwise."""
    match = fullmatch(STAMP, text)
    if not match:
        raise ValueError(f"no time: {text!r}")
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second <= 60):  # noqa: PLR2004
        raise ValueError(f"no time: {text!r}")
    fraction, zone = float(match[7] or 0), match[8]
    if zone is None:
        return time.mktime((year, month, day, hour, minute, second, 0, 0, -1)) + fraction
    import calendar  # noqa: PLC0415  neither a start nor a monitor has a use for it

    offset = 0 if zone == "Z" else int(zone[0] + "1") * (int(zone[1:3]) * 3600 + int(zone[4:6]) * 60)
    return calendar.timegm((year, month, day, hour, minute, second)) - offset + fraction


def parse_duration(text: str) -> float:
    """Return the seconds of Go's `1h2m3s`, `1.5s`, `500ms` or `0`; ValueError otherwise."""
    rest = text[1:] if text[:1] in ("+", "-") else text
    import re  # noqa: PLC0415  a start has no use for it

    parts = re.findall(PART, rest)
    if rest != "0" and (not parts or "".join(number + unit for number, unit in parts) != rest):
        raise ValueError(f"invalid duration {text!r}: the form is 1h2m3s, 1.5s or 500ms")
    total = sum(float(number) * SCALE[unit] for number, unit in parts)
    if total > LONGEST_SECONDS:
        raise ValueError(f"invalid duration {text[:20]!r}...: more than 292 years")
    return -total if text[:1] == "-" else total


def format_duration(seconds: float) -> str:
    """Write a duration as Go does: `1m30s`, `1.5s`, `250ms`, `0s`."""
    if seconds <= 0:
        return "0s"
    for unit, scale in (("ns", 1e-9), ("µs", 1e-6), ("ms", 1e-3)):
        if round(seconds * 1e9) < scale * 1e12:
            return f"{seconds / scale:.6f}".rstrip("0").rstrip(".") + unit
    minutes, rest = divmod(round(seconds, 9), 60)
    hours, minutes = divmod(int(minutes), 60)
    text = f"{rest:.9f}".rstrip("0").rstrip(".") + "s"
    if minutes or hours:
        text = f"{minutes}m{text}"
    return f"{hours}h{text}" if hours else text


def moment(text: str, now: float, option: str) -> float:
    """Return the time that `--since` or `--until` means: a date, seconds since 1970, or a duration before now."""
    if fullmatch(r"[0-9]{1,12}(\.[0-9]{0,9})?", text):  # neither nan nor a time that no clock will show
        return float(text)
    try:
        return now - parse_duration(text)
    except ValueError:
        pass
    try:
        return seconds_of(text)
    except (ValueError, OverflowError):
        pass
    raise SandboxError(f"{option}: invalid time {text!r}: a date, seconds since 1970, or a duration such as 10m", 1)


def ago(seconds: float) -> str:
    """Write a duration as Docker does for people: `3 seconds`, `About an hour` (docker/go-units duration.go)."""
    if seconds < 1:
        return "Less than a second"
    hours = int(seconds / 3600 + 0.5)
    if seconds < 60 or 120 <= seconds < 3600:  # noqa: PLR2004  seconds of a minute, of two, of an hour
        unit, size = ("second", 1) if seconds < 60 else ("minute", 60)  # noqa: PLR2004
        count = int(seconds / size)
        return f"{count} {unit}{'s' if count > 1 else ''}"
    if hours <= 1:
        return "About a minute" if seconds < 120 else "About an hour"  # noqa: PLR2004
    days = hours // 24
    for unit, size, most in (("hours", 1, 48), ("days", 24, 14 * 24), ("weeks", 168, 1440), ("months", 720, 17520)):
        if hours < most:
            return f"{hours // size} {unit}"
    return f"{days // 365} years"
