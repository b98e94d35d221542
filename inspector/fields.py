"""The table of everything that can be said of a container: a row is a value, not a branch of code.

Views take title, unit and value from here. Values are read from the JSON
document (inspector.schema), so a column and a JSON key can never disagree.
"""

from __future__ import annotations

from collections.abc import Callable

from inspector.kernel.named import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal

    from inspector.schema import Container

    Unit = Literal[
        "cores", "seconds", "bytes", "bytes_per_second", "ratio", "share", "microseconds", "count", "text", "timestamp"
    ]

__all__ = ["BY_NAME", "FIELDS", "GETTERS", "Field"]

"""A ratio is of the time between two samples or of two other fields, a share is the kernel's own."""
Value = float | int | str | None


class Field(NamedTuple):
    """One value of a container: `name` is its place in the document ("cpu.usage_cores")."""

    name: str
    unit: Unit
    kind: Literal["counter", "gauge"]
    help: str

    @property
    def get(self) -> Callable[[Container], Value]:
        """Return the function that takes this value from a container's document."""
        return GETTERS[self.name]


def _getter(name: str) -> Callable[[Container], Value]:
    group, _, key = name.partition(".")

    # Any: mypy allows only literal keys of a TypedDict. One call a value, as a view of a fleet makes thousands.
    def top(container: Any) -> Any:  # noqa: ANN401
        return container[group]

    def nested(container: Any) -> Any:  # noqa: ANN401
        return container[group][key]

    return nested if key else top


FIELDS = (
    Field("cpu.usage_seconds", "seconds", "counter", "CPU time used."),
    Field("cpu.user_seconds", "seconds", "counter", "CPU time in user mode."),
    Field("cpu.system_seconds", "seconds", "counter", "CPU time in the kernel."),
    Field("cpu.usage_cores", "cores", "gauge", "CPU used: 1 is one core fully busy."),
    Field("cpu.user_cores", "cores", "gauge", "CPU used in user mode."),
    Field("cpu.system_cores", "cores", "gauge", "CPU used in the kernel."),
    Field("cpu.quota_us", "microseconds", "gauge", "CPU time the cgroup's own quota allows in a period."),
    Field("cpu.period_us", "microseconds", "gauge", "Length of the quota's period."),
    Field("cpu.burst_us", "microseconds", "gauge", "Unused quota that may be saved up."),
    Field("cpu.weight", "count", "gauge", "Share of CPU under contention, 1 to 10000, 100 by default."),
    Field("cpu.limit_cores", "cores", "gauge", "Effective CPU limit: the least of quota and cpuset, own and ancestors'."),
    Field("cpu.limit_ratio", "ratio", "gauge", "CPU used as a share of the effective limit."),
    Field("cpu.periods", "count", "counter", "Quota periods in which the cgroup ran."),
    Field("cpu.throttled_periods", "count", "counter", "Quota periods in which the cgroup was throttled."),
    Field("cpu.throttled_seconds", "seconds", "counter", "Time the cgroup's run queues were throttled, summed over CPUs."),
    Field("cpu.throttled_ratio", "ratio", "gauge", "Share of quota periods throttled by the own quota."),
    Field("cpu.inherited_throttled_ratio", "ratio", "gauge", "Share of quota periods throttled by an ancestor's quota."),
    Field("cpu.pressure_some_seconds", "seconds", "counter", "Time in which some task waited for a CPU (PSI)."),
    Field("cpu.pressure_some_ratio", "ratio", "gauge", "Share of time in which some task waited for a CPU (PSI)."),
    Field("cpu.pressure_full_avg10", "share", "gauge", "Share of the last 10 s in which no task that was ready got a CPU (PSI)."),
    Field("cpu.pressure_full_avg60", "share", "gauge", "Share of the last 60 s in which no task that was ready got a CPU (PSI)."),
    Field("memory.usage_bytes", "bytes", "gauge", "Memory charged to the cgroup, page cache included."),
    Field("memory.working_set_bytes", "bytes", "gauge", "Memory used less inactive page cache."),
    Field("memory.anon_bytes", "bytes", "gauge", "Anonymous memory: heaps and stacks."),
    Field("memory.file_bytes", "bytes", "gauge", "Page cache, tmpfs included."),
    Field("memory.unreclaimable_bytes", "bytes", "gauge", "Memory that cannot be reclaimed without swap: the true distance to an OOM kill."),
    Field("memory.swap_bytes", "bytes", "gauge", "Swap used."),
    Field("memory.peak_bytes", "bytes", "gauge", "Highest memory usage so far."),
    Field("memory.limit_hits", "count", "counter", "Times the memory limit was hit."),
    Field("memory.limit_bytes", "bytes", "gauge", "Effective memory limit: the least of the own and the ancestors'."),
    Field("memory.own_limit_bytes", "bytes", "gauge", "The cgroup's own memory limit; 0 when it has none."),
    Field("memory.limit_ratio", "ratio", "gauge", "Working set as a share of the effective limit."),
    Field("memory.oom_kills", "count", "counter", "Processes of the cgroup killed for lack of memory."),
    Field("memory.pressure_some_seconds", "seconds", "counter", "Time in which some task waited for memory (PSI)."),
    Field("memory.pressure_full_seconds", "seconds", "counter", "Time in which all tasks waited for memory (PSI)."),
    Field("memory.pressure_some_ratio", "ratio", "gauge", "Share of time in which some task waited for memory (PSI)."),
    Field("memory.pressure_full_ratio", "ratio", "gauge", "Share of time in which all tasks waited for memory (PSI)."),
    Field("memory.pressure_full_avg10", "share", "gauge", "Share of the last 10 s in which all tasks waited for memory (PSI)."),
    Field("memory.pressure_full_avg60", "share", "gauge", "Share of the last 60 s in which all tasks waited for memory (PSI)."),
    Field("pids.current", "count", "gauge", "Tasks: processes and their threads."),
    Field("pids.limit", "count", "gauge", "Effective limit of tasks."),
    Field("members", "count", "gauge", "Processes."),
    Field("io.read_bytes", "bytes", "counter", "Bytes read from block devices."),
    Field("io.write_bytes", "bytes", "counter", "Bytes written to block devices."),
    Field("io.read_bytes_per_second", "bytes_per_second", "gauge", "Bytes read from block devices."),
    Field("io.write_bytes_per_second", "bytes_per_second", "gauge", "Bytes written to block devices."),
    Field("io.pressure_some_seconds", "seconds", "counter", "Time in which some task waited for I/O (PSI)."),
    Field("io.pressure_some_ratio", "ratio", "gauge", "Share of time in which some task waited for I/O (PSI)."),
    Field("io.pressure_full_avg10", "share", "gauge", "Share of the last 10 s in which all tasks waited for I/O (PSI)."),
    Field("io.pressure_full_avg60", "share", "gauge", "Share of the last 60 s in which all tasks waited for I/O (PSI)."),
    Field("network.receive_bytes", "bytes", "counter", "Bytes received, loopback left out."),
    Field("network.transmit_bytes", "bytes", "counter", "Bytes sent, loopback left out."),
    Field("network.receive_bytes_per_second", "bytes_per_second", "gauge", "Bytes received, loopback left out."),
    Field("network.transmit_bytes_per_second", "bytes_per_second", "gauge", "Bytes sent, loopback left out."),
    Field("name", "text", "gauge", "Name: the runtime's, or else the host name or a short id."),
    Field("id", "text", "gauge", "The runtime's id, or a stable one of ours."),
    Field("runtime", "text", "gauge", "Who made it."),
    Field("image", "text", "gauge", "Image it was made from."),
    Field("kind", "text", "gauge", "container, service (a systemd unit) or cgroup (limits alone)."),
    Field("state", "text", "gauge", "running, paused or hollow (its application is gone)."),
    Field("pid", "count", "gauge", "PID of its first process, on this host."),
    Field("parent", "text", "gauge", "The container around it."),
    Field("created_at", "timestamp", "gauge", "When it was created, as its runtime has it, or else started."),
    Field("started_at", "timestamp", "gauge", "When its first process started."),
    Field("cpu.cpuset", "text", "gauge", "CPUs it may run on."),
    Field("cpu.limit_set_by", "text", "gauge", "The cgroup whose quota or cpuset is the effective CPU limit."),
    Field("cpu.throttled_by", "text", "gauge", "The cgroup whose quota throttles it."),
    Field("memory.limit_set_by", "text", "gauge", "The cgroup whose limit is the effective memory limit."),
    Field("pids.limit_set_by", "text", "gauge", "The cgroup whose limit is the effective limit of tasks."),
)  # fmt: skip

GETTERS = {row.name: _getter(row.name) for row in FIELDS}
BY_NAME = {row.name: row for row in FIELDS}
