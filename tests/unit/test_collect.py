"""Who is there: what is read at once, what is remembered, and what a refresh finds out."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from inspector import collect
from inspector.absence import Absence
from inspector.collect import Collector
from inspector.kernel.host import Host
from inspector.model import Census, Leader
from tests.fakehost import FakeHost
from tests.unit.observing import limited, own
from tests.unit.opening import Recording
from tests.unit.parts import process

LAYOUTS = ("v1", "v2", "hybrid")
KERNEL_THREAD = 0x00200000


class Round:
    """A collector on a machine, tick after tick."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.absence = Absence()
        self.collector = Collector(host, self.absence)

    def tick(self, *pids: int) -> tuple[Census, dict[int, Leader]]:
        """Take a census and look at these first processes in full."""
        self.absence.begin()
        self.collector.begin()
        census = self.collector.census()
        leaders = self.collector.leaders([census.processes[pid] for pid in pids], census.processes)
        self.collector.end(leaders)
        self.host.end_tick()
        return census, {pid: leader for (pid, _), leader in leaders.items()}


@contextmanager
def rounds(fake: FakeHost) -> Iterator[tuple[Round, Recording]]:
    """Give a collector on a machine, and what it opens there."""
    with Recording(fake.root) as host:
        yield Round(host), host


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every tick a refresh."""
    monkeypatch.setattr(collect, "REFRESH_SECONDS", 0.0)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_processes_that_proc_does_not_show_are_counted(tmp_path: Path, layout: str) -> None:
    """With hidepid=2 those of others are not in /proc: they are hidden, not absent, as cgroups' lists tell."""
    fake = FakeHost(tmp_path, layout).process(40, cgroups="/").process(50, "sh", cgroups="/user").viewer(50)
    for pid in (60, 61):
        fake.process(pid, "nginx", cgroups=f"/docker/{'a' * 64}")
    with rounds(fake) as (machine, _):
        machine.tick()
        assert machine.absence.denied == set()
    for pid in (1, 40, 60, 61):
        shutil.rmtree(f"{tmp_path}/proc/{pid}")
    with rounds(fake) as (machine, _):
        for _ in range(2):
            machine.tick()
            assert machine.absence.denied == {"process 1", "process 60", "process 61"}


def kernel_thread(fake: FakeHost, pid: int) -> None:
    """Turn a process into a thread of the kernel, by its flags."""
    path = f"/proc/{pid}/stat"
    fake.file(path, Path(fake.root + path).read_text().replace(" 4194304 ", f" {4194304 | KERNEL_THREAD} "))


@pytest.mark.parametrize(
    ("layout", "versions"),
    [
        ("v1", {"cpu": 1, "cpuacct": 1, "memory": 1, "pids": 1, "io": 1, "freezer": 1, "cpuset": 1}),
        ("v2", {"cpu": 2, "cpuacct": 2, "memory": 2, "pids": 2, "io": 2, "freezer": 2, "cpuset": 2,
                "hugetlb": 2, "pressure": 2}),
        ("hybrid", {"cpu": 1, "cpuacct": 1, "memory": 1, "pids": 1, "io": 1, "freezer": 1, "cpuset": 1,
                    "hugetlb": 2, "pressure": 2}),
    ],
)  # fmt: skip
def test_each_resource_is_located(tmp_path: Path, layout: str, versions: dict[str, int]) -> None:
    """Each resource is found on the hierarchy that carries it, of whichever version; what none carries is left out."""
    with rounds(FakeHost(tmp_path, layout)) as (there, _):
        census, _ = there.tick()
        located = there.collector.located
    assert {name: hierarchy.version for name, (hierarchy, _) in located.items()} == versions
    assert all(census.hierarchies[index] == hierarchy for hierarchy, index in located.values())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_cgroups_and_their_members(tmp_path: Path, layout: str) -> None:
    """Every cgroup is listed with the processes directly in it; one that comes or goes later is so at the next tick."""
    fake = limited(tmp_path, layout, "/a").process(100, cgroups="/a").process(101, cgroups="/a/b")
    with rounds(fake) as (there, _):
        groups = there.tick()[0].groups
        assert {path: one.members for path, one in groups.items() if path != "/"} == {"/a": (100,), "/a/b": (101,)}
        fake.process(102, cgroups="/a/b/new")
        assert there.tick()[0].groups["/a/b/new"].members == (102,)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_process_that_joins_a_cgroup(tmp_path: Path, layout: str) -> None:
    """A process that joins a known cgroup between two ticks is a member at the second."""
    fake = limited(tmp_path, layout, "/a").process(100, cgroups="/a")
    with rounds(fake) as (there, _):
        there.tick()
        fake.process(101, cgroups="/a")
        assert there.tick()[0].groups["/a"].members == (100, 101)


def test_kernel_threads_are_left_out(tmp_path: Path) -> None:
    """The kernel's own threads are no processes of ours, and are not looked at again at every tick."""
    fake = FakeHost(tmp_path).process(100).process(101, "kworker/0:1")
    kernel_thread(fake, 101)
    with rounds(fake) as (there, host):
        assert there.tick()[0].processes.keys() == {1, 100}
        host.opened.clear()
        assert there.tick()[0].processes.keys() == {1, 100}
        assert host.since("/proc/101/") == []


def test_old_processes_are_not_read_again(tmp_path: Path) -> None:
    """Between refreshes nothing of a process that is known and old is opened; a new one is looked at once."""
    fake = FakeHost(tmp_path).process(100)
    with rounds(fake) as (there, host):
        there.tick()
        host.opened.clear()
        fake.process(101)
        assert there.tick()[0].processes.keys() == {1, 100, 101}
        assert {path.split("/")[2] for path in host.opened if path.startswith("/proc/1")} == {"101"}


def test_a_young_process_is_read_again_until_it_is_old(tmp_path: Path) -> None:
    """A process that has just started is read at each tick, and once more when it is old; then no more."""
    fake = FakeHost(tmp_path).process(100, starttime=99990)
    with rounds(fake) as (there, host):
        for uptime, reads in (("1000.00", True), ("1001.00", True), ("1005.00", True), ("1006.00", False)):
            fake.file("/proc/uptime", f"{uptime} 1.00\n")
            host.opened.clear()
            there.tick()
            assert bool(host.since("/proc/100/stat")) is reads, uptime


def test_a_process_that_ends(tmp_path: Path) -> None:
    """A process that is gone from /proc is gone from the census."""
    fake = FakeHost(tmp_path).process(100).process(101)
    with rounds(fake) as (there, _):
        there.tick()
        (tmp_path / "proc/101").rename(tmp_path / "gone")
        assert there.tick()[0].processes.keys() == {1, 100}


def test_namespaces_entered_late_are_seen_at_the_refresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old process that moves into another mount namespace is seen there at the next refresh; of PIDs it has one."""
    fake = FakeHost(tmp_path).process(100, namespaces={"pid": own(1)["pid"]})
    with rounds(fake) as (there, _):
        before = there.tick()[0].processes[100]
        fake.process(100, namespaces=own(1))
        assert there.tick()[0].processes[100] == before
        monkeypatch.setattr(collect, "REFRESH_SECONDS", 0.0)
        assert there.tick()[0].processes[100][-2:] == tuple(own(1).values())


def test_a_pid_that_is_anothers_by_now_has_its_pid_namespace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The PID namespace of a process is for ever, but not that of a PID: another process is asked for its own."""
    fake = FakeHost(tmp_path).process(100, namespaces=own(1))
    with rounds(fake) as (there, _):
        there.tick()
        fake.process(100, namespaces=own(2), starttime=5001)
        monkeypatch.setattr(collect, "REFRESH_SECONDS", 0.0)
        assert there.tick()[0].processes[100][-2:] == tuple(own(2).values())


def test_a_first_process_is_looked_at_once(tmp_path: Path) -> None:
    """The full look at an old first process is remembered: at the next tick it is the very same."""
    fake = FakeHost(tmp_path).process(100, namespaces=own(1), ns_pids=(100, 1), cgroups="/a")
    with rounds(fake) as (there, host):
        first = there.tick(100)[1][100]
        host.opened.clear()
        assert there.tick(100)[1][100] is first
        assert host.since("/proc/100/") in ([], ["/proc/100/stat"])  # its stat is kept open from here on
    assert first.namespaces["pid"] == 4026540001
    assert first.membership.paths["memory"] == "/a"
    assert (first.root and first.root.fstype, first.parent_cmdline) == ("ext4", "init")


def test_the_first_process_of_two_groups_is_looked_at_once(tmp_path: Path) -> None:
    """One that is the first of a container and of the plain cgroup that it is in is looked at in full once a tick."""
    fake = FakeHost(tmp_path).process(100, namespaces=own(1), cgroups="/a")
    with rounds(fake) as (there, host):
        leaders = there.tick(100, 100)[1]
        assert host.since("/proc/100/").count("/proc/100/mountinfo") == 1
    assert leaders[100].membership.paths["memory"] == "/a"


def test_a_first_process_moved_by_somebody_is_seen_at_the_refresh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first process that was put into another cgroup is there from the next refresh on; the rest is remembered."""
    fake = FakeHost(tmp_path, "v2").process(100, namespaces=own(1), cgroups="/a")
    with rounds(fake) as (there, _):
        there.tick(100)
        fake.process(100, namespaces=own(1), cgroups="/b")
        assert there.tick(100)[1][100].membership.paths == {"": "/a"}
        monkeypatch.setattr(collect, "REFRESH_SECONDS", 0.0)
        assert there.tick(100)[1][100].membership.paths == {"": "/b"}


def test_a_first_process_that_executes_another_program(tmp_path: Path) -> None:
    """A first process with another name by the next tick has executed another program: it is looked at anew."""
    fake = FakeHost(tmp_path).process(100, "runc:[2:INIT]", namespaces=own(1))
    with rounds(fake) as (there, _):
        there.tick(100)
        fake.process(100, "nginx", namespaces=own(1), cgroups="/late")
        census, leaders = there.tick(100)
    assert census.processes[100].comm == "nginx"
    assert leaders[100].membership.paths["memory"] == "/late"


def test_a_first_process_that_is_gone_before_the_look(tmp_path: Path) -> None:
    """A first process that ended between the census and the full look has none, and is no problem."""
    fake = FakeHost(tmp_path)
    with rounds(fake) as (there, _):
        there.collector.begin()
        assert there.collector.leaders([process(999)], {}) == {}
    assert (there.absence.problems, there.absence.denied) == ([], set())


@pytest.mark.parametrize("state", list("RSDTZX"))
def test_a_zombie_has_ended(tmp_path: Path, state: str) -> None:
    """A zombie has ended though its parent has not yet asked for it; one that is stopped or waits has not."""
    fake = FakeHost(tmp_path).process(100, state=state)
    with rounds(fake) as (there, _):
        there.tick()
        assert there.collector.ended(process(100)) is (state in "ZX")
        assert there.collector.ended(process(999)) is True


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_refresh_changes_nothing_that_has_not_changed(tmp_path: Path, layout: str) -> None:
    """On a machine where nothing happens, a refresh finds the same census and the very same first process."""
    fake = limited(tmp_path, layout, "/a").process(100, cgroups="/a", namespaces=own(1))
    with rounds(fake) as (there, _):
        before, now = there.tick(100), there.tick(100)
    assert before == now
    assert now[1][100] is before[1][100]
    assert now[0].own is before[0].own


@pytest.mark.usefixtures("always")
def test_what_a_first_process_can_change_is_seen_at_the_refresh(tmp_path: Path) -> None:
    """An old first process that moved into other namespaces, mounted another root and lost its parent is seen so."""
    fake = FakeHost(tmp_path).process(100, namespaces=own(1)).process(50, "sh")
    with rounds(fake) as (there, _):
        there.tick(100)
        root = "31 1 0:9 / / rw - tmpfs t rw\n"
        fake.process(100, namespaces=own(1) | {"mnt": own(2)["mnt"]}, mountinfo=root, ppid=50)
        leader = there.tick(100)[1][100]
    assert leader.namespaces["mnt"] == own(2)["mnt"]
    assert leader.root is not None
    assert (leader.root.fstype, leader.parent_cmdline) == ("tmpfs", "sh")


def test_who_comes_into_one_cgroup_alone_is_seen_at_the_refresh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On v1, a process that moves into a first process's cgroup of memory alone is in there from the refresh on."""
    for name in ("REFRESH_SECONDS", "OTHERS_SECONDS", "COHABITANTS_SECONDS"):
        monkeypatch.setattr(collect, name, 1e-9)
    fake = limited(tmp_path, "v1", "/a").process(100, cgroups="/a", namespaces=own(1)).process(101)
    with rounds(fake) as (there, _):
        for others in (set(), {101}):
            _, leaders = there.tick(100)
            (found,) = there.collector.cohabitants([(leaders[100], (100,))]).values()
            assert (set(found["memory"]), set(found["cpu"])) == ({100} | others, {100})
            procs = Path(fake.root, "sys/fs/cgroup/memory/a/cgroup.procs")
            procs.write_text("100\n101\n", encoding="ascii")


def test_the_other_hierarchies_are_not_read_at_each_refresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nothing tells of a change, who is in the cgroups of v1's other hierarchies is remembered for longer."""
    monkeypatch.setattr(collect, "REFRESH_SECONDS", 1e-9)
    fake = limited(tmp_path, "v1", "/a").process(100, cgroups="/a", namespaces=own(1))
    with rounds(fake) as (there, host):
        for is_first in (True, False):
            host.opened.clear()
            _, leaders = there.tick(100)
            there.collector.cohabitants([(leaders[100], (100,))])
            assert any("memory/a/cgroup.procs" in path for path in host.opened) == is_first
            assert any(path.endswith("/100/mountinfo") for path in host.opened)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_who_else_is_in_a_first_processs_cgroups(tmp_path: Path, layout: str) -> None:
    """Per resource, everybody in the first process's cgroup is told, so that a shared one is known as shared."""
    fake = limited(tmp_path, layout, "/a").process(100, cgroups="/a", namespaces=own(1)).process(101, cgroups="/a")
    fake.process(102, cgroups="/a/below")
    with rounds(fake) as (there, _):
        _, leaders = there.tick(100)
        (found,) = there.collector.cohabitants([(leaders[100], (100,))]).values()
        assert found.keys() == there.collector.located.keys()
    assert set(found.values()) == {frozenset({100, 101})}


def test_a_root_among_many_mounts(tmp_path: Path) -> None:
    """Of several mounts made at "/" the last one is the root: it lies on top."""
    mounts = "{0} 1 254:0 /{0} / rw - ext4 /dev/vda rw\n{0} 1 0:9 / /m{0} rw - tmpfs t rw\n"
    lines = "".join(mounts.format(number) for number in (31, 32, 33))
    fake = FakeHost(tmp_path).process(100, namespaces=own(1), mountinfo=lines)
    with rounds(fake) as (there, _):
        root = there.tick(100)[1][100].root
    assert root is not None
    assert root.root == "/33"


def test_a_machine_without_cgroups(tmp_path: Path) -> None:
    """Where no cgroup tree is mounted the processes are listed all the same."""
    fake = FakeHost(tmp_path).mountinfo("27 1 254:0 / / rw - ext4 /dev/vda rw\n").process(100, namespaces=own(1))
    with rounds(fake) as (there, _):
        census, leaders = there.tick(100)
        assert (there.collector.located, census.groups, census.hierarchies) == ({}, {}, ())
    assert leaders[100].namespaces["pid"] == 4026540001


COUNTS = "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t1\t{}\t1\nmemory\t2\t{}\t1\npids\t3\t{}\t1\n"


@pytest.mark.parametrize("controller", ["cpu", "memory", "pids"])
def test_a_group_in_a_group_is_seen_at_the_next_tick(tmp_path: Path, controller: str) -> None:
    """Whichever v1 hierarchy it is made in: where not the first, the machine's count of cgroups tells."""
    fake = limited(tmp_path, "v1", "/outer").file("/proc/cgroups", COUNTS.format(2, 2, 2))
    with rounds(fake) as (collector, _):
        collector.tick()
        numbers = [3 if name == controller else 2 for name in ("cpu", "memory", "pids")]
        fake.cgroup(controller, "/outer/inner").file("/proc/cgroups", COUNTS.format(*numbers))
        assert "/outer/inner" in collector.tick()[0].groups
        assert collector.absence.problems == []


def test_leaves_are_looked_at_when_the_count_changes_and_no_more(tmp_path: Path) -> None:
    """While no cgroup comes or goes, a tick looks at no leaf of the other hierarchies."""
    fake = limited(tmp_path, "v1", "/outer").file("/proc/cgroups", COUNTS.format(2, 2, 2))
    with rounds(fake) as (collector, host):
        leaf = "/sys/fs/cgroup/memory/outer"
        looked = []
        for counts in ((2, 2, 2), (2, 2, 2), (2, 2, 2), (2, 3, 2), (2, 3, 2)):
            fake.file("/proc/cgroups", COUNTS.format(*counts))
            host.opened.clear()
            collector.tick()
            looked.append(leaf in host.opened)
    assert looked[2:] == [False, True, False]


@pytest.mark.parametrize("text", ["", "#x\n", "cpu\n", "cpu\tx\ty\tz\n", "\xff\n", "a 1 2 3 4\n"])
def test_counts_that_make_no_sense(tmp_path: Path, text: str) -> None:
    """They are a problem to be told, at most, and the refresh finds what is new."""
    fake = limited(tmp_path, "v1", "/outer").file("/proc/cgroups", text)
    with rounds(fake) as (collector, _):
        collector.tick()
        assert "/outer" in collector.tick()[0].groups
        assert len(collector.absence.problems) <= 1
