"""Containers made of images: what Docker saved is what we run, by Docker's rules, and a hostile image stays inside."""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.root import sandboxing
from tests.testbed.commands import SANDBOX, Sandbox, ctop_document, find, run
from tests.testbed.docker import Docker
from tests.testbed.image_archives import docker_archive, entry, folder, link, tar
from tests.testbed.tools import need

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left_of_it")]

APPLETS = ("sh", "ls", "cat", "sleep", "true", "id", "env", "pwd", "mkdir", "rm", "touch", "stat", "hostname", "wc")
# What only one of the two runtimes makes, to be mounted on.
OWN = {".dockerenv", "dev/console", "dev/pts", "dev/shm"}
FIRST = """
b=/bin/busybox
$b mkdir -p /etc /data/sub /gone/deep /opaque; echo one > /data/a; $b ln /data/a /data/b; echo x > /gone/deep/f
echo old > /opaque/old; $b ln -s /etc/passwd /pw; $b ln -s ../../../../etc /data/up
$b chown 33:44 /data/a; $b chmod 6755 /data/a; $b mknod /data/null c 1 3; $b mkfifo -m 622 /data/pipe
echo root:x:0:0::/root:/bin/sh > /etc/passwd; echo web:x:33:44::/srv:/bin/sh >> /etc/passwd
$b chown 7:8 /etc; $b chmod 750 /etc
"""
SECOND = """
b=/bin/busybox
$b rm -r /gone /data/b; $b rm -r /opaque; $b mkdir /opaque; echo new > /opaque/new; echo two > /data/sub/c
$b rm /data/pipe; $b mkdir /data/pipe; $b touch -d 2001-02-03 /data/sub/c; $b chmod 1777 /data/sub
"""
CHANGES = ("ENV A=image", "ENV B=image", "WORKDIR /srv/app", "USER web", 'ENTRYPOINT ["/bin/sh", "-c"]',
           'CMD ["id -u; pwd; echo $A $B"]', "EXPOSE 80/tcp", "LABEL k=v", "VOLUME /data",
           'HEALTHCHECK --interval=7s CMD ["/bin/true"]')  # fmt: skip


@pytest.fixture(scope="module")
def saved(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Let Docker make an image of three layers, and another with all that a Dockerfile can say; give their archive."""
    archive = str(tmp_path_factory.mktemp("saved") / "images.tar")
    made = []
    try:
        for name, image, script in (("images-one", "busybox", FIRST), ("images-two", "oracle:1", SECOND)):
            made.append(name)
            docker("run", "--name", name, "--network", "none", "--stop-signal", "SIGINT", image, "sh", "-c", script)
            docker("commit", name, "oracle:1")
        options = [option for change in CHANGES for option in ("-c", change)]
        docker("commit", *options, "images-two", "told:1")
        docker("save", "-o", archive, "oracle:1", "told:1")
        docker("export", "-o", f"{archive}.flat", "images-two")
        (inspected,) = json.loads(docker("inspect", "told:1").stdout)
        Path(f"{archive}.json").write_text(json.dumps(inspected["Config"]))
        yield archive
    finally:
        for name in made:
            docker("rm", "-f", "-v", name, check=False)
        docker("rmi", "-f", "told:1", "oracle:1", check=False)


def busybox_layer(*more: Any) -> bytes:  # noqa: ANN401
    """Return a layer of one program with its names, and more members."""
    need("busybox")
    program = Path(str(shutil.which("busybox"))).read_bytes()
    links = [link(f"bin/{name}", "busybox") for name in APPLETS]
    return tar([entry("bin/busybox", program, mode=0o755), *links, *more])


def load(sandbox: Sandbox, directory: Path, *layers: bytes, **config: Any) -> None:  # noqa: ANN401
    """Load an image `made:1` of these layers."""
    archive = directory / "made.tar"
    archive.write_bytes(docker_archive(layers, config=config))
    sandbox("load", "-q", "-i", str(archive))


def members(path: str) -> dict[str, tuple[Any, ...]]:
    """Return what an archive says of each file; a hard link is what it leads to."""
    found: dict[str, tuple[Any, ...]] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            name = member.name.removeprefix("./").rstrip("/")
            if member.islnk():
                found[name] = found[member.linkname.removeprefix("./")]
                continue
            file = archive.extractfile(member) if member.isreg() else None
            data = file.read() if file else b""
            device = (member.devmajor, member.devminor) if member.isdev() and not member.isfifo() else None
            found[name] = (member.type, member.mode & 0o7777, member.uid, member.gid, member.linkname, data, device)
    return found


def test_an_image_of_docker_is_the_same_here(sandbox: Sandbox, saved: str, tmp_path: Path) -> None:
    """Layers, whiteouts, opaque directories, links, owners, set-uid bits and devices come out as Docker's export.

    B062, B063, B068, T17.
    """
    loaded = sorted(sandbox("load", "-i", saved).stdout.splitlines())
    assert loaded == ["Loaded image: oracle:1", "Loaded image: told:1"]
    sandbox("create", "--name", "flat", "oracle:1", "true")
    sandbox("export", "-o", str(tmp_path / "flat.tar"), "flat")
    ours, its = members(str(tmp_path / "flat.tar")), members(f"{saved}.flat")
    mounted_on = {"dev", "proc", "sys", "etc/hosts", "etc/hostname", "etc/resolv.conf"}
    for found in (ours, its):
        for name in OWN | mounted_on:
            found.pop(name, None)
    ours.pop("", None)
    ours.pop(".", None)
    assert ours == its
    assert sandbox("diff", "flat").stdout == ""
    script = "stat -c '%a %u %g' /etc; cat /etc/mtab | wc -l > /dev/null && echo mtab"
    done = sandbox("run", "--rm", "--entrypoint", "", "-u", "0", "told:1", "sh", "-c", script)
    assert done.stdout.splitlines() == ["750 7 8", "mtab"]


def test_lists_are_filtered_as_docker_does(sandbox: Sandbox, docker: Docker, saved: str) -> None:
    """Each filter of `images` leaves the names that it leaves with Docker; `ps -s` tells the same sizes."""
    sandbox("load", "-i", saved)
    names = {"oracle:1", "told:1"}
    for filters in (
        (), ("reference=ora*",), ("reference=oracle:1",), ("reference=*:1", "label=k=v"), ("label=k",), ("label=k=w",),
        ("label=k", "reference=oracle*"), ("dangling=false", "reference=told"), ("before=told:1",), ("since=oracle:1",),
        ("reference=oracle*", "reference=told:?"), ("reference=x/*",),
    ):  # fmt: skip
        words = ["images", "--format", "{{.Repository}}:{{.Tag}}", *(f"--filter={each}" for each in filters)]
        theirs = set(docker(*words).stdout.split()) & names
        assert set(sandbox(*words).stdout.split()) == theirs, filters
    identifier = sandbox("images", "-q", "oracle:1").stdout.strip()
    sandbox("tag", "oracle:1", "second")
    sandbox("create", "--name", "child", "second", "true")
    for image in ("second", "second:latest", "oracle:1", identifier, identifier[:6], "told:1", "nothing"):
        found = sandbox("ps", "-aq", "--filter", f"ancestor={image}").stdout
        assert bool(found) == (image not in ("told:1", "nothing")), image
    sandbox("rm", "child")
    sandbox("rmi", "second")
    script = ("oracle:1", "sh", "-c", "head -c 5000 /dev/zero > /new; ln /new /again; ln -s /new /short")
    for call in (docker, sandbox):
        call("run", "--name", "sized", "--network", "none", *script)
    sizes = [call("ps", "-as", "--filter", "name=sized", "--format", "{{.Size}}").stdout for call in (docker, sandbox)]
    docker("rm", "sized")
    assert sizes[0].split()[0] == sizes[1].split()[0]
    assert [len(each.split()) for each in sizes] == [3, 3]
    sandbox("volume", "create", "kept")
    Path(sandbox.root, "volumes", "kept", "_data", "file").write_bytes(bytes(2048))
    told = {line.split()[0]: line for line in sandbox("system", "df").stdout.splitlines()}
    layers = [json.loads(path.read_text())["Size"] for path in Path(sandbox.root, "layers").glob("*/layer.json")]
    assert told["Images"].split()[1:4] == ["2", "1", f"{sum(layers) / 1e6:.4g}MB"]
    assert told["Containers"].split()[1:3] == ["1", "0"]
    assert told["Containers"].endswith("(100%)")
    assert told["Local"].split() == ["Local", "Volumes", "1", "0", "2.048kB", "2.048kB", "(100%)"]
    kinds = ["system", "df", "--format", "{{.Type}}"]
    assert docker(*kinds).stdout.splitlines()[:3] == sandbox(*kinds).stdout.splitlines()
    assert sandbox("ps", "-as").stdout.splitlines()[0].split()[-1] == "SIZE"


def test_what_an_image_says_of_its_containers(sandbox: Sandbox, saved: str) -> None:
    """Its entrypoint, command, variables, user, directory, volumes and so on hold, unless the command line differs."""
    sandbox("load", "-q", "-i", saved)
    run = ("run", "--rm")
    assert sandbox(*run, "told:1").stdout.split() == ["33", "/srv/app", "image", "image"]
    done = sandbox(*run, "-e", "A=mine", "-u", "0", "-w", "/", "told:1", "id -u; pwd; echo $A $B")
    assert done.stdout.split() == ["0", "/", "mine", "image"]
    assert sandbox(*run, "--entrypoint", "/bin/busybox", "told:1", "echo", "x").stdout == "x\n"
    done = sandbox(*run, "--entrypoint", "/bin/cat", "told:1", check=False)
    assert (done.returncode, done.stdout) == (0, "")
    for words in (("--entrypoint", "", "told:1"),):
        done = sandbox(*run, *words, check=False)
        assert (done.returncode, done.stderr.count("\n"), "no command specified" in done.stderr) == (125, 1, True)
    sandbox("create", "--name", "told", "-l", "mine=1", "told:1")
    ours = sandbox.inspect("told")
    its = json.loads(Path(f"{saved}.json").read_text())
    same = ("Entrypoint", "Cmd", "User", "WorkingDir", "ExposedPorts", "StopSignal", "Healthcheck")
    assert {key: ours["Config"].get(key) for key in same} == {key: its.get(key) for key in same}
    assert ours["Config"]["Labels"] == {"k": "v", "mine": "1"}
    assert (ours["Config"]["Image"], ours["Image"].startswith("sha256:")) == ("told:1", True)
    assert [mount["Destination"] for mount in ours["Mounts"]] == ["/data"]
    sandbox("rm", "-v", "told")
    assert sandbox("volume", "ls", "-q").stdout == ""


REFUSED: tuple[tuple[tuple[str, ...], str], ...] = (
    (("none:1", "true"), "Unable to find image 'none:1'"),
    (("BAD", "true"), "must be lowercase"),
    (("a b", "true"), "invalid reference format"),
    ((), "no image"),
    (("made:1",), "no command specified"),
)
MALFORMED: tuple[tuple[dict[str, Any], str], ...] = (
    ({"Cmd": "true"}, "Cmd is not a list of words"),
    ({"Cmd": ["true"], "Env": [5]}, "Env is not a list of words"),
)
SENSELESS: tuple[tuple[dict[str, Any], str], ...] = (
    ({"Cmd": ["true"], "StopSignal": "SIGNOPE"}, "invalid signal"),
    ({"Cmd": ["true"], "Volumes": {"/proc": {}}}, "the container's own"),
    ({"Cmd": ["true"], "Volumes": {"": {}}}, "must be absolute"),
    ({"Cmd": ["true"], "Healthcheck": {"Test": "true"}}, "its Healthcheck"),
    ({"Cmd": ["tr\0ue"]}, "NUL byte"),
)


def test_what_an_image_says_in_other_forms(sandbox: Sandbox, tmp_path: Path) -> None:
    """`ENTRYPOINT [""]`, which takes away that of an image below, is none; a relative VOLUME is one of the root."""
    load(sandbox, tmp_path, busybox_layer(entry("data/a")), Entrypoint=[""], Cmd=["ls", "/data"], Volumes={"data": {}})
    assert sandbox("run", "--name", "other", "made:1").stdout == "a\n"
    assert sandbox("run", "--rm", "made:1", "cat", "/data/a").stdout == ""
    found = sandbox.inspect("other")
    assert (found["Path"], found["Config"]["Entrypoint"]) == ("ls", None)
    assert [mount["Destination"] for mount in found["Mounts"]] == ["/data"]
    sandbox("rm", "-v", "other")


def test_images_that_are_refused(sandbox: Sandbox, tmp_path: Path) -> None:
    """A missing image, what is no name, and an image without a command end with 125, in one line (B004)."""
    load(sandbox, tmp_path, tar([]))
    for words, text in REFUSED:
        done = sandbox("run", *words, check=False)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (125 if words else 1, "", 1)
        assert text in done.stderr
    assert sandbox("ps", "-aq").stdout == ""


def test_configurations_that_are_refused(sandbox: Sandbox, tmp_path: Path) -> None:
    """An image whose configuration makes no sense is refused with 125, in one line; one of other types by `load`."""
    for config, text in MALFORMED:
        (tmp_path / "made.tar").write_bytes(docker_archive([tar([])], config=config))
        done = sandbox("load", "-i", str(tmp_path / "made.tar"), check=False)
        assert (done.returncode, done.stdout, done.stderr.count("\n"), text in done.stderr) == (1, "", 1, True)
    assert sandbox("images", "-q").stdout == ""
    for config, text in SENSELESS:
        load(sandbox, tmp_path, tar([]), **config)
        done = sandbox("run", "made:1", check=False)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (125, "", 1)
        assert text in done.stderr
    assert sandbox("ps", "-aq").stdout == sandbox("volume", "ls", "-q").stdout == ""


# The number is Linux's EXT4_IOC_SHUTDOWN, with 2 NOLOGFLUSH: forget at once what is not on the disk.
POWER_CUT = """
mount -o loop $D/disk $D/place || { echo none; exit; }
$SANDBOX load -i $D/made.tar > /dev/null
$PYTHON -c 'import fcntl, os, sys; fcntl.ioctl(os.open(sys.argv[1], 0), 0x8004587D, b"\\2\\0\\0\\0")' $D/place
umount $D/place && mount -o loop $D/disk $D/place && $SANDBOX run --rm made:1 cat /data
"""


def test_a_power_cut(tmp_path: Path) -> None:
    """What `load` has said to be there is there, name and content, after the machine lost all that was in memory."""
    need("mkfs.ext4")
    (tmp_path / "place").mkdir()
    with (tmp_path / "disk").open("wb") as file:
        file.truncate(64 << 20)
    run(["mkfs.ext4", "-q", str(tmp_path / "disk")])
    layer = busybox_layer(entry("data", b"kept" * 9999))
    (tmp_path / "made.tar").write_bytes(docker_archive([layer]))
    env = {**os.environ, "D": str(tmp_path), "SANDBOX": " ".join(SANDBOX), "PYTHON": sys.executable,
           "CGSCOPE_ROOT": str(tmp_path / "place/state")}  # fmt: skip
    # In a mount namespace of its own: whoever else copies the machine's would keep the disk mounted.
    done = run(["unshare", "-m", "sh", "-c", POWER_CUT], env=env)
    if done.stdout == "none\n":
        pytest.skip("a filesystem in a file cannot be mounted here")
    assert done.stdout == "kept" * 9999


def test_a_hundred_and_twenty_layers(sandbox: Sandbox, tmp_path: Path) -> None:
    """Layers whose paths do not fit into a page of mount options are stacked in order; "/" looks as it is told.

    B063, T15.
    """
    layers = [busybox_layer(folder("./", mode=0o555))]
    layers += [tar([entry("top", str(n).encode()), entry(f"n{n}")]) for n in range(118)]
    layers.append(tar([entry(f".wh.n{n}") for n in range(100)]))
    load(sandbox, tmp_path, *layers)
    done = sandbox("run", "--rm", "made:1", "sh", "-c", "stat -c %a /; cat /top; echo; ls -d /n*")
    assert done.stdout.split() == ["555", "117", *(f"/n{n}" for n in range(100, 118))]


def test_a_layer_that_is_there_twice(sandbox: Sandbox, tmp_path: Path) -> None:
    """BuildKit's empty ones are; of any, what the higher one has is seen, and what those between them have besides."""
    first, empty = busybox_layer(entry("data/a"), entry("data/b")), tar([])
    layer, between = tar([entry("data/a", b"new"), entry("data/c")]), tar([entry("data/.wh.c"), entry("data/d")])
    load(sandbox, tmp_path, first, empty, layer, empty, between, layer, empty)
    done = sandbox("run", "--name", "twice", "made:1", "sh", "-c", "ls /data; cat /data/a; rm /data/c")
    assert done.stdout == "a\nb\nc\nd\nnew"
    assert sandbox("diff", "twice").stdout == "C /data\nD /data/c\n"


def test_hostile_images(sandbox: Sandbox, tmp_path: Path) -> None:
    """Links of an image lead inside it: those of /etc, of its passwd, its working directory and its resolv.conf.

    T19.
    """
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "passwd").write_text("evil:x:0:0::/:/bin/sh\n")
    load(
        sandbox,
        tmp_path,
        busybox_layer(
            folder("etc"),
            link("etc/passwd", f"{outside}/passwd"),
            link("etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf"),
            link("etc/hosts", f"{outside}/hosts"),
            link("work", "/proc/self/fd"),
            link("out", str(outside)),
        ),
        Env=["HOME", "X=1"],
        Volumes={"/out/volume": {}},
    )
    sandbox("run", "--rm", "made:1", "true")
    assert sorted(os.listdir(outside)) == ["passwd"]
    done = sandbox("run", "--rm", "-u", "evil", "made:1", "true", check=False)
    assert (done.returncode, "unable to find user evil" in done.stderr) == (125, True)
    assert sandbox("run", "--rm", "made:1", "sh", "-c", "echo ${HOME}$X").stdout == "/1\n"
    done = sandbox("run", "--rm", "-w", "/work/3", "made:1", "pwd", check=False)
    assert (done.returncode, done.stdout) == (125, "")
    for name in ("dev", "proc", "sys"):
        load(sandbox, tmp_path, busybox_layer(link(name, str(outside))))
        done = sandbox("run", "--rm", "made:1", "true", check=False)
        assert (done.returncode, f"/{name} is a symbolic link" in done.stderr) == (125, True)
    assert sorted(os.listdir(outside)) == ["passwd"]


def test_an_images_containers_keep_it(sandbox: Sandbox, tmp_path: Path) -> None:
    """An image in use is not removed; with -f its name goes, and the layers stay as long as a container has them."""
    load(sandbox, tmp_path, busybox_layer(), tar([entry("second", b"2")]))
    sandbox("run", "-d", "--name", "user", "made:1", "sleep", "100")
    shown = find(ctop_document(), "user")
    assert (shown["image"], shown["runtime"]) == ("made:1", "sandbox")
    assert sandbox("ps", "--no-trunc").stdout.split("\n")[1].split()[1] == "made:1"
    done = sandbox("rmi", "made:1", check=False)
    assert (done.returncode, done.stderr.count("\n"), "must force" in done.stderr) == (1, 1, True)
    sandbox("kill", "user")
    assert sandbox("rmi", "made:1", check=False).returncode == 1
    done = sandbox("rmi", "-f", "made:1")
    assert done.stdout.startswith("Untagged: made:1\nDeleted: sha256:")
    sandbox("start", "user")
    assert sandbox("exec", "user", "cat", "/second").stdout == "2"
    sandbox("rm", "-f", "user")
    load(sandbox, tmp_path, busybox_layer())
    sandbox("rmi", "made:1")
    assert os.listdir(f"{sandbox.root}/layers") == []


def test_the_store_is_closed_to_others(sandbox: Sandbox, tmp_path: Path) -> None:
    """No user of this machine reaches the files of images, volumes and containers, set-uid ones in particular.

    B043.
    """
    load(sandbox, tmp_path, busybox_layer(entry("su", b"x", mode=0o4755)))
    sandbox("volume", "create", "v1")
    sandbox("create", "--name", "closed", "made:1", "true")
    for name in ("", "images", "layers", "volumes", "containers"):
        assert stat.S_IMODE(os.stat(f"{sandbox.root}/{name}").st_mode) == 0o700


def test_docker_loads_what_we_save(sandbox: Sandbox, docker: Docker, tmp_path: Path) -> None:
    """An image that was saved here runs in Docker, with its whiteouts."""
    layers = busybox_layer(entry("gone", b"x")), tar([entry(".wh.gone"), entry("f", b"f")])
    load(sandbox, tmp_path, *layers, Cmd=["ls", "/"])
    path = str(tmp_path / "saved.tar")
    sandbox("tag", "made:1", "saved:1")
    sandbox("save", "-o", path, "saved:1")
    try:
        assert docker("load", "-i", path).stdout == "Loaded image: saved:1\n"
        listed = docker("run", "--rm", "--network", "none", "saved:1").stdout.split()
        assert listed == sandbox("run", "--rm", "made:1").stdout.split()
        assert ("f" in listed, "gone" in listed) == (True, False)
    finally:
        docker("rmi", "-f", "saved:1", check=False)


def test_export_and_import(sandbox: Sandbox, tmp_path: Path) -> None:
    """What a container wrote goes to an archive and to an image made of that; what was mounted in it does not.

    B066.
    """
    load(sandbox, tmp_path, busybox_layer())
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "private").write_text("x")
    script = "mkdir /made; echo 1 > /made/f; echo 2 > /v/f; sleep 100"
    sandbox("run", "-d", "--name", "source", "-v", f"{volume}:/v", "--tmpfs", "/t", "made:1", "sh", "-c", script)
    assert sandboxing.wait_for((volume / "f").exists)
    running = tmp_path / "running.tar"
    sandbox("export", "-o", str(running), "source")
    sandbox("kill", "source")
    stopped = tmp_path / "stopped.tar"
    sandbox("export", "-o", str(stopped), "source")
    assert members(str(running)).keys() == members(str(stopped)).keys()
    identifier = sandbox("import", "-c", "CMD cat /made/f; ls /v /t", str(running), "again").stdout.strip()
    assert sandbox("run", "--rm", "again").stdout.split() == ["1", "/t:", "/v:"]
    assert sandbox("image", "inspect", "-f", "{{.Id}}", "again").stdout.strip() == identifier
