"""Panels of Grafana's model: one function a kind. Each has a title, a description, a unit and a way to look closer.

A panel is given its place and its id by the dashboard it is put in; here it
has only its size, in the 24 columns of Grafana's grid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["DATASOURCE", "Column", "Json", "Query", "Steps", "bars", "graph", "stat", "states", "table", "to", "whole"]

Json = dict[str, Any]
Steps = Sequence[tuple[float | None, str]]

DATASOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
VERSION = "11.6.0"
KEPT = "${datasource:queryparam}&${job:queryparam}"
NEUTRAL: Steps = ((None, "blue"),)
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Query:
    """One query: `legend` in Grafana's form ("{{name}}"); `instant` for the value now, of which tables are made."""

    expression: str
    legend: str = "__auto"
    instant: bool = False

    def target(self, letter: str, form: str = "time_series") -> Json:
        """Return Grafana's form."""
        return {
            "datasource": DATASOURCE, "expr": self.expression, "legendFormat": self.legend, "refId": letter,
            "format": form, "instant": self.instant, "range": not self.instant, "editorMode": "code",
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: a query for one value a row, its unit, and from where it is coloured."""

    title: str
    expression: str
    unit: str
    steps: Steps = ()
    gauge: bool = False


def to(uid: str, title: str, *, row: bool = False) -> Json:
    """Return a link to another dashboard about the container clicked: of a series, or of a table's row."""
    label = "${__data.fields.%s:percentencode}" if row else "${__field.labels.%s:percentencode}"
    about = "&".join(f"var-{name}={label % name}" for name in ("instance", "name", "id"))
    return _link(title, f"/d/{uid}?{KEPT}&{about}&${{__url_time_range}}")


def whole(uid: str, title: str) -> Json:
    """Return a link to another dashboard about the same machines and containers as this one."""
    return _link(title, f"/d/{uid}?${{__all_variables}}&${{__url_time_range}}")


def _link(title: str, url: str) -> Json:
    return {
        "type": "link", "title": title, "url": url, "icon": "", "tooltip": "", "tags": [], "asDropdown": False,
        "includeVars": False, "keepTime": False, "targetBlank": False,
    }  # fmt: skip


def graph(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    link: Json,
    width: int = 12,
    axis: str = "",
    stack: bool = False,
    limit: str | None = None,
) -> Json:
    """Return a chart over time; the series whose legend is `limit` is drawn as a dashed line."""
    custom = {
        "drawStyle": "line", "lineInterpolation": "linear", "lineWidth": 1, "fillOpacity": 20 if stack else 8,
        "showPoints": "never", "spanNulls": False, "axisLabel": axis, "axisSoftMin": 0,
        "stacking": {"mode": "normal" if stack else "none", "group": "A"},
    }  # fmt: skip
    panel = _panel("timeseries", title, description, unit, queries, link, width, 8)
    panel["fieldConfig"]["defaults"] |= {"color": {"mode": "palette-classic"}, "min": 0, "custom": custom}
    panel["fieldConfig"]["overrides"] = [_dashed(limit)] if limit else []
    panel["options"] = {
        "legend": {"displayMode": "table", "placement": "bottom", "showLegend": True,
                   "calcs": ["mean", "max", "lastNotNull"], "sortBy": "Max", "sortDesc": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }  # fmt: skip
    return panel


def bars(title: str, description: str, unit: str, *queries: Query, link: Json, width: int = 12) -> Json:
    """Return a chart of events: one stacked bar a step, for what a counter gained in it."""
    panel = graph(title, description, unit, *queries, link=link, width=width, stack=True)
    custom: Json = panel["fieldConfig"]["defaults"]["custom"]
    custom |= {"drawStyle": "bars", "fillOpacity": 80, "lineWidth": 0}
    panel["options"]["legend"]["calcs"] = ["sum"]
    panel["options"]["legend"].pop("sortBy")
    return panel


def stat(
    title: str, description: str, unit: str, query: Query, *, link: Json, width: int = 4, steps: Steps = NEUTRAL
) -> Json:
    """Return one big number, coloured by its steps, with its course behind it."""
    panel = _panel("stat", title, description, unit, [query], link, width, 4)
    panel["fieldConfig"]["defaults"] |= {"color": {"mode": "thresholds"}, "thresholds": _thresholds(steps)}
    panel["options"] = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value", "graphMode": "none" if query.instant else "area", "justifyMode": "auto",
        "orientation": "auto", "textMode": "auto", "wideLayout": True, "showPercentChange": False,
        "percentChangeColorMode": "standard",
    }  # fmt: skip
    return panel


def states(
    title: str, description: str, *queries: Query, link: Json, names: Mapping[str, tuple[str, str]], width: int = 12
) -> Json:
    """Return a band over time for each series; `names` maps a value to what it means and its colour."""
    panel = _panel("state-timeline", title, description, "none", queries, link, width, 8)
    results = {
        value: {"text": text, "color": color, "index": index} for index, (value, (text,
        color)) in enumerate(names.items())
    }
    panel["fieldConfig"]["defaults"] |= {
        "color": {"mode": "thresholds"}, "mappings": [{"type": "value", "options": results}],
        "custom": {"lineWidth": 0, "fillOpacity": 80},
    }  # fmt: skip
    panel["options"] = {
        "showValue": "never", "rowHeight": 0.8, "mergeValues": True, "alignValue": "left",
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "single", "sort": "none"},
    }  # fmt: skip
    return panel


def table(
    title: str,
    description: str,
    unit: str,
    *columns: Column,
    link: Json,
    labels: Mapping[str, str],
    sort: str,
    width: int = 24,
    height: int = 10,
) -> Json:
    """Return a table of the values now: a row for each set of `labels` (label -> heading), a column a query.

    Rows are joined on all their labels, so each query must give just these. A
    column without a unit is an info metric: its labels are shown, not its 1.
    """
    queries = [
        Query(column.expression if column.unit else f"max by ({', '.join(labels)}) ({column.expression})", instant=True)
        for column in columns
    ]
    panel = _panel("table", title, description, unit, queries, link, width, height)
    for target in panel["targets"]:
        target["format"] = "table"
    panel["transformations"] = _joined(columns, labels)
    panel["fieldConfig"]["defaults"] |= {
        "custom": {"align": "auto", "filterable": True, "cellOptions": {"type": "auto"}, "inspect": False},
        "color": {"mode": "thresholds"}, "thresholds": _thresholds(NEUTRAL),
    }  # fmt: skip
    panel["fieldConfig"]["overrides"] = [_cell(column) for column in columns if column.unit]
    panel["options"] = {
        "showHeader": True, "cellHeight": "sm", "frameIndex": 0,
        "footer": {"show": False, "reducer": ["sum"], "countRows": False},
        "sortBy": [{"displayName": sort, "desc": True}],
    }  # fmt: skip
    return panel


def _joined(columns: Sequence[Column], labels: Mapping[str, str]) -> list[Json]:
    """Return what makes one row of a table out of the answers that have the same labels, and calls its columns."""
    values = [f"Value #{letter}" if len(columns) > 1 else "Value" for letter in LETTERS[: len(columns)]]
    titled = list(zip(values, columns, strict=True))
    headings = dict(labels) | {value: column.title for value, column in titled if column.unit}
    unseen = ["Time", *(value for value, column in titled if not column.unit)]
    renamed = {name: heading for name, heading in headings.items() if name != heading}
    return [
        {"id": "merge", "options": {}},
        {"id": "organize", "options": {
            "excludeByName": dict.fromkeys(unseen, True),
            "indexByName": {name: place for place, name in enumerate(headings)},
            "renameByName": renamed,
        }},
    ]  # fmt: skip


def _panel(
    kind: str, title: str, description: str, unit: str, queries: Sequence[Query], link: Json, width: int, height: int
) -> Json:
    return {
        "type": kind, "title": title, "description": description, "datasource": DATASOURCE, "pluginVersion": VERSION,
        "gridPos": {"w": width, "h": height, "x": 0, "y": 0},
        "targets": [query.target(letter) for letter, query in zip(LETTERS, queries, strict=False)],
        "fieldConfig": {"defaults": {"unit": unit, "links": [link]}, "overrides": []},
        "options": {},
    }  # fmt: skip


def _thresholds(steps: Steps) -> Json:
    return {"mode": "absolute", "steps": [{"value": value, "color": color} for value, color in steps]}


def _dashed(legend: str) -> Json:
    line = {"fill": "dash", "dash": [8, 6]}
    alone = {"mode": "none", "group": "A"}
    return _override(legend, {"custom.lineStyle": line, "custom.fillOpacity": 0, "custom.stacking": alone})


def _cell(column: Column) -> Json:
    properties: Json = {"unit": column.unit}
    if column.steps:
        properties["thresholds"] = _thresholds(column.steps)
        properties["custom.cellOptions"] = {"type": "color-text"}
    if column.gauge:
        properties |= {"min": 0, "max": 1, "custom.cellOptions": {"type": "gauge", "mode": "basic"}}
    return _override(column.title, properties)


def _override(name: str, properties: Json) -> Json:
    return {
        "matcher": {"id": "byName", "options": name},
        "properties": [{"id": id_, "value": value} for id_, value in properties.items()],
    }
