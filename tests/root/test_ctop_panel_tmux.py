"""All tabs of a real container's page, in a real terminal; the figures are compared with the kernel's own files."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.root.sandboxing import status, wait_for
from tests.testbed.cgroups import control
from tests.testbed.commands import REPOSITORY, Sandbox
from tests.testbed.processes import children
from tests.testbed.tmux import Tmux

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux (apt-get install tmux)"),
]

NAME = "panelled"
MIB = 2**20
HOSTS = "THE HOST'S"
# Two threads and a child, a socket that listens, a file of its own; when told to, more memory than it may have.
PROGRAM = """
import os, socket, threading, time
listener = socket.socket()
listener.bind(("127.0.0.1", 8123))
listener.listen()
with open("/root/written", "wb") as file:
    file.write(b"x" * 300_000)
if os.fork() == 0:
    os.execvp("sleep", ["sleep", "4000"])
threading.Thread(target=time.sleep, args=(4000,), daemon=True).start()
while not os.path.exists("/root/grow"):
    time.sleep(0.1)
taken = bytearray(os.urandom(1)) * (256 << 20)
"""


@pytest.fixture
def page(sandbox: Sandbox, tmp_path: Path) -> Iterator[Tmux]:
    """Open the page of a container of our sandbox in a terminal of 200x50."""
    sandbox.start(NAME, "--cpus", "0.4", "-m", "64m", "--pids-limit", "40", "-v", f"{tmp_path}:/srv:ro", "--",
                  sys.executable, "-c", PROGRAM)  # fmt: skip
    # ctop is run from the checkout, as the interpreter of the tests may not have it installed.
    command = ["env", f"PYTHONPATH={REPOSITORY}", sys.executable, "-m", "inspector.ctop", "--no-config", "-d", "0.5"]
    terminal = Tmux(tmp_path, shlex.join([*command, "-f", f"name:{NAME}"]), (200, 50))
    try:
        terminal.wait(rf"^{NAME} +sandbox ")
        terminal.press("Enter", until=r"^ +PID +INSIDE ")
        pid = sandbox.pid(NAME)
        # Until then the program has not made all that it is going to.
        assert wait_for(lambda: len(os.listdir(f"/proc/{pid}/task")) == 2 and "sleep" in names_below(pid))
        yield terminal
    finally:
        terminal.close()


def names_below(pid: int) -> list[str]:
    """Return the names of the children of a process."""
    return [Path(f"/proc/{child}/comm").read_text(encoding="ascii").strip() for child in children(pid)]


def look_at_processes(page: Tmux, pid: int) -> None:
    """Look at the processes: the PIDs outside and inside, the child in the tree, both threads."""
    (child,) = children(pid)
    inner = status(child, "NSpid").split()[-1]
    page.press("t", until=rf"^ +{child} +{inner} +root +S +1 .* └─sleep 4000$")
    page.wait(rf"^ +{pid} +1 +root +S +2 .* {re.escape(sys.executable)} ")
    first, second = sorted(map(int, os.listdir(f"/proc/{pid}/task")))
    page.press("H", until=rf"^ +{second} .* S ")
    page.wait(rf"^ +{first} .* S ")


def look_at_limits(page: Tmux, pid: int) -> None:
    """Look at the limits: each level with its own value, the binding one marked."""
    page.press("2", until=r"^memory +64MiB, set by its own cgroup$")
    limit = int(control(pid, "memory", "memory.limit_in_bytes", "memory.max"))
    assert limit == 64 * MIB
    page.wait(r"^  binds +[\d.]+MiB of +64MiB +[\d.]+% ")
    page.wait(r"^cpu +0\.40 cores, set by its own cgroup$")
    page.wait(r"^  binds +(0|0\.\d+) of +0\.40 ")
    tasks = control(pid, "pids", "pids.current")
    page.wait(rf"^  binds +{tasks} of +40 ")
    page.wait(r"the machine$")


def look_at_namespaces(page: Tmux, pid: int) -> None:
    """Look at the namespaces: the kernel's own numbers, and whose they are."""
    page.press("3", until=r"^mnt +own ")
    for kind in ("mnt", "pid", "net", "ipc", "uts", "user"):
        inode = re.findall(r"\d+", os.readlink(f"/proc/{pid}/ns/{kind}"))[0]
        own = os.readlink(f"/proc/{pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}")
        page.wait(rf"^{kind} +{'own' if own else HOSTS} +{inode} ")


def look_at_filesystem(page: Tmux, upper: str) -> None:
    """Look at the filesystem: the layers, the volume, what was written."""
    page.press("4", until=rf"^ +upper +{re.escape(upper)}$")
    page.wait(rf"^ +bind +/srv from {re.escape(str(page.directory))} \(\w+, read-only\)$")
    assert os.path.getsize(f"{upper}/root/written") == 300_000
    page.press("c", until=r"^A +293KiB  /root/written$")
    page.wait(r"^  \d+ added, ")


def look_at_network(page: Tmux, pid: int) -> None:
    """Look at the network: loopback alone, and who listens."""
    page.press("5", until=r"^a network namespace of its own \d+$")
    page.wait(r"^lo +0B/s +0B/s +0 ")
    page.wait(r"^ +lo +127\.0\.0\.1( |$)")
    page.wait(rf"^tcp +8123 +root +{pid} \S+ +127\.0\.0\.1$")


def look_at_security(page: Tmux, pid: int) -> None:
    """Look at its security: as many capabilities as the kernel's mask has bits."""
    bits = int(status(pid, "CapEff"), 16).bit_count()
    page.press("6", until=rf"^ +effective +{bits}: ")
    seccomp = {"0": "disabled", "2": "filter"}[status(pid, "Seccomp").strip()]
    page.wait(rf"^ +seccomp +{seccomp}")


def test_all_tabs_of_a_real_container(page: Tmux, sandbox: Sandbox) -> None:
    """Each tab shows what the kernel's files say: PIDs, limits, namespaces, layers, sockets, rights, findings."""
    pid = sandbox.pid(NAME)
    look_at_processes(page, pid)
    look_at_limits(page, pid)
    look_at_namespaces(page, pid)
    look_at_filesystem(page, sandbox.inspect(NAME)["GraphDriver"]["Data"]["UpperDir"])
    look_at_network(page, pid)
    look_at_security(page, pid)

    # History, and findings with what to do.
    page.press("7", until=r"^CPU in cores +\S+ of 0\.40 .*MEMORY, working set")
    page.press("8", until=r"^ +Run it as another user, or with a user namespace")
    page.wait(r"^EVIDENCE ")
    page.press("q", until=r"exit code 0")
    assert page.is_restored()


def test_an_end_for_lack_of_memory(page: Tmux, sandbox: Sandbox) -> None:
    """A container that is killed while its page is open stays on it, and the page says when and why."""
    pid = sandbox.pid(NAME)
    Path(f"/proc/{pid}/root/root/grow").touch()
    assert wait_for(lambda: sandbox.inspect(NAME)["State"]["Status"] == "exited")
    page.wait(r"^ENDED at \d\d:\d\d:\d\d: \S+ \(pid \d+\) was killed for lack of memory \(OOM\)")
    page.wait(rf"^{NAME}  sandbox container ")
    page.press("2", until=r"^MEMORY +working set ")
    page.press("Escape", until=r"nothing matches the filter")
