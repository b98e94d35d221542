"""memory.numa_stat: a cgroup's memory by NUMA node (cgroup-v1/memory.rst, section 5.6; cgroup-v2.rst)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from inspector.errors import ParseError

__all__ = ["KINDS", "parse_numa_stat"]

KINDS = ("file", "anon", "unevictable")
LINE = re.compile(rb"(?P<name>\w+)(?:=\d{1,20})?(?P<nodes>(?: N\d{1,4}=\d{1,20})*)", re.ASCII)
NODE = re.compile(rb"N(\d+)=(\d+)", re.ASCII)


# v1, in pages:   hierarchical_anon=183 N0=166 N1=17
# v2, in bytes:   anon N0=749568 N1=69632
def parse_numa_stat(data: bytes) -> Mapping[str, Mapping[int, int]]:
    """Return by name ("anon", v1's "hierarchical_anon") how much is on each node: bytes on v2, pages on v1."""
    found = {}
    for line in data.splitlines():
        match = LINE.fullmatch(line.rstrip())
        if match is None:
            raise ParseError("memory.numa_stat", line)
        found[match["name"].decode("ascii")] = {int(node): int(value) for node, value in NODE.findall(match["nodes"])}
    return found
