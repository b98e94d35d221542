"""The live view, driven by Textual's Pilot, with documents made by hand: no kernel is read."""

from __future__ import annotations

import asyncio
import queue

import pytest
from textual.pilot import Pilot

from inspector.ctop.app import Ctop
from inspector.ctop.keys import KEYS
from inspector.ctop.options import parse
from inspector.ctop.sampler import Sampler
from inspector.schema import Document
from tests.unit.documents import container, document
from tests.unit.liveview import Fake, live, names, screen, until


@pytest.fixture(autouse=True)
def _no_colour_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "")


def test_rows_header_and_keys_are_shown_at_80_columns() -> None:
    """The screen has the machine, a row for each container sorted by CPU, and the keys."""

    async def test(app: Ctop, _: Fake, pilot: Pilot[None]) -> None:
        await pilot.pause()
        shown = screen(app)
        assert "Linux 6.1.0" in shown
        assert shown.index("db ") < shown.index("cache ") < shown.index("web ")
        assert "nginx.service" not in shown
        assert "? help" in shown
        assert all(len(line) <= 80 for line in shown.splitlines())

    live(test)


def test_keys_sort_and_reverse() -> None:
    """M, N and r change the order, as in top."""

    async def test(app: Ctop, _: Fake, pilot: Pilot[None]) -> None:
        assert names(app) == ["db", "cache", "web"]
        await pilot.press("N")
        assert names(app) == ["cache", "db", "web"]
        await pilot.press("r")
        assert names(app) == ["web", "db", "cache"]
        await pilot.press("M")
        assert names(app)[-1] == "db"

    live(test)


def test_the_cursor_stays_on_its_container() -> None:
    """When the order changes the same container is chosen; when it is gone its neighbour is."""

    async def test(app: Ctop, source: Fake, pilot: Pilot[None]) -> None:
        await pilot.press("down", "down")
        assert app.state.chosen == "web-0123456789abcdef"
        source.document = document(container("web", cpu={"usage_cores": 2.0}), container("db"))
        await until(pilot, lambda: names(app) == ["web", "db"])
        assert app.state.chosen == "web-0123456789abcdef"
        assert app.state.cursor == 0
        source.document = document(container("db"))
        await until(pilot, lambda: names(app) == ["db"])
        assert app.state.chosen == "db-0123456789abcdef"

    live(test)


def test_filter_while_typing() -> None:
    """/ narrows with each key, Enter keeps it, Esc clears it; letters are words then and not commands."""

    async def test(app: Ctop, _: Fake, pilot: Pilot[None]) -> None:
        await pilot.press("slash", *"podmanq", "backspace")
        assert names(app) == ["cache"]
        assert "filter: podman" in screen(app)
        await pilot.press("enter")
        assert names(app) == ["cache"]
        assert "filter podman" in screen(app)
        await pilot.press("escape")
        assert len(names(app)) == 3

    live(test)


def test_all_kinds_and_the_meaning_of_cpu() -> None:
    """A shows services too, 0 goes through core, limit and host."""

    async def test(app: Ctop, _: Fake, pilot: Pilot[None]) -> None:
        await pilot.press("a", "0")
        assert "nginx.service" in names(app)
        assert "CPU%limit" in screen(app)
        await pilot.press("0")
        assert "CPU%host" in screen(app)

    live(test)


def test_enter_shows_processes_with_both_pids() -> None:
    """Enter opens the chosen container and asks for its processes; Esc goes back and no longer does."""

    async def test(app: Ctop, source: Fake, pilot: Pilot[None]) -> None:
        await pilot.press("down", "enter")
        assert source.focus == "cache-0123456789abcdef"
        await until(pilot, lambda: "   4242       1 " in screen(app))
        assert "cache  podman container" in screen(app)
        await pilot.press("escape")
        assert source.focus is None
        assert "THROTTLED" in screen(app)

    live(test)


def test_pause_holds_the_picture() -> None:
    """Space stops new samples and says so; once more goes on."""

    async def test(app: Ctop, source: Fake, pilot: Pilot[None]) -> None:
        await pilot.press("space")
        await pilot.pause(0.1)
        source.document = document(container("new"))
        await pilot.pause(0.6)
        assert names(app) == ["db", "cache", "web"]
        assert "PAUSED" in screen(app)
        await pilot.press("space")
        await until(pilot, lambda: names(app) == ["new"])

    live(test)


def test_help_is_made_from_the_key_table() -> None:
    """? shows every key with what it does, and goes back."""

    async def test(app: Ctop, _: Fake, pilot: Pilot[None]) -> None:
        await pilot.press("question_mark")
        shown = screen(app)
        assert all(key.help in shown for key in KEYS)
        await pilot.press("question_mark")
        assert "THROTTLED" in screen(app)

    live(test, size=(110, 70))


def test_a_click_on_a_title_sorts() -> None:
    """The first click on a title sorts by it, the second reverses."""

    async def test(app: Ctop, _: Fake, pilot: Pilot[None]) -> None:
        await pilot.click("#titles", offset=(2, 0))
        assert names(app) == ["cache", "db", "web"]
        await pilot.click("#titles", offset=(2, 0))
        assert names(app) == ["web", "db", "cache"]

    live(test)


def test_resizing_chooses_the_columns_anew() -> None:
    """A wider terminal has more columns, and a small one still works."""

    async def test(app: Ctop, _: Fake, pilot: Pilot[None]) -> None:
        await pilot.resize_terminal(200, 50)
        await until(pilot, lambda: "READ/s" in screen(app))
        await pilot.resize_terminal(20, 5)
        await until(pilot, lambda: "READ/s" not in screen(app))
        assert all(len(line) <= 20 for line in screen(app).splitlines())

    live(test)


def test_only_the_rows_in_sight_are_made() -> None:
    """Of 1000 containers End shows the last, and a draw makes no more rows than the screen has."""
    made = []

    async def test(app: Ctop, _: Fake, pilot: Pilot[None]) -> None:
        await pilot.press("N", "end")
        await pilot.pause()
        assert "c999" in screen(app)
        real = app.state.row
        app.state.row = lambda index: (made.append(index), real(index))[1]  # type: ignore[method-assign,func-returns-value]
        await pilot.press("up")
        await pilot.pause()
        assert 0 < len(set(made)) <= 24

    live(test, of=document(*(container(f"c{number:03}") for number in range(1000))))


def test_a_source_is_told_what_is_in_sight() -> None:
    """The rows on the screen, also after scrolling; all there are while a column or the order needs details of all."""

    async def test(app: Ctop, source: Fake, pilot: Pilot[None]) -> None:
        await pilot.press("N")
        rows = app.lines.size.height
        assert source.sight == frozenset(row["id"] for row in app.state.shown[:rows])
        await pilot.press("end")
        await pilot.pause()
        assert source.sight == frozenset(row["id"] for row in app.state.shown[-rows:])
        app.select(sort="memory.peak_bytes")
        assert source.sight is None
        app.select(sort="name")
        assert source.sight is not None
        await pilot.resize_terminal(200, 24)
        await until(pilot, lambda: source.sight is None)
        assert "CPUWAIT" in screen(app)

    live(test, of=document(*(container(f"c{number:03}") for number in range(100))))


def test_what_was_out_of_sight_is_read_soon() -> None:
    """Who waits an hour between two samples has the details of all, and their rates, when he asks for them."""
    samples: queue.Queue[object] = queue.Queue()
    sampler = Sampler(Fake(document(container("web"))), 3600, samples.put)
    sampler.sight(frozenset())
    sampler.start()
    try:
        for _ in range(2):
            samples.get(timeout=60)
        sampler.sight(None)
        for _ in range(2):
            samples.get(timeout=60)
    finally:
        sampler.stop()


def test_hostile_names_are_escaped() -> None:
    """No control or bidi character of a name is in a cell."""

    async def test(app: Ctop, _: Fake, pilot: Pilot[None]) -> None:
        await pilot.press("enter")
        await until(pilot, lambda: "4242" in screen(app))
        assert "e\\x1b[31m\\u202e" in screen(app)
        assert screen(app).replace("\n", "").isprintable()

    live(test, of=document(container("e\x1b[31m\u202e")))


@pytest.mark.parametrize("key", ["q", "f10", "ctrl+c"])
def test_quit(key: str) -> None:
    """Q, F10 and Ctrl-C quit; Ctrl-C also while a filter is typed."""

    async def test(app: Ctop, _: Fake, pilot: Pilot[None]) -> None:
        if key == "ctrl+c":
            await pilot.press("slash")
        await pilot.press(key)
        await pilot.pause()
        assert not app.is_running or app._exit  # noqa: SLF001  Textual has no public name for it

    assert live(test).failure is None


def test_a_source_that_fails_ends_the_view() -> None:
    """An error of the sampler closes the screen, to be shown once the terminal is back."""

    class Broken(Fake):
        def __call__(self) -> Document:
            raise PermissionError(13, "Permission denied", "/proc/stat")

    app = Ctop(Broken(document()), parse(["-d", "0.2"], terminal=True))

    async def run() -> None:
        async with app.run_test() as pilot:
            await until(pilot, lambda: app.failure is not None)

    asyncio.run(run())
    assert isinstance(app.failure, PermissionError)


def test_what_is_wrong_is_seen_at_once() -> None:
    """The header counts the marked rows in sight or not; below is the worst of all, until a person has chosen."""
    bad = {"code": "oom-killed", "severity": "critical", "text": "3 processes killed for lack of memory"}
    warn = {"code": "host-network", "severity": "warning", "text": "shares the host's network namespace"}
    idle = [container(f"idle-{number:02}", cpu={"usage_cores": 0.5}) for number in range(40)]
    rows = [*idle, container("fine"), container("z-one", findings=[warn, bad]), container("z-two", findings=[warn])]

    async def test(app: Ctop, _: Fake, pilot: Pilot[None]) -> None:
        assert "z-one " not in screen(app)
        assert " · ▲ 1 · ● 1 · by cpu" in screen(app)
        assert screen(app).splitlines()[-2] == "critical z-one: 3 processes killed for lack of memory"
        await pilot.press("down")
        assert screen(app).splitlines()[-2].startswith("idle-01 may use ")
        await pilot.press("slash", *"finding:warning", "enter", "G")
        assert screen(app).splitlines()[-2] == "warning  shares the host's network namespace"
        await pilot.press("slash", *" kind:service", "enter")
        assert "▲" not in screen(app)

    live(test, of=document(*rows))
