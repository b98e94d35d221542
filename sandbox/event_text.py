"""Events as `sandbox events` prints them, and which are asked for; pure (moby daemon/events/filter.go)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence

from sandbox.errors import printable
from sandbox.events import Event
from sandbox.filters import split_filter
from sandbox.template import render

__all__ = ["chooser", "line"]



def chooser(filters: Sequence[str]) -> Callable[[Event], bool]:
    """Return whether an event is wanted: any of the values of one key, for every key; labels all."""
    by_key: dict[str, list[str]] = {}
    for text in filters:
        key, value = split_filter(text, MATCH)
        by_key.setdefault(key, []).append(value)

    def wanted(event: Event) -> bool:
        return all(
            (all if key == "label" else any)(MATCH[key](event, value) for value in values)
            for key, values in by_key.items()
        )

    return wanted


def _container(event: Event, value: str) -> bool:
    actor = event["Actor"]
    return bool(value) and (actor["ID"].startswith(value) or actor["Attributes"].get("name") == value)


def _label(event: Event, value: str) -> bool:
    key, equals, wanted = value.partition("=")
    found = event["Actor"]["Attributes"]
    return key in found and (not equals or found[key] == wanted)


MATCH: dict[str, Callable[[Event, str], bool]] = {
    "container": _container,
    "event": lambda event, value: event["Action"] == value or event["Action"].split(":")[0] == value,
    "image": lambda event, value: event["Actor"]["Attributes"].get("image") == value,
    "label": _label,
    "type": lambda event, value: event["Type"] == value,
}


def line(event: Event, template: str = "") -> str:
    """Return an event as Docker's line, by a template, or as JSON; what a container chose is made printable."""
    if template in ("json", "{{json .}}"):
        return json.dumps(event)
    if template:
        return printable(render(event, template))
    nanoseconds = event["timeNano"]
    local = time.localtime(nanoseconds // 10**9)
    zone = time.strftime("%z", local)
    zone = f"{zone[:3]}:{zone[3:]}" if int(zone) else "Z"
    when = f"{time.strftime('%Y-%m-%dT%H:%M:%S', local)}.{nanoseconds % 10**9:09d}{zone}"
    attributes = ", ".join(f"{key}={value}" for key, value in sorted(event["Actor"]["Attributes"].items()))
    return printable(f"{when} {event['Type']} {event['Action']} {event['Actor']['ID']} ({attributes})")
