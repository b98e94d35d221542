"""inspector.kernel.namespaces: the links in /proc/<pid>/ns."""

from __future__ import annotations

from pathlib import Path

import pytest

from inspector.errors import ParseError
from inspector.kernel.namespaces import (
    INITIAL,
    NAMESPACES,
    is_initial,
    parse_namespace,
    parse_timens_offsets,
    read_namespaces,
)
from tests.fakehost import FakeHost


def test_a_link_names_kind_and_inode() -> None:
    """The text of a link is the kind and the inode number in brackets."""
    assert parse_namespace("mnt:[4026531832]") == ("mnt", 4026531832)


@pytest.mark.parametrize("text", ["", "mnt", "mnt:[]", "mnt:[x]", "mnt:[1]\n", "mnt:[-1]", ":[1]", "mnt:[1", "/a/b"])
def test_any_other_text_is_a_parse_error(text: str) -> None:
    """Nothing else is taken for a namespace."""
    with pytest.raises(ParseError):
        parse_namespace(text)


def test_all_kinds_of_a_process(tmp_path: Path) -> None:
    """All eight are read from dangling links, and only those asked for if some are."""
    with FakeHost(tmp_path).process(42, namespaces={"net": 4026532001}).open() as host:
        assert read_namespaces(host, 42) == {**INITIAL, "net": 4026532001}
        assert read_namespaces(host, 42, ("net", "pid")) == {"net": 4026532001, "pid": INITIAL["pid"]}


def test_a_kind_the_kernel_lacks_is_left_out(tmp_path: Path) -> None:
    """An older kernel has no time namespace: the others are read all the same."""
    fake = FakeHost(tmp_path).process(42)
    (tmp_path / "proc/42/ns/time").unlink()
    with fake.open() as host:
        assert set(read_namespaces(host, 42)) == set(NAMESPACES) - {"time"}


def test_a_process_that_is_gone_is_an_error(tmp_path: Path) -> None:
    """A missing process is not a process without namespaces."""
    with FakeHost(tmp_path).open() as host, pytest.raises(FileNotFoundError):
        read_namespaces(host, 42)


def test_which_namespaces_are_the_first() -> None:
    """The numbers the kernel fixes decide; net and mnt are only known to be the first since Linux 6.18."""
    assert is_initial("pid", 0xEFFFFFFC) is True
    assert is_initial("pid", 4026532001) is False
    assert is_initial("mnt", 4026531832) is True
    assert is_initial("mnt", 4026531841) is None


def test_offsets_of_the_clocks() -> None:
    """The clock since boot has seconds and nanoseconds, which may be negative seconds."""
    lines = b"monotonic           5         0\nboottime  %10d %9d\n"
    assert parse_timens_offsets(lines % (100000, 500000000)) == 100000.5
    assert parse_timens_offsets(lines % (-7, 0)) == -7


@pytest.mark.parametrize("data", [b"", b"boottime\n", b"boottime 1\n", b"boottime a 0\n", b"monotonic 1 0\n", b"\xff"])
def test_other_offsets_are_a_parse_error(data: bytes) -> None:
    """Nothing else is taken for an offset."""
    with pytest.raises(ParseError):
        parse_timens_offsets(data)
