"""The options of limits, Docker's: those that `run` and `create` take, and those of them that `update` can change."""

from __future__ import annotations

import os
import stat

from sandbox.errors import BadValue, SandboxError
from sandbox.limits import BLKIO_WEIGHT_RANGE, LARGEST, UNLIMITED, WEIGHT, Throttle, parse_size, values
from sandbox.parsing import Arguments, Parser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["add_changeable", "add_fixed", "device_weight", "limit_values"]

THROTTLES = {
    "read_bps": "bytes a second read from a device, such as /dev/sda:1mb",
    "write_bps": "bytes a second written to a device",
    "read_iops": "reads a second from a device, such as /dev/sda:100",
    "write_iops": "writes a second to a device",
}


def add_changeable(parser: Parser) -> None:
    """Add the limits that a running container can be given."""
    add = parser.add_argument
    add("--cpus", metavar="N", help="as many CPUs, such as 0.5")
    add("--cpu-quota", type=int, default=0, metavar="US", help="microseconds of CPU in each period; -1: no limit")
    add("--cpu-period", type=int, default=0, metavar="US", help="the period (default 100000)")
    add("--cpu-burst", type=int, default=0, metavar="US", help="how much unused quota may be saved up for later")
    add("-c", "--cpu-shares", type=int, default=0, metavar="N", help="share of the CPUs when they are scarce (1024)")
    add("--cpuset-cpus", default="", metavar="LIST", help="only these CPUs, such as 0-3 or 0,1")
    add("--cpuset-mems", default="", metavar="LIST", help="only memory of these NUMA nodes")
    add("-m", "--memory", metavar="SIZE", help="bytes, or with b, k, m, g; 6m at least")
    add("--memory-swap", metavar="SIZE", help="memory and swap together (default twice the memory); -1")
    add("--memory-reservation", metavar="SIZE", help="what it keeps when the machine is short of memory")
    add("--pids-limit", type=int, metavar="N", help="how many processes and threads (default 4096); -1: no limit")
    add("--blkio-weight", type=int, default=0, metavar="N", help="share of the disks when they are busy, 10 to 1000")


def add_fixed(parser: Parser) -> None:
    """Add the limits that are set when a container is made."""
    add = parser.add_argument
    add("--memory-swappiness", type=int, default=UNLIMITED, metavar="N",
        help="how readily it is swapped: 0 to 100 (v1)")  # fmt: skip
    add("--oom-kill-disable", action="store_true", help="wait at the memory limit instead of being killed (v1)")
    for kind, text in THROTTLES.items():
        add(f"--device-{kind.replace('_', '-')}", action="append", default=[], metavar="PATH:RATE", help=text)
    add("--huge-pages", action="append", default=[], metavar="SIZE=BYTES", help="huge pages, such as 2MB=64m")


def limit_values(arguments: Arguments) -> dict[str, Any]:
    """Return the limits that were given, as fields of Limits; SandboxError for one that makes no sense."""
    given = vars(arguments)
    return values(
        host_cpus=os.cpu_count() or 1,
        cpus=arguments.cpus,
        quota=arguments.cpu_quota,
        period=arguments.cpu_period,
        burst=arguments.cpu_burst,
        shares=arguments.cpu_shares,
        cpuset_cpus=arguments.cpuset_cpus,
        cpuset_mems=arguments.cpuset_mems,
        memory=arguments.memory,
        memory_swap=arguments.memory_swap,
        memory_reservation=arguments.memory_reservation,
        memory_swappiness=given.get("memory_swappiness", UNLIMITED),
        oom_kill_disable=given.get("oom_kill_disable", False),
        pids=arguments.pids_limit,
        blkio_weight=arguments.blkio_weight,
        throttles=tuple(_throttle(kind, text) for kind in THROTTLES for text in given.get(f"device_{kind}", ())),
        huge_pages=given.get("huge_pages", ()),
    )


def _throttle(kind: str, text: str) -> Throttle:
    """Parse PATH:RATE; the device is looked up now, as its name means nothing to the kernel."""
    option = f"--device-{kind.replace('_', '-')}"
    path, colon, rate = text.rpartition(":")
    if not colon or not path.startswith("/dev/"):
        raise BadValue(f"{option} {text!r}: the form is /dev/NAME:RATE")
    if kind.endswith("iops") and not (rate.isascii() and rate.isdecimal() and len(rate) <= len(str(LARGEST))):
        raise BadValue(f"{option} {text!r}: the rate is a whole number of operations a second")
    number = int(rate) if kind.endswith("iops") else parse_size(rate, f"{option} {path}")
    if not 0 < number <= LARGEST:
        raise BadValue(f"{option} {text!r}: the rate must be more than 0")
    return Throttle(kind, path, _disk(option, path), number)


def device_weight(text: str) -> Throttle:
    """Parse PATH:WEIGHT of --blkio-weight-device."""
    option, (low, high) = "--blkio-weight-device", BLKIO_WEIGHT_RANGE
    path, colon, weight = text.rpartition(":")
    if not colon or not path.startswith("/dev/"):
        raise BadValue(f"{option} {text!r}: the form is /dev/NAME:WEIGHT")
    if not (weight.isascii() and weight.isdecimal() and len(weight) <= len(str(high)) and low <= int(weight) <= high):
        raise BadValue(f"{option} {text!r}: the weight is from {low} to {high}")
    return Throttle(WEIGHT, path, _disk(option, path), int(weight))


def _disk(option: str, path: str) -> str:
    """Return the numbers of a block device, MAJOR:MINOR."""
    try:
        found = os.stat(path)
    except OSError as error:
        raise SandboxError(f"{option} {path}: {error.strerror}") from None
    if not stat.S_ISBLK(found.st_mode):
        raise SandboxError(f"{option} {path}: not a block device")
    return f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
