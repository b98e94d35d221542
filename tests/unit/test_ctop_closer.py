"""The close look at one container, on machines written by hand: chains with usage, interfaces, threads, users, why."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from inspector.closeup import Ask, Chain, Closeup, Part
from inspector.ctop.chains import Chains
from inspector.ctop.closer import Closer, parse_passwd
from inspector.ctop.walk import MOST_KEPT, Walk, unknown, walker
from inspector.errors import ParseError
from inspector.kernel.sockets import parse_listeners
from inspector.layers import Change
from inspector.model import Observation
from inspector.observe import Observer
from tests.fakehost import NET_DEV, FakeHost

ID = "ab" * 32
PATH = f"/docker/{ID}"
OWN = {"mnt": 4026532001, "pid": 4026532002, "net": 4026532003}
MOUNTS = (
    "80 79 0:50 / / rw,relatime - overlay overlay rw,lowerdir=/l/two:/l/one,upperdir=/l/up/diff,workdir=/l/up/work\n"
    "81 80 0:51 / /proc rw - proc proc rw\n"
    "82 80 0:52 / /tmp rw,nosuid - tmpfs tmpfs rw,size=64k\n"
)
TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1FBB 00000000:0000 0A 00000000:00000000 00:00000000 00000000    33        0 52321 1 0 100 0 0 10 0
   1: 0100007F:1FBB 0100007F:C350 01 00000000:00000000 00:00000000 00000000    33        0 52322 1 0 20 4 30 10 -1
"""
TCP6 = """\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when
   0: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:0 0 0 0 52399
"""
UNKNOWN = "why is not known"
OOM = "web (pid 4242) was killed for lack of memory (OOM)"
KILL = (
    "4,900,999000000,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=x,mems_allowed=0,"
    "oom_memcg={path},task_memcg={path},task=web,pid=4242,uid=0\n"
)


def stat(tid: int, comm: str, ticks: int) -> str:
    """Return /proc/<pid>/task/<tid>/stat of a thread that used so many clock ticks."""
    return f"{tid} ({comm}) R 1 1 1 0 -1 4194304 0 0 0 0 {ticks} 0 0 0 20 0 2 0 50000 0 0 18446744073709551615\n"


def machine(root: Path, layout: str = "v2") -> FakeHost:
    """Write a machine with one container: limits of its own and of the cgroup above, interfaces, threads, users."""
    fake = FakeHost(root, layout, cpus=4)
    for pid, inner in ((4242, 1), (4243, 7)):
        fake.process(
            pid, "web", cgroups=PATH, namespaces=OWN, ns_pids=(pid, inner), mountinfo=MOUNTS,
            ppid=1 if inner == 1 else 4242, starttime=50000,
        )  # fmt: skip
    fake.file("/proc/4242/net/dev", NET_DEV).file("/proc/4242/net/tcp", TCP).file("/proc/4242/net/tcp6", TCP6)
    fake.file("/etc/passwd", "root:x:0:0::/root:/bin/sh\nbad line\nwww-data:x:33:33::/:/bin/false\n")
    fake.file("/proc/4242/task/4242/stat", stat(4242, "web", 10)).file("/proc/4242/task/4250/stat", stat(4250, "io", 5))
    fake.file("/proc/4243/task/4243/stat", stat(4243, "web", 1))
    use(fake, 1_000_000)
    return fake


def use(fake: FakeHost, usage_us: int) -> None:
    """Write what the cgroups say once the container has used so much CPU time."""
    for path, quota, memory in ((PATH, "50000 100000", "67108864"), ("/docker", "20000 100000", "max")):
        fake.cgroup("", path, {
            "cpu.max": f"{quota}\n", "cpu.stat": f"usage_usec {usage_us}\nuser_usec 0\nsystem_usec 0\n",
            "memory.max": f"{memory}\n", "memory.current": "12582912\n", "memory.swap.max": "max\n",
            "memory.stat": "anon 4096\nfile 0\ninactive_file 4194304\nunevictable 0\n", "memory.high": "max\n",
            "pids.max": "max\n" if path == "/docker" else "50\n", "pids.current": "2\n",
            "io.max": "8:0 rbps=1048576 wbps=max riops=max wiops=max\n" if path == PATH else "",
            "io.stat": f"8:0 rbytes={usage_us} wbytes=0 rios=1 wios=0 dbytes=0 dios=0\n",
        })  # fmt: skip


def look(closer: Closer, seen: Observation, *parts: Part, **rest: Any) -> Closeup:  # noqa: ANN401  what an Ask may have
    """Look closely at the container."""
    return closer.look(Ask(ID, frozenset(parts), **rest), None, seen)


def chain(found: Closeup, resource: str) -> Chain:
    """Return the chain of one resource."""
    assert found.chains is not None
    return next(one for one in found.chains if one.resource == resource)


def test_limits_along_the_cgroups_with_what_is_used_of_each(tmp_path: Path) -> None:
    """Each level has its own value and usage; the least binds, and the machine itself stands at the end."""
    fake = machine(tmp_path)
    with fake.open() as host:
        seen, closer = Observer(host).tick(), Closer(host)
        found = look(closer, seen, "limits")
    cpu, memory, pids = (chain(found, name) for name in ("cpu", "memory", "pids"))
    assert (cpu.value, cpu.set_by, cpu.unit, cpu.hidden) == (0.2, "/docker", "cores", False)
    assert [(one.path, one.value, one.machine) for one in cpu.levels] == [
        (PATH, 0.5, False), ("/docker", 0.2, False), ("/", 4, True),
    ]  # fmt: skip
    assert (memory.value, memory.set_by) == (64 << 20, PATH)
    assert [one.used for one in memory.levels][:2] == [8 << 20, 8 << 20]
    assert (memory.levels[-1].value, memory.levels[-1].used) == (8_000_000 * 1024, 1_000_000 * 1024)
    assert [(one.value, one.used) for one in pids.levels][:1] == [(50, 2)]
    assert found.users == {0: "root", 33: "www-data"}
    assert found.problems == ()


def test_limits_of_what_has_just_ended(tmp_path: Path) -> None:
    """Its cgroups are gone, which does not mean that it had no limits: what was known of them is not overwritten."""
    fake = machine(tmp_path)
    with fake.open() as host:
        seen, closer = Observer(host).tick(), Closer(host)
        for pid in (4242, 4243):
            shutil.rmtree(f"{fake.root}/proc/{pid}")
        shutil.rmtree(f"{fake.root}/sys/fs/cgroup{PATH}")
        found = look(closer, seen, "limits")
    assert (found.chains, found.problems) == (None, ())


def test_limits_of_version_1(tmp_path: Path) -> None:
    """v1's files tell the same: usage of each level, and swap as the sum's limit less that of memory."""
    fake = FakeHost(tmp_path, "v1").process(4242, "web", cgroups=PATH, namespaces=OWN, ns_pids=(4242, 1))
    for controller in ("cpu", "memory", "pids", "cpuset", "blkio"):
        fake.cgroup(controller, "/", {"release_agent": ""})
    fake.cgroup("cpu", "/docker", {"cpu.cfs_quota_us": "10000\n", "cpu.cfs_period_us": "100000\n"})
    own = {"cpu.cfs_quota_us": "20000\n", "cpu.cfs_period_us": "100000\n", "cpuacct.usage": "5000\n"}
    fake.cgroup("cpu", PATH, own)
    fake.cgroup("memory", PATH, {
        "memory.limit_in_bytes": "67108864\n", "memory.memsw.limit_in_bytes": "100663296\n",
        "memory.usage_in_bytes": "1048576\n", "memory.stat": "total_inactive_file 4096\ntotal_swap 8192\n",
    })  # fmt: skip
    fake.cgroup("blkio", PATH, {"blkio.throttle.read_bps_device": "8:0 2048\n"})
    fake.cgroup("pids", PATH, {"pids.max": "50\n", "pids.current": "2\n"})
    with fake.open() as host:
        found = look(Closer(host), Observer(host).tick(), "limits")
    cpu, memory, swap, read = (chain(found, name) for name in ("cpu", "memory", "swap", "io 8:0 read"))
    assert ([one.value for one in cpu.levels], cpu.set_by) == ([0.2, 0.1, 4], "/docker")
    assert (memory.value, memory.levels[0].used, memory.shared) == (64 << 20, (1 << 20) - 4096, False)
    assert (swap.value, swap.set_by) == (32 << 20, PATH)
    assert (read.value, read.set_by) == (2048, PATH)
    assert chain(found, "pids").levels[0].used == 2


def test_memory_inside_a_container_on_version_1(tmp_path: Path) -> None:
    """Where v1 tells that no ancestor out of sight limits memory, "/" is the container's own cgroup, which stays."""
    fake = FakeHost(tmp_path, "v1").process(4242, "web", cgroups=PATH, namespaces=OWN, ns_pids=(4242, 1))
    fake.cgroup("memory", PATH, {"memory.limit_in_bytes": "67108864\n", "memory.usage_in_bytes": "8192\n"})
    fake.cgroup("memory", "/", {
        "memory.limit_in_bytes": "67108864\n", "memory.usage_in_bytes": "1048576\n",
        "memory.stat": "hierarchical_memory_limit 67108864\ntotal_rss 4096\ntotal_inactive_file 4096\n",
    })  # fmt: skip
    with fake.open() as host:
        seen = Observer(host).tick()
        inside = seen._replace(
            own=seen.own._replace(true_roots=frozenset()),
            containers=tuple(one._replace(cgroups=dict.fromkeys(one.cgroups, "/")) for one in seen.containers),
        )
        memory = chain(look(Closer(host), inside, "limits"), "memory")
    assert (memory.value, memory.set_by, memory.hidden) == (64 << 20, "/", False)
    own, last = memory.levels
    assert (own.path, own.value, own.used, own.machine) == ("/", 64 << 20, (1 << 20) - 4096, False)
    assert last.machine


def test_rates_cover_the_time_between_two_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CPU, I/O, interfaces and threads have rates at the second look; a counter that fell has none."""
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    fake = machine(tmp_path)
    with fake.open() as host:
        seen, closer = Observer(host).tick(), Closer(host)
        first = look(closer, seen, "limits", "network", "threads")
        assert chain(first, "cpu").levels[0].used is None
        assert first.traffic is not None
        assert first.traffic[1].receive_bytes_per_second is None
        now[0] += 2.0
        use(fake, 1_400_000)
        fake.file("/proc/4242/net/dev", NET_DEV.replace("1000      10", "5000      12").replace(" 2000 ", " 1000 "))
        fake.file("/proc/4242/task/4250/stat", stat(4250, "io", 5 + os.sysconf("SC_CLK_TCK")))
        second = look(closer, seen, "limits", "network", "threads")
    assert chain(second, "cpu").levels[0].used == pytest.approx(0.2)
    read = chain(second, "io 8:0 read")
    assert (read.value, read.levels[0].used, read.unit) == (1048576, 200_000, "bytes/s")
    assert second.traffic is not None
    eth0 = second.traffic[1]
    assert (eth0.name, eth0.receive_bytes_per_second, eth0.transmit_bytes_per_second) == ("eth0", 2000.0, None)
    assert (eth0.receive_errors, eth0.transmit_dropped) == (1, 4)
    assert second.threads is not None
    threads = sorted((one.tid, one.comm, one.cpu_cores) for one in second.threads[4242])
    assert threads == [(4242, "web", 0), (4250, "io", 0.5)]


def test_another_container_has_no_rates_of_the_one_before(tmp_path: Path) -> None:
    """What was seen of one container is not subtracted from another's, and its files are closed."""
    fake = machine(tmp_path).process(5000, cgroups="/docker/" + "cd" * 32, namespaces={"pid": 4026532102})
    with fake.open() as host:
        seen, closer = Observer(host).tick(), Closer(host)
        look(closer, seen, "network", "limits")
        other = closer.look(Ask("cd" * 32, frozenset({"network", "limits"})), None, seen)
        again = look(closer, seen, "network", "limits")
    assert other.container == "cd" * 32
    assert again.traffic is not None
    assert again.traffic[1].receive_bytes_per_second is None


def test_close_looks_keep_no_files_open(tmp_path: Path) -> None:
    """Report after report, the number of open files stays what it was."""
    fake = machine(tmp_path)
    with fake.open() as host:
        seen = Observer(host).tick()
        closers = [Closer(host) for _ in range(6)]
        look(closers[0], seen, "report")
        before = len(os.listdir("/proc/self/fd"))
        for closer in closers[1:]:
            look(closer, seen, "report")
        assert len(os.listdir("/proc/self/fd")) == before
        chains = Chains(host)
        chains.read(seen.containers[0], None, seen)
        chains.forget()
        assert len(os.listdir("/proc/self/fd")) == before


def test_who_listens(tmp_path: Path) -> None:
    """Of the sockets those that wait for anyone, with address, port, owner and holder; a missing protocol has none."""
    fake = machine(tmp_path)
    with fake.open() as host:
        for number, target in enumerate(("/dev/null", "socket:[52322]", "socket:[52321]")):
            (tmp_path / "proc/4243/fd").mkdir(exist_ok=True)
            (tmp_path / f"proc/4243/fd/{number}").symlink_to(target)
        found = look(Closer(host), Observer(host).tick(), "network")
    assert found.listeners is not None
    assert found.holders == {52321: 4243}
    assert [(one.protocol, one.address, one.port, one.uid) for one in found.listeners] == [
        ("tcp", "127.0.0.1", 8123, 33), ("tcp6", "::1", 80, 0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "line",
    ["x", "0: 0100007F 0 0A 0 0 0 0 0", "0: 01:50 0 0A 0:0 0:0 0 33 0", "0: 0100007F:0050 0 0A 0:0 0 0 x"],
)
def test_a_line_of_sockets_that_makes_no_sense(line: str) -> None:
    """It is a parse error and nothing else."""
    with pytest.raises(ParseError):
        parse_listeners("tcp", b"titles\n" + line.encode())


def test_the_report_and_what_is_mounted(tmp_path: Path) -> None:
    """The report is that of nsinspect on the first process, and a tmpfs is told as mounted from outside."""
    fake = machine(tmp_path)
    with fake.open() as host:
        found = look(Closer(host), Observer(host).tick(), "report")
    assert found.report is not None
    assert (found.report["pid"], found.report["rootfs"]["upper"]) == (4242, "/l/up/diff")
    assert found.volumes is not None
    assert [(one.kind, one.destination) for one in found.volumes] == [("tmpfs", "/tmp")]  # noqa: S108
    assert (found.chains, found.traffic, found.threads) == (None, None, None)


def test_a_process_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """A process whose files say nothing sensible, or that ended meanwhile, ends neither the look nor the view."""
    fake = machine(tmp_path)
    with fake.open() as host:
        seen = Observer(host).tick()
        fake.file("/proc/4242/stat", "nonsense")
        found = look(Closer(host), seen, "report")
        assert (found.report, found.note) == (None, "its process is not readable")
        assert "process 4242" in found.problems[0]
        (tmp_path / "proc/4242/stat").unlink()
        assert look(Closer(host), seen, "report").note == "its process is not readable"


def test_a_group_without_processes(tmp_path: Path) -> None:
    """A control group that is empty has limits, and no process to look at."""
    fake = machine(tmp_path).cgroup("", "/empty", {"memory.max": "4096\n", "memory.current": "0\n"})
    with fake.open() as host:
        seen = Observer(host).tick()
        one = seen.containers[0]._replace(id="/empty", leader=None, members=(), cgroups={"memory": "/empty"})
        seen = seen._replace(containers=(one,))
        found = Closer(host).look(Ask(one.id, frozenset({"limits", "report", "network"})), None, seen)
    assert chain(found, "memory").value == 4096
    assert (found.note, found.report, found.traffic) == ("it has no process to look at", None, None)


def test_a_container_that_is_not_in_the_sample(tmp_path: Path) -> None:
    """Nothing is told of it, and nothing is read."""
    with machine(tmp_path).open() as host:
        found = Closer(host).look(Ask("gone", frozenset({"report", "limits"})), None, Observer(host).tick())
    assert (found.report, found.chains, found.note) == (None, None, None)


@pytest.mark.parametrize(
    ("path", "said"),
    [(PATH, OOM), (f"{PATH}/inner", f"{OOM}, at the limit of /inner in it"), ("/docker", None), (PATH + "x", None)],
)
def test_why_it_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, said: str | None) -> None:
    """A kill in its cgroup or below it, shortly before, is the reason; one of a neighbour or long ago is not."""
    monkeypatch.setattr("time.monotonic", lambda: 1000.0)
    monkeypatch.setattr("time.time", lambda: 5000.0)
    fake = machine(tmp_path).file("/dev/kmsg", KILL.format(path=path))
    with fake.open() as host:
        seen = Observer(host).tick()
        found = look(Closer(host), seen, "end", cgroup=PATH, since=4999.5)
        late = look(Closer(host), seen, "end", cgroup=PATH, since=5500.0)
        assert look(Closer(host), seen, "end", since=4999.5).ended == UNKNOWN
    assert found.ended == (said or UNKNOWN)
    assert late.ended == UNKNOWN


def test_without_the_kernels_log_the_reason_is_not_known(tmp_path: Path) -> None:
    """No /dev/kmsg is no error, and what could not be looked at is said."""
    with machine(tmp_path).open() as host:
        found = look(Closer(host), Observer(host).tick(), "end", cgroup=PATH, since=1.0)
    assert found.ended == UNKNOWN
    assert "no look at the kernel's log" in found.ended_by


def test_names_of_users() -> None:
    """The first name of an id counts; lines that make no sense are passed over; any bytes will do."""
    data = b"a:x:5:5::/:\nb:x:5:5::/:\n:x:6:6\nc:x:\xd9\xa3:7\nd:x:99999999999:1\n\xff:x:7:1:\nroot"
    assert parse_passwd(data) == {5: "a", 7: "\udcff"}


class Some:
    """Changes that a test makes: as many as it likes, and an error at the end if it likes."""

    entries = 7
    fraction = 0.5
    problems = ("one place",)

    def __init__(self, count: int, error: OSError | None = None) -> None:
        self._count, self._error = count, error

    def __iter__(self) -> Any:  # noqa: ANN401
        for number in range(self._count):
            yield Change("added", f"/{number}", "file", 1, 4096)
        if self._error is not None:
            raise self._error


def test_a_walk_counts_all_and_keeps_some() -> None:
    """Of more changes than a person can look at the first are kept; the totals count all."""
    walk = Walk(lambda _: Some(MOST_KEPT + 10))  # type: ignore[arg-type,return-value]  # as much of Changes as is used
    assert walk.wait(60)
    assert (walk.state, len(walk.changes), walk.fraction) == ("done", MOST_KEPT, 1.0)
    assert (walk.totals["added"].count, walk.totals["added"].disk) == (MOST_KEPT + 10, 4096 * (MOST_KEPT + 10))
    assert (walk.entries, walk.problems) == (7, ("one place",))


def test_a_walk_that_fails_says_why() -> None:
    """An upper directory that is gone, and a source that cannot walk, are told in one line."""
    gone = FileNotFoundError(2, "No such file or directory", "/up")
    walk = Walk(lambda _: Some(1, gone))  # type: ignore[arg-type,return-value]  # as above
    assert walk.wait(60)
    assert (walk.state, walk.problem) == ("failed", "not readable: [Errno 2] No such file or directory: '/up'")
    other = unknown("a recording")
    assert other.wait(60)
    assert (other.state, other.problem) == ("failed", "not known through a recording")


def test_a_walk_over_a_container(tmp_path: Path) -> None:
    """The layers of the container's root are found; one that has ended, or has none, says so."""
    fake = machine(tmp_path).process(5000, cgroups="/docker/" + "cd" * 32, namespaces={"pid": 4026532102, "mnt": 9})
    (tmp_path / "l/up/diff").mkdir(parents=True)
    for name in ("one", "two"):
        (tmp_path / "l" / name).mkdir()
    (tmp_path / "l/up/diff/new").write_text("x")
    with fake.open() as host:
        containers = Observer(host).tick().containers
    walk = Walk(walker(ID, containers), fake.open)
    assert walk.wait(60)
    assert (walk.state, [(one.kind, one.path) for one in walk.changes]) == ("done", [("added", "/new")]), walk.problem
    for container, why in (("gone", "it has ended"), ("cd" * 32, "its root is no union of layers")):
        other = Walk(walker(container, containers), fake.open)
        assert other.wait(60)
        assert other.state == "failed"
        assert why in other.problem
