"""The page of a container on the screen: draws the panel, and takes the keys and clicks that are meant for it."""

from __future__ import annotations

from textual.app import App
from textual.timer import Timer

from inspector.closeup import Closeup
from inspector.ctop.lines import Bar, Lines
from inspector.ctop.panel import Panel
from inspector.ctop.sampler import Sampler
from inspector.ctop.sources import CloseSource, Source
from inspector.ctop.state import State
from inspector.ctop.tags import Tags, key_of
from inspector.ctop.walk import Walk, unknown

__all__ = ["Detail"]

PROGRESS_SECONDS = 0.25
LOW = 10
"""Lines of a terminal below which the page gets nearly all of them."""


class Detail:
    """Stands between the widgets of the page and the panel, which knows of none."""

    def __init__(
        self, app: App[None], state: State, source: Source, sampler: Sampler, tags: Tags, *, unicode: bool
    ) -> None:
        def walk(container: str) -> Walk:
            return source.changes(container) if isinstance(source, CloseSource) else unknown("this source")

        self.panel = Panel(walk, unicode=unicode)
        self._app, self._state, self._sampler, self._tags = app, state, sampler, tags
        self._timer: Timer | None = None
        self._followed: int | None = None

    @property
    def _lines(self) -> Lines:
        return self._app.query_one("#page", Lines)

    def open(self, container: str) -> None:
        """Look at a container; its processes and all else come with the next answers."""
        self.panel.open(container)
        self._sampler.focus(container)
        self.sampled()
        self._changed()

    def leave(self, *, stop: bool) -> None:
        """Ask for nothing more; what is known stays, for whoever comes back from the help. `stop`: also a walk."""
        self._sampler.focus(None)
        self._sampler.look(None)
        if stop:
            self.panel.stop()

    def sampled(self) -> None:
        """Take in the document that the state has."""
        if self._state.document is not None and self.panel.id is not None:
            track = self._state.history.of(self.panel.id)
            self.panel.update(self._state.document, self._state.scene, track)

    def looked(self, closeup: Closeup) -> None:
        """Take in an answer."""
        self.panel.take(closeup)

    def ask(self) -> None:
        """Ask for what the tab in sight shows; the same again changes nothing."""
        self._sampler.look(self.panel.ask())

    def press(self, key: str) -> bool:
        """Do what a key of this page does; False when it is not one."""
        before = self.panel.tab
        self._remember()
        if not self.panel.press(key, self._lines.size.height):
            return False
        self._changed(before)
        if key == "c":
            self._followed = self._lines.scroll_offset.y
            self.draw()
        return True

    def sideways(self, step: int) -> None:
        """Scroll where lines are longer than the screen is wide; else go to the tab beside."""
        lines = self._lines
        if lines.virtual_size.width > lines.size.width:
            lines.scroll_relative(x=step, animate=False)
            self._app.call_after_refresh(self.draw)
        else:
            self._turn(self.panel.tab + (1 if step > 0 else -1))

    def click(self, bar: str, x: int) -> None:
        """Turn to the tab, or sort by the title, that was clicked."""
        width = self._app.size.width
        if bar == "tabs":
            tab = self.panel.tab_at(x, width)
            if tab is not None:
                self._turn(tab)
        elif bar == "titles":
            self.panel.click_title(x + self._lines.scroll_offset.x, width)
            self.draw()

    def tag(self) -> None:
        """Tag the process under the cursor, or take its tag off, and go one down."""
        if self.panel.row is not None:
            self._tags.turn(key_of(self.panel.row))
            self.press("down")

    def click_line(self, index: int) -> None:
        """Put the cursor there."""
        self.panel.move_to(index)
        self.draw()

    def draw(self) -> None:
        """Draw heading, tabs, titles and lines."""
        app, panel = self._app, self.panel
        if not app.is_running:  # put off until after the end
            return
        width = app.size.width
        app.query_one("#header", Bar).show(panel.heading()[: 1 if app.size.height < LOW else 2])
        app.query_one("#tabs", Bar).show([panel.tabs(width)])
        titles, lines = app.query_one("#titles", Bar), self._lines
        titles.display = panel.has_titles
        titles.show([panel.column_titles(width)], lines.scroll_offset.x)
        page = panel.page(width, lines.size.height)
        draw = page.draw
        if panel.row is not None:
            draw = self._tags.marking(draw, lambda index: key_of(panel.entries[index].row))
        lines.show(page.lines, draw, page.cursor, page.width)
        # What was asked for is kept in sight as it grows, until somebody scrolls.
        if page.answer is not None and lines.scroll_offset.y == self._followed:
            lines.scroll_to(y=page.answer, animate=False, immediate=True)
            self._followed = lines.scroll_offset.y

    def _turn(self, tab: int) -> None:
        before = self.panel.tab
        self._remember()
        self.panel.turn_to(tab)
        self._changed(before)

    def _remember(self) -> None:
        offset = self._lines.scroll_offset
        self.panel.offsets[self.panel.tab] = offset.x, offset.y

    def _changed(self, before: int | None = None) -> None:
        """Ask for what is in sight now, and draw it where it was left."""
        self.ask()
        self.draw()
        if before != self.panel.tab:
            self._followed = None
            x, y = self.panel.offsets.get(self.panel.tab, (0, 0))
            self._lines.scroll_to(x, y, animate=False, immediate=True)
            # How high the page is shows only when the titles have come or gone.
            self._app.call_after_refresh(self.draw)
        if self.panel.walking and self._timer is None:
            self._timer = self._app.set_interval(PROGRESS_SECONDS, self._progress)

    def _progress(self) -> None:
        """Show how far a walk is, and once more when it has ended."""
        if not self.panel.walking and self._timer is not None:
            self._timer.stop()
            self._timer = None
        if self._lines.display and self.panel.id is not None:
            self._app.call_later(self.draw)
