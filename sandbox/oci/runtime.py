"""The operations of the runtime on containers that are there: start, kill, delete and what else its callers ask for.

    create   (creation.py) makes everything, up to the program's execve; the first process waits at a FIFO, and is its
             caller's to reap, as ours is gone by then
    start    writes the FIFO's one byte
    delete   takes down what is left

https://github.com/opencontainers/runtime-spec/blob/main/runtime.md
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping
from typing import Any

from sandbox import above, cgroup, control, culling, freezer, updating
from sandbox.commands.output import warn
from sandbox.errors import SandboxError
from sandbox.oci import bundle as bundles
from sandbox.oci import hooks, resources
from sandbox.oci.records import Record, Records
from sandbox.value import replace

__all__ = ["alive", "below", "bundle_of", "delete", "kill", "pause", "processes", "resume", "signal_first", "start",
           "update"]  # fmt: skip


def start(records: Records, ident: str) -> None:
    """Let a created container's program begin."""
    record = alive(records, ident, "created")
    try:
        gate = os.open(record.gate, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise SandboxError(f"container {ident} does not wait to be started: {error.strerror}", 1) from None
    try:
        os.write(gate, b"0")
    finally:
        os.close(gate)
    os.unlink(record.gate)
    try:
        hooks.run("poststart", bundle_of(record).hooks["poststart"], record.spoken())
    except SandboxError:
        delete(records, ident, force=True)
        raise


def bundle_of(record: Record) -> bundles.Bundle:
    """Return what the container was made of: the configuration of then, with the bundle's directory."""
    return replace(bundles.read(record.directory), directory=record.state["bundle"])


def signal_first(record: Record, number: int) -> None:
    """Signal the first process, and no other that has its number by now."""
    try:
        pidfd = os.pidfd_open(record.pid)
    except OSError:
        raise SandboxError("container not running", 1) from None
    try:
        if record.status() == "stopped":
            raise SandboxError("container not running", 1)
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, number)
    finally:
        os.close(pidfd)


def kill(records: Records, ident: str, number: int, *, everything: bool) -> None:
    """Send a signal to the first process, or to all.

    Who has no PID namespace of his own does not take the others with him when he is killed: then it is for all too.
    """
    record = records.load(ident)
    places = _of_its_own(records, record)
    if everything or (number == signal.SIGKILL and record.private.get("SharesPids") and culling.pids(places)):
        for pid in culling.pids(places):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
    elif record.status() in ("creating", "stopped"):
        raise SandboxError("container not running", 1)
    else:
        signal_first(record, number)
    if number == signal.SIGKILL:
        freezer.let_go(places)  # on v1 what is frozen does not even die


def delete(records: Records, ident: str, *, force: bool) -> None:
    """Remove a container that has ended; with `force` also one that has not, or none."""
    try:
        record = records.load(ident)
    except SandboxError:
        if not force or not records.discard(ident):
            raise
        return
    status = record.status()
    if status != "stopped" and not force:
        raise SandboxError(f"cannot delete container {ident} that is not stopped: {status}", 1)
    told = {**record.spoken(), "status": "stopped", "pid": 0}
    after = bundle_of(record).hooks["poststop"] if os.path.exists(f"{record.directory}/config.json") else ()
    _end(records, record)
    record.remove()
    for hook in after:
        try:
            hooks.run("poststop", (hook,), told)
        except SandboxError as error:  # as the specification wants it: a warning
            warn(str(error))


def _end(records: Records, record: Record) -> None:
    """Kill what is left of a container, and remove its cgroups; SandboxError where others are in them, who live on.

    With a PID namespace of its own the first process takes all of it along: what else is there is not killed, as
    with runc. Without one everything in the cgroups is taken for the container's.
    """
    places = _of_its_own(records, record)
    inner = below(records, places)
    alone = bool(record.pid) and not record.private.get("SharesPids")
    if alone:
        with contextlib.suppress(SandboxError):
            signal_first(record, signal.SIGKILL)
    elif not inner:
        culling.kill(places)
    freezer.let_go(places)  # as in kill()
    if inner:
        raise SandboxError(f"container {os.path.basename(inner.directory)} is in a cgroup below this one's", 1)
    culling.remove(places, above.still_there(record.private["MadeCgroups"]), kill_rest=not alone)


def below(records: Records, places: tuple[cgroup.Place, ...]) -> Record | None:
    """Return a container that lives in a cgroup below those of another."""
    own = tuple(f"{place.directory}/" for place in places)
    others = (other for other in records.all() if any(place.directory.startswith(own) for place in other.places))
    return next((other for other in others if other.status() not in ("creating", "stopped")), None)


def _of_its_own(records: Records, record: Record) -> tuple[cgroup.Place, ...]:
    """Return the cgroups of a container, none where another one lives in them: a path may be asked for twice.

    Where it lives itself no other does: create() lets none in.
    """
    if record.status() not in ("creating", "stopped"):
        return record.places
    own = {place.directory for place in record.places}
    others = (other for other in records.all() if other.directory != record.directory)
    sharing = (other for other in others if own.intersection(place.directory for place in other.places))
    return () if any(other.status() != "stopped" for other in sharing) else record.places


def processes(records: Records, ident: str) -> list[int]:
    """Return the PIDs of all processes of a container."""
    return sorted(culling.pids(_of_its_own(records, records.load(ident))))


def pause(records: Records, ident: str) -> None:
    """Stop all processes of a container."""
    freezer.freeze_group(freezer.group_in(alive(records, ident, "created", "running").places))


def resume(records: Records, ident: str) -> None:
    """Let them go on."""
    freezer.thaw_group(freezer.group_in(alive(records, ident, "paused").places))


def alive(records: Records, ident: str, *statuses: str) -> Record:
    """Return a container that has one of these statuses; SandboxError for another."""
    record = records.load(ident)
    status = record.status()
    if status not in statuses:
        raise SandboxError(f"container {ident} is {status}, not {' or '.join(statuses)}", 1)
    return record


def update(records: Records, ident: str, wanted: Mapping[str, Any]) -> None:
    """Change the limits of a container: those named, the others stay."""
    record = alive(records, ident, "created", "running", "paused")
    before = record.private["Resources"]
    after = {**before, **{key: {**_object(before.get(key)), **_object(value)} if isinstance(value, dict) else value
                          for key, value in wanted.items()}}  # fmt: skip
    if resources.device_rules(before) != resources.device_rules(after):
        raise SandboxError("linux.resources.devices cannot be changed while the container is there", 1)
    updating.write(record.places, resources.limits_of(before), resources.limits_of(after))
    control.apply(resources.steps_of(wanted, record.places), control.LIMIT)
    record.private["Resources"] = after
    record.save()


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
