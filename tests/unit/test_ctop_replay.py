"""The live view of a recording: the same frames as when it was recorded, and the keys of time."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from inspector.ctop import main
from inspector.ctop.app import Ctop
from inspector.ctop.once import print_documents
from inspector.ctop.options import parse
from inspector.ctop.recording.file import RecordingError
from inspector.ctop.recording.replay import Replay
from inspector.ctop.recording.writer import Recorder, Writer
from inspector.ctop.sources import Source
from inspector.schema import Document
from tests.unit.documents import container, document, process
from tests.unit.liveview import screen
from tests.unit.liveview import until as looked_for
from tests.unit.recordings import START, day, hours, record

until = partial(looked_for, looks=5000)


@pytest.fixture(autouse=True)
def _no_colour_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "")


class Once:
    """A source of some documents, one after the other, then the last one again."""

    def __init__(self, documents: list[Document]) -> None:
        self.focus: str | None = None
        self._documents: Iterator[Document] = iter(documents)
        self._last = documents[-1]

    def begin(self) -> None:
        """Take no sample."""

    def __call__(self) -> Document:
        """Return the next document."""
        return next(self._documents, self._last)


def run(source: Source, test: Callable[[Ctop, Pilot[None]], Coroutine[Any, Any, None]], *argv: str) -> None:
    """Run a test in the live view of a source, held still."""
    app = Ctop(source, parse(["--no-config", *argv], terminal=True))

    async def inside() -> None:
        async with app.run_test(size=(100, 40)) as pilot:
            await until(pilot, lambda: app.state.document is not None)
            await test(app, pilot)

    asyncio.run(inside())


def recorded(path: Path, documents: list[Document]) -> list[Document]:
    """Take the documents through a recorder, as the live view does; returns what was seen."""
    recorder = Recorder(Once(documents), Writer(str(path)))
    seen = [recorder() for _ in documents]
    recorder.close()
    return seen


def frames(source: Source, documents: list[Document] | None, count: int) -> list[str]:
    """Return what is on the screen for each document: those given, or those of a recording by the key ]."""
    shown = []

    async def test(app: Ctop, pilot: Pilot[None]) -> None:
        await pilot.press("space")
        for number in range(count):
            if documents is not None:
                app.show(documents[number])
            else:
                await pilot.press("right_square_bracket" if number else "ctrl+home")
                await until(pilot, lambda number=number: f" {number + 1}/" in app.state.moment)  # type: ignore[misc]
            await pilot.pause()
            # But for the first line, which is the moment, and the last, which are the keys.
            lines = [line for line in screen(app).split("\n") if line and not line.startswith("REPLAY")]
            shown.append("\n".join(lines[:-1]))

    run(source, test, "-d", "3600")
    return shown


def mixed() -> list[Document]:
    """Return documents that differ in everything a screen shows."""
    evil = container("evil\x1b[2J\u202e日本", state="paused", labels={"a": "\x07"})
    return [
        *day(6),
        document(container("web", cpu={"usage_cores": 0.123456789}), evil, taken_at=START + 1e6),
        document(evil, container("web", cpu={"usage_cores": None}), taken_at=START + 1e6 + 1, denied=3),
        document(container("web", memory={"working_set_bytes": 1}), taken_at=START + 1e6 + 2, problems=["odd \x1b"]),
        document(taken_at=START + 1e6 + 3),
    ]


def test_a_recording_replays_to_the_same_frames(tmp_path: Path) -> None:
    """What was on the screen while it was recorded is on it again, tick by tick."""
    documents = recorded(tmp_path / "file", mixed())
    live = frames(Once(documents[:1]), documents, len(documents))
    with Replay(str(tmp_path / "file")) as replay:
        again = frames(replay, None, len(documents))
    # The live view says in its header that it is held; a recording does in its first line.
    assert [one.replace(" · PAUSED", "") for one in live] == again


def test_the_keys_of_time(tmp_path: Path) -> None:
    """[ ] { } step, b goes to a time or says what is wrong with it, Ctrl-Home and Ctrl-End are the ends."""
    path = record(tmp_path / "file", hours("a"))

    async def test(app: Ctop, pilot: Pilot[None]) -> None:
        def minute() -> int:
            assert app.state.document is not None
            return int((app.state.document["taken_at"] - START) // 60)

        async def reach(expected: int, *keys: str) -> None:
            await pilot.press(*keys)
            await until(pilot, lambda: minute() == expected)

        await reach(0, "ctrl+home")
        await reach(2, "right_square_bracket", "right_square_bracket")
        await reach(1, "left_square_bracket")
        await reach(2, "right_curly_bracket")
        await reach(1, "left_curly_bracket")
        await reach(59, "ctrl+end")
        assert "HELD" in screen(app)
        assert "60/60" in screen(app)
        await pilot.press("enter")
        await until(pilot, lambda: "8findings" in screen(app))
        assert screen(app).rstrip().splitlines()[-1].startswith(f"REPLAY  {app.state.moment} · HELD  Esc back")
        await pilot.press("escape")
        await reach(54, "b", "minus", "5", "m", "enter")
        await pilot.press("b", *"12x", "enter")
        await until(pilot, lambda: "is no time" in screen(app))
        await pilot.press("escape")
        # A container's page is of the same moment, and opening it is no step.
        await pilot.press("enter")
        await until(pilot, lambda: app.page == "detail")
        await pilot.press("escape")
        await until(pilot, lambda: app.page == "table")
        assert minute() == 54

    with Replay(str(path)) as replay:
        run(replay, test)


class Slow(Replay):
    """A recording of which a tick takes as long to read as a test likes; `broken` ones cannot be read at all."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.go_on = threading.Event()
        self.broken = False

    def edge(self, side: int) -> Document:
        """Wait, and go to an end."""
        self.go_on.wait()
        if self.broken:
            raise RecordingError("that tick cannot be read")
        return super().edge(side)


def test_keys_are_answered_while_a_far_tick_is_read(tmp_path: Path) -> None:
    """A jump is read beside the view: help opens meanwhile, another key waits its turn, and then the tick is shown."""
    path = record(tmp_path / "file", hours("a"))

    async def test(app: Ctop, pilot: Pilot[None]) -> None:
        assert isinstance(app.stored, Slow)
        await pilot.press("ctrl+end", "left_square_bracket", "question_mark")
        await until(pilot, lambda: app.page == "help")
        assert "60/60" not in app.state.moment
        app.stored.go_on.set()
        await until(pilot, lambda: " 59/60" in app.state.moment)
        await pilot.press("escape", "b", *"1x", "enter")  # what is no time is said at once, whatever is being read
        await until(pilot, lambda: "is no time" in screen(app))
        await pilot.press("escape")
        app.stored.broken = True
        await pilot.press("ctrl+end")
        await until(pilot, lambda: "that tick cannot be read" in screen(app))
        assert " 59/60" in app.state.moment

    with Slow(str(path)) as replay:
        run(replay, test)


def test_space_plays_at_the_recorded_pace(tmp_path: Path) -> None:
    """A recording plays by itself from its beginning; Space holds it, and lets it go on."""
    path = record(tmp_path / "file", [document(container(f"c{n}"), taken_at=START + n / 10) for n in range(2000)])

    async def test(app: Ctop, pilot: Pilot[None]) -> None:
        def now() -> float:
            assert app.state.document is not None
            return app.state.document["taken_at"]

        began = now()
        await until(pilot, lambda: now() >= began + 0.3)
        assert "PLAYING" in screen(app)
        await pilot.press("space")
        await pilot.pause()
        held = now()
        await pilot.pause(0.4)
        assert now() == held
        await pilot.press("space")
        await until(pilot, lambda: now() > held)

    with Replay(str(path)) as replay:
        run(replay, test)


def test_a_recording_is_not_acted_on(tmp_path: Path) -> None:
    """The keys that act say that it is a recording, and do nothing."""

    async def test(app: Ctop, pilot: Pilot[None]) -> None:
        for key in ("f9", "z", "L", "E"):
            app.state.message = None
            await pilot.press(key)
            assert "a recording: what was then cannot be acted on" in screen(app)
        await pilot.press("l")
        assert "a recording: its logs are not here" in screen(app)

    with Replay(str(record(tmp_path / "file", hours("a")))) as replay:
        run(replay, test)


def test_keys_of_time_without_a_recording() -> None:
    """On a live machine they say what they are for."""

    async def test(app: Ctop, pilot: Pilot[None]) -> None:
        for key in ("left_square_bracket", "b", "ctrl+home"):
            await pilot.press(key)
            await pilot.pause()
            assert "only in a recording" in screen(app)

    run(Once([document(container("web"))]), test, "-d", "3600")


def test_n_quits_after_as_many() -> None:
    """-n 3 ends the live view by itself."""
    app = Ctop(Once([document(container("web"))]), parse(["-n", "3", "-d", "0.1", "--no-config"], terminal=True))

    async def inside() -> None:
        async with app.run_test() as pilot:
            await until(pilot, lambda: not app.is_running)

    asyncio.run(inside())
    assert app.failure is None


def test_a_recording_as_json_lines(tmp_path: Path) -> None:
    """--replay --jsonl prints every document and ends, and --at begins later; without waiting for their time."""
    path = record(tmp_path / "file", hours("a"))
    for argv, count in (([], 60), (["-n", "7"], 7), (["--at=-5m"], 6), (["--at", "-5m"], 6)):
        out = io.StringIO()
        asked = parse(["--replay", str(path), "--jsonl", *argv], terminal=False)
        with Replay(str(path), asked.where.at) as replay:
            print_documents(replay, asked, out)
        lines = [json.loads(line) for line in out.getvalue().splitlines()]
        assert len(lines) == count
        assert lines[-1]["containers"][0]["name"] == ("a6" if argv[:1] == ["-n"] else "a59")


def test_a_recording_as_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--replay --once prints the table of a moment; a time that is none, or a file, is one line."""
    shown = document(container("web", processes=[process(4242)]), taken_at=START)
    path = record(tmp_path / "file", [shown, *hours("b")[1:]])
    assert main(["--replay", str(path), "--once"]) == 0
    assert "web " in capsys.readouterr().out
    assert main(["--replay", str(path), "--once", "--at", "+10m"]) == 0
    assert "b10 " in capsys.readouterr().out
    for argv in ([str(path), "--at", "noon"], [str(tmp_path)], ["/nowhere/\x1b[2J"]):
        assert main(["--once", "--replay", *argv]) == 1
        said = capsys.readouterr().err
        assert said.startswith("ctop: ")
        assert said.count("\n") == 1
        assert "\x1b" not in said
