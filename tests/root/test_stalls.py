"""Stalls on a real kernel: others have the CPU, memory that does not fit, a slow disk; and what is no such thing.

Each is made so that the kernel's averages, which are the oracle, cannot but get there, however busy the machine is.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inspector.schema import Container
from tests.testbed import cgroups
from tests.testbed.cgroups import CpuGroup
from tests.testbed.commands import BUSY_LOOP, Sandbox, ctop_document, find, run
from tests.testbed.processes import until

pytestmark = [pytest.mark.root, pytest.mark.vm]

PATIENCE_SECONDS = 600.0
ENOUGH = {"cpu": 0.62, "memory": 0.12, "io": 0.32}  # a little more than is told, for what passes until we look
QUOTA, NO_QUOTA = {1: "10000", 2: "10000 100000"}, {1: "-1", 2: "max 100000"}
OF_QUOTA = {1: "cpu.cfs_quota_us", 2: "cpu.max"}
OF_DISK = {1: ("blkio.throttle.write_bps_device", "0"), 2: ("io.max", "wbps=max")}
OF_WEIGHT = {1: ("cpu.shares", "10240"), 2: ("cpu.weight", "1000")}  # ten times what a cgroup has by itself


def averages(pid: int, resource: str) -> list[float]:
    """Return what the kernel says of the last 10 and 60 seconds: the shares in which all of a cgroup waited."""
    text = cgroups.read(f"{cgroups.path_of(pid, 'pressure')}/{resource}.pressure")
    [full] = re.findall(r"^full avg10=(\S+) avg60=(\S+)", text, re.MULTILINE)
    return [float(share) / 100 for share in full]


def stalled(pid: int, resource: str) -> Callable[[], bool]:
    """Return a condition: that the kernel says so, by some margin."""
    return lambda: min(averages(pid, resource)) >= ENOUGH[resource]


def codes(name: str) -> dict[str, str]:
    """Return the findings of a container, by code."""
    return codes_of(look(name))


def look(name: str) -> Container:
    """Return what ctop says of a container."""
    return find(ctop_document("-d", "0.5"), name)


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[str], str]]:
    """Give a block device, the options with which a container may write to it, and where."""
    directory = tmp_path_factory.mktemp("disk")
    number = os.stat(directory).st_dev
    found = f"/sys/dev/block/{os.major(number)}:{os.minor(number)}"
    file = directory / "file"
    file.write_bytes(bytes(1 << 20))
    if os.path.exists(f"{found}/queue"):  # a whole disk: the kernel throttles no partition
        yield f"/dev/{os.path.basename(os.path.realpath(found))}", ["-v", f"{file}:{file}"], str(file)
        return
    run(["modprobe", "loop"], check=False)
    loop = run(["losetup", "--show", "-f", str(file)]).stdout.strip()
    try:
        yield loop, ["--device", loop], loop
    finally:
        run(["losetup", "-d", loop])


@pytest.fixture(scope="module")
def slow(device: tuple[str, list[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Run a container that writes to a disk on which it is allowed 16 KiB a second; gives its PID."""
    disk, may_write, path = device
    sandbox = Sandbox(str(tmp_path_factory.mktemp("cgscope")))
    write = ["dd", "if=/dev/zero", f"of={path}", "bs=4096", "count=256", "oflag=direct", "conv=notrunc"]
    again = ["sh", "-c", 'while "$@"; do :; done', "-", *write]
    try:
        sandbox.start("slow", "--device-write-bps", f"{disk}:16kb", *may_write, "--", *again)
        yield (pid := sandbox.pid("slow"))
        name, no_limit = OF_DISK[cgroups.hierarchy("blkio")[1]]
        file = f"{cgroups.path_of(pid, 'blkio')}/{name}"
        # Otherwise what it has begun to write, for which its end waits, is written at that speed.
        cgroups.write(file, f"{cgroups.read(file).split()[0]} {no_limit}")
    finally:
        sandbox.close()


@pytest.mark.usefixtures("slow")  # which takes its time to be so, and here some passes
def test_a_quota_and_a_neighbour_are_told_apart(sandbox: Sandbox) -> None:
    """Under a quota a loop is throttled and not short of CPUs; beside a heavier neighbour it is, until that ends."""
    version = cgroups.hierarchy("cpu")[1]
    sandbox.start("waiting", "--cpu-quota", "10000", "--cpu-period", "100000", "--", *BUSY_LOOP)
    pid = sandbox.pid("waiting")
    directory = cgroups.path_of(pid, "cpu")
    with cgroups.favoured(directory):
        until(stalled(pid, "cpu"), "the kernel to say that the loop waits", PATIENCE_SECONDS)
        document = ctop_document("-a", "-d", "0.5")
        own = find(document, "waiting")
        assert {"cpu-throttled", "cpu-stalled"} & codes_of(own).keys() == {"cpu-throttled"}
        # What waits in the group around it are its tasks, too.
        above = find(document, os.path.dirname(own["cgroups"]["cpu"]))
        assert "cpu-stalled" not in codes_of(above)
    with CpuGroup("cgscope-test-neighbour") as neighbour:
        name, weight = OF_WEIGHT[version]
        cgroups.write(f"{neighbour.directory}/{name}", weight)
        cpus = {min(os.sched_getaffinity(pid))}
        for process in (neighbour.burn(), pid):
            os.sched_setaffinity(process, cpus)
        cgroups.write(f"{directory}/{OF_QUOTA[version]}", NO_QUOTA[version])
        until(lambda: "cpu-stalled" in codes("waiting"), "the loop to be told short of CPUs", PATIENCE_SECONDS)
        told = look("waiting")
        cpu = told["cpu"]
        assert cpu["pressure_full_avg10"] is not None
        assert cpu["pressure_full_avg60"] is not None
        percent = round(cpu["pressure_full_avg10"] * 10_000) // 100  # whole ones, never rounded up
        assert f"{percent}% of the last 10 s" in codes_of(told)["cpu-stalled"]
        assert min(averages(pid, "cpu")) >= 0.5
    with cgroups.favoured(directory):
        until(lambda: "cpu-stalled" not in codes("waiting"), "the finding to end", PATIENCE_SECONDS)


def codes_of(told: Container) -> dict[str, str]:
    """Return the findings in a document, by code."""
    return {one["code"]: one["text"] for one in told["findings"]}


def test_a_slow_disk_is_found(slow: int) -> None:
    """What writes to a disk on which it is allowed 16 KiB a second does nothing but wait for it."""
    until(stalled(slow, "io"), "the kernel to say that it waits for the disk", PATIENCE_SECONDS)
    told = look("slow")
    assert "of the last minute" in codes_of(told)["io-stalled"]
    assert told["io"]["pressure_full_avg60"] is not None
    assert told["io"]["pressure_full_avg60"] >= 0.3


TAKE = """
import os, sys, time
while not os.path.exists(sys.argv[1]):
    time.sleep(0.1)
kept = []
while True:
    kept.append(b"x" * 65536)
"""


@pytest.mark.skipif(cgroups.hierarchy("memory")[1] == 1, reason="memory.high is cgroup v2's")
def test_memory_that_does_not_fit_is_found(sandbox: Sandbox, tmp_path: Path) -> None:
    """What takes more than its memory.high is made to wait, the longer the more it takes: all that it does, soon."""
    sandbox.start("full", "-m", "512m", "-v", f"{tmp_path}:{tmp_path}", "--", sys.executable, "-c", TAKE,
                  str(tmp_path / "go"))  # fmt: skip
    pid = sandbox.pid("full")
    cgroups.write(f"{cgroups.path_of(pid, 'memory')}/memory.high", str(32 << 20))
    (tmp_path / "go").touch()
    until(stalled(pid, "memory"), "the kernel to say that it waits for memory", PATIENCE_SECONDS)
    told = look("full")
    assert "of the last minute" in codes_of(told)["memory-stalled"]
    assert told["memory"]["oom_kills"] == 0
