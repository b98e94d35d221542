"""What a container may use: limits as values, checked as Docker checks them; nothing here touches the kernel.

Ranges and messages are Docker's (moby daemon/daemon_unix.go): 0 means "not
given" for a quota, a period, a size and a number of CPUs, -1 means "no limit"
for a quota and for memory with swap, as 0 or less does for a number of processes.
What each limit is called in a version's files stands in limit_files.py.
"""

from __future__ import annotations

from collections.abc import Iterable

from sandbox.errors import BadValue, SandboxError
from sandbox.quick import fullmatch
from sandbox.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "BLKIO_WEIGHT_RANGE",
    "DEFAULT_PERIOD_US",
    "DEFAULT_PIDS",
    "FIELDS",
    "LARGEST",
    "UNLIMITED",
    "WEIGHT",
    "Limits",
    "Throttle",
    "host_config",
    "limits",
    "parse_size",
    "values",
]

DEFAULT_PERIOD_US = 100_000
DEFAULT_PIDS = 4096
UNLIMITED = -1
PERIOD_RANGE_US = (1_000, 1_000_000)
SHARES_RANGE = (2, 262_144)
BLKIO_WEIGHT_RANGE = (10, 1_000)
MINIMUM_QUOTA_US = 1_000
MINIMUM_MEMORY = 6 * 1024 * 1024
LARGEST = 2**63 - 1
# Not compiled before they are used, as in network/settings.py.
SIZE = r"(?i)(\d+(?:\.\d+)?) ?([bkmgtp])?(?:i?b)?"
CPU_LIST = r"\d{1,5}(-\d{1,5})?(,\d{1,5}(-\d{1,5})?)*"
WEIGHT = "weight"
THROTTLE_KEYS = {
    "read_bps": "BlkioDeviceReadBps",
    "write_bps": "BlkioDeviceWriteBps",
    "read_iops": "BlkioDeviceReadIOps",
    "write_iops": "BlkioDeviceWriteIOps",
}
HUGE_PAGE = r"[1-9]\d{0,4}[KMGT]B"


class Throttle(Value):
    """A bound for one device: `kind` is read_bps, write_bps, read_iops or write_iops; bytes or operations a second.

    Of the kind WEIGHT it is a share, as `blkio_weight` is of all of them.
    """

    kind: str
    path: str
    device: str  # major:minor
    rate: int


class Limits(Value):
    """Upper bounds of a container; None is "not told", UNLIMITED lifts one. Microseconds, bytes, processes.

    `memory_swap_bytes` is memory and swap together, as Docker counts it; None is twice the memory.
    `huge_pages` maps a page's size, such as 2MB, to bytes.
    """

    cpu_quota_us: int | None = None
    cpu_period_us: int | None = None
    memory_bytes: int | None = None
    pids: int | None = None
    cpu_burst_us: int | None = None
    cpu_shares: int | None = None
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    memory_swap_bytes: int | None = None
    memory_reservation_bytes: int | None = None
    memory_swappiness: int | None = None
    oom_kill_disable: bool = False
    blkio_weight: int | None = None
    throttles: tuple[Throttle, ...] = ()
    huge_pages: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        """Refuse limits that contradict each other."""
        memory, swap = self.memory_bytes or 0, self.memory_swap_bytes or 0
        if swap > 0 and not memory:
            raise SandboxError("You should always set the Memory limit when using Memoryswap limit, see usage")
        if 0 < swap < memory:
            raise SandboxError("Minimum memoryswap limit should be larger than memory limit, see usage")
        if memory and (self.memory_reservation_bytes or 0) > memory:
            raise SandboxError("Minimum memory limit can not be less than memory reservation limit, see usage")
        if (self.cpu_burst_us or 0) > max(self.cpu_quota_us or 0, 0):
            raise SandboxError("--cpu-burst needs a quota, and cannot be more than that")


# Which of them each controller, by its name on v2, keeps.
FIELDS = {
    "cpu": ("cpu_quota_us", "cpu_period_us", "cpu_burst_us", "cpu_shares"),
    "cpuset": ("cpuset_cpus", "cpuset_mems"),
    "memory": (
        "memory_bytes",
        "memory_swap_bytes",
        "memory_reservation_bytes",
        "memory_swappiness",
        "oom_kill_disable",
    ),
    "pids": ("pids",),
    "io": ("blkio_weight", "throttles"),
    "hugetlb": ("huge_pages",),
}


def host_config(limits: Limits) -> dict[str, Any]:
    """Return the limits as Docker's `inspect` has them; 0 is "not limited"."""
    quota, period = limits.cpu_quota_us or 0, limits.cpu_period_us or 0
    swap = limits.memory_swap_bytes or 2 * (limits.memory_bytes or 0)
    devices = {kind: [one for one in limits.throttles if one.kind == kind] for kind in THROTTLE_KEYS}
    return {
        "CpuShares": limits.cpu_shares or 0,
        "CpuQuota": quota,
        "CpuPeriod": period,
        "CpuBurst": limits.cpu_burst_us or 0,
        "CpusetCpus": limits.cpuset_cpus,
        "CpusetMems": limits.cpuset_mems,
        "Memory": limits.memory_bytes or 0,
        "MemorySwap": swap,
        "MemoryReservation": limits.memory_reservation_bytes or 0,
        "MemorySwappiness": limits.memory_swappiness,
        "OomKillDisable": limits.oom_kill_disable,
        "PidsLimit": limits.pids,
        "BlkioWeight": limits.blkio_weight or 0,
        "BlkioWeightDevice": [
            {"Path": one.path, "Weight": one.rate} for one in limits.throttles if one.kind == WEIGHT
        ],
        **{
            THROTTLE_KEYS[kind]: [{"Path": one.path, "Rate": one.rate} for one in found]
            for kind, found in devices.items()
        },
        "HugePages": dict(limits.huge_pages),
    }


def parse_size(text: str, option: str) -> int:
    """Return the bytes of `64m`, `1.5g`, `6291456`; units are powers of 1024, in any case, with or without b."""
    match = fullmatch(SIZE, text)
    if not match or not text.isascii():
        raise BadValue(f"{option}: invalid size: {text!r}: bytes, or with b, k, m, g, such as 64m")
    from decimal import Decimal  # noqa: PLC0415  most starts have no use for it

    scale = 1024 ** ("bkmgtp".index(match[2].lower()) if match[2] else 0)
    size = int(Decimal(match[1]) * scale)
    if size > LARGEST:
        raise BadValue(f"{option}: invalid size: {text!r} is too large")
    return size


def limits(*, host_cpus: int, **given: Any) -> Limits:  # noqa: ANN401  those of `values`
    """Check and join the limit options, whose values `values` explains."""
    return Limits(**values(host_cpus=host_cpus, **given))


def values(  # noqa: PLR0913  one for each option of `run`
    *,
    host_cpus: int,
    cpus: str | None = None,
    quota: int = 0,
    period: int = 0,
    burst: int = 0,
    shares: int = 0,
    cpuset_cpus: str = "",
    cpuset_mems: str = "",
    memory: str | None = None,
    memory_swap: str | None = None,
    memory_reservation: str | None = None,
    memory_swappiness: int = UNLIMITED,
    oom_kill_disable: bool = False,
    pids: int | None = None,
    blkio_weight: int = 0,
    throttles: tuple[Throttle, ...] = (),
    huge_pages: Iterable[str] = (),
) -> dict[str, Any]:
    """Check the limit options as Docker does, and return those that were given, as fields of Limits.

    `host_cpus` bounds `--cpus`; 0 or less processes lift that limit.
    """
    quota, period = _cpu(cpus, quota, period, host_cpus)
    _check(burst, shares, blkio_weight, {"cpus": cpuset_cpus, "mems": cpuset_mems})
    of_memory = _memory_fields(memory, memory_swap, memory_reservation, memory_swappiness, disable=oom_kill_disable)
    found = {
        "cpu_quota_us": quota,
        "cpu_period_us": period,
        "cpu_burst_us": burst,
        "cpu_shares": shares,
        "cpuset_cpus": cpuset_cpus,
        "cpuset_mems": cpuset_mems,
        "pids": pids if pids is None or pids > 0 else UNLIMITED,
        "blkio_weight": blkio_weight,
        "throttles": throttles,
        "huge_pages": tuple(map(_huge_pages, huge_pages)),
    }
    return {name: value for name, value in found.items() if value} | of_memory


def _check(burst: int, shares: int, blkio_weight: int, cpusets: dict[str, str]) -> None:
    """Refuse a number that is out of its range, and a list of CPUs or nodes that is none."""
    if burst < 0:
        raise SandboxError(f"--cpu-burst {burst}: not less than 0")
    for option, text in cpusets.items():
        if text and not fullmatch(CPU_LIST, text):
            raise SandboxError(f"invalid value {text!r} for --cpuset-{option}: the form is 0-3 or 0,1")
    _check_range("--cpu-shares", shares, SHARES_RANGE)
    _check_range("--blkio-weight", blkio_weight, BLKIO_WEIGHT_RANGE)


def _cpu(cpus: str | None, quota: int, period: int, host_cpus: int) -> tuple[int, int]:
    """Return the quota and the period to set."""
    if cpus is not None:
        for other, value in (("Period", period), ("Quota", quota)):
            if value:
                raise SandboxError(f"conflicting options: Nano CPUs and CPU {other} cannot both be set")
        return _quota_of_cpus(cpus, host_cpus)
    low, high = PERIOD_RANGE_US
    if period and not low <= period <= high:
        raise SandboxError("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
    if quota < -1 or 0 < quota < MINIMUM_QUOTA_US:
        raise SandboxError("CPU cfs quota can not be less than 1ms (i.e. 1000); -1 is no limit")
    if quota > LARGEST // 1000:  # the kernel counts in nanoseconds
        raise SandboxError(f"CPU cfs quota {quota} is too large")
    return quota, period


def _quota_of_cpus(text: str, host_cpus: int) -> tuple[int, int]:
    """Translate `--cpus 0.5` to a quota of a 100 ms period; `--cpus 0` is no limit."""
    from decimal import Decimal, InvalidOperation  # noqa: PLC0415

    try:
        cpus = Decimal(text)
    except InvalidOperation:
        raise BadValue(f"invalid number of CPUs: {text!r}") from None
    if not cpus.is_finite() or cpus < 0 or 0 < cpus < Decimal("0.01") or cpus > host_cpus:
        raise SandboxError(
            f"range of CPUs is from 0.01 to {host_cpus}.00, as there are only {host_cpus} CPUs available"
        )
    return int(cpus * DEFAULT_PERIOD_US), DEFAULT_PERIOD_US if cpus else 0


def _size(text: str | None, option: str) -> int | None:
    """Return the bytes of an option; None where nothing is limited. One that is empty is wrong: a script's slip."""
    return None if text is None else parse_size(text, option) or None


def _memory(text: str | None, option: str, what: str) -> int | None:
    size = _size(text, option)
    if size and size < MINIMUM_MEMORY:
        raise SandboxError(f"Minimum memory {what} allowed is 6MB")
    return size


def _memory_fields(
    memory: str | None, swap: str | None, reservation: str | None, swappiness: int, *, disable: bool
) -> dict[str, int]:
    """Check what is said of memory; `disable`: no process is killed when there is no more of it."""
    if not UNLIMITED <= swappiness <= 100:  # noqa: PLR2004  per cent
        raise BadValue(f"invalid value: {swappiness}, valid memory swappiness range is 0-100")
    found = {
        "memory_bytes": _memory(memory, "--memory", "limit"),
        "memory_swap_bytes": UNLIMITED if swap == "-1" else _size(swap, "--memory-swap"),
        "memory_reservation_bytes": _memory(reservation, "--memory-reservation", "reservation"),
        "memory_swappiness": None if swappiness == UNLIMITED else swappiness,  # 0 is one
        "oom_kill_disable": disable or None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _check_range(option: str, value: int, allowed: tuple[int, int]) -> None:
    low, high = allowed
    if value and not low <= value <= high:
        raise SandboxError(f"{option} {value}: the range is from {low} to {high}")


def _huge_pages(text: str) -> tuple[str, int]:
    size, equals, amount = text.partition("=")
    if not equals or not fullmatch(HUGE_PAGE, size):
        raise BadValue(f"invalid limit of huge pages {text!r}: the form is 2MB=64m")
    return size, parse_size(amount, "--huge-pages")
