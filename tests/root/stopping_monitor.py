"""The `sandbox` command whose monitor stops itself when it begins, so that a tracer can be attached to it."""

from __future__ import annotations

import os
import signal
import sys

from sandbox import cli, monitor

leave = monitor._leave_the_terminal  # noqa: SLF001


def stop_and_leave() -> None:
    """Wait for the tracer, then go on."""
    os.kill(os.getpid(), signal.SIGSTOP)
    leave()


monitor._leave_the_terminal = stop_and_leave  # noqa: SLF001

if __name__ == "__main__":
    sys.exit(cli.main())
