"""`--security-opt apparmor=NAME`, process.apparmorProfile: the AppArmor profile that a program is executed under.

The name is written to attr/exec of the container's own /proc (apparmor's
Documentation/admin-guide/LSM/apparmor.rst, apparmor_setprocattr in
security/apparmor/lsm.c), as the last thing that root does there. What happens
between that and the program (the 300 bytes of sandbox.trampoline) is under the
profile too, so a profile that names what may be executed must allow that file
without a name; those of the engines allow every file. Our own PID 1 of `--init`
executes nothing: it goes over to the profile as it is (attr/current), as
docker-init is under it too, and what it starts stays there.
"""

from __future__ import annotations

import errno
import os

from sandbox.errors import SandboxError
from sandbox.rare_syscalls import filesystem_type

__all__ = ["confine", "enter", "name_of", "require"]

ENABLED = "/sys/module/apparmor/parameters/enabled"
# The second is shared with the other modules, and the only one before Linux 5.8.
PLACES = ("/proc/self/attr/apparmor/", "/proc/self/attr/")
NONE = ("", "unconfined")
PROC_SUPER_MAGIC = 0x9FA0


def name_of(text: str, what: str, exit_code: int | None = None) -> str:
    """Return the name of a profile, "" for none; `what` is where it was given, `exit_code` that of a bad one."""
    if text in NONE:
        return ""
    # What the kernel would take for the end of the name.
    if not text.isprintable() or " " in text:
        raise SandboxError(f"{what} {text!r} is no name of a profile", exit_code)
    return text


def require(profile: str, what: str, exit_code: int | None = None) -> None:
    """Refuse a profile where the kernel keeps none."""
    if not _is_enabled():
        why = "but this kernel runs without AppArmor (docker and podman: --security-opt apparmor=unconfined)"
        raise SandboxError(f"{what} is {profile!r}, {why}", exit_code)


def _is_enabled() -> bool:
    try:
        with open(ENABLED, "rb") as file:
            return file.read(1) == b"Y"
    except OSError:
        return False


def confine(profile: str) -> None:
    """Let the next execve of the calling process be under a profile."""
    _write("exec", "exec", profile)


def enter(profile: str) -> None:
    """Be under a profile from now on."""
    _write("current", "changeprofile", profile)


def _write(file: str, verb: str, profile: str) -> None:
    try:
        place = _open(file)
        try:
            os.write(place, f"{verb} {profile}".encode())
        finally:
            os.close(place)
    except OSError as error:
        why = "is not loaded" if error.errno == errno.ENOENT else f"could not be entered: {error.strerror}"
        raise SandboxError(f"the AppArmor profile {profile!r} {why}") from None


def _open(file: str) -> int:
    """Open the file that the name is written to, in what is really a proc filesystem (CVE-2019-16884)."""
    for directory in PLACES:
        try:
            place = os.open(f"{directory}{file}", os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue
        if filesystem_type(place) == PROC_SUPER_MAGIC:
            return place
        os.close(place)
    raise OSError(errno.ENOTSUP, "no proc filesystem is mounted at /proc")
