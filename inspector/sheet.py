"""What the control files of one cgroup say, tick after tick, in all its hierarchies."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from inspector.errors import ParseError
from inspector.kernel.controllers import RESOURCES, ControlFile, Reading, Values
from inspector.kernel.host import Bundle, Host
from inspector.model import Key

__all__ = ["Sheet"]

Parse = Callable[[bytes], Values]
SHORT = 80  # bytes
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


class Sheet:
    """What the files of one cgroup, in all its hierarchies, say; a file is parsed only when its text has changed.

    While a kept control file can be read its cgroup is the one that was opened,
    so the inode that identifies it, a file's, is looked up only then.
    """

    def __init__(
        self, host: Host, path: str, uses: Iterable[tuple[str, str, ControlFile]], *, thrifty: bool = False
    ) -> None:
        self._host = host
        self._path = path
        self._directories: dict[str, str] = {}  # by resource
        self._uses: dict[str, list[tuple[str, Parse]]] = {}
        self._seldom: list[str] = []  # the files that are not read at every tick
        for resource, directory, file in uses:
            self._directories[resource] = directory
            place = f"{directory}/{file.name}"
            self._uses.setdefault(place, []).append((resource, file.parse))
            if thrifty and file.name in SETTINGS:
                self._seldom.append(place)
        self._bundle: Bundle | None = None
        self._settings: dict[str, bytes] = {}
        self._texts: list[bytes] = []
        self._values: dict[str, dict[str, Values]] = {}  # by resource and file
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
            texts = [*self._bundle.read(), *self._settings.values()] if self._bundle else self._open()
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
        for known in (self._texts, self._settings, self._values, self._failed, self.readings, self.inodes):
            known.clear()

    def retry(self) -> None:
        """Look for files that were not there or not readable, and for settings that were changed."""
        missing = self._uses.keys() - (self._bundle.paths if self._bundle else ()) - self._settings.keys()
        if any(map(self._host.access, missing)):
            self.close()
        elif self._settings:
            settings, failed = self._read_each(self._settings)
            if failed:
                self.close()
            else:
                self._settings = settings

    def _open(self) -> list[bytes]:
        self._bundle, unopened = self._host.bundle(path for path in self._uses if path not in self._seldom)
        self._settings, unread = self._read_each(self._seldom)
        unopened |= unread
        wanted = tuple(self._bundle.paths)
        try:
            texts = self._bundle.read()
        except OSError:  # one of them cannot be read, or all: the others are opened without it
            unopened |= self._read_each(wanted)[1]
            self._bundle.close()
            self._bundle, _ = self._host.bundle(path for path in wanted if path not in unopened)
            texts = self._bundle.read()
        self._failed = {
            name: error for name, error in unopened.items() if not isinstance(error, FileNotFoundError)
        }
        self.inodes = self._inodes(self._bundle)
        return [*texts, *self._settings.values()]

    def _inodes(self, bundle: Bundle) -> dict[Key, int]:
        """Identify the cgroup by a file of each directory: the kernel numbers them as it does cgroups.

        By the last one, which on v2 is part of every cgroup, whatever its controllers.
        """
        places = {path.rpartition("/")[0]: place for place, path in enumerate(bundle.paths)}
        inodes = {directory: bundle.inode(place) for directory, place in places.items()}
        return {
            (resource, self._path): inodes[directory]
            for resource, directory in self._directories.items()
            if directory in inodes
        }

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
        changed = set()
        names = (*(self._bundle.paths if self._bundle else ()), *self._settings)
        for place, (name, text) in enumerate(zip(names, texts, strict=True)):
            if self._texts and text == self._texts[place]:
                continue
            self._failed.pop(name, None)
            for resource, parse in self._uses[name]:
                changed.add(resource)
                files = self._values.setdefault(resource, {})
                try:
                    files[name] = _parsed(parse, text) if len(text) < SHORT else parse(text)
                except ParseError as error:
                    files.pop(name, None)
                    self._failed[name] = error
        self._texts = texts
        for resource in changed:
            values: dict[str, Any] = {}
            for found in self._values[resource].values():
                values.update(found)
            if values:
                self.readings[resource, self._path] = RESOURCES[resource](**values)
            else:
                self.readings.pop((resource, self._path), None)
