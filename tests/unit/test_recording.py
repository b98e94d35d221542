"""Recordings: what goes in comes out, near enough to what was, and small enough for a day."""

from __future__ import annotations

import contextlib
import json
import random
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inspector.ctop.recording import codec, fleet, packing, picture
from inspector.ctop.recording.columns import COLUMNS, IN_GROUP
from inspector.ctop.recording.file import APPLICATION, TABLES, RecordingError
from inspector.ctop.recording.reader import Recording
from inspector.ctop.recording.rounding import DIGITS, rounded, rounded_rest
from inspector.ctop.recording.writer import WHOLE_EVERY, Recorder, Writer
from inspector.ctop.sampler import Sampler
from inspector.findings import findings
from inspector.views.jsontext import to_json
from tests.bench.bench_recording import BUSY, Machine
from tests.unit.documents import container, document, process
from tests.unit.liveview import Fake
from tests.unit.recordings import START, day, record, recorded, ticks


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
