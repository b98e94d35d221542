"""Memory by NUMA node, and whether it follows the tasks to other nodes: on request, one file a cgroup each."""

from __future__ import annotations

from collections.abc import Iterator
from mmap import PAGESIZE
from typing import Any, NamedTuple

from exporter.families.readings import control_files, prepared
from exporter.sight import Sight
from exporter.table import Collector, Group, Row
from exporter.text import pairs
from inspector.kernel.figures import number
from inspector.kernel.numa import KINDS, parse_numa_stat

__all__ = ["CPUSET", "MEMORY_NUMA"]


class _Pages(NamedTuple):
    """Pages by kind of memory, scope and node."""

    pages: tuple[tuple[str, str, int, int], ...]


def _numa(sight: Sight) -> Any:  # noqa: ANN401
    """Read memory.numa_stat: v1 tells pages, without and with the cgroups below; v2 bytes, with them alone."""
    found = {}
    for labels, hierarchy, data in control_files(sight, "memory", "memory.numa_stat"):
        told = parse_numa_stat(data)
        v1 = hierarchy.version == 1
        scopes = {"container": "", "hierarchy": "hierarchical_"} if v1 else {"hierarchy": ""}
        found[labels] = _Pages(
            tuple(
                (kind, scope, node, value if v1 else value // PAGESIZE)
                for scope, prefix in scopes.items()
                for kind in KINDS
                for node, value in told.get(prefix + kind, {}).items()
            )
        )
    return found


def _each(found: _Pages) -> Iterator[tuple[str, int]]:
    for kind, scope, node, pages in found.pages:
        yield "," + pairs({"type": kind, "scope": scope, "node": str(node)}), pages


MEMORY_NUMA = Collector(
    "memory_numa",
    "memory by NUMA node (reads memory.numa_stat)",
    (
        Group(
            (Row("container_memory_numa_pages", "gauge", "Pages of memory on each NUMA node."),),
            prepared("memory_numa"),
            _each,
        ),
    ),
    default=False,
    prepare=_numa,
)
CPUSET = Collector(
    "cpuset",
    "whether memory moves along when a cpuset's nodes change (cgroup v1 alone)",
    (
        Group(
            (
                Row("container_memory_migrate", "gauge", "1 when memory moves to the cpuset's nodes, else 0.",
                    lambda told: told[0]),
            ),
            prepared("cpuset"),
        ),
    ),
    default=False,
    prepare=lambda sight: {
        labels: (number("cpuset.memory_migrate", data),)
        for labels, _, data in control_files(sight, "cpuset", "cpuset.memory_migrate")
    },
)  # fmt: skip
