"""containers/storage, of Podman, CRI-O and Buildah: <graphroot>/overlay-containers/{,volatile-}containers.json.

Since storage 1.45 (Podman 4.4) containers that need not survive a crash, those of `podman run --rm` and so of quadlets,
are in the second alone (containers.go, newContainerStore).

Podman's health checks: <runroot>/overlay-containers/<id>/healthcheck.log (podman, libpod/healthcheck.go).
"""

from __future__ import annotations

import json

from inspector.errors import ParseError
from inspector.stores.facts import Facts, mapping, moment, object_of, text

__all__ = ["parse_check", "parse_containers"]


# a file like [{"id":"4a7f...","names":["web"],"metadata":"{\"image-name\":\"docker.io/nginx\",\"name\":\"web\"}"}]
def parse_containers(data: bytes, identifier: str) -> Facts:
    """Parse containers.json: the list of all containers; the one with that id is taken."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ParseError("containers.json", "not JSON") from error
    entries = [mapping(entry) for entry in found] if isinstance(found, list) else []
    entry = next((entry for entry in entries if entry.get("id") == identifier), {})
    names = entry.get("names")
    metadata: dict[str, object] = {}
    if text(entry.get("metadata")):
        metadata = object_of("containers.json", text(entry["metadata"]).encode(errors="surrogatepass"))
    return Facts(
        name=text(metadata.get("name")) or (text(names[0]) if isinstance(names, list) and names else ""),
        image=text(metadata.get("image-name")) or text(entry.get("image")),
        created=moment(entry.get("created")),
    )


# a file like {"Status":"unhealthy","FailingStreak":1,"Log":[{"Start":"2026-12-01T16:22:08.1Z","ExitCode":1,...}]}
def parse_check(data: bytes, _: str) -> Facts:
    """Parse healthcheck.log, which is there where a container has a check."""
    return Facts(health=text(object_of("healthcheck.log", data).get("Status")))
