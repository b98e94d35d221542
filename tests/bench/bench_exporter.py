"""What a scrape costs, beside what the kernel, prometheus_client and other exporters need in the same run.

    python -m pytest -s tests/bench/bench_exporter.py

Fleets of 200 and 1,000 containers, made up on v2 in memory and (as root)
real on v1. The exporter runs as a person starts it, and is asked over HTTP,
uncompressed, on one connection; each scrape is fresh. Beside it stand its
*floor*, the very files that a scrape reads by the same system calls with
nothing parsed, and prometheus_client's own writing of the same samples.
Nothing is asserted of times, which are the machine's: the ratios count.
"""

from __future__ import annotations

import http.client
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Metric, generate_latest, parser
from prometheus_client.registry import Collector

from exporter.collectors import Selection
from exporter.scrape import Scraper
from exporter.text import Family, labels, write
from inspector.kernel.host import Host
from tests.bench import fleet
from tests.bench.bench_inspector import best, drain, kept, opened, peek
from tests.testbed.cgroups import hierarchy
from tests.testbed.commands import EXPORTER, REPOSITORY

FLEETS = (200, 1000)
PAIRS = 20
IDLE_SECONDS = float(os.environ.get("CGSCOPE_IDLE", "10"))
IN_MEMORY = "/dev/shm"  # noqa: S108  a tmpfs, where there is one
DISKSTATS = Path("/proc/diskstats")
TICKS = os.sysconf("SC_CLK_TCK")
OTHERS = (
    ("prometheus-node-exporter", "--web.listen-address=127.0.0.1:{port}", "--log.level=error"),
    ("prometheus-process-exporter", "-web.listen-address=127.0.0.1:{port}", "-procnames=.*"),
)  # fmt: skip


class Ready(Collector):
    """The samples of a page as prometheus_client's objects, made beforehand."""

    def __init__(self, page: str) -> None:
        self.metrics = list(parser.text_string_to_metric_families(page))

    def collect(self) -> Iterator[Metric]:
        """Yield what was made."""
        yield from self.metrics


def cpu_of(pid: int) -> float:
    """Return the CPU time of a process so far, in milliseconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / TICKS


def resident(pid: int) -> float:
    """Return the resident memory of a process, in MiB."""
    match = re.search(r"^VmRSS:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(match[1]) / 1024 if match else 0


@contextmanager
def served(command: list[str], port: int) -> Iterator[int]:
    """Run an exporter that listens on a port of loopback; gives its PID."""
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=REPOSITORY) as process:
        try:
            for _ in range(200):
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except OSError:
                    time.sleep(0.05)
            yield process.pid
        finally:
            process.terminate()
            process.wait(30)


def free_port() -> int:
    """Return a port of loopback that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


def asked(port: int, address: str = "/metrics") -> tuple[Callable[[], bytes], Callable[[], None]]:
    """Return a function that scrapes over one connection, and one that closes it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def scrape() -> bytes:
        connection.request("GET", address)
        return connection.getresponse().read()

    return scrape, connection.close


def measure(root: str) -> dict[str, float]:
    """Return what a scrape of the machine below `root` costs: milliseconds and MiB."""
    port = free_port()
    command = [*EXPORTER, f"--web.listen-address=127.0.0.1:{port}", f"--path.rootfs={root}"]
    with served(command, port) as pid:
        scrape, close = asked(port)
        other, close_other = asked(port)
        scrape()
        scrape()
        page = scrape()
        took = best(scrape)
        before = cpu_of(pid)
        for _ in range(PAIRS):
            scrape()
        one = cpu_of(pid) - before
        with ThreadPoolExecutor(2) as pool:
            before = cpu_of(pid)
            for _ in range(PAIRS):
                list(pool.map(lambda ask: ask(), (scrape, other)))
            two = cpu_of(pid) - before
        memory, before = resident(pid), cpu_of(pid)
        time.sleep(IDLE_SECONDS)
        idle = cpu_of(pid) - before
        close()
        close_other()
    registry = CollectorRegistry()
    registry.register(Ready(page.decode()))
    return {
        "series": sum(not line.startswith(b"#") for line in page.splitlines()), "scrape": took, "one": one / PAIRS,
        "two": two / PAIRS, "memory": memory, "idle": idle, "client": best(lambda: generate_latest(registry), 5),
        **floors(root),
    }  # fmt: skip


def floors(root: str) -> dict[str, float]:
    """Return the time to read what a scrape reads, and of the parts of one within a process, in milliseconds."""
    with Host(root) as host:
        selection = Selection()
        observer = selection.observer(host)
        scraper = Scraper(host, observer.tick, selection, own=False)
        scraper.page()
        scraper.page()
        descriptors = [descriptor for descriptor in kept(root) if peek(descriptor)]
        floor = best(lambda: [peek(descriptor) for descriptor in descriptors])
        tick = best(observer.tick)
        page = best(scraper.page)
    again = opened(root, 3)
    return {"floor": floor + best(lambda: [drain(path) for path in again]), "tick": tick, "page": page}


def report(title: str, got: dict[str, float]) -> None:
    """Print one machine's figures."""
    scrape, client, floor = got["scrape"], got["client"], got["floor"]
    print(f"\n{title}: {got['series']:.0f} series, {got['memory']:.0f} MiB, {got['idle']:.0f} ms of CPU in "
          f"{IDLE_SECONDS:g} s of idleness")  # fmt: skip
    print(f"  {'a scrape over HTTP':24} {scrape:8.2f} ms: {scrape / client:5.2f} of prometheus_client's writing, "
          f"{scrape / floor:5.2f} times the floor")  # fmt: skip
    print(f"  {'  of which the look':24} {got['tick']:8.2f} ms, with the text {got['page']:.2f} ms")
    print(f"  {'floor':24} {floor:8.2f} ms")
    print(f"  {'prometheus_client':24} {client:8.2f} ms")
    print(f"  {'two scrapers at once':24} {got['two']:8.2f} ms of CPU: {got['two'] / got['one']:5.2f} times one")


@contextmanager
def made_up(count: int) -> Iterator[str]:
    """Make a v2 machine of containers in memory."""
    with tempfile.TemporaryDirectory(dir=IN_MEMORY if os.path.isdir(IN_MEMORY) else None) as root:
        fleet.fake(Path(root), count, 5)
        Path(root, "proc/diskstats").write_bytes(DISKSTATS.read_bytes())
        yield root


def test_scrapes_of_made_up_machines() -> None:
    """Scrapes of v2 machines in memory, beside floor and prometheus_client; every container is there."""
    for count in FLEETS:
        with made_up(count) as root:
            got = measure(root)
        report(f"v2, made up, {count} containers", got)
        assert got["series"] >= 33 * count


@pytest.mark.root
def test_scrapes_of_real_groups() -> None:
    """Scrapes of real groups on v1, beside floor, prometheus_client and other exporters."""
    if hierarchy("cpu")[1] != 1:
        pytest.skip("cgroup v1 is not mounted here")
    for count in FLEETS:
        with fleet.real(count, 1):
            got = measure("/")
            report(f"v1, real, {count} containers", got)
            beside(got["one"])
        assert got["series"] >= 33 * count


def beside(ours: float) -> None:
    """Print what a scrape of other exporters costs of CPU time."""
    print(f"  {'a scrape':24} {ours:8.2f} ms of CPU")
    for name, *options in OTHERS:
        if shutil.which(name) is None:
            print(f"  {name:24} not installed")
            continue
        port = free_port()
        with served([name, *(option.format(port=port) for option in options)], port) as pid:
            scrape, close = asked(port)
            lines = scrape().splitlines()
            before = cpu_of(pid)
            for _ in range(5):
                scrape()
            cost = (cpu_of(pid) - before) / 5
            close()
        series = sum(not line.startswith(b"#") for line in lines)
        print(f"  {name:24} {cost:8.2f} ms of CPU for {series} series: {cost / ours:5.2f} of ours")


def test_text_alone() -> None:
    """Writing ready samples to text, beside prometheus_client's writing of the same ones."""
    families = [
        Family(f"container_example_{number}_total", "counter", "An example.", [
            (labels(id=f"/docker/{one:064x}", name=f"web-{one}", image="nginx:1.27"), one * 1000 + number)
            for one in range(200)
        ])
        for number in range(35)
    ]  # fmt: skip
    text = write(families)
    registry = CollectorRegistry()
    registry.register(Ready(text))
    assert generate_latest(registry).decode().count("\n") == text.count("\n")
    ours, theirs = best(lambda: write(families)), best(lambda: generate_latest(registry), 5)
    print(f"\n7,000 ready samples to text: {ours:.2f} ms, prometheus_client {theirs:.2f} ms: {theirs / ours:.1f} times")

