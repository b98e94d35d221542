"""Dashboards, rules and the exporter agree on what there is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import yaml
from prometheus_client import CollectorRegistry, ProcessCollector

from exporter.collectors import COLLECTORS
from tests.testbed.commands import REPOSITORY
from tests.unit.promql import selectors

DASHBOARDS = Path(REPOSITORY, "dashboards")
# What Prometheus itself says of a target.
OF_PROMETHEUS = {"up", "scrape_duration_seconds", "scrape_samples_scraped"}


def declared() -> set[str]:
    """Return every metric that the exporter has: of its collectors' tables, and those about nobody in particular."""
    tables = {metric for collector in COLLECTORS.values() for metric in collector.metrics}
    source = "".join(path.read_text() for path in Path(REPOSITORY, "exporter").rglob("*.py"))
    others = set(re.findall(r'"((?:machine|cgscope|cadvisor)_[a-z_]+)"', source))
    own = {family.name for family in ProcessCollector(registry=CollectorRegistry()).collect()}
    return tables | others | own | {f"{name}_total" for name in own}


def queries() -> Iterator[str]:
    """Yield every query of every dashboard, its variables' included, and of every rule."""
    for file in DASHBOARDS.glob("grafana/*.json"):
        model = json.loads(file.read_text())
        for panel in model["panels"]:
            yield from (target["expr"] for target in panel.get("targets", ()))
        yield from (one["expr"] for one in model["annotations"]["list"])
        for variable in model["templating"]["list"]:
            yield from re.findall(r"label_values\((.*), \w+\)", variable["query"])
    for file in DASHBOARDS.glob("rules/*.yml"):
        for group in yaml.safe_load(file.read_text())["groups"]:
            yield from (rule["expr"] for rule in group["rules"])


def test_every_metric_of_a_query_is_one_that_the_exporter_has() -> None:
    """No dashboard and no rule asks for a metric that nobody exposes."""
    used = {one.metric for query in queries() for one in selectors(query) if ":" not in one.metric}
    assert len(used) > 40
    assert used - declared() - OF_PROMETHEUS == set()


def test_what_only_this_exporter_has_is_shown() -> None:
    """Effective limits, throttling from above, findings, victims and namespaces: each has its place on a dashboard."""
    used = {one.metric for query in queries() for one in selectors(query)}
    ours = {metric for name in ("limits", "findings", "namespaces", "oom") for metric in COLLECTORS[name].metrics}
    seldom = {"container_threads_limit_info", "container_memory_limit_info",
              "container_cpu_inherited_throttled_seconds_total"}  # fmt: skip
    assert ours - used <= seldom
