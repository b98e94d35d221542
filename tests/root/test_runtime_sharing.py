"""Docker's `--network host`, `--network container:`, `--pid host` and `--pid container:`, shown as what they are."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from inspector.schema import Container, Document
from tests.testbed import runtimes
from tests.testbed.commands import CTOP, NSINSPECT, REPOSITORY, ctop_document, find, run
from tests.testbed.docker import IMAGE, Docker

pytestmark = pytest.mark.root

# Name: what `docker run` is told of its namespaces.
OPTIONS = {
    "share-web": ("--network", "none"),
    "share-net": ("--network", "container:share-web"),
    "share-pid": ("--network", "none", "--pid", "container:share-web"),
    "share-host-net": ("--network", "host"),
    "share-host-pid": ("--network", "none", "--pid", "host"),
    "share-host-both": ("--network", "host", "--pid", "host"),
}
# Name: which of the host's own namespaces it must be found in.
ON_HOST = {
    "share-web": set(),
    "share-net": set(),
    "share-pid": set(),
    "share-host-net": {"net"},
    "share-host-pid": {"pid"},
    "share-host-both": {"net", "pid"},
}
CODES = {"net": "host-network", "pid": "host-pid"}


@pytest.fixture(scope="module")
def pids(docker: Docker) -> Iterator[dict[str, int]]:
    """Run the six containers; give the PIDs of their first processes, as Docker tells them."""
    try:
        for name, options in OPTIONS.items():
            docker("run", "-d", "--name", name, *options, IMAGE, *runtimes.SLEEP)
        yield {name: docker.pid(name) for name in OPTIONS}
    finally:
        docker("rm", "-f", *OPTIONS, check=False)


@pytest.fixture(scope="module")
def document(pids: dict[str, int]) -> Document:
    """Give what ctop says while they run."""
    assert len(set(pids.values())) == len(OPTIONS)
    return ctop_document("-d", "0.2", "--processes")


def beside(pids: dict[str, int], name: str, kind: str) -> set[str]:
    """Return which of the six are in the same namespace, itself too, as the kernel's links say."""
    inodes = {one: os.stat(f"/proc/{pid}/ns/{kind}").st_ino for one, pid in pids.items()}
    return {one for one, inode in inodes.items() if inode == inodes[name]}


@pytest.mark.parametrize("name", OPTIONS)
def test_sharing_is_shown(document: Document, pids: dict[str, int], name: str) -> None:
    """Each is a container of its own with its own process; with whom it shares the network is said by name."""
    container = find(document, name)
    network = container["network"]
    assert (container["kind"], container["runtime"], container["pid"]) == ("container", "docker", pids[name])
    assert [row["pid"] for row in container["processes"] or []] == [pids[name]]
    assert set(network["shared_with"]) & OPTIONS.keys() == beside(pids, name, "net") - {name}
    assert network["shared_with_host"] is ("net" in ON_HOST[name])
    # The host's traffic is not a container's.
    assert (network["receive_bytes"] is None) is ("net" in ON_HOST[name])
    codes = {finding["code"] for finding in container["findings"]}
    assert codes & set(CODES.values()) == {CODES[kind] for kind in ON_HOST[name]}


@pytest.mark.parametrize("name", OPTIONS)
def test_nsinspect_says_the_same(pids: dict[str, int], name: str) -> None:
    """For one container: whose its network and PID namespaces are, by container name, and the alarm about it."""
    said: dict[str, Any] = json.loads(run([*NSINSPECT, name, "--json"]).stdout)
    assert said["pid"] == pids[name]
    for kind, code in CODES.items():
        namespace = said["namespaces"][kind]
        assert namespace["inode"] == os.stat(f"/proc/{pids[name]}/ns/{kind}").st_ino
        assert namespace["same_as_host"] is (kind in ON_HOST[name])
        assert set(namespace["containers"]) & OPTIONS.keys() == beside(pids, name, kind)
        assert (code in {finding["code"] for finding in said["findings"]}) is (kind in ON_HOST[name])


def test_whoever_is_on_the_host_heads_the_list(pids: dict[str, int]) -> None:
    """`nsinspect --namespaces` names them first, and who shares each namespace as the links say."""
    listed = json.loads(run([*NSINSPECT, "--namespaces", "--json"]).stdout)
    on_host = {one["name"]: set(one["types"]) for one in listed["on_host"] if one["name"] in OPTIONS}
    assert on_host == {name: kinds for name, kinds in ON_HOST.items() if kinds}
    table = run([*CTOP, "--once", "-d", "0.2"]).stdout
    for name, kinds in ON_HOST.items():
        assert (f"{name}: shares the host's network namespace" in table) is ("net" in kinds)
        assert (f"{name}: shares the host's PID namespace" in table) is ("pid" in kinds)
    rows = {row["inode"]: row for row in listed["namespaces"]}
    for name in OPTIONS:
        for kind in CODES:
            row = rows[os.stat(f"/proc/{pids[name]}/ns/{kind}").st_ino]
            assert {share["name"] for share in row["containers"]} & OPTIONS.keys() == beside(pids, name, kind)


@pytest.mark.parametrize("capability", ["SYS_PTRACE", "CHOWN"])
def test_from_a_container_on_the_hosts_pids(docker: Docker, capability: str) -> None:
    """Inside `--pid host` the host is no container and none of us, whether its namespaces can be read or not."""
    shown = [word for path in runtimes.SHOWN for word in ("-v", f"{path}:{path}:ro")]
    walls = ("--pid", "host", "--cgroupns", "private", "--cap-add", capability)
    command = f"cd {REPOSITORY} && exec {sys.executable} -B -m inspector.ctop --json -d 0.2 --processes"
    with docker.running("share-inside", *walls, *shown, IMAGE, *runtimes.SLEEP) as identifier:
        own_pid = docker.pid("share-inside")
        inside: Document = json.loads(docker("exec", "share-inside", "sh", "-c", command).stdout)
    assert inside["viewpoint"]["self"] == identifier
    own = find(inside, identifier)
    assert (own["pid"], own["members"]) == (own_pid, 2)  # its first process and ctop
    assert not [one["name"] for one in inside["containers"] if os.getpid() in pids_of(one)]


def pids_of(container: Container) -> list[int]:
    """Return a container's PIDs."""
    return [row["pid"] for row in container["processes"] or []]
