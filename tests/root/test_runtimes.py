"""Every runtime at once: each container found once, by its name and image, with the limit it was given."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from inspector.kernel.host import Host
from inspector.observe import Observer
from inspector.schema import Container, Document
from inspector.since import BOOT_SECONDS
from tests.testbed import runtimes
from tests.testbed.cgroups import CpuGroup
from tests.testbed.commands import REPOSITORY, SANDBOX, Sandbox, ctop_document, find
from tests.testbed.docker import IMAGE, Docker

pytestmark = pytest.mark.root

QUOTA = ("--cpu-quota", "30000", "--cpu-period", "100000")
AROUND = "cgscope-all"


LAUNCHERS: dict[str, int] = {}
CREATED: dict[str, str] = {}


@pytest.fixture(scope="module")
def everything(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Document]:
    """Start one container with each runtime, and give what ctop says while all of them run."""
    sandbox = Sandbox(str(tmp_path_factory.mktemp("cgscope")))
    with contextlib.ExitStack() as stack:
        stack.callback(sandbox.close)
        stack.enter_context(docker.running("all-docker", *QUOTA, IMAGE, *runtimes.SLEEP))
        ctr = stack.enter_context(runtimes.containerd("all-ctr", "--cpu-quota", "30000", "--cpu-period", "100000"))
        podman = stack.enter_context(runtimes.podman("all-podman", *QUOTA))
        assert podman.tool is not None
        assert ctr.tool is not None
        podman.tool("pod", "create", "--infra=false", "--name", "all-pod")
        stack.callback(podman.tool, "pod", "rm", "-f", "-t", "0", "all-pod")
        limits = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
        podman.tool("run", "-d", "--name", "all-inpod", "--pod", "all-pod", "--network", "none", *limits,
                    runtimes.IMAGE, *runtimes.SLEEP)  # fmt: skip
        CREATED["all-docker"] = docker("inspect", "-f", "{{.Created}}", "all-docker").stdout.strip()
        CREATED["all-podman"] = podman.tool("inspect", "-f", "{{json .Created}}", "all-podman").strip().strip('"')
        CREATED["all-ctr"] = json.loads(ctr.tool("containers", "info", "all-ctr"))["CreatedAt"]
        stack.enter_context(runtimes.lxc("all-lxc", "lxc.cgroup.cpu.cfs_quota_us = 30000"))
        # What makes no cgroup has the limit of the one that it is started in.
        around = stack.enter_context(CpuGroup(AROUND))
        around.set_quota(30_000)
        within = ["sh", "-c", 'echo $$ > "$0"/cgroup.procs && exec "$@"', around.directory]
        stack.enter_context(runtimes.nspawn("all-nspawn", within=within))
        stack.enter_context(runtimes.firejail("all-firejail"))
        LAUNCHERS["bubblewrap"] = stack.enter_context(runtimes.bubblewrap(within=within)).launcher
        LAUNCHERS["unshare"] = stack.enter_context(runtimes.unshare(within=within)).launcher
        sandbox.start("all-sandbox", *QUOTA, "--", *runtimes.SLEEP)
        yield ctop_document("-d", "0.5", "--processes")


@pytest.mark.parametrize(
    ("name", "runtime", "image"),
    [
        ("all-docker", "docker", IMAGE),
        ("all-ctr", "containerd", runtimes.IMAGE),
        ("all-podman", "podman", runtimes.IMAGE),
        ("all-inpod", "podman", runtimes.IMAGE),
        ("all-sandbox", "sandbox", "/"),
    ],
)
def test_a_container_has_its_name_and_image(everything: Document, name: str, runtime: str, image: str) -> None:
    """The name and image that a person gave are shown, read from the files the runtime left."""
    container = find(everything, name)
    assert (container["runtime"], container["image"]) == (runtime, image)
    assert container["kind"] == "container"


def test_lxc_nspawn_and_firejail_have_their_names(everything: Document) -> None:
    """LXC, nspawn and firejail have no images: their root filesystem stands there."""
    lxc, nspawn, jail = (find(everything, f"all-{name}") for name in ("lxc", "nspawn", "firejail"))
    assert (lxc["runtime"], nspawn["runtime"], jail["runtime"]) == ("lxc", "nspawn", "firejail")
    assert jail["image"] == "/"
    assert lxc["image"].endswith("/all-lxc/rootfs")
    assert nspawn["image"].endswith("/all-nspawn")


def test_podmans_pod_has_its_name(everything: Document) -> None:
    """A container in a pod of Podman's belongs to it, another does not."""
    assert (find(everything, "all-inpod")["pod"], find(everything, "all-podman")["pod"]) == ("all-pod", None)


@pytest.mark.parametrize("name", ["all-docker", "all-ctr", "all-podman"])
def test_it_was_created_when_its_runtime_says_so(everything: Document, name: str) -> None:
    """The time is what the runtime's own tool tells, and lies before its first process started, as told to a second."""
    container = find(everything, name)
    assert container["created_at"] == pytest.approx(datetime.fromisoformat(CREATED[name]).timestamp(), abs=0.5)
    assert container["started_at"] is not None
    assert container["started_at"] + BOOT_SECONDS > (container["created_at"] or 0.0)


@pytest.mark.parametrize("runtime", ["bubblewrap", "unshare"])
def test_a_container_without_a_name_is_found(everything: Document, runtime: str) -> None:
    """Bwrap and unshare name nothing: a stable id, a non-empty image and the evidence are there all the same."""
    found = launched(everything, runtime)
    assert found["runtime"] == runtime
    assert found["image"]
    assert found["id"].startswith("pid-")
    assert any("own pid namespace" in text for text in found["evidence"])


def launched(everything: Document, runtime: str) -> Container:
    """Return the one container whose first process, or its parent, is this launcher."""
    [found] = [
        one
        for one in everything["containers"]
        if any(LAUNCHERS[runtime] in (row["pid"], row["ppid"]) for row in one["processes"] or [])
    ]
    return found


@pytest.mark.parametrize("name", ["all-docker", "all-ctr", "all-podman", "all-lxc", "all-sandbox"])
def test_a_container_has_the_limit_it_was_given(everything: Document, name: str) -> None:
    """0.3 cores were asked for, and are what its own cgroup sets."""
    cpu = find(everything, name)["cpu"]
    assert cpu["limit_cores"] == pytest.approx(0.3)
    assert cpu["source"] == "cgroup"


@pytest.mark.parametrize("runtime", ["nspawn", "bubblewrap", "unshare"])
def test_a_container_without_a_cgroup_has_the_limit_around_it(everything: Document, runtime: str) -> None:
    """0.3 cores are those of the cgroup that it was started in, which is named; its use is its processes' sum."""
    found = find(everything, "all-nspawn") if runtime == "nspawn" else launched(everything, runtime)
    assert found["cpu"]["limit_cores"] == pytest.approx(0.3)
    assert (found["cpu"]["limit_set_by"], found["cpu"]["source"]) == (f"/{AROUND}", "processes")
    assert found["cpu"]["quota_us"] is None


def _ids(containers: list[Container]) -> list[str]:
    return [container["id"] for container in containers]


def test_no_container_is_there_twice_and_no_process_in_two(everything: Document) -> None:
    """Nine runtimes, ten containers: each id once, and each PID in one of them."""
    shown = everything["containers"]
    assert len(set(_ids(shown))) == len(shown)
    pids = [row["pid"] for one in shown for row in one["processes"] or []]
    assert len(pids) == len(set(pids))
    assert everything["problems"] == []


def test_ours_has_its_name_and_image_from_its_first_moment(tmp_path: Path) -> None:
    """Of a state directory of its own too, and when it is looked at before it has entered its root."""
    sandbox, seen = Sandbox(str(tmp_path)), set()
    slowly = ("strace", "-f", "-qq", "-o", os.devnull, "-e", "inject=pivot_root:delay_enter=1000000")  # microseconds
    command = [*slowly, *SANDBOX, "run", "-d", "--name", "slow", "--net", "none", "--rootfs", "/", "sleep", "1000"]
    with Host() as host, contextlib.closing(sandbox), subprocess.Popen(command, env=sandbox.env, cwd=REPOSITORY):
        observer, status = Observer(host), ""
        while status != "running":
            status = sandbox("inspect", "-f", "{{.State.Status}}", "slow", check=False).stdout.strip()
            seen |= {(status, one.id, one.name, one.image) for one in observer.tick().containers}
        container = sandbox.inspect("slow")["Id"]
        sandbox("rm", "-f", "slow")
    found = {one[2:]: one[0] for one in sorted(seen) if one[1] == container}
    assert found == {("slow", "/"): "running"}
