"""Inside a container as a user without a single capability: all that is to be seen is told, what is not is counted."""

from __future__ import annotations

import json
import os
import sys
import sysconfig
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from inspector.schema import Container, Document
from tests.testbed import cgroups
from tests.testbed.commands import BUSY_LOOP, REPOSITORY, Sandbox, ctop_document, find

pytestmark = pytest.mark.root

NAME = "rightless"
QUOTA_US, MEMORY, PIDS = 20_000, 256 << 20, 100
LIMITS = ("--cpu-quota", str(QUOTA_US), "--memory", str(MEMORY), "--pids-limit", str(PIDS))
RIGHTS = ("-u", "65534:65534", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
PATHS = os.pathsep.join((REPOSITORY, sysconfig.get_path("purelib")))

Inside = Callable[..., Any]


@pytest.fixture
def inside(sandbox: Sandbox) -> Iterator[Inside]:
    """Run a busy loop in a container, as nobody; give what runs a command of ours beside it and returns its JSON."""
    sandbox.start(NAME, *LIMITS, *RIGHTS, "--", *BUSY_LOOP)
    with cgroups.favoured(cgroups.path_of(sandbox.pid(NAME), "cpu")):
        yield asking(sandbox, "exec", "-e", f"PYTHONPATH={PATHS}", NAME)


def asking(sandbox: Sandbox, *said: str) -> Inside:
    """Return what runs a command of ours in a container by these words of `sandbox`, and returns its JSON."""
    # The environment's own Python may lie in a home directory that is closed to others.
    for python in (sys.executable, "/usr/bin/python3"):
        if sandbox(*said, python, "-c", "import inspector, sys; sys.exit(sys.version_info < (3, 11))", check=False,
                   timeout=300).returncode == 0:  # fmt: skip
            break
    else:
        pytest.skip("no Python 3.11 that an ordinary user can execute, or the checkout is closed to users")

    def ask(module: str, *arguments: str) -> Any:  # noqa: ANN401
        command = [python, "-B", "-m", module, *arguments, "--json"]
        return json.loads(sandbox(*said, *command, timeout=300).stdout)

    return ask


def test_the_container_is_whole(inside: Inside, sandbox: Sandbox) -> None:
    """It knows itself, its limits and its usage, as they are seen from outside; what was refused is counted."""
    document: Document = inside("inspector.ctop", "-d", "1")
    there = find(ctop_document("-d", "0.1"), NAME)
    [here] = [one for one in document["containers"] if one["id"] == document["viewpoint"]["self"]]
    assert document["viewpoint"]["inside_container"] is True
    assert document["viewpoint"]["hidden_ancestors"] is True
    assert document["problems"] == []
    assert limits(here) == limits(there) == (QUOTA_US / 100_000, MEMORY, PIDS)
    assert (here["id"], here["namespaces"], here["rootfs"]) == (there["id"], there["namespaces"], there["rootfs"])
    assert here["cpu"]["usage_cores"] is not None
    assert 0 < here["cpu"]["usage_cores"] <= 0.25
    assert here["memory"]["usage_bytes"] is not None
    assert 0 < here["memory"]["usage_bytes"] <= MEMORY
    assert int(sandbox("exec", NAME, "id", "-u").stdout) == 65534


def limits(one: Container) -> tuple[float | None, int | None, int | None]:
    """Return CPUs, memory and tasks that a container may have."""
    return one["cpu"]["limit_cores"], one["memory"]["limit_bytes"], one["pids"]["limit"]


def test_its_first_process_is_told_of(inside: Inside) -> None:
    """`nsinspect 1` has its namespaces, limits, rights and what it really has; `--namespaces` lists the same."""
    said = inside("inspector.nsinspect", "1")
    assert said["pids"] == [1]
    assert said["security"]["capabilities"]["effective"] == []
    assert said["security"]["no_new_privs"] is True
    assert said["really_has"]["cpus"] == QUOTA_US / 100_000
    assert said["really_has"]["memory_bytes"] == MEMORY
    assert said["limits"]["cpu"]["hidden_ancestors"] is True
    rows = inside("inspector.nsinspect", "--namespaces")["namespaces"]
    told = {row["type"]: row["inode"] for row in rows}
    assert told == {kind: one["inode"] for kind, one in said["namespaces"].items() if kind in told}
    assert {"mnt", "net", "pid", "uts", "ipc", "user", "cgroup"} <= told.keys()


@pytest.mark.vm
def test_beside_a_process_of_roots(sandbox: Sandbox) -> None:
    """Who came in as nobody sees the container's limits and usage; what root's process hides is counted and named."""
    limits_ = ("--cpu-quota", "150000", "--memory", str(MEMORY), "--pids-limit", str(PIDS))
    sandbox.start(NAME, *limits_, "sleep", "1000")
    ask = asking(sandbox, "exec", "-u", "65534:65534", "-e", f"PYTHONPATH={PATHS}", NAME)
    document: Document = ask("inspector.ctop", "-d", "0.5")
    there = find(ctop_document("-d", "0.1"), NAME)
    [here] = document["containers"]
    assert (here["id"], here["members"], document["problems"]) == (there["id"], 2, [])
    assert limits(here) == limits(there) == (1.5, MEMORY, PIDS)
    assert here["cpu"]["usage_cores"] is not None
    assert 0 < (here["memory"]["usage_bytes"] or 0) <= MEMORY
    assert here["pids"]["current"] == 2
    # Its own process and the kernel's files are readable, the namespaces and the root of root's process are not.
    assert document["denied"] >= 1
    said = ask("inspector.nsinspect", "1")
    hidden = {one["what"]: one["needs"] for one in said["unreadable"] if one["needs"]}
    assert hidden == {"namespaces": "CAP_SYS_PTRACE", "root directory": "CAP_SYS_PTRACE"}
    assert (said["really_has"]["cpus"], said["really_has"]["memory_bytes"]) == (1.5, MEMORY)
    assert said["limits"]["pids"]["value"] == PIDS
