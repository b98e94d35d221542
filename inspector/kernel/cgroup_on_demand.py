"""Control files that no tick needs: what who asks for all limits of one process is told besides.

As cgroup_v1 and cgroup_v2: every parse_x takes one file's bytes.
"""

from __future__ import annotations

import re

from inspector.errors import ParseError
from inspector.kernel.cgroup_v1 import bytes_file
from inspector.kernel.cgroup_v2 import limit, single
from inspector.kernel.controllers import ControlFile, Values
from inspector.kernel.figures import number

__all__ = ["ON_DEMAND", "parse_devices", "parse_recent_pressure"]


# 8:0 1048576
def _throttle(name: str, file: str) -> ControlFile:
    """Describe a blkio.throttle.*_device file: a device and its limit a second on each line."""

    def parse(data: bytes) -> Values:
        return {f"{device} {name}": number(file, value) for device, value in by_device(file, data)}

    return ControlFile(file, parse)


def by_device(what: str, data: bytes) -> list[tuple[str, bytes]]:
    """Split a file with a device and something about it on each line: ("8:0", "1048576")."""
    found = []
    for line in data.splitlines():
        device, _, value = line.partition(b" ")
        major, colon, minor = device.partition(b":")
        if not (colon and major.isdigit() and minor.isdigit() and value):
            raise ParseError(what, line)
        found.append((device.decode("ascii"), value))
    return found


# c 1:3 rwm
# a *:* rwm
def parse_devices(data: bytes) -> tuple[str, ...]:
    """Parse devices.list: what may be done (r, w, m: mknod) with which devices, a rule a line."""
    rules = []
    for line in data.splitlines():
        match = re.fullmatch(DEVICE_RULE, line)
        if match is None:
            raise ParseError("devices.list", line)
        rules.append(match[0].decode("ascii"))
    return tuple(rules)


DEVICE_RULE = rb"[abc] (?:\d+|\*):(?:\d+|\*) [rwm]+"  # compiled for who asks


# 8:16 rbps=2097152 wbps=max riops=max wiops=120
def parse_io_max(data: bytes) -> Values:
    """Parse io.max: limits a second, by device; "max" for none."""
    names = {
        b"rbps": "read_bytes_per_second",
        b"wbps": "write_bytes_per_second",
        b"riops": "reads_per_second",
        b"wiops": "writes_per_second",
    }
    found = {}
    for device, pairs in by_device("io.max", data):
        for pair in pairs.split():
            key, equals, value = pair.partition(b"=")
            if not equals:
                raise ParseError("io.max", pair)
            if key in names:
                found[f"{device} {names[key]}"] = limit("io.max", value)
    return found


# some avg10=1.53 avg60=0.87 avg300=0.22 total=58761459
def parse_recent_pressure(data: bytes) -> float:
    """Parse a *.pressure file: the share of the last 10 seconds in which some task waited, 0 to 1."""
    match = re.search(RECENT, data)
    if match is None:
        raise ParseError("pressure", data)
    return float(match[1]) / 100


RECENT = rb"some avg10=(\d{1,3}\.\d{2}) "  # compiled for who asks

# Of x86, of aarch64 with pages of 4 to 64 KiB, of s390x and of POWER.
HUGE_PAGES = ("64KB", "1MB", "2MB", "16MB", "32MB", "512MB", "1GB", "2GB", "16GB")

# By cgroup version, then by resource.
ON_DEMAND: dict[int, dict[str, tuple[ControlFile, ...]]] = {
    1: {
        "memory": (
            bytes_file("limit", "memory.limit_in_bytes"),
            bytes_file("soft", "memory.soft_limit_in_bytes"),
            bytes_file("memory_and_swap", "memory.memsw.limit_in_bytes"),
        ),
        "io": (
            _throttle("read_bytes_per_second", "blkio.throttle.read_bps_device"),
            _throttle("write_bytes_per_second", "blkio.throttle.write_bps_device"),
            _throttle("reads_per_second", "blkio.throttle.read_iops_device"),
            _throttle("writes_per_second", "blkio.throttle.write_iops_device"),
        ),
        "hugetlb": tuple(bytes_file(size, f"hugetlb.{size}.limit_in_bytes") for size in HUGE_PAGES),
    },
    2: {
        "memory": (
            single("limit", "memory.max"),
            single("high", "memory.high"),
            single("low", "memory.low"),
            single("min", "memory.min"),
            single("swap", "memory.swap.max"),
        ),
        "io": (ControlFile("io.max", parse_io_max),),
        "hugetlb": tuple(single(size, f"hugetlb.{size}.max") for size in HUGE_PAGES),
    },
}
