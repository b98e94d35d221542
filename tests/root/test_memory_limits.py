"""What of v1's files of memory is not read, as another has told it: held against these files."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from inspector.absence import Absence
from inspector.collect import Collector
from inspector.kernel.cgroup_in_full import IN_FULL
from inspector.kernel.controllers import Memory
from inspector.kernel.host import Host
from inspector.measure import Meter
from tests.testbed.cgroups import hierarchy, read, write

pytestmark = pytest.mark.root

LIMIT, WITH_SWAP = FILES = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
UNLIMITED_FROM = 1 << 62


@pytest.fixture
def groups() -> Iterator[tuple[str, str]]:
    """Make a cgroup of memory in another one; give their directories."""
    mountpoint, version = hierarchy("memory")
    if version != 1:
        pytest.skip("the memory controller is not on v1 here")
    outer = f"{mountpoint}/cgscope-limits-{os.getpid()}"
    inner = f"{outer}/inner"
    os.makedirs(inner)
    yield outer, inner
    os.rmdir(inner)
    os.rmdir(outer)


def test_limits_are_those_of_the_files(groups: tuple[str, str]) -> None:
    """At each look the limits are what the cgroup's own files say, whoever set which, of itself or above it."""
    outer, inner = groups
    mountpoint, _ = hierarchy("memory")
    with Host() as host:
        absence = Absence()
        collector = Collector(host, absence)
        collector.begin()
        meter = Meter(host, absence, files=IN_FULL)
        root = collector.located["memory"][0].root.rstrip("/")
        key = "memory", root + inner.removeprefix(mountpoint)

        def agree() -> None:
            meter.begin(collector.located)
            memory = meter.figures({key: True})[0][key]
            host.end_tick()
            assert isinstance(memory, Memory)
            there = [int(read(f"{inner}/{name}")) if os.path.exists(f"{inner}/{name}") else None for name in FILES]
            said = [None if value is None or value >= UNLIMITED_FROM else value for value in there]
            assert [memory.limit_bytes, memory.swap_limit_bytes] == said

        agree()
        for directory, name, value in (
            (outer, LIMIT, 64 << 20), (inner, LIMIT, 128 << 20), (inner, LIMIT, 32 << 20), (outer, LIMIT, -1),
            (inner, LIMIT, -1), (inner, LIMIT, 64 << 20), (inner, WITH_SWAP, 96 << 20), (inner, WITH_SWAP, -1),
            (inner, LIMIT, -1),
        ):  # fmt: skip
            if os.path.exists(f"{directory}/{name}"):
                write(f"{directory}/{name}", str(value))
            agree()
