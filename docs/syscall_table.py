"""Prints sandbox/seccomp/syscalls.txt anew from the kernel's own headers: `python3 docs/syscall_table.py INCLUDE`.

INCLUDE holds what `make headers_install` gives for each architecture, as
INCLUDE/x86/asm, arm64/asm and arm/asm, with linux/version.h beside them.
"""

from __future__ import annotations

import os
import re
import sys

# column: the header of it. Numbers of ARM are given as an offset to a base, which is 0 for EABI.
HEADERS = {
    "x86_64": "x86/asm/unistd_64.h",
    "i386": "x86/asm/unistd_32.h",
    "aarch64": "arm64/asm/unistd_64.h",
    "arm": "arm/asm/unistd-eabi.h",
}
DEFINE = re.compile(r"^#define __NR_(\w+)\s+(?:\(__NR_SYSCALL_BASE ?\+ ?)?(\d+)\)?$", re.MULTILINE)
# arm/asm/unistd.h: one call has two names, and these are beyond the table.
ARM_PRIVATE = {"breakpoint": 0xF0001, "cacheflush": 0xF0002, "usr26": 0xF0003, "usr32": 0xF0004, "set_tls": 0xF0005}


def read_numbers(path: str) -> dict[str, int]:
    """Return the numbers that one header defines, by name."""
    with open(path, encoding="ascii") as file:
        return {name: int(number) for name, number in DEFINE.findall(file.read())}


def main(include: str) -> None:
    """Print the table, a name a line."""
    tables = {column: read_numbers(os.path.join(include, header)) for column, header in HEADERS.items()}
    tables["arm"] |= {**ARM_PRIVATE, "get_tls": 0xF0006, "sync_file_range2": tables["arm"]["arm_sync_file_range"]}
    with open(os.path.join(include, "linux/version.h"), encoding="ascii") as file:
        version = dict(re.findall(r"#define LINUX_VERSION_(MAJOR|PATCHLEVEL) (\d+)", file.read()))
    lines = [
        "# The numbers of system calls, of Linux {MAJOR}.{PATCHLEVEL}'s own headers.".format(**version),
        "# Made by docs/syscall_table.py, which says how; - is a call that the architecture does not have.",
        f"# name {' '.join(HEADERS)}",
    ]
    names = sorted(set().union(*tables.values()))
    lines += [" ".join([name, *(str(table.get(name, "-")) for table in tables.values())]) for name in names]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
