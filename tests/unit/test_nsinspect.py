"""nsinspect on fake hosts: the report, the page, the names it takes, its complaints."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from inspector import nsinspect
from inspector.ctop.only import only
from inspector.document import document
from inspector.errors import NoSuchContainer, NoSuchProcess
from inspector.kernel.mounts import parse_mountinfo
from inspector.nsinspect import facts, page
from inspector.nsinspect.gather import Gatherer
from inspector.nsinspect.listing import Ambiguous, resolve
from inspector.observe import Observer
from inspector.report import MountEntry, Report
from inspector.views.abridge import abridged
from tests.fakehost import FakeHost
from tests.unit.test_archives import unpacked

ID = "ab" * 32
OWN = {"mnt": 4026532001, "pid": 4026532002, "net": 4026532003, "uts": 4026532004, "ipc": 4026532005}
MOUNTS = (
    "80 79 0:50 / / rw,relatime - overlay overlay rw,lowerdir=/l/two:/l/one,upperdir=/l/up/diff,workdir=/l/up/work\n"
    "81 80 0:51 / /proc rw - proc proc rw\n"
    "82 80 0:52 / /tmp rw,nosuid - tmpfs tmpfs rw,size=64k\n"
)
CPU = {"cpu.cfs_quota_us": "20000\n", "cpu.cfs_period_us": "100000\n"}


def container(tmp_path: Path) -> FakeHost:
    """Build a machine with one Docker container: two processes in namespaces, cgroups and a root of its own."""
    fake = FakeHost(tmp_path, "v1")
    path = f"/docker/{ID}"
    for pid, inner in ((4242, 1), (4243, 7)):
        fake.process(
            pid, "web", cgroups=path, namespaces=OWN, ns_pids=(pid, inner), mountinfo=MOUNTS,
            ppid=1 if inner == 1 else 4242, caps=0xA80425FB, seccomp=2, starttime=50000,
        )  # fmt: skip
    fake.cgroup("cpu", "/", {"release_agent": ""}).cgroup("memory", "/", {"release_agent": ""})
    fake.cgroup("pids", "/", {"release_agent": ""}).cgroup("cpuset", "/", {"release_agent": ""})
    fake.cgroup("cpu", "/docker", {**CPU, "cpu.cfs_quota_us": "10000\n"}).cgroup("cpu", path, CPU)
    fake.cgroup("memory", path, {"memory.limit_in_bytes": "67108864\n"})
    return fake.cgroup("pids", path, {"pids.max": "50\n", "pids.current": "2\n"})


def report_on(fake: FakeHost, pid: int) -> Report:
    """Gather the report on one process of a fake machine."""
    with fake.open() as host:
        return Gatherer(host, Observer(host).tick(), pid).report()


def text_of(report: Report) -> str:
    """Return the page as a person sees it without colours."""
    return "\n".join("".join(shown for shown, _ in line) for line in page.page(report))


def test_a_containers_process(tmp_path: Path) -> None:
    """Its PIDs, its container, and for each namespace whether it is the host's and who else is in it."""
    report = report_on(container(tmp_path), 4243)
    assert (report["pid"], report["pids"], report["comm"]) == (4243, [4243, 7], "web")
    assert (report["container"], report["container_name"]) == (ID, ID[:12])
    net, user = report["namespaces"]["net"], report["namespaces"]["user"]
    assert (net["inode"], net["same_as_host"], net["processes"]) == (4026532003, False, 2)
    assert net["containers"] == [ID[:12]]
    assert (user["same_as_host"], user["processes"]) == (True, 3)
    assert (net["owner"], net["parent"]) == (None, None)
    assert report["unreadable"] == []


def test_the_limit_of_an_ancestor_is_named(tmp_path: Path) -> None:
    """The parent's tighter quota is the effective one, the chain shows both, and "hidden" is false at the top."""
    limits = report_on(container(tmp_path), 4243)["limits"]
    assert limits["cpu"] == {
        "kind": "limit",
        "own": 0.2,
        "value": 0.1,
        "set_by": "/docker",
        "chain": [
            {"path": f"/docker/{ID}", "value": 0.2},
            {"path": "/docker", "value": 0.1},
        ],
        "hidden_ancestors": False,
    }
    assert (limits["memory"]["value"], limits["memory"]["set_by"]) == (67108864, f"/docker/{ID}")
    assert (limits["pids"]["value"], limits["cpuset"]["value"]) == (50, None)
    assert isinstance(limits["memory"]["value"], int)


def test_a_limit_of_one_is_in_the_singular(tmp_path: Path) -> None:
    """1 core, 1 task and 1 CPU."""
    report = report_on(container(tmp_path), 4243)
    for kind in ("cpu", "pids", "cpuset"):
        report["limits"][kind]["value"] = 1
    shown = text_of(report)
    assert [unit for unit in ("core", "task", "CPU") if f" 1 {unit}   set by" in shown] == ["core", "task", "CPU"]


def test_root_and_mounts(tmp_path: Path) -> None:
    """The layers of the overlay from top to bottom, and the mounts the host lacks, among them the tmpfs."""
    report = report_on(container(tmp_path), 4242)
    assert report["rootfs"]["type"] == "overlay"
    assert report["rootfs"]["lower"] == ["/l/two", "/l/one"]
    assert report["rootfs"]["upper"] == "/l/up/diff"
    assert [mount["mountpoint"] for mount in report["mounts"]] == ["/", "/proc", "/tmp"]  # noqa: S108
    tmp = report["mounts"][2]
    assert (tmp["type"], tmp["options"], tmp["read_only"]) == ("tmpfs", ["rw", "nosuid"], False)


def test_security(tmp_path: Path) -> None:
    """Capabilities by name, seccomp in words, id maps, and no label without a security module."""
    security = report_on(container(tmp_path), 4242)["security"]
    assert security["capabilities"] is not None
    assert len(security["capabilities"]["effective"]) == 14
    assert "CAP_NET_RAW" in security["capabilities"]["effective"]
    assert (security["seccomp"], security["no_new_privs"], security["lsm"]) == ("filter", False, None)
    assert security["uid_map"] == [{"inside": 0, "outside": 0, "length": 4294967295}]


def test_what_proc_says_and_what_there_is(tmp_path: Path) -> None:
    """/proc shows the machine's CPUs and memory; the limits say what there really is, and a finding says so."""
    fake = container(tmp_path).link("/proc/4242/root", str(tmp_path))
    report = report_on(fake, 4242)
    assert (report["proc_says"]["cpus"], report["proc_says"]["memory_bytes"]) == (4, 8000000 * 1024)
    assert (report["really_has"]["cpus"], report["really_has"]["memory_bytes"]) == (0.1, 67108864)
    assert report["proc_says"]["load"] == [0.5, 0.25, 0.1]
    assert report["really_has"]["uptime_seconds"] == pytest.approx(500)
    misleads = {one["code"]: one["text"] for one in report["findings"]}["proc-misleads"]
    assert misleads == "/proc tells it of the host's CPUs and memory, not of what it may use"


@pytest.mark.parametrize("size", ["2MB", "512MB", "1MB", "2GB", "16MB"])
def test_huge_pages_of_other_machines(tmp_path: Path, size: str) -> None:
    """aarch64 with pages of 64 KiB has huge ones of 512 MiB, s390x of 1 MiB and 2 GiB, POWER of 16 MiB."""
    fake = FakeHost(tmp_path, "v2").process(4242, "web", cgroups="/a")
    report = report_on(fake.cgroup("", "/a", {f"hugetlb.{size}.max": f"{1 << 34}\n"}), 4242)
    assert report["limits"]["hugetlb"][size]["value"] == 1 << 34


@pytest.mark.parametrize("layout", ["v1", "v2"])
def test_without_a_controller_nothing_is_hidden(tmp_path: Path, layout: str) -> None:
    """Where the kernel was started with cgroup_disable=memory (the Raspberry Pi) nothing limits memory: all is seen."""
    fake = FakeHost(tmp_path, layout).process(4242, "web", cgroups="/a")
    if layout == "v2":
        fake.file("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io pids\n")
    else:
        shutil.rmtree(f"{tmp_path}/sys/fs/cgroup/memory")
        for pid in ("1", "4242"):
            for name, mark in (("mountinfo", "/memory "), ("cgroup", ":memory:")):
                file = tmp_path / "proc" / pid / name
                lines = file.read_text().splitlines(keepends=True)
                file.write_text("".join(line for line in lines if mark not in line))
        for controller in ("cpu", "cpuset", "pids", "blkio", "freezer", "devices", "name=systemd"):
            fake.cgroup(controller, "/", {"release_agent": ""})
    report = report_on(fake, 4242)
    assert (report["limits"]["memory"]["value"], report["limits"]["memory"]["hidden_ancestors"]) == (None, False)
    assert report["really_has"]["memory_bytes"] == 8000000 * 1024
    if layout == "v1":  # it is there, and not shown to us
        fake.file("/proc/1/cgroup", (tmp_path / "proc/1/cgroup").read_text() + "12:memory:/\n")
        assert report_on(fake, 4242)["limits"]["memory"]["hidden_ancestors"]


def test_what_lxcfs_says_does_not_mislead(tmp_path: Path) -> None:
    """Whole CPUs and the limit of memory are what lxcfs tells: a finding is there for what is the host's alone."""
    fake = container(tmp_path / "host").link("/proc/4242/root", str(tmp_path / "inside"))
    (tmp_path / "inside/proc").mkdir(parents=True)
    for stat, meminfo, misleads in (
        ("cpu  1 0 1 8 0 0 0\ncpu0 1 0 1 8 0 0 0\n", "MemTotal: 65536 kB\n", None),
        ("cpu  1 0 1 8 0 0 0\ncpu0 1 0 1 8 0 0 0\n", "MemTotal: 8000000 kB\n", "memory"),
        ("cpu  1 0 1 8 0 0 0\ncpu0 1 0 1 8 0 0 0\ncpu1 1 0 1 8 0 0 0\n", "MemTotal: 65536 kB\n", "CPUs"),
    ):
        (tmp_path / "inside/proc/stat").write_text(stat)
        (tmp_path / "inside/proc/meminfo").write_text(meminfo)
        texts = [one["text"] for one in report_on(fake, 4242)["findings"] if one["code"] == "proc-misleads"]
        assert texts == ([f"/proc tells it of the host's {misleads}, not of what it may use"] if misleads else [])


def test_a_process_of_the_host_itself(tmp_path: Path) -> None:
    """PID 1 is in no container, has no walls, no limits, and no mounts of its own."""
    report = report_on(container(tmp_path), 1)
    assert report["container"] is None
    assert all(one["same_as_host"] for one in report["namespaces"].values())
    assert report["mounts"] == []
    assert report["limits"]["cpu"]["value"] is None
    assert report["really_has"]["cpus"] == 4


def test_a_process_whose_namespaces_are_hidden(tmp_path: Path) -> None:
    """To an ordinary user it is not said to be in no container, also where its PIDs tell of another namespace."""
    report = report_on(container(tmp_path), 1)
    assert text_of(report).startswith("PID 1  init  in no container\n")
    report["namespaces"] = {}
    hidden = "in which container, if in any, cannot be told without its namespaces\n"
    assert text_of(report).startswith(f"PID 1  init  {hidden}")
    assert "\n  PIDs        1   to itself and to us\n" in text_of(report)  # who knows whether there is an outside
    report["pids"] = [1, 1]
    assert text_of(report).startswith(f"PID 1  init  in a PID namespace below ours: {hidden}")


def test_stalls_of_everybody_are_not_those_of_a_group_on_version_1(tmp_path: Path) -> None:
    """Who has cgroups of its own on v1 alone is at v2's root, where all stalls of the machine are counted."""
    some = "some avg10={} avg60=0.00 avg300=0.00 total=5\n"
    fake = FakeHost(tmp_path, "hybrid").process(70, "job", cgroups={"cpu": "/jobs", "": "/"})
    fake.process(71, cgroups="/one")
    for path, value in (("/", "54.00"), ("/one", "7.00")):
        fake.cgroup("", path, {f"{kind}.pressure": some.format(value) for kind in ("cpu", "memory", "io")})
    for pid, expected in ((70, (None, 0.54)), (71, (0.07, 0.07)), (1, (0.54, 0.54))):
        told = report_on(fake, pid)["really_has"]["pressure"]
        assert told is not None
        assert (told["cpu"], told["memory"]) == expected, pid


def test_a_container_that_ends_between_the_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asked by its name is not told of a PID; where it was started again that is what is told of."""
    fake = container(tmp_path)

    def end(_: float) -> None:
        for pid in (4242, 4243):
            shutil.rmtree(f"{fake.root}/proc/{pid}", ignore_errors=True)

    monkeypatch.setattr(time, "sleep", end)
    with fake.open() as host:
        with pytest.raises(NoSuchContainer, match=f"no container with the id or name '{ID[:12]}'"):
            nsinspect.examine(host, ID[:12])
        fake = container(tmp_path)
        with pytest.raises(NoSuchProcess, match="no process with PID 4242"):
            nsinspect.examine(host, "4242")
        fake = container(tmp_path)

        def again(seconds: float) -> None:
            end(seconds)
            fake.process(4300, "anew", cgroups=f"/docker/{ID}", namespaces=OWN, ns_pids=(4300, 1), mountinfo=MOUNTS)
            monkeypatch.setattr(time, "sleep", lambda _: None)

        monkeypatch.setattr(time, "sleep", again)
        assert nsinspect.examine(host, ID[:12])["comm"] == "anew"


def test_a_process_in_control_groups_alone(tmp_path: Path) -> None:
    """In no container, it has what its own cgroup of each resource is told of, and nothing of those beside or above."""
    own = {"cpu": "/jobs/one", "memory": "/mem", "pids": "/jobs"}
    fake = container(tmp_path).process(70, "job", cgroups=own).process(71, "job", cgroups={**own, "cpu": "/jobs"})
    fake.cgroup("cpu", "/jobs", {**CPU, "cpu.stat": "nr_periods 9\nnr_throttled 9\nthrottled_time 5\n"})
    fake.cgroup("cpu", "/jobs/one", {**CPU, "cpu.stat": "nr_periods 8\nnr_throttled 8\nthrottled_time 5\n"})
    fake.cgroup("memory", "/mem", {"memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"})
    fake.cgroup("pids", "/jobs", {"pids.max": "10\n", "pids.current": "10\n"})
    report = report_on(fake, 70)
    assert report["container"] is None
    assert [(one["code"], one["text"]) for one in report["findings"]][:3] == [
        ("cpu-was-throttled", "throttled in 8 of 8 periods since it started"),
        ("oom-killed", "2 processes killed for lack of memory"),
        ("pids-near-limit", "10 of 10 tasks: fork will fail at the limit"),
    ]
    assert "throttled in 9 of 9 periods since it started" in text_of(report_on(fake, 71))


def test_all_capabilities_in_a_container_are_a_finding(tmp_path: Path) -> None:
    """All capabilities in the host's user namespace are named, without seccomp as privileged; Docker's set is not."""
    fake = container(tmp_path)
    assert "all-capabilities" not in [one["code"] for one in report_on(fake, 4242)["findings"]]
    for seccomp, code, other in ((2, "all-capabilities", "privileged"), (0, "privileged", "all-capabilities")):
        fake.process(
            4243, "web", cgroups=f"/docker/{ID}", namespaces=OWN, ns_pids=(4243, 7), mountinfo=MOUNTS, seccomp=seccomp
        )
        codes = [one["code"] for one in report_on(fake, 4243)["findings"]]
        assert code in codes
        assert other not in codes
        assert "dangerous-capability" not in codes


def test_the_other_limits(tmp_path: Path) -> None:
    """v1's swap limit is the sum's less memory's, block devices are limited one by one, and an ancestor is named."""
    path = f"/docker/{ID}"
    fake = container(tmp_path)
    fake.cgroup("memory", path, {"memory.memsw.limit_in_bytes": "100663296\n", "memory.soft_limit_in_bytes": "4096\n"})
    fake.cgroup("blkio", path, {"blkio.throttle.read_bps_device": "8:0 2048\n"})
    fake.cgroup("blkio", "/docker", {"blkio.throttle.read_bps_device": "8:0 1024\n8:16 512\n"})
    report = report_on(fake, 4243)
    others = report["limits"]["memory_others"]
    assert (others["swap"]["own"], others["swap"]["set_by"]) == (33554432, path)
    assert (others["soft"]["kind"], others["soft"]["value"]) == ("target", 4096)
    io = {(one["device"], one["figure"]): one["limit"] for one in report["limits"]["io"]}
    read = io["8:0", "read_bytes_per_second"]
    assert (read["own"], read["value"], read["set_by"]) == (2048, 1024, "/docker")
    assert io["8:16", "read_bytes_per_second"]["value"] == 512
    assert "1.00KiB/s read on 8:0   set by the ancestor /docker" in text_of(report).replace("1KiB", "1.00KiB")


def test_memory_protection_is_a_guarantee(tmp_path: Path) -> None:
    """On v2 memory.low counts no further than its ancestors protect, and is never called a limit."""
    fake = FakeHost(tmp_path, "v2").process(4242, "web", cgroups="/a/b", namespaces=OWN, ns_pids=(4242, 1))
    fake.cgroup("", "/a", {"memory.low": "1024\n", "memory.high": "max\n", "memory.max": "max\n"})
    own = {"memory.low": "4096\n", "memory.high": "8192\n", "memory.max": "max\n", "io.max": "8:0 rbps=7 wiops=max\n"}
    fake.cgroup("", "/a/b", own)
    limits = report_on(fake, 4242)["limits"]
    low, high = limits["memory_others"]["low"], limits["memory_others"]["high"]
    assert (low["kind"], low["own"], low["value"], low["set_by"]) == ("guarantee", 4096, 1024, "/a")
    assert (high["kind"], high["value"], high["set_by"]) == ("limit", 8192, "/a/b")
    assert [(one["figure"], one["limit"]["value"]) for one in limits["io"] if one["limit"]["value"] is not None] == [
        ("read_bytes_per_second", 7)
    ]


def test_throttling_before_the_samples_is_told(tmp_path: Path) -> None:
    """A container that stood still since is told of by its totals."""
    fake = container(tmp_path)
    fake.cgroup("cpu", f"/docker/{ID}", {**CPU, "cpu.stat": "nr_periods 54\nnr_throttled 54\nthrottled_time 5\n"})
    texts = [one["text"] for one in report_on(fake, 4242)["findings"]]
    assert "throttled in 54 of 54 periods since it started" in texts


def test_from_inside_a_container_what_is_hidden_is_unknown(tmp_path: Path) -> None:
    """Without a limit in sight, hidden ancestors make it unknown, never unlimited; the host's mounts are unreadable."""
    inside = {**OWN, "cgroup": 4026532006}
    fake = FakeHost(tmp_path, "v1").process(1, "web", ppid=0, namespaces=inside, mountinfo=None)
    report = report_on(fake, 1)
    cpu = report["limits"]["cpu"]
    assert (cpu["value"], cpu["hidden_ancestors"]) == (None, True)
    assert report["really_has"]["cpus"] is None
    assert "the host's mounts" in [one["what"] for one in report["unreadable"]]
    shown = text_of(report)
    assert "cpu         unknown: cgroups above are hidden" in shown
    assert "\n  CPUs        -             unknown" in shown
    assert "PIDs        1   in our PID namespace; its number outside cannot be seen from here" in shown


def test_from_inside_a_container_on_the_hosts_pids_its_walls_are_judged(tmp_path: Path) -> None:
    """Where the host's processes are seen and may not be looked into, which mounts are theirs is not known either."""
    inside = {"cgroup": 4026532006, "mnt": 4026532001, "net": 4026532003}
    fake = FakeHost(tmp_path, "v1").process(1, "systemd", ppid=0).process(70, "cron")
    for pid in (1, 70):
        shutil.rmtree(f"{fake.root}/proc/{pid}/ns")
    fake.process(4242, "web", namespaces=inside, mountinfo=MOUNTS, cgroups=f"/docker/{ID}").viewer(4242)
    found = [one["code"] for one in report_on(fake, 4242)["findings"]]
    assert {"host-pid", "privileged", "proc-sys-writable"} <= set(found)
    assert report_on(fake, 70)["findings"] == []


def test_from_inside_a_container_its_own_walls_are_judged(tmp_path: Path) -> None:
    """What needs no sight of the host is found from inside as well: every capability, no seccomp, writable settings."""
    inside = {**OWN, "cgroup": 4026532006}
    fake = FakeHost(tmp_path, "v1").process(1, "web", ppid=0, namespaces=inside, mountinfo=MOUNTS)
    found = {one["code"]: one["severity"] for one in report_on(fake, 1)["findings"]}
    assert found.items() >= {"privileged": "critical", "proc-sys-writable": "critical", "root-of-host": "info"}.items()
    assert not {"host-path-writable", "host-root", "host-proc"} & found.keys()


def test_where_no_cgroup_is_mounted_it_is_said(tmp_path: Path) -> None:
    """As in bwrap: neither a cgroup nor the devices are told, and v2 has nothing to do with it."""
    inside = {**OWN, "cgroup": 4026532006}
    fake = FakeHost(tmp_path, "v1").process(1, "web", ppid=0, namespaces=inside, mountinfo=MOUNTS)
    shown = text_of(report_on(fake, 1))
    assert "none to be seen: no cgroup filesystem is mounted here" in shown
    assert "devices     unknown: the cgroups that decide it are not mounted here" in shown


def test_the_page_says_who_made_it(tmp_path: Path) -> None:
    """Runtime, image, the evidence, and the whole of an id that is no long number."""
    shown = text_of(report_on(container(tmp_path), 4243))
    assert "made        by docker, image unknown" in shown
    assert "known by    cgroup pattern docker, own mnt namespace 4026532001" in shown
    fake = FakeHost(tmp_path / "other", "v1").process(4242, "web", namespaces=OWN, ns_pids=(4242, 1), mountinfo=MOUNTS)
    assert "in container web-4242 (pid-4026532002)" in text_of(report_on(fake, 4242))


def test_a_paused_container_is_said_to_be_paused(tmp_path: Path) -> None:
    """Nothing else tells why its processes do not answer."""
    fake = container(tmp_path).cgroup("freezer", f"/docker/{ID}", {"freezer.state": "FROZEN\n"})
    report = report_on(fake, 4243)
    assert report["container_state"] == "paused"
    assert "\n  state       paused   frozen by its cgroup" in text_of(report)
    fake.cgroup("freezer", f"/docker/{ID}", {"freezer.state": "THAWED\n"})
    assert report_on(fake, 4243)["container_state"] == "running"
    assert "frozen by" not in text_of(report_on(fake, 4243))


def test_a_container_in_a_container_is_said_to_be_in_it(tmp_path: Path) -> None:
    """The containers around it are named; its layers' short links are those of the root that it has kept."""
    inner = {**OWN, "mnt": 4026532011, "pid": 4026532012}
    store = "/var/lib/docker/overlay2"
    short = MOUNTS.replace("/l/two:/l/one", "l/TWO:l/ONE").replace("/l/up/", f"{store}/up/")
    fake = container(tmp_path).mountinfo(short, 4242).link(f"{store}/l/TWO", "../two/diff")
    fake.process(4300, "sh", ppid=4243, cgroups=f"/docker/{ID}", namespaces=inner, ns_pids=(4300, 8, 1),
                 mountinfo=short, starttime=60000)  # fmt: skip
    report = report_on(fake, 4300)
    assert report["container_parents"] == [ID[:12]]
    assert text_of(report).startswith(f"PID 4300  sh  in container sh-4300 (pid-4026532012), inside {ID[:12]}\n")
    assert report["rootfs"]["lower"] == [f"{store}/two/diff", f"{store}/l/ONE"]
    # A container without a name goes by the beginning of its id, which is told once.
    assert text_of(report_on(fake, 4242)).startswith(f"PID 4242  web  in container {ID[:12]}\n")


def test_the_worst_is_announced_at_the_top(tmp_path: Path) -> None:
    """What is critical or a warning is named before the namespaces; remarks are not."""
    fake = container(tmp_path).process(4243, "web", cgroups=f"/docker/{ID}", namespaces=OWN, mountinfo=MOUNTS)
    top = text_of(report_on(fake, 4243)).partition("NAMESPACES")[0]
    assert "\n  critical    privileged" in top
    assert "root-of-host" not in top
    assert "root-of-host" in text_of(report_on(fake, 4243))


def test_why_there_is_no_command_line(tmp_path: Path) -> None:
    """A kernel thread, a zombie and a process that has hidden its arguments are told apart."""
    fake = FakeHost(tmp_path, "v2").process(50, "gone", state="Z", cmdline="").process(60, "sh", cmdline="")
    fake.process(2, "kthreadd", cmdline="")
    stat = tmp_path / "proc/2/stat"
    stat.write_text(stat.read_text().replace(" 4194304 ", f" {0x00200000} "))  # PF_KTHREAD, include/linux/sched.h
    for pid, why in ((2, "a kernel thread"), (50, "a zombie, which has ended"), (60, "it has no arguments")):
        assert f"  command     (none: {why}" in text_of(report_on(fake, pid))


def test_paths_on_the_page_are_whole(tmp_path: Path) -> None:
    """A layer's path can be copied, however long."""
    upper = f"/var/lib/docker/overlay2/{ID}{ID}/diff"
    fake = container(tmp_path).mountinfo(MOUNTS.replace("/l/up/diff", upper), 4242)
    assert f"upper       {upper}\n" in text_of(report_on(fake, 4242))


def test_the_worst_finding_comes_first_with_what_to_do(tmp_path: Path) -> None:
    """Each finding has its evidence and advice below its code."""
    fake = container(tmp_path).process(
        4243, "web", cgroups=f"/docker/{ID}", namespaces=OWN, ns_pids=(4243, 7), mountinfo=MOUNTS
    )
    shown = text_of(report_on(fake, 4243)).partition("FINDINGS\n")[2]
    severities = [line.split()[0] for line in shown.split("\n") if line[:1].strip()]
    assert severities == sorted(severities, key=("critical", "warning", "info").index)
    assert shown.startswith("critical  privileged\n          privileged: all capabilities")
    assert "Start it without --privileged" in shown


def entry(place: str, kind: str = "cgroup", root: str = "/", *options: str) -> MountEntry:
    """Return one mount of a table."""
    return {"mountpoint": place, "type": kind, "source": kind, "source_root": root, "read_only": False,
            "options": list(options), "propagation": []}  # fmt: skip


def test_many_mounts_alike_are_one_line() -> None:
    """Four or more that differ in their last name alone are told once; one that differs in more stands by itself."""
    names = ("cpu", "memory", "pids", "blkio")
    table = [entry("/sys", "sysfs"), *(entry(f"/sys/fs/cgroup/{name}") for name in names),
             entry("/sys/fs/cgroup/systemd", "cgroup", "/", "rw")]  # fmt: skip
    assert [(one["mountpoint"], more) for one, more in abridged(table)] == [
        ("/sys", ""),
        ("/sys/fs/cgroup/cpu", "and the same: memory pids blkio"),
        ("/sys/fs/cgroup/systemd", ""),
    ]
    assert [more for _, more in abridged(table[:4])] == [""] * 4


def test_what_comes_along_with_a_directory_of_the_host_is_counted() -> None:
    """Of `-v /:/host` the mounts below are a number; those below what the runtime itself made are told."""
    kinds = ("proc", "sysfs", "tmpfs", "devpts", "ext4")
    table = [entry("/", "overlay"), entry("/dev", "tmpfs"), *(entry(f"/dev/{kind}", kind) for kind in kinds),
             entry("/host", "ext4"), *(entry(f"/host/{kind}/x", kind) for kind in kinds)]  # fmt: skip
    shown = [(one["mountpoint"], more) for one, more in abridged(table)]
    assert shown[-1] == ("/host", "and 5 mounts below it")
    assert len(shown) == 8


@pytest.mark.parametrize("pid", [2995, 3024])
def test_docker_on_a_real_machine(tmp_path: Path, pid: int) -> None:
    """Docker's container in the archive of a real machine: limits, layers and namespaces as Docker set them."""
    with unpacked("docker-v1.host", tmp_path) as host:
        report = Gatherer(host, Observer(host).tick(), pid).report()
    assert report["limits"]["cpu"]["value"] == 0.2
    assert report["limits"]["memory"]["value"] == 64 << 20
    assert report["limits"]["pids"]["value"] == 50
    assert report["container"] == "b2bd40cab3b3e6aa4d7cc143f5330c402744a6245a2fbef04477401219c77607"
    assert len(report["rootfs"]["lower"]) == 2
    assert (report["rootfs"]["merged"] or "").endswith("/merged")
    assert [kind for kind, one in report["namespaces"].items() if one["same_as_host"] is False] == [
        "ipc", "mnt", "net", "pid", "uts",
    ]  # fmt: skip


def test_a_copied_mount_namespace_shows_what_was_added() -> None:
    """After `unshare -m` only the mounts made since are the process's own; with another root all are."""
    hosts = parse_mountinfo(b"1 0 254:0 / / rw - ext4 a rw\n2 1 0:5 / /proc rw - proc proc rw\n")
    copied = parse_mountinfo(
        b"11 10 254:0 / / rw - ext4 a rw\n12 11 0:5 / /proc rw - proc proc rw\n13 11 0:9 / /tmp rw - tmpfs t rw\n"
    )
    pivoted = parse_mountinfo(b"11 10 0:7 / / rw - overlay a rw\n12 11 0:5 / /proc rw - proc proc rw\n")
    assert [one["mountpoint"] for one in facts.foreign_mounts(copied, hosts)] == ["/tmp"]  # noqa: S108
    assert [one["mountpoint"] for one in facts.foreign_mounts(pivoted, hosts)] == ["/", "/proc"]


def test_names_and_ids(tmp_path: Path) -> None:
    """A PID, a name, an id or its beginning lead to a process; anything else is one clear error."""
    with container(tmp_path).open() as host:
        observation = Observer(host).tick()
        for target in (ID, ID[:12], ID[:20]):
            assert resolve(target, observation, host) == 4242
        assert resolve("4243", observation, host) == 4243
        assert resolve("/docker", observation, host) in (4242, 4243)
        for target in ("nonesuch", "-5", "", "ab\x1b[2J", "٤٢"):
            with pytest.raises(NoSuchContainer):
                resolve(target, observation, host)
        with pytest.raises(NoSuchContainer, match="names may not be read: root may, or --socket asks"):
            resolve("web", observation._replace(denied_files=3), host)
        for target in ("0", "99999999"):
            with pytest.raises(NoSuchProcess):
                resolve(target, observation, host)


def test_a_name_that_is_a_number(tmp_path: Path) -> None:
    """A number is a container's name where no process has it."""
    with container(tmp_path).open() as host:
        seen = Observer(host).tick()
        ones = seen.containers
        for name, pid in (("4711", 4242), ("0", 4242), ("99999999", 4242), ("4243", 4243)):
            named = seen._replace(containers=tuple(one._replace(name=name) if one.id == ID else one for one in ones))
            assert resolve(name, named, host) == pid


def test_an_ambiguous_beginning_is_an_error(tmp_path: Path) -> None:
    """Two containers whose ids begin alike are named, and none is chosen."""
    other = "ab" + "cd" * 31
    fake = container(tmp_path).process(5000, cgroups=f"/docker/{other}", namespaces={"pid": 4026532102})
    with fake.open() as host:
        observation = Observer(host).tick()
        with pytest.raises(Ambiguous, match="2 containers answer to 'ab'"):
            resolve("ab", observation, host)
        assert resolve(other[:6], observation, host) == 5000


def test_a_thread_is_its_processs(tmp_path: Path) -> None:
    """The number of a thread, as `top -H` shows it, leads to the container of its process, and both are told."""
    fake = container(tmp_path)
    with fake.open() as host:  # a thread is not listed in /proc, and here it would be
        seen = Observer(host).tick()
    fake.process(4250, "web", cgroups=f"/docker/{ID}", namespaces=OWN, ns_pids=(4250, 9), mountinfo=MOUNTS)
    status = (tmp_path / "proc/4250/status").read_text()
    fake.file("/proc/4250/status", status.replace("Tgid:\t4250", "Tgid:\t4243"))
    group = tmp_path / f"sys/fs/cgroup/pids/docker/{ID}/cgroup.procs"
    members = [file for file in tmp_path.glob("sys/fs/cgroup/*/docker/*/cgroup.procs") if file.parent.name == ID]
    assert group in members
    for file in members:  # lists processes alone
        file.write_text("4242\n4243\n")
    report = report_on(fake, 4250)
    assert (report["container"], report["thread_of"]) == (ID, 4243)
    assert "4250 > 9   9 to itself, 4250 to us; a thread of process 4243" in text_of(report)
    assert report_on(fake, 4243)["thread_of"] is None
    with fake.open() as host:
        thread, process = (only(host, seen, document(None, seen), (pid,), None) for pid in (4250, 4243))
    assert [one["id"] for one in thread["containers"]] == [ID, "/docker"]
    assert thread == process


@pytest.mark.parametrize(
    ("mapped", "said"),
    [
        ("0 0 4294967295", "as they are here"),
        ("0 0 1", "0 is 0 here"),
        ("0 1000 1", "0 is 1000 here"),
        ("0 100000 65536", "0-65535 is 100000... here"),
    ],
)
def test_which_ids_are_whose(tmp_path: Path, mapped: str, said: str) -> None:
    """Only who has all ids as they are has them so: of `unshare -Ur` by root there is one."""
    shown = text_of(report_on(container(tmp_path).file("/proc/4242/uid_map", f"{mapped}\n"), 4242))
    assert f"user ids    0   {said}\n" in shown


@pytest.mark.parametrize(("count", "told"), [(9, []), (10, ["10 zombies, which web (PID 4242) does not wait for"])])
def test_zombies_that_pile_up(tmp_path: Path, count: int, told: list[str]) -> None:
    """Many processes that have ended and wait for one parent are a finding, though on v1 they have left its cgroups."""
    fake = container(tmp_path)
    for number in range(count):
        fake.process(5000 + number, state="Z", ppid=4242, namespaces={"pid": OWN["pid"]}, mountinfo="")
    for pid, pid_ns in ((6000, 4026531836), (6001, 4026539999)):  # others' are not counted
        fake.process(pid, state="Z", ppid=4242, namespaces={"pid": pid_ns}, mountinfo="")
    fake.process(6002, state="Z", ppid=4243, namespaces={"pid": OWN["pid"]}, mountinfo="")
    found = [one["text"] for one in report_on(fake, 4243)["findings"] if one["code"] == "zombies"]
    assert [text.partition(":")[0] for text in found] == told
    for number in range(count):  # with the machine's processes it has the machine's zombies
        fake.process(5100 + number, state="Z", ppid=1, mountinfo="")
    fake.process(7000, cgroups=f"/docker/{'cd' * 32}", namespaces={"mnt": 4026532077}, mountinfo=MOUNTS)
    assert report_on(fake, 7000)["container"] == "cd" * 32
    for pid in (1, 7000):
        assert not [one for one in report_on(fake, pid)["findings"] if one["code"] == "zombies"]


def test_its_clock_since_boot(tmp_path: Path) -> None:
    """What /proc/uptime says in a time namespace is told, not what it says to us; what is mounted there is as it is."""
    text = "monotonic           5         0\nboottime  {:>10}         0\n"
    fake = container(tmp_path).link("/proc/4242/root", str(tmp_path))
    before = report_on(fake, 4242)["proc_says"]["uptime_seconds"]
    assert before is not None
    for pid, offset in ((4242, -30), ("self", 70)):
        fake.file(f"/proc/{pid}/timens_offsets", text.format(offset))
        fake.link(f"/proc/{pid}/ns/time_for_children", os.readlink(tmp_path / f"proc/{pid}/ns/time"))
    assert report_on(fake, 4242)["proc_says"]["uptime_seconds"] == before - 100
    fake.mountinfo(MOUNTS + "90 81 0:60 /proc/uptime /proc/uptime rw - fuse.lxcfs lxcfs rw\n", 4242)
    assert report_on(fake, 4242)["proc_says"]["uptime_seconds"] == before
    fake.mountinfo(MOUNTS, 4242).link("/proc/4242/ns/time_for_children", "time:[2]")  # it has just called unshare(2)
    assert report_on(fake, 4242)["proc_says"]["uptime_seconds"] == before - 70


def test_the_mounts_of_a_zombie(tmp_path: Path) -> None:
    """A zombie has left its mounts: they are not called the host's, nor is it a fault that they cannot be read."""
    fake = container(tmp_path).process(4251, state="Z", mountinfo="")
    report = report_on(fake, 4251)
    assert "mounts      none any more" in text_of(report)
    assert report["unreadable"] == []
    report["state"], report["unreadable"] = "S", [{"what": "mounts", "error": "Permission denied", "needs": None}]
    assert "mounts      could not be read" in text_of(report)


def test_a_process_that_is_gone_or_another_one_by_now(tmp_path: Path) -> None:
    """A PID without a process, and one that was reused while we read, are both no such process."""
    fake = container(tmp_path)
    with fake.open() as host:
        observation = Observer(host).tick()
        with pytest.raises(NoSuchProcess):
            Gatherer(host, observation, 4999).report()
        gatherer = Gatherer(host, observation, 4243)
        first = gatherer._identify()  # noqa: SLF001  the moment between the first and the last look
        fake.process(4243, "other", starttime=99999)
        looks = iter([first])
        gatherer._identify = lambda: next(looks, None) or Gatherer._identify(gatherer)  # type: ignore[method-assign]  # noqa: SLF001
        with pytest.raises(NoSuchProcess):
            gatherer.report()


def test_hostile_names_are_escaped(tmp_path: Path) -> None:
    """Escape sequences in a name, a command line or a mount never reach the terminal raw."""
    evil = "\x1b]0;pwned\x07\u202e"
    mounts = MOUNTS + "83 80 0:53 / /\x1b[2J rw - tmpfs \x1b[31m rw\n"
    fake = FakeHost(tmp_path, "v1").process(
        4242, evil[:15], cmdline=f"{evil}\0\n{evil}\0", namespaces=OWN, mountinfo=mounts, ns_pids=(4242, 1)
    )
    shown = text_of(report_on(fake, 4242))
    assert all(line.isprintable() for line in shown.split("\n"))
    assert "\\x1b" in shown


def test_the_page_says_what_matters(tmp_path: Path) -> None:
    """Container, PIDs, walls, the limit with its setter, layers, the tmpfs and capabilities are on the page."""
    shown = text_of(report_on(container(tmp_path), 4243))
    for text in ("in container abababababab", "4243 > 7", "0.10 cores   set by the ancestor /docker", "64MiB",
                 "upper       /l/up/diff", "tmpfs", "net_raw", "seccomp     filter"):  # fmt: skip
        assert text in shown
    assert "net         own    4026532003" in shown
    assert "user        host's" in shown


@pytest.mark.parametrize(
    ("arguments", "code"),
    [([], 2), (["a", "b"], 2), (["--bogus"], 2), (["self", "--namespaces"], 2), (["99999999"], 1), (["no\x1bne"], 1)],
)
def test_bad_input_is_one_line(arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    """A bad command line is exit code 2, a process that is not there 1; each is one printable line."""
    try:
        got = nsinspect.main(arguments)
    except SystemExit as error:
        got = int(str(error.code))
    said = capsys.readouterr()
    assert got == code
    assert said.out == ""
    assert said.err.startswith("nsinspect: ")
    assert said.err.count("\n") == 1
    assert said.err.strip().isprintable()


def test_json_of_any_bytes(tmp_path: Path) -> None:
    """A byte that is not UTF-8 in a name still makes a document that every reader accepts."""
    from inspector.views.jsontext import to_json  # noqa: PLC0415  as nsinspect does

    fake = FakeHost(tmp_path, "v1").process(4242, "a\udcff\x1b", cmdline="\udcfe\0")
    text = to_json(report_on(fake, 4242))
    assert text.isascii()
    assert json.loads(text)["cmdline"] == "\\xfe"
