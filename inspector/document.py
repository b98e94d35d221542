"""The JSON document (inspector.schema) of one or two observations. Pure.

Written once, for ctop, nsinspect and the exporter alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from inspector.entry import Sharers, entry_of
from inspector.figures import SCHEMA
from inspector.limits import Lines
from inspector.model import Observation
from inspector.rates import Interval

TYPE_CHECKING = False
if TYPE_CHECKING:
    from inspector import schema

__all__ = ["document", "network_sharers"]

NOTHING_KNOWN: Mapping[str, schema.Container] = MappingProxyType({})


def document(
    before: Observation | None,
    after: Observation,
    *,
    known: Mapping[str, schema.Container] = NOTHING_KNOWN,
    sharers: Sharers | None = None,
) -> schema.Document:
    """Return what is said of the machine after two looks; with one look every rate is null.

    `known` has the parts, by container id, that need not be written anew, and `sharers` is what network_sharers
    returns of `after`, for who knows (inspector.still).
    """
    interval = Interval(before, after)
    sharers = network_sharers(after) if sharers is None else sharers
    lines: Lines = {}
    return {
        "schema": SCHEMA,
        "taken_at": after.taken_at,
        "interval_seconds": interval.seconds,
        "host": _machine(interval),
        "viewpoint": {
            "inside_container": after.own.inside_container,
            "hidden_ancestors": after.own.hidden_ancestors,
            "self": next((one.id for one in after.containers if after.own.pid in one.members), None)
            if after.own.inside_container
            else None,
        },
        "containers": [known.get(one.id) or entry_of(interval, one, sharers, lines) for one in after.containers],
        "problems": list(after.problems),
        "denied": after.denied,
        "denied_files": after.denied_files,
    }


def _machine(interval: Interval) -> schema.Machine:
    system, before = interval.after.system, interval.before
    # Over the machine's own clock, which is read together with its CPU time: the figures come later in a tick.
    elapsed = system.uptime_seconds - before.system.uptime_seconds if before else 0.0
    busy = system.cpu_busy_seconds - before.system.cpu_busy_seconds if before else -1.0
    available = system.memory_available_bytes
    return {
        "hostname": system.hostname,
        "kernel": system.kernel,
        "cpus": system.cpus,
        "memory_bytes": system.memory_bytes,
        "memory_available_bytes": available,
        "swap_bytes": system.swap_bytes,
        "boot_time": system.boot_time,
        "load": list(system.load),
        "usage_cores": min(busy / elapsed, system.cpus) if busy >= 0 and elapsed > 0 else None,
        "memory_used_bytes": None if available is None else system.memory_bytes - available,
    }


def network_sharers(after: Observation) -> dict[int, list[tuple[str, str]]]:
    """Map each network namespace to the (id, name) of the containers in it."""
    sharers: dict[int, list[tuple[str, str]]] = {}
    for one in after.containers:
        inode = one.leader.namespaces.get("net") if one.leader and one.kind == "container" else None
        if inode is not None:
            sharers.setdefault(inode, []).append((one.id, one.name))
    return sharers
