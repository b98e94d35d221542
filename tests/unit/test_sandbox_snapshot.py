"""What a snapshot's file is made of: its machine code, what it finds in memory, and the segments it becomes."""

from __future__ import annotations

import contextlib
import re
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.command import leave
from sandbox import finding, snapshot, snapshot_code
from sandbox.commands import output
from sandbox.errors import SandboxError
from sandbox.snapshot_code import CODE, PAGE, State
from sandbox.snapshot_file import EMPTY_PAGES, Mapping, compose, parse_maps
from tests.testbed.commands import REPOSITORY
from tests.testbed.tools import need

SOURCE = Path(REPOSITORY, "sandbox/scripts/snapshot.s")
MAPS = """\
00400000-00946000 r-xp 00000000 fe:00 2229                               /usr/bin/python3.11
2b0d94236000-2b0d9435b000 rw-p 00000000 00:00 0 
2b0d94364000-2b0d94365000 ---p 00000000 00:00 0                          /srv/a name\\012 (deleted)
7ffd6a1d2000-7ffd6a1f3000 rw-p 00000000 00:00 0                          [stack]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
"""  # noqa: W291
PLACE, LIBRARY, HEAP, VDSO, STACK = 0x2B0D_0000_0000, 0x2B0C_0000_0000, 0x1000_0000, 0x7FFD_1234_F000, 0x7FFD_2000_0000
RIGHTS = {"r--": 4, "rw-": 6, "r-x": 5, "---": 0, "rwx": 7}


class Process:
    """Made-up memory: what is mapped where, with which rights and under which name."""

    def __init__(self) -> None:
        self.memory: dict[int, bytes] = {}
        self.maps: list[Mapping] = []
        self.add(PLACE, "rwx", bytes(32 * PAGE))
        self.add(VDSO, "r-x", b"\x7fELF of the kernel".ljust(2 * PAGE, b"v"), "[vdso]")
        self.add(STACK, "rw-", b"s" * 8 * PAGE, "[stack]")

    def add(self, begin: int, rights: str, data: bytes, name: str = "") -> None:
        """Have something mapped."""
        self.memory[begin] = data
        self.maps = sorted([*self.maps, Mapping(begin, begin + len(data), RIGHTS[rights], name)])

    def read(self, begin: int, count: int) -> bytes:
        """Return memory."""
        for start, data in self.memory.items():
            if start <= begin < start + len(data):
                return data[begin - start :][:count]
        raise AssertionError(hex(begin))

    def compose(self) -> tuple[bytes, State]:
        """Return the file, and what the machine code is told."""
        state = State(0x7000, 0x7010, 0x7020, 0x7030)
        return compose(self.maps, self.read, PLACE, state), state


def loads(image: bytes) -> dict[int, tuple[bytes, int]]:
    """Return what the kernel would map of an ELF file: at which address which bytes with which rights."""
    offset, count = struct.unpack_from("<Q", image, 32)[0], struct.unpack_from("<H", image, 56)[0]
    found = {}
    for number in range(count):
        header = struct.unpack_from("<IIQQQQQQ", image, offset + number * 56)
        kind, rights, start, address, _, size, in_memory, _ = header
        if kind == 1:
            assert start % PAGE == address % PAGE == 0
            assert size == in_memory
            found[address] = image[start : start + size], rights
    return found


def test_the_machine_code_is_its_source(tmp_path: Path) -> None:
    """Assembled, the source is the bytes that are executed, and its words are where Python has them."""
    need("as", "objcopy")
    subprocess.run(["as", "--64", "-o", tmp_path / "o", SOURCE], check=True)
    subprocess.run(["objcopy", "-O", "binary", "-j", ".text", tmp_path / "o", tmp_path / "code"], check=True)
    assert (tmp_path / "code").read_bytes() == CODE["x86_64"]
    symbols = subprocess.run(["nm", tmp_path / "o"], check=True, capture_output=True, text=True).stdout
    places = {line.split()[2]: int(line.split()[0], 16) for line in symbols.splitlines()}
    for name in ("FORK_LATER", "MEASURE", "START"):
        assert places[{"MEASURE": "features"}.get(name, name.lower())] == getattr(snapshot_code, name)
    for name in ("BEGIN", "IGNORED", "FEATURES", "TABLE"):
        assert places[name] == getattr(snapshot_code, name)


def test_words_are_where_the_source_says() -> None:
    """Each value that is packed is at the offset of its name in the source."""
    offsets = {name: int(at) for name, at in re.findall(r"\.set ([A-Z_]+), (\d+)", SOURCE.read_text())}
    state = State(1, 2, 3, 4)
    state.vdso, state.first_stack, state.functions, state.empty = (5, 6), (7, 8, 9), [(10, 11)], [(12, 13)]
    left = struct.pack("<Q", 14).ljust(snapshot_code.FEATURES, b"x") + bytes(range(32))
    page = state.pack(left)
    words = {"STACK": 14, "THREAD": 1, "TID": 2, "BREAK": 3, "ENVIRON": 4, "VDSO": 5, "VDSO_BYTES": 6,
             "OLD_TO": 7, "OLD_FROM": 8, "OLD_BYTES": 9, "BEGIN": 0, "IGNORED": 0, "TABLE": 1}  # fmt: skip
    assert {name: struct.unpack_from("<Q", page, offsets[name])[0] for name in words} == words
    assert page[offsets["FEATURES"] :][:32] == bytes(range(32))
    assert page[offsets["SHELL"] :].startswith(b"/bin/sh\0")
    assert page[offsets["PLAIN"] :].startswith(b"cgscope_plain=1\0")
    assert struct.unpack_from("<6Q", page, offsets["TABLE"]) == (1, 10, 11, 1, 12, 13)


def test_maps_are_read() -> None:
    """Names may have blanks, or none be there; rights are as ELF has them."""
    assert parse_maps(MAPS) == [
        (0x400000, 0x946000, 5, "/usr/bin/python3.11"),
        (0x2B0D94236000, 0x2B0D9435B000, 6, ""),
        (0x2B0D94364000, 0x2B0D94365000, 0, "/srv/a name\\012 (deleted)"),
        (0x7FFD6A1D2000, 0x7FFD6A1F3000, 6, "[stack]"),
        (0xFFFFFFFFFF600000, 0xFFFFFFFFFF601000, 1, "[vsyscall]"),
    ]


def page(kind: int) -> bytes:
    """Return a page: an empty one, or one that is not."""
    return bytes([kind]) * PAGE if kind else bytes(PAGE)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 2 * EMPTY_PAGES)), max_size=6))
def test_memory_comes_back(runs: list[tuple[int, int]]) -> None:
    """Whatever is mapped is in the file at its address, or is asked of the kernel, where it is empty; nothing twice."""
    process = Process()
    heap = b"".join(page(kind) * count for kind, count in runs) or page(1)
    process.add(HEAP, "rw-", heap)
    process.add(LIBRARY, "r-x", page(2) * 3, "/lib/x")
    process.add(LIBRARY + 3 * PAGE, "r--", page(3) + struct.pack("<Q", VDSO + 0xAC0).ljust(PAGE, b"x"), "/lib/x")
    process.add(LIBRARY + 5 * PAGE, "---", page(1), "/lib/x")
    image, state = process.compose()
    found = loads(image)
    back = bytearray(len(heap))
    covered = 0
    for address, (data, rights) in found.items():
        if HEAP <= address < HEAP + len(heap):
            assert rights == RIGHTS["rw-"]
            back[address - HEAP : address - HEAP + len(data)] = data
            covered += len(data)
    assert bytes(back) == heap
    assert covered + sum(size for _, size in state.empty) == len(heap)
    assert all(size >= EMPTY_PAGES * PAGE for _, size in state.empty)
    assert found[LIBRARY] == (page(2) * 3, RIGHTS["r-x"])
    assert state.functions == [(LIBRARY + 4 * PAGE, 0xAC0)]
    assert found[LIBRARY + 3 * PAGE][1] == RIGHTS["rw-"]  # what is to be set right can be written to
    assert LIBRARY + 5 * PAGE not in found


def test_the_machine_code_has_what_it_needs() -> None:
    """It is first, may be executed and not written to; behind it its words, the vDSO, and the end of the stack."""
    process = Process()
    process.add(HEAP, "rw-", struct.pack("<Q", VDSO).ljust(PAGE, b"x"))
    image, state = process.compose()
    assert struct.unpack_from("<Q", image, 24)[0] == PLACE + snapshot_code.START
    found = loads(image)
    assert found[PLACE] == (CODE["x86_64"].ljust(PAGE, b"\0"), RIGHTS["r-x"])
    behind, rights = found[PLACE + PAGE]
    assert rights == RIGHTS["rw-"]
    assert state.vdso == (PLACE + 2 * PAGE, 2 * PAGE)
    assert behind[PAGE : 3 * PAGE] == process.memory[VDSO]
    assert behind[3 * PAGE :] == b"s" * 2 * PAGE
    assert state.first_stack == (STACK + 6 * PAGE, PLACE + 4 * PAGE, 2 * PAGE)
    assert not any(address in found for address in (VDSO, STACK))


def test_nothing_is_both_written_and_executed() -> None:
    """Who must not have such memory (PR_SET_MDWE, systemd's MemoryDenyWriteExecute) is killed if a file has it."""
    process = Process()
    process.add(HEAP, "rwx", page(1))
    process.add(HEAP + PAGE, "rw-", struct.pack("<Q", VDSO).ljust(PAGE, b"x"))
    process.add(HEAP + 2 * PAGE, "r-x", page(2))
    assert all(rights & RIGHTS["rwx"] in (4, 5, 6) for _, rights in loads(process.compose()[0]).values())


def test_a_pointer_is_found_only_where_one_can_be() -> None:
    """A word of that value: not half of two, and not past the end of the vDSO, which may cross a boundary of 64 KiB."""
    process = Process()
    last = VDSO + 2 * PAGE - 1
    assert last >> 16 != VDSO >> 16
    data = struct.pack("<QQ", last, last + 1) + b"abc" + struct.pack("<Q", VDSO) + bytes(5) + struct.pack("<Q", VDSO)
    process.add(HEAP, "rw-", data.ljust(PAGE, b"\0"))
    assert sorted(process.compose()[1].functions) == [(HEAP, 2 * PAGE - 1), (HEAP + 32, 0)]


@pytest.mark.parametrize(
    ("begin", "data", "why"),
    [
        (HEAP, b"nothing", "in a way that is not known"),
        (HEAP, struct.pack("<Q", VDSO) * 300, "in a way that is not known"),
        (0x7FFC_0000_0000, struct.pack("<Q", VDSO), "another one's stack may be"),
    ],
)
def test_a_process_of_another_kind_is_refused(begin: int, data: bytes, why: str) -> None:
    """One that never calls the vDSO, too many pointers to it, and memory where the next stack may be."""
    process = Process()
    process.add(begin, "rw-", data.ljust(PAGE, b"\0"))
    with pytest.raises(SandboxError, match=why):
        process.compose()


def test_a_process_without_a_vdso_is_refused() -> None:
    """As with vdso=0 on the kernel's command line."""
    process = Process()
    process.maps = [each for each in process.maps if each.name != "[vdso]"]
    with pytest.raises(SandboxError, match="0 mappings \\[vdso\\]"):
        process.compose()


def test_another_users_file_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two who may write there, each would make it anew at each start, as the other one's is not to be read."""

    def refuse(*_: object) -> None:
        raise PermissionError

    made: list[object] = []
    monkeypatch.setattr(snapshot, "open", refuse, raising=False)
    monkeypatch.setattr(snapshot, "_spawn", lambda *_: made.append(1))
    monkeypatch.setattr(snapshot, "_give_up", made.append)
    with contextlib.suppress(FileNotFoundError):
        snapshot.renew(finding.START)
    assert not made


def test_the_sandboxs_threads_are_for_a_process_out_of_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """To stop several at once is no reason to start once more, as what ctop has threads for is."""
    started: list[str] = []
    monkeypatch.setattr(finding, "out_of", finding.START)
    monkeypatch.setattr(finding, "as_usual", lambda: started.append("once more"))
    seen: list[str] = []
    assert output.each_at_once(["one", "two"], seen.append) == 0
    assert (sorted(seen), started) == (["one", "two"], [])
    leave()
    assert started == ["once more"]
    monkeypatch.setattr(finding, "out_of", finding.LIVE)
    leave(live=True)
    assert started == ["once more"]
    leave()
    assert started == ["once more"] * 2
