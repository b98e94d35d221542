"""Looks at a fake host, for the tests of the inspector's core."""

from __future__ import annotations

from pathlib import Path

from inspector.document import document
from inspector.model import Container, Observation
from inspector.observe import Observer
from inspector.schema import Document
from tests.fakehost import FakeHost

__all__ = ["ID", "LIMITED", "OTHER", "limited", "look", "one", "own", "seen"]

ID = "a" * 64
OTHER = "b" * 64
# For each layout: the controllers' names to make a cgroup by, and its files with a quota of 0.1 cores.
LIMITED: dict[str, dict[str, dict[str, str]]] = {
    "v1": {
        "cpu": {
            "cpu.cfs_quota_us": "10000\n", "cpu.cfs_period_us": "100000\n",
            "cpu.stat": "nr_periods 10\nnr_throttled 5\nthrottled_time 1000000\n",
            "cpuacct.usage": "1000000000\n",
        },
        "memory": {
            "memory.usage_in_bytes": "1000\n", "memory.limit_in_bytes": "4096\n",
            "memory.stat": "hierarchical_memory_limit 4096\ntotal_rss 500\ntotal_inactive_file 100\n",
        },
        "pids": {"pids.current": "3\n", "pids.max": "max\n"},
    },
    "v2": {
        "": {
            "cpu.max": "10000 100000\n",
            "cpu.stat": "usage_usec 1000000\nuser_usec 1\nsystem_usec 1\nnr_periods 10\nnr_throttled 5\n"
            "throttled_usec 1000\n",
            "memory.current": "1000\n", "memory.max": "4096\n", "memory.stat": "anon 500\ninactive_file 100\n",
            "pids.current": "3\n", "pids.max": "max\n",
        },
    },
}  # fmt: skip
LIMITED["hybrid"] = LIMITED["v1"]


def look(fake: FakeHost) -> Observation:
    """Return one look at a machine."""
    with fake.open() as host:
        return Observer(host).tick()


def seen(fake: FakeHost) -> Document:
    """Return the document of one look at a machine."""
    return document(None, look(fake))


def one(observation: Observation, name: str) -> Container:
    """Return the one container with that id, name or process."""
    found = [one for one in observation.containers if name in (one.id, one.name)]
    assert len(found) == 1, [(one.id, one.name) for one in observation.containers]
    return found[0]


def own(number: int, **more: int) -> dict[str, int]:
    """Return PID and mount namespaces that are not the machine's."""
    return {"pid": 4026540000 + number, "mnt": 4026550000 + number, **more}


def limited(root: Path, layout: str, path: str) -> FakeHost:
    """Return a machine with a cgroup whose quota is 0.1 cores and whose memory limit is 4096 bytes."""
    fake = FakeHost(root, layout)
    for controller, files in LIMITED[layout].items():
        fake.cgroup(controller, path, files)
    return fake
