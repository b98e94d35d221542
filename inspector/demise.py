"""Why a container ended, in words, from what the kernel and its runtime's files tell of it. Pure."""

from __future__ import annotations

import signal
from typing import NamedTuple

from inspector.kernel.kmsg import Kill
from inspector.stores.endings import Ending

__all__ = ["KILLED_BEFORE", "Found", "told_of"]

KILLED_BEFORE = 60.0
"""Seconds before its end in which a kill is taken for the reason of it: the next sample may come late."""
SIGNALLED = 128  # what a shell, and a runtime, add to the number of the signal


class Found(NamedTuple):
    """What tells of an end: of the kernel the wait status of the first process and an OOM kill, and the runtime's file.

    `log_is_read`: without a kill there was none, as far as the kernel's log reaches back. `before` is what the
    cgroups last counted. `process` and `path` say where status and ending are from; `at` what had no memory left for
    the kill, if not its own cgroup.
    """

    status: int | None = None
    kill: Kill | None = None
    ending: Ending | None = None
    log_is_read: bool = True
    before: tuple[str, ...] = ()
    process: int | None = None
    path: str = ""
    at: str = ""


def told_of(found: Found, *, is_last: bool) -> tuple[str | None, tuple[str, ...]]:
    """Return why a container ended in a few words, and what says so; None while nothing is known and more may come."""
    kill, status, ending = found.kill, found.status, found.ending
    why, evidence = [], []
    # Somebody had it stopped: that another of its processes was killed shortly before is not why.
    beside = kill is not None and ending is not None and ending.ordered and kill.pid != found.process
    if kill is not None:
        why += [] if beside else [_by_kill(kill, found.at)]
        evidence.append("the kernel's log names it")
    elif ending is not None and ending.out_of_memory:
        why.append("killed for lack of memory (OOM)")
    if status is not None:
        why.append(_by_status(status))
        evidence.append(f"the kernel tells how process {found.process} ended")
    elif ending is not None and ending.code is not None:
        why.append(_by_code(ending.code))
    if ending is not None:
        why += ["on order to its runtime"] if ending.ordered else []
        why += [ending.error] if ending.error else []
        why += [f"shortly before {_by_kill(kill, found.at)}"] if kill is not None and beside else []
        evidence.append(found.path)
    if kill is None:
        evidence.append("no OOM kill of it in the kernel's log" if found.log_is_read else "no look at the kernel's log")
        if status is not None and status & 0x7F == signal.SIGKILL and not (ending and ending.ordered):
            evidence.append("who sent it is written nowhere: a person, its runtime, or cgroup.kill")
    if not why and not is_last:
        return None, ()
    if status is None and ending is None and kill is None:
        evidence.append("neither the kernel nor a file of its runtime tells an exit code")
    return ", ".join(why) or "why is not known", (*evidence, *found.before)


def _by_kill(kill: Kill, at: str) -> str:
    return f"{kill.task} (pid {kill.pid}) was killed for lack of memory (OOM){at}"


def _by_status(status: int) -> str:
    """Say a wait status in words (wait(2))."""
    if not status & 0x7F:
        return f"exit code {status >> 8 & 0xFF}"
    return f"killed by {_name(status & 0x7F)}{' (core dumped)' if status & 0x80 else ''}"


def _by_code(code: int) -> str:
    """Say an exit code in words; that of a program that a signal ended has the signal too, though it may be its own."""
    return f"exit code {code} ({_name(code - SIGNALLED)}?)" if SIGNALLED < code < 2 * SIGNALLED else f"exit code {code}"


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
