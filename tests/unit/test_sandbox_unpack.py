"""What an archive's members become, and that nothing of a hostile one is made outside."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import stat
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox import apart
from sandbox.errors import SandboxError
from sandbox.inroot import root_directory
from sandbox.removal import remove_tree
from sandbox.tarstream import archive_errors, members, open_archive, place
from sandbox.unpack import Rules, Unpacker, unpack
from tests.testbed.image_archives import Made, entry, folder, hard_link, link, tar

ROOTLESS = os.geteuid() != 0
LAYER = Rules(whiteouts=True, rootless=ROOTLESS)
OPAQUE = f"{'user' if ROOTLESS else 'trusted'}.overlay.opaque"


def make(directory: Path, made: Iterable[Made], rules: Rules = LAYER) -> Unpacker:
    """Unpack members into a new directory `root`."""
    (directory / "root").mkdir(exist_ok=True)
    with root_directory(str(directory / "root")) as root, archive_errors("archive"):
        return unpack(io.BytesIO(tar(made)), root, rules)


def tree(directory: Path) -> list[str]:
    """Return the paths of everything below a directory."""
    return sorted(
        os.path.relpath(os.path.join(top, name), directory)
        for top, folders, files in os.walk(directory)
        for name in (*folders, *files)
    )


def is_whiteout(path: Path) -> bool:
    """Tell whether a path is overlayfs's "deleted"."""
    found = path.lstat()
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def is_opaque(path: Path) -> bool:
    """Tell whether a directory hides what is below it."""
    return OPAQUE in os.listxattr(path)


def test_members_become_files(tmp_path: Path) -> None:
    """Files, directories, links, FIFOs, modes, times and names of any length come out as they went in."""
    long = "/".join(["d" * 100] * 3 + ["f" * 200])
    done = make(
        tmp_path,
        [
            folder("./", mode=0o750),
            folder("bin", mode=0o500, mtime=1000),
            entry("bin/program", b"data", mode=0o4755, mtime=2000.5),
            hard_link("bin/again", "bin/program"),
            link("bin/away", "/etc/../../passwd", mtime=3000),
            entry("pipe", kind=tarfile.FIFOTYPE, mode=0o622),
            entry(long, b"x"),
            entry("b\u00e4r\udcff", b"any bytes"),
        ],
    )
    root = tmp_path / "root"
    program = (root / "bin/program").stat()
    assert (root / "bin/program").read_bytes() == b"data"
    assert (stat.S_IMODE(program.st_mode), program.st_mtime, program.st_nlink) == (0o4755, 2000.5, 2)
    assert (root / "bin/again").stat().st_ino == program.st_ino
    assert os.readlink(root / "bin/away") == "/etc/../../passwd"
    assert (root / "bin/away").lstat().st_mtime == 3000
    assert ((root / "bin").stat().st_mtime, stat.S_IMODE((root / "bin").stat().st_mode)) == (1000, 0o500)
    assert stat.S_IMODE((root / "pipe").lstat().st_mode) == 0o622
    assert stat.S_ISFIFO((root / "pipe").lstat().st_mode)
    assert (root / long).read_bytes() == b"x"
    assert (root / os.fsdecode(b"b\xc3\xa4r\xff")).exists()
    assert stat.S_IMODE(root.stat().st_mode) == 0o750
    assert (done.has_root, done.size) == (True, len(b"data") + 1 + len(b"any bytes"))


@pytest.mark.skipif(ROOTLESS, reason="owners, devices and file capabilities need root")
def test_what_only_root_can_make(tmp_path: Path) -> None:
    """Owners, devices and file capabilities are kept, and set in the order that keeps them; others' attributes not."""
    capability = b"\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    pax = {
        "SCHILY.xattr.security.capability": capability.decode("utf-8", "surrogateescape"),
        "SCHILY.xattr.user.note": "kept",
        "SCHILY.xattr.trusted.overlay.redirect": "/etc",
        "SCHILY.xattr.user.overlay.redirect": "/etc",
    }
    make(
        tmp_path,
        [
            entry("ping", b"x", uid=33, gid=44, mode=0o6755, pax_headers=pax),
            entry("null", kind=tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666),
            link("away", "x", uid=5, gid=6),
        ],
    )
    root = tmp_path / "root"
    found = (root / "ping").stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (33, 44, 0o6755)
    assert sorted(os.listxattr(root / "ping")) == ["security.capability", "user.note"]
    assert os.getxattr(root / "ping", "security.capability") == capability
    assert (root / "null").stat().st_rdev == os.makedev(1, 3)
    assert (root / "away").lstat().st_uid == 5


def test_whiteouts(tmp_path: Path) -> None:
    """A whiteout hides lower layers' files, never what the same layer brings, in whatever order it comes (T17)."""
    make(
        tmp_path,
        [
            entry(".wh.gone"),
            entry("kept", b"1"),
            entry(".wh.kept"),
            folder("early"),
            entry("early/.wh..wh..opq"),
            entry("early/file", b"2"),
            folder("late"),
            entry("late/file", b"3"),
            entry("late/.wh..wh..opq"),
            entry(".wh.new"),
            folder("new"),
            entry("new/file", b"4"),
            folder("was"),
            entry(".wh.was"),
            entry(".wh..wh.plnk/123"),
            entry(".wh..wh.aufs", b"x"),
        ],
    )
    root = tmp_path / "root"
    assert is_whiteout(root / "gone")
    assert (root / "kept").read_bytes() == b"1"
    assert [is_opaque(root / name) for name in ("early", "late", "new", "was")] == [True] * 4
    assert [(root / f"{name}/file").read_bytes() for name in ("early", "late", "new")] == [b"2", b"3", b"4"]
    assert not any(".wh." in name for name in tree(root))


def test_what_replaces_what(tmp_path: Path) -> None:
    """The last member of a name counts: a directory keeps what is in it, anything else is replaced and not followed."""
    outside = tmp_path / "outside"
    outside.write_bytes(b"outside")
    make(
        tmp_path,
        [
            folder("d", mode=0o700),
            entry("d/in", b"1"),
            folder("d", mode=0o711),
            link("l", str(outside)),
            entry("l", b"2"),
            folder("f"),
            entry("f/deep/er", b"3"),
            entry("f", b"now a file"),
            entry("g", b"4"),
            folder("g"),
            entry("twice", b"first"),
            entry("twice", b"second"),
            entry("self", b"5"),
            hard_link("self", "self"),
        ],
    )
    root = tmp_path / "root"
    assert ((root / "d/in").read_bytes(), stat.S_IMODE((root / "d").stat().st_mode)) == (b"1", 0o711)
    assert ((root / "l").read_bytes(), outside.read_bytes()) == (b"2", b"outside")
    assert (root / "f").read_bytes() == b"now a file"
    assert (root / "g").is_dir()
    assert ((root / "twice").read_bytes(), (root / "self").read_bytes()) == (b"second", b"5")


HOSTILE: Sequence[tuple[str, list[Made], str]] = (
    ("dots", [entry("../evil", b"x")], "leads out of its root"),
    ("dots within", [entry("a/../../evil", b"x")], "leads out of its root"),
    ("hard link to dots", [hard_link("a", "../secret")], "leads out of its root"),
    ("hard link to what is outside", [hard_link("a", "/etc/passwd")], "is not in this archive"),
    ("hard link through a link", [link("d", ".."), hard_link("a", "d/secret")], "is not in this archive"),
    ("hard link to a directory", [folder("d"), hard_link("a", "d")], "which is no file"),
    ("a link, then a file behind it", [link("d", "/nowhere"), entry("d/evil", b"x")], "No such file"),
    ("a file as directory", [entry("f", b"x"), entry("f/evil", b"x")], "Not a directory"),
    ("the root is a link", [link(".", "/etc")], "root is not a directory"),
    ("nameless whiteout", [entry("d/.wh.", b"")], "deletes nothing"),
    ("whiteout of the parent", [entry("d/.wh...", b"")], "deletes nothing"),
    ("device 0:0", [entry("n", kind=tarfile.CHRTYPE, devmajor=0, devminor=0)], "whiteout: refused"),
    ("unknown type", [entry("n", kind=b"Z")], "unknown type"),
    ("too long a name", [entry("n" * 256, b"x")], "File name too long"),
    ("too long a path", [entry("/".join(["a" * 200] * 40), b"x")], "File name too long"),
    ("too deep", [entry("a/" * 1500 + "f", b"x")], "nested too deeply"),
    ("no owner", [entry("f", uid=2**40)], "is no id"),
    (
        "a NUL byte in an attribute",
        [entry("f", pax_headers={"SCHILY.xattr.user.a\0b": "v"})],
        "member 'f': .*embedded null",
    ),
)


@pytest.mark.parametrize(("made", "text"), [each[1:] for each in HOSTILE], ids=[each[0] for each in HOSTILE])
def test_hostile_members_are_refused(tmp_path: Path, made: list[Made], text: str) -> None:
    """Each trick is refused in one line, and nothing outside the root is touched (B119, T18)."""
    (tmp_path / "secret").write_bytes(b"secret")
    with pytest.raises(SandboxError, match=text) as caught:
        make(tmp_path, made)
    assert "\n" not in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == ["root", "secret"]
    remove_tree(str(tmp_path / "root"))
    assert os.listdir(tmp_path) == ["secret"]


def test_links_are_followed_inside_only(tmp_path: Path) -> None:
    """A member behind a link goes where the link leads in the new root, as in a chroot; directories' modes as well."""
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o755)
    make(
        tmp_path,
        [
            folder("outside"),
            link("up", "../../../.."),
            entry("up/one", b"1"),
            link("abs", "/outside"),
            entry("abs/two", b"2"),
            folder("swapped", mode=0o777),
            entry("swapped/x", b"x"),
            link("swapped", str(outside)),
        ],
    )
    assert sorted(os.listdir(outside)) == []
    assert stat.S_IMODE(outside.stat().st_mode) == 0o755
    assert (tmp_path / "root/one").read_bytes() == b"1"
    assert (tmp_path / "root/outside/two").read_bytes() == b"2"


def announced(name: str, size: int) -> io.BytesIO:
    """Return an archive of one member that says it is larger than the block that follows."""
    member = tarfile.TarInfo(name)
    member.size = size
    return io.BytesIO(member.tobuf(tarfile.GNU_FORMAT) + b"x" * 512)


def test_sizes_are_bounded_by_the_free_space(tmp_path: Path) -> None:
    """A member that says it is larger than the disk is refused before anything of it is written."""
    stream = announced("huge", 1 << 60)
    with (
        root_directory(str(tmp_path)) as root,
        pytest.raises(SandboxError, match=r"'huge': no space: \d+ bytes more are needed, and \d+ are free"),
    ):
        unpack(stream, root, LAYER)


def test_half_a_file_is_not_kept(tmp_path: Path) -> None:
    """What ends in the middle of a file leaves none of that name."""
    data = tar([entry("one", b"1"), entry("two", b"2" * 4096)])[: 512 * 4]
    with root_directory(str(tmp_path)) as root, pytest.raises(SandboxError, match="end"), archive_errors("archive"):
        unpack(io.BytesIO(data), root, LAYER)
    assert os.listdir(tmp_path) == ["one"]


def test_what_is_passed_over_is_bounded_by_the_archive(tmp_path: Path) -> None:
    """A whiteout that says it has 2**70 bytes ends the archive; tarfile counted to that."""
    stream = announced(".wh.gone", 1 << 70)
    with (
        root_directory(str(tmp_path)) as root,
        archive_errors("archive"),
        pytest.raises(tarfile.ReadError, match="end"),
    ):
        unpack(stream, root, LAYER)


def test_holes_stay_holes(tmp_path: Path) -> None:
    """A sparse file of a terabyte takes a block, and has its data where it was."""
    size, start = 1 << 40, 1 << 30
    pax = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
    pax |= {"GNU.sparse.name": "holes", "GNU.sparse.realsize": str(size)}
    data = f"2\n{start}\n4\n{size}\n0\n".encode().ljust(512, b"\0") + b"data"
    done = make(tmp_path, [entry("GNUSparseFile.0/holes", data, pax_headers=pax), entry("after", b"next")])
    found = (tmp_path / "root/holes").stat()
    assert (found.st_size, found.st_blocks * 512 < 1 << 20, done.size) == (size, True, size + 4)
    with (tmp_path / "root/holes").open("rb") as file:
        file.seek(start)
        assert file.read(5) == b"data\0"
    assert (tmp_path / "root/after").read_bytes() == b"next"


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda data: data[:600], "unexpected end"),
        (lambda data: data[:1024] + b"\1" * 512 + data[1536:], "broken header"),
        (lambda data: data[:0], "empty file"),
        (lambda data: data[512:], "broken header"),
    ],
)
def test_broken_archives_are_told(tmp_path: Path, damage: object, text: str) -> None:
    """An archive that ends too early, or has a broken header in the middle, is an error and not a shorter archive."""
    assert callable(damage)
    data = damage(tar([entry("one", b"1" * 512), entry("two", b"2")]))
    with root_directory(str(tmp_path)) as root, pytest.raises(SandboxError, match=text), archive_errors("archive"):
        unpack(io.BytesIO(data), root, LAYER)


@pytest.mark.parametrize(
    ("broken", "text"),
    [
        (entry("two", b"0 path=x\n", kind=tarfile.XHDTYPE), "broken header"),
        (entry("two", b"x" * 512, pax_headers={"GNU.sparse.size": "x"}), "broken header"),
        (entry("two", b"x" * 512, pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}), "broken header"),
        (entry("two", b"x" * 512, pax_headers={"size": "-512"}), "negative size|broken header"),
    ],
)
def test_broken_extended_headers_are_told(broken: Made, text: str) -> None:
    """What an extended header says that makes no sense is an error too, also after the first member."""
    data = tar([entry("one", b"1"), broken, entry("three", b"3")])
    for read in (members, open_archive):
        with pytest.raises(SandboxError, match=text), archive_errors("archive"):
            list(read(io.BytesIO(data)))


def test_headers_are_bounded() -> None:
    """An extended header of gigabytes, thousands in a row, or a map of millions is refused without being read."""
    huge = tarfile.TarInfo("pax")
    huge.type, huge.size = tarfile.XHDTYPE, 1 << 33
    with pytest.raises(SandboxError, match="extended header of"), archive_errors("archive"):
        list(members(io.BytesIO(huge.tobuf(tarfile.GNU_FORMAT))))
    sparse = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
    many = tar([entry("map", b"9999999\n" + b"0\n" * (2 << 20), pax_headers=sparse)])
    with pytest.raises(SandboxError, match="header of more than"), archive_errors("archive"):
        list(members(io.BytesIO(many)))
    small = tarfile.TarInfo("long")
    small.type, small.size = tarfile.GNUTYPE_LONGNAME, 1
    chain = (small.tobuf(tarfile.GNU_FORMAT) + b"x".ljust(512, b"\0")) * 3000
    with pytest.raises(SandboxError, match="nested too deeply"), archive_errors("archive"):
        list(members(io.BytesIO(chain)))


def test_times_that_are_none(tmp_path: Path) -> None:
    """A time that is no number, before 1970 or beyond the end of time is no reason to fail."""
    names = {"nan": "nan", "inf": "inf", "past": "-5", "far": "1e30"}
    make(tmp_path, [entry(name, b"x", pax_headers={"mtime": text}) for name, text in names.items()])
    assert [(tmp_path / "root" / name).stat().st_mtime for name in ("nan", "inf", "past")] == [0, 0, 0]


NAMES = st.lists(st.sampled_from(["a", "b", "..", ".", "", ".wh.a", ".wh..wh..opq", "l"]), min_size=1, max_size=5)
MEMBERS = st.lists(
    st.tuples(NAMES.map("/".join), st.sampled_from("fdlh"), NAMES.map("/".join), st.booleans()), max_size=12
)


@settings(max_examples=200, deadline=None)
@given(MEMBERS)
def test_no_archive_reaches_outside(drawn: list[tuple[str, str, str, bool]]) -> None:
    """Whatever names, links and whiteouts an archive has, in any order: outside its root nothing changes."""
    kinds = {"f": tarfile.REGTYPE, "d": tarfile.DIRTYPE, "l": tarfile.SYMTYPE, "h": tarfile.LNKTYPE}
    made = [entry("/" * absolute + name, kind=kinds[kind], linkname=to) for name, kind, to, absolute in drawn]
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "a").mkdir()
        (directory / "b").write_bytes(b"b")
        with contextlib.suppress(SandboxError):
            make(directory, [each for each in made if each[0].name.strip("/")])
        assert sorted(os.listdir(directory)) == ["a", "b", "root"]
        assert (os.listdir(directory / "a"), (directory / "b").read_bytes()) == ([], b"b")
        remove_tree(str(directory / "root"))


@given(st.text(st.sampled_from("ab./\0"), max_size=12))
def test_place_is_normal_and_inside(name: str) -> None:
    """A member's place has no dots, no doubled slash and no NUL; or it is refused."""
    try:
        found = place(name)
    except SandboxError:
        return
    assert found == "" or all(part not in ("", ".", "..") for part in found.split("/"))
    assert place(found) == found
    assert found == os.path.normpath(f"/{name}").lstrip("/")


def test_removal_of_any_tree(tmp_path: Path) -> None:
    """A tree deeper than Python's stack, with closed directories in it, is removed; what its links lead to is not."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").write_bytes(b"x")
    top = tmp_path / "top"
    top.mkdir()
    fd = os.open(top, os.O_RDONLY)
    for number in range(2000):
        os.mkdir("d", dir_fd=fd)
        os.symlink(str(tmp_path / "other"), "away", dir_fd=fd)
        deeper = os.open("d", os.O_RDONLY, dir_fd=fd)
        if number % 500 == 7:
            os.fchmod(fd, 0)
        os.close(fd)
        fd = deeper
    os.close(fd)
    remove_tree(str(top))
    remove_tree(str(top))
    assert tree(tmp_path) == ["other", "other/file"]


def test_a_packer_that_is_killed_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes from another process is a whole archive, or an error when that process was killed before its end."""

    def pieces(*_: object, **__: object) -> Iterator[bytes]:
        yield b"half"
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(apart, "pack", pieces)
    with root_directory(str(tmp_path)) as root, pytest.raises(SandboxError, match="cut off"):
        list(apart.pack_apart(root, ".", users=-1))
