"""Our own sandbox: <root>/containers/<id>/state.json, with the keys of `docker inspect`."""

from __future__ import annotations

from collections.abc import Iterator

from inspector.claims.files import items, names, record, short_name, word
from inspector.claims.who import Who
from inspector.kernel.host import Host
from inspector.layers import Claim, Layers

__all__ = ["sandbox"]


def sandbox(host: Host, root: str) -> Iterator[Claim]:
    """Return what belongs to the containers of a state directory."""
    for identifier in names(host, f"{root}/containers"):
        state = record(host, root, f"containers/{identifier}/state.json")
        if state.get("Id") != identifier:
            continue
        driver = state.get("GraphDriver")
        data = driver.get("Data") if isinstance(driver, dict) else None
        data = data if isinstance(data, dict) else {}
        upper, work, merged, lower = (word(data.get(f"{name}Dir")) for name in ("Upper", "Work", "Merged", "Lower"))
        who = Who(identifier, short_name(state, identifier), "sandbox")
        yield who.claim("state", f"{root}/containers/{identifier}")
        lowers = tuple(path for path in lower.split(":") if path.startswith("/"))
        yield from who.layers(Layers("overlay", lowers, upper or None, work or None, merged or None), store=False)
        for mount in items(state.get("Mounts")):
            yield from who.mount(word(mount.get("Source")), word(mount.get("Destination")))
