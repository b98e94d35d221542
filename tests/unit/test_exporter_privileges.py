"""What the exporter says it lacks."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.privileges import missing, sees_a_container, surplus
from inspector.kernel.namespaces import INITIAL
from tests.fakehost import FakeHost


@pytest.mark.parametrize(
    ("effective", "lacks"),
    [
        ("000001ffffffffff", []),
        ("0000000400080004", []),
        ("0000000400080000", ["CAP_DAC_READ_SEARCH"]),
        ("0000000400000004", ["CAP_SYS_PTRACE"]),
        ("0000000000080004", ["CAP_SYSLOG"]),
        ("0000000000000000", ["CAP_DAC_READ_SEARCH", "CAP_SYS_PTRACE", "CAP_SYSLOG"]),
    ],
)
def test_what_is_missing(effective: str, lacks: list[str]) -> None:
    """Each capability that is not in CapEff is named, with what it is for."""
    status = f"Name:\tx\nCapPrm:\t000001ffffffffff\nCapEff:\t{effective}\nCapBnd:\t000001ffffffffff\n"
    found = missing(status.encode(), log_is_restricted=True)
    assert list(found) == lacks
    assert all(found.values())


@pytest.mark.parametrize(
    ("effective", "more"),
    [("000001ffffffffff", True), ("0000000400080004", False), ("0000000400080006", True), ("0000000000000000", False)],
)
def test_more_than_is_needed(effective: str, more: bool) -> None:
    """It is the capabilities that are too many, not the user: root with the three needed ones has no more."""
    assert surplus(f"Uid:\t0\t0\t0\t0\nCapEff:\t{effective}\n".encode()) is more


def test_a_log_that_everyone_may_read() -> None:
    """Where kernel.dmesg_restrict is 0, CAP_SYSLOG is not missed; without CapEff the others are."""
    assert list(missing(b"", log_is_restricted=False)) == ["CAP_DAC_READ_SEARCH", "CAP_SYS_PTRACE"]


@pytest.mark.parametrize(("inode", "contained"), [(INITIAL["pid"], False), (4026532001, True)])
def test_who_is_in_a_container_is_told(tmp_path: Path, inode: int, contained: bool) -> None:
    """With a /proc of a container's own it sees that alone: told at the start, with what to give it."""
    fake = FakeHost(tmp_path, "v2").process(4242, "exporter", namespaces={"pid": inode})
    fake.viewer(4242)
    with fake.open() as host:
        assert sees_a_container(host) is contained
