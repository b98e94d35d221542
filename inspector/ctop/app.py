"""The live view: a table of containers, one of them in detail, a help page. Its samples come from a thread."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Key
from textual.message import Message

from inspector.closeup import Closeup
from inspector.ctop.detail import Detail
from inspector.ctop.drawing import Drawing
from inspector.ctop.keys import KEYS
from inspector.ctop.lines import Bar, Lines
from inspector.ctop.menus import Menu
from inspector.ctop.options import Options
from inspector.ctop.runner import Runner
from inspector.ctop.sampler import Moved, Sampler
from inspector.ctop.sources import Source
from inspector.ctop.state import State
from inspector.ctop.terminal import Terminal
from inspector.schema import Document

__all__ = ["Ctop"]

OVER = ("help", "menu", "logs")
"""The pages that lie over another, to which Esc goes back."""
OF_TABLE = frozenset(
    ("open", "filter", "every", "tree", "fold", "fold_all", "sort", "sort_menu", "beside", "reverse", "memory",
     "column_menu", "header", "save")
)  # fmt: skip
"""The actions that mean nothing in another page."""


class Ctop(Drawing):
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
        self._behind = "table"
        self.prepare_actions(source, options, runner)
        self._detail = Detail(self, self.state, source, self.sampler, self.tags, unicode=options.unicode)
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
        if self.tags:
            one = self.panel.container
            self.tags.keep(document["containers"], one["processes"] if one else None)
        self.draw()

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

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Let the keys of the table do nothing elsewhere."""
        return self.page == "table" or action not in OF_TABLE

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
        """In the table open what is chosen, or its log, as in bcicen's ctop; scroll a page to the side.

        In a container's page, where there is nothing to scroll, go to the tab beside.
        """
        if self.page == "detail":
            self._detail.sideways(step)
        elif self.page != "table":
            self.lines.scroll_relative(x=step, animate=False)
        elif step < 0:
            self.action_logs()
        elif not self.state.on_group:
            self.action_open()

    def action_tag(self) -> None:
        """Tag the row under the cursor, or take its tag off, and go one down."""
        if self.page == "detail":
            self._detail.tag()
        elif self.page == "table" and self.state.shown:
            if not self.state.on_group:
                self.tags.turn(self.state.shown[self.state.cursor]["id"])
            self.action_move(1)

    def action_untag(self) -> None:
        """Take all tags off."""
        self.tags.clear()
        self.draw()

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
