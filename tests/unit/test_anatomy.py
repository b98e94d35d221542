"""What is looked at of a container's first process, and what is left alone: a file on a server that may be gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from inspector.kernel.directory import Directory, Entry
from inspector.kernel.host import Host
from inspector.observe import Observer
from tests.fakehost import FakeHost
from tests.unit.observing import own

SCRIPT = "worker &\nwait\n"


class Watched(Host):
    """Notes which files of processes were looked at by more than their name: on a dead server each such look hangs."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.touched: set[str] = set()

    def stat(self, path: str) -> Entry:
        """Note it."""
        self.touched.add(path)
        return super().stat(path)

    def directory(self, path: str) -> Directory:
        """Note it."""
        self.touched.add(path)
        return super().directory(path)


def machine(root: Path, comm: str, mounts: str) -> FakeHost:
    """Return a machine with a container whose first process has a file open at /srv, and stands there."""
    fake = FakeHost(root, "v1")
    fake.process(100, comm, cmdline=f"{comm}\0/srv/run.sh\0", namespaces=own(1), ns_pids=(100, 1), mountinfo=mounts)
    fake.process(101, "s6-supervise", ppid=100, namespaces=own(1), ns_pids=(101, 2), mountinfo=mounts)
    for pid, links in ((100, ("fd/255", "cwd")), (101, ("cwd",))):
        for link in links:
            fake.link(f"/proc/{pid}/{link}", "/srv/run.sh" if link.startswith("fd") else "/srv")
    return fake


@pytest.mark.parametrize("comm", ["bash", "supervisord", "s6-svscan"])
@pytest.mark.parametrize(("fstype", "touched"), [("ext4", True), ("nfs4", False), ("fuse.sshfs", False)])
def test_a_file_on_a_server_is_left_alone(tmp_path: Path, comm: str, fstype: str, *, touched: bool) -> None:
    """Neither a shell's script nor the log and directory of a supervisor is waited for; elsewhere they are read."""
    mounts = f"80 1 0:50 / / rw - ext4 x rw\n81 80 0:51 / /srv rw - {fstype} x rw\n"
    with Watched(machine(tmp_path, comm, mounts).root) as host:
        Observer(host, groups=False).tick()
    assert bool({path for path in host.touched if path.startswith(("/proc/100/", "/proc/101/"))}) is touched


def test_who_comes_to_those_that_do_nothing_is_looked_at(tmp_path: Path) -> None:
    """A container of nothing but `tail` is not looked into, until something else is in it: here what has ended."""
    tail = "tail\0-f\0/dev/null\0"
    fake = FakeHost(tmp_path, "v2").process(100, "tail", cmdline=tail, namespaces=own(1), ns_pids=(100, 1))
    with fake.open() as host:
        observer = Observer(host, refresh_seconds=0.0)
        for _ in range(2):
            assert observer.tick().hollow == {}
        fake.process(101, "server", ppid=100, state="Z", namespaces=own(1), ns_pids=(101, 2))
        [found] = observer.tick().hollow.values()
    assert "server" in found
