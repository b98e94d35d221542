"""`sandbox oci exec`: one more program in a container, in its cgroups or in some below them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from typing import NamedTuple, NoReturn

from sandbox import cgroup, control, joined
from sandbox.channel import Channel
from sandbox.conversation import Outside, Running, launch
from sandbox.crowding import explained
from sandbox.errors import SandboxError
from sandbox.oci import handing, plan, scheduling
from sandbox.oci.handing import Ends
from sandbox.oci.process import parse_process
from sandbox.oci.records import Record, Records
from sandbox.oci.runtime import alive, bundle_of
from sandbox.oci.supervisor import supervision
from sandbox.signals import blocked_signals
from sandbox.value import replace

__all__ = ["How", "execute"]


class How(NamedTuple):
    """What `exec` is told besides the process; `cgroups` as [CONTROLLER,...:]PATH below the container's own."""

    detach: bool = False
    ignore_paused: bool = False
    cgroups: tuple[str, ...] = ()


def execute(records: Records, ident: str, document: object, ends: Ends, how: How) -> int:
    """Run one more program in a container; returns its exit code, or 0 at once with `detach`."""
    record = records.load(ident)
    if record.status() == "paused" and not how.ignore_paused:
        raise SandboxError(f"cannot exec in a paused container: {ident}", 1)
    record = alive(records, ident, "created", "running", "paused")
    process, ends = handing.with_sockets(parse_process(document), ends)
    handing.check(process, ends, stays=not how.detach)
    bundle = bundle_of(record)
    program = plan.program_of(bundle, process, records.filters, handed=ends.handed)
    pidfd = os.pidfd_open(record.pid)
    alive(records, ident, "created", "running", "paused")  # it is that process still, not another with its number
    wanted = joined.Joining(program, tuple(_joins(record, how.cgroups)), record.pid, pidfd)

    def joiner(end: Channel, parent: int, left: tuple[control.Step, ...]) -> NoReturn:
        if process.affinity.initial:
            scheduling.put_on(process.affinity.initial)
            left = wanted.cgroup_steps
        joined.joiner(replace(wanted, cgroup_steps=left), end, parent)

    with blocked_signals():
        try:
            running = launch(
                joiner,
                # These CPUs are for before: in a cpuset of the container's the kernel refuses others than its own.
                () if process.affinity.initial else wanted.cgroup_steps,
                Outside(opened=lambda console: handing.set_up(console, process, ends)),
                tty=process.terminal,
                supervise=supervision(bundle, program, record.spoken),
            )
        except SandboxError as error:
            raise explained(error, (os.path.dirname(step.path) for step in wanted.cgroup_steps)) from None
        return _attend(running, ends, ident, how)


def _attend(running: Running, ends: Ends, ident: str, how: How) -> int:
    try:
        handing.hand_out(running, ends, ident)
    except BaseException:
        signal.pidfd_send_signal(running.pidfd, signal.SIGKILL)
        raise
    return 0 if how.detach else handing.stay(running, ends)


def _joins(record: Record, asked: Sequence[str]) -> Iterator[control.Step]:
    """Yield how the cgroups are entered, those below the container's where that is asked for."""
    below = dict(_below(record, asked))
    for where in record.places:
        path = os.path.normpath(f"{where.directory}/{below.get(where.directory, '')}")
        if not os.path.isdir(path):
            raise SandboxError(f"--cgroup: {path}: no such file or directory", 1)
        yield control.join(where.hierarchy.version, path)


def _below(record: Record, asked: Sequence[str]) -> Iterator[tuple[str, str]]:
    for text in asked:
        before, colon, path = text.rpartition(":")
        if ".." in path.split("/"):
            raise SandboxError(f"--cgroup {text}: bad sub cgroup path: it leaves the container's", 1)
        names = set(before.split(",")) if colon else {name for each in record.places for name in _names(each)}
        if unknown := names - {name for each in record.places for name in _names(each)}:
            raise SandboxError(f"--cgroup {text}: unknown controller {min(unknown)}", 1)
        yield from ((each.directory, path.strip("/")) for each in record.places if names & _names(each))


def _names(place: cgroup.Place) -> set[str]:
    """Return what a hierarchy can be called by: its controllers; v2's, which may have none, also by the empty name."""
    named = {name.removeprefix("name=") for name in place.hierarchy.controllers}
    return named if place.hierarchy.version == 1 else {*named, ""}
