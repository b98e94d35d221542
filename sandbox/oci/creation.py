"""How a container comes to be: from its bundle to the program that waits for `start` at a FIFO (runtime.py)."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal

from inspector.kernel.cgroups import read_hierarchies
from inspector.kernel.host import Host
from sandbox import above, cgroup, control, culling, freezer, init
from sandbox.conversation import Outside, Running, launch
from sandbox.errors import SandboxError
from sandbox.oci import bundle as bundles
from sandbox.oci import handing, hooks, plan, runtime
from sandbox.oci.handing import Ends
from sandbox.oci.process import Process
from sandbox.oci.records import Record, Records
from sandbox.oci.supervisor import supervision
from sandbox.signals import blocked_signals
from sandbox.value import replace

__all__ = ["create", "run"]

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
        running = _launch(record, bundle, process, ends, wanted)
        handing.hand_out(running, ends, ident)
    except BaseException:
        _undo(records, record, places, made)
        raise
    return running


def run(records: Records, ident: str, directory: str, ends: Ends, *, keep: bool) -> int:
    """Make a container, start it, stay with it, and remove it unless it is to be kept; returns its exit code."""
    with blocked_signals():
        running = create(records, ident, directory, ends, stays=True)
        try:
            runtime.start(records, ident)
            return handing.stay(running, ends)
        finally:
            if not keep:
                runtime.delete(records, ident, force=True)


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


def _launch(record: Record, bundle: bundles.Bundle, process: Process, ends: Ends, wanted: init.Launch) -> Running:
    return launch(
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
            runtime.signal_first(record, signal.SIGKILL)
    with contextlib.suppress(SandboxError, OSError):
        if not runtime.below(records, places):  # who would be killed with it
            culling.remove(places, above.still_there(made))
    record.remove()
