"""The last step before a program: a tiny program of our own, sealed in memory, that executes it (CVE-2019-5736).

selfexec.py refuses what leads to /proc/self/exe, but the container may change
the file after that look. Then the kernel would execute what we are: until the
first execve the host's Python, from then on these 300 bytes, which nobody can
write to. So the process becomes them first, and they become the program.

They are called with the path, then the program's own arguments. Descriptor 3,
or the one after those that the program is given, is the channel: it is closed
by the program's start, or gets the error number.
"""

from __future__ import annotations

import errno
import fcntl
import os

from sandbox.contexts import suppress
from sandbox.quick import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["CHANNEL", "become", "image", "prepare"]

CHANNEL = 3
MFD_EXEC = 0x10  # Linux 6.3; it says what older ones do anyway
SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
EM_X86_64, EM_AARCH64 = 62, 183
ADDRESS = 0x400000
HEADERS = 64 + 2 * 56
# fcntl(3, F_SETFD, FD_CLOEXEC), or where a filter forbids that ioctl(3, FIOCLEX);
# execve(argv[0], &argv[1], envp); on any error write(3, &error, 4), exit_group(127).
X86_64 = (
    "bf03000000be02000000ba01000000b8480000000f0585c07415bf03000000be51540000b8100000000f0585c0751a488b7c2408488d7424"
    "10488b0424488d54c410b83b0000000f0550bf030000004889e6ba04000000b8010000000f05bf7f000000b8e70000000f05"
)
AARCH64 = (
    "600080d2410080d2220080d2280380d2010000d4c00000b4600080d2218a8ad2a80380d2010000d4e00000b5e00740f9e1430091e30340f9"
    "220c038ba81b80d2010000d4e00f1ff8600080d2e1030091820080d2080880d2010000d4e00f80d2c80b80d2010000d4"
)
CODE = {"x86_64": (EM_X86_64, bytes.fromhex(X86_64)), "aarch64": (EM_AARCH64, bytes.fromhex(AARCH64))}
# How each loads the number of the channel: mov edi, imm32; movz x0, #imm16.
LOADS = {
    "x86_64": lambda number: b"\xbf" + struct.pack("<I", number),
    "aarch64": lambda number: struct.pack("<I", 0xD2800000 | number << 5),
}


def image(machine: str, channel: int = CHANNEL) -> bytes | None:
    """Return the program as an ELF file, or None for a machine that it is not written for."""
    if machine not in CODE:
        return None
    number, code = CODE[machine]
    code = code.replace(LOADS[machine](CHANNEL), LOADS[machine](channel))
    size = HEADERS + len(code)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01", 2, number, 1, ADDRESS + HEADERS, 64, 0, 0, 64, 56, 2, 0, 0, 0,
    )  # fmt: skip
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, ADDRESS, ADDRESS, size, size, 0x1000)
    stack = struct.pack("<IIQQQQQQ", 0x6474E551, 6, 0, 0, 0, 0, 0, 16)  # PT_GNU_STACK: not executable
    return header + load + stack + code


def prepare(channel: int, target: int = CHANNEL) -> int | None:
    """Put the program into memory and the channel on its descriptor, `target`; None where it cannot be had.

    Before limits are set, and after other descriptors are marked close-on-exec.
    """
    data = image(os.uname().machine, target)
    if data is None:
        return None
    fd = _memory()
    if fd is None:
        return None
    os.write(fd, data)
    os.fchmod(fd, 0o111)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    # Where the channel goes, nothing else may be: the program in memory moves above it.
    high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, target + 1)
    os.close(fd)
    os.dup2(channel, target)
    os.set_inheritable(target, True)  # noqa: FBT003  its only argument
    return high


def _memory() -> int | None:
    for flags in (MFD_EXEC, 0):
        try:
            return os.memfd_create("start", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING | flags)
        except OSError as error:
            if error.errno != errno.EINVAL:  # vm.memfd_noexec forbids it
                return None
    return None


def become(prepared: int | None, path: str, argv: tuple[str, ...], environment: dict[str, str]) -> NoReturn:
    """Execute the program at `path` by way of the one in memory; raises OSError."""
    if prepared is None:
        os.execve(path, argv, environment)  # noqa: S606  this is what a container is for
    words = (path, *argv)
    with suppress(OSError):  # a filter without execveat
        os.execve(prepared, words, environment)  # noqa: S606
    os.execve(f"/proc/self/fd/{prepared}", words, environment)  # noqa: S606
