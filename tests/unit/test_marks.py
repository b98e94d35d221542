"""inspector.marks: deletions that are files called .wh.NAME, as aufs and fuse-overlayfs make them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from inspector.changes import Changes
from inspector.layers import FUSE, Layers
from inspector.unions import read_layers
from tests.fakehost import FakeHost
from tests.unit.trees import LAYERS, LOWER, UPPER, Trees

AUFS = Layers("aufs", LOWER, UPPER, None, None, ())
ON_FUSE = replace(LAYERS, kind="fuse-overlayfs", attributes=FUSE)


@pytest.fixture(params=[AUFS, ON_FUSE], ids=["aufs", "fuse-overlayfs"])
def trees(request: pytest.FixtureRequest, tmp_path: Path) -> Trees:
    """Give an upper directory and two lower layers of a union that marks by names."""
    return Trees(tmp_path, request.param)


def test_a_name_deletes(trees: Trees) -> None:
    """.wh.NAME deletes what the nearest layer shows, with its size; over nothing it is nothing."""
    trees.put(LOWER[0], "/etc/file", 7)
    trees.put(LOWER[1], "/etc/file", 5)
    trees.put(LOWER[1], "/tree/deep/a", 100)
    for name in ("/etc/.wh.file", "/etc/.wh.never", "/.wh.tree"):
        trees.put(UPPER, name, 0)
    found = {change.path: (change.kind, change.type, change.size) for change in trees.walk()}
    assert found == {
        "/etc": ("changed", "directory", 0),
        "/etc/file": ("deleted", "file", 7),
        "/tree": ("deleted", "directory", 100),
    }


def test_a_name_in_the_image_hides_what_is_below_it(trees: Trees) -> None:
    """What a layer of the image deleted was not in the image: above it, it is new, and it cannot be deleted again."""
    trees.put(LOWER[1], "/a")
    trees.put(LOWER[1], "/b")
    for name in ("/.wh.a", "/.wh.b"):
        trees.put(LOWER[0], name, 0)
    trees.put(UPPER, "/a")
    trees.put(UPPER, "/.wh.b", 0)
    assert trees.found() == {("added", "/a")}


def test_an_opaque_file_hides_what_is_below(trees: Trees) -> None:
    """With .wh..wh..opq in a directory all that is not there any more is deleted, each name once."""
    for name in ("kept", "lost", "marked"):
        trees.put(LOWER[1], f"/d/{name}")
    trees.put(LOWER[0], "/d/.wh.gone", 0)
    trees.put(LOWER[1], "/d/gone")
    for name in (".wh..wh..opq", ".wh.marked"):
        trees.put(UPPER, f"/d/{name}", 0)
    trees.put(UPPER, "/d/kept", 3)
    assert trees.found() == {
        ("changed", "/d"), ("changed", "/d/kept"), ("deleted", "/d/lost"), ("deleted", "/d/marked"),
    }  # fmt: skip


def test_an_opaque_directory_of_the_image_ends_the_search(trees: Trees) -> None:
    """What lies below a directory of the image with .wh..wh..opq was not in the image."""
    trees.put(LOWER[1], "/d/hidden")
    trees.put(LOWER[0], "/d/.wh..wh..opq", 0)
    trees.put(UPPER, "/d/hidden")
    trees.put(UPPER, "/.wh.d", 0)
    assert ("added", "/d/hidden") in trees.found()


def test_other_marks_are_no_files(trees: Trees) -> None:
    """What aufs keeps for itself (hard links, orphans, its base) is neither added nor walked, in any layer."""
    for layer in (UPPER, LOWER[0]):
        trees.put(layer, "/.wh..wh.plnk/1.2")
        trees.put(layer, "/.wh..wh.orph/x")
        trees.put(layer, "/.wh..wh.aufs", 0)
    trees.put(UPPER, "/new")
    trees.put(UPPER, "/.wh..wh..opq", 0)
    assert trees.found() == {("added", "/new")}


def test_overlayfs_knows_no_names(tmp_path: Path) -> None:
    """For the kernel's overlayfs a file called .wh.NAME is a file."""
    trees = Trees(tmp_path)
    trees.put(LOWER[0], "/file")
    trees.put(UPPER, "/.wh.file", 0)
    assert trees.found() == {("added", "/.wh.file")}


@pytest.mark.parametrize("prefix", ["user.fuseoverlayfs.", "user.overlay."])
def test_fuse_overlayfs_marks_by_device_and_attribute_too(tmp_path: Path, prefix: str) -> None:
    """Where it can, fuse-overlayfs writes whiteouts as devices, and opaque as an attribute with any of its prefixes."""
    trees = Trees(tmp_path, ON_FUSE)
    for name in ("/d/lost", "/d/kept", "/gone"):
        trees.put(LOWER[0], name)
    trees.whiteout(UPPER, "/gone")
    trees.put(UPPER, "/d/kept", 3)
    # As fuse-overlayfs 1.10 was seen to leave an opaque directory.
    trees.put(UPPER, "/d/.wh..wh..opq", 0)
    trees.whiteout(UPPER, "/d/.wh..opq")
    os.setxattr(f"{trees.root}{UPPER}/d", f"{prefix}opaque", b"y")
    assert trees.found() == {("deleted", "/gone"), ("changed", "/d"), ("changed", "/d/kept"), ("deleted", "/d/lost")}


# synthetic: aufs left the distributions' kernels. Mount and branches as in aufs(5) and Documentation/ABI/testing/
# sysfs-aufs of aufs-standalone; the marks as in aufs(5), "Whiteout", and moby's pkg/archive (diff.go, whiteouts.go).
def test_the_changes_of_an_aufs_container(tmp_path: Path) -> None:
    """From the mount's si= over the branches in /sys/fs/aufs to what was added, changed and deleted."""
    builder = FakeHost(tmp_path)
    store, branches = "/var/lib/docker/aufs/diff", "/sys/fs/aufs/si_74ea8c1d2f2b4e26"
    for number, branch in enumerate(("4a7f=rw", "4a7f-init=ro+wh", "image=ro+wh")):
        builder.file(f"{branches}/br{number}", f"{store}/{branch}\n")
    builder.process(7, mountinfo="1 0 0:50 / / rw - aufs none rw,si=74ea8c1d2f2b4e26,dio,dirperm1\n")
    builder.file(f"{store}/4a7f-init/etc/hosts", "")
    builder.file(f"{store}/image/etc/motd", "hello").file(f"{store}/image/x", "")
    builder.file(f"{store}/4a7f/etc/motd", "changed").file(f"{store}/4a7f/.wh.x", "").file(f"{store}/4a7f/new", "")
    builder.file(f"{store}/4a7f/.wh..wh.plnk/9.9", "").file(f"{store}/4a7f/.wh..wh.aufs", "")
    with builder.open() as host:
        layers = read_layers(host, 7)
        assert layers is not None
        walk = Changes(host, layers)
        found = {(change.kind, change.path) for change in walk}
    assert found == {("changed", "/etc"), ("changed", "/etc/motd"), ("deleted", "/x"), ("added", "/new")}
    assert walk.problems == []
