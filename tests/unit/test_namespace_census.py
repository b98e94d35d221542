"""inspector.namespace_census: what keeps a namespace, read from a fake machine."""

from __future__ import annotations

from pathlib import Path

from inspector.namespace_census import NamespaceReport, report
from inspector.observe import Observer
from tests.fakehost import FakeHost

NSFS = "90 27 0:4 net:[4026532999] /run/netns/blue rw shared:9 - nsfs nsfs rw\n"


def report_of(fake: FakeHost) -> NamespaceReport:
    """Return the report on a fake machine."""
    with fake.open() as host:
        return report(host, Observer(host, groups=False).tick())


def test_mounts_descriptors_and_future_children_keep_a_namespace(tmp_path: Path) -> None:
    """Each way to keep a namespace without a process is found, and where."""
    fake = FakeHost(tmp_path).process(42, "holder")
    fake.mountinfo(fake.mounts() + NSFS, 1)
    fake.link("/proc/42/fd/7", "user:[4026532888]").link("/proc/42/fd/8", "socket:[4026532777]")
    fake.link("/proc/42/ns/pid_for_children", "pid:[4026532666]")
    kept = {row["inode"]: row["kept_by"] for row in report_of(fake)["namespaces"] if row["processes"] == 0}
    assert kept == {
        4026532999: [{"how": "mount", "pid": 1, "comm": "init", "place": "/run/netns/blue"}],
        4026532888: [{"how": "descriptor", "pid": 42, "comm": "holder", "place": "7"}],
        4026532666: [{"how": "children", "pid": 42, "comm": "holder", "place": ""}],
    }


def test_a_process_is_counted_in_those_namespaces_it_still_has(tmp_path: Path) -> None:
    """A zombie has no network namespace any more, but still a PID namespace; a process that is gone has none."""
    fake = FakeHost(tmp_path).process(42, "zombie", state="Z")
    (tmp_path / "proc/42/ns/net").unlink()
    (tmp_path / "proc/77").mkdir()
    counts = {row["type"]: row["processes"] for row in report_of(fake)["namespaces"]}
    assert (counts["net"], counts["pid"]) == (1, 2)


def test_a_hostile_mount_table_or_link_is_no_namespace(tmp_path: Path) -> None:
    """Text that only looks like a namespace makes no row, and a broken table is a problem, not a crash."""
    fake = FakeHost(tmp_path).process(42)
    fake.mountinfo(fake.mounts() + "x y - nsfs nsfs rw\n", 1)
    fake.link("/proc/42/fd/1", "/srv/net:[4026532888]").link("/proc/42/fd/2", "bpf:[1]")
    found = report_of(fake)
    assert [row for row in found["namespaces"] if row["processes"] == 0] == []
    assert any("mountinfo" in problem for problem in found["problems"])
