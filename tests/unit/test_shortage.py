"""Where we lack what it takes to look: that says nothing of what is there."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from inspector.absence import Absence, Strict
from inspector.errors import ParseError
from inspector.observe import Observer
from tests.fakehost import FakeHost
from tests.unit.observing import ID, LIMITED, own


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Let the kernel give this process no file: the limit is the first free number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("layout", ["v1", "v2", "hybrid"])
@pytest.mark.parametrize("refreshed", [False, True])
def test_a_look_without_descriptors_is_no_empty_machine(tmp_path: Path, layout: str, refreshed: bool) -> None:
    """A look that cannot be is an error, the first one and later ones; the next that can be tells of all again."""
    fake = FakeHost(tmp_path, layout)
    for controller, files in LIMITED[layout].items():
        fake.cgroup(controller, f"/docker/{ID}", files)
    fake.process(100, cgroups=f"/docker/{ID}", namespaces=own(1)).process(200, namespaces=own(2))
    with fake.open() as host:
        observer, new = Observer(host, refresh_seconds=0.0 if refreshed else None), Observer(host)
        before = observer.tick()
        assert {one.kind for one in before.containers} >= {"container"}
        for anyone in (observer, new, observer):
            with no_descriptor_left(), pytest.raises(OSError, match="Too many open files") as failure:
                anyone.tick()
            assert failure.value.errno == errno.EMFILE
        fake.process(300, namespaces=own(3))
        for anyone in (observer, new):
            after = anyone.tick()
            assert not after.problems
            assert {one.id for one in after.containers} > {one.id for one in before.containers}
            assert after.readings.keys() >= before.readings.keys()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_a_shortage_is_a_problem_where_a_figure_is_read(number: int) -> None:
    """Who reads figures keeps account of a shortage; who lists what there is does not go on, else they are one."""
    lenient = Absence()
    strict = Strict(lenient)
    lenient.account("memory.stat", OSError(number, "short"))
    with pytest.raises(OSError, match="short"):
        strict.account("/proc", OSError(number, "short"))
    strict.account("process 1", PermissionError(errno.EACCES, "no"))
    strict.account("process 2", ParseError("stat", b"x"))
    assert (len(lenient.problems), lenient.denied) == (2, {"process 1"})
    lenient.begin()
    assert not strict.problems
    assert not strict.denied
