"""The exporter's own CPU time, memory and open files, for prometheus_client's registry.

As its ProcessCollector, which a test holds this against, except that the open
files are not listed: we keep one open for every control file that is read at
every scrape, and listing them would cost as much as reading them.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

__all__ = ["OwnProcess"]

DIRECTORY = "/proc/self"
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
# Fields of /proc/<pid>/stat behind the name (proc_pid_stat(5)).
STARTTIME, VSIZE, RSS = 19, 20, 21


def _boot_time() -> float:
    with open("/proc/stat", "rb") as file:
        return next(float(line.split()[1]) for line in file if line.startswith(b"btime "))


def _open_files() -> int:
    """Count the open files: their directory's size is their number since Linux 6.2, and 0 before."""
    return os.stat(f"{DIRECTORY}/fd").st_size or len(os.listdir(f"{DIRECTORY}/fd")) - 1  # less the one that lists


class OwnProcess(Collector):
    """Tells of this process itself, at each collection anew."""

    def __init__(self) -> None:
        self._boot_time = _boot_time()

    def collect(self) -> Iterator[Metric]:
        """Yield process_* as every client library has them."""
        with open(f"{DIRECTORY}/stat", "rb") as file:
            fields = file.read().rpartition(b") ")[2].split()
        times = os.times()
        started = self._boot_time + int(fields[STARTTIME]) / TICKS
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        for name, text, value in (
            ("process_virtual_memory_bytes", "Virtual memory size in bytes.", int(fields[VSIZE])),
            ("process_resident_memory_bytes", "Resident memory size in bytes.", int(fields[RSS]) * PAGE),
            ("process_start_time_seconds", "Start time of the process since unix epoch in seconds.", started),
            ("process_open_fds", "Number of open file descriptors.", _open_files()),
            ("process_max_fds", "Maximum number of open file descriptors.", soft),
        ):
            yield GaugeMetricFamily(name, text, value)
        cpu = times.user + times.system
        yield CounterMetricFamily("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", cpu)
