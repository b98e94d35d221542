"""Sharing one look between those who ask at the same time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from exporter.shared import Shared
from tests.testbed.processes import until
from tests.unit.exporting import sharing


def test_concurrent_callers_share_one_call() -> None:
    """Ten callers who come while a look is under way all get that look's result."""
    started, go_on, numbers = threading.Event(), threading.Event(), count(1)

    def take() -> int:
        started.set()
        assert go_on.wait(60)
        return next(numbers)

    shared = Shared(take)
    with ThreadPoolExecutor(11) as pool:
        first = pool.submit(shared)
        assert started.wait(60)
        others = [pool.submit(shared) for _ in range(10)]
        until(lambda: sharing() == 10, "the others to wait")
        go_on.set()
        assert [call.result() for call in (first, *others)] == [1] * 11
    assert shared() == 2


def test_each_later_call_is_fresh() -> None:
    """Nothing is kept between calls."""
    shared = Shared(count(1).__next__)
    assert [shared(), shared(), shared()] == [1, 2, 3]


def test_an_error_reaches_the_caller_and_the_next_call_works() -> None:
    """What the look raises is raised to its callers, and is forgotten afterwards."""
    numbers = count(1)

    def take() -> int:
        number = next(numbers)
        if number == 1:
            raise OSError("gone")
        return number

    shared = Shared(take)
    with pytest.raises(OSError, match="gone"):
        shared()
    assert shared() == 2
