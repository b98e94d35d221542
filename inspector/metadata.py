"""The name and image a runtime keeps in its own files: read as data, never trusted, never through a socket.

- Docker: <data-root>/containers/<id>/config.v2.json (moby, container.Container)
- our sandbox: <root>/containers/<id>/state.json

The data root is taken from the container's own overlay layers, so that a
runtime with another root than the usual one is named too.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from inspector.absence import Absence
from inspector.errors import ParseError
from inspector.kernel.host import Host
from inspector.kernel.mounts import overlay_layers
from inspector.model import Container

__all__ = ["Metadata", "parse_docker", "parse_sandbox"]

MOST_BYTES = 1 << 20
MOST_LABELS = 100
Facts = dict[str, Any]


def _object(what: str, data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ParseError(what, data) from error
    if not isinstance(found, dict):
        raise ParseError(what, data)
    return found


def _text(value: object, default: str = "") -> str:
    return value if isinstance(value, str) and value else default


def _config(document: dict[str, Any]) -> Facts:
    config = document.get("Config")
    config = config if isinstance(config, dict) else {}
    labels = config.get("Labels")
    pairs = labels.items() if isinstance(labels, dict) else ()
    return {
        "name": _text(document.get("Name")).removeprefix("/"),
        "image": _text(config.get("Image")),
        "labels": {key: value for key, value in list(pairs)[:MOST_LABELS] if isinstance(value, str)},
    }


# a file like {"ID":"4a7f...","Name":"/web","Config":{"Image":"nginx:1.27","Labels":{"a":"b"}}}
def parse_docker(data: bytes) -> Facts:
    """Parse Docker's config.v2.json: name, image and labels; anything else in it is ignored."""
    return _config(_object("config.v2.json", data))


# a file like {"Id":"4a7f...","Name":"busy","Config":{"Image":"/"}}
def parse_sandbox(data: bytes) -> Facts:
    """Parse the state.json of our sandbox: the keys of `docker inspect`."""
    return _config(_object("state.json", data))


# runtime: what stands in a layer's path before the container's own directories, its usual root, the file, its parser
PLACES: dict[str, tuple[tuple[str, ...], tuple[str, ...], str, Callable[[bytes], Facts]]] = {
    "docker": (("/overlay2/", "/vfs/"), ("/var/lib/docker",), "config.v2.json", parse_docker),
    "sandbox": (("/containers/",), ("/var/lib/cgscope", "/run/cgscope"), "state.json", parse_sandbox),
}


class Metadata:
    """Names containers; what was found for an id is remembered until the next refresh."""

    def __init__(self, host: Host, absence: Absence) -> None:
        self._host = host
        self._attempt = absence.attempt
        self._known: dict[str, Facts] = {}

    def begin(self, *, refresh: bool) -> None:
        """Start a tick; at a refresh a name is read again: a container can be renamed."""
        if refresh:
            self._known.clear()

    def named(self, container: Container) -> Container:
        """Return the container with its runtime's name, image and labels, where it left them in files."""
        place = PLACES.get(container.runtime or "")
        if place is None:
            return container
        facts = self._known.get(container.id)
        if facts is None:
            facts = self._known[container.id] = self._find(container, place) or {}
        return replace(
            container,
            name=facts.get("name") or container.name,
            image=facts.get("image") or container.image,
            labels=facts.get("labels") or {},
        )

    def _find(self, container: Container, place: tuple[Any, ...]) -> Facts | None:
        markers, usual, file, parse = place
        for root in dict.fromkeys((*self._roots(container, markers), *usual)):
            path = f"{root}/containers/{container.id}/{file}"
            data = self._attempt(path, self._host.read_prefix, path, MOST_BYTES)
            if data:
                return self._attempt(path, parse, data)
        return None

    def _roots(self, container: Container, markers: tuple[str, ...]) -> list[str]:
        root = container.leader.root if container.leader else None
        overlay = overlay_layers(root) if root else None
        upper = (overlay.upper if overlay else None) or ""
        return [upper.partition(marker)[0] for marker in markers if marker in upper]
