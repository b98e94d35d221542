"""A program that would run *us* again, inside: /proc/self/exe as program, interpreter or loader (CVE-2019-5736).

Until execve the new process is still the host's Python. A script that begins
with `#!/proc/self/exe`, or a program whose loader is that link, would make the
kernel start the host's Python in the container, where root could then open it
for writing through /proc/<pid>/exe. Such a program is refused.
"""

from __future__ import annotations

import os

from inspector.kernel.remembered import remembered
from sandbox.errors import CommandNotExecutable
from sandbox.quick import struct

__all__ = ["identity", "refuse"]

HEADER_BYTES = 4096
PT_INTERP = 3
# ELF64: e_phoff at 32, e_phentsize and e_phnum at 54; a program header's p_type at 0, p_offset at 8, p_filesz at 32.
ELF64 = b"\x7fELF\x02"


@remembered(1)
def identity() -> tuple[int, int]:
    """Return what tells our own executable from any other file; remembered, for where there is no /proc."""
    own = os.stat("/proc/self/exe")
    return own.st_dev, own.st_ino


def refuse(path: str, own: tuple[int, int] | None = None) -> None:
    """Raise CommandNotExecutable when the file at `path`, its interpreter or its loader is our own executable.

    `own` is our identity(), taken before we went where there may be no /proc.
    """
    own = own or identity()
    for part in (path, interpreter(path)):
        if part and _is(part, own):
            raise CommandNotExecutable(f'exec: "{path}": leads to /proc/self/exe, which is outside the container')


def _is(path: str, own: tuple[int, int]) -> bool:
    try:
        found = os.stat(path)
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == own


def interpreter(path: str) -> str:
    """Return what the kernel would start for a file: a script's `#!` program, an ELF file's loader, or ""."""
    try:
        # Without waiting: a container may put a FIFO there.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            head = file.read(HEADER_BYTES) or b""
    except OSError:
        return ""
    if head.startswith(b"#!"):
        words = head[2:].split(b"\n", 1)[0].split()
        return os.fsdecode(words[0]) if words else ""
    if not head.startswith(ELF64):
        return ""
    try:
        return _loader(head)
    except (struct.error, IndexError):
        return ""


def _loader(head: bytes) -> str:
    (table,) = struct.unpack_from("<Q", head, 32)
    size, count = struct.unpack_from("<HH", head, 54)
    for number in range(count):
        start = table + number * size
        (kind,) = struct.unpack_from("<I", head, start)
        if kind == PT_INTERP:
            (offset,) = struct.unpack_from("<Q", head, start + 8)
            (length,) = struct.unpack_from("<Q", head, start + 32)
            return os.fsdecode(head[offset : offset + length].split(b"\0")[0])
    return ""
