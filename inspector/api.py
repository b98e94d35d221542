"""The inspector from Python: what `ctop --json` and `nsinspect --json` print, as dicts.

    from inspector import inspect, snapshot

    for one in snapshot(interval=0.5)["containers"]:
        print(one["name"], one["runtime"], one["cpu"]["usage_cores"], one["memory"]["limit_bytes"])
    print(inspect("self")["really_has"])

For look after look, with the files kept open: Observer and document.
"""

from __future__ import annotations

import math
import time

from inspector.document import document
from inspector.kernel.host import Host
from inspector.nsinspect import examine
from inspector.observe import Observer
from inspector.report import Report
from inspector.schema import Document

__all__ = ["inspect", "snapshot"]


def snapshot(interval: float = 1.0, *, groups: bool = False, processes: bool = False) -> Document:
    """Return the document of `ctop --json` for this machine, its types in inspector.schema.

    Two looks, `interval` seconds apart: rates cover what is between. With 0 there is one look, and rates are None.
    `groups` adds services and plain control groups, `processes` each container's. ValueError for an interval that is
    no time to wait; InspectorError where /proc cannot be understood.
    """
    if not (math.isfinite(interval) and interval >= 0):
        raise ValueError(f"interval: seconds from 0 on, not {interval!r}")
    with Host() as host:
        observer = Observer(host, groups=groups, processes=processes)
        before = observer.begin(once=True) if interval else None
        time.sleep(interval)
        return document(before, observer.tick())


def inspect(target: int | str) -> Report:
    """Return the report of `nsinspect --json` on one process, its types in inspector.report.

    `target` is a PID, "self", or a container's name, id or beginning of its id. NoSuchProcess or NoSuchContainer
    where there is none.
    """
    with Host() as host:
        return examine(host, str(target))
