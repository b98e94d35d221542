"""Who was killed for lack of memory: the name that the kernel's log has, put into the finding that counts kills.

The log is read only once a container has such a finding, and on from where it
was left when there is a new kill: all of a log of 2,400 records takes 2 ms.
In a container nothing is said: the log names cgroups from the machine's root.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from inspector.kernel.host import Host
from inspector.kernel.kmsg import KernelLog, Kill, KillReader
from inspector.schema import Container, Document, Finding

__all__ = ["Victims"]

FINDING = "oom-killed"
MOST_KEPT = 1000  # cgroups with a kill
DAY = 86_400.0


class Victims:
    """Names the last victim of each container, document after document. Not thread safe; close it at the end."""

    def __init__(self, host: Host) -> None:
        self._log = KernelLog(host)
        self._reader = KillReader()
        self._last: dict[str, Kill] = {}  # by cgroup, in the order of the log
        self._counted: dict[str, int | None] = {}  # by container: its kills when the log was read
        self._said: dict[str, str] = {}

    def named(self, document: Document) -> Document:
        """Return the document with the victims' names in its findings; as it is where there are none."""
        if document["viewpoint"]["inside_container"]:
            return document
        killed = {one["id"]: one for one in document["containers"] if one["memory"]["oom_kills"] and one["findings"]}
        counted = {name: one["memory"]["oom_kills"] for name, one in killed.items()}
        if counted != self._counted:
            self._counted = counted
            self._read()
            self._said = {name: said for name, one in killed.items() if (said := self._say(one))}
        if not self._said:
            return document
        return {**document, "containers": [_with(one, self._said) for one in document["containers"]]}

    def _read(self) -> None:
        """Read what is new in the log; where it may not be read there are no names."""
        try:
            for record in self._log.records():
                kill = self._reader.read(record)
                if kill is not None:
                    self._last.pop(kill.cgroup, None)
                    self._last[kill.cgroup] = kill
        except OSError:
            pass
        for cgroup in list(self._last)[: max(0, len(self._last) - MOST_KEPT)]:
            del self._last[cgroup]

    def _say(self, one: Container) -> str:
        path = one["cgroups"].get("memory", "/")
        if path == "/" or one["memory"]["source"] != "cgroup":
            return ""
        below = path + "/"
        kills = (kill for cgroup, kill in reversed(self._last.items()) if cgroup == path or cgroup.startswith(below))
        kill = next(kills, None)
        return f"; the last {kill.task} (PID {kill.pid}) at {_at(kill)} (kernel's log)" if kill else ""

    def close(self) -> None:
        """Close the log."""
        self._log.close()


def _with(one: Container, said: Mapping[str, str]) -> Container:
    more = said.get(one["id"])
    return {**one, "findings": [_longer(found, more) for found in one["findings"]]} if more else one


def _longer(found: Finding, more: str) -> Finding:
    return {**found, "text": found["text"] + more} if found["code"] == FINDING else found


def _at(kill: Kill) -> str:
    """Write the local time of a kill, with the date where that was not within a day."""
    ago = time.monotonic() - kill.monotonic_us / 1e6
    return time.strftime("%H:%M:%S" if ago < DAY else "%Y-%m-%d %H:%M:%S", time.localtime(time.time() - ago))
