"""What the live page is sent of a tick: the table's figures of every container, and one container whole.

The whole document of 200 containers is 600 KB; what the table shows of it is
a third, and takes half the time to write. The keys and their places are the
document's (inspector.schema), with three differences in the table's part:
`limit_set_by` is "own" where the container's own cgroup sets the limit,
`limit_known` tells that a limit of null is none, not one that is out of sight,
and `lacks` names the capabilities that the exporter has not got.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import Any

from exporter.pieces import deflate
from inspector.document import document
from inspector.limits import Limit, limits_of
from inspector.model import Observation
from inspector.schema import Container, Document
from inspector.victims import Victims

__all__ = ["Look", "View", "brief", "detail", "with_victims"]

TOP = ("id", "name", "kind", "runtime", "image", "state", "pod", "parent", "started_at", "pid", "members", "findings")
GROUPS = {
    "cpu": ("source", "usage_seconds", "usage_cores", "limit_cores", "limit_ratio", "throttled_ratio", "throttled_by",
            "inherited_throttled_ratio", "pressure_some_ratio"),
    "memory": ("source", "working_set_bytes", "anon_bytes", "unreclaimable_bytes", "limit_bytes", "limit_ratio",
               "oom_kills", "pressure_some_ratio", "pressure_full_ratio"),
    "pids": ("current", "limit"),
    "io": ("read_bytes_per_second", "write_bytes_per_second", "pressure_some_ratio"),
    "network": ("shared_with_host", "receive_bytes_per_second", "transmit_bytes_per_second"),
}  # fmt: skip
LIMITED = ("cpu", "memory", "pids")


@dataclass(frozen=True, slots=True)
class View:
    """What a reader wants: the whole document, or the table's part of it, with labels, with one container whole."""

    table: bool = False
    detail: str | None = None
    labels: bool = False


class Look:
    """The document of two observations, and what each view is sent of it; made when wanted, once for all readers."""

    def __init__(
        self,
        before: Observation | None,
        after: Observation,
        make: Callable[[Observation | None, Observation], Document] = document,
        *,
        lacks: Collection[str] = (),
    ) -> None:
        self._before, self._after, self._make = before, after, make
        self._lacks = lacks
        self._lock = Lock()
        self._texts: dict[View, bytes] = {}
        self._pieces: dict[View, bytes] = {}

    def text(self, view: View) -> bytes:
        """Return the JSON for a view. Blocks: not for the event loop."""
        with self._lock:
            if view not in self._texts:
                self._texts[view] = json.dumps(self._content(view), separators=(",", ":")).encode()
            return self._texts[view]

    def piece(self, view: View) -> bytes:
        """Return the same compressed, as a piece of a gzip stream. Blocks as well."""
        text = self.text(view)
        with self._lock:
            if view not in self._pieces:
                self._pieces[view] = deflate(text)
            return self._pieces[view]

    @cached_property
    def _document(self) -> Document:
        return self._make(self._before, self._after)

    def _content(self, view: View) -> object:
        if not view.table:
            return self._document
        content: dict[str, Any] = brief(self._document, labels=view.labels, lacks=self._lacks)
        if view.detail is not None:
            content["detail"] = detail(self._after, self._document, view.detail)
        return content


def with_victims(victims: Victims) -> Callable[[Observation | None, Observation], Document]:
    """Return what makes documents whose findings on OOM kills name the last victim, as ctop's do; for any thread."""
    lock = Lock()

    def make(before: Observation | None, after: Observation) -> Document:
        made = document(before, after)
        with lock:
            return victims.named(made)

    return make


def brief(made: Document, *, labels: bool = False, lacks: Collection[str] = ()) -> dict[str, Any]:
    """Return a document with only what the table shows of each container, and its labels for who filters by them.

    `lacks` are the capabilities without which some of the machine is not seen (exporter.privileges).
    """
    hidden = made["viewpoint"]["hidden_ancestors"]
    keys = (*TOP, "labels") if labels else TOP
    containers = [_brief(container, keys, hidden=hidden) for container in made["containers"]]
    return {**made, "containers": containers, "lacks": [*lacks]}


def _brief(container: Container, keys: Iterable[str], *, hidden: bool) -> dict[str, Any]:
    given: Any = container  # mypy allows only literal keys of a TypedDict
    short = {key: given[key] for key in keys}
    for group, parts in GROUPS.items():
        values = given[group]
        short[group] = {key: values[key] for key in parts}
    cgroups = container["cgroups"]
    for group in LIMITED:
        set_by = given[group]["limit_set_by"]
        short[group]["limit_set_by"] = "own" if set_by is not None and set_by == cgroups.get(group) else set_by
        short[group]["limit_known"] = group in cgroups and not hidden
    return short


def detail(after: Observation, made: Document, id_: str) -> dict[str, Any] | None:
    """Return one container whole: the cgroups it owns, its limits' chains, who is in its namespaces; None when gone."""
    whole = next((container for container in made["containers"] if container["id"] == id_), None)
    one = next((container for container in after.containers if container.id == id_), None)
    if whole is None or one is None:
        return None
    own = after.own
    limits = limits_of(
        after.readings, one.cgroups, after.located, own.true_roots, after.system.cpus, whole=not own.hidden_ancestors
    )
    return {
        "container": whole,
        "owned": sorted({one.cgroups[resource] for resource in one.owned}),
        "limits": {name: _limit(limit) for name, limit in limits.items()},
        "namespaces": {kind: _namespace(after, made, whole, kind) for kind in whole["namespaces"]},
    }


def _limit(limit: Limit) -> dict[str, Any]:
    return {
        "value": limit.value,
        "set_by": limit.set_by,
        "hidden_ancestors": limit.hidden_ancestors,
        "chain": [{"path": path, "value": value} for path, value in limit.chain],
    }


def _namespace(after: Observation, made: Document, whole: Container, kind: str) -> dict[str, Any]:
    """Say whose a namespace is; from inside a container nobody can tell which is the host's."""
    inode = whole["namespaces"][kind]
    hosts = None if after.own.inside_container else after.own.namespaces.get(kind)
    shared = None if hosts is None else inode == hosts
    others = [
        container["name"]
        for container in made["containers"]
        if container["kind"] == "container" and container is not whole and container["namespaces"].get(kind) == inode
    ]
    return {"inode": inode, "same_as_host": shared, "containers": [] if shared else others}
