"""SIGKILL at any system call of a launcher or a monitor: the next command finds a clean state, and nothing is left.

Some of the calls are tried; CGSCOPE_SWEEP=40 tries as many in each test, CGSCOPE_SWEEP=all every one of them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.root import sandboxing
from tests.root.bundles import Runtime, create
from tests.testbed.commands import REPOSITORY, SANDBOX, Sandbox
from tests.testbed.leaks import cgroup_mounts
from tests.testbed.processes import children

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left_of_it")]

SWEEP = os.environ.get("CGSCOPE_SWEEP", "")
RUN = ("run", "-d", "--name", "swept", "--rootfs", "/", "sleep", "3600")
# How many calls there are, roughly, of which some, a few past the end among them, are tried.
LAUNCHER_CALLS, MONITOR_CALLS, END_CALLS = 220, 600, 900
CREATE_CALLS = 30  # of those that make something
PARENT = "/cgscope-swept"
KEPT = "fdatasync:signal=KILL:when=1"  # the record of one in the foreground is on its way to the disk
CROSSING_CALLS = 17  # of those that enter namespaces and mount, by the process that enters


def some(calls: int, count: int) -> list[int]:
    """Return which calls are tried: about as many as `count`, and always the first."""
    count = calls if SWEEP == "all" else int(SWEEP or count)
    return list(range(1, calls, max(calls // count, 1)))


def strace(*arguments: str, kill_at: int, calls: str = "all") -> list[str]:
    """Return a command that kills a process at one of its system calls, before that is done."""
    return ["strace", "-qq", "-o", "/dev/null", "-e", f"inject={calls}:signal=KILL:when={kill_at}", *arguments]


def settle(sandbox: Sandbox, before: set[str]) -> None:
    """Fail unless what there is after the kill is whole: a container that runs can be entered, any can be removed."""
    sandboxing.wait_for(lambda: not starting(sandbox))
    for name in sandbox("ps", "-aq", "--no-trunc").stdout.split():
        state = sandbox.inspect(name)["State"]
        assert state["Status"] in ("running", "exited", "created"), state
        if state["Running"]:
            # Its monitor may still be on its way to the call at which it dies.
            entered = sandbox("exec", name, "echo", "whole", check=False).stdout == "whole\n"
            assert entered or sandbox.inspect(name)["State"]["Status"] == "exited"
        sandbox("rm", "-f", name)
    sandboxing.check_nothing_left(sandbox, before)


def starting(sandbox: Sandbox) -> bool:
    """Tell whether a container is still being made or started by somebody who lives."""
    found = sandbox("ps", "-a", "--format", "{{.State}}").stdout.split()
    return "creating" in found


def is_stopped(pid: int) -> bool:
    """Tell whether a process has stopped itself."""
    try:
        return sandboxing.status(pid, "State").startswith("T")
    except (OSError, KeyError):
        return False


def is_traced(pid: int) -> bool:
    """Tell whether a tracer is attached, or the process is gone."""
    try:
        return sandboxing.status(pid, "TracerPid") != "0"
    except (OSError, KeyError):
        return True


def calls_of_a_launcher(sandbox: Sandbox) -> int:
    """Return how many system calls `sandbox run -d` makes."""
    trace = os.path.join(os.path.dirname(sandbox.root), "trace")
    subprocess.run(["strace", "-o", trace, *SANDBOX, *RUN], env=sandbox.env, check=True, capture_output=True)
    sandbox("rm", "-f", "swept")
    with open(trace, encoding="utf-8", errors="replace") as file:
        return sum(1 for _ in file)


def test_a_launcher_killed_anywhere(sandbox: Sandbox) -> None:
    """The launcher of a detached container dies at one of its last system calls, from before the fork to the end."""
    before = sandboxing.cgroup_directories()
    total = calls_of_a_launcher(sandbox)
    for back in some(LAUNCHER_CALLS, 6):
        subprocess.run(
            strace(*SANDBOX, *RUN, kill_at=total - back), env=sandbox.env, capture_output=True, check=False, timeout=120
        )
        settle(sandbox, before)


@pytest.mark.parametrize("created", [False, True])
def test_a_monitor_killed_anywhere_in_a_start(sandbox: Sandbox, *, created: bool) -> None:
    """The monitor dies at one of its system calls, from its fork to beyond the program's start, by run and by start."""
    for call in some(MONITOR_CALLS, 4):
        arguments: tuple[str, ...] = RUN
        if created:
            sandbox("create", *RUN[2:])
            arguments = ("start", "swept")
        kill_monitor(sandbox, arguments, call)


def kill_monitor(sandbox: Sandbox, arguments: Sequence[str], number: int, *chosen: str, calls: str = "all") -> None:
    """Start a container, and kill its monitor at one of its calls, or of those chosen; nothing is left of it."""
    before = sandboxing.cgroup_directories()
    command = [sys.executable, "-m", "tests.root.stopping_monitor", *arguments]
    with subprocess.Popen(
        command, env=sandbox.env, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as launcher:
        assert sandboxing.wait_for(lambda: any(map(is_stopped, children(launcher.pid))))
        (monitor,) = children(launcher.pid)
        attach = strace(*chosen, "-p", str(monitor), kill_at=number, calls=calls)
        with subprocess.Popen(attach, stderr=subprocess.DEVNULL) as tracer:
            assert sandboxing.wait_for(lambda: is_traced(monitor))
            os.kill(monitor, signal.SIGCONT)
            launcher.wait(timeout=120)
            settle(sandbox, before)
            tracer.wait(timeout=120)


def test_a_monitor_killed_among_the_cgroups_of_a_parent(sandbox: Sandbox) -> None:
    """What was made above the container's own, below a parent of the user's choice, goes with the container."""
    for mount in list(cgroup_mounts())[-2:]:  # before the first or the last is made
        chosen = ("-P", f"{mount}{PARENT}")
        kill_monitor(sandbox, (*RUN[:2], "--cgroup-parent", PARENT, *RUN[2:]), 1, *chosen, calls="mkdir")
        assert not made_for_parent()


def test_a_launcher_killed_around_its_record(sandbox: Sandbox, tmp_path: Path) -> None:
    """With --rm the record that a container runs changes places with the one before, and is kept a moment later.

    Whoever dies at one of the calls from before that to after it leaves nothing: neither of the two, and no program.
    """
    before = sandboxing.cgroup_directories()
    run = [sys.executable, "-m", "tests.root.patient_drafting", "run", "--rm", *RUN[2:]]
    trace = tmp_path / "trace"

    def died(*injections: str) -> list[str]:
        command = ["strace", "-o", str(trace), *(word for one in injections for word in ("-e", f"inject={one}")), *run]
        subprocess.run(command, env=sandbox.env, cwd=REPOSITORY, capture_output=True, check=False, timeout=120)
        settle(sandbox, before)
        return trace.read_text().splitlines()

    calls = died(KEPT)
    exchange = next(number for number, line in enumerate(calls) if "RENAME_EXCHANGE) = 0" in line)
    assert 'state.json.draft"' in calls[exchange + 1]
    for number in range(exchange, exchange + 3):  # the exchange, what it took the place of, the lock
        name = calls[number].partition("(")[0]
        count = sum(line.startswith(f"{name}(") for line in calls[: number + 1])
        ended = died(f"{name}:signal=KILL:when={count}", KEPT)
        assert [line.partition("(")[0] for line in ended[-3:-1]][-1:] == [name], ended[-4:]


def made_for_parent() -> list[str]:
    """Return the cgroups of PARENT that are left."""
    return [f"{mount}{PARENT}" for mount in cgroup_mounts() if os.path.exists(f"{mount}{PARENT}")]


def test_a_runtime_killed_anywhere_in_create(tmp_path: Path) -> None:
    """`sandbox oci create` dies among its directories, cgroups and records: `delete --force` leaves nothing of it."""
    runtime = Runtime(tmp_path)
    runtime.set("linux", "cgroupsPath", value=f"{PARENT}/inner/swept")
    (tmp_path / "root").mkdir(mode=0o700)
    for number in some(CREATE_CALLS, 6):
        runtime.tracer = strace(kill_at=number, calls="mkdir,rename,mknodat,openat2,clone3")
        create(runtime, "swept", check=False)
        runtime.tracer = []
        runtime("delete", "--force", "swept")
        assert os.listdir(tmp_path / "root") in ([], ["~"])
        assert sandboxing.wait_for(lambda: not made_for_parent())
        create(runtime, "swept")
        runtime("delete", "--force", "swept")


def test_who_enters_a_user_namespace_killed_anywhere(sandbox: Sandbox) -> None:
    """The process that has the container's mounts in hand dies at one of its calls: nothing of them is left."""
    before = sandboxing.cgroup_directories()
    calls = "inject=unshare,setns,open_tree,mount_setattr,move_mount,mount,pivot_root:signal=KILL:when="
    for number in some(CROSSING_CALLS, 4):
        command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"{calls}{number}", *SANDBOX, *RUN[:2]]
        command += ["--userns", "auto", *RUN[2:]]
        done = subprocess.run(command, env=sandbox.env, capture_output=True, check=False, timeout=120)
        assert (done.returncode, done.stderr.count(b"\n")) == (125, 1), done.stderr
        assert b"the other side" not in done.stderr
        settle(sandbox, before)


def test_a_monitor_killed_anywhere_in_an_end(sandbox: Sandbox) -> None:
    """The monitor dies at one of its system calls after its program has ended: the end is recorded, or found out."""
    before = sandboxing.cgroup_directories()
    for call in some(END_CALLS, 5):
        sandbox(*RUN)
        monitor = sandbox.inspect("swept")["Cgscope"]["Monitor"]["Pid"]
        with subprocess.Popen(strace("-p", str(monitor), kill_at=call), stderr=subprocess.DEVNULL) as tracer:
            assert sandboxing.wait_for(lambda: is_traced(monitor))  # noqa: B023
            sandbox("kill", "swept", check=False)
            tracer.wait(timeout=120)
        state = sandbox.inspect("swept")["State"]
        assert (state["Status"], state["ExitCode"]) == ("exited", 137)
        settle(sandbox, before)
