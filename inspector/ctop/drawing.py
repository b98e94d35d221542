"""The part of the application that draws: the table, the pages, and the lowest two lines with keys and questions."""

from __future__ import annotations

from textual.events import Resize

from inspector.ctop.arranging import Arranging
from inspector.ctop.detail import Detail
from inspector.ctop.keys import help_lines
from inspector.ctop.lines import Bar, Lines
from inspector.ctop.logs import Logs
from inspector.ctop.panel import Panel
from inspector.views.filters import filter_of
from inspector.views.layout import Line, in_parts
from inspector.views.text import safe, width_of

__all__ = ["Drawing"]

PROMPT = "  words  a|b  /regex/  runtime:docker  finding:throttled  Esc clear"
MOST_LINES = 3
"""That a question or what came of an action may take."""
LOW = 10
"""Lines of a terminal below which the table gets nearly all of them."""
HINTS = {
    "table": "Enter detail  / filter  s sort  t tree  a all  c columns  0 CPU%  ? help",
    "help": "Esc back  Up Down scroll  q quit",
    "logs": Logs.hint,
}


class Drawing(Arranging):
    """What is on the screen, from what the state, the panel, the menu and the question say."""

    _detail: Detail

    @property
    def panel(self) -> Panel:
        """What the page of a container shows."""
        return self._detail.panel

    @property
    def lines(self) -> Lines:
        """The lines in sight: the table or a page."""
        return self.query_one("#table" if self.page == "table" else "#page", Lines)

    def on_resize(self, _: Resize) -> None:
        """Choose the columns anew."""
        self.call_after_refresh(self.draw)

    def draw(self) -> None:
        """Draw everything."""
        low = self.size.height < LOW
        if self.page != "detail":
            self.query_one("#header", Bar).show(self.state.header()[: 1 if low else max(self.size.height // 3, 2)])
        status: Line = [self.state.message or (self._hint(), "dim")]
        asked = self.question.line() if self.question else None
        if self.page == "table":
            status = self._draw_table(status)
        elif self.page == "menu" and self.menu is not None:
            chosen = self.menu.lines()
            self.query_one("#page", Lines).show(len(chosen), lambda index: chosen[index], self.menu.cursor)
        elif self.page == "detail":
            self._detail.draw()
            status[:0] = [*moment, ("  ", "")] if (moment := self.state.held()) else []
            status[:0] = self._tag_count()
        elif self.page == "logs":
            self.draw_logs()
        else:
            lines = help_lines()
            width = max(sum(width_of(text) for text, _ in line) for line in lines)
            self.query_one("#page", Lines).show(len(lines), lambda index: lines[index], width=width)
        self._draw_status(asked, status, low=low)

    def _hint(self) -> str:
        """Return which keys there are."""
        if self.menu and self.page == "menu":
            return self.menu.hint
        hints = self.time_hints if self.stored else {}
        return hints.get(self.page) or HINTS.get(self.page, self.panel.hint)

    def _draw_status(self, asked: Line | None, status: Line, *, low: bool) -> None:
        """Draw the lowest two lines; a question or a message that one of them cannot hold takes both, or three."""
        heading = self.logs.heading if self.logs else list
        of_page = {"table": self.state.finding, "detail": self.panel.finding, "logs": heading}
        above = self.menu.heading if self.menu and self.page == "menu" else of_page.get(self.page, list)()
        said = asked or status
        lines = in_parts(said, self.size.width, MOST_LINES) if asked or self.state.message else [status]
        lines = [above, *lines] if len(lines) == 1 else lines
        self.query_one("#status", Bar).show([asked or status] if low else lines)

    def _draw_table(self, status: Line) -> Line:
        """Draw the table; return what its status line says beside `status`."""
        self.query_one("#titles", Bar).show([self.state.titles(self.size.width)])
        count = len(self.state.shown)
        lines = self.query_one("#table", Lines)
        shown = self.state.shown
        draw = self.tags.marking(self.state.row, lambda index: shown[index]["id"]) if count else self.state.row
        lines.show(max(count, 1), draw, self.state.cursor if count else None)
        self.sampler.sight(self.state.in_sight(lines.scroll_offset.y, lines.size.height))
        if not self.typing:
            return [(f"{self.state.cursor + 1}/{count}  " if count else "", ""), *self._tag_count(), *status]
        words, problem = safe(self.state.selection.words), filter_of(self.state.selection.words).problem
        typed: Line = [("filter: ", "title"), (words, ""), (" ", "sorted"), ("" if words else PROMPT, "dim")]
        return typed + ([(f" not used: {safe(problem)}", "bad")] if problem else [])

    def _tag_count(self) -> Line:
        """Say how many are tagged, as they may be out of sight."""
        many = len(self.tagged()) if self.tags else 0
        return [(f"{many} tagged  ", "warn")] if many else []

    def action_redraw(self) -> None:
        """Draw the whole screen anew, whatever has been written over it."""
        self.draw()
        self.refresh()
