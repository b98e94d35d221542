"""ctop on other machines: through a real exporter, and through a real Prometheus that scrapes two of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from inspector.schema import Document
from tests.root.test_exporter_prometheus import exporting, free_port, get, running, until
from tests.testbed.commands import BUSY_LOOP, CTOP, Sandbox, ctop_document, find, run
from tests.testbed.tools import need
from tests.unit.exporting import machine

pytestmark = pytest.mark.root

LIMITS = ("--cpu-period", "100000", "--cpu-quota", "20000", "--memory", "64m", "--pids-limit", "50")
STATIC = ("id", "name", "kind", "runtime", "image", "labels", "pid", "cgroups", "namespaces", "rootfs", "started_at")
LIMIT_KEYS = {
    "cpu": ("quota_us", "period_us", "limit_cores", "limit_set_by", "weight", "cpuset"),
    "memory": ("limit_bytes", "limit_set_by", "own_limit_bytes"),
    "pids": ("limit", "limit_set_by"),
}


def test_connect_shows_what_ctop_shows_there(tmp_path: Path, sandbox: Sandbox) -> None:
    """Through the exporter a container is what it is on the machine itself: names, limits, namespaces, its use."""
    sandbox.start("remote-busy", *LIMITS, *BUSY_LOOP)
    with exporting(tmp_path / "exporter.log") as url:
        here: Any = find(ctop_document(), "remote-busy")
        there: Any = find(ctop_document("--connect", url), "remote-busy")
        assert {key: there[key] for key in STATIC} == {key: here[key] for key in STATIC}
        for group, keys in LIMIT_KEYS.items():
            assert {key: there[group][key] for key in keys} == {key: here[group][key] for key in keys}
        assert there["cpu"]["usage_cores"] > 0
        table = run([*CTOP, "--connect", url.removeprefix("http://"), "--once", "-f", "name:remote-busy"]).stdout
        assert "remote-busy " in table
        assert " 0.20 " in table
        lines = run([*CTOP, "--connect", url, "--jsonl", "-n", "2", "-d", "0.5"]).stdout.splitlines()
        assert [find(json.loads(line), "remote-busy")["id"] for line in lines] == [here["id"]] * 2


@pytest.fixture(name="prometheus")
def prometheus_fixture(tmp_path: Path, sandbox: Sandbox) -> Iterator[tuple[str, list[str]]]:
    """Run a Prometheus that scrapes an exporter of this machine and one of a made-up machine, and one that is down."""
    need("prometheus")
    sandbox.start("remote-busy", *LIMITS, *BUSY_LOOP)
    machine(tmp_path / "root")
    with ExitStack() as stack:
        urls = [
            stack.enter_context(exporting(tmp_path / "here.log")),
            stack.enter_context(
                exporting(tmp_path / "there.log", f"--path.rootfs={tmp_path / 'root'}", "--no-collector.oom")
            ),
        ]
        nodes = [url.removeprefix("http://") for url in urls]
        config = tmp_path / "prometheus.yml"
        targets = json.dumps([*nodes, f"127.0.0.1:{free_port()}"])
        config.write_text(
            "global: {scrape_interval: 3s, scrape_timeout: 3s}\n"
            f"scrape_configs: [{{job_name: cadvisor, static_configs: [{{targets: {targets}}}]}},\n"
            f"  {{job_name: twice, static_configs: [{{targets: ['{nodes[1]}']}}]}}]\n"
        )
        port = free_port()
        command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'data'}",
                   f"--web.listen-address=127.0.0.1:{port}"]  # fmt: skip
        stack.enter_context(running(command, tmp_path / "prometheus.log"))
        url = f"http://127.0.0.1:{port}"
        until(lambda: "Ready" in get(f"{url}/-/ready"), "Prometheus")
        yield url, nodes


def shown(url: str, *argv: str) -> Document:
    """Return what ctop makes of a Prometheus."""
    return ctop_document("--prometheus", url, "-d", "0.1", *argv)


def test_a_fleet_through_prometheus(prometheus: tuple[str, list[str]]) -> None:
    """Both machines are in one table, with their nodes, limits and rates; a target that is down is told of."""
    url, (here, there) = prometheus

    def both() -> bool:
        document = shown(url)
        names = {(one["node"], one["name"]): one for one in document["containers"]}
        busy = names.get((here, "remote-busy"))
        # Two scrapes make a rate.
        return busy is not None and (there, "web") in names and bool(busy["cpu"]["usage_cores"])

    until(both, "both machines, and the loop's rate")
    document = shown(url)
    busy = next(one for one in document["containers"] if one["name"] == "remote-busy")
    assert busy["node"] == here
    assert busy["cpu"]["throttled_ratio"] is not None
    assert (busy["cpu"]["limit_cores"], busy["memory"]["limit_bytes"], busy["pids"]["limit"]) == (0.2, 64 << 20, 50)
    assert (busy["runtime"], busy["state"], busy["kind"]) == ("sandbox", "running", "container")
    assert busy["cpu"]["limit_set_by"] in busy["cgroups"].values()
    assert [text for text in document["problems"] if text.startswith("Prometheus cannot scrape 127.0.0.1:")]
    assert {one["kind"] for one in document["containers"]} == {"container"}
    assert {one["kind"] for one in shown(url, "-a")["containers"]} >= {"container", "cgroup"}
    until(lambda: any("scraped twice" in text for text in shown(url)["problems"]), "the second job's first scrape")
    for argv, jobs in (((), "cadvisor twice"), (("--prometheus-match", 'job="twice"'), "twice")):
        document = shown(url, *argv)
        web = [one["name"] for one in document["containers"] if one["node"] == there]
        assert web.count("web") == 1
        assert any("scraped twice" in text for text in document["problems"]) == (" " in jobs)
        assert {one["node"] for one in document["containers"]} == ({here, there} if " " in jobs else {there})
        assert document["host"]["cpus"] > 0
    table = run([*CTOP, "--prometheus", url, "-d", "0.1", "--once", "-s", "node"]).stdout
    assert "NODE" in table
    assert "2 nodes by 127.0.0.1" in table
    filtered = run([*CTOP, "--prometheus", url, "-d", "0.1", "--once", "-f", f"node:{there}"]).stdout
    assert "web " in filtered
    assert "remote-busy" not in filtered
