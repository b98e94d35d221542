"""The last minutes of a container as graphs: CPU with limit and throttling, memory, I/O, network. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from inspector.views.graph import AXIS, beside, graph, strip
from inspector.views.layout import Line
from inspector.views.text import byte_size, cores, duration, fit, percent, rate

__all__ = ["past_lines"]

Values = Sequence[float | None]
WIDE = 150
LEAST_WIDTH = 24


class Picture(NamedTuple):
    """One graph: its title, the series, that of its limit, how figures are written, and the least its top may be."""

    title: str
    series: str
    limit: str | None
    form: Callable[[float | None], str]
    least: float


LARGE = (
    Picture("CPU in cores", "cpu_cores", "limit_cores", cores, 0.1),
    Picture("MEMORY, working set", "memory_bytes", "limit_bytes", byte_size, 4096.0),
)
SMALL = (
    Picture("READ", "read_bytes_per_second", None, byte_size, 1024.0),
    Picture("WRITTEN", "write_bytes_per_second", None, byte_size, 1024.0),
    Picture("RECEIVED", "receive_bytes_per_second", None, byte_size, 1024.0),
    Picture("SENT", "transmit_bytes_per_second", None, byte_size, 1024.0),
)


def past_lines(
    series: Mapping[str, Values], times: Sequence[float], width: int, height: int, *, unicode: bool = True
) -> list[Line]:
    """Return the graphs for `height` lines, more where that is too few; `series` by the names of History's tracks."""
    if not times:
        return [[("no samples yet", "dim")]]
    wide = width >= WIDE
    # Each graph has a title, CPU a strip of throttling below it, and all of them one line of time.
    rows = (2, 1) if wide else (4, 2)
    blank = (2 + 1 + 1) if wide else (2 + 1 + 1 + 2)
    each = max((height - blank) // (rows[0] if wide else 4), 2)
    part = width // 2 if wide else width
    large = [_large(picture, series, part, each, unicode=unicode) for picture in LARGE]
    lines = beside(large, part) if wide else [line for block in large for line in block]
    small_width = max(width // (4 if wide else 2), LEAST_WIDTH)
    small = [_drawn(picture, series, small_width, each, unicode=unicode) for picture in SMALL]
    for group in [small] if wide else [small[:2], small[2:]]:
        lines += beside(group, small_width)
    return [*lines, _axis(times, part, unicode=unicode)]


def _drawn(picture: Picture, series: Mapping[str, Values], width: int, height: int, *, unicode: bool) -> list[Line]:
    values, limits = series[picture.series], series[picture.limit] if picture.limit else ()
    now = values[-1] if values else None
    said = f"  {rate(now)}" if picture.limit is None else f"  {picture.form(now)}"
    if picture.limit:
        limit = limits[-1] if limits else None
        share = now / limit if now is not None and limit else None
        said += f" of {picture.form(limit)} ({percent(share)})" if limit is not None else ", no limit seen"
    head: Line = [(fit(picture.title, len(picture.title)), "title"), (said, "")]
    drawn = graph(values, width - 1, height, picture.form, limits, least=picture.least, unicode=unicode)
    return [head, *drawn]


def _large(picture: Picture, series: Mapping[str, Values], width: int, height: int, *, unicode: bool) -> list[Line]:
    block = _drawn(picture, series, width, height, unicode=unicode)
    if picture.series == "cpu_cores":
        throttled = strip(series["throttled_ratio"], width - 1, "bad", per_column=2 if unicode else 1, unicode=unicode)
        block.append([*throttled[:1], *throttled[1:]])
        block[0].append(("   throttled periods below", "dim"))
    return block


def _axis(times: Sequence[float], width: int, *, unicode: bool) -> Line:
    step = 2 if unicode else 1
    room = max(width - AXIS - 2, 1)
    shown = times[-room * step :]
    ago = f"{duration(shown[-1] - shown[0])} ago"
    first = min(-(-len(shown) // step), room)
    # Below the first sample, unless there are so few that the words would not fit.
    return [((f"{ago:<{first - 3}}now" if first > len(ago) + 4 else f"{ago} to now").rjust(width - 1), "dim")]
