"""libseccomp, which runc makes its filters with: the oracle for ours. Loaded from the system, never a dependency."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable

import pytest

OPERATORS = ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ")  # enum scmp_compare, from 1
SCMP_ARCH_X86 = 0x40000003
Comparison = tuple[int, str, int, int]


class _Argument(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("value", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


def load() -> ctypes.CDLL:
    """Return the library; the test is skipped where it is missing."""
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        pytest.skip("not installed: libseccomp.so.2 (apt-get install libseccomp2)")
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = (ctypes.c_uint32,)
    library.seccomp_release.argtypes = (ctypes.c_void_p,)
    library.seccomp_arch_add.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
    library.seccomp_export_bpf.argtypes = (ctypes.c_void_p, ctypes.c_int)
    library.seccomp_syscall_resolve_name.argtypes = (ctypes.c_char_p,)
    words = (ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.POINTER(_Argument))
    library.seccomp_rule_add_array.argtypes = words
    return library


def compile_rules(default: int, rules: Iterable[tuple[str, int, tuple[Comparison, ...]]]) -> bytes:
    """Return the filter of these rules (call, action, conditions) for x86_64 with 32-bit programs."""
    library = load()
    context = library.seccomp_init(default)
    try:
        library.seccomp_arch_add(context, SCMP_ARCH_X86)
        for name, action, conditions in rules:
            number = library.seccomp_syscall_resolve_name(name.encode())
            given = [_Argument(at, OPERATORS.index(operator) + 1, *values) for at, operator, *values in conditions]
            array = (_Argument * 6)(*given)
            code = library.seccomp_rule_add_array(context, action, number, len(given), array)
            assert code in (0, -17), (name, code)  # EEXIST: an equal or wider rule is there
        fd = os.memfd_create("filter")
        try:
            assert library.seccomp_export_bpf(context, fd) == 0
            return os.pread(fd, 1 << 20, 0)
        finally:
            os.close(fd)
    finally:
        library.seccomp_release(context)
