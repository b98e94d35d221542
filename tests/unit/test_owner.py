"""inspector.owner and .claims: whose a path is, on machines in a directory."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from inspector.ctop.walk import walker
from inspector.errors import InspectorError, NoSuchProcess
from inspector.layers import Claim
from inspector.nsinspect.rootfs import write_changes
from inspector.observe import Observer
from inspector.owner import claims_of, owners
from inspector.unions import UNPLACED
from inspector.views.rootfs import owner_lines
from tests.fakehost import FakeHost

A, B = "a" * 64, "b" * 64
D = "/var/lib/docker"
OVERLAY = "80 1 0:50 / / rw - overlay overlay rw,lowerdir={store}/l/TOP:{store}/l/BASE,upperdir={up},workdir={work}\n"
BINDS = """\
81 80 254:0 /var/lib/docker/volumes/pg/_data /var/lib/pg rw - ext4 /dev/vda rw
82 80 254:0 /srv/www /www ro - ext4 /dev/vda rw
83 80 254:0 /var/lib/docker/containers/{id}/hosts /etc/hosts rw - ext4 /dev/vda rw
"""


def docker(root: Path) -> FakeHost:
    """Make a machine with a running Docker container and a stopped one that share their image's layers."""
    builder = FakeHost(root)
    store = f"{D}/overlay2"
    for layer in ("top", "base", "ra", "rb"):
        os.makedirs(f"{root}{store}/{layer}/diff/etc")
    for layer, identifier in (("ra", A), ("rb", B)):
        os.makedirs(f"{root}{store}/{layer}/work/work")
        builder.file(f"{store}/{layer}/lower", "l/TOP:l/BASE")
        builder.file(f"{D}/image/overlay2/layerdb/mounts/{identifier}/mount-id", layer)
        config = {"ID": identifier, "Name": f"/{layer}", "MountPoints": {"/in": {"Source": "/srv/b", "Type": "bind"}}}
        builder.file(f"{D}/containers/{identifier}/config.v2.json", json.dumps(config if layer == "rb" else {}))
    builder.link(f"{store}/l/TOP", "../top/diff").link(f"{store}/l/BASE", "../base/diff")
    mounts = OVERLAY.format(store=store, up=f"{store}/ra/diff", work=f"{store}/ra/work") + BINDS.format(id=A)
    spaces = {"pid": 4026532001, "mnt": 4026532002}
    return builder.process(70, "web", cgroups=f"/docker/{A}", namespaces=spaces, mountinfo=mounts)


def ask(builder: FakeHost, path: str) -> list[tuple[str, str, str | None, bool]]:
    """Return container, role, place inside and whether it runs, of all who have a path."""
    with builder.open() as host:
        found = owners(host, path, Observer(host, groups=False).tick().containers)
    return [(claim.container[:1], claim.role, claim.inside, claim.running) for claim in found]


@pytest.mark.parametrize(
    ("path", "role", "inside"),
    [
        (f"{D}/overlay2/ra/diff/etc/passwd", "upper", "/etc/passwd"),
        (f"{D}/overlay2/ra/diff", "upper", "/"),
        (f"{D}/overlay2/ra/diff/../diff//etc/", "upper", "/etc"),
        (f"{D}/overlay2/ra/work/work", "work", None),
        (f"{D}/overlay2/ra/link", "state", None),
        (f"{D}/volumes/pg/_data/base/1", "volume", "/var/lib/pg/base/1"),
        ("/srv/www/index.html", "mounted-from", "/www/index.html"),
        (f"{D}/containers/{A}/hosts", "state", "/etc/hosts"),
        (f"{D}/containers/{A}/a-json.log", "state", None),
    ],
)
def test_paths_of_a_running_container(tmp_path: Path, path: str, role: str, inside: str | None) -> None:
    """Layers, volumes, binds and state files are told apart, with the place where the container has them."""
    assert ask(docker(tmp_path), path) == [("a", role, inside, True)]


@pytest.mark.parametrize("path", [f"{D}/overlay2/base/diff/etc", f"{D}/overlay2/l/BASE/etc"])
def test_a_lower_layer_belongs_to_several(tmp_path: Path, path: str) -> None:
    """A layer, by its name or its short link, belongs to all containers over it, those that are stopped too."""
    assert ask(docker(tmp_path), path) == [("a", "lower", "/etc", True), ("b", "lower", "/etc", False)]


def test_a_stopped_container(tmp_path: Path) -> None:
    """The store's files tell the layers, the binds and the state of a container that does not run."""
    builder = docker(tmp_path)
    assert ask(builder, f"{D}/overlay2/rb/diff/x") == [("b", "upper", "/x", False)]
    assert ask(builder, f"{D}/containers/{B}/config.v2.json") == [("b", "state", None, False)]
    assert ask(builder, "/srv/b/x") == [("b", "mounted-from", None, False)]


def test_the_store_itself(tmp_path: Path) -> None:
    """The store's own directory, or one around it, holds what it holds; one that is above all stores is nobody's."""
    builder = docker(tmp_path)
    with builder.open() as host:
        containers = Observer(host, groups=False).tick().containers
        for path in (f"{D}/overlay2", D):
            found = owners(host, path, containers)
            assert {claim.container for claim in found} == {A, B}
            assert all(claim.holds for claim in found)
        assert owners(host, "/var", containers) == ()
        lines = ["".join(text for text, _ in line) for line in owner_lines(D, owners(host, D, containers))]
    assert lines[1].startswith("rb (docker bbbbbbbbbbbb, stopped): holds its ")


def test_a_store_that_a_container_has_mounted(tmp_path: Path) -> None:
    """Whoever has all of the machine mounted has the store too; what the store holds is told none the less."""
    builder = docker(tmp_path)
    everything = "80 1 0:60 / / rw - tmpfs t rw\n81 80 254:0 / /host ro - ext4 /dev/vda rw\n"
    builder.process(90, "exporter", namespaces={"pid": 4026532011, "mnt": 4026532012}, mountinfo=everything)
    with builder.open() as host:
        found = owners(host, f"{D}/overlay2", Observer(host, groups=False).tick().containers)
    assert [(one.role, one.inside) for one in found if not one.holds] == [("mounted-from", f"/host{D}/overlay2")]
    assert {one.container for one in found if one.holds} == {A, B}
    lines = ["".join(text for text, _ in line) for line in owner_lines(D, found)]
    assert [line.partition(": ")[2].split(" ")[0] for line in lines] == ["mounted", "holds", "holds"]


def test_nobodys(tmp_path: Path) -> None:
    """A path that nobody has, also a layer in the store that no container uses, belongs to nobody."""
    builder = docker(tmp_path).file(f"{D}/overlay2/unused/diff/x", "")
    assert ask(builder, f"{D}/overlay2/unused/diff/x") == []
    assert ask(builder, "/etc/passwd") == []
    assert ask(builder, f"{D}/overlay2/ra2/diff") == []


def test_podman_and_the_sandbox(tmp_path: Path) -> None:
    """Stopped containers of Podman and of our sandbox are known from their own files, wherever the store is."""
    builder = FakeHost(tmp_path)
    entry = {"id": B, "names": ["db"], "layer": "rb"}
    builder.file("/home/x/storage/overlay-containers/containers.json", json.dumps([entry, 7, {"id": "../x"}]))
    builder.file("/home/x/storage/overlay/rb/lower", "l/TOP").link("/home/x/storage/overlay/l/TOP", "../t/diff")
    assert ask(builder, "/home/x/storage/overlay/rb/diff/f") == [("b", "upper", "/f", False)]
    assert ask(builder, "/home/x/storage/overlay/t/diff/f") == [("b", "lower", "/f", False)]
    box = f"/srv/box/containers/{A}"
    data = {"UpperDir": f"{box}/upper", "WorkDir": f"{box}/work", "MergedDir": f"{box}/merged", "LowerDir": "/"}
    state = {"Id": A, "Name": "box", "GraphDriver": {"Data": data}, "Mounts": [{"Source": "/s", "Destination": "/d"}]}
    builder.file(f"{box}/state.json", json.dumps(state))
    assert ask(builder, f"{box}/upper/f") == [("a", "upper", "/f", False)]
    assert ask(builder, f"{box}/state.json") == [("a", "state", None, False)]
    assert ask(builder, "/etc/passwd") == []  # the machine's own root as image makes nothing of it the container's


@pytest.mark.parametrize("text", ["", "[", "7", '{"Id": 5}', "[[]]", '{"MountPoints": {"a": 7, "b": {"Source": 5}}}'])
def test_files_that_make_no_sense(tmp_path: Path, text: str) -> None:
    """Metadata that is empty, cut off or of another shape claims nothing and breaks nothing."""
    builder = docker(tmp_path)
    for path in (f"containers/{B}/config.v2.json", f"containers/{B}/state.json", "overlay-containers/containers.json"):
        builder.file(f"{D}/{path}", text)
    assert ask(builder, f"{D}/overlay2/rb/diff/x") == [("b", "upper", "/x", False)]


def test_metadata_leads_nowhere_else(tmp_path: Path) -> None:
    """A layer's name with a slash is refused, a link in place of the file is not followed, a FIFO is not waited for."""
    builder = docker(tmp_path)
    place = f"{D}/image/overlay2/layerdb/mounts/{B}/mount-id"
    builder.file(place, "../../../etc")
    assert ask(builder, "/etc/x") == []
    builder.link(place, f"{tmp_path}{D}/image/overlay2/layerdb/mounts/{A}/mount-id")
    assert ask(builder, f"{D}/overlay2/rb/diff/x") == []
    os.unlink(f"{tmp_path}{place}")
    os.mkfifo(f"{tmp_path}{place}")
    assert ask(builder, f"{D}/overlay2/rb/diff/x") == []


def test_a_copy_of_the_hosts_mounts_is_no_claim(tmp_path: Path) -> None:
    """Of a container on the host's own root (`unshare`), only what it mounted elsewhere itself comes from the host."""
    copied = "90 27 254:0 /srv/www /srv/www rw - ext4 /dev/vda rw\n"
    builder = FakeHost(tmp_path)
    builder.mountinfo(builder.mounts() + copied)
    mounts = builder.mounts() + copied + "91 27 254:0 /srv/data /mnt rw - ext4 /dev/vda rw\n"
    builder.process(70, "sh", namespaces={"pid": 4026532001, "mnt": 4026532002}, mountinfo=mounts)
    assert ask(builder, "/srv/www/x") == []
    assert ask(builder, "/srv/data/x") == [("p", "mounted-from", "/mnt/x", True)]


@pytest.mark.parametrize("told", ["-M\0web", "--settings=no"])
@pytest.mark.parametrize("root", ["/ / rw - ext4 /dev/vda rw", "/var/lib/machines/web / rw - ext4 /dev/vda rw"])
def test_a_machine_that_is_being_started(tmp_path: Path, told: str, root: str) -> None:
    """Before it has a root of its own, or its name can be told, a machine's directory is its own all the same."""
    builder = FakeHost(tmp_path).file("/var/lib/machines/web/etc/x", "")
    builder.process(60, "systemd-nspawn", cmdline=f"systemd-nspawn\0{told}\0")
    spaces = {"pid": 4026532001, "mnt": 4026532002}
    builder.process(70, "sh", ppid=60, namespaces=spaces, mountinfo=f"80 1 254:0 {root}\n")
    with builder.open() as host:
        found = owners(host, "/var/lib/machines/web/etc", Observer(host, groups=False).tick().containers)
    named = "--settings" not in told or "machines" in root
    assert [(one.name, one.role, one.inside, one.running) for one in found] == [("web", "merged", "/etc", named)]


def test_layers_named_from_where_they_were_mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a person mounted with relative names is not looked for where we stand: what is there is somebody else's."""
    mounts = "80 1 0:50 / / rw - overlay o rw,lowerdir=low,upperdir=up,workdir=work\n"
    builder = FakeHost(tmp_path).process(70, namespaces={"pid": 4026532001, "mnt": 4026532002}, mountinfo=mounts)
    for name in ("low", "up", "work"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    with builder.open() as host:
        (one,) = Observer(host, groups=False).tick().containers
        assert claims_of(host, one) == ()
        assert walker(one.id, (one,))(host) == UNPLACED
        with pytest.raises(InspectorError, match="process 70: its layers are named from where they were mounted"):
            write_changes(host, "70")
        with pytest.raises(NoSuchProcess):
            write_changes(host, "71")
    builder.mountinfo(builder.mounts() + mounts.replace(" / / ", " / /srv/tree "))
    with builder.open() as host:  # where it is mounted here is known all the same
        assert [(claim.role, claim.path) for claim in claims_of(host, one)] == [("merged", "/srv/tree")]


def test_another_way_to_the_store(tmp_path: Path) -> None:
    """A store that is reached through a link has the same owners: what counts is the directory, not its name."""
    builder = docker(tmp_path).link("/data", f"{tmp_path}{D}")
    assert ask(builder, "/data/overlay2/ra/diff/etc") == [("a", "upper", "/etc", True)]


def test_hostile_names_are_made_visible() -> None:
    """Names with escape sequences and newlines cannot do anything to a terminal."""
    claim = Claim(A, "x\x1b[31m", "docker", running=True, role="upper", path="/s\n", inside="/\x07")
    (line,) = owner_lines("/s\n", (claim,))
    assert "".join(text for text, _ in line).isprintable()
    assert owner_lines("/\x1b", ()) == [[("/\\x1b belongs to no container", "")]]
