"""What the live view shows, without a screen: the document, what was asked for, and the lines they make."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic

from inspector.ctop.history import History
from inspector.ctop.options import Options
from inspector.ctop.patience import TooSlow, at_most
from inspector.schema import Container, Document
from inspector.views.cells import COLOUR_OF_SEVERITY, MARKS, WARNING, Cell, mark, rating
from inspector.views.columns import COLUMNS, Column, column, of_detail
from inspector.views.filters import filter_of
from inspector.views.header import SEPARATOR, header, scene_of
from inspector.views.layout import Line, Placed, place, row, titles
from inspector.views.scene import Scene
from inspector.views.selection import figure_of, select
from inspector.views.table import finding_lines, hint, limits_line
from inspector.views.text import safe
from inspector.views.tree import is_group, tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from inspector.views.scene import CpuMode, MemoryMode

__all__ = ["State"]

MODES: tuple[CpuMode, ...] = ("core", "limit", "host")
MEMORY_MODES: tuple[MemoryMode, ...] = ("working-set", "usage", "anon", "fixed")
PATIENCE = 0.2
"""Seconds of CPU time that a filter with a pattern gets for all containers."""
SHOWN_SECONDS = 6.0
"""For which a message stays, and until the next document: however often they come, it can be read."""


class State:
    """The table's rows in order, the chosen one, and how they are shown.

    The choice is a container, not a row: it stays on it when the order
    changes, and goes to its neighbour when the container is gone. Until a
    person has chosen it is the first row.
    """

    def __init__(self, options: Options) -> None:
        self.document: Document | None = None
        self.selection = options.selection
        self.cpu: CpuMode = options.cpu
        self.paused = False
        self.memory: MemoryMode = options.memory
        self.tree = options.tree
        self.folded: set[str] = set()
        self.columns = options.columns
        self.has_header = options.header
        self.message: Cell | None = None
        self.moment = ""
        self.history = History()
        self.shown: list[Container] = []
        self.chosen: str | None = None
        self._cursor = 0
        self._by_hand = False
        self._message_since = 0.0
        self._parents: frozenset[str] = frozenset()
        self._placed: list[Placed] = []
        self._placed_for: tuple[object, ...] = ()
        self._wanted: dict[str, int] = {}
        self._wanted_for: tuple[object, ...] = ()
        self._scene = Scene()

    def update(self, document: Document | None = None) -> None:
        """Take a new document, or the same one after something else has changed."""
        if document is not None:
            self.history.add(document)
            if monotonic() - self._message_since >= SHOWN_SECONDS:
                self.message = None
        self.document = document or self.document
        if self.document is None:
            return
        self._arrange(self.document)
        for index, container in enumerate(self.shown if self._by_hand else ()):
            if container["id"] == self.chosen:
                self._cursor = index
                return
        self._put(self._cursor if self._by_hand else 0)

    def _arrange(self, document: Document) -> None:
        chosen = filter_of(self.selection.words)
        if not chosen.has_pattern:
            self._choose(document)
            return
        try:
            with at_most(PATIENCE):
                self._choose(document)
        except TooSlow:
            chosen.give_up("this pattern takes too long")
            self._choose(document)

    def _choose(self, document: Document) -> None:
        self._scene = scene_of(document, self.cpu, self.memory)._replace(past=self._past)
        if self.tree:
            made = tree(document["containers"], self.selection, self._scene, self.folded)
            self.shown, self._parents = made.rows, frozenset(made.parents)
            self.folded &= self._parents
            self._scene = self._scene._replace(stems=made.stems)
        else:
            self.shown, self._parents = select(document["containers"], self.selection, self._scene), frozenset()
        self._placed_for = ()

    def _past(self, container: str, series: str, count: int) -> Sequence[float | None]:
        return self.history.of(container).tail(series, count)

    def say(self, text: str, meaning: str = "warn") -> None:
        """Show a message for some seconds."""
        self.message, self._message_since = (text, meaning), monotonic()

    @property
    def scene(self) -> Scene:
        """What cells must know."""
        return self._scene

    @property
    def cursor(self) -> int:
        """Index of the chosen container."""
        return self._cursor

    def move_to(self, index: int) -> None:
        """Choose the container at an index, or the nearest there is."""
        self._by_hand = True
        self._put(index)

    def _put(self, index: int) -> None:
        self._cursor = max(0, min(index, len(self.shown) - 1))
        self.chosen = self.shown[self._cursor]["id"] if self.shown else None

    def select(self, **changes: object) -> None:
        """Change what is selected or how it is sorted."""
        self.selection = self.selection._replace(**changes)  # type: ignore[arg-type]  # mypy cannot check them by name
        self.update()

    def beside_sort(self, step: int) -> None:
        """Sort by the column to the right or to the left of the one that sorts; of two with one figure by the first."""
        stops: dict[str, str] = {}
        for placed in self._placed:
            stops.setdefault(figure_of(placed.column.name), placed.column.name)
        figures, sorting = list(stops), figure_of(self.selection.sort)
        if figures:
            place = figures.index(sorting) + step if sorting in stops else 0
            self.select(sort=stops[figures[place % len(figures)]], reverse=False)

    def next_cpu(self) -> None:
        """Change what CPU % is a share of."""
        self.cpu = MODES[(MODES.index(self.cpu) + 1) % len(MODES)]
        self.update()

    def next_memory(self) -> None:
        """Change what memory is."""
        self.memory = MEMORY_MODES[(MEMORY_MODES.index(self.memory) + 1) % len(MEMORY_MODES)]
        self.update()

    def turn_tree(self) -> None:
        """Show a tree, or a list."""
        self.tree = not self.tree
        self.update()

    def fold(self, folded: bool | None = None) -> None:
        """Fold the chosen row of the tree, unfold it, or (None) whichever it is not; a leaf's parent is not touched."""
        if self.chosen is None or self.chosen not in self._parents:
            return
        self._by_hand = True
        if folded if folded is not None else self.chosen not in self.folded:
            self.folded.add(self.chosen)
        else:
            self.folded.discard(self.chosen)
        self.update()

    def fold_all(self) -> None:
        """Fold everything, or unfold everything when something is folded."""
        self.folded = set() if self.folded & self._parents else set(self._parents)
        self.update()

    @property
    def on_group(self) -> bool:
        """Whether the chosen row is a pod or a directory of cgroups, not a container."""
        return bool(self.shown) and is_group(self.shown[self._cursor])

    def settings(self) -> dict[str, object]:
        """Return what the key S saves (inspector.ctop.config)."""
        asked = self.selection
        return {
            "columns": [one.name for one in self.columns],
            "sort": asked.sort,
            "reverse": asked.reverse,
            "tree": self.tree,
            "every": asked.every,
            "header": self.has_header,
            "cpu": self.cpu,
            "memory": self.memory,
        }

    def header(self) -> list[Line]:
        """Return the lines above the table."""
        if not self.has_header:
            return []
        return [self.held(), *self._header()] if self.moment else self._header()

    def held(self) -> Line:
        """Return which moment of a recording is shown, or that the picture is held still; else nothing."""
        if self.moment:
            playing = "HELD" if self.paused else "PLAYING"
            return [("REPLAY  ", "title"), (self.moment, ""), SEPARATOR, (playing, "warn")]
        return [("PAUSED", "bad")] if self.paused else []

    def _header(self) -> list[Line]:
        if self.document is None:
            return [[("ctop", "title"), ("  reading ...", "dim")]]
        order = f"by {self.selection.sort}{' reversed' if self.selection.reverse else ''}"
        asked: Line = [*self._counted(), SEPARATOR, (order, "")]
        if self.selection.every:
            asked += [SEPARATOR, ("all kinds", "")]
        if self.selection.words:
            asked += [SEPARATOR, (f"filter {safe(self.selection.words)}", "warn")]
            if filter_of(self.selection.words).problem:
                asked.append((" (bad pattern: not used)", "bad"))
        if self.paused and not self.moment:
            asked += [SEPARATOR, ("PAUSED", "bad")]
        return header(self.document, self._scene, self.shown, asked)

    def _counted(self) -> Line:
        """Count the rows that are marked, the worst first: they may be out of sight."""
        marks = [mark(row, self._scene)[0] for row in self.shown if row["findings"]]
        line: Line = []
        for severity in ("critical", "warning"):
            many = marks.count(MARKS[severity])
            line += [SEPARATOR, (f"{MARKS[severity]} {many}", COLOUR_OF_SEVERITY[severity])] if many else []
        return line

    def titles(self, width: int) -> Line:
        """Choose the columns for a width and return their titles."""
        wanted = (width, self.columns)
        if self._placed_for != wanted:
            view = (*wanted, self.selection.words, self.selection.every, self.tree)
            if view != self._wanted_for:
                self._wanted, self._wanted_for = {}, view
            self._placed = place(self.shown, self._scene, width, self.columns, self._wanted)
            self._placed_for = wanted
        return titles(self._placed, self._scene, self.selection.sort)

    def title_at(self, x: int) -> str | None:
        """Return the column at column `x` of the titles."""
        start = 0
        for placed, width in self._placed:
            if start <= x <= start + width:
                return placed.name
            start += width + 1
        return None

    def all_columns(self) -> list[tuple[Column, bool]]:
        """Return the columns shown, in their order, and behind them the others."""
        shown = self.columns or tuple(placed.column for placed in self._placed)
        return [(one, True) for one in shown] + [(one, False) for one in COLUMNS if one not in shown]

    def set_columns(self, names: Sequence[str]) -> None:
        """Show these columns; none of them: those that fit."""
        self.columns = tuple(column(name) for name in names)
        self.update()

    def in_sight(self, top: int, height: int) -> frozenset[str] | None:
        """Return the containers in the rows from `top` on; None when what the table shows is wanted of all of them."""
        if any(map(of_detail, (self.selection.sort, *(placed.column.name for placed in self._placed)))):
            return None
        return frozenset(one["id"] for one in self.shown[top : top + height])

    def row(self, index: int) -> Line:
        """Return the line of one container; without any the reason why."""
        if self.shown:
            return row(self.shown[index], self._placed, self._scene)
        if self.document is None:
            return []
        if self.selection.words:
            return [("nothing matches the filter", "warn"), ("; Esc clears it", "")]
        why = hint(self.document)
        return [("no containers found", "warn"), (why.replace("ctop -a", "the key a"), "")]

    def finding(self) -> Line:
        """Return the worst finding of the chosen container, or without one who sets its limits.

        The row under the cursor says whose: a narrow terminal has no room for its name as well. Until a person has
        chosen it is the worst of all, which may be out of sight, and named.
        """
        if not self.shown:
            return []
        if not self._by_hand:
            worst = max(self.shown, key=lambda row: rating(row, self._scene) or 0)
            if (rating(worst, self._scene) or 0) >= WARNING:
                return finding_lines([worst])[0]
        chosen = self.shown[self._cursor]
        paused: Line = [("paused   ", "warn")] if chosen["state"] == "paused" else []
        lines = finding_lines([chosen], named=False)
        return lines[0] if lines else paused + limits_line(chosen)
