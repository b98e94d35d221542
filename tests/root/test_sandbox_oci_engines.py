"""Docker, Podman and containerd with our runtime under them."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.root import sandboxing
from tests.root.bundles import PATIENCE, limits_of
from tests.testbed import cgroups, runtimes
from tests.testbed.commands import REPOSITORY
from tests.testbed.docker import Docker
from tests.testbed.tools import need

pytestmark = pytest.mark.root


def test_docker_runs_its_containers_on_it(wrapper: str) -> None:
    """`docker run --runtime`: exit codes, an exec, a limited loop, stats, pause, update, restart, a terminal."""
    need("dockerd")
    with Docker(tempfile.mkdtemp(prefix="cgscope-docker-"), "--add-runtime", f"cgscope={wrapper}") as docker:
        options = ("--runtime", "cgscope", "--network", "none")
        assert docker("run", "--rm", *options, "busybox", "true").stdout == ""
        assert docker("run", "--rm", *options, "busybox", "nosuch", check=False).returncode == 127
        assert docker("run", "--rm", *options, "busybox", "/bin", check=False).returncode == 126
        assert docker("run", "--rm", *options, "busybox", "sh", "-c", "exit 9", check=False).returncode == 9
        assert "Read-only file system" in docker("run", "--rm", "--read-only", *options, "busybox", "sh", "-c",
                                                 "echo x > /y", check=False).stderr  # fmt: skip
        loop = ("--cpu-quota", "20000", *options[:2], "busybox", "sh", "-c", "while :; do :; done")
        with docker.running("looped", *loop) as identifier:
            pid = docker.pid("looped")
            assert docker("exec", "looped", "sh", "-c", "echo in; exit 7", check=False).returncode == 7
            assert identifier in Path(f"/proc/{pid}/cgroup").read_text()
            # The oracle is the kernel's own counter: never more than a fifth of a core, and some of it.
            begun, used = time.monotonic(), cgroups.usage_seconds(pid)
            assert sandboxing.wait_for(lambda: cgroups.usage_seconds(pid) > used + 0.3, PATIENCE)
            assert cgroups.usage_seconds(pid) - used <= 0.2 * (time.monotonic() - begun) + 0.05
            docker("pause", "looped")
            assert docker("inspect", "-f", "{{.State.Status}}", "looped").stdout.strip() == "paused"
            docker("unpause", "looped")
            docker("update", "--cpu-quota", "30000", "looped")
            assert limits_of(pid)[1] == "30000"
            assert "while" in docker("top", "looped").stdout
            docker("restart", "-t", "0", "looped")
            assert docker("exec", "looped", "true").returncode == 0
        assert docker("ps", "-aq").stdout == ""


@pytest.fixture
def wrapper(tmp_path: Path) -> str:
    """Give our runtime as one file, as engines want it."""
    path = tmp_path / "sandbox-oci"
    path.write_text(f'#!/bin/sh\nPYTHONPATH={REPOSITORY} exec {sys.executable} -P -m sandbox.cli oci "$@"\n')
    path.chmod(0o755)
    return str(path)


def test_podman_runs_its_containers_on_it(wrapper: str) -> None:
    """`podman --runtime`: limits, an exec, a pause, other limits, an end that it hears of, and a removal."""
    limits = ("--memory", "64m", "--cpu-quota", "20000", "--pids-limit", "50")
    with runtimes.podman("boxed", *limits, runtime=wrapper) as box:
        tool = box.tool
        assert tool is not None

        def told(what: str) -> str:
            return tool("inspect", "-f", f"{{{{.State.{what}}}}}", "boxed").strip()

        pid = int(told("Pid"))
        assert limits_of(pid) == [str(64 << 20), "20000", "50"]
        assert box.inside(["sh", "-c", "echo in; hostname"]).split()[0] == "in"
        tool("pause", "boxed")
        assert told("Status") == "paused"
        tool("unpause", "boxed")
        tool("update", "--memory", "96m", "boxed")
        assert limits_of(pid)[0] == str(96 << 20)
        tool("stop", "-t", "0", "boxed")
        assert (told("Status"), told("ExitCode")) == ("exited", "137")
        tool("start", "boxed")
        assert limits_of(int(told("Pid")))[2] == "50"
        tool("rm", "-f", "-t", "0", "boxed")
        assert tool("ps", "-aq") == ""


def test_containerd_runs_its_containers_on_it(wrapper: str) -> None:
    """`ctr run --runc-binary`: a limited container, an exec, a pause, an end that it hears of."""
    with runtimes.containerd("boxed", "--memory-limit", str(64 << 20), "--cpu-quota", "20000", runtime=wrapper) as box:
        tool = box.tool
        assert tool is not None
        pid = int(tool("task", "ls").splitlines()[1].split()[1])
        assert limits_of(pid)[:2] == [str(64 << 20), "20000"]
        assert box.inside(["sh", "-c", "echo in"]) == "in\n"
        assert str(pid) in tool("task", "ps", "boxed")
        tool("task", "pause", "boxed")
        assert "PAUSED" in tool("task", "ls")
        tool("task", "resume", "boxed")
        tool("task", "kill", "-s", "KILL", "boxed")
        assert sandboxing.wait_for(lambda: "STOPPED" in tool("task", "ls"), PATIENCE)
