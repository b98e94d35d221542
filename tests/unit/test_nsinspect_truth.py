"""Guarantees, swap and what is left: the arithmetic behind nsinspect's figures."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.limits import Limit, effective, guarantee, swap_limit
from inspector.nsinspect.truth import above_of

NONE = Limit(None, None, ())
VALUES = st.lists(st.tuples(st.text(max_size=3), st.none() | st.integers(0, 1 << 50)), max_size=6)


@given(VALUES)
def test_a_guarantee_is_no_more_than_any_ancestor_protects(values: list[tuple[str, int | None]]) -> None:
    """It is the least along the way up, where "max" protects everything; the chain is told as it stands."""
    found = guarantee(values)
    least = min((math.inf if value is None else value for _, value in values), default=math.inf)
    assert found.value == (None if least == math.inf else least)
    assert list(found.chain) == values


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"limit": 64, "memory_and_swap": 96}, 32),
        ({"limit": 64, "memory_and_swap": 64}, 0),
        ({"limit": 64, "memory_and_swap": None}, None),
        ({"limit": None, "memory_and_swap": 96}, 96),
        ({"swap": 16}, 16),
        ({"swap": None}, None),
    ],
)
def test_the_limit_of_swap(values: dict[str, float | None], expected: float | None) -> None:
    """v1's is the sum's limit less memory's, v2's its own; the parent's is taken where it is less."""
    assert swap_limit([("/a", values)]).value == expected
    inner = {"swap": float(1 << 40)}
    assert swap_limit([("/a/b", inner), ("/a", values)]).value == (1 << 40 if expected is None else expected)


def test_what_tells_of_cgroups_that_cannot_be_seen() -> None:
    """A v1 limit from above, and waiting for a CPU under the own quota, are evidence; where nothing is hidden, none."""
    cpu = effective([("/", 2.0)], hidden=True)
    memory = Limit(4096, None, (("/", None),), hidden_ancestors=True)
    limit, wait = above_of({"cpu": cpu, "memory": memory}, 0.8, 0.5)
    assert "4096" in limit
    assert "hierarchical_memory_limit" in limit
    assert "waited for a CPU in 80% of the time, using 0.5 cores under a quota of 2 cores" in wait
    assert above_of({"cpu": cpu, "memory": NONE}, 0.8, 1.95) == []
    assert above_of({"cpu": effective([("/", 2.0)]), "memory": NONE}, 0.8, 0.5) == []
    assert above_of({"cpu": cpu, "memory": NONE}, None, 0.5) == []
