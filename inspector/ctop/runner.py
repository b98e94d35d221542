"""How actions are carried out: a signal by ourselves, all else by our own `sandbox`, as a program of its own.

The inspector writes nothing to the kernel. The program is the `sandbox` of
this installation, run by this Python: $PATH is not looked at.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from inspector.errors import InspectorError, ParseError
from inspector.kernel.host import Host
from inspector.kernel.process import Status, read_stat, read_status

if TYPE_CHECKING:
    from textual.app import App

__all__ = ["Done", "NotDone", "Runner", "SandboxRunner", "remark_on"]

PATIENCE_SECONDS = 60.0
MOST_TEXT = 4096
INTERRUPTED = 130


class NotDone(InspectorError):
    """A signal could not be sent; says why."""


class Done(NamedTuple):
    """How a command ended: its exit code, and what it said, in one line that is not yet escaped."""

    code: int
    text: str


class Runner(Protocol):
    """What actions need of the machine; tests have one of their own."""

    def run(self, words: Sequence[str]) -> Done:
        """Run `sandbox WORDS` to its end."""

    def in_front(self, app: App[None], words: Sequence[str]) -> Done:
        """Run `sandbox WORDS` on the terminal, which is the application's again afterwards."""

    def signal(self, pid: int, started_ticks: int, number: int) -> str:
        """Send a signal to the process that started at that time, and to no other that has its PID; or NotDone.

        Returns what there is to know of it, or "".
        """


class SandboxRunner:
    """Acts on this machine."""

    def run(self, words: Sequence[str]) -> Done:
        """Run `sandbox WORDS` to its end; its lines come back as one."""
        try:
            done = subprocess.run(  # noqa: S603  our own program
                [*_program(), *words],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=PATIENCE_SECONDS,
                check=False,
                env=_environment(os.environ),
            )
        except subprocess.TimeoutExpired:
            return Done(1, f"sandbox {words[0]} did not end within {PATIENCE_SECONDS:g} s")
        except OSError as error:
            return Done(1, f"cannot run sandbox: {error.strerror}")
        return Done(done.returncode, _one_line(done.stderr) or _one_line(done.stdout))

    def in_front(self, app: App[None], words: Sequence[str]) -> Done:
        """Run `sandbox WORDS` on the terminal; what it says of itself comes back, not what its program says."""
        with app.suspend():  # an error that leaves this would leave the terminal with nobody
            try:
                sys.stdout.write(f"sandbox {' '.join(words[:2])}: exit, or Ctrl-D, comes back to ctop\n")
                sys.stdout.flush()
                process = subprocess.Popen(  # noqa: S603  our own program
                    [*_program(), *words], stderr=subprocess.PIPE, env=_environment(os.environ)
                )
                with process, _ends_with_us(process):
                    _, said = process.communicate()
            except OSError as error:
                return Done(1, f"cannot run sandbox: {error.strerror}")
            except KeyboardInterrupt:  # before the program had its terminal
                return Done(INTERRUPTED, "interrupted")
        return Done(process.returncode, _one_line(said))

    def signal(self, pid: int, started_ticks: int, number: int) -> str:
        """Send a signal by a pidfd, after its process is known to be the one that is meant."""
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            raise NotDone(f"process {pid} has ended") from None
        except OSError as error:
            raise NotDone(f"process {pid}: {error.strerror}") from None
        try:
            host = Host()
            if read_stat(host, pid).starttime_ticks != started_ticks:
                raise NotDone(f"process {pid} has ended: that PID is another process's by now")
            remark = remark_on(read_status(host, pid), number)
            signal.pidfd_send_signal(pidfd, number)
        except (ProcessLookupError, FileNotFoundError):
            raise NotDone(f"process {pid} has ended") from None
        except PermissionError:
            raise NotDone(f"process {pid} is another user's: only root may send it a signal") from None
        except (OSError, ParseError) as error:
            raise NotDone(f"process {pid}: {error}") from None
        finally:
            os.close(pidfd)
        return remark


def remark_on(status: Status, number: int) -> str:
    """Say when the kernel drops a signal: the first process of a PID namespace gets what it has a handler for.

    Of those above the namespace it also gets SIGKILL and SIGSTOP (pid_namespaces(7)).
    """
    is_first = len(status.ns_pids) > 1 and status.ns_pids[-1] == 1
    if not is_first or number in (signal.SIGKILL, signal.SIGSTOP) or status.caught is None:
        return ""
    return "" if status.caught >> (number - 1) & 1 else "dropped, as PID 1 has no handler for it"


@contextlib.contextmanager
def _ends_with_us(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Let a SIGTERM or SIGHUP that is for us end the program too: until then the application cannot."""

    def end(*_: object) -> None:
        process.send_signal(signal.SIGHUP)  # of SIGTERM an interactive shell takes no notice

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _program() -> list[str]:
    # -P: without it Python would look for modules in the current directory first.
    return [sys.executable, "-P", "-m", "sandbox.cli"]


def _environment(ours: Mapping[str, str]) -> dict[str, str]:
    """Return our environment, with the directory that we were loaded from first among Python's."""
    here = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    paths = [here, *filter(None, [ours.get("PYTHONPATH")])]
    return {**ours, "PYTHONPATH": os.pathsep.join(paths)}


def _one_line(data: bytes) -> str:
    lines = data[:MOST_TEXT].decode(errors="surrogateescape").splitlines()
    return "; ".join(line.removeprefix("sandbox: ") for line in lines if line)
