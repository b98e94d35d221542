"""Every limit of `sandbox run` and `update`, read back from the kernel's own files by nothing but open and read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.testbed import cgroups
from tests.testbed.cgroups import control
from tests.testbed.commands import Sandbox, run
from tests.testbed.tools import need

pytestmark = pytest.mark.root

OPTIONS = (
    "--cpu-shares", "2048", "--cpu-quota", "20000", "--cpu-burst", "9000", "--cpuset-cpus", "0", "--cpuset-mems", "0",
    "-m", "64m", "--memory-reservation", "32m", "--pids-limit", "7",
)  # fmt: skip
# Controller; its file and what that then says on v1, and on v2.
LIMITS = [
    ("cpu", ("cpu.shares", "2048"), ("cpu.weight", "174")),
    ("cpu", ("cpu.cfs_quota_us", "20000"), ("cpu.max", "20000 100000")),
    ("cpu", ("cpu.cfs_burst_us", "9000"), ("cpu.max.burst", "9000")),
    ("cpuset", ("cpuset.cpus", "0"), ("cpuset.cpus", "0")),
    ("cpuset", ("cpuset.mems", "0"), ("cpuset.mems", "0")),
    ("memory", ("memory.limit_in_bytes", str(64 << 20)), ("memory.max", str(64 << 20))),
    ("memory", ("memory.soft_limit_in_bytes", str(32 << 20)), ("memory.low", str(32 << 20))),
    ("pids", ("pids.max", "7"), ("pids.max", "7")),
]


@pytest.mark.vm
def test_limits_of_a_new_container(sandbox: Sandbox) -> None:
    """What was asked for is in the cgroup's files; what was not is not, but for 4,096 processes (B084, B085, B086)."""
    sandbox.start("limited", *OPTIONS, "sleep", "1000")
    for controller, v1, v2 in LIMITS:
        version = cgroups.hierarchy(controller)[1]
        assert control(sandbox.pid("limited"), controller, v1[0], v2[0]) == (v1 if version == 1 else v2)[1], v2
    sandbox.start("free", "sleep", "1000")
    assert control(sandbox.pid("free"), "pids", "pids.max") == "4096"
    assert control(sandbox.pid("free"), "cpu", "cpu.cfs_quota_us", "cpu.max").split()[0] in ("-1", "max")


def test_no_room_for_one_more(sandbox: Sandbox) -> None:
    """`exec` and `enter` name the limit and the cgroup that lets no more processes in."""
    sandbox.start("full", "--pids-limit", "1", "sleep", "1000")
    pid = sandbox.pid("full")
    text = f"no more processes: the limit of 1 is reached in the cgroup {cgroups.path_of(pid, 'pids')} (pids.max)"
    for words, code in ((("exec", "full"), 126), (("enter", str(pid)), 125)):
        done = sandbox(*words, "true", check=False)
        assert (done.returncode, done.stderr) == (code, f"sandbox: {text}\n"), words


def test_what_is_inside_sees_its_cpus(sandbox: Sandbox) -> None:
    """B085, T3: the CPUs of the cpuset are those that the program may run on; one that does not exist is refused."""
    program = ("grep", "Cpus_allowed_list", "/proc/self/status")
    done = sandbox("run", "--rm", "--rootfs", "/", "--cpuset-cpus", "0", *program)
    assert done.stdout.split() == ["Cpus_allowed_list:", "0"]
    for verb, kind, value, said in (
        ("run", "cpus", "4000", "Requested CPUs are not available - requested 4000, available: 0"),
        ("create", "cpus", "4000", "Requested CPUs are not available - requested 4000, available: 0"),
        ("create", "mems", "4000", "Requested memory nodes are not available - requested 4000, available: 0"),
        ("create", "cpus", "5-3", "Invalid value 5-3 for cpuset cpus"),
    ):
        refused = sandbox(verb, "--rootfs", "/", f"--cpuset-{kind}", value, "true", check=False)
        assert refused.returncode == (125 if verb == "run" else 1)
        assert said in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
    assert sandbox("ps", "-aq").stdout == ""


def swap_of(pid: int) -> str:
    """Return the limit of swap: on v1 memory and swap together."""
    return control(pid, "memory", "memory.memsw.limit_in_bytes", "memory.swap.max")


@pytest.mark.vm
def test_memory_and_swap(sandbox: Sandbox) -> None:
    """B087: Docker counts memory and swap together, v2 counts swap alone; none given is as much swap as memory."""
    is_v1 = cgroups.hierarchy("memory")[1] == 1
    for text, total in (("96m", 96 << 20), ("64m", 64 << 20)):
        sandbox.start("swapping", "-m", "64m", "--memory-swap", text, "sleep", "1000")
        assert swap_of(sandbox.pid("swapping")) == str(total if is_v1 else total - (64 << 20))
        sandbox("rm", "-f", "swapping")
    sandbox.start("swapping", "-m", "64m", "--memory-swap", "-1", "sleep", "1000")
    pid = sandbox.pid("swapping")
    assert swap_of(pid) == ("9223372036854771712" if is_v1 else "max")
    config = sandbox.inspect("swapping")["HostConfig"]
    assert (config["Memory"], config["MemorySwap"]) == (64 << 20, -1)


@pytest.mark.vm
def test_throttled_devices(sandbox: Sandbox) -> None:
    """B089: a bound for one disk is in the kernel's table; what is no block device is refused by name."""
    path = cgroups.disk()
    if path is None:
        pytest.skip("no disk here to throttle")
    sandbox.start("slow", "--device-read-bps", f"{path}:1mb", "--device-write-iops", f"{path}:50", "sleep", "1000")
    pid, device = sandbox.pid("slow"), os.stat(path).st_rdev
    number = f"{os.major(device)}:{os.minor(device)}"
    directory = cgroups.path_of(pid, "blkio")
    if cgroups.hierarchy("blkio")[1] == 1:
        assert cgroups.read(f"{directory}/blkio.throttle.read_bps_device").split() == [number, str(1 << 20)]
        assert cgroups.read(f"{directory}/blkio.throttle.write_iops_device").split() == [number, "50"]
    else:
        assert {f"rbps={1 << 20}", "wiops=50", number} <= set(cgroups.read(f"{directory}/io.max").split())
    assert sandbox.inspect("slow")["HostConfig"]["BlkioDeviceReadBps"] == [{"Path": path, "Rate": 1 << 20}]
    for bad in ("/dev/null:1mb", "/nonexistent:1mb", "sda:1mb", f"{path}:0", f"{path}:fast"):
        done = sandbox("run", "--rm", "--rootfs", "/", "--device-read-bps", bad, "true", check=False)
        assert (done.returncode, len(done.stderr.splitlines())) == (125, 1), bad


@pytest.fixture
def bfq_disk(tmp_path: Path) -> Iterator[str]:
    """Make a disk of a file, under the scheduler that knows weights."""
    need("losetup")
    for module in ("loop", "bfq"):
        run(["modprobe", "-q", module], check=False)
    file = tmp_path / "disk"
    with file.open("wb") as disk:
        disk.truncate(16 << 20)
    device = run(["losetup", "--show", "-f", str(file)]).stdout.strip()
    try:
        scheduler = f"/sys/block/{os.path.basename(device)}/queue/scheduler"
        if "bfq" not in cgroups.read(scheduler):
            pytest.skip("this kernel has no BFQ")
        cgroups.write(scheduler, "bfq")
        yield device
    finally:
        run(["losetup", "-d", device])


@pytest.mark.vm
def test_weights_of_disks(sandbox: Sandbox, bfq_disk: str) -> None:
    """The share of all disks and that of one are in BFQ's own files, on v2 the first one in io.weight too."""
    options = ("--blkio-weight", "500", "--blkio-weight-device", f"{bfq_disk}:300")
    sandbox.start("weighed", *options, "sleep", "1000")
    pid, device = sandbox.pid("weighed"), os.stat(bfq_disk).st_rdev
    number = f"{os.major(device)}:{os.minor(device)}"
    for weight in (500, 700):
        found = control(pid, "blkio", "blkio.bfq.weight_device", "io.bfq.weight").split()
        assert found == ["default", str(weight), number, "300"]
        if cgroups.hierarchy("blkio")[1] == 2:
            assert control(pid, "blkio", "", "io.weight").split() == ["default", str(1 + (weight - 10) * 9999 // 990)]
        sandbox("update", "--blkio-weight", "700", "weighed")
    config = sandbox.inspect("weighed")["HostConfig"]
    assert (config["BlkioWeight"], config["BlkioWeightDevice"]) == (700, [{"Path": bfq_disk, "Weight": 300}])


@pytest.mark.vm
def test_huge_pages(sandbox: Sandbox) -> None:
    """Where the kernel has the controller its limit is written, without it the option is refused by name."""
    options = ("--huge-pages", "2MB=4m")
    mountpoint, version = cgroups.hierarchy("hugetlb")
    if version == 2 and "hugetlb" not in cgroups.read(f"{mountpoint}/cgroup.controllers").split():
        done = sandbox("run", "--rm", "--rootfs", "/", *options, "true", check=False)
        assert (done.returncode, "hugetlb" in done.stderr) == (125, True)
        return
    sandbox.start("huge", *options, "sleep", "1000")
    pid = sandbox.pid("huge")
    assert control(pid, "hugetlb", "hugetlb.2MB.limit_in_bytes", "hugetlb.2MB.max") == str(4 << 20)


@pytest.mark.vm
def test_update_of_a_running_container(sandbox: Sandbox) -> None:
    """B090: the kernel's files and `inspect` have the new limits, what was not named stays; a start keeps them."""
    sandbox.start("updated", "-m", "64m", "--pids-limit", "20", "--cpu-quota", "20000", "sleep", "1000")
    pid = sandbox.pid("updated")
    options = ("-m", "500m", "--cpu-quota", "150000", "--cpu-period", "300000", "--cpuset-cpus", "0")
    assert sandbox("update", *options, "updated").stdout == "updated\n"
    for _ in range(2):
        assert control(pid, "memory", "memory.limit_in_bytes", "memory.max") == str(500 << 20)
        assert control(pid, "pids", "pids.max") == "20"
        assert control(pid, "cpuset", "cpuset.cpus") == "0"
        assert control(pid, "cpu", "cpu.cfs_quota_us", "cpu.max").split()[0] == "150000"
        config = sandbox.inspect("updated")["HostConfig"]
        assert (config["Memory"], config["PidsLimit"], config["CpuPeriod"]) == (500 << 20, 20, 300000)
        sandbox("stop", "-t", "0", "updated")
        sandbox("start", "updated")
        pid = sandbox.pid("updated")
    sandbox("update", "--pids-limit", "-1", "--cpu-quota", "-1", "updated")
    assert control(pid, "pids", "pids.max") == "max"
    assert control(pid, "cpu", "cpu.cfs_quota_us", "cpu.max").split()[0] in ("-1", "max")


def test_update_that_cannot_be(sandbox: Sandbox) -> None:
    """B090: what the kernel refuses, or makes no sense, changes nothing: neither the files nor what `inspect` says."""
    sandbox.start("kept", "-m", "64m", "--memory-swap", "128m", "--pids-limit", "20", "sleep", "1000")
    pid, before = sandbox.pid("kept"), sandbox.inspect("kept")["HostConfig"]
    for options in (
        (),
        ("-m", "1m"),
        ("-m", "200m"),
        ("--cpu-burst", "500"),
        ("--pids-limit", "30", "-m", "100m", "--cpuset-cpus", "4000"),
        ("--pids-limit", str(1 << 22 | 1), "-m", "100m"),
        ("--cpus", "9999"),
    ):
        done = sandbox("update", *options, "kept", check=False)
        assert done.returncode != 0, options
        assert len(done.stderr.splitlines()) == 1, options
    assert sandbox.inspect("kept")["HostConfig"] == before
    assert control(pid, "pids", "pids.max") == "20"
    assert control(pid, "memory", "memory.limit_in_bytes", "memory.max") == str(64 << 20)
    done = sandbox("update", "-m", "100m", "nobody", "kept", check=False)
    assert (done.returncode, done.stdout) == (1, "kept\n")
    assert control(pid, "memory", "memory.limit_in_bytes", "memory.max") == str(100 << 20)
