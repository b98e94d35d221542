"""The page of a container, driven by Textual's Pilot: every key and click of it, while samples come."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from textual.pilot import Pilot

from inspector.closeup import Ask, Closeup
from inspector.ctop.app import OF_TABLE, Ctop
from inspector.ctop.keys import KEYS, PANEL_KEYS
from inspector.ctop.lines import Lines
from inspector.ctop.options import parse
from inspector.ctop.pages import TABS
from inspector.ctop.walk import Walk
from inspector.layers import Change
from inspector.schema import Document
from tests.unit.closeups import closeup
from tests.unit.documents import container, document, process
from tests.unit.liveview import Fake, screen, until

WEB = "web-0123456789abcdef"
ROWS = (
    process(4242, comm="nginx", cmdline="nginx: master process", ppid=1, cpu_cores=0.02, cpu_seconds=9.0, threads=2),
    process(4243, comm="nginx", cmdline="nginx: worker process", ppid=4242, cpu_cores=0.15, rss_bytes=2**22),
    process(4250, comm="cron", cmdline="/usr/sbin/cron " + "x" * 90 + " END", ppid=4242, cpu_cores=0.01),
)
Test = Callable[[Ctop, "Close", Pilot[None]], Coroutine[Any, Any, None]]


class Growing(Walk):
    """A walk that finds a file each time it is let go on."""

    def __init__(self) -> None:
        self.go = threading.Semaphore(0)
        super().__init__(lambda _: "not used")

    def _run(self, *_: object) -> None:
        number = 0
        while self.go.acquire() and not self._stopped:
            number += 1
            self.changes.append(Change("added", f"/new/{number}", "file", 10, 4096))
            self.totals["added"] = self.totals["added"].plus(self.changes[-1])
        self.state = "stopped"

    def stop(self) -> None:
        """Stop, also while nothing is found."""
        super().stop()
        self.go.release()


class Close(Fake):
    """A source that can look closely; it remembers what it was asked."""

    def __init__(self, of: Document) -> None:
        super().__init__(of)
        self.asked: list[Ask] = []
        self.walks: list[Growing] = []
        self.answer: Callable[[Ask], Closeup] = lambda ask: closeup(ask.container, parts=ask.parts)

    def __call__(self) -> Document:
        """Return the document; the container in focus has processes."""
        rows = [row.copy() for row in self.document["containers"]]
        for row in rows:
            row["processes"] = list(ROWS) if row["id"] == self.focus else None
        return {**self.document, "containers": rows}

    def closeup(self, ask: Ask) -> Closeup:
        """Answer."""
        self.asked.append(ask)
        return self.answer(ask)

    def changes(self, container: str) -> Walk:  # noqa: ARG002
        """Start a walk that goes on when the test says so."""
        self.walks.append(Growing())
        return self.walks[-1]


def opened(test: Test, size: tuple[int, int] = (80, 24)) -> None:
    """Run a test in the page of the container "web"."""
    source = Close(document(container("web"), container("db", cpu={"usage_cores": 0.1})))
    app = Ctop(source, parse(["-d", "0.2"], terminal=True))

    async def run() -> None:
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda: app.state.document is not None)
            await pilot.press("enter")
            await until(pilot, lambda: "worker" in screen(app))
            await test(app, source, pilot)

    asyncio.run(run())
    for walk in source.walks:
        walk.stop()
        assert walk.wait(30)


@pytest.fixture(autouse=True)
def _no_colour_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "")


def commands(app: Ctop) -> list[str]:
    """Return the lines of the processes on the screen, each from its command on."""
    lines = screen(app).splitlines()
    first = next(number for number, line in enumerate(lines) if "INSIDE" in line)
    column = lines[first].index("COMMAND")
    return [line[column:] for line in lines[first + 1 :] if line[:7].strip().isdigit()]


def test_digits_tab_and_shift_tab_turn_to_the_tabs() -> None:
    """1 to 8 each show their tab; Tab and Shift-Tab go round; each asks for what it shows and nothing else."""

    async def test(app: Ctop, source: Close, pilot: Pilot[None]) -> None:
        marks = ("INSIDE", "binds", "WHOSE", "LAYERS", "LISTENS", "seccomp", "throttled periods", "runtime-socket")
        for number, mark in enumerate(marks, 1):
            await pilot.press(str(number))
            await until(pilot, lambda mark=mark: mark in screen(app))  # type: ignore[misc]  # mypy: a default
            assert app.panel.tab == number - 1
            await until(pilot, lambda number=number: source.asked[-1].parts == TABS[number - 1].parts)  # type: ignore[misc]
        await pilot.press("tab")
        assert app.panel.tab == 0
        await pilot.press("shift+tab")
        assert app.panel.tab == 7
        assert all(ask.container == WEB for ask in source.asked)

    opened(test)


def test_sort_keys_order_the_processes() -> None:
    """P C M T N sort, s takes the next, r and I reverse, a click on a title sorts and a second one reverses."""

    async def test(app: Ctop, _: Close, pilot: Pilot[None]) -> None:
        first = {"P": "nginx: worker", "M": "nginx: worker", "T": "nginx: master", "C": "nginx: worker",
                 "N": "nginx: master"}  # fmt: skip
        for key, command in first.items():
            await pilot.press(key)
            assert commands(app)[0].startswith(command)
        await pilot.press("r")
        assert "cron" in commands(app)[0]
        await pilot.press("I")
        assert "master" in commands(app)[0]
        await pilot.press("s")
        assert app.panel.sort == "cpu"
        await pilot.press("f6")
        assert app.panel.sort == "mem"
        await pilot.click("#titles", offset=(4, 0))
        assert (app.panel.sort, app.panel.reverse) == ("pid", False)
        await pilot.click("#titles", offset=(4, 0))
        assert (app.panel.sort, app.panel.reverse) == ("pid", True)
        assert app.state.selection.sort == "cpu"

    opened(test)


def test_tree_and_threads() -> None:
    """T and F5 draw children below their parents, H asks for threads and shows them; H once more asks no longer."""

    async def test(app: Ctop, source: Close, pilot: Pilot[None]) -> None:
        await pilot.press("t")
        await pilot.pause()
        assert [line[:2] for line in commands(app)] == ["ng", "├─", "└─"]
        await pilot.press("f5")
        await pilot.pause()
        assert not any("├" in line for line in commands(app))
        assert not any("threads" in ask.parts for ask in source.asked)
        await pilot.press("H")
        await until(pilot, lambda: "aio-worker" in screen(app))
        assert source.asked[-1].parts == {"threads"}
        await pilot.press("H")
        await until(pilot, lambda: "aio-worker" not in screen(app))
        await until(pilot, lambda: source.asked[-1].parts == frozenset())
        assert app.state.has_header

    opened(test)


def test_the_cursor_chooses_a_process() -> None:
    """Up, Down, Home, End, the screens and a click move it; it stays on its process, or at first on the first row."""

    async def test(app: Ctop, _: Close, pilot: Pilot[None]) -> None:
        assert app.panel.process == 4243
        await pilot.press("T")
        assert app.panel.process == 4242
        await pilot.press("P", "down")
        assert app.panel.process == 4242
        await pilot.press("M", "r")
        assert app.panel.process == 4242
        await pilot.press("r", "P")
        for key, pid in (("end", 4250), ("k", 4242), ("up", 4243), ("j", 4242), ("pagedown", 4250), ("ctrl+b", 4243),
                         ("ctrl+f", 4250), ("pageup", 4243), ("G", 4250), ("g", 4243), ("home", 4243)):  # fmt: skip
            await pilot.press(key)
            assert app.panel.process == pid, key
        await pilot.click("#page", offset=(5, 2))
        assert app.panel.process == 4250
        await pilot.press("2")
        assert app.panel.process is None

    opened(test)


def test_left_and_right_scroll_long_lines_or_turn() -> None:
    """Where a command is longer than the screen, Right scrolls to its end, titles with it; else it is the next tab."""

    async def test(app: Ctop, _: Close, pilot: Pilot[None]) -> None:
        assert "END" not in screen(app)
        await pilot.press(*["right"] * 12)
        await until(pilot, lambda: "END" in screen(app))
        assert app.panel.tab == 0
        await until(pilot, lambda: "INSIDE" not in screen(app))
        await pilot.press(*["left"] * 12)
        await until(pilot, lambda: "INSIDE" in screen(app))
        await pilot.press("3")
        await until(pilot, lambda: "WHOSE" in screen(app))
        await pilot.press("right")
        assert app.panel.tab == 3
        await pilot.press("2", "3", "left")
        assert app.panel.tab == 1

    opened(test)


def test_a_click_on_a_title_turns_to_the_tab() -> None:
    """Each title is where it is drawn, short at 80 columns and long at 200."""

    async def test(app: Ctop, _: Close, pilot: Pilot[None]) -> None:
        line = next(line for line in screen(app).splitlines() if line.startswith("1p"))
        for number in (8, 1, 5, 3):
            await pilot.click("#tabs", offset=(line.index(str(number)) + 1, 0))
            assert app.panel.tab == number - 1
        await pilot.click("#tabs", offset=(line.index("2") - 1, 0))
        assert app.panel.tab == 2

    for size in ((80, 24), (200, 50)):
        opened(test, size)


def test_each_tab_remembers_where_it_was_scrolled() -> None:
    """Back in a tab, its lines are where they were left."""

    async def test(app: Ctop, _: Close, pilot: Pilot[None]) -> None:
        await pilot.press("2")
        await until(pilot, lambda: "binds" in screen(app))
        await pilot.press("down", "down", "down")
        lines = app.query_one("#page", Lines)
        await until(pilot, lambda: lines.scroll_offset.y == 3)
        await pilot.press("3")
        await until(pilot, lambda: lines.scroll_offset.y == 0)
        await pilot.press("2")
        await until(pilot, lambda: lines.scroll_offset.y == 3)

    opened(test, (80, 16))


def test_changes_are_read_on_demand_and_can_be_stopped() -> None:
    """C starts the walk, its progress shows without a sample, c again stops it; leaving the page stops it too."""

    async def test(app: Ctop, source: Close, pilot: Pilot[None]) -> None:
        await pilot.press("4")
        await until(pilot, lambda: "LAYERS" in screen(app))
        assert source.walks == []
        await pilot.press("space", "c")
        await until(pilot, lambda: "c stops" in screen(app))
        assert "PAUSED" in screen(app)
        source.walks[0].go.release()
        await until(pilot, lambda: "1 added, 10B, 4KiB on disk" in screen(app))
        source.walks[0].go.release()
        await until(pilot, lambda: "/new/2" in screen(app))
        await pilot.press("c")
        await until(pilot, lambda: "interrupted" in screen(app))
        await pilot.press("c")
        await until(pilot, lambda: "c stops" in screen(app))
        await pilot.press("question_mark", "escape")
        await until(pilot, lambda: "c stops" in screen(app))
        await pilot.press("escape")
        await until(pilot, lambda: not source.walks[1].is_running)
        assert len(source.walks) == 2

    opened(test)


def test_escape_goes_back_and_asks_for_nothing_more() -> None:
    """Esc shows the table, and the source is asked for neither processes nor a close look."""

    async def test(app: Ctop, source: Close, pilot: Pilot[None]) -> None:
        await pilot.press("2")
        await until(pilot, lambda: "binds" in screen(app))
        await pilot.press("escape")
        assert "THROTTLED" in screen(app)
        assert source.focus is None
        taken = app.state.document
        asked = len(source.asked)
        await until(pilot, lambda: app.state.document is not taken)
        taken = app.state.document
        await until(pilot, lambda: app.state.document is not taken)
        # One may have been under way.
        assert len(source.asked) <= asked + 1

    opened(test)


def test_help_comes_back_to_the_page() -> None:
    """? in the page shows its keys too, and goes back to the same tab of the same container."""

    async def test(app: Ctop, source: Close, pilot: Pilot[None]) -> None:
        await pilot.press("3", "question_mark")
        await pilot.pause()
        assert all(key.help in screen(app) for key in PANEL_KEYS)
        await pilot.press("escape")
        await until(pilot, lambda: "WHOSE" in screen(app))
        assert source.focus == WEB
        assert app.panel.tab == 2

    opened(test, (120, 90))


def test_keys_of_the_table_do_nothing_here() -> None:
    """Filter, sort, tree and columns of the table are as they were after their keys were pressed in the page."""

    async def test(app: Ctop, _: Close, pilot: Pilot[None]) -> None:
        await pilot.press("3")
        before = app.state.settings()
        for key in KEYS:
            name = key.keys.split(",")[0]
            if key.action.partition("(")[0] in OF_TABLE:
                await pilot.press(name)
                app.panel.turn_to(2)
        assert app.state.settings() == before
        assert app.page == "detail"
        assert not app.typing

    opened(test)


def test_a_container_that_ends_while_open() -> None:
    """Its page stays with its last figures, says when it ended, and why where the kernel's log tells."""

    async def test(app: Ctop, source: Close, pilot: Pilot[None]) -> None:
        source.answer = lambda ask: Closeup(
            ask.container, 1.0, ask.parts, ended="nginx (pid 4242) was killed for lack of memory (OOM)"
        )
        source.document = document(container("db"), taken_at=1_700_093_700.0)
        await until(pilot, lambda: "was killed for lack of memory" in screen(app))
        assert "ENDED at " in screen(app)
        assert "worker" in screen(app)
        await until(pilot, lambda: any("end" in ask.parts for ask in source.asked))
        assert source.asked[-1].cgroup == "/docker/aaaa"
        await pilot.press("2")
        await until(pilot, lambda: "binds" in screen(app))
        for key in ("f9", "z", "L", "E"):
            app.state.message = None
            await pilot.press(key)
            assert "web has ended: there is nothing to act on" in screen(app)
        await pilot.press("l")
        assert "web" in screen(app).splitlines()[-2]
        assert app.page == "logs"
        await pilot.press("escape", "escape")
        await until(pilot, lambda: "THROTTLED" in screen(app))
        assert app.state.chosen == "db-0123456789abcdef"

    opened(test)


def test_a_terminal_of_20_by_5() -> None:
    """Every tab can be shown on a screen with hardly any room."""

    async def test(app: Ctop, _: Close, pilot: Pilot[None]) -> None:
        await pilot.resize_terminal(20, 5)
        for number in range(1, 9):
            await pilot.press(str(number))
            await pilot.pause()
            assert all(len(line) <= 20 for line in screen(app).splitlines())
        await pilot.resize_terminal(200, 50)
        await pilot.press("1")
        await until(pilot, lambda: "worker" in screen(app))

    opened(test)


def test_keys_are_answered_while_a_close_look_takes_its_time() -> None:
    """While the source is busy with an answer, tabs and cursor still move."""

    async def test(app: Ctop, source: Close, pilot: Pilot[None]) -> None:
        begun, go = threading.Event(), threading.Event()

        def slow(ask: Ask) -> Closeup:
            begun.set()
            assert go.wait(60)
            return closeup(ask.container, parts=ask.parts)

        source.answer = slow
        await pilot.press("2")
        await until(pilot, begun.is_set)
        await pilot.press("7")
        await until(pilot, lambda: "throttled periods" in screen(app))
        await pilot.press("1", "down")
        assert app.panel.process == 4242
        go.set()

    opened(test)


def test_an_error_of_a_close_look_ends_the_view() -> None:
    """A bug in a close look is not swallowed: it ends the view and is shown once the terminal is back."""

    async def test(app: Ctop, source: Close, pilot: Pilot[None]) -> None:
        def broken(_: Ask) -> Closeup:
            raise ValueError("a bug")

        source.answer = broken
        await pilot.press("2")
        await until(pilot, lambda: isinstance(app.failure, ValueError))

    opened(test)
