"""Recordings: what goes in comes out, whatever happens to the file; what is not one is left alone."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inspector.ctop.recording import codec, fleet, packing, picture
from inspector.ctop.recording.codec import MOST_BYTES
from inspector.ctop.recording.columns import COLUMNS, IN_GROUP
from inspector.ctop.recording.file import APPLICATION, SCHEMA, TABLES, RecordingError
from inspector.ctop.recording.prefix import END, Codes
from inspector.ctop.recording.reader import Recording
from inspector.ctop.recording.replay import Replay, moment_of
from inspector.ctop.recording.rounding import DIGITS, rounded, rounded_rest
from inspector.ctop.recording.writer import WHOLE_EVERY, Recorder, Writer
from inspector.ctop.sampler import Sampler
from inspector.findings import findings
from inspector.schema import Document
from inspector.views.jsontext import to_json
from tests.bench.bench_recording import BUSY, SORTS, Machine
from tests.testbed.commands import REPOSITORY
from tests.unit.documents import container, document, process
from tests.unit.liveview import Fake

START = 1_700_093_600.0


def day(ticks: int) -> list[Document]:
    """Return the first documents of the bench's made-up machine, of 20 containers."""
    machine = Machine(tuple(sort._replace(many=max(1, sort.many // 10)) for sort in SORTS))
    return [machine.tick() for _ in range(ticks)]


def recorded(path: Path, documents: list[Document]) -> list[Document]:
    """Write a recording of these; return what is said to have been recorded."""
    said = []
    with Writer(str(path)) as writer:
        for one in documents:
            writer.write(one)
            said.append(writer.last())
    return said


def record(path: Path, documents: list[Document]) -> Path:
    """Write a recording of these."""
    with Writer(str(path)) as writer:
        for one in documents:
            writer.write(one)
    return path


def ticks(path: Path) -> list[Document]:
    """Return every document of a recording."""
    with Recording(str(path)) as recording:
        return [recording.document(number) for number in range(1, recording.length + 1)]


def hours(*names: str) -> list[Document]:
    """Return an hour of documents, one a minute, in each of which a container's name tells the minute."""
    return [document(*(container(f"{name}{minute}") for name in names), taken_at=START + 60.0 * minute)
            for minute in range(60)]  # fmt: skip


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    """Every document comes back as it was recorded, over several whole pictures, read forwards and at random."""
    path = tmp_path / "file"
    real = recorded(path, day(WHOLE_EVERY + 40))
    assert ticks(path) == real
    with Recording(str(path)) as recording:
        for number in random.Random(1).sample(range(len(real)), 20):  # noqa: S311
            assert recording.document(number + 1) == real[number]


def test_odd_documents_come_back(tmp_path: Path) -> None:
    """Containers that come, go and change places, unknown and odd figures, hostile names, processes, problems."""
    web, evil = container("web"), container("evil\x1b[2J\udc9b日", labels={"a\n": "\x00"})
    hollow = {"code": "hollow", "severity": "critical", "text": "3 of 5 gone"}
    other = {"code": "novel", "severity": "info", "text": "another version's"}
    real = [
        document(web, evil, container("c", kind="service")),
        document(evil, web, problems=["/proc/7: \x1b"], interval_seconds=None),
        document(evil, container("new"), web, denied=7, host={"load": []}),
        document(),
        document(web, container("new", findings=[hollow]), viewpoint={"self": "web"}),
        document(container("web", findings=[hollow, other], processes=[process(4242, comm="\x1b]0;x\x07")])),
        document(container("web", cpu={"usage_seconds": 1 / 3, "usage_cores": 1e-300, "limit_cores": 0.7})),
        document(container("web", cpu={"usage_seconds": None, "periods": 2**62 + 1}, memory={"usage_bytes": 2**62})),
        document(container("web", memory={"working_set_bytes": 0, "limit_bytes": -1}, state="paused")),
        document(container("web", memory={"working_set_bytes": 4096 * 7, "limit_ratio": None})),
    ]
    assert ticks(record(tmp_path / "file", real)) == real


SHARES = st.none() | st.integers(0, 10_000).map(lambda hundredths: hundredths / 10_000)
STALLS = st.fixed_dictionaries({"pressure_full_avg10": SHARES, "pressure_full_avg60": SHARES})


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.booleans(), st.booleans(), STALLS, STALLS, STALLS), min_size=1, max_size=8))
def test_stalls_and_their_findings_come_back(
    tmp_path: Path, moments: list[tuple[Any, ...]]
) -> None:
    """The kernel's averages are recorded in whole percents, the findings that rest on them and on cgroups below whole.

    In which of these a finding is does not depend on what was left out.
    """
    real, kept = [], []
    for throttled, below, *shares in moments:
        ratio = {"throttled_ratio": 0.98 if throttled else 0.0}
        one, rough = (
            container("web", cpu={**cpu, **ratio}, memory=memory, io=io)
            for cpu, memory, io in (shares, [{name: _floor(share) for name, share in one.items()} for one in shares])
        )
        found = findings(one, {}, None, float(below))
        real.append(document({**one, "findings": found}))
        kept.append(document({**rough, "findings": found}))
        assert findings(rough, {}, None, float(below)) == found
    path = tmp_path / "file"
    path.unlink(missing_ok=True)
    assert recorded(path, real) == kept
    assert ticks(path) == kept


def _floor(share: float | None) -> float | None:
    return None if share is None else round(share * 10_000) // 100 / 100


FIGURES = st.none() | st.sampled_from([0, 1, 5000000, 5000004, 5300000, 1 << 62, -3])
COUNTERS = st.lists(st.tuples(FIGURES, FIGURES, FIGURES), min_size=1, max_size=3)


@given(st.lists(st.tuples(st.sampled_from([None, 1.0, 1.00049]), COUNTERS | st.none()), min_size=1, max_size=8))
def test_containers_that_stand_still_come_back(looks: list[tuple[float | None, list[tuple[Any, ...]] | None]]) -> None:
    """What is the same object as in the documents before comes back as what is another: as it was recorded."""
    texts: list[Any] = []

    def intern(text: str) -> int:
        texts.append(json.loads(text))
        return 1

    encoder = codec.Encoder(intern)
    decoder = codec.Decoder(lambda _: texts.pop(0))
    rows: list[Any] = []
    for number, (seconds, figures) in enumerate(looks):
        if figures is not None:
            rows = [
                container(
                    str(place),
                    cpu={"usage_seconds": None if used is None else used / 1e6, "periods": used, "usage_cores": 0.25},
                    memory={"usage_bytes": other, "peak_bytes": used},
                    network={"receive_bytes": more, "receive_bytes_per_second": None if more is None else 0.0},
                )
                for place, (used, other, more) in enumerate(figures)
            ]
        now = document(*rows, interval_seconds=seconds, taken_at=START + number)
        data = encoder.encode(now, whole=number in (0, 5))
        found = decoder.decode(data).document()
        assert found == encoder.last
        assert json.loads(to_json(found)) == json.loads(to_json(encoder.last))


def test_what_stands_still_is_not_drawn_anew(tmp_path: Path) -> None:
    """A container that is the same object as in two documents before stays the one that is seen."""
    still, busy = container("still"), [container("busy", members=number) for number in range(4)]
    seen = recorded(tmp_path / "file", [document(still, one, taken_at=START + one["members"]) for one in busy])
    assert seen[3]["containers"][0] is seen[2]["containers"][0]
    assert [one["containers"][1] for one in seen] == busy
    assert ticks(tmp_path / "file") == seen


def test_what_is_recorded_is_near_what_was(tmp_path: Path) -> None:
    """Counters and rates are within a step of the real ones, time no finer than 0.1 % of a core; all else is exact.

    But for the kernel's averages of stalls, to whole percents, the moment, to a millisecond, and the interval and the
    machine's load, to a tenth of one.
    """
    for real, kept in zip(documents := day(WHOLE_EVERY + 10), recorded(tmp_path / "file", documents), strict=True):
        for one, other in zip(real["containers"], kept["containers"], strict=True):
            was, found = (dict(flat(dict(this))) for this in (one, other))
            was.pop("findings"), found.pop("findings")
            for name, value in was.items():
                got = found[name]
                if value == got:
                    continue
                assert isinstance(value, float | int)
                assert isinstance(got, float | int)
                if "_full_avg" in name:
                    assert got == _floor(float(value))
                    continue
                # A step of 1/64, and one that makes up for what was left out before.
                least = 2 if "bytes" in name else 0.0025 / 0.2 if name == "cpu.limit_ratio" else 0.0025
                assert abs(got - value) <= value / 30 + least, name
                assert name.endswith(("_seconds", "_bytes", "_cores", "_per_second", "_ratio"))
        top, host = {**real, "containers": []}, {**real["host"], "usage_cores": kept["host"]["usage_cores"]}
        for was_then, is_kept, most in (
            (real["taken_at"], kept["taken_at"], 0.00051),
            (real["interval_seconds"], kept["interval_seconds"], 0.000051),
            (real["host"]["usage_cores"], kept["host"]["usage_cores"], 0.000051),
        ):
            assert was_then is not None
            assert is_kept is not None
            assert abs(was_then - is_kept) <= most
        same = {"taken_at": kept["taken_at"], "interval_seconds": kept["interval_seconds"], "host": host}
        assert {**top, **same} == {**kept, "containers": []}


def flat(of: dict[str, Any], before: str = "") -> Iterator[tuple[str, object]]:
    """Yield the values of a document's part by their dotted names."""
    for key, value in of.items():
        if isinstance(value, dict):
            yield from flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


@given(st.lists(st.integers(0, 20) | st.integers(0, 1 << 40), max_size=30), st.sampled_from([1, 1024]))
def test_a_counter_that_is_kept_stays_near_the_real_one(grown: list[int], least: int) -> None:
    """It never falls, is never ahead, never far behind, and stands still while the real one does."""
    now = kept = 5
    widest = least
    for growth in grown:
        after = now + growth
        (then,) = rounded([after], [now], [kept], least)
        widest = max(widest, 1 << max(growth.bit_length() - DIGITS, 0))
        assert kept <= then <= after
        assert after - then < 2 * widest
        assert growth or then == kept
        now, kept = after, then


@given(
    st.lists(st.tuples(*[st.integers(0, 20) | st.integers(0, 1 << 22) | st.integers(0, 1 << 40)] * 2), max_size=30),
    st.sampled_from([1, 1024]),
)
def test_what_is_kept_of_a_rest_stays_near_the_real_one(grown: list[tuple[int, int]], least: int) -> None:
    """System time too never falls, is never ahead, never far behind, and stands still while the real one does."""
    real, kept, widest = (10, 5, 5), (10, 5, 5), least
    for user, system in grown:
        after = real[0] + user + system, real[1] + user, real[2] + system
        total, part = (rounded([after[index]], [real[index]], [kept[index]], least)[0] for index in (0, 1))
        expected = total - kept[0] - (part - kept[1])
        (rest,) = rounded_rest([after[2]], [real[2]], [kept[2]], least, [expected])
        widest = max(widest, 1 << max(system.bit_length() - DIGITS, 0))
        assert kept[2] <= rest <= after[2]
        assert after[2] - rest < 2 * widest
        assert system or rest == kept[2]
        real, kept = after, (total, part, rest)


def test_three_times_that_add_up_are_kept_so(tmp_path: Path) -> None:
    """Of containers that work, total, user and system time stay as far from each other as they were: no noise is kept.

    But for those that use more than an eighth of a core, whose steps are not the same.
    """
    machine = Machine((BUSY[0]._replace(many=20),))
    kept = recorded(tmp_path / "file", [machine.tick() for _ in range(60)])[10:]
    apart: dict[str, set[int]] = {}
    for one in (one for tick in kept for one in tick["containers"]):
        cpu: Any = one["cpu"]
        left = cpu["usage_seconds"] - cpu["user_seconds"] - cpu["system_seconds"]
        apart.setdefault(one["id"], set()).add(round(left * 1e6))
    assert [len(found) for found in apart.values()] == [1] * 20


def test_a_counter_that_begins_anew_is_kept_as_it_is() -> None:
    """One that was unknown, is unknown, or fell is taken over to the last digit."""
    assert rounded([1000001, 0, 77], [0, 1000001, 1000001], [0, 999424, 999424], 1024) == [1000001, 0, 77]


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


def changed(path: Path, statement: str, *values: object) -> None:
    """Change a recording as somebody hostile could."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = DELETE")
        database.execute(statement, values)
        database.commit()


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


def test_all_is_recorded_whatever_is_in_sight(tmp_path: Path) -> None:
    """A view that records tells of what is in sight in vain: its source reads all of everything."""
    source = Fake(document(container("web")))
    with Writer(str(tmp_path / "file")) as writer:
        Sampler(Recorder(source, writer), 1.0, lambda _: None).sight(frozenset())
        assert source.sight is None
    Sampler(source, 1.0, lambda _: None).sight(frozenset())
    assert source.sight == frozenset()


def test_a_tick_that_could_not_be_written_is_as_if_it_had_not_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one, with the same figures, is whole and right."""
    less, more = document(container("web")), document(container("web", memory={"usage_bytes": 7000}))
    with Writer(str(tmp_path / "file")) as writer:
        writer.write(less)
        with monkeypatch.context() as small:
            small.setattr(codec, "MOST_BYTES", 10)
            with pytest.raises(RecordingError, match="more than a recording takes"):
                writer.write(more)
        writer.write(more)
    assert ticks(tmp_path / "file") == [less, more]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("+5m", 300), ("-5m", -300), ("+90s", 90), ("-1h", -3600), ("+2", 120), ("-1d", -86400)],
)
def test_times_away_from_now(text: str, seconds: float) -> None:
    """A sign is a time away; minutes where there is no unit."""
    assert moment_of(text, START, 0) == START + seconds


def test_times_of_day_and_dates() -> None:
    """HH:MM is the last one that was, or the next if the recording is younger; ISO 8601 is taken whole."""
    now = time.mktime((2026, 11, 28, 18, 30, 0, 0, 0, -1))
    morning = time.mktime((2026, 11, 28, 6, 15, 0, 0, 0, -1))
    assert moment_of("06:15", now, 0) == morning
    assert moment_of("6:15:30", now, 0) == morning + 30
    assert moment_of("19:00", now, 0) == time.mktime((2026, 11, 27, 19, 0, 0, 0, 0, -1))
    assert moment_of("19:00", now, now - 60) == time.mktime((2026, 11, 28, 19, 0, 0, 0, 0, -1))
    assert moment_of("2026-11-28T06:15", now, 0) == morning
    assert moment_of("1970-01-02T00:00:00+00:00", now, 0) == 86400


@pytest.mark.parametrize("text", ["", "soon", "25:00", "12:60", "+5y", "9" * 50, "2026-13-01", "+99999999d"])
def test_what_is_no_time(text: str) -> None:
    """A text that is no time is refused, and what would be one is said."""
    with pytest.raises(ValueError, match=r"is no time: HH:MM"):
        moment_of(text, START, 0)


def test_a_replay_steps_jumps_and_plays(tmp_path: Path) -> None:
    """A call is the next tick; steps, times and the ends are where they should be, and it never leaves the file."""
    real = hours("a")
    path = record(tmp_path / "file", real)

    def minute(of: Document) -> int:
        return real.index(of)

    with Replay(str(path)) as replay:
        assert minute(replay()) == 0
        assert minute(replay()) == 1
        assert minute(replay.step(1)) == 2
        assert minute(replay.step(-1)) == 1
        assert minute(replay.pass_time(300)) == 6
        assert minute(replay.pass_time(-1)) == 5
        assert minute(replay.go_to(replay.moment("+10m"))) == 15
        assert minute(replay.go_to(replay.moment(time.strftime("%H:%M:%S", time.localtime(START + 60 * 7 + 59))))) == 7
        assert minute(replay.step(-1000)) == 0
        assert minute(replay.edge(1)) == 59
        assert minute(replay()) == 59
        assert replay.position(real[59]) == time.strftime("%Y-%m-%d %H:%M:%S  60/60", time.localtime(START + 59 * 60))
        assert replay.pace == 1.0
        with pytest.raises(ValueError, match="is no time"):
            replay.moment("never")
        assert minute(replay.edge(-1)) == 0
        assert replay.pace == 5.0  # a minute is not waited for
    # The whole minute is twenty seconds before a tick.
    for at, expected in (("+5m", 5), ("-5m", 54), (time.strftime("%H:%M", time.localtime(START + 420)), 6)):
        with Replay(str(path), at) as replay:
            assert minute(replay()) == expected


def streams() -> st.SearchStrategy[list[list[tuple[str, list[int]]]]]:
    """Return ticks of a stream, each of some columns of numbers: small ones, large ones, many zeros."""
    number = st.just(0) | st.integers(0, 20) | st.integers(0, (1 << 66) - 1)
    column = st.tuples(st.sampled_from("ab"), st.lists(number, max_size=40))
    return st.lists(st.lists(column, max_size=3), max_size=12)


@given(streams())
def test_numbers_come_back_as_they_were(ticks: list[list[tuple[str, list[int]]]]) -> None:
    """Whoever reads makes the same codes as who wrote, tick by tick, whatever the numbers."""
    ours, theirs = Codes(), Codes()
    for columns in ticks:
        bits = "".join(ours.write((name, False), numbers) for name, numbers in columns) + END
        at = 0
        for name, numbers in columns:
            found, at = theirs.read((name, False), bits, at, len(numbers))
            assert found == numbers
        assert at == len(bits) - len(END)
        ours.end_tick()
        theirs.end_tick()


LOOK = st.lists(st.lists(st.integers(0, 9), min_size=6, max_size=6), min_size=3, max_size=3)
"""Six figures of each of three containers."""


@given(st.lists(LOOK, min_size=2, max_size=5), st.sets(st.integers(0, 2)))
def test_columns_that_foretell_others_come_back(looks: list[list[list[int]]], still: set[int]) -> None:
    """Whoever reads expects the same of a column as who wrote, whichever of them and of the containers stand still."""
    names = [f"cpu.{part}_seconds" for part in ("usage", "user", "system")]
    names += [f"memory.{part}_bytes" for part in ("usage", "anon", "peak")]
    ours, theirs = Codes(), Codes()
    old = picture.none_of(3)
    for number, look in enumerate(looks):
        rows = [looks[0][place] if place in still else row for place, row in enumerate(look)]
        new = old | {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
        if not number:
            body, bits = packing.pack_whole(new)
        else:
            places = sorted({0, 1, 2} - still)
            before = {name: [old[name][place] for place in places] for name in packing.FORETOLD_BY}
            changes = {name: [new[name][place] - old[name][place] for place in places] for name in names}
            body, bits = packing.pack(changes, packing.Moved(places, before, 3), ours)
        found, *_ = packing.unpack(body, 0, bits + END, 0, old, COLUMNS, theirs, whole=not number)
        assert found == new
        old = new


@given(st.text("01", max_size=300), st.integers(0, 60))
def test_any_bits_are_numbers_or_an_error(bits: str, count: int) -> None:
    """Bits that nobody wrote end in numbers or in a ValueError, not later and not elsewhere."""
    codes = Codes()
    codes.write(("a", False), [1, 2, 3, 0, 0, 0, 1 << 40])
    codes.end_tick()
    with contextlib.suppress(ValueError):
        numbers, at = codes.read(("a", False), bits + END, 0, count)
        assert len(numbers) == count
        assert at <= len(bits)


def test_codes_learn() -> None:
    """Numbers that are alike take hardly more bits than the numbers themselves, zeros in a row next to none."""
    codes = Codes()
    numbers = [1000 + number for number in range(24)]
    sizes = []
    for _ in range(9):
        sizes.append(len(codes.write(("a", False), numbers)))
        codes.end_tick()
    assert sizes[0] > sizes[-1]
    assert sizes[-1] <= 24 * (9 + 1)
    zeros = Codes()
    zeros.write(("a", False), [0] * 200)
    zeros.end_tick()
    assert len(zeros.write(("a", False), [0] * 200)) < 20


def test_a_day_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At 200 containers, all of them busy, a tick takes so few bytes that a day of them stays under 100 MB."""
    machine, count = Machine(BUSY), 100
    monkeypatch.setattr("inspector.ctop.recording.writer.WHOLE_EVERY", count)
    path = record(tmp_path / "file", [machine.tick() for _ in range(count + 1)])
    with contextlib.closing(sqlite3.connect(path)) as database:
        _, *others, whole = [row[0] for row in database.execute("SELECT length(data) FROM tick ORDER BY id")]
    # A row's own cost is some 25 bytes.
    assert (whole / WHOLE_EVERY + sum(others) / len(others) + 25) * 86400 < 100e6


def test_the_tables_are_as_documented(tmp_path: Path) -> None:
    """A recording says whose it is: application id, schema version and the two tables."""
    path = record(tmp_path / "file", day(1))
    with contextlib.closing(sqlite3.connect(path)) as database:
        found: Any = [row[0] for row in database.execute("SELECT sql FROM sqlite_schema")]
        assert found == list(TABLES)
        assert database.execute("PRAGMA application_id").fetchone() == (APPLICATION,)
        assert json.loads(zlib.decompress(database.execute("SELECT data FROM about").fetchone()[0]))["kind"]


def test_a_recording_of_a_ctop_with_other_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A figure that was recorded and is none any more is left out, a new one is unknown, all else is as it was."""
    real = recorded(tmp_path / "ours", day(30))
    with monkeypatch.context() as patch:
        # As if it had been written by a ctop that did not know of swap yet, and still of another figure.
        names = tuple(name for name in COLUMNS if name != "memory.swap_bytes")
        for module in (codec, fleet, packing, picture):
            patch.setattr(module, "COLUMNS", names)
        path = record(tmp_path / "file", day(30))
    with monkeypatch.context() as patch:
        for module in (codec, packing, picture):
            patch.setattr(module, "COLUMNS", tuple(name for name in COLUMNS if name != "memory.peak_bytes"))
        ours = tuple(key for key in IN_GROUP["memory"] if key != "peak_bytes")
        patch.setattr(picture, "IN_GROUP", {**IN_GROUP, "memory": ours})
        found = ticks(path)
    for one, other in zip(found, real, strict=True):
        for got, was in zip(one["containers"], other["containers"], strict=True):
            assert got["memory"] == {**was["memory"], "swap_bytes": None, "peak_bytes": None}
            assert got["cpu"] == was["cpu"]
            assert got["network"] == was["network"]
