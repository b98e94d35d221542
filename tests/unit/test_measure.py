"""How much: which files are read of a cgroup, and when; processes that have no cgroup of their own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from inspector.absence import Absence
from inspector.collect import Collector
from inspector.kernel.cgroup_in_full import IN_FULL
from inspector.kernel.controllers import Cpu, CpuUsage, Memory, Pids
from inspector.kernel.host import Host
from inspector.kernel.network import Interface
from inspector.kernel.process import PAGE_SIZE
from inspector.measure import Meter
from inspector.turns import Turns
from tests.fakehost import FakeHost
from tests.unit.observing import limited, look, own
from tests.unit.opening import Recording
from tests.unit.parts import process

LAYOUTS = ("v1", "v2", "hybrid")
UNLIMITED = 9223372036854771712


class Desk:
    """A meter on a machine, with everything it needs."""

    def __init__(self, fake: FakeHost) -> None:
        self.fake = fake
        self.host = Recording(fake.root)
        self.absence = Absence()
        self.collector = Collector(self.host, self.absence)
        self.collector.begin()
        self.meter = Meter(self.host, self.absence)
        self.tick(refresh=True)

    def tick(self, *, refresh: bool = False) -> None:
        """End a tick and start another."""
        self.host.end_tick()
        self.absence.begin()
        turns = Turns()
        if refresh:
            turns.begin(0.0, 1.0)  # at first it is everybody's
        self.meter.begin(self.collector.located, turns)
        self.host.opened.clear()

    def read(self, resource: str, *, brief: bool = False) -> object:
        """Read a resource of the cgroup /x."""
        return self.meter.figures({(resource, "/x"): not brief})[0].get((resource, "/x"))

    def change(self, controller: str, name: str, text: str | None) -> None:
        """Write a control file of /x, or remove it."""
        hierarchy = next(h for h in self.fake.hierarchies if controller in h.controllers)
        path = f"{hierarchy.mountpoint}/x/{name}"
        if text is None:
            Path(self.fake.root + path).unlink()
        else:
            self.fake.file(path, text)


@pytest.fixture(params=LAYOUTS)
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    """Give a meter on a machine whose cgroup /x has limits, one for each layout."""
    made = Desk(limited(tmp_path, request.param, "/x"))
    yield made
    made.host.close()


def test_full_and_brief(desk: Desk) -> None:
    """In full a cgroup's figures are all there; in brief, as is enough for an ancestor, its limits and throttling."""
    full, brief = desk.read("memory"), desk.read("memory", brief=True)
    assert isinstance(full, Memory)
    assert (full.usage_bytes, full.anon_bytes, full.limit_bytes) == (1000, 500, 4096)
    assert brief == Memory(limit_bytes=4096)
    assert desk.read("pids", brief=True) == Pids()
    cpu = desk.read("cpu", brief=True)
    assert isinstance(cpu, Cpu)
    assert (cpu.quota_us, cpu.period_us, cpu.periods, cpu.throttled_periods) == (10000, 100000, 10, 5)


def test_brief_opens_less(desk: Desk) -> None:
    """In brief neither usage nor statistics of memory are opened."""
    desk.read("memory", brief=True)
    assert not {"stat", "usage_in_bytes", "current"} & {path.rpartition("memory.")[2] for path in desk.host.opened}


def test_kept_files_are_opened_once(desk: Desk) -> None:
    """At the second tick no control file is opened again, and what is read is new."""
    wanted = {(resource, "/x"): True for resource in ("cpu", "cpuacct", "memory", "pids")}
    desk.meter.figures(wanted)
    assert desk.host.since("/x/")
    desk.change("memory", "memory.current" if len(desk.fake.hierarchies) == 1 else "memory.usage_in_bytes", "2000\n")
    desk.tick()
    readings, inodes = desk.meter.figures(wanted)
    assert desk.host.since("/x/") == []
    assert readings.keys() == inodes.keys() == wanted.keys()
    memory = readings["memory", "/x"]
    assert isinstance(memory, Memory)
    assert memory.usage_bytes == 2000


@pytest.mark.parametrize("layout", ["v1", "hybrid"])
def test_a_limit_of_memory_is_read_where_there_may_be_one(tmp_path: Path, layout: str) -> None:
    """v1's limits are read from the tick on at which memory.stat tells of one above; not where it tells of none."""
    desk = Desk(limited(tmp_path, layout, "/x"))
    files = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")

    def limits(least: int, *texts: str) -> tuple[int | None, int | None]:
        for name, text in zip(files, texts, strict=True):
            desk.change("memory", name, text)
        lines = f"hierarchical_memory_limit {least}\nhierarchical_memsw_limit {UNLIMITED}\n"
        desk.change("memory", "memory.stat", lines)
        desk.tick()
        memory = desk.meter.figures({("memory", "/x"): True})[0]["memory", "/x"]
        assert isinstance(memory, Memory)
        return memory.limit_bytes, memory.swap_limit_bytes

    desk.meter = Meter(desk.host, desk.absence, files=IN_FULL)
    assert limits(UNLIMITED, "not read\n", "not read\n") == (None, None)
    assert desk.absence.problems == []
    assert limits(4096, "8192\n", f"{UNLIMITED}\n") == (8192, None)
    assert limits(4096, "4096\n", "16384\n") == (4096, 16384)
    assert limits(UNLIMITED, f"{UNLIMITED}\n", f"{UNLIMITED}\n") == (None, None)
    desk.host.close()


@pytest.mark.parametrize("layout", ["v1", "hybrid"])
def test_a_limit_of_memory_is_read_once_where_there_may_be_one(tmp_path: Path, layout: str) -> None:
    """As well by who looks but twice; where memory.stat is not there to tell, the limit is read."""
    desk = Desk(limited(tmp_path, layout, "/x"))

    def limit(stat: str | None, text: str) -> int | None:
        desk.change("memory", "memory.limit_in_bytes", text)
        desk.change("memory", "memory.stat", stat)
        desk.meter = Meter(desk.host, desk.absence)
        desk.meter.lasting = False
        desk.tick()
        memory = desk.meter.figures({("memory", "/x"): True})[0]["memory", "/x"]
        assert isinstance(memory, Memory)
        return memory.limit_bytes

    told = "hierarchical_memory_limit {}\n".format
    assert limit(told(UNLIMITED), "not read\n") is None
    assert desk.absence.problems == []
    assert limit(told(4096), "8192\n") == 8192
    assert limit(None, "16384\n") == 16384
    desk.host.close()


def test_a_file_this_kernel_lacks_is_asked_for_again_at_a_refresh(desk: Desk) -> None:
    """A file that was not there is not tried at every tick, only at the next refresh; then its figures are there."""
    assert isinstance(desk.read("pids"), Pids)
    desk.change("pids", "pids.events", "max 3\n")
    desk.tick()
    assert desk.read("pids") == Pids(current=3)
    assert desk.host.since("pids.events") == []
    desk.tick(refresh=True)
    assert desk.read("pids") == Pids(current=3, limit_hits=3)


def test_with_too_few_descriptors_settings_are_read_at_a_refresh(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where not all files can be kept open, usage is new at every tick all the same, a limit within a refresh."""
    v2 = len(desk.fake.hierarchies) == 1
    usage, limit = ("memory.current", "memory.max") if v2 else ("memory.usage_in_bytes", "memory.limit_in_bytes")
    monkeypatch.setattr(Host, "_descriptor_limit", lambda _: 3)
    assert desk.read("memory") == desk.read("memory")
    desk.change("memory", usage, "2000\n")
    desk.change("memory", limit, "8192\n")
    desk.tick()
    memory = desk.read("memory")
    assert isinstance(memory, Memory)
    assert (memory.usage_bytes, memory.limit_bytes) == (2000, 4096)
    assert desk.host.since("/x/memory.") == []
    desk.tick(refresh=True)
    memory = desk.read("memory")
    assert isinstance(memory, Memory)
    assert (memory.usage_bytes, memory.limit_bytes) == (2000, 8192)
    monkeypatch.undo()
    desk.meter.figures({("memory", "/x"): True, ("pids", "/x"): True})
    desk.change("memory", limit, "4096\n")
    desk.tick()
    memory = desk.meter.figures({("memory", "/x"): True, ("pids", "/x"): True})[0]["memory", "/x"]
    assert isinstance(memory, Memory)
    assert memory.limit_bytes == 4096


def test_a_controller_without_files(desk: Desk) -> None:
    """A cgroup that has none of a resource's files has no reading, and nothing is complained of."""
    for name in ("pids.current", "pids.max"):
        desk.change("pids", name, None)
    assert desk.read("pids") is None
    assert (desk.absence.problems, desk.absence.denied) == ([], set())


def test_no_such_cgroup_or_controller(desk: Desk) -> None:
    """A cgroup that does not exist, or a resource that no mounted hierarchy carries, has no reading."""
    assert desk.meter.figures({("cpu", "/nowhere"): True, ("rdma", "/x"): True}) == ({}, {})
    assert desk.absence.problems == []


def test_cpu_usage_has_one_unit(desk: Desk) -> None:
    """CPU time is in microseconds from either version."""
    usage = desk.read("cpuacct")
    assert isinstance(usage, CpuUsage)
    assert usage.usage_us == 1_000_000


def test_a_reading_comes_with_its_identity(desk: Desk) -> None:
    """The inode told beside a reading is of a file of that cgroup: one made again under the same name has others."""
    mountpoint = desk.collector.located["memory"][0].mountpoint
    _, inodes = desk.meter.figures({("memory", "/x"): True})
    assert inodes.keys() == {("memory", "/x")}
    there = Path(f"{desk.fake.root}{mountpoint}/x").iterdir()
    assert inodes["memory", "/x"] in {file.stat().st_ino for file in there if file.name.startswith("memory.")}


@pytest.fixture
def machine(tmp_path: Path) -> FakeHost:
    """Make a machine on which processes are measured."""
    return FakeHost(tmp_path)


def test_a_sum_over_the_members(machine: FakeHost) -> None:
    """Members' ticks are kept by process, threads and anonymous memory summed; one with a reused PID is left out."""
    machine.process(100, utime=10, stime=1, rss_anon_kb=4, threads=2).process(101, utime=20, rss_anon_kb=8)
    machine.process(102, utime=999, starttime=6000)
    there = {pid: process(pid) for pid in (100, 101, 102, 103)}
    with machine.open() as host:
        meter = Meter(host, Absence())
        tally = meter.tally((100, 101, 102, 103, 104), there, memory=True)
        assert tally.ticks == {(100, 5000): (10, 1), (101, 5000): (20, 0)}
        assert (tally.anon_bytes, tally.threads) == (12 << 10, 3)
        assert meter.tally((100,), there, memory=False).anon_bytes is None


def test_a_sum_at_the_next_tick(machine: FakeHost) -> None:
    """What a member has used since is seen, of one that says the same again the same holds, who is gone is left out."""
    for pid in (100, 101, 102):
        machine.process(pid, utime=10)
    there = {pid: process(pid) for pid in (100, 101, 102)}
    with machine.open() as host:
        meter = Meter(host, Absence())
        meter.begin({})
        assert meter.tally((100, 101, 102), there, memory=False).ticks == dict.fromkeys(
            [(100, 5000), (101, 5000), (102, 5000)], (10, 0)
        )
        host.end_tick()
        machine.process(100, utime=25, stime=3, threads=4)
        host.forget("/proc/102/stat")
        shutil.rmtree(f"{machine.root}/proc/102")
        meter.begin({})
        tally = meter.tally((100, 101, 102), there, memory=False)
        assert (tally.ticks, tally.threads) == ({(100, 5000): (25, 3), (101, 5000): (10, 0)}, 5)


def test_memory_of_members_is_read_only_where_needed(machine: FakeHost) -> None:
    """Where the cgroup tells the memory, no process's status is read for it."""
    machine.process(100)
    with Recording(machine.root) as host:
        Meter(host, Absence()).tally((100,), {100: process(100)}, memory=False)
        assert host.since("/proc/100/") == ["/proc/100/stat"]


def test_details_of_processes(machine: FakeHost) -> None:
    """A process's view has its innermost PID, command line, state, CPU time and memory; a reused PID is left out."""
    machine.process(100, "sh", ns_pids=(100, 7, 1), cmdline="sh\0-c\0true\0", utime=3, stime=4, state="R")
    machine.process(101, starttime=9000)
    with machine.open() as host:
        (one,) = Meter(host, Absence()).details((100, 101, 102), {pid: process(pid) for pid in (100, 101, 102)})
    assert (one.inner_pid, one.cmdline, one.state, one.ticks) == (1, "sh -c true", "R", 7)
    assert one.rss_bytes == 418 * PAGE_SIZE


def test_a_process_without_a_status(machine: FakeHost) -> None:
    """A process whose other files are gone by the time is shown with what was read, and is no problem."""
    machine.process(100)
    for name in ("status", "cmdline"):
        (Path(machine.root) / "proc/100" / name).unlink()
    absence = Absence()
    with machine.open() as host:
        (one,) = Meter(host, absence).details((100,), {100: process(100)})
    assert (one.inner_pid, one.cmdline) == (100, "")
    assert (absence.problems, absence.denied) == ([], set())


def test_interfaces_by_network_namespace(machine: FakeHost) -> None:
    """Each network namespace is read once, through a container in it; one that cannot be read has nothing known."""
    for pid, net in ((100, 1), (101, 1), (102, 2)):
        machine.process(pid, namespaces=own(pid, net=4026560000 + net))
    Path(f"{machine.root}/proc/102/net/dev").unlink()
    tick = look(machine)
    assert tick.interfaces == {
        4026560001: (
            Interface("lo", 3193, 29, 0, 0, 3193, 29, 0, 0),
            Interface("eth0", 1000, 10, 1, 2, 2000, 20, 3, 4),
        )
    }
    assert tick.problems == ()
