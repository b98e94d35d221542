"""Asynchronous reads as the kernel has them: thousands of files by one system call.

What is no file on a disk it has read before io_submit(2) returns, so this is not about waiting: the call is C's, and
while it lasts another thread has Python to itself.

Sources: io_setup(2), io_submit(2), io_getevents(2); include/uapi/linux/aio_abi.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from array import array
from collections.abc import Sequence
from itertools import accumulate

__all__ = ["Context", "Reads"]

# io_setup, io_destroy, io_getevents, io_submit: those of x86, and of all younger architectures
# (include/uapi/asm-generic/unistd.h).
GENERIC = (0, 1, 4, 2)
NUMBERS = {"x86_64": (206, 207, 208, 209), "aarch64": GENERIC, "riscv64": GENERIC, "loongarch64": GENERIC}
# struct iocb: data, key, rw_flags, opcode, priority, descriptor, buffer, length, offset, reserved, flags, another fd.
IOCB = struct.Struct("=QIIHhIQQqQII")
PREAD = 0  # IOCB_CMD_PREAD
# struct io_event: data, obj, res, res2, each of 64 bits.
EVENT_WORDS = 4
DATA, RES = 0, 2
AT_ONCE = 2048  # of the 65,536 that fs.aio-max-nr leaves all processes of a machine together


class Reads:
    """Descriptors that are read from their beginning, each into so many bytes of one buffer, one behind the other."""

    def __init__(self, descriptors: Sequence[int], sizes: Sequence[int]) -> None:
        self.buffer = bytearray(sum(sizes))
        start = ctypes.addressof(ctypes.c_char.from_buffer(self.buffer))
        places = accumulate(sizes, initial=start)
        self._iocbs = bytearray().join(
            IOCB.pack(number, 0, 0, PREAD, 0, descriptor, place, size, 0, 0, 0, 0)
            for number, (descriptor, place, size) in enumerate(zip(descriptors, places, sizes, strict=False))
        )
        first = ctypes.addressof(ctypes.c_char.from_buffer(self._iocbs))
        self._pointers = array("Q", range(first, first + len(self._iocbs), IOCB.size))

    def __len__(self) -> int:
        return len(self._pointers)

    def pointer(self, number: int) -> int:
        """Return the address of the pointer to an iocb, behind which those of the next ones follow."""
        return self._pointers.buffer_info()[0] + number * self._pointers.itemsize


class Context:
    """A context of asynchronous reads; OSError where the kernel, or a filter, has none for us. For one thread."""

    def __init__(self) -> None:
        numbers = NUMBERS.get(os.uname().machine)
        if numbers is None or ctypes.sizeof(ctypes.c_long) != IOCB.size // 8:
            raise OSError(errno.ENOSYS, "the numbers of its system calls are not known")
        setup, self._destroy, self._getevents, self._submit = numbers
        self._syscall = ctypes.CDLL(None, use_errno=True).syscall
        self._syscall.restype, self._syscall.argtypes = ctypes.c_long, [ctypes.c_long] * 6
        self._events = array("q", bytes(8 * EVENT_WORDS * AT_ONCE))
        made = array("L", [0])
        self._call(setup, AT_ONCE, made.buffer_info()[0])
        self._context = made[0]

    def _call(self, *arguments: int) -> int:
        done: int = self._syscall(*arguments, *[0] * (6 - len(arguments)))
        if done < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return done

    def read(self, reads: Reads) -> array[int]:
        """Read all; return how many bytes each has said, or the negative errno with which it refuses."""
        results = array("q")
        while len(results) < len(reads):
            asked = min(AT_ONCE, len(reads) - len(results))
            try:
                taken = self._call(self._submit, self._context, asked, reads.pointer(len(results)))
            except OSError as error:  # of the first of them
                results.append(-(error.errno or errno.EIO))
            else:
                results += self._ended(taken)
        return results

    def _ended(self, count: int) -> array[int]:
        """Wait for the end of all that were taken, and return their results in the order they were asked in."""
        words = array("q")
        while len(words) < count * EVENT_WORDS:
            left = count - len(words) // EVENT_WORDS
            ended = self._call(self._getevents, self._context, 1, left, self._events.buffer_info()[0])
            words += self._events[: ended * EVENT_WORDS]
        numbers, results = words[DATA::EVENT_WORDS], words[RES::EVENT_WORDS]
        if numbers != array("q", range(numbers[0], numbers[0] + count)):  # some were waited for
            return array("q", [result for _, result in sorted(zip(numbers, results, strict=True))])
        return results

    def close(self) -> None:
        """Give the context back."""
        self._call(self._destroy, self._context)
