"""Tags (u, U): who is tagged stays so wherever its row goes, and F9 and z are for all of them."""

from __future__ import annotations

import re
import signal

import pytest
from textual.pilot import Pilot

from inspector.ctop.app import Ctop
from inspector.ctop.runner import Done, NotDone
from inspector.schema import Document
from tests.unit.documents import container, document, process
from tests.unit.liveview import screen, until
from tests.unit.test_ctop_actions import ACTS, TICKS, Notes, Source, acting

PIDS = {"web": 4242, "db": 4243, "cache": 4244, "log": 4245}


class Choosy(Notes):
    """A runner for which some processes have ended."""

    gone: tuple[int, ...] = ()

    def signal(self, pid: int, started_ticks: int, number: int) -> str:
        """Take note, or say that it has ended."""
        if pid in self.gone:
            raise NotDone(f"process {pid} has ended")
        return super().signal(pid, started_ticks, number)


@pytest.fixture(autouse=True)
def _no_colour_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "")


def fleet(*names: str, **changes: object) -> Document:
    """Return containers that sort as they are named, each with a PID of its own."""
    rows = (container(name, pid=PIDS[name], cpu={"usage_cores": 5000.0 - PIDS[name]}, **changes) for name in names)
    return document(*rows)


def marked(app: Ctop) -> list[str]:
    """Return the first words of the rows on the screen that have the mark of a tag."""
    return [re.split(r"[ #]+", line.strip())[0] for line in screen(app).splitlines() if "#" in line]


@pytest.mark.parametrize("argv", [[], ["--no-unicode"]])
def test_a_tag_stays_on_its_container(argv: list[str]) -> None:
    """It is told without colour; order, filter and samples leave it; the end of its container, u and U take it."""

    async def test(app: Ctop, _: Notes, pilot: Pilot[None]) -> None:
        await pilot.press("u", "down", "u")
        assert marked(app) == ["web", "cache"]
        assert app.state.cursor == 3
        await pilot.press("N")
        assert marked(app) == ["cache", "web"]
        assert "2 tagged" in screen(app)
        await pilot.press("slash", *"web", "enter")
        assert marked(app) == ["web"]
        assert "2 tagged" in screen(app)
        await pilot.press("escape", "P")
        source.document = fleet("web", "db", "log")
        await until(pilot, lambda: marked(app) == ["web"] and "1 tagged" in screen(app))
        source.document = fleet("web", "db", "cache", "log")
        await until(pilot, lambda: len(app.state.shown) == 4)
        assert marked(app) == ["web"]
        await pilot.press("home", "u")
        assert marked(app) == []
        await pilot.press("u", "u", "U")
        assert marked(app) == []
        assert "tagged" not in screen(app)

    source = Source(fleet("web", "db", "cache", "log"))
    acting(test, *argv, source=source)


def test_a_signal_to_all_tagged() -> None:
    """The question says how many and names three; the answer how many got it, and the first that did not, and why."""

    async def test(app: Ctop, notes: Notes, pilot: Pilot[None]) -> None:
        assert isinstance(notes, Choosy)
        await pilot.press("u", "u", "u", "u", "slash", *"log", "enter", "f9")
        assert "a signal to 4 tagged: web, db, cache and 1 more" in screen(app)
        await pilot.press("enter")
        assert "y/n  send SIGTERM to 4 tagged: web, db, cache and 1 more?" in screen(app)
        await pilot.press("n")
        assert notes.signals == []
        notes.gone = (4243, 4244)
        await pilot.press("f9", "enter", "y")
        assert notes.signals == [(4242, TICKS, signal.SIGTERM), (4245, TICKS, signal.SIGTERM)]
        assert "SIGTERM sent to 2 of 4 tagged; db: process 4243 has ended" in screen(app)
        notes.gone, notes.remark = (), "dropped, as PID 1 has no handler for it"
        await pilot.press("f9", "enter", "y")
        assert "SIGTERM sent to 0 of 4 tagged; web: dropped, as PID 1" in screen(app)

    acting(test, of=fleet("web", "db", "cache", "log"), notes=Choosy())


def test_the_tagged_are_named_in_the_order_they_were_tagged_in() -> None:
    """Not in the document's, which is that of the kernel's directories and another at each start."""

    async def test(app: Ctop, _: Notes, pilot: Pilot[None]) -> None:
        await pilot.press("end", "u", "home", "u", "z")
        assert "y/n  freeze all processes of 2 tagged: cache, web?" in screen(app)

    acting(test, of=fleet("web", "db", "cache"))


def test_some_of_the_tagged_cannot_be_aimed_at() -> None:
    """A container without a process that we know counts as one that was not done; alone it is said at once."""

    async def test(app: Ctop, notes: Notes, pilot: Pilot[None]) -> None:
        await pilot.press("end", "u", "f9")
        assert "no process of blind is known here" in screen(app)
        await pilot.press("home", "u", "f9", "enter", "y")
        assert "SIGTERM sent to 1 of 2 tagged; no process of blind is known here" in screen(app)
        assert notes.signals == [(4242, TICKS, signal.SIGTERM)]

    acting(test, of=document(container("web"), container("blind", pid=None, cpu={"usage_cores": 0.0})))


@pytest.mark.parametrize(
    ("states", "verb", "done"),
    [
        (("running", "paused"), "freeze", "frozen"),
        (("paused", "paused"), "thaw", "thawed"),
    ],
)
def test_freeze_and_thaw_all_tagged(states: tuple[str, str], verb: str, done: str) -> None:
    """They are thawed when all are frozen, else frozen; what came of it is counted."""

    async def test(app: Ctop, notes: Notes, pilot: Pilot[None]) -> None:
        await pilot.press("u", "u", "z")
        assert f"y/n  {verb} all processes of 2 tagged: web, db?" in screen(app)
        await pilot.press("y")
        await until(pilot, lambda: f"{done}: 2 of 2 tagged" in screen(app))
        notes.answer = Done(1, "not\x1b[2J allowed")
        await pilot.press("z", "y")
        await until(pilot, lambda: f"{done}: 0 of 2 tagged; web: not\\x1b[2J allowed" in screen(app))

    both = document(
        container("web", state=states[0]), container("db", pid=4243, state=states[1], cpu={"usage_cores": 0.1})
    )
    words = [(verb, str(pid), "--started", str(TICKS)) for pid in (4242, 4243)]
    assert acting(test, of=both).ran == words * 2


def test_what_makes_no_sense_on_many_is_for_the_row_under_the_cursor() -> None:
    """A limit, a shell and a log are those of one container."""

    async def test(app: Ctop, _: Notes, pilot: Pilot[None]) -> None:
        await pilot.press("u", "u", "L")
        assert "limits of cache:" in screen(app)
        await pilot.press("escape", "E")
        assert "y/n  open a shell in cache, process 4244?" in screen(app)
        await pilot.press("n", "l")
        assert "log of cache" in screen(app)

    acting(test, of=fleet("web", "db", "cache"))


def test_tagged_processes() -> None:
    """In a container's page the tags are on processes; one that has the PID of a tagged one is another, untagged."""

    async def test(app: Ctop, notes: Notes, pilot: Pilot[None]) -> None:
        await pilot.press("u", "enter")
        await until(pilot, lambda: app.panel.process == 4242)
        assert marked(app) == []
        await pilot.press("u", "u", "N", "r")
        assert marked(app) == ["4300", "4242"]
        await pilot.press("f9", "enter")
        assert "y/n  send SIGTERM to 2 tagged: 4242 (sh), 4300 (nginx)?" in screen(app)
        await pilot.press("y")
        assert notes.signals == [(4242, TICKS, signal.SIGTERM), (4300, TICKS + 5000, signal.SIGTERM)]
        await pilot.press("z")
        assert "y/n  freeze all processes of web" in screen(app)
        await pilot.press("n")
        source.processes = [process(4242, inner_pid=1), process(4300, comm="other", started_at=1_700_090_099.0)]
        await until(pilot, lambda: "other" in "".join(row["comm"] for row in _rows(app)) and marked(app) == ["4242"])
        await pilot.press("escape", "f9")
        assert "a signal to 1 tagged: web" in screen(app)

    source = Source(fleet("web"))
    acting(test, source=source)


def _rows(app: Ctop) -> list[dict[str, str]]:
    one = app.panel.container
    return list(one["processes"] or ()) if one else []  # type: ignore[arg-type]


def test_tagged_and_readonly() -> None:
    """With --readonly a tag is a mark and no more."""

    async def test(app: Ctop, _: Notes, pilot: Pilot[None]) -> None:
        await pilot.press("u", "u")
        assert marked(app) == ["web", "db"]
        for key in ACTS:
            app.state.message = None
            await pilot.press(key, "enter", "y")
            assert app.question is None
            await pilot.press("escape")

    notes = acting(test, "--readonly", of=fleet("web", "db", "cache"))
    assert (notes.ran, notes.signals) == ([], [])


def test_a_pod_has_no_tag() -> None:
    """A row of the tree that is no container is passed over; without any row nothing is done."""

    async def test(app: Ctop, _: Notes, pilot: Pilot[None]) -> None:
        await pilot.press("t", "home", "u", "u")
        assert app.tags
        assert "1 tagged" in screen(app)
        await pilot.press("slash", *"nobody", "enter", "u", "U", "u")
        assert not app.tags

    acting(test, of=document(container("web", pod="shop/web-1"), container("db", pod="shop/web-1")))
