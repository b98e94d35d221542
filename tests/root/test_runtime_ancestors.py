"""Limits of cgroups above a container, whoever made it: the one that binds is named, and so is the one that throttles.

Two trees: a group with limits and containers right in it (two levels), and
a group in a group (three). The containers' own limits are wider, or none.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pytest

from inspector.schema import Container, Document
from tests.testbed import cgroups, runtimes
from tests.testbed.commands import Sandbox, ctop_document, find
from tests.testbed.docker import IMAGE, Docker
from tests.testbed.processes import until

pytestmark = pytest.mark.root

MIB = 1 << 20
TOP = f"/cgscope-above-{os.getpid()}"
LOOP = ["sh", "-c", "sleep 2; while :; do :; done"]  # which leaves the others some time to start
OWN = ("--memory", "128m", "--pids-limit", "100")
# Path: CPU quota of 100 ms, memory and tasks. The tightest of each on the way to /three/mid stands in another place.
# So small a quota is used up on a busy machine too.
LIMITS: dict[str, dict[str, int]] = {
    f"{TOP}-two": {"cpu": 5_000, "memory": 64 * MIB, "pids": 60},
    f"{TOP}-three": {"cpu": 10_000, "memory": 256 * MIB, "pids": 50},
    f"{TOP}-three/mid": {"cpu": 5_000, "memory": 64 * MIB, "pids": 70},
}
TWO, THREE, MID = LIMITS
FILES = {
    1: {"cpu": "cpu.cfs_quota_us", "memory": "memory.limit_in_bytes", "pids": "pids.max"},
    2: {"cpu": "cpu.max", "memory": "memory.max", "pids": "pids.max"},
}


def directories(path: str) -> dict[str, str]:
    """Return where a group is, by controller."""
    return {controller: cgroups.hierarchy(controller)[0] + path for controller in FILES[1]}


def set_limit(path: str, controller: str) -> None:
    """Give a group its limit."""
    mountpoint, version = cgroups.hierarchy(controller)
    cgroups.write(f"{mountpoint}{path}/{FILES[version][controller]}", str(LIMITS[path][controller]))


def lift_quota(path: str) -> None:
    """Take a group's quota away: throttled processes take long to end."""
    mountpoint, version = cgroups.hierarchy("cpu")
    cgroups.write(f"{mountpoint}{path}/{FILES[version]['cpu']}", "-1" if version == 1 else "max")


@contextlib.contextmanager
def groups() -> Iterator[None]:
    """Make the groups with their limits of memory and tasks; those of CPU time come when the containers are there."""
    with runtimes.tidied(TOP[1:]):
        for path in LIMITS:
            for controller, directory in directories(path).items():
                os.makedirs(directory, exist_ok=True)
                if cgroups.hierarchy(controller)[1] == 2:
                    cgroups.write(f"{os.path.dirname(directory)}/cgroup.subtree_control", f"+{controller}")
            for controller in ("memory", "pids"):
                set_limit(path, controller)
        yield


def joining(path: str) -> list[str]:
    """Return the words that start a program in a group."""
    into = sorted({f"{directory}/cgroup.procs" for directory in directories(path).values()})
    return ["sh", "-c", f'for file in {" ".join(into)}; do echo $$ > "$file"; done; exec "$@"', "sh"]


def lxc(name: str, path: str) -> contextlib.AbstractContextManager[runtimes.Box]:
    """Run an LXC container in a group."""
    return runtimes.lxc(name, f"lxc.cgroup.dir = {path[1:]}", command=LOOP)


@pytest.fixture(scope="module")
def document(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Document]:
    """Run a busy loop in a container of every runtime that can be put somewhere, and give what ctop says of them."""
    sandbox = Sandbox(str(tmp_path_factory.mktemp("cgscope")))
    with groups(), contextlib.ExitStack() as stack:
        stack.enter_context(lxc("three-lxc", MID))
        for name, path in (("two-docker", TWO), ("three-docker", MID)):
            stack.enter_context(docker.running(name, "--cgroup-parent", path, *OWN, IMAGE, *LOOP))
        stack.callback(sandbox.close)
        for name, path in (("two-sandbox", TWO), ("three-sandbox", MID)):
            sandbox.start(name, "--cgroup-parent", path, *OWN, "--", *LOOP)
        stack.enter_context(runtimes.podman("three-podman", "--cgroup-parent", MID, *OWN, command=LOOP))
        stack.enter_context(
            runtimes.containerd("three-ctr", "--cgroup", f"{MID}/three-ctr", "--memory-limit", str(128 * MIB),
                                command=LOOP)
        )
        stack.enter_context(runtimes.nspawn("three-nspawn", command=LOOP, within=joining(MID)))
        yield throttled()


def throttled() -> Document:
    """Set the quotas, and return what ctop says once the kernel has throttled both trees. Lifts them again."""
    for path in LIMITS:
        set_limit(path, "cpu")
    groups = [directories(path)["cpu"] for path in (TWO, MID)]
    with contextlib.ExitStack() as stack:
        for group in groups:
            stack.enter_context(cgroups.favoured(group))
        until(lambda: all(cgroups.statistics(one)["nr_throttled"] for one in groups), "both to be throttled")
        document = ctop_document("-d", "1")
    for path in reversed(LIMITS):
        lift_quota(path)
    return document


def expect(container: Container, cpu: str, memory: str, pids: str) -> None:
    """Check that these groups set the container's limits, with their values, and that the first throttles it."""
    assert container["cpu"]["limit_cores"] == LIMITS[cpu]["cpu"] / 100_000
    assert container["cpu"]["limit_set_by"] == container["cpu"]["throttled_by"] == cpu
    assert (container["cpu"]["throttled_ratio"] or 0) == 0
    assert container["cpu"]["inherited_throttled_ratio"]
    (finding,) = (one for one in container["findings"] if one["code"].startswith("cpu-throttled"))
    assert finding["code"] == "cpu-throttled-by-ancestor"
    assert f"the quota of {cpu}, above it" in finding["text"]
    assert container["memory"]["limit_bytes"] == LIMITS[memory]["memory"]
    assert container["memory"]["limit_set_by"] == memory
    assert container["pids"]["limit"] == LIMITS[pids]["pids"]
    assert container["pids"]["limit_set_by"] == pids


@pytest.mark.parametrize("name", ["two-docker", "two-sandbox"])
def test_two_levels(document: Document, name: str) -> None:
    """The group right above the container binds: its quota, its memory and its tasks."""
    container = find(document, name)
    expect(container, TWO, TWO, TWO)
    assert container["memory"]["own_limit_bytes"] == 128 * MIB
    assert container["cgroups"]["cpu"].startswith(f"{TWO}/")


@pytest.mark.parametrize(
    "name", ["three-docker", "three-podman", "three-ctr", "three-lxc", "three-nspawn", "three-sandbox"]
)
def test_three_levels(document: Document, name: str) -> None:
    """Each limit is that of the group which has the tightest: CPU and memory one above, tasks two above."""
    container = find(document, name)
    assert container["runtime"] == {"ctr": "containerd"}.get(name.removeprefix("three-"), name.removeprefix("three-"))
    expect(container, MID, MID, THREE)


@pytest.mark.vm
def test_lxc_on_either_version() -> None:
    """LXC's containers in the same two trees, on cgroup v1 and, in the virtual machine, on v2."""
    with groups(), lxc("lxc-two", TWO), lxc("lxc-three", MID):
        document = throttled()
    expect(find(document, "lxc-two"), TWO, TWO, TWO)
    expect(find(document, "lxc-three"), MID, MID, THREE)
