"""A container made in a Docker container: another one, inside the first, seen from outside and from within it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from inspector.schema import Container, Document
from tests.testbed import runtimes
from tests.testbed.commands import NSINSPECT, REPOSITORY, ctop_document, find, run
from tests.testbed.docker import IMAGE, Docker
from tests.testbed.processes import until
from tests.testbed.runtimes import SHOWN

pytestmark = pytest.mark.root

OUTER = "nesting"
WALLS = ("--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined", "--security-opt", "systempaths=unconfined")
# Longer than anything else here sleeps, so that it is found by its command line.
ASLEEP = ["sleep", f"{10**9 + os.getpid()}"]
MAKE = ["unshare", "-mpuinf", "--mount-proc", "--kill-child=KILL", *ASLEEP]


@pytest.fixture(scope="module", params=["host", "private"])
def views(request: pytest.FixtureRequest, docker: Docker) -> Iterator[tuple[Document, Document, str]]:
    """Run `unshare` in a container; give what ctop says of both from outside and from within, and the outer's id."""
    shown = [word for path in SHOWN for word in ("-v", f"{path}:{path}:ro")]
    command = f"cd {REPOSITORY} && exec {sys.executable} -B -m inspector.ctop --json -d 0.2 --processes"
    arguments = ("--cgroupns", request.param, *WALLS, *shown, IMAGE, *runtimes.SLEEP)
    with docker.running(OUTER, *arguments) as identifier:
        docker("exec", "-d", OUTER, *MAKE)
        until(lambda: nested(ctop_document("-d", "0.1", "--processes")), "unshare to have made its container")
        inside: Document = json.loads(docker("exec", OUTER, "sh", "-c", command).stdout)
        yield ctop_document("-d", "0.2", "--processes"), inside, identifier


def nested(document: Document) -> list[Container]:
    """Return the containers whose first process is the one that unshare started."""
    rows = [row for one in document["containers"] for row in one["processes"] or []]
    firsts = {row["pid"] for row in rows if is_asleep(row["cmdline"])}
    return [one for one in document["containers"] if one["pid"] in firsts]


def is_asleep(cmdline: str) -> bool:
    """Tell whether it is the nested container's program."""
    return cmdline == " ".join(ASLEEP)


def test_it_is_a_child_of_its_parent(views: tuple[Document, Document, str]) -> None:
    """From both sides it is one container by its PID namespace, and the container around it is Docker's."""
    outside, inside, identifier = views
    for document in (outside, inside):
        [made] = nested(document)
        assert (made["kind"], made["runtime"], made["members"]) == ("container", "unshare", 1)
        around = find(document, made["parent"] or "")
        assert around["pid"] != made["pid"]
        assert around["namespaces"]["pid"] != made["namespaces"]["pid"]
        assert not any(is_asleep(row["cmdline"]) for row in around["processes"] or [])
    assert nested(outside)[0]["parent"] == identifier


def test_the_outer_one_is_itself(views: tuple[Document, Document, str]) -> None:
    """From within, the container that we are in has its own first process and namespaces, not those made in it."""
    outside, inside, identifier = views
    ours = find(inside, inside["viewpoint"]["self"] or "")
    told = find(outside, identifier)
    assert ours["pid"] == 1
    assert ours["namespaces"] == told["namespaces"]
    assert ours["started_at"] == pytest.approx(told["started_at"], abs=2)


def test_nsinspect_says_in_what_it_is(views: tuple[Document, Document, str]) -> None:
    """The container around it is named, and its layers are that one's, as it has kept that one's root."""
    outside, _, identifier = views
    pids = nested(outside)[0]["pid"], find(outside, identifier)["pid"]
    made, around = (dict[str, Any](json.loads(run([*NSINSPECT, str(pid), "--json"]).stdout)) for pid in pids)
    assert (made["container_parents"], around["container_parents"]) == ([OUTER], [])
    assert made["rootfs"]["lower"] == around["rootfs"]["lower"]
    assert all(os.path.isdir(layer) and "/l/" not in layer for layer in made["rootfs"]["lower"])
    assert run([*NSINSPECT, str(pids[0])]).stdout.splitlines()[0].endswith(f", inside {OUTER}")
    changes = [json.loads(run([*NSINSPECT, "--changes", str(pid), "--json"]).stdout)["changes"] for pid in pids]
    assert changes[0] == changes[1] != []
