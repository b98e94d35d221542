"""Whose namespaces a container shares, by the kernel's own links; and what comes with each."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from inspector.schema import Container, Document
from tests.root import sandboxing
from tests.testbed.commands import CTOP, Sandbox, ctop_document, find
from tests.testbed.processes import children

pytestmark = pytest.mark.root

KINDS = ("mnt", "pid", "ipc", "uts", "net", "cgroup", "user", "time")


def shared(one: int | str, other: int | str) -> set[str]:
    """Return the kinds of namespaces that two processes have in common."""
    return {kind for kind in KINDS if os.readlink(f"/proc/{one}/ns/{kind}") == os.readlink(f"/proc/{other}/ns/{kind}")}


def test_a_container_by_itself(sandbox: Sandbox) -> None:
    """By default only users and clocks are this machine's."""
    sandbox.start("alone", "sleep", "1000")
    assert shared(sandbox.pid("alone"), "self") == {"user", "time"}
    config = sandbox.inspect("alone")["HostConfig"]
    assert [config[key] for key in ("PidMode", "IpcMode", "UTSMode", "CgroupnsMode")] == ["", "private", "", "private"]


def test_orphans_on_this_machines_processes(sandbox: Sandbox) -> None:
    """Without a PID namespace a container's orphans become its monitor's children: it reaps them while it runs."""
    script = "for n in 1 2 3 4 5 6 7 8 9; do (sleep 0.1 &); done; echo made; exec sleep 1000"
    sandbox.start("parent", "--pid", "host", "sh", "-c", script)
    assert sandboxing.wait_for(lambda: sandbox("logs", "parent").stdout == "made\n")
    pid = sandbox.pid("parent")
    monitor = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1]
    assert sandboxing.wait_for(lambda: children(monitor) == [pid]), children(monitor)


def test_told_apart_outside_our_cgroups(sandbox: Sandbox) -> None:
    """With the network, and so the host name, of another each is listed as itself; what is made in one as that."""
    parent = ("--cgroup-parent", f"/cgscope-sharing-{os.getpid()}")
    ids = {"mine": sandbox.start("mine", *parent, "--privileged", "sleep", "1000")}
    ids["beside"] = sandbox.start("beside", *parent, "--network", "container:mine", "sleep", "1000")
    sandbox("exec", "-d", "mine", "unshare", "-mpf", "--kill-child=KILL", "sleep", "1000")

    def within() -> list[Container]:
        return [one for one in ctop_document("-d", "0.1")["containers"] if one["parent"] == ids["mine"]]

    assert sandboxing.wait_for(lambda: [one["runtime"] for one in within()] == ["unshare"])
    document = ctop_document("-d", "0.1")
    for name, identifier in ids.items():
        found = find(document, name)
        assert (found["id"], found["pid"], found["runtime"]) == (identifier, sandbox.pid(name), "sandbox")
        [inside] = [one["id"] for one in self_of(sandbox, name)]
        assert inside == identifier
    assert within()[0]["name"].startswith("sleep-")


def self_of(sandbox: Sandbox, name: str) -> list[Container]:
    """Return what ctop in a container says of the one that it is in."""
    document: Document = json.loads(sandbox("exec", name, *CTOP, "--json", "-d", "0.1").stdout)
    return [one for one in document["containers"] if one["id"] == document["viewpoint"]["self"]]


@pytest.mark.vm
def test_this_machines(sandbox: Sandbox) -> None:
    """B076: --pid, --ipc, --uts and --cgroupns host: each is this machine's, host name and cgroup paths with it."""
    sandbox.start("open", "--pid", "host", "--ipc", "host", "--uts", "host", "--cgroupns", "host", "sleep", "1000")
    pid = sandbox.pid("open")
    assert shared(pid, "self") == {"pid", "ipc", "uts", "cgroup", "user", "time"}
    assert sandbox("exec", "open", "hostname").stdout.strip() == os.uname().nodename
    assert sandbox("exec", "open", "cat", "/proc/self/cgroup").stdout == Path(f"/proc/{pid}/cgroup").read_text()
    assert Path(f"/proc/{pid}/root/dev/shm").stat().st_dev == Path("/dev/shm").stat().st_dev  # noqa: S108
    sandbox("stop", "-t", "0", "open")
    assert sandbox.inspect("open")["State"]["Status"] == "exited"


def test_another_containers(sandbox: Sandbox) -> None:
    """B076: the other's processes are seen, its System V IPC and its named memory are shared; its end is not ours."""
    sandbox.start("first", "sh", "-c", "echo said > /dev/shm/words; exec sleep 1000")
    first = sandbox.pid("first")
    options = ("--pid", "container:first", "--ipc", "container:first")
    done = sandbox("run", "--rm", "--rootfs", "/", *options, "sh", "-c",
                   "until grep -q ^sleep /proc/1/cmdline; do sleep 0.1; done; "
                   "cat /dev/shm/words; tr '\\0' ' ' < /proc/1/cmdline")  # fmt: skip
    assert done.stdout.splitlines() == ["said", "sleep 1000 "]
    sandbox.start("second", *options, "sleep", "1001")
    second = sandbox.pid("second")
    assert shared(first, second) == {"pid", "ipc", "user", "time"}
    assert shared(second, "self") == {"user", "time"}
    assert sandbox("exec", "second", "cat", "/dev/shm/words").stdout == "said\n"  # noqa: S108
    sandbox("rm", "-f", "second")
    assert sandbox.inspect("first")["State"]["Running"] is True


def test_shared_memory_that_its_owner_shares(sandbox: Sandbox) -> None:
    """Though its owner lets mounts in it be seen by others, what is mounted on either side the other does not see."""
    options = ("--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined")
    sandbox.start("owner", *options, "sleep", "1000")
    sandbox("exec", "owner", "mount", "--make-shared", "/dev/shm")  # noqa: S108
    sandbox.start("guest", *options, "--ipc", "container:owner", "sleep", "1000")
    mount = "mkdir /dev/shm/$0; mount -t tmpfs none /dev/shm/$0"
    for name, other in (("owner", "guest"), ("guest", "owner")):
        sandbox("exec", name, "sh", "-c", mount, name)
        assert f" /dev/shm/{name} " in sandbox("exec", name, "cat", "/proc/mounts").stdout
        assert f" /dev/shm/{name} " not in sandbox("exec", other, "cat", "/proc/mounts").stdout


def test_clocks_of_its_own(sandbox: Sandbox) -> None:
    """B128: a container's clocks can be ahead of this machine's, for `exec` too; then its time namespace is its own.

    T31.
    """
    sandbox.start("ahead", "--time-offset", "boottime=1000000", "--time-offset", "monotonic=5", "sleep", "1000")
    assert shared(sandbox.pid("ahead"), "self") == {"user"}
    before = float(Path("/proc/uptime").read_text().split()[0])
    inside = float(sandbox("exec", "ahead", "cat", "/proc/uptime").stdout.split()[0])
    after = float(Path("/proc/uptime").read_text().split()[0])
    assert before - 0.01 <= inside - 1_000_000 <= after + 0.01


def test_no_named_memory(sandbox: Sandbox) -> None:
    """--ipc none: System V IPC of its own, and no /dev/shm."""
    done = sandbox("run", "--rm", "--rootfs", "/", "--ipc", "none", "ls", "-d", "/dev/shm", check=False)  # noqa: S108
    assert done.returncode == 2


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--pid", "container:nobody"), "no such container: nobody"),
        (("--pid", "container:"), "the form is container:<name|id>"),
        (("--pid", "mine"), "invalid PID mode"),
        (("--ipc", "container:stopped"), "is not running"),
        (("--uts", "container:stopped"), "invalid UTS mode"),
        (("--uts", "host", "-h", "name"), "conflicting options: hostname and the UTS mode"),
        (("--ipc", "host", "--sysctl", "kernel.sem=1"), "shares its IPC namespace"),
        (("--time-offset", "realtime=5"), "invalid time offset"),
        (("--time-offset", "boottime=-9999999999"), "time offset boottime=-9999999999"),
    ],
)
def test_what_cannot_be_shared(sandbox: Sandbox, options: tuple[str, ...], text: str) -> None:
    """One line, 125, and nothing left."""
    sandbox("create", "--name", "stopped", "--rootfs", "/", "true")
    done = sandbox("run", "--rm", "--rootfs", "/", *options, "true", check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (125, 1)
    assert text in done.stderr
    assert len(sandbox("ps", "-aq").stdout.split()) == 1
