"""Which columns fit a width, and the lines they make.

A line is a list of cells: texts, each with the meaning of its colour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from inspector.kernel.named import NamedTuple
from inspector.views.cells import Cell
from inspector.views.columns import COLUMNS, Column
from inspector.views.scene import Scene
from inspector.views.text import fit, fit_path, width_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from inspector.schema import Container

__all__ = ["Line", "Placed", "in_parts", "place", "row", "title", "titles"]

Line = list[Cell]
GROWN = 24
"""Columns a name takes before more columns join; longer names get what is left over."""
ALIGNED = 48
"""Off a terminal nothing is cut, and no column is wider than this for one long name: that one sticks out."""
IMPORTANCE = ("name", "cpu", "mark", "node", "mem", "limit", "pids", "throttled", "runtime")
"""The columns that are always there, for a terminal too narrow for them: the last are left out first."""
LEAST_NAME = 8


EXTRAS = sorted((row for row in COLUMNS if row.level), key=lambda row: row.level or 0)


class Placed(NamedTuple):
    """A column and the width it got."""

    column: Column
    width: int


def place(
    containers: Sequence[Container],
    scene: Scene,
    width: int | None,
    columns: Sequence[Column] | None = None,
    before: dict[str, int] | None = None,
) -> list[Placed]:
    """Choose the columns for a terminal of `width`; None cuts nothing and takes what 80 columns would.

    `columns` are those a person asked for: they are all there, and may be wider than the terminal. `before` is kept
    between calls and has the most that the columns wanted so far, so that they do not come and go with a row.
    """
    widths = {row.name: max(row.width, width_of(title(row, scene))) for row in columns or COLUMNS}
    wanted = _Wanted(containers, scene, {} if before is None else before)
    many = bool(containers) and "node" in containers[0]
    chosen = list(columns or _first(many=many))
    if width is None:
        return [Placed(row, max(widths[row.name], min(wanted[row], ALIGNED))) for row in chosen]
    all_fit = bool(columns) or _narrow(chosen, widths, width)
    spare = width - sum(widths[row.name] + 1 for row in chosen) + 1
    spare = _grow(chosen, widths, wanted, spare, GROWN)
    if all_fit and not columns:
        for extra in EXTRAS:
            if widths[extra.name] + 1 > spare or (extra.live and scene.past is None):
                continue
            if not extra.grows or wanted[extra]:
                chosen.append(extra)
                spare = _grow([extra], widths, wanted, spare - widths[extra.name] - 1, GROWN)
        names = {row.name for row in chosen}
        spare += sum(row.width + 1 for row in chosen if row.unless in names)
        chosen = [row for row in COLUMNS if row in chosen and row.unless not in names]
    _grow(chosen, widths, wanted, spare, width)
    return [Placed(row, widths[row.name]) for row in chosen]


def _narrow(chosen: list[Column], widths: dict[str, int], width: int) -> bool:
    """Leave out of `chosen` what there is no room for; tell whether all of it stays."""
    widths["name"] = min(widths["name"], max(width - widths["cpu"] - widths["mark"] - 2, LEAST_NAME))
    spare, many = width + 1, len(chosen)
    for row in sorted(chosen, key=lambda row: IMPORTANCE.index(row.name)):
        if widths[row.name] + 1 > spare:
            chosen.remove(row)
        else:
            spare -= widths[row.name] + 1
    return len(chosen) == many


def _first(*, many: bool) -> list[Column]:
    """Return the columns that are always there; on many machines the node is more than who made it."""
    return [row for row in COLUMNS if row.level == 0 and (row.unless != "node" if many else row.name != "node")]


class _Wanted(dict[Column, int]):
    """The width of what is in a column that grows, looked at only when there is room for it; 0 for another."""

    def __init__(self, containers: Sequence[Container], scene: Scene, before: dict[str, int]) -> None:
        super().__init__()
        self._containers, self._scene, self._before = containers, scene, before

    def __missing__(self, row: Column) -> int:
        show, scene = row.show, self._scene
        widest = self._before.get(row.name, 0)
        if row.grows:
            for container in self._containers:
                widest = max(widest, width_of(show(container, scene)[0]))
        self[row] = self._before[row.name] = widest
        return widest


def _grow(rows: Sequence[Column], widths: dict[str, int], wanted: Mapping[Column, int], spare: int, most: int) -> int:
    """Widen the columns that grow towards their content, at most to `most`; return what is left of `spare`."""
    for row in rows:
        more = min(spare, min(wanted[row], most) - widths[row.name]) if row.grows and spare > 0 else 0
        if more > 0:
            widths[row.name] += more
            spare -= more
    return spare


def title(column: Column, scene: Scene) -> str:
    """Return the column's title; those of CPU % and memory say which meaning is chosen."""
    if column.name == "cpu":
        return f"{column.title}{scene.cpu}"
    if column.name == "mem" and scene.memory != "working-set":
        return f"{scene.memory.upper()} / LIMIT"
    return column.title


def titles(placed: Sequence[Placed], scene: Scene, sort: str = "") -> Line:
    """Return the line of titles; the column that sorts is marked."""
    return [
        (fit(title(column, scene), width, column.align) + " ", "sorted" if column.name == sort else "title")
        for column, width in placed
    ]


def row(container: Container, placed: Sequence[Placed], scene: Scene, *, whole: bool = False) -> Line:
    """Return the line of one container; `whole`: what is wider than its column sticks out, and is not cut."""
    stem = scene.stems.get(container["id"])
    line = []
    for column, width in placed:
        shown, meaning = column.show(container, scene)
        is_path = column.name == "name" and shown.startswith("/")
        room = max(width, width_of(shown)) if whole else width
        fitting = fit_path(shown, room) if is_path else fit(shown, room, column.align)
        line.append((fitting + " ", "dim" if stem and stem.dim else meaning))
    return line


def in_parts(line: Line, width: int, most: int) -> list[Line]:
    """Return a line, or where it is wider than `width` at most so many of them, parted at blanks."""
    whole = "".join(shown for shown, _ in line).rstrip()
    end = len(whole)
    while width_of(whole[:end]) > width:
        end -= 1
    if end == len(whole) or most <= 1:
        return [line]
    blank = whole.rfind(" ", 1, end + 1)
    at = blank if blank > 0 else end
    first: Line = []
    second: Line = []
    for shown, meaning in line:
        first.append((shown[:at], meaning))
        second += [(shown[at:], meaning)] if shown[at:] else []
        at = max(at - len(shown), 0)
    return [first, *in_parts([(second[0][0].lstrip(), second[0][1]), *second[1:]], width, most - 1)]
