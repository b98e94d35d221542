"""Files that are read on another CPU meanwhile: what they say is what reading them one by one says."""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspector.kernel import ahead, aio
from inspector.kernel.ahead import ReadAhead
from inspector.kernel.bundle import Bundle
from inspector.kernel.controllers import Pids
from inspector.kernel.host import Host
from inspector.model import Census
from inspector.observe import Observer
from tests.fakehost import FakeHost
from tests.unit.observing import LIMITED

LAYOUTS = ("v1", "v2", "hybrid")
# What each file says at each of some ticks.
SAID = st.lists(st.lists(st.binary(max_size=80), min_size=7, max_size=7), min_size=1, max_size=6)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have few files be worth it, in parts and in more system calls than one, on a machine of whatever many CPUs."""
    monkeypatch.setattr(ahead, "WORTH_IT", 1)
    monkeypatch.setattr(ahead, "AT_ONCE", 4)
    monkeypatch.setattr(aio, "AT_ONCE", 3)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})


class Shelf:
    """Seven files of two bundles."""

    def __init__(self, directory: Path) -> None:
        self.paths = [directory / str(number) for number in range(7)]
        self.write([b""] * 7)
        numbers = [os.open(path, os.O_RDONLY) for path in self.paths]
        self.bundles = [numbers[:4], numbers[4:]]

    def write(self, texts: list[bytes]) -> None:
        """Have the files say something."""
        for path, text in zip(self.paths, texts, strict=True):
            path.write_bytes(text)

    def said(self) -> list[list[bytes]]:
        """Return what the files of each bundle say."""
        return [[os.pread(number, 1000, 0) for number in bundle] for bundle in self.bundles]

    def wanted(self) -> list[ahead.Wanted]:
        """Return the bundles, each with what its files say."""
        return list(zip(self.bundles, self.said(), strict=True))

    def close(self) -> None:
        """Close them."""
        for bundle in self.bundles:
            for number in bundle:
                os.close(number)


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    """Give seven files that are open."""
    made = Shelf(tmp_path)
    yield made
    made.close()


@pytest.fixture
def reader() -> Iterator[ReadAhead]:
    """Give what reads ahead."""
    made = ReadAhead()
    yield made
    made.close()


@given(SAID)
@settings(max_examples=40)
def test_texts_are_those_that_reading_gives(said: list[list[bytes]]) -> None:
    """Whatever the files say from tick to tick, it is given, or nothing is where it has grown beyond its room."""
    import tempfile  # noqa: PLC0415  no fixture: each example needs its own

    reader = ReadAhead()
    with tempfile.TemporaryDirectory() as directory:
        shelf = Shelf(Path(directory))
        before = shelf.said()
        for texts in said:
            shelf.write(texts)
            for is_again in (False, True):
                reader.end()
                reader.begin(list(zip(shelf.bundles, before, strict=True)))
                for bundle, truly in zip(shelf.bundles, shelf.said(), strict=True):
                    told = reader.texts(bundle)
                    is_long = any(len(text) >= ahead.SPARE for text in truly)
                    assert told == truly or (told is None and is_long and not is_again)
                before = shelf.said()
        shelf.close()
    reader.close()


def test_a_file_that_has_grown_has_more_room_the_next_time(
    reader: ReadAhead, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is longer than its room is left to be read, once; what has grown by an eighth is not."""
    made: list[aio.Reads] = []

    def reads(numbers: list[int], sizes: list[int]) -> aio.Reads:
        made.extend([aio.Reads(numbers, sizes)] if len(numbers) > 1 else [])
        return aio.Reads(numbers, sizes)

    monkeypatch.setattr(ahead, "Reads", reads)
    reader.begin(shelf.wanted())
    assert [reader.texts(bundle) for bundle in shelf.bundles] == shelf.said()
    shelf.write([b"x" * 400] * 7)
    for length, is_told in ((400, False), (400, True), (450, True), (450, True), (400, True)):
        shelf.write([b"x" * length] * 7)
        reader.begin(shelf.wanted())
        assert reader.texts(shelf.bundles[1]) == (shelf.said()[1] if is_told else None)
    assert len(made) == 2 * len(shelf.bundles)  # of each part two


def test_where_one_is_long_the_others_have_no_such_room(reader: ReadAhead, shelf: Shelf) -> None:
    """A very long text is read too, and does not make room for one like it in bundles where there is none."""
    texts = [b"a" * ahead.LONG, *[b"b"] * 6]
    shelf.write(texts)
    four = shelf.bundles[0], [*shelf.bundles[1], os.dup(shelf.bundles[1][0])]
    reader.begin([(four[0], texts[:4]), (four[1], [b"b"] * 4)])
    assert reader.texts(four[0]) == texts[:4]
    assert reader.texts(four[1]) == [b"b"] * 4
    assert sum(len(part.buffer) for part in reader._parts) < 2 * ahead.LONG  # noqa: SLF001
    os.close(four[1][3])


def test_a_file_that_refuses_is_left_to_be_read(reader: ReadAhead, shelf: Shelf) -> None:
    """A descriptor that cannot be read costs its bundle alone; those behind it are read."""
    before = shelf.said()
    broken = os.open(shelf.paths[0], os.O_WRONLY)
    first = [broken, *shelf.bundles[0][1:]]
    reader.begin([(first, before[0]), (shelf.bundles[1], before[1])])
    assert reader.texts(first) is None
    assert reader.texts(shelf.bundles[1]) == before[1]
    os.close(broken)


def test_what_was_not_asked_for_is_not_told(reader: ReadAhead, shelf: Shelf) -> None:
    """Neither of another list of descriptors, nor after the end of the tick, nor of too few."""
    one, other = shelf.wanted()
    reader.begin([one])
    assert reader.texts(other[0]) is None
    assert reader.texts([*one[0]]) is None
    assert reader.read_at() is not None
    reader.end()
    assert reader.texts(one[0]) is None
    assert reader.read_at() is None
    assert not reader.begin([])
    assert reader.texts(one[0]) is None
    reader.begin([one])
    reader.begin([other])  # as many bundles
    assert reader.texts(one[0]) is None
    assert reader.texts(other[0]) == other[1]


def test_what_else_a_cgroup_said_takes_no_room(reader: ReadAhead, shelf: Shelf) -> None:
    """What comes behind the texts of kept files, of others that are not kept open, is not looked at."""
    wanted = [(numbers, [*texts, b"100000"]) for numbers, texts in shelf.wanted()]
    reader.begin(wanted)
    assert [reader.texts(bundle) for bundle in shelf.bundles] == shelf.said()


def test_results_come_in_pieces_and_in_any_order(
    reader: ReadAhead, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel may tell what has ended one by one, the last one first."""
    shelf.write([b"x" * length for length in range(7)])
    context, truly, ended = reader._context, reader._context._call, list[object]()  # noqa: SLF001

    def call(number: int, *arguments: int) -> int:
        if number != context._getevents:  # noqa: SLF001
            return truly(number, *arguments)
        events: Any = context._events  # noqa: SLF001
        if not ended:
            count = truly(number, *arguments)
            ended.extend([events[at : at + 4] for at in range(0, 4 * count, 4)])
        events[:4] = ended.pop()
        return 1

    monkeypatch.setattr(context, "_call", call)
    reader.begin(shelf.wanted())
    assert [reader.texts(bundle) for bundle in shelf.bundles] == shelf.said()
    assert ended == []


def test_what_is_read_is_told_while_the_rest_is_being_read(
    reader: ReadAhead, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part by itself, when it is there; of one that fails nothing is told, and of all no moment."""
    shelf.write([b"x" * length for length in range(7)])
    goes_on, truly, parts = threading.Event(), reader._context.read, list[aio.Reads]()  # noqa: SLF001

    def read(part: aio.Reads) -> array[int]:
        parts.append(part)
        if len(parts) == len(shelf.bundles) + 1:  # after a single one, for a try, the last one
            assert goes_on.wait(60)
            raise OSError
        return truly(part)

    monkeypatch.setattr(reader._context, "read", read)  # noqa: SLF001
    try:
        reader.begin(shelf.wanted())
        assert [reader.texts(bundle) for bundle in shelf.bundles[:-1]] == shelf.said()[:-1]
    finally:
        goes_on.set()
    assert reader.texts(shelf.bundles[-1]) is None
    assert reader.read_at() is None


def test_a_read_that_fails_as_a_whole_is_none(reader: ReadAhead, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where what was read is not told, all is read one by one, and ahead the next time."""
    reader.begin(shelf.wanted())
    with monkeypatch.context() as patched:
        patched.setattr(reader._context, "_ended", lambda _: os.read(-1, 1))  # noqa: SLF001
        reader.begin(shelf.wanted())
        assert reader.texts(shelf.bundles[0]) is None
        assert reader.read_at() is None


@pytest.mark.parametrize("how", ["begin", "end", "close", "close a bundle", "end the tick", "close the host"])
def test_nothing_is_closed_or_given_back_while_it_is_read(
    how: str, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who closes a descriptor, reads anew or ends waits for a read that is under way."""
    with Host() as host:
        bundle = Bundle(host)
        bundle.add(map(os.dup, shelf.bundles[0]))
        host.read_ahead([(bundle, shelf.said()[0])])
        host.end_tick()
        reader = host._ahead  # noqa: SLF001
        assert reader is not None
        truly, done = reader._context.read, []  # noqa: SLF001

        def slow(reads: aio.Reads) -> object:
            time.sleep(0.05)
            done.append(reads)
            return truly(reads)

        monkeypatch.setattr(reader._context, "read", slow)  # noqa: SLF001
        assert host.read_ahead([(bundle, shelf.said()[0])])
        {
            "begin": lambda: reader.begin([]), "end": reader.end, "close": reader.close,
            "close a bundle": bundle.close, "end the tick": host.end_tick, "close the host": host.close,
        }[how]()  # fmt: skip
        assert len(done) == 1
        if how == "close":
            host._ahead = None  # noqa: SLF001
        bundle.close()


def test_it_ends_with_its_thread(shelf: Shelf) -> None:
    """Nothing is left of it, also where it is closed while it reads."""
    threads = threading.active_count()
    reader = ReadAhead()
    reader.begin(shelf.wanted())
    part = reader._parts[0]  # noqa: SLF001
    reader.close()
    assert threading.active_count() == threads
    assert set(reader._context.read(part)) == {-errno.EINVAL}  # noqa: SLF001  there is no such context any more


@pytest.mark.parametrize("why", [None, errno.EINVAL, errno.EPERM, errno.ENOSYS])
def test_it_is_not_tried_again_and_again(
    why: int | None, reader: ReadAhead, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no thread can be started, or an old kernel or a filter refuses, they are read one by one for good."""
    tried: list[object] = []

    def no_thread(*_: object) -> None:
        tried.append("")
        raise RuntimeError("can't start new thread")

    def refused(reads: aio.Reads) -> list[int]:
        tried.append("")
        return [-(why or 0)] * len(reads)

    if why is None:
        monkeypatch.setattr(reader._thread, "submit", no_thread)  # noqa: SLF001
    else:
        monkeypatch.setattr(reader._context, "read", refused)  # noqa: SLF001
    for number in range(3):
        assert not reader.begin(shelf.wanted()[number % 2 :])
        assert reader.texts(shelf.bundles[0]) is None
    assert len(tried) == 1


@pytest.mark.parametrize("why", ["one CPU", "another architecture", "refused", "no ctypes"])
def test_a_host_reads_one_by_one_where_it_cannot(why: str, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel has no such reads for us, nothing is said of it, and it is not tried again and again."""
    tried = []

    def refuse(*numbers: int) -> int:
        tried.append(numbers)
        raise OSError(errno.EPERM, "seccomp")

    if why == "one CPU":
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    elif why == "another architecture":
        monkeypatch.setattr(aio, "NUMBERS", {})
    elif why == "no ctypes":
        for module in (ahead, aio):
            monkeypatch.delitem(sys.modules, module.__name__)
        monkeypatch.setitem(sys.modules, "ctypes", None)
    else:
        monkeypatch.setattr(aio.Context, "_call", lambda _, *numbers: refuse(*numbers))
    with Host() as host:
        bundle = Bundle(host)
        bundle.add(map(os.dup, shelf.bundles[0]))
        for _ in range(2):
            assert not host.read_ahead([(bundle, shelf.said()[0])])
        assert bundle.read() == shelf.said()[0]
        assert len(tried) == (why == "refused")
        bundle.close()


def test_a_bundle_tells_what_was_read_ahead_until_the_tick_ends(shelf: Shelf) -> None:
    """Of all its files; those with some numbers, and more of them, it reads there and then. A Host stays usable."""
    with Host() as host:
        bundle = Bundle(host)
        bundle.add(map(os.dup, shelf.bundles[0]))
        for _ in range(2):
            readers = set()
            for _ in range(2):
                shelf.write([b"earlier"] * 7)
                assert host.read_ahead([(bundle, bundle.read())])
                assert host.read_at() is not None
                shelf.write([b"later"] * 7)
                assert bundle.read() == [b"earlier"] * len(bundle.descriptors)
                assert bundle.read((1, 2)) == [b"later"] * 2
                bundle.add([os.dup(shelf.bundles[1][0])])
                assert bundle.read() == [b"later"] * len(bundle.descriptors)
                host.end_tick()
                assert bundle.read() == [b"later"] * len(bundle.descriptors)
                assert host.read_at() is None
                readers.add(host._ahead)  # noqa: SLF001
            assert len(readers) == 1
            host.close()
        bundle.close()


def machine(root: Path, layout: str, names: str) -> FakeHost:
    """Return a machine of Docker's containers, each with limits."""
    fake = FakeHost(root, layout)
    for pid, name in enumerate(names, 100):
        path = f"/docker/{name * 64}"
        for controller, files in LIMITED[layout].items():
            fake.cgroup(controller, path, files)
        controllers = [one for each in fake.hierarchies for one in each.controllers]
        fake.process(pid, "app", cgroups=path if layout == "v2" else dict.fromkeys(controllers, path))
    return fake


@pytest.mark.parametrize("limit", [1000, 20, 10, 5])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_observations_are_the_same(layout: str, limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tick after tick, whatever changes and however few files are kept open: reading ahead changes nothing seen."""
    monkeypatch.setattr(Host, "_descriptor_limit", lambda _: limit)
    fake = machine(tmp_path, layout, "abc")
    with fake.open() as one, fake.open() as other:
        other._can_read_ahead = False  # noqa: SLF001
        observers = [Observer(host, in_full=True, refresh_seconds=0) for host in (one, other)]
        stat = next(Path(tmp_path).glob(f"sys/fs/cgroup/**/{'a' * 64}/memory.stat"))
        usage = next(Path(tmp_path).glob(f"sys/fs/cgroup/**/{'b' * 64}/cpu.stat"))
        texts = [stat.read_text(), *(f"{stat.read_text()}slab {number}\n" for number in (7, 10**15))]
        texts += ["".join(f"{texts[0]}name_{line} {10**9}\n" for line in range(100)), texts[0]]
        for number, text in enumerate(texts):
            stat.write_text(text)
            usage.write_text(usage.read_text().replace("nr_throttled 5", f"nr_throttled 5{number}"))
            if number == 3:
                machine(tmp_path, layout, "abcd")
            seen, expected = (observer.tick() for observer in observers)
            assert seen.readings == expected.readings
            assert (seen.containers, seen.inodes) == (expected.containers, expected.inodes)
            assert seen.problems == expected.problems == ()
            assert len(seen.containers) >= 3
        assert one._ahead is not None  # noqa: SLF001
        assert other._ahead is None  # noqa: SLF001


@pytest.mark.parametrize("limit", [1000, 10])
@pytest.mark.parametrize("in_full", [True, False])
def test_an_observation_is_of_the_moment_that_it_tells(
    limit: int, in_full: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All cgroups are read at its beginning, which is its time then, or, where not all can be, all at its end."""
    monkeypatch.setattr(Host, "_descriptor_limit", lambda _: limit)
    with machine(tmp_path, "v2", "abc").open() as host:
        observer = Observer(host, in_full=in_full)
        observer.tick()
        census = observer._collector.census  # noqa: SLF001
        changed = 0.0

        def meanwhile() -> Census:
            nonlocal changed
            if host._ahead is not None:  # noqa: SLF001
                host._ahead.wait()  # noqa: SLF001
            for path in tmp_path.glob("sys/fs/cgroup/docker/*/pids.current"):
                path.write_text("7\n")
            changed = time.monotonic()
            return census()

        monkeypatch.setattr(observer._collector, "census", meanwhile)  # noqa: SLF001
        tick = observer.tick()
        is_ahead = in_full and limit > 10
        told = {reading.current for reading in tick.readings.values() if isinstance(reading, Pids)} - {None}
        assert told == {3 if is_ahead else 7}
        assert (tick.monotonic < changed) == (tick.later_seconds > 0) == is_ahead
        assert tick.monotonic + tick.later_seconds > changed
        assert abs(time.time() - time.monotonic() - tick.taken_at + tick.monotonic) < 1
        assert (host._ahead is not None) == in_full  # noqa: SLF001


def test_what_is_not_known_whole_is_not_read_ahead(tmp_path: Path) -> None:
    """Nor a cgroup whose files were opened and not read yet, nor one of which none is open."""
    with machine(tmp_path, "v2", "a").open() as host:
        observer = Observer(host, in_full=True)
        observer.tick()
        sheet = next(sheet for sheet in observer._meter._sheets.values() if sheet.ahead())  # noqa: SLF001
        bundle, texts = sheet.ahead() or (None, [])
        assert bundle is not None
        bundle.add([os.dup(bundle.descriptors[0])])
        assert sheet.ahead() is None
        texts.append(b"")
        assert sheet.ahead() is not None
        for attribute, value in (("_is_whole", False), ("_bundle", None), ("_bundle", Bundle(host))):
            was = getattr(sheet, attribute)
            setattr(sheet, attribute, value)
            assert sheet.ahead() is None
            setattr(sheet, attribute, was)
