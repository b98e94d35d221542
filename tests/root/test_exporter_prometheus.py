"""A real Prometheus scrapes the real exporter while a real container runs, and answers queries about it."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from tests.testbed.cgroups import CpuGroup, favoured, path_of
from tests.testbed.commands import BUSY_LOOP, EXPORTER, REPOSITORY, Sandbox, run
from tests.testbed.docker import IMAGE, Docker
from tests.testbed.tools import need
from tests.unit.exporting import machine, pod
from tests.unit.test_exporter_promtool import EXCEPTIONS

pytestmark = pytest.mark.root

PATIENCE = 180.0
BRIEF = 40  # containers that come and go
LIMITS = ("--cpu-period", "100000", "--cpu-quota", "20000", "--memory", "64m", "--pids-limit", "50")

Query = Callable[[str], list[dict[str, str]]]


def get(url: str) -> str:
    """Return what is at a URL of ours on loopback; OSError with what it says when it refuses."""
    try:
        with urlopen(url, timeout=120) as answer:  # noqa: S310  always http://127.0.0.1
            return str(answer.read().decode())
    except HTTPError as error:
        with error:
            raise OSError(f"{url}: {error}: {error.read().decode()}") from None


def until(true: Callable[[], object], what: str) -> None:
    """Wait for a condition; an error of the system call counts as not yet."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            if true():
                return
        except OSError:
            pass
        assert time.monotonic() < deadline, f"waited {PATIENCE:g} s in vain for {what}"
        time.sleep(0.2)


@contextmanager
def running(command: list[str], log: Path) -> Iterator[None]:
    """Run a server, its output in `log`; at the end it must stop at SIGTERM, with exit code 0."""
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output, cwd=REPOSITORY) as process:
        try:
            yield
            process.terminate()
            assert process.wait(120) == 0, log.read_text()
        finally:
            process.kill()


def free_port() -> int:
    """Return a port of loopback that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


@contextmanager
def exporting(log: Path, *options: str) -> Iterator[str]:
    """Run the exporter on a free port; gives its base URL."""
    with running([*EXPORTER, "--web.listen-address=127.0.0.1:0", *options], log):
        until(lambda: "metrics at " in log.read_text(), "the exporter")
        match = re.search(r"metrics at (http://[^\s\"]+)/metrics", log.read_text())
        assert match, log.read_text()
        yield match[1]


@contextmanager
def asking(directory: Path, exporter: str) -> Iterator[Query]:
    """Run Prometheus, scraping the exporter every two seconds; gives a function that asks it.

    The answer is a list of results: their labels, and the value under the key "value".
    """
    need("prometheus")
    config = directory / "prometheus.yml"
    example = Path(REPOSITORY, "dashboards", "prometheus.yml").read_text()
    port = free_port()
    ours = example.replace("127.0.0.1:10071", exporter.removeprefix("http://")).replace("15s", "2s")
    itself = f"  - job_name: itself\n    static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n"
    config.write_text(ours.replace("scrape_configs:\n", f"scrape_configs:\n{itself}"))
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={directory / 'data'}",
               f"--web.listen-address=127.0.0.1:{port}"]  # fmt: skip
    url = f"http://127.0.0.1:{port}"

    def query(expression: str) -> list[dict[str, str]]:
        answer = json.loads(get(f"{url}/api/v1/query?{urlencode({'query': expression})}"))
        found = answer["data"]["result"]
        if answer["data"]["resultType"] == "scalar":
            return [{"value": found[1]}]
        return [{**one["metric"], "value": one["value"][1]} for one in found]

    with running(command, directory / "prometheus.log"):
        until(lambda: "Ready" in get(f"{url}/-/ready"), "Prometheus")
        until(lambda: query('up{job="cadvisor"} == 1'), "the first scrape")
        yield query


@pytest.fixture(name="exporter", scope="module")
def exporter_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start the exporter on a free port; gives its base URL."""
    with exporting(tmp_path_factory.mktemp("exporter") / "log") as url:
        yield url


@pytest.fixture(name="query", scope="module")
def query_fixture(tmp_path_factory: pytest.TempPathFactory, exporter: str) -> Iterator[Query]:
    """Start Prometheus, scraping the exporter every two seconds; gives a function that asks it."""
    with asking(tmp_path_factory.mktemp("prometheus"), exporter) as query:
        yield query


def answer(query: Query, expression: str) -> list[dict[str, str]]:
    """Return what a query finds: nothing after a scrape that was missed on a busy machine, until the next one."""
    answers: list[list[dict[str, str]]] = []
    until(lambda: answers.append(query(expression)) or answers[-1], expression)  # type: ignore[func-returns-value]
    return answers[-1]


def check(query: Query, name: str, id_: str) -> None:
    """See the container's limits, and over ten seconds its use, as Prometheus stored them."""
    who = f'{{name="{name}",image!=""}}'
    # A busy machine may miss scrapes, or keep from the loop what it is allowed: for a while, not for ever.
    until(lambda: query(f"count_over_time(container_cpu_usage_seconds_total{who}[15s]) > 4"), "five scrapes")
    share = f"rate(container_cpu_usage_seconds_total{who}[10s])"
    until(lambda: query(f"{share} > 0.18 < 0.22"), "a fifth of a core")
    [used] = answer(query, share)
    assert used["id"].endswith(id_)
    assert (used["job"], used["cpu"]) == ("cadvisor", "total")
    periods = f"container_cpu_cfs_throttled_periods_total{who}[10s]) / rate(container_cpu_cfs_periods_total{who}[10s]"
    until(lambda: query(f"rate({periods}) > 0.5"), "the loop to be throttled in most of its periods")
    expected = {
        "container_spec_cpu_quota": 20000,
        "container_spec_cpu_period": 100000,
        "container_cpu_limit_cores": 0.2,
        "container_spec_memory_limit_bytes": 64 << 20,
        "container_pids_limit": 50,
    }
    assert {metric: [float(one["value"]) for one in answer(query, metric + who)] for metric in expected} == {
        metric: [value] for metric, value in expected.items()
    }
    [info] = answer(query, f"container_cpu_limit_info{who}")
    assert info["set_by"] == info["id"]
    # In OpenMetrics, which Prometheus asks for, a counter could not have this name.
    assert len(answer(query, f"container_memory_failcnt{who}")) == 1
    assert answer(query, "scrape_samples_post_metric_relabeling - scrape_samples_scraped")[0]["value"] == "0"
    assert query("cgscope_scrape_collector_success == 0") == []


def check_gone(query: Query, name: str) -> None:
    """See that a container which ended has no series: with timestamps of our own they would stay for 5 minutes."""
    until(lambda: not query(f'container_last_seen{{name="{name}"}}'), "the series to go stale")


def test_prometheus_sees_limited_containers(query: Query, exporter: str, sandbox: Sandbox, docker: Docker) -> None:
    """Ours and Docker's at a quota of 20 ms in 100: 0.2 cores by rate(), nearly always throttled, and their limits.

    Docker's has the name and the image that Docker gave.
    """
    with ExitStack() as stack:
        ids = {"prom-ours": sandbox.start("prom-ours", *LIMITS, *BUSY_LOOP)}
        ids["prom-busy"] = stack.enter_context(docker.running("prom-busy", *LIMITS, IMAGE, *BUSY_LOOP))
        for pid in (sandbox.pid("prom-ours"), docker.pid("prom-busy")):
            stack.enter_context(favoured(path_of(pid, "cpu")))
        for name, id_ in ids.items():
            check(query, name, id_)
        assert answer(query, 'container_last_seen{name="prom-busy"}')[0]["image"].startswith(IMAGE)
        page = get(f"{exporter}/metrics")
        done = run(["promtool", "check", "metrics"], text=page, check=False)
        assert {line.partition(" ")[0] for line in done.stderr.splitlines()} <= EXCEPTIONS.keys()
        sandbox("rm", "-f", "prom-ours")
    for name in ids:
        check_gone(query, name)


def test_prometheus_reads_a_hostile_name(query: Query) -> None:
    """A control group called with a quote, a backslash and an escape sequence is one series among the others."""
    with CpuGroup('cgscope "x\\\x1b[31m}') as group:
        group.set_quota(5000)
        group.burn()
        [found] = answer(query, "container_spec_cpu_quota == 5000")
        assert found["id"] == '/cgscope "x\\\ufffd[31m}'
        assert (found.get("name", ""), found.get("image", "")) == ("", "")
        until(lambda: query('up{job="cadvisor"} == 1'), "a scrape with it")


def subjects(page: str) -> Iterator[tuple[str, str]]:
    """Yield what ends the id, and the labels, of all that a page is about; no series is in it twice."""
    series = [line.rpartition(" ")[0] for line in page.splitlines() if line[0] != "#"]
    assert len(set(series)) == len(series)
    for one in series:
        if found := re.fullmatch(r'container_last_seen\{(id="[^"]*?([^"/]*)",.*)\}', one):
            yield found[2], found[1]


def test_containers_that_come_and_go(query: Query, exporter: str, docker: Docker) -> None:
    """While containers start and end no series is there twice, and each has its name and image whenever it is seen.

    Also while runc has not entered the container's root yet, which would lead to where this Docker keeps its data,
    and when its first process is not in its cgroups yet, or no more.
    """
    born: dict[str, str] = {}
    seen: dict[str, set[str]] = {}
    enough = Event()
    prefix = f"brief-{time.time_ns()}-"  # Prometheus remembers those of a try before

    def run_some() -> None:
        while not enough.is_set():
            name = f"{prefix}{len(born)}"
            with docker.running(name, IMAGE, "sleep", "0.1") as id_:
                born[id_] = f'id="/docker/{id_}",name="{name}",image="{IMAGE}"'

    with ThreadPoolExecutor(1) as pool:
        runs, end = pool.submit(run_some), time.monotonic() + PATIENCE
        try:
            while len(born.keys() & seen.keys()) < BRIEF and not runs.done() and time.monotonic() < end:
                for id_, labels in subjects(get(f"{exporter}/metrics")):
                    seen.setdefault(id_, set()).add(labels)
        finally:
            enough.set()
        runs.result()
    ours = {id_: labels for id_, labels in seen.items() if id_ in born}
    assert ours == {id_: {born[id_]} for id_ in ours}
    assert len(ours) >= BRIEF
    kept = query(f'last_over_time(container_last_seen{{name=~"{prefix}.*"}}[10m])')
    assert {'id="{id}",name="{name}",image="{image}"'.format_map(one) for one in kept} <= set(born.values())
    assert query("min_over_time(cgscope_scrape_collector_success[10m]) == 0") == []


def public_queries() -> list[tuple[bool, str]]:
    """Return the queries of public dashboards and alerts, each with whether it finds data on the machine below."""
    text = Path(REPOSITORY, "tests", "data", "public_queries.txt").read_text(encoding="utf-8")
    return [(line[0] == "+", line[2:]) for line in text.splitlines() if line[:2] in ("+ ", "- ")]


def test_queries_of_public_dashboards_find_their_data(tmp_path: Path) -> None:
    """The queries of kubernetes-mixin and others find data on a machine with a Docker container and a pod."""
    pod(machine(tmp_path / "root"))
    options = [f"--path.rootfs={tmp_path / 'root'}", "--no-collector.oom"]
    with exporting(tmp_path / "exporter.log", *options) as exporter, asking(tmp_path, exporter) as query:
        until(lambda: query('count_over_time(container_last_seen{name="web"}[1m]) > 2'), "three scrapes")
        empty = [text for _, text in public_queries()]

        def all_found() -> bool:
            """Ask once more for what found nothing: a scrape may have been missed."""
            empty[:] = [text for text in empty if not query(text)]
            return not set(empty) & expected

        expected = {text for data, text in public_queries() if data}
        until(all_found, "the data of every query")
    assert len(public_queries()) > 150


def test_a_minute_of_scrapes(query: Query, exporter: str) -> None:
    """After thirty scrapes Prometheus has refused no sample as doubled, and every collector has always succeeded.

    The last test here: most of the minute has passed in those before.
    """
    until(lambda: query('count_over_time(up{job="cadvisor"}[10m]) >= 30'), "thirty scrapes")
    for reason in ("duplicate_timestamp", "out_of_order", "out_of_bounds"):
        counter = f"prometheus_target_scrapes_sample_{reason}_total"
        assert answer(query, f"max_over_time({counter}[10m])")[0]["value"] == "0", reason
    assert answer(query, "min(min_over_time(cgscope_scrape_collector_success[10m]))")[0]["value"] == "1"
    assert answer(query, "max(max_over_time(scrape_samples_post_metric_relabeling[10m]))")[0]["value"] != "0"
    assert get(f"{exporter}/-/healthy") == "ok\n"
