"""The frame of a dashboard: variables, links between the dashboards, and the places of the panels."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from dashboards.generate.panels import DATASOURCE, Json
from dashboards.generate.promql import TARGET

__all__ = ["dashboard", "text", "variable"]

TAG = "cgscope"
COLUMNS = 24
SCHEMA_VERSION = 41  # Grafana 11 and later read it


def variable(
    name: str, query: str, *, description: str, label: str | None = None, many: bool = True, hidden: bool = False
) -> Json:
    """Return a variable filled by a query; `many` allows several values and All, which is any but the empty one."""
    made = {
        "type": "query", "name": name, "label": label or name.title(), "description": description,
        "datasource": DATASOURCE, "query": query, "refresh": 2, "sort": 1, "regex": "",
        "multi": many, "includeAll": many, "hide": 2 if hidden else 0, "options": [], "skipUrlSync": False,
    }  # fmt: skip
    if many:
        made |= {"allValue": ".+", "current": {"text": "All", "value": "$__all"}}
    return made


def dashboard(
    uid: str,
    title: str,
    description: str,
    rows: Iterable[tuple[str, Sequence[Json]]],
    *,
    variables: Sequence[Json] = (),
    annotations: Sequence[Json] = (),
    since: str = "now-1h",
) -> Json:
    """Return a dashboard: `rows` are headings and the panels below each, from the left as they fit."""
    return {
        "uid": uid, "title": f"cgscope / {title}", "description": description, "tags": [TAG], "version": 1,
        "schemaVersion": SCHEMA_VERSION, "editable": False, "graphTooltip": 1, "timezone": "browser", "refresh": "30s",
        "time": {"from": since, "to": "now"}, "timepicker": {}, "fiscalYearStartMonth": 0, "liveNow": False,
        "weekStart": "", "links": [_others()], "annotations": {"list": list(annotations)},
        "templating": {"list": [*_scope(), *variables]}, "panels": list(_placed(rows)),
    }  # fmt: skip


def text(model: Json) -> str:
    """Return the file's text: the same bytes for the same model."""
    return json.dumps(model, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _scope() -> list[Json]:
    """Return the variables that all dashboards have."""
    source = {
        "type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus", "regex": "",
        "refresh": 1, "multi": False, "includeAll": False, "hide": 0, "options": [], "skipUrlSync": False,
        "description": "The Prometheus that scrapes cgscope-exporter.",
    }  # fmt: skip
    return [
        source,
        variable("job", "label_values(cgscope_build_info, job)", description="The scrape job of cgscope-exporter."),
        variable("instance", 'label_values(cgscope_build_info{job=~"$job"}, instance)', description="The machines."),
    ]


def _others() -> Json:
    return {
        "type": "dashboards", "tags": [TAG], "title": "cgscope", "icon": "external link", "tooltip": "",
        "asDropdown": False, "includeVars": True, "keepTime": True, "targetBlank": False, "url": "",
    }  # fmt: skip


def _placed(rows: Iterable[tuple[str, Sequence[Json]]]) -> Iterable[Json]:
    """Yield headings and panels with their ids and places, line after line."""
    id_, y = 0, 0
    for title, panels in rows:
        id_, x, tallest = id_ + 1, 0, 0
        yield {"type": "row", "id": id_, "title": title, "collapsed": False, "panels": [],
               "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1}}  # fmt: skip
        y += 1
        for panel in panels:
            id_ += 1
            size = panel["gridPos"]
            if x + size["w"] > COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            yield panel | {"id": id_, "gridPos": size | {"x": x, "y": y}}
            x, tallest = x + size["w"], max(tallest, size["h"])
        y += tallest


# The containers a dashboard can be narrowed to.
IMAGE = variable(
    "image", f"label_values(container_last_seen{{{TARGET}}}, image)", description="Image, or runtime where there is "
    "none."
)
NAME = variable(
    "name",
    f'label_values(container_last_seen{{{TARGET},image=~"$image"}}, name)',
    description="Container, by the name its runtime gave it.",
    label="Container",
)
