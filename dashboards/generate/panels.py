"""Panels of Grafana's model: one function a kind. Each has a title, a description, a unit and a way to look closer.

The dashboard gives a panel its place and id; here it has only its size, in the 24 columns of Grafana's grid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    "DATASOURCE", "SEVERITY", "Column", "Json", "Query", "Steps", "bars", "graph", "ranking", "stat", "states", "table",
    "to", "when_empty", "whole", "with_name",
]  # fmt: skip

Json = dict[str, Any]
Steps = Sequence[tuple[float | None, str]]
Names = Mapping[str, tuple[str, str]]  # a value -> what it means, and its colour

DATASOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
VERSION = "11.6.0"
KEPT = "${datasource:queryparam}&${job:queryparam}"
NEUTRAL: Steps = ((None, "blue"),)
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
DECIMALS = {"percentunit": 1, "short": 0}
BY_CONTAINER = "{{name}} @ {{instance}}"
SEVERITY: Names = {"3": ("critical", "red"), "2": ("warning", "orange"), "1": ("info", "blue")}
# How far an axis goes at least: one of zeros alone is drawn to 100, which is 10000 % of a share.
SMALLEST_TOP = {"percentunit": 0.1, "short": 1, "ops": 1, "iops": 1, "pps": 1}

PLAIN_TABLE: Json = {
    "showHeader": True, "cellHeight": "sm", "frameIndex": 0,
    "footer": {"show": False, "reducer": ["sum"], "countRows": False},
}  # fmt: skip


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
    """One column of a table: a query for one value a row, its unit, and from where it is coloured.

    `names` are told in place of the values, which order the rows; such a column comes first.
    """

    title: str
    expression: str
    unit: str
    steps: Steps = ()
    decimals: int | None = None
    names: Names | None = None


def to(uid: str, title: str, *, row: bool = False) -> Json:
    """Return a link to another dashboard about the container clicked: of a series, or of a table's row."""
    label = "${__data.fields.%s:percentencode}" if row else "${__field.labels.%s:percentencode}"
    about = f"var-instance={label % 'instance'}&var-container={label % 'name'}&var-id={label % 'id'}"
    return _link(title, f"/d/{uid}?{KEPT}&{about}&${{__url_time_range}}")


def whole(uid: str, title: str) -> Json:
    """Return a link to another dashboard about the same machines and containers as this one."""
    return _link(title, f"/d/{uid}?${{__all_variables}}&${{__url_time_range}}")


def with_name(uid: str, title: str) -> Json:
    """Return a link from the dashboard of one container to another, about that container."""
    about = "${instance:queryparam}&var-name=${container:percentencode}"
    return _link(title, f"/d/{uid}?{KEPT}&{about}&${{__url_time_range}}")


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
    """Return a chart over time; the series whose legend is `limit`, or fits it as /a pattern/, is a dashed line."""
    custom = {
        "drawStyle": "line", "lineInterpolation": "linear", "lineWidth": 1, "fillOpacity": 20 if stack else 8,
        "showPoints": "never", "spanNulls": False, "axisLabel": axis, "axisSoftMin": 0,
        "stacking": {"mode": "normal" if stack else "none", "group": "A"},
    }  # fmt: skip
    if unit in SMALLEST_TOP and not axis:
        custom["axisSoftMax"] = SMALLEST_TOP[unit]
    panel = _panel("timeseries", title, description, unit, queries, link, width, 8)
    if unit == "short" and not axis:  # a number of things
        panel["fieldConfig"]["defaults"]["decimals"] = 0
    panel["fieldConfig"]["defaults"] |= {"color": {"mode": "palette-classic"}, "min": 0, "custom": custom}
    panel["fieldConfig"]["overrides"] = [_dashed(limit)] if limit else []
    panel["options"] = {
        "legend": {"displayMode": "table", "placement": "bottom", "showLegend": True,
                   "calcs": ["mean", "max", "lastNotNull"], "sortBy": "Max", "sortDesc": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }  # fmt: skip
    return panel


def ranking(
    title: str, description: str, unit: str, expression: str, *, link: Json, width: int = 12, axis: str = "",
    stack: bool = False,
) -> Json:  # fmt: skip
    """Return a chart of the 15 containers that have most of something; those that have nothing of it are not in it."""
    query = Query(f"topk(15, {expression} > 0)", BY_CONTAINER)
    panel = graph(title, f"{description} The 15 highest.", unit, query, link=link, width=width, axis=axis, stack=stack)
    # A container that is among them once only has a point there.
    panel["fieldConfig"]["defaults"]["custom"]["showPoints"] = "auto"
    panel["options"]["legend"]["calcs"] = ["max", "lastNotNull"]
    return when_empty("Nothing above 0", panel)


def bars(title: str, description: str, *queries: Query, link: Json, width: int = 12) -> Json:
    """Return a chart of events: one stacked bar a minute or longer step, for what a counter gained in it."""
    panel = graph(title, description, "short", *queries, link=link, width=width, stack=True)
    # A step of a minute is what rate() looks back, but for one scrape: each event is in one bar.
    panel["interval"] = "1m"
    panel["fieldConfig"]["defaults"]["custom"] |= {"drawStyle": "bars", "fillOpacity": 80, "lineWidth": 0}
    panel["options"]["legend"] |= {"calcs": ["sum"], "sortBy": "Total"}
    return when_empty("None", panel)


def when_empty(text: str, panel: Json) -> Json:
    """Return a panel that says this where it would say "No data"."""
    panel["fieldConfig"]["defaults"]["noValue"] = text
    return panel


def stat(
    title: str, description: str, unit: str, query: Query, *, link: Json, width: int = 4, steps: Steps = NEUTRAL
) -> Json:
    """Return one big number, coloured by its steps, with its course behind it."""
    panel = _panel("stat", title, description, unit, [query], link, width, 4)
    panel["fieldConfig"]["defaults"] |= {"color": {"mode": "thresholds"}, "thresholds": _thresholds(steps)}
    if unit in DECIMALS:
        panel["fieldConfig"]["defaults"]["decimals"] = DECIMALS[unit]
    panel["options"] = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value", "graphMode": "none" if query.instant else "area", "justifyMode": "auto",
        "orientation": "auto", "textMode": "auto", "wideLayout": True, "showPercentChange": False,
        "percentChangeColorMode": "standard",
    }  # fmt: skip
    return panel


def states(title: str, description: str, *queries: Query, link: Json, names: Names, width: int = 12) -> Json:
    """Return a band over time for each series; `names` maps a value to what it means and its colour."""
    panel = _panel("state-timeline", title, description, "none", queries, link, width, 8)
    panel["fieldConfig"]["defaults"] |= {
        "color": {"mode": "thresholds"}, "mappings": _mappings(names), "custom": {"lineWidth": 0, "fillOpacity": 80},
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
    *columns: Column,
    link: Json,
    labels: Mapping[str, str],
    sort: str,
    width: int = 24,
    height: int = 10,
) -> Json:
    """Return a table of the values now: a row for each set of `labels` (label -> heading), a column a query.

    Rows are joined on all their labels, so each query must give just these; a
    label without a heading is not shown. A column without a unit is an info
    metric: its labels are shown, not its 1. The first label carries the link.
    """
    queries = [
        Query(column.expression if column.unit else f"max by ({', '.join(labels)}) ({column.expression})", instant=True)
        for column in columns
    ]
    # A unit of the whole table would be that of the labels, too, and a text read as a number is NaN.
    panel = _panel("table", title, description, "none", queries, link, width, height)
    for target in panel["targets"]:
        target["format"] = "table"
    panel["transformations"] = _joined(columns, labels)
    if len(columns) == 1:
        when_empty("None", panel)  # of several columns, one value that is missing would say so, too
    del panel["fieldConfig"]["defaults"]["links"]
    panel["fieldConfig"]["defaults"] |= {
        "custom": {"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False, "minWidth": 90},
        "color": {"mode": "thresholds"}, "thresholds": _thresholds(NEUTRAL),
    }  # fmt: skip
    headed = [_heading(label, heading, link if label == next(iter(labels)) else None) for label, heading in
              labels.items()]  # fmt: skip
    panel["fieldConfig"]["overrides"] = headed + [_cell(column) for column in columns if column.unit]
    panel["options"] = {**PLAIN_TABLE, "sortBy": [{"displayName": sort, "desc": True}]}
    return panel


def _joined(columns: Sequence[Column], labels: Mapping[str, str]) -> list[Json]:
    """Return what makes one row of a table out of the answers that have the same labels, and calls its columns."""
    values = [f"Value #{letter}" if len(columns) > 1 else "Value" for letter in LETTERS[: len(columns)]]
    titled = list(zip(values, columns, strict=True))
    first = [value for value, column in titled if column.names]
    order = [*first, *labels, *(value for value, column in titled if column.unit and value not in first)]
    unseen = ["Time", *(value for value, column in titled if not column.unit)]
    return [
        {"id": "merge", "options": {}},
        {"id": "organize", "options": {
            "excludeByName": dict.fromkeys(unseen, True),
            "indexByName": {name: place for place, name in enumerate(order)},
            "renameByName": {value: column.title for value, column in titled if column.unit},
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


def _mappings(names: Names) -> list[Json]:
    results = {
        value: {"text": text, "color": color, "index": index}
        for index, (value, (text, color)) in enumerate(names.items())
    }
    return [{"type": "value", "options": results}]


def _dashed(legend: str) -> Json:
    line = {"fill": "dash", "dash": [8, 6]}
    alone = {"mode": "none", "group": "A"}
    return _override(legend, {"custom.lineStyle": line, "custom.fillOpacity": 0, "custom.stacking": alone})


def _heading(label: str, heading: str, link: Json | None) -> Json:
    properties: Json = {"displayName": heading, "custom.filterable": True} if heading else {"custom.hidden": True}
    return _override(label, properties | ({"links": [link]} if link else {}))


def _cell(column: Column) -> Json:
    # So wide that the heading can be read: 8 pixels a letter, and the arrow of the sorting; or "59 minutes ago".
    letters = max(len(column.title), 12 if column.unit == "dateTimeFromNow" else 7)
    properties: Json = {"unit": column.unit, "custom.width": 8 * letters + 36}
    if column.decimals is not None or column.unit == "percentunit":
        properties["decimals"] = 1 if column.decimals is None else column.decimals
    if column.names:
        properties |= {"mappings": _mappings(column.names), "custom.align": "left"}
    if column.steps:
        properties["thresholds"] = _thresholds(column.steps)
    if column.names or column.steps:
        properties["custom.cellOptions"] = {"type": "color-text"}
    return _override(column.title, properties)


def _override(name: str, properties: Json) -> Json:
    matcher = "byRegexp" if name.startswith("/") else "byName"
    return {
        "matcher": {"id": matcher, "options": name},
        "properties": [{"id": id_, "value": value} for id_, value in properties.items()],
    }
