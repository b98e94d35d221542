"""Processes killed for lack of memory, told of for an hour after their container is gone.

A container that is killed takes its counters with it: `container_oom_kills_total`
is kept in the exporter's memory, by the cgroup that the kernel's log names, and
is the greater of what the log and the cgroup's own counter say. So it also has
those that nobody saw alive. A container that is started anew has a new cgroup
of the same path, whose counter begins at 0: what was counted before is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from exporter.families.readings import at
from exporter.sight import Sight
from exporter.subjects import Roll, Subject, Subjects
from exporter.table import Collector, Group, Row
from exporter.text import pairs
from inspector.absence import Absence
from inspector.identity import by_pattern
from inspector.kernel.cgroups import ancestors
from inspector.kernel.controllers import Memory, Reading
from inspector.kernel.kmsg import KernelLog, Kill
from inspector.metadata import Metadata
from inspector.model import Container
from inspector.runtimes import match

__all__ = ["KEPT_SECONDS", "OOM", "Kills"]

KEPT_SECONDS = 3600.0
MOST_KEPT = 1000  # containers that are gone


class Told(NamedTuple):
    """What is said of one container: how many were killed, and the last of them where the log names it."""

    kills: int
    last: Kill | None
    last_at: float | None


@dataclass(slots=True)
class _Known:
    """What is remembered of one path; `seen` is the monotonic time of its last sign of life, or of its last kill.

    `logged` and `counted` are those of the cgroup that was last seen there, by its inode; `earlier` those before it.
    """

    subject: Subject
    seen: float
    inode: int | None = None
    earlier: int = 0
    logged: int = 0
    counted: int = 0
    last: Kill | None = None
    last_at: float | None = None

    def told(self) -> Told:
        """Return what is to be said."""
        return Told(self.earlier + max(self.logged, self.counted), self.last, self.last_at)

    def count(self, inode: int | None, kills: int) -> bool:
        """Take in what the counter of a cgroup says; tell whether that is more than before."""
        if inode != self.inode:
            if self.inode is not None:
                self.earlier, self.logged, self.counted = self.told().kills, 0, 0
            self.inode = inode
        more = kills > self.counted
        self.counted = max(self.counted, kills)
        return more


@dataclass(slots=True)
class Kills:
    """The kills of all cgroups, scrape after scrape. The log is opened at the first look and read on from there."""

    log: KernelLog | None = None
    readable: bool = False
    by_path: dict[str, _Known] = field(default_factory=dict)
    most_kept: int = MOST_KEPT
    # Who was there at the last look, and what its counters said; `changes` is how often anything was counted.
    roll: Roll | None = None
    files: Metadata | None = None  # what this look has read of runtimes' files
    paths: list[str] = field(default_factory=list)
    alive: Mapping[str, Subject] = field(default_factory=dict)
    memories: list[Reading | None] = field(default_factory=list)
    looked: float = 0.0
    changes: int = 0

    def update(self, sight: Sight) -> None:
        """Take in what the counters and the log say now, and forget what has been gone for long."""
        now, roll = sight.observation.monotonic, sight.subjects
        if roll is not self.roll:
            self._take(roll, now)
        memories = roll.read(sight.observation.readings, "memory")
        if memories != self.memories:
            for path, memory in zip(self.paths, memories, strict=True):
                if path in self.alive and isinstance(memory, Memory):
                    inode = sight.observation.inodes.get(("memory", path))
                    self.changes += self.by_path[path].count(inode, memory.oom_kills or 0)
            self.memories = memories
        self.files = None
        for kill in self._news(sight):
            self._add(kill, sight)
        self._forget(now)
        self.looked = now

    def _take(self, roll: Roll, now: float) -> None:
        """Take note of who is there."""
        self.paths = [path for _, path in roll.keys("memory")]
        alive = {path: one for path, one in zip(self.paths, roll, strict=True) if path and one.container}
        for path in self.alive.keys() - alive.keys():
            if path in self.by_path:
                self.by_path[path].seen = self.looked
        for path, subject in alive.items():
            self.by_path.setdefault(path, _Known(subject, now)).subject = subject
        self.roll, self.alive, self.memories = roll, alive, []

    def gone(self, sight: Sight) -> list[Subject]:
        """Return those that are told of though they are gone."""
        gone = [known.subject for path, known in self.by_path.items() if path not in self.alive]
        labels = set(sight.subjects.labels) if gone else ()
        return [subject for subject in gone if subject.labels not in labels]

    def told(self, subject: Subject) -> Told | None:
        """Return what is to be said of one."""
        known = self.by_path.get(subject.paths["memory"]) if "memory" in subject.owned else None
        return known.told() if known and known.subject.labels == subject.labels else None

    def _news(self, sight: Sight) -> Iterator[Kill]:
        """Read the log on; where it may not be read, `readable` says so and the cgroups' counters remain."""
        self.log = self.log or KernelLog(sight.host)
        oldest = (sight.observation.monotonic - KEPT_SECONDS) * 1e6
        try:
            for kill in self.log.kills():
                if kill.monotonic_us >= oldest:
                    yield kill
            self.readable = True
        except OSError:
            self.readable = False

    def _add(self, kill: Kill, sight: Sight) -> None:
        """Count a kill for its container, alive or not, and for every group above that is shown."""
        observation = sight.observation
        paths = [path for path in ancestors(kill.cgroup) if path in self.by_path]
        home = next((path for path in ancestors(kill.cgroup) if match(path)), kill.cgroup)
        if home not in self.by_path and not any(match(path) for path in paths):
            self.by_path[home] = _Known(self._unseen(home, sight), observation.monotonic)
            paths.append(home)
        for path in paths:
            known = self.by_path[path]
            known.logged += 1
            self.changes += 1
            known.last, known.seen = kill, observation.monotonic
            known.last_at = round(observation.taken_at - observation.monotonic + kill.monotonic_us / 1e6, 3)

    def _unseen(self, path: str, sight: Sight) -> Subject:
        self.files = self.files or Metadata(sight.host, Absence())  # what may not be read there is only unknown
        return _unseen(path, sight, self.files)

    def _forget(self, now: float) -> None:
        """Forget those that are gone: at once without a kill, else after an hour, or when there are too many."""
        gone = {path: self.by_path[path] for path in self.by_path.keys() - self.alive.keys()}
        latest = sorted(gone, key=lambda path: -gone[path].seen)[: self.most_kept]
        for path in gone.keys() - latest:
            del self.by_path[path]
        for path in latest:
            if not gone[path].told().kills or now - gone[path].seen > KEPT_SECONDS:
                del self.by_path[path]


def _unseen(path: str, sight: Sight, files: Metadata) -> Subject:
    """Make the subject of a cgroup that was gone before it was seen: its runtime's pattern and files name it.

    The files are where those of another container of the runtime are, or else where they usually are.
    """
    known = match(path)
    if known is None:
        return Subject(path, pairs({"id": path, "name": "", "image": ""}), None, {"memory": path}, ("memory",))
    naming = by_pattern(known)
    others = (one.leader for one in sight.observation.containers if one.runtime == known.runtime and one.leader)
    one = Container(
        id=naming.id,
        name=naming.name,
        kind="container",
        runtime=naming.runtime,
        image=naming.image,
        leader=next(others, None),
        members=(),
        evidence=naming.evidence,
        cgroups={"memory": path},
        owned=frozenset({"memory"}),
        runtime_id=known.id,
    )
    return Subjects(sight.options.labels).of_one_gone(files.named(one))


def _prepare(sight: Sight) -> Any:  # noqa: ANN401
    kills: Kills = sight.memory("oom", Kills)
    kills.update(sight)
    sight.gone = kills.gone(sight)
    return kills


def _source(sight: Sight) -> Sequence[Any]:
    kills: Kills = sight.of("oom")
    return [*sight.subjects.each("oom", kills.changes, kills.told), *map(kills.told, sight.gone)]


def _victim(told: Told) -> Iterator[tuple[str, int]]:
    if told.last is not None:
        last = told.last
        yield "," + pairs({"task": last.task, "pid": str(last.pid), "cgroup": last.cgroup, "set_by": last.limit}), 1


OOM = Collector(
    "oom",
    "processes killed for lack of memory, from the kernel's log too (CAP_SYSLOG)",
    (
        Group(
            (
                Row("container_oom_kills_total", "counter",
                    "Processes killed for lack of memory; told for an hour after the container is gone.", at("kills")),
                Row("container_oom_last_kill_timestamp_seconds", "gauge", "When the last one was killed.", at("last_at")),
            ),
            _source,
            gone=True,
        ),
        Group(
            (Row("container_oom_last_victim_info", "info",
                 "The last process that was killed; set_by is the cgroup whose limit it was, empty for the machine's."),),
            _source,
            _victim,
            gone=True,
        ),
    ),
    prepare=_prepare,
)  # fmt: skip
