"""Layers merged by hand, what changed in the topmost, what an image says of its containers, and lxcfs's mounts."""

from __future__ import annotations

import errno
import io
import os
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inspector.kernel.mounts import Mount
from sandbox import lxcfs, syscalls
from sandbox.changes import changes
from sandbox.codec import decode, encode
from sandbox.errors import SandboxError
from sandbox.images.origin import Defaults, Origin, command, defaults
from sandbox.inroot import follow, in_root_open, make_directories, mount_point, root_directory
from sandbox.lifecycle import Healthcheck, from_image
from sandbox.lowers import find, find_lacking, names
from sandbox.overlays import Layer, overlay, skeleton
from sandbox.pack import Stream, pack
from sandbox.stacking import mount_root
from sandbox.unpack import Rules, unpack

OPAQUE = "user.overlay.opaque"


@pytest.fixture
def layers(tmp_path: Path) -> list[str]:
    """Make three layers, the highest first."""
    for path in ("top/d", "top/new", "middle/d/sub", "bottom/d/sub", "bottom/gone", "bottom/etc"):
        (tmp_path / path).mkdir(parents=True)
    for path in ("top/d/a", "middle/d/b", "bottom/d/b", "bottom/d/sub/c", "bottom/gone/f", "bottom/file"):
        (tmp_path / path).write_text(path)
    os.mknod(tmp_path / "middle/gone", stat.S_IFCHR, 0)
    (tmp_path / "top/file").mkdir()
    (tmp_path / "middle/new").write_text("a file")
    return [str(tmp_path / name) for name in ("top", "middle", "bottom")]


def layer_of(layers: list[str], path: str) -> str | None:
    """Return the name of the layer that gives a path."""
    found = find(layers, path)
    return os.path.basename(found.layer) if found else None


def test_layers_merge_as_overlayfs_does(layers: list[str]) -> None:
    """The highest layer counts; a whiteout and what is no directory end the search, and so does an opaque one."""
    assert [layer_of(layers, path) for path in ("d", "d/a", "d/b", "d/sub", "d/sub/c", "etc")] == [
        "top", "top", "middle", "middle", "bottom", "bottom",
    ]  # fmt: skip
    assert [layer_of(layers, path) for path in ("gone", "gone/f", "none", "file/x", "new/x", "d/a/x")] == [None] * 6
    assert layer_of(layers, "file") == "top"
    assert names(layers, "d") == {"a", "b", "sub"}
    assert names(layers, "") == {"d", "new", "file", "etc"}
    os.setxattr(f"{layers[1]}/d", OPAQUE, b"y")
    assert [layer_of(layers, path) for path in ("d/b", "d/sub", "d/sub/c")] == ["middle", "middle", None]
    assert names(layers, "d") == {"a", "b", "sub"}
    os.symlink("/etc", f"{layers[0]}/link")
    assert layer_of(layers, "link/passwd") is None


def test_what_a_directory_of_the_layers_lacks(layers: list[str]) -> None:
    """In all layers of it, not below whiteouts; a file has nothing in it, and what is not there lacks all."""
    found, lacking = find_lacking(layers, "d", ("a", "x", "b", "sub"))
    assert (found, lacking) == (find(layers, "d"), ["x"])
    assert find_lacking(layers, "gone", ("f",)) == (None, ["f"])
    assert find_lacking(layers, "new", ("a",)) == (find(layers, "new"), ["a"])
    assert find_lacking(layers, "d/a", ("a",))[1] == ["a"]


def test_changes(layers: list[str]) -> None:
    """Added, changed, deleted: with the directories around them, without what was only copied up."""
    upper, lowers = layers[0], layers[1:]
    found = bytes(Path(lowers[0], "d/b").read_bytes())
    Path(upper, "d/b").write_bytes(found)
    os.utime(f"{upper}/d/b", ns=(0, os.stat(f"{lowers[0]}/d/b").st_mtime_ns))
    os.mknod(f"{upper}/etc", stat.S_IFCHR, 0)
    os.mknod(f"{upper}/never", stat.S_IFCHR, 0)
    Path(upper, "d/sub").mkdir()
    os.setxattr(f"{upper}/d/sub", OPAQUE, b"y")
    wanted = ["C /d", "A /d/a", "C /d/sub", "D /d/sub/c", "D /etc", "C /file", "C /new"]
    assert [f"{change.kind} {change.path}" for change in changes(upper, lowers)] == wanted
    Path(upper, "d/b").write_bytes(b"longer than it was")
    assert "C /d/b" in [f"{change.kind} {change.path}" for change in changes(upper, lowers)]


def test_the_layer_of_mount_points(tmp_path: Path, layers: list[str]) -> None:
    """What layers lack is made, in an /etc that looks like theirs; nothing where they have it all or /etc is a link."""
    os.chmod(f"{layers[2]}/etc", 0o751)  # noqa: S103  unlike others
    Path(layers[2], "etc/hosts").write_text("")
    found = skeleton("/s", layers)
    assert found is not None
    assert [folder.path for folder in found.folders] == ["dev", "proc", "sys", "etc"]
    assert found.folders[3].mode == 0o751
    assert (found.files, found.links) == (("etc/hostname", "etc/resolv.conf"), (("etc/mtab", "/proc/mounts"),))
    whole = tmp_path / "whole"
    for name in ("dev", "proc", "sys"):
        (whole / name).mkdir(parents=True)
    os.symlink("usr/etc", whole / "etc")
    assert skeleton("/s", [str(whole)]) is None


def test_long_options_get_short_names() -> None:
    """Layers that do not fit into a page of mount options go by number, relative to a directory of links."""
    few = overlay(Layer(("/a", "/b"), "/u", "/w"), "/m", rootless=False, short_names="/links")
    assert (few.directory, few.mount.data.split(",")[0]) == ("", "lowerdir=/a:/b")
    lowers = tuple(f"/{'x' * 80}{n}" for n in range(99))
    many = overlay(Layer(lowers, "/u", "/w"), "/m", rootless=True, short_names="/links")
    assert (many.directory, many.mount.data.startswith("lowerdir=0:1:2:"), many.mount.data[-10:]) == (
        "/links", True, ",userxattr",
    )  # fmt: skip
    once = overlay(Layer(lowers, "/u", "/w"), "/m", rootless=True, short_names="/links", once=True)
    assert once.mount.data == f"{many.mount.data},volatile"


def test_a_kernel_without_volatile_overlays(monkeypatch: pytest.MonkeyPatch) -> None:
    """One is mounted without that option then; an error that it is not about is told as ever."""
    seen: list[str] = []

    def mount(source: str, target: str, fstype: str, flags: int, data: str) -> None:
        del source, fstype, flags
        seen.append(data)
        if "volatile" in data or target == "/full":
            raise OSError(errno.EINVAL, "Invalid argument", target)

    monkeypatch.setattr(syscalls, "mount", mount)
    whole = overlay(Layer(("/a",), "/u", "/w"), "/m", rootless=False, once=True)
    mount_root(whole)
    assert [data.removeprefix(seen[-1]) for data in seen] == [",volatile", ""]
    with pytest.raises(OSError, match="cannot hold an overlay's upper layer"):
        mount_root(overlay(Layer(("/a",), "/u", "/w"), "/full", rootless=False, once=True))


@pytest.mark.parametrize(
    ("entrypoint", "words", "given", "result"),
    [
        ((), ("sh",), None, (None, ("sh",))),
        (("/e",), ("c",), None, (("/e",), ("/e", "c"))),
        (("/e",), (), None, (("/e",), ("/e", "image"))),
        (("/e",), (), "/mine", (("/mine",), ("/mine",))),
        (("/e",), ("x",), "/mine", (("/mine",), ("/mine", "x"))),
        (("/e",), ("x",), "", (None, ("x",))),
        ((), (), None, (None, ("image",))),
    ],
)
def test_what_is_executed(
    entrypoint: tuple[str, ...], words: tuple[str, ...], given: str | None, result: tuple[object, tuple[str, ...]]
) -> None:
    """Entrypoint and command of image and command line combine as Docker's do."""
    assert command(Defaults(entrypoint=entrypoint, command=("image",)), words, given) == result


def test_no_command() -> None:
    """An empty entrypoint drops the image's command too; nothing to execute is an error."""
    with pytest.raises(SandboxError, match="no command specified"):
        command(Defaults(("/e",), ("image",)), (), "")


def test_an_images_configuration() -> None:
    """What an image says is taken as it is; a variable without a value would be one of ours, and is left out."""
    found = defaults(
        {"Env": ["A=1", "HOME", "=x", "B="], "Cmd": None, "Entrypoint": ["/e"], "ExposedPorts": {"80/tcp": {}},
         "Labels": None, "Volumes": {"/v": {}}, "User": "web", "WorkingDir": "", "StopSignal": "SIGINT",
         "Healthcheck": {"Test": ["NONE"]}}
    )  # fmt: skip
    assert found == Defaults(
        ("/e",), (), ("A=1", "B="), "", "web", (), ("80/tcp",), ("/v",), "SIGINT", {"Test": ["NONE"]}
    )
    assert defaults(None) == Defaults()


LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
OBJECTS = st.dictionaries(st.sampled_from("ab"), LEAVES, max_size=2)
JSON = LEAVES | OBJECTS | st.lists(LEAVES | OBJECTS, max_size=2)
KEYS = ("Entrypoint", "Cmd", "Env", "WorkingDir", "User", "Labels", "ExposedPorts", "Volumes", "StopSignal",
        "Healthcheck")  # fmt: skip


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a busy machine
@given(st.dictionaries(st.sampled_from(KEYS), JSON) | JSON)
def test_any_configuration_is_taken_or_refused(config: object) -> None:
    """Whatever an image has for a configuration, its values are of the kinds they must be, or it is refused."""
    try:
        found = defaults(config)
        from_image(None, found.health)
    except SandboxError as error:
        assert "malformed" in str(error)  # noqa: PT017  either is fine
        return
    assert all(isinstance(word, str) for word in (*found.entrypoint, *found.command, *found.env, *found.volumes))
    assert all("=" in item for item in found.env)


def test_health_of_an_image() -> None:
    """Each value of the options counts before the image's; --no-healthcheck before all of it."""
    image = {"Test": ["CMD", "true"], "Interval": 5, "Retries": 2}
    assert from_image(None, image) == Healthcheck(("CMD", "true"), interval=5, retries=2)
    assert from_image(Healthcheck(retries=9), image) == Healthcheck(("CMD", "true"), interval=5, retries=9)
    assert from_image(Healthcheck(("NONE",)), image) == Healthcheck(("NONE",))
    assert from_image(None, None) is None


def test_an_origin_is_kept() -> None:
    """What a container was made of survives its document, with and without an entrypoint."""
    for origin in (Origin(), Origin("sha256:1", "a:1", ("l1", "l2"), ("/e",), ("80/tcp",)), Origin(entrypoint=("/e",))):
        assert decode(Origin, encode(origin)) == origin
    assert Origin(entrypoint=("/e",)).document(("/e", "x")) == {"Cmd": ["x"], "Entrypoint": ["/e"]}


def test_paths_in_a_root(tmp_path: Path) -> None:
    """Links lead inside the root, `..` ends at it, and what is missing is made there."""
    (tmp_path / "root/d").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    os.symlink("../../../../..", tmp_path / "root/up")
    os.symlink(str(tmp_path), tmp_path / "root/out")
    os.symlink("loop", tmp_path / "root/loop")
    os.symlink("../new/file", tmp_path / "root/d/away")
    with root_directory(str(tmp_path / "root")) as root:
        for path in ("up/secret", "out/secret", "../secret", "/../../secret", f"{tmp_path}/secret"):
            with pytest.raises(FileNotFoundError):
                in_root_open(root, path)
        with pytest.raises(OSError, match="symbolic links"):
            in_root_open(root, "up/d", links=False)
        assert follow(root, "/d/away") == "/d/../new/file"
        assert follow(root, "/d") == "/d"
        with pytest.raises(OSError, match="symbolic links"):
            follow(root, "/loop")
        os.close(make_directories(root, "up/made/deep"))
        with pytest.raises(FileNotFoundError):
            make_directories(root, "out/made")
    assert (tmp_path / "root/made/deep").is_dir()
    assert sorted(os.listdir(tmp_path)) == ["root", "secret"]


def test_a_tree_is_packed_and_unpacked(tmp_path: Path) -> None:
    """What goes through an archive comes out the same: modes, times, links, holes as zeros, attributes."""
    source = tmp_path / "source"
    (source / "d").mkdir(parents=True)
    (source / "d/f").write_bytes(os.urandom(3000))
    os.chmod(source / "d/f", 0o4751)  # noqa: S103  set-uid
    os.link(source / "d/f", source / "again")
    os.symlink("nowhere", source / "link")
    os.mkfifo(source / "pipe")
    os.setxattr(source / "d", "user.note", b"\xff\x00x")
    os.setxattr(source / "d", "user.overlay.opaque", b"y")
    os.utime(source / "d/f", ns=(0, 1_234_567_890_123_456_789))
    os.chmod(source / "d", 0o500)
    (tmp_path / "target").mkdir()
    with root_directory(str(source)) as one, root_directory(str(tmp_path / "target")) as other:
        unpack(Stream(pack(one, ".")), other, Rules(rootless=os.geteuid() != 0))
    made = tmp_path / "target"
    assert sorted(os.listdir(made)) == ["again", "d", "link", "pipe"]
    seen = (made / "d/f").stat()
    assert (stat.S_IMODE(seen.st_mode), seen.st_mtime_ns, seen.st_nlink) == (0o4751, 1_234_567_890_123_456_789, 2)
    assert (made / "again").read_bytes() == (source / "d/f").read_bytes()
    assert os.readlink(made / "link") == "nowhere"
    assert stat.S_ISFIFO((made / "pipe").lstat().st_mode)
    assert os.listxattr(made / "d") == ["user.note"]
    assert os.getxattr(made / "d", "user.note") == b"\xff\x00x"
    os.chmod(source / "d", 0o700)
    os.chmod(made / "d", 0o700)


def test_an_archive_is_read_in_any_pieces(tmp_path: Path) -> None:
    """The stream of an archive gives the same bytes however they are asked for."""
    (tmp_path / "f").write_bytes(b"x" * 1000)
    with root_directory(str(tmp_path)) as root:
        whole = b"".join(pack(root, "."))
        assert io.BufferedReader(Stream(pack(root, ".")), 7).read() == whole
    assert len(whole) % 512 == 0


def test_lxcfs_is_found_by_its_mount(tmp_path: Path) -> None:
    """The last lxcfs that answers is taken; where none is mounted, or none answers, that is said."""
    places = [str(tmp_path / name) for name in ("one", "two")]
    mounts = [Mount(1, 0, 0, 1, "/", place, {}, (), "fuse.lxcfs", "lxcfs", {}) for place in places]
    (tmp_path / "one/proc").mkdir(parents=True)
    with pytest.raises(SandboxError, match="does not answer"):
        lxcfs.steps(mounts)
    (tmp_path / "one/proc/meminfo").write_text("")
    (tmp_path / "one/proc/uptime").write_text("")
    assert [(step.source, step.target) for step in lxcfs.steps(mounts)] == [
        (f"{tmp_path}/one/proc/meminfo", "/proc/meminfo"),
        (f"{tmp_path}/one/proc/uptime", "/proc/uptime"),
    ]
    with pytest.raises(SandboxError, match="does not run here"):
        lxcfs.steps([])


def test_a_mount_point_behind_links(tmp_path: Path) -> None:
    """What a link leads to is made in the root; what cannot be made is said with its reason, and no file is closed."""
    (tmp_path / "hosts").symlink_to("/run/far/hosts")
    (tmp_path / "jump").symlink_to("/run/nowhere")
    (tmp_path / "behind").symlink_to("/jump/away")
    (tmp_path / "file").touch()
    (tmp_path / "blocked").symlink_to("/file/below")
    with root_directory(str(tmp_path)) as root:
        with mount_point(root, "/hosts", file=True) as fd:
            assert os.path.samestat(os.fstat(fd), (tmp_path / "run/far/hosts").stat())
        for path, reason in (("/behind", FileNotFoundError), ("/blocked", NotADirectoryError)):
            with pytest.raises(reason), mount_point(root, path, file=True):
                pass
