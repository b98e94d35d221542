"""inspector.kernel.process: stat, status, command lines, id maps, capabilities."""

from __future__ import annotations

from pathlib import Path

import pytest

from inspector.errors import ParseError
from inspector.kernel.process import (
    CAPABILITIES,
    IdRange,
    capability_names,
    list_pids,
    parse_cmdline,
    parse_id_map,
    parse_stat,
    parse_status,
    read_cmdline,
    read_gid_map,
    read_lsm_label,
    read_stat,
    read_stat_kept,
    read_status,
    read_uid_map,
)
from inspector.kernel.stat_brief import parse_brief
from tests.fakehost import FakeHost

STAT = (
    b"410 (cat) R 408 407 30705 34816 -1 4194304 104 0 0 0 31 42 0 0 20 0 3 0 90588 3133440 418 "
    b"18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0\n"
)
STATUS = (
    b"Name:\tsleep\nUmask:\t0022\nTgid:\t4242\nPid:\t4242\nUid:\t0\t1\t2\t3\nGid:\t4\t5\t6\t7\nGroups:\t27 100 \n"
    b"NSpid:\t4242\t17\t1\nRssAnon:\t     108 kB\nThreads:\t2\nCapInh:\t0000000000000000\nCapPrm:\t00000000a80425fb\n"
    b"CapEff:\t00000000a80425fb\nCapBnd:\t00000000a80425fb\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\n"
    b"Seccomp:\t2\nSeccomp_filters:\t1\n"
)


def test_stat_takes_the_wanted_fields() -> None:
    """Each field is the one of its number in proc_pid_stat(5)."""
    stat = parse_stat(STAT)
    assert (stat.pid, stat.comm, stat.state, stat.ppid, stat.pgrp, stat.session, stat.tty) == (
        410, "cat", "R", 408, 407, 30705, 34816,
    )  # fmt: skip
    assert (stat.utime_ticks, stat.stime_ticks, stat.num_threads) == (31, 42, 3)
    assert (stat.starttime_ticks, stat.rss_pages) == (90588, 418)
    assert not stat.is_kernel_thread
    assert parse_stat(STAT.replace(b"4194304", b"2129984")).is_kernel_thread


@pytest.mark.parametrize("comm", [") R 1 1 1 1", "a (b) c", "\n", "\x1b[31m", "(", ")", "", "\udcff"])
def test_stat_survives_any_name(comm: str) -> None:
    """A name ends at the last parenthesis, so no name can shift the fields behind it."""
    stat = parse_stat(STAT.replace(b"cat", comm.encode(errors="surrogateescape")))
    assert stat.comm == comm
    assert (stat.state, stat.ppid, stat.rss_pages) == ("R", 408, 418)


@pytest.mark.parametrize("data", [b"", b"1", b"1 (a", b"1 (a) ", b"x" + STAT, STAT[:60], STAT.replace(b"408", b"x")])
def test_a_malformed_stat_is_a_parse_error(data: bytes) -> None:
    """A stat that is cut off or holds no number where one belongs raises ParseError."""
    with pytest.raises(ParseError):
        parse_stat(data)


@pytest.mark.parametrize("comm", [") R 1 1 1 1", "a (b) c", "(", ")", "", "\udcff"])
@pytest.mark.parametrize("flags", [b"4194304", b"2129984"])
def test_what_is_asked_of_every_process(comm: str, flags: bytes) -> None:
    """The brief of a stat has the fields by which processes are told apart, each from where the manual has it."""
    data = STAT.replace(b"cat", comm.encode(errors="surrogateescape")).replace(b"4194304", flags)
    assert parse_brief(data) == (90588, 408, comm, "R", flags == b"2129984")


@pytest.mark.parametrize("data", [b"", b"1", b"1 (a", b"1 (a) ", b"1) R 1", STAT[:60], STAT.replace(b"408", b"x")])
def test_a_malformed_stat_has_no_brief(data: bytes) -> None:
    """What cannot be told apart raises ParseError."""
    with pytest.raises(ParseError):
        parse_brief(data)


def test_status_takes_the_wanted_fields() -> None:
    """PIDs from outermost to innermost, ids, capabilities by set, and what restricts the process."""
    status = parse_status(STATUS)
    assert (status.name, status.tgid, status.ns_pids) == ("sleep", 4242, (4242, 17, 1))
    assert (status.uids, status.gids, status.groups) == ((0, 1, 2, 3), (4, 5, 6, 7), (27, 100))
    assert (status.rss_anon_bytes, status.threads) == (108 * 1024, 2)
    assert status.capabilities == {
        "inheritable": 0, "permitted": 0xA80425FB, "effective": 0xA80425FB, "bounding": 0xA80425FB, "ambient": 0,
    }  # fmt: skip
    assert (status.no_new_privs, status.seccomp, status.seccomp_filters) == (True, 2, 1)


def test_status_of_a_kernel_thread_on_an_older_kernel() -> None:
    """What a kernel does not tell is None, or for the PIDs the one we know."""
    kept = (b"Name", b"Tgid", b"Uid", b"Gid", b"Threads")
    status = parse_status(b"".join(line for line in STATUS.splitlines(keepends=True) if line.startswith(kept)))
    assert status.ns_pids == (4242,)
    assert (status.rss_anon_bytes, status.no_new_privs, status.seccomp, status.seccomp_filters) == (None,) * 4
    assert status.capabilities == {}


def test_a_name_cannot_forge_a_line_of_status() -> None:
    """The kernel escapes newline and backslash in a name; both come back, and no line is taken from it."""
    status = parse_status(STATUS.replace(b"sleep", rb"a\nUid:\t9 \\n"))
    assert status.name == "a\nUid:\\t9 \\n"
    assert status.uids == (0, 1, 2, 3)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Uid:\t0\t1\t2\t3", b"Uid:\t0\t1"),
        (b"     108 kB", b"108 MB"),
        (b"Tgid:\t4242", b"Tgid:\tx"),
        (b"Threads:\t2\n", b""),
        (b"CapEff:\t00000000a80425fb", b"CapEff:\t-1"),
        (b"CapEff:\t00000000a80425fb", b"CapEff:\t100000000a80425fbff"),
    ],
)
def test_a_malformed_status_is_a_parse_error(old: bytes, new: bytes) -> None:
    """A field that is missing or has another form raises ParseError."""
    with pytest.raises(ParseError):
        parse_status(STATUS.replace(old, new))


def test_capability_names() -> None:
    """Docker's default set by name; a bit that is newer than the table has its number."""
    assert len(CAPABILITIES) == 41
    assert capability_names(0xA80425FB) == [
        "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID",
        "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SYS_CHROOT", "CAP_MKNOD", "CAP_AUDIT_WRITE",
        "CAP_SETFCAP",
    ]  # fmt: skip
    assert capability_names(1 << 21 | 1 << 63) == ["CAP_SYS_ADMIN", "CAP_63"]
    assert capability_names(0) == []


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"nginx\0-g\0daemon off;\0", "nginx -g daemon off;"),
        (b"postgres: writer\0\0\0\0", "postgres: writer"),
        (b"a\0\0b\0", "a  b"),
        (b"", ""),
        (b"\xff\x1b[2J\0", "\udcff\x1b[2J"),
    ],
)
def test_cmdline(data: bytes, text: str) -> None:
    """Arguments are joined by blanks, padding at the end is dropped, bytes stay what they are."""
    assert parse_cmdline(data) == text


def test_id_maps() -> None:
    """A range a line; an empty file is a namespace nobody has mapped yet."""
    assert parse_id_map(b"         0     100000      65536\n") == (IdRange(0, 100000, 65536),)
    assert parse_id_map(b"0 1000 1\n1 100000 65536\n") == (IdRange(0, 1000, 1), IdRange(1, 100000, 65536))
    assert parse_id_map(b"") == ()
    for data in (b"0 1\n", b"0 1 2 3\n", b"a b c\n"):
        with pytest.raises(ParseError):
            parse_id_map(data)


def test_reading_a_process(tmp_path: Path) -> None:
    """Every reader finds its file below the host's root."""
    fake = FakeHost(tmp_path).process(42, "web", ppid=1, cmdline="web\0-x\0", starttime=77, ns_pids=(42, 1))
    with fake.open() as host:
        assert sorted(list_pids(host)) == [1, 42]
        assert read_stat(host, 42) == read_stat_kept(host, 42)
        assert read_stat(host, 42).starttime_ticks == 77
        assert read_status(host, 42).ns_pids == (42, 1)
        assert read_cmdline(host, 42) == "web -x"
        assert read_uid_map(host, 42) == read_gid_map(host, 42) == (IdRange(0, 0, 4294967295),)
        with pytest.raises(FileNotFoundError):
            read_stat(host, 43)


def test_a_command_line_is_bounded(tmp_path: Path) -> None:
    """Of a command line of a megabyte 4096 bytes are read."""
    with FakeHost(tmp_path).process(42, cmdline="x" * 1_000_000).open() as host:
        assert read_cmdline(host, 42) == "x" * 4096


def test_lsm_label(tmp_path: Path) -> None:
    """AppArmor's and SELinux's labels without their terminators; no file is no label; no process is an error."""
    fake = FakeHost(tmp_path).process(42)
    with fake.open() as host:
        assert read_lsm_label(host, 42) is None
        fake.file("/proc/42/attr/current", "docker-default (enforce)\n")
        assert read_lsm_label(host, 42) == "docker-default (enforce)"
        fake.file("/proc/42/attr/current", "system_u:system_r:container_t:s0\0")
        assert read_lsm_label(host, 42) == "system_u:system_r:container_t:s0"
        with pytest.raises(FileNotFoundError):
            read_lsm_label(host, 43)
