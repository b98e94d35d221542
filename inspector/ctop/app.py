"""The live view: a table of containers, one of them in detail, a help page. Its samples come from a thread."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Key, Resize
from textual.message import Message

from inspector.closeup import Closeup
from inspector.ctop.arranging import Arranging
from inspector.ctop.detail import Detail
from inspector.ctop.keys import KEYS, help_lines
from inspector.ctop.lines import Bar, Lines
from inspector.ctop.logs import Logs
from inspector.ctop.menus import Menu
from inspector.ctop.options import Options
from inspector.ctop.panel import Panel
from inspector.ctop.runner import Runner
from inspector.ctop.sampler import Moved, Sampler
from inspector.ctop.source import Source
from inspector.ctop.state import State
from inspector.ctop.terminal import Terminal
from inspector.schema import Document
from inspector.views.filters import filter_of
from inspector.views.layout import Line, in_two
from inspector.views.text import safe, width_of

__all__ = ["Ctop"]

PROMPT = "  words  a|b  /regex/  runtime:docker  finding:throttled  Esc clear"
LOW = 10
"""Lines of a terminal below which the table gets nearly all of them."""
HINTS = {
    "table": "Enter detail  / filter  s sort  t tree  a all  c columns  0 CPU%  ? help",
    "help": "Esc back  Up Down scroll  q quit",
    "logs": Logs.hint,
}


OVER = ("help", "menu", "logs")
"""The pages that lie over another, to which Esc goes back."""
OF_TABLE = frozenset(
    ("open", "filter", "every", "tree", "fold", "fold_all", "sort", "sort_menu", "beside", "reverse", "memory",
     "column_menu", "header", "save")
)  # fmt: skip
"""The actions that mean nothing in another page."""


class Ctop(Arranging):
    """ctop's screen; `failure` is what ended the sampling, when it ended by itself."""

    CSS = """
    Screen { layout: vertical; background: ansi_default; }
    Bar { height: 1; }
    Lines { height: 1fr; scrollbar-size: 0 0; background: ansi_default; }
    """
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        # Textual gives Ctrl-C to a hint how to quit; here it quits, whatever has the focus.
        Binding("ctrl+c", "quit", show=False, priority=True),
        *(Binding(key.keys, key.action, key.help, show=False) for key in KEYS),
    ]

    class Sampled(Message):
        """The sampler has a document, a close look at a container, where a key led, or the exception that ended it."""

        def __init__(self, result: Document | Closeup | Exception | Moved) -> None:
            self.result = result
            super().__init__()

    def __init__(self, source: Source, options: Options, runner: Runner | None = None) -> None:
        if not options.colour:
            os.environ["NO_COLOR"] = "1"
        super().__init__(driver_class=Terminal, ansi_color=True)
        self.failure: Exception | None = None
        self.state = State(options)
        self.page = "table"
        self.menu: Menu | None = None
        self._unicode = options.unicode
        self.sampler = Sampler(source, options.delay, lambda result: self.post_message(self.Sampled(result)))
        self._detail = Detail(self, self.state, source, self.sampler, unicode=options.unicode)
        self._behind = "table"
        self.prepare_actions(source, options, runner)
        self.prepare_replay(source)
        self._left = options.lines

    def compose(self) -> ComposeResult:
        """Build the screen, from top to bottom."""
        yield Bar("header", unicode=self._unicode)
        yield Bar("tabs", unicode=self._unicode)
        yield Bar("titles", unicode=self._unicode)
        yield Lines("table", unicode=self._unicode)
        yield Lines("page", unicode=self._unicode)
        yield Bar("status", unicode=self._unicode)

    def on_mount(self) -> None:
        """Start sampling."""
        for number in (signal.SIGTERM, signal.SIGHUP):
            # Without this a kill would leave the terminal in raw mode.
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                asyncio.get_running_loop().add_signal_handler(number, self.exit)
        # After Ctrl-Z and fg the screen is empty, and Textual draws only what changes from then on.
        self.app_resume_signal.subscribe(self, lambda _: self.action_redraw())
        self._turn_to("table")
        self.sampler.start()

    def on_unmount(self) -> None:
        """Stop sampling."""
        self.sampler.stop()

    def on_ctop_sampled(self, message: Ctop.Sampled) -> None:
        """Show a new document."""
        if not self.is_running:  # it is being closed
            return
        if isinstance(message.result, Exception):
            self.failure = message.result
            self.exit()
        elif isinstance(message.result, Closeup):
            self._detail.looked(message.result)
            if self.page == "detail":
                self._detail.draw()
        elif isinstance(message.result, Moved):
            self.moved(message.result)
        elif self.stored is None or not self.state.paused:  # else the person has gone elsewhere meanwhile
            self.show(message.result)
            if self._left is not None:
                self._left -= 1
                if not self._left:
                    self.exit()

    def show(self, document: Document) -> None:
        """Show a document."""
        self.place(document)
        self.state.update(document)
        if self.page == "detail":
            self._detail.sampled()
            self._detail.ask()
        self.draw()

    def on_resize(self, _: Resize) -> None:
        """Choose the columns anew."""
        self.call_after_refresh(self.draw)

    def draw(self) -> None:
        """Draw everything."""
        low = self.size.height < LOW
        if self.page != "detail":
            self.query_one("#header", Bar).show(self.state.header()[: 1 if low else max(self.size.height // 3, 2)])
        hint = self.menu.hint if self.menu and self.page == "menu" else HINTS.get(self.page, self.panel.hint)
        hint = self.time_hint if self.stored and self.page == "table" else hint
        status: Line = [self.state.message or (hint, "dim")]
        asked = self.question.line() if self.question else None
        if self.page == "table":
            status = self._draw_table(status)
        elif self.page == "menu" and self.menu is not None:
            chosen = self.menu.lines()
            self.query_one("#page", Lines).show(len(chosen), lambda index: chosen[index], self.menu.cursor)
        elif self.page == "detail":
            self._detail.draw()
            status[:0] = [("PAUSED  ", "bad")] if self.state.paused else []
        elif self.page == "logs":
            self.draw_logs()
        else:
            lines = help_lines()
            width = max(sum(width_of(text) for text, _ in line) for line in lines)
            self.query_one("#page", Lines).show(len(lines), lambda index: lines[index], width=width)
        self._draw_status(asked, status, low=low)

    def _draw_status(self, asked: Line | None, status: Line, *, low: bool) -> None:
        """Draw the lowest two lines; a question or a message that one of them cannot hold takes both."""
        heading = self.logs.heading if self.logs else list
        of_page = {"table": self.state.finding, "detail": self.panel.finding, "logs": heading}
        above = self.menu.heading if self.menu and self.page == "menu" else of_page.get(self.page, list)()
        lines = in_two(asked or status, self.size.width) if asked or self.state.message else [status]
        lines = [above, *lines] if len(lines) == 1 else lines
        self.query_one("#status", Bar).show([asked or status] if low else lines)

    def _draw_table(self, status: Line) -> Line:
        """Draw the table; return what its status line says beside `status`."""
        self.query_one("#titles", Bar).show([self.state.titles(self.size.width)])
        count = len(self.state.shown)
        lines = self.query_one("#table", Lines)
        lines.show(max(count, 1), self.state.row, self.state.cursor if count else None)
        self.sampler.sight(self.state.in_sight(lines.scroll_offset.y, lines.size.height))
        if not self.typing:
            return [(f"{self.state.cursor + 1}/{count}  " if count else "", ""), *status]
        words, problem = safe(self.state.selection.words), filter_of(self.state.selection.words).problem
        typed: Line = [("filter: ", "title"), (words, ""), (" ", "sorted"), ("" if words else PROMPT, "dim")]
        return typed + ([(f" not used: {safe(problem)}", "bad")] if problem else [])

    def _turn_to(self, page: str) -> None:
        before, self.page = self.page, page
        in_table = page == "table"
        shown = (("#tabs", page == "detail"), ("#titles", in_table), ("#table", in_table), ("#page", not in_table))
        for name, display in shown:
            self.query_one(name).display = display
        self.query_one("#titles", Bar).show([[]])
        self.query_one("#page", Lines).scroll_to(0, 0, animate=False, immediate=True)
        if page == "detail":
            self._detail.open(self.panel.id if before in OVER and self.panel.id else self.state.chosen or "")
        elif before == "detail":
            self._detail.leave(stop=page not in OVER)
        self.screen.set_focus(self.lines)
        self.draw()

    def turn_over(self, page: str) -> None:
        """Show a page over the one in sight, to which Esc goes back."""
        if self.page not in OVER:
            self._behind = self.page
        self._turn_to(page)

    @property
    def panel(self) -> Panel:
        """What the page of a container shows."""
        return self._detail.panel

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Let the keys of the table do nothing elsewhere."""
        return self.page == "table" or action not in OF_TABLE

    @property
    def lines(self) -> Lines:
        """The lines in sight: the table or a page."""
        return self.query_one("#table" if self.page == "table" else "#page", Lines)

    def action_move(self, step: int) -> None:
        """Move the cursor, or scroll the page."""
        if self.page == "table":
            self.state.move_to(self.state.cursor + step)
            self.draw()
        else:
            self.lines.scroll_relative(y=step, animate=False)

    def action_page(self, screens: int) -> None:
        """Move by a screen."""
        self.action_move(screens * max(self.lines.size.height - 1, 1))

    def action_edge(self, side: int) -> None:
        """Go to the first or the last line."""
        self.action_move(side * self.lines.virtual_size.height)

    def action_sideways(self, step: int) -> None:
        """Scroll a page to the side; in a container's page, where there is nothing to scroll, go to the tab beside."""
        if self.page == "detail":
            self._detail.sideways(step)
        elif self.page != "table":
            self.lines.scroll_relative(x=step, animate=False)

    def action_open(self) -> None:
        """Show the chosen container in detail."""
        if self.page == "table" and self.state.on_group:
            self.action_fold()
        elif self.page == "table" and self.state.shown:
            self.state.move_to(self.state.cursor)
            self._turn_to("detail")

    def action_back(self) -> None:  # type: ignore[override]  # Textual's own goes back a screen, of which we have one
        """Leave the detail or the help; in the table leave and clear the filter."""
        if self.page in OVER:
            self._turn_to(self._behind)
        elif self.page != "table":
            self._turn_to("table")
        else:
            self.select(words="")

    def action_help(self) -> None:
        """Show the keys, or go back to where they were asked for."""
        if self.page == "help":
            self._turn_to(self._behind)
        else:
            self.turn_over("help")

    def on_key(self, event: Key) -> None:
        """While a filter is being typed, or a list is chosen from, take every key before the bindings do.

        Textual's Input would get the focus too late for keys that arrive
        together, as they do from a slow connection.
        """
        if self.question is not None:
            event.prevent_default()
            self.answer(event.key)
            return
        if self.page == "menu" and self.menu is not None:
            event.prevent_default()
            if self.menu.press(event.key):
                self._turn_to(self._behind)
                self.menu_done()
            self.draw()
        if self.page == "logs" and event.key == "t":
            self.log_times()
        if self.page == "detail" and self._detail.press(event.key):
            event.prevent_default()
        if self.typing:
            event.prevent_default()
            self.type_filter(event)

    def action_redraw(self) -> None:
        """Draw the whole screen anew, whatever has been written over it."""
        self.draw()
        self.refresh()

    def action_pause(self) -> None:
        """Hold the picture still, or go on."""
        self.hold(not self.state.paused)
        self.draw()

    def on_bar_clicked(self, message: Bar.Clicked) -> None:
        """Sort by the title that was clicked; a second click reverses."""
        if self.page == "detail":
            self._detail.click(message.bar.id or "", message.x)
            return
        name = self.state.title_at(message.x) if message.bar.id == "titles" else None
        if name is not None:
            again = name == self.state.selection.sort
            self.select(sort=name, reverse=again and not self.state.selection.reverse)

    def on_lines_clicked(self, message: Lines.Clicked) -> None:
        """Choose a row; a double click opens it."""
        if self.page == "menu" and self.menu is not None:
            self.menu.cursor = message.index
            self.draw()
        elif self.page == "detail":
            self._detail.click_line(message.index)
        elif self.page == "table":
            self.state.move_to(message.index)
            self.draw()
            if message.times > 1:
                self.action_open()
