"""The last rights a new process gives up before its program starts: ids, capabilities, and most system calls.

A filter needs no_new_privs or CAP_SYS_ADMIN to be loaded (seccomp(2)), and
from then on binds us too. So it is loaded as the very last thing, and
CAP_SYS_ADMIN is kept for just that long where no_new_privs is not wanted.
"""

from __future__ import annotations

import errno
import os

from sandbox import capabilities, syscalls
from sandbox.errors import SandboxError
from sandbox.seccomp.filters import Filter, load
from sandbox.users import User
from sandbox.value import Value

__all__ = ["Rights", "Sets", "drop", "seal", "setgroups_denied"]

INSTRUCTION = 8  # bytes of a struct sock_filter
SYS_ADMIN = capabilities.mask(["SYS_ADMIN"])


class Sets(Value):
    """The sets of a thread by themselves, as masks (capabilities(7))."""

    effective: int
    permitted: int
    inheritable: int = 0  # other than nothing only where it is asked for: CVE-2022-24769
    ambient: int = 0


class Rights(Value):
    """What a program may do: capabilities (a mask), which of them setuid programs can gain, and a filter of calls.

    The capabilities bound it, and are in force for root. `sets` says otherwise, set by set. `apparmor` is a profile.
    """

    capabilities: int
    no_new_privileges: bool = False
    filter: Filter | None = None
    sets: Sets | None = None
    apparmor: str = ""

    def describe(self) -> list[str]:
        """Return what `--dry-run` says of it besides the capabilities."""
        size = len(self.filter.program) // INSTRUCTION if self.filter else 0
        lines = ["no_new_privs"] if self.no_new_privileges else []
        lines += [f"AppArmor {self.apparmor}"] if self.apparmor else []
        return [*lines, f"seccomp {size} instructions" if size else "seccomp unconfined"]


def drop(user: User, rights: Rights) -> Sets:
    """Take the user's ids and let go of the other capabilities: from the bounding set, and for all but root in force.

    Returns those in force after seal().
    """
    if rights.apparmor:
        from sandbox.apparmor import confine  # noqa: PLC0415  by sandbox.program.load()

        confine(rights.apparmor)
    present = capabilities.bounding_set()
    keep = rights.capabilities & present
    capabilities.drop_bounding(present & ~keep)
    until_seal = SYS_ADMIN if rights.filter and not rights.no_new_privileges else 0
    if until_seal or rights.sets:
        syscalls.prctl(syscalls.PR_SET_KEEPCAPS, 1)  # execve takes it back
    try:
        if not setgroups_denied():
            os.setgroups(user.groups)
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)
    except OSError as error:
        if error.errno == errno.EINVAL:
            only_root = setgroups_denied()
            why = "without root only one id, 0, can be mapped" if only_root else "its user namespace has no such id"
            raise SandboxError(f"user {user.uid}:{user.gid} does not exist here: {why}") from None
        raise
    granted = _granted(user, rights, keep)
    syscalls.capset(granted.effective | until_seal, granted.permitted | until_seal, granted.inheritable)
    capabilities.raise_ambient(granted.ambient)
    return granted


def _granted(user: User, rights: Rights, keep: int) -> Sets:
    if rights.sets is None:
        return Sets(keep, keep) if user.uid == 0 else Sets(0, 0)
    given = rights.sets
    masks = (given.effective, given.permitted, given.inheritable, given.ambient)
    effective, permitted, inheritable, ambient = (mask & keep for mask in masks)
    # The kernel's own rules: nothing is in force that is not permitted, nothing ambient that cannot be inherited.
    return Sets(effective & permitted, permitted, inheritable, ambient & permitted & inheritable)


def seal(rights: Rights, granted: Sets) -> None:
    """Load the filter; only execve is to follow, as anything else may be forbidden now. `granted`: what drop() said."""
    if rights.no_new_privileges:
        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
    if rights.filter is None:
        return
    load(rights.filter)
    if not rights.no_new_privileges:
        try:
            syscalls.capset(granted.effective, granted.permitted, granted.inheritable)
        except OSError:
            raise SandboxError(
                "the seccomp profile forbids capset, with which the last right is given up: allow it there, or add"
                " --security-opt no-new-privileges"
            ) from None


def setgroups_denied() -> bool:
    """Tell whether this user namespace has given up setgroups (user_namespaces(7))."""
    try:
        with open("/proc/self/setgroups", "rb", buffering=0) as file:
            return file.readall().strip() == b"deny"
    except OSError:
        return False
