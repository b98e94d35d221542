"""The pure halves of `sandbox enter`, `freeze`, `thaw`, `limit`: what is joined, which cgroup, what is written."""

from __future__ import annotations

import errno
import os
import tracemalloc
from itertools import repeat
from pathlib import Path

import pytest

from inspector.kernel.cgroups import Hierarchy, Membership
from inspector.kernel.mounts import parse_mountinfo
from sandbox import adjust, ceilings, cgroup, control, enter, entering, updating
from sandbox.adjust import Asked, writes
from sandbox.ceilings import Bounds
from sandbox.commands import any_process
from sandbox.errors import SandboxError
from sandbox.limits import Limits, Throttle
from sandbox.subject import Group, container_top

V1_CPU = Hierarchy(1, frozenset({"cpu", "cpuacct"}), "/sys/fs/cgroup/cpu,cpuacct")
V1_NAMED = Hierarchy(1, frozenset({"name=systemd"}), "/sys/fs/cgroup/systemd")
V2 = Hierarchy(2, frozenset({"cpu", "memory"}), "/sys/fs/cgroup")
OURS = {"mnt": 1, "net": 2, "pid": 3, "user": 4, "uts": 5, "ipc": 6, "cgroup": 7, "time": 8}


def test_which_namespaces_are_joined() -> None:
    """All that differ, or of those named the ones that differ; a kind that the kernel lacks is an error."""
    theirs = {**OURS, "mnt": 11, "net": 12, "user": 14}
    assert enter.differing((), theirs, OURS) == ("net", "mnt", "user")
    assert enter.differing({"net", "pid"}, theirs, OURS) == ("net",)
    assert enter.differing((), OURS, OURS) == ()
    with pytest.raises(SandboxError, match="no time namespaces"):
        enter.differing({"time"}, {"mnt": 1}, OURS)


def test_which_cgroups_are_joined() -> None:
    """Every hierarchy in which the process is elsewhere, each by its version's file; one out of sight is an error.

    T5.
    """
    theirs = Membership({"cpu": "/c/a", "cpuacct": "/c/a", "name=systemd": "/", "": "/u"})
    ours = Membership({"cpu": "/", "cpuacct": "/", "name=systemd": "/", "": "/"})
    steps = enter.joins((V1_CPU, V1_NAMED, V2), theirs, ours)
    assert [(step.phase, step.path, step.value) for step in steps] == [
        (control.JOIN, "/sys/fs/cgroup/cpu,cpuacct/c/a/tasks", "0"),
        (control.JOIN, "/sys/fs/cgroup/u/cgroup.procs", "0"),
    ]
    with pytest.raises(SandboxError, match="--no-cgroup"):
        enter.joins((V2._replace(root="/x"),), theirs, ours)


def test_a_shell_is_looked_for() -> None:
    """The one of the passwd entry first, unless it is there to keep people out; then the usual places."""
    assert entering.shells("/bin/ash")[0] == ("/bin/ash", "/bin/ash")
    usual = [("/bin/sh", "/bin/sh"), ("/usr/bin/sh", "/usr/bin/sh"), ("/bin/busybox", "sh")]
    for told in ("", "/bin/sh", "/usr/sbin/nologin", "/bin/false", "sh"):
        assert list(entering.shells(told)) == usual


MOUNTS = parse_mountinfo(b"""\
30 20 0:26 /docker/ab /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw
31 20 0:26 /docker/ab/deeper /mnt rw - cgroup2 cgroup rw
32 20 0:27 /docker/ab /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct
33 20 0:28 / /sys/fs/cgroup/systemd ro - cgroup cgroup rw,xattr,name=systemd
""")


@pytest.mark.parametrize(
    ("hierarchy", "path", "top"),
    [
        (V2, "/docker/ab/init.scope", "/docker/ab"),
        (V2, "/docker/ab", "/docker/ab"),
        (V2, "/docker/abc", "/docker/abc"),
        (V1_CPU, "/docker/ab/system.slice/x", "/docker/ab"),
        (V1_NAMED, "/docker/ab", "/docker/ab"),
        (V2._replace(root="/docker/ab"), "/docker/ab/x", "/docker/ab/x"),
    ],
)
def test_the_cgroup_of_the_whole_container(hierarchy: Hierarchy, path: str, top: str) -> None:
    """What its cgroup mount shows as the root is the container's, the widest of several; else its process's own."""
    assert container_top(hierarchy, path, MOUNTS) == top


def test_quota_in_both_versions() -> None:
    """v1 has two files and two orders, in one of which no share is larger meanwhile; v2 has one file."""
    now = Bounds(20000, 100000)
    assert writes("cpu", 1, now, Asked(50000)) == ((("cpu.cfs_quota_us", "50000"),),)
    assert writes("cpu", 1, now, Asked(None)) == ((("cpu.cfs_quota_us", "-1"),),)
    period, quota = ("cpu.cfs_period_us", "200000"), ("cpu.cfs_quota_us", "50000")
    assert writes("cpu", 1, now, Asked(50000, 200000)) == ((period, quota), (quota, period))
    shorter = ("cpu.cfs_period_us", "50000")
    assert writes("cpu", 1, now, Asked(50000, 50000))[0] == (quota, shorter)
    assert writes("cpu", 2, now, Asked(50000)) == ((("cpu.max", "50000 100000"),),)
    assert writes("cpu", 2, now, Asked(None, 50000)) == ((("cpu.max", "max 50000"),),)


def test_a_burst_never_exceeds_the_quota() -> None:
    """A burst larger than the new quota is lowered before the quota, which would be refused otherwise."""
    now = Bounds(50000, 100000, burst_us=30000)
    assert writes("cpu", 1, now, Asked(20000))[0] == (("cpu.cfs_burst_us", "20000"), ("cpu.cfs_quota_us", "20000"))
    assert writes("cpu", 2, now, Asked(20000))[0][0] == ("cpu.max.burst", "20000")
    assert writes("cpu", 1, now, Asked(40000))[0] == (("cpu.cfs_quota_us", "40000"),)


MEMORY, BOTH = "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"


@pytest.mark.parametrize(
    ("now", "asked", "order"),
    [
        (Bounds(64), 32, [(MEMORY, "32")]),
        (Bounds(64, with_swap=128), 32, [(MEMORY, "32"), (BOTH, "96")]),
        (Bounds(64, with_swap=128), 100, [(MEMORY, "100"), (BOTH, "164")]),
        (Bounds(64, with_swap=128), 200, [(BOTH, "264"), (MEMORY, "200")]),
        (Bounds(64, with_swap=128), None, [(BOTH, "-1"), (MEMORY, "-1")]),
        (Bounds(None, with_swap=128), 200, [(BOTH, "200"), (MEMORY, "200")]),
        (Bounds(None), 64, [(MEMORY, "64")]),
    ],
)
def test_memory_with_swap_on_v1(now: Bounds, asked: int | None, order: list[tuple[str, str]]) -> None:
    """Memory may never have more than memory and swap together, at no moment; the swap stays as much as it was (T4)."""
    assert writes("memory", 1, now, Asked(asked)) == (tuple(order),)


def test_memory_and_tasks_of_v2() -> None:
    """Each is one file; "max" is no limit."""
    assert writes("memory", 2, Bounds(), Asked(64)) == ((("memory.max", "64"),),)
    assert writes("memory", 2, Bounds(), Asked(None)) == ((("memory.max", "max"),),)
    assert writes("pids", 2, Bounds(), Asked(5)) == writes("pids", 1, Bounds(), Asked(5)) == ((("pids.max", "5"),),)


def group(directory: Path, resource: str, files: dict[str, str], version: int = 2) -> Group:
    """Make a cgroup of files below /parent/own, as a hierarchy whose root is `directory`."""
    own = directory / "parent" / "own"
    own.mkdir(parents=True)
    for name, text in files.items():
        (directory / name).write_text(text)
    hierarchy = Hierarchy(version, frozenset({resource}), str(directory))
    return Group(resource, cgroup.Place(hierarchy, "/parent/own", str(own)))


def test_the_limit_that_binds_is_named(tmp_path: Path) -> None:
    """The least along the ancestors holds, and the line says whose it is."""
    files = {"parent/cpu.max": "20000 100000\n", "parent/own/cpu.max": "50000 100000\n"}
    one = group(tmp_path, "cpu", files)
    assert ceilings.text("cpu", ceilings.read("cpu", one)) == "0.5 cores (50000 of 100000 us)"
    assert ceilings.effective("cpu", one) == "effective 0.2 cores, set by the cgroup above it /parent"
    (tmp_path / "parent/own/cpu.max").write_text("10000 100000\n")
    assert ceilings.effective("cpu", one) == "effective 0.1 cores, set by itself"


def test_a_write_that_is_refused_is_undone(tmp_path: Path) -> None:
    """When the second file of an order cannot be written, the first has its old value again, and the error is clear."""
    files = {"parent/own/cpu.cfs_quota_us": "50000\n", "parent/own/cpu.cfs_period_us": "100000\n"}
    one = group(tmp_path, "cpu", files, version=1)
    orders = ((("cpu.cfs_quota_us", "20000"), ("cpu.cfs_burst_us", "1")),)
    with pytest.raises(SandboxError, match="No such file"):
        adjust.carry_out(one, orders)
    assert ceilings.read("cpu", one).limit == 50000


def test_no_more_orders_are_tried_than_can_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many orders there are of what the kernel refuses, an end is soon."""
    tried = []

    def refuse(path: str, value: str) -> None:
        tried.append((path, value))
        raise OSError(errno.EINVAL, "Invalid argument", path)

    monkeypatch.setattr(control, "write", refuse)
    one = group(tmp_path, "io", {"parent/own/blkio.bfq.weight": "100\n"}, version=1)
    with pytest.raises(SandboxError, match="Invalid argument"):
        adjust.carry_out(one, repeat((("blkio.bfq.weight", "1"),), 10_000))
    assert len(tried) == adjust.MOST_ORDERS


def test_weights_of_many_disks(tmp_path: Path) -> None:
    """With the weight of all those of single disks are written again: in one order of all that there are."""
    files = {"parent/own/blkio.bfq.weight": "100\n", "parent/own/blkio.bfq.weight_device": "\n"}
    place = group(tmp_path, "blkio", files, version=1).place
    disks = tuple(Throttle("weight", "", f"8:{number}", 300) for number in range(8))
    tracemalloc.start()
    try:
        updating.write([place], Limits(blkio_weight=100, throttles=disks), Limits(blkio_weight=200, throttles=disks))
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 1 << 20
    assert (tmp_path / "parent/own/blkio.bfq.weight").read_text().startswith("200")
    assert (tmp_path / "parent/own/blkio.bfq.weight_device").read_text().startswith("8:7 300")


@pytest.mark.parametrize("files", [("io.bfq.weight",), ("io.weight",), ("io.bfq.weight", "io.weight")])
def test_a_weight_of_all_disks_is_in_whichever_file_there_is(tmp_path: Path, files: tuple[str, ...]) -> None:
    """A v2 kernel has BFQ's file, io.cost's or both: one of them is enough, at a start and for `update`."""
    place = group(tmp_path, "io", {f"parent/own/{file}": "default 100\n" for file in files}).place
    own = tmp_path / "parent/own"
    wanted = {"io.bfq.weight": "default 500", "io.weight": "default 4950"}
    for run in (
        lambda: control.apply(cgroup.plan(Limits(blkio_weight=500), [place], all_devices=True), control.LIMIT),
        lambda: updating.write([place], Limits(), Limits(blkio_weight=500)),
    ):
        for file in files:
            (own / file).write_text("")
        run()
        assert {file: (own / file).read_text() for file in os.listdir(own)} == {file: wanted[file] for file in files}
    for file in files:
        (own / file).unlink()
    with pytest.raises(SandboxError, match=r"io\.weight: No such file"):
        control.apply(cgroup.plan(Limits(blkio_weight=500), [place], all_devices=True), control.LIMIT)


def test_the_oom_killer_is_given_back(tmp_path: Path) -> None:
    """What `disableOOMKiller` switched off is switched on by an update with false, and off again where that fails."""
    said = "oom_kill_disable 1\nunder_oom 0\noom_kill 0\n"
    place = group(tmp_path, "memory", {"parent/own/memory.oom_control": said}, version=1).place
    file = tmp_path / "parent/own/memory.oom_control"
    without, with_it = Limits(oom_kill_disable=True), Limits()
    updating.write([place], without, with_it)
    assert file.read_text()[:1] == "0"
    file.write_text(said)
    with pytest.raises(SandboxError, match=r"pids"):
        updating.write([place], without, Limits(pids=5))
    assert file.read_text()[:1] == "1"


def test_a_missing_controller_is_named(tmp_path: Path) -> None:
    """A v2 cgroup that was not handed the controller cannot be limited; the line says which one and where."""
    with pytest.raises(SandboxError, match=r"has no memory\.max: the controller memory is not handed down"):
        adjust.check_file(group(tmp_path, "memory", {}))


def test_memory_that_is_in_use_is_not_taken_by_killing(tmp_path: Path) -> None:
    """v2 would kill for a limit below what cannot be reclaimed: that is refused unless forced; v1 answers EBUSY."""
    now = Bounds(None, unreclaimable=64 << 20)
    one = group(tmp_path, "memory", {})
    with pytest.raises(SandboxError, match="64MiB that cannot be given back"):
        adjust.check_memory(one, now, Asked(32 << 20), force=False)
    adjust.check_memory(one, now, Asked(32 << 20), force=True)
    adjust.check_memory(one, now, Asked(None), force=False)


@pytest.mark.parametrize(
    "words",
    [
        ["--net", "-u", "web", "42", "--", "ls", "-l"],
        ["42", "--net", "-u", "web", "ls", "-l"],
        ["-u", "web", "42", "--net", "--", "ls", "-l"],
    ],
)
def test_options_before_and_after_the_pid(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Options are `enter`'s up to the program, wherever the PID stands; the program keeps its own."""
    seen: list[enter.Wish] = []

    def run(wish: enter.Wish, _: object) -> int:
        seen.append(wish)
        return 3

    monkeypatch.setattr(enter, "enter", run)
    assert any_process.enter(words, None) == 3  # type: ignore[arg-type]  # it needs no store
    (wish,) = seen
    assert (wish.pid, wish.argv, wish.namespaces, wish.user) == (42, ("ls", "-l"), frozenset({"net"}), "web")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["enter"], "no PID"),
        (["enter", "web"], "'web' is not a PID"),
        (["enter", "0", "ls"], "0 is not a PID"),
        (["enter", "99999999999", "ls"], "is not a PID"),
        (["enter", "--nonsense", "1"], "--nonsense"),
        (["freeze", "-1"], "-1"),
        (["thaw"], "PID"),
        (["limit", "1", "--cpus", "0"], "say none for no limit"),
        (["limit", "1", "--cpus", "x"], "invalid number of CPUs"),
        (["limit", "1", "--memory", "1m"], "Minimum memory limit"),
        (["limit", "1", "--pids", "-1"], "neither a whole number nor none"),
        (["limit", "1", "--pids", "many"], "neither a whole number nor none"),
        (["limit", "1", "--cpu-quota", "5"], "can not be less than 1ms"),
        (["limit", "1", "--cpu-period", "50000"], "--cpu-period needs --cpu-quota"),
        (["limit", "1", "--cpus", "1", "--cpu-quota", "50000"], "cannot both be given"),
    ],
)
def test_bad_command_lines(words: list[str], text: str) -> None:
    """What makes no sense is refused before anything is touched, with a line that says what is wrong."""
    with pytest.raises(SandboxError, match=text):
        getattr(any_process, words[0])(words[1:], None)  # it needs no store


def test_one_that_started_at_another_time_is_another_process() -> None:
    """A PID that was given to a new process meanwhile is not taken for the one that was meant."""
    with pytest.raises(SandboxError, match="another process's by now"):
        any_process.freeze([str(os.getpid()), "--started", "1"], None)  # type: ignore[arg-type]
