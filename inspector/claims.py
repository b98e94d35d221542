"""What the containers of a store own, running or not: read from the runtimes' own files, as data and never trusted.

- Docker: <root>/image/overlay2/layerdb/mounts/<id>/mount-id names <root>/overlay2/<mount-id>/{diff,work,merged,lower}
- Podman, CRI-O: <root>/overlay-containers/containers.json names <root>/overlay/<layer>/{diff,work,merged,lower}
- our sandbox: <root>/containers/<id>/state.json, with the keys of `docker inspect`
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from inspector.kernel.host import Host
from inspector.layers import Claim, Layers, Role

__all__ = ["Who", "stopped"]

MOST_BYTES = 1 << 20
MOST_CONTAINERS = 10_000
DOCKER_MOUNTS = "image/overlay2/layerdb/mounts"
PODMAN_CONTAINERS = "overlay-containers/containers.json"


@dataclass(frozen=True, slots=True)
class Who:
    """A container, as its claims name it."""

    id: str
    name: str
    runtime: str | None
    running: bool

    def claim(self, role: Role, path: str, inside: str | None = None, layer: int | None = None) -> Claim:
        """Make a claim of its."""
        return Claim(self.id, self.name, self.runtime, self.running, role, path, inside, layer)

    def layers(self, layers: Layers, *, store: bool) -> Iterator[Claim]:
        """Claim all layers; with `store` also the directory around the upper one, which is the container's alone."""
        places: tuple[tuple[Role, str | None], ...] = (("upper", layers.upper), ("merged", layers.merged))
        yield from (self.claim(role, path, "/") for role, path in places if path)
        if layers.work:
            yield self.claim("work", layers.work)
        for number, path in enumerate(layers.lower, 1):
            if path != "/":  # the machine's own root as an image is no layer of one container
                yield self.claim("lower", path, "/", number)
        around = posixpath.dirname(layers.upper or "")
        if store and around not in ("", "/") and around == posixpath.dirname(layers.work or ""):
            yield self.claim("state", around)


def stopped(host: Host, root: str) -> tuple[Claim, ...]:
    """Return what belongs to the containers of the store at `root`, running or not; none where it is no store."""
    return (*_docker(host, root), *_storage(host, root), *_sandbox(host, root))


def _docker(host: Host, root: str) -> Iterator[Claim]:
    for identifier in _list(host, f"{root}/{DOCKER_MOUNTS}"):
        layer = _text(host, root, f"{DOCKER_MOUNTS}/{identifier}/mount-id")
        config = _object(host, root, f"containers/{identifier}/config.v2.json")
        who = Who(identifier, _string(config.get("Name")).removeprefix("/") or identifier[:12], "docker", running=False)
        yield who.claim("state", f"{root}/containers/{identifier}")
        yield from _layer(host, who, f"{root}/overlay2", layer)
        points = config.get("MountPoints")
        for point in points.values() if isinstance(points, dict) else ():
            source = _string(point.get("Source")) if isinstance(point, dict) else ""
            name = _string(point.get("Name")) if source == "" and isinstance(point, dict) else ""
            source = source or (f"{root}/volumes/{name}/_data" if name and "/" not in name else "")
            if source.startswith("/"):
                role: Role = "volume" if point.get("Type") == "volume" else "mounted-from"
                yield who.claim(role, posixpath.normpath(source), _string(point.get("Destination")) or None)


def _storage(host: Host, root: str) -> Iterator[Claim]:
    for entry in _json(host, root, PODMAN_CONTAINERS, list):
        identifier = _string(entry.get("id")) if isinstance(entry, dict) else ""
        if not identifier or "/" in identifier:
            continue
        names = entry.get("names")
        name = _string(names[0]) if isinstance(names, list) and names else ""
        who = Who(identifier, name or identifier[:12], "podman", running=False)
        yield who.claim("state", f"{root}/overlay-containers/{identifier}")
        yield from _layer(host, who, f"{root}/overlay", _string(entry.get("layer")))


def _layer(host: Host, who: Who, home: str, layer: str) -> Iterator[Claim]:
    """Claim the layer of a container in the store of Docker or Podman, and those its file `lower` names."""
    if not layer or "/" in layer or layer.startswith("."):
        return
    places: list[str] = []
    for link in filter(None, _text(host, home, f"{layer}/lower").split(":")):
        try:
            target = posixpath.join(home, posixpath.dirname(link), host.readlink(posixpath.join(home, link)))
            places.append(posixpath.normpath(target))
        except (OSError, ValueError):
            continue
    own = f"{home}/{layer}"
    layers = Layers("overlay", tuple(places), f"{own}/diff", f"{own}/work", f"{own}/merged")
    yield from who.layers(layers, store=True)
    yield who.claim("state", f"{own}-init")


def _sandbox(host: Host, root: str) -> Iterator[Claim]:
    for identifier in _list(host, f"{root}/containers"):
        state = _object(host, root, f"containers/{identifier}/state.json")
        if state.get("Id") != identifier:
            continue
        driver = state.get("GraphDriver")
        data = driver.get("Data") if isinstance(driver, dict) else None
        data = data if isinstance(data, dict) else {}
        upper, work, merged, lower = (_string(data.get(f"{n}Dir")) for n in ("Upper", "Work", "Merged", "Lower"))
        who = Who(identifier, _string(state.get("Name")).removeprefix("/") or identifier[:12], "sandbox", running=False)
        yield who.claim("state", f"{root}/containers/{identifier}")
        lowers = tuple(path for path in lower.split(":") if path.startswith("/"))
        yield from who.layers(Layers("overlay", lowers, upper or None, work or None, merged or None), store=False)
        mounts = state.get("Mounts")
        for mount in mounts if isinstance(mounts, list) else ():
            source = _string(mount.get("Source")) if isinstance(mount, dict) else ""
            if source.startswith("/"):
                yield who.claim("mounted-from", posixpath.normpath(source), _string(mount.get("Destination")) or None)


def _list(host: Host, directory: str) -> list[str]:
    try:
        return [name for name in host.listdir(directory) if not name.startswith(".")][:MOST_CONTAINERS]
    except OSError:
        return []


def _text(host: Host, store: str, relative: str) -> str:
    try:
        return host.read_inside(store, relative, MOST_BYTES).decode(errors="surrogateescape").strip()
    except OSError:
        return ""


def _json(host: Host, store: str, relative: str, kind: type[Any]) -> Any:  # noqa: ANN401  any JSON of that kind
    try:
        found = json.loads(_text(host, store, relative) or "null")
    except (ValueError, RecursionError):
        return kind()
    return found if isinstance(found, kind) else kind()


def _object(host: Host, store: str, relative: str) -> dict[str, Any]:
    return dict(_json(host, store, relative, dict))


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""
