"""Events as `sandbox events` prints them, and which are asked for; pure (moby daemon/events/filter.go)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence

from sandbox.errors import printable
from sandbox.events import Event
from sandbox.filters import split_filter
from sandbox.images.reference import split
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


def _named(event: Event, value: str) -> bool:
    actor = event["Actor"]
    return bool(value) and (actor["ID"].startswith(value) or actor["Attributes"].get("name") == value)


def _of(kind: str) -> Callable[[Event, str], bool]:
    """Return what tells whether an event is one of a container, volume or network of a name or id."""
    return lambda event, value: event["Type"] == kind and _named(event, value)


def _image(event: Event, value: str) -> bool:
    """Tell whether it is about an image of this name (without a tag: whatever its tag) or id, or a container of it."""
    is_image = event["Type"] == "image"
    name = event["Actor"]["Attributes"].get("name" if is_image else "image", "")
    return bool(value) and (value in (name, split(name)[0]) or (is_image and value == event["Actor"]["ID"]))


def _label(event: Event, value: str) -> bool:
    key, equals, wanted = value.partition("=")
    found = event["Actor"]["Attributes"]
    return key in found and (not equals or found[key] == wanted)


MATCH: dict[str, Callable[[Event, str], bool]] = {
    "container": _of("container"),
    "event": lambda event, value: event["Action"] == value or event["Action"].split(":")[0] == value,
    "image": _image,
    "label": _label,
    "network": _of("network"),
    "scope": lambda event, value: event["scope"] == value,
    "type": lambda event, value: event["Type"] == value,
    "volume": _of("volume"),
}


def _older(event: Event) -> Event:
    """Return the keys that events had before they had actors, which Docker still gives (moby api/types/events)."""
    if event["Type"] not in ("container", "image"):
        return {}
    found = {"status": event["Action"], "id": event["Actor"]["ID"]}
    return found | ({"from": event["Actor"]["Attributes"].get("image", "")} if event["Type"] == "container" else {})


def _by_field(event: Event) -> Event:
    """Return an event by the names of Go's fields, as templates have it; by those of JSON too."""
    older = {"status": "", "id": "", "from": "", **_older(event)}
    names = {"Status": older["status"], "ID": older["id"], "From": older["from"]}
    return {**older, **event, **names, "Scope": event["scope"], "Time": event["time"], "TimeNano": event["timeNano"]}


def line(event: Event, template: str = "") -> str:
    """Return an event as Docker's line, by a template, or as JSON; what a container chose is made printable."""
    if template in ("json", "{{json .}}"):
        return json.dumps({**_older(event), **event}, separators=(",", ":"))
    if template:
        return printable(render(_by_field(event), template))
    nanoseconds = event["timeNano"]
    local = time.localtime(nanoseconds // 10**9)
    zone = time.strftime("%z", local)
    zone = f"{zone[:3]}:{zone[3:]}" if int(zone) else "Z"
    when = f"{time.strftime('%Y-%m-%dT%H:%M:%S', local)}.{nanoseconds % 10**9:09d}{zone}"
    attributes = ", ".join(f"{key}={value}" for key, value in sorted(event["Actor"]["Attributes"].items()))
    return printable(f"{when} {event['Type']} {event['Action']} {event['Actor']['ID']} ({attributes})")
