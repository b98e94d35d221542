"""The parent's side of a start: forks the first process, or the joiner, and speaks as channel.py draws it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from sandbox import channel, syscalls
from sandbox.contexts import suppress
from sandbox.control import JOIN, JOIN_FILE, Step
from sandbox.errors import SandboxError
from sandbox.program import nothing
from sandbox.quick import signal
from sandbox.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from sandbox.network.connection import Connection

    # What the process between does, with its end, its parent and the steps that are left; and what the first process
    # does where there is none between.
    Joiner = Callable[[channel.Channel, int, tuple[Step, ...]], NoReturn]
    First = Callable[[channel.Channel, tuple[Step, ...]], NoReturn]

__all__ = ["Outside", "Running", "Straight", "fork_joining", "fork_straight", "launch"]

RETRY_MS = 1


class Straight(Value):
    """How a first process is born without one between: into which new namespaces (CLONE_NEW*), and its life there."""

    namespaces: int
    life: First


class Outside(Value):
    """What the parent does for a start, in this order.

    `prepare`: before anybody joins cgroups; `born`: before the first process goes on; `meanwhile`: while it mounts;
    `ready`: when nothing but the program's start is left; `starting`: while it starts.
    `opened`: after `meanwhile`, with the master of its terminal, if it has one.
    """

    prepare: Callable[[], object] = nothing
    born: Callable[[int], object] = nothing
    meanwhile: Callable[[int], object] = nothing
    ready: Callable[[], object] = nothing
    starting: Callable[[], object] = nothing
    opened: Callable[[int], object] = nothing


class Running(Value):
    """A program that runs, as its parent knows it."""

    pid: int
    pidfd: int
    console: int | None
    network: Connection | None = None


def launch(
    joiner: Joiner,
    steps: tuple[Step, ...],
    outside: Outside | None = None,
    *,
    tty: bool,
    supervise: Callable[[int, int], None] | None = None,
    straight: Straight | None = None,
) -> Running:
    """Fork the joiner and speak with its child as channel.py draws it; an error leaves no process.

    `steps`: those with which it joins cgroups; one of v2 it is born in, where that can be.
    `tty`: the child will send the master of a terminal. `supervise`, for a filter that listens, is called with the
    child's PID and the filter's descriptor.
    `straight`: where the kernel can do it the child is our own, with no joiner.
    """
    outside = outside or Outside()
    syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
    ours, theirs = channel.pair()
    pid = 0
    try:
        if straight is not None:
            pid = _straight(straight, steps, ours, theirs)
        outside.prepare()
        if not pid:
            pid = _by_joiner(joiner, steps, ours, theirs)
        _be_born(outside, pid, ours)
        pidfd = os.pidfd_open(pid)
        ours.send(channel.Proceed())
        outside.meanwhile(pid)
        console = _console(ours, outside) if tty else None
        hand_over = nothing if supervise is None else lambda: _hand_over_listener(ours, pid, pidfd, supervise)
        _let_go(ours, outside, hand_over)
    except BaseException:
        _reap(pid)
        raise
    finally:
        ours.close()
    return Running(pid, pidfd, console)


def _console(ours: channel.Channel, outside: Outside) -> int:
    """Receive the master of the child's terminal."""
    console = ours.expect_descriptor(channel.Console)
    outside.opened(console)
    return console


def _be_born(outside: Outside, pid: int, ours: channel.Channel) -> None:
    """Do what the first process needs; where that is gone, what it said last is the reason, not that it is gone."""
    try:
        outside.born(pid)
    except (OSError, SandboxError):
        if ours.has_message(0):
            ours.expect(channel.Ready)
        raise


def _let_go(ours: channel.Channel, outside: Outside, hand_over: Callable[[], object]) -> None:
    """Let the program start when all is ready, and return when it runs."""
    program = ours.expect(channel.Ready).path
    outside.ready()
    ours.send(channel.Go())
    hand_over()
    outside.starting()
    ours.expect_end(program)


def _straight(straight: Straight, steps: tuple[Step, ...], ours: channel.Channel, theirs: channel.Channel) -> int:
    """Fork the first process, and return its PID; 0 where the kernel cannot do that in one step."""
    try:
        pid, left = fork_straight(steps, straight.namespaces)
    except OSError:
        return 0
    if pid == 0:
        ours.close()
        straight.life(theirs, left)
    theirs.close()
    return pid


def _by_joiner(joiner: Joiner, steps: tuple[Step, ...], ours: channel.Channel, theirs: channel.Channel) -> int:
    """Fork the joiner, and return the PID of the first process, which it has forked."""
    me = os.getpid()
    between, left = fork_joining(steps)
    if between == 0:
        ours.close()
        joiner(theirs, me, left)
    theirs.close()
    try:
        return ours.expect(channel.Born).pid
    finally:
        os.waitpid(between, 0)


def _hand_over_listener(ours: channel.Channel, pid: int, pidfd: int, supervise: Callable[[int, int], None]) -> None:
    """Fetch the descriptor of the child's filter: whatever the child does under it may wait for the supervisor."""
    from sandbox.rare_syscalls import foreign_descriptor  # noqa: PLC0415  rare

    number = ours.expect(channel.Listens).number
    fd = -1
    while fd < 0:
        try:
            fd = foreign_descriptor(pidfd, number)
        except OSError as error:
            if error.errno not in (errno.EBADF, errno.ESRCH):  # the first of one that has ended too, before Linux 6.9
                raise
            if ours.has_message(RETRY_MS):  # the kernel did not take the filter
                ours.expect_end()
                text = "the new process ended under its seccomp filter, which may forbid what a start needs"
                raise SandboxError(text) from None
    try:
        supervise(pid, fd)
    finally:
        os.close(fd)
    ours.send(channel.Go())


def _reap(pid: int) -> None:
    if pid:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)


def fork_straight(steps: tuple[Step, ...], namespaces: int) -> tuple[int, tuple[Step, ...]]:
    """Fork into new namespaces and the cgroup of v2 that the steps join; returns those that are left. Or OSError.

    A move into that cgroup takes a lock that waits for the kernel's RCU, 5 to 15 ms.
    """
    place, left = _of_v2(steps)
    return syscalls.fork_into(place, namespaces), left


def fork_joining(steps: tuple[Step, ...]) -> tuple[int, tuple[Step, ...]]:
    """Fork into the cgroup of v2 that the steps join, and return those that are left; where that cannot be, outside."""
    place, left = _of_v2(steps)
    if place:
        with suppress(OSError):  # an older kernel; what else it is, the move says
            return syscalls.fork_into(place), left
    return os.fork(), steps


def _of_v2(steps: tuple[Step, ...]) -> tuple[str, tuple[Step, ...]]:
    """Return the cgroup of v2 that the steps join, "" when there is none, and the other steps."""
    for step in steps:
        if step.phase == JOIN and os.path.basename(step.path) == JOIN_FILE[2]:
            return os.path.dirname(step.path), tuple(each for each in steps if each is not step)
    return "", steps
