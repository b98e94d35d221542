"""Ways to look at the table: orders, filters, the tree, columns, meanings, and what is kept of them."""

from __future__ import annotations

import os
import tomllib
from functools import partial
from pathlib import Path

import pytest
from textual.pilot import Pilot

from inspector.ctop import config
from inspector.ctop.app import Ctop
from inspector.ctop.drawing import HINTS
from inspector.ctop.lines import Bar, Lines
from inspector.ctop.options import parse
from inspector.views.layout import place, titles
from inspector.views.scene import Scene
from inspector.views.selection import figure_of
from inspector.views.text import width_of
from tests.testbed.commands import REPOSITORY
from tests.unit.documents import MIB, container, document
from tests.unit.liveview import Fake, live, names, screen, until

FINDINGS = [
    {"code": "cpu-throttled", "severity": "critical", "text": "throttled in 98% of its periods"},
    {"code": "host-network", "severity": "info", "text": "shares the host's network"},
]
NESTED = document(
    container("web", pod="shop", findings=FINDINGS), container("sidecar", pod="shop", cpu={"usage_cores": 0.7}),
    container("outer", cpu={"usage_cores": 0.5}),
    container("inner", parent="outer-0123456789abcdef", cpu={"usage_cores": 0.4}),
    container("nginx.service", kind="service"),
)  # fmt: skip


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def uses(app: Ctop, cores: float) -> bool:
    """Tell whether the first row's container uses so much CPU."""
    return app.state.shown[0]["cpu"]["usage_cores"] == cores


def fits(app: Ctop, width: int) -> bool:
    """Tell whether no line is wider."""
    return max(map(width_of, screen(app).splitlines())) <= width


def test_the_list_of_orders() -> None:
    """S opens a list at the order that is; a second s takes it, Down and Enter the next, r turns it round."""

    async def test(app: Ctop, _: Fake, pilot: Pilot[None]) -> None:
        await pilot.press("s")
        assert "CPU used: of one core" in screen(app)
        await pilot.press("s")
        assert app.state.selection.sort == "cpu"
        assert "THROTTLED" in screen(app)
        await pilot.press("f6", "home", "enter")
        assert (app.state.selection.sort, names(app)) == ("name", ["cache", "db", "web"])
        await pilot.press("s", "r")
        assert names(app) == ["web", "db", "cache"]
        await pilot.press("s", "end", "k", "j", "escape")
        assert (app.state.selection.sort, app.page) == ("name", "table")

    live(test)


def test_the_sort_moves_to_the_column_beside() -> None:
    """< and > sort by the next column that is shown, round the ends."""

    async def test(app: Ctop, _: Fake, pilot: Pilot[None]) -> None:
        await pilot.press("greater_than_sign")
        assert app.state.selection.sort == "limit"
        await pilot.press("less_than_sign", "less_than_sign")
        assert app.state.selection.sort == "runtime"
        await pilot.press("N", "less_than_sign")
        assert app.state.selection.sort == "mark"
        assert "by mark" in screen(app)

    live(test)


def test_the_sort_stops_once_at_each_figure() -> None:
    """> goes over a column that shows another's figure, such as the graph of what the column before it says."""
    stops: list[str] = []

    async def test(app: Ctop, _: Fake, pilot: Pilot[None]) -> None:
        while len(stops) < 40:
            stops.append(app.state.selection.sort)
            await pilot.press("greater_than_sign")
        assert "CPU HIST" in screen(app)

    live(test, size=(200, 50))
    assert stops[:2] == ["cpu", "limit"]
    once = stops[: stops.index("cpu", 1)]
    assert len(set(map(figure_of, once))) == len(once)
    assert "cpugraph" not in stops


def test_every_title_can_be_clicked() -> None:
    """A click on any title sorts by its column."""
    sorts = set()

    async def test(app: Ctop, _: Fake, pilot: Pilot[None]) -> None:
        for x in range(0, 190, 11):
            await pilot.click("#titles", offset=(x, 0))
            assert app.state.selection.sort == app.state.title_at(x)
            assert len(names(app)) == 3
            sorts.add(app.state.selection.sort)
        assert len(sorts) > 12

    live(test, size=(200, 12))


def test_patterns_and_alternatives_while_typing() -> None:
    """The filter has the page's syntax; a bad pattern is named where it is typed, and no row is lost by it."""

    async def test(app: Ctop, _: Fake, pilot: Pilot[None]) -> None:
        await pilot.press("backslash", *"db|cache", "enter")
        assert sorted(names(app)) == ["cache", "db"]
        await pilot.press("f4", *" /^d(/")
        assert sorted(names(app)) == ["cache", "db"]
        assert "not used: /^d(/: missing )" in screen(app)
        await pilot.press("backspace", "backspace", "slash")
        assert names(app) == ["db"]
        await pilot.press("ctrl+u", *"finding:throttled", "enter")
        assert names(app) == []
        assert "Esc clears it" in screen(app)

    live(test)


def test_a_pattern_that_never_ends_is_given_up() -> None:
    """The view answers on, and says why the pattern does not count."""

    async def test(app: Ctop, _: Fake, pilot: Pilot[None]) -> None:
        await pilot.press("slash", *"/(a+)+$/")
        assert "not used: this pattern takes too long" in screen(app)
        await pilot.press("enter")
        assert len(names(app)) == 1
        assert "bad pattern" in screen(app)

    live(test, of=document(container("a" * 60 + "b")))


def test_the_tree() -> None:
    """T shows pods and what is in containers, by the order; - folds, + unfolds, * all; Enter on a pod folds it too."""

    async def test(app: Ctop, _: Fake, pilot: Pilot[None]) -> None:
        await pilot.press("t")
        assert names(app) == ["shop", "sidecar", "web", "outer", "inner"]
        assert "├─ sidecar" in screen(app)
        assert app.state.chosen == "pod shop"
        await pilot.press("minus")
        assert "+ shop (2)" in screen(app)
        assert names(app) == ["shop", "outer", "inner"]
        await pilot.press("equals_sign", "asterisk")
        assert names(app) == ["shop", "outer"]
        await pilot.press("asterisk", "enter")
        assert (app.page, names(app)) == ("table", ["shop", "outer", "inner"])
        await pilot.press("plus", "down", "minus")
        assert len(names(app)) == 5
        await pilot.press("slash", *"inner", "enter", "N")
        assert names(app) == ["outer", "inner"]
        await pilot.press("f5")
        assert names(app) == ["inner"]

    live(test, of=NESTED)


def test_memory_has_four_meanings() -> None:
    """M goes through them; the title says which, and the figures and the order follow."""

    async def test(app: Ctop, _: Fake, pilot: Pilot[None]) -> None:
        assert "MEM / LIMIT" in screen(app)
        assert "12MiB" in screen(app)
        for title, figure in (("USAGE", "20MiB"), ("ANON", "10MiB"), ("FIXED", "11MiB"), ("MEM", "12MiB")):
            await pilot.press("m")
            assert f"{title} / LIMIT" in screen(app)
            assert figure in screen(app)

    live(test)


def test_columns_are_chosen_and_ordered() -> None:
    """C lists all columns; Space turns one on or off, < and > move it, a gives those that fit."""

    async def test(app: Ctop, _: Fake, pilot: Pilot[None]) -> None:
        await pilot.press("c", "down", "space", "c")
        assert "RUNTIME" not in screen(app)
        await pilot.press("f2", "greater_than_sign", "pagedown", "pageup", "escape")
        titles = screen(app)
        assert titles.index("CPU%core") < titles.index("NAME")
        await pilot.press("c", "end", "enter", "escape")
        assert app.state.columns[-1].name == "note"
        await pilot.press("c", "a")
        assert app.state.columns == ()
        assert "RUNTIME" in screen(app)

    live(test)


def test_the_last_column_stays() -> None:
    """A table without columns cannot be made."""

    async def test(app: Ctop, _: Fake, pilot: Pilot[None]) -> None:
        await pilot.press("c", "x", "escape")
        assert [one.name for one in app.state.columns] == ["name"]

    live(test, "-o", "name")


def test_the_header_can_be_hidden() -> None:
    """H gives its lines to the table, and back; the detail is not the place for it."""

    async def test(app: Ctop, _: Fake, pilot: Pilot[None]) -> None:
        await pilot.press("H")
        await until(pilot, lambda: screen(app).startswith("NAME"))
        await pilot.press("H")
        await until(pilot, lambda: screen(app).startswith("ctop testhost"))

    live(test)


def test_what_is_shown_can_be_saved(tmp_path: Path) -> None:
    """S writes a file that any TOML reader takes, whole, for us alone; the next start has it, and the options win."""

    async def change(app: Ctop, _: Fake, pilot: Pilot[None]) -> None:
        await pilot.press("M", "r", "t", "a", "0", "m", "H", "S")
        assert f"saved in {tmp_path}" in screen(app)

    live(change, "-o", "name,mem", size=(120, 24))
    path = tmp_path / "cgscope" / "ctop.toml"
    kept = tomllib.loads(path.read_text(encoding="utf-8"))
    assert kept == {
        "columns": ["name", "mem"], "sort": "mem", "reverse": True, "tree": True, "every": True, "header": False,
        "cpu": "limit", "memory": "usage",
    }  # fmt: skip
    assert path.stat().st_mode & 0o077 == 0
    assert [one.name for one in path.parent.iterdir()] == ["ctop.toml"]
    saved, complaints = config.load(str(path))
    assert complaints == []
    asked = parse(["-s", "name", "--mem", "anon"], terminal=True, saved=saved)
    assert asked.selection == (True, "", "name", True)
    assert (asked.memory, asked.cpu, asked.tree, asked.header) == ("anon", "limit", True, False)
    assert [one.name for one in asked.columns] == ["name", "mem"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("sort = 'nonsense'", "sort cannot be 'nonsense'"),
        ("columns = ['name', 'nonsense']", "columns cannot be ['name', 'nonsense']"),
        ("columns = 3", "columns cannot be 3"),
        ("columns = [['name']]", "columns cannot be"),
        ("tree = 'yes'", "tree cannot be 'yes'"),
        ("cpu = ['core']", "cpu cannot be ['core']"),
        ("memory = 1", "memory cannot be 1"),
        ("colour = true", "unknown setting 'colour'"),
        ("sort = ", "not used: Invalid value"),
        ("\udcff", "not used: 'utf-8' codec"),
        ("#" * 70000, "not used: more than 65536 bytes"),
    ],
)
def test_a_broken_entry_costs_a_line(tmp_path: Path, text: str, complaint: str) -> None:
    """What makes no sense is named; the other entries count."""
    path = tmp_path / "ctop.toml"
    path.write_bytes(f"reverse = true\n{text}\n".encode("utf-8", "surrogateescape"))
    settings, complaints = config.load(str(path))
    assert complaint in complaints[0]
    assert settings == ({} if "not used" in complaint else {"reverse": True})


def test_what_is_no_file_is_no_settings(tmp_path: Path) -> None:
    """No file, and a file below a file, are nothing; a directory and a pipe that nobody writes to are complaints."""
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    assert config.load(str(tmp_path / "none")) == config.load(str(tmp_path / "file" / "below")) == ({}, [])
    assert "not a regular file" in config.load(str(tmp_path / "pipe"))[1][0]
    assert "Is a directory" in config.load(str(tmp_path))[1][0]


def test_saving_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that cannot be made, another user's home, and no home are one line each."""
    (tmp_path / "cgscope").touch()
    with pytest.raises(config.NotSaved, match="not saved: "):
        config.save({})
    (tmp_path / "cgscope").unlink()
    monkeypatch.setattr(os, "geteuid", lambda: os.stat(tmp_path).st_uid + 1)
    with pytest.raises(config.NotSaved, match=r"belongs to user \d+, and we are user \d+"):
        config.save({})
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    monkeypatch.setenv("HOME", "nowhere")
    with pytest.raises(config.NotSaved, match="there is no home directory"):
        config.save({})


def test_ascii_alone() -> None:
    """With --no-unicode every character on the screen is ASCII, in the table, the tree, the help and the detail."""

    async def test(app: Ctop, _: Fake, pilot: Pilot[None]) -> None:
        for key in ("t", "question_mark", "question_mark", "s", "s", "c", "c", "down", "enter", "escape"):
            await pilot.press(key)
            await pilot.pause()
            assert screen(app).isascii(), key
        assert "|- sidecar" in screen(app)
        assert "! cpu-throttled +1" in screen(app)
        assert "######" in screen(app)

    names_of_all = container("名前ü", pod="shop", memory={"working_set_bytes": 60 * MIB, "limit_ratio": 0.94,
                                                          "unreclaimable_bytes": 55 * MIB})  # fmt: skip
    live(test, "--no-unicode", of=document(*NESTED["containers"], names_of_all), size=(200, 40))


def test_sparklines_bars_and_notes_where_there_is_room() -> None:
    """At 120 columns the last samples, the bar and the worst finding are there; at 80 the finding's mark is."""

    async def test(app: Ctop, source: Fake, pilot: Pilot[None]) -> None:
        for second, used in enumerate((0.05, 0.1, 0.2)):
            changed = container("web", cpu={"usage_cores": used}, findings=FINDINGS)
            source.document = {**document(changed), "taken_at": 1_700_093_700.0 + second}
            await until(pilot, partial(uses, app, used))
        await pilot.pause()
        row = next(line for line in screen(app).splitlines() if line.startswith("web"))
        assert "▃▅█" in row
        assert "█▒······" in row
        assert "▲ cpu-throttl" in row
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: "CPU HIST" not in screen(app))
        row = next(line for line in screen(app).splitlines() if line.startswith("web"))
        assert row.endswith(" ▲")
        assert "critical web: throttled in 98% of its periods" in " ".join(screen(app).split())

    live(test, of=document(container("web", findings=FINDINGS)), size=(120, 40))


@pytest.mark.parametrize("size", [(20, 5), (1, 1)])
def test_a_tiny_terminal(size: tuple[int, int]) -> None:
    """Every way to look works without a crash, and nothing is wider than the terminal."""

    async def test(app: Ctop, _: Fake, pilot: Pilot[None]) -> None:
        for key in ("down", "t", "asterisk", "t", "s", "end", "escape", "c", "escape", "H", "H", "question_mark",
                    "escape", "slash", "x", "enter", "escape", "enter", "escape", "end", "pageup"):  # fmt: skip
            await pilot.press(key)
            await pilot.pause()
            assert all(len(line) <= size[0] for line in screen(app).splitlines())

    assert live(test, of=NESTED, size=size).failure is None


def test_names_of_wide_characters_and_escapes() -> None:
    """Names of 300 wide characters are cut at the column, those with escape sequences are made visible."""
    wide = container("容" * 300, image="器" * 300, cpu={"limit_set_by": "/" + "限" * 300})

    async def test(app: Ctop, _: Fake, pilot: Pilot[None]) -> None:
        for width in (40, 120):
            await pilot.resize_terminal(width, 24)
            await until(pilot, partial(fits, app, width))
            assert "容容" in screen(app)
            assert screen(app).replace("\n", "").isprintable()

    live(test, of=document(wide, container("\x1b]0;x\x07\x9b2J", pod="\x1b[H")), size=(80, 24))


def test_colours_are_the_terminals_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """No colour but the 16 of the terminal is used, of those only red and magenta, which black and white both show."""
    monkeypatch.delenv("NO_COLOR")
    used: set[tuple[str, int | None]] = set()

    async def test(app: Ctop, _: Fake, pilot: Pilot[None]) -> None:
        await pilot.pause()
        for widget in app.screen.children:
            if isinstance(widget, (Bar, Lines)):
                for y in range(widget.size.height):
                    for segment in widget.render_line(y):
                        colours = (segment.style.color, segment.style.bgcolor) if segment.style else ()
                        used.update((colour.type.name, colour.number) for colour in colours if colour)

    live(test, of=NESTED, size=(200, 30))
    assert used
    assert used <= {("STANDARD", 1), ("STANDARD", 5)}


def test_a_message_goes_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was said is gone after some seconds, not sooner because samples come often."""
    seconds = [0.0]
    monkeypatch.setattr("inspector.ctop.state.monotonic", lambda: seconds[0])

    def is_of(app: Ctop, source: Fake) -> bool:
        return app.state.document is not None and app.state.document["taken_at"] == source.document["taken_at"]

    async def test(app: Ctop, source: Fake, pilot: Pilot[None]) -> None:
        await pilot.press("S")
        for number in range(7):
            source.document = {**NESTED, "taken_at": 2_000_000_000.0 + number}
            await until(pilot, partial(is_of, app, source))
        assert "saved in" in screen(app)
        seconds[0] += 6
        await until(pilot, lambda: "saved in" not in screen(app))

    live(test, of=NESTED, size=(160, 24))


def test_the_documented_screen_is_what_is_drawn() -> None:
    """The titles, the keys and the finding in the screen of docs/ctop.md are those of the view."""
    scene = Scene(past=lambda *_: [])
    rows = [container("demo", findings=FINDINGS[:1])]
    document = Path(REPOSITORY, "docs", "ctop.md").read_text(encoding="utf-8")
    shown = document.split("## The live view")[1].split("```")[1]
    assert "".join(text for text, _ in titles(place(rows, scene, 120), scene, "cpu")).rstrip() in shown
    assert HINTS["table"] in shown
    assert "▲ cpu-throttl…" in shown
    assert all(width_of(line) <= 120 for line in shown.splitlines())
