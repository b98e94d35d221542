"""inspector.kernel.kmsg: who was killed for lack of memory, as kernels of several ages tell it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.errors import ParseError
from inspector.kernel.host import Host
from inspector.kernel.kmsg import KernelLog, Kill, KillReader, Record, parse_record

V1 = [
    "stress invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
    (
        "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=ab,mems_allowed=0,oom_memcg=/docker/ab,"
        "task_memcg=/docker/ab/sub,task=stress,pid=4243,uid=0"
    ),
    (
        "Memory cgroup out of memory: Killed process 4243 (stress) total-vm:218764kB, anon-rss:32128kB, "
        "file-rss:2812kB, shmem-rss:0kB, UID:0 pgtables:128kB oom_score_adj:0"
    ),
]
GLOBAL = [
    (
        "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,"
        "task_memcg=/system.slice/docker-ab.scope,task=java,pid=99,uid=1000"
    ),
]
GROUP = [
    *(line.replace("/docker/ab/sub", "/g") for line in V1),
    "Tasks in /g are going to be killed due to memory.oom.group set",
    V1[2],
    V1[2].replace("4243 (stress)", "4250 (helper)"),
]
OLD = [
    "Task in /docker/ab killed as a result of limit of /docker/ab",
    "memory: usage 65536kB, limit 65536kB, failcnt 25",
    "Memory cgroup out of memory: Kill process 7 (sh) score 1000 or sacrifice child",
    "Killed process 7 (sh) total-vm:1000kB, anon-rss:900kB, file-rss:4kB",
]
OLDER = [OLD[0], "Killed process 8 (sh), UID 0, total-vm:1000kB, anon-rss:900kB, file-rss:4kB, shmem-rss:0kB"]


def kills(*lines: str, by_kernel: bool = True) -> list[Kill]:
    """Return the kills in these lines, the first of which is of the microsecond 0."""
    reader = KillReader()
    found = (reader.read(Record(by_kernel, number, line)) for number, line in enumerate(lines))
    return [kill for kill in found if kill]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (V1, [Kill(1, "/docker/ab/sub", "stress", 4243, "/docker/ab")]),
        (GLOBAL, [Kill(0, "/system.slice/docker-ab.scope", "java", 99)]),
        (GROUP, [Kill(1, "/g", "stress", 4243, "/docker/ab"), Kill(5, "/g", "helper", 4250, "/docker/ab")]),
        (OLD, [Kill(3, "/docker/ab", "sh", 7, "/docker/ab")]),
        (OLDER, [Kill(1, "/docker/ab", "sh", 8, "/docker/ab")]),
        ([V1[2]], []),
        (
            [*OLD, *V1, V1[2]],
            [Kill(3, "/docker/ab", "sh", 7, "/docker/ab"), Kill(5, "/docker/ab/sub", "stress", 4243, "/docker/ab")],
        ),
    ],
)
def test_each_victim_is_told_once(lines: list[str], expected: list[Kill]) -> None:
    """Its cgroup, name, PID and the limit that was reached are the same whichever lines a kernel spreads them over."""
    assert kills(*lines) == expected


def test_a_victim_may_have_any_name() -> None:
    """A name or a path with commas, brackets and what looks like another field is taken whole."""
    line = "oom-kill:constraint=CONSTRAINT_MEMCG,x,task_memcg=/a,task=b,c,task=x) (y,pid=1,pid=7,uid=0"
    assert kills(line) == [Kill(0, "/a,task=b,c", "x) (y,pid=1", 7)]
    assert kills(OLD[0], "Killed process 7 (a) (b) total-vm:1kB") == [Kill(1, "/docker/ab", "a) (b", 7, "/docker/ab")]
    line = line.replace("x,task_memcg", "oom_memcg=/a,b,task_memcg")
    assert kills(line) == [Kill(0, "/a,task=b,c", "x) (y,pid=1", 7, "/a,b")]


def test_a_process_cannot_make_one_up() -> None:
    """What was written to the log by a process has another facility than the kernel's, and tells of no kill."""
    assert kills(*V1, by_kernel=False) == []
    assert parse_record(b"12,1,5,-;" + V1[1].encode()) == Record(by_kernel=False, monotonic_us=5, text=V1[1])


def test_a_record_is_taken_apart() -> None:
    r"""Priority, time and text; \xNN is one byte of a name, and the dictionary below the text is left out."""
    record = parse_record(b"6,339,5140900,-,caller=T1;a \\xc3\\xa4 \\x0a \\xff\n SUBSYSTEM=net\n DEVICE=+x\n")
    assert record == Record(by_kernel=True, monotonic_us=5140900, text="a ä \n \udcff")
    for bad in (b"", b"6,339;x", b"6,x,5,-;x", b"6,1,99999999999999999999999,-;x"):
        with pytest.raises(ParseError):
            parse_record(bad)


@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda data: b"6,1,2,-;" + data))
def test_only_parse_errors(data: bytes) -> None:
    """Any bytes are a record or a ParseError."""
    with contextlib.suppress(ParseError):
        KillReader().read(parse_record(data))


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=15)
PATHS = st.text(st.characters(codec="utf-8", exclude_characters="\0\n"), max_size=40).map(lambda name: f"/{name}")


@given(task=NAMES.filter(lambda name: ",task=" not in name), path=PATHS, pid=st.integers(1, 1 << 22))
def test_whatever_the_kernel_writes_is_read_back(task: str, path: str, pid: int) -> None:
    """A record written as the kernel does, with escapes, gives its three parts back."""
    raw = f"oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),task_memcg={path},task={task},pid={pid},uid=0".encode()
    escaped = b"".join(bytes([byte]) if 32 <= byte < 127 and byte != 92 else b"\\x%02x" % byte for byte in raw)
    assert KillReader().read(parse_record(b"6,1,2,-;" + escaped + b"\n")) == Kill(2, path, task, pid)


def test_a_log_is_read_on_from_where_it_was_left(tmp_path: Path) -> None:
    """The second look has only what came since, and a closed log is read from its start."""
    (tmp_path / "dev").mkdir()
    os.mkfifo(tmp_path / "dev/kmsg")
    with Host(str(tmp_path)) as host:
        log = KernelLog(host)
        keeper = os.open(tmp_path / "dev/kmsg", os.O_RDWR)
        try:
            assert list(log.records()) == []
            os.write(keeper, b"6,1,2,-;one\n")
            assert [record.text for record in log.records()] == ["one"]
            os.write(keeper, b"not a record")
            assert list(log.records()) == []
        finally:
            log.close()
            log.close()
            os.close(keeper)


def test_a_log_that_is_not_there_is_the_callers_to_judge(tmp_path: Path) -> None:
    """Without /dev/kmsg the system call's own error comes out."""
    with Host(str(tmp_path)) as host, pytest.raises(FileNotFoundError):
        list(KernelLog(host).records())
