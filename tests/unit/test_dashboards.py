"""The dashboards in dashboards/grafana are what the generator writes, and Grafana's model as Grafana defines it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from grafana_foundation_sdk.cog import encoder, plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.testbed.commands import REPOSITORY

ROOT = Path(REPOSITORY)
FILES = sorted((ROOT / "dashboards" / "grafana").glob("*.json"))
SCHEMA = json.loads((ROOT / "tests" / "schemas" / "grafana_dashboard.json").read_text())
# Keys of a Prometheus annotation, which Grafana's common model leaves to the data source.
ANNOTATION = {"step", "tagKeys", "textFormat", "titleFormat", "useValueForTime"}

Json = dict[str, Any]
plugins.register_default_plugins()
every_dashboard = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def load(path: Path) -> Json:
    """Return a dashboard's model."""
    model: Json = json.loads(path.read_text())
    return model


def panels(model: Json) -> list[Json]:
    """Return the panels that show something: all but the rows' headings."""
    return [panel for panel in model["panels"] if panel["type"] != "row"]


def links(panel: Json) -> Iterator[str]:
    """Yield where a panel's links lead: those of all its series, or of one column of a table."""
    config = panel["fieldConfig"]
    given = [config["defaults"].get("links", [])]
    given += [one["value"] for other in config["overrides"] for one in other["properties"] if one["id"] == "links"]
    for some in given:
        yield from (link["url"] for link in some)


def urls(model: Json) -> Iterator[str]:
    """Yield where the panels' links lead."""
    for panel in panels(model):
        yield from links(panel)


def set_as_a_whole(model: Json) -> set[str]:
    """Return the variables that may be All."""
    return {one["name"] for one in model["templating"]["list"] if one["includeAll"]}


def lost(ours: object, theirs: object, where: str = "") -> Iterator[str]:
    """Yield the places where what we wrote is not in what came back; what was added by itself does not matter."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            if key in theirs:
                yield from lost(value, theirs[key], f"{where}.{key}")
            elif key not in ANNOTATION or ".annotations" not in where:
                yield f"{where}.{key}"
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from lost(one, other, f"{where}[{index}]")
    elif ours != theirs:
        yield f"{where}: {ours!r} became {theirs!r}"


def test_the_files_are_what_the_generator_writes(tmp_path: Path) -> None:
    """`make dashboards` changes nothing, byte for byte, and needs no library: -S hides them all."""
    command = [sys.executable, "-S", "-m", "dashboards.generate", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        path.name: path.read_bytes() for path in FILES
    }


@every_dashboard
def test_the_schema_holds(path: Path) -> None:
    """No key that the model does not have, none missing, all of the right type."""
    jsonschema.Draft7Validator(SCHEMA).validate(load(path))


@every_dashboard
def test_grafanas_own_model_keeps_all_we_write(path: Path) -> None:
    """Read into Grafana's published classes and written again, nothing is lost: a key it does not know would be."""
    model = load(path)
    returned = json.loads(encoder.JSONEncoder().encode(Dashboard.from_json(model)))
    assert list(lost(model, returned)) == []


def test_the_checks_see_a_wrong_key() -> None:
    """A misspelt key fails the schema and is lost in Grafana's classes."""
    model = load(FILES[0])
    panels(model)[0]["fieldConfig"]["defaults"]["unti"] = "bytes"
    assert not jsonschema.Draft7Validator(SCHEMA).is_valid(model)
    returned = json.loads(encoder.JSONEncoder().encode(Dashboard.from_json(model)))
    assert [place.rsplit(".", 1)[1] for place in lost(model, returned)] == ["unti"]


@every_dashboard
def test_panels_are_laid_out(path: Path) -> None:
    """Ids are unique, every panel is inside the 24 columns, and no two lie over each other."""
    model = load(path)
    ids = [panel["id"] for panel in model["panels"]]
    assert len(set(ids)) == len(ids)
    places = [panel["gridPos"] for panel in model["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    assert not [
        (one, other)
        for one, other in combinations(places, 2)
        if one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    ]


@every_dashboard
def test_every_panel_leads_on(path: Path) -> None:
    """Each panel links to another of our dashboards, keeping data source and time."""
    uids = {load(other)["uid"] for other in FILES}
    assert all(list(links(panel)) for panel in panels(load(path)))
    for url in urls(load(path)):
        match = re.match(r"/d/([a-z-]+)\?", url)
        assert match
        assert match[1] in uids - {path.stem}
        assert "${__url_time_range}" in url
        assert "${datasource:queryparam}" in url or "${__all_variables}" in url


@every_dashboard
def test_a_link_sets_variables_that_exist(path: Path) -> None:
    """What a link hands on (`var-name=`) is a variable of the dashboard that it leads to."""
    variables = {load(other)["uid"]: {v["name"] for v in load(other)["templating"]["list"]} for other in FILES}
    for url in urls(load(path)):
        uid = url[3 : url.index("?")]
        assert set(re.findall(r"var-([a-z]+)=", url)) <= variables[uid]


@every_dashboard
def test_no_link_says_all_to_a_variable_that_is_one(path: Path) -> None:
    """Links between dashboards hand on variables by name: what may be All there is All here, or is not called so."""
    model = load(path)
    one_only = {one["name"] for one in model["templating"]["list"]} - set_as_a_whole(model)
    assert not one_only & {name for other in FILES for name in set_as_a_whole(load(other))}


@every_dashboard
def test_one_value_is_matched_as_it_is_and_several_as_a_pattern(path: Path) -> None:
    """Grafana escapes a pattern's characters where there may be several values, and only there."""
    model = load(path)
    asked = [target["expr"] for panel in panels(model) for target in panel["targets"]]
    for variable in model["templating"]["list"]:
        matched = set(re.findall(rf'(=~|=)"\${variable["name"]}"', "\n".join(asked)))
        assert matched <= {"=~" if variable["includeAll"] else "="}, variable["name"]


@every_dashboard
def test_a_tables_unit_is_of_its_values_alone(path: Path) -> None:
    """Labels are text: with a unit, of dates above all, Grafana would show them as numbers, NaN."""
    for panel in panels(load(path)):
        if panel["type"] == "table":
            assert panel["fieldConfig"]["defaults"]["unit"] == "none"


@every_dashboard
def test_bars_add_up_to_the_events(path: Path) -> None:
    """Windows of rate() overlap where steps are shorter, so a bar is the rate by the step: their sum is the number."""
    for panel in panels(load(path)):
        if panel["fieldConfig"]["defaults"].get("custom", {}).get("drawStyle") == "bars":
            assert panel["interval"] == "1m"
            for target in panel["targets"]:
                assert re.search(r"\[\$__rate_interval\]\)+ \* \$__interval_ms / 1000", target["expr"])


@every_dashboard
def test_what_a_legend_names_is_in_the_query(path: Path) -> None:
    """Every `{{label}}` of a legend survives the query's aggregations."""
    for panel in panels(load(path)):
        for target in panel["targets"]:
            kept = re.findall(r"\bby \(([^)]*)\)", target["expr"])
            plain = not re.search(r"\b(?:sum|count|min|max|topk)\b", target["expr"])
            labels = {label.strip() for group in kept for label in group.split(",")}
            for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                assert plain or label in labels, f"{panel['title']}: {target['expr']} has no {label}"


def test_file_names_are_uids() -> None:
    """A dashboard's file is called as its uid, and there are five of them."""
    assert [path.stem for path in FILES] == sorted(load(path)["uid"] for path in FILES)
    assert len(FILES) == 5
