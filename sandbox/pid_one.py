"""The small PID 1 of `--init`, by tini's rules: signals go to the program, orphans are reaped, its code is ours."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

from sandbox import syscalls
from sandbox.channel import Channel
from sandbox.descent import run_child
from sandbox.libc import overwrite
from sandbox.quick import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["serve_as_init"]

NAME = "sandbox-init"


def serve_as_init(program: Callable[[], NoReturn], channel: Channel) -> NoReturn:
    """Be PID 1 for a program that is not made for it: pass signals on, reap orphans, exit with its code."""
    everything = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
    signal.pthread_sigmask(signal.SIG_BLOCK, everything)
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        take_foreground()
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        run_child(program, channel)
    os.closerange(3, 1 << 20)
    syscalls.set_process_name(NAME)
    hide_command_line()
    while True:
        number = signal.sigwait(everything)
        if number != signal.SIGCHLD:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, number)
            continue
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                if pid == child:
                    code = os.waitstatus_to_exitcode(status)
                    os._exit(128 - code if code < 0 else code)


def hide_command_line() -> None:
    """Have `ps` inside show a name, not the launcher's command line: that has paths of the host, and what -e gave.

    Where it is tell fields 48 and 49 of /proc/self/stat (proc_pid_stat(5)); nothing is done where there is no /proc.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        with open("/proc/self/stat", "rb") as file:
            begin, end = map(int, file.read().rpartition(b")")[2].split()[45:47])
        if 0 < begin < end:
            overwrite(begin, end - begin, NAME.encode())


def take_foreground() -> None:
    """Make the caller's process group that of the terminal, if there is one (tcsetpgrp would stop us otherwise)."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTTOU,))
    with contextlib.suppress(OSError):
        os.tcsetpgrp(0, os.getpgrp())
