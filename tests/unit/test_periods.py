"""A quota whose periods are longer than what lies between two looks: what is told of it while none has ended."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import pytest

from exporter.families.findings import Basis, bases
from exporter.subjects import Subjects
from inspector.document import document
from inspector.kernel.controllers import Cpu
from inspector.model import Observation
from inspector.observe import Observer
from inspector.periods import Periods
from inspector.rates import Interval
from inspector.still import Documents
from tests.unit.observing import ID, LIMITED, limited, own
from tests.unit.parts import container, observation

PATH = "/docker/web"
KEY = ("cpu", PATH)
WANTED = {KEY: True}


def looks(every: float, busy: Iterable[tuple[int, int]], until: float) -> list[Observation]:
    """Look at a container every so many seconds, whose quota throttles it in each period of these stretches.

    Every third period ends late, for the kernel's timer or for our look at it.
    """
    periods, shown = Periods(), (container("web"),)
    ends = [second + (0.3 if second % 3 == 0 else 0) for start, end in busy for second in range(start + 1, end + 1)]
    counts = [Cpu(50_000, 1_000_000, periods=number, throttled_periods=number) for number in range(len(ends) + 1)]
    found = []
    for number in range(int(until / every) + 1):
        at = number * every
        readings = {KEY: counts[sum(end <= at for end in ends)]}
        seen = observation(at, readings=readings)._replace(containers=shown)
        found.append(seen._replace(unended=periods.look(WANTED, at, readings, seen.inodes)))
    return found


def told(seen: list[Observation]) -> list[bool]:
    """Tell of each look after the first whether throttling is found: by ctop's documents and by the exporter alike."""
    documents, subjects = Documents(), Subjects()
    found = []
    for before, after in pairwise(seen):
        [one] = documents.document(before, after)["containers"]
        assert [one] == document(before, after)["containers"]
        roll = subjects.of(after)
        [basis] = [each for subject, each in zip(roll, bases(Interval(before, after), roll, [None] * len(roll)),
                                                 strict=True) if subject.container]  # fmt: skip
        assert Basis._make(basis).throttled == (
            one["cpu"]["throttled_ratio"], one["cpu"]["inherited_throttled_ratio"], one["cpu"]["throttled_by"]
        )  # fmt: skip
        found.append("cpu-throttled" in [finding["code"] for finding in one["findings"]])
    return found


@pytest.mark.parametrize("every", [0.2, 0.4, 0.9, 0.999, 1.0, 1.5])
def test_a_finding_does_not_come_and_go_with_the_looks(every: float) -> None:
    """From the look at which the first period ended, a container that is throttled all the time is so at each."""
    found = told(looks(every, [(0, 30)], until=30))
    assert found == sorted(found)
    assert found.count(False) <= 1 / every


@pytest.mark.parametrize("every", [0.2, 0.5, 0.8])
def test_a_finding_ends_two_periods_after_the_last(every: float) -> None:
    """What is idle since, of which the kernel counts no period, was throttled for two seconds more and no longer."""
    seen = looks(every, [(0, 3), (8, 10)], until=14)
    at = [one.monotonic for one, is_told in zip(seen[1:], told(seen), strict=True) if is_told]
    gaps = [(earlier, later) for earlier, later in pairwise(at) if later - earlier > 1.1 * every]
    assert [(5.3 <= earlier + every < 5.3 + 2 * every, later > 8) for earlier, later in gaps] == [(True, True)]
    assert 12 <= at[-1] + every < 12 + 2 * every


def test_a_period_that_was_not_throttled_ends_it_at_once() -> None:
    """The last look at which a period ended counts, not one before it."""
    periods, seen = Periods(), []
    for at, (ended, throttled) in enumerate([(0, 0), (1, 1), (1, 1), (2, 1), (2, 1)]):
        readings = {KEY: Cpu(50_000, 1_000_000, periods=ended, throttled_periods=throttled)}
        one = observation(at / 2, containers=[container("web")], readings=readings)
        seen.append(one._replace(unended=periods.look(WANTED, at / 2, readings, one.inodes)))
    assert told(seen) == [True, True, False, False]


def test_another_cgroup_of_the_name_begins_anew() -> None:
    """Nothing is carried over to a cgroup with another inode, or whose counters fell."""
    periods = Periods()
    for at, inode, ended in ((0.0, 1, 4), (0.5, 1, 5)):
        periods.look(WANTED, at, {KEY: Cpu(1, 10**6, periods=ended, throttled_periods=ended)}, {KEY: inode})
    assert periods.look(WANTED, 1.0, {KEY: Cpu(1, 10**6, periods=5, throttled_periods=5)}, {KEY: 2}) == {}
    periods.look(WANTED, 1.5, {KEY: Cpu(1, 10**6, periods=3, throttled_periods=0)}, {KEY: 2})
    assert periods.look(WANTED, 1.6, {KEY: Cpu(1, 10**6, periods=3, throttled_periods=0)}, {KEY: 2}) == {}


@pytest.mark.parametrize("layout", ["v1", "v2", "hybrid"])
def test_an_observer_remembers_it(tmp_path: Path, layout: str) -> None:
    """Of three looks a moment apart, a period has ended before the second: the third tells of it as well."""
    path = f"/docker/{ID}"
    fake = limited(tmp_path, layout, path).process(100, cgroups=path, namespaces=own(1))
    controller = "" if layout == "v2" else "cpu"
    quota = {"cpu.max": "1 1000000\n"} if layout == "v2" else {"cpu.cfs_period_us": "1000000\n"}
    stat = LIMITED[layout][controller]["cpu.stat"].replace("10\nnr_throttled 5\n", "{0}\nnr_throttled {0}\n")
    with fake.open() as host:
        observer, looked = Observer(host), []
        for ended in (4, 5, 5):
            fake.cgroup(controller, path, {**quota, "cpu.stat": stat.format(ended)})
            looked.append(observer.tick())
    for before, after in pairwise(looked):
        [found] = [one for one in document(before, after)["containers"] if one["cgroups"]["cpu"] == path]
        assert found["cpu"]["throttled_ratio"] == 1
