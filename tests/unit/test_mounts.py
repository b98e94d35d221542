"""inspector.kernel.mounts: mountinfo lines, escapes, overlay layers."""

from __future__ import annotations

from pathlib import Path

import pytest

from inspector.errors import ParseError
from inspector.kernel.mounts import (
    Mount,
    may_hang,
    overlay_layers,
    parse_mountinfo,
    read_mountinfo,
    read_root_mount,
    root_mount,
)
from tests.fakehost import FakeHost


def one(line: str) -> Mount:
    """Parse a mountinfo of one line."""
    (mount,) = parse_mountinfo(line.encode() + b"\n")
    return mount


def test_every_field_of_the_manual_page_line() -> None:
    """The example of proc_pid_mountinfo(5) gives each of its fields."""
    mount = one("36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue")
    assert mount == Mount(
        36, 35, 98, 0, "/mnt1", "/mnt2", {"rw": "", "noatime": ""}, ("master:1",), "ext3", "/dev/root",
        {"rw": "", "errors": "continue"},
    )  # fmt: skip
    assert not mount.read_only


@pytest.mark.parametrize("optional", ["", "shared:1 ", "shared:1 master:2 propagate_from:3 ", "unbindable "])
def test_any_number_of_optional_fields(optional: str) -> None:
    """None, one or several optional fields stand before the separator."""
    mount = one(f"36 35 98:0 / /mnt rw {optional}- tmpfs tmpfs rw")
    assert mount.propagation == tuple(optional.split())
    assert (mount.fstype, mount.source) == ("tmpfs", "tmpfs")


def test_octal_escapes_in_names() -> None:
    """Blank, tab, newline and backslash come back from their octal escapes."""
    mount = one(r"36 35 98:0 /a\040b /c\011d\012e\134f rw - fuse.x\040y a\040source rw")
    assert (mount.root, mount.mountpoint) == ("/a b", "/c\td\ne\\f")
    assert (mount.fstype, mount.source) == ("fuse.x y", "a source")


def test_a_source_that_is_empty() -> None:
    """mount(2) allows an empty source: the fields around it stay where they are."""
    assert one("36 35 0:30 / /mnt rw - tmpfs  rw").source == ""


def test_read_only_by_mount_or_by_filesystem() -> None:
    """Read-only is said by the mount's options or by the filesystem's."""
    assert one("36 35 98:0 / /mnt ro - ext4 /dev/vda rw").read_only
    assert one("36 35 98:0 / /mnt rw - ext4 /dev/vda ro").read_only


def test_overlay_layers_with_every_escape() -> None:
    """Colon, comma, backslash and blank in layer names, as Linux 6.18 showed them for a real mount."""
    mount = one(
        r"48 42 0:40 / /m rw,relatime - overlay overlay rw,"
        r"lowerdir=/o/l\134:1:/o/l\134\0542:/o/l\134\1343:/o/l\0404:/o/end\134\134,"
        r"upperdir=/o/u\134\054p,workdir=/o/w=k,uuid=on"
    )
    layers = overlay_layers(mount)
    assert layers is not None
    assert layers.lower == ("/o/l:1", "/o/l,2", "/o/l\\3", "/o/l 4", "/o/end\\")
    assert (layers.upper, layers.work) == ("/o/u,p", "/o/w=k")
    assert mount.super_options["uuid"] == "on"


def test_overlay_layers_one_an_option() -> None:
    """Layers given by fsconfig(2) stand one an option, unescaped, as Linux 6.18 showed them for a real mount."""
    mount = one(
        r"52 42 0:42 / /m2 rw,relatime - overlay none ro,lowerdir+=/o/l:1,lowerdir+=/o/l\0542,"
        r"lowerdir+=/o/l\1343,datadir+=/o/data,redirect_dir=on"
    )
    layers = overlay_layers(mount)
    assert layers is not None
    assert layers.lower == ("/o/l:1", "/o/l,2", "/o/l\\3", "/o/data")
    assert layers.upper is None


def test_data_only_layers_follow_a_double_colon() -> None:
    """A double colon separates data-only layers: no empty layer comes of it."""
    layers = overlay_layers(one("52 42 0:42 / /m rw - overlay none ro,lowerdir=/a:/b::/data"))
    assert layers is not None
    assert layers.lower == ("/a", "/b", "/data")


def test_other_filesystems_have_no_layers() -> None:
    """A mount that is not an overlay has no layers, whatever its options are called."""
    assert overlay_layers(one("36 35 98:0 / /mnt rw - ext4 /dev/vda rw,lowerdir=/a")) is None


def test_root_mount_is_the_one_on_top() -> None:
    """Of two mounts on "/", the later one is what the process sees."""
    mounts = parse_mountinfo(b"1 0 0:1 / / rw - ext4 below rw\n2 1 0:2 / / rw - overlay above rw\n")
    root = root_mount(mounts)
    assert root is not None
    assert root.source == "above"
    assert root_mount(()) is None


@pytest.mark.parametrize(
    "line",
    [
        "36 35 98:0 / /mnt rw ext3 /dev/root rw",
        "x 35 98:0 / /mnt rw - ext3 /dev/root rw",
        "36 35 98 / /mnt rw - ext3 /dev/root rw",
        "36 35 98:0 / /mnt rw - ext3",
        "36 35 98:0 / /mnt\\000 rw - ext3 /dev/root rw",
        "36 35",
    ],
)
def test_a_malformed_line_is_a_parse_error(line: str) -> None:
    """A line with a missing or impossible field raises ParseError and shows the line."""
    with pytest.raises(ParseError, match=line[:6]):
        parse_mountinfo(line.encode())


def test_reading_from_a_host(tmp_path: Path) -> None:
    """The mounts of a process come from its own file, in the kernel's order."""
    text = "1 0 0:1 / / rw - ext4 a rw\n2 1 0:2 / /b rw - tmpfs b rw\n"
    with FakeHost(tmp_path).process(7, mountinfo=text).open() as h:
        assert [mount.source for mount in read_mountinfo(h, 7)] == ["a", "b"]


@pytest.mark.parametrize(
    ("path", "hangs"),
    [
        ("/etc/x", False), ("/srv", True), ("/srv/app/run.sh", True), ("/srvx", False), ("/srv/local/x", False),
        ("/home/u/mnt/x", True), ("/merged/x", True), ("/again/x", False), ("/", False),
    ],
)  # fmt: skip
def test_what_lies_on_a_file_server(path: str, *, hangs: bool) -> None:
    """The innermost mount around a path decides, of several at one place the last: its server may be gone."""
    table = parse_mountinfo(
        b"1 0 8:1 / / rw - ext4 a rw\n2 1 0:9 / /srv rw - nfs4 s:/x rw\n3 2 8:2 / /srv/local rw - ext4 b rw\n"
        b"4 1 0:7 / /home/u/mnt rw - fuse.sshfs u@h: rw\n5 1 0:6 / /merged rw - fuse.fuse-overlayfs f rw\n"
        b"6 1 0:5 / /again rw - nfs s:/y rw\n7 6 0:4 / /again rw - tmpfs t rw\n"
    )
    assert may_hang(path, table) is hangs


def test_the_root_is_found_without_the_rest(tmp_path: Path) -> None:
    """The last mount at "/" is it, not one whose source is "/"; the directory of /etc/hostname's file comes along."""
    table = (
        "27 1 254:0 / / rw - ext4 /dev/vda rw\n28 27 0:9 /x/b / ro - ext4 /dev/vdb rw\n"
        "29 28 0:8 / /mnt rw - fuse / rw\n30 28 0:7 /c/hostname /etc/hostname ro - ext4 /etc/hostname rw\n"
        "31 28 0:6 / /tmp rw - fuse /etc/hostname rw\n32 28 0:5 / /srv rw - fuse / rw"
    )
    with FakeHost(tmp_path).mountinfo(table, 7).open() as host:
        root, kept_in = read_root_mount(host, 7)
    assert (root, kept_in) == (root_mount(parse_mountinfo(table.encode())), "/c")
    assert root is not None
    assert root.root == "/x/b"
    with FakeHost(tmp_path).mountinfo("29 28 0:8 / /mnt rw - fuse / rw\n", 7).open() as host:
        assert read_root_mount(host, 7) == (None, "")
