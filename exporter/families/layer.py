"""How much each container has written: a walk through the upper directory of its overlay, and through what its log is in.

A walk may be long, so a scrape takes a few milliseconds' worth of it and the
next one goes on from there; `container_layer_age_seconds` says how old a
figure is. One that is MOST_AGE old is taken anew.
"""

from __future__ import annotations

import stat
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from exporter.families.filesystem import USAGE, Place
from exporter.families.readings import at, prepared
from exporter.sight import Sight
from exporter.table import Collector, Group, Row
from exporter.text import pairs
from inspector.kernel.directory import Directory, Entry
from inspector.kernel.host import Host
from inspector.metadata import clues_of
from inspector.model import Container
from inspector.stores import sources

__all__ = ["LAYER", "Layers", "weigh"]

BUDGET_SECONDS = 0.003  # of one scrape
MOST_AGE = 300.0
MOST_DEPTH = 256
MOST_LINKS = 50_000  # files with several names: so many are remembered, to count each once
WITH_LOG = frozenset({"docker", "podman", "sandbox"})
PAUSE_ENTRIES = 64  # looked at between two looks at the clock


class Told(NamedTuple):
    """A layer's size as it is shown; `all_bytes` with the log, as in cAdvisor."""

    device: str
    used_bytes: int
    all_bytes: int
    inodes: int
    age: float


class Size(NamedTuple):
    """What a layer takes on disk, its files and directories, and what the log's directory takes, at a monotonic time."""

    used_bytes: int
    inodes: int
    kept_bytes: int
    at: float

    def told(self, device: str, now: float) -> Told:
        """Return it as it is shown."""
        age = round(max(0.0, now - self.at), 3)
        return Told(device, self.used_bytes, self.used_bytes + self.kept_bytes, self.inodes, age)


@dataclass(slots=True)
class _Walk:
    place: Place
    upper: str
    kept: str | None
    size: Size | None = None
    steps: Iterator[tuple[int, int, int]] | None = None
    last: tuple[int, int, int] = (0, 0, 0)

    def weigh(self, host: Host) -> Iterator[tuple[int, int, int]]:
        """Yield the parts of the size so far; OSError without the layer."""
        used, inodes = 0, 0
        for used, inodes in weigh(host, self.upper):
            yield used, inodes, 0
        with suppress(OSError):
            own = host.stat(self.upper)  # our sandbox keeps it beside the log
            for kept, _ in weigh(host, self.kept, (own.device, own.inode)) if self.kept else ():
                yield used, inodes, kept


def weigh(host: Host, upper: str, without: tuple[int, int] | None = None) -> Iterator[tuple[int, int]]:
    """Yield (bytes on disk, files) so far, every few files, at last of all below a directory; OSError without it.

    No symbolic link is followed, as those in the container may be changing it;
    what goes away meanwhile, is mounted there, or lies deeper than MOST_DEPTH, is left out, and so is the directory
    `without` (device and inode) with all that is in it.
    """
    top = host.directory(f"{upper}/.")
    device, _ = top.identity
    used, count, links = 0, 0, set[int]()
    stack: list[tuple[Directory, list[str]]] = []
    try:
        stack.append((top, []))
        entered = True
        while stack:
            directory, waiting = stack[-1]
            if entered:
                for name, entry in _on(device, directory, without):
                    count += 1
                    again = entry.links > 1 and entry.inode in links
                    if stat.S_ISDIR(entry.mode):
                        waiting.append(name)
                    elif entry.links > 1 and len(links) < MOST_LINKS:
                        links.add(entry.inode)
                    used += 0 if again and not stat.S_ISDIR(entry.mode) else entry.disk
                    if count % PAUSE_ENTRIES == 0:
                        yield used, count
            entered = False
            if waiting and len(stack) < MOST_DEPTH:
                try:
                    stack.append((directory.enter(waiting.pop()), []))
                    entered = True
                except OSError:
                    continue
            else:
                stack.pop()[0].close()
    finally:
        for directory, _ in stack:
            directory.close()
    yield used, count


def _on(device: int, directory: Directory, without: tuple[int, int] | None) -> Iterator[tuple[str, Entry]]:
    for name, entry in directory.scan():
        if entry.device == device and (entry.device, entry.inode) != without:
            yield name, entry


@dataclass(slots=True)
class Layers:
    """The layers' sizes, scrape after scrape."""

    walks: dict[str, _Walk] = field(default_factory=dict)
    queue: deque[str] = field(default_factory=deque)

    def update(self, sight: Sight) -> dict[str, Told]:
        """Go on with the walks for as long as a scrape may take, and return the sizes that are known."""
        now = sight.observation.monotonic
        labels = self._present(sight)
        for key in [key for key, walk in self.walks.items() if key not in labels]:
            self.walks.pop(key)
        self.queue = deque(key for key in self.queue if key in labels)
        for key, walk in self.walks.items():
            if key not in self.queue and (walk.size is None or now - walk.size.at > MOST_AGE):
                self.queue.append(key)
        self._go_on(sight.host, now)
        return {
            labels[key]: walk.size.told(walk.place.device, now) for key, walk in self.walks.items() if walk.size is not None
        }

    def _present(self, sight: Sight) -> dict[str, str]:
        """Find the containers with a layer of their own; returns their labels."""
        labels = {}
        known = sight.of("places")
        for subject in sight.subjects:
            one = subject.container
            place = known.of(sight.host, one) if one else None
            if one is None or place is None or place.upper is None:
                continue
            labels[one.id] = subject.labels
            if one.id not in self.walks or self.walks[one.id].place != place:
                self.walks[one.id] = _Walk(place, place.upper, kept_in(sight.host, one))
        return labels

    def _go_on(self, host: Host, now: float) -> None:
        end = time.monotonic() + BUDGET_SECONDS
        while self.queue and time.monotonic() < end:
            walk = self.walks[self.queue[0]]
            try:
                walk.steps = walk.steps or walk.weigh(host)
                for size in walk.steps:
                    walk.last = size
                    if time.monotonic() >= end:
                        return
                walk.size = Size(*walk.last, now)
            except OSError:
                walk.size = None
            walk.steps = None
            self.queue.popleft()


def kept_in(host: Host, container: Container) -> str | None:
    """Return the directory in which the runtime keeps a container's log, of those that cAdvisor adds to its usage."""
    if container.runtime not in WITH_LOG:
        return None
    clues = clues_of(container)
    # What tells of all containers lies among what is all containers'.
    files = (one.path for one in sources(container.runtime, clues) if f"/{clues.id}/" in f"/{one.relative}")
    return next((path.rpartition("/")[0] for path in files if host.access(path)), None)


def _prepare(sight: Sight) -> Any:  # noqa: ANN401
    layers: Layers = sight.memory("layer", Layers)
    return layers.update(sight)


def _on_device(told: Told) -> Iterator[tuple[str, Told]]:
    yield "," + pairs({"device": told.device}), told


LAYER = Collector(
    "layer",
    "what each container has written into its own layer, and its log (walks through its directories, a few ms a scrape)",
    (
        Group((USAGE._replace(value=at("all_bytes")),), prepared("layer"), _on_device),
        Group(
            (
                Row("container_layer_bytes", "gauge", "What the container's own layer takes on disk.", at("used_bytes")),
                Row("container_layer_inodes", "gauge", "Files and directories in the container's own layer.", at("inodes")),
                Row("container_layer_age_seconds", "gauge", "How old these figures are: taken anew after 300 seconds.", at("age")),
            ),
            prepared("layer"),
        ),
    ),
    prepare=_prepare,
)
