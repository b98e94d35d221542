"""Who was killed for lack of memory: the name that the kernel's log has, put into the finding that counts kills.

The log is read only once a container has such a finding, and on from where it
was left when there is a new kill: all of a log of 2,400 records takes 2 ms.
In a container nothing is said: the log names cgroups from the machine's root.

A container that was started again counts from nothing, as its cgroup is a new
one. Who was killed in it before is told from the log alone, for an hour.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from inspector.kernel.host import Host
from inspector.kernel.kmsg import KernelLog, Kill
from inspector.schema import Container, Document, Finding
from inspector.since import was_started_again

__all__ = ["SLACK", "Victims", "for_what"]

FINDING = "oom-killed"
SLACK = 10.0  # seconds: the log's clock is no other's (local_clock() of kernel/printk), and nobody sets it right
MOST_KEPT = 1000  # cgroups with a kill
DAY = 86_400.0
KEPT = 3600.0


class Victims:
    """Names the last victim of each container, document after document. Not thread safe; close it at the end."""

    def __init__(self, host: Host) -> None:
        self._log = KernelLog(host)
        self._last: dict[str, Kill] = {}  # by cgroup, in the order of the log
        # By container: its kills when the log was read, and when it had been started.
        self._counted: dict[str, tuple[int | None, float | None]] = {}
        self._victims: dict[str, Kill] = {}

    def named(self, document: Document) -> Document:
        """Return the document with the victims' names in its findings; as it is where there are none."""
        if document["viewpoint"]["inside_container"]:
            return document
        killed = {one["id"]: one for one in document["containers"] if _may_have_victims(one)}
        counted = {name: (one["memory"]["oom_kills"], one["started_at"]) for name, one in killed.items()}
        if counted != self._counted:
            self._counted = counted
            self._read()
            self._victims = {name: kill for name, one in killed.items() if (kill := self._victim_of(one))}
        if not self._victims:
            return document
        return {**document, "containers": [_with(one, self._victims) for one in document["containers"]]}

    def _read(self) -> None:
        """Read what is new in the log; where it may not be read there are no names."""
        try:
            for kill in self._log.kills():
                self._last.pop(kill.cgroup, None)
                self._last[kill.cgroup] = kill
        except OSError:
            pass
        for cgroup in list(self._last)[: max(0, len(self._last) - MOST_KEPT)]:
            del self._last[cgroup]

    def _victim_of(self, one: Container) -> Kill | None:
        """Return the last kill in a container's cgroup: not one of an earlier container, whose cgroup was called so."""
        path = one["cgroups"].get("memory", "/")
        if path == "/" or one["memory"]["source"] != "cgroup":
            return None
        below = path + "/"
        kills = (kill for cgroup, kill in reversed(self._last.items()) if cgroup == path or cgroup.startswith(below))
        # The kernel leaves some kills out of its log (ten in five seconds have their line). In a control group the
        # oldest process may be younger than the cgroup.
        began = one["started_at"] if one["memory"]["oom_kills"] else one["created_at"]
        born = began if one["kind"] == "container" else None
        return next((kill for kill in kills if born is None or time.time() - _ago(kill) > born - SLACK), None)

    def close(self) -> None:
        """Close the log."""
        self._log.close()


def _may_have_victims(one: Container) -> bool:
    """Tell whether the log may name a victim: the container has counted kills, or was started again after others."""
    if one["memory"]["oom_kills"] == 0:
        return one["kind"] == "container" and was_started_again(one["created_at"], one["started_at"])
    return bool(one["memory"]["oom_kills"] and one["findings"])


def _with(one: Container, victims: Mapping[str, Kill]) -> Container:
    kill = victims.get(one["id"])
    if kill is None:
        return one
    why = for_what(kill, one["cgroups"]["memory"])
    if not one["memory"]["oom_kills"]:
        return _with_earlier(one, kill, why)
    more = f"; the last {kill.task} (PID {kill.pid}) at {_at(kill)}{why} (kernel's log)"
    return {**one, "findings": [_longer(found, more) for found in one["findings"]]}


def _with_earlier(one: Container, kill: Kill, why: str) -> Container:
    ago = _ago(kill)
    if ago > KEPT:
        return one
    text = f"{kill.task} (PID {kill.pid}) was killed for lack of memory at {_at(kill)}{why} (kernel's log)"
    text += ", before the container was started again"
    found: Finding = {"code": FINDING, "severity": "critical", "text": text}
    return {**one, "findings": [*one["findings"], found]}


def for_what(kill: Kill, cgroup: str) -> str:
    """Say what was short of memory when that was not a container's own limit; `cgroup` is the container's."""
    if kill.limit == cgroup:
        return ""
    if not kill.limit:
        return ", as the machine had no memory left"
    inner = kill.limit.startswith(f"{cgroup}/")
    return f", at the limit of {kill.limit.removeprefix(cgroup)} in it" if inner else f", at the limit of {kill.limit}"


def _longer(found: Finding, more: str) -> Finding:
    return {**found, "text": found["text"] + more} if found["code"] == FINDING else found


def _ago(kill: Kill) -> float:
    """Return how many seconds ago somebody was killed, without those in suspend."""
    return time.monotonic() - kill.monotonic_us / 1e6


def _at(kill: Kill) -> str:
    """Write the local time of a kill, with the date where that was not within a day."""
    ago = _ago(kill)
    return time.strftime("%H:%M:%S" if ago < DAY else "%Y-%m-%d %H:%M:%S", time.localtime(time.time() - ago))
