"""A bundle's hooks: programs that are run at points of a container's life, with its state on standard input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterable, Mapping
from typing import Any

from sandbox.commands.output import complain
from sandbox.errors import SandboxError
from sandbox.oci.bundle import Hook

__all__ = ["Inside", "run"]

LONGEST_TEXT = 2000


class Inside:
    """The hooks that the first process itself runs: before the root is left, and just before its program."""

    def __init__(self, hooks: Mapping[str, tuple[Hook, ...]], state: dict[str, Any]) -> None:
        self._hooks = hooks
        self._state = {**state, "status": "created"}

    def before_pivot(self) -> None:
        """Run createContainer: in the container's namespaces, with the runtime's files."""
        # Its PID as the runtime knows it: /proc is still the machine's.
        self._state["pid"] = int(os.readlink("/proc/self"))
        run("createContainer", self._hooks["createContainer"], self._state)

    def at_start(self, environment: dict[str, str]) -> None:
        """Run startContainer: in the container, bound as its program is, and with what that has in its environment."""
        try:
            run("startContainer", self._hooks["startContainer"], self._state, "/", environment)
        except SandboxError as error:
            complain(error)  # nobody else listens any more
            raise


def _hold_back_nothing() -> None:
    """Let signals come that we hold back for the container: a hook that is stopped is to end."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def run(
    name: str,
    hooks: Iterable[Hook],
    state: dict[str, Any],
    directory: str = "",
    environment: dict[str, str] | None = None,
) -> None:
    """Run hooks one after the other, in the bundle's directory; SandboxError for one that fails, with what it said.

    `environment` is that of a hook that names none: without it is ours.
    """
    for number, hook in enumerate(hooks):
        where = f"error running {name} hook #{number}: {hook.path}"
        try:
            done = subprocess.run(  # noqa: S603  that is what a hook is
                hook.args or (hook.path,),
                executable=hook.path,
                input=json.dumps(state).encode(),
                env=dict(item.partition("=")[::2] for item in hook.env) if hook.env else environment,
                cwd=directory or state["bundle"],
                capture_output=True,
                preexec_fn=_hold_back_nothing,
                timeout=hook.timeout or None,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise SandboxError(f"{where}: not done after {hook.timeout:g} s", 1) from None
        except OSError as error:
            raise SandboxError(f"{where}: {error.strerror}", 1) from None
        if done.returncode:
            said = " ".join((done.stderr or done.stdout)[-LONGEST_TEXT:].decode(errors="backslashreplace").split())
            code = done.returncode
            how = f"exit code {code}" if code > 0 else f"signal: {signal.strsignal(-code)}".lower()
            raise SandboxError(f"{where}: {how}: {said}", 1)
