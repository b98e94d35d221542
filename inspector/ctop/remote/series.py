"""Which series are asked for, and the field of the document that each of them fills. Pure.

The names are cAdvisor's, and those of ours that say more.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["ABOVE", "GAUGES", "INFOS", "MACHINE", "RATES", "SET_BY"]

GAUGES: Mapping[str, str] = {
    "container_cpu_usage_seconds_total": "cpu.usage_seconds",
    "container_cpu_user_seconds_total": "cpu.user_seconds",
    "container_cpu_system_seconds_total": "cpu.system_seconds",
    "container_spec_cpu_quota": "cpu.quota_us",
    "container_spec_cpu_period": "cpu.period_us",
    "container_spec_cpu_burst": "cpu.burst_us",
    "container_cpu_weight": "cpu.weight",
    "container_cpu_limit_cores": "cpu.limit_cores",
    "container_cpu_cfs_periods_total": "cpu.periods",
    "container_cpu_cfs_throttled_periods_total": "cpu.throttled_periods",
    "container_cpu_cfs_throttled_seconds_total": "cpu.throttled_seconds",
    "container_pressure_cpu_waiting_seconds_total": "cpu.pressure_some_seconds",
    "container_memory_usage_bytes": "memory.usage_bytes",
    "container_memory_working_set_bytes": "memory.working_set_bytes",
    "container_memory_rss": "memory.anon_bytes",
    "container_memory_cache": "memory.file_bytes",
    "container_memory_unreclaimable_bytes": "memory.unreclaimable_bytes",
    "container_memory_swap": "memory.swap_bytes",
    "container_memory_max_usage_bytes": "memory.peak_bytes",
    "container_memory_failcnt": "memory.limit_hits",
    "container_memory_limit_bytes": "memory.limit_bytes",
    "container_spec_memory_limit_bytes": "memory.own_limit_bytes",
    "container_oom_events_total": "memory.oom_kills",
    "container_pressure_memory_waiting_seconds_total": "memory.pressure_some_seconds",
    "container_pressure_memory_stalled_seconds_total": "memory.pressure_full_seconds",
    "container_pressure_io_waiting_seconds_total": "io.pressure_some_seconds",
    "container_threads": "pids.current",
    "container_threads_max": "own_pids_limit",
    "container_pids_limit": "pids.limit",
    "container_processes": "members",
    "container_start_time_seconds": "started_at",
    "container_fs_reads_bytes_total": "io.read_bytes",
    "container_fs_writes_bytes_total": "io.write_bytes",
    "container_network_receive_bytes_total": "network.receive_bytes",
    "container_network_transmit_bytes_total": "network.transmit_bytes",
}
RATES: Mapping[str, str] = {
    "container_cpu_usage_seconds_total": "cpu.usage_cores",
    "container_cpu_user_seconds_total": "cpu.user_cores",
    "container_cpu_system_seconds_total": "cpu.system_cores",
    "container_cpu_cfs_periods_total": "periods_per_second",
    "container_cpu_cfs_throttled_periods_total": "throttled_per_second",
    "container_pressure_cpu_waiting_seconds_total": "cpu.pressure_some_ratio",
    "container_pressure_memory_waiting_seconds_total": "memory.pressure_some_ratio",
    "container_pressure_memory_stalled_seconds_total": "memory.pressure_full_ratio",
    "container_pressure_io_waiting_seconds_total": "io.pressure_some_ratio",
    "container_fs_reads_bytes_total": "io.read_bytes_per_second",
    "container_fs_writes_bytes_total": "io.write_bytes_per_second",
    "container_network_receive_bytes_total": "network.receive_bytes_per_second",
    "container_network_transmit_bytes_total": "network.transmit_bytes_per_second",
}
ABOVE = ("container_cpu_inherited_periods_total", "container_cpu_inherited_throttled_periods_total")
"""Quota periods of the cgroup in the label `set_by`, above the container, and in how many of them it was throttled."""
SET_BY: Mapping[str, str] = {
    "container_cpu_limit_info": "cpu",
    "container_memory_limit_info": "memory",
    "container_threads_limit_info": "pids",
}
INFOS = (*SET_BY, "container_info", "container_finding")
MACHINE = ("machine_cpu_cores", "machine_memory_bytes", "machine_memory_available_bytes", "machine_swap_bytes", "up")
