"""Documents made by hand for the tests of views and ctop: a test changes only the values it is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from inspector.schema import Container, Document, ProcessRow

__all__ = ["MIB", "container", "document", "process"]

MIB = 2**20

CPU = {
    "source": "cgroup", "cpuset": "0-1", "usage_seconds": 12.5, "user_seconds": 10.0, "system_seconds": 2.5,
    "usage_cores": 0.2, "user_cores": 0.15, "system_cores": 0.05, "quota_us": 20000, "period_us": 100000,
    "burst_us": 0, "weight": 100, "limit_cores": 0.2, "limit_set_by": "/docker/aaaa", "limit_ratio": 1.0,
    "periods": 500, "throttled_periods": 490, "throttled_seconds": 40.0, "throttled_ratio": 0.98,
    "throttled_by": "/docker/aaaa", "inherited_throttled_ratio": None, "pressure_some_seconds": 30.0,
    "pressure_some_ratio": 0.8, "pressure_full_avg10": 0.75, "pressure_full_avg60": 0.7,
}  # fmt: skip
MEMORY = {
    "source": "cgroup", "usage_bytes": 20 * MIB, "working_set_bytes": 12 * MIB, "anon_bytes": 10 * MIB,
    "file_bytes": 9 * MIB, "unreclaimable_bytes": 11 * MIB, "swap_bytes": 0, "limit_bytes": 64 * MIB,
    "limit_set_by": "/docker/aaaa", "limit_ratio": 0.1875, "own_limit_bytes": 64 * MIB, "oom_kills": 0,
    "limit_hits": 0, "peak_bytes": 21 * MIB, "pressure_some_seconds": 0.0, "pressure_full_seconds": 0.0,
    "pressure_some_ratio": 0.0, "pressure_full_ratio": 0.0,
    "pressure_full_avg10": 0.0, "pressure_full_avg60": 0.0,
}  # fmt: skip
IO = {
    "read_bytes": 4 * MIB, "write_bytes": MIB, "read_bytes_per_second": 2048.0, "write_bytes_per_second": 0.0,
    "pressure_some_seconds": 0.0, "pressure_some_ratio": 0.0,
    "pressure_full_avg10": 0.0, "pressure_full_avg60": 0.0,
}  # fmt: skip
NETWORK = {
    "shared_with_host": False, "shared_with": [], "shared_with_count": 0,
    "receive_bytes": 5 * MIB, "transmit_bytes": MIB,
    "receive_bytes_per_second": 1024.0, "transmit_bytes_per_second": 512.0,
}  # fmt: skip
HOST = {
    "hostname": "testhost", "kernel": "6.1.0", "cpus": 2, "memory_bytes": 8 * 1024 * MIB,
    "memory_available_bytes": 6 * 1024 * MIB, "swap_bytes": 0, "boot_time": 1_700_000_000.0,
    "load": [0.1, 0.2, 0.3], "usage_cores": 0.5, "memory_used_bytes": 2 * 1024 * MIB,
}  # fmt: skip


def process(pid: int, **changes: object) -> ProcessRow:
    """Return a process of PID `pid`, which inside its container is `pid` - 4000."""
    row = {
        "pid": pid, "inner_pid": pid - 4000, "ppid": 1, "comm": "sh", "cmdline": "sh -c 'while :; do :; done'",
        "state": "R", "cpu_cores": 0.2, "rss_bytes": MIB, "cpu_seconds": 3.5, "threads": 1, "uid": 0,
        "started_at": 1_700_090_000.0,
    }  # fmt: skip
    return cast("ProcessRow", {**row, **changes})


def container(name: str = "web", **changes: object) -> Container:
    """Return a throttled Docker container; a mapping changes the keys of its group (cpu={"usage_cores": 1.0})."""
    row: dict[str, Any] = {
        "id": f"{name}-0123456789abcdef", "name": name, "kind": "container", "runtime": "docker",
        "image": "nginx:1.25", "labels": {"team": "shop"}, "parent": None, "pod": None, "created_at": 1_700_090_000.0,
        "started_at": 1_700_090_000.0,
        "state": "running", "pid": 4242, "members": 3, "evidence": ["cgroup pattern docker"],
        "cgroups": {"cpu": "/docker/aaaa", "memory": "/docker/aaaa"},
        "namespaces": {"mnt": 4026532000, "pid": 4026532001},
        "cpu": CPU, "memory": MEMORY, "pids": {"current": 5, "limit": 100, "limit_set_by": "/docker/aaaa"},
        "io": IO, "network": NETWORK,
        "rootfs": {"type": "overlay", "source": "overlay", "read_only": False, "lower": ["/l1"], "upper": "/u",
                   "work": "/w", "merged": None},
        "findings": [], "processes": None,
    }  # fmt: skip
    for key, value in changes.items():
        row[key] = {**row[key], **value} if isinstance(value, Mapping) and key != "labels" else value
    return cast("Container", row)


def document(*containers: Container, **changes: object) -> Document:
    """Return a document of these containers, seen from the host an hour after they started."""
    row: dict[str, Any] = {
        "schema": 1, "taken_at": 1_700_093_600.0, "interval_seconds": 1.0, "host": {**HOST},
        "viewpoint": {"inside_container": False, "hidden_ancestors": False, "self": None},
        "containers": list(containers), "problems": [], "denied": 0, "denied_files": 0,
    }  # fmt: skip
    for key, value in changes.items():
        row[key] = {**row[key], **value} if isinstance(value, Mapping) else value
    return cast("Document", row)
