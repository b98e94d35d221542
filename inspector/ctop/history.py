"""The last minutes of every container, for sparklines and graphs: bounded, and compact enough for a thousand."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Callable, Mapping

from inspector.schema import Container, Document

__all__ = ["KEPT", "SERIES", "History", "Track"]

KEPT = 300
"""Samples kept at least: five minutes at one a second."""
SLACK = KEPT // 8
"""Samples more, before the oldest are dropped together."""
Values = list[float | None]


def _memory(container: Container) -> float | None:
    memory = container["memory"]
    return memory["working_set_bytes"] if memory["working_set_bytes"] is not None else memory["anon_bytes"]


def _throttled(container: Container) -> float | None:
    own, inherited = container["cpu"]["throttled_ratio"], container["cpu"]["inherited_throttled_ratio"]
    return inherited if own is None or (inherited is not None and inherited > own) else own


SERIES: Mapping[str, Callable[[Container], float | None]] = {
    "cpu_cores": lambda one: one["cpu"]["usage_cores"],
    "limit_cores": lambda one: one["cpu"]["limit_cores"],
    "throttled_ratio": _throttled,
    "memory_bytes": _memory,
    "limit_bytes": lambda one: one["memory"]["limit_bytes"],
    "read_bytes_per_second": lambda one: one["io"]["read_bytes_per_second"],
    "write_bytes_per_second": lambda one: one["io"]["write_bytes_per_second"],
    "receive_bytes_per_second": lambda one: one["network"]["receive_bytes_per_second"],
    "transmit_bytes_per_second": lambda one: one["network"]["transmit_bytes_per_second"],
}
"""What is kept of a container. `throttled_ratio` is the own quota's or an ancestor's, whichever is more."""
PLACES = {name: place for place, name in enumerate(SERIES)}
WIDTH = len(SERIES)
GETTERS = tuple(SERIES.values())


class Track:
    """One container's last samples, oldest first. A sample in which it was absent is not there: see `times`."""

    __slots__ = ("_last", "_rows", "_times", "seen")

    def __init__(self) -> None:
        self._times = array("d")
        # Row after row, in single precision: it is for drawing, and 300 samples are then 13 KB.
        self._rows = array("f")
        self._last: Container | None = None
        self.seen = 0

    def __len__(self) -> int:
        return len(self._times)

    @property
    def times(self) -> list[float]:
        """When the samples were taken, in seconds since the epoch."""
        return list(self._times[-KEPT:])

    def tail(self, name: str, count: int = KEPT) -> Values:
        """Return at most the last `count` values of a series; None where unknown. KeyError: no such series."""
        first = max(len(self._times) - min(count, KEPT), 0)
        values = self._rows[first * WIDTH + PLACES[name] :: WIDTH]
        # Nearly always all are known, which their sum tells at once.
        is_known = not math.isnan(sum(values))
        return [*values] if is_known else [None if math.isnan(value) else value for value in values]

    cpu_cores = property(lambda self: self.tail("cpu_cores"))
    limit_cores = property(lambda self: self.tail("limit_cores"))
    throttled_ratio = property(lambda self: self.tail("throttled_ratio"))
    memory_bytes = property(lambda self: self.tail("memory_bytes"))
    limit_bytes = property(lambda self: self.tail("limit_bytes"))
    read_bytes_per_second = property(lambda self: self.tail("read_bytes_per_second"))
    write_bytes_per_second = property(lambda self: self.tail("write_bytes_per_second"))
    receive_bytes_per_second = property(lambda self: self.tail("receive_bytes_per_second"))
    transmit_bytes_per_second = property(lambda self: self.tail("transmit_bytes_per_second"))

    def note(self, time: float, container: Container) -> None:
        """Add a sample."""
        self._times.append(time)
        if container is self._last:  # it stood still (inspector.still)
            self._rows.extend(self._rows[-WIDTH:])
        else:
            self._rows.extend([math.nan if (value := get(container)) is None else value for get in GETTERS])
            self._last = container
        if len(self._times) > KEPT + SLACK:
            del self._times[:SLACK], self._rows[: SLACK * WIDTH]

    def let_go(self) -> None:
        """Keep the samples alone: all that is said of a container that is gone would take as much as a hundred."""
        self._last = None

    def back_to(self, time: float) -> None:
        """Forget the samples from a time on."""
        place = bisect_left(self._times, time)
        del self._times[place:], self._rows[place * WIDTH :]
        self._last = None


class History:
    """The tracks of all containers; one that has been gone for as long as a track reaches back is forgotten."""

    def __init__(self) -> None:
        self._tracks: dict[str, Track] = {}
        self._ticks = 0
        self._last = -math.inf

    def __len__(self) -> int:
        return len(self._tracks)

    def add(self, document: Document) -> None:
        """Note a document. The same one again changes nothing; an earlier one (a replay) takes back what is later."""
        taken = document["taken_at"]
        if taken == self._last:
            return
        if taken < self._last:
            for track in self._tracks.values():
                track.back_to(taken)
        self._last = taken
        self._ticks += 1
        for container in document["containers"]:
            track = self._tracks.get(container["id"]) or self._tracks.setdefault(container["id"], Track())
            track.seen = self._ticks
            track.note(taken, container)
        if self._ticks % SLACK == 0:
            self._tracks = {key: track for key, track in self._tracks.items() if self._ticks - track.seen <= KEPT}
            for track in self._tracks.values():
                if track.seen < self._ticks:
                    track.let_go()

    def of(self, container_id: str) -> Track:
        """Return a container's track; an empty one when nothing is known of it."""
        return self._tracks.get(container_id) or Track()
