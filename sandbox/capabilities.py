"""Capability names, Docker's default set, and dropping down to a set (capabilities(7), linux/capability.h)."""

from __future__ import annotations

import errno
from collections.abc import Iterable

from inspector.kernel.capability import CAPABILITIES
from sandbox import syscalls
from sandbox.errors import SandboxError

__all__ = [
    "ALL",
    "DEFAULT",
    "NAMES",
    "bounding_set",
    "drop_bounding",
    "mask",
    "named",
    "names",
    "raise_ambient",
    "select",
]

NAMES = tuple(name.removeprefix("CAP_") for name in CAPABILITIES)
ALL = frozenset(NAMES)
# moby daemon/pkg/oci/caps/defaults.go
DEFAULT = frozenset(
    {
        "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP",
        "SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE",
    }
)
HIGHEST_POSSIBLE = 63
PR_CAP_AMBIENT_RAISE = 2


def named(names: Iterable[str]) -> frozenset[str]:
    """Return what --cap-add and --cap-drop name: with or without CAP_, in any case; ALL is all of them."""
    chosen: set[str] = set()
    for name in names:
        plain = name.upper().removeprefix("CAP_")
        if plain == "ALL":
            chosen |= ALL
        elif plain in ALL:
            chosen.add(plain)
        else:
            raise SandboxError(f"unknown capability: {name!r}")
    return frozenset(chosen)


def select(add: Iterable[str], drop: Iterable[str], *, privileged: bool) -> frozenset[str]:
    """Return the set a container gets: the default, plus `add`, less `drop`, as Docker combines them.

    Names come with or without CAP_, in any case; ALL stands for all of them,
    and one that is added by name survives `--cap-drop ALL`.
    """
    add, drop = list(add), list(drop)
    added, dropped = named(add), named(drop)
    if privileged:
        return ALL
    if "ALL" in {name.upper().removeprefix("CAP_") for name in add}:
        return ALL - (dropped if dropped != ALL else frozenset())
    if dropped == ALL:
        return added
    return (DEFAULT | added) - dropped


def mask(names: Iterable[str]) -> int:
    """Return the bit mask of a set of names."""
    return sum(1 << NAMES.index(name) for name in names)


def names(mask: int) -> frozenset[str]:
    """Return the names of a bit mask, without CAP_."""
    return frozenset(name for number, name in enumerate(NAMES) if mask >> number & 1)


def bounding_set() -> int:
    """Read the calling thread's bounding set: nothing outside it can be given to a container."""
    found = 0
    for number in range(HIGHEST_POSSIBLE + 1):
        try:
            found |= syscalls.prctl(syscalls.PR_CAPBSET_READ, number) << number
        except OSError as error:
            if error.errno != errno.EINVAL:  # the kernel's last capability is passed
                raise
            break
    return found


def drop_bounding(unwanted: int) -> None:
    """Drop capabilities from the bounding set, of which they are; needs CAP_SETPCAP."""
    for number in range(HIGHEST_POSSIBLE + 1):
        if unwanted >> number & 1:
            syscalls.prctl(syscalls.PR_CAPBSET_DROP, number)


def raise_ambient(wanted: int) -> None:
    """Make each of `wanted` ambient: kept by programs that are no root's (PR_CAP_AMBIENT)."""
    for number in range(HIGHEST_POSSIBLE + 1):
        if wanted >> number & 1:
            syscalls.prctl(syscalls.PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number)
