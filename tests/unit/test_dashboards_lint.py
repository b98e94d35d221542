"""The rules of Grafana's dashboard-linter, each by its name there, held against every dashboard.

The linter is a Go program with dependencies of its own; its rules are few and
short, so they are written out here: github.com/grafana/dashboard-linter,
docs/rules, as of June 2026. The two about Loki have nothing to look at.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.testbed.commands import REPOSITORY
from tests.unit.promql import Selector, selectors

Json = dict[str, Any]
MODELS: list[Json] = [json.loads(p.read_text()) for p in sorted(Path(REPOSITORY, "dashboards/grafana").glob("*.json"))]
SOURCES = ("$datasource", "${datasource}")
# Those of Grafana's units that the dashboards use.
UNITS = {"none", "short", "percentunit", "bytes", "Bps", "s", "ops", "iops", "pps",
         "dateTimeFromNow"}  # fmt: skip
every_dashboard = pytest.mark.parametrize("model", MODELS, ids=lambda model: model["uid"])


def panels(model: Json) -> list[Json]:
    """Return the panels that show something."""
    return [panel for panel in model["panels"] if panel["type"] != "row"]


def variable(model: Json, name: str) -> Json:
    """Return the variable of that name."""
    found: Json = next(one for one in model["templating"]["list"] if one["name"] == name)
    return found


def queries(model: Json) -> Iterator[str]:
    """Yield the PromQL of every panel and annotation, Grafana's variables in it."""
    for panel in panels(model):
        yield from (target["expr"] for target in panel["targets"])
    yield from (annotation["expr"] for annotation in model["annotations"]["list"])


def used(model: Json) -> Iterator[Selector]:
    """Yield every selector of every query."""
    for query in queries(model):
        yield from selectors(query)


def plain(query: str) -> str:
    """Return a query with Grafana's variables replaced by something that Prometheus can read."""
    values = {"$__range_s": "3600", "$__rate_interval": "5m", "$__range": "1h", "$__interval_ms": "60000",
              "$__interval": "1m"}  # fmt: skip
    for variable, value in values.items():
        query = query.replace(variable, value)
    return re.sub(r"\$\{?\w+\}?", "x", query)


@every_dashboard
def test_template_datasource_rule(model: Json) -> None:
    """There is one data source variable, called and labelled as the others of the world are."""
    [source] = [one for one in model["templating"]["list"] if one["type"] == "datasource"]
    assert (source["name"], source["label"], source["query"]) == ("datasource", "Data source", "prometheus")


@every_dashboard
@pytest.mark.parametrize("name", ["job", "instance"])
def test_template_job_and_instance_rules(model: Json, name: str) -> None:
    """Job and instance can be chosen: several of them, and All."""
    found = variable(model, name)
    assert (found["type"], found["label"], found["multi"], found["allValue"]) == ("query", name.title(), True, ".+")
    assert found["datasource"]["uid"] in SOURCES


@every_dashboard
def test_template_label_promql_rule(model: Json) -> None:
    """Each variable's query is label_values() of one selector and a label."""
    for one in model["templating"]["list"]:
        if one["type"] == "query":
            match = re.fullmatch(r"label_values\((.+), (\w+)\)", one["query"])
            assert match, one["query"]
            assert len(list(selectors(match[1]))) == 1


@every_dashboard
def test_template_on_time_change_reload_rule(model: Json) -> None:
    """Variables are filled anew when the time changes."""
    assert {one["refresh"] for one in model["templating"]["list"] if one["type"] == "query"} == {2}


@every_dashboard
def test_panel_datasource_rule(model: Json) -> None:
    """Each panel and each query asks the data source that was chosen."""
    for panel in panels(model):
        assert panel["datasource"]["uid"] in SOURCES
        assert {target["datasource"]["uid"] for target in panel["targets"]} <= set(SOURCES)


@every_dashboard
def test_panel_title_description_rule(model: Json) -> None:
    """Each panel has a title and a description of at least a few words."""
    for panel in panels(model):
        assert panel["title"]
        assert len(panel["description"].split()) >= 3, panel["title"]


@every_dashboard
def test_panel_units_rule(model: Json) -> None:
    """Each panel has a unit that Grafana knows; so has each column of a table."""
    for panel in panels(model):
        overrides = panel["fieldConfig"]["overrides"]
        given = [one["value"] for override in overrides for one in override["properties"] if one["id"] == "unit"]
        assert {panel["fieldConfig"]["defaults"]["unit"], *given} <= UNITS, panel["title"]


@every_dashboard
def test_panel_no_targets_rule(model: Json) -> None:
    """Each panel asks something."""
    assert all(panel["targets"] for panel in panels(model))


@every_dashboard
def test_target_promql_rule(model: Json, tmp_path: Path) -> None:
    """Prometheus' own parser reads every query."""
    if not shutil.which("promtool"):
        pytest.skip("not installed: promtool (apt-get install prometheus)")
    rules = [{"record": f"q{number}", "expr": plain(query)} for number, query in enumerate(queries(model))]
    file = tmp_path / "queries.yml"
    file.write_text(json.dumps({"groups": [{"name": model["uid"], "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules)} rules found" in done.stdout


@every_dashboard
def test_target_rate_interval_rule(model: Json) -> None:
    """rate() covers the interval that Grafana computes from resolution and scrape interval, never a fixed one."""
    ranges = [one.range for one in used(model) if one.function in ("rate", "irate")]
    assert ranges
    assert set(ranges) == {"[$__rate_interval]"}


@every_dashboard
def test_target_job_and_instance_rules(model: Json) -> None:
    """Each selector of each query is narrowed to the job and the instances that were chosen."""
    found = list(used(model))
    assert found
    for one in found:
        assert one.matchers.get("job") == ("=~", "$job"), one
        assert one.matchers.get("instance") == ("=~", "$instance"), one


@every_dashboard
def test_target_counter_agg_rule(model: Json) -> None:
    """A counter is shown as a rate or an increase, never as its bare total."""
    for one in used(model):
        if one.metric.endswith("_total"):
            assert one.function in ("rate", "irate", "increase"), one
            assert one.range, one


@every_dashboard
def test_uneditable_dashboard(model: Json) -> None:
    """The dashboards are changed in the generator, not by hand."""
    assert model["editable"] is False


@every_dashboard
def test_each_variable_of_a_query_exists(model: Json) -> None:
    """A query uses no variable but Grafana's own and those that the dashboard has, and none of these is unused."""
    text = "\n".join([*queries(model), *(one["query"] for one in model["templating"]["list"])])
    names = {one["name"] for one in model["templating"]["list"]} - {"datasource"}
    assert {name for name in re.findall(r"\$\{?(\w+)", text) if not name.startswith("__")} == names


def test_selectors_are_found_where_they_are() -> None:
    """The tests' own reader tells metrics from functions, keywords, labels and strings."""
    query = 'sum by (a, b) (rate(x_total{j=~"$j",k!="}"}[5m])) / on (c) group_left topk(3, y) unless z{} offset 5m'
    assert [(one.metric, one.range, one.function) for one in selectors(query)] == [
        ("x_total", "[5m]", "rate"),
        ("y", "", "topk"),
        ("z", "", ""),
    ]
    assert next(selectors(query)).matchers == {"j": ("=~", "$j"), "k": ("!=", "}")}
