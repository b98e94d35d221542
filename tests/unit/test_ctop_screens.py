"""The whole screen of the live view, from documents made by hand, as the terminal gets it.

The texts are in tests/data/screen; CGSCOPE_SNAPSHOTS=write writes them anew,
for a person to look at the difference. Those named "colours" have the escape
sequences too, with ESC written as `^[`.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from rich.color import ColorSystem
from rich.style import Style

from inspector.ctop.app import Ctop
from inspector.ctop.keys import help_lines
from inspector.ctop.menus import ColumnMenu, SortMenu
from inspector.ctop.options import parse
from inspector.ctop.state import State
from inspector.ctop.usage import parser
from inspector.schema import Container, Document
from inspector.views.columns import COLUMNS
from inspector.views.text import width_of
from tests.unit.documents import MIB, container, document
from tests.unit.liveview import Fake, screen, until

SCREENS = Path(__file__).parents[1] / "data" / "screen"
NOW = 1_700_093_600.0
SIXTEEN = re.compile(r"\^\[\[(?:(?:[0-9]|3[0-7]|4[0-7]|9[0-7]|10[0-7]);?)*m")
UNKNOWN: Mapping[str, object] = {
    "cpu": {"usage_cores": None, "limit_ratio": None, "throttled_ratio": None},
    "memory": {"limit_bytes": None},
}


def fleet() -> list[Container]:
    """Return containers of all sorts: busy, idle, paused, hollow, hostile, nested, in a pod, and what is none."""
    quiet = {"usage_cores": 0.003, "limit_ratio": 0.015, "throttled_ratio": 0.0, "pressure_some_ratio": 0.0}
    full = {"working_set_bytes": 62 * MIB, "unreclaimable_bytes": 60 * MIB, "limit_ratio": 0.97}
    return [
        container("web", findings=[finding("cpu-throttled", "warning", "throttled in 98% of its periods")]),
        container("db", image="postgres:16", memory=full,
                  cpu={**quiet, "usage_cores": 1.85, "limit_cores": 2.0, "limit_ratio": 0.925},
                  findings=[finding("memory-near-limit", "critical", "97% of its memory limit"),
                            finding("network-of-the-host", "info", "shares the host's network")]),
        container("api", runtime="podman", cpu={**quiet, "throttled_ratio": None, "inherited_throttled_ratio": 0.4,
                                                "throttled_by": "/apps", "limit_set_by": "/apps"}),
        container("sleeper", runtime="lxc", state="paused", cpu=quiet, started_at=NOW - 9 * 86400),
        container("forgotten", runtime="sandbox", state="hollow", cpu=quiet, image=""),
        container("outer", runtime="containerd", cpu=quiet),
        container("inner", runtime="docker", cpu=quiet, parent="outer-0123456789abcdef"),
        container("front", runtime="cri-o", pod="shop/front-5d9",
                  cpu={**quiet, "usage_cores": 0.1, "limit_ratio": 0.5}),
        container("sidecar", runtime="cri-o", pod="shop/front-5d9", cpu=quiet),
        container("逆\u202etxt.exe\x1b[2J" + "w" * 90, runtime=None, cpu=quiet),
        container("rates-to-come", created_at=None, started_at=None, **UNKNOWN),
        container("nginx.service", kind="service", runtime="systemd", cpu=quiet,
                  cgroups={"cpu": "/system.slice/nginx.service"}),
        container("cron.service", kind="service", runtime="systemd", cpu=quiet,
                  cgroups={"cpu": "/system.slice/cron.service"}),
        container("batch", kind="cgroup", runtime=None, cgroups={"cpu": "/jobs/batch"}, image="",
                  cpu={**quiet, "usage_cores": 0.07}),
    ]  # fmt: skip


def finding(code: str, severity: str, text: str) -> Mapping[str, str]:
    """Return a finding."""
    return {"code": code, "severity": severity, "text": text}


def inside() -> Document:
    """Return what a container sees of itself: /proc tells of another machine, limits above are hidden."""
    own = container("web", cpu={"usage_cores": 0.19})
    view = {"inside_container": True, "hidden_ancestors": True, "self": own["id"]}
    return document(own, viewpoint=view, denied=3, problems=["/proc/7/stat: not as it should be"])


class Screen(NamedTuple):
    """One screen: of which document, how large, with which options, after which keys."""

    of: str
    size: tuple[int, int]
    argv: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()


OF = {"fleet": lambda: document(*fleet()), "inside": inside, "empty": document}
SCREENSHOTS = {
    "fleet-80": Screen("fleet", (80, 24)),
    "fleet-120": Screen("fleet", (120, 40)),
    "fleet-200": Screen("fleet", (200, 50)),
    "fleet-60": Screen("fleet", (60, 15)),
    "fleet-40": Screen("fleet", (40, 12)),
    "fleet-20": Screen("fleet", (20, 5)),
    "by-memory-80": Screen("fleet", (80, 24), ("--cpu", "limit", "--mem", "fixed"), ("M", "down", "down")),
    "tree-80": Screen("fleet", (80, 24), ("--tree",), ("down",)),
    "tree-all-120": Screen("fleet", (120, 40), ("--tree", "-a")),
    "tree-folded-80": Screen("fleet", (80, 24), ("--tree",), ("asterisk",)),
    "typing-80": Screen("fleet", (80, 24), (), ("slash", *"docker|cri")),
    "filter-80": Screen("fleet", (80, 24), ("-f", "finding:cpu-throttled")),
    "tree-filter-80": Screen("fleet", (80, 24), ("--tree", "-f", "inner")),
    "nothing-matches-80": Screen("fleet", (80, 24), ("-f", "nobody")),
    "ascii-120": Screen("fleet", (120, 40), ("--no-unicode", "--tree")),
    "colours-80": Screen("fleet", (80, 24)),
    "no-colours-80": Screen("fleet", (80, 24), ("--no-color",)),
    "inside-80": Screen("inside", (80, 24)),
    "inside-120": Screen("inside", (120, 40)),
    "empty-80": Screen("empty", (80, 24)),
    "help-80": Screen("fleet", (80, 24), (), ("question_mark",)),
    "sort-80": Screen("fleet", (80, 24), (), ("s",)),
    "columns-80": Screen("fleet", (80, 24), (), ("c",)),
    "signals-80": Screen("fleet", (80, 24), (), ("f9",)),
    "question-80": Screen("fleet", (80, 24), (), ("z",)),
    "no-header-80": Screen("fleet", (80, 24), (), ("H",)),
}


def drawn(app: Ctop, *, colours: bool) -> str:
    """Return what the terminal has been sent: line after line, with its escape sequences if asked for."""
    strips = app.screen._compositor.render_strips()  # noqa: SLF001  what Textual itself writes from
    if not colours:
        return "".join(strip.text.rstrip() + "\n" for strip in strips)
    styles = [[(segment.text, segment.style or Style()) for segment in strip] for strip in strips]
    lines = ["".join(style.render(text, color_system=ColorSystem.STANDARD) for text, style in row) for row in styles]
    return "".join(line.replace("\x1b", "^[").rstrip() + "\n" for line in lines)


def shot(name: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a screen after 30 seconds of samples."""
    monkeypatch.setenv("NO_COLOR", "")
    monkeypatch.delenv("NO_COLOR")
    of, size, argv, keys = SCREENSHOTS[name]
    last = OF[of]()
    options = parse(argv, terminal=True)._replace(unicode="--no-unicode" not in argv)
    app = Ctop(Fake(last), options)
    text = ""

    async def run() -> None:
        nonlocal text
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda: app.state.document is not None)
            for back in range(30, 0, -1):
                app.state.history.add(before(last, back))
            app.show(last)
            await pilot.press(*keys)
            await pilot.pause()
            text = drawn(app, colours="colours" in name)
            assert "colours" in name or text.split() == screen(app).split()

    asyncio.run(run())
    return text


def before(last: Document, seconds: int) -> Document:
    """Return the document of some seconds before: CPU time in waves, memory the less the longer ago."""
    wave, share = 1 - seconds % 8 / 10, 1 - seconds / 30
    rows = [row.copy() for row in last["containers"]]
    for row in rows:
        cores, used = row["cpu"]["usage_cores"], row["memory"]["working_set_bytes"] or 0
        row["cpu"] = {**row["cpu"], "usage_cores": None if cores is None else cores * wave}
        row["memory"] = {**row["memory"], "working_set_bytes": int(used * share)}
    return {**last, "taken_at": last["taken_at"] - seconds, "containers": rows}


@pytest.mark.parametrize("name", SCREENSHOTS)
def test_a_screen_is_as_it_was(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every screen is, from its first column to its last, the text in tests/data/screen."""
    found = shot(name, monkeypatch)
    place = SCREENS / f"{name}.txt"
    if os.environ.get("CGSCOPE_SNAPSHOTS") == "write":
        place.write_text(found, encoding="utf-8")
    assert found == place.read_text(encoding="utf-8")


def test_no_screen_is_kept_that_nothing_draws() -> None:
    """The files are those of the screens listed here."""
    assert {path.stem for path in SCREENS.iterdir()} == set(SCREENSHOTS)


@pytest.mark.parametrize("name", SCREENSHOTS)
def test_a_screen_fits_and_is_harmless(name: str) -> None:
    """No line is longer than the screen is wide, none has a control or bidi character."""
    lines = (SCREENS / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    width, height = SCREENSHOTS[name].size
    assert len(lines) == height
    assert all(line.isprintable() for line in lines)
    assert "colours" in name or all(len(line) <= width for line in lines)


def test_colours_are_the_terminals_own_sixteen() -> None:
    """Colours are the 16 that each terminal has, and with NO_COLOR none: bold, dim and reverse say the rest."""
    coloured = (SCREENS / "colours-80.txt").read_text(encoding="utf-8")
    plain = (SCREENS / "no-colours-80.txt").read_text(encoding="utf-8")
    assert "35m" in coloured
    for text in (coloured, plain):
        assert text.count("^[[") == len(SIXTEEN.findall(text))
    assert not re.search(r"\^\[\[(\d+;)*([34][0-8]|9\d|10\d)[;m]", plain)
    assert re.search(r"[\[;]7[;m]", plain)


def test_help_fits_80_columns() -> None:
    """No line of the help is cut off."""
    assert max(sum(width_of(text) for text, _ in line) for line in help_lines()) <= 80


def test_lists_to_choose_from_fit_80_columns() -> None:
    """No column's words are cut off, neither where columns and orders are chosen nor in --help."""
    state = State(parse([], terminal=True))
    lines = [line for menu in (ColumnMenu(state), SortMenu(state)) for line in menu.lines()]
    assert len(lines) > len(COLUMNS)
    assert max(sum(width_of(text) for text, _ in line) for line in lines) <= 80
    assert [line for line in parser().format_help().splitlines() if len(line) > 80] == []


def test_ascii_is_ascii() -> None:
    """With --no-unicode nothing else is on the screen, whatever containers are called."""
    assert (SCREENS / "ascii-120.txt").read_text(encoding="utf-8").isascii()
