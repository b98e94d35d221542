"""Docker's `--network host`, `--network container:`, `--pid host` and `--pid container:`, shown as what they are."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from inspector.schema import Document
from tests.testbed import runtimes
from tests.testbed.commands import NSINSPECT, ctop_document, find, run
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
    rows = {row["inode"]: row for row in listed["namespaces"]}
    for name in OPTIONS:
        for kind in CODES:
            row = rows[os.stat(f"/proc/{pids[name]}/ns/{kind}").st_ino]
            assert {share["name"] for share in row["containers"]} & OPTIONS.keys() == beside(pids, name, kind)
