"""A container that was asked for by name and does not run: how it ended, where its runtime keeps that in a file.

Docker and our sandbox keep it until the container is removed. Only who asks in vain pays for the look.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import NamedTuple

from inspector.demise import KILLED_BEFORE, Found, told_of
from inspector.errors import NoSuchContainer, ParseError
from inspector.kernel.host import Host
from inspector.kernel.kmsg import KernelLog, Kill
from inspector.metadata import MOST_BYTES, clues_of
from inspector.model import Observation
from inspector.stores import Clues, Source, sources
from inspector.stores.endings import Ending, parse_state, parse_unstarted
from inspector.victims import SLACK, for_what
from inspector.views.text import duration, safe

__all__ = ["Stopped", "stopped"]

RUNTIMES = ("docker", "sandbox")
MOST_CONTAINERS = 2000  # of one store
ID_LENGTH = 64


class Stopped(NoSuchContainer):
    """A container of that name or id is there, and has ended or was never started."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(name)
        self.args = (text,)


class _Ended(NamedTuple):
    """One that has ended, or never began, and the file that says so."""

    runtime: str
    id: str
    name: str
    path: str
    ending: Ending
    ran: bool


def stopped(target: str, observation: Observation, host: Host) -> Stopped | None:
    """Return what is known of a stopped container with that name, id or beginning of an id."""
    begun = None
    for one in _ended(observation, host):
        if target in (one.name, one.id):
            return Stopped(target, _text(one, host))
        begun = begun or (one if one.id.startswith(target) else None)
    return Stopped(target, _text(begun, host)) if begun else None


def _ended(observation: Observation, host: Host) -> Iterator[_Ended]:
    for runtime, id_, source in _files(observation, host):
        with contextlib.suppress(OSError, ParseError):
            data = host.read_inside(source.store, source.relative, MOST_BYTES)
            ended = parse_state(data)
            if ending := ended or parse_unstarted(data):
                name = source.parse(data, "").name
                yield _Ended(runtime, id_, name or id_, source.path, ending, ended is not None)


def _files(observation: Observation, host: Host) -> Iterator[tuple[str, str, Source]]:
    """Yield the runtime, the id and the file of each container that is kept, running or not."""
    for runtime in RUNTIMES:
        for store in _stores(runtime, observation):
            try:
                ids = [name for name in host.listdir(f"{store}/containers") if len(name) == ID_LENGTH]
            except OSError:
                continue
            for id_ in ids[:MOST_CONTAINERS]:
                yield runtime, id_, sources(runtime, Clues(id_))[0]._replace(store=store)


def _stores(runtime: str, observation: Observation) -> list[str]:
    """Return where a runtime keeps its containers: as usual, and where those that run lead to."""
    clues = [clues_of(one) for one in observation.containers if one.runtime == runtime]
    return list(dict.fromkeys(one.store for each in (*clues, Clues("-")) for one in sources(runtime, each)))


def _killed(one: _Ended, host: Host) -> tuple[Kill | None, str]:
    """Return the last kill for lack of memory shortly before the end, and whose limit it met when not its own."""
    last, at = None, ""
    finished = one.ending.finished
    if finished is None:
        return last, at
    with contextlib.suppress(OSError), contextlib.closing(KernelLog(host)) as log:
        for kill in log.kills():
            above, own, rest = kill.cgroup.partition(one.id)
            killed = time.time() - time.monotonic() + kill.monotonic_us / 1e6
            if own and 0 <= finished + SLACK - killed <= KILLED_BEFORE:
                # Where systemd has made it, the name of its cgroup goes on: ".scope".
                last, at = kill, for_what(kill, f"{above}{own}{rest.partition('/')[0]}")
    return last, at


def _text(one: _Ended, host: Host) -> str:
    if not one.ran:
        error = f": {one.ending.error}" if one.ending.error else ""
        return f"container {safe(one.name)} ({one.runtime}) was never started{safe(error)} ({safe(one.path)})"
    kill, at = _killed(one, host)
    why, _ = told_of(Found(kill=kill, ending=one.ending, path=one.path, at=at), is_last=True)
    finished = one.ending.finished
    ago = "" if finished is None else f" {duration(max(0.0, time.time() - finished))} ago"
    name, reason, path = map(safe, (one.name, why or "", one.path))
    return f"container {name} ({one.runtime}) does not run: it ended{ago}, {reason} ({path})"
