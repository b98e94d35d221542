"""Whether the CPUs and memory nodes that are asked for are there: told before anything is made, as Docker does."""

from __future__ import annotations

from collections.abc import Sequence

from inspector.errors import ParseError
from inspector.kernel.host import Host
from inspector.kernel.system import parse_cpu_list
from sandbox import cgroup
from sandbox.errors import SandboxError
from sandbox.limits import Limits

__all__ = ["check"]

# What a cgroup really has, in either version (Documentation/admin-guide/cgroup-v1/cpusets.rst, cgroup-v2.rst).
FILES = {1: "cpuset.effective_{}", 2: "cpuset.{}.effective"}


def check(limits: Limits, places: Sequence[cgroup.Place]) -> None:
    """Raise SandboxError for a CPU or a node that the cgroup above a container's does not have."""
    where = cgroup.located("cpuset", places)
    directory = None if where is None else where.hierarchy.directory(where.base)
    if where is None or directory is None:
        return
    file = FILES[min(where.hierarchy.version, 2)]
    for what, kind, asked in (("CPUs", "cpus", limits.cpuset_cpus), ("memory nodes", "mems", limits.cpuset_mems)):
        try:
            there = Host().read(f"{directory}/{file.format(kind)}").decode().strip()
        except OSError:  # an older kernel: it says itself at the start
            continue
        try:
            missing = set(parse_cpu_list(asked)) - set(parse_cpu_list(there))
        except ParseError:
            raise SandboxError(f"Invalid value {asked} for cpuset {kind}") from None
        if missing:
            raise SandboxError(f"Requested {what} are not available - requested {asked}, available: {there}")
