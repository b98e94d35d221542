"""A Docker container, found without asking Docker, beside what `docker stats` says of it."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator

import pytest

from tests.testbed import cgroups
from tests.testbed.commands import BUSY_LOOP, NSINSPECT, ctop_document, find, run
from tests.testbed.docker import IMAGE, Docker

pytestmark = pytest.mark.root

PATIENCE_SECONDS = 150.0
UNITS = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


@pytest.fixture
def busy(docker: Docker) -> Iterator[str]:
    """Run the busy loop in a Docker container with 0.2 cores and 64 MiB; give its id."""
    limits = ("--cpu-quota", "20000", "--cpu-period", "100000", "--memory", "64m")
    with (
        docker.running("cgscope-busy", *limits, IMAGE, *BUSY_LOOP) as identifier,
        cgroups.favoured(cgroups.path_of(docker.pid("cgscope-busy"), "cpu")),
    ):
        yield identifier


def docker_stats(docker: Docker, name: str) -> tuple[float, float]:
    """Return (cores, bytes of memory) as `docker stats` shows them."""
    shown = json.loads(docker("stats", "--no-stream", "--format", "{{json .}}", name).stdout)
    memory = re.match(r"([\d.]+)([KMG]?i?B)", shown["MemUsage"])
    assert memory is not None
    return float(shown["CPUPerc"].rstrip("%")) / 100, float(memory[1]) * UNITS[memory[2]]


def test_a_docker_container_is_found_with_its_cgroup_and_limits(docker: Docker, busy: str) -> None:
    """Without its socket we know that Docker made it, its full id, its cgroup, its PID and its limits."""
    container = find(ctop_document("-d", "0.2"), busy)
    assert container["kind"] == "container"
    assert container["runtime"] == "docker"
    assert container["pid"] == docker.pid("cgscope-busy")
    mountpoint, _ = cgroups.hierarchy("cpu")
    assert mountpoint + container["cgroups"]["cpu"] == cgroups.path_of(container["pid"], "cpu")
    assert container["cpu"]["limit_cores"] == pytest.approx(0.2)
    assert container["memory"]["limit_bytes"] == 64 * 1024**2
    assert container["network"]["shared_with_host"] is False


def test_nsinspect_tells_docker_s_rarer_limits(docker: Docker) -> None:
    """Weight, CPUs, swap, reservation and what a disk may do, as they were given."""
    path = cgroups.disk()
    given = ["--cpu-shares", "512", "--cpuset-cpus", "0", "-m", "64m", "--memory-swap", "96m"]
    given += ["--memory-reservation", "32m"]
    given += ["--device-read-bps", f"{path}:1mb", "--device-write-iops", f"{path}:50"] if path else []
    with docker.running("cgscope-limits", *given, IMAGE, "sleep", "1000"):
        pid = docker.pid("cgscope-limits")
        limits = json.loads(run([*NSINSPECT, str(pid), "--json"]).stdout)["limits"]
        own = f"/docker/{docker('inspect', '-f', '{{.Id}}', 'cgscope-limits').stdout.strip()}"
    _, version = cgroups.hierarchy("memory")
    others = {name: (one["value"], one["set_by"]) for name, one in limits["memory_others"].items() if one["own"]}
    assert others == {"swap": (32 << 20, own), "soft" if version == 1 else "low": (32 << 20, own)}
    assert (limits["cpuset"]["value"], limits["cpuset"]["set_by"], limits["cpu_own"]["cpuset"]) == (1, own, "0")
    assert limits["cpu_own"]["weight"] in (20, 59)  # as runc and crun convert shares since 2025, and before
    if path:
        device = os.stat(path).st_rdev
        number = f"{os.major(device)}:{os.minor(device)}"
        disks = {(one["device"], one["figure"]): one["limit"] for one in limits["io"]}
        assert {key: (one["value"], one["set_by"]) for key, one in disks.items()} == {
            (number, "read_bytes_per_second"): (1 << 20, own), (number, "writes_per_second"): (50, own)
        }  # fmt: skip


def test_a_docker_container_is_measured_as_docker_stats_does(docker: Docker, busy: str) -> None:
    """CPU within 2 points and memory within 5 % (or a page or two) of `docker stats`, at its limit and throttled."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        container = find(ctop_document("-d", "5"), busy)
        cores, memory = docker_stats(docker, "cgscope-busy")
        cpu = container["cpu"]
        # The two look one after the other, and a busy machine may keep from the loop what it is allowed, for a while.
        held = cpu["usage_cores"] == pytest.approx(0.2, abs=0.02) == cores and (cpu["throttled_ratio"] or 0) > 0.8
        if held or time.monotonic() > deadline:
            break
    assert cpu["usage_cores"] == pytest.approx(0.2, abs=0.02)
    assert cpu["usage_cores"] == pytest.approx(cores, abs=0.02)
    assert cpu["limit_ratio"] == pytest.approx(1.0, abs=0.1)
    assert cpu["throttled_ratio"] is not None
    assert cpu["throttled_ratio"] > 0.8
    assert container["memory"]["working_set_bytes"] == pytest.approx(memory, rel=0.05, abs=32 * 1024)
