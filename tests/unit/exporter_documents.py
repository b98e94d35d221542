"""Hand-made documents for the exporter's tests: small enough to read beside the assertion."""

from __future__ import annotations

from typing import Any

from inspector.schema import SCHEMA, Container, Cpu, Document, Io, Memory, Network, Pids

TAKEN_AT = 1_790_000_000.5


def unknown(group: type) -> dict[str, Any]:
    """Return a group of the document in which nothing is known."""
    return dict.fromkeys(group.__annotations__)


def container(**given: Any) -> Container:  # noqa: ANN401
    """Return a container that knows nothing but a few defaults; a dict given for a group is merged into it."""
    made: dict[str, Any] = {
        "id": "4f5e", "name": "web", "kind": "container", "runtime": "docker", "image": "nginx", "labels": {},
        "parent": None, "pod": None, "created_at": 1_789_999_000.25,
        "started_at": 1_789_999_000.25, "state": "running", "pid": 4321, "members": 3,
        "evidence": [], "cgroups": {"cpu": "/docker/4f5e", "memory": "/docker/4f5e"}, "namespaces": {"net": 4026532001},
        "cpu": unknown(Cpu) | {"source": "cgroup"},
        "memory": unknown(Memory) | {"source": "cgroup"},
        "pids": unknown(Pids),
        "io": unknown(Io),
        "network": unknown(Network) | {"shared_with_host": False, "shared_with": []},
        "rootfs": {"type": None, "source": None, "read_only": None, "lower": [], "upper": None, "work": None,
                   "merged": None},
        "findings": [], "processes": None,
    }  # fmt: skip
    for key, value in given.items():
        if isinstance(value, dict) and key not in ("cgroups", "namespaces", "labels"):
            made[key] |= value
        else:
            made[key] = value
    return made  # type: ignore[return-value]


def document(*containers: Container, **given: Any) -> Document:  # noqa: ANN401
    """Return a document of a machine with 2 CPUs and 4 GiB."""
    made: dict[str, Any] = {
        "schema": SCHEMA, "taken_at": TAKEN_AT, "interval_seconds": None,
        "host": {"hostname": "h", "kernel": "6.18", "cpus": 2, "memory_bytes": 4 << 30, "memory_available_bytes": None,
                 "swap_bytes": 0, "boot_time": None, "load": [], "usage_cores": None, "memory_used_bytes": None},
        "viewpoint": {"inside_container": False, "hidden_ancestors": False, "self": None},
        "containers": list(containers), "problems": [], "denied": 0, "denied_files": 0,
    }  # fmt: skip
    return made | given  # type: ignore[return-value]


def busy(**given: Any) -> Container:  # noqa: ANN401
    """Return a container with a figure for everything, limited to 0.2 cores and 64 MiB."""
    cpu = {"usage_seconds": 12.5, "user_seconds": 8, "system_seconds": 4.5, "quota_us": 20000, "period_us": 100000,
           "burst_us": 0, "weight": 100, "limit_cores": 0.2, "limit_set_by": "/docker/4f5e", "periods": 1000,
           "throttled_periods": 990, "throttled_seconds": 700.25, "pressure_some_seconds": 650.5}  # fmt: skip
    memory = {"usage_bytes": 3 << 20, "working_set_bytes": 2 << 20, "anon_bytes": 1 << 20, "file_bytes": 1 << 20,
              "unreclaimable_bytes": 1 << 20, "swap_bytes": 0, "peak_bytes": 5 << 20, "limit_hits": 2,
              "limit_bytes": 64 << 20, "limit_set_by": "/docker", "own_limit_bytes": None, "oom_kills": 1,
              "pressure_some_seconds": 0.5, "pressure_full_seconds": 0.25}  # fmt: skip
    return container(**{
        "cpu": cpu, "memory": memory, "pids": {"current": 3, "limit": 100, "limit_set_by": "/docker/4f5e"},
        "io": {"pressure_some_seconds": 0.125}, "network": {"receive_bytes": 1000, "transmit_bytes": 500}, **given,
    })  # fmt: skip
