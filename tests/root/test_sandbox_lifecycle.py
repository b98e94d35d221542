"""Containers in the background: listed, entered, listened to, stopped, removed; and what a killed launcher leaves."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from sandbox import liveness
from tests.root import sandboxing
from tests.testbed.cgroups import favoured, path_of
from tests.testbed.commands import BUSY_LOOP, REPOSITORY, SANDBOX, Sandbox
from tests.testbed.leaks import cgroup_mounts

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left_of_it")]


def start(sandbox: Sandbox, name: str, *arguments: str) -> str:
    """Start a container of this machine's files in the background."""
    return sandbox("run", "-d", "--name", name, "--rootfs", "/", *arguments).stdout.strip()


def limit_file(container: str, *names: str) -> str:
    """Return the content of a container's limit, by the name that it has in either version of cgroups."""
    paths = [f"{mount}/cgscope/{container}/{name}" for mount in cgroup_mounts() for name in names]
    (path,) = (path for path in paths if os.path.exists(path))
    with open(path, encoding="ascii") as file:
        return file.read().strip()


@pytest.mark.vm
def test_limits_are_in_the_kernels_files(sandbox: Sandbox) -> None:
    """The options are in the control files when the program starts, in Docker's words for 0 and -1.

    B082, B083, B086.
    """
    options = ("--cpu-quota", "20000", "--cpu-period", "50000", "--memory", "64m", "--pids-limit", "30")
    one = start(sandbox, "limited", *options, "sleep", "600")
    assert limit_file(one, "cpu.cfs_quota_us", "cpu.max") in ("20000", "20000 50000")
    assert limit_file(one, "memory.limit_in_bytes", "memory.max") == str(64 << 20)
    assert limit_file(one, "pids.max") == "30"
    host = sandbox.inspect("limited")["HostConfig"]
    assert [host[key] for key in ("CpuQuota", "CpuPeriod", "Memory", "PidsLimit")] == [20000, 50000, 64 << 20, 30]
    two = start(sandbox, "half", "--cpus", "0.5", "sleep", "600")
    assert limit_file(two, "cpu.cfs_quota_us", "cpu.max") in ("50000", "50000 100000")
    free = start(sandbox, "free", "--cpu-quota", "-1", "--cpu-period", "0", "--pids-limit", "0", "sleep", "600")
    assert limit_file(free, "cpu.cfs_quota_us", "cpu.max") in ("-1", "max 100000")


def test_quota_holds(sandbox: Sandbox) -> None:
    """A busy loop under a quota of a twentieth of a core is throttled in nearly every period."""
    container = start(sandbox, "busy", "--cpu-quota", "5000", "--", *BUSY_LOOP)

    def counters() -> dict[str, int]:
        files = [f"{mount}/cgscope/{container}/cpu.stat" for mount in cgroup_mounts()]
        for path in filter(os.path.exists, files):
            with open(path, encoding="ascii") as file:
                found = {line.split()[0]: int(line.split()[1]) for line in file}
            if "nr_periods" in found:
                return found
        raise AssertionError(files)

    def throttled() -> float:
        """Return the share of the periods, of a second at least, in which it was throttled."""
        before, begun = counters(), time.monotonic()
        time.sleep(1)
        after = counters()
        periods, throttled = (after[key] - before[key] for key in ("nr_periods", "nr_throttled"))
        assert 0 < periods <= (time.monotonic() - begun) / 0.1 + 2
        return throttled / periods

    with favoured(path_of(sandbox.pid("busy"), "cpu")):
        assert sandboxing.wait_for(lambda: throttled() > 0.8)


@pytest.mark.vm
def test_out_of_memory(sandbox: Sandbox) -> None:
    """A program that wants more than its limit is killed: 137, and inspect says why (B086)."""
    run = ("run", "--memory", "32m", "--rootfs", "/", "--name")
    done = sandbox(*run, "hungry", "python3", "-c", "x = bytearray(200 << 20)", check=False)
    assert done.returncode == 137
    state = sandbox.inspect("hungry")["State"]
    assert (state["OOMKilled"], state["ExitCode"], state["Status"]) == (True, 137, "exited")
    sandbox(*run, "modest", "true")
    assert sandbox.inspect("modest")["State"]["OOMKilled"] is False


def test_a_fork_bomb_meets_its_limit(sandbox: Sandbox) -> None:
    """--pids-limit bounds the processes of a container; it does not hinder its start (B088, T2)."""
    script = "for i in 1 2 3 4 5 6; do sleep 5 & done; wait"
    done = sandbox("run", "--rm", "--pids-limit", "4", "--rootfs", "/", "sh", "-c", script, check=False)
    assert "Cannot fork" in done.stderr
    sandbox("run", "--rm", "--pids-limit", "1", "--rootfs", "/", "true")


@pytest.mark.vm
def test_exec_joins_everything(sandbox: Sandbox) -> None:
    """An exec'd program is in the container's namespaces and cgroups, with its rights and no descriptor more (T1)."""
    start(sandbox, "target", "--cpu-quota", "20000", "sleep", "600")
    pid = sandbox.pid("target")
    with subprocess.Popen([*SANDBOX, "exec", "target", "sleep", "30"], env=sandbox.env) as running:
        try:
            def found() -> list[int]:
                pids = [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != pid]
                joined = []
                for other in pids:
                    with contextlib.suppress(OSError):
                        inside = os.readlink(f"/proc/{other}/ns/pid") == os.readlink(f"/proc/{pid}/ns/pid")
                        if inside and sandboxing.status(other, "Name") == "sleep":
                            joined.append(other)
                return joined

            assert sandboxing.wait_for(lambda: len(found()) == 1)
            (other,) = found()
            assert sandboxing.namespaces(other) == sandboxing.namespaces(pid)
            assert sandboxing.cgroup_paths(other) == sandboxing.cgroup_paths(pid)
            sets = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
            assert [sandboxing.status(other, key) for key in sets] == [sandboxing.status(pid, key) for key in sets]
            # While it is being loaded it has the files open that it is loaded from.
            assert sandboxing.wait_for(lambda: sorted(os.listdir(f"/proc/{other}/fd")) == ["0", "1", "2"])
            assert sandboxing.status(other, "PPid") == str(running.pid)
        finally:
            running.kill()


def test_exec_codes_and_options(sandbox: Sandbox) -> None:
    """Exit codes, input, environment, user and directory of exec are those of run (B011)."""
    start(sandbox, "target", "-e", "FROM=run", "-w", "/usr", "sleep", "600")

    def code(*arguments: str) -> int:
        return sandbox("exec", *arguments, check=False).returncode

    assert code("target", "sh", "-c", "exit 23") == 23
    assert code("target", "no-such-program") == 127
    assert code("target", "/etc") == 126
    assert code("target") == 1
    assert code("no-such-container", "true") == 1
    assert code("target", "sh", "-c", "kill -TERM $$") == 143
    assert sandbox("exec", "-i", "target", "cat", text="in").stdout == "in"
    options = ("-e", "MORE=exec", "-u", "daemon", "-w", "/bin")
    lines = sandbox("exec", *options, "target", "sh", "-c", "echo $FROM $MORE; id -u; pwd").stdout.split("\n")
    assert lines[:2] == ["run exec", "1"]
    assert lines[2] in ("/bin", "/usr/bin")  # the one can be a link to the other
    assert sandbox("exec", "target", "pwd").stdout == "/usr\n"
    sandbox("stop", "-t", "0", "target")
    done = sandbox("exec", "target", "true", check=False)
    assert (done.returncode, done.stderr) == (1, "sandbox: container target is not running\n")


def test_exec_detached(sandbox: Sandbox) -> None:
    """`exec -d` returns at once and its program goes on."""
    start(sandbox, "target", "sleep", "600")
    sandbox("exec", "-d", "target", "sh", "-c", "until [ -e /go ]; do sleep 0.05; done; echo done > /made")
    assert sandbox("exec", "target", "cat", "/made", check=False).returncode == 1
    sandbox("exec", "target", "touch", "/go")
    assert sandboxing.wait_for(lambda: sandbox("exec", "target", "cat", "/made", check=False).stdout == "done\n")


class Terminal:
    """A command on a terminal of ours, as a person has it."""

    def __init__(self, sandbox: Sandbox, *arguments: str) -> None:
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.execvpe(SANDBOX[0], [*SANDBOX, *arguments], sandbox.env)  # noqa: S606
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", 31, 97, 0, 0))
        self.seen = ""

    def resize(self, rows: int, columns: int) -> None:
        """Change the size of the window."""
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        """Type on the keyboard."""
        os.write(self._fd, text.encode())

    def wait_for(self, text: str, seconds: float = 120) -> bool:
        """Wait until the screen has shown a text since the last call."""
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            if not select.select([self._fd], [], [], max(0, deadline - time.monotonic()))[0]:
                return False
            try:
                self.seen += os.read(self._fd, 65536).decode(errors="replace")
            except OSError:
                return text in self.seen
        self.seen = self.seen.partition(text)[2]
        return True

    def end(self) -> int:
        """Wait for the command to end; return its exit code."""
        with contextlib.suppress(OSError):
            while os.read(self._fd, 65536):
                pass
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self._fd)
        return code


@pytest.mark.parametrize("verb", ["run", "exec"])
def test_terminal(sandbox: Sandbox, verb: str) -> None:
    """With -it the program has a terminal of the container's own devpts; keys, size and Ctrl-C reach it (B022, T10)."""
    start(sandbox, "target", "sleep", "120")
    arguments = ("run", "--rm", "-it", "--rootfs", "/", "sh") if verb == "run" else ("exec", "-it", "target", "sh")
    screen = Terminal(sandbox, *arguments)
    assert screen.wait_for("# ")
    screen.type("echo on $(tty) $TERM; ls /dev/pts | tr '\\n' ' '\n")
    assert screen.wait_for("on /dev/pts/0 xterm")
    assert screen.wait_for("0 ptmx")
    screen.type("stty size\n")
    assert screen.wait_for("31 97")
    screen.resize(33, 77)
    # The size is passed on when the signal has come.
    screen.type('until [ "$(stty size)" = "33 77" ]; do sleep 0.05; done; echo re""sized\n')
    assert screen.wait_for("resized")
    screen.type("echo sl''eeps; sleep 100\n")
    assert screen.wait_for("sleeps")
    time.sleep(0.3)
    screen.type("\x03")
    screen.type("echo still $((40 + 2)) here; exit 5\n")
    assert screen.wait_for("still 42 here")
    assert screen.end() == 5


def test_ps_and_inspect(sandbox: Sandbox) -> None:
    """Ps has Docker's columns and flags; inspect has its keys; names, ids and unique prefixes are understood.

    B099, B100.
    """
    container = start(sandbox, "one", "--", *BUSY_LOOP)
    sandbox("run", "--name", "two", "--rootfs", "/", "sh", "-c", "exit 3", check=False)
    header, *rows = sandbox("ps").stdout.splitlines()
    assert header.split() == ["CONTAINER", "ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]
    assert [row.split()[0] for row in rows] == [container[:12]]
    assert "\"sh -c 'while :; do …\"" in rows[0]
    assert " Up " in rows[0]
    everything = sandbox("ps", "-a").stdout.splitlines()
    assert "Exited (3)" in everything[1]
    assert sandbox("ps", "-q", "--no-trunc").stdout.strip() == container
    document = sandbox.inspect(container[:5])
    assert (document["Id"], document["Name"], document["Config"]["Image"]) == (container, "one", "/")
    assert document["State"]["Running"] is True
    data = document["GraphDriver"]["Data"]
    assert data["LowerDir"] == "/"
    assert all(os.path.isdir(data[key]) for key in ("UpperDir", "WorkDir", "MergedDir"))
    template = "{{.State.Pid}} {{.State.Running}} {{json .Config.Cmd}}"
    pid, compact = document["State"]["Pid"], json.dumps(BUSY_LOOP, separators=(",", ":"))
    assert sandbox("inspect", "-f", template, "one").stdout == f"{pid} true {compact}\n"
    assert sandbox("inspect", "-f", "{{.No.Such}}", "one", check=False).returncode == 1
    assert sandbox("inspect", "nobody", check=False).stderr == "sandbox: no such object: nobody\n"
    sandbox("exec", "one", "sh", "-c", "echo seen > /trace")
    with open(f"{data['UpperDir']}/trace", encoding="ascii") as file:
        assert file.read() == "seen\n"


def test_logs(sandbox: Sandbox) -> None:
    """A detached container's output is kept to the byte, its two streams apart; --tail counts lines, -f follows."""
    program = r"printf 'one\ntwo\n'; printf 'wrong\n' >&2; printf '\000\377 end'; sleep 1; printf '\nlast\n'"
    start(sandbox, "talks", "sh", "-c", program)
    command = [*SANDBOX, "logs", "-f", "talks"]
    followed = subprocess.run(command, env=sandbox.env, capture_output=True, timeout=120, check=True)
    assert followed.stdout == b"one\ntwo\n\x00\xff end\nlast\n"
    assert followed.stderr == b"wrong\n"
    assert sandbox("logs", "--tail", "1", "talks").stdout == "last\n"
    assert sandbox("logs", "--tail", "0", "talks").stdout == ""
    assert sandbox("logs", "--tail", "x", "talks", check=False).returncode == 125


def test_logs_end_with_their_reader(sandbox: Sandbox) -> None:
    """`sandbox logs -f | head -1` ends at the next line, without a word, as by SIGPIPE."""
    start(sandbox, "goes-on", "sh", "-c", "while :; do echo on; sleep 0.2; done")
    with subprocess.Popen(
        [*SANDBOX, "logs", "-f", "goes-on"], env=sandbox.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as follower:
        assert follower.stdout
        assert follower.stderr
        assert follower.stdout.readline() == b"on\n"
        follower.stdout.close()
        assert (follower.wait(120), follower.stderr.read()) == (128 + signal.SIGPIPE, b"")


def test_logs_of_a_terminal_and_of_much(sandbox: Sandbox) -> None:
    """With -dt the terminal's output is kept; a long line and much output lose nothing (B101, T27)."""
    start(sandbox, "tty", "-t", "sh", "-c", "tty")
    start(sandbox, "much", "sh", "-c", "head -c 33000 /dev/zero | tr '\\0' x; echo; seq 100000")
    assert sandboxing.wait_for(lambda: sandbox("ps", "-q").stdout == "")
    assert sandbox("logs", "tty").stdout == "/dev/pts/0\n"
    assert sandbox("logs", "much").stdout == "x" * 33000 + "\n" + "".join(f"{n}\n" for n in range(1, 100001))


def test_a_monitor_keeps_its_byte_code_where_it_is_told(sandbox: Sandbox, tmp_path: Path) -> None:
    """PYTHONPYCACHEPREFIX holds for the small program too, which knows no environment: it compiles once only."""
    sandbox.env["PYTHONPYCACHEPREFIX"] = str(tmp_path)
    start(sandbox, "watched", "sleep", "600")
    assert sandboxing.wait_for(lambda: any(tmp_path.rglob("watch.*.pyc")))


def test_stop_and_kill(sandbox: Sandbox) -> None:
    """Stop asks first and kills after its time; kill sends any signal; both say the name (B007, B094, B096)."""
    start(sandbox, "polite", "sh", "-c", "trap 'exit 4' TERM; echo ready; while :; do sleep 0.05; done")
    start(sandbox, "deaf", "--stop-timeout", "600", "sleep", "600")
    assert sandboxing.wait_for(lambda: sandbox("logs", "polite").stdout == "ready\n")
    assert sandbox("stop", "polite").stdout == "polite\n"
    assert sandbox.inspect("polite")["State"]["ExitCode"] == 4
    begun = time.monotonic()
    sandbox("stop", "-t", "1", "deaf")
    assert time.monotonic() - begun >= 1  # and not 600, as without -t
    assert sandbox.inspect("deaf")["State"]["ExitCode"] == 137
    start(sandbox, "told", "sh", "-c", "trap 'echo usr1' USR1; echo ready; while :; do sleep 0.05; done")
    assert sandboxing.wait_for(lambda: sandbox("logs", "told").stdout == "ready\n")
    sandbox("kill", "-s", "SIGUSR1", "told")
    assert sandboxing.wait_for(lambda: sandbox("logs", "told").stdout == "ready\nusr1\n")
    assert sandbox("kill", "-s", "NOSUCH", "told", check=False).returncode == 1
    sandbox("kill", "told")
    assert sandbox.inspect("told")["State"]["Running"] is False
    assert sandbox("kill", "told", check=False).stderr == "sandbox: container told is not running\n"


def test_rm(sandbox: Sandbox) -> None:
    """A running container is only removed by force; --rm removes it at its end (B098, T26)."""
    start(sandbox, "runs", "sleep", "600")
    done = sandbox("rm", "runs", check=False)
    assert (done.returncode, "rm -f" in done.stderr) == (1, True)
    assert sandbox("rm", "-f", "runs").stdout == "runs\n"
    assert sandbox("ps", "-aq").stdout == ""
    start(sandbox, "short", "--rm", "sleep", "0.2")
    assert sandboxing.wait_for(lambda: sandbox("ps", "-aq").stdout == "")


def test_other_programs_of_a_container_die_with_it(sandbox: Sandbox) -> None:
    """When the first process ends, so does all else, also where the PID namespace is this machine's."""
    script = "setsid sleep 3600 & echo $!; exit 0"
    pid = int(sandbox("run", "--rm", "--pid", "host", "--rootfs", "/", "sh", "-c", script).stdout)
    # It has been killed; its entry in /proc stays until the machine's process 1 collects it.
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        name, _, state = file.read().partition(" (")[2].rpartition(") ")
        assert name != "sleep" or state[0] in "ZX"


def test_many_at_once(sandbox: Sandbox) -> None:
    """Containers that start and end at the same time do not hinder one another, not at their common cgroup either."""
    command = [*SANDBOX, "run", "--rm", "--rootfs", "/", "true"]
    running = [subprocess.Popen(command, env=sandbox.env, stderr=subprocess.PIPE) for _ in range(8)]
    ended = [process.communicate(timeout=120)[1] for process in running]
    assert [(process.returncode, error) for process, error in zip(running, ended, strict=True)] == [(0, b"")] * 8


@pytest.mark.parametrize("detached", [False, True])
@pytest.mark.parametrize("step", range(10))
def test_a_killed_launcher_leaves_all_or_nothing(sandbox: Sandbox, step: int, *, detached: bool) -> None:
    """SIGKILL at any moment of the start leaves nothing after the next `sandbox ps`, or a whole container.

    Its start is one instant, the launcher's Go: killed between that and its printing of the id,
    a detached container runs, is listed and can be removed; one in the foreground ends with its launcher.
    """
    before = sandboxing.cgroup_directories()
    options = ("-d",) if detached else ()
    command = [*SANDBOX, "run", *options, "--rootfs", "/", "sleep", "3600"]
    with subprocess.Popen(command, env=sandbox.env, stdout=subprocess.PIPE) as launcher:
        if step:  # else at once, before it has done anything; then spread over what a start takes
            sandboxing.wait_for(lambda: os.path.isdir(os.path.join(sandbox.root, "containers")))
            time.sleep((step - 1) * 0.012)
        launcher.kill()
        printed = (launcher.stdout.read() if launcher.stdout else b"").decode().split()
    sandboxing.wait_for(lambda: not sandbox_processes(sandbox) or (detached and sandbox("ps", "-q").stdout != ""))
    started = sandbox("ps", "-q", "--no-trunc").stdout.split()
    assert set(printed) <= set(started)
    if started:
        assert detached
        assert sandbox("exec", started[0], "echo", "whole").stdout == "whole\n"
        sandbox("rm", "-f", started[0])
    for ended in sandbox("ps", "-aq").stdout.split():
        assert not detached
        assert sandbox.inspect(ended)["State"]["Status"] == "exited"
        sandbox("rm", ended)
    sandboxing.check_nothing_left(sandbox, before)


def sandbox_processes(sandbox: Sandbox) -> list[str]:
    """Return the processes of a container's making that still run."""
    return [line for line in sandboxing.remains(sandbox.root) if line.startswith("process")]


def test_a_killed_monitor_takes_its_container_along(sandbox: Sandbox) -> None:
    """A detached container whose monitor is killed dies; the next ps says so."""
    start(sandbox, "orphan", "sleep", "3600")
    os.kill(sandbox.inspect("orphan")["Cgscope"]["Monitor"]["Pid"], signal.SIGKILL)
    assert sandboxing.wait_for(lambda: "Exited (137)" in sandbox("ps", "-a").stdout)
    assert "monitor" in sandbox.inspect("orphan")["State"]["Error"]


def kill_monitor(sandbox: Sandbox, name: str) -> None:
    """Kill a container's monitor; nobody has looked at the container since its program has died of that."""
    found = sandbox.inspect(name)
    os.kill(found["Cgscope"]["Monitor"]["Pid"], signal.SIGKILL)
    assert sandboxing.wait_for(lambda: liveness.start_time(found["State"]["Pid"]) is None)


def test_a_container_that_ends_while_it_is_entered(sandbox: Sandbox) -> None:
    """`exec` says that it has ended, and not which call found no process."""
    start(sandbox, "short", "sleep", "3600")
    found = sandbox.inspect("short")
    pid, monitor = found["State"]["Pid"], found["Cgscope"]["Monitor"]["Pid"]
    os.kill(monitor, signal.SIGSTOP)  # it would end whoever has joined the cgroup
    try:
        late = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=setns:delay_enter=2000000", *SANDBOX]
        with subprocess.Popen([*late, "exec", "short", "true"], env=sandbox.env, stderr=subprocess.PIPE) as entering:
            members = Path(found["Cgscope"]["Cgroups"][0]["Directory"], "cgroup.procs")
            assert sandboxing.wait_for(lambda: len(members.read_text().split()) > 1)
            os.kill(pid, signal.SIGKILL)
            said = entering.communicate(timeout=120)[1]
    finally:
        os.kill(monitor, signal.SIGCONT)
    assert (entering.returncode, said) == (1, b"sandbox: container short ended while it was entered\n")


def test_what_is_there_after_a_killed_monitor(sandbox: Sandbox, tmp_path: Path) -> None:
    """Files are copied, and there are no processes to be shown, whichever verb is the first to come by."""
    start(sandbox, "one", "sh", "-c", "echo x > /made; sleep 3600")
    assert sandboxing.wait_for(lambda: "A /made" in sandbox("diff", "one").stdout)
    kill_monitor(sandbox, "one")
    sandbox("cp", "one:/made", str(tmp_path))
    assert (tmp_path / "made").read_text() == "x\n"
    sandbox("start", "one")
    kill_monitor(sandbox, "one")
    assert sandbox("top", "one", check=False).stderr == "sandbox: container one is not running\n"
    start(sandbox, "gone", "--rm", "sleep", "3600")
    kill_monitor(sandbox, "gone")
    assert sandbox("cp", "gone:/etc", str(tmp_path), check=False).stderr == "sandbox: no such container: gone\n"


def test_a_reused_pid_is_not_touched(sandbox: Sandbox) -> None:
    """A document that names another process by its number does not make that process a container (T7)."""
    container = start(sandbox, "old", "sleep", "600")
    sandbox("kill", "old")
    path = os.path.join(sandbox.root, "containers", container, "state.json")
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    with subprocess.Popen(["sleep", "600"]) as bystander:
        document["State"].update(Status="running", Running=True, Pid=bystander.pid)
        document["Cgscope"]["Monitor"] = {"Pid": bystander.pid, "StartTime": 1}
        with open(path, "w", encoding="utf-8") as file:
            json.dump(document, file)
        assert sandbox("exec", "old", "true", check=False).returncode == 1
        sandbox("ps")
        sandbox("rm", "-f", "old")
        assert bystander.poll() is None
        bystander.kill()


@pytest.mark.vm
def test_cgroup_parent(sandbox: Sandbox) -> None:
    """--cgroup-parent puts the container elsewhere; what was made for it goes with it. An empty one is none."""
    sandbox("create", "--cgroup-parent", "", "--name", "usual", "--rootfs", "/", "true")
    assert sandbox.inspect("usual")["HostConfig"]["CgroupParent"] == "/cgscope"
    container = start(sandbox, "elsewhere", "--cgroup-parent", "/cgscope-test/inner", "sleep", "600")
    places = [f"{mount}/cgscope-test/inner/{container}" for mount in cgroup_mounts()]
    assert all(map(os.path.isdir, places))
    sandbox("rm", "-f", "elsewhere")
    assert sandboxing.wait_for(lambda: not any(os.path.exists(f"{mount}/cgscope-test") for mount in cgroup_mounts()))


def test_a_cgroup_parent_of_two(sandbox: Sandbox) -> None:
    """A parent that was made goes with the last container in it, whichever was the first; one that was there stays."""
    parent = f"cgscope-test-{os.getpid()}"
    parents = [f"{mount}/{parent}" for mount in cgroup_mounts()]
    for first, second in (("one", "two"), ("two", "one")):
        for name in ("one", "two"):
            start(sandbox, name, "--cgroup-parent", f"/{parent}/inner", "sleep", "600")
        sandbox("rm", "-f", first)
        assert all(map(os.path.isdir, parents))
        sandbox("rm", "-f", second)
        assert not any(map(os.path.exists, parents))
    os.mkdir(parents[0])
    try:
        for name in ("one", "two"):
            start(sandbox, name, "--cgroup-parent", f"/{parent}/inner", "sleep", "600")
        sandbox("rm", "-f", "one", "two")
        assert [path for path in parents if os.path.exists(path)] == parents[:1]
        assert not os.path.exists(f"{parents[0]}/inner")
    finally:
        os.rmdir(parents[0])


def test_a_cgroup_parent_that_cannot_be_made(sandbox: Sandbox) -> None:
    """What the kernel takes for no name of a cgroup is refused, and no container is left that nobody can remove."""
    for parent in ("a" * 5000, "/" + "a" * 5000, "/" + "a/" * 2500, "/a\nb", "/cgroup.procs"):
        done = sandbox("run", "--rm", "--cgroup-parent", parent, "--rootfs", "/", "true", check=False)
        assert (done.returncode, len(done.stderr.splitlines())) == (125, 1), done.stderr
        assert sandbox("ps", "-aq").stdout == ""


def test_a_cgroup_parent_with_dots(sandbox: Sandbox) -> None:
    """It is made, and goes, as the one without them."""
    parent = f"cgscope-test-{os.getpid()}"
    start(sandbox, "dotted", "--cgroup-parent", f"/./{parent}/inner/.", "sleep", "600")
    assert all(os.path.isdir(f"{mount}/{parent}/inner") for mount in cgroup_mounts())
    sandbox("rm", "-f", "dotted")
    assert not sandboxing.has_cgroup(parent)


def test_a_cgroup_parent_of_somebody_else_stays(sandbox: Sandbox) -> None:
    """When a container has ended, a cgroup that somebody makes where its parent was is not taken away with it."""
    parent = f"cgscope-test-{os.getpid()}"
    parents = [f"{mount}/{parent}" for mount in cgroup_mounts()]
    start(sandbox, "gone", "--cgroup-parent", f"/{parent}/inner", "sleep", "600")
    sandbox("kill", "gone")
    sandbox("wait", "gone")
    assert not any(map(os.path.exists, parents))
    os.mkdir(parents[0])
    try:
        sandbox("rm", "gone")
        assert os.path.isdir(parents[0])
    finally:
        os.rmdir(parents[0])


def test_a_start_in_the_background_leaves_no_socket_to_python(sandbox: Sandbox) -> None:
    """Under `python -X dev -W error` nothing is said of sockets that nobody has closed."""
    text = "from sandbox.cli import main; raise SystemExit(main())"
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", text]
    words = ["run", "-d", "--name", "quiet", "--rootfs", "/", "sleep", "600"]
    done = subprocess.run(
        [*command, *words], env=sandbox.env, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
