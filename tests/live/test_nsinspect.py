"""nsinspect on this machine: ourselves, children in namespaces of their own, processes we may not read."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import Any

import pytest

from tests.testbed.commands import CTOP, EXPORTER, NSINSPECT, run
from tests.testbed.processes import children, until


def report(*arguments: str) -> dict[str, Any]:
    """Return what `nsinspect ... --json` says."""
    found: dict[str, Any] = json.loads(run([*NSINSPECT, *arguments, "--json"]).stdout)
    return found


def test_ourselves_by_the_kernels_own_files() -> None:
    """PIDs, namespaces, owner, capabilities and cgroups of this process are those of its own /proc files."""
    said = report(str(os.getpid()))
    assert said["pids"][0] == os.getpid()
    for kind, one in said["namespaces"].items():
        assert one["inode"] == os.stat(f"/proc/self/ns/{kind}").st_ino
        assert one["processes"] >= 1
    with open("/proc/self/status", encoding="utf-8") as file:
        status = dict(line.split(":\t", 1) for line in file.read().splitlines() if ":\t" in line)
    assert len(said["security"]["capabilities"]["effective"]) == int(status["CapEff"], 16).bit_count()
    assert said["security"]["uid"] == os.geteuid()
    with open("/proc/self/cgroup", encoding="utf-8") as file:
        paths = {line.rstrip("\n").split(":", 2)[2] for line in file}
    assert {one["path"] for one in said["cgroups"]} <= paths


def test_self_is_nsinspect_itself() -> None:
    """`nsinspect self` reports on its own process."""
    assert "nsinspect" in report("self")["cmdline"]


def test_the_changes_of_a_zombie() -> None:
    """It has left its root and is not gone: the kernel has no mounts of it to read (EINVAL), and the line says why."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        done = run([*NSINSPECT, "--changes", str(pid)], check=False)
    finally:
        os.waitpid(pid, 0)
    assert (done.returncode, done.stderr) == (1, f"nsinspect: process {pid} is a zombie: it has left its root\n")


def test_a_child_in_namespaces_of_its_own() -> None:
    """Behind unshare each namespace it asked for is not ours, its PID inside is 1, and a tmpfs it made is listed."""
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not installed")
    script = "mount -t tmpfs ours /mnt && echo ready && exec sleep 60"
    command = ["unshare", "-Urmpinuf", "--mount-proc", "sh", "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as launcher:
        try:
            assert launcher.stdout is not None
            if launcher.stdout.readline() != "ready\n":
                pytest.skip("this kernel does not let us make user namespaces")
            (child,) = children(launcher.pid)
            said = report(str(child))
        finally:
            _end(launcher)
    assert said["pids"][-2:] == [child, 1]
    for kind in ("mnt", "pid", "net", "ipc", "uts", "user"):
        assert said["namespaces"][kind]["inode"] != os.stat(f"/proc/self/ns/{kind}").st_ino
        assert said["namespaces"][kind]["same_as_host"] is not True
    user = said["namespaces"]["user"]
    assert said["namespaces"]["net"]["owner"] == user["inode"]
    assert user["parent"] == os.stat("/proc/self/ns/user").st_ino
    assert said["security"]["uid_map"] == [{"inside": 0, "outside": os.geteuid(), "length": 1}]
    assert "ours" in {mount["source"] for mount in said["mounts"]}


def _end(launcher: subprocess.Popen[str]) -> None:
    """End the launcher and the namespace's first process, with which everything in it ends."""
    for child in children(launcher.pid):
        os.kill(child, 9)
    launcher.kill()


def test_a_chroot_is_no_container(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A process that only changed its root is told apart: the root is named, the mounts are the host's."""
    if os.geteuid() != 0:
        pytest.skip("chroot needs root")
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("busybox is not installed")
    root = tmp_path_factory.mktemp("chroot")
    shutil.copy(busybox, root / "busybox")
    with subprocess.Popen(["chroot", str(root), "/busybox", "sleep", "60"]) as child:
        try:
            until(lambda: os.readlink(f"/proc/{child.pid}/root") == str(root), "the chroot")
            said = report(str(child.pid))
        finally:
            child.kill()
    assert said["chroot"] == str(root)
    assert said["mounts"] == []
    assert "chroot-only" in [finding["code"] for finding in said["findings"]]


def test_a_kernel_thread() -> None:
    """A kernel thread has no command line, and is reported like everything else."""
    threads = [pid for pid in os.listdir("/proc") if pid.isdigit() and _is_kernel_thread(pid)]
    if not threads:
        pytest.skip("no kernel thread can be seen from here")
    said = report(threads[0])
    assert said["cmdline"] == ""
    assert "kernel thread" in run([*NSINSPECT, threads[0]]).stdout


def _is_kernel_thread(pid: str) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return bool(int(file.read().rpartition(")")[2].split()[6]) & 0x00200000)
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_process_we_have_no_rights_over() -> None:
    """Without capabilities, what may not be read is listed with the one it needs, and is empty or null."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root, to give up its capabilities, and setpriv, which is not installed or not ours to use")
    done = run(["setpriv", "--bounding-set=-all", "--", *NSINSPECT, str(os.getpid()), "--json"])
    said = json.loads(done.stdout)
    assert said["namespaces"] == {}
    assert {"what": "namespaces", "error": "Permission denied", "needs": "CAP_SYS_PTRACE"} in said["unreadable"]
    assert said["pids"][0] == os.getpid()
    shown = run(["setpriv", "--bounding-set=-all", "--", *NSINSPECT, str(os.getpid())]).stdout
    assert "namespaces: Permission denied (needs CAP_SYS_PTRACE)" in shown


def test_a_process_that_has_ended() -> None:
    """The PID of a process that is gone is one line and exit code 1."""
    with subprocess.Popen(["true"]) as child:
        child.wait()
    done = run([*NSINSPECT, str(child.pid)], check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"nsinspect: no process with PID {child.pid}\n"


def test_a_zombie() -> None:
    """A process that has ended but was not waited for is reported as far as it goes."""
    with subprocess.Popen(["true"]) as child:
        until(lambda: _state(child.pid) == "Z", "the end")
        said = report(str(child.pid))
    assert said["comm"] == "true"
    assert said["cmdline"] == ""


def _state(pid: int) -> str:
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        return file.read().rpartition(")")[2].split()[0]


def test_a_closed_pipe_is_quiet() -> None:
    """`nsinspect self | head -1` prints a line and no complaint."""
    command = f"{' '.join(NSINSPECT)} self | head -1"
    done = run(["sh", "-c", command])
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_no_colour_off_a_terminal() -> None:
    """What is not printed on a terminal has no escape sequence."""
    assert "\x1b" not in run([*NSINSPECT, "self"]).stdout


TELLING = [[*NSINSPECT, "self"], [*CTOP, "--once", "-d", "0.1"], [*EXPORTER, "--once", "--log.level=error"]]
HELPING = [[*command, word] for command in (NSINSPECT, CTOP, EXPORTER) for word in ("--help", "--version")]
NAMES = {"inspector.nsinspect": "nsinspect", "exporter.cli": "cgscope-exporter"}


def name_of(command: list[str]) -> str:
    """Return what a command calls itself: a script, or a module after `python -m`."""
    return NAMES[command[2]] if command[1] == "-m" else os.path.basename(command[0])


@pytest.mark.parametrize("command", [*TELLING, [*CTOP, "--json"], *HELPING])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_standard_output_is_named(command: list[str], unbuffered: str) -> None:
    """On a full disk one line says what is full, whenever Python writes, and the exit code is 1."""
    shell = ["sh", "-c", 'exec "$@" >/dev/full', "sh", *command]
    done = run(shell, check=False, env={**os.environ, "PYTHONUNBUFFERED": unbuffered})
    assert (done.returncode, done.stderr) == (1, f"{name_of(command)}: standard output: No space left on device\n")


@pytest.mark.parametrize("command", [*TELLING, [*NSINSPECT, "--version"], [*CTOP, "--version"], [*CTOP, "--help"]])
def test_a_closed_standard_output_is_named(command: list[str]) -> None:
    """Without one there is nothing to say it to, which is one line and exit code 1."""
    done = run(["sh", "-c", 'exec "$@" >&-', "sh", *command], check=False)
    assert (done.returncode, done.stderr) == (1, f"{name_of(command)}: standard output is closed\n")


@pytest.mark.parametrize("command", [NSINSPECT, CTOP])
def test_the_version_is_on_standard_output(command: list[str]) -> None:
    """--version says name and version where a script reads them."""
    command = [*command, "--version"]
    done = run(command)
    assert (done.stdout.startswith(f"{name_of(command)} "), done.stderr) == (True, "")
