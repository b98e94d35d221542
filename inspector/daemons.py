"""Names out of a runtime's API socket: only when a person asks for it, and only where no file tells.

An ordinary user in Docker's group may not read Docker's files, but may ask
dockerd: GET /containers/json, which Podman's service answers as well
(docs.docker.com/reference/api/engine, docs.podman.io/en/latest/_static/api.html).
What answers is not trusted: all sockets together get one second, an answer a
bounded size, and one that failed is not asked again.
"""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Iterator
from io import BytesIO
from typing import TYPE_CHECKING

from inspector.stores.docker import config_facts
from inspector.stores.facts import Facts

if TYPE_CHECKING:
    from inspector.model import Container, Observation

__all__ = ["Names"]

SECONDS = 1.0
MOST_BYTES = 8 << 20
CHUNK = 1 << 16
REQUEST = b"GET /containers/json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
ID = re.compile(r"[0-9a-f]{64}", re.ASCII)
SHORT_ID = 12


class Refused(Exception):
    """A socket gave no answer that makes sense: says why in a few words."""


class Names:
    """Completes observations. `path` is a socket, or "" for those where Docker and Podman usually listen.

    All together they get so many `seconds`; `problems` has a line for each that gave no answer.
    """

    def __init__(self, path: str = "", seconds: float = SECONDS) -> None:
        self._sockets = [path] if path else [place for place in dict.fromkeys(_usual()) if os.path.exists(place)]
        self._seconds = seconds
        self.problems: list[str] = []
        self._known: dict[str, Facts] = {}
        self._asked: set[str] = set()

    def named(self, seen: Observation) -> Observation:
        """Return the observation with the names that only a socket tells; asks when a container without one is new."""
        nameless = {one.id for one in seen.containers if _is_nameless(one)}
        if nameless - self._asked:
            self._ask()
        self._asked = nameless
        containers = tuple(self._complete(one) if one.id in nameless else one for one in seen.containers)
        return seen._replace(containers=containers, problems=(*seen.problems, *self.problems))

    def _complete(self, one: Container) -> Container:
        facts = self._known.get(one.id)
        if facts is None:
            return one
        evidence = (*one.evidence, "named by its runtime's socket")
        return one._replace(
            name=facts.name or one.name,
            image=facts.image or one.image,
            pod=facts.pod or one.pod,
            labels=facts.labels,
            evidence=evidence,
        )

    def _ask(self) -> None:
        if not self._sockets and not self.problems:
            self.problems.append("no socket of Docker or Podman is at any of its usual places")
        deadline = time.monotonic() + self._seconds
        for path in tuple(self._sockets):
            try:
                self._known.update(_containers(_body(_exchange(path, deadline))))
            except (Refused, OSError) as error:
                self._sockets.remove(path)
                text = f"no answer within {self._seconds:g} s" if isinstance(error, TimeoutError) else _text(error)
                self.problems.append(f"{path}: {text}")


def _text(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _usual() -> Iterator[str]:
    """Yield where the sockets usually are: what the runtimes' own clients would use comes first."""
    for variable in ("DOCKER_HOST", "CONTAINER_HOST"):
        kind, _, path = os.environ.get(variable, "").partition("://")
        if kind == "unix" and path:
            yield path
    yield from ("/run/docker.sock", "/run/podman/podman.sock")
    own = os.environ.get("XDG_RUNTIME_DIR")
    if own:
        yield from (f"{own}/docker.sock", f"{own}/podman/podman.sock")


def _is_nameless(one: Container) -> bool:
    """Tell whether no file of the runtime gave the container's name; Podman's is in conmon's command line besides."""
    unknown = one.name in (one.id, one.id[:SHORT_ID]) or (one.runtime == "podman" and one.image == "unknown")
    return one.kind == "container" and ID.fullmatch(one.id) is not None and unknown


def _exchange(path: str, deadline: float) -> bytes:
    """Ask, and return all that comes back until the other side has finished; TimeoutError at the deadline."""
    parts: list[bytes] = []
    size = 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        _limit(one, deadline)
        one.connect(path)
        one.sendall(REQUEST)
        while True:
            _limit(one, deadline)
            part = one.recv(CHUNK)
            if not part:
                return b"".join(parts)
            parts.append(part)
            size += len(part)
            if size > MOST_BYTES:
                raise Refused(f"its answer is larger than {MOST_BYTES >> 20} MiB")


def _limit(one: socket.socket, deadline: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    one.settimeout(left)  # of the next call alone


class _Received:
    """An answer that is already here, in place of the socket that http.client would read it from."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _: str) -> BytesIO:
        """Return it as a file."""
        return BytesIO(self._data)


def _body(data: bytes) -> bytes:
    """Return the body of an HTTP response."""
    from http.client import HTTPException, HTTPResponse  # noqa: PLC0415  20 ms, and only who asked for it waits

    try:
        response = HTTPResponse(_Received(data))  # type: ignore[arg-type]
        response.begin()
        body = response.read()
    except (HTTPException, ValueError, OverflowError) as error:
        raise Refused("its answer is not HTTP") from error
    if response.status != 200:  # noqa: PLR2004
        raise Refused(f"it answers with status {response.status}")
    return body


# a body like [{"Id":"4a7f...","Names":["/web"],"Image":"nginx:1.27","Labels":{"a":"b"}}]
def _containers(body: bytes) -> dict[str, Facts]:
    """Parse the list of containers; an entry of another shape is left out."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused("its answer is not JSON") from error
    if not isinstance(found, list):
        raise Refused("its answer is not a list of containers")
    entries = [entry for entry in found if isinstance(entry, dict)]
    return {entry["Id"]: _facts(entry) for entry in entries if isinstance(entry.get("Id"), str)}


def _facts(entry: dict[str, object]) -> Facts:
    names = entry.get("Names")
    name = names[0] if isinstance(names, list) and names else ""
    return config_facts({"Name": name, "Config": {"Image": entry.get("Image"), "Labels": entry.get("Labels")}})
