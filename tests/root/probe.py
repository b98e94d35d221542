"""Makes system calls and prints how each ends, as JSON: started by tests inside a container, with its own Python.

`probe.py all` tries every number with arguments that nothing can be done with, each in a process of its own;
`probe.py 64|32|x32 NUMBER[,ARGUMENT...]...` makes these calls in one of the three ways an x86_64 kernel knows.
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import signal
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long
HIGHEST = 500
SECONDS = 20
# They end, stop or copy the process, or make the machine write its disks; clone and clone3 are tried elsewhere.
SKIPPED = {15, 34, 56, 57, 58, 60, 130, 162, 231, 306, 435}
# push rbx; mov eax,edi; mov ebx,esi; mov ecx,edx; xor edx,edx; int 0x80; pop rbx; movsxd rax,eax; ret
INT_80 = bytes.fromhex("53 89f8 89f3 89d1 31d2 cd80 5b 4863c0 c3")


def call(number: int, *arguments: int) -> str:
    """Make a call and return the name of its error, or "ok"."""
    words = [ctypes.c_ulong(argument & (2**64 - 1)) for argument in arguments]
    ctypes.set_errno(0)
    return "ok" if LIBC.syscall(ctypes.c_long(number), *words) >= 0 else errno.errorcode[ctypes.get_errno()]


def call_32(number: int, *arguments: int) -> str:
    """Make the call as a 32-bit program does."""
    code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(INT_80)
    kind = ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_long, ctypes.c_ulong, ctypes.c_ulong)
    result = kind(ctypes.addressof(ctypes.c_char.from_buffer(code)))(number, *(*arguments, 0, 0)[:2])
    return "ok" if result >= 0 else errno.errorcode[-result]


def call_x32(number: int, *arguments: int) -> str:
    """Make the call as a program of the x32 kind does."""
    return call(number | 0x40000000, *arguments)


def apart(number: int) -> str:
    """Make a call in a child, which may not survive it."""
    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS)
        name = call(number, *[2**64 - 1] * 6)
        os._exit(0 if name == "ok" else getattr(errno, name))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return f"signal {-status}" if status < 0 else errno.errorcode[status] if status else "ok"


def main(kind: str, *calls: str) -> None:
    """Print the answers by number."""
    if kind == "all":
        answers = {str(number): apart(number) for number in range(HIGHEST) if number not in SKIPPED}
    else:
        way = {"64": call, "32": call_32, "x32": call_x32}[kind]
        answers = {text: way(*(int(word, 0) for word in text.split(","))) for text in calls}
    sys.stdout.write(json.dumps(answers) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
