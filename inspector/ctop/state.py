"""What the live view shows, without a screen: the document, what was asked for, and the lines they make."""

from __future__ import annotations

from inspector.ctop.history import History
from inspector.ctop.keys import SORT_CYCLE
from inspector.ctop.options import Options
from inspector.schema import Container, Document
from inspector.views.cells import CpuMode, Scene
from inspector.views.detail import detail
from inspector.views.header import SEPARATOR, header, scene_of
from inspector.views.layout import Line, Placed, place, row, titles
from inspector.views.selection import SORTS, select
from inspector.views.table import finding_lines, hint
from inspector.views.text import safe

__all__ = ["State"]

MODES: tuple[CpuMode, ...] = ("core", "limit", "host")


class State:
    """The table's rows in order, the chosen one, and how they are shown.

    The choice is a container, not a row: it stays on it when the order
    changes, and goes to its neighbour when the container is gone.
    """

    def __init__(self, options: Options) -> None:
        self.document: Document | None = None
        self.selection = options.selection
        self.cpu: CpuMode = options.cpu
        self.paused = False
        self.history = History()
        self.shown: list[Container] = []
        self.chosen: str | None = None
        self.process_sort = "cpu"
        self._columns = options.columns
        self._cursor = 0
        self._placed: list[Placed] = []
        self._scene = Scene()

    def update(self, document: Document | None = None) -> None:
        """Take a new document, or the same one after something else has changed."""
        if document is not None:
            self.history.add(document)
        self.document = document or self.document
        if self.document is None:
            return
        self._scene = scene_of(self.document, self.cpu)
        self.shown = select(self.document["containers"], self.selection, self._scene)
        for index, container in enumerate(self.shown):
            if container["id"] == self.chosen:
                self._cursor = index
                return
        self.move_to(self._cursor)

    @property
    def cursor(self) -> int:
        """Index of the chosen container."""
        return self._cursor

    def move_to(self, index: int) -> None:
        """Choose the container at an index, or the nearest there is."""
        self._cursor = max(0, min(index, len(self.shown) - 1))
        self.chosen = self.shown[self._cursor]["id"] if self.shown else None

    def select(self, **changes: object) -> None:
        """Change what is selected or how it is sorted."""
        self.selection = self.selection._replace(**changes)  # type: ignore[arg-type]  # mypy cannot check them by name
        self.update()

    def next_sort(self) -> None:
        """Sort by the next field."""
        known = SORT_CYCLE.index(self.selection.sort) if self.selection.sort in SORT_CYCLE else -1
        self.select(sort=SORT_CYCLE[(known + 1) % len(SORT_CYCLE)], reverse=False)

    def next_cpu(self) -> None:
        """Change what CPU % is a share of."""
        self.cpu = MODES[(MODES.index(self.cpu) + 1) % len(MODES)]
        self.update()

    def header(self) -> list[Line]:
        """Return the lines above the table."""
        if self.document is None:
            return [[("ctop", "title"), ("  reading ...", "dim")]]
        asked: Line = [SEPARATOR, (f"by {self.selection.sort}{' reversed' if self.selection.reverse else ''}", "")]
        if self.selection.every:
            asked += [SEPARATOR, ("all kinds", "")]
        if self.selection.words:
            asked += [SEPARATOR, (f"filter {safe(self.selection.words)}", "warn")]
        if self.paused:
            asked += [SEPARATOR, ("PAUSED", "bad")]
        return header(self.document, self._scene, len(self.shown), asked)

    def titles(self, width: int) -> Line:
        """Choose the columns for a width and return their titles."""
        self._placed = place(self.shown, self._scene, width, self._columns)
        return titles(self._placed, self._scene, self.selection.sort)

    def title_at(self, x: int) -> str | None:
        """Return what a click at column `x` of the titles sorts by."""
        start = 0
        for column, width in self._placed:
            if start <= x <= start + width:
                return column.name if column.name in SORTS else None
            start += width + 1
        return None

    def row(self, index: int) -> Line:
        """Return the line of one container; without any the reason why."""
        if self.shown:
            return row(self.shown[index], self._placed, self._scene)
        if self.document is None:
            return []
        why = hint(self.document) if not self.selection.words else "; Esc clears the filter"
        return [("no containers found", "warn"), (why.replace("ctop -a", "the key a"), "")]

    def finding(self) -> Line:
        """Return the worst finding of the chosen container, or nothing."""
        lines = finding_lines(self.shown[self._cursor : self._cursor + 1])
        return lines[0] if lines else []

    def detail(self, width: int) -> list[Line]:
        """Return the page of the chosen container, also when the table no longer shows it."""
        for container in self.document["containers"] if self.document else ():
            if container["id"] == self.chosen:
                return detail(container, self._scene, width, self.process_sort)
        return [[("this container is gone", "warn")]]
