"""Memory, its parts, its events and its own limits: the memory controller of either version."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from exporter.families.readings import at, members, no, reading
from exporter.sight import Sight
from exporter.table import Collector, Group, Row
from inspector.kernel.controllers import Memory

__all__ = ["MEMORY"]

OWN, WITH_BELOW = ',scope="container"', ',scope="hierarchy"'
FAULT, MAJOR = ',failure_type="pgfault"', ',failure_type="pgmajfault"'
FAILURES = "Page faults: minor and major (from disk), of the cgroup itself and with those below."
EVENTS = "Events of the memory controller: how often each happened."


def _memory(sight: Sight) -> Sequence[Any]:
    """Find the readings; v2's root has no sum of its parts of memory and no swap, which are told as cAdvisor does."""
    found = reading("memory")(sight)
    first = _of_machine(sight, found)
    if first is None or first.usage_bytes is not None:
        return found
    system = sight.observation.system
    swap = system.swap_bytes - system.swap_free_bytes
    return [first._replace(usage_bytes=(first.anon_bytes or 0) + (first.file_bytes or 0), swap_bytes=swap), *found[1:]]


def _limits(sight: Sight) -> Sequence[Any]:
    """Find the readings; the root cgroup's limits are the machine's memory and swap, as in cAdvisor (raw/handler.go)."""
    found = reading("memory")(sight)
    first = _of_machine(sight, found)
    if first is None:
        return found
    system = sight.observation.system
    return [first._replace(limit_bytes=system.memory_bytes, swap_limit_bytes=system.swap_bytes), *found[1:]]


def _of_machine(sight: Sight, found: Sequence[Any]) -> Memory | None:
    return found[0] if found and sight.subjects[0].container is None else None


def _own(name: str) -> Callable[[Memory], float | None]:
    """Return the getter of a figure without the cgroups below: v2 tells the one with them alone, as cAdvisor does."""
    own, below = at(f"own_{name}"), at(name)
    return lambda memory: below(memory) if own(memory) is None else own(memory)


def _reservation(memory: Memory) -> float:
    """As in cAdvisor (getSpecInternal): memory.min, and v1's soft limit where there is none."""
    return no(memory.low_bytes if memory.min_bytes is None else memory.min_bytes)


def _set(name: str) -> Callable[[Memory], float | None]:
    """Return the getter of a protection, for which 0 is none."""
    get = at(name)
    return lambda memory: get(memory) or None


def _counted(row: str, kind_help: str, get: str) -> Row:
    return Row(row, "counter", kind_help, at(get))


GAUGES = (
    Row("container_memory_usage_bytes", "gauge", "Memory charged to the cgroup, page cache included.", at("usage_bytes")),
    Row("container_memory_working_set_bytes", "gauge", "Memory used less inactive page cache.", at("working_set_bytes")),
    Row("container_memory_rss", "gauge", "Anonymous memory in bytes: heaps and stacks.", at("anon_bytes")),
    Row("container_memory_cache", "gauge", "Page cache in bytes, tmpfs included.", at("file_bytes")),
    Row("container_memory_swap", "gauge", "Swap used, in bytes.", at("swap_bytes")),
    Row("container_memory_mapped_file", "gauge", "Page cache mapped into processes, in bytes.", at("mapped_file_bytes")),
    Row("container_memory_kernel_usage", "gauge", "Memory of the kernel for the cgroup, in bytes.",
        at("kernel_usage_bytes")),
    Row("container_memory_max_usage_bytes", "gauge", "Highest memory usage so far.", at("peak_bytes")),
    Row("container_memory_total_active_file_bytes", "gauge", "Page cache in active use.", at("active_file_bytes")),
    Row("container_memory_total_inactive_file_bytes", "gauge", "Page cache that goes first.", at("inactive_file_bytes")),
    Row("container_memory_file_dirty_bytes", "gauge", "Page cache still to be written.", at("dirty_file_bytes")),
    Row("container_memory_file_writeback_bytes", "gauge", "Page cache being written.", at("writeback_file_bytes")),
    Row("container_memory_unreclaimable_bytes", "gauge",
        "Memory that cannot be reclaimed without swap: the true distance to an OOM kill.", at("unreclaimable_bytes")),
)  # fmt: skip
COUNTERS = (
    _counted("container_memory_failcnt", "Times the memory limit was hit.", "limit_hits"),
    Row("container_memory_failures_total", "counter", FAILURES, _own("page_faults"), FAULT + OWN),
    Row("container_memory_failures_total", "counter", FAILURES, at("page_faults"), FAULT + WITH_BELOW),
    Row("container_memory_failures_total", "counter", FAILURES, _own("major_page_faults"), MAJOR + OWN),
    Row("container_memory_failures_total", "counter", FAILURES, at("major_page_faults"), MAJOR + WITH_BELOW),
    _counted("container_memory_pgscan_total", "Pages looked at for reclaim.", "pages_scanned"),
    _counted("container_memory_pgsteal_total", "Pages reclaimed.", "pages_reclaimed"),
    _counted("container_memory_workingset_refault_anon_total", "Reclaimed anonymous pages wanted again.",
             "anon_refaults"),
    _counted("container_memory_workingset_refault_file_total", "Reclaimed file pages wanted again.", "file_refaults"),
    _counted("container_memory_events_high_total", "Times memory.high was exceeded.", "high_events"),
    Row("container_memory_events_max_total", "counter", "Times memory.max was hit.",
        lambda memory: None if memory.high_events is None else memory.limit_hits),
    *(
        Row("container_memory_events_total", "counter", EVENTS, at(field), f',event="{event}"')
        for event, field in (("low", "low_events"), ("high", "high_events"), ("max", "limit_hits"),
                             ("oom", "oom_events"), ("oom_kill", "oom_kills"), ("oom_group_kill", "oom_group_kills"))
    ),
    _counted("container_oom_events_total", "Processes of the cgroup killed for lack of memory.", "oom_kills"),
)  # fmt: skip
LIMITS = (
    Row("container_spec_memory_limit_bytes", "gauge",
        "The cgroup's own memory limit, of the machine its memory; 0 when it has none.",
        lambda memory: no(memory.limit_bytes)),
    Row("container_spec_memory_swap_limit_bytes", "gauge",
        "The cgroup's own swap limit, on v1 of memory and swap together, of the machine its swap; 0 when it has none.",
        lambda memory: no(memory.swap_limit_bytes)),
    Row("container_spec_memory_reservation_limit_bytes", "gauge",
        "Memory never reclaimed, v1's soft limit; 0 when there is none.", _reservation),
    Row("container_spec_memory_high_bytes", "gauge", "Memory from which on the cgroup is slowed down and reclaimed.",
        at("high_bytes")),
    Row("container_spec_memory_low_bytes", "gauge", "Memory spared while others can be reclaimed.", _set("low_bytes")),
    Row("container_spec_memory_min_bytes", "gauge", "Memory never reclaimed.", _set("min_bytes")),
)  # fmt: skip

MEMORY = Collector(
    "memory",
    "memory, its parts, events and own limits",
    (
        Group(GAUGES, _memory),
        Group(COUNTERS, reading("memory")),
        Group(LIMITS, _limits),
        Group(
            (
                GAUGES[1]._replace(value=at("anon_bytes")),
                GAUGES[2],
            ),
            members("memory"),
        ),
    ),
)
