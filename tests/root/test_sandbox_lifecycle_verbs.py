"""Containers through their states: created, running, paused, restarting, exited; and what the verbs say of them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.root import sandboxing
from tests.root.test_sandbox_lifecycle import start
from tests.testbed.commands import SANDBOX, Sandbox, run
from tests.testbed.docker import IMAGE, Docker
from tests.testbed.tools import need

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left_of_it")]


def state(sandbox: Sandbox, name: str) -> str:
    """Return a container's status."""
    return sandbox("inspect", "-f", "{{.State.Status}}", name).stdout.strip()


def wait_for_state(sandbox: Sandbox, name: str, status: str) -> None:
    """Wait until a container has a status."""
    assert sandboxing.wait_for(lambda: state(sandbox, name) == status), state(sandbox, name)


def complaint(sandbox: Sandbox, *arguments: str, code: int = 1) -> str:
    """Run a command that must fail with one line, and return that."""
    done = sandbox(*arguments, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (code, 1), done
    return done.stderr


def events(sandbox: Sandbox, *arguments: str) -> list[str]:
    """Return what has happened so far, by name."""
    shown = sandbox("events", "--since", "1h", "--until", "0s", "--format", "{{.Action}}", *arguments)
    return shown.stdout.splitlines()


def test_create_start_and_start_again(sandbox: Sandbox) -> None:
    """B100, B110: nothing runs or is mounted before the start; what was written is there after a second one."""
    cgroups = sandboxing.cgroup_directories()
    script = "cat /kept 2>/dev/null; echo again >> /kept; exit 3"
    container = sandbox("create", "--name", "made", "--rootfs", "/", "sh", "-c", script).stdout.strip()
    assert len(container) == 64
    assert not [line for line in sandboxing.mounts() if sandbox.root in line]
    assert not [path for path in sandboxing.cgroup_directories() - cgroups if container in path]
    found = sandbox.inspect("made")["State"]
    assert (found["Status"], found["Running"], found["Pid"]) == ("created", False, 0)
    assert "is not running" in complaint(sandbox, "exec", "made", "true")
    assert sandbox("wait", "made").stdout == "0\n"
    for _ in range(2):
        assert sandbox("start", "made").stdout == "made\n"
        assert sandbox("wait", "made").stdout == "3\n"
    assert sandbox("logs", "made").stdout == "again\n"
    assert sandbox("start", "-a", "made", check=False).returncode == 3
    assert "no such container" in complaint(sandbox, "start", "nobody")
    assert [event for event in events(sandbox) if not event.startswith("exec")] == ["create", *["start", "die"] * 3]


def test_a_start_that_fails_changes_nothing(sandbox: Sandbox, tmp_path: os.PathLike[str]) -> None:
    """A container whose volume is gone stays created, and starts when it is there again."""
    volume = os.path.join(tmp_path, "volume")
    os.mkdir(volume)
    sandbox("create", "--name", "made", "-v", f"{volume}:/mnt", "--rootfs", "/", "true")
    os.rmdir(volume)
    complaint(sandbox, "start", "made")
    assert state(sandbox, "made") == "created"
    os.mkdir(volume)
    sandbox("start", "made")
    assert sandbox("wait", "made").stdout == "0\n"
    sandbox("create", "--name", "missing", "--rootfs", "/", "no-such-program")
    assert "no-such-program" in complaint(sandbox, "start", "missing")
    assert state(sandbox, "missing") == "created"
    failed = sandbox.inspect("missing")["State"]
    assert (failed["ExitCode"], "no-such-program" in failed["Error"]) == (127, True)
    ended = sandbox.inspect("made")["State"]
    assert (ended["ExitCode"], ended["Error"]) == (0, "")


@pytest.mark.vm
def test_pause(sandbox: Sandbox) -> None:
    """B097, B095, T6: a paused container stands still, cannot be entered, goes on, and can be stopped and removed."""
    start(sandbox, "still", "sh", "-c", "while :; do echo x; sleep 0.02; done")
    assert sandboxing.wait_for(lambda: sandbox("logs", "still").stdout != "")
    assert sandbox("pause", "still").stdout == "still\n"
    assert sandbox.inspect("still")["State"]["Status"] == "paused"
    assert "(Paused)" in sandbox("ps").stdout
    assert "is paused" in complaint(sandbox, "exec", "still", "true")
    assert "already paused" in complaint(sandbox, "pause", "still")
    assert "paused" in complaint(sandbox, "start", "still")

    def is_still() -> bool:
        """Tell whether nothing more comes; at first there may be some on its way to the log."""
        said = sandbox("logs", "still").stdout
        time.sleep(0.2)
        return sandbox("logs", "still").stdout == said

    assert sandboxing.wait_for(is_still)
    said = sandbox("logs", "still").stdout
    assert sandbox("unpause", "still").stdout == "still\n"
    assert sandboxing.wait_for(lambda: len(sandbox("logs", "still").stdout) > len(said))
    assert "not paused" in complaint(sandbox, "unpause", "still")
    sandbox("pause", "still")
    sandbox("stop", "-t", "1", "still")
    assert state(sandbox, "still") == "exited"
    sandbox("start", "still")
    sandbox("pause", "still")
    sandbox("rm", "-f", "still")
    assert "no such container" in complaint(sandbox, "pause", "still")


def test_what_somebody_else_has_frozen_ends(sandbox: Sandbox) -> None:
    """A container that `sandbox freeze PID` stopped, as ctop does, is killed, stopped and removed like a paused one."""
    start(sandbox, "frozen", "sleep", "1000")
    for end in (("kill", "frozen"), ("stop", "-t", "1", "frozen"), ("rm", "-f", "frozen")):
        assert sandbox("freeze", str(sandbox.inspect("frozen")["State"]["Pid"])).stdout.startswith("frozen")
        assert sandbox(*end).stdout == "frozen\n"
        if end[0] != "rm":
            assert state(sandbox, "frozen") == "exited"
            sandbox("start", "frozen")
    assert "no such container" in complaint(sandbox, "start", "frozen")


def test_what_somebody_else_has_frozen_is_not_entered(sandbox: Sandbox) -> None:
    """`exec` refuses it, as it would stand still with it, and health is not checked; `unpause` lets it go on.

    One whose monitor was killed too is cleaned up after.
    """
    start(sandbox, "frozen", "--health-cmd", "true", "--health-interval", "20ms", "sleep", "1000")
    assert sandboxing.wait_for(lambda: sandbox.inspect("frozen")["State"]["Health"]["Status"] == "healthy")
    found = sandbox.inspect("frozen")
    pid, directory = found["State"]["Pid"], found["Cgscope"]["Cgroups"][0]["Directory"]
    sandbox("freeze", "--force", str(pid))
    assert "container frozen is paused" in complaint(sandbox, "exec", "frozen", "true")
    time.sleep(0.5)
    with open(f"{directory}/cgroup.procs", encoding="ascii") as file:
        assert len(file.read().split()) <= 3  # a probe may have been on its way
    assert sandbox.inspect("frozen")["State"]["Health"]["Status"] == "healthy"
    assert sandbox("unpause", "frozen").stdout == "frozen\n"
    assert sandbox("exec", "frozen", "echo", "whole").stdout == "whole\n"
    sandbox("freeze", "--force", str(pid))
    os.kill(sandbox.inspect("frozen")["Cgscope"]["Monitor"]["Pid"], signal.SIGKILL)
    assert sandboxing.wait_for(lambda: "Exited (137)" in sandbox("ps", "-a").stdout)
    assert not os.path.exists(directory)


def test_pause_while_others_come_in(sandbox: Sandbox) -> None:
    """A check of its health that has joined its cgroup, and not yet its namespaces, is no reason to refuse."""
    start(sandbox, "busy", "--health-cmd", "true", "--health-interval", "5ms", "sleep", "1000")
    for _ in range(10):
        sandbox("pause", "busy")
        sandbox("unpause", "busy")
    assert sandbox("exec", "busy", "echo", "whole").stdout == "whole\n"


def test_a_pause_that_is_killed(sandbox: Sandbox) -> None:
    """Whether it had frozen the container or not: it is a paused one, which `unpause` lets go on."""
    start(sandbox, "half", "sleep", "1000")
    files = [
        f"{each['Directory']}/{name}"
        for each in sandbox.inspect("half")["Cgscope"]["Cgroups"]
        for name in ("freezer.state", "cgroup.freeze", "cgroup.events")
        if os.path.exists(f"{each['Directory']}/{name}")
    ]
    paths = [word for file in files for word in ("-P", file)]
    for call in ("write:signal=KILL:when=1", "read,pread64:signal=KILL:when=2"):  # before it is frozen, and after
        killed = ["strace", "-f", "-qq", "-o", "/dev/null", *paths, "-e", f"inject={call}", *SANDBOX, "pause", "half"]
        done = subprocess.run(killed, env=sandbox.env, capture_output=True, check=False, timeout=120)
        assert done.returncode == -signal.SIGKILL, done
        assert state(sandbox, "half") == "paused"
        assert "is paused" in complaint(sandbox, "exec", "half", "true")
        sandbox("unpause", "half")
        assert sandbox("exec", "half", "echo", "whole").stdout == "whole\n"


def has_pidfd(pid: int) -> bool:
    """Tell whether a process waits for another: has found what it is to wait for."""
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            if "pidfd" in os.readlink(f"/proc/{pid}/fd/{name}"):
                return True
    return False


def test_wait_and_restart(sandbox: Sandbox) -> None:
    """B012: wait tells the code of what ended, is ending, or is removed meanwhile; restart gives a new process."""
    start(sandbox, "kept", "sh", "-c", "trap 'exit 7' TERM; echo ready; while :; do sleep 0.02; done")
    start(sandbox, "gone", "--rm", "sh", "-c", "until [ -e /go ]; do sleep 0.02; done; exit 9")
    with subprocess.Popen([*SANDBOX, "wait", "gone"], env=sandbox.env, stdout=subprocess.PIPE) as waiting:
        assert sandboxing.wait_for(lambda: has_pidfd(waiting.pid))
        sandbox("exec", "gone", "touch", "/go")
        assert waiting.communicate(timeout=120)[0] == b"9\n"
    assert sandboxing.wait_for(lambda: sandbox("logs", "kept").stdout == "ready\n")
    before = sandbox.pid("kept")
    assert sandbox("restart", "kept").stdout == "kept\n"
    assert sandbox.pid("kept") not in (0, before)
    assert sandboxing.wait_for(lambda: sandbox("logs", "kept").stdout == "ready\nready\n")
    sandbox("stop", "kept")
    assert sandbox("wait", "kept").stdout == "7\n"


@pytest.mark.parametrize("how", [("-d",), ()], ids=["background", "foreground"])
def test_restart_of_one_that_is_removed_at_its_end(sandbox: Sandbox, how: tuple[str, ...]) -> None:
    """`restart` is no end that --rm means, as with Docker: what was written is there; the next end is one."""
    command = ("--rootfs", "/", "sh", "-c", "echo run >> /runs; sleep 600")
    words = [*SANDBOX, "run", "--rm", "--name", "brief", *how, *command]
    with subprocess.Popen(words, env=sandbox.env, stdout=subprocess.DEVNULL) as running:
        assert sandboxing.wait_for(lambda: sandbox("exec", "brief", "test", "-e", "/runs", check=False).returncode == 0)
        for count in (2, 3):
            assert sandbox("restart", "-t", "0", "brief").stdout == "brief\n"
            lines = "run\n" * count
            assert sandboxing.wait_for(lambda lines=lines: sandbox("exec", "brief", "cat", "/runs").stdout == lines)  # type: ignore[misc]
        assert running.wait() == (0 if how else 137)
    sandbox("kill", "brief")
    assert sandboxing.wait_for(lambda: sandbox("ps", "-aq").stdout == "")


def test_stop_signals_and_patience(sandbox: Sandbox) -> None:
    """B094, B096, T28: the stop signal is the container's or the command's; another command is served meanwhile."""
    script = "trap 'exit 1' TERM; trap 'exit 2' USR1; trap 'exit 3' HUP; echo ready; while :; do sleep 0.02; done"
    start(sandbox, "own", "--stop-signal", "SIGUSR1", "sh", "-c", script)
    assert sandboxing.wait_for(lambda: sandbox("logs", "own").stdout == "ready\n")
    sandbox("stop", "own")
    sandbox("start", "own")
    assert sandboxing.wait_for(lambda: sandbox("logs", "own").stdout == "ready\nready\n")
    assert sandbox.inspect("own")["State"]["ExitCode"] == 0
    sandbox("stop", "-s", "HUP", "own")
    assert sandbox("wait", "own").stdout == "3\n"
    script = "trap '' TERM; echo ready; until [ -e /go ]; do sleep 0.02; done; exit 5"
    start(sandbox, "deaf", "--stop-timeout", "300", "sh", "-c", script)
    assert sandboxing.wait_for(lambda: sandbox("logs", "deaf").stdout == "ready\n")
    with subprocess.Popen([*SANDBOX, "stop", "deaf"], env=sandbox.env, stdout=subprocess.PIPE) as stopping:
        assert sandboxing.wait_for(lambda: "kill" in events(sandbox, "--filter", "container=deaf"))
        assert sandbox("exec", "deaf", "touch", "/go").returncode == 0
        assert stopping.communicate(timeout=60)[0] == b"deaf\n"
    assert sandbox.inspect("deaf")["State"]["ExitCode"] == 5
    start(sandbox, "mute", "sleep", "600")
    assert "resorting to SIGKILL" in sandbox("stop", "-t", "1", "mute").stderr
    assert "is not running" in complaint(sandbox, "kill", "deaf")
    assert "invalid signal" in complaint(sandbox, "kill", "-s", "SIG42", "deaf")
    complaint(sandbox, "run", "--stop-signal", "NOSUCH", "--rootfs", "/", "true", code=125)


def test_a_pause_while_it_is_stopped(sandbox: Sandbox) -> None:
    """What is paused by another command just then ends all the same: on v1 what is frozen cannot even be killed."""
    start(sandbox, "deaf", "sleep", "600")
    with subprocess.Popen([*SANDBOX, "stop", "-t", "3", "deaf"], env=sandbox.env, stdout=subprocess.PIPE) as stopping:
        assert sandboxing.wait_for(lambda: "kill" in events(sandbox, "--filter", "container=deaf"))
        sandbox("pause", "deaf")
        assert stopping.communicate(timeout=60)[0] == b"deaf\n"
    found = sandbox.inspect("deaf")["State"]
    assert (found["Status"], found["ExitCode"], found["Paused"]) == ("exited", 128 + signal.SIGKILL, False)


# Has another command remove a container as soon as its start has looked it up.
REMOVED_MEANWHILE = """
import sys
from sandbox import container, ending
from sandbox.errors import NoSuchContainer
from sandbox.state import Store
class Shared(Store):
    def find(self, name):
        found = super().find(name)
        ending.remove(Store(self.root), name, force=True)
        return found
try:
    container.start(Shared(sys.argv[1]), "made")
except NoSuchContainer as error:
    print(error)
"""


def test_start_of_what_is_removed_meanwhile(sandbox: Sandbox) -> None:
    """It is no such container, by the name that was given: not a file of it that is missing, nor a long id."""
    sandbox("create", "--name", "made", "--rootfs", "/", "true")
    done = run([sys.executable, "-c", REMOVED_MEANWHILE, sandbox.root], env=sandbox.env)
    assert (done.stdout, done.stderr) == ("no such container: made\n", "")


# Has a command that looked before this start began remove the container when all but its program is there.
REMOVED_LATER = """
import sys
from sandbox import container
from sandbox.errors import NoSuchContainer
from sandbox.state import Store
class Shared(Store):
    times = 0
    def changing(self, container, **how):
        self.times += 1
        if self.times == 2:
            Store(self.root).remove(container, "made")
        return super().changing(container, **how)
try:
    container.start(Shared(sys.argv[1]), "made")
except NoSuchContainer as error:
    print(error)
"""


def test_nothing_stays_of_a_start_whose_container_is_removed(sandbox: Sandbox) -> None:
    """Its cgroups, which only this start knows of, go with it."""
    before = sandboxing.cgroup_directories()
    container = sandbox("create", "--name", "made", "--rootfs", "/", "true").stdout.strip()
    done = run([sys.executable, "-c", REMOVED_LATER, sandbox.root], env=sandbox.env)
    assert (done.stdout, done.stderr) == ("no such container: made\n", "")
    left = [path for path in sandboxing.cgroup_directories() - before if container in path]
    for path in left:
        os.rmdir(path)
    assert left == []


# One container runs on a disk that fails, as the kernel has it (ext4's errors=remount-ro), and is stopped there.
FAILED_DISK = """
mount -o loop,errors=remount-ro $D/disk $D/place || { echo none; exit; }
export CGSCOPE_ROOT=$D/place/state
for name in deaf idle; do $SANDBOX run -d --name $name --rootfs / sleep 600 > /dev/null; done
pids=$($SANDBOX inspect -f '{{.State.Pid}}' deaf idle)
groups=$($SANDBOX inspect -f '{{range .Cgscope.Cgroups}}{{.Directory}} {{end}}' deaf idle)
echo 1 > /sys/fs/ext4/$(basename $(findmnt -no SOURCE $D/place))/trigger_fs_error
touch $D/place/x 2> /dev/null && echo none
$SANDBOX pause idle 2> /dev/null && echo paused
$SANDBOX stop -t 0 deaf
$SANDBOX ps -a --format '{{.Names}} {{.State}}'
$SANDBOX kill idle
$SANDBOX ps -a --format '{{.Names}} {{.State}}'
kill -9 $pids 2> /dev/null
for try in $(seq 50); do umount $D/place 2> /dev/null && break; sleep 0.1; done
rmdir $groups 2> /dev/null || true  # nobody can know any more that they were its
"""


def test_what_runs_on_a_disk_that_has_failed_is_ended(sandbox: Sandbox, tmp_path: Path) -> None:
    """That cannot be recorded, and is done all the same; `ps` tells it."""
    need("mkfs.ext4")
    (tmp_path / "place").mkdir()
    with open(tmp_path / "disk", "wb") as disk:
        disk.truncate(64 << 20)
    run(["mkfs.ext4", "-q", "-F", str(tmp_path / "disk")])
    env = {**sandbox.env, "D": str(tmp_path), "SANDBOX": " ".join(SANDBOX)}
    done = run(["sh", "-c", FAILED_DISK], env=env)
    if "none" in done.stdout.split():
        pytest.skip("no filesystem in a file can be made to fail here")
    assert done.stdout.splitlines() == ["deaf", "idle running", "deaf exited", "idle", "idle exited", "deaf exited"]


def test_warnings_that_nobody_hears(sandbox: Sandbox) -> None:
    """Where standard error is full a container that one is due of is started and stopped all the same."""
    with open("/dev/full", "wb") as full:

        def done(*words: str) -> int:
            run = subprocess.run(
                [*SANDBOX, *words], env=sandbox.env, stdout=subprocess.DEVNULL, stderr=full, check=False
            )
            return run.returncode

        assert done("run", "-d", "--name", "mute", "--net", "host", "-p", "80:80", "--rootfs", "/", "sleep", "600") == 0
        assert done("stop", "-t", "1", "mute") == 0
    assert sandbox.inspect("mute")["State"]["ExitCode"] == 128 + signal.SIGKILL


def test_stop_of_several(sandbox: Sandbox, tmp_path: os.PathLike[str]) -> None:
    """All are asked at once, as Docker does: each of these ends only when the other one has been asked too."""
    for name, other in (("one", "two"), ("two", "one")):
        script = f"trap ': > /mnt/{name}' TERM; : > /mnt/{name}.ready; until test -e /mnt/{other}; do sleep 0.05; done"
        sandbox("run", "-d", "--name", name, "-v", f"{tmp_path}:/mnt", "--rootfs", "/", "sh", "-c", script)
    assert sandboxing.wait_for(lambda: {"one.ready", "two.ready"} <= set(os.listdir(tmp_path)))
    done = sandbox("stop", "-t", "60", "one", "nobody", "two", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "one\ntwo\n", "sandbox: no such container: nobody\n")
    assert sandbox("wait", "one", "two").stdout == "0\n0\n"


def test_restart_policies(sandbox: Sandbox) -> None:
    """B108: on-failure:N gives up after N, always goes on until it is stopped, by hand or while it waits."""
    start(sandbox, "fails", "--restart", "on-failure:2", "sh", "-c", "echo run; exit 3")
    start(sandbox, "forever", "--restart", "always", "sh", "-c", "echo run")
    wait_for_state(sandbox, "fails", "exited")
    found = sandbox.inspect("fails")
    assert (found["RestartCount"], found["State"]["ExitCode"]) == (2, 3)
    assert sandbox("logs", "fails").stdout == "run\n" * 3
    wait_for_state(sandbox, "forever", "restarting")
    assert sandboxing.wait_for(lambda: "Restarting (0)" in sandbox("ps").stdout)
    assert sandboxing.wait_for(lambda: sandbox.inspect("forever")["RestartCount"] >= 3)
    sandbox("stop", "forever")
    assert state(sandbox, "forever") == "exited"
    start(sandbox, "killed", "--restart", "always", "sleep", "600")
    sandbox("kill", "killed")
    assert state(sandbox, "killed") == "exited"
    # By the machine's start: what was always to run comes back, what had been stopped by hand and is not, does not.
    start(sandbox, "unless", "--restart", "unless-stopped", "sleep", "600")
    sandbox("stop", "-t", "0", "unless")
    assert sandbox("start", "--all").stdout.split() == ["forever", "killed"]
    sandbox("rm", "-f", "forever", "killed")
    for text in ("on-failure:x", "sometimes"):
        complaint(sandbox, "run", "--restart", text, "--rootfs", "/", "true", code=125)
    assert "both --restart and --rm" in complaint(
        sandbox, "run", "--rm", "--restart", "always", "--rootfs", "/", "true", code=125
    )


def between_restarts(sandbox: Sandbox, name: str, *command: str) -> None:
    """Start a container that ends at once, again and again, and return when there is time before its next start."""
    start(sandbox, name, "--restart", "always", *command)

    def pauses() -> bool:
        seen = sandbox.inspect(name)
        return bool(seen["RestartCount"] >= 5 and seen["State"]["Status"] == "restarting")  # for 3.2 s and more

    assert sandboxing.wait_for(pauses)


def test_files_between_restarts(sandbox: Sandbox) -> None:
    """What is in a container that fails again and again can be had, and mended, while it waits for its next start."""
    between_restarts(sandbox, "failing", "sh", "-c", "[ -e /mended ] && sleep 600; echo why > /log; exit 1")
    assert "why\n" in sandbox("cp", "failing:/log", "-").stdout
    assert sandbox("diff", "failing").stdout == "A /log\n"
    assert sandbox.inspect("failing")["State"]["Status"] == "restarting"
    sandbox("cp", "/etc/hostname", "failing:/mended")
    wait_for_state(sandbox, "failing", "running")


def test_what_waits_for_its_restart(sandbox: Sandbox) -> None:
    """Verbs that need a program say that it is awaited; a signal that would end it ends the restarts, as Docker's."""
    between_restarts(sandbox, "failing", "false")
    for verb, *more in (("exec", "true"), ("pause",), ("top",)):
        assert "failing is restarting, wait until it is running" in complaint(sandbox, verb, "failing", *more)
    assert "failing is restarting" in complaint(sandbox, "kill", "-s", "HUP", "failing")
    assert sandbox("kill", "failing").stdout == "failing\n"
    state = sandbox.inspect("failing")["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", 1)


@pytest.mark.parametrize("verb", ["kill", "stop"])
def test_one_that_ends_while_it_is_told_to(sandbox: Sandbox, verb: str) -> None:
    """A container whose program has ended since it was looked at, and waits for its restart, is not started again."""
    between_restarts(sandbox, "failing", "false")
    late = "import sandbox.cli as c, sandbox.state as s; find = s.Store.find;"
    late += "seen = lambda text: (text['State'].update(Status='running'), text)[1];"
    late += "s.Store.find = lambda store, name: seen(find(store, name)); c.main()"
    begun = time.monotonic()
    assert run([sys.executable, "-c", late, verb, "failing"], env=sandbox.env).stdout == "failing\n"
    assert (state(sandbox, "failing"), time.monotonic() - begun < 2) == ("exited", True)


def looks_at_a_process(pid: int) -> bool:
    """Tell whether a process has a descriptor of a process."""
    with contextlib.suppress(FileNotFoundError):
        return any(os.readlink(f"/proc/{pid}/fd/{fd}").endswith("[pidfd]") for fd in os.listdir(f"/proc/{pid}/fd"))
    return False


def test_wait_for_one_that_is_restarted(sandbox: Sandbox) -> None:
    """`wait` ends with the program, as Docker's does, also if that is started again at once, or about to be."""
    command = ("sh", "-c", "while [ ! -e /go ]; do sleep 0.05; done; rm /go; echo >> /runs; exit $(wc -l < /runs)")
    start(sandbox, "again", "--restart", "always", *command)
    for code in ("1\n", "2\n"):
        words = [*SANDBOX, "wait", "again"]
        with subprocess.Popen(words, env=sandbox.env, stdout=subprocess.PIPE, text=True) as waiting:
            assert sandboxing.wait_for(lambda pid=waiting.pid: looks_at_a_process(pid))  # type: ignore[misc]
            sandbox("exec", "again", "touch", "/go")
            assert waiting.communicate()[0] == code
        wait_for_state(sandbox, "again", "running")
    between_restarts(sandbox, "failing", "sh", "-c", "exit 4")
    assert sandbox("wait", "failing").stdout == "4\n"
    assert sandbox.inspect("failing")["RestartCount"] == 6
    sandbox("rm", "-f", "failing")


def test_a_start_beside_another(sandbox: Sandbox) -> None:
    """Who starts a container that another command is just starting has it running, as with Docker."""
    sandbox("create", "--name", "wanted", "--rootfs", "/", "sleep", "600")
    late = "import time, sandbox.cli as c, sandbox.launch as l; begin = l.begin;"
    late += "l.begin = lambda *given: (time.sleep(3), begin(*given))[1]; c.main()"
    with subprocess.Popen([sys.executable, "-c", late, "start", "wanted"], env=sandbox.env) as first:
        assert sandboxing.wait_for(lambda: sandbox.inspect("wanted")["Cgscope"]["Monitor"] is not None)
        assert not sandbox.inspect("wanted")["State"]["Running"]
        assert sandbox("start", "wanted").stdout == "wanted\n"
        assert sandbox.inspect("wanted")["State"]["Running"]
    assert (first.returncode, events(sandbox).count("start")) == (0, 1)


def test_another_policy_of_restarts(sandbox: Sandbox) -> None:
    """`update --restart` holds at the next end, in a monitor that runs already, and is shown; --rm has no restarts."""
    start(sandbox, "one", "sh", "-c", "cat /flag || sleep 600")
    sandbox("update", "--restart", "on-failure:1", "one")
    assert sandbox.inspect("one")["HostConfig"]["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 1}
    sandbox("exec", "one", "sh", "-c", "echo > /flag; kill -9 $(pidof sleep)", check=False)  # it may end that first
    assert sandboxing.wait_for(lambda: sandbox.inspect("one")["RestartCount"] == 1)
    wait_for_state(sandbox, "one", "exited")
    start(sandbox, "two", "--restart", "always", "sh", "-c", "sleep 0.1")

    def pauses() -> bool:
        seen = sandbox.inspect("two")
        return bool(seen["RestartCount"] >= 3 and seen["State"]["Status"] == "restarting")  # for 0.8 s and more

    assert sandboxing.wait_for(pauses)
    sandbox("update", "--restart", "no", "--pids-limit", "50", "two")  # there is no cgroup meanwhile
    wait_for_state(sandbox, "two", "exited")
    assert sandbox.inspect("two")["HostConfig"]["PidsLimit"] == 50
    complaint(sandbox, "update", "--restart", "sometimes", "one")
    start(sandbox, "gone", "--rm", "sleep", "600")
    assert "AutoRemove is enabled" in complaint(sandbox, "update", "--restart", "always", "gone")


def test_stats_by_a_template(sandbox: Sandbox, docker: Docker) -> None:
    """`stats --format` has Docker's columns, with the container's own limit and processes; once, or a row a sample."""
    start(sandbox, "one", "-m", "64m", "sh", "-c", "sleep 600 & wait")
    start(sandbox, "two", "sleep", "600")
    assert sandboxing.wait_for(lambda: len(sandbox("top", "one").stdout.splitlines()) == 3)
    row = json.loads(sandbox("stats", "--no-stream", "--format", "{{json .}}", "one").stdout)
    with docker.running("stats", IMAGE, "sleep", "600"):
        theirs = json.loads(docker("stats", "--no-stream", "--format", "{{json .}}", "stats").stdout)
    assert row.keys() == theirs.keys()
    assert (row["Name"], row["PIDs"], row["ID"]) == ("one", "2", sandbox.inspect("one")["Id"][:12])
    assert row["MemUsage"].endswith(" / 64MiB")
    assert row["CPUPerc"].endswith("%")
    listed = sandbox("stats", "--no-stream", "--format", "table {{.Name}}\\t{{.PIDs}}").stdout.splitlines()
    found = [listed[0].split(), *sorted(line.split() for line in listed[1:])]
    assert found == [["NAME", "PIDS"], ["one", "2"], ["two", "1"]]
    words = [*SANDBOX, "stats", "--format", "{{.Name}}", "two"]
    with subprocess.Popen(words, env=sandbox.env, stdout=subprocess.PIPE, text=True) as streaming:
        assert streaming.stdout is not None
        assert [streaming.stdout.readline() for _ in range(2)] == ["two\n"] * 2
        streaming.send_signal(signal.SIGINT)
    assert "json or a template" in complaint(sandbox, "stats", "--format", "xml", code=125)


def test_health(sandbox: Sandbox) -> None:
    """B108: healthy, unhealthy, healthy again; a probe that takes too long is -1, and is killed in the container."""
    check = "[ ! -e /slow ] || sleep 60; echo probed; test -e /ok"
    options = ("--health-cmd", check, "--health-interval", "50ms", "--health-retries", "2", "--health-timeout", "2s")
    start(sandbox, "patient", *options, "sleep", "600")

    def health() -> str:
        return str(sandbox.inspect("patient")["State"]["Health"]["Status"])

    assert sandboxing.wait_for(lambda: health() == "unhealthy")
    assert "(unhealthy)" in sandbox("ps").stdout
    assert sandbox("ps", "-q", "--filter", "health=unhealthy").stdout != ""
    sandbox("exec", "patient", "touch", "/ok")
    assert sandboxing.wait_for(lambda: health() == "healthy")
    sandbox("exec", "patient", "touch", "/slow")
    assert sandboxing.wait_for(lambda: sandbox.inspect("patient")["State"]["Health"]["Log"][-1]["ExitCode"] == -1)
    found = sandbox.inspect("patient")["State"]["Health"]["Log"]
    assert found[-1]["Output"] == "Health check exceeded timeout (2s): "[:-2]
    assert {"probed\n"} == {entry["Output"] for entry in found if entry["ExitCode"] == 0}
    assert sandboxing.is_small(sandbox.inspect("patient")["Cgscope"]["Monitor"]["Pid"])
    sandbox("exec", "patient", "rm", "/slow")
    assert sandboxing.wait_for(lambda: sandbox.inspect("patient")["State"]["Health"]["Log"][-1]["ExitCode"] == 0)
    assert health() == "healthy"
    sandbox("stop", "-t", "0", "patient")
    assert health() == "unhealthy"  # as with Docker
    assert sandbox("ps", "-a", "-q", "--filter", "health=healthy").stdout == ""
    assert {"health_status: healthy", "health_status: unhealthy"} <= set(events(sandbox))


def test_health_before_any_check(sandbox: Sandbox) -> None:
    """A container is `starting` from the moment on that it runs, also while its monitor has not come to checking."""
    late = "import sandbox.cli as c, sandbox.monitor as m; m.SMALL = 'import time; time.sleep(3);' + m.SMALL; c.main()"
    words = ("run", "-d", "--name", "patient", "--health-cmd", "true", "--rootfs", "/", "sleep", "600")
    run([sys.executable, "-c", late, *words], env=sandbox.env)
    assert sandbox.inspect("patient")["State"]["Health"] == {"Status": "starting", "FailingStreak": 0, "Log": []}
    assert "(health: starting)" in sandbox("ps").stdout


def test_a_monitor_is_small(sandbox: Sandbox) -> None:
    """A detached container's monitor keeps less than 6 MiB of its own, also after it has restarted its program."""
    start(sandbox, "small", "--restart", "always", "sh", "-c", "sleep 0.1; [ -e /done ] && sleep 60; touch /done")
    assert sandboxing.wait_for(lambda: sandbox.inspect("small")["RestartCount"] == 1)
    wait_for_state(sandbox, "small", "running")
    monitor = sandbox.inspect("small")["Cgscope"]["Monitor"]["Pid"]
    assert sandboxing.wait_for(lambda: sandboxing.is_small(monitor)), sandboxing.status(monitor, "RssAnon")


def test_rename_prune_and_filters(sandbox: Sandbox) -> None:
    """A name can be changed and its old one taken; prune removes what does not run, after a question (B099)."""
    start(sandbox, "runs", "-l", "tier=web", "sleep", "600")
    sandbox("run", "--name", "ended", "-l", "tier=db", "--rootfs", "/", "true")
    sandbox("create", "--name", "made", "--rootfs", "/", "true")
    sandbox("rename", "runs", "renamed")
    assert "already in use" in complaint(sandbox, "rename", "renamed", "made")
    assert "same name" in complaint(sandbox, "rename", "made", "made")
    assert "no such object" in complaint(sandbox, "inspect", "-f", "{{.Id}}", "runs")
    assert sandbox("container", "ls", "--format", "table {{.Names}}").stdout == "NAMES\nrenamed\n"
    assert sandbox("ps", "--format", '{{.Names}} {{.Label "tier"}}').stdout == "renamed web\n"
    assert sandbox("ps", "-n", "2", "--format", "{{.Names}}").stdout == "made\nended\n"
    assert sandbox("ps", "-l", "-q", "--no-trunc").stdout.strip() == sandbox.inspect("made")["Id"]
    assert sandbox("ps", "--filter", "label=tier=db", "--filter", "status=exited", "-q").stdout != ""
    assert "sleep 600" in sandbox("top", "renamed").stdout
    assert sandbox("top", "renamed", "-eo", "pid,comm").stdout.split() == [
        "PID", "COMMAND", str(sandbox.pid("renamed")), "sleep",
    ]
    assert "Are you sure" in sandbox("prune", text="n\n").stdout
    assert state(sandbox, "ended") == "exited"
    assert sandbox("prune", "-f", "--filter", "label=tier=db").stdout.startswith("Deleted Containers:\n")
    assert state(sandbox, "made") == "created"
    assert "Total reclaimed space: " in sandbox("prune", text="y\n").stdout
    assert sandbox("ps", "-a", "--format", "{{.Names}}").stdout == "renamed\n"


def test_files_of_options(sandbox: Sandbox, tmp_path: os.PathLike[str]) -> None:
    """B102: --cidfile must not exist and goes with a failed start; environment and labels come from files."""
    files = {name: os.path.join(tmp_path, name) for name in ("id", "env", "labels")}
    with open(files["env"], "w", encoding="utf-8") as file:
        file.write("# c\nONE=1\nTWO=2\n")
    with open(files["labels"], "w", encoding="utf-8") as file:
        file.write("a=b\n")
    options = ("--cidfile", files["id"], "--env-file", files["env"], "-e", "TWO=3", "--label-file", files["labels"])
    done = sandbox("run", "--name", "told", *options, "--rootfs", "/", "sh", "-c", "echo $ONE $TWO")
    assert done.stdout == "1 3\n"
    with open(files["id"], encoding="ascii") as file:
        assert file.read() == sandbox.inspect("told")["Id"]
    assert sandbox.inspect("told")["Config"]["Labels"] == {"a": "b"}
    assert "container ID file found" in complaint(sandbox, "run", *options, "--rootfs", "/", "true", code=125)
    os.unlink(files["id"])
    complaint(sandbox, "run", "--cidfile", files["id"], "--rootfs", "/", "no-such-program", code=127)
    assert not os.path.exists(files["id"])
    complaint(sandbox, "run", "--cidfile", os.path.join(tmp_path, "no", "id"), "--rootfs", "/", "true", code=127)


def test_logs_by_time_and_size(sandbox: Sandbox) -> None:
    """B101: output in the foreground is kept too, streams apart, long lines whole, by time, rotated, or not at all."""
    script = "echo out; echo err >&2; head -c 33000 /dev/zero | tr '\\0' x; echo; sleep 0.5; echo late"
    done = sandbox("run", "--name", "said", "--rootfs", "/", "sh", "-c", script)
    kept = sandbox("logs", "said")
    assert (kept.stdout, kept.stderr) == (done.stdout, done.stderr) == ("out\n" + "x" * 33000 + "\nlate\n", "err\n")
    late = sandbox("logs", "-t", "--tail", "1", "said").stdout.split()
    assert late[1] == "late"
    assert sandbox("logs", "--since", late[0], "said").stdout == "late\n"
    assert sandbox("logs", "--until", "1h", "said").stdout == ""
    assert sandbox("logs", "-f", "said").stdout == kept.stdout
    bounds = ("--log-opt", "max-size=20k", "--log-opt", "max-file=2")
    sandbox("run", "--name", "bounded", *bounds, "--rootfs", "/", "seq", "10000")
    lines = sandbox("logs", "bounded").stdout.split()
    assert 100 < len(lines) < 1000
    assert lines == [str(number) for number in range(10001 - len(lines), 10001)]
    sandbox("run", "--name", "silent", "--log-driver", "none", "--rootfs", "/", "echo", "x")
    assert "does not support reading" in complaint(sandbox, "logs", "silent")


def test_a_slow_reader(sandbox: Sandbox) -> None:
    """B101, T27: who reads slowly loses nothing and hinders no other command; who stops reading ends its container."""
    command = [*SANDBOX, "run", "--name", "much", "--rootfs", "/", "seq", "400000"]
    with subprocess.Popen(command, env=sandbox.env, stdout=subprocess.PIPE) as running:
        assert sandboxing.wait_for(lambda: sandbox("ps", "-q").stdout != "" or running.poll() is not None)
        time.sleep(0.3)
        assert sandbox("inspect", "-f", "{{.Name}}", "much").stdout == "much\n"
        assert running.stdout is not None
        assert running.stdout.read() == b"".join(b"%d\n" % number for number in range(1, 400001))
        assert running.wait(timeout=60) == 0
    script = "while :; do echo y; done"
    pipeline = f"{' '.join(SANDBOX)} run --name endless --rootfs / sh -c '{script}' | head -1"
    assert subprocess.run(["sh", "-c", pipeline], env=sandbox.env, capture_output=True, check=True).stdout == b"y\n"
    wait_for_state(sandbox, "endless", "exited")


@pytest.mark.vm
def test_out_of_memory_in_the_background(sandbox: Sandbox) -> None:
    """A detached program that wants too much is killed: 137, OOMKilled, and an event."""
    start(sandbox, "hungry", "--memory", "32m", "python3", "-c", "x = bytearray(200 << 20)")
    assert sandbox("wait", "hungry").stdout == "137\n"
    assert sandbox.inspect("hungry")["State"]["OOMKilled"] is True
    assert "oom" in events(sandbox)


def test_after_a_reboot(sandbox: Sandbox) -> None:
    """What ran when the machine went down has exited; it can be started again, with what it had written."""
    container = start(sandbox, "old", "--restart", "always", "sh", "-c", "echo up >> /ups; sleep 60")
    sandboxing.wait_for(lambda: sandbox("exec", "old", "cat", "/ups", check=False).stdout == "up\n")
    path = os.path.join(sandbox.root, "containers", container, "state.json")
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    os.kill(document["Cgscope"]["Monitor"]["Pid"], signal.SIGKILL)
    assert sandboxing.wait_for(lambda: not os.path.exists(f"/proc/{document['State']['Pid']}/exe"))  # or is a zombie
    document["Cgscope"]["BootId"] = "another"
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file)
    found = sandbox.inspect("old")["State"]
    assert (found["Status"], found["ExitCode"], found["Pid"]) == ("exited", 255, 0)
    assert sandbox("start", "--all").stdout == "old\n"
    assert sandboxing.wait_for(lambda: sandbox("exec", "old", "cat", "/ups", check=False).stdout == "up\nup\n")


def test_many_at_once(sandbox: Sandbox) -> None:
    """B109: 20 commands that make, enter and remove at the same time do not hinder one another."""
    start(sandbox, "shared", "sleep", "120")
    commands: list[tuple[str, ...]] = [("run", "-d", "--rootfs", "/", "sleep", "120")] * 6
    commands += [("run", "--rm", "--rootfs", "/", "true")] * 5
    commands += [("exec", "shared", "true")] * 5 + [("ps", "-a")] * 4
    running = [
        subprocess.Popen([*SANDBOX, *command], env=sandbox.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for command in commands
    ]
    ended = [process.communicate(timeout=300) for process in running]
    assert [process.returncode for process in running] == [0] * 20, [error for _, error in ended]
    ids = sandbox("ps", "-q", "--no-trunc").stdout.split()
    assert len(set(ids)) == 7
    removing = [subprocess.Popen([*SANDBOX, "rm", "-f", one], env=sandbox.env, stdout=subprocess.PIPE) for one in ids]
    for process in removing:
        process.communicate(timeout=300)
        assert process.returncode == 0
    assert sandbox("ps", "-aq").stdout == ""


def test_a_thousand_containers(sandbox: Sandbox) -> None:
    """A thousand created containers are listed and found; `ps` reads each once."""
    container = sandbox("create", "--name", "first", "--rootfs", "/", "true").stdout.strip()
    directory = os.path.join(sandbox.root, "containers")
    with open(os.path.join(directory, container, "state.json"), encoding="utf-8") as file:
        text = file.read()
    for number in range(1000):
        other = f"{number:064x}"
        os.mkdir(os.path.join(directory, other))
        os.symlink(other, os.path.join(sandbox.root, "names", f"copy{number}"))
        with open(os.path.join(directory, other, "state.json"), "w", encoding="utf-8") as file:
            file.write(text.replace(container, other).replace('"first"', f'"copy{number}"'))
    assert len(sandbox("ps", "-aq").stdout.split()) == 1001
    assert sandbox("inspect", "-f", "{{.Name}}", "copy999").stdout == "copy999\n"
    assert sandbox("prune", "-f").stdout.count("\n") == 1001 + 3


FILLED = """
mount -t tmpfs -o size=2m none $PLACE; mkdir $PLACE/state $PLACE/volume; export CGSCOPE_ROOT=$PLACE/state
run() { $SANDBOX run -d --name $1 -v $PLACE/volume:/v --rootfs / sh -c "until [ -e /v/$1 ]; do sleep 0.05; done; $2"; }
run ends "exit 7"; run asked "trap 'exit 8' TERM; touch /v/ready; while :; do sleep 0.05; done"
until [ -e $PLACE/volume/ready ]; do touch $PLACE/volume/asked; sleep 0.05; done
cat /dev/zero > $PLACE/filler 2>/dev/null
touch $PLACE/volume/ends
$SANDBOX stop -t 60 asked; $SANDBOX wait ends asked
$SANDBOX inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}' ends asked
rm -f $PLACE/state/containers/*/*.spare  # there, and large enough, where the end found room without it
cat /dev/zero >> $PLACE/filler 2>/dev/null; $SANDBOX start ends; echo $?
rm $PLACE/filler; $SANDBOX start ends; $SANDBOX rm -f ends asked; ls $PLACE/state/containers
"""


ON_AN_OVERLAY = """
cd $PLACE; mkdir lower upper work merged
mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged
export CGSCOPE_ROOT=$PLACE/merged/state
$SANDBOX run --rm --rootfs / true; echo $?; $SANDBOX run -d --rootfs / true; echo $?
$SANDBOX create --name made --rootfs / true > /dev/null; $SANDBOX start made; echo $?; $SANDBOX rm made
ls $CGSCOPE_ROOT/containers
"""


def test_a_state_directory_on_an_overlay(tmp_path: os.PathLike[str]) -> None:
    """Where it lies in another container's root (T15) the kernel stacks no overlay: one line with the remedy."""
    place = os.path.join(tmp_path, "place")
    os.mkdir(place)
    env = {**os.environ, "PLACE": place, "SANDBOX": " ".join(SANDBOX)}
    done = subprocess.run(["unshare", "-m", "sh", "-c", ON_AN_OVERLAY], env=env, capture_output=True, text=True,
                          check=False, timeout=300)  # fmt: skip
    assert done.stdout.split() == ["125", "125", "1", "made"], done
    lines = done.stderr.splitlines()
    assert len(lines) == 3
    assert all(line.endswith("cannot hold an overlay's upper layer, choose another --root") for line in lines)


def test_a_disk_that_is_full_at_the_end(tmp_path: os.PathLike[str]) -> None:
    """What becomes of a container is recorded where the disk has filled meanwhile; what cannot be is not started."""
    place = os.path.join(tmp_path, "place")
    os.mkdir(place)
    env = {**os.environ, "PLACE": place, "SANDBOX": " ".join(SANDBOX)}
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", FILLED], env=env, capture_output=True, text=True, check=False, timeout=300
    )
    lines = done.stdout.splitlines()[2:]
    assert lines == ["asked", "7", "8", "exited 7 ", "exited 8 ", "1", "ends", "ends", "asked"], done
    assert [line.endswith("No space left on device") for line in done.stderr.splitlines()] == [True], done


def test_a_state_directory_that_became_read_only(sandbox: Sandbox) -> None:
    """On a disk that has failed what there is can be looked at and entered; what would be written is one line.

    `rm -f` ends it all the same, as stop and kill do.
    """
    start(sandbox, "there", "sleep", "1000")
    tried = ("ps -a --format {{.Names}}", "inspect -f {{.State.Status}} there", "port there", "exec there echo in",
             "network ls --format {{.Name}}", "create --rootfs / true", "rename there new", "rm -f there")  # fmt: skip
    script = [f"mount --bind {sandbox.root} {sandbox.root} && mount -o remount,bind,ro {sandbox.root}"]
    script += [f"{' '.join(SANDBOX)} {words}; echo =$?" for words in tried]
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", "\n".join(script)], env=sandbox.env, capture_output=True, text=True, check=True,
        timeout=300,
    )  # fmt: skip
    shown = ["there", "=0", "running", "=0", "=0", "in", "=0", "bridge", "host", "none", "=0", "=1", "=1", "=1"]
    assert done.stdout.split() == shown, done
    lines = done.stderr.splitlines()
    assert [line.endswith("Read-only file system") for line in lines] == [True] * 3, done
    assert sandbox("wait", "there").stdout == "137\n"


def test_a_state_directory_that_cannot_be_used(tmp_path: os.PathLike[str]) -> None:
    """A full disk, or a state directory that cannot be written, is one line and an exit code; nothing is left."""
    path = os.path.join(tmp_path, "full")
    os.mkdir(path)
    root = Sandbox(os.path.join(path, "state"))
    script = (
        f"mount -t tmpfs -o size=64k,nr_inodes=64 none {path} && mkdir {path}/state && "
        f"head -c 64k /dev/zero > {path}/filler; {' '.join(SANDBOX)} run -d --rootfs / true; echo $?; "
        f"{' '.join(SANDBOX)} volume create vol; echo $?; "
        f"find {path}/state -name '*.new' -o -path '*/containers/*' -o -path '*/volumes/*' ! -name lock; "
        f"rm {path}/filler; mount -o remount,ro {path}; {' '.join(SANDBOX)} create --rootfs / true; echo $?"
    )
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script], env=root.env, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.split() == ["125", "1", "1"], done
    lines = done.stderr.splitlines()
    assert [line.startswith(f"sandbox: {path}/state/") for line in lines] == [True] * 3, done.stderr
    ends = ("No space left on device", "No space left on device", "Read-only file system")
    assert all(line.endswith(end) for line, end in zip(lines, ends, strict=True))
