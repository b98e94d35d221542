"""The parent's side of a start: forks the joiner and speaks with its child, as channel.py draws it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

from sandbox import channel, syscalls
from sandbox.quick import signal
from sandbox.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from sandbox.network.connection import Connection

__all__ = ["Running", "launch"]


class Running(Value):
    """A program that runs, as its parent knows it."""

    pid: int
    pidfd: int
    console: int | None
    network: Connection | None = None


def launch(
    joiner: Callable[[channel.Channel, int], NoReturn],
    born: Callable[[int], None] = lambda _: None,
    ready: Callable[[], object] = lambda: None,
    *,
    tty: bool,
) -> Running:
    """Fork the joiner and speak with its child as channel.py draws it; an error leaves no process.

    `tty`: the child will send the master of a terminal.
    """
    syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
    ours, theirs = channel.pair()
    me = os.getpid()
    between = os.fork()
    if between == 0:
        ours.close()
        joiner(theirs, me)
    theirs.close()
    pid = 0
    try:
        try:
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
        ours.expect_end(program)
    except BaseException:
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        raise
    finally:
        ours.close()
    return Running(pid, pidfd, console)
