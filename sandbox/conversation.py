"""The parent's side of a start: forks the joiner and speaks with its child, as channel.py draws it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from sandbox import channel, syscalls
from sandbox.contexts import suppress
from sandbox.control import JOIN, JOIN_FILE, Step
from sandbox.errors import SandboxError
from sandbox.quick import signal
from sandbox.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from sandbox.network.connection import Connection

    # What the process between does, with its end, its parent and the steps that are left.
    Joiner = Callable[[channel.Channel, int, tuple[Step, ...]], NoReturn]

__all__ = ["Running", "fork_joining", "launch"]

RETRY_MS = 1


class Running(Value):
    """A program that runs, as its parent knows it."""

    pid: int
    pidfd: int
    console: int | None
    network: Connection | None = None


def launch(
    joiner: Joiner,
    steps: tuple[Step, ...],
    born: Callable[[int], None] = lambda _: None,
    ready: Callable[[], object] = lambda: None,
    meanwhile: Callable[[], None] = lambda: None,
    *,
    tty: bool,
    supervise: Callable[[int, int], None] | None = None,
) -> Running:
    """Fork the joiner and speak with its child as channel.py draws it; an error leaves no process.

    `steps`: those with which it joins cgroups; one of v2 it is born in, where that can be.
    `meanwhile` is called while the child works. `tty`: the child will send the master of a terminal. `supervise`, for
    a filter that listens, is called with the child's PID and the filter's descriptor.
    """
    syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
    ours, theirs = channel.pair()
    me = os.getpid()
    between, left = fork_joining(steps)
    if between == 0:
        ours.close()
        joiner(theirs, me, left)
    theirs.close()
    pid = 0
    try:
        try:
            meanwhile()
            pid = ours.expect(channel.Born).pid
        finally:
            os.waitpid(between, 0)
        born(pid)
        pidfd = os.pidfd_open(pid)
        ours.send(channel.Proceed())
        console = ours.expect_descriptor(channel.Console) if tty else None
        program = ours.expect(channel.Ready).path
        ready()
        ours.send(channel.Go())
        if supervise is not None:
            _hand_over_listener(ours, pid, pidfd, supervise)
        ours.expect_end(program)
    except BaseException:
        _reap(pid)
        raise
    finally:
        ours.close()
    return Running(pid, pidfd, console)


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


def fork_joining(steps: tuple[Step, ...]) -> tuple[int, tuple[Step, ...]]:
    """Fork into the cgroup of v2 that the steps join, and return those that are left; where that cannot be, outside.

    A move into it takes a lock that waits for the kernel's RCU, 5 to 15 ms.
    """
    for step in steps:
        if step.phase == JOIN and os.path.basename(step.path) == JOIN_FILE[2]:
            with suppress(OSError):  # an older kernel; what else it is, the move says
                between = syscalls.fork_into(os.path.dirname(step.path))
                return between, tuple(each for each in steps if each is not step)
    return os.fork(), steps
