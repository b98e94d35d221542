"""The machine's totals: /proc/{stat,meminfo,loadavg,uptime}, /proc/sys/kernel, /sys/devices/system/cpu.

The only user of psutil, which knows what "available" means where the kernel
does not say it. It is told where the machine's /proc is, so another root works too.
"""

from __future__ import annotations

import math
import time
import warnings

from inspector.errors import ParseError
from inspector.kernel.host import Host
from inspector.kernel.named import NamedTuple
from inspector.kernel.process import CLOCK_TICKS

__all__ = [
    "CpuTotals",
    "System",
    "parse_cpu_list",
    "parse_cpu_totals",
    "parse_floats",
    "parse_meminfo",
    "read_memory",
    "read_online_cpus",
    "read_system",
]

MOST_CPUS = 65536
BUSY = (0, 1, 2, 5, 6)  # user nice system, not idle iowait, irq softirq; "guest" is part of "user"
LOADS = 3
TOTALS = (b"MemTotal:", b"MemAvailable:", b"SwapTotal:", b"SwapFree:")
MOST_DIGITS = 9
LONGEST_PID = 20


class CpuTotals(NamedTuple):
    """CPU time in all CPUs since boot (seconds, neither idle nor stolen), CPUs listed, boot time (Unix) if known.

    `forks` is how many processes and threads were made since boot, if known.
    """

    busy_seconds: float
    cpus: int
    boot_time: float | None
    forks: int | None = None


class System(NamedTuple):
    """The machine: bytes, seconds, `cpus` online. A container sees the same, whatever its limits are.

    `forks` (since boot) and `last_pid` (handed out last) are None where the kernel does not tell: see births.
    """

    hostname: str
    kernel: str
    cpus: int
    memory_bytes: int
    memory_available_bytes: int | None
    swap_bytes: int
    swap_free_bytes: int
    boot_time: float | None
    load: tuple[float, float, float]
    uptime_seconds: float
    cpu_busy_seconds: float
    forks: int | None = None
    last_pid: int | None = None


# 0-3,8
def parse_cpu_list(text: str) -> tuple[int, ...]:
    """Parse a list of CPUs as cpuset(7) writes it, ascending; "" is none. At most 65536 of them, each below that."""
    numbers: set[int] = set()
    for part in text.strip().split(",") if text.strip() else ():
        first, dash, last = part.partition("-")
        ends = (first, last) if dash else (first, first)
        if not all(end.isascii() and end.isdigit() and len(end) <= MOST_DIGITS for end in ends):
            raise ParseError("CPU list", text)
        low, high = map(int, ends)
        if not low <= high < MOST_CPUS:
            raise ParseError("CPU list", text)
        numbers.update(range(low, high + 1))
    return tuple(sorted(numbers))


# MemTotal:       24684084 kB
def parse_meminfo(data: bytes) -> dict[str, int]:
    """Parse /proc/meminfo (proc_meminfo(5)): name to bytes; the few lines without a unit are plain counts."""
    found: dict[str, int] = {}
    for line in data.decode(errors="surrogateescape").splitlines():
        name, colon, value = line.partition(":")
        number, _, unit = value.strip().partition(" ")
        if not colon or unit not in ("kB", ""):
            raise ParseError("/proc/meminfo", line)
        try:
            found[name] = int(number) * (1024 if unit else 1)
        except ValueError as error:
            raise ParseError("/proc/meminfo", line) from error
    return found


# cpu  10132153 290696 3084719 46828483 16683 0 25195 0 175628 0
# cpu0 1393280 32966 572056 13343292 6130 0 17875 0 23933 0
# btime 1700000000
# processes 66255
def parse_cpu_totals(data: bytes) -> CpuTotals:
    """Parse the "cpu", "cpuN", "btime" and "processes" lines of /proc/stat (proc_stat(5))."""
    busy = -1.0
    cpus = 0
    boot_time: float | None = None
    forks: int | None = None
    try:
        for line in data.split(b"\n"):
            name, _, rest = line.partition(b" ")
            if name == b"cpu":
                ticks = [int(field) for field in rest.split()]
                busy = sum(ticks[column] for column in BUSY) / CLOCK_TICKS
            elif name.startswith(b"cpu") and name[3:].isdigit():
                cpus += 1
            elif name == b"btime":
                boot_time = _finite(rest)
            elif name == b"processes":
                forks = int(rest)
    except (ValueError, IndexError, OverflowError) as error:
        raise ParseError("/proc/stat", data) from error
    if busy < 0:
        raise ParseError("/proc/stat", data)
    return CpuTotals(busy, cpus, boot_time, forks)


# 0.08 0.03 0.01 2/207 30705
def parse_floats(what: str, data: bytes, count: int) -> tuple[float, ...]:
    """Parse the first `count` numbers of a line: /proc/loadavg (3) and /proc/uptime (1)."""
    fields = data.split(maxsplit=count)[:count]
    if len(fields) < count:
        raise ParseError(what, data)
    try:
        return tuple(map(_finite, fields))
    except ValueError as error:
        raise ParseError(what, data) from error


def _finite(text: bytes) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def read_online_cpus(host: Host) -> tuple[int, ...] | None:
    """Read which CPUs are online (/sys/devices/system/cpu/online); None where sysfs does not say."""
    try:
        data = host.read("/sys/devices/system/cpu/online")
    except OSError:
        return None
    return parse_cpu_list(data.decode(errors="surrogateescape"))


def read_memory(host: Host) -> tuple[int, int, int, int]:
    """Read memory total and available, swap total and free, in bytes (/proc/meminfo)."""
    lines = host.read("/proc/meminfo").split(b"\n")
    meminfo = parse_meminfo(b"\n".join(line for line in lines if line.startswith(TOTALS)))  # of fifty
    try:
        total, available = meminfo["MemTotal"], meminfo.get("MemAvailable", 0)
        # Since Linux 3.14 it is there; 0 and more than there is have been seen, and procps too does its own sum then.
        if not 0 < available <= total:
            available = _available_by_psutil(host)
        return total, available, meminfo["SwapTotal"], meminfo["SwapFree"]
    except (KeyError, ValueError, IndexError) as error:
        raise ParseError("/proc/meminfo", str(error)) from error


def _available_by_psutil(host: Host) -> int:
    import psutil  # noqa: PLC0415  a slow import

    others = getattr(psutil, "PROCFS_PATH", "/proc")
    psutil.PROCFS_PATH = host.path("/proc")
    try:
        with warnings.catch_warnings():  # about totals we do not ask for, where some lines are missing
            warnings.simplefilter("ignore", RuntimeWarning)
            return psutil.virtual_memory().available
    finally:
        psutil.PROCFS_PATH = others  # it is psutil's for everybody in this process


def read_system(host: Host) -> System:
    """Read the machine's totals; OSError where /proc is not there at all."""
    totals = parse_cpu_totals(host.read("/proc/stat"))
    online = read_online_cpus(host)
    memory, available, swap, swap_free = read_memory(host)
    loads = host.read("/proc/loadavg")  # after /proc/stat: whoever that counts has a PID by now
    one, five, fifteen = parse_floats("/proc/loadavg", loads, LOADS)
    last_pid = loads.rpartition(b" ")[2].strip()
    return System(
        hostname=_line(host.read("/proc/sys/kernel/hostname")),
        kernel=_line(host.read("/proc/sys/kernel/osrelease")),
        cpus=len(online) if online else totals.cpus,
        memory_bytes=memory,
        memory_available_bytes=available,
        swap_bytes=swap,
        swap_free_bytes=swap_free,
        boot_time=totals.boot_time,
        load=(one, five, fifteen),
        uptime_seconds=_uptime(host),
        cpu_busy_seconds=totals.busy_seconds,
        forks=totals.forks,
        last_pid=int(last_pid) if last_pid.isdigit() and len(last_pid) < LONGEST_PID else None,
    )


def _uptime(host: Host) -> float:
    """Return the seconds since boot, of the clock that processes' start times are on.

    Of the machine we run on the clock itself: lxcfs has put the container's age in place of /proc/uptime.
    """
    if host.is_live:
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return parse_floats("/proc/uptime", host.read("/proc/uptime"), 1)[0]


def _line(data: bytes) -> str:
    return data.decode(errors="surrogateescape").rstrip("\n")
