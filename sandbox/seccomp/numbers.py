"""The numbers of the system calls on each architecture, and what the kernel calls the architectures."""

from __future__ import annotations

import os
from typing import NamedTuple

__all__ = ["FAMILIES", "Architecture", "read_numbers"]

TABLE = os.path.join(os.path.dirname(__file__), "syscalls.txt")
# Beyond the table: calls of ARM alone, which tell nothing of how new a profile is (asm/unistd.h, __ARM_NR_BASE).
PRIVATE = 0xF0000


class Architecture(NamedTuple):
    """One kind of system call that a machine's kernel takes.

    `audit` is its number in seccomp_data (linux/audit.h), `wide` whether arguments have 64 bits, `names` what
    profiles call it, `column` its place in the table.
    """

    names: tuple[str, ...]
    audit: int
    wide: bool
    column: int


# uname -m: its own kind of call first, then those of 32-bit programs; x32 is not among them and answers ENOSYS.
FAMILIES = {
    "x86_64": (
        Architecture(("SCMP_ARCH_X86_64", "amd64"), 0xC000003E, wide=True, column=1),
        Architecture(("SCMP_ARCH_X86", "x86"), 0x40000003, wide=False, column=2),
    ),
    "aarch64": (
        Architecture(("SCMP_ARCH_AARCH64", "arm64"), 0xC00000B7, wide=True, column=3),
        Architecture(("SCMP_ARCH_ARM", "arm"), 0x40000028, wide=False, column=4),
    ),
}


def read_numbers(architecture: Architecture) -> dict[str, int]:
    """Return the number of each call that an architecture has, by name."""
    with open(TABLE, encoding="ascii") as file:
        rows = [line.split() for line in file if not line.startswith("#")]
    return {row[0]: int(row[architecture.column]) for row in rows if row[architecture.column] != "-"}
