"""`snapshot` and `inspect` from Python, on this machine; the oracle is the kernel's own file."""

from __future__ import annotations

import os
import re
import sys

import pytest

from inspector import NoSuchContainer, NoSuchProcess, inspect, snapshot
from tests.testbed.commands import REPOSITORY, run


def example() -> str:
    """Return the example of the README."""
    with open(f"{REPOSITORY}/README.md", encoding="utf-8") as file:
        [code] = re.findall(r"^```python\n(.*?)^```", file.read(), re.MULTILINE | re.DOTALL)
    return str(code)


def total_memory() -> int:
    """Return the machine's memory in bytes, as /proc/meminfo has it."""
    with open("/proc/meminfo", encoding="ascii") as file:
        return int(next(line.split()[1] for line in file if line.startswith("MemTotal:"))) * 1024


def test_the_readmes_example() -> None:
    """It has no more than five lines, runs as it stands there, and says in the end what memory there is for us."""
    assert len([line for line in example().splitlines() if line]) <= 5
    told = run([sys.executable, "-c", example()]).stdout.splitlines()[-1]
    assert told == "None" or 0 < int(told) <= total_memory()


def test_a_snapshot() -> None:
    """It has the machine's totals; without an interval there is one look and no rate, and every id is there once."""
    found = snapshot(0, groups=True, processes=True)
    assert (found["interval_seconds"], found["host"]["memory_bytes"]) == (None, total_memory())
    assert found["host"]["usage_cores"] is None
    assert len({one["id"] for one in found["containers"]}) == len(found["containers"])
    assert (snapshot(0.1)["interval_seconds"] or 0) >= 0.1
    assert all(one["kind"] == "container" for one in snapshot(0)["containers"])


@pytest.mark.parametrize("interval", [-1.0, float("nan"), float("inf")])
def test_an_interval_that_is_none(interval: float) -> None:
    """It is refused before anything is read."""
    with pytest.raises(ValueError, match="seconds from 0 on"):
        snapshot(interval)


def test_a_process_and_those_that_are_none() -> None:
    """A PID and "self" are this process with the kernel's own numbers; what is not there is an error of its own."""
    inode = os.stat("/proc/self/ns/net").st_ino
    for target in (os.getpid(), "self"):
        found = inspect(target)
        assert (found["pid"], found["namespaces"]["net"]["inode"]) == (os.getpid(), inode)
    with pytest.raises(NoSuchProcess):
        inspect(1 << 22)
    with pytest.raises(NoSuchContainer):
        inspect("no container is called so")
