"""The last rights a new process gives up before its program starts: ids, capabilities, and most system calls.

A filter needs no_new_privs or CAP_SYS_ADMIN to be loaded (seccomp(2)), and
from then on binds us too. So it is loaded as the very last thing, and
CAP_SYS_ADMIN is kept for just that long where no_new_privs is not wanted.
"""

from __future__ import annotations

import errno
import os
from typing import NamedTuple

from sandbox import capabilities, syscalls
from sandbox.errors import SandboxError
from sandbox.seccomp.filters import Filter, load
from sandbox.users import User

__all__ = ["Rights", "drop", "seal"]

INSTRUCTION = 8  # bytes of a struct sock_filter
SYS_ADMIN = capabilities.mask(["SYS_ADMIN"])


class Rights(NamedTuple):
    """What a program may do: capabilities (a mask), which of them setuid programs can gain, and a filter of calls."""

    capabilities: int
    no_new_privileges: bool = False
    filter: Filter | None = None

    def describe(self) -> list[str]:
        """Return what `--dry-run` says of it besides the capabilities."""
        size = len(self.filter.program) // INSTRUCTION if self.filter else 0
        lines = ["no_new_privs"] if self.no_new_privileges else []
        return [*lines, f"seccomp {size} instructions" if size else "seccomp unconfined"]


def drop(user: User, rights: Rights) -> int:
    """Take the user's ids and let go of the other capabilities: from the bounding set, and for all but root in force.

    Returns the mask of those in force after seal().
    """
    keep = rights.capabilities & capabilities.bounding_set()
    capabilities.drop_bounding(keep)
    until_seal = SYS_ADMIN if rights.filter and not rights.no_new_privileges else 0
    if until_seal:
        syscalls.prctl(syscalls.PR_SET_KEEPCAPS, 1)  # execve takes it back
    try:
        if not _setgroups_denied():
            os.setgroups(user.groups)
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise SandboxError(
                f"user {user.uid}:{user.gid} does not exist here: without root only one id, 0, can be mapped"
            ) from None
        raise
    granted = keep if user.uid == 0 else 0
    capabilities.set_thread(granted | until_seal)
    return granted


def seal(rights: Rights, granted: int) -> None:
    """Load the filter; only execve is to follow, as anything else may be forbidden now. `granted`: what drop() said."""
    if rights.no_new_privileges:
        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
    if rights.filter is None:
        return
    load(rights.filter)
    if not rights.no_new_privileges:
        try:
            capabilities.set_thread(granted)
        except OSError:
            raise SandboxError(
                "the seccomp profile forbids capset, with which the last right is given up: allow it there, or add"
                " --security-opt no-new-privileges"
            ) from None


def _setgroups_denied() -> bool:
    """Tell whether this user namespace has given up setgroups (user_namespaces(7))."""
    try:
        with open("/proc/self/setgroups", "rb") as file:
            return file.read().strip() == b"deny"
    except OSError:
        return False
