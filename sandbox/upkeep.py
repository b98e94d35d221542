"""`sandbox rename`, `prune` and `top`: another name, no more ended containers, whose processes there are."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence

from sandbox import culling, document, events, ps
from sandbox.errors import NoSuchContainer, SandboxError, printable
from sandbox.images.listing import human_size
from sandbox.liveness import is_running, not_running
from sandbox.network import connection
from sandbox.reconcile import reconcile
from sandbox.sizes import tree_size
from sandbox.spec import check_name
from sandbox.state import Document, Store
from sandbox.teardown import destroy
from sandbox.times import moment, seconds_of

__all__ = ["ask", "candidates", "prune", "rename", "top"]

DIGITS = 4  # of the space that prune tells


def rename(store: Store, name: str, new: str) -> None:
    """Give a container another name; the old one is free at once."""
    check_name(new)
    found = store.find(name)
    with store.changing(found["Id"]) as text:
        old = text["Name"]
        if new == old:
            raise SandboxError("renaming a container with the same name as its current name", 1)
        store.claim_name(text["Id"], new)
        text["Name"] = new
    store.free_name(text["Id"], old)
    connection.rename(store, text["Id"], old, new)
    events.of_container(store.root, text, "rename", oldName=old)


def candidates(store: Store, filters: Sequence[str]) -> list[Document]:
    """Return the containers that `prune` would remove; `until=TIME` and `label[!]=...` choose among them."""
    chosen = [text for text in reconcile(store) if text["State"]["Status"] in ("exited", "created", "dead")]
    for item in filters:
        key, equals, value = item.partition("=")
        if key == "until" and equals:
            limit = moment(value, time.time(), "--filter until")
            chosen = [text for text in chosen if seconds_of(text["Created"]) < limit]
        elif key == "label":
            chosen = ps.choose(chosen, [item])
        elif key == "label!" and equals:
            having = {text["Id"] for text in ps.choose(chosen, [f"label={value}"])}
            chosen = [text for text in chosen if text["Id"] not in having]
        else:
            raise SandboxError(f"invalid filter {item!r}: until=TIME, label=K[=V] or label!=K[=V]", 1)
    return chosen


def prune(store: Store, doomed: Sequence[Document]) -> str:
    """Remove containers that do not run, and say so in Docker's words."""
    removed, size = [], 0
    for text in doomed:
        try:
            now = store.load(text["Id"])
        except NoSuchContainer:
            continue
        if now["State"]["Running"] or now["Cgscope"]["Monitor"] is not None:  # started meanwhile
            continue
        size += tree_size(text["GraphDriver"]["Data"]["UpperDir"])
        destroy(store, now)
        removed.append(text["Id"])
    head = "Deleted Containers:\n" + "\n".join(removed) + "\n\n" if removed else ""
    return f"{head}Total reclaimed space: {human_size(size, DIGITS)}"


def top(store: Store, name: str, options: Sequence[str]) -> str:
    """Return what `ps` says of a container's processes, with ps's own options (default -ef)."""
    text = store.find(name)
    if text["State"]["Status"] not in ("running", "paused") or not is_running(text):
        raise not_running(text, name)
    pids = culling.pids(document.places_of(text)) | {text["State"]["Pid"]}
    command = ["ps", *(options or ("-ef",))]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603
    except OSError as error:
        raise SandboxError(f"ps: {error.strerror}: install procps, or use ctop", 1) from None
    if done.returncode:
        raise SandboxError(f"ps: {done.stderr.strip().partition(chr(10))[0] or 'failed'}", 1)  # below it, its usage
    events.of_container(store.root, text, "top")
    header, *lines = done.stdout.splitlines()
    titles = header.split()
    if "PID" not in titles:
        raise SandboxError("couldn't find PID field in ps output", 1)
    column = titles.index("PID")
    rows = [line.split(None, len(titles) - 1) for line in lines]
    kept = [row for row in rows if len(row) > column and row[column].isdecimal() and int(row[column]) in pids]
    cells = [[printable(cell) for cell in row] + [""] * (len(titles) - len(row)) for row in kept]
    return document.table([titles, *cells])


def ask(question: str) -> bool:
    """Ask a person; anything but y is no."""
    sys.stdout.write(question)
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() == "y"
