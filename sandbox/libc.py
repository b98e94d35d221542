"""How functions of C are called: libc's, system calls that it has no function for, and what Python does around a fork.

By the C half of ctypes: the import of the other one takes four times as long, and makes nothing that is needed here.
"""

from __future__ import annotations

import errno
import os
from _ctypes import (
    FUNCFLAG_CDECL,
    FUNCFLAG_PYTHONAPI,
    FUNCFLAG_USE_ERRNO,
    CFuncPtr,
    addressof,
    dlopen,
    dlsym,
    get_errno,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from ctypes import Array, c_char, c_char_p, c_int, c_long, c_uint32, c_ulong
    from mmap import mmap
else:
    from _ctypes import _SimpleCData

    class c_int(_SimpleCData):  # noqa: N801  as ctypes has them
        _type_ = "i"

    class c_uint32(_SimpleCData):  # noqa: N801
        _type_ = "I"

    class c_long(_SimpleCData):  # noqa: N801
        _type_ = "l"

    class c_ulong(_SimpleCData):  # noqa: N801
        _type_ = "L"

    class c_char(_SimpleCData):  # noqa: N801
        _type_ = "c"

    class c_char_p(_SimpleCData):  # noqa: N801
        _type_ = "z"


__all__ = [
    "INT",
    "LONG",
    "TEXT",
    "UINT",
    "ULONG",
    "Function",
    "address",
    "array_in",
    "buffer",
    "call",
    "check",
    "failed_with",
    "fork_by",
    "in_a_thread",
    "libc",
    "overwrite",
    "symbol",
    "syscall",
    "text_at",
    "uints",
    "ulongs",
    "word_at",
]

# Of x86_64 and aarch64 (asm/unistd_64.h, asm-generic/unistd.h).
_NUMBERS = {
    "x86_64": {"pivot_root": 155, "capset": 126, "keyctl": 250, "bpf": 321, "rt_sigaction": 13, "seccomp": 317,
               "sched_setattr": 314, "ioprio_set": 251, "personality": 135, "set_mempolicy": 238, "renameat2": 316,
               "arch_prctl": 158, "rseq": 334},
    "aarch64": {"pivot_root": 41, "capset": 91, "keyctl": 219, "bpf": 280, "rt_sigaction": 134, "seccomp": 277,
                "sched_setattr": 274, "ioprio_set": 30, "personality": 92, "set_mempolicy": 237, "renameat2": 276},
}  # fmt: skip
_NUMBER = {
    "open_tree": 428,
    "move_mount": 429,
    "clone3": 435,
    "close_range": 436,
    "pidfd_getfd": 438,
    "mount_setattr": 442,
    **_NUMBERS.get(os.uname().machine, {}),
}


class Function(CFuncPtr):
    """A function of C that returns an int, -1 on an error, which is in errno then."""

    _flags_ = FUNCFLAG_CDECL | FUNCFLAG_USE_ERRNO
    _restype_ = c_int


class _Kept(CFuncPtr):
    """A function that is called with Python's lock held: the GIL stays ours."""

    _flags_ = FUNCFLAG_CDECL | FUNCFLAG_USE_ERRNO | FUNCFLAG_PYTHONAPI
    _restype_ = c_long


class _Body(CFuncPtr):
    """A function of Python's as one of C."""

    _flags_ = FUNCFLAG_CDECL
    _restype_ = None
    _argtypes_ = ()


_handle = dlopen(None, 0)  # type: ignore[arg-type]  # the program itself, with all that it has loaded
ATTRIBUTES_BYTES = 64  # more than a pthread_attr_t is
AROUND_A_FORK = ("BeforeFork", "AfterFork_Child", "AfterFork_Parent")
INT, LONG, UINT, ULONG, TEXT = c_int, c_long, c_uint32, c_ulong, c_char_p


def libc(name: str, *types: type) -> Function:
    """Return a function of libc that takes these."""
    function = Function(dlsym(_handle, name))
    function.argtypes = types
    return function


_syscall = Function(dlsym(_handle, "syscall"))
_syscall.restype = c_long


def _words(name: str, arguments: tuple[int | bytes | None, ...]) -> list[object]:
    """Return a system call's number and arguments, each in a whole register: a plain int would be half of one."""
    number = _NUMBER.get(name)
    if number is None:
        raise OSError(errno.ENOSYS, f"{name}: unknown on {os.uname().machine}")
    return [c_long(each) if isinstance(each, int) else each for each in (number, *arguments)]


def syscall(name: str, *arguments: int | bytes | None) -> int:
    """Make a system call that libc has no function for, and return its result: -1 on an error, which is in errno."""
    return int(_syscall(*_words(name, arguments)))


def fork_by(name: str, *arguments: int) -> int:
    """Make a system call that forks, as os.fork() does around its own: 0 in the child, -1 on an error.

    Only with one thread, as libc does not hear of it: another might hold the lock of its memory just then.
    """
    call, words = _Kept(dlsym(_handle, "syscall")), _words(name, arguments)
    before, child, parent = (_Kept(dlsym(_handle, f"PyOS_{each}")) for each in AROUND_A_FORK)
    before()
    pid = int(call(*words))
    code = get_errno()
    (parent if pid else child)()
    if pid < 0:
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return pid


def check(result: int, what: str, path: str | None = None, but: tuple[int, ...] = ()) -> int:
    """Return a result, or raise the OSError that errno tells. One of `but` is -1 alone: raising takes long."""
    if result >= 0:
        return result
    code = get_errno()
    if code in but:
        return result
    raise OSError(code, f"{what}: {os.strerror(code)}", path)


def failed_with() -> int:
    """Return errno of the last call."""
    return get_errno()


def address(thing: Array[c_char] | Array[c_uint32] | Array[c_ulong]) -> int:
    """Return where an array is, as long as somebody keeps it."""
    return addressof(thing)


def buffer(data: bytes) -> Array[c_char]:
    """Return an array of these bytes."""
    array = (c_char * len(data))()
    array.raw = data
    return array


def uints(*values: int) -> Array[c_uint32]:
    """Return an array of unsigned numbers of four bytes."""
    return (c_uint32 * len(values))(*values)


def ulongs(*values: int) -> Array[c_ulong]:
    """Return an array of unsigned numbers of eight bytes."""
    return (c_ulong * len(values))(*values)


def symbol(name: str) -> int:
    """Return where something of libc is, by its name; OSError when there is none."""
    return int(dlsym(_handle, name))


def call(place: int, *arguments: int) -> int:
    """Call a function at an address, with these in whole registers; the GIL stays ours."""
    return int(_Kept(place)(*(c_long(each) for each in arguments)))


def word_at(place: int) -> int:
    """Return the eight bytes at an address, as a number."""
    return c_ulong.from_address(place).value


def text_at(place: int) -> bytes | None:
    """Return the text that the pointer at an address points at; None when it points nowhere."""
    return c_char_p.from_address(place).value


def array_in(thing: mmap) -> Array[c_char]:
    """Return what is mapped as an array, which keeps it."""
    return (c_char * len(thing)).from_buffer(thing)


def overwrite(place: int, count: int, data: bytes) -> None:
    """Put these bytes at an address, and zeros behind them up to `count`."""
    (c_char * count).from_address(place).raw = data[: count - 1].ljust(count, b"\0")


def in_a_thread(body: Callable[[], object], stack_bytes: int) -> None:
    """Run something in a thread of libc's, which Python's count of threads does not know, and wait until it ends.

    Not out of a snapshot's file, where code that libffi writes is not executed.
    """
    attributes, thread = (c_char * ATTRIBUTES_BYTES)(), (c_ulong * 1)()
    check(libc("pthread_attr_init", c_ulong)(addressof(attributes)), "pthread_attr_init")
    libc("pthread_attr_setstacksize", c_ulong, c_ulong)(addressof(attributes), stack_bytes)
    start = _Body(body)
    create = libc("pthread_create", c_ulong, c_ulong, _Body, c_ulong)
    if code := create(addressof(thread), addressof(attributes), start, 0):
        raise OSError(code, f"pthread_create: {os.strerror(code)}")
    libc("pthread_join", c_ulong, c_ulong)(thread[0], 0)
