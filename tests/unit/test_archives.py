"""The archives of real machines in tests/hosts: every reader understands them, and the known facts come out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from inspector.kernel import cgroup_v1, cgroup_v2
from inspector.kernel.cgroup_tree import walk
from inspector.kernel.cgroups import Hierarchy, directory_of, locate, read_cgroup, read_hierarchies
from inspector.kernel.host import Host
from inspector.kernel.mounts import overlay_layers, read_mountinfo, root_mount
from inspector.kernel.namespaces import read_namespaces
from inspector.kernel.network import parse_net_dev
from inspector.kernel.process import (
    list_pids,
    read_cmdline,
    read_gid_map,
    read_lsm_label,
    read_stat,
    read_status,
    read_uid_map,
)
from inspector.kernel.system import read_system
from tests.archive import HOSTS, Archive, dumps, loads, unpack

NAMES = sorted(path.name for path in HOSTS.glob("*.host"))
DOCKER = "/docker/b2bd40cab3b3e6aa4d7cc143f5330c402744a6245a2fbef04477401219c77607"


def unpacked(name: str, directory: Path) -> Host:
    """Unpack an archive and return a Host that reads it."""
    unpack(loads((HOSTS / name).read_text(encoding="ascii")), directory)
    return Host(str(directory))


@pytest.fixture
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Host]:
    """Give the machine of the archive that the test names."""
    with unpacked(request.param, tmp_path) as host:
        yield host


def control(host: Host, pid: int, controller: str, name: str) -> bytes:
    """Read a control file of a process's cgroup."""
    directory = directory_of(read_hierarchies(host), controller, read_cgroup(host, pid))
    return host.read(f"{directory}/{name}")


@pytest.mark.parametrize("name", NAMES)
def test_an_archive_says_what_it_is_and_stays_small(name: str) -> None:
    """Its first line names kernel and runtime; it has less than 300 KB."""
    text = (HOSTS / name).read_text(encoding="ascii")
    assert text.startswith(("# kernel ", "# synthetic"))
    assert "runtime" in text.split("\n", maxsplit=1)[0]
    assert len(text) < 300_000
    assert dumps(loads(text)) == text


@pytest.mark.parametrize("host", NAMES, indirect=True)
def test_every_reader_understands_every_file(host: Host) -> None:
    """No file of a real machine is a parse error: processes, mounts, namespaces, cgroups, totals."""
    assert read_system(host).cpus > 0
    for pid in list_pids(host):
        assert read_stat(host, pid).pid == pid
        assert read_status(host, pid).ns_pids[0] == pid
        assert read_cgroup(host, pid).paths
        for read in (read_cmdline, read_uid_map, read_gid_map, read_lsm_label):
            read(host, pid)
        parse_net_dev(host.read(f"/proc/{pid}/net/dev"))
        if host.access(f"/proc/{pid}/ns"):  # else they could not be read there
            assert {"mnt", "pid", "net"} <= read_namespaces(host, pid).keys()
        mounts = read_mountinfo(host, pid)
        assert not mounts or root_mount(mounts) is not None
    hierarchies = read_hierarchies(host)
    assert hierarchies
    assert sum(_control_files(host, hierarchy) for hierarchy in hierarchies) > 20


def _control_files(host: Host, hierarchy: Hierarchy) -> int:
    parsed = 0
    files = (cgroup_v1.FILES if hierarchy.version == 1 else cgroup_v2.FILES).values()
    for path in walk(host, hierarchy):
        for file in (file for group in files for file in group):
            where = f"{hierarchy.directory(path)}/{file.name}"
            if host.access(where):
                file.parse(host.read(where))
                parsed += 1
    return parsed


@pytest.mark.parametrize("host", ["docker-v1.host"], indirect=True)
def test_a_docker_container_on_v1(host: Host) -> None:
    """Docker's own limits are in the container's control files, and its root is an overlay with its layers."""
    pid = 2995
    assert read_status(host, pid).ns_pids == (2995, 1)
    assert read_cgroup(host, pid).paths["memory"] == DOCKER
    assert cgroup_v1.parse_quota(control(host, pid, "cpu", "cpu.cfs_quota_us")) == {"quota_us": 20000}
    assert control(host, pid, "memory", "memory.limit_in_bytes") == b"67108864\n"
    assert control(host, pid, "pids", "pids.max") == b"50\n"
    stat = cgroup_v1.parse_cpu_stat(control(host, pid, "cpu", "cpu.stat"))
    assert (stat["periods"], stat["throttled_periods"]) == (1020, 1018)
    root = root_mount(read_mountinfo(host, pid))
    assert root is not None
    layers = overlay_layers(root)
    assert layers is not None
    assert len(layers.lower) == 2
    assert (layers.upper or "").startswith("/var/lib/docker/overlay2/")
    assert read_status(host, pid).capabilities["effective"] == 0xA80425FB


@pytest.mark.parametrize("host", ["hybrid.host"], indirect=True)
def test_a_hybrid_machine(host: Host) -> None:
    """v1 carries cpu and memory, the v2 tree pressure and hugetlb; one group has a quota and nothing else."""
    hierarchies = read_hierarchies(host)
    versions = {name: getattr(locate(hierarchies, name), "version", None) for name in ("cpu", "memory", "hugetlb")}
    assert versions == {"cpu": 1, "memory": 1, "hugetlb": 2}
    assert locate(hierarchies, "name=systemd") is not None
    limited = next(pid for pid in list_pids(host) if read_cgroup(host, pid).paths["cpu"] == "/limited")
    assert control(host, limited, "cpu", "cpu.cfs_quota_us") == b"20000\n"
    inner = next(pid for pid in list_pids(host) if len(read_status(host, pid).ns_pids) == 2)
    assert read_status(host, inner).ns_pids == (inner, 1)
    assert read_namespaces(host, inner)["pid"] != read_namespaces(host, limited)["pid"]


@pytest.mark.parametrize("host", ["v2.host"], indirect=True)
def test_a_v2_machine(host: Host) -> None:
    """One tree carries everything; the parent's quota is the tighter one."""
    (hierarchy,) = read_hierarchies(host)
    assert hierarchy.version == 2
    assert {"cpu", "memory", "io", "pids", "cpuset"} <= hierarchy.controllers
    inner = next(pid for pid in list_pids(host) if len(read_status(host, pid).ns_pids) == 2)
    assert read_cgroup(host, inner).paths == {"": "/parent/child"}
    assert cgroup_v2.parse_cpu_max(control(host, inner, "cpu", "cpu.max"))["quota_us"] == 50000
    assert cgroup_v2.parse_cpu_max(host.read(f"{hierarchy.directory('/parent')}/cpu.max"))["quota_us"] == 10000
    assert control(host, inner, "memory", "memory.max") == b"67108864\n"


@pytest.mark.parametrize("path", ["relative", "/../out", "/a/../../out", "/.."])
def test_an_archive_cannot_write_outside(tmp_path: Path, path: str) -> None:
    """A name that would lead out of the directory is refused before anything is written."""
    for archive in (Archive(files={"/ok": b"x", path: b"x"}), Archive(files={"/ok": b"x"}, links={path: "x"})):
        with pytest.raises(ValueError, match="leads out"):
            unpack(archive, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_archive_cannot_write_through_its_own_link(tmp_path: Path) -> None:
    """A link to elsewhere and a file below the same name clash: nothing is written where the link leads."""
    outside = tmp_path / "outside"
    outside.mkdir()
    with pytest.raises(FileExistsError):
        unpack(Archive(files={"/d/f": b"x"}, links={"/d": str(outside)}), tmp_path / "in")
    inner = tmp_path / "in2"
    with pytest.raises(FileExistsError):
        unpack(Archive(links={"/d": str(outside), "/d/f": "target"}), inner)
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("text", ["file /a 1\n", "file /a x\n", "garbage\n", "link /a\n", "file\n"])
def test_a_damaged_archive_is_refused(text: str) -> None:
    """Text that is no archive raises ValueError: it is never taken for half an archive."""
    with pytest.raises(ValueError, match=r"archive|invalid literal"):
        loads(text)
