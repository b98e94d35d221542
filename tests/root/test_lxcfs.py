"""What a limited process really has, beside what lxcfs tells it: a second opinion from the kernel's own files.

Where they differ it is by intent: lxcfs counts whole CPUs (and looks at quotas
only with --enable-cfs), and takes all page cache for available, although
shared memory in it cannot be dropped and reclaimable kernel memory can.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.testbed import cgroups
from tests.testbed.commands import NSINSPECT, run
from tests.testbed.processes import children
from tests.testbed.tools import need

pytestmark = pytest.mark.root

MEMORY = 64 << 20
QUOTA_US = 50_000
FILES = ("meminfo", "cpuinfo", "uptime", "stat", "swaps", "loadavg")
SLACK = 4 << 20  # a process or two come and go between the two readings
PATIENCE_SECONDS = 120.0


@pytest.fixture(params=[(), ("--enable-cfs",)], ids=["default", "cfs"])
def lxcfs(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[str, bool]]:
    """Run lxcfs on a directory of its own; give that directory and whether it looks at CPU quotas."""
    need("lxcfs")
    place = tmp_path / "lxcfs"
    place.mkdir()
    command = ["lxcfs", "-f", "-p", str(tmp_path / "pid"), *request.param, str(place)]
    with open(tmp_path / "log", "wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (place / "proc/meminfo").exists() and server.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        if not (place / "proc/meminfo").exists():
            server.kill()
            pytest.skip("lxcfs does not run on this machine: " + (tmp_path / "log").read_text()[-200:])
        yield str(place), bool(request.param)
        server.send_signal(signal.SIGTERM)
        server.wait()
    if os.path.ismount(place):
        run(["umount", str(place)])


@pytest.fixture
def groups() -> Iterator[tuple[str, ...]]:
    """Make a cgroup with 64 MiB of memory and half a CPU; give its directories."""
    made = []
    limits: dict[str, dict[int, dict[str, str]]] = {
        "memory": {1: {"memory.limit_in_bytes": str(MEMORY)}, 2: {"memory.max": str(MEMORY)}},
        "cpu": {1: {"cpu.cfs_quota_us": str(QUOTA_US)}, 2: {"cpu.max": f"{QUOTA_US} 100000"}},
        # lxcfs looks for the quota at the path that the process has in the cpuset hierarchy.
        "cpuset": {1: {"cpuset.cpus": f"0-{(os.cpu_count() or 1) - 1}", "cpuset.mems": "0"}, 2: {}},
        "cpuacct": {1: {}, 2: {}},
    }
    for controller, files in limits.items():
        mountpoint, version = cgroups.hierarchy(controller)
        directory = f"{mountpoint}/cgscope-lxcfs-{os.getpid()}"
        os.makedirs(directory, exist_ok=True)
        made.append(directory)
        for name, value in files[version].items():
            cgroups.write(f"{directory}/{name}", value)
    yield tuple(dict.fromkeys(made))
    for directory in dict.fromkeys(made):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while os.path.isdir(directory) and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                os.rmdir(directory)
            time.sleep(0.02)


def told_by(place: str, groups: tuple[str, ...]) -> tuple[dict[str, str], dict[str, Any], float]:
    """Return lxcfs's files as a process in the cgroup reads them, nsinspect's report on it, and the seconds it took."""
    join = "; ".join(f"echo $$ > {directory}/cgroup.procs" for directory in groups)
    # Its page cache counts as its own: what a fresh file leaves there is available memory, not free memory.
    work = "head -c 8000000 /dev/zero > cache; " + "; ".join(f"cat {place}/proc/{name}; echo =" for name in FILES)
    command = ["sh", "-c", f"{join}; exec unshare -pf --kill-child sh -c '{work}; cat'"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=os.path.dirname(place)
    ) as process:
        assert process.stdout is not None
        began = time.monotonic()
        texts = ["".join(iter(process.stdout.readline, "=\n")) for _ in FILES]
        shell = children(process.pid)[0]
        report = json.loads(run([*NSINSPECT, str(shell), "--json"]).stdout)
        assert process.stdin is not None
        process.stdin.close()
    return dict(zip(FILES, texts, strict=True)), report, time.monotonic() - began


def bytes_of(meminfo: str, name: str) -> int:
    """Return one line of a meminfo."""
    return next(int(line.split()[1]) for line in meminfo.splitlines() if line.startswith(f"{name}:")) * 1024


def test_what_there_is_equals_lxcfs(lxcfs: tuple[str, bool], groups: tuple[str, ...]) -> None:
    """Total, free and available memory, swap, uptime and CPUs are lxcfs's, where it has an answer."""
    place, counts_quotas = lxcfs
    texts, report, seconds = told_by(place, groups)
    has, meminfo = report["really_has"], texts["meminfo"]
    assert has["memory_bytes"] == bytes_of(meminfo, "MemTotal") == MEMORY
    assert has["memory_free_bytes"] == pytest.approx(bytes_of(meminfo, "MemFree"), abs=SLACK)
    assert has["memory_free_bytes"] < MEMORY - 8_000_000
    assert has["memory_available_bytes"] == pytest.approx(bytes_of(meminfo, "MemAvailable"), abs=SLACK)
    assert has["swap_bytes"] == bytes_of(meminfo, "SwapTotal")
    assert has["swap_free_bytes"] == bytes_of(meminfo, "SwapFree")
    assert len(texts["swaps"].splitlines()) == 1 + (has["swap_bytes"] > 0)
    assert has["uptime_seconds"] == pytest.approx(float(texts["uptime"].split()[0]), abs=2 + seconds)
    cpus = math.ceil(has["cpus"]) if counts_quotas else os.cpu_count()
    assert has["cpus"] == QUOTA_US / 100_000
    assert texts["cpuinfo"].count("processor") == cpus
    assert sum(line.startswith("cpu") and line[3].isdigit() for line in texts["stat"].splitlines()) == cpus


def test_what_has_no_truth_is_null(lxcfs: tuple[str, bool], groups: tuple[str, ...]) -> None:
    """The kernel keeps no load of a cgroup: it is null, lxcfs passes on the machine's, and PSI stands beside it."""
    texts, report, _ = told_by(lxcfs[0], groups)
    assert report["really_has"]["load"] is None
    assert len(texts["loadavg"].split()) == 5
    assert report["really_has"]["pressure"].keys() == {"cpu", "memory", "io"}
