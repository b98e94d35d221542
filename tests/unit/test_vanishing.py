"""A process, or a container with all its files, that ends between any two reads: nothing is raised, or a problem."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from inspector.document import document
from inspector.errors import NoSuchProcess
from inspector.kernel.host import Host
from inspector.namespace_census import report
from inspector.nsinspect.gather import Gatherer
from inspector.observe import Observer
from tests.fakehost import FakeHost
from tests.unit.observing import ID, LIMITED, own

CGROUP = f"/docker/{ID}"
STORE = f"/var/lib/docker/containers/{ID}"
FIRST, SECOND = 100, 101


def machine(directory: Path, layout: str) -> FakeHost:
    """Return a machine with one container: a script, which is looked into, with a server beside it."""
    fake = FakeHost(directory, layout)
    for controller, files in LIMITED[layout].items():
        fake.cgroup(controller, CGROUP, files)
    fake.process(FIRST, "sh", cgroups=CGROUP, namespaces=own(1), cmdline="sh\0/entry\0", ns_pids=(FIRST, 1))
    fake.process(SECOND, "server", ppid=FIRST, cgroups=CGROUP, namespaces=own(1), ns_pids=(SECOND, 2))
    fake.file("/entry", "server &\n").link(f"/proc/{FIRST}/fd/10", f"{fake.root}/entry")
    return fake.file(f"{STORE}/config.v2.json", '{"Name": "/web"}')


@contextlib.contextmanager
def ending(root: str, *pids: int) -> Iterator[Callable[[], None]]:
    """Give a function that takes processes away, with the first the container's cgroups and the runtime's files.

    Afterwards all is as it was.
    """
    moved: list[tuple[str, str]] = []
    lists = {path: path.read_text() for path in Path(root).glob("sys/fs/cgroup/**/cgroup.procs")}
    whole = [path.parent for path in lists if path.parent.name == ID] + [Path(root + STORE)]
    places = [Path(f"{root}/proc/{pid}") for pid in pids] + (whole if FIRST in pids else [])

    def event() -> None:
        for path, text in lists.items():
            path.write_text("".join(f"{pid}\n" for pid in text.split() if int(pid) not in pids))
        for place in places:
            moved.append((f"{root}-gone-{len(moved)}", str(place)))
            os.rename(place, moved[-1][0])

    yield event
    for away, place in moved:
        os.rename(away, place)
    for path, text in lists.items():
        path.write_text(text)


class Ending(Host):
    """A machine on which something happens just before the n-th file is opened, listed or followed."""

    def __init__(self, root: str, moment: int = -1, event: Callable[[], None] = lambda: None) -> None:
        super().__init__(root)
        self.reads = 0
        self._moment = moment
        self._event = event

    def path(self, path: str) -> str:
        """Count, and let it happen."""
        if self.reads == self._moment:
            self._event()
        self.reads += 1
        return super().path(path)

    # Between any two of those that are read together, too.

    def readlinks(self, directory: str, names: Iterable[str]) -> list[str | OSError]:
        """Follow them one by one."""
        return [text for name in names for text in super(Ending, self).readlinks(directory, (name,))]

    def links_in(self, path: str, names: Iterable[str]) -> list[int | None]:
        """Look at them one by one."""
        return [count for name in names for count in super(Ending, self).links_in(path, (name,))]

    def read_names(self, directory: str, names: Iterable[str]) -> list[bytes | OSError]:
        """Read them one by one."""
        return [text for name in names for text in super(Ending, self).read_names(directory, (name,))]


def everything(host: Host) -> None:
    """Look in every way there is; what there is to complain of fails the test."""
    observer = Observer(host, processes=True)
    last = Observer(host, processes=True)
    ticks = [observer.tick(), observer.tick(), last.begin(once=True), last.tick()]
    for before, after in itertools.pairwise(ticks):
        shown = document(before, after)
        json.dumps(shown, allow_nan=False)
        assert shown["problems"] == []
        for one in shown["containers"]:
            assert {process["pid"] for process in one["processes"] or ()} <= {FIRST, SECOND, 1}
    with contextlib.suppress(NoSuchProcess):
        json.dumps(Gatherer(host, ticks[0], FIRST, ticks[0]).report())
    assert report(host, ticks[0])["problems"] == []


@pytest.mark.parametrize(("layout", "pids"), [("v1", (FIRST, SECOND)), ("v2", (SECOND,)), ("v2", (FIRST, SECOND))])
def test_what_ends_between_any_two_reads(tmp_path: Path, layout: str, pids: tuple[int, ...]) -> None:
    """At each of the hundreds of moments at which it can be, a process or the whole container ends without a word."""
    fake = machine(tmp_path / "machine", layout)
    with Ending(fake.root) as host:
        everything(host)
        moments = host.reads
    assert moments > 150
    for moment in range(moments):
        with ending(fake.root, *pids) as event, Ending(fake.root, moment, event) as host:
            try:
                everything(host)
            except Exception as error:
                raise AssertionError(f"{pids} ended before read {moment}: {error!r}") from error
