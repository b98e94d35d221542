"""Widgets that draw lines of cells: only those in sight are ever made (Textual's Line API).

Textual's DataTable formats and measures every cell at every update; with
hundreds of rows that change each second this is many times cheaper.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rich.segment import Segment
from rich.style import Style
from textual.events import Click
from textual.geometry import Offset, Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget

from inspector.views.ascii import to_ascii
from inspector.views.layout import Line
from inspector.views.table import PALETTE
from inspector.views.text import width_of

__all__ = ["Bar", "Lines"]

STYLES: Mapping[str, Style] = {meaning: Style.parse(look or "none") for meaning, look in PALETTE.items()}
CURSOR = Style(reverse=True)


def to_strip(line: Line, width: int, start: int = 0, style: Style | None = None, *, unicode: bool = True) -> Strip:
    """Return `width` columns of a line from column `start` on; `style` is laid over all of it."""
    if not unicode:
        line = [(to_ascii(text), meaning) for text, meaning in line]
    strip = Strip([Segment(text, STYLES.get(meaning)) for text, meaning in line])
    strip = strip.crop_extend(start, start + width, None)
    return strip.apply_style(style) if style else strip


class Bar(Widget):
    """A few lines that do not scroll: header, titles, status; "…" stands where one is cut off."""

    class Clicked(Message):
        """A click at a column of the bar."""

        def __init__(self, bar: Bar, x: int) -> None:
            self.bar = bar
            self.x = x
            super().__init__()

    def __init__(self, name: str, *, unicode: bool = True) -> None:
        super().__init__(id=name)
        self._unicode = unicode
        self._lines: list[Line] = [[]]
        self._start = 0

    def show(self, lines: list[Line], start: int = 0) -> None:
        """Show these lines from column `start` on; the bar is as high as they are many."""
        if len(lines) != len(self._lines) or self.styles.height is None:
            self.styles.height = len(lines)
        if lines != self._lines or start != self._start:
            self._lines, self._start = lines, start
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """Draw one line."""
        line = self._lines[y] if y < len(self._lines) else []
        width = self.size.width
        strip = to_strip(line, width, self._start, unicode=self._unicode)
        if width_of("".join(text for text, _ in line).rstrip()) - self._start <= width:
            return strip
        return Strip.join([strip.crop(0, width - 1), to_strip([("…", "dim")], 1, unicode=self._unicode)])

    def on_click(self, event: Click) -> None:
        """Tell where it was clicked."""
        self.post_message(self.Clicked(self, event.x))


class Lines(ScrollView, can_focus=True, inherit_bindings=False):
    """Many lines, made when they come into sight; one may be under the cursor."""

    class Clicked(Message):
        """A click on a line; `times` 2 is a double click."""

        def __init__(self, index: int, times: int) -> None:
            self.index = index
            self.times = times
            super().__init__()

    def __init__(self, name: str, *, unicode: bool = True) -> None:
        super().__init__(id=name)
        self._unicode = unicode
        self.cursor: int | None = None
        self._count = 0
        self._draw: Callable[[int], Line] = lambda _: []
        self._drawn: list[tuple[Line, bool]] = []
        self._drawn_at: tuple[Offset, Size] | None = None

    def show(self, count: int, draw: Callable[[int], Line], cursor: int | None = None, width: int = 0) -> None:
        """Show `count` lines, of which `draw` makes one by its index; `width` is that of the longest, to scroll."""
        self._count, self._draw, self.cursor = count, draw, cursor
        size = Size(max(width, self.size.width), count)
        if size != self.virtual_size:
            self.virtual_size = size
        if cursor is not None:
            self._follow(cursor)
        self._refresh_changed()

    def _refresh_changed(self) -> None:
        """Have those lines drawn that are not what they were; all of them when it has scrolled or has another size."""
        before, place = self._drawn, (self.scroll_offset, self.size)
        top, height = self.scroll_offset.y, self.size.height
        self._drawn = [(self._line(index), index == self.cursor) for index in range(top, top + height)]
        if place != self._drawn_at or len(before) != len(self._drawn):
            self._drawn_at = place
            self.refresh()
            return
        changed = [y for y, (old, new) in enumerate(zip(before, self._drawn, strict=True)) if old != new]
        if changed:
            self.refresh(*(Region(0, y, self.size.width, 1) for y in changed))

    def _line(self, index: int) -> Line:
        return self._draw(index) if index < self._count else []

    def _follow(self, cursor: int) -> None:
        """Scroll so far that the cursor is in sight."""
        top, height = self.scroll_offset.y, self.size.height
        if cursor < top or cursor >= top + height:
            self.scroll_to(y=cursor if cursor < top else cursor - height + 1, animate=False, immediate=True)

    def render_line(self, y: int) -> Strip:
        """Draw one line."""
        left, top = self.scroll_offset
        index = top + y
        if self._drawn_at == (self.scroll_offset, self.size) and y < len(self._drawn):
            line, chosen = self._drawn[y]
        else:  # scrolled since: by a wheel, or a new size
            line, chosen = self._line(index), index == self.cursor
        style = CURSOR if chosen else None
        return to_strip(line, self.size.width, left, style, unicode=self._unicode)

    def on_click(self, event: Click) -> None:
        """Tell which line was clicked."""
        index = self.scroll_offset.y + event.y
        if index < self._count:
            self.post_message(self.Clicked(index, event.chain))
