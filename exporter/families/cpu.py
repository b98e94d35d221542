"""CPU time, quota, throttling and weight: cpuacct and cpu of v1, cpu.stat, cpu.max and cpu.weight of v2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from exporter.families.readings import at, members, millionth, reading
from exporter.table import Collector, Group, Row
from inspector.kernel.process import CLOCK_TICKS
from inspector.model import Tally

__all__ = ["CPU"]


def _under_quota(get: Callable[[Any], float | None]) -> Callable[[Any], float | None]:
    """As in cAdvisor, no series without a quota: never throttled and no quota are two different things."""
    return lambda cpu: None if cpu.quota_us is None else get(cpu)


def _burst(cpu: Any) -> float | None:  # noqa: ANN401
    return cpu.burst_us or None


def _seconds(tally: Tally) -> float:
    return sum(user + system for user, system in tally.ticks.values()) / CLOCK_TICKS


CPU = Collector(
    "cpu",
    "CPU time, quota and throttling",
    (
        Group(
            (
                Row("container_cpu_usage_seconds_total", "counter", "CPU time used.", millionth("usage_us"),
                    ',cpu="total"'),
                Row("container_cpu_user_seconds_total", "counter", "CPU time in user mode.", millionth("user_us")),
                Row("container_cpu_system_seconds_total", "counter", "CPU time in the kernel.", millionth("system_us")),
            ),
            reading("cpuacct"),
        ),
        Group(
            (
                Row("container_cpu_cfs_periods_total", "counter", "Quota periods in which the cgroup ran.",
                    _under_quota(at("periods"))),
                Row("container_cpu_cfs_throttled_periods_total", "counter",
                    "Quota periods in which the cgroup was throttled.", _under_quota(at("throttled_periods"))),
                Row("container_cpu_cfs_throttled_seconds_total", "counter",
                    "Time the cgroup's run queues were throttled, summed over CPUs.",
                    _under_quota(millionth("throttled_us"))),
                Row("container_cpu_cfs_burst_periods_total", "counter", "Quota periods in which saved quota was used.",
                    _under_quota(at("bursts"))),
                Row("container_cpu_cfs_burst_seconds_total", "counter", "CPU time used beyond the quota of a period.",
                    _under_quota(millionth("bursted_us"))),
                Row("container_spec_cpu_quota", "gauge", "CPU time in microseconds that the own quota allows in a period.",
                    at("quota_us")),
                Row("container_spec_cpu_period", "gauge", "Length of the quota's period in microseconds.",
                    at("period_us")),
                Row("container_spec_cpu_shares", "gauge", "Share of CPU under contention, 2 to 262144, 1024 by default.",
                    at("shares")),
                Row("container_spec_cpu_burst", "gauge", "Unused quota in microseconds that may be saved up.", _burst),
                Row("container_cpu_weight", "gauge", "Share of CPU under contention, 1 to 10000, 100 by default.",
                    at("weight")),
            ),
            reading("cpu"),
        ),
        # A sum over living processes falls when one ends. Prometheus takes that for a counter's restart and adds
        # the whole sum to the rate, so it is a gauge of another name.
        Group(
            (
                Row("container_cpu_members_seconds", "gauge",
                    "CPU time of the processes alive now, of a container without a cgroup that counts it; falls when "
                    "one ends.", _seconds),
            ),
            members("cpuacct"),
        ),
    ),
)  # fmt: skip
