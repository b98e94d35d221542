"""Which devices a container may use: Docker's rules, and the BPF program that stands for them on cgroup v2.

v1 writes the rules to devices.allow. v2 asks a program of type CGROUP_DEVICE at
each open and mknod (linux/bpf.h, struct bpf_cgroup_dev_ctx); it goes with the cgroup.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from sandbox.quick import struct
from sandbox.value import Value

__all__ = ["DEFAULT_RULES", "NODES", "Rule", "attach", "parse_rule", "program"]

# name, major, minor: what every program expects in /dev (runc libcontainer/specconv AllowedDevices).
NODES = (
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
)

PROG_LOAD, PROG_ATTACH = 5, 8
TYPE_CGROUP_DEVICE, ATTACH_CGROUP_DEVICE = 15, 6
ALLOW_MULTI = 2
# access_type: the kind of device in the low half, what is wanted in the high half.
KINDS = {"b": 1, "c": 2}
ACCESS = {"m": 1, "r": 2, "w": 4}


class Rule(Value):
    """Devices that may be used; None is any number. `access` holds of r, w and m (mknod)."""

    kind: str
    major: int | None
    minor: int | None
    access: str

    def __str__(self) -> str:
        major, minor = ("*" if number is None else number for number in (self.major, self.minor))
        return f"{self.kind} {major}:{minor} {self.access}"


def parse_rule(text: str) -> Rule:
    """Return the rule that a line of devices.list or devices.allow stands for, such as `c 1:3 rwm`."""
    kind, numbers, access = text.split(" ")
    major, minor = (None if number == "*" else int(number) for number in numbers.split(":"))
    return Rule(kind, major, minor, access)


DEFAULT_RULES = (
    # A node can be made, as tar and package managers do; opening it is another matter.
    Rule("c", None, None, "m"),
    Rule("b", None, None, "m"),
    *(Rule("c", major, minor, "rwm") for _, major, minor in NODES),
    Rule("c", 5, 2, "rwm"),  # /dev/ptmx
    Rule("c", 136, None, "rwm"),  # /dev/pts/*
)


def _instruction(code: int, *, target: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    return struct.pack("<BBhi", code, target | source << 4, offset, value)


def program(rules: Iterable[Rule]) -> bytes:
    """Assemble the program: 1 (allow) at the first rule that fits, else 0.

    r2 holds the kind, r3 what is wanted, r4 and r5 major and minor.
    """
    load, jump_unequal, leave = 0x61, 0x55, 0x95
    code = [
        _instruction(load, target=2, source=1, offset=0),
        _instruction(0x54, target=2, value=0xFFFF),  # r2 &= 0xffff
        _instruction(load, target=3, source=1, offset=0),
        _instruction(0x74, target=3, value=16),  # r3 >>= 16
        _instruction(load, target=4, source=1, offset=4),
        _instruction(load, target=5, source=1, offset=8),
    ]
    for rule in rules:
        tests = [(2, KINDS[rule.kind])]
        tests += [(register, number) for register, number in ((4, rule.major), (5, rule.minor)) if number is not None]
        unwanted = 7 & ~sum(ACCESS[letter] for letter in rule.access)
        body = []
        if unwanted:  # r1 = r3 & unwanted; it must be 0
            body = [
                _instruction(0xBC, target=1, source=3),
                _instruction(0x54, target=1, value=unwanted),
            ]
            tests.append((1, 0))
        verdict = [_instruction(0xB4, target=0, value=1), _instruction(leave)]
        checks = body_first(tests, body, jump_unequal, len(verdict))
        code += [*checks, *verdict]
    code += [_instruction(0xB4, target=0, value=0), _instruction(leave)]
    return b"".join(code)


def body_first(tests: list[tuple[int, int]], body: list[bytes], jump: int, skip: int) -> list[bytes]:
    """Return `body` and the comparisons behind it, each of which jumps over the rest of its rule and the verdict."""
    count = len(tests)
    return body + [
        _instruction(jump, target=register, offset=count - index - 1 + skip, value=number)
        for index, (register, number) in enumerate(tests)
    ]


def attach(directory: str, rules: Iterable[Rule]) -> None:
    """Load the program and attach it to a v2 cgroup; needs CAP_BPF and CAP_NET_ADMIN or CAP_SYS_ADMIN."""
    from sandbox.rare_syscalls import bpf, buffer_address  # noqa: PLC0415  v2 alone

    assembled = program(rules)
    code, keep_code = buffer_address(assembled)
    license_text, keep_license = buffer_address(b"Apache-2.0\0")
    count = len(assembled) // 8
    attributes = struct.pack("<IIQQIIQII16s", TYPE_CGROUP_DEVICE, count, code, license_text, 0, 0, 0, 0, 0, b"cgscope")
    loaded = bpf(PROG_LOAD, attributes)
    del keep_code, keep_license
    try:
        cgroup = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            bpf(PROG_ATTACH, struct.pack("<IIII", cgroup, loaded, ATTACH_CGROUP_DEVICE, ALLOW_MULTI))
        finally:
            os.close(cgroup)
    finally:
        os.close(loaded)
