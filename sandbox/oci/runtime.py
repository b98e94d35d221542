"""The operations of the runtime: create, start, kill, delete, exec and what else its callers ask for.

    create   makes everything, up to the program's execve; the first process waits at a FIFO, and is its caller's
             to reap, as ours is gone by then
    start    writes the FIFO's one byte
    delete   takes down what is left

https://github.com/opencontainers/runtime-spec/blob/main/runtime.md
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
from collections.abc import Mapping
from typing import Any

from inspector.kernel.cgroups import read_hierarchies
from inspector.kernel.host import Host
from sandbox import above, cgroup, control, culling, freezer, init, updating
from sandbox.commands.output import warn
from sandbox.conversation import Outside, Running, launch
from sandbox.errors import SandboxError
from sandbox.oci import bundle as bundles
from sandbox.oci import handing, hooks, plan, resources
from sandbox.oci.handing import Ends
from sandbox.oci.process import Process
from sandbox.oci.records import Record, Records
from sandbox.oci.supervisor import supervision
from sandbox.signals import blocked_signals
from sandbox.value import replace

__all__ = ["alive", "bundle_of", "create", "delete", "kill", "pause", "processes", "resume", "run", "start", "update"]

LOWEST_DESCRIPTOR = 64
DEFAULT_PARENT = "/cgscope-oci"


def create(records: Records, ident: str, directory: str, ends: Ends, *, stays: bool = False) -> Running:
    """Make a container from a bundle, up to its program's start; on an error nothing is left.

    `stays`: the caller serves its terminal, where no other does.
    """
    bundle = bundles.read(directory)
    if bundle.process is None:
        raise SandboxError("config.json: process is missing", 1)
    process, ends = handing.with_sockets(bundle.process, ends)
    handing.check(process, ends, stays=stays)
    if not os.path.isdir(bundle.root):
        raise SandboxError(f"config.json: root.path {bundle.root}: no such directory", 1)
    record = records.add(ident, bundle.directory)
    made: dict[str, str] = {}
    places: tuple[cgroup.Place, ...] = ()
    try:
        shutil.copyfile(f"{bundle.directory}/config.json", f"{record.directory}/config.json")
        record.places = places = _places(bundle, ident)
        wanted = _prepare(records, record, bundle, process, ends.handed)
        own = {where.directory for where in places}
        made = above.foretell(wanted.cgroup_steps, own, lambda: [other.state for other in records.all()])
        record.private["MadeCgroups"] = made
        record.save()  # first: whoever finds it, if we are killed, removes them
        control.apply(wanted.cgroup_steps, control.CREATE)
        record.private["MadeCgroups"] = made = above.identified(made)
        running = launch(
            lambda end, parent, left: init.joiner(replace(wanted, cgroup_steps=left), end, parent),
            wanted.cgroup_steps,
            Outside(
                born=lambda pid: _born(record, bundle, pid),
                opened=lambda console: handing.set_up(console, process, ends),
                ready=lambda: control.apply(wanted.cgroup_steps, control.LIMIT),
            ),
            tty=process.terminal,
            supervise=supervision(bundle, wanted.program, lambda: {**record.spoken(), "status": "creating"}),
        )
        handing.hand_out(running, ends, ident)
    except BaseException:
        _undo(records, record, places, made)
        raise
    return running


def _prepare(records: Records, record: Record, bundle: bundles.Bundle, process: Process, handed: int) -> init.Launch:
    """Complete a new container's record, and return how it is made."""
    record.state.update(ociVersion=bundle.version, annotations=dict(bundle.annotations))
    record.private["Resources"] = dict(bundle.resources)
    record.private["SharesPids"] = not any(one.kind == "pid" and not one.path for one in bundle.namespaces)
    os.mkfifo(record.gate, 0o600)
    gate = _open_gate(record.gate, max(LOWEST_DESCRIPTOR, handing.FIRST + handed + 1))
    inside = hooks.Inside(bundle.hooks, record.spoken())
    program = plan.program_of(bundle, process, records.filters, gate, inside.at_start, handed)
    return plan.launch_of(bundle, program, record.places, inside.before_pivot)


def run(records: Records, ident: str, directory: str, ends: Ends, *, keep: bool) -> int:
    """Make a container, start it, stay with it, and remove it unless it is to be kept; returns its exit code."""
    with blocked_signals():
        running = create(records, ident, directory, ends, stays=True)
        try:
            start(records, ident)
            return handing.stay(running, ends)
        finally:
            if not keep:
                delete(records, ident, force=True)


def _open_gate(path: str, lowest: int) -> int:
    """Open both ends of the FIFO, so that it never ends, on a descriptor that nothing else is put on."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, lowest)
    finally:
        os.close(fd)


def _places(bundle: bundles.Bundle, ident: str) -> tuple[cgroup.Place, ...]:
    parent, _, name = (bundle.cgroups_path.rstrip("/") or f"{DEFAULT_PARENT}/{ident}").rpartition("/")
    places = cgroup.place(read_hierarchies(Host()), parent, name, None)
    if pids := culling.pids(places):
        raise SandboxError(f"container's cgroup is not empty: {len(pids)} process(es) in {parent}/{name}", 1)
    frozen = False
    with contextlib.suppress(SandboxError, OSError):  # no freezer, or no such cgroup yet
        frozen = bool(freezer.read(freezer.group_in(places)).frozen)
    if frozen:
        raise SandboxError(f"container's cgroup unexpectedly frozen: {parent}/{name}", 1)
    return places


def _born(record: Record, bundle: bundles.Bundle, pid: int) -> None:
    record.born(pid)
    if bundle.net_devices:
        from sandbox.oci import network_devices  # noqa: PLC0415  rare

        network_devices.move(bundle.net_devices, f"/proc/{pid}/ns/net")
    for name in ("prestart", "createRuntime"):
        hooks.run(name, bundle.hooks[name], {**record.spoken(), "status": "creating"})


def _undo(records: Records, record: Record, places: tuple[cgroup.Place, ...], made: dict[str, str]) -> None:
    with contextlib.suppress(SandboxError, OSError):
        if record.status() != "stopped" and record.pid:
            _signal(record, signal.SIGKILL)
    with contextlib.suppress(SandboxError, OSError):
        if not _below(records, places):  # who would be killed with it
            culling.remove(places, above.still_there(made))
    record.remove()


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


def _signal(record: Record, number: int) -> None:
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
        _signal(record, number)
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
    inner = _below(records, places)
    alone = bool(record.pid) and not record.private.get("SharesPids")
    if alone:
        with contextlib.suppress(SandboxError):
            _signal(record, signal.SIGKILL)
    elif not inner:
        culling.kill(places)
    freezer.let_go(places)  # as in kill()
    if inner:
        raise SandboxError(f"container {os.path.basename(inner.directory)} is in a cgroup below this one's", 1)
    culling.remove(places, above.still_there(record.private["MadeCgroups"]), kill_rest=not alone)


def _below(records: Records, places: tuple[cgroup.Place, ...]) -> Record | None:
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
