"""Ticks over fake hosts, from the files to what is held of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import pytest

from inspector.document import document
from inspector.kernel.controllers import Cpu, CpuUsage, Memory, Pressure
from inspector.kernel.host import Host
from inspector.model import Key
from inspector.observe import Observer
from inspector.rates import Interval
from tests.fakehost import FakeHost
from tests.unit.observing import ID, LIMITED, OTHER, limited, look, one, own, seen
from tests.unit.opening import Recording
from tests.unit.parts import SYSTEM

LAYOUTS = ("v1", "v2", "hybrid")
OVERLAY = "30 1 0:50 / / rw - overlay overlay rw,lowerdir=/l,upperdir=/var/lib/docker/overlay2/x/diff,workdir=/w\n"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_docker_container(tmp_path: Path, layout: str) -> None:
    """A container of Docker is found by its cgroup, with its namespaces, root and limits, and says why."""
    path = f"/docker/{ID}"
    fake = limited(tmp_path, layout, path)
    fake.process(100, "nginx", cgroups=path, namespaces=own(1), mountinfo=OVERLAY)
    (container,) = [one for one in seen(fake)["containers"] if one["kind"] == "container"]
    assert (container["id"], container["name"], container["runtime"]) == (ID, ID[:12], "docker")
    assert {"cgroup pattern docker", "own pid namespace 4026540001", "overlay root"} <= set(container["evidence"])
    assert (container["cpu"]["limit_cores"], container["cpu"]["limit_set_by"]) == (0.1, path)
    assert (container["memory"]["limit_bytes"], container["memory"]["working_set_bytes"]) == (4096, 900)
    assert (container["cpu"]["source"], container["memory"]["source"]) == ("cgroup", "cgroup")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_container_that_makes_cgroups_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    """Below its own so many are looked at, and it is told that there are more; of all others nothing is missed."""
    for module in ("inspector.kernel.cgroup_tree", "inspector.groups"):
        monkeypatch.setattr(f"{module}.MOST_BELOW", 5)
    fake = limited(tmp_path, layout, f"/docker/{ID}")
    fake.process(100, "sh", cgroups=f"/docker/{ID}", namespaces=own(1))
    many = [f"/docker/{ID}/{number}" for number in range(9)] + [f"/docker/{ID}/1/{number}" for number in range(9)]
    others = [f"/docker/{OTHER}", f"/docker/{OTHER}/a", "/x.slice/y.slice", "/lxc.payload.z/a"]
    others += [f"/x.slice/y.slice/{number}.scope" for number in range(9)]
    others += [f"/kubepods{qos}/pod{number}" for qos in ("", "/burstable", "/besteffort") for number in range(9)]
    for path in (*many, *others, *(f"/lxc.payload.z/{number}" for number in range(9))):
        fake.cgroup("memory", path)
    texts = [f"cgroup '{path}'" for path in (f"/docker/{ID}", "/lxc.payload.z")]
    with fake.open() as host:
        observer = Observer(host)
        for _ in range(2):
            tick = observer.tick()
            assert sorted(problem.partition(": there are more than 5")[0] for problem in tick.problems) == texts
        groups = observer._census.groups if observer._census else {}  # noqa: SLF001  nobody is in them: none is shown
        assert len([path for path in groups if path.startswith(f"/docker/{ID}/")]) == 5
        assert len([path for path in groups if path.startswith("/lxc.payload.z/")]) == 5
        assert not set(others) - groups.keys() - {"/lxc.payload.z/a"}
        assert one(tick, ID).members == (100,)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_plain_group(tmp_path: Path, layout: str) -> None:
    """A cgroup with processes and no runtime is a control group with its limits; without `groups` it is left out."""
    fake = limited(tmp_path, layout, "/limited").process(100, cgroups="/limited")
    group = one(look(fake), "/limited")
    assert (group.kind, group.members) == ("cgroup", (100,))
    with fake.open() as host:
        assert Observer(host, groups=False).tick().containers == ()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_shared_cgroup_is_nobodys(tmp_path: Path, layout: str) -> None:
    """A container in a cgroup that it shares with others is summed over its processes; the limit holds for it."""
    fake = limited(tmp_path, layout, "/session").process(50, cgroups="/session")
    fake.process(100, cgroups="/session", namespaces=own(1), utime=200, rss_anon_kb=4, threads=2)
    (container,) = [one for one in seen(fake)["containers"] if one["kind"] == "container"]
    assert (container["cpu"]["source"], container["memory"]["source"]) == ("processes", "processes")
    assert (container["cpu"]["usage_seconds"], container["memory"]["anon_bytes"]) == (2.0, 4096)
    assert (container["pids"]["current"], container["cpu"]["limit_cores"]) == (2, 0.1)


def test_a_v1_group_of_one_hierarchy_alone(tmp_path: Path) -> None:
    """A process in a cgroup under memory that exists empty under cpu too makes it a group all the same."""
    fake = FakeHost(tmp_path).cgroup("cpu", "/x").process(100, cgroups={"memory": "/x"})
    assert one(look(fake), "/x").members == (100,)


def test_a_process_that_moves_right_after_its_start(tmp_path: Path) -> None:
    """A young process that gets its mounts between two ticks is a container at the second."""
    fake = FakeHost(tmp_path).process(100, starttime=99990)
    with fake.open() as host:
        observer = Observer(host)
        assert observer.tick().containers == ()
        root = "31 1 0:9 / / rw - tmpfs t rw\n"
        fake.process(100, starttime=99990, namespaces={"mnt": own(1)["mnt"]}, mountinfo=root)
        assert [one.id for one in observer.tick().containers] == ["mnt-4026550001"]


def test_a_young_leader_that_changes_its_cgroup(tmp_path: Path) -> None:
    """The cgroups of a young first process are read again even when it is old by the next tick."""
    fake = FakeHost(tmp_path).process(100, starttime=99990, namespaces=own(1))
    with fake.open() as host:
        observer = Observer(host)
        assert observer.tick().containers[0].cgroups["cpu"] == "/"
        fake.process(100, starttime=99990, namespaces=own(1), cgroups="/late").file("/proc/uptime", "1010.00 1.00\n")
        assert observer.tick().containers[0].cgroups["cpu"] == "/late"


def test_a_reused_pid_is_another_process(tmp_path: Path) -> None:
    """When a container's first process ends and its PID comes again in another, the container is the other."""
    fake = FakeHost(tmp_path, "v2").process(100, "old", cgroups=f"/docker/{ID}", namespaces=own(1))
    with fake.open() as host:
        observer = Observer(host)
        assert [one.id for one in observer.tick().containers if one.kind == "container"] == [ID]
        shutil.rmtree(f"{fake.root}/sys/fs/cgroup/docker/{ID}")
        limited(tmp_path, "v2", f"/docker/{OTHER}")
        fake.process(100, "new", cgroups=f"/docker/{OTHER}", namespaces=own(2), starttime=6000)
        (found,) = [one for one in observer.tick().containers if one.kind == "container"]
        assert (found.id, found.owned >= {"cpuacct"}) == (OTHER, True)
        assert found.leader is not None
        assert (found.leader.process.comm, found.leader.namespaces["pid"]) == ("new", 4026540002)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_pid_of_nobody_in_particular_comes_again_as_a_container(tmp_path: Path, layout: str) -> None:
    """A container's first process that has the PID of another process of the last tick is seen at once."""
    fake = FakeHost(tmp_path, layout).process(50, "init").process(100, "job")
    with fake.open() as host:
        observer = Observer(host)
        assert not [one for one in observer.tick().containers if one.kind == "container"]
        limited(tmp_path, layout, f"/docker/{ID}")
        fake.process(100, "server", cgroups=f"/docker/{ID}", namespaces=own(1), starttime=6000)
        found = one(observer.tick(), ID)
        assert found.leader is not None
        assert (found.leader.process.comm, found.leader.namespaces["pid"]) == ("server", 4026540001)


def test_a_process_that_has_executed_another_program_has_its_name(tmp_path: Path) -> None:
    """In the list of a container's processes, at once; and one whose parent has ended has another parent."""
    path = f"/docker/{ID}"
    fake = limited(tmp_path, "v2", path).process(100, "init", cgroups=path, namespaces=own(1))
    fake.process(101, "sh", ppid=99, cgroups=path, namespaces=own(1))
    with fake.open() as host:
        observer = Observer(host, processes=True)
        observer.tick()
        fake.process(101, "server", ppid=100, cgroups=path, namespaces=own(1))
        listed = [detail.process for detail in observer.tick().processes[ID]]
    assert [(one.pid, one.ppid, one.comm) for one in listed] == [(100, 1, "init"), (101, 100, "server")]


class Refusing(Host):
    """A host where another user's namespaces may not be read."""

    def readlink(self, path: str) -> str:
        """Refuse the links of process 100."""
        if path.startswith("/proc/100/ns/"):
            raise PermissionError(13, "Permission denied", path)
        return super().readlink(path)

    def readlinks(self, directory: str, names: Iterable[str]) -> list[str | OSError]:
        """Refuse them, too."""
        if directory == "/proc/100/ns":
            return [PermissionError(13, "Permission denied", f"{directory}/{name}") for name in names]
        return super().readlinks(directory, names)


def test_refusals_are_counted_at_every_tick(tmp_path: Path) -> None:
    """A process whose namespaces we may not read counts as denied, at the first tick and at those after it."""
    fake = FakeHost(tmp_path).process(100, cgroups=f"/docker/{ID}")
    with Refusing(fake.root) as host:
        observer = Observer(host)
        ticks = [observer.tick() for _ in range(3)]
    assert [(tick.denied, tick.denied_files) for tick in ticks] == [(1, 0)] * 3
    assert [one(tick, ID).members for tick in ticks] == [(100,)] * 3
    assert ticks[-1].problems == ()


def test_garbage_in_a_control_file(tmp_path: Path) -> None:
    """A control file that makes no sense is a problem in printable ASCII; the figures beside it are still there."""
    path = "/evil\x1b[31m\u202e"
    fake = limited(tmp_path, "v2", path).process(100, cgroups=path)
    fake.cgroup("", path, {"memory.max": b"\xff\x1b]0;x\x07", "cpu.max": ""})
    tick = look(fake)
    memory, cpu = tick.readings["memory", path], tick.readings["cpu", path]
    assert isinstance(memory, Memory)
    assert isinstance(cpu, Cpu)
    assert (memory.usage_bytes, memory.limit_bytes, cpu.quota_us, cpu.periods) == (1000, None, None, 10)
    assert len(tick.problems) == 2
    assert all(text.isascii() and text.isprintable() for text in tick.problems)


class Vanishing(Host):
    """A host on which a cgroup is removed after its processes were listed."""

    def read_each_kept(self, paths: Sequence[str]) -> list[bytes | OSError]:
        """Remove the cgroup once its members are read."""
        found = super().read_each_kept(paths)
        for path in paths:
            if path.endswith("/gone/cgroup.procs"):
                shutil.rmtree(self.path(os.path.dirname(path)))
        return found


def test_a_cgroup_that_vanishes_meanwhile(tmp_path: Path) -> None:
    """A cgroup removed between listing and reading has no figures and is no problem; made again it has them."""
    fake = limited(tmp_path, "v2", "/gone").process(100, cgroups="/gone")
    with Vanishing(fake.root) as host:
        observer = Observer(host)
        tick = observer.tick()
        assert ("cpu", "/gone") not in tick.readings
        assert tick.problems == ()
    limited(tmp_path, "v2", "/again").process(100, cgroups="/again")
    with fake.open() as host:
        observer = Observer(host)
        observer.tick()
        shutil.rmtree(f"{fake.root}/sys/fs/cgroup/again")
        observer.tick()
        limited(tmp_path, "v2", "/again").process(100, cgroups="/again")
        assert ("cpu", "/again") in observer.tick().readings


def inside(root: Path, layout: str, *, true_root: bool) -> FakeHost:
    """Return a container seen from within: its own PID, mount and cgroup namespace, its cgroup at "/"."""
    fake = limited(root, layout, "/")
    namespaces = own(1, cgroup=4026530001)
    fake.process(1, "sh", ppid=0, namespaces=namespaces, mountinfo=fake.mounts())
    fake.process(7, "ctop", namespaces=namespaces, mountinfo=fake.mounts()).viewer(7)
    for hierarchy in fake.hierarchies:
        if hierarchy.version == 1 and true_root:
            fake.file(f"{hierarchy.mountpoint}/release_agent", "")
        if hierarchy.version == 2 and not true_root:
            fake.file(f"{hierarchy.mountpoint}/cgroup.type", "domain\n")
    return fake


@pytest.mark.parametrize("layout", LAYOUTS)
def test_from_inside_a_container(tmp_path: Path, layout: str) -> None:
    """From inside there is one container, ourselves, with the limits of "/" as its own and ancestors hidden."""
    document = seen(inside(tmp_path, layout, true_root=False))
    (container,) = document["containers"]
    assert document["viewpoint"] == {"inside_container": True, "hidden_ancestors": True, "self": container["id"]}
    assert (container["kind"], container["name"], container["members"]) == ("container", "fake", 2)
    assert (container["cpu"]["source"], container["memory"]["source"]) == ("cgroup", "cgroup")
    assert (container["cpu"]["limit_cores"], container["cpu"]["limit_set_by"]) == (0.1, "/")
    assert container["memory"]["limit_bytes"] == 4096


@pytest.mark.parametrize("layout", LAYOUTS)
def test_from_inside_where_no_cgroup_is_mounted(tmp_path: Path, layout: str) -> None:
    """As in bwrap: no limit is seen, and it is said that there may be some all the same."""
    fake = inside(tmp_path, layout, true_root=False)
    mounts = "".join(line for line in fake.mounts().splitlines(keepends=True) if " - cgroup" not in line)
    document = seen(fake.mountinfo(mounts, 1).mountinfo(mounts, 7))
    (container,) = document["containers"]
    assert document["viewpoint"]["hidden_ancestors"] is True
    assert container["cgroups"] == {}
    assert (container["cpu"]["limit_cores"], container["memory"]["limit_bytes"]) == (None, None)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_from_inside_a_container_of_systemd(tmp_path: Path, layout: str) -> None:
    """Where the container's systemd has moved itself to /init.scope, the container is the whole tree nevertheless."""
    fake = inside(tmp_path, layout, true_root=False)
    for hierarchy in fake.hierarchies:
        fake.file(f"{hierarchy.mountpoint}/cgroup.procs", "")
    namespaces = own(1, cgroup=4026530001)
    fake.process(1, "systemd", ppid=0, namespaces=namespaces, cgroups="/init.scope", mountinfo=fake.mounts())
    fake.process(7, "ctop", namespaces=namespaces, cgroups="/system.slice/a.service", mountinfo=fake.mounts())
    found = one(look(fake), "fake")
    assert {found.cgroups[resource] for resource in found.owned} == {"/"}
    assert {"cpu", "memory", "pids"} <= found.owned


@pytest.mark.parametrize("outsider", [False, True])
@pytest.mark.parametrize("layout", ["v1", "v2"])
def test_from_inside_a_container_with_containers_in_it(tmp_path: Path, layout: str, *, outsider: bool) -> None:
    """Docker in Docker, or a node of kind: the tree with all in it is ours, as it is seen from outside.

    Not where somebody of no PID namespace below ours is in it, whom the kernel lists as 0.
    """
    fake = inside(tmp_path, layout, true_root=False)
    for hierarchy in fake.hierarchies:
        fake.file(f"{hierarchy.mountpoint}/cgroup.procs", "")
    for pid, name in ((1, "dockerd"), (7, "ctop")):
        namespaces = own(1, cgroup=4026530001)
        fake.process(pid, name, ppid=0, namespaces=namespaces, cgroups="/init", mountinfo=fake.mounts())
    for place in ("/init", f"/docker/{ID}"):
        for controller, files in LIMITED[layout].items():
            fake.cgroup(controller, place, files)
    fake.process(30, cgroups=f"/docker/{ID}", namespaces=own(2))
    if outsider:
        for hierarchy in fake.hierarchies:
            (tmp_path / f"{hierarchy.mountpoint[1:]}/others").mkdir()
            fake.file(f"{hierarchy.mountpoint}/others/cgroup.procs", "0\n")
    observation = look(fake)
    outer, inner = one(observation, "fake"), one(observation, ID)
    assert {outer.cgroups[resource] for resource in outer.owned} == {"/init" if outsider else "/"}
    assert {inner.cgroups[resource] for resource in inner.owned} == {f"/docker/{ID}"}
    assert inner.parent == outer.id


@pytest.mark.parametrize("layout", LAYOUTS)
def test_from_inside_with_the_machines_own_root_cgroup(tmp_path: Path, layout: str) -> None:
    """A container that sits in the true root cgroup does not take the machine's figures for its own."""
    document = seen(inside(tmp_path, layout, true_root=True))
    (container,) = document["containers"]
    assert document["viewpoint"]["hidden_ancestors"] is False
    assert (container["cpu"]["source"], container["memory"]["source"]) == ("processes", "processes")


def test_processes_of_those_in_focus(tmp_path: Path) -> None:
    """The processes of the containers in focus are read, as many of each as are wanted, and nobody else's."""
    fake = FakeHost(tmp_path, "v2")
    for place, id_ in enumerate((ID, OTHER, "c" * 64)):
        for number in range(3):
            fake.process(100 * (place + 1) + number, "sh", cgroups=f"/docker/{id_}", namespaces=own(place + 1))
    with fake.open() as host:
        observer = Observer(host, most_processes=2)
        assert observer.tick().processes == {}
        observer.focused = frozenset({ID, OTHER, "gone"})
        found = observer.tick().processes
        assert {id_: [one.process.pid for one in each] for id_, each in found.items()} == {
            ID: [100, 101],
            OTHER: [200, 201],
        }
        observer.focus = None
        assert observer.tick().processes == {}


@pytest.mark.parametrize(
    ("children", "found"),
    [
        ("201 ", True),  # the next `sleep`, which the list of all processes did not have yet
        ("", False),  # between one and the next
        ("201 202 ", False),  # the server, started again meanwhile
        (None, False),  # a kernel without CONFIG_PROC_CHILDREN
    ],
)
def test_what_a_shell_runs_is_looked_up_when_it_is_judged(tmp_path: Path, children: str | None, found: bool) -> None:
    """The `sleep` of the list has ended by then: the one that is there now is the shell's, and so is a server."""
    path = f"/docker/{ID}"
    fake = limited(tmp_path, "v2", path)
    fake.process(100, "sh", cmdline="sh\0-c\0server & while :; do sleep 1; done\0", cgroups=path, namespaces=own(1))
    # The processes of now: not in the cgroup's list, as that was read before they were there.
    fake.process(201, "sleep", ppid=100, cmdline="sleep\0" + "1\0").process(202, "server", ppid=100)
    (tmp_path / f"sys/fs/cgroup{path}/cgroup.procs").write_text("100\n199\n")
    if children is not None:
        fake.file("/proc/100/task/100/children", children)
    assert bool(look(fake).hollow) is found


def test_the_first_look_reads_its_figures_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is counted while the files are being opened belongs to the first look: no rate after it is too low."""
    path = f"/docker/{ID}"
    fake = limited(tmp_path, "v2", path)
    fake.process(100, "nginx", cgroups=path, namespaces=own(1), mountinfo=OVERLAY)
    [usage] = tmp_path.rglob(f"{ID}/cpu.stat")
    with fake.open() as host:
        observer = Observer(host)
        opened = observer._meter.open  # noqa: SLF001  the moment between opening and reading is seen from there alone

        def slow(wanted: Mapping[Key, bool], *, counters: bool) -> None:
            opened(wanted, counters=counters)
            usage.write_text("usage_usec 5000000\nuser_usec 1\nsystem_usec 1\n")

        monkeypatch.setattr(observer._meter, "open", slow)  # noqa: SLF001
        reading = observer.tick().readings["cpuacct", path]
    assert isinstance(reading, CpuUsage)
    assert reading.usage_us == 5_000_000


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_begins_a_rate_is_what_is_counted(tmp_path: Path, layout: str) -> None:
    """After a look at the counters alone the document is the same as after a look at everything, and with one to come.

    Then nothing is kept open that is read once.
    """
    fake = limited(tmp_path, layout, f"/docker/{ID}").process(100, cgroups=f"/docker/{ID}", namespaces=own(1))
    fake.process(200, namespaces=own(2), utime=10)  # without a cgroup of its own
    (stat,) = tmp_path.rglob(f"{ID}/cpu.stat")
    earlier = stat.read_text()
    documents = []
    kept = []
    for begin in (Observer.tick, Observer.begin, partial(Observer.begin, once=True)):
        stat.write_text(earlier)
        fake.process(200, namespaces=own(2), utime=10)
        with fake.open() as host:
            observer = Observer(host)
            before = begin(observer)._replace(monotonic=100.0, system=SYSTEM)
            stat.write_text(earlier.replace("throttled 5", "throttled 7").replace("periods 10", "periods 14"))
            fake.process(200, namespaces=own(2), utime=60)
            after = observer.tick()._replace(monotonic=101.0, taken_at=0.0, system=SYSTEM)
            documents.append(document(before, after))
            descriptors = (f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd"))
            opened = [os.readlink(link) for link in descriptors if os.path.islink(link)]
            kept.append({os.path.basename(path) for path in opened if f"/{ID}" in path})
    assert ("memory", f"/docker/{ID}") not in before.readings
    assert ("memory", f"/docker/{ID}") in after.readings
    assert documents[0] == documents[1] == documents[2]
    assert "memory.stat" in kept[1]
    assert not kept[2] & {"memory.stat", "pids.current", "cpu.max", "cpu.cfs_quota_us"}
    assert "cpu.stat" in kept[2]
    cpu = {one["id"]: one["cpu"] for one in documents[1]["containers"]}
    assert cpu[ID]["throttled_ratio"] == 0.5
    assert cpu["pid-4026540002"]["usage_cores"] == 0.5


def test_a_group_in_the_place_of_another_is_seen_at_the_next_tick(tmp_path: Path) -> None:
    """A cgroup that was made when another was removed is found although there are as many as before."""
    fake = limited(tmp_path, "v1", "/old").process(100, cgroups="/old").process(101, cgroups="/old")
    names = [name for hierarchy in fake.hierarchies for name in hierarchy.controllers]
    fake.file("/proc/cgroups", "".join(f"{name}\t1\t2\t1\n" for name in names))
    with Recording(fake.root) as host:
        observer = Observer(host)
        observer.tick()
        host.opened.clear()
        observer.tick()
        assert "/sys/fs/cgroup/cpu,cpuacct/old" not in host.opened  # as many as the kernel counts: not looked at
        for old in list(tmp_path.glob("sys/fs/cgroup/*/old")):
            shutil.rmtree(old)
        limited(tmp_path, "v1", "/new").process(100, cgroups="/new").process(101, cgroups="/new")
        tick = observer.tick()
    assert one(tick, "/new").members == (100, 101)
    assert tick.problems == ()


@pytest.mark.parametrize("layout", ["v1", "v2"])
def test_details_of_who_is_out_of_sight_are_unknown(tmp_path: Path, layout: str) -> None:
    """Of the others all is new but the details, which are unknown; in focus or in sight again all is as ever."""
    fake, details, news = FakeHost(tmp_path, layout), DETAILS[layout], NEWS[layout]
    paths = {ID: f"/docker/{ID}", OTHER: f"/docker/{OTHER}"}
    for pid, path in enumerate(paths.values(), 100):
        for controller, files in LIMITED[layout].items():
            fake.cgroup(controller, path, {**files, **details.get(controller, {})})
        fake.process(pid, cgroups=path, namespaces=own(pid))
    with fake.open() as host:
        observer = Observer(host)
        whole = observer.tick()
        observer.sight = frozenset({ID})
        fake.cgroup(news[0], paths[OTHER], {news[1]: "2000\n"})
        part = observer.tick()
        assert [one.owned for one in part.containers] == [one.owned for one in whole.containers]
        assert part.readings.keys() == whole.readings.keys()
        for key, reading in part.readings.items():
            if key[1] != paths[OTHER]:
                assert reading == whole.readings[key]
        memory, cpu = part.readings["memory", paths[OTHER]], part.readings["cpu", paths[OTHER]]
        assert isinstance(memory, Memory)
        assert isinstance(cpu, Cpu)
        assert (memory.usage_bytes, memory.limit_bytes) == (2000, 4096)
        assert (cpu.quota_us, cpu.periods) == (10000, 10)
        assert (memory.peak_bytes, memory.limit_hits, cpu.weight) == (None, None, None)
        observer.focus = OTHER
        again = observer.tick()
        with fake.open() as other:
            assert again.readings == Observer(other).tick().readings
        assert Interval(part, again).rates("pressure", paths[OTHER], "cpu_some_us") == [None]
        observer.focus, observer.sight = None, None
        assert observer.tick().readings == again.readings


@pytest.mark.parametrize("is_turn", [False, True])
def test_averages_of_who_is_out_of_sight_stay(tmp_path: Path, is_turn: bool) -> None:
    """The kernel's averages are as they were last read, from sight or when it was their turn; counters are unknown."""
    fake = limited(tmp_path, "v2", path := f"/docker/{ID}")
    fake.process(7, "web", cgroups=path, namespaces=own(1))

    def stalls(share: float) -> None:
        for name in ("cpu", "memory", "io"):
            line = f"avg10={share:.2f} avg60={share:.2f} avg300=0.00 total={share:.0f}\n"
            fake.file(f"/sys/fs/cgroup{path}/{name}.pressure", f"some {line}full {line}")

    with fake.open() as host:
        observer = Observer(host, refresh_seconds=0.0 if is_turn else 3600.0)
        for sight, share, expected in (
            (None, 70.0, (70, 0.7)),
            (frozenset[str](), 80.0, (None, 0.8 if is_turn else 0.7)),
            (frozenset[str](), 90.0, (None, 0.9 if is_turn else 0.7)),
            (frozenset({ID}), 90.0, (90, 0.9)),
            (frozenset[str](), 100.0, (None, 1.0 if is_turn else 0.9)),
            (None, 100.0, (100, 1.0)),
        ):
            stalls(share)
            observer.sight = sight
            pressure = observer.tick().readings["pressure", path]
            assert isinstance(pressure, Pressure)
            total, average = expected
            assert pressure == Pressure(*[total] * 6, *[average] * 6)


def test_averages_of_who_was_never_in_sight_are_known(tmp_path: Path) -> None:
    """The first time that a cgroup is read, out of sight or not, its averages are."""
    fake = limited(tmp_path, "v2", path := f"/docker/{ID}")
    line = "avg10=50.00 avg60=25.00 avg300=0.00 total=7\n"
    fake.cgroup("", path, {"io.pressure": f"some {line}full {line}"})
    fake.process(7, "web", cgroups=path, namespaces=own(1))
    with fake.open() as host:
        observer = Observer(host, refresh_seconds=3600.0)
        observer.sight = frozenset()
        for _ in range(3):
            assert observer.tick().readings["pressure", path] == Pressure(io_full_avg10=0.5, io_full_avg60=0.25)


NEWS = {"v1": ("memory", "memory.usage_in_bytes"), "v2": ("", "memory.current")}
PRESSURE = "some avg10=0.00 avg60=0.00 avg300=0.00 total=7\n"
DETAILS: dict[str, dict[str, dict[str, str]]] = {
    "v1": {
        "cpu": {"cpu.shares": "1024\n"},
        "memory": {"memory.max_usage_in_bytes": "4000\n", "memory.failcnt": "3\n"},
        "pids": {"pids.events": "max 4\n"},
    },
    "v2": {"": {"cpu.weight": "50\n", "memory.peak": "4000\n", "pids.events": "max 4\n", "cpu.pressure": PRESSURE}},
}


def test_figures_that_stay_are_the_same_objects(tmp_path: Path) -> None:
    """While no file says anything else a tick has the figures of the last; then it has others, and those stay."""
    fake = limited(tmp_path, "v2", f"/docker/{ID}")
    fake.process(7, "web", cgroups=f"/docker/{ID}", namespaces=own(1))
    key = ("cpu", f"/docker/{ID}")
    with fake.open() as host:
        observer = Observer(host)
        first, second = observer.tick(), observer.tick()
        assert second.readings is first.readings
        assert second.inodes is first.inodes
        fake.file(f"/sys/fs/cgroup/docker/{ID}/cpu.max", "30000 100000\n")
        third = observer.tick()
        shutil.rmtree(tmp_path / f"sys/fs/cgroup/docker/{ID}")
        shutil.rmtree(tmp_path / "proc/7")
        last = observer.tick()
    quotas = [one.readings[key].quota_us for one in (first, third)]  # type: ignore[union-attr]
    assert quotas == [10000, 30000]
    assert key not in last.readings
    assert key not in last.inodes
