"""Runs classic BPF as the kernel runs a seccomp filter (linux/filter.h, linux/seccomp.h), so that a test can ask it."""

from __future__ import annotations

import struct
from collections.abc import Sequence

LONGEST = 4096


def run(program: bytes, number: int, architecture: int, arguments: Sequence[int]) -> int:
    """Return the action for one system call."""
    lines = list(struct.iter_unpack("<HBBI", program))
    assert len(lines) <= LONGEST
    data = struct.pack("<IIQ6Q", number, architecture, 0, *arguments)
    loaded, at = 0, 0
    while True:
        code, yes, no, value = lines[at]
        at += 1
        if code == 0x20:  # ld [k]
            loaded = struct.unpack_from("<I", data, value)[0]
        elif code == 0x54:  # and #k
            loaded &= value
        elif code == 0x05:  # ja
            at += value
        elif code == 0x15:  # jeq
            at += yes if loaded == value else no
        elif code == 0x25:  # jgt
            at += yes if loaded > value else no
        elif code == 0x35:  # jge
            at += yes if loaded >= value else no
        else:
            assert code == 0x06, hex(code)  # ret #k
            return int(value)
