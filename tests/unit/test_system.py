"""inspector.kernel.system: the machine's totals."""

from __future__ import annotations

from pathlib import Path

import pytest

from inspector.errors import ParseError
from inspector.kernel.system import (
    parse_cpu_list,
    parse_cpu_totals,
    parse_floats,
    parse_meminfo,
    read_system,
)
from tests.fakehost import MEMINFO, FakeHost


@pytest.mark.parametrize(
    ("text", "cpus"),
    [("0-3,8\n", (0, 1, 2, 3, 8)), ("0", (0,)), ("", ()), ("\n", ()), ("2,1,1-2", (1, 2)), ("65535", (65535,))],
)
def test_cpu_lists(text: str, cpus: tuple[int, ...]) -> None:
    """Ranges and single numbers, ascending and each once; empty is none."""
    assert parse_cpu_list(text) == cpus


@pytest.mark.parametrize(
    "text", ["0-999999999", "9" * 20, "65536", "3-1", "1,,2", ",", "-1", "0-", "a", "0x1", "1 2", "\udcff"]
)
def test_a_hostile_cpu_list_is_a_parse_error(text: str) -> None:
    """A list that is malformed, or would need absurd memory, is refused."""
    with pytest.raises(ParseError):
        parse_cpu_list(text)


def test_meminfo_in_bytes() -> None:
    """Lines with a unit are bytes afterwards, those without are counts."""
    assert parse_meminfo(b"MemTotal:       24684084 kB\nHugePages_Total:       3\n") == {
        "MemTotal": 24684084 * 1024,
        "HugePages_Total": 3,
    }
    for data in (b"MemTotal 3 kB", b"MemTotal: x kB", b"MemTotal: 3 MB", b"MemTotal:"):
        with pytest.raises(ParseError):
            parse_meminfo(data)


def test_cpu_totals() -> None:
    """Busy time leaves out idle, iowait and steal, and counts guests once (they are part of user)."""
    lines = b"cpu  100 10 20 9000 500 3 4 70 50 5\ncpu0 1\ncpu1 1\ncpufoo 1\nintr 5\nbtime 17\nprocesses 9\n"
    totals = parse_cpu_totals(lines)
    assert totals.busy_seconds == pytest.approx(1.37)
    assert (totals.cpus, totals.boot_time, totals.forks) == (2, 17.0, 9)
    for data in (b"", b"cpu0 1 2 3\n", b"cpu 1 2\n", b"cpu  a b c d e f g\n", b"cpu  1 1 1 1 1 1 1\nbtime x\n"):
        with pytest.raises(ParseError):
            parse_cpu_totals(data)


def test_floats() -> None:
    """The first numbers of a line; infinity and NaN are not numbers of the kernel's."""
    assert parse_floats("/proc/loadavg", b"0.08 0.03 0.01 2/207 30705\n", 3) == (0.08, 0.03, 0.01)
    for data in (b"", b"1 2", b"1 nan 2", b"inf 1 2", b"1 x 2"):
        with pytest.raises(ParseError, match="/proc/loadavg"):
            parse_floats("/proc/loadavg", data, 3)


def test_the_machine_of_a_fake_host(tmp_path: Path) -> None:
    """All totals come from below the host's root."""
    with FakeHost(tmp_path, cpus=4).open() as host:
        system = read_system(host)
    assert (system.hostname, system.kernel, system.cpus) == ("fake", "6.1.0-fake", 4)
    assert system.memory_bytes == 8000000 * 1024
    assert system.memory_available_bytes == 7000000 * 1024
    assert (system.swap_bytes, system.swap_free_bytes) == (1000000 * 1024, 900000 * 1024)
    assert (system.boot_time, system.uptime_seconds, system.load) == (1700000000.0, 1000.0, (0.5, 0.25, 0.1))
    assert system.cpu_busy_seconds == pytest.approx(15.0)


@pytest.mark.parametrize(("line", "kilobytes"), [("", 6900000), ("0 kB", 6900000), ("8000001 kB", 6000000)])
def test_available_memory_that_the_kernel_does_not_say(tmp_path: Path, line: str, kilobytes: int) -> None:
    """Without MemAvailable, or with one that cannot be, the answer is psutil's: free and cached, or free alone."""
    lines = [one for one in MEMINFO.splitlines(keepends=True) if not one.startswith("MemAvailable")]
    lines += [f"MemAvailable: {line}\n"] if line else []
    with FakeHost(tmp_path).file("/proc/meminfo", "".join(lines)).open() as host:
        system = read_system(host)
    assert (system.memory_bytes, system.memory_available_bytes) == (8000000 * 1024, kilobytes * 1024)


def test_cpus_without_sysfs(tmp_path: Path) -> None:
    """Where /sys does not say which CPUs are online, those that /proc/stat lists are counted."""
    fake = FakeHost(tmp_path, cpus=3)
    (tmp_path / "sys/devices/system/cpu/online").unlink()
    with fake.open() as host:
        assert read_system(host).cpus == 3


@pytest.mark.parametrize("content", ["", "garbage\n", "MemTotal: x kB\n", "MemTotal: 1 kB\nMemFree: 1 kB\n"])
def test_a_damaged_meminfo_is_a_parse_error(tmp_path: Path, content: str) -> None:
    """Garbage in /proc/meminfo is named as such, whoever reads it."""
    with FakeHost(tmp_path).file("/proc/meminfo", content).open() as host, pytest.raises(ParseError, match="meminfo"):
        read_system(host)
