"""Writes a process as an ELF file: what it has mapped becomes segments at the same addresses, and empty pages nothing.

The kernel maps such a file as it does any program's, page by page as they are
used. What is the kernel's own part of a process, the vDSO and the first stack,
is another one each time: the machine code (snapshot_code.py) sets right what
points there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from sandbox.errors import SandboxError
from sandbox.quick import struct
from sandbox.snapshot_code import CODE, MOST_PAIRS, PAGE, START, State

__all__ = ["Mapping", "compose", "parse_maps", "read_maps"]

READ, WRITE, EXECUTE = 4, 2, 1
PT_LOAD, PT_GNU_STACK = 1, 0x6474E551
ELF_HEADER, PROGRAM_HEADER = struct.Struct("<16sHHIQQQIHHHHHH"), struct.Struct("<IIQQQQQQ")
ET_EXEC, EM_X86_64 = 2, 62
# Where libc and Python find arguments, variables and the auxiliary vector; there are hardly any.
FIRST_STACK = 2 * PAGE
# Of fewer empty pages in a row it costs more to ask the kernel for them than to have them in the file.
EMPTY_PAGES = 32
WORD = 8
# Where the kernel may put a stack and the vDSO, in the upper eighth of the addresses, nothing else can be.
HIGHEST = 0x7000_0000_0000


class Mapping(NamedTuple):
    """A line of /proc/<pid>/maps: the addresses, the rights as ELF has them, and what is mapped."""

    begin: int
    end: int
    rights: int
    name: str


class _Segment(NamedTuple):
    begin: int
    data: bytes
    rights: int


def parse_maps(text: str) -> list[Mapping]:
    """Return the mappings that /proc/<pid>/maps tells (proc_pid_maps(5))."""
    found = []
    for line in text.splitlines():
        addresses, rights, _, _, _, *name = line.split(None, 5)
        begin, end = (int(address, 16) for address in addresses.split("-"))
        bits = sum(bit for letter, bit in (("r", READ), ("w", WRITE), ("x", EXECUTE)) if letter in rights)
        found.append(Mapping(begin, end, bits, name[0] if name else ""))
    return found


def read_maps(process: int | str) -> list[Mapping]:
    """Return what parse_maps() says of a process, by its PID or as "self"."""
    with open(f"/proc/{process}/maps", encoding="utf-8", errors="surrogateescape") as file:
        return parse_maps(file.read())


def compose(maps: Sequence[Mapping], read: Callable[[int, int], bytes], place: int, state: State) -> bytes:
    """Return the file of a process whose machine code is at `place`; `read` returns so many bytes of its memory.

    SandboxError where it is not as those are that this is written for.
    """
    vdso, first_stack = _only("[vdso]", maps), _only("[stack]", maps)
    segments: list[_Segment] = []
    for each in maps:
        if each.begin <= place < each.end or each.name.startswith("[v") or each is first_stack or not each.rights:
            continue
        data = read(each.begin, each.end - each.begin)
        # libffi writes code of its own, which has been executed; the kernel may not map a file so (PR_SET_MDWE).
        rights = each.rights & ~EXECUTE if each.rights & WRITE else each.rights
        if not rights & EXECUTE:
            functions = list(_pointers(each.begin, data, vdso))
            state.functions += functions
            rights |= WRITE if functions else 0  # libc has made them read-only when it had found them
        if not rights & WRITE:
            segments.append(_Segment(each.begin, data, rights))
            continue
        for begin, end, empty in _runs(data):
            if empty:
                state.empty.append((each.begin + begin, end - begin))
            else:
                segments.append(_Segment(each.begin + begin, data[begin:end], rights))
    if not state.functions or len(state.functions) + len(state.empty) > MOST_PAIRS:
        raise SandboxError("this process calls the vDSO in a way that is not known")
    segments += _own(place, state, read, vdso, first_stack)
    if max(each.begin for each in segments) > HIGHEST:
        raise SandboxError("this process is where another one's stack may be: personality(2) was refused")
    return _elf(_joined(sorted(segments)), place + START)


def _only(name: str, maps: Sequence[Mapping]) -> Mapping:
    found = [each for each in maps if each.name == name]
    if len(found) != 1:
        raise SandboxError(f"this process has {len(found)} mappings {name}")
    return found[0]


def _pointers(begin: int, data: bytes, target: Mapping) -> Iterator[tuple[int, int]]:
    """Yield where in memory there is an address in `target`, and which: the offset there."""
    for upper in range(target.begin >> 16, (target.end - 1 >> 16) + 1):
        pattern = upper.to_bytes(WORD - 2, "little")
        at = data.find(pattern)
        while at >= 0:
            where = at - 2
            if where >= 0 and where % WORD == 0:
                value = int.from_bytes(data[where : where + WORD], "little")
                if target.begin <= value < target.end:
                    yield begin + where, value - target.begin
            at = data.find(pattern, at + 1)


def _runs(data: bytes) -> list[tuple[int, int, bool]]:
    """Return where memory is empty, from here to there, in which more than a few pages are; the rest is not."""
    blank = bytes(PAGE)
    runs: list[tuple[int, int, bool]] = []
    begin = 0
    while begin < len(data):
        empty = data[begin : begin + PAGE] == blank
        end = begin + PAGE
        while end < len(data) and (data[end : end + PAGE] == blank) == empty:
            end += PAGE
        empty = empty and end - begin >= EMPTY_PAGES * PAGE
        if runs and runs[-1][2] == empty:
            begin = runs.pop()[0]
        runs.append((begin, end, empty))
        begin = end
    return runs


def _own(
    place: int, state: State, read: Callable[[int, int], bytes], vdso: Mapping, first_stack: Mapping
) -> list[_Segment]:
    """Return what the machine code needs: itself, its words, and behind them the vDSO and the stack as they were."""
    copies = place + 2 * PAGE
    size = vdso.end - vdso.begin
    state.vdso = copies, size
    state.first_stack = first_stack.end - FIRST_STACK, copies + size, FIRST_STACK
    code = CODE["x86_64"].ljust(PAGE, b"\0")
    page = state.pack(read(place + PAGE, PAGE))
    behind = read(vdso.begin, size) + read(first_stack.end - FIRST_STACK, FIRST_STACK)
    return [_Segment(place, code, READ | EXECUTE), _Segment(place + PAGE, page + behind, READ | WRITE)]


def _joined(segments: Sequence[_Segment]) -> list[_Segment]:
    """Return the segments, those in one that follow one another and may be as one: each costs a start 2 us."""
    joined: list[_Segment] = []
    for each in segments:
        last = joined[-1] if joined else None
        if last and last.begin + len(last.data) == each.begin and last.rights & WRITE == each.rights & WRITE:
            joined[-1] = _Segment(last.begin, last.data + each.data, last.rights | each.rights)
        else:
            joined.append(each)
    return joined


def _elf(segments: Sequence[_Segment], entry: int) -> bytes:
    count = len(segments) + 1
    size = ELF_HEADER.size + count * PROGRAM_HEADER.size
    offset = -(-size // PAGE) * PAGE
    parts = [
        ELF_HEADER.pack(
            b"\x7fELF\x02\x01\x01", ET_EXEC, EM_X86_64, 1, entry, ELF_HEADER.size, 0, 0,
            ELF_HEADER.size, PROGRAM_HEADER.size, count, 0, 0, 0,
        )
    ]  # fmt: skip
    ahead = offset
    for each in segments:
        length = len(each.data)
        parts.append(PROGRAM_HEADER.pack(PT_LOAD, each.rights, ahead, each.begin, each.begin, length, length, PAGE))
        ahead += length
    parts.append(PROGRAM_HEADER.pack(PT_GNU_STACK, READ | WRITE, 0, 0, 0, 0, 0, 16))
    return b"".join(parts).ljust(offset, b"\0") + b"".join(each.data for each in segments)
