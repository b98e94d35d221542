"""Files that are read on another CPU meanwhile: what they say is what reading them one by one says."""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspector.kernel import ahead, aio
from inspector.kernel.ahead import ReadAhead
from inspector.kernel.bundle import Bundle
from inspector.kernel.host import Host
from inspector.observe import Observer
from tests.fakehost import FakeHost
from tests.unit.observing import LIMITED

LAYOUTS = ("v1", "v2", "hybrid")
# What each file says at each of some ticks.
SAID = st.lists(st.lists(st.binary(max_size=80), min_size=7, max_size=7), min_size=1, max_size=6)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have few files be worth it, in more system calls than one, on a machine of whatever many CPUs."""
    monkeypatch.setattr(ahead, "WORTH_IT", 1)
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
                reader.begin(list(zip(shelf.bundles, before, strict=True)))
                for bundle, truly in zip(shelf.bundles, shelf.said(), strict=True):
                    told = reader.texts(bundle)
                    is_long = any(len(text) >= ahead.SPARE for text in truly)
                    assert told == truly or (told is None and is_long and not is_again)
                before = shelf.said()
        shelf.close()
    reader.close()


def test_a_file_that_has_grown_has_more_room_the_next_time(reader: ReadAhead, shelf: Shelf) -> None:
    """What is longer than its room is left to be read, once."""
    reader.begin(list(zip(shelf.bundles, shelf.said(), strict=True)))
    assert [reader.texts(bundle) for bundle in shelf.bundles] == shelf.said()
    shelf.write([b"x" * 300] * 7)
    for expected in (None, shelf.said()[1]):
        reader.begin(list(zip(shelf.bundles, shelf.said(), strict=True)))
        assert reader.texts(shelf.bundles[1]) == expected


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
    """Neither of another list of descriptors, nor after the end of the tick, nor of too few, nor of very long ones."""
    before = shelf.said()
    reader.begin([(shelf.bundles[0], before[0])])
    assert reader.texts(shelf.bundles[1]) is None
    assert reader.texts([*shelf.bundles[0]]) is None
    reader.end()
    assert reader.texts(shelf.bundles[0]) is None
    assert not reader.begin([])
    assert not reader.begin([(shelf.bundles[0], [b"x" * (ahead.MOST + 1)] * 4)])


def test_it_ends_with_its_thread(shelf: Shelf) -> None:
    """Nothing is left of it, also where it is closed while it reads."""
    threads = threading.active_count()
    reader = ReadAhead()
    reader.begin(list(zip(shelf.bundles, shelf.said(), strict=True)))
    reader.close()
    assert threading.active_count() == threads


@pytest.mark.parametrize("why", [None, errno.EINVAL, errno.EPERM, errno.ENOSYS])
def test_it_is_not_tried_again_and_again(
    why: int | None, reader: ReadAhead, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no thread can be started, or an old kernel or a filter refuses, they are read one by one for good."""
    tried: list[object] = []

    def no_thread(*_: object) -> None:
        tried.append("")
        raise RuntimeError("can't start new thread")

    def refused(_: aio.Reads, count: int) -> list[int]:
        tried.append("")
        return [-(why or 0)] * count

    if why is None:
        monkeypatch.setattr(reader._thread, "submit", no_thread)  # noqa: SLF001
    else:
        monkeypatch.setattr(reader._context, "read", refused)  # noqa: SLF001
    for _ in range(3):
        assert not reader.begin(list(zip(shelf.bundles, shelf.said(), strict=True)))
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
