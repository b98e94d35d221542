"""cgscope's inspector: reads namespaces, cgroups and mounts, and says which processes form a container.

    from inspector import inspect, snapshot

    print([one["name"] for one in snapshot()["containers"]])
    print(inspect("self")["really_has"])

The names below are the public ones; they are imported when first used, so
that a program that needs one kernel file does not pay for the rest.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from inspector.api import inspect, snapshot
    from inspector.errors import InspectorError, NoSuchContainer, NoSuchProcess, ParseError
    from inspector.fields import FIELDS, Field
    from inspector.kernel.host import Host
    from inspector.model import Observation
    from inspector.observe import Observer

__all__ = [
    "FIELDS",
    "Field",
    "Host",
    "InspectorError",
    "NoSuchContainer",
    "NoSuchProcess",
    "Observation",
    "Observer",
    "ParseError",
    "inspect",
    "snapshot",
]

_HOMES = {
    "FIELDS": "fields",
    "Field": "fields",
    "Host": "kernel.host",
    "InspectorError": "errors",
    "NoSuchContainer": "errors",
    "NoSuchProcess": "errors",
    "Observation": "model",
    "Observer": "observe",
    "ParseError": "errors",
    "inspect": "api",
    "snapshot": "api",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
