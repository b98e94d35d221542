"""How much each container has written into its own layer: a walk through the upper directory of its overlay.

A walk may be long, so a scrape takes a few milliseconds' worth of it and the
next one goes on from there; `container_layer_age_seconds` says how old a
figure is. One that is MOST_AGE old is taken anew.
"""

from __future__ import annotations

import stat
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from exporter.families.disk import USAGE, Place
from exporter.families.readings import at, prepared
from exporter.sight import Sight
from exporter.table import Collector, Group, Row
from exporter.text import pairs
from inspector.kernel.host import Directory, Host

__all__ = ["LAYER", "Layers", "weigh"]

BUDGET_SECONDS = 0.003  # of one scrape
MOST_AGE = 300.0
MOST_DEPTH = 256
MOST_LINKS = 50_000  # files with several names: so many are remembered, to count each once
PAUSE_ENTRIES = 64  # looked at between two looks at the clock


class Size(NamedTuple):
    """What a layer takes on disk, in bytes, and how many files and directories it has, at a monotonic time."""

    used_bytes: int
    inodes: int
    at: float


class Told(NamedTuple):
    """A layer's size as it is shown."""

    device: str
    used_bytes: int
    inodes: int
    age: float


@dataclass(slots=True)
class _Walk:
    place: Place
    upper: str
    size: Size | None = None
    steps: Iterator[tuple[int, int]] | None = None
    last: tuple[int, int] = (0, 0)


def weigh(host: Host, upper: str) -> Iterator[tuple[int, int]]:
    """Yield (bytes on disk, files) so far, every few files, at last of all below a directory; OSError without it.

    No symbolic link is followed, as those in the container may be changing it;
    what goes away meanwhile, or lies deeper than MOST_DEPTH, is left out.
    """
    top = host.directory(f"{upper}/.")
    used, count, links = 0, 0, set[int]()
    stack: list[tuple[Directory, list[str]]] = []
    try:
        stack.append((top, []))
        entered = True
        while stack:
            directory, waiting = stack[-1]
            if entered:
                for name, entry in directory.scan():
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
            labels[key]: Told(walk.place.device, walk.size.used_bytes, walk.size.inodes, round(max(0.0, now - walk.size.at), 3))
            for key, walk in self.walks.items()
            if walk.size is not None
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
                self.walks[one.id] = _Walk(place, place.upper)
        return labels

    def _go_on(self, host: Host, now: float) -> None:
        end = time.monotonic() + BUDGET_SECONDS
        while self.queue and time.monotonic() < end:
            walk = self.walks[self.queue[0]]
            try:
                walk.steps = walk.steps or weigh(host, walk.upper)
                for used, inodes in walk.steps:
                    walk.last = used, inodes
                    if time.monotonic() >= end:
                        return
                walk.size = Size(*walk.last, now)
            except OSError:
                walk.size = None
            walk.steps = None
            self.queue.popleft()


def _prepare(sight: Sight) -> Any:  # noqa: ANN401
    layers: Layers = sight.memory("layer", Layers)
    return layers.update(sight)


def _on_device(told: Told) -> Iterator[tuple[str, Told]]:
    yield "," + pairs({"device": told.device}), told


LAYER = Collector(
    "layer",
    "what each container has written into its own layer (walks through its upper directory, a few ms a scrape)",
    (
        Group((USAGE._replace(value=at("used_bytes")),), prepared("layer"), _on_device),
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
