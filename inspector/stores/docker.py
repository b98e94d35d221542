"""Docker: <data-root>/containers/<id>/config.v2.json (moby, daemon/container/container.go)."""

from __future__ import annotations

from inspector.stores.facts import Facts, labels_of, mapping, moment, object_of, text

__all__ = ["config_facts", "parse_docker", "parse_start"]

HOSTNAME = "/etc/hostname"


def config_facts(document: dict[str, object]) -> Facts:
    """Take name, image and labels out of a container's JSON with Docker's keys."""
    config = mapping(document.get("Config"))
    labels = labels_of(config.get("Labels"))
    # cri-dockerd and the old dockershim name Kubernetes' containers by labels.
    pod, namespace = labels.get("io.kubernetes.pod.name", ""), labels.get("io.kubernetes.pod.namespace", "")
    return Facts(
        name=(labels.get("io.kubernetes.container.name", "") if pod else "")
        or text(document.get("Name")).removeprefix("/"),
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


# a file like {"mounts":[{"destination":"/etc/hostname","source":"/data/docker/containers/4a7f.../hostname"}],...}
def parse_start(data: bytes, _: str) -> Facts:
    """Parse the config.json that Docker has runc start a container from: where it keeps the rest, whatever its root."""
    mounts = object_of("config.json", data).get("mounts")
    found = [mapping(one) for one in mounts] if isinstance(mounts, list) else []
    source = next((text(one.get("source")) for one in found if one.get("destination") == HOSTNAME), "")
    return Facts(kept_in=source.rpartition("/")[0] if source.startswith("/") else "")
