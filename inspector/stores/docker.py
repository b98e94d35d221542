"""Docker: <data-root>/containers/<id>/config.v2.json (moby, daemon/container/container.go)."""

from __future__ import annotations

from inspector.stores.facts import Facts, labels_of, mapping, moment, object_of, text

__all__ = ["config_facts", "parse_docker"]


def config_facts(document: dict[str, object]) -> Facts:
    """Take name, image and labels out of a container's JSON with Docker's keys."""
    config = mapping(document.get("Config"))
    labels = labels_of(config.get("Labels"))
    # cri-dockerd and the old dockershim name Kubernetes' containers by labels.
    pod, namespace = labels.get("io.kubernetes.pod.name", ""), labels.get("io.kubernetes.pod.namespace", "")
    return Facts(
        name=text(document.get("Name")).removeprefix("/"),
        image=text(config.get("Image")),
        pod=f"{namespace}/{pod}" if pod else "",
        labels=labels,
        health=text(mapping(mapping(document.get("State")).get("Health")).get("Status")),
        created=moment(document.get("Created")),
    )


# a file like {"ID":"4a7f...","Created":"2026-11-28T18:05:03.1Z","Name":"/web","Config":{"Image":"nginx:1.27",...}}
def parse_docker(data: bytes, _: str) -> Facts:
    """Parse config.v2.json; anything else in it is ignored."""
    return config_facts(object_of("config.v2.json", data))
