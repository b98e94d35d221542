"""Our own sandbox: <root>/containers/<id>/state.json, with the keys of `docker inspect`."""

from __future__ import annotations

from inspector.stores.docker import config_facts
from inspector.stores.facts import Facts, object_of

__all__ = ["parse_sandbox"]


# a file like {"Id":"4a7f...","Name":"busy","Config":{"Image":"/"}}
def parse_sandbox(data: bytes, _: str) -> Facts:
    """Parse state.json."""
    return config_facts(object_of("state.json", data))
