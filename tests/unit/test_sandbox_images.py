"""Images: their names, their archives, what is kept of them, and that nothing half-made or damaged is."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import os
import stat
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox import cli
from sandbox.errors import SandboxError
from sandbox.images.changes import apply_changes
from sandbox.images.listing import human_size
from sandbox.images.reference import normalise, split
from sandbox.images.store import Image, Images, NoSuchImage
from sandbox.images.usage import _gone
from sandbox.journal import follow
from sandbox.lowers import is_opaque
from sandbox.state import Store
from tests.testbed.commands import REPOSITORY, SANDBOX
from tests.testbed.image_archives import config_of, docker_archive, entry, folder, link, oci_archive, sha256, tar
from tests.testbed.tools import need

ONE = tar([folder("./", mode=0o711), folder("bin"), entry("bin/sh", b"#!")])
TWO = tar([entry("second", b"two")])
Call = Callable[..., tuple[int, str, str]]


def zstd(data: bytes, *options: str) -> bytes:
    """Return what the program packs."""
    need("zstd")
    return subprocess.run(["zstd", "-q", "-c", *options], input=data, stdout=subprocess.PIPE, check=True).stdout


@pytest.fixture
def root(tmp_path: Path) -> str:
    """Name a state directory."""
    return str(tmp_path / "state")


@pytest.fixture
def call(root: str, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a command line, with bytes on standard input if there are any; give its exit code and what it said."""

    def run(*words: str, data: bytes = b"") -> tuple[int, str, str]:
        kept = os.dup(0)
        if data:
            reading, writing = os.pipe()
            assert os.write(writing, data) == len(data)  # it fits into the pipe
            os.close(writing)
            os.dup2(reading, 0)
            os.close(reading)
        try:
            code = cli.main(["--root", root, *words])
        finally:
            os.dup2(kept, 0)
            os.close(kept)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def write(directory: Path, data: bytes, name: str = "archive.tar") -> str:
    """Write an archive and return its path."""
    (directory / name).write_bytes(data)
    return str(directory / name)


def kept(root: str) -> list[str]:
    """Return what is in the image store, but for the lock and the names."""
    found = [name for name in os.listdir(f"{root}/images") if name not in ("lock", "names.json")]
    return sorted(found + os.listdir(f"{root}/layers"))


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("busybox", "busybox:latest"),
        ("docker.io/library/busybox", "busybox:latest"),
        ("docker.io/me/app:1.0", "me/app:1.0"),
        ("localhost:5000/x/y", "localhost:5000/x/y:latest"),
        ("HOST.example/a_b/c--d:Tag_1", "HOST.example/a_b/c--d:Tag_1"),
    ],
)
def test_names(given: str, normal: str) -> None:
    """A name is completed as Docker does, and its short forms are one name."""
    assert normalise(given) == normal
    assert normalise(normal) == normal


@pytest.mark.parametrize(
    "text",
    ["", ":", "a:", ":a", "A", "a b", "a/", "/a", "a//b", "../a", "-a", "a:-", "a\n", "a:b\n", "\u00e9", "a" * 256,
     "f" * 64, "a@sha256:0", "sha256:abc", "a:" + "t" * 129, "a..b", "a___b"],
)  # fmt: skip
def test_what_is_no_name(text: str) -> None:
    """What Docker refuses as a name is refused."""
    with pytest.raises(SandboxError, match="invalid reference format"):
        normalise(text)


@given(st.text(st.sampled_from("aZ0._-/:@\n\0 "), max_size=20))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    """Of any text either a name comes that stays what it is, or one line."""
    try:
        found = normalise(text)
    except SandboxError:
        return
    repository, tag = split(found)
    assert repository
    assert tag
    assert normalise(found) == found
    assert found.isprintable()


def test_changes() -> None:
    """Each instruction of `import -c` changes what it does in a Dockerfile."""
    config: dict[str, Any] = {}
    changes = (
        "ENV A=1 B='two words'",
        "env C three words",
        "ENV A=2",
        'CMD ["a", "b"]',
        "ENTRYPOINT exec a b",
        "cmd c d",
        "EXPOSE 80 53/udp 8000-8001/sctp",
        'VOLUME ["/x", "/y z"]',
        "VOLUME /v /w",
        "WORKDIR /srv",
        "WORKDIR sub",
        "USER daemon",
        "LABEL k=v",
        "STOPSIGNAL SIGINT",
        "HEALTHCHECK --interval=1m30s --retries=2 CMD test -e /ok",
    )
    apply_changes(config, changes)
    assert config == {
        "Env": ["A=2", "B=two words", "C=three words"],
        "Entrypoint": ["/bin/sh", "-c", "exec a b"],
        "Cmd": ["/bin/sh", "-c", "c d"],
        "ExposedPorts": {"80/tcp": {}, "53/udp": {}, "8000/sctp": {}, "8001/sctp": {}},
        "Volumes": {"/x": {}, "/y z": {}, "/v": {}, "/w": {}},
        "WorkingDir": "/srv/sub",
        "User": "daemon",
        "Labels": {"k": "v"},
        "StopSignal": "SIGINT",
        "Healthcheck": {"Test": ["CMD-SHELL", "test -e /ok"], "Interval": 90_000_000_000, "Retries": 2},
    }


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (("ENV A=1", "ENV B=$A C=${A}x D=$NO E='$A' F=\\$A G=\"$A b\\\"\" H=$"),
         {"Env": ["A=1", "B=1", "C=1x", "D=", "E=$A", "F=$A", 'G=1 b"', "H=$"]}),
        (("ENV A=1", "ENV A=2 B=$A"), {"Env": ["A=2", "B=1"]}),
        (("ENV A 'x' y",), {"Env": ["A=x y"]}),
        (("ENV A= B=b", "ENV C=${N:-x${B}} D=${A:-x} E=${A-x} F=${B:+x} G=${A:+x} H=${N+x} I=${A+x}"),
         {"Env": ["A=", "B=b", "C=xb", "D=x", "E=", "F=x", "G=", "H=", "I=x"]}),
        (("ENV D=/d", "WORKDIR $D/e", "WORKDIR ../f"), {"Env": ["D=/d"], "WorkingDir": "/d/f"}),
        (("WORKDIR a", "WORKDIR b"), {"WorkingDir": "/a/b"}),
        (("ENV U=me P='80 81'", "USER $U:x", "EXPOSE $P", "VOLUME /$U /b", "LABEL who=$U"),
         {"Env": ["U=me", "P=80 81"], "User": "me:x", "ExposedPorts": {"80/tcp": {}, "81/tcp": {}},
          "Volumes": {"/me": {}, "/b": {}}, "Labels": {"who": "me"}}),
        (('CMD ["$A"]', 'ENTRYPOINT ["a"]'), {"Cmd": ["$A"], "Entrypoint": ["a"]}),
    ],
)  # fmt: skip
def test_changes_read_as_a_dockerfile_is(changes: tuple[str, ...], expected: dict[str, Any]) -> None:
    """With variables, quotes and escapes; a command that is told keeps to the entrypoint told after it."""
    config: dict[str, Any] = {}
    apply_changes(config, changes)
    assert config == expected


def test_changes_of_the_health_check() -> None:
    """It may be none, or a program without a shell, and takes the place of the one before."""
    config: dict[str, Any] = {}
    for text, health in (("NONE", {"Test": ["NONE"]}), ('CMD ["a", "b c"]', {"Test": ["CMD", "a", "b c"]})):
        apply_changes(config, [f"HEALTHCHECK {text}"])
        assert config["Healthcheck"] == health


def test_changes_that_are_none() -> None:
    """What is no such instruction, or not all of one, is told with its option."""
    malformed = ("x", "CMD", "--interval=5 CMD x", "--retries=x CMD y", "--a=b CMD c")
    unhealthy = [f"HEALTHCHECK {text}" for text in malformed]
    for text in ("", "ENV", "RUN true", "ENV ==", "ENV 'open", "FROM x", "LABEL a=1 b", "EXPOSE x", "EXPOSE 80/foo",
                 "EXPOSE 0", "STOPSIGNAL x", 'CMD ["a", 1]', "USER ${A", "USER ${A?b}", 'WORKDIR "a',
                 f"USER {'${A:-' * 9999}", *unhealthy):  # fmt: skip
        with pytest.raises(SandboxError, match="--change"):
            apply_changes({}, [text])


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0B"), (999, "999B"), (1000, "1kB"), (1982291, "1.98MB"), (5 * 10**12, "5TB")]
)
def test_sizes(size: int, text: str) -> None:
    """Sizes have three digits and powers of 1000, as Docker's."""
    assert human_size(size) == text


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress], ids=["plain", "gzip", "xz"])
def test_load_from_a_file_and_a_pipe(call: Call, tmp_path: Path, root: str, pack: Callable[[bytes], bytes]) -> None:
    """Both forms of archives are loaded, compressed or not, from a file or standard input; layers are kept once."""
    assert call("load", "-i", write(tmp_path, pack(docker_archive([ONE, TWO]))))[:2] == (0, "Loaded image: made:1\n")
    first = kept(root)
    assert call("load", data=pack(oci_archive([ONE, TWO])))[:2] == (0, "Loaded image: made:2\n")
    assert kept(root) == first
    images = Images(root)
    found = images.find("made:2")
    assert (found.names, found.layers) == (("made:1", "made:2"), (sha256(ONE), sha256(TWO)))
    assert images.layer(sha256(ONE)) == (2, True)
    assert images.layer(sha256(TWO)) == (3, False)
    assert Path(images.layer_path(sha256(TWO)), "second").read_bytes() == b"two"
    for name in (f"sha256:{found.id}", found.id, found.id[:12], f"sha256:{found.id[:5]}"):
        assert images.find(name) == found
    assert [oct(os.stat(path).st_mode & 0o777) for path in (root, f"{root}/images", f"{root}/layers")] == ["0o700"] * 3


def test_an_image_without_a_name(call: Call, tmp_path: Path, root: str) -> None:
    """An image that has no name goes by its id, and is shown as <none>."""
    code, out, _ = call("load", "-i", write(tmp_path, docker_archive([ONE], names=())))
    identifier = sha256(config_of([ONE]))
    assert (code, out) == (0, f"Loaded image ID: sha256:{identifier}\n")
    _, out, _ = call("images", "--no-trunc")
    assert out.splitlines()[1].split()[:3] == ["<none>", "<none>", f"sha256:{identifier}"]
    assert call("images", "-q")[1] == f"{identifier[:12]}\n"
    for kept_back in ("until=1990-01-01", "label=tier", "colour=red"):
        code, out, err = call("image", "prune", "--filter", kept_back)
        assert (out, bool(err)) == (("", True) if code else ("Total reclaimed space: 0B\n", False))
    every = ("--filter", "label!=tier", "--filter", "until=0s")
    assert call("image", "prune", *every)[1] == f"Deleted: sha256:{identifier}\nTotal reclaimed space: 2B\n"
    assert kept(root) == []


def test_import(call: Call, tmp_path: Path, root: str) -> None:
    """A root filesystem becomes an image of one layer, with what -c says; its id is printed."""
    archive = write(tmp_path, gzip.compress(ONE))
    code, out, _ = call("import", "-c", 'ENTRYPOINT ["/bin/sh","-c"]', "-c", "ENV A=b", archive, "mine")
    found = Images(root).find("mine")
    assert (code, out) == (0, f"sha256:{found.id}\n")
    assert found.config["config"] == {"Entrypoint": ["/bin/sh", "-c"], "Env": ["A=b"]}
    assert found.layers == (sha256(ONE),)
    assert call("image", "inspect", "-f", "{{json .Config.Entrypoint}}", "mine")[1] == '["/bin/sh","-c"]\n'
    config = "{{json .Config.Cmd}} {{json .Config.Labels}} {{.Config.User}}|"  # nothing has said these
    assert call("image", "inspect", "-f", config, "mine")[:2] == (0, "null null |\n")
    assert call("history", "--format", "{{.ID}} {{.Size}} {{.Comment}}|", "mine")[1].startswith(found.id[:12])
    assert call("history", "-q", "mine")[1] == f"{found.id[:12]}\n"
    bare = call("history", "-H=false", "--format", "{{.Size}} {{.CreatedSince}} {{.CreatedAt}}", "mine")[1].split()
    assert bare == ["2", (made := found.config["created"][:19] + "Z"), made]
    assert call("image", "inspect", "-f", "{{.Comment}}", "mine")[1] == f"Imported from {archive}\n"
    code, out, _ = call("history", "mine")
    assert (code, [line.split()[0] for line in out.splitlines()]) == (0, ["IMAGE", found.id[:12]])
    for words in (("-c", "RUN x", archive), (archive, "BAD"), ("/no/such/file",), (str(tmp_path),)):
        code, out, err = call("import", *words)
        assert (code, out, err.count("\n")) == (1, "", 1)
    assert len(kept(root)) == 2


def layer_trees(images: Images, name: str) -> list[list[tuple[object, ...]]]:
    """Return what is in each layer of an image: path, kind, mode, data or target."""
    found = []
    for layer in images.find(name).layers:
        top = images.layer_path(layer)
        entries: list[tuple[object, ...]] = []
        for path in sorted(Path(top).rglob("*")):
            seen = path.lstat()
            data = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
            target = os.readlink(path) if path.is_symlink() else ""
            when = None if stat.S_ISCHR(seen.st_mode) else seen.st_mtime  # a whiteout has none of its own
            entries.append((str(path.relative_to(top)), seen.st_mode, seen.st_rdev, when, data, target))
            entries.append((is_opaque(str(path)) if path.is_dir() and not path.is_symlink() else None,))
        found.append(entries)
    return found


def test_save(call: Call, tmp_path: Path, root: str) -> None:
    """What is saved can be loaded: the same layers, whiteouts and opaque directories too; saving twice is the same."""
    more = tar([entry(".wh.bin"), folder("d"), entry("d/.wh..wh..opq"), entry("d/f", b"x", mtime=1.5), link("l", "/x")])
    call("load", "-i", write(tmp_path, docker_archive([ONE, TWO, more], config={"Cmd": ["sh"]})))
    paths = [str(tmp_path / name) for name in ("one.tar", "two.tar")]
    for path in paths:
        assert call("save", "-o", path, "made:1")[0] == 0
    assert Path(paths[0]).read_bytes() == Path(paths[1]).read_bytes()
    before = layer_trees(Images(root), "made:1")
    call("rmi", "made:1")
    assert call("load", "-i", paths[0])[1] == "Loaded image: made:1\n"
    images = Images(root)
    assert layer_trees(images, "made:1") == before
    assert (images.find("made:1").config["config"], len(kept(root))) == ({"Cmd": ["sh"]}, 4)
    assert images.layer(images.find("made:1").layers[0]).root
    identifier = images.find("made:1").id
    assert call("save", "-o", paths[0], identifier[:12])[0] == 0
    call("rmi", "made:1")
    assert call("load", "-i", paths[0])[1] == f"Loaded image ID: sha256:{identifier}\n"
    assert call("save", "-o", paths[1], "none")[::2] == (1, "sandbox: no such image: none\n")
    assert sorted(os.listdir(tmp_path)) == ["archive.tar", "one.tar", "state", "two.tar"]


def test_tags_and_removal(call: Call, tmp_path: Path, root: str) -> None:
    """A name is taken away alone while others are left; the last one takes the image and its layers with it."""
    call("load", "-i", write(tmp_path, docker_archive([ONE, TWO])))
    call("load", "-i", write(tmp_path, docker_archive([ONE], ["base:1"])))
    assert call("tag", "made:1", "other")[0] == 0
    rows = [line.split()[:2] for line in call("images")[1].splitlines()[1:]]
    assert sorted(rows) == [["base", "1"], ["made", "1"], ["other", "latest"]]
    assert call("images", "other")[1].count("\n") == 2
    identifier = Images(root).find("other").id
    assert call("rmi", identifier)[0] == 1
    assert call("rmi", "made:1")[:2] == (0, "Untagged: made:1\n")
    assert call("image", "rm", identifier[:12])[1] == f"Untagged: other:latest\nDeleted: sha256:{identifier}\n"
    told = [f"{event['Action']} {event['Actor']['Attributes']['name']}" for event in follow(root, 0, time.time())]
    assert told == ["load made:1", "load base:1", "tag other:latest", "untag made:1", "untag other:latest",
                    f"delete sha256:{identifier}"]  # fmt: skip
    assert kept(root) == sorted([sha256(ONE), f"{Images(root).find('base:1').id}.json"])
    assert call("images", "*as*", "--format", "{{.Repository}}")[1] == "base\n"
    assert call("rmi", "-f", "nothing")[::2] == (0, "sandbox: no such image: nothing\n")
    assert call("rmi", "base:1", "nothing")[::2] == (1, "sandbox: no such image: nothing\n")
    assert kept(root) == []
    for words in (("tag", "none", "x"), ("history", "none")):
        assert call(*words) == (1, "", "sandbox: no such image: none\n")
    assert call("image", "inspect", "none") == (1, "[]\n", "sandbox: no such image: none\n")


def damaged(**files: bytes | None) -> bytes:
    """Return a docker archive whose members of these names (dots as underscores) are others, or missing."""
    members = []
    with tarfile.open(fileobj=io.BytesIO(docker_archive([ONE, TWO]))) as archive:
        for member in archive:
            file = archive.extractfile(member)
            assert file is not None
            key = next((key for key in files if member.name.replace(".", "_").replace("/", "_").endswith(key)), None)
            data = file.read() if key is None else files[key]
            if data is not None:
                members.append(entry(member.name, data))
    return tar(members)


@pytest.mark.parametrize(
    ("archive", "text"),
    [
        (damaged(manifest_json=None), "no manifest.json and no index.json"),
        (damaged(manifest_json=b"{"), "manifest.json"),
        (damaged(manifest_json=b"[" * 5000), "manifest.json"),
        (damaged(manifest_json=b"{}"), "not a list of images"),
        (damaged(manifest_json=b'[{"Config": 5}]'), "5 is not the path"),
        (damaged(manifest_json=b'[{"Config": "../etc/passwd"}]'), "leads out of its root"),
        (damaged(manifest_json=b'[{"Config": "none.json"}]'), "'none.json' is missing"),
        (damaged(manifest_json=b'[{"Config": "0/layer.tar"}]'), "0/layer.tar"),
        (damaged(**{"1_layer_tar": None}), "'1/layer.tar' is missing"),
        (damaged(**{"1_layer_tar": ONE}), "is damaged: its digest is"),
        (damaged(**{"1_layer_tar": TWO[:700]}), "not a sound archive"),
        (tar([link("manifest.json", "b"), link("b", "manifest.json")]), "not a file in the archive"),
        (docker_archive([ONE], ["bad name"]), "invalid reference format"),
        (docker_archive([ONE] * 128), "more than 127"),
        (docker_archive([ONE], config={"Env": "A=b"}), "Env is not a list of words"),
        (oci_archive([ONE]).replace(b"layers", b"lairs!"), "damaged"),
        (tar([entry("index.json", b'{"manifests": [{"digest": "sha256:x"}]}')]), "not a sha256 digest"),
        (tar([entry("index.json", b'{"manifests": {}}')]), "no list of manifests"),
        (b"\x28\xb5\x2f\xfd" + b"\0" * 100, "not a sound archive"),
        (b"\x50\x2a\x4d\x18\xff\xff\xff\xff", "not a sound archive"),
        (b"\x1f\x8b\x08\x00garbage-garbage", "not a sound archive"),
        (b"BZh9garbage", "not a sound archive"),
        (b"\xfd7zXZ\x00garbage", "not a sound archive"),
    ],
)
def test_damaged_archives(call: Call, tmp_path: Path, root: str, archive: bytes, text: str) -> None:
    """A damaged or hostile archive is refused in one line, and nothing of it is kept."""
    code, out, err = call("load", "-i", write(tmp_path, archive))
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert text in err
    assert kept(root) == []


def test_layers_of_zstd(call: Call, tmp_path: Path, root: str) -> None:
    """Layers that the zstd program has packed are those that were packed, also behind a frame to be skipped."""
    skipped = b"\x5a\x2a\x4d\x18\x04\0\0\0abcd"
    packs = (zstd, lambda data: skipped + zstd(data), lambda data: zstd(data[:99]) + zstd(data[99:]))
    for number, pack in enumerate(packs):
        archive = write(tmp_path, oci_archive([ONE, TWO], f"made:{number}", pack=pack))
        assert call("load", "-i", archive)[:2] == (0, f"Loaded image: made:{number}\n")
    assert Images(root).find("made:0").layers == (sha256(ONE), sha256(TWO))
    assert call("import", write(tmp_path, zstd(ONE)), "root:1")[0] == 0
    assert Images(root).find("root:1").layers == (sha256(ONE),)
    assert call("load", data=zstd(docker_archive([TWO], ["whole:1"])))[:2] == (0, "Loaded image: whole:1\n")


@pytest.mark.parametrize(
    ("pack", "text"),
    [
        (lambda: zstd(ONE)[:-1], "not a sound archive"),
        (lambda: zstd(ONE) + b"garbage", "not a sound archive"),
        (lambda: zstd(ONE) + zstd(ONE)[:9], "not a sound archive"),
        (lambda: zstd(ONE, "--ultra", "--long=28"), "requires too much memory"),
        (lambda: zstd(ONE + bytes(64 << 20), "-19"), "stand behind the end of the archive"),
    ],
    ids=["truncated", "garbage", "second frame truncated", "a window of 256 MiB", "64 MiB in 6 KiB"],
)
def test_hostile_zstd(call: Call, tmp_path: Path, root: str, pack: Callable[[], bytes], text: str) -> None:
    """A broken stream, one that asks for memory and one that grows without end are refused in one line."""
    code, out, err = call("load", "-i", write(tmp_path, oci_archive([ONE], pack=lambda _: pack())))
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert text in err
    assert kept(root) == []


def test_a_changed_configuration_is_noticed(call: Call, tmp_path: Path, root: str) -> None:
    """A configuration that is no longer what its id says is an error, not another image."""
    call("load", "-i", write(tmp_path, docker_archive([ONE])))
    identifier = Images(root).find("made:1").id
    Path(root, "images", f"{identifier}.json").write_text("{}")
    code, _, err = call("image", "inspect", "made:1")
    assert (code, "was changed" in err) == (1, True)


def test_many_loads_at_once(tmp_path: Path, root: str) -> None:
    """Eight loads of the same layers at once all succeed, and the layers are there once."""
    archives = [write(tmp_path, docker_archive([ONE, TWO], [f"made:{n}"]), f"{n}.tar") for n in range(8)]
    commands = [[*SANDBOX, "--root", root, "load", "-i", archive] for archive in archives]
    processes = [
        subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for command in commands
    ]
    ended = [(*process.communicate(timeout=120), process.returncode) for process in processes]
    assert ended == [(f"Loaded image: made:{n}\n", "", 0) for n in range(8)]
    assert kept(root) == sorted([sha256(ONE), sha256(TWO), f"{sha256(config_of([ONE, TWO]))}.json"])
    assert Images(root).names() == {f"made:{n}": sha256(config_of([ONE, TWO])) for n in range(8)}


KILLED = """
import os, signal, sys
from sandbox import cli
from sandbox.images import store
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
count = int(sys.argv[3])
rename = os.rename
def counted(*arguments, **named):
    global count
    count -= 1
    if count == 0:
        die()
    rename(*arguments, **named)
os.rename = counted
if count == 0:
    store.Images._write = die
cli.main(["--root", sys.argv[1], "load", "-i", sys.argv[2]])
"""


def test_what_is_measured_where_nothing_runs(call: Call) -> None:
    """`stats` by a template has no rows then, which is no error, as with Docker; a table of ctop's would be none."""
    assert call("stats", "--no-stream", "--format", "{{.Name}}") == (0, "", "")
    assert call("stats", "--no-stream", "--format", "table {{.Name}}") == (0, "NAME\n", "")
    assert call("stats", "--no-stream") == (1, "", "sandbox: no container is running\n")


def test_what_has_a_name_is_inspected(call: Call, tmp_path: Path) -> None:
    """`inspect` finds images, networks and volumes too, by --type one kind alone; listings have formats."""
    call("load", "-i", write(tmp_path, docker_archive([ONE])))
    call("volume", "create", "--name", "kept")
    assert call("volume", "create", "--name", "kept", "other")[0] == 1
    assert [call("volume", "ls", "-q", "-f", f"driver={kind}")[1] for kind in ("local", "nfs")] == ["kept\n", ""]
    assert call("inspect", "-f", "{{index .RepoTags 0}}", "made:1")[:2] == (0, "made:1\n")
    assert call("inspect", "-f", "{{.Name}}{{.Driver}}", "kept", "none")[:2] == (0, "keptlocal\nnonenull\n")
    assert call("inspect", "--type", "container", "kept") == (1, "[]\n", "sandbox: no such container: kept\n")
    assert json.loads(call("inspect", "-f", "json", "made:1", "kept")[1])[1]["Name"] == "kept"
    assert call("inspect", "nothing") == (1, "[]\n", "sandbox: no such object: nothing\n")
    for kind, there in (("image", "made:1"), ("volume", "kept"), ("network", "none")):
        code, out, err = call(kind, "inspect", "nothing", there)
        assert (code, len(json.loads(out)), err.count("\n")) == (1, 1, 1)
    assert call("images", "--format", "{{.Repository}}:{{.Tag}}")[1] == "made:1\n"
    assert call("images", "--format", "table {{.Tag}}\\t{{.Size}}")[1].split() == ["TAG", "SIZE", "1", "2B"]
    assert json.loads(call("volume", "ls", "--format", "json")[1])["Name"] == "kept"


@pytest.mark.parametrize("when", range(5))
@pytest.mark.parametrize("command", ["images", "ps"])
def test_a_load_that_is_killed(call: Call, tmp_path: Path, root: str, when: int, command: str) -> None:
    """A load that is killed at any of its steps leaves only what the next command removes; then it works."""
    archive = write(tmp_path, docker_archive([ONE, TWO]))
    done = subprocess.run([sys.executable, "-c", KILLED, root, archive, str(when)], cwd=REPOSITORY, check=False)
    assert done.returncode == -9
    assert any(name.startswith("new-") for name in kept(root))
    assert call(command)[0] == 0
    assert kept(root) == []
    assert call("images")[:2] == (0, "REPOSITORY   TAG       IMAGE ID   CREATED   SIZE\n")
    assert call("load", "-i", archive)[:2] == (0, "Loaded image: made:1\n")


def test_what_another_load_unpacks_is_left_alone(call: Call, root: str) -> None:
    """Cleaning up after the dead does not touch what a living command has in the making."""
    images = Images(root)
    with images.session() as session:
        call("images")
        assert os.path.isdir(session)
        with pytest.raises(NoSuchImage):
            images.find("new")
    assert not os.path.exists(session)
    assert Store(root).all() == []


def test_layers_removed_meanwhile_are_unpacked_again(root: str) -> None:
    """Registering an image whose layer was removed in between does nothing, and says which is missing."""
    images = Images(root)
    with images.session() as session:
        assert images.register(config_of([ONE]), ["a"], session) == [sha256(ONE)]
    assert (images.ids(), images.names()) == ([], {})
    assert json.loads(config_of([ONE]))["os"] == "linux"


def test_what_is_gone_is_recorded_though_nobody_hears_it(tmp_path: Path) -> None:
    """`events` has the end of an image also where the first line of `rmi` cannot be written."""
    store = Store(str(tmp_path))
    assert next(_gone(store, Image("ab" * 32, {}, ("one:1", "two:1")))) == "Untagged: one:1"
    told = [(event["Action"], event["Actor"]["Attributes"]["name"]) for event in follow(store.root, 0, time.time())]
    assert told == [("untag", "one:1"), ("untag", "two:1"), ("delete", f"sha256:{'ab' * 32}")]
