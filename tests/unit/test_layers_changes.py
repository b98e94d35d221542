"""inspector.layers, .changes, .lower and .kernel.aufs: layers, volumes, and what differs from the image."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from inspector.changes import Changes
from inspector.errors import ParseError
from inspector.kernel.aufs import parse_branch
from inspector.kernel.mounts import parse_mountinfo
from inspector.layers import Layers, Volume, host_path, volumes
from inspector.unions import layers_at, read_layers
from tests.fakehost import FakeHost
from tests.unit.trees import LOWER, UPPER, Trees

ROOT = "1 0 0:50 / / rw - overlay overlay rw,lowerdir={lower},upperdir=/s/c/diff,workdir=/s/c/work{more}\n"


@pytest.fixture
def trees(tmp_path: Path) -> Trees:
    """Give an upper directory and two lower layers."""
    return Trees(tmp_path)


def test_added_changed_and_copied(trees: Trees) -> None:
    """A file only above is added, one that differs below is changed, one that does not was merely copied up."""
    trees.put(LOWER[1], "/etc/changed", 5)
    trees.put(LOWER[0], "/etc/same")
    for name in ("changed", "same", "new"):
        trees.put(UPPER, f"/etc/{name}")
    walk = trees.walk()
    found = {change.path: change for change in walk}
    assert {path: change.kind for path, change in found.items()} == {
        "/etc": "changed", "/etc/changed": "changed", "/etc/same": "copied", "/etc/new": "added",
    }  # fmt: skip
    assert (found["/etc/changed"].size, found["/etc/changed"].before) == (10, 5)
    assert found["/etc/new"].disk == os.stat(f"{trees.root}{UPPER}/etc/new").st_blocks * 512
    assert walk.fraction == 0  # nothing is under way any more


def test_a_directory_comes_before_what_is_in_it(trees: Trees) -> None:
    """Whoever reads the changes in order meets a directory before its files."""
    trees.put(LOWER[1], "/a/b/old")
    trees.put(UPPER, "/a/b/new")
    assert [change.path for change in trees.walk()] == ["/a", "/a/b", "/a/b/new"]


def test_a_directory_copied_up_for_nothing_is_no_change(trees: Trees) -> None:
    """A directory that is the same and holds no change is not listed."""
    os.makedirs(f"{trees.root}{LOWER[0]}/var/log")
    os.makedirs(f"{trees.root}{UPPER}/var/log")
    assert trees.found() == set()


def test_mode_owner_and_kind_are_changes(trees: Trees) -> None:
    """Another mode, a link for a file, a file for a directory: one change each, nothing of what it held."""
    for name in ("/mode", "/link", "/tree/inner"):
        trees.put(LOWER[0], name)
    os.chmod(trees.put(UPPER, "/mode"), 0o600)
    os.symlink("/etc/passwd", f"{trees.root}{UPPER}/link")
    trees.put(UPPER, "/tree")
    assert trees.found() == {("changed", "/mode"), ("changed", "/link"), ("changed", "/tree")}


def test_whiteouts_delete(trees: Trees) -> None:
    """A whiteout deletes what the nearest layer shows, with its size; over nothing or a whiteout it is nothing."""
    trees.put(LOWER[1], "/file", 5)
    trees.put(LOWER[0], "/file", 7)
    trees.put(LOWER[0], "/tree/a", 100)
    trees.put(LOWER[1], "/tree/a", 900)
    trees.put(LOWER[1], "/tree/deep/b", 10)
    trees.put(LOWER[1], "/gone", 10)
    trees.whiteout(LOWER[0], "/gone")
    for name in ("/file", "/tree", "/gone", "/never"):
        trees.whiteout(UPPER, name)
    found = {change.path: (change.kind, change.type, change.size) for change in trees.walk()}
    assert found == {"/file": ("deleted", "file", 7), "/tree": ("deleted", "directory", 110)}


def test_an_opaque_directory_hides_what_is_below(trees: Trees) -> None:
    """In a directory that was removed and made again, what is not there any more is deleted."""
    for name in ("kept", "lost", "deep/file"):
        trees.put(LOWER[1], f"/d/{name}")
    trees.put(UPPER, "/d/kept", 3)
    trees.put(UPPER, "/d/new")
    trees.mark(UPPER, "/d", "opaque", b"y")
    assert trees.found() == {
        ("changed", "/d"), ("changed", "/d/kept"), ("added", "/d/new"), ("deleted", "/d/lost"), ("deleted", "/d/deep"),
    }  # fmt: skip


def test_an_opaque_lower_directory_ends_the_search(trees: Trees) -> None:
    """What lies below an opaque directory of the image was not in the image: above it, it is new."""
    trees.put(LOWER[1], "/d/hidden")
    trees.put(LOWER[0], "/d/shown")
    trees.mark(LOWER[0], "/d", "opaque", b"y")
    trees.put(UPPER, "/d/hidden")
    trees.whiteout(UPPER, "/d/shown")
    assert trees.found() == {("changed", "/d"), ("added", "/d/hidden"), ("deleted", "/d/shown")}


def test_whiteouts_by_attribute(trees: Trees) -> None:
    """An empty file with the whiteout attribute deletes, and only in a directory marked for it ("x" hides nothing)."""
    for name in ("/d/deleted", "/d/rest", "/e/kept"):
        trees.put(LOWER[0], name)
    for name in ("/d/deleted", "/e/kept"):
        trees.put(UPPER, name, 0)
        trees.mark(UPPER, name, "whiteout", b"")
    trees.mark(UPPER, "/d", "opaque", b"x")
    assert trees.found() == {("changed", "/d"), ("deleted", "/d/deleted"), ("changed", "/e"), ("changed", "/e/kept")}


def test_a_renamed_directory_is_compared_with_where_it_was(trees: Trees) -> None:
    """A redirect names the old place; what the directory holds is told apart from that."""
    trees.put(LOWER[0], "/old/a")
    trees.put(LOWER[0], "/old/b")
    trees.whiteout(UPPER, "/old")
    trees.put(UPPER, "/srv/new/c")
    trees.whiteout(UPPER, "/srv/new/a")
    trees.mark(UPPER, "/srv/new", "redirect", b"/old")
    found = {change.path: change for change in trees.walk()}
    assert {path: change.kind for path, change in found.items()} == {
        "/old": "deleted", "/srv": "added", "/srv/new": "added", "/srv/new/a": "deleted", "/srv/new/c": "added",
    }  # fmt: skip
    assert found["/srv/new"].renamed_from == "/old"


def test_links_are_not_followed(trees: Trees) -> None:
    """A link to a directory of the host is an added link, and nothing behind it is looked at."""
    trees.put("/host", "/secret")
    os.symlink(f"{trees.root}/host", f"{trees.root}{UPPER}/out")
    os.symlink("/", f"{trees.root}{UPPER}/top")
    assert trees.found() == {("added", "/out"), ("added", "/top")}


def test_a_directory_that_becomes_a_link_meanwhile(trees: Trees) -> None:
    """A directory that is swapped for a link to the host between two reads is a problem, never a way out."""
    trees.put("/host", "/secret")
    for name in ("/a/x", "/b/x"):
        trees.put(UPPER, name)
    walk = trees.walk()
    steps = iter(walk)
    entered = next(steps).path
    other = "/b" if entered == "/a" else "/a"
    os.rename(f"{trees.root}{UPPER}{other}", f"{trees.root}/elsewhere")
    os.symlink(f"{trees.root}/host", f"{trees.root}{UPPER}{other}")
    assert [change.path for change in steps] == [f"{entered}/x"]
    assert walk.problems in ([f"{other}: Not a directory"], [f"{other}: Too many levels of symbolic links"])


def test_a_directory_that_moves_meanwhile(trees: Trees) -> None:
    """When the directory that is read is moved, the walk finds back and goes on with the others."""
    for name in ("/a/x", "/b/x"):
        trees.put(UPPER, name)
    steps = iter(trees.walk())
    entered = next(steps).path
    os.rename(f"{trees.root}{UPPER}{entered}", f"{trees.root}/moved")
    rest = {change.path for change in steps}
    assert rest >= ({"/a", "/a/x"} if entered == "/b" else {"/b", "/b/x"})


def test_names_of_all_kinds(trees: Trees) -> None:
    """Newlines, escape sequences and bytes that are no text come out as they are; the views make them visible."""
    names = ["a\nb", "\x1b[31mred", os.fsdecode(b"\xff\xfe"), " (deleted)", "-rf", "x" * 255]
    for name in names:
        trees.put(UPPER, f"/{name}")
    assert trees.found() == {("added", f"/{name}") for name in names}


def test_paths_longer_than_a_system_call_takes(trees: Trees) -> None:
    """A tree with paths far beyond 4,096 bytes is walked to its end with few files open."""
    here = os.open(f"{trees.root}{UPPER}", os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("deep-er", dir_fd=here)
        inner = os.open("deep-er", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(os.open("end", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    before = len(os.listdir("/proc/self/fd"))
    walk = trees.walk()
    paths = []
    for change in walk:
        paths.append(change.path)
        assert len(os.listdir("/proc/self/fd")) < before + 6
    assert walk.problems == []
    assert max(paths, key=len) == "/deep-er" * 1500 + "/end"
    assert len(os.listdir("/proc/self/fd")) == before
    # pytest's own clean-up of a later run would recurse too deep into this.
    subprocess.run(["rm", "-rf", f"{trees.root}{UPPER}/deep-er"], check=True)


def test_hard_links_count_once(trees: Trees) -> None:
    """A file with two names is two changes and takes its space once."""
    os.link(trees.put(UPPER, "/one", 4096), f"{trees.root}{UPPER}/two")
    assert sorted(change.size for change in trees.walk()) == [0, 4096]


def test_it_can_be_abandoned(trees: Trees) -> None:
    """After the first change the walk can be dropped: it closes what it opened."""
    for number in range(20):
        trees.put(UPPER, f"/d{number}/e/f")
    before = len(os.listdir("/proc/self/fd"))
    walk = trees.walk()
    steps = iter(walk)
    for _ in range(25):
        next(steps)
    assert 0 < walk.fraction < 1
    del steps
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_cannot_be_seen_is_a_problem(trees: Trees) -> None:
    """A lower layer that is not there, and a mount of the host on one, make the answer incomplete and say so."""
    trees.put(LOWER[0], "/mnt/x")
    trees.put(UPPER, "/mnt/x")
    trees.builder.mountinfo(f"{trees.builder.mounts()}70 27 0:70 / {LOWER[0]}/mnt rw - tmpfs t rw\n")
    os.rename(f"{trees.root}{LOWER[1]}", f"{trees.root}/away")
    walk = trees.walk()
    assert {change.path for change in walk} == {"/mnt", "/mnt/x"}
    assert walk.problems == [
        "/: 1 of 2 lower layers cannot be seen from here",
        f"{LOWER[0]}/mnt: hidden by a mount on the host: what the image holds there cannot be seen",
    ]


def test_trusted_attributes_need_a_right(trees: Trees) -> None:
    """Without CAP_SYS_ADMIN trusted.overlay.opaque reads as absent: the answer says that it may be wrong."""
    trees.builder.process(9, "me", caps=0).viewer(9)
    layers = Layers("overlay", LOWER, UPPER, None, None)
    walk = Changes(trees.builder.open(), layers)
    assert list(walk) == []
    assert walk.problems == ["/: opaque directories cannot be told without CAP_SYS_ADMIN"]


def test_a_read_only_root_has_no_changes(trees: Trees) -> None:
    """Without an upper directory there is nothing to walk."""
    assert list(Changes(trees.builder.open(), Layers("overlay", LOWER, None, None, None))) == []


@pytest.mark.parametrize("lower", ["l/AAA:l/BBB", "/s/l/AAA:/s/l/BBB", "/s/top/diff:base/diff"])
def test_layers_with_short_links(tmp_path: Path, lower: str) -> None:
    """Docker's and Podman's l/XXXX and containerd's relative names are resolved beside the upper directory."""
    builder = FakeHost(tmp_path).link("/s/l/AAA", "../top/diff").link("/s/l/BBB", "../base/diff")
    builder.mountinfo(builder.mounts() + "90 27 0:50 / /s/c/merged rw - overlay overlay rw\n")
    host = builder.process(7, mountinfo=ROOT.format(lower=lower, more="")).open()
    layers = read_layers(host, 7)
    assert layers == Layers("overlay", ("/s/top/diff", "/s/base/diff"), "/s/c/diff", "/s/c/work", "/s/c/merged")


def test_layers_of_a_rootless_container(tmp_path: Path) -> None:
    """The option userxattr says which attributes mark whiteouts; nobody else sees the merged directory."""
    host = FakeHost(tmp_path).process(7, mountinfo=ROOT.format(lower="/img", more=",userxattr")).open()
    layers = read_layers(host, 7)
    assert layers == Layers("overlay", ("/img",), "/s/c/diff", "/s/c/work", None, ("user.overlay.",))


def test_other_roots_have_no_layers(tmp_path: Path) -> None:
    """A root that is a plain directory of a disk has no layers."""
    assert read_layers(FakeHost(tmp_path).open(), 1) is None


# synthetic: aufs left the distributions' kernels; the forms are those of aufs(5) and aufs's sysfs ABI text.
def test_layers_of_aufs(tmp_path: Path) -> None:
    """The option si leads to the branches in sysfs: numbered from the top, the writable one is the upper."""
    builder = FakeHost(tmp_path)
    directory = "/sys/fs/aufs/si_74ea8c1d2f2b4e26"
    builder.file(f"{directory}/br0", "/var/lib/docker/aufs/diff/4a7f=rw\n")
    builder.file(f"{directory}/br1", "/var/lib/docker/aufs/diff/4a7f-init=ro+wh\n")
    builder.file(f"{directory}/br2", "/var/lib/docker/aufs/diff/image=2=ro+wh\n")
    builder.file(f"{directory}/br10", "/var/lib/docker/aufs/diff/base=ro+wh\n")
    builder.file(f"{directory}/brid0", "64\n").file(f"{directory}/xi_path", "/run/aufs.xino\n")
    builder.process(7, mountinfo="1 0 0:50 / / rw - aufs none rw,si=74ea8c1d2f2b4e26,dio,dirperm1\n")
    store = "/var/lib/docker/aufs/diff"
    lower = (f"{store}/4a7f-init", f"{store}/image=2", f"{store}/base")
    assert read_layers(builder.open(), 7) == Layers("aufs", lower, f"{store}/4a7f", None, None, ())


@pytest.mark.parametrize("text", [b"", b"=rw\n", b"relative=rw\n", b"/no-permission\n"])
def test_a_malformed_branch_is_a_parse_error(text: bytes) -> None:
    """A branch without a full path or a permission raises ParseError."""
    with pytest.raises(ParseError):
        parse_branch(text)


def test_an_aufs_id_cannot_lead_elsewhere(tmp_path: Path) -> None:
    """The option si is part of a path: what is no number there is refused."""
    (root,) = parse_mountinfo(b"1 0 0:50 / / rw - aufs none rw,si=../../../etc\n")
    with pytest.raises(ParseError):
        layers_at(FakeHost(tmp_path).open(), root, ())


HOST = """\
20 1 254:0 / / rw - ext4 /dev/vda rw
21 20 0:21 / /proc rw - proc proc rw
22 20 254:1 / /data rw - ext4 /dev/vdb rw
23 20 254:0 /srv/x /mnt/x rw - ext4 /dev/vda rw
24 20 254:2 /@home /home rw - btrfs /dev/vdc rw
25 20 0:60 / /run/user/1000 rw - tmpfs tmpfs rw
26 22 0:61 / /data/covered rw - tmpfs tmpfs rw
"""
CONTAINER = """\
80 1 0:50 / / rw - overlay overlay rw,lowerdir=/l,upperdir=/u,workdir=/w
81 80 0:70 / /proc rw - proc proc rw
82 80 0:71 / /dev rw - tmpfs tmpfs rw
83 82 0:72 / /dev/pts rw - devpts devpts rw
84 82 0:73 / /dev/shm rw - tmpfs shm rw
85 80 0:74 / /sys ro - sysfs sysfs ro
86 85 0:30 /docker/4a7f /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory
87 81 0:71 /null /proc/kcore rw - tmpfs tmpfs rw
88 81 0:75 / /proc/acpi ro - tmpfs tmpfs ro
89 80 254:0 /var/lib/docker/containers/4a7f/hosts /etc/hosts rw - ext4 /dev/vda rw
90 80 254:0 /var/lib/docker/volumes/pg/_data /var/lib/pg rw - ext4 /dev/vda rw
91 80 254:1 /www /srv ro - ext4 /dev/vdb rw
92 80 0:76 / /tmp rw - tmpfs tmpfs rw,size=64k
93 80 0:21 / /host/proc ro - proc proc rw
94 80 254:0 /tmp/gone//deleted /gone rw - ext4 /dev/vda rw
95 80 254:9 /x /elsewhere rw - ext4 /dev/vdz rw
96 80 0:60 /bus /bus rw - tmpfs tmpfs rw
97 80 254:2 /@home/ann /ann rw - btrfs /dev/vdc rw
"""


def test_volumes_are_told_from_the_image() -> None:
    """Binds, volumes and tmpfs remain when root, kernel filesystems, devices and masks are taken away."""
    found = volumes(parse_mountinfo(CONTAINER.encode()), parse_mountinfo(HOST.encode()))
    assert found == (
        Volume("runtime", "/var/lib/docker/containers/4a7f/hosts", "/etc/hosts", read_only=False, fstype="ext4"),
        Volume("volume", "/var/lib/docker/volumes/pg/_data", "/var/lib/pg", read_only=False, fstype="ext4"),
        Volume("bind", "/data/www", "/srv", read_only=True, fstype="ext4"),
        Volume("tmpfs", None, "/tmp", read_only=False, fstype="tmpfs"),  # noqa: S108
        Volume("bind", "/proc", "/host/proc", read_only=True, fstype="proc"),
        Volume("bind", "/tmp/gone", "/gone", read_only=False, fstype="ext4", deleted=True),  # noqa: S108
        Volume("bind", None, "/elsewhere", read_only=False, fstype="ext4"),
        Volume("bind", "/run/user/1000/bus", "/bus", read_only=False, fstype="tmpfs"),
        Volume("bind", "/home/ann", "/ann", read_only=False, fstype="btrfs"),
    )


@pytest.mark.parametrize(
    ("device", "root", "path"),
    [
        ("254:0", "/srv/x/y", "/srv/x/y"),  # also at /mnt/x/y: the shorter way is told
        ("254:1", "/covered/y", None),
        ("254:2", "/@other", None),
        ("254:0", "/", "/"),
    ],
)
def test_the_place_on_the_host(device: str, root: str, path: str | None) -> None:
    """A path on a filesystem is found where the host has that filesystem, unless another mount lies over it."""
    (mount,) = parse_mountinfo(f"9 1 {device} {root} /in rw - ext4 x rw\n".encode())
    assert host_path(mount, parse_mountinfo(HOST.encode())) == path


def _opaque(root: str) -> None:
    os.setxattr(f"{root}{UPPER}/d", "user.overlay.opaque", b"y")


def _fifo(root: str) -> None:
    os.mkfifo(f"{root}{UPPER}/d/fifo")


@pytest.mark.parametrize("harm", [_opaque, _fifo])
def test_an_entry_that_would_block_is_only_looked_at(trees: Trees, harm: Callable[[str], None]) -> None:
    """A FIFO in the upper directory is not opened, an opaque mark over nothing hides nothing."""
    trees.put(UPPER, "/d/file")
    harm(str(trees.root))
    assert {("added", "/d"), ("added", "/d/file")} <= trees.found()
