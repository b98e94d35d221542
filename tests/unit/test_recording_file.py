"""The file of a recording: whose it is, who writes it, and what is cut off, damaged, hostile or no recording at all."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from inspector.ctop.recording.codec import MOST_BYTES
from inspector.ctop.recording.file import APPLICATION, SCHEMA, RecordingError
from inspector.ctop.recording.reader import Recording
from inspector.ctop.recording.replay import Replay
from inspector.ctop.recording.writer import WHOLE_EVERY, Recorder, Writer
from inspector.schema import Document
from tests.testbed.commands import REPOSITORY
from tests.unit.documents import container, document
from tests.unit.recordings import changed, day, record, recorded, ticks


def test_a_recording_is_for_its_owner_and_one_file(tmp_path: Path) -> None:
    """Command lines are private; once closed there is one file, and no log beside it."""
    path = record(tmp_path / "file", day(3))
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["file"]


def test_an_existing_recording_is_continued(tmp_path: Path) -> None:
    """A second ctop appends: a gap is no fault."""
    real = day(20)
    path = tmp_path / "file"
    assert [*recorded(path, real[:7]), *recorded(path, real[12:])] == ticks(path)
    assert [one["taken_at"] for one in ticks(path)] == [round(one["taken_at"], 3) for one in real[:7] + real[12:]]


def test_two_cannot_write_one_recording(tmp_path: Path) -> None:
    """The second one is told so; a reader may read meanwhile and sees the last whole tick."""
    path = tmp_path / "file"
    with Writer(str(path)) as writer:
        for one in day(5):
            writer.write(one)
        with pytest.raises(RecordingError, match="is being written by another ctop"):
            Writer(str(path))
        assert len(ticks(path)) == 5
        with Replay(str(path)) as replay:
            replay.edge(1)
            writer.write(day(6)[5])
            assert replay() == writer.last()


def not_sqlite(path: Path) -> None:
    """Write a text."""
    path.write_text("hello" * 100)


def somebody_elses(path: Path) -> None:
    """Make another program's database."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE tick (id INTEGER PRIMARY KEY)")


def other_schema(path: Path) -> None:
    """Make a recording of a later ctop."""
    record(path, day(2))
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 99")


def older_schema(path: Path) -> None:
    """Make a recording of an earlier ctop, whose numbers are written otherwise."""
    other_schema(path)
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 3")


def a_view(path: Path) -> None:
    """Make a database that claims to be a recording, in which to read a table is to count for ever."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA application_id = {APPLICATION}")
        database.execute(f"PRAGMA user_version = {SCHEMA}")
        database.execute(
            "CREATE VIEW tick AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n)"
            " SELECT id, 1 AS base, 1.0 AS taken_at, x'00' AS data FROM n"
        )
        database.execute("CREATE TABLE about (id INTEGER PRIMARY KEY, data BLOB NOT NULL)")


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (not_sqlite, "is no recording of ctop, and was left as it is"),
        (somebody_elses, "is no recording of ctop, and was left as it is"),
        (other_schema, "is a recording in schema 99; this ctop knows 4: use another file"),
        (older_schema, "is a recording in schema 3; this ctop knows 4: use another file"),
        (a_view, "has not the tables of a recording, and was left as it is"),
        (lambda path: path.mkdir(), "directory"),
        (os.mkfifo, "is no regular file: no recording"),
        (lambda path: path.symlink_to("/dev/null"), "is no regular file: no recording"),
    ],
)
def test_what_is_no_recording_is_left_alone(
    tmp_path: Path, make: Callable[[Path], object], complaint: str
) -> None:
    """To write to and to read from something else is refused in one line; not a byte of it changes."""
    path = tmp_path / "file"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    for use in (Writer, Recording, Replay):
        with pytest.raises(RecordingError) as caught:
            use(str(path))
        assert complaint.lower() in str(caught.value).lower()
        assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == ["file"]
    assert (path.read_bytes() if path.is_file() else None) == before


def test_what_is_not_there(tmp_path: Path) -> None:
    """Neither a missing file nor an empty one can be shown; a directory that is missing is not made."""
    with pytest.raises(RecordingError, match="No such file"):
        Replay(str(tmp_path / "file"))
    with pytest.raises(RecordingError, match="No such file"):
        Writer(str(tmp_path / "nowhere" / "file"))
    (tmp_path / "file").touch()
    with pytest.raises(RecordingError, match="is empty"):
        Replay(str(tmp_path / "file"))
    with Writer(str(tmp_path / "file")):
        pass
    with pytest.raises(RecordingError, match="not one tick"):
        Replay(str(tmp_path / "file"))


def test_a_recorder_that_is_killed_leaves_whole_ticks(tmp_path: Path) -> None:
    """Killed in the middle of writing, a recording reads up to its last whole tick, each as it was."""
    path = tmp_path / "file"
    script = (
        "import sys, itertools; from inspector.ctop.recording.writer import Writer\n"
        "from tests.unit.documents import container, document\n"
        "with Writer(sys.argv[1]) as writer:\n"
        "    for number in itertools.count():\n"
        "        writer.write(document(container('web', members=number), taken_at=float(number)))\n"
        "        print(number, flush=True)\n"
    )
    for kill_after in (3, WHOLE_EVERY + 20):
        command = [sys.executable, "-c", script, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY) as child:
            assert child.stdout is not None
            for line in child.stdout:
                if int(line) >= kill_after:
                    break
            child.send_signal(signal.SIGKILL)
        found = ticks(path)
        assert len(found) > kill_after
        assert found == [document(container("web", members=n), taken_at=float(n)) for n in range(len(found))]
        # And it can be continued.
        record(path, [document()])
        assert ticks(path) == [*found, document()]
        path.unlink()


@pytest.mark.parametrize("share", [0.7, 0.97])
def test_a_truncated_recording_is_shown_as_far_as_it_goes(tmp_path: Path, share: float) -> None:
    """Of a file that was cut off the first ticks are shown, and a note says where it ends."""
    path = tmp_path / "file"
    real = recorded(path, day(900))
    os.truncate(path, int(path.stat().st_size * share))
    with Replay(str(path)) as replay:
        last = replay.edge(1)
        assert "damaged after" in last["problems"][0]
        number = int(replay.position(last).split()[-1].partition("/")[0])
        assert {**last, "problems": []} == real[number - 1]
        assert number > len(real) * share * 0.3
        assert {**replay.edge(-1), "problems": []} == real[0]


def test_a_recording_cut_off_at_any_byte_is_one_line(tmp_path: Path) -> None:
    """Whatever is left of a file and whatever byte of it is wrong: it is shown, or refused in one line."""
    path = record(tmp_path / "file", day(30))
    whole = path.read_bytes()
    rng = random.Random(5)  # noqa: S311
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 40)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        path.write_bytes(damaged[: rng.randint(1, len(damaged))] if rng.random() < 0.4 else damaged)
        with contextlib.suppress(RecordingError), Replay(str(path)) as replay:
            for step in (1, 1, 5, -2, 100):
                replay.step(step)


def bomb(text: bytes) -> bytes:
    """Return a tick whose head is this text."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = deflate.compress(bytes((0x80 | len(text) & 0x7F, 0x80 | len(text) >> 7 & 0x7F, len(text) >> 14)) + text)
    packed += deflate.flush()
    size = len(packed)
    return bytes((0x80 | size & 0x7F, 0x80 | size >> 7 & 0x7F, size >> 14)) + packed


HOSTILE: list[tuple[str, tuple[object, ...]]] = [
    ("UPDATE tick SET data = ? WHERE id = 3", (bomb(b"[" * 100_000),)),
    ("UPDATE tick SET data = ? WHERE id = 3", (bomb(b'{"t": 1' + b" " * 100_000 + b"}"),)),
    ("UPDATE tick SET data = ? WHERE id = 3", (b"\xff\xff\x03" + zlib.compress(b"\0" * (MOST_BYTES * 2), 9)[2:],)),
    ("UPDATE tick SET data = zeroblob(?) WHERE id = 3", (MOST_BYTES + 1,)),
    ("UPDATE tick SET data = 'text' WHERE id = 3", ()),
    ("UPDATE tick SET data = x'' WHERE id = 3", ()),
    ("UPDATE tick SET base = 3 WHERE id = 3", ()),
    ("UPDATE tick SET base = -7 WHERE id = 3", ()),
    ("UPDATE tick SET taken_at = 9e999 WHERE id = 3", ()),
    ("DELETE FROM tick WHERE id = 3", ()),
]


@pytest.mark.parametrize(("statement", "values"), HOSTILE)
def test_hostile_ticks_end_the_recording(tmp_path: Path, statement: str, values: tuple[object, ...]) -> None:
    """Deep JSON, bytes that become gigabytes, wrong types: the ticks before are shown, with a note."""
    path = tmp_path / "file"
    real = recorded(path, day(5))
    changed(path, statement, *values)
    with Replay(str(path)) as replay:
        assert replay() == real[0]
        assert replay() == real[1]
        third = replay()
        if "taken_at" not in statement:
            assert {**third, "problems": []} == real[1]
            assert "damaged after" in third["problems"][0]


@pytest.mark.parametrize("text", [b"[]", b"[" * 50_000, b'{"id": 5}', b'{"id": "x", "rootfs": "no"}', b"\xff"])
def test_a_hostile_about_is_refused(tmp_path: Path, text: bytes) -> None:
    """What a container is said to be is held against the document's types."""
    path = record(tmp_path / "file", day(2))
    changed(path, "UPDATE about SET data = ?", zlib.compress(text))
    with Replay(str(path)) as replay, pytest.raises(RecordingError, match=r"tick 1 of .* cannot be read"):
        replay()


def test_a_full_disk_is_said_and_the_view_goes_on(tmp_path: Path) -> None:
    """When nothing more can be written, the documents go on with a problem that says so; what was written is whole."""
    real = day(600)
    documents = iter(real)

    class Source:
        focus: str | None = None

        def begin(self) -> None:
            """Take no sample."""

        def __call__(self) -> Document:
            """Return the next document."""
            return next(documents)

    path = tmp_path / "file"
    writer = Writer(str(path))
    writer._database.execute("PRAGMA max_page_count = 3")  # noqa: SLF001  a full disk, by SQLite's own means
    recorder = Recorder(Source(), writer)
    seen = [recorder() for _ in real]
    recorder.close()
    full = [number for number, one in enumerate(seen) if one["problems"]]
    assert full == list(range(full[0], len(real)))
    assert "no space is left on the device" in seen[-1]["problems"][0]
    assert str(recorder.failure).count("\n") == 0
    assert ticks(path) == seen[: full[0]]
