"""The exporter's page over documents that a test makes: served as the exporter serves it, on a free port."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from fastapi import FastAPI

from exporter.address import bind
from exporter.live import View, brief
from exporter.page import respond, to_directory
from exporter.pieces import deflate
from exporter.stream import Streams
from inspector.schema import Container, Document

__all__ = ["Made", "Served", "serving"]

Make = Callable[[int], Document]
"""Makes the document of a tick: 1, 2, 3, ..."""


class Made:
    """A look (exporter.live.Look) at a document that a test made."""

    def __init__(self, made: Document, lacks: Collection[str]) -> None:
        self.made, self.lacks = made, lacks

    def text(self, view: View) -> bytes:
        """Return what a view is sent."""
        table = brief(self.made, labels=view.labels, lacks=self.lacks)
        content: dict[str, Any] = table if view.table else {**self.made}
        if view.detail is not None:
            one = next((one for one in self.made["containers"] if one["id"] == view.detail), None)
            content["detail"] = None if one is None else _detail(one)
        return json.dumps(content).encode()

    def piece(self, view: View) -> bytes:
        """Return the same, compressed."""
        return deflate(self.text(view))


def _detail(one: Container) -> dict[str, Any]:
    """Return a container whole: limited by its parent, sharing its network with the host."""
    paths = {name: one["cgroups"].get(name, "/") for name in ("cpu", "memory", "pids", "cpuset")}
    values = {"cpu": one["cpu"]["limit_cores"], "memory": one["memory"]["limit_bytes"], "pids": one["pids"]["limit"]}
    limits = {}
    for name, path in paths.items():
        parent, value = path.rpartition("/")[0] or "/", values.get(name)
        chain = [{"path": path, "value": None}, {"path": parent, "value": value}]
        limits[name] = {"value": value, "set_by": parent, "hidden_ancestors": False, "chain": chain}
    namespaces = {
        kind: {"inode": inode, "same_as_host": kind == "net", "containers": []}
        for kind, inode in one["namespaces"].items()
    }
    return {"container": one, "owned": [paths["cpu"]], "limits": limits, "namespaces": namespaces}


@dataclass(frozen=True, slots=True)
class Served:
    """A server that runs; `ticks` are the looks that were taken, `streams` the open ones.

    `focused` is who was looked at closely in each look, and after the last one.
    """

    port: int
    ticks: list[int]
    focused: list[frozenset[str]]
    streams: Streams[Document]
    loop: asyncio.AbstractEventLoop

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.port}/ui/"

    def close_streams(self) -> None:
        """Do what the exporter does at SIGTERM, before it waits for the connections to end."""
        self.loop.call_soon_threadsafe(self.streams.close)


@contextmanager
def serving(make: Make, *, most: int = 32, port: int = 0, lacks: Collection[str] = ()) -> Iterator[Served]:
    """Serve the page and its stream, on a free port unless one is given, as an exporter that lacks some capabilities.

    Each look is a tick; `make` may raise, as reading a machine may.
    """
    ticks: list[int] = []

    def observe() -> Document:
        ticks.append(len(ticks) + 1)
        return make(ticks[-1])

    focused: list[frozenset[str]] = []
    streams = Streams(observe, lambda _, after: Made(after, lacks), focus=focused.append, most=most)
    app = FastAPI(openapi_url=None)
    app.add_api_route("/api/v1/stream", streams.respond, methods=["GET", "HEAD"], response_model=None)
    app.add_api_route("/ui", to_directory, methods=["GET"], response_model=None)
    app.add_api_route("/ui/{path:path}", respond, methods=["GET", "HEAD"], response_model=None)
    config = uvicorn.Config(app, lifespan="off", log_config=None, ws="none", http="h11", timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    with bind("127.0.0.1", port) as sock:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        served = Served(sock.getsockname()[1], ticks, focused, streams, server.servers[0].get_loop())
        try:
            yield served
        finally:
            served.close_streams()
            server.should_exit = True
            thread.join(60)
    assert not thread.is_alive()
