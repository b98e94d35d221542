"""Processes and threads; on request their states, open files and limits, and the busiest of them by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from exporter.families.readings import at, members, no, prepared, reading
from exporter.sight import Sight
from exporter.table import Collector, Group, Row
from exporter.text import pairs
from inspector.kernel.process import CLOCK_TICKS
from inspector.kernel.rlimits import Descriptors, read_descriptors, read_limits, read_thread_states
from inspector.model import ProcessDetail

__all__ = ["FILES", "PROCESSES", "TASKS_STATE", "TOP", "ULIMITS"]

# By the kernel's letter, the names of cAdvisor; what is not here (zombies, idle kernel threads) is in none of them.
STATES = {"sleeping": "S", "running": "R", "stopped": "Tt", "uninterruptible": "D"}
OPEN_FILES = "Max open files"


def _members(sight: Sight) -> Sequence[Any]:
    return sight.subjects.each("members", None, lambda one: one.container.members if one.container else None)


THREADS = Row("container_threads", "gauge", "Tasks: processes and their threads.", at("current"))

PROCESSES = Collector(
    "processes",
    "processes and threads",
    (
        Group((Row("container_processes", "gauge", "Processes.", len),), _members),
        Group(
            (
                THREADS,
                Row("container_threads_max", "gauge", "The cgroup's own limit of tasks; 0 when it has none.",
                    lambda pids: no(pids.limit)),
                Row("container_threads_limit_hits_total", "counter", "Times a task could not be made for the limit.",
                    at("limit_hits")),
            ),
            reading("pids"),
        ),
        Group((THREADS._replace(value=at("threads")),), members("pids")),
    ),
)  # fmt: skip


def _each(sight: Sight, read: Callable[[int], Any]) -> dict[str, list[Any]]:
    """Read something of every member of every container; those that end meanwhile or are hidden are left out."""
    found: dict[str, list[Any]] = {}
    for subject in sight.subjects:
        if subject.container is None or subject.container.kind != "container":
            continue
        got = found[subject.labels] = []
        for pid in subject.container.members:
            try:
                got.append(read(pid))
            except OSError:
                continue
    return found


def _files(sight: Sight) -> Any:  # noqa: ANN401
    return {
        labels: Descriptors(sum(one.files for one in each), sum(one.sockets for one in each))
        for labels, each in _each(sight, lambda pid: read_descriptors(sight.host, pid)).items()
    }


def _states(sight: Sight) -> Any:  # noqa: ANN401
    each = _each(sight, lambda pid: read_thread_states(sight.host, pid))
    return {labels: sum(found, Counter()) for labels, found in each.items() if found}


def _ulimits(sight: Sight) -> Any:  # noqa: ANN401
    """Read the limits of each container's first process, as cAdvisor does."""
    found = {}
    for subject in sight.subjects:
        if subject.container and subject.container.kind == "container" and subject.container.leader:
            try:
                found[subject.labels] = read_limits(sight.host, subject.container.leader.process.pid)
            except OSError:
                continue
    return found


def _in_state(letters: str) -> Callable[[Counter[str]], float]:
    return lambda states: sum(states[letter] for letter in letters)


FILES = Collector(
    "files",
    "open files and sockets of every process (reads each process's /proc/PID/fd)",
    (
        Group(
            (
                Row("container_file_descriptors", "gauge", "Open files of all processes.", at("files")),
                Row("container_sockets", "gauge", "Open sockets of all processes.", at("sockets")),
            ),
            prepared("files"),
        ),
    ),
    default=False,
    prepare=_files,
)
TASKS_STATE = Collector(
    "tasks_state",
    "tasks by state (reads each thread's stat)",
    (
        Group(
            tuple(
                Row("container_tasks_state", "gauge", "Tasks in each state.", _in_state(letters), f',state="{state}"')
                for state, letters in STATES.items()
            ),
            prepared("tasks_state"),
        ),
    ),
    default=False,
    prepare=_states,
)
ULIMITS = Collector(
    "ulimits",
    "the limit of open files of each first process",
    (
        Group(
            (
                Row("container_ulimits_soft", "gauge", "Soft limit of the first process; -1 is no limit.",
                    lambda limits: None if OPEN_FILES not in limits else -1 if limits[OPEN_FILES] is None
                    else limits[OPEN_FILES], ',ulimit="max_open_files"'),
            ),
            prepared("ulimits"),
        ),
    ),
    default=False,
    prepare=_ulimits,
)  # fmt: skip


class _Busiest(NamedTuple):
    """The processes to show of one container."""

    processes: tuple[ProcessDetail, ...]


def _top(sight: Sight) -> Any:  # noqa: ANN401
    """Choose, of each container, the processes with the most CPU time and those with the most memory."""
    most = sight.options.top
    found = {}
    for subject in sight.subjects:
        details = sight.observation.processes.get(subject.container.id, ()) if subject.container else ()
        busy = sorted(details, key=lambda one: -one.ticks)[:most]
        large = sorted(details, key=lambda one: -one.rss_bytes)[:most]
        found[subject.labels] = _Busiest(tuple({one.process.pid: one for one in (*busy, *large)}.values()))
    return found


def _named(busiest: _Busiest) -> Iterator[tuple[str, ProcessDetail]]:
    for one in busiest.processes:
        yield "," + pairs({"pid": str(one.process.pid), "comm": one.process.comm}), one


TOP = Collector(
    "top",
    "the busiest and the largest processes of each container, N of each by --collector.top.processes",
    (
        Group(
            (
                Row("container_process_cpu_seconds_total", "counter", "CPU time of one of the busiest processes.",
                    lambda one: one.ticks / CLOCK_TICKS),
                Row("container_process_resident_memory_bytes", "gauge", "Memory of one of the largest processes.",
                    at("rss_bytes")),
            ),
            prepared("top"),
            _named,
        ),
    ),
    default=False,
    prepare=_top,
)  # fmt: skip
