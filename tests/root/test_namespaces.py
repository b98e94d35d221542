"""`nsinspect --namespaces` on real namespaces: shared with the host, and kept without a process."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live.test_lsns import agreeing
from tests.testbed.commands import NSINSPECT, run
from tests.testbed.docker import IMAGE, Docker
from tests.testbed.processes import children, until
from tests.testbed.tools import need

pytestmark = pytest.mark.root


def namespaces() -> dict[str, Any]:
    """Return the JSON document."""
    return dict(json.loads(run([*NSINSPECT, "--namespaces", "--json"]).stdout))


def row_of(report: dict[str, Any], inode: int) -> dict[str, Any]:
    """Return the row of one namespace."""
    return next(row for row in report["namespaces"] if row["inode"] == inode)


def inode_of(pid: int, kind: str) -> int:
    """Return the inode of a namespace of a process."""
    return os.stat(f"/proc/{pid}/ns/{kind}").st_ino


def program(pid: int) -> str:
    """Return the name of what a process executes."""
    return os.path.basename(os.readlink(f"/proc/{pid}/exe"))


@contextlib.contextmanager
def unshared(*options: str) -> Iterator[int]:
    """Run `sleep` in new namespaces and give its PID."""
    process = subprocess.Popen(["unshare", *options, "--fork", "--kill-child", "sleep", "60"])
    try:
        until(lambda: "sleep" in map(program, children(process.pid)), "the program")
        yield children(process.pid)[0]
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def named(tmp_path: Path) -> Iterator[Path]:
    """Make a network namespace that a file keeps, and give the file.

    So does `ip netns add`; but that leaves /run/netns behind as a mount of its own.
    """
    need("unshare")
    file = tmp_path / "network"
    file.touch()
    run(["unshare", f"--net={file}", "true"])
    try:
        yield file
    finally:
        run(["umount", str(file)])


def test_a_namespace_kept_by_a_mount(named: Path) -> None:
    """A namespace without processes, as `ip netns add` makes them, is there, with its file."""
    row = row_of(namespaces(), named.stat().st_ino)
    assert (row["type"], row["processes"], row["pid"], row["same_as_host"]) == ("net", 0, None, False)
    assert str(named) in [one["place"] for one in row["kept_by"] if one["how"] == "mount"]
    assert row["owner"] == inode_of(os.getpid(), "user")


def test_a_namespace_kept_by_a_descriptor() -> None:
    """A namespace whose last process has ended lives on while somebody has it open: who, and at which number."""
    with unshared("--net", "--user", "--map-root-user") as pid:
        inode, owner = inode_of(pid, "net"), inode_of(pid, "user")
        held = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    try:
        deadline = time.monotonic() + 90
        found = namespaces()
        # The zombie of the last process is still in the user namespace.
        while any(row_of(found, one)["processes"] for one in (inode, owner)) and time.monotonic() < deadline:
            time.sleep(0.1)
            found = namespaces()
    finally:
        os.close(held)
    row = row_of(found, inode)
    assert {"how": "descriptor", "pid": os.getpid(), "place": str(held)}.items() <= row["kept_by"][0].items()
    assert (row["processes"], row["owner"]) == (0, owner)
    # Its user namespace has no process either: the network namespace below holds it.
    above = row_of(found, owner)
    assert (above["processes"], above["kept_by"][0]["place"]) == (0, f"net:[{inode}]")
    assert above["parent"] == inode_of(os.getpid(), "user")


def test_owner_and_parent() -> None:
    """A PID namespace in a new user namespace: that one owns it, and ours is around it."""
    with unshared("--user", "--map-root-user", "--pid") as pid:
        found = namespaces()
        row, user = row_of(found, inode_of(pid, "pid")), row_of(found, inode_of(pid, "user"))
    assert (row["owner"], row["parent"]) == (user["inode"], inode_of(os.getpid(), "pid"))
    assert (user["parent"], user["owner_uid"]) == (inode_of(os.getpid(), "user"), os.geteuid())


def test_a_container_on_the_hosts_network_stands_out() -> None:
    """It heads the page and is marked in the host's row; one with a network of its own is not."""
    walled = ("--pid", "--mount-proc", "--ipc", "--uts")
    with unshared(*walled) as on_host, unshared(*walled, "--net") as own:
        on_host_id, own_id = (f"pid-{inode_of(pid, 'pid')}" for pid in (on_host, own))
        found = namespaces()
        text = run([*NSINSPECT, "--namespaces"]).stdout
    shown = {one["id"]: one for one in found["on_host"]}
    assert shown[on_host_id]["types"] == ["net"]
    assert own_id not in shown
    assert text.startswith("IN THE HOST'S OWN NAMESPACES")
    assert f"! {shown[on_host_id]['name']} (2) IN THE HOST'S NETWORK NAMESPACE" in text


@pytest.fixture
def containers(docker: Docker) -> Iterator[list[str]]:
    """Run a Docker container, one that shares its network, and one with the host's network and PIDs."""
    command = (IMAGE, "sleep", "300")
    with (
        docker.running("ns-web", *command),
        docker.running("ns-side", *command, network="container:ns-web"),
        docker.running("ns-host", "--pid", "host", *command, network="host"),
    ):
        yield ["ns-web", "ns-side", "ns-host"]


def test_docker_containers_by_name_and_beside_lsns(docker: Docker, containers: list[str]) -> None:
    """Who shares a network with whom is said by name, and all counts are still those of lsns."""
    found = namespaces()
    row = row_of(found, inode_of(docker.pid("ns-web"), "net"))
    assert [share["name"] for share in row["containers"]] == ["ns-side", "ns-web"]
    assert row["outside"] == 0
    types = {one["name"]: one["types"] for one in found["on_host"]}
    assert types["ns-host"] == ["net", "pid"]
    assert {"ns-web", "ns-side"}.isdisjoint(types)
    assert len(containers) == 3
    assert inode_of(docker.pid("ns-web"), "net") in agreeing()
