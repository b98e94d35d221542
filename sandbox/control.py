"""Control files of cgroups: what is to be done to them as data, and a short way to carry it out.

There are three phases: "create" makes cgroups, "join" lets the calling process
enter them, "limit" writes the bounds, late, so that setting up is not bound by
them.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable

from sandbox.errors import SandboxError, describe
from sandbox.value import Value

__all__ = ["CREATE", "JOIN", "LIMIT", "Step", "apply", "join", "read", "write"]

CREATE, JOIN, LIMIT = "create", "join", "limit"
CREATE_ATTEMPTS = 20
CHUNK = 65536
# v1's tasks moves one thread without the lock (an RCU wait of 10 to 25 ms) that cgroup.procs takes (Linux 5.5).
JOIN_FILE = {1: "tasks", 2: "cgroup.procs"}


class Step(Value):
    """One thing to do. `action`: mkdir, copy (value from the parent's file), enable, write, or devices.

    Where `instead` is there, a `path` that is not is fine.
    """

    phase: str
    action: str
    path: str
    value: str = ""
    optional: bool = False
    instead: str = ""

    @property
    def is_rule(self) -> bool:
        """Tell whether it is about devices: setting up needs none but those that are allowed."""
        return self.action == "devices" or self.path.rpartition("/")[2].startswith("devices.")

    def __str__(self) -> str:
        may = " (if it can be)" if self.optional or self.instead else ""
        return f"{self.phase:6} {self.action} {self.path} {self.value}".rstrip() + may


def join(version: int, directory: str) -> Step:
    """Return the step with which the calling thread enters a cgroup."""
    return Step(JOIN, "write", f"{directory}/{JOIN_FILE[version]}", "0")


def apply(steps: Iterable[Step], phase: str) -> list[str]:
    """Carry out one phase, and return the directories that were not there before.

    Creating starts over when the last container of a parent took it away meanwhile.
    """
    chosen = [step for step in steps if step.phase == phase]
    made: list[str] = []
    for attempt in range(CREATE_ATTEMPTS):
        try:
            for step in chosen:
                _do(step, made)
        except OSError as error:
            if phase != CREATE or not isinstance(error, FileNotFoundError) or attempt == CREATE_ATTEMPTS - 1:
                raise _explain(error) from error
        else:
            break
    return made


def _explain(error: OSError) -> SandboxError:
    hint = ""
    if error.errno == errno.ENOENT:
        hint = " (the controller is not handed down to this cgroup)"
    elif error.errno == errno.EBUSY:
        hint = " (more is in use already)"
    elif error.errno == errno.ERANGE:
        hint = " (not all of them are there)"
    elif error.errno == errno.ENODEV:
        hint = " (a whole disk, not a partition of one)"
    return SandboxError(f"cgroup: {describe(error)}{hint}")


def _do(step: Step, made: list[str]) -> None:
    try:
        if step.action == "mkdir":
            if _mkdir(step.path):
                made.append(step.path)
        elif step.action == "enable":
            _enable(step.path, step.value.split())
        elif step.action == "copy":
            _copy_if_empty(step.value, step.path)
        elif step.action == "devices":
            from sandbox.devices import attach, parse_rule  # noqa: PLC0415  v2 alone

            attach(step.path, map(parse_rule, step.value.split(", ")))
        else:
            write(step.path, step.value)
    except OSError as error:
        spared = step.instead and error.errno == errno.ENOENT and os.path.exists(step.instead)
        if not step.optional and not spared:
            raise


def _mkdir(path: str) -> bool:
    try:
        os.mkdir(path)
    except FileExistsError:
        return False
    return True


def write(path: str, value: str) -> None:
    """Write a control file: never creating it, as a missing file is a missing controller."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.write(fd, value.encode())
    except OSError as error:
        raise OSError(error.errno, f"cannot write {value!r}: {error.strerror}", path) from None
    finally:
        os.close(fd)


def read(path: str) -> str:
    """Read a control file whole."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = b""
        while part := os.read(fd, CHUNK):
            data += part
    finally:
        os.close(fd)
    return data.decode(errors="replace")


def _enable(path: str, controllers: list[str]) -> None:
    """Hand controllers down to the children, those that are not yet: one that cannot be does not stop the rest."""
    present = read(path).split()
    for name in controllers:
        if name not in present:
            try:
                write(path, f"+{name}")
            except OSError as error:
                if error.errno not in (errno.EBUSY, errno.ENOENT, errno.EINVAL, errno.EOPNOTSUPP, errno.EACCES):
                    raise


def _copy_if_empty(source: str, target: str) -> None:
    if not read(target).strip():
        write(target, read(source).strip())
