"""Which processes form a container."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.candidates import Candidate, candidates
from inspector.correlate import Verdicts, containers
from inspector.document import document
from inspector.kernel.cgroups import Hierarchy, Membership
from inspector.kernel.namespaces import INITIAL
from inspector.model import Census, Container, Leader, Process
from inspector.observe import Observer
from tests.unit.observing import ID, OTHER, limited, look, one, own, seen
from tests.unit.parts import LOCATED, OWN, census, group, leader, mount, process

LAYOUTS = ("v1", "v2", "hybrid")
HOST_PID, HOST_MNT = INITIAL["pid"], INITIAL["mnt"]
IMAGE = mount("30 1 0:50 / / rw - overlay overlay rw,lowerdir=/l,upperdir=/u,workdir=/w")
OVERLAY = "30 1 0:50 / / rw - overlay overlay rw,lowerdir=/l,upperdir=/u,workdir=/w\n"
INSIDE = OWN._replace(
    namespaces={**OWN.namespaces, "pid": 11, "mnt": 21}, own_pid_namespace=True, inside_container=True
)
OUTER, INNER = f"/docker/{ID}", f"/docker/{ID}/docker/{OTHER}"
PATHS = ("/", OUTER, f"{OUTER}/sub", INNER, "/lxc.payload.web", "/a", "/a/b", "/system.slice/x.service")
PROCESSES = st.lists(
    st.builds(
        process,
        st.integers(1, 12),
        st.sampled_from([HOST_PID, 11, 12, 13, None]),
        st.sampled_from([HOST_MNT, 21, 22, 23, None]),
        ppid=st.integers(0, 13),
        starttime=st.integers(0, 5),
    ),
    max_size=12,
)
GROUPS = st.dictionaries(st.sampled_from(PATHS), st.lists(st.integers(0, 14), max_size=8), max_size=len(PATHS))
CENSUSES = st.builds(
    lambda processes, groups, own: census(processes, [group(path, *pids) for path, pids in groups.items()], own),
    PROCESSES, GROUPS, st.sampled_from([OWN, INSIDE, OWN._replace(namespaces={})]),
)  # fmt: skip


def isolating(found: tuple[Candidate, ...]) -> list[Candidate]:
    """Return the candidates that are no plain control groups: those that a process is in only once."""
    return [one for one in found if one.kind != "group"]


def groups_of(*processes: Process, groups: dict[str, tuple[int, ...]] | None = None) -> dict[object, tuple[int, ...]]:
    """Return the members of each candidate by its key, control groups left out."""
    there = [group(path, *pids) for path, pids in (groups or {}).items()]
    return {one.key: one.members for one in isolating(candidates(census(processes, there)))}


def decided(there: Census, *looks: Leader, verdicts: Verdicts | None = None) -> dict[str, Container]:
    """Return what the groups of a census are, by id; who is in their cgroups is what the census says."""
    leaders = {one.process.identity: one for one in looks}
    found = candidates(there)
    cohabitants = {}
    for identity, first in leaders.items():
        at = there.groups.get(first.membership.paths[""])
        cohabitants[identity] = dict.fromkeys(LOCATED, frozenset(at.members if at else ()))
    return {one.id: one for one in containers(there, found, leaders, cohabitants, LOCATED, verdicts)}


def around(found: dict[str, Container], one: Container) -> list[str]:
    """Return the ids of the containers around one, from within; fails when they never end."""
    ids: list[str] = []
    while one.parent is not None:
        ids.append(one.parent)
        assert len(ids) <= len(found)
        one = found[one.parent]
    return ids


@given(CENSUSES)
def test_no_process_is_in_two_groups(there: Census) -> None:
    """Whatever the census, nothing is raised, no process is in two groups, and every first process is a member."""
    found = candidates(there)
    counts = Counter(pid for one in isolating(found) for pid in one.members)
    assert set(counts.values()) <= {1}
    assert all(one.leader.pid in one.members and set(one.members) <= there.processes.keys() for one in found)
    assert len({one.key for one in found}) == len(found)


@given(CENSUSES)
def test_no_foreign_process_is_lost(there: Census) -> None:
    """Every process whose PID namespace is known and not ours is in exactly one group."""
    ours = there.own.namespaces.get("pid")
    foreign = {one.pid for one in there.processes.values() if one.pid_ns not in (ours, None)}
    counts = Counter(pid for one in isolating(candidates(there)) for pid in one.members)
    assert all(counts[pid] == 1 for pid in foreign)


@given(CENSUSES, st.lists(st.sampled_from(PATHS), min_size=12, max_size=12))
def test_every_census_is_decided(there: Census, paths: list[str]) -> None:
    """Whatever the census, nothing is raised, and a parent is a container or service; parents are no circle."""
    looks = [leader(one, path, root=IMAGE) for one, path in zip(there.processes.values(), paths, strict=False)]
    found = decided(there, *looks)
    isolated = {one.id for one in found.values() if one.kind != "cgroup"}
    assert all(one.parent is None or one.parent in isolated for one in found.values())
    assert all(one.id not in around(found, one) for one in found.values())
    assert all(one.owned <= one.cgroups.keys() for one in found.values())


@given(CENSUSES, CENSUSES, st.lists(st.sampled_from(PATHS), min_size=12, max_size=12))
def test_remembered_verdicts_change_nothing(before: Census, after: Census, paths: list[str]) -> None:
    """What an earlier census was judged to be leaves no trace in the containers of a later one."""
    verdicts: Verdicts = {}
    for there in (before, after, after):
        looks = [leader(one, path, root=IMAGE) for one, path in zip(there.processes.values(), paths, strict=False)]
        assert decided(there, *looks, verdicts=verdicts) == decided(there, *looks)


def test_an_executed_process_belongs_to_the_container() -> None:
    """A process that exec put into a container is its member, though its parent is outside; so is one on its way."""
    inside, executed, on_its_way = process(100, 11, 21), process(200, 11, 21, ppid=50), process(201, ppid=50)
    assert groups_of(process(50), inside, executed, on_its_way, groups={OUTER: (100, 200, 201)}) == {
        ("runtime", OUTER): (100, 200, 201)
    }


def test_a_process_that_entered_the_namespaces_alone() -> None:
    """A process that nsenter put into a container's PID namespace, in its own old cgroup, is the container's."""
    assert groups_of(process(100, 11, 21), process(200, 11), groups={OUTER: (100,), "/user": (200,)}) == {
        ("runtime", OUTER): (100, 200)
    }
    assert groups_of(process(100, 11, 21), process(200, 11, 21, ppid=50)) == {("pid", 11): (100, 200)}


def test_from_inside_a_runtimes_cgroup() -> None:
    """Where the runtime's cgroup has its name inside, too (v1): what is made in it is another, who entered it is not.

    Process 1 is the container's first, though the nested one alone has a PID namespace that is not ours; 9 came in
    with nsenter and is in no cgroup that we see.
    """
    ours = process(1, 11, 21, ppid=0)
    there = census(
        [ours, process(7, 11, 21), process(8, 12, 22, ppid=7), process(9, 11, 21, ppid=0)],
        [group(OUTER, 1, 7, 8)],
        INSIDE._replace(pid=9),
    )
    found = {one.key: (one.members, one.leader.pid) for one in isolating(candidates(there))}
    assert found == {("runtime", OUTER): ((1, 7, 9), 1), ("pid", 12): ((8,), 8)}
    both = decided(there, leader(ours, OUTER, root=IMAGE), leader(there.processes[8], OUTER, root=IMAGE))
    assert both["pid-12"].parent == ID


def test_from_inside_with_the_processes_of_another() -> None:
    """In a container that was started with --pid container:X the others are X's: not ours, and with an id."""
    ours, theirs = process(30, 11, 21, ppid=0, starttime=9), process(1, 11, 25, comm="nginx", ppid=0)
    own = INSIDE._replace(pid=30, hostname=ID[:12], kept_in=f"/var/lib/docker/containers/{ID}", root=IMAGE)
    there = census([theirs, ours], [group(OUTER, 30)], own)
    theirs_root = mount("31 1 0:51 / / rw - overlay overlay rw,lowerdir=/l,upperdir=/o,workdir=/w")
    both = decided(there, leader(ours, OUTER, root=IMAGE), leader(theirs, f"/docker/{OTHER}", root=theirs_root))
    assert {id_: (one.name, one.members) for id_, one in both.items()} == {
        ID: (ID[:12], (30,)),
        "pid-11": ("nginx-1", (1,)),
    }
    assert not any(text.startswith("we run inside it") for text in both["pid-11"].evidence)


def test_the_launcher_joins_the_container_it_made() -> None:
    """The `unshare` that waits for its child shares its mounts, not its PID namespace: both are one container."""
    launcher, child = process(50, mnt_ns=21, starttime=1), process(51, 11, 21, ppid=50, starttime=2)
    (found,) = isolating(candidates(census([launcher, child])))
    assert (found.key, found.members, found.leader) == (("pid", 11), (50, 51), child)


def test_the_first_process() -> None:
    """A group's first process is the oldest of those in its namespace, not an older one outside it."""
    shim, init, later = process(50, starttime=1), process(100, 11, 21, starttime=3), process(90, 11, 21, starttime=4)
    (found,) = isolating(candidates(census([later, shim, init], [group(OUTER, 50, 90, 100)])))
    assert found.leader == init


def test_a_container_in_a_container_is_another() -> None:
    """A runtime's cgroup below another's is a container of its own, and its processes are not the outer one's."""
    outer, inner = process(100, 11, 21), process(200, 12, 22, ppid=100)
    assert groups_of(outer, inner, groups={OUTER: (100,), INNER: (200,)}) == {
        ("runtime", OUTER): (100,),
        ("runtime", INNER): (200,),
    }


def test_a_container_that_came_into_its_cgroup_since_the_census() -> None:
    """Its first process was outside when all were listed, and is in the runtime's cgroup now: it is that container."""
    first = process(20, 11, 21, comm="runc:[2:INIT]")
    there = census([process(1), first], [group("/", 1, 20), group(OUTER)])
    found = decided(there, leader(process(1)), leader(first, f"{OUTER}/init.scope"))
    assert {key: (one.runtime, one.runtime_id, one.cgroups["cpu"]) for key, one in found.items()} == {
        ID: ("docker", ID, OUTER)
    }


def test_what_is_made_in_a_container_that_came_into_its_cgroup_is_not_taken_for_it() -> None:
    """In a cgroup that no list has (a hierarchy of systemd's alone) are a container and those made in it: three."""
    made = [process(20 + inner, 11 + inner, 21 + inner, starttime=5000 + inner) for inner in range(3)]
    found = decided(census([process(1), *made], [group("/", 1)]), *(leader(one, OUTER) for one in made))
    containers_ = {key: one.members for key, one in found.items() if one.kind == "container"}
    assert containers_ == {ID: (20,), "pid-12": (21,), "pid-13": (22,)}


def test_what_is_made_in_our_container_is_not_taken_for_it_where_no_cgroup_is_mounted() -> None:
    """We are in a runtime's cgroup ourselves, without a namespace of cgroups: who is there beside us is no news."""
    ours, inner = process(1, 11, 21), process(20, 12, 21)
    there = census([ours, inner], own=INSIDE._replace(membership=Membership({"": OUTER})))
    found = decided(there, leader(ours, OUTER, root=IMAGE), leader(inner, OUTER, root=IMAGE))
    assert {key: one.members for key, one in found.items()} == {"pid-11": (1,), "pid-12": (20,)}


def test_a_container_is_known_by_its_cgroup_when_its_first_process_is_not_in_it() -> None:
    """Runc joins v1's hierarchies one after the other, and who ends has left them: it is the same container."""
    first = process(20, 11, 21)
    there = census([process(1), first], [group("/", 1), group(OUTER, 20)])
    found = decided(there, leader(process(1)), leader(first))[ID]
    assert (found.path, found.owned) == (OUTER, frozenset())


def test_a_sandbox_made_by_hand_in_a_container() -> None:
    """A PID namespace made inside a container, in the container's own cgroup, is a container too, and inside it."""
    outer, inner = process(100, 11, 21), process(200, 12, 21, ppid=100)
    there = census([outer, inner], [group(OUTER, 100, 200)])
    found = decided(there, leader(outer, OUTER), leader(inner, OUTER))
    assert {one.id: one.parent for one in found.values()} == {ID: None, "pid-12": ID}
    assert (found[ID].members, found["pid-12"].members) == ((100,), (200,))


def test_the_parent_by_ancestry() -> None:
    """The container around one is found through the processes that lead to it, though none of the cgroups tells."""
    outer, shell, inner = process(100, 11, 21), process(150, 11, 21, ppid=100), process(200, 12, 22, ppid=150)
    found = decided(census([outer, shell, inner]), leader(outer), leader(inner))
    assert (found["pid-11"].parent, found["pid-12"].parent) == (None, "pid-11")


def test_the_parent_by_cgroup() -> None:
    """Where the launcher is gone and the process another's child now, the cgroup tells the container around it."""
    outer, inner = process(100, 11, 21), process(200, 12, 22)
    there = census([process(1), outer, inner], [group(OUTER, 100), group(INNER, 200)])
    assert decided(there, leader(outer, OUTER), leader(inner, INNER))[OTHER].parent == ID
    below = census([process(1), outer, inner], [group(OUTER, 100), group(f"{OUTER}/x", 200)])
    found = decided(below, leader(outer, OUTER), leader(inner, f"{OUTER}/x"))
    assert found["pid-12"].parent == ID


def test_a_control_group_is_not_in_the_container_below_it() -> None:
    """The group above a container's cgroup has no container around it; one below a container's cgroup has."""
    first = process(100, 11, 21)
    above = census([first], [group("/docker"), group(OUTER, 100)])
    assert decided(above, leader(first, OUTER))["/docker"].parent is None
    below = census([first, process(101, 11, 21, starttime=9000)], [group("/job", 100), group("/job/x", 101)])
    found = decided(below, leader(first, "/job"), leader(below.processes[101], "/job/x"))
    assert (found["pid-11"].parent, found["/job/x"].parent) == (None, "pid-11")


def test_processes_that_lead_in_a_circle() -> None:
    """Parents that form a circle, as two reads at different moments may tell, end the search."""
    first, second = process(100, 11, 21, ppid=200), process(200, ppid=100)
    assert decided(census([first, second]), leader(first))["pid-11"].parent is None


def test_containers_in_a_circle() -> None:
    """Where each is in the other, as two reads around the reuse of a PID may tell, the oldest is in none."""
    first, second, third = (process(pid, pid_ns=10 + pid, ppid=pid % 3 + 1, starttime=9 - pid) for pid in (1, 2, 3))
    found = decided(census([first, second, third], [group("/", 1, 2, 3)]), *map(leader, (first, second, third)))
    assert {one.id: one.parent for one in found.values()} == {"pid-11": "pid-12", "pid-12": "pid-13", "pid-13": None}


def test_processes_and_cgroups_that_contradict_each_other() -> None:
    """A container whose cgroup lies in another's, which was started by a process of the first, is in that alone."""
    outer, inner = process(1, pid_ns=11, starttime=1, ppid=2), process(2, pid_ns=12, starttime=5)
    there = census([outer, inner], [group(OUTER, 1), group(INNER, 2)])
    found = decided(there, leader(outer, OUTER), leader(inner, INNER))
    assert {one.id: one.parent for one in found.values()} == {ID: None, OTHER: ID}


def test_nobody_hides_behind_anothers_id() -> None:
    """Of two containers that would have one id both are there, the later one by what sets it apart."""
    first, second = process(1, pid_ns=11, starttime=1), process(2, pid_ns=12, starttime=5)
    command = f"/usr/bin/conmon -c {ID} -u {ID}"
    found = decided(
        census([first, second], [group("/", 1, 2)]),
        *(leader(one)._replace(parent_cmdline=command) for one in (first, second)),
    )
    assert {one.id: one.members for one in found.values()} == {ID: (1,), "pid-12": (2,)}
    assert (found["pid-12"].name, found["pid-12"].runtime_id) == ("sh-2", None)
    again = f"/a/docker/{ID}"
    there = census([first, second], [group(OUTER, 1), group(again, 2)])
    found = decided(there, leader(first, OUTER), leader(second, again))
    assert {one.id: one.members for one in found.values()} == {ID: (1,), again: (2,)}


@pytest.mark.parametrize("path", ["/tenant", OUTER])
def test_what_is_made_in_a_containers_root_is_not_that_container(path: str) -> None:
    """It has that one's /etc/hostname and layers, and may have the lower PID; who made it tells what it is."""
    outer, inner = process(9, pid_ns=11, mnt_ns=21, starttime=1), process(2, pid_ns=12, mnt_ns=22, starttime=5)
    kept = f"/var/lib/docker/containers/{ID}"
    first = leader(outer, path)._replace(kept_in=kept)
    second = leader(inner, path, root=IMAGE, parent="unshare -pf sh")._replace(kept_in=kept)
    found = decided(census([inner, outer], [group(path, 2, 9)]), first, second)
    named = {one.id: (one.name, one.runtime, one.runtime_id) for one in found.values() if one.kind == "container"}
    assert named == {ID: (ID[:12], "docker", ID), "pid-12": ("sh-2", "unshare", None)}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_nested_containers_on_a_machine(tmp_path: Path, layout: str) -> None:
    """Docker in Docker, and a sandbox in a sandbox: the inner one names the outer one, on v1 and v2."""
    fake = limited(tmp_path, layout, OUTER)
    fake.process(100, "dockerd", cgroups=OUTER, namespaces=own(1), mountinfo=OVERLAY)
    fake.process(101, "containerd-shim", ppid=100, cgroups=OUTER, namespaces=own(1), mountinfo=OVERLAY)
    fake.process(200, "nginx", ppid=101, cgroups=INNER, namespaces=own(2), mountinfo=OVERLAY)
    outer, inner = f"/cgscope/{'c' * 64}", f"/cgscope/{'c' * 64}/cgscope/{'d' * 64}"
    fake.process(300, cgroups=outer, namespaces=own(3), mountinfo=OVERLAY)
    fake.process(400, ppid=300, cgroups=inner, namespaces=own(4), mountinfo=OVERLAY)
    tick = look(fake)
    assert {one.id[0]: one.parent for one in tick.containers if one.kind == "container"} == {
        "a": None, "b": ID, "c": None, "d": "c" * 64,
    }  # fmt: skip
    assert one(tick, ID).members == (100, 101)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_service_with_private_mounts(tmp_path: Path, layout: str) -> None:
    """A systemd unit with private mounts and the host's root is a service, once, even with two mount namespaces."""
    unit = "/system.slice/db.service"
    fake = limited(tmp_path, layout, unit)
    fake.process(100, cgroups=unit, namespaces={"mnt": 4026550001}, starttime=10)
    fake.process(101, ppid=100, cgroups=unit, namespaces={"mnt": 4026550002}, starttime=20)
    tick = look(fake)
    found = one(tick, "db.service")
    assert (found.kind, found.runtime, found.id) == ("service", "systemd", unit)
    assert found.members == (100, 101)
    assert {"cpu", "memory", "pids"} <= found.owned
    assert not [one for one in tick.containers if one.kind == "container"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_private_mounts_with_another_root(tmp_path: Path, layout: str) -> None:
    """A unit with a root of its own (RootDirectory=) is a container."""
    unit = "/system.slice/db.service"
    fake = limited(tmp_path, layout, unit).process(
        100, cgroups=unit, namespaces={"mnt": 4026550001}, mountinfo="27 1 254:0 /srv / rw - ext4 /dev/vda rw\n"
    )
    (found,) = [one for one in look(fake).containers if one.kind != "cgroup"]
    assert (found.kind, found.id, found.image) == ("container", "mnt-4026550001", "/srv")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_control_groups_with_processes_below(tmp_path: Path, layout: str) -> None:
    """A control group holds the processes of those below it; the root, empty ones and a container's are none."""
    fake = limited(tmp_path, layout, "/a/b").process(100, cgroups="/a").process(101, cgroups="/a/b")
    fake.process(200, cgroups=f"/outer/docker/{ID}/inner", namespaces=own(1), mountinfo=OVERLAY)
    fake.cgroup("cpu" if layout != "v2" else "", "/empty")
    groups = {one.id: one.members for one in look(fake).containers if one.kind == "cgroup"}
    assert groups == {"/a": (100, 101), "/a/b": (101,), "/outer": (200,), "/outer/docker": (200,)}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_cgroup_is_a_containers_while_nobody_else_is_in_it(tmp_path: Path, layout: str) -> None:
    """A container known by namespaces alone has its cgroup's figures until another process joins it, then a sum."""
    fake = limited(tmp_path, layout, "/job")
    fake.process(100, cgroups="/job", namespaces=own(1), utime=100, stime=50, rss_anon_kb=4)
    fake.process(101, ppid=100, cgroups="/job", namespaces=own(1), utime=30, stime=20, rss_anon_kb=8, threads=3)
    with fake.open() as host:
        observer = Observer(host, groups=False)
        (alone,) = document(None, observer.tick())["containers"]
        fake.process(102, cgroups="/job", utime=9000, rss_anon_kb=9000)
        (shared,) = document(None, observer.tick())["containers"]
    assert (alone["cpu"]["source"], alone["memory"]["source"]) == ("cgroup", "cgroup")
    assert (alone["cpu"]["usage_seconds"], alone["memory"]["usage_bytes"], alone["pids"]["current"]) == (1.0, 1000, 3)
    assert (shared["cpu"]["source"], shared["memory"]["source"]) == ("processes", "processes")
    assert [shared["cpu"][key] for key in ("usage_seconds", "user_seconds", "system_seconds")] == [2.0, 1.3, 0.7]
    assert (shared["memory"]["anon_bytes"], shared["memory"]["working_set_bytes"]) == (12 << 10, 12 << 10)
    assert (shared["memory"]["usage_bytes"], shared["pids"]["current"]) == (None, 4)


def test_the_machines_root_cgroup_is_nobodys() -> None:
    """A container alone in the true root cgroup does not own it: its figures are the machine's."""
    first = process(100, 11, 21)
    assert decided(census([first], [group("/", 100)]), leader(first))["pid-11"].owned == frozenset()


def test_an_unseen_neighbour_counts() -> None:
    """A cgroup with a process in it that we cannot see (0, from within a PID namespace) is not the container's."""
    first = process(100, 11, 21)
    assert decided(census([first], [group("/job", 100)]), leader(first, "/job"))["pid-11"].owned == LOCATED.keys()
    assert decided(census([first], [group("/job", 0, 100)]), leader(first, "/job"))["pid-11"].owned == frozenset()
    assert decided(census([first], [group("/job")]), leader(first, "/job"))["pid-11"].owned == frozenset()


@pytest.mark.parametrize("hosts_mounts", [HOST_MNT, 31, None])
def test_the_host_seen_from_a_container_on_its_pids(hosts_mounts: int | None) -> None:
    """From a container with the host's PID namespace (`--pid host`) the host is neither a container nor ours."""
    inside = OWN._replace(namespaces={**OWN.namespaces, "mnt": 21, "cgroup": 41}, inside_container=True)
    host = [process(pid, mnt_ns=hosts_mounts) for pid in (1, 50, 60)]
    ours, other = process(100, mnt_ns=21), process(200, 12, 22)
    found = isolating(candidates(census([*host, ours, other], own=inside)))
    assert {one.key: one.members for one in found} == {("self", ""): (100,), ("pid", 12): (200,)}


@pytest.mark.parametrize("pids", ["/", "/job"])
def test_neighbours_that_v1_does_not_list(pids: str) -> None:
    """From within a PID namespace v1 lists no neighbour: without a cgroup of every controller we own none."""
    trees = {name: Hierarchy(1, frozenset({name}), f"/sys/fs/cgroup/{name}") for name in ("memory", "pids")}
    located = {name: (tree, index) for index, (name, tree) in enumerate(trees.items())}
    first = process(1, 11, 21)
    there = census([first], [group("/job", 1)], INSIDE._replace(true_roots=frozenset({1})))
    looked = leader(first)._replace(membership=Membership({"memory": "/", "pids": pids}))
    alone = {first.identity: {"memory": frozenset({1}), "pids": frozenset({1})}}
    found = candidates(there)
    (ourselves,) = (one for one in containers(there, found, {first.identity: looked}, alone, located)
                    if one.kind == "container")  # fmt: skip
    assert ourselves.owned == (frozenset() if pids == "/" else {"memory", "pids"})


def test_a_runtimes_container_is_its_whole_tree() -> None:
    """A container whose first process sits below the runtime's cgroup (systemd's init.scope) owns the runtime's."""
    first = process(100, 11, 21)
    there = census([first], [group(OUTER), group(f"{OUTER}/init.scope", 100)])
    found = decided(there, leader(first, f"{OUTER}/init.scope"))[ID]
    assert set(found.cgroups.values()) == {OUTER}
    assert (found.owned, found.path) == (frozenset(LOCATED), OUTER)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_hostile_cgroup_names(tmp_path: Path, layout: str) -> None:
    """A cgroup named with escape sequences and broken UTF-8 is listed under that very name."""
    path = "/\x1b[31m\udcff:x"
    fake = limited(tmp_path, layout, path).process(100, cgroups=path)
    assert [one["id"] for one in seen(fake)["containers"]] == [path]
