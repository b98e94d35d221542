"""Effective limits along the ancestors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.kernel.cgroups import Hierarchy
from inspector.kernel.controllers import Cpu, Cpuset, Memory, Pids, Reading
from inspector.limits import Limit, effective, limits_of, quota_cores

NAMES = ("cpu", "cpuset", "memory", "pids")
TREE = Hierarchy(2, frozenset(NAMES), "/sys/fs/cgroup")


def limits(*readings: tuple[str, Reading], path: str = "/a/b", root: bool = True, cpus: int = 8) -> dict[str, Limit]:
    """Return the limits of the cgroup `path`, whose tree has these readings."""
    kinds = {Cpu: "cpu", Cpuset: "cpuset", Memory: "memory", Pids: "pids"}
    return limits_of(
        {(kinds[type(reading)], where): reading for where, reading in readings},
        dict.fromkeys(NAMES, path),
        dict.fromkeys(NAMES, (TREE, 0)),
        frozenset({0} if root else ()),
        cpus,
    )


@given(st.lists(st.tuples(st.text(max_size=3), st.none() | st.floats(0, 1e12))))
def test_the_effective_limit_is_the_least(values: list[tuple[str, float | None]]) -> None:
    """The value is the minimum of those set, and the cgroup named for it has that very value."""
    limit = effective(values)
    assert limit.value == min((value for _, value in values if value is not None), default=None)
    assert limit.value is None or (limit.set_by, limit.value) in values
    assert limit.chain == tuple(values)


def test_of_equal_limits_the_innermost_is_named() -> None:
    """Of two equal limits the innermost is named: it is the one to change first."""
    assert effective([("/a/b", 1.0), ("/a", 1.0)]).set_by == "/a/b"
    assert limits(("/a/b", Pids(limit=9)), ("/a", Pids(limit=9)))["pids"].set_by == "/a/b"


@pytest.mark.parametrize("own", [None, 50000])
def test_a_parents_quota_binds(own: int | None) -> None:
    """A child without a quota, or with a wider one, has its parent's, and the parent is named."""
    cpu = limits(("/a/b", Cpu(own, 100000)), ("/a", Cpu(10000, 100000)))["cpu"]
    assert (cpu.value, cpu.set_by) == (0.1, "/a")
    assert cpu.chain == (("/a/b", quota_cores(Cpu(own, 100000))), ("/a", 0.1))


def test_a_narrow_cpuset_binds() -> None:
    """A cpuset of fewer CPUs than the quota allows is the CPU limit, set by the outermost group that has it."""
    sets = (("/a/b", Cpuset("0-1")), ("/a", Cpuset("0-1")), ("/", Cpuset("0-7")))
    found = limits(("/a/b", Cpu(400000, 100000)), *sets)
    assert (found["cpu"].value, found["cpu"].set_by) == (2.0, "/a")
    assert (found["cpuset"].value, found["cpuset"].set_by) == (2.0, "/a")


def test_of_quota_and_cpuset_the_tighter_binds() -> None:
    """Where both allow the same the quota is named; without a quota it is the cpuset, and the chain is the quota's."""
    own = ("/a/b", Cpuset("0-1"))
    for quota, setter in ((200_000, "/a"), (199_999, "/a"), (200_001, "/a/b"), (None, "/a/b")):
        found = limits(("/a", Cpu(quota, 100_000)), own)["cpu"]
        assert (found.set_by, found.chain) == (setter, (("/a", quota_cores(Cpu(quota, 100_000))),))


@pytest.mark.parametrize(("text", "value"), [("0-7", None), ("0-1", 2.0)])
def test_hidden_cgroups_leave_no_other_cpuset(text: str, value: float | None) -> None:
    """The kernel has cut a cpuset down to those of hidden ancestors: what it leaves is known, the quota is not."""
    found = limits(("/a/b", Cpuset(text)), ("/a/b", Cpu(None, 100_000)), root=False)
    assert (found["cpuset"].value, found["cpuset"].hidden_ancestors) == (value, False)
    assert (found["cpu"].value, found["cpu"].hidden_ancestors) == (value, True)


@pytest.mark.parametrize("text", ["0-7", "", "rubbish", None])
def test_a_cpuset_that_limits_nothing(text: str | None) -> None:
    """A cpuset of all CPUs, an empty one and one that makes no sense limit nothing."""
    assert limits(("/a/b", Cpuset(text)))["cpu"].value is None


def test_memory_limit_of_a_hidden_ancestor() -> None:
    """v1's least limit of all ancestors counts where it is below those we see, and has nobody to name."""
    seen = ("/a/b", Memory(limit_bytes=100, hierarchical_limit_bytes=60))
    found = limits(seen, ("/a", Memory(limit_bytes=80)), root=False)["memory"]
    assert (found.value, found.set_by, found.hidden_ancestors) == (60, None, True)


def test_memory_limit_of_a_visible_ancestor() -> None:
    """Where v1's least limit is a visible ancestor's, that one is named."""
    seen = ("/a/b", Memory(limit_bytes=None, hierarchical_limit_bytes=80))
    found = limits(seen, ("/a", Memory(limit_bytes=80)))["memory"]
    assert (found.value, found.set_by, found.hidden_ancestors) == (80, "/a", False)


@pytest.mark.parametrize(("read", "hidden"), [({"anon_bytes": 5}, False), ({}, True)])
@pytest.mark.parametrize("own", [None, 100])
def test_what_v1_tells_of_hidden_ancestors(own: int | None, read: dict[str, int], hidden: bool) -> None:
    """Where v1's memory.stat was read and tells of no less, no cgroup above limits the memory: that is known."""
    seen = Memory(limit_bytes=own, hierarchical_limit_bytes=own, **read)
    tree = Hierarchy(1, frozenset({"memory"}), "/m", "/a")
    found = limits_of({("memory", "/a"): seen}, {"memory": "/a"}, {"memory": (tree, 0)}, frozenset(), 8)["memory"]
    assert (found.value, found.set_by, found.hidden_ancestors) == (own, "/a" if own else None, hidden)


def test_hidden_ancestors_are_told() -> None:
    """Below a mount that does not show the real root, no limit is known to be absent."""
    assert all(limit.hidden_ancestors for limit in limits(("/a", Pids(limit=5)), root=False).values())
    assert not any(limit.hidden_ancestors for limit in limits(("/a", Pids(limit=5))).values())


def test_ancestors_end_at_the_mounts_root() -> None:
    """A cgroup above what is mounted is not looked at, even where a reading has its name."""
    partly = Hierarchy(1, frozenset({"pids"}), "/m", "/a")
    readings = {("pids", "/a/b"): Pids(limit=9), ("pids", "/"): Pids(limit=1)}
    found = limits_of(readings, {"pids": "/a/b"}, {"pids": (partly, 0)}, frozenset(), 8)
    assert (found["pids"].value, found["pids"].set_by) == (9, "/a/b")


def test_without_a_controller_nothing_is_known() -> None:
    """Where no hierarchy carries a controller there is no limit, and it is not called unlimited."""
    found = limits_of({}, {}, {}, frozenset(), 8)
    assert all(limit.value is None and limit.hidden_ancestors for limit in found.values())
