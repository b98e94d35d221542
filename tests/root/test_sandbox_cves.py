"""Ways in which other runtimes were broken, each by the number under which that is known; none may work here.

Those of image builds (CVE-2024-23651, -23652, -23653) have no counterpart: nothing is built here.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time

import pytest

from tests.root import sandboxing
from tests.testbed.commands import REPOSITORY, SANDBOX, Sandbox
from tests.testbed.tools import need

pytestmark = pytest.mark.root

RUN = ("run", "--rm", "--rootfs")
SAID = "HOST PYTHON"
# Looks again and again at what enters the container, and says whose program it could get hold of.
SPY = """
import os, time
seen = set()
while not os.path.exists('/stop'):
    time.sleep(0.0005)
    for pid in filter(str.isdigit, os.listdir('/proc')):
        for name in ('exe', 'cwd', 'root', 'fd'):
            try:
                path = f'/proc/{pid}/{name}'
                found = os.listdir(path) if name == 'fd' else os.readlink(path)
                program = os.readlink(f'/proc/{pid}/exe')
            except OSError:
                continue
            if pid != '1' and (name, program) not in seen:
                seen.add((name, program))
                print(name, program, flush=True)
"""
# Puts a good program and a link to whoever executes it in each other's place.
SWAP = """
import os, shutil, time
shutil.copy('/usr/bin/true', '/v/good')
os.link('/v/good', '/v/program')
while True:
    os.symlink('/proc/self/exe', '/v/other')
    os.rename('/v/other', '/v/program')
    time.sleep(0.0003)
    os.link('/v/good', '/v/other')
    os.rename('/v/other', '/v/program')
    time.sleep(0.0003)
"""
# Puts a directory and a link in each other's place (renameat2, RENAME_EXCHANGE).
EXCHANGE = """
import ctypes, os, sys, time
libc = ctypes.CDLL(None)
os.mkdir('/v/real')
os.symlink(sys.argv[1], '/v/target')
while True:
    libc.syscall(316, -100, b'/v/real', -100, b'/v/target', 2)
    time.sleep(0.0003)
"""


@pytest.fixture
def directory(tmp_path: os.PathLike[str]) -> str:
    """Make a directory that containers share."""
    path = os.path.join(tmp_path, "shared")
    os.mkdir(path)
    return path


@pytest.fixture
def rootfs(sandbox: Sandbox, tmp_path: os.PathLike[str]) -> str:
    """Make a root filesystem of a shell and a few programs."""
    path = os.path.join(tmp_path, "rootfs")
    sandbox("rootfs", "copy", path, "sh", "ls", "cat", "true")
    return path


def test_cve_2016_9962(sandbox: Sandbox) -> None:
    """A process that joins a container shows it neither its files nor its program until it is the container's own."""
    # Without a filter: the right that loading it needs, kept to the end, would hide the process as well.
    options = ("--security-opt", "seccomp=unconfined")
    sandbox("run", "-d", "--name", "spy", *options, "--rootfs", "/", "python3", "-c", SPY)

    def looked() -> bool:
        """Join it; it does see what it may, once it looks."""
        for _ in range(6):
            sandbox("exec", "spy", "sleep", "0.1")
        return "exe /usr/bin/" in sandbox("logs", "spy").stdout

    assert sandboxing.wait_for(looked)
    sandbox("exec", "spy", "touch", "/stop", check=False)  # 137 when the container has ended before it
    assert sandboxing.wait_for(lambda: sandbox.inspect("spy")["State"]["Status"] == "exited")
    programs = {line.split(" ", 1)[1] for line in sandbox("logs", "spy").stdout.splitlines()}
    assert {program for program in programs if not program.startswith(("/usr/bin/", "/memfd:start"))} == set()


def test_cve_2019_5736(sandbox: Sandbox, directory: str) -> None:
    """A program that is changed into a link to whoever executes it, between our look and its start, starts nothing."""
    sandbox("run", "-d", "--name", "swap", "-v", f"{directory}:/v", "--rootfs", "/", "python3", "-c", SWAP)
    assert sandboxing.wait_for(lambda: os.path.lexists(os.path.join(directory, "program")))
    said, refused = "", 0
    deadline = time.monotonic() + 60
    # Both must have been met for the race to have been one: refused at our look, and passed by it.
    for attempt in range(200):
        done = sandbox("exec", "swap", "/v/program", "-c", f"print({SAID!r})", check=False)
        said += done.stdout
        refused += "leads to /proc/self/exe" in done.stderr
        if (attempt >= 15 and refused) or time.monotonic() > deadline:
            break
    assert said == ""
    assert refused


def test_cve_2018_15664(sandbox: Sandbox, tmp_path: os.PathLike[str]) -> None:
    """`cp` into a directory that becomes a link while it is walked writes inside, or nothing (B069)."""
    outside, file = os.path.join(tmp_path, "outside"), os.path.join(tmp_path, "file")
    os.mkdir(outside)
    with open(file, "w", encoding="ascii") as new:
        new.write("new")
    program = f"import os\nos.mkdir('/v')\n{EXCHANGE}"
    sandbox("run", "-d", "--name", "swap", "--rootfs", "/", "python3", "-c", program, outside)
    upper = sandbox.inspect("swap")["GraphDriver"]["Data"]["UpperDir"]
    assert sandboxing.wait_for(lambda: os.path.lexists(f"{upper}/v/target"))
    codes: list[int] = []
    deadline = time.monotonic() + sandboxing.PATIENCE_SECONDS
    while len(codes) < 6 or (0 not in codes and time.monotonic() < deadline):
        codes.append(sandbox("cp", file, "swap:/v/target/copied", check=False).returncode)
    assert 0 in codes
    assert os.listdir(outside) == []


def test_cve_2019_14271(sandbox: Sandbox) -> None:
    """`cp` loads no library by the container's name service: it looks up no name there."""
    sandbox("run", "-d", "--name", "source", "--rootfs", "/", "sleep", "1000")
    env = {**sandbox.env, "LD_DEBUG": "files"}
    command = [*SANDBOX, "cp", "-a", "source:/etc/passwd", "-"]
    done = subprocess.run(command, env=env, cwd=REPOSITORY, capture_output=True, check=True, timeout=120)
    assert b"generating link map" in done.stderr  # the loader does tell
    assert b"libnss" not in done.stderr


@pytest.mark.parametrize("link", ["proc", "sys", "dev"])
def test_cve_2019_19921_and_2026_41579(sandbox: Sandbox, rootfs: str, link: str) -> None:
    """An image whose /proc, /sys or /dev is a link (CVE-2019-16884, -2023-27561, -28642) is refused."""
    os.rmdir(os.path.join(rootfs, link))
    os.symlink("tmp", os.path.join(rootfs, link))
    os.makedirs(os.path.join(rootfs, "tmp"), exist_ok=True)
    done = sandbox(*RUN, rootfs, "true", check=False)
    assert (done.returncode, f"/{link} is a symbolic link" in done.stderr) == (125, True)
    assert os.listdir(os.path.join(rootfs, "tmp")) == []


def test_cve_2021_30465_and_2024_45310(sandbox: Sandbox, directory: str, tmp_path: os.PathLike[str]) -> None:
    """A mount point that becomes a link meanwhile leads nowhere outside, and no directory is made there."""
    outside, volume = os.path.join(tmp_path, "outside"), os.path.join(tmp_path, "volume")
    os.mkdir(outside)
    os.mkdir(volume)
    before = sandboxing.mounts()
    program = ("python3", "-c", EXCHANGE, outside)
    sandbox("run", "-d", "--name", "swap", "-v", f"{directory}:/v", "--rootfs", "/", *program)
    assert sandboxing.wait_for(lambda: os.path.lexists(os.path.join(directory, "target")))
    mounts = ("-v", f"{directory}:/v", "-v", f"{volume}:/v/target/made/here")
    script = "cut -d' ' -f5 /proc/self/mountinfo | grep made/here"
    codes: list[int] = []
    deadline = time.monotonic() + sandboxing.PATIENCE_SECONDS
    while len(codes) < 6 or (0 not in codes and time.monotonic() < deadline):
        codes.append(sandbox(*RUN, "/", *mounts, "sh", "-c", script, check=False).returncode)
    assert set(codes) <= {0, 125}
    assert 0 in codes
    assert os.listdir(outside) == []
    assert [line for line in sandboxing.mounts() if line not in before and "made/here" in line] == []


def test_cve_2021_41091(sandbox: Sandbox) -> None:
    """A user of the machine cannot look into containers' files, where setuid programs of others' making may be.

    B043.
    """
    need("setpriv")
    container = sandbox("run", "-d", "--name", "files", "--rootfs", "/", "sleep", "1000").stdout.strip()
    upper = sandbox.inspect("files")["GraphDriver"]["Data"]["UpperDir"]
    sandbox("exec", "files", "sh", "-c", "echo x > /made")
    assert os.path.exists(f"{upper}/made")
    for path in (f"{sandbox.root}/containers", f"{sandbox.root}/containers/{container}"):
        assert os.stat(path).st_mode & 0o077 == 0
        user = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "ls", path]
        assert subprocess.run(user, capture_output=True, check=False).returncode != 0


def test_cve_2022_0492(sandbox: Sandbox) -> None:
    """A user namespace of one's own gives no way to mount cgroups and name a release_agent: none can be made."""
    script = "unshare -UrmC sh -c 'mount -t cgroup -o memory none /mnt && echo reached'"
    done = sandbox(*RUN, "/", "sh", "-c", script, check=False)
    assert (done.stdout, "Operation not permitted" in done.stderr) == ("", True)
    # Nor does a right to mount show more than the container's own part of the tree, which has no such file.
    script = "mount -t cgroup -o memory none /mnt 2>/dev/null; ls /mnt/release_agent; echo x > /mnt/release_agent"
    done = sandbox(*RUN, "/", "--cap-add", "SYS_ADMIN", "sh", "-c", script, check=False)
    assert done.stdout == ""


@pytest.mark.parametrize(
    "setting", ["kernel.shm_rmid_forced=1+kernel.core_pattern=|/x", "kernel.shm_rmid_forced=1\nkernel.core_pattern=|/x"]
)
def test_cve_2022_0811(sandbox: Sandbox, setting: str) -> None:
    """A sysctl's value cannot smuggle in another one, which would be the whole machine's (T29)."""
    with open("/proc/sys/kernel/core_pattern", encoding="ascii") as file:
        before = file.read()
    done = sandbox(*RUN, "/", "--sysctl", setting, "true", check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (125, 1)
    with open("/proc/sys/kernel/core_pattern", encoding="ascii") as file:
        assert file.read() == before


def test_cve_2022_24769(sandbox: Sandbox) -> None:
    """No capability is inheritable (CVE-2022-29162): a file's own cannot give back to a user what was taken."""
    sandbox("run", "-d", "--name", "sets", "--rootfs", "/", "sleep", "1000")
    for options in ((), ("-u", "daemon")):
        lines = sandbox("exec", *options, "sets", "grep", "-E", "Cap(Inh|Amb)", "/proc/self/status").stdout.split()
        assert lines[1::2] == ["0" * 16] * 2


@pytest.mark.parametrize("workdir", ["/proc/self/fd/7", "/proc/1/fd/7", "/proc/self/fd/7/../..", "/link"])
def test_cve_2024_21626(sandbox: Sandbox, rootfs: str, workdir: str) -> None:
    """A descriptor of the caller's is not there as working directory, for run as for exec, nor for the program."""
    os.symlink("/proc/self/fd/7", os.path.join(rootfs, "link"))
    script = 'exec 7</; exec "$@"'

    def leaking(*words: str) -> subprocess.CompletedProcess[str]:
        command = ["sh", "-c", script, "sh", *SANDBOX, *words]
        return subprocess.run(
            command, env=sandbox.env, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=120
        )

    done = leaking(*RUN, rootfs, "-w", workdir, "ls", "etc")
    assert (done.returncode, "passwd" in done.stdout, "working directory" in done.stderr) == (125, False, True)
    assert leaking(*RUN, rootfs, "ls", "/proc/self/fd").stdout.split() == ["0", "1", "2", "3"]  # 3 is ls's own
    leaking("run", "-d", "--name", "open", "--rootfs", rootfs, "sh", "-c", "while :; do read x < /dev/zero; done")
    assert leaking("exec", "-w", workdir, "open", "ls", "etc").returncode == 126
    assert leaking("exec", "open", "ls", "/proc/self/fd").stdout.split() == ["0", "1", "2", "3"]


@pytest.mark.parametrize("null", ["link", "file"])
def test_cve_2025_31133(sandbox: Sandbox, directory: str, tmp_path: os.PathLike[str], null: str) -> None:
    """What is laid over masked files is the null device itself, not what a volume calls so."""
    secret = os.path.join(tmp_path, "secret")
    with open(secret, "w", encoding="ascii") as file:
        file.write("secret")
    path = os.path.join(directory, "null")
    os.symlink(secret, path) if null == "link" else os.rename(secret, path)
    done = sandbox(*RUN, "/", "-v", f"{directory}:/dev", "cat", "/proc/timer_list", check=False)
    assert "secret" not in done.stdout
    assert (done.returncode, len(done.stderr.splitlines())) == (125, 1)


def test_cve_2025_52565(sandbox: Sandbox, directory: str, tmp_path: os.PathLike[str]) -> None:
    """A terminal is not laid over what a link in the place of /dev/console points to."""
    guarded = os.path.join(tmp_path, "guarded")
    with open(guarded, "w", encoding="ascii") as file:
        file.write("kept")
    os.symlink(guarded, os.path.join(directory, "console"))
    options = ("-t", "-v", f"{directory}:/dev", "-v", f"{tmp_path}:{tmp_path}")
    done = sandbox(*RUN, "/", *options, "cat", guarded, check=False)
    assert done.returncode in (125, 0)
    assert "tty" not in done.stdout
    with open(guarded, encoding="ascii") as file:
        assert file.read() == "kept"


@pytest.mark.parametrize("target", ["/proc/self/attr", "/proc/sys/kernel", "/sys/fs", "/forged/kernel"])
def test_cve_2025_52881(sandbox: Sandbox, rootfs: str, directory: str, target: str) -> None:
    """Nothing is mounted into /proc or /sys, also by way of a link, so that no write there goes elsewhere (T32)."""
    os.symlink("/proc/sys", os.path.join(rootfs, "forged"))
    done = sandbox(*RUN, rootfs, "-v", f"{directory}:{target}", "true", check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (125, 1)


@pytest.mark.vm
def test_what_tells_of_the_processor(sandbox: Sandbox) -> None:
    """What lets others' secrets be measured is hidden: interrupts, throttling, power (GHSA-6fw5, GHSA-jq35)."""
    devices = "/sys/devices/system/cpu/*/thermal_throttle/* /sys/devices/virtual/powercap/*"
    paths = f"/proc/interrupts /proc/timer_list {devices}"
    assert sandbox(*RUN, "/", "sh", "-c", f"cat {paths} 2>/dev/null; true").stdout == ""
    with contextlib.suppress(FileNotFoundError), open("/proc/interrupts", encoding="ascii") as file:
        assert "CPU0" in file.read()
