"""The keys that act, in the real ctop in a real terminal: what they did is read from the kernel's own files."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.root import sandboxing
from tests.testbed import cgroups, runtimes
from tests.testbed.commands import Sandbox
from tests.testbed.docker import Docker
from tests.testbed.tmux import Tmux
from tests.testbed.tools import need

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux (apt-get install tmux)"),
]

PATIENCE = 120.0
AIMED = r"y/n  send SIGTERM to process (\d+) "
KINDS = ("mnt", "uts", "ipc", "net", "pid", "cgroup", "user")


@contextlib.contextmanager
def ctop_of(directory: Path, name: str, root: str = "/nonexistent", before: str = "") -> Iterator[Tmux]:
    """Show one container, `before` being a launcher's words; the screen has its row when this is entered."""
    command = f"{before} {sys.executable} -m inspector.ctop --no-config -d 0.5 -o name,state,cpu -f name:{name}"
    screen = Tmux(directory, command, (100, 30), CGSCOPE_ROOT=root)
    try:
        screen.wait(rf"^{name} ")
        yield screen
    finally:
        screen.close()


def place(pid: int | str) -> tuple[dict[str, str], list[str]]:
    """Return the namespaces and cgroups of a process, by the kernel's own links."""
    return {kind: os.readlink(f"/proc/{pid}/ns/{kind}") for kind in KINDS}, sandboxing.cgroup_paths(pid)


def parents(pid: int) -> Iterator[int]:
    """Yield a process and those above it."""
    while pid > 0:
        yield pid
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            pid = int(file.read().rpartition(")")[2].split()[1])


def entered(pid: int) -> list[int]:
    """Return the processes in a container's PID namespace that its first process is not above of."""
    found = []
    for one in map(int, filter(str.isdigit, os.listdir("/proc"))):
        with contextlib.suppress(OSError):
            inside = os.readlink(f"/proc/{one}/ns/pid") == os.readlink(f"/proc/{pid}/ns/pid")
            if inside and pid not in parents(one):
                found.append(one)
    return found


def check_shell(screen: Tmux, pid: int, name: str) -> None:
    """Press E, y: a shell is in the container by the kernel's word, on a terminal; after its end the view is whole."""
    screen.press("E", until=rf"y/n  open a shell in {name}, process {pid}\?")
    screen.press("y", until=r"[#$] *\s*\Z")  # its prompt: what is typed before is lost with ctop's input
    # A program of the shell's own, which stays to be looked at.
    screen.press("cat /proc/self/mountinfo | grep -c ^ ; echo in-$((40+2)); cat", "Enter", until="^in-42")
    assert sandboxing.wait_for(lambda: len(entered(pid)) >= 2, PATIENCE)
    for one in entered(pid):
        assert place(one) == place(pid)
        assert os.stat(f"/proc/{one}/root").st_ino == os.stat(f"/proc/{pid}/root").st_ino
    screen.press("C-c", until=r"\^C\s*\n.*[#$] *\s*\Z")  # for the program in there, not for ctop
    screen.press("exit 4", "Enter", until=rf"the shell in {name} ended with exit code 4")
    screen.wait(rf"^{name} ")
    assert sandboxing.wait_for(lambda: not entered(pid), PATIENCE)


def test_a_container_of_ours(sandbox: Sandbox, tmp_path: Path) -> None:
    """A shell, freeze and thaw, another limit, its log, a signal to its end; the terminal is whole in the end."""
    script = "i=0; while :; do echo said-$i; i=$((i+1)); sleep 1; done"
    sandbox.start("acted", "--cpus", "0.3", "sh", "-c", script)
    pid = sandbox.pid("acted")
    with ctop_of(tmp_path, "acted", sandbox.root) as screen:
        check_shell(screen, pid, "acted")
        screen.press("z", until=rf"y/n  freeze all processes of acted \(that of process {pid}\)\?")
        screen.press("y", until="frozen .[0-9]+ process")
        assert cgroups.read(f"{cgroups.path_of(pid, 'freezer')}/freezer.state").strip() == "FROZEN"
        screen.press("E", until="y/n  open a shell")
        screen.press("y", until="is frozen, and so would be the program")
        screen.wait("^acted .* paused ")  # before, the sample in sight can be that of the time before the freeze
        screen.press("z", until="y/n  thaw all processes of acted")
        screen.press("y", until="thawed: /")
        assert cgroups.read(f"{cgroups.path_of(pid, 'freezer')}/freezer.state").strip() == "THAWED"
        screen.press("L", "c", until=r"cpus of acted \(now 0.30\)")
        screen.press("0.45", "Enter", until=r"y/n  limit cpus of acted .that of process \d+.: 0.30 -> 0.45\?")
        assert cgroups.read(f"{cgroups.path_of(pid, 'cpu')}/cpu.cfs_quota_us").strip() == "30000"
        screen.press("y", until="cpu: 0.3 cores .* -> 0.45 cores")
        assert cgroups.read(f"{cgroups.path_of(pid, 'cpu')}/cpu.cfs_quota_us").strip() == "45000"
        screen.press("l", until=r"^said-\d+")
        screen.press("Escape", until="^acted ")
        screen.press("F9", "9", "Enter", until=rf"y/n  send SIGKILL to acted, process {pid}\?")
        screen.press("y", until=rf"SIGKILL sent to process {pid}")
        assert sandboxing.wait_for(lambda: sandbox.inspect("acted")["State"]["Status"] == "exited", PATIENCE)
        assert sandbox.inspect("acted")["State"]["ExitCode"] == 137
        screen.press("q", until="exit code 0")
        assert screen.is_restored()


def test_without_capabilities(sandbox: Sandbox, tmp_path: Path) -> None:
    """What is seen is shown, what is hidden is counted, and what cannot be done is said in a line, whole."""
    sandbox.start("rightless", "sleep", "1000")
    need("setpriv")
    with ctop_of(tmp_path, "rightless", sandbox.root, "setpriv --bounding-set=-all --") as screen:
        screen.wait(r"^\d+ process(es)? hidden: access denied \(CAP_SYS_PTRACE lifts most of that\)")
        screen.wait(r"^rightless +running +\d+\.\d%")
        screen.press("z", until="y/n  freeze all processes of rightless")
        screen.press("y", until=lambda text: text.count("(CAP_SYS_PTRACE") == 2)
        screen.press("Enter", until="INSIDE")
        screen.wait(r"^ *\d+ .* sleep 1000$")
        screen.press("3", until=r"namespaces: Permission denied \(needs CAP_SYS_PTRACE\)")
        screen.press("q", until="exit code 0")
        assert screen.is_restored()
    assert "State:\tS" in Path(f"/proc/{sandbox.pid('rightless')}/status").read_text(encoding="utf-8")


def test_a_signal_for_ctop_while_a_shell_is_open(sandbox: Sandbox, tmp_path: Path) -> None:
    """SIGTERM ends the shell and then ctop; the terminal is as before."""
    sandbox.start("termed", "sleep", "1000")
    pid = sandbox.pid("termed")
    with ctop_of(tmp_path, "termed", sandbox.root) as screen:
        screen.press("E", until="y/n  open a shell")
        screen.press("y", until=r"[#$] *\s*\Z")
        assert sandboxing.wait_for(lambda: len(entered(pid)) == 1, PATIENCE)
        (shell,) = entered(pid)
        _, _, ctop, *_ = parents(shell)
        os.kill(ctop, signal.SIGTERM)
        screen.wait("exit code 0")
        assert screen.is_restored()
        assert sandboxing.wait_for(lambda: not entered(pid), PATIENCE)


def test_containers_of_docker_and_lxc(docker: Docker, tmp_path: Path) -> None:
    """A shell in each is inside it; Docker's log is read from its file; a chosen process gets a signal."""
    script = "sleep 1001 & while :; do echo said; sleep 1; done"
    (tmp_path / "docker").mkdir()
    with docker.running("actor", "busybox", "sh", "-c", script), ctop_of(tmp_path / "docker", "actor") as screen:
        pid = docker.pid("actor")
        check_shell(screen, pid, "actor")
        screen.press("l", until="^said")
        screen.press("Escape", until="^actor ")  # by itself: together with the next key it would be another one
        screen.press("Enter", until=r"^ *\d+ .*s sleep 1001$")
        victim = int(screen.wait(r"^ *(\d+) .*s sleep 1001$")[1])
        screen.press("N", "g")
        for _ in range(20):
            screen.press("F9", "Enter", until=AIMED)
            if int(screen.wait(AIMED)[1]) == victim:
                break
            screen.press("n", "Down")
        screen.press("y", until=f"SIGTERM sent to process {victim}")
        assert sandboxing.wait_for(lambda: not os.path.exists(f"/proc/{victim}/exe"), PATIENCE)
    with runtimes.lxc("lxactor") as box:
        assert box.tool is not None
        (tmp_path / "lxc").mkdir()
        with ctop_of(tmp_path / "lxc", "lxactor") as screen:
            check_shell(screen, int(box.tool("info", "-p", "-H")), "lxactor")


def test_two_tagged_containers(sandbox: Sandbox, tmp_path: Path) -> None:
    """Both are frozen, thawed and killed by one answer each, with a third between them that is not; no colour."""
    names = ("tagged-a", "tagged-b", "tagged-c")
    for name in names:
        sandbox.start(name, "sleep", "1000")
    pids = {name: sandbox.pid(name) for name in names}
    command = f"{sys.executable} -m inspector.ctop --no-config -d 0.5 -s name -o name,state,cpu -f name:tagged-"
    screen = Tmux(tmp_path, command, (100, 30), CGSCOPE_ROOT=sandbox.root, NO_COLOR="1")
    try:
        screen.wait("^tagged-c ")
        screen.press("u", until="^tagged-a *#")
        screen.press("Down", "u", until="^tagged-c *#")
        assert "2 tagged" in screen.text
        assert "tagged-b#" not in screen.text.replace(" ", "")
        screen.press("z", until=r"y/n  freeze all processes of 2 tagged: tagged-a, tagged-c\?")
        screen.press("y", until="frozen: 2 of 2 tagged")
        states = [cgroups.read(f"{cgroups.path_of(pids[name], 'freezer')}/freezer.state").strip() for name in names]
        assert states == ["FROZEN", "THAWED", "FROZEN"]
        screen.wait("^tagged-a *#paused")
        screen.wait("^tagged-c *#paused")
        screen.press("z", until="y/n  thaw all processes of 2 tagged")
        screen.press("y", until="thawed: 2 of 2 tagged")
        screen.press("F9", "9", "Enter", until=r"y/n  send SIGKILL to 2 tagged: tagged-a, tagged-c\?")
        screen.press("y", until="SIGKILL sent to 2 of 2 tagged")
        for name in ("tagged-a", "tagged-c"):
            assert sandboxing.wait_for(lambda name=name: sandbox.inspect(name)["State"]["ExitCode"] == 137, PATIENCE)  # type: ignore[misc]
        screen.see(lambda text: "tagged-a" not in text and "tagged:" not in text and "2 tagged" not in text)
        assert sandbox.inspect("tagged-b")["State"]["Status"] == "running"
        screen.press("q", until="exit code 0")
        assert screen.is_restored()
    finally:
        screen.close()
