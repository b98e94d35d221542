"""Who has come into the cgroups' lists of members, and who has left them: what vouches for processes not looked at."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from inspector.absence import Absence
from inspector.groups import Groups, _may_be_full
from inspector.kernel.cgroups import Hierarchy, locate
from inspector.kernel.controllers import RESOURCES
from inspector.kernel.host import Host
from inspector.turns import Turns
from tests.fakehost import FakeHost


class Watch:
    """The cgroups of a machine, tick after tick."""

    def __init__(self, fake: FakeHost, host: Host) -> None:
        self._trees = tuple(fake.hierarchies)
        self._host, self._turns = host, Turns()
        self._groups = Groups(host, Absence(), self._turns)

    def moves(self) -> tuple[set[int], set[int]]:
        """Return who has come since the last tick, and who has left."""
        found: dict[str, Hierarchy | None] = {name: locate(self._trees, name) for name in RESOURCES}
        self._turns.begin(0.0, 0.0)
        self._groups.begin(self._trees, {name: (h, self._trees.index(h)) for name, h in found.items() if h})
        self._groups.update()
        self._groups.end()
        self._host.end_tick()
        return self._groups.came, self._groups.left


@pytest.mark.parametrize("above", ["", "/..", "/../.."])
@pytest.mark.parametrize(
    ("path", "bounded"),
    [
        ("/docker", False),
        (f"/docker/{64 * 'a'}", True),
        ("/lxc.payload.web", True),
        ("/kubepods/burstable", False),
        ("/cluster/kubepods", False),
        ("/kubepods/burstable/pod1", True),
        ("/user.slice/user-1000.slice", False),
        ("/user.slice/user-1000.slice/user@1000.service", True),
    ],
)
def test_below_which_cgroups_so_many_are_looked_at(above: str, path: str, *, bounded: bool) -> None:
    """Below those that may be anybody's, counted from the machine's top or our cgroup namespace's."""
    assert _may_be_full(above + path) == bounded


@pytest.mark.parametrize("layout", ["v1", "v2", "hybrid"])
def test_who_came_and_who_left(tmp_path: Path, layout: str) -> None:
    """Also with a cgroup that is gone; who is in another one now has not left."""
    fake = FakeHost(tmp_path, layout)
    for pid, path in ((1, "/"), (100, "/a"), (101, "/a"), (200, "/b"), (201, "/b")):
        fake.process(pid, cgroups=path)
    with fake.open() as host:
        watch = Watch(fake, host)
        assert watch.moves() == ({1, 100, 101, 200, 201}, set())
        assert watch.moves() == (set(), set())
        for procs in tmp_path.rglob("a/cgroup.procs"):
            procs.write_text("101\n")
        for directory in tmp_path.rglob("b"):
            shutil.rmtree(directory)
        fake.process(201, cgroups="/a").process(300, cgroups="/c")
        assert watch.moves() == ({201, 300}, {100, 200})
