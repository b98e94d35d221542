"""`sandbox freeze`, `thaw` and `limit` on real cgroups, read back by nothing but open and read."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.root import sandboxing
from tests.testbed import cgroups, runtimes
from tests.testbed.cgroups import control
from tests.testbed.commands import SANDBOX, Completed, Sandbox, run
from tests.testbed.docker import Docker

pytestmark = pytest.mark.root


def sandbox_of(verb: str, pid: int, *options: str) -> Completed:
    """Run `sandbox VERB PID`."""
    return run([*SANDBOX, verb, str(pid), *options], check=False)


def frozen(pid: int) -> bool:
    """Tell by its cgroup's own file whether a process is frozen."""
    version = cgroups.hierarchy("freezer")[1]
    directory = cgroups.path_of(pid, "freezer")
    if version == 1:
        return cgroups.read(f"{directory}/freezer.state").strip() == "FROZEN"
    return "frozen 1" in cgroups.read(f"{directory}/cgroup.events")


def quota(pid: int) -> list[str]:
    """Return quota and period as its cgroup's own files have them."""
    directory = cgroups.path_of(pid, "cpu")
    if cgroups.hierarchy("cpu")[1] == 1:
        return [cgroups.read(f"{directory}/cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
    return cgroups.read(f"{directory}/cpu.max").split()


@pytest.mark.vm
def test_freeze_and_thaw(sandbox: Sandbox) -> None:
    """All processes stand still until the thaw; a second time is no error, and is said."""
    sandbox.start("cold", "sleep", "1000")
    pid = sandbox.pid("cold")
    assert sandbox_of("freeze", pid).stdout.startswith("frozen (1 process): /")
    assert frozen(pid)
    assert sandbox_of("freeze", pid).stdout.startswith("frozen already: /")
    assert sandbox_of("thaw", pid).stdout.startswith("thawed: /")
    assert not frozen(pid)
    assert sandbox_of("thaw", pid).stdout.startswith("not frozen: /")


@pytest.mark.vm
def test_limits_are_written_and_read_back(sandbox: Sandbox) -> None:
    """Each limit is in the kernel's file as asked, and the line tells old, new and what holds; none lifts it."""
    sandbox.start("limited", "--cpus", "0.2", "--memory", "64m", "sleep", "1000")
    pid = sandbox.pid("limited")
    cpu = ("--cpu-quota", "100000", "--cpu-period", "200000")
    done = sandbox_of("limit", pid, *cpu, "--memory", "128m", "--pids", "9")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("cpu: 0.2 cores (20000 of 100000 us) -> 0.5 cores (100000 of 200000 us); effective 0.5")
    assert lines[1].startswith("memory: 64MiB -> 128MiB; effective 128MiB, set by itself")
    assert lines[2].startswith("pids: 4096 -> 9; effective 9, set by itself")
    assert quota(pid) == ["100000", "200000"]
    assert control(pid, "memory", "memory.limit_in_bytes", "memory.max") == str(128 << 20)
    assert control(pid, "pids", "pids.max") == "9"
    told = sandbox_of("limit", pid).stdout.splitlines()
    assert [line.partition(";")[0] for line in told] == [
        "cpu: 0.5 cores (100000 of 200000 us)", "memory: 128MiB", "pids: 9",
    ]  # fmt: skip
    assert sandbox_of("limit", pid, "--cpus", "none", "--memory", "none", "--pids", "none").returncode == 0
    assert quota(pid)[0] in ("-1", "max")
    assert control(pid, "pids", "pids.max") == "max"


@pytest.fixture
def nested() -> Iterator[tuple[cgroups.CpuGroup, int]]:
    """Make a group that may use 0.2 CPUs, and one in it with a process."""
    with cgroups.CpuGroup("cgscope-adjust") as outer:
        outer.set_quota(20000)
        with outer.child("inner") as inner:
            yield outer, inner.burn()


@pytest.mark.vm
def test_a_quota_that_the_group_above_does_not_have(nested: tuple[cgroups.CpuGroup, int]) -> None:
    """v1 refuses it, and the line says whose quota is in the way; v2 takes it, and the line says what holds."""
    outer, pid = nested
    done = sandbox_of("limit", pid, "--cpus", "0.5")
    if cgroups.hierarchy("cpu")[1] == 1:
        assert (done.returncode, quota(pid)[0]) == (1, "-1")
        assert f"no more than {outer.path} above it has (0.2 cores)" in done.stderr
    else:
        assert quota(pid) == ["50000", "100000"]
        assert f"effective 0.2 cores, set by the cgroup above it {outer.path}" in done.stdout
    done = sandbox_of("limit", pid, "--cpu-quota", "20000", "--cpu-period", "200000")
    assert quota(pid) == ["20000", "200000"], done.stderr
    # In the wrong order either of these two would be more than the group above has for a moment.
    assert sandbox_of("limit", pid, "--cpu-quota", "10000", "--cpu-period", "50000").returncode == 0
    assert quota(pid) == ["10000", "50000"]


@pytest.mark.vm
def test_memory_that_is_in_use(sandbox: Sandbox) -> None:
    """A limit below what cannot be given back is refused, by the kernel (EBUSY) or before it would kill."""
    program = "import time; x = bytearray(b'x') * (48 << 20); time.sleep(1000)"
    sandbox.start("full", "--memory", "128m", "python3", "-c", program)
    pid = sandbox.pid("full")

    def used() -> bool:
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            return any(line.startswith("RssAnon:") and int(line.split()[1]) > 48 << 10 for line in file)

    assert sandboxing.wait_for(used)
    done = sandbox_of("limit", pid, "--memory", "16m")
    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot get it below" in done.stderr or "cannot be given back" in done.stderr
    assert control(pid, "memory", "memory.limit_in_bytes", "memory.max") == str(128 << 20)


def test_containers_of_others(docker: Docker) -> None:
    """Docker's and LXC's are frozen and limited as ours are."""
    with docker.running("others", "busybox", "sleep", "1000"), runtimes.lxc("others") as box:
        assert box.tool is not None
        for pid in (docker.pid("others"), int(box.tool("info", "-p", "-H"))):
            assert sandbox_of("freeze", pid).returncode == 0
            assert frozen(pid)
            assert sandbox_of("thaw", pid).returncode == 0
            assert not frozen(pid)
            assert sandbox_of("limit", pid, "--cpus", "0.3", "--pids", "50").returncode == 0
            assert quota(pid) == ["30000", "100000"]
            assert control(pid, "pids", "pids.max") == "50"


def test_what_is_more_than_a_container() -> None:
    """Nothing is done to the root cgroup, to our own, or to one that holds the shell we were started from."""
    with subprocess.Popen(["sleep", "1000"]) as stray:
        try:
            done = sandbox_of("freeze", stray.pid)
        finally:
            stray.kill()
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert "has no freezer cgroup of its own" in line or "is the cgroup that this command runs in" in line


def test_a_cgroup_shared_with_the_caller(sandbox: Sandbox) -> None:
    """A cgroup that this command runs in, or what started it, is refused, and with --force it is not."""
    directory = f"{cgroups.hierarchy('pids')[0]}/cgscope-shared"
    os.mkdir(directory)
    leave = f"echo 0 > {cgroups.hierarchy('pids')[0]}/cgroup.procs; exec"
    script = f"echo $$ > {directory}/cgroup.procs; sleep 1000 & pid=$!; "
    # The command itself stays in the cgroup, or leaves it before it begins: what started it stays.
    script += "sh -c \"$0 \"'\"$@\"' sh \"$@\" $pid; code=$?; kill $pid; exit $code"
    limit = [*SANDBOX, "limit", "--pids", "99"]
    try:
        for first, text in (("exec", "is the cgroup that this command runs in"), (leave, "that runs this command")):
            done = run(["sh", "-c", script, first, *limit], check=False, env=sandbox.env)
            assert done.returncode == 1
            assert text in done.stderr
            assert cgroups.read(f"{directory}/pids.max").strip() == "max"
        done = run(["sh", "-c", script, "exec", *limit, "--force"], env=sandbox.env)
        assert done.stdout.startswith("pids: none -> 99; effective 99, set by itself")
        assert cgroups.read(f"{directory}/pids.max").strip() == "99"
    finally:
        assert sandboxing.wait_for(lambda: not cgroups.read(f"{directory}/cgroup.procs"))
        os.rmdir(directory)
