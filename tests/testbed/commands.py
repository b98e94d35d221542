"""Our own commands, run as a person runs them, by the Python that runs the tests."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from typing import Any

from inspector.schema import Container, Document

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NSINSPECT = [sys.executable, "-m", "inspector.nsinspect"]
# As they are installed: their modules come out of one file then, by a way to find them of our own.
CTOP, SANDBOX = ([os.path.join(os.path.dirname(sys.executable), name)] for name in ("ctop", "sandbox"))
EXPORTER = [sys.executable, "-m", "exporter.cli"]
BUSY_LOOP = ["sh", "-c", "while :; do :; done"]

Completed = subprocess.CompletedProcess[str]


def run(
    command: list[str],
    *,
    check: bool = True,
    timeout: float = 180,
    text: str | None = None,
    env: Mapping[str, str] | None = None,
) -> Completed:
    """Run a command to its end; with `check`, a non-zero exit code fails the test with all that it printed."""
    done = subprocess.run(
        command,
        input=text,
        stdin=subprocess.DEVNULL if text is None else None,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
        cwd=REPOSITORY,
        env=env,
    )
    if check:
        assert done.returncode == 0, f"{command} exited with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def ctop_document(*arguments: str) -> Document:
    """Return what `ctop --json` says."""
    document: Document = json.loads(run([*CTOP, "--json", *arguments]).stdout)
    return document


def find(document: Document, name: str) -> Container:
    """Return the one container of that name or id; a control group goes by its cgroup's path as well."""
    found = [
        container
        for container in document["containers"]
        if name in (container["name"], container["id"], container["cgroups"].get("cpu"))
    ]
    names = [container["name"] for container in document["containers"]]
    assert len(found) == 1, f"{len(found)} containers are called {name!r}, in {names}; {document['problems']}"
    return found[0]


class Sandbox:
    """The `sandbox` command with a state directory of its own; close() removes every container made with it."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.env = {**os.environ, "CGSCOPE_ROOT": root}
        self.env.pop("PYTHONUNBUFFERED", None)  # nearly nobody has it, and what is written late fails late

    def __call__(self, *arguments: str, check: bool = True, timeout: float = 180, text: str | None = None) -> Completed:
        """Run `sandbox ARGUMENTS`."""
        return run([*SANDBOX, *arguments], check=check, timeout=timeout, text=text, env=self.env)

    def start(self, name: str, *arguments: str) -> str:
        """Start a container of this machine's own files in the background and return its id.

        The checkout and Python's libraries are bound into it, so that our commands run there even where these are
        on filesystems of their own (in the virtual machine they are in memory, where reading them is fast).
        """
        paths = {REPOSITORY, sysconfig.get_path("stdlib"), sysconfig.get_path("purelib")}
        bound = [option for path in sorted(paths) for option in ("-v", f"{path}:{path}:ro")]
        return self("run", "-d", "--name", name, "--rootfs", "/", *bound, "-w", REPOSITORY, *arguments).stdout.strip()

    def inspect(self, name: str) -> dict[str, Any]:
        """Return what `sandbox inspect` says of one container."""
        found = json.loads(self("inspect", name).stdout)
        return dict(found[0])

    def pid(self, name: str) -> int:
        """Return the PID of the container's first process, on this machine."""
        return int(self.inspect(name)["State"]["Pid"])

    def close(self) -> None:
        """Kill and remove every container of this state directory."""
        directory = f"{self.root}/containers"
        if not os.path.isdir(directory) or not os.listdir(directory):
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self("rm", "-f", *self("ps", "-a", "-q", check=False).stdout.split(), check=False)
