"""What a scrape costs, beside what the kernel, prometheus_client and other exporters need in the same run.

    python -m pytest -s tests/bench/bench_exporter.py

Fleets of 200 and 1,000 containers, made up on v2 in memory and (as root)
real on v1. The exporter runs as a person starts it, and is asked over HTTP,
uncompressed, on one connection; each scrape is fresh. They follow each other at
once; of those a quarter of a minute apart, as Prometheus' usually are, each looks
anew at a quarter of what is remembered for a minute. Beside it stand its
*floor*, the very files that a scrape reads by the same system calls with
nothing parsed, prometheus_client's own writing of the same samples, and the
sending of such a page where it is ready.

Look and text are measured in this process, with the caches of the processor
full of what they need; over HTTP another process does it, when it has slept and
others have used them. So beside a scrape stands another process too that, when it
is asked, reads the floor's files and sends a page that is ready: what is beyond
that is the exporter's. On the real groups stand Debian's
exporters of machines and of processes too; what these tell of a machine has no
containers in it.
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
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import pytest
from prometheus_client import CollectorRegistry, Metric, generate_latest, parser
from prometheus_client.registry import Collector

from exporter.collectors import Selection
from exporter.scrape import Scraper
from exporter.text import Family, labels, write
from inspector.kernel.host import Host
from tests.bench import fleet
from tests.bench.bench_inspector import AS_INSTALLED, ROUNDS, best, clock, kept, opened, peek
from tests.bench.floor import Floor, transfer
from tests.testbed.cgroups import hierarchy
from tests.testbed.commands import EXPORTER, REPOSITORY

FLEETS = (200, 1000)
PAIRS = 20
MOST_KINDS = 16
A_MINUTE = 4  # scrapes
IDLE_SECONDS = float(os.environ.get("CGSCOPE_IDLE", "60"))
IN_MEMORY = "/dev/shm"  # noqa: S108  a tmpfs, where there is one
DISKSTATS = Path("/proc/diskstats")
OTHERS = (
    ("prometheus-node-exporter", "--web.listen-address=127.0.0.1:{port}", "--log.level=error"),
    ("prometheus-process-exporter", "-web.listen-address=127.0.0.1:{port}", "-config.path={every}"),
)  # fmt: skip
EVERY = """process_names: [{name: "{{.Comm}}", cmdline: [".+"]}]"""


class Ready(Collector):
    """The samples of a page as prometheus_client's objects, made beforehand."""

    def __init__(self, page: str) -> None:
        self.metrics = list(parser.text_string_to_metric_families(page))

    def collect(self) -> Iterator[Metric]:
        """Yield what was made."""
        yield from self.metrics


def cpu_of(pid: int) -> float:
    """Return the CPU time of a process so far, in milliseconds, finer than /proc tells (clock_getcpuclockid(3))."""
    return time.clock_gettime(~pid << 3 | 2) * 1000


def resident(pid: int) -> float:
    """Return the resident memory of a process, in MiB."""
    match = re.search(r"^VmRSS:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(match[1]) / 1024 if match else 0


@contextmanager
def served(command: list[str], port: int) -> Iterator[int]:
    """Run an exporter that listens on a port of loopback; gives its PID."""
    with subprocess.Popen(
        command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=REPOSITORY, env=AS_INSTALLED
    ) as process:
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


def series_of(page: bytes) -> int:
    """Count the samples of a page."""
    return sum(not line.startswith(b"#") for line in page.splitlines())


def measure(root: str) -> dict[str, float]:
    """Return what a scrape of the machine below `root` costs: milliseconds and MiB, and ratios to what is beside it.

    All are measured in rounds, one after the other in each, and a ratio is the rounds' median: should the machine
    become slower or faster meanwhile, both sides of it do.
    """
    port = free_port()
    command = [*EXPORTER, f"--web.listen-address=127.0.0.1:{port}", f"--path.rootfs={root}"]
    with served(command, port):
        pass  # its modules are compiled now: that takes 5 MiB, and an installed one has done so
    with ExitStack() as stack:
        pid = stack.enter_context(served(command, port))
        scrape, other = (closing(stack, port) for _ in range(2))
        fleet.join(root, pid)
        page = [scrape() for _ in range(3)][-1]
        two = at_once(pid, scrape, other)
        memory = resident(pid)
        parts = within(stack.enter_context(Host(root)), root, stack.enter_context(clock()))
        registry = CollectorRegistry()
        registry.register(Ready(page.decode()))
        bare = closing(stack, stack.enter_context(transfer(page)))
        floor = closing(stack, stack.enter_context(transfer(page, parts["floor"])))
        beside = {**parts, "client": lambda: generate_latest(registry), "transfer": bare, "served": floor}
        rounds: list[dict[str, float]] = []
        for _ in range(ROUNDS):
            fleet.join(root, pid)
            took = {"scrape": best(scrape, 1)}
            fleet.join(root)
            rounds.append(took | {name: best(work, 1) for name, work in beside.items()})
    least = {name: min(took[name] for took in rounds) for name in rounds[0]}
    ratios = {
        f"{name}/{other}": median(took[name] / took[other] for took in rounds)
        for name, other in (("scrape", "client"), ("scrape", "floor"), ("scrape", "served"), ("floor", "client"),
                            ("minute", "page"))
    }
    return {"series": series_of(page), "memory": memory, **two, **least, **ratios}


def closing(stack: ExitStack, port: int) -> Callable[[], bytes]:
    """Return a function that scrapes over one connection, which is closed with `stack`."""
    scrape, close = asked(port)
    stack.callback(close)
    return scrape


def at_once(pid: int, scrape: Callable[[], bytes], other: Callable[[], bytes]) -> dict[str, float]:
    """Return the CPU time of a scrape, that of two at once (milliseconds), and the median of their ratios."""
    costs: list[tuple[float, float]] = []
    with ThreadPoolExecutor(2) as pool:
        for _ in range(PAIRS):
            start = cpu_of(pid)
            scrape()
            middle = cpu_of(pid)
            list(pool.map(lambda ask: ask(), (scrape, other)))
            costs.append((middle - start, cpu_of(pid) - middle))
    one, two = (median(column) for column in zip(*costs, strict=True))
    return {"one": one, "two": two, "two/one": median(both / alone for alone, both in costs)}


def within(host: Host, root: str, advance: Callable[[float], None]) -> dict[str, Callable[[], object]]:
    """Return the parts of a scrape within a process, a minute of them, and reading what one reads."""
    selection = Selection()
    paths = opened(root, 3, selection.observer)  # in a child: before as many files are kept open here as there
    fleet.join(root)
    observer = selection.observer(host)
    scraper = Scraper(host, observer.tick, selection, own=False)
    scraper.page()
    scraper.page()
    floor = Floor([descriptor for descriptor in kept(root) if peek(descriptor)], paths)
    kinds = (f"{kind} {count} x {each:.1f}" for kind, count, each in floor.kinds()[:MOST_KINDS])
    print(f"\nfiles, and microseconds to read one: {', '.join(kinds)}")

    def minute() -> None:
        for _ in range(A_MINUTE):
            advance(60 / A_MINUTE)
            scraper.page()

    return {"look": observer.tick, "page": scraper.page, "minute": minute, "floor": floor.read}


def report(title: str, got: dict[str, float]) -> None:
    """Print one machine's figures."""
    print(f"{title}: {got['series']:.0f} series, {got['memory']:.0f} MiB")
    print(f"  {'a scrape over HTTP':24} {got['scrape']:8.2f} ms: {got['scrape/client']:5.2f} of prometheus_client's "
          f"writing, {got['scrape/floor']:5.2f} times the floor")  # fmt: skip
    print(f"  {'  of which the look':24} {got['look']:8.2f} ms, with the text {got['page']:.2f} ms")
    print(f"  {'  with the text every 15 s':24} {got['minute'] / A_MINUTE:8.2f} ms: "
          f"{got['minute/page'] / A_MINUTE:5.2f} times that at once")  # fmt: skip
    print(f"  {'  sending such a page':24} {got['transfer']:8.2f} ms")
    print(f"  {'floor':24} {got['floor']:8.2f} ms: {got['floor/client']:5.2f} of prometheus_client's writing")
    print(f"  {'  read and sent by another':24} {got['served']:8.2f} ms: {got['scrape/served']:5.2f} times that")
    print(f"  {'prometheus_client':24} {got['client']:8.2f} ms")
    print(f"  {'two scrapers at once':24} {got['two']:8.2f} ms of CPU: {got['two/one']:5.2f} times one")


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
            beside(got)
        assert got["series"] >= 33 * count


def beside(ours: dict[str, float]) -> None:
    """Print what a scrape of other exporters costs, of time and of CPU time."""
    print(f"  {'a scrape':28} {ours['scrape']:8.2f} ms, {ours['one']:8.2f} ms of CPU for {ours['series']:.0f} series")
    for name, *options in OTHERS:
        if shutil.which(name) is None:
            print(f"  {name:28} not installed")
            continue
        port = free_port()
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as every:
            every.write(EVERY)
            every.flush()
            told = [option.format(port=port, every=every.name) for option in options]
            with served([name, *told], port) as pid:
                scrape, close = asked(port)
                series = series_of(scrape())
                before = cpu_of(pid)
                took = best(scrape, 5)
                cost = (cpu_of(pid) - before) / 5
                close()
        assert series
        print(f"  {name:28} {took:8.2f} ms, {cost:8.2f} ms of CPU for {series} series: {took / ours['scrape']:5.2f} "
              f"and {cost / ours['one']:5.2f} of ours")  # fmt: skip


def test_idleness() -> None:
    """An exporter that nobody asks takes next to no CPU time, a minute long."""
    with made_up(FLEETS[0]) as root:
        port = free_port()
        command = [*EXPORTER, f"--web.listen-address=127.0.0.1:{port}", f"--path.rootfs={root}"]
        with served(command, port) as pid:
            scrape, close = asked(port)
            scrape()
            before = cpu_of(pid)
            time.sleep(IDLE_SECONDS)
            idle = cpu_of(pid) - before
            close()
    print(f"\nidle after a scrape of {FLEETS[0]} containers: {idle:.1f} ms of CPU in {IDLE_SECONDS:g} s")


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
