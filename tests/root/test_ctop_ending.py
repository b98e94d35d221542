"""Why a container ended, of real ones: the answer of the live view's close look, once they are gone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from inspector.closeup import Ask, Closeup, Part
from inspector.ctop.source import KernelSource
from inspector.schema import Container
from tests.root.sandboxing import wait_for
from tests.testbed import runtimes
from tests.testbed.commands import Sandbox
from tests.testbed.docker import Docker
from tests.testbed.processes import children

pytestmark = pytest.mark.root

PATIENCE = 90.0
LOOK: frozenset[Part] = frozenset({"end"})
GO = "/go"
KERNEL_TELLS = tuple(int(part) for part in os.uname().release.split(".")[:2]) >= (6, 15)
WAITS = ("sh", "-c", f"until [ -e {GO} ]; do sleep 0.1; done; exit 3")


@pytest.fixture
def source() -> Iterator[KernelSource]:
    """Return the live view's source on this machine."""
    with KernelSource() as made:
        yield made


def watched(source: KernelSource, chosen: Callable[[Container], bool]) -> tuple[Container, int]:
    """Look at a container as its page does; returns it, and its first process."""
    one = next(one for one in source()["containers"] if chosen(one))
    source.closeup(Ask(one["id"], frozenset()))
    assert one["pid"] is not None
    return one, one["pid"]


def ended(source: KernelSource, one: Container) -> Closeup:
    """Look tick by tick until it is gone, and then until it is known why."""
    found: list[Closeup] = []
    since = [0.0]

    def is_gone() -> bool:
        document = source()
        since[0] = document["taken_at"]
        return one["id"] not in {other["id"] for other in document["containers"]}

    def is_told() -> bool:
        source()
        found.append(source.closeup(Ask(one["id"], LOOK, one["cgroups"].get("memory"), since[0])))
        return "end" in found[-1].parts

    assert wait_for(is_gone, PATIENCE)
    assert wait_for(is_told, PATIENCE)
    return found[-1]


def test_a_container_of_ours(sandbox: Sandbox, source: KernelSource) -> None:
    """Our own state.json has the code, and so has the kernel where it is new enough."""
    sandbox.start("ends", *WAITS)
    one, pid = watched(source, lambda one: one["name"] == "ends")
    open(f"/proc/{pid}/root{GO}", "w", encoding="utf-8").close()
    told = ended(source, one)
    assert told.ended == "exit code 3"
    assert f"{sandbox.root}/containers/{one['id']}/state.json" in told.ended_by


def test_a_container_of_docker(docker: Docker, source: KernelSource) -> None:
    """Docker's file has the code, and that somebody stopped it."""
    with docker.running("ends", "busybox", "sleep", "1000"):
        one, _ = watched(source, lambda one: one["name"] == "ends")
        docker("stop", "-t", "0", "ends")
        told = ended(source, one)
    assert told.ended is not None
    words = "killed by SIGKILL" if KERNEL_TELLS else "exit code 137 (SIGKILL?)"
    assert told.ended == f"{words}, on order to its runtime"
    assert f"{docker.directory}/data/containers/{one['id']}/config.v2.json" in told.ended_by


def test_what_has_no_runtime(source: KernelSource) -> None:
    """Of namespaces alone nobody writes anything down: the kernel tells, or it is said that nobody does."""
    with runtimes.unshare() as box:
        ours = children(box.launcher)
        one, pid = watched(source, lambda one: one["pid"] in ours)
        os.kill(pid, 9)
        told = ended(source, one)
    assert told.ended == ("killed by SIGKILL" if KERNEL_TELLS else "why is not known")
    assert any("OOM kill" in text or "kernel's log" in text for text in told.ended_by)
