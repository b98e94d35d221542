"""`sandbox oci events`: what a container uses, and that it ran out of memory, a line of JSON each, in runc's words.

https://github.com/opencontainers/runc/blob/main/types/events.go: nanoseconds and bytes.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections.abc import Iterable, Iterator
from typing import Any

from inspector.errors import ParseError
from inspector.kernel import cgroup_v1, cgroup_v2
from inspector.kernel.host import Host
from sandbox import cgroup, culling
from sandbox.cgroup import Place
from sandbox.oci.records import Record

__all__ = ["follow", "stats"]

FILES = {1: cgroup_v1.FILES, 2: cgroup_v2.FILES}
# runc's "none".
UNLIMITED = 2**64 - 1
HUGE_PAGES = {"2MB": "2mb", "1GB": "1gb"}
OOM_SECONDS = 0.2
Values = dict[str, Any]


def stats(record: Record) -> Values:
    """Return one record of what a container uses now."""
    cpu, usage, memory, pids, huge = (_values(record.places, name) for name in
                                      ("cpu", "cpuacct", "memory", "pids", "hugetlb"))  # fmt: skip
    data = {
        "cpu": {
            "usage": {"total": 1000 * usage.get("usage_us", 0), "kernel": 1000 * usage.get("system_us", 0),
                      "user": 1000 * usage.get("user_us", 0)},
            "throttling": {"periods": cpu.get("periods", 0), "throttledPeriods": cpu.get("throttled_periods", 0),
                           "throttledTime": 1000 * cpu.get("throttled_us", 0)},
        },
        "memory": {
            "cache": memory.get("file_bytes", 0),
            "usage": _entry(memory, "usage_bytes", "limit_bytes", "peak_bytes"),
            "swap": _entry(memory, "swap_bytes", "swap_limit_bytes"),
            "kernel": _entry(memory, "kernel_bytes", "kernel_limit_bytes"),
        },
        "pids": {"current": pids.get("current", 0), "limit": pids.get("limit", 0)},
        "blkio": _block(record.places),
        "hugetlb": {size: {"usage": huge[f"usage_{word}_bytes"], "failcnt": 0} for size, word in HUGE_PAGES.items()
                    if f"usage_{word}_bytes" in huge},
    }  # fmt: skip
    return {"type": "stats", "id": record.state["id"], "data": data}


def _entry(values: Values, usage: str, limit: str, peak: str = "") -> Values:
    most = {"max": values[peak]} if peak in values else {}
    return {"limit": values.get(limit, UNLIMITED), "usage": values.get(usage, 0), **most,
            "failcnt": values.get("limit_hits", 0) if peak else 0}  # fmt: skip


def _values(places: Iterable[Place], name: str) -> Values:
    """Return what the files of a controller say; what is unknown, unlimited or not there is left out."""
    # The time used needs no controller on v2, and has one of its own on v1.
    where = cgroup.located(name, places) or next((each for each in places if each.hierarchy.version != 1), None)
    found: Values = {}
    if where is not None:
        for file in FILES[min(where.hierarchy.version, 2)][name]:
            with contextlib.suppress(OSError, ParseError):
                found |= file.parse(Host().read(f"{where.directory}/{file.name}"))
    return {key: value for key, value in found.items() if value is not None}


def _block(places: Iterable[Place]) -> Values:
    where = cgroup.located("io", places)
    if where is None:
        return {}
    read = _of_v1 if where.hierarchy.version == 1 else _of_v2
    keys = {"ioServiceBytesRecursive": "bytes", "ioServicedRecursive": "ops"}
    return {key: list(read(where.directory, unit)) for key, unit in keys.items()}


def _of_v1(directory: str, unit: str) -> Iterator[Values]:
    file = {"bytes": "io_service_bytes", "ops": "io_serviced"}[unit]
    with contextlib.suppress(OSError, ParseError):
        data = Host().read(f"{directory}/blkio.throttle.{file}_recursive")
        for device, amounts in cgroup_v1.parse_io_service(data).items():
            yield from _both(device, amounts)


def _of_v2(directory: str, unit: str) -> Iterator[Values]:
    names = {"bytes": ("rbytes", "wbytes"), "ops": ("rios", "wios")}[unit]
    with contextlib.suppress(OSError):
        for line in Host().read(f"{directory}/io.stat").decode("ascii", "replace").splitlines():
            device, *pairs = line.split()
            told = dict(pair.partition("=")[::2] for pair in pairs)
            yield from _both(device, [int(told.get(name, 0)) for name in names])


def _both(device: str, amounts: Iterable[int]) -> Iterator[Values]:
    major, _, minor = device.partition(":")
    for way, amount in zip(("read", "write"), amounts, strict=True):
        yield {"major": int(major), "minor": int(minor), "op": way, "value": amount}


def follow(record: Record, interval: float) -> Iterator[Values]:
    """Yield a record every so many seconds, and one for each time it runs out of memory, until the container ends."""
    pidfd = os.pidfd_open(record.pid)
    ended = select.poll()
    ended.register(pidfd, select.POLLIN)
    killed, due = culling.oom_kills(record.places), time.monotonic()
    try:
        while record.status() != "stopped":
            now = culling.oom_kills(record.places)
            if now > killed:
                yield {"type": "oom", "id": record.state["id"]}
            killed = now
            if time.monotonic() >= due:
                due += interval
                yield stats(record)
            if ended.poll(1000 * max(0.0, min(OOM_SECONDS, due - time.monotonic()))):
                return
    finally:
        os.close(pidfd)
