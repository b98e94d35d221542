"""The sandbox for an ordinary user: what the kernel allows works, what it does not is said."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.root.sandboxing import wait_for
from tests.testbed.commands import REPOSITORY, SANDBOX, run
from tests.testbed.image_archives import docker_archive, entry, link, tar
from tests.testbed.tools import need

pytestmark = pytest.mark.root

USER = 1000


class User:
    """The `sandbox` command as an ordinary user runs it."""

    def __init__(self, home: str, python: str) -> None:
        self.home = home
        self._command = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", python, "-m", "sandbox.cli"]
        keep = {name: value for name, value in os.environ.items() if name != "CGSCOPE_ROOT"}
        self._env = {**keep, "HOME": home, "XDG_DATA_HOME": home, "PYTHONDONTWRITEBYTECODE": "1"}

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `sandbox ARGUMENTS`."""
        return subprocess.run(
            [*self._command, *arguments],
            env=self._env,
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=120,
            check=False,
        )


@pytest.fixture
def user() -> Iterator[User]:
    """Give a user a home, and a Python that a user can execute."""
    need("setpriv")
    python = next((path for path in (sys.executable, "/usr/bin/python3") if _usable(path)), None)
    if python is None:
        pytest.skip("no Python 3.11 that an ordinary user can execute, or the checkout is closed to users")
    home = tempfile.mkdtemp(prefix="cgscope-user-")
    os.chown(home, USER, USER)
    command = User(home, python)
    yield command
    for container in command("ps", "-aq").stdout.split():
        command("rm", "-f", container)
    left = os.listdir(f"{home}/cgscope/containers") if os.path.isdir(f"{home}/cgscope") else []
    shutil.rmtree(home)
    assert left == []


def _usable(python: str) -> bool:
    program = "import sys, sandbox.cli; assert sys.version_info >= (3, 11)"
    done = subprocess.run(
        ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", python, "-c", program],
        cwd=REPOSITORY,
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def test_a_container_of_this_machine(user: User) -> None:
    """A user is root in a container of the machine's own files, alone in its namespaces, and harms nothing outside."""
    script = "id -u; echo $$; ls /sys/class/net; touch /etc/new /usr/new && echo written; grep CapEff /proc/self/status"
    done = user("run", "--rm", "--rootfs", "/", "--", "sh", "-c", script)
    assert done.stdout.split() == ["0", "1", "lo", "written", "CapEff:", "00000000a80425fb"], done.stderr
    assert not os.path.exists("/etc/new")


def test_background_exec_and_terminal(user: User) -> None:
    """Detached containers, exec, terminals, logs and removal work without root (T14)."""
    done = user("run", "-d", "--name", "mine", "--rootfs", "/", "sh", "-c", "echo up; sleep 60")
    assert done.returncode == 0, done.stderr
    assert user("exec", "mine", "cat", "/proc/1/comm").stdout == "sh\n"
    assert user("exec", "-t", "mine", "tty").stdout.strip() == "/dev/pts/0"
    assert wait_for(lambda: user("logs", "mine").stdout == "up\n")
    assert user("rm", "-f", "mine").returncode == 0


def test_changes_stay_where_they_are(user: User) -> None:
    """A directory that is new on the machine has changes of its own at the next start, and no others move."""
    new = Path("/0-cgscope-test")
    script = "cat /usr/new || echo kept > /usr/new"
    assert user("create", "--name", "again", "--rootfs", "/", "--", "sh", "-c", script).returncode == 0
    assert user("start", "-a", "again").returncode == 0
    try:
        new.mkdir(mode=0o755)
        done = user("start", "-a", "again")
        assert (done.returncode, done.stdout) == (0, "kept\n"), done.stderr
        assert "A /usr/new" in user("diff", "again").stdout.splitlines()
    finally:
        new.rmdir()
    done = user("start", "-a", "again")
    assert (done.returncode, done.stdout) == (0, "kept\n"), done.stderr


def test_the_same_walls(user: User) -> None:
    """A user's container has the filter too, kept in his own directory, and writes no cgroup (CVE-2023-25809)."""
    script = "grep -E '^(Seccomp|NoNewPrivs):' /proc/self/status; unshare -U true; find /sys/fs/cgroup -writable"
    for options, expected in (((), "0"), (("--security-opt", "no-new-privileges"), "1")):
        done = user("run", "--rm", *options, "--rootfs", "/", "--", "sh", "-c", script)
        assert done.stdout.split() == ["NoNewPrivs:", expected, "Seccomp:", "2"], done.stderr
        assert "Operation not permitted" in done.stderr
    done = user("run", "--rm", "--security-opt", "seccomp=unconfined", "--rootfs", "/", "unshare", "-U", "true")
    assert done.returncode == 0, done.stderr
    assert os.stat(f"{user.home}/cgscope/seccomp").st_mode & 0o077 == 0
    assert os.listdir(f"{user.home}/cgscope/seccomp") != []


def test_networks(user: User) -> None:
    """A user's container can share the network of another of his; one of its own on a bridge needs root (T13)."""
    done = user("run", "-d", "--name", "owner", "--rootfs", "/", "sleep", "3600")
    assert done.returncode == 0, done.stderr
    script = "readlink /proc/self/ns/net /proc/self/ns/user; hostname; id -u"
    shared = user("run", "--rm", "--net", "container:owner", "--rootfs", "/", "--", "sh", "-c", script)
    assert shared.stdout == user("exec", "owner", "sh", "-c", script).stdout, shared.stderr
    for words in (["-p", "4000:80"], ["--net", "mine"], ["--net-rate", "1mbit"], ["--userns", "auto"]):
        done = user("run", "--rm", *words, "--rootfs", "/", "true")
        assert (done.returncode, done.stderr.count("\n"), "needs root" in done.stderr) == (125, 1, True)
    assert user("network", "create", "mine").returncode == 1
    assert user("rm", "-f", "owner").returncode == 0


def test_what_is_missing_is_said(user: User) -> None:
    """A limit needs root or a delegated cgroup: it is refused, or given up with a warning when that was asked for.

    B093.
    """
    done = user("run", "--rm", "--cpu-quota", "20000", "--rootfs", "/", "true")
    if done.returncode == 0:
        pytest.skip("this user has a cgroup of its own")
    assert done.returncode == 125
    assert done.stderr.count("\n") == 1
    assert "cannot limit cpu: without root" in done.stderr
    done = user("run", "--rm", "--limits-best-effort", "--cpu-quota", "20000", "--rootfs", "/", "echo", "on")
    assert (done.stdout, done.stderr.count("warning: cannot limit cpu")) == ("on\n", 1)
    done = user("run", "--rm", "-u", "1000", "--rootfs", "/", "true")
    assert (done.returncode, "only one id" in done.stderr) == (125, True)
    assert user("run", "--rm", "--pid", "host", "--net", "host", "--rootfs", "/", "true").returncode == 0


def test_entering_what_is_ones_own(user: User) -> None:
    """A user enters his own container: its user namespace first, whose rights open the others."""
    done = user("run", "-d", "--name", "own", "--rootfs", "/", "sleep", "3600")
    assert done.returncode == 0, done.stderr
    pid = user("inspect", "--format", "{{.State.Pid}}", "own").stdout.strip()
    done = user("enter", pid, "sh", "-c", "id -u; cat /proc/1/comm; cat /proc/self/uid_map; exit 6")
    assert (done.returncode, done.stdout.split()) == (6, ["0", "sleep", "0", str(USER), "1"]), done.stderr
    words = ["setpriv", "--groups=0,4", *SANDBOX, "enter", pid, "cat", "/proc/self/status"]
    status = run(words).stdout.splitlines()
    # Root who enters it is no more in there than its root is: not even a group comes along.
    assert {line.rstrip() for line in status} >= {"Groups:", "Uid:\t0\t0\t0\t0", "Gid:\t0\t0\t0\t0"}
    done = user("freeze", pid)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert user("rm", "-f", "own").returncode == 0


def test_images_and_files(user: User) -> None:
    """A user's images lose what needs root, and that is said; run, diff, cp, volumes and removal work as for root."""
    need("busybox")
    program = Path(str(shutil.which("busybox"))).read_bytes()
    lost = [entry("dev2/null", kind=tarfile.CHRTYPE, devmajor=1, devminor=3), entry("etc/f", b"f", uid=33, mode=0o640)]
    names = [link(f"bin/{name}", "busybox") for name in ("sh", "ls", "cat", "rm", "mkdir", "chmod", "sleep")]
    base = tar([entry("bin/busybox", program, mode=0o755), *names, entry("gone/f", b"x"), *lost])
    archive = Path(user.home, "image.tar")
    archive.write_bytes(docker_archive([base, tar([entry(".wh.gone")])]))
    done = user("load", "-i", str(archive))
    assert (done.returncode, done.stdout) == (0, "Loaded image: made:1\n"), done.stderr
    assert "not kept in this image, as this needs root: devices of 1 files, owners of 1 files" in done.stderr
    script = "echo v > /v/f; rm -r /etc/f; mkdir -p /made/closed; chmod 0 /made/closed; ls -d /gone || sleep 100"
    done = user("run", "-d", "--name", "mine", "-v", "vol:/v", "made:1", "sh", "-c", script)
    assert done.returncode == 0, done.stderr
    wanted = ["C /etc", "D /etc/f", "A /made", "A /made/closed", "A /v"]
    assert wait_for(lambda: user("diff", "mine").stdout.splitlines() == wanted)
    out, closed = Path(user.home, "out"), Path(user.home, "closed")
    closed.touch(mode=0o600)
    for running in (True, False):
        done = user("cp", "mine:/v/f", str(out))
        assert (done.returncode, done.stderr, out.read_text(), out.stat().st_uid) == (0, "", "v\n", USER)
        assert user("cp", str(out), "mine:/made/in").returncode == 0
        refused = user("cp", str(closed), "mine:/made/other")
        assert (refused.returncode, refused.stderr) == (1, f"sandbox: {closed}: Permission denied\n")
        assert user("diff", "mine").stdout.splitlines() == sorted([*wanted, "A /made/in"], key=lambda line: line[2:])
        if running:
            user("kill", "mine")
    assert user("start", "mine").returncode == 0
    assert user("exec", "mine", "cat", "/made/in").stdout == "v\n"
    assert user("rm", "-f", "mine").returncode == 0
    assert user("volume", "prune", "-a").stdout.split() == ["Deleted", "Volumes:", "vol"]
    assert user("rmi", "made:1").returncode == 0
    assert os.listdir(f"{user.home}/cgscope/layers") == []
