"""Every key of the key table, under each of its names, pressed by Textual's Pilot: what it brings is seen.

A key without an entry in DOES fails, so a new one is tested as it is added.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from textual.pilot import Pilot

from inspector.ctop.app import Ctop
from inspector.ctop.keys import KEYS, PANEL_KEYS, Key
from inspector.schema import Document
from tests.unit.documents import container, document
from tests.unit.liveview import Fake, live, screen, until

Seen = Callable[[Ctop], object]
ELSEWHERE = ("suspend_process", "quit", "redraw", "tick", "time", "time_edge", "ask_time")
"""Ctrl-Z and Ctrl-L need a terminal (tests/root/test_ctop_tmux.py); for the others see the last test here."""


@pytest.fixture(autouse=True)
def _no_colour_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "")


def on(row: int) -> Seen:
    """Tell whether the cursor is on a row."""
    return lambda app: app.state.cursor == row


def by(name: str) -> Seen:
    """Tell whether the table is sorted so."""
    return lambda app: f" · by {name}" in screen(app)


def shows(text: str) -> Seen:
    """Tell whether a text is on the screen."""
    return lambda app: text in screen(app)


def hides(text: str) -> Seen:
    """Tell whether a text is not on the screen."""
    return lambda app: text not in screen(app)


# By action: the keys before it, in a table as it is at the beginning, and what it brings.
DOES: dict[str, tuple[Sequence[str], Seen]] = {
    "move(-1)": (("G",), on(60)),
    "move(1)": ((), on(1)),
    "page(-1)": (("G",), lambda app: 30 < app.state.cursor < 60),
    "page(1)": ((), lambda app: 5 < app.state.cursor < 30),
    "edge(-1)": (("G",), on(0)),
    "edge(1)": ((), on(61)),
    "sideways(-8)": (("enter", "3"), lambda app: app.panel.tab == 1),
    "sideways(8)": (("enter",), lambda app: app.panel.tab == 1),
    "open": ((), shows("1procs")),
    "back": (("enter",), shows("THROTTLED")),
    "filter": ((), shows("filter: ")),
    "every": ((), shows("all kinds")),
    "tree": (("slash", *"outer|inner", "enter"), shows("└─ inner")),
    "fold(True)": (("t", "slash", *"outer|inner", "enter"), hides("└─ inner")),
    "fold(False)": (("t", "slash", *"outer|inner", "enter", "minus"), shows("└─ inner")),
    "fold_all": (("t", "slash", *"outer|inner", "enter"), hides("└─ inner")),
    "sort('cpu')": (("N",), by("cpu")),
    "sort('mem')": ((), by("mem")),
    "sort('time')": ((), by("time")),
    "sort('name')": ((), by("name")),
    "sort_menu": ((), shows("what to sort by")),
    "beside(-1)": (("N",), by("mark")),
    "beside(1)": (("N",), by("runtime")),
    "reverse": ((), by("cpu reversed")),
    "cpu": ((), shows("CPU%limit")),
    "memory": ((), shows("USAGE / LIMIT")),
    "tag": ((), shows("1 tagged")),
    "untag": (("u", "u"), hides("tagged")),
    "signal": ((), shows("a signal to c00, process 4242")),
    "freeze": ((), shows("y/n  freeze all processes of c00")),
    "limits": ((), shows("limits of c00: c cpus  m memory  p tasks")),
    "shell": ((), shows("y/n  open a shell in c00, process 4242?")),
    "logs": ((), shows("log of c00")),
    "column_menu": ((), shows("[x] name")),
    "header": ((), hides("load ")),
    "save": ((), shows("saved in")),
    "pause": ((), shows("PAUSED")),
    "help": ((), shows("one row up")),
}


def fleet() -> Document:
    """Return sixty containers, and one in another."""
    rows = [container(f"c{number:02}", cpu={"usage_cores": 2 - number / 100}) for number in range(60)]
    inner = container("inner", parent="outer-0123456789abcdef", cpu={"usage_cores": 0.01})
    return document(*rows, container("outer", cpu={"usage_cores": 0.02}), inner)


def fresh(app: Ctop) -> None:
    """Bring the view back to its beginning."""
    app.question, app.menu, app.typing = None, None, False
    app.state.message, app.state.has_header = None, True
    app.state.cpu, app.state.memory, app.state.columns = "core", "working-set", ()
    app.state.tree, app.state.folded = False, set()
    if app.state.paused:
        app.action_pause()
    app.action_back()
    app.panel.turn_to(0)
    app.tags.clear()
    app.select(words="", sort="cpu", reverse=False, every=False)
    app.state.move_to(0)
    app.draw()


def test_every_key_of_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the keys of an action does it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    async def test(app: Ctop, _: Fake, pilot: Pilot[None]) -> None:
        for row in KEYS:
            if row.action.partition("(")[0] in ELSEWHERE:
                continue
            before, seen = DOES[row.action]
            for alias in row.keys.split(","):
                fresh(app)
                await pilot.press(*before)
                await until(pilot, lambda seen=seen: not seen(app))  # type: ignore[misc]
                await pilot.press(alias)
                await until(pilot, lambda seen=seen: seen(app))  # type: ignore[misc]

    live(test, of=fleet())
    assert (tmp_path / "cgscope" / "ctop.toml").exists()


def test_sideways_in_the_table() -> None:
    """Right is a container's page and Left its log, as in bcicen's ctop; on a row that is none they do nothing."""

    async def test(app: Ctop, _: Fake, pilot: Pilot[None]) -> None:
        await pilot.press("right")
        await until(pilot, lambda: "1procs" in screen(app))
        await pilot.press("escape", "left")
        await until(pilot, lambda: "log of c00" in screen(app))
        await pilot.press("escape", "slash", *"nobody", "enter", "right", "left", "question_mark")
        await until(pilot, lambda: "one row up" in screen(app))

    live(test, of=fleet())


@pytest.mark.parametrize(
    ("of", "where"),
    [(KEYS, {"tick": "replay", "time": "replay", "time_edge": "replay", "ask_time": "replay", "quit": "live"}),
     (PANEL_KEYS[1:], {"": "panel"})],
)  # fmt: skip
def test_the_other_keys_are_pressed_elsewhere(of: Sequence[Key], where: Mapping[str, str]) -> None:
    """The keys of time, of a container's page, and those that quit, are each in the tests of these."""
    for row in of:
        name = where.get(row.action.partition("(")[0])
        if name is not None:
            text = (Path(__file__).parent / f"test_ctop_{name}.py").read_text(encoding="utf-8")
            assert [key for key in row.keys.split(",") if f'"{key}"' not in text] == []
