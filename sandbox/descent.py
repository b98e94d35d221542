"""The process between: it goes where a container is, and forks the process that will live there.

channel.py draws how they talk. From here on nothing is imported: Python would
look for it in the container.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from sandbox import selfexec, syscalls
from sandbox.channel import Born, Channel
from sandbox.errors import SandboxError
from sandbox.quick import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["descend", "leave_python", "run_child"]

LAST_SIGNAL = 64  # _NSIG, with the real-time ones


def descend(enter: Callable[[], None], role: Callable[[], NoReturn], channel: Channel, parent: int) -> NoReturn:
    """Be the process between: `enter` goes where the container is, `role` is then its new process's life."""
    try:
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        leave_python()
        os.setsid()
        enter()
        pid = os.fork()
        if pid == 0:
            run_child(role, channel)
        channel.send(Born(pid))
    except BaseException as error:  # noqa: BLE001  the parent tells the user, whatever it was
        channel.send_error(error)
        os._exit(1)
    os._exit(0)


def leave_python() -> None:
    """Let go of what is our Python's alone: its signals, and its modules' files."""
    reset_signals()
    # From here on an import would look for its file in the container: it fails instead.
    sys.meta_path.clear()
    selfexec.identity()  # so that it is known where there may be no /proc


def run_child(body: Callable[[], NoReturn], channel: Channel) -> NoReturn:
    """Run the new process's code; whatever goes wrong in it is reported whole."""
    try:
        body()
    except BaseException as error:  # noqa: BLE001
        channel.send_error(error)
        os._exit(error.exit_code if isinstance(error, SandboxError) else SandboxError.exit_code)


def reset_signals() -> None:
    """Undo what Python and our caller have set: an ignored SIGPIPE would survive execve.

    Python has asked for each when it started, all but the two that glibc keeps to itself, which are neither for it.
    """
    for number in range(1, LAST_SIGNAL + 1):
        if signal.getsignal(number) != signal.SIG_DFL:
            syscalls.default_action(number)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
