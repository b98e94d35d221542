"""The filter of a container: compiled once for a profile and a set of capabilities, then read from a file.

The file lies in the state directory, below a directory that only its owner
can write. It begins with all that the filter was made from, the profile
itself included, and is used only when that is what is wanted now; a file that
anybody else could have written is none.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection

from sandbox import syscalls
from sandbox.contexts import suppress
from sandbox.errors import SandboxError
from sandbox.quick import struct
from sandbox.value import Value

__all__ = ["NEW_LISTENER", "Filter", "builtin_profile", "filter_of", "load"]

# Raised with every change of what program.py makes of a profile: tests/unit/test_seccomp.py tells.
FORMAT = 1
HEADER = "<III"  # lengths of what it was made from and of the program, flags
LARGEST_FILE = 1 << 22
NEW_LISTENER = 8  # SECCOMP_FILTER_FLAG_NEW_LISTENER
WITHOUT = "--security-opt seccomp=unconfined runs without a filter"


class Filter(Value):
    """What the kernel is given: an array of struct sock_filter, and SECCOMP_FILTER_FLAG_*."""

    program: bytes
    flags: int

    @property
    def listens(self) -> bool:
        """Tell whether it asks a supervisor about some calls."""
        return bool(self.flags & NEW_LISTENER)


def builtin_profile() -> str:
    """Return Docker's default profile."""
    with open(os.path.join(os.path.dirname(__file__), "default.json"), encoding="utf-8") as file:
        return file.read()


def filter_of(
    profile: str, capabilities: Collection[str], root: str, *, supervised: bool = False
) -> Filter | None:
    """Return the filter of a profile (JSON) for capabilities (without CAP_); None when it restricts nothing.

    `root` is the state directory, where it is kept once there is one. Raises SandboxError for a bad profile, and for
    one with SCMP_ACT_NOTIFY where nobody supervises.
    """
    system = os.uname()
    origin = "\0".join((str(FORMAT), system.machine, system.release, *sorted(capabilities), profile))
    made_from = origin.encode(errors="surrogatepass")
    path = f"{root}/seccomp/{len(capabilities)}-{len(made_from)}"
    known = _read(path, made_from)
    if known is None:
        known = _compile(profile, capabilities, system)
        if known and os.path.isdir(root):
            with suppress(OSError):  # a full disk costs the next start two milliseconds
                _write(path, made_from, known)
    if known and known.listens and not supervised:
        raise SandboxError("seccomp profile: SCMP_ACT_NOTIFY needs a supervisor: a bundle's linux.seccomp.listenerPath")
    return known


def _compile(profile: str, capabilities: Collection[str], system: os.uname_result) -> Filter | None:
    from sandbox.seccomp.numbers import FAMILIES  # noqa: PLC0415  a start that finds the file needs none of them
    from sandbox.seccomp.profile import Machine, parse  # noqa: PLC0415
    from sandbox.seccomp.program import assemble, decide  # noqa: PLC0415

    family = FAMILIES.get(system.machine)
    if family is None:
        raise SandboxError(f"seccomp: the system calls of {system.machine} are not known here: {WITHOUT}")
    major, minor = (int("".join(filter(str.isdigit, part))) for part in system.release.split("-")[0].split(".")[:2])
    machine = Machine(family[0].names[1], (major, minor), frozenset(f"CAP_{name}" for name in capabilities))
    found = parse(profile, machine)
    if found is None:
        return None
    chosen = [each for each in family if each is family[0] or each.names[0] in found.architectures]
    return Filter(assemble(decide(found, each) for each in chosen), found.flags)


def _read(path: str, made_from: bytes) -> Filter | None:
    """Return the filter in a file, if it is ours alone and was made from just this."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        found = os.fstat(fd)
        if not (_is_ours(found, stat.S_IFREG) and _is_ours(os.stat(os.path.dirname(path)), stat.S_IFDIR)):
            return None
        data = os.read(fd, min(found.st_size, LARGEST_FILE))  # for as much as is asked for there is made room
    finally:
        os.close(fd)
    start = struct.calcsize(HEADER)
    if len(data) < start:
        return None
    length, size, flags = struct.unpack_from(HEADER, data)
    program = data[start + length :]
    whole = len(program) == size and size % 8 == 0
    return Filter(program, flags) if whole and data[start : start + length] == made_from else None


def _is_ours(found: os.stat_result, kind: int) -> bool:
    return (
        stat.S_IFMT(found.st_mode) == kind
        and found.st_uid == os.geteuid()
        and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        and (kind == stat.S_IFDIR or found.st_nlink == 1)
    )


def _write(path: str, made_from: bytes, made: Filter) -> None:
    """Keep a filter: the file appears whole or not at all."""
    with suppress(FileExistsError):
        os.mkdir(os.path.dirname(path), 0o700)
    new = f"{path}.new"
    try:
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:  # somebody is writing it, or was killed at that: the next start finds neither
        os.unlink(new)
        return
    data = struct.pack(HEADER, len(made_from), len(made.program), made.flags) + made_from + made.program
    written = 0
    try:
        with suppress(OSError):  # a full disk
            written = os.write(fd, data)
    finally:
        os.close(fd)
    if written == len(data):
        os.replace(new, path)
    else:
        os.unlink(new)


def load(wanted: Filter) -> None:
    """Put the filter on the calling process, for good; needs no_new_privs or CAP_SYS_ADMIN.

    One that listens has its supervisor's descriptor on the lowest number that is free (seccomp_unotify(2)).
    """
    # Flags that an older kernel does not know (EINVAL) only make it faster or log: the filter is the same without.
    for flags in dict.fromkeys((wanted.flags, wanted.flags & NEW_LISTENER)):
        try:
            syscalls.load_seccomp_filter(wanted.program, flags)
        except OSError as error:
            if error.errno == errno.EINVAL and flags & ~NEW_LISTENER:
                continue
            raise SandboxError(f"this kernel cannot load a seccomp filter: {error.strerror}; {WITHOUT}") from None
        return
