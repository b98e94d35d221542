"""The exporter's page over documents that a test makes: served as the exporter serves it, on a free port."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import uvicorn

from exporter.address import bind
from exporter.live import View, brief
from exporter.scrape import Scraper
from exporter.stream import Streams
from exporter.web import Endpoints, application
from inspector.schema import Container, Document

__all__ = ["Made", "serving"]

Make = Callable[[int], Document]
"""Makes the document of a tick: 1, 2, 3, ..."""


class Made:
    """A look (exporter.live.Look) at a document that a test made."""

    def __init__(self, made: Document) -> None:
        self.made = made

    def text(self, view: View) -> bytes:
        """Return what a view is sent."""
        content: dict[str, Any] = brief(self.made) if view.table else {**self.made}
        if view.detail is not None:
            one = next((one for one in self.made["containers"] if one["id"] == view.detail), None)
            content["detail"] = None if one is None else _detail(one)
        return json.dumps(content).encode()


def _detail(one: Container) -> dict[str, Any]:
    """Return a container whole: limited by its parent, sharing its network with the host."""
    paths = {name: one["cgroups"].get(name, "/") for name in ("cpu", "memory", "pids", "cpuset")}
    values = {"cpu": one["cpu"]["limit_cores"], "memory": one["memory"]["limit_bytes"], "pids": one["pids"]["limit"]}
    limits = {
        name: {
            "value": values.get(name),
            "set_by": path.rpartition("/")[0] or "/",
            "hidden_ancestors": False,
            "chain": [{"path": path, "value": None}, {"path": path.rpartition("/")[0] or "/", "value": values.get(name)}],
        }
        for name, path in paths.items()
    }
    namespaces = {
        kind: {"inode": inode, "same_as_host": kind == "net", "containers": []}
        for kind, inode in one["namespaces"].items()
    }
    return {"container": one, "limits": limits, "namespaces": namespaces}


@contextmanager
def serving(make: Make, *, most: int = 32) -> Iterator[str]:
    """Serve the page; gives its URL. The first stream starts with tick 1."""
    streams: Streams[int] = Streams(count(1).__next__, lambda _, number: Made(make(number)), most=most)
    endpoints = Endpoints(Scraper(lambda: make(1)), count(1).__next__, lambda _, number: make(number))
    config = uvicorn.Config(application(endpoints, streams), lifespan="off", log_config=None, ws="none", http="h11")
    server = uvicorn.Server(config)
    with bind("127.0.0.1", 0) as sock:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{sock.getsockname()[1]}/ui/"
        finally:
            server.servers[0].get_loop().call_soon_threadsafe(streams.close)
            server.should_exit = True
            thread.join(20)
    assert not thread.is_alive()
