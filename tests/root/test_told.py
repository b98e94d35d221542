"""What ctop knows inside real containers of who made them, and whether it takes the cgroups of others for theirs."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence

import pytest

from inspector.schema import Container
from tests.testbed import cgroups, runtimes
from tests.testbed.commands import REPOSITORY
from tests.testbed.processes import until
from tests.testbed.runtimes import SHOWN, SLEEP, Box

pytestmark = pytest.mark.root

NAME = "told"
CONTROLLERS = ("cpu", "cpuacct", "memory", "pids")
CTOP = f"cd {REPOSITORY} && exec {sys.executable} -B -m inspector.ctop --json -d 0.2"
BECOME = "import os, sys; os.setgid(65534); os.setuid(65534); os.execvp(sys.argv[1], sys.argv[1:])"
AS_USER = [sys.executable, "-ISc", BECOME]
JOIN = 'while [ "$1" != -- ]; do echo $$ > "$1"/cgroup.procs; shift; done; shift; exec "$@"'
BINDS = [f"--bind-ro={path}" for path in SHOWN]


def lxc() -> contextlib.AbstractContextManager[Box]:
    """Run a container of LXC."""
    mounts = [f"lxc.mount.entry = {path} {path[1:]} none ro,bind,create=dir 0 0" for path in SHOWN]
    return runtimes.lxc(NAME, "lxc.mount.auto = proc:mixed sys:mixed cgroup:ro:force", *mounts)


def nspawn() -> contextlib.AbstractContextManager[Box]:
    """Run a container of systemd-nspawn."""
    return runtimes.nspawn(NAME, *BINDS, command=SLEEP)


def podman() -> contextlib.AbstractContextManager[Box]:
    """Run a privileged container of Podman."""
    return runtimes.podman(NAME, "--privileged", *(word for path in SHOWN for word in ("-v", f"{path}:{path}:ro")))


def seen(box: Box, *before: str) -> Container:
    """Return what ctop says of the container it runs in."""
    document = json.loads(box.inside([*before, "sh", "-c", CTOP]))
    (own,) = (one for one in document["containers"] if one["id"] == document["viewpoint"]["self"])
    assert document["problems"] == []
    found: Container = own
    return found


@pytest.mark.parametrize(
    ("start", "runtime", "name", "image"),
    [(lxc, "lxc", NAME, None), (nspawn, "nspawn", NAME, None), (podman, "podman", NAME, runtimes.IMAGE)],
)
def test_it_knows_who_made_it(
    start: Callable[[], contextlib.AbstractContextManager[Box]], runtime: str, name: str, image: str | None
) -> None:
    """Root and an ordinary user inside are both told runtime, name and image, with the evidence."""
    with start() as box:
        for own in (seen(box), seen(box, *AS_USER)):
            assert (own["runtime"], own["name"]) == (runtime, name)
            assert own["image"] == image if image else own["image"].endswith(("rootfs", f"/{NAME}"))
            assert any(text.startswith(f"{runtime} by ") for text in own["evidence"])


def _empty(place: str) -> bool:
    return not cgroups.read(f"{place}/tasks")


@contextlib.contextmanager
def group() -> Iterator[list[str]]:
    """Make a group in every accounting hierarchy of v1; gives the words that start a program in it."""
    if cgroups.hierarchy("pids")[1] != 1:
        pytest.skip("v2 shows a process outside the PID namespace as 0")
    places = list(dict.fromkeys(f"{cgroups.hierarchy(one)[0]}/cgscope-told" for one in CONTROLLERS))
    for place in places:
        os.mkdir(place)
    try:
        yield ["sh", "-c", JOIN, "sh", *places, "--"]
    finally:
        for place in places:
            until(functools.partial(_empty, place), f"{place} to be empty")
            os.rmdir(place)


@pytest.mark.parametrize("start", [runtimes.nspawn, runtimes.unshare])
def test_a_group_with_others_in_it_is_not_its_own(start: Callable[..., contextlib.AbstractContextManager[Box]]) -> None:
    """A container in a v1 group of every controller, beside a neighbour it cannot see, does not take it for its own."""
    arguments: Sequence[str] = (NAME, *BINDS) if start is runtimes.nspawn else ()
    with group() as within, subprocess.Popen([*within, *SLEEP]) as neighbour:
        try:
            with start(*arguments, command=SLEEP, within=within) as box:
                own = seen(box)
                assert (own["cpu"]["source"], own["memory"]["source"]) == ("processes", "processes")
                assert own["pids"]["limit"] is None
        finally:
            neighbour.kill()
