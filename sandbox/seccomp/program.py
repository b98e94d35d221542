"""From the rules of a profile to the kernel's filter: classic BPF over struct seccomp_data (linux/seccomp.h).

What each call gets is decided as libseccomp does it: a rule without
conditions beats those with, and of several without the first one holds. Of
several with conditions that hold at once, it is the first of the profile.
A call newer than any that the profile names answers ENOSYS, as runc's filters
do, so that a program falls back to an older one; so does every x32 call.

The program is built from its end: what is jumped to stands there already.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sandbox.errors import SandboxError
from sandbox.seccomp.numbers import PRIVATE, Architecture, read_numbers
from sandbox.seccomp.profile import ALLOW, ERRNO, LOG, TRACE, Condition, Profile, Rule

__all__ = ["Calls", "assemble", "decide"]

LONGEST = 4096  # instructions, BPF_MAXINSNS
NOT_IMPLEMENTED = ERRNO | errno.ENOSYS
KILL_PROCESS = 0x80000000
X32 = 0x40000000
WORD = 0xFFFFFFFF
# linux/filter.h
LOAD, RETURN, JUMP, AND = 0x20, 0x06, 0x05, 0x54
EQUAL, GREATER, GREATER_OR_EQUAL = 0x15, 0x25, 0x35
NEAR = 255
NUMBER_AT, ARCHITECTURE_AT, ARGUMENTS_AT = 0, 4, 16
# i386 has one call for all sockets and one for System V IPC, whose first argument says which is meant (linux/net.h,
# linux/ipc.h): a rule for one of them is a rule for that as well, or forbidding `socket` would forbid nothing.
SOCKETCALL = (
    "socket", "bind", "connect", "listen", "accept", "getsockname", "getpeername", "socketpair", "send", "recv",
    "sendto", "recvfrom", "shutdown", "setsockopt", "getsockopt", "sendmsg", "recvmsg", "accept4", "recvmmsg",
    "sendmmsg",
)  # fmt: skip
IPC = {
    "semop": 1, "semget": 2, "semctl": 3, "semtimedop": 4, "msgsnd": 11, "msgrcv": 12, "msgget": 13, "msgctl": 14,
    "shmat": 21, "shmdt": 22, "shmget": 23, "shmctl": 24,
}  # fmt: skip
MULTIPLEXED = {name: ("socketcall", number) for number, name in enumerate(SOCKETCALL, 1)} | {
    name: ("ipc", number) for name, number in IPC.items()
}

# What one call gets: an action, or conditions in turn, each with the action it leads to.
Verdict = int | tuple[tuple[tuple[Condition, ...], int], ...]


class Calls(NamedTuple):
    """The verdicts of one architecture; a number that is not in them gets `otherwise`, from `unknown` on ENOSYS."""

    architecture: Architecture
    verdicts: Mapping[int, Verdict]
    otherwise: int
    unknown: int


def decide(profile: Profile, architecture: Architecture) -> Calls:
    """Return what each call of an architecture gets."""
    numbers = read_numbers(architecture)
    verdicts: dict[int, Verdict] = {}
    newest = -1
    for rule in profile.rules:
        for name, conditions in _variants(rule, numbers):
            number = numbers[name]
            newest = max(newest, number if number < PRIVATE else -1)
            if rule.action != profile.default:
                verdicts[number] = _joined(verdicts.get(number, ()), conditions, rule.action)
    lenient = profile.default & 0x7FFF0000 in (ALLOW, LOG, TRACE)
    # A profile that allows what it does not name, or names nothing, says nothing of calls that it does not know.
    unknown = 1 << 32 if lenient or newest < 0 else newest + 1
    return Calls(architecture, verdicts, profile.default, unknown)


def _variants(rule: Rule, numbers: Mapping[str, int]) -> Iterable[tuple[str, tuple[Condition, ...]]]:
    """Yield each call of a rule that there is, with the conditions of each way to make it."""
    several = len({condition.argument for condition in rule.conditions}) < len(rule.conditions)
    # Two conditions on one argument are alternatives: runc's reading, from before there were ranges.
    choices = [(condition,) for condition in rule.conditions] if several else [rule.conditions]
    for name in rule.names:
        for conditions in choices:
            if name in numbers:
                yield name, conditions
            whole, selector = MULTIPLEXED.get(name, ("", 0))
            if whole in numbers:
                kept = tuple(condition for condition in conditions if condition.argument)
                yield whole, (Condition(0, "SCMP_CMP_EQ", selector, 0), *kept)


def _joined(present: Verdict, conditions: tuple[Condition, ...], action: int) -> Verdict:
    """Return the verdict of a call after one more rule."""
    if isinstance(present, int):
        return present
    return (*present, (conditions, action)) if conditions else action


def assemble(parts: Iterable[Calls]) -> bytes:
    """Return the program: an array of struct sock_filter. Raises SandboxError when it is too long for the kernel."""
    code = _Code()
    begin = code.answer(KILL_PROCESS)  # a kind of call that the profile does not name
    for calls in parts:
        table = code.put(LOAD, NUMBER_AT, _search(code, _segments(calls), calls))
        begin = code.test(EQUAL, calls.architecture.audit, table, begin)
    code.put(LOAD, ARCHITECTURE_AT, begin)
    return code.bytes()


def _segments(calls: Calls) -> list[tuple[int, Verdict]]:
    """Return the verdicts as ranges of numbers, each by where it begins."""
    x32 = X32 if "SCMP_ARCH_X86_64" in calls.architecture.names else 1 << 32
    beginnings = {0, calls.unknown, x32, *calls.verdicts, *(number + 1 for number in calls.verdicts)}
    segments: list[tuple[int, Verdict]] = []
    for number in sorted(each for each in beginnings if each < 1 << 32):
        verdict = calls.verdicts.get(number, calls.otherwise if number < calls.unknown else NOT_IMPLEMENTED)
        if number >= x32:
            verdict = NOT_IMPLEMENTED
        if not segments or segments[-1][1] != verdict:
            segments.append((number, verdict))
    return segments


def _search(code: _Code, segments: list[tuple[int, Verdict]], calls: Calls) -> int:
    """Write a binary search for the number that is loaded; returns where it begins."""
    if len(segments) > 1:
        middle = len(segments) // 2
        above = _search(code, segments[middle:], calls)
        below = _search(code, segments[:middle], calls)
        return code.test(GREATER_OR_EQUAL, segments[middle][0], above, below)
    verdict = segments[0][1]
    if isinstance(verdict, int):
        return code.answer(verdict)
    begin = code.answer(calls.otherwise)
    for conditions, action in reversed(verdict):
        hit, miss = code.answer(action), begin
        for condition in reversed(conditions):
            hit = _compare(code, condition, hit, miss, wide=calls.architecture.wide)
        begin = hit
    return begin


def _compare(code: _Code, condition: Condition, yes: int, no: int, *, wide: bool) -> int:
    """Write one comparison, in halves of 32 bits as the machine has no wider ones; returns where it begins."""
    argument, operator, value, second = condition
    if operator in ("SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE"):
        operator = {"NE": "SCMP_CMP_EQ", "LT": "SCMP_CMP_GE", "LE": "SCMP_CMP_GT"}[operator[-2:]]
        yes, no = no, yes
    low_at = ARGUMENTS_AT + 8 * argument
    if operator == "SCMP_CMP_MASKED_EQ":
        mask, wanted = value, value & second
        for at, shift in ((low_at, 0), (low_at + 4, 32)) if wide else ((low_at, 0),):
            equal = code.test(EQUAL, wanted >> shift & WORD, yes, no)
            yes = code.put(LOAD, at, code.put(AND, mask >> shift & WORD, equal))
        return yes
    low, high = value & WORD, value >> 32
    jump = {"EQ": EQUAL, "GT": GREATER, "GE": GREATER_OR_EQUAL}[operator[-2:]]
    begin = code.put(LOAD, low_at, code.test(jump, low, yes, no))
    if wide:
        begin = code.test(EQUAL, high, begin, no)
        if jump != EQUAL:
            begin = code.test(GREATER, high, yes, begin)
        begin = code.put(LOAD, low_at + 4, begin)
    return begin


class _Code:
    """A program that is written from its end. A position counts from there: it does not move any more."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._answers: dict[int, int] = {}

    def put(self, operation: int, value: int, then: int) -> int:
        """Write an instruction after which `then` follows; returns its position."""
        if distance := len(self._lines) - 1 - then:
            self._write(JUMP, distance)
        return self._write(operation, value)

    def test(self, operation: int, value: int, yes: int, no: int) -> int:
        """Write a comparison with what is loaded."""
        yes, no = self._near(yes), self._near(no)
        last = len(self._lines) - 1
        return self._write(operation, value, last - yes, last - no)

    def answer(self, action: int) -> int:
        """Return the position of an instruction that ends with an action: one that is near, or a new one."""
        position = self._answers.get(action)
        if position is None or len(self._lines) - position > NEAR:
            position = self._answers[action] = self._write(RETURN, action)
        return position

    def bytes(self) -> bytes:
        """Return the program, its beginning first."""
        if len(self._lines) > LONGEST:
            raise SandboxError(f"seccomp profile: {len(self._lines)} instructions, the kernel takes {LONGEST} at most")
        return b"".join(reversed(self._lines))

    def _near(self, position: int) -> int:
        """Return a position that a comparison can reach, which is where the other leads if that is too far."""
        distance = len(self._lines) - 1 - position
        # One less than can be told: the other branch may need such a step as well, which moves this one away.
        return position if distance < NEAR else self._write(JUMP, distance)

    def _write(self, operation: int, value: int, yes: int = 0, no: int = 0) -> int:
        self._lines.append(struct.pack("<HBBI", operation, yes, no, value))
        return len(self._lines) - 1
