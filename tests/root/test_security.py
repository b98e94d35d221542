"""What lets a real container reach the host: nsinspect's findings on our sandbox and on Docker."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.root.sandboxing import status
from tests.testbed.commands import NSINSPECT, Sandbox, run
from tests.testbed.docker import IMAGE, Docker

pytestmark = pytest.mark.root

SLEEP = ("sleep", "300")
ALL_BUT = ("--cap-add=ALL", "--cap-drop=SYS_RESOURCE", "--device-cgroup-rule=a *:* rwm",
           "--security-opt=seccomp=unconfined", "--security-opt=systempaths=unconfined")  # fmt: skip
# Option of `run`: what must be found.
REACHES = {
    "--privileged": {"privileged", "proc-sys-writable", "sys-writable", "host-devices", "writable-cgroup"},
    "--cap-add=SYS_ADMIN": {"dangerous-capability"},
    "--cap-add=SYS_MODULE": {"dangerous-capability"},
    "--volume=/:/host": {"host-path-writable"},
    "--volume=/etc:/x:ro": {"host-path-readable"},
}


def report(pid: int) -> dict[str, Any]:
    """Return what `nsinspect PID --json` says."""
    found: dict[str, Any] = json.loads(run([*NSINSPECT, str(pid), "--json"]).stdout)
    return found


def alarms(said: dict[str, Any]) -> dict[str, str]:
    """Return what is more than a remark: the text by code."""
    return {one["code"]: one["text"] for one in said["findings"] if one["severity"] != "info"}


def may_give_every_capability() -> bool:
    """Tell whether we have CAP_SYS_RESOURCE (bit 24), which root in a container often lacks."""
    return bool(int(status("self", "CapBnd"), 16) >> 24 & 1)


@pytest.fixture
def docker_pid(docker: Docker, request: pytest.FixtureRequest) -> Iterator[int]:
    """Run a Docker container with the given options; give the PID of its first process."""
    if "--privileged" in request.param and not may_give_every_capability():
        pytest.skip("this machine's root lacks CAP_SYS_RESOURCE, which --privileged gives")
    with docker.running("cgscope-security", *request.param, IMAGE, *SLEEP):
        yield docker.pid("cgscope-security")


def test_our_default_sandbox_is_no_alarm(sandbox: Sandbox) -> None:
    """Without options nothing is a warning; what the kernel refuses it is what nsinspect says it is kept from."""
    sandbox.start("sec-default", "--", *SLEEP)
    said = report(sandbox.pid("sec-default"))
    assert alarms(said) == {}
    assert "/proc/sys" in said["security"]["read_only_paths"]
    refused = sandbox("exec", "sec-default", "sh", "-c", "echo x > /proc/sys/kernel/core_pattern", check=False)
    assert "Read-only file system" in refused.stderr
    if said["security"]["devices"] is not None:
        assert "a *:* rwm" not in said["security"]["devices"]
    else:
        assert said["security"]["devices_note"]


@pytest.mark.parametrize("option", REACHES)
def test_what_a_sandbox_is_given_is_found(sandbox: Sandbox, option: str) -> None:
    """Each option that opens a wall is an alarm, and no other alarm comes with it."""
    name, _, value = option.partition("=")
    sandbox.start("sec-option", name.replace("--volume", "-v"), *filter(None, [value]), "--", *SLEEP)
    found = alarms(report(sandbox.pid("sec-option")))
    assert found.keys() - {"seccomp-off"} == REACHES[option]


def test_what_is_said_of_the_host_is_so(sandbox: Sandbox) -> None:
    """A file of the host that nsinspect says can be read through /host is read there, and it names the place."""
    sandbox.start("sec-host", "-v", "/:/host", "--", *SLEEP)
    text = alarms(report(sandbox.pid("sec-host")))["host-path-writable"]
    assert text == "can write to the host: / is mounted at /host read-write"
    with open("/etc/shadow", encoding="utf-8") as file:
        assert sandbox("exec", "sec-host", "cat", "/host/etc/shadow").stdout == file.read()


@pytest.mark.parametrize("docker_pid", [()], indirect=True)
def test_dockers_default_is_no_alarm(docker_pid: int) -> None:
    """An ordinary Docker container has remarks only; its masked and read-only paths are Docker's."""
    said = report(docker_pid)
    assert alarms(said) == {}
    assert {"/proc/keys", "/sys/firmware"} <= set(said["security"]["masked_paths"])
    assert {"/proc/sys", "/sys"} <= set(said["security"]["read_only_paths"])
    assert len(said["security"]["capabilities"]["effective"]) == 14


@pytest.mark.parametrize(
    ("docker_pid", "codes"),
    [
        # As --privileged, without the one capability that a machine may not have to give.
        (ALL_BUT, {"privileged", "proc-sys-writable", "host-devices"}),
        (("--privileged",), {"privileged", "proc-sys-writable", "sys-writable", "host-devices", "writable-cgroup"}),
        (("-v", "/:/host"), {"host-path-writable"}),
        (("--cap-add", "SYS_ADMIN"), {"dangerous-capability"}),
        (("--pid", "host"), {"host-pid"}),
        (("-v", "/etc:/x:ro"), {"host-path-readable"}),
        (("-v", "volume:/data"), set()),
    ],
    indirect=["docker_pid"],
)
def test_what_docker_is_asked_for_is_found(docker_pid: int, codes: set[str]) -> None:
    """Each option of Docker that opens a wall is an alarm; a volume is none."""
    assert alarms(report(docker_pid)).keys() == codes


def test_dockers_socket_inside(docker: Docker) -> None:
    """The runtime's socket in a container is critical, even where it is mounted read-only and elsewhere."""
    socket = docker.socket.removeprefix("unix://")
    with docker.running("cgscope-socket", "-v", f"{socket}:/inside:ro", IMAGE, *SLEEP):
        found = alarms(report(docker.pid("cgscope-socket")))
    assert found.keys() == {"runtime-socket"}
    assert os.path.realpath(socket) in found["runtime-socket"]
    assert "/inside" in found["runtime-socket"]
