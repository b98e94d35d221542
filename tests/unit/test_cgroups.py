"""inspector.kernel.cgroups: hierarchies, membership, directories, walking."""

from __future__ import annotations

from pathlib import Path

import pytest

from inspector.errors import ParseError
from inspector.kernel.cgroup_tree import walk
from inspector.kernel.cgroups import (
    Hierarchy,
    Membership,
    ancestors,
    directory_of,
    locate,
    members_of,
    parse_cgroup,
    parse_controllers,
    parse_pids,
    path_in,
    read_cgroup,
    read_hierarchies,
)
from tests.fakehost import FakeHost
from tests.unit.opening import Recording


def test_membership_of_a_hybrid_process() -> None:
    """v1 controllers, a named hierarchy and the v2 line each give their path."""
    data = b"12:cpu,cpuacct:/docker/ab\n1:name=systemd:/user.slice\n0::/system.slice/a.scope\n"
    assert parse_cgroup(data).paths == {
        "cpu": "/docker/ab",
        "cpuacct": "/docker/ab",
        "name=systemd": "/user.slice",
        "": "/system.slice/a.scope",
    }


def test_a_path_may_hold_colons_and_other_bytes() -> None:
    """Only the first two colons separate; undecodable bytes survive as surrogate escapes."""
    assert parse_cgroup(b"3:memory:/a:b/\xff\n").paths == {"memory": "/a:b/\udcff"}


def test_the_deleted_suffix_may_be_a_name() -> None:
    """What reads like the kernel's mark of a removed cgroup can be a live one's name, and is not its neighbour's."""
    assert parse_cgroup(b"0::/gone (deleted)\n").paths == {"": "/gone (deleted)"}


@pytest.mark.parametrize("line", [b"memory:/a", b"x:memory:/a", b"3:memory:a", b"3:memory", b"::", b"3:memory:/a\0b"])
def test_malformed_membership_is_a_parse_error(line: bytes) -> None:
    """A line without id, controllers and an absolute path raises ParseError."""
    with pytest.raises(ParseError):
        parse_cgroup(line)


def test_pids_and_controllers() -> None:
    """Both are words; anything else is a parse error."""
    assert parse_pids(b"1\n22\n0\n") == (1, 22, 0)
    assert parse_controllers(b"cpu io\n") == {"cpu", "io"}
    with pytest.raises(ParseError):
        parse_pids(b"1\nx\n")
    with pytest.raises(ParseError):
        parse_controllers(b"cpu \xff")


@pytest.mark.parametrize(
    ("layout", "resource", "version", "where"),
    [
        ("v1", "memory", 1, "memory"),
        ("v1", "cpu", 1, "cpu,cpuacct"),
        ("v1", "io", 1, "blkio"),
        ("v2", "memory", 2, ""),
        ("v2", "cpuacct", 2, ""),
        ("v2", "pressure", 2, ""),
        ("v2", "freezer", 2, ""),
        ("hybrid", "memory", 1, "memory"),
        ("hybrid", "hugetlb", 2, "unified"),
        ("hybrid", "pressure", 2, "unified"),
        ("hybrid", "freezer", 1, "freezer"),
    ],
)
def test_each_resource_is_located(tmp_path: Path, layout: str, resource: str, version: int, where: str) -> None:
    """A resource is found where it is carried, whatever else is mounted."""
    with FakeHost(tmp_path, layout).open() as host:
        hierarchy = locate(read_hierarchies(host), resource)
    assert hierarchy is not None
    assert hierarchy.version == version
    assert hierarchy.mountpoint == f"/sys/fs/cgroup/{where}".rstrip("/")


def test_what_nobody_carries_is_not_located(tmp_path: Path) -> None:
    """On plain v1 there is no pressure, and no hugetlb where it is not mounted."""
    with FakeHost(tmp_path, "v1").open() as host:
        hierarchies = read_hierarchies(host)
    assert locate(hierarchies, "pressure") is None
    assert locate(hierarchies, "hugetlb") is None


def test_a_named_hierarchy_is_known_by_its_name(tmp_path: Path) -> None:
    """name=systemd is the only "controller" of its hierarchy, and finds the process's path."""
    fake = FakeHost(tmp_path, "v1").process(7, cgroups={"name=systemd": "/user.slice"})
    with fake.open() as host:
        named = locate(read_hierarchies(host), "name=systemd")
        assert named is not None
        assert path_in(named, read_cgroup(host, 7)) == "/user.slice"


def test_mount_options_are_not_controllers(tmp_path: Path) -> None:
    """Options of a v1 mount such as release_agent or xattr carry nothing."""
    line = "40 23 0:40 / /c rw - cgroup cgroup rw,xattr,release_agent=/a,clone_children,name=x\n"
    with FakeHost(tmp_path).mountinfo(line).open() as host:
        assert read_hierarchies(host) == (Hierarchy(1, frozenset({"name=x"}), "/c"),)


def test_the_widest_of_several_mounts_is_taken(tmp_path: Path) -> None:
    """A bind mount of one cgroup comes first in mountinfo; the whole tree is what we use."""
    text = (
        "40 23 0:40 /docker/ab /bind rw - cgroup cgroup rw,memory\n"
        "41 23 0:40 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    )
    with FakeHost(tmp_path).mountinfo(text).open() as host:
        assert [hierarchy.mountpoint for hierarchy in read_hierarchies(host)] == ["/sys/fs/cgroup/memory"]


def test_a_v2_tree_we_cannot_read_carries_nothing(tmp_path: Path) -> None:
    """A cgroup2 mount without a readable cgroup.controllers is still a tree."""
    with FakeHost(tmp_path).mountinfo("41 23 0:40 / /nowhere rw - cgroup2 cgroup2 rw\n").open() as host:
        assert read_hierarchies(host) == (Hierarchy(2, frozenset(), "/nowhere"),)


@pytest.mark.parametrize(
    ("root", "path", "directory"),
    [
        ("/", "/", "/m"),
        ("/", "/a/b", "/m/a/b"),
        ("/", "/..a", "/m/..a"),
        ("/", "/..", None),
        ("/", "/../sibling", None),
        ("/docker/ab", "/docker/ab", "/m"),
        ("/docker/ab", "/docker/ab/inner", "/m/inner"),
        ("/docker/ab", "/docker/abc", None),
        ("/docker/ab", "/", None),
        ("/../..", "/../..", "/m"),
        ("/../..", "/../../x", "/m/x"),
        ("/../..", "/", None),
        ("/../..", "/../../../x", None),
    ],
)
def test_directory_maps_namespace_and_mount_root(root: str, path: str, directory: str | None) -> None:
    """A path leads to a directory only if the mount shows it; what lies beside or above it has none."""
    assert Hierarchy(2, frozenset(), "/m", root).directory(path) == directory


def test_directory_of_a_process(tmp_path: Path) -> None:
    """Controller and membership together lead to the directory of the control files."""
    fake = FakeHost(tmp_path, "hybrid").process(7, cgroups={"memory": "/docker/ab", "": "/u"})
    with fake.open() as host:
        hierarchies, membership = read_hierarchies(host), read_cgroup(host, 7)
    assert directory_of(hierarchies, "memory", membership) == "/sys/fs/cgroup/memory/docker/ab"
    assert directory_of(hierarchies, "pressure", membership) == "/sys/fs/cgroup/unified/u"
    assert directory_of(hierarchies, "rdma", membership) is None
    assert directory_of(hierarchies, "memory", Membership({})) is None


def test_ancestors_end_at_the_root() -> None:
    """Innermost first, up to the root given; a path beside our root ends at the last name known."""
    assert list(ancestors("/a/b")) == ["/a/b", "/a", "/"]
    assert list(ancestors("/a/b", "/a")) == ["/a/b", "/a"]
    assert list(ancestors("/")) == ["/"]
    assert list(ancestors("/../x/y")) == ["/../x/y", "/../x", "/.."]


def test_a_walk_ends_with_the_last_that_the_kernel_counted(tmp_path: Path) -> None:
    """Once all are found, those left are leaves and are not looked at; one too many in the count costs no more."""
    fake = FakeHost(tmp_path, "v2").process(7, cgroups="/a/b").process(8, cgroups="/a/c")
    with Recording(fake.root) as host:
        (hierarchy,) = read_hierarchies(host)
        every = set(walk(host, hierarchy))
        assert every == {"/", "/a", "/a/b", "/a/c"}
        for count, leaves in ((4, 0), (5, 2), (None, 2)):
            links: dict[str, int] = {}
            host.opened.clear()
            assert set(walk(host, hierarchy, links, count)) == every
            looked = {path.rpartition("/")[2] for path in host.opened}
            assert len(looked & {"b", "c"}) == leaves
            assert {path.rpartition("/")[2] for path, linked in links.items() if linked == 2} == {"b", "c"}


def test_link_counts_tell_of_the_last_in_any_order(tmp_path: Path) -> None:
    """Of two directories with leaves the one that is listed first has none looked at either: all are accounted for."""
    fake = FakeHost(tmp_path, "v2")
    for path in ("/a", "/a/1", "/a/2", "/b", "/b/1", "/b/2", "/b/3"):
        fake.cgroup("", path)
    with Recording(fake.root) as host:
        (hierarchy,) = read_hierarchies(host)
        every = set(walk(host, hierarchy))
        for count, leaves in ((len(every), 0), (len(every) + 1, 5)):
            host.opened.clear()
            assert set(walk(host, hierarchy, {}, count)) == every
            assert sum(path.rpartition("/")[2].isdigit() for path in host.opened) == leaves


@pytest.mark.parametrize("layout", ["v1", "v2"])
def test_walk_and_members(tmp_path: Path, layout: str) -> None:
    """Every cgroup is walked, parents first, and knows its own processes only."""
    fake = FakeHost(tmp_path, layout).process(7, cgroups="/a/b").process(8, cgroups="/a")
    with fake.open() as host:
        hierarchy = locate(read_hierarchies(host), "memory")
        assert hierarchy is not None
        assert list(walk(host, hierarchy)) == ["/", "/a", "/a/b"]
        *members, gone = members_of(host, hierarchy, ("/a", "/a/b", "/gone"))
        assert members == [(8,), (7,)]
        assert isinstance(gone, FileNotFoundError)
        assert gone.filename == f"{tmp_path}{hierarchy.mountpoint}/gone/cgroup.procs"


def test_walk_leaves_out_what_vanishes(tmp_path: Path) -> None:
    """A cgroup removed between its parent's listing and its own is skipped."""
    fake = FakeHost(tmp_path, "v1").cgroup("memory", "/a").cgroup("memory", "/b")
    with fake.open() as host:
        hierarchy = locate(read_hierarchies(host), "memory")
        assert hierarchy is not None
        steps = walk(host, hierarchy)
        assert next(steps) == "/"
        for name in ("a", "b"):
            (tmp_path / f"sys/fs/cgroup/memory/{name}/cgroup.procs").unlink()
            (tmp_path / f"sys/fs/cgroup/memory/{name}").rmdir()
        assert list(steps) == []
