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
import socket
from collections.abc import Mapping
from typing import Any, NamedTuple

from inspector.kernel.cgroups import read_hierarchies
from inspector.kernel.host import Host
from sandbox import cgroup, freezer, init, terminal, updating
from sandbox.commands.output import complain
from sandbox.conversation import Running, launch
from sandbox.errors import SandboxError
from sandbox.foreground import attend
from sandbox.limits import Limits
from sandbox.oci import bundle as bundles
from sandbox.oci import hooks, options, plan
from sandbox.oci.records import Record, Records
from sandbox.signals import blocked_signals
from sandbox.value import replace

__all__ = ["Ends", "create", "delete", "execute", "kill", "pause", "processes", "resume", "run", "start", "update"]

LOWEST_DESCRIPTOR = 64
DEFAULT_PARENT = "/cgscope-oci"


class Ends(NamedTuple):
    """Where the caller wants to hear of a new process: files, "" for none."""

    console_socket: str = ""
    pid_file: str = ""


def create(records: Records, ident: str, directory: str, ends: Ends, *, stays: bool = False) -> Running:
    """Make a container from a bundle, up to its program's start; on an error nothing is left.

    `stays`: the caller serves its terminal, where no other does.
    """
    bundle = bundles.read(directory)
    process = bundle.process
    if process is None:
        raise SandboxError("config.json: process is missing", 1)
    _check(process, ends, stays=stays)
    if not os.path.isdir(bundle.root):
        raise SandboxError(f"config.json: root.path {bundle.root}: no such directory", 1)
    record = records.add(ident, bundle.directory)
    made: list[str] = []
    places: tuple[cgroup.Place, ...] = ()
    try:
        shutil.copyfile(f"{bundle.directory}/config.json", f"{record.directory}/config.json")
        places = _places(bundle, ident)
        record.places = places
        record.state.update(ociVersion=bundle.version, annotations=dict(bundle.annotations))
        record.private["Resources"] = dict(bundle.resources)
        os.mkfifo(record.gate, 0o600)
        gate = _open_gate(record.gate)
        inside = hooks.Inside(bundle.hooks, record.spoken())
        wanted = plan.launch_of(bundle, process, places, records.root, gate, inside)
        made = cgroup.apply(wanted.cgroup_steps, cgroup.CREATE)
        record.private["MadeCgroups"] = [path for path in made if path not in {where.directory for where in places}]
        record.save()
        running = launch(
            lambda end, parent: init.joiner(wanted, end, parent),
            lambda pid: _born(record, bundle, pid),
            lambda: cgroup.apply(wanted.cgroup_steps, cgroup.LIMIT),
            tty=process.terminal,
        )
        _hand_out(running, process, ends, ident)
    except BaseException:
        _undo(record, places, made)
        raise
    return running


def run(records: Records, ident: str, directory: str, ends: Ends, *, keep: bool) -> int:
    """Make a container, start it, stay with it, and remove it unless it is to be kept; returns its exit code."""
    with blocked_signals():
        running = create(records, ident, directory, ends, stays=True)
        try:
            start(records, ident)
            return _attend(running, ends)
        finally:
            if not keep:
                delete(records, ident, force=True)


def _attend(running: Running, ends: Ends) -> int:
    console = None if ends.console_socket else running.console
    return attend(running.pid, running.pidfd, console, interactive=True)


def _open_gate(path: str) -> int:
    """Open both ends of the FIFO, so that it never ends, on a descriptor that nothing else is put on."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, LOWEST_DESCRIPTOR)
    finally:
        os.close(fd)


def _check(process: bundles.Process, ends: Ends, *, stays: bool) -> None:
    if process.terminal and not (ends.console_socket or stays):
        raise SandboxError("a terminal is asked for: --console-socket says where it is to be sent", 1)
    if process.unknown:
        complain(SandboxError(f"warning: left out, as no such capability is known: {', '.join(process.unknown)}"))


def _places(bundle: bundles.Bundle, ident: str) -> tuple[cgroup.Place, ...]:
    parent, _, name = (bundle.cgroups_path.rstrip("/") or f"{DEFAULT_PARENT}/{ident}").rpartition("/")
    places = cgroup.place(read_hierarchies(Host()), parent, name, None)
    if pids := cgroup.pids(places):
        raise SandboxError(f"container's cgroup is not empty: {len(pids)} process(es) in {parent}/{name}", 1)
    return places


def _born(record: Record, bundle: bundles.Bundle, pid: int) -> None:
    record.born(pid)
    for name in ("prestart", "createRuntime"):
        hooks.run(name, bundle.hooks[name], {**record.spoken(), "status": "creating"})


def _hand_out(running: Running, process: bundles.Process, ends: Ends, name: str) -> None:
    """Give the caller the terminal and the PID of a new process."""
    if running.console is not None:
        rows, columns = process.console
        if rows and columns:
            terminal.set_size(running.console, rows, columns)
        if ends.console_socket:
            _send(ends.console_socket, running.console, name)
    if ends.pid_file:
        with open(f"{ends.pid_file}.new", "w", encoding="ascii") as file:
            file.write(str(running.pid))
        os.replace(f"{ends.pid_file}.new", ends.pid_file)


def _send(path: str, console: int, name: str) -> None:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
            peer.connect(path)
            socket.send_fds(peer, [name.encode()], [console])
    except OSError as error:
        raise SandboxError(f"console socket {path}: {error.strerror}", 1) from None


def _undo(record: Record, places: tuple[cgroup.Place, ...], made: list[str]) -> None:
    with contextlib.suppress(SandboxError, OSError):
        if record.status() != "stopped" and record.pid:
            _signal(record, signal.SIGKILL)
    with contextlib.suppress(SandboxError, OSError):
        cgroup.remove(places, made)
    record.remove()


def start(records: Records, ident: str) -> None:
    """Let a created container's program begin."""
    record = _alive(records, ident, "created")
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
        hooks.run("poststart", _bundle(record).hooks["poststart"], record.spoken())
    except SandboxError:
        delete(records, ident, force=True)
        raise


def _bundle(record: Record) -> bundles.Bundle:
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
    """Send a signal to the first process, or to all."""
    record = records.load(ident)
    if everything:
        for pid in cgroup.pids(record.places):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
    elif record.status() in ("creating", "stopped"):
        raise SandboxError("container not running", 1)
    else:
        _signal(record, number)
    if number == signal.SIGKILL:
        freezer.let_go(record.places)  # on v1 what is frozen does not even die


def delete(records: Records, ident: str, *, force: bool) -> None:
    """Remove a container that has ended; with `force` also one that has not, or none."""
    try:
        record = records.load(ident)
    except SandboxError:
        if force:
            return
        raise
    status = record.status()
    if status != "stopped" and not force:
        raise SandboxError(f"cannot delete container {ident} that is not stopped: {status}", 1)
    told = {**record.spoken(), "status": "stopped", "pid": 0}
    after = _bundle(record).hooks["poststop"] if os.path.exists(f"{record.directory}/config.json") else ()
    cgroup.kill(record.places)
    freezer.let_go(record.places)  # as in kill()
    cgroup.remove(record.places, record.private["MadeCgroups"])
    record.remove()
    for hook in after:
        try:
            hooks.run("poststop", (hook,), told)
        except SandboxError as error:  # as the specification wants it: a warning
            complain(error)


def execute(records: Records, ident: str, document: object, ends: Ends, *, detach: bool) -> int:
    """Run one more program in a container; returns its exit code, or 0 at once with `detach`."""
    record = _alive(records, ident, "created", "running")
    process = bundles.parse_process(document)
    _check(process, ends, stays=not detach)
    steps = tuple(step for step in cgroup.plan(Limits(), record.places) if step.phase == cgroup.JOIN)
    program = plan.program_of(_bundle(record), process, records.root)
    wanted = init.Launch(program, steps, join=(record.pid, os.pidfd_open(record.pid)))
    with blocked_signals():
        running = launch(lambda end, parent: init.joiner(wanted, end, parent), tty=process.terminal)
        try:
            _hand_out(running, process, ends, ident)
        except BaseException:
            signal.pidfd_send_signal(running.pidfd, signal.SIGKILL)
            raise
        return 0 if detach else _attend(running, ends)


def processes(records: Records, ident: str) -> list[int]:
    """Return the PIDs of all processes of a container."""
    return sorted(cgroup.pids(records.load(ident).places))


def pause(records: Records, ident: str) -> None:
    """Stop all processes of a container."""
    freezer.freeze_group(freezer.group_in(_alive(records, ident, "created", "running").places))


def resume(records: Records, ident: str) -> None:
    """Let them go on."""
    freezer.thaw_group(freezer.group_in(_alive(records, ident, "paused").places))


def _alive(records: Records, ident: str, *statuses: str) -> Record:
    """Return a container that has one of these statuses; SandboxError for another."""
    record = records.load(ident)
    status = record.status()
    if status not in statuses:
        raise SandboxError(f"container {ident} is {status}, not {' or '.join(statuses)}", 1)
    return record


def update(records: Records, ident: str, resources: Mapping[str, Any]) -> None:
    """Change the limits of a container: those named, the others stay."""
    record = _alive(records, ident, "created", "running", "paused")
    before = record.private["Resources"]
    after = {**before, **{key: {**_object(before.get(key)), **_object(value)} if isinstance(value, dict) else value
                          for key, value in resources.items()}}  # fmt: skip
    updating.write(record.places, options.limits_of(before), options.limits_of(after))
    record.private["Resources"] = after
    record.save()


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
