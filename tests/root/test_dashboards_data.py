"""Every query of the dashboards and rules finds its data: in a real Prometheus, of the real exporter's pages.

A minute takes seconds: the exporter is asked a few times in a row, and its
pages are written into Prometheus' storage as if 15 seconds lay between them.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest
import yaml

from tests.root.test_exporter_prometheus import free_port, get, running, until
from tests.testbed.cgroups import CpuGroup
from tests.testbed.commands import BUSY_LOOP, EXPORTER, REPOSITORY, Sandbox, run
from tests.testbed.tools import need
from tests.unit.promql import selectors

pytestmark = pytest.mark.root

SCRAPES, APART, STEP = 6, 0.3, 15.0
TARGET = {"job": "cadvisor", "instance": "127.0.0.1:10071"}
BUSY, BELOW, HUNGRY = "data-busy", "data-below", "data-hungry"
PARENT = "cgscope-data"
DASHBOARDS = Path(REPOSITORY, "dashboards")
SAMPLE = re.compile(r"(?P<name>[a-z_0-9]+)(?:\{(?P<labels>.*)\})? (?P<value>\S+)")
# A comparison keeps what is worth a look, so that nothing is a good answer; `> 0` below a "/" only avoids NaN.
FILTER = re.compile(r"==|>|<|unless|changes|absent")
# Allocates in small steps, so that the limit is met and reclaim tried before the kernel kills it.
EAT = ["sh", "-c", "x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done"]

QUERIES = 120  # that find all their metrics on a machine that has little

Query = Callable[[str], list[dict[str, str]]]


class Panel(NamedTuple):
    """One query of a dashboard or a rule: columns of the table it fills, if it does, and legend of its chart."""

    title: str
    expression: str
    labels: frozenset[str] | None = None
    legend: str = ""


def panels() -> Iterator[Panel]:
    """Yield every query of every dashboard, with the variables' "All" and one container chosen."""
    for file in sorted(DASHBOARDS.glob("grafana/*.json")):
        model = json.loads(file.read_text())
        for panel in model["panels"]:
            columns = None
            for step in panel.get("transformations", ()):
                if step["id"] == "organize":
                    columns = frozenset(name for name in step["options"]["indexByName"] if not name.startswith("Value"))
            for target in panel.get("targets", ()):
                title = f"{model['uid']}: {panel['title']}"
                yield Panel(title, chosen(target["expr"]), columns, target["legendFormat"])


def chosen(expression: str) -> str:
    """Return a query with Grafana's variables filled in."""
    values = {"$__range_s": "120", "$__rate_interval": "1m", "$__range": "2m", "$container": BUSY,
              "$__interval_ms": "60000", "$__interval": "15s"}  # fmt: skip
    # What has most of something: that there is no more than nothing of it is a good answer, no such metric is not.
    expression = re.sub(r"^topk\(15, (.*) > 0\)$", r"\1", expression)
    for variable, value in values.items():
        expression = expression.replace(variable, value)
    return re.sub(r"\$[a-z]+", ".+", expression)


def rules() -> Iterator[Panel]:
    """Yield every rule's query, what it takes from recording rules written out."""
    found = [
        rule
        for file in sorted(DASHBOARDS.glob("rules/*.yml"))
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
    ]
    recorded = {rule["record"]: rule["expr"] for rule in found if "record" in rule}
    for rule in found:
        expression = rule["expr"]
        for name, meaning in recorded.items():
            expression = re.sub(rf"{name}\[7d(?::5m)?\]", f"({meaning})[2m:15s]", expression)
            expression = expression.replace(name, f"({meaning})")
        yield Panel(rule.get("alert") or rule["record"], expression)


def as_stored(pages: Sequence[str], end: float) -> str:
    """Return the pages as OpenMetrics with Prometheus' own labels, its own metrics, and times of their own."""
    who = ",".join(f'{name}="{value}"' for name, value in TARGET.items())
    lines = []
    for place, page in enumerate(pages):
        at = end - STEP * (len(pages) - 1 - place)
        samples = [match for line in page.splitlines() if (match := SAMPLE.fullmatch(line))]
        for one in samples:
            labels = ",".join(filter(None, (one["labels"], who)))
            lines.append(f"{one['name']}{{{labels}}} {one['value']} {at:.3f}")
        for name, value in (("up", 1), ("scrape_samples_scraped", len(samples)), ("scrape_duration_seconds", 0.1)):
            lines.append(f"{name}{{{who}}} {value} {at:.3f}")
    return "\n".join(lines) + "\n# EOF\n"


@pytest.fixture(name="pages")
def pages_fixture(sandbox: Sandbox, tmp_path: Path) -> list[str]:
    """Ask the exporter a few times, while containers are throttled, by themselves and from above, and one is killed."""
    log = tmp_path / "exporter.log"
    with (
        CpuGroup(PARENT) as parent,
        ExitStack() as stack,
        running([*EXPORTER, "--web.listen-address=127.0.0.1:0"], log),
    ):
        parent.set_quota(20000)
        stack.callback(sandbox, "rm", "-f", BELOW, check=False)  # before the group it is in
        sandbox.start(BUSY, "--cpu-quota", "20000", "--memory", "64m", "--pids-limit", "50", *BUSY_LOOP)
        sandbox.start(BELOW, "--cgroup-parent", parent.path, *BUSY_LOOP)
        until(lambda: "/metrics" in log.read_text(), "the exporter")
        match = re.search(r"http://127\.0\.0\.1:\d+", log.read_text())
        assert match
        pages = []
        for number in range(SCRAPES):
            pages.append(get(f"{match[0]}/metrics"))
            if number == SCRAPES // 2:
                sandbox("run", "--name", HUNGRY, "--rootfs", "/", "--memory", "16m", "--", *EAT, check=False)
            time.sleep(APART)  # the kernel's counters move between two pages
        return pages


@pytest.fixture(name="query")
def query_fixture(pages: list[str], tmp_path: Path) -> Iterator[Query]:
    """Run Prometheus on a storage made of the pages; gives a function that asks it at the last page's time."""
    need("prometheus", "promtool")
    end = float(int(time.time()))
    file = tmp_path / "pages.txt"
    file.write_text(as_stored(pages, end))
    run(["promtool", "tsdb", "create-blocks-from", "openmetrics", str(file), str(tmp_path / "data")])
    config = tmp_path / "prometheus.yml"
    config.write_text("{}")
    url = f"http://127.0.0.1:{free_port()}"
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'data'}",
               f"--web.listen-address={url.removeprefix('http://')}"]  # fmt: skip

    def query(expression: str) -> list[dict[str, str]]:
        answer: Any = json.loads(get(f"{url}/api/v1/query?{urlencode({'query': expression, 'time': end})}"))
        return [one["metric"] for one in answer["data"]["result"]]

    with ExitStack() as stack:
        stack.enter_context(running(command, tmp_path / "prometheus.log"))
        until(lambda: "Ready" in get(f"{url}/-/ready"), "Prometheus")
        yield query


def victims_only(query: Query) -> bool:
    """Tell whether the table of kills has rows, and none of a container that nothing was killed in."""
    found = [query(panel.expression) for panel in panels() if panel.title.endswith("OOM kills in the time shown")]
    killed = {row["id"] for row in found[0]}
    return bool(killed) and all({row["id"] for row in result} <= killed for result in found)


def test_every_query_finds_its_data(query: Query) -> None:
    """Each is answered, without an error; with data where each metric in it has some; a table's rows as its columns."""
    here: dict[str, bool] = {}
    empty, asked = [], 0
    for panel in (*panels(), *rules()):
        result = query(panel.expression)
        metrics = {one.text for one in selectors(panel.expression)}
        for text in metrics - here.keys():
            here[text] = bool(query(f"count_over_time({text}[2m])"))
        if all(here[text] for text in metrics):
            asked += 1
            if not result and not FILTER.search(panel.expression.replace("> 0)", ")")):
                empty.append(panel)
        if panel.labels is not None:
            assert all(row.keys() <= panel.labels for row in result), (panel, result[:1])
        for label in re.findall(r"\{\{(\w+)\}\}", panel.legend):
            assert all(row.get(label) for row in result), (panel, result)
    assert empty == []
    assert victims_only(query)
    # What there is not on every machine, PSI, disks, a network, is asked for as well, and just has no data.
    assert asked > QUERIES, sorted(text for text, known in here.items() if not known)
