"""What the control files of one cgroup say, tick after tick, in all its hierarchies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from inspector.errors import ParseError
from inspector.kernel.cgroups import Hierarchy
from inspector.kernel.controllers import RESOURCES, ControlFile, Reading, Values
from inspector.kernel.host import Bundle, Host
from inspector.model import Key

__all__ = ["Plan", "Sheet"]

Parse = Callable[[bytes], Values]
SHORT = 80  # bytes
NOTHING: Values = {}
# What changes only when somebody writes it. On a machine with more cgroups than we may keep files open of, these are
# read anew at a refresh, not at every tick: opening them again would cost more than all the others together.
SETTINGS = frozenset(
    {
        "cpu.cfs_burst_us",
        "cpu.cfs_period_us",
        "cpu.cfs_quota_us",
        "cpu.max",
        "cpu.max.burst",
        "cpu.shares",
        "cpu.weight",
        "cpuset.cpus.effective",
        "cpuset.effective_cpus",
        "memory.limit_in_bytes",
        "memory.max",
        "pids.max",
    }
)


@lru_cache(1024)
def _parsed(parse: Parse, text: bytes) -> Values:
    """Parse a short text; many cgroups say the same there: "max", "100000", that nothing was throttled or killed."""
    return parse(text)


class Use(NamedTuple):
    """What is taken out of a file: where that is kept, for which resource, by which parser."""

    slot: int
    resource: str
    parse: Parse


class Planned(NamedTuple):
    """A control file that is read of many cgroups."""

    hierarchy: Hierarchy
    name: str
    uses: tuple[Use, ...]


class Plan:
    """Which files are read of a cgroup, for which resources: made once for all cgroups that are read alike."""

    def __init__(self, uses: Iterable[tuple[str, Hierarchy, ControlFile]], *, thrifty: bool = False) -> None:
        planned: dict[tuple[Hierarchy, str], list[Use]] = {}
        self.trees: dict[str, Hierarchy] = {}  # by resource
        self.slots: dict[str, list[int]] = {}
        for slot, (resource, hierarchy, file) in enumerate(uses):
            self.trees[resource] = hierarchy
            self.slots.setdefault(resource, []).append(slot)
            planned.setdefault((hierarchy, file.name), []).append(Use(slot, resource, file.parse))
        self.size = sum(map(len, self.slots.values()))
        self.files = tuple(Planned(*place, tuple(uses)) for place, uses in planned.items())
        # By their places in `files`: those that are read at every tick, and those that are not.
        self.seldom = [place for place, file in enumerate(self.files) if thrifty and file.name in SETTINGS]
        self.often = [place for place in range(len(self.files)) if place not in self.seldom]
        self._shared: dict[tuple[int, ...], tuple[int, ...]] = {}

    def paths(self, group: str) -> dict[int, str]:
        """Return where the files of a cgroup are, by their places in `files`; none outside what is mounted."""
        directories = {tree: tree.directory(group) for tree in {*self.trees.values()}}
        return {
            place: f"{directory}/{file.name}"
            for place, file in enumerate(self.files)
            if (directory := directories[file.hierarchy]) is not None
        }

    def share(self, places: Iterable[int]) -> tuple[int, ...]:
        """Return places as a tuple, the same one for all cgroups that have the same files."""
        found = tuple(places)
        return self._shared.setdefault(found, found)


class Sheet:
    """What the files of one cgroup, in all its hierarchies, say; a file is parsed only when its text has changed.

    While a kept control file can be read its cgroup is the one that was opened,
    so the inode that identifies it, a file's, is looked up only then.
    """

    __slots__ = ("_bundle", "_failed", "_host", "_keys", "_opened", "_path", "_plan", "_settings", "_texts", "_values",
                 "inodes", "readings")  # fmt: skip

    def __init__(self, host: Host, path: str, keys: Iterable[Key], plan: Plan) -> None:
        self._host = host
        self._path = path
        self._keys = tuple(keys)
        self._plan = plan
        self._bundle: Bundle | None = None
        self._opened: tuple[int, ...] = ()  # places in the plan's files: those of the bundle, then the settings
        self._settings: list[bytes] = []
        self._texts: list[bytes] = []
        self._values: list[Values] = []  # by the plan's slots
        self._failed: dict[str, OSError | ParseError] = {}
        self.readings: dict[Key, Reading] = {}
        self.inodes: dict[Key, int] = {}

    @property
    def is_open(self) -> bool:
        """True once its files have been opened."""
        return self._bundle is not None

    def read(self, account: Callable[[str, OSError | ParseError], None]) -> None:
        """Bring `readings` and `inodes` up to date; both are empty when the cgroup is gone."""
        try:
            texts = [*self._bundle.read(), *self._settings] if self._bundle else self._open()
        except OSError:  # gone, perhaps with another one of its name in its place; or a file that became unreadable
            self.close()
            try:
                texts = self._open()
            except OSError as error:
                self.close()
                account(f"cgroup {self._path!r}", error)
                return
        if texts != self._texts:
            self._parse(texts)
        for name, failure in self._failed.items():
            account(name, failure)

    def close(self) -> None:
        """Close the files and forget what they said."""
        if self._bundle:
            self._bundle.close()
        self._bundle = None
        self._opened = ()
        for known in (self._texts, self._settings, self._values, self._failed, self.readings, self.inodes):
            known.clear()

    def retry(self) -> None:
        """Look for files that were not there or not readable, and for settings that were changed."""
        paths = self._plan.paths(self._path)
        if any(self._host.access(path) for place, path in paths.items() if place not in self._opened):
            self.close()
        elif self._settings:
            settings, failed = self._read_each(paths[place] for place in self._opened[-len(self._settings) :])
            if failed:
                self.close()
            else:
                self._settings = [*settings.values()]

    def _open(self) -> list[bytes]:
        plan, paths = self._plan, self._plan.paths(self._path)
        often, seldom = ([place for place in places if place in paths] for places in (plan.often, plan.seldom))
        self._bundle, unopened = self._host.bundle(paths[place] for place in often)
        settings, unread = self._read_each(paths[place] for place in seldom)
        unopened |= unread
        opened = [place for place in often if paths[place] not in unopened]
        try:
            texts = self._bundle.read()
        except OSError:  # one of them cannot be read, or all: the others are opened without it
            unopened |= self._read_each(paths[place] for place in opened)[1]
            self._bundle.close()
            opened = [place for place in opened if paths[place] not in unopened]
            self._bundle, _ = self._host.bundle(paths[place] for place in opened)
            texts = self._bundle.read()
        self._failed = {
            name: error for name, error in unopened.items() if not isinstance(error, FileNotFoundError)
        }
        self.inodes = self._inodes(self._bundle, opened)
        self._settings = [*settings.values()]
        self._opened = plan.share([*opened, *(place for place in seldom if paths[place] in settings)])
        self._values = [NOTHING] * plan.size
        return [*texts, *self._settings]

    def _inodes(self, bundle: Bundle, opened: list[int]) -> dict[Key, int]:
        """Identify the cgroup by a file of each directory: the kernel numbers them as it does cgroups.

        By the last one, which on v2 is part of every cgroup, whatever its controllers.
        """
        last = {self._plan.files[place].hierarchy: number for number, place in enumerate(opened)}
        inodes = {tree: bundle.inode(number) for tree, number in last.items()}
        trees = self._plan.trees
        return {key: inodes[trees[key[0]]] for key in self._keys if trees.get(key[0]) in inodes}

    def _read_each(self, paths: Iterable[str]) -> tuple[dict[str, bytes], dict[str, OSError]]:
        """Return what each of some files says, and why those cannot be read that cannot."""
        found, failed = {}, {}
        for path in paths:
            try:
                found[path] = self._host.read(path)
            except OSError as error:
                failed[path] = error
        return found, failed

    def _parse(self, texts: list[bytes]) -> None:
        """Parse what changed, and make the readings of those resources anew."""
        changed: set[str] = set()
        before = self._texts
        for number, (place, text) in enumerate(zip(self._opened, texts, strict=True)):
            if before and text == before[number]:
                texts[number] = before[number]  # which lies among others that stay
            else:
                changed.update(self._take(place, text))
        self._texts = texts
        for key in self._keys:
            if (resource := key[0]) not in changed:
                continue
            values: dict[str, Any] = {}
            for slot in self._plan.slots[resource]:
                values.update(self._values[slot])
            if values:
                self.readings[key] = RESOURCES[resource](**values)
            else:
                self.readings.pop(key, None)

    def _take(self, place: int, text: bytes) -> Iterator[str]:
        """Parse one file; yields the resources that it belongs to."""
        if self._failed:
            self._failed.pop(self._name(place), None)
        for slot, resource, parse in self._plan.files[place].uses:
            try:
                self._values[slot] = _parsed(parse, text) if len(text) < SHORT else parse(text)
            except ParseError as error:
                self._values[slot] = NOTHING
                self._failed[self._name(place)] = error
            yield resource

    def _name(self, place: int) -> str:
        return self._plan.paths(self._path)[place]
