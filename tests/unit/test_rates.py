"""Rates between two observations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.kernel.controllers import Cpu, CpuUsage
from inspector.kernel.network import Interface
from inspector.kernel.process import CLOCK_TICKS
from inspector.model import Tally
from inspector.rates import Interval, grown
from tests.unit.parts import interface, observation

KEY = ("cpuacct", "/a")
NET = 4026532001
COUNTERS = st.none() | st.integers(0, 1 << 63)
TIMES = st.floats(0, 1e6)
IDENTITIES = st.tuples(st.integers(1, 5), st.integers(0, 2_000_000))
TICKS = st.dictionaries(IDENTITIES, st.tuples(st.integers(0, 1 << 40), st.integers(0, 1 << 40)), max_size=6)


def usage(before: int | None, after: int | None, *, inodes: tuple[int, int] = (1, 1), seconds: float = 2) -> Interval:
    """Return an interval in which the CPU time of one cgroup grew, in microseconds."""
    sides = [
        observation(at, readings={KEY: CpuUsage(value)}, inodes={KEY: inode})
        for at, value, inode in ((1000, before, inodes[0]), (1000 + seconds, after, inodes[1]))
    ]
    return Interval(*sides)


def tallies(before: dict[tuple[int, int], tuple[int, int]], after: dict[tuple[int, int], tuple[int, int]]) -> Interval:
    """Return an interval of two seconds, from 1000 s after boot, between two sums over a container's members."""
    old, new = (Tally(ticks, None, len(ticks)) for ticks in (before, after))
    return Interval(observation(1000, tallies={"c": old}), observation(1002, tallies={"c": new}))


def traffic(before: list[Interface] | None, after: list[Interface] | None) -> tuple[float | None, float | None]:
    """Return the traffic over two seconds of a network namespace with these interfaces (None: not read)."""
    sides = [
        observation(at, interfaces={} if found is None else {NET: tuple(found)})
        for at, found in ((1000, before), (1002, after))
    ]
    return Interval(*sides).traffic(NET)


def test_growth_over_time() -> None:
    """A counter's growth is divided by the seconds between the two looks."""
    interval = usage(1_000_000, 2_000_000)
    assert (interval.seconds, interval.delta(*KEY, "usage_us")) == (2, 1_000_000)
    assert interval.rates(*KEY, "usage_us") == [500_000]


@pytest.mark.parametrize(
    "interval",
    [
        pytest.param(usage(1, 2, inodes=(1, 2)), id="another cgroup of the same path"),
        pytest.param(usage(2, 1), id="a counter that fell"),
        pytest.param(usage(None, 2), id="no value before"),
        pytest.param(usage(1, None), id="no value after"),
        pytest.param(usage(1, 2, seconds=0), id="no time between"),
        pytest.param(usage(1, 2, seconds=-1), id="a clock that went back"),
        pytest.param(Interval(None, observation(1, readings={KEY: CpuUsage(5)})), id="one look alone"),
        pytest.param(Interval(observation(1), observation(2, readings={KEY: CpuUsage(5)})), id="a new cgroup"),
        pytest.param(Interval(observation(1, readings={KEY: CpuUsage(5)}), observation(2)), id="a cgroup that is gone"),
    ],
)
def test_no_rate_without_two_sides_of_one_thing(interval: Interval) -> None:
    """Where a side is missing, is of something else, fell, or no time has passed, the rate is unknown and not zero."""
    assert interval.rates(*KEY, "usage_us") == [None]


@given(COUNTERS, COUNTERS, st.integers(1, 2), st.integers(1, 2), TIMES)
def test_a_rate_is_never_negative(
    before: int | None, after: int | None, inode_before: int, inode_after: int, seconds: float
) -> None:
    """Whatever the counters: a rate is None or not negative, and known exactly when both sides are the same thing's."""
    interval = usage(before, after, inodes=(inode_before, inode_after), seconds=seconds)
    [rate] = interval.rates(*KEY, "usage_us")
    comparable = before is not None and after is not None and before <= after and inode_before == inode_after
    assert (rate is not None) == (comparable and interval.seconds is not None)
    assert rate is None or rate >= 0


@given(COUNTERS, COUNTERS, COUNTERS, COUNTERS)
def test_a_ratio_is_a_share(
    part: int | None, whole: int | None, part_after: int | None, whole_after: int | None
) -> None:
    """Whatever the counters, throttled periods of periods are None or between 0 and 1."""
    key = ("cpu", "/a")
    before, after = Cpu(periods=whole, throttled_periods=part), Cpu(periods=whole_after, throttled_periods=part_after)
    interval = Interval(observation(1, readings={key: before}), observation(2, readings={key: after}))
    ratio = interval.throttled("/a")
    deltas = (grown(part, part_after), grown(whole, whole_after))
    assert ratio is None if None in deltas else ratio is not None and 0 <= ratio <= 1


def test_no_period_is_no_throttling() -> None:
    """A group that ran in no period was throttled in none: 0, not unknown."""
    key = ("cpu", "/a")
    sides = [observation(at, readings={key: Cpu(periods=4, throttled_periods=2)}) for at in (1, 2)]
    assert Interval(*sides).throttled("/a") == 0


def test_the_worst_quota_below_a_cgroup() -> None:
    """Of each cgroup the worst of those further down, at any depth, and never its own; 0 where nobody knows."""
    earlier = {"/a": (0, 0), "/a/b": (0, 0), "/a/b/c": (0, 0), "/a/d": (9, 9), "/e": (0, 0), "/e/f": (5, 5)}
    later = {"/a": (10, 9), "/a/b": (10, 2), "/a/b/c": (10, 4), "/a/d": (19, 10), "/e": (10, 1), "/e/f": (5, 5)}
    before, after = (
        observation(at, readings={("cpu", path): Cpu(periods=periods, throttled_periods=throttled)
                                  for path, (periods, throttled) in of.items()})
        for at, of in ((1000, earlier), (1002, later))
    )  # fmt: skip
    interval = Interval(before, after)
    shares = {path: interval.stopped_below(path) for path in (*later, "/", "/x", None)}
    assert shares == {"/a": 0.4, "/a/b": 0.4, "/a/b/c": 0, "/a/d": 0, "/e": 0, "/e/f": 0, "/": 0.9, "/x": 0, None: 0}
    assert Interval(None, after).stopped_below("/a") == 0


@pytest.mark.parametrize(("seconds", "ended", "told"), [(1.0, 0, 1.0), (1.0, 1, 0.0), (1.9, 0, 1.0), (2.0, 0, 0.0)])
@pytest.mark.parametrize("quota", ["/a", "/a/b", "/a/b/c"])
def test_a_period_that_has_not_ended_may_have_stopped_all(quota: str, seconds: float, ended: int, told: float) -> None:
    """Of a quota at, above or below a cgroup; when two periods would have ended and none has, nothing ran there."""
    before, after = (
        observation(at, readings={("cpu", quota): Cpu(50_000, 1_000_000, periods=periods, throttled_periods=9)})
        for at, periods in ((1000, 10), (1000 + seconds, 10 + ended))
    )
    assert Interval(before, after).stopped_below("/a/b") == told


def test_members_old_and_new() -> None:
    """A member's growth counts, and the whole CPU time of one that started since; one that has ended is left out."""
    started_since = int(1001 * CLOCK_TICKS)
    before = {(7, 10): (100, 10), (8, 10): (500, 500)}
    after = {(7, 10): (100 + CLOCK_TICKS, 10), (9, started_since): (CLOCK_TICKS, 2 * CLOCK_TICKS)}
    assert tallies(before, after).member_cores("c") == (1.0, 1.0)


def test_a_reused_pid_is_a_new_member() -> None:
    """A process with a known PID and another start time is new: nothing of the old one's time is subtracted."""
    started_since = int(1001 * CLOCK_TICKS)
    assert tallies({(7, 10): (900, 0)}, {(7, started_since): (CLOCK_TICKS, 0)}).member_cores("c") == (0.5, 0.0)


def test_a_member_that_joined_brings_no_past() -> None:
    """A process that was there before the interval and joined in it does not bring the time it used elsewhere."""
    assert tallies({}, {(7, 10): (90_000, 5)}).member_cores("c") == (0.0, 0.0)


def test_members_unknown() -> None:
    """Without a sum on either side, or a look before, the members' cores are unknown."""
    assert tallies({}, {}).member_cores("another") is None
    assert Interval(observation(1), tallies({}, {}).after).member_cores("c") is None
    assert Interval(None, tallies({}, {}).after).member_cores("c") is None


@given(TICKS, TICKS)
def test_members_cores_are_never_negative(
    before: dict[tuple[int, int], tuple[int, int]], after: dict[tuple[int, int], tuple[int, int]]
) -> None:
    """Whoever comes and goes, and whatever their counters do, nobody uses less than nothing."""
    cores = tallies(before, after).member_cores("c")
    assert cores is not None
    assert min(cores) >= 0


def test_traffic_leaves_loopback_out() -> None:
    """Bytes a second are summed over the interfaces that were there before, and loopback is not one of them."""
    before = [interface("lo", 0, 0), interface("eth0", 100, 200), interface("eth1", 0, 0)]
    after = [interface("lo", 9000, 9000), interface("eth0", 300, 600), interface("eth1", 20, 40)]
    assert traffic(before, after) == (110, 220)


def test_a_new_interface_is_not_counted() -> None:
    """An interface that was not there before brings no jump; one that is gone takes nothing away."""
    before = [interface("eth0", 100, 100), interface("old", 5000, 5000)]
    assert traffic(before, [interface("eth0", 102, 104), interface("new", 7000, 7000)]) == (1, 2)


def test_an_interface_that_was_made_anew() -> None:
    """Counters that fell belong to another interface of the same name: nothing is known of that interval."""
    assert traffic([interface("eth0", 100, 100)], [interface("eth0", 5, 200)]) == (None, 50)


def test_traffic_without_a_side() -> None:
    """A network namespace that was not read before, or is not now, has no rate; one without interfaces is idle."""
    assert traffic(None, [interface("eth0", 1, 1)]) == (None, None)
    assert traffic([interface("eth0", 1, 1)], None) == (None, None)
    assert traffic([interface("lo", 1, 1)], [interface("lo", 5, 5)]) == (0, 0)
    assert Interval(observation(1), observation(2)).traffic(None) == (None, None)


@pytest.mark.parametrize(("later", "seconds"), [((0.5, 2.5), 4), ((2.5, 0.5), None)])
def test_processes_and_interfaces_are_read_later_than_cgroups(
    later: tuple[float, float], seconds: float | None
) -> None:
    """What they count is divided by the time between the two moments at which they were read."""
    sides = [
        observation(
            1000 + 2 * side,
            readings={KEY: CpuUsage(4 * side)},
            tallies={"c": Tally({(1, 1): (8 * CLOCK_TICKS * side, 0)}, None, 1)},
            interfaces={NET: (interface("eth0", 8 * side, 12 * side),)},
        )._replace(later_seconds=later[side])
        for side in (0, 1)
    ]
    interval = Interval(*sides)
    assert interval.rates(*KEY, "usage_us") == [2]
    assert interval.member_cores("c") == (None if seconds is None else (8 / seconds, 0))
    assert interval.traffic(NET) == ((None, None) if seconds is None else (8 / seconds, 12 / seconds))
