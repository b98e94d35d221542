"""A bundle's hooks: programs that are run at points of a container's life, with its state on standard input."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from typing import Any

from sandbox.errors import SandboxError
from sandbox.oci.bundle import Hook

__all__ = ["run"]

LONGEST_TEXT = 2000


def run(name: str, hooks: Iterable[Hook], state: dict[str, Any]) -> None:
    """Run hooks one after the other; SandboxError for one that fails, with what it said."""
    for hook in hooks:
        where = f"hook {name} {hook.path}"
        try:
            done = subprocess.run(  # noqa: S603  that is what a hook is
                hook.args or (hook.path,),
                executable=hook.path,
                input=json.dumps(state).encode(),
                env=dict(item.partition("=")[::2] for item in hook.env),
                cwd=state["bundle"],
                capture_output=True,
                timeout=hook.timeout or None,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise SandboxError(f"{where}: not done after {hook.timeout:g} s", 1) from None
        except OSError as error:
            raise SandboxError(f"{where}: {error.strerror}", 1) from None
        if done.returncode:
            said = " ".join((done.stderr or done.stdout)[-LONGEST_TEXT:].decode(errors="backslashreplace").split())
            raise SandboxError(f"{where}: exit code {done.returncode}: {said}", 1)
