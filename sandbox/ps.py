"""`sandbox ps`: the columns of a container, and which ones are asked for; pure.

Docker's names for columns and filters (docker/cli cli/command/formatter/container.go,
moby daemon/list.go).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from sandbox.errors import BadValue, SandboxError, printable, quoted
from sandbox.filters import has_label, split_filter
from sandbox.network.ports import column, parse_exposed
from sandbox.state import SHORT_ID, Document
from sandbox.template import listing as lines_of
from sandbox.times import ago, seconds_of

__all__ = ["DEFAULT_FORMAT", "STATUSES", "choose", "fields", "listing", "status"]

COMMAND_WIDTH = 20
STATUSES = ("created", "restarting", "running", "removing", "paused", "exited", "dead")
HEALTHS = ("starting", "healthy", "unhealthy", "none")
DEFAULT_FORMAT = "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}"
HEADERS = {
    "ID": "CONTAINER ID",
    "RunningFor": "CREATED",
    "CreatedAt": "CREATED AT",
    "LocalVolumes": "LOCAL VOLUMES",
}
FIELDS = (
    "ID", "Image", "Command", "CreatedAt", "RunningFor", "Ports", "State", "Status", "Names", "Labels", "Mounts",
    "LocalVolumes", "Networks", "Size",
)  # fmt: skip

Wanted = Callable[[Document], bool]


def _since(text: str, now: float) -> str:
    return ago(now - seconds_of(text))


def status(document: Document, now: float) -> str:
    """Write the STATUS column: `Up 3 seconds (healthy)`, `Exited (137) 2 hours ago`, `Created`."""
    state = document["State"]
    if state["Status"] == "restarting":
        return f"Restarting ({state['ExitCode']}) {_since(state['FinishedAt'], now)} ago"
    if state["Running"]:
        health = state.get("Health", {}).get("Status", "none")
        more = {"starting": " (health: starting)", "none": ""}.get(health, f" ({health})")
        return f"Up {_since(state['StartedAt'], now)}{' (Paused)' if state['Paused'] else more}"
    if state["Status"] == "exited":
        return f"Exited ({state['ExitCode']}) {_since(state['FinishedAt'], now)} ago"
    return "Created" if state["Status"] == "creating" else str(state["Status"]).capitalize()


def fields(document: Document, now: float, *, whole: bool) -> dict[str, Any]:
    """Return the columns of a container by Docker's names; `whole` cuts nothing."""
    config = document["Config"]
    words = (f"'{word}'" if " " in word else word for word in document["Args"])
    command = " ".join([document["Path"], *words])
    if not whole and len(command) > COMMAND_WIDTH:
        command = command[: COMMAND_WIDTH - 1] + "…"
    mounts = [each.get("Name") or each["Source"] for each in document["Mounts"] if each["Type"] != "tmpfs"]
    networks = list(document["NetworkSettings"]["Networks"]) or [document["HostConfig"]["NetworkMode"]]
    made = time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC", time.gmtime(seconds_of(document["Created"])))
    return {
        "ID": document["Id"] if whole else document["Id"][:SHORT_ID],
        "Image": printable(config["Image"]),
        "Command": quoted(command),
        "CreatedAt": made,
        "RunningFor": f"{_since(document['Created'], now)} ago",
        "Ports": column(document["NetworkSettings"]["Ports"]) if document["State"]["Running"] else "",
        "State": document["State"]["Status"],
        "Status": status(document, now),
        "Names": document["Name"],
        "Labels": ",".join(printable(f"{key}={value}") for key, value in config["Labels"].items()),
        "Mounts": ",".join(map(printable, mounts)),
        "LocalVolumes": str(sum(each["Type"] == "volume" for each in document["Mounts"])),
        "Networks": ",".join(networks),
    }


def _unasked(_: Document) -> str:
    return "0B"


def listing(
    documents: Sequence[Document],
    template: str,
    now: float,
    *,
    whole: bool,
    size: Callable[[Document], str] = _unasked,
) -> str:
    """Return the lines of a format; `size` is asked where the format shows it, as that takes long."""
    if ".Size" not in template:
        size = _unasked
    rows = [
        {**fields(each, now, whole=whole), "Label": partial(_label_of, each), "Size": size(each)} for each in documents
    ]
    return lines_of(rows, template, {name: HEADERS.get(name, name.upper()) for name in FIELDS})


def _label_of(document: Document, key: str) -> str:
    return printable(document["Config"]["Labels"].get(key, ""))


def choose(documents: Sequence[Document], filters: Sequence[str]) -> list[Document]:
    """Return the containers that the filters want; SandboxError for a filter that does not exist."""
    by_key: dict[str, list[Wanted]] = {}
    for text in filters:
        key, value = split_filter(text, FILTERS)
        by_key.setdefault(key, []).append(FILTERS[key](value, documents))
    # Every label must be there, as with Docker; of all else one of the values of a key, for every key.
    return [
        document
        for document in documents
        if all((all if key == "label" else any)(want(document) for want in wants) for key, wants in by_key.items())
    ]


def _matches(value: str, get: Callable[[Document], str]) -> Wanted:
    try:
        pattern = re.compile(value)
    except re.error as error:
        raise SandboxError(f"invalid filter: {value!r} is no regular expression: {error}", 1) from None
    return lambda document: bool(pattern.search(get(document)))


def _one_of(what: str, allowed: Sequence[str], get: Callable[[Document], str]) -> Callable[[str, Any], Wanted]:
    def make(value: str, _: Sequence[Document]) -> Wanted:
        if value not in allowed:
            raise SandboxError(f"invalid filter '{what}={value}': one of {', '.join(allowed)}", 1)
        return lambda document: get(document) == value

    return make


def _exited(value: str, _: Sequence[Document]) -> Wanted:
    if not re.fullmatch(r"-?\d{1,9}", value):
        raise SandboxError(f"invalid filter 'exited={value}': a number is needed", 1)
    return lambda document: document["State"]["Status"] == "exited" and document["State"]["ExitCode"] == int(value)


def _label(value: str, _: Sequence[Document]) -> Wanted:
    return lambda document: has_label(document["Config"]["Labels"], value)


def _beside(value: str, documents: Sequence[Document], *, before: bool) -> Wanted:
    found = [each for each in documents if each["Name"] == value or each["Id"].startswith(value)]
    if not found or not value:
        raise SandboxError(f"no such container: {value}", 1)
    made = found[0]["Created"]
    return lambda document: document["Created"] < made if before else document["Created"] > made


def _has_mount(value: str, _: Sequence[Document]) -> Wanted:
    return lambda document: any(
        value in (each.get("Name"), each.get("Source"), each.get("Destination")) for each in document["Mounts"]
    )


def _on_network(value: str, _: Sequence[Document]) -> Wanted:
    return lambda document: value in (
        *document["NetworkSettings"]["Networks"],
        document["HostConfig"]["NetworkMode"],
    )


def _has_port(value: str, *, published: bool) -> Wanted:
    """Return what tells of a container with one of these ports (`80`, `8000-8080/udp`): inside it, or of the host.

    Docker finds what is published by the host's port, its manual says by the container's: here both do.
    """
    try:
        wanted = set(parse_exposed([value]))
    except BadValue:
        key = "publish" if published else "expose"
        raise SandboxError(f"invalid filter '{key}={value}': the form is 80, 53/udp or 8000-8080", 1) from None

    def want(document: Document) -> bool:
        ports = document["NetworkSettings"]["Ports"]
        if not published:
            return not wanted.isdisjoint({*ports, *(document["Config"].get("ExposedPorts") or {})})
        return any(
            name in wanted or f"{each['HostPort']}/{name.partition('/')[2]}" in wanted
            for name, bound in ports.items()
            for each in bound or ()
        )

    return want


FILTERS: dict[str, Callable[[str, Sequence[Document]], Wanted]] = {
    "id": lambda value, _: lambda document: document["Id"].startswith(value),
    "name": lambda value, _: _matches(value.removeprefix("/"), lambda document: document["Name"]),
    "label": _label,
    "exited": _exited,
    "status": _one_of("status", STATUSES, lambda document: document["State"]["Status"]),
    "health": _one_of(
        "health", HEALTHS, lambda document: document["State"].get("Health", {}).get("Status", "none")
    ),
    "ancestor": lambda value, _: lambda document: value in (document["Config"]["Image"], document["Image"]),
    "before": lambda value, documents: _beside(value, documents, before=True),
    "since": lambda value, documents: _beside(value, documents, before=False),
    "volume": _has_mount,
    "network": _on_network,
    "publish": lambda value, _: _has_port(value, published=True),
    "expose": lambda value, _: _has_port(value, published=False),
}
