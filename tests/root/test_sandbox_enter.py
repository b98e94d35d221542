"""`sandbox enter`: a program in another process's cgroups and namespaces, whoever made its container."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Callable

import pytest

from tests.root import sandboxing
from tests.testbed import runtimes
from tests.testbed.commands import REPOSITORY, SANDBOX, Sandbox, run
from tests.testbed.docker import Docker
from tests.testbed.processes import children
from tests.testbed.tools import need

pytestmark = pytest.mark.root

KINDS = ("mnt", "uts", "ipc", "net", "pid", "cgroup", "user", "time")
WAIT = "echo on; read -r line"


def place(pid: int | str) -> tuple[dict[str, str], list[str]]:
    """Return the namespaces and the cgroups of a process, by the kernel's own links."""
    spaces = {kind: os.readlink(f"/proc/{pid}/ns/{kind}") for kind in KINDS}
    return spaces, sandboxing.cgroup_paths(pid)


def looked_at(command: list[str], look: Callable[[int], object]) -> object:
    """Start `sandbox enter` with a program that waits, look at the program from outside, and let it end well."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=REPOSITORY) as launcher:
        assert launcher.stdin is not None
        assert launcher.stdout is not None
        # Until then it has files open that are not the program's but those it is loaded from.
        assert launcher.stdout.readline() == b"on\n"
        (program,) = children(launcher.pid)
        found = look(program)
        launcher.stdin.write(b"on\n")
        launcher.stdin.close()
        assert launcher.wait(120) == 0
    return found


def check_entered(pid: int) -> None:
    """Enter everything of a process: the program has the same namespaces and cgroups, and no file of the host's."""

    def look(program: int) -> object:
        files = {int(fd) for fd in os.listdir(f"/proc/{program}/fd")}
        return place(program), files - {0, 1, 2}, os.stat(f"/proc/{program}/root"), os.stat(f"/proc/{program}/cwd")

    found = looked_at([*SANDBOX, "enter", str(pid), "--", "sh", "-c", WAIT], look)
    root, workdir = (os.stat(f"/proc/{pid}/{name}") for name in ("root", "cwd"))
    assert isinstance(found, tuple)
    assert found[:2] == (place(pid), set())
    assert [(one.st_dev, one.st_ino) for one in found[2:]] == [(one.st_dev, one.st_ino) for one in (root, workdir)]


@pytest.fixture
def container(sandbox: Sandbox) -> int:
    """Start a container of our own; return its first process."""
    sandbox.start("entered", "sleep", "1000")
    return sandbox.pid("entered")


@pytest.mark.vm
def test_a_container_of_ours(container: int) -> None:
    """All namespaces and all cgroups are the container's, root and working directory too; no descriptor is left."""
    check_entered(container)


def test_a_container_of_docker(docker: Docker) -> None:
    """The same in Docker's; it has a shell of its own, and the exit code comes out."""
    with docker.running("entered", "-w", "/bin", "busybox", "sleep", "1000"):
        pid = docker.pid("entered")
        check_entered(pid)
        done = run([*SANDBOX, "enter", str(pid)], text="pwd; exit 9\n", check=False)
        assert (done.returncode, done.stdout) == (9, "/bin\n")


def test_a_container_of_lxc() -> None:
    """The same in LXC's."""
    with runtimes.lxc("entered") as box:
        assert box.tool is not None
        check_entered(int(box.tool("info", "-p", "-H")))


def test_namespaces_without_a_runtime() -> None:
    """The same in what unshare makes, also with a user namespace whose root is nobody outside."""
    for options in ("-mpuinCf", "-UrmpuinCTf"):
        line = ["unshare", options, "--mount-proc", "--kill-child=KILL", "sh", "-c", WAIT]
        with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as launcher:
            assert launcher.stdin is not None
            assert launcher.stdout is not None
            assert launcher.stdout.readline() == b"on\n"
            check_entered(*children(launcher.pid))
            launcher.stdin.close()


ONE_BY_ONE = """
import os, sys
from sandbox import enter, entering, subject, syscalls
from inspector.kernel.namespaces import read_namespaces
from inspector.kernel.host import Host
one = subject.hold(int(sys.argv[1]))
kinds = enter.differing((), one.namespaces, read_namespaces(Host(), "self"))
flags = {kind: enter.NAMESPACES[kind] for kind in kinds}
opened = {kind: os.open(f"/proc/{one.pid}/ns/{kind}", os.O_RDONLY) for kind in flags}
real = syscalls.setns
def old(fd, flag):
    if fd == one.pidfd:
        raise OSError(22, "as before Linux 5.8")
    real(fd, flag)
syscalls.setns = old
entering.join(one.pidfd, flags, opened)
print("on", flush=True)
sys.stdin.readline()
"""


def test_where_a_pidfd_joins_nothing(container: int) -> None:
    """On a kernel before 5.8 each namespace is joined by its own descriptor, the user namespace in its place."""
    line = ["unshare", "-UrmpuinCf", "--mount-proc", "--kill-child=KILL", "sh", "-c", WAIT]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as launcher:
        assert launcher.stdout is not None
        assert launcher.stdin is not None
        assert launcher.stdout.readline() == b"on\n"
        (of_user,) = children(launcher.pid)
        for pid in (container, of_user):
            line = [sys.executable, "-c", ONE_BY_ONE, str(pid)]
            with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=REPOSITORY) as joined:
                assert joined.stdout is not None
                assert joined.stdin is not None
                assert joined.stdout.readline() == b"on\n"
                spaces, theirs = place(joined.pid)[0], place(pid)[0]
                # Its own PID namespace stays what it was: only its children are in the other one.
                spaces["pid"] = os.readlink(f"/proc/{joined.pid}/ns/pid_for_children")
                joined.stdin.close()
                assert spaces == theirs
        launcher.stdin.close()


def test_only_the_network(container: int) -> None:
    """One namespace named is one entered: files, processes and the rest stay ours, the cgroups are its own."""
    ours, (theirs, cgroups) = place("self")[0], place(container)
    found = looked_at([*SANDBOX, "enter", str(container), "--net", "sh", "-c", WAIT], place)
    assert found == ({**ours, "net": theirs["net"]}, cgroups)
    found = looked_at([*SANDBOX, "enter", "--net", "--no-cgroup", str(container), "sh", "-c", WAIT], place)
    assert found == ({**ours, "net": theirs["net"]}, place("self")[1])


def test_rights_environment_and_places(sandbox: Sandbox) -> None:
    """The program has the container's capabilities, PATH, TERM and HOME; --env, -e, -u, --wd and --root change it."""
    sandbox.start("rights", "-e", "OF=container", "sleep", "1000")
    pid = str(sandbox.pid("rights"))
    done = run([*SANDBOX, "enter", pid, "sh", "-c", "grep CapBnd /proc/self/status; env"])
    assert sandboxing.status(pid, "CapBnd") in done.stdout
    assert "OF=container" not in done.stdout
    assert {"HOME=/root"} <= set(done.stdout.split())
    options = ["--env", "-e", "MY=own", "-u", "nobody", "--wd", "/etc"]
    done = run([*SANDBOX, "enter", *options, pid, "sh", "-c", "env; id -u; pwd"])
    assert {"OF=container", "MY=own", "65534", "/etc"} <= set(done.stdout.split())
    done = run([*SANDBOX, "enter", "--privileged", pid, "grep", "CapBnd", "/proc/self/status"])
    assert sandboxing.status("self", "CapBnd") in done.stdout


def test_with_files_of_ones_own(container: int) -> None:
    """A container without a shell says what can be done; --root brings files of our own."""
    with tempfile.TemporaryDirectory(prefix="enter") as below:
        root = runtimes.make_root(f"{below}/root")
        done = run([*SANDBOX, "enter", str(container), "--net", "--root", root, "cat", "/etc/os-release"])
        assert done.stdout == "ID=busybox\n"
        os.unlink(f"{root}/bin/sh")
        os.unlink(f"{root}/bin/busybox")
        done = run([*SANDBOX, "enter", str(container), "--net", "--root", root], check=False)
        assert (done.returncode, len(done.stderr.splitlines())) == (127, 1)
        assert "there is no shell in it (/bin/sh, /usr/bin/sh, /bin/busybox)" in done.stderr
        done = run([*SANDBOX, "enter", str(container), "--root", f"{below}/no-such", "true"], check=False)
        assert (done.returncode, done.stderr.splitlines()[0].endswith("not a directory")) == (125, True)


def test_a_terminal_of_its_own(container: int) -> None:
    """On a terminal the program has one of the container's own, as large as ours, as its controlling terminal."""
    master, peer = os.openpty()
    fcntl.ioctl(peer, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 101, 0, 0))
    script = "stty size < /dev/tty; tty; exit 5"
    launcher = subprocess.Popen(
        [*SANDBOX, "enter", str(container), "sh", "-c", script], stdin=peer, stdout=peer, stderr=peer, cwd=REPOSITORY
    )
    os.close(peer)
    text = b""
    while True:
        try:
            part = os.read(master, 4096)
        except OSError:  # EIO: nobody has it open any more
            break
        if not part:
            break
        text += part
    os.close(master)
    assert launcher.wait(120) == 5
    assert text.split() == [b"33", b"101", b"/dev/pts/0"]


def test_what_cannot_be_entered(container: int) -> None:
    """A frozen container, one that is gone, another with its PID: one line each, and nothing is started."""
    with open(f"/proc/{container}/stat", encoding="ascii") as file:
        started = file.read().rpartition(")")[2].split()[19]
    assert run([*SANDBOX, "enter", str(container), "--started", started, "true"]).returncode == 0
    run([*SANDBOX, "freeze", str(container)])
    frozen = run([*SANDBOX, "enter", str(container), "true"], check=False)
    run([*SANDBOX, "thaw", str(container)])
    ended = subprocess.Popen(["true"])
    ended.wait()
    cases = {
        "is frozen": frozen,
        "there is no process": run([*SANDBOX, "enter", str(ended.pid), "true"], check=False),
        "another process's by now": run([*SANDBOX, "enter", str(container), "--started", "7", "true"], check=False),
    }
    for text, done in cases.items():
        assert (done.returncode, done.stdout) == (1, ""), text
        (line,) = done.stderr.splitlines()
        assert text in line
    done = run([*SANDBOX, "enter", str(container), "no-such-program"], check=False)
    assert (done.returncode, done.stderr.splitlines()) == (
        127, ['sandbox: exec: "no-such-program": executable file not found in $PATH'],
    )  # fmt: skip


@pytest.fixture
def unprivileged() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Give `sandbox` as an ordinary user runs it."""
    need("setpriv")
    words = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"]
    python = next(
        (path for path in (sys.executable, shutil.which("python3") or "")
         if run([*words, path, "-c", "import sandbox"], check=False).returncode == 0),
        None,
    )  # fmt: skip
    if python is None:
        pytest.skip("no Python 3.11 that an ordinary user can execute, or the checkout is closed to users")
    return lambda *arguments: run([*words, python, "-m", "sandbox.cli", *arguments], check=False)


def test_an_ordinary_user(container: int, unprivileged: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """Without rights it is said in one line whose they are; nothing is changed."""
    for verb in ("enter", "freeze", "limit"):
        done = unprivileged(verb, str(container))
        assert (done.returncode, done.stdout) == (1, "")
        (line,) = done.stderr.splitlines()
        assert "for root to see" in line
    with subprocess.Popen(["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "sleep", "1000"]) as own:
        try:
            # Until then it is ours, and only looks like a user's.
            assert sandboxing.wait_for(lambda: sandboxing.status(own.pid, "Uid").startswith("1000"))
            assert sandboxing.wait_for(lambda: os.readlink(f"/proc/{own.pid}/exe").endswith("/sleep"))
            done = unprivileged("enter", str(own.pid), "id", "-u")
            assert (done.returncode, done.stdout) == (0, "1000\n"), done.stderr
        finally:
            own.kill()
