"""Names, images and labels out of the runtimes' own files: when they are read, and what may stand there instead."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from inspector.absence import Absence
from inspector.kernel.host import Host
from inspector.metadata import MOST_BYTES, Metadata
from inspector.model import Container
from inspector.observe import Observer
from tests.fakehost import FakeHost
from tests.unit.observing import ID, OTHER, one, own, seen
from tests.unit.opening import Recording
from tests.unit.parts import container, leader, mount, process

DOCKER = f"/var/lib/docker/containers/{ID}/config.v2.json"
PODMAN = "/var/lib/containers/storage/overlay-containers"


def config(name: str, image: str = "nginx:1.27", **labels: str) -> str:
    """Return Docker's file of a container."""
    return json.dumps({"Name": f"/{name}", "Config": {"Image": image, "Labels": labels}})


def made(runtime: str = "docker", **changes: object) -> Container:
    """Return a container of a runtime as it is known before its files are read."""
    return container(ID, runtime=runtime, runtime_id=ID, **changes)


class Shelf:
    """The metadata of one machine, and what became of reading it."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.absence = Absence()
        self.metadata = Metadata(host, self.absence)

    def look(self, one: Container, *, refresh: bool = False) -> Container:
        """Return the container as it is called at a new tick."""
        self.absence.begin()
        self.metadata.begin(refresh=refresh)
        return self.metadata.named(one)


@pytest.mark.parametrize(
    ("runtime", "path", "text", "name", "image"),
    [
        ("docker", DOCKER, config("web"), "web", "nginx:1.27"),
        ("sandbox", f"/var/lib/cgscope/containers/{ID}/state.json", config("busy", "/"), "busy", "/"),
        ("podman", f"{PODMAN}/containers.json",
         json.dumps([{"id": ID, "metadata": json.dumps({"name": "db", "image-name": "pg:17"})}]), "db", "pg:17"),
        ("containerd", f"/run/containerd/io.containerd.runtime.v2.task/k8s.io/{ID}/config.json",
         json.dumps({"annotations": {"nerdctl/name": "n", "nerdctl/image": "i:1"}}), "n", "i:1"),
        ("lxc", f"/var/lib/lxc/{ID}/config", "lxc.rootfs.path = dir:/r\n", ID, "dir:/r"),
    ],
)  # fmt: skip
def test_each_runtime_names_its_container(
    tmp_path: Path, runtime: str, path: str, text: str, name: str, image: str
) -> None:
    """The file that each runtime leaves in its usual place gives name and image."""
    with FakeHost(tmp_path).file(path, text).open() as host:
        shelf = Shelf(host)
        found = shelf.look(made(runtime))
    assert (found.name, found.image) == (name, image)
    assert (shelf.absence.problems, shelf.absence.denied) == ([], set())


def test_two_files_of_one_container_complete_each_other(tmp_path: Path) -> None:
    """Where one file has the name and another the image, both are taken, the likelier file first."""
    fake = FakeHost(tmp_path).file(f"{PODMAN}/{ID}/userdata/config.json", '{"annotations": {"nerdctl/name": "first"}}')
    fake.file(f"{PODMAN}/containers.json", json.dumps([{"id": ID, "names": ["second"], "image": "pg:17"}]))
    with fake.open() as host:
        found = Shelf(host).look(made("podman"))
    assert (found.name, found.image) == ("first", "pg:17")


def test_a_pod_without_a_name_goes_by_its_id(tmp_path: Path) -> None:
    """Where Podman's database is of another kind, or cannot be read, the pod is called by the beginning of its id."""
    annotations = {"nerdctl/name": "web", "nerdctl/image": "x", "io.kubernetes.cri-o.SandboxID": "cd" * 32}
    fake = FakeHost(tmp_path).file(f"{PODMAN}/{ID}/userdata/config.json", json.dumps({"annotations": annotations}))
    with fake.open() as host:
        assert Shelf(host).look(made("podman")).pod == "cd" * 6


def test_labels_and_the_rest_as_it_was(tmp_path: Path) -> None:
    """Labels come with the name; nothing else of the container changes."""
    with FakeHost(tmp_path).file(DOCKER, config("web", team="shop")).open() as host:
        found = Shelf(host).look(made())
    assert found == made()._replace(name="web", image="nginx:1.27", labels={"team": "shop"})


def test_a_name_is_remembered_until_the_refresh(tmp_path: Path) -> None:
    """Between refreshes no file is opened and the name stays; a container renamed meanwhile is so at the refresh."""
    fake = FakeHost(tmp_path).file(DOCKER, config("web"))
    with Recording(fake.root) as host:
        shelf = Shelf(host)
        assert shelf.look(made()).name == "web"
        fake.file(DOCKER, config("renamed"))
        host.opened.clear()
        assert shelf.look(made()).name == "web"
        assert host.opened == []
        assert shelf.look(made(), refresh=True).name == "renamed"


def test_a_file_that_says_the_same_is_not_parsed_again(tmp_path: Path) -> None:
    """At a refresh every file is read again, and of one that says what it said the name is the very same."""
    fake = FakeHost(tmp_path).file(DOCKER, config("web", team="shop"))
    with Recording(fake.root) as host:
        shelf = Shelf(host)
        first = shelf.look(made())
        for _ in range(2):
            host.opened.clear()
            assert shelf.look(made(), refresh=True).name is first.name
            assert len(host.opened) == 1
        fake.file(DOCKER, config("web", team="shops"))
        assert shelf.look(made(), refresh=True).labels == {"team": "shops"}
        fake.file(DOCKER, config("web", team="shop"))
        assert shelf.look(made(), refresh=True) == first


def test_a_name_that_comes_late(tmp_path: Path) -> None:
    """A container whose file is not there yet keeps its id as its name until the refresh after the file came."""
    fake = FakeHost(tmp_path)
    with fake.open() as host:
        shelf = Shelf(host)
        assert shelf.look(made()) == made()
        fake.file(DOCKER, config("late"))
        assert shelf.look(made(), refresh=True).name == "late"
    assert shelf.absence.problems == []


def test_a_container_that_was_seen_while_it_started(tmp_path: Path) -> None:
    """Docker with a data root of its own: as long as runc has not entered the container's root nothing leads to it.

    As soon as the container's own program runs it has its name, and without a refresh.
    """
    fake = FakeHost(tmp_path).file(f"/data/docker/containers/{ID}/config.v2.json", config("web"))
    overlay = mount("30 1 0:50 / / rw - overlay overlay rw,lowerdir=/l,upperdir=/data/docker/overlay2/x/diff,workdir=/")
    starting = made(leader=leader(process(100, 4026540001, comm="runc:[2:INIT]")))
    running = made(leader=leader(process(100, 4026540001, comm="nginx"), root=overlay))
    with Recording(fake.root) as host:
        shelf = Shelf(host)
        assert shelf.look(starting).name == starting.name
        host.opened.clear()
        assert shelf.look(starting).name == starting.name
        assert host.opened == []  # not looked for at every tick
        found = shelf.look(running)
    assert (found.name, found.image) == ("web", "nginx:1.27")


def test_a_container_whose_root_leads_nowhere_yet(tmp_path: Path) -> None:
    """Docker with a data root of its own: what runc was given leads to it, below the directory that the shim is in."""
    state = "/run/docker/containerd/daemon/io.containerd.runtime.v2.task/moby"
    hostname = {"destination": "/etc/hostname", "source": f"/data/docker/containers/{ID}/hostname"}
    fake = FakeHost(tmp_path).file(f"/data/docker/containers/{ID}/config.v2.json", config("web"))
    fake.file(f"{state}/{ID}/config.json", json.dumps({"mounts": [None, {"destination": "/proc"}, hostname]}))
    fake.file(f"{state}/{OTHER}/config.json", json.dumps({"mounts": {"source": 7}}))
    first = leader(process(100, 4026540001, comm="runc:[2:INIT]"))._replace(parent_directory=f"{state}/{ID}")
    with fake.open() as host:
        shelf = Shelf(host)
        found = shelf.look(made(leader=first))
        other = shelf.look(made(leader=first)._replace(id=OTHER, name=OTHER, runtime_id=OTHER))
    assert (found.name, found.image) == ("web", "nginx:1.27")
    assert (other.name, other.image) == (OTHER, "unknown")
    assert shelf.absence.problems == []


@pytest.mark.parametrize(
    ("command", "directory"),
    [
        ("python3 -P /usr/bin/sandbox run -d --name web app", "/data/own/containers/{}"),  # $CGSCOPE_ROOT
        ("python3 -P /usr/bin/sandbox --root /data/own run --rm --name web app", "/home/user"),
    ],
)
def test_a_sandbox_whose_root_leads_nowhere_yet(tmp_path: Path, command: str, directory: str) -> None:
    """Ours with a state directory of its own: where its monitor is leads to it, or what that was told."""
    fake = FakeHost(tmp_path).file(f"/data/own/containers/{ID}/state.json", config("web", "app"))
    first = leader(process(100, 4026540001, comm="python3"))
    first = first._replace(parent_cmdline=command, parent_directory=directory.format(ID))
    with fake.open() as host:
        shelf = Shelf(host)
        found = shelf.look(made("sandbox", leader=first))
        others = f"/data/own/containers/{OTHER}"
        elsewhere = first._replace(parent_cmdline="sandbox --root . run", parent_directory=others)
        other = Shelf(host).look(made("sandbox", leader=elsewhere))
    assert (found.name, found.image) == ("web", "app")
    assert other.image == "unknown"


@pytest.mark.parametrize("source", ["/a\0b/containers/x/hostname", "/\ud83d/containers/x/hostname", "containers/x/y"])
def test_what_runc_was_given_leads_nowhere(tmp_path: Path, source: str) -> None:
    """Any user can be the parent in such a directory, and write such a file: it hides nothing but his own name."""
    state = "/tmp/io.containerd.runtime.v2.task/moby"  # noqa: S108  a path of the fake machine
    document = json.dumps({"mounts": [{"destination": "/etc/hostname", "source": source}]})
    fake = FakeHost(tmp_path).file(f"{state}/{ID}/config.json", document)
    with fake.open() as host:
        shelf = Shelf(host)
        found = shelf.look(made(leader=leader(process(100, 4026540001))._replace(parent_directory=f"{state}/{ID}")))
    assert (found.name, found.image) == (made().name, "unknown")
    assert shelf.absence.problems == []


def test_a_container_that_is_started_again(tmp_path: Path) -> None:
    """It is what its files say now, though its id is the same, and may be another than that which had the id before."""
    fake = FakeHost(tmp_path)

    def seen_as(shelf: Shelf, identifier: str, pid: int, image: str) -> tuple[str, str]:
        fake.file(f"/var/lib/lxc/{identifier}/config", f"lxc.rootfs.path = dir:{image}\n")
        one = container("same", runtime="lxc", runtime_id=identifier, leader=leader(process(pid, 1, 2)))
        found = shelf.look(one)
        return found.name, found.image

    with fake.open() as host:
        shelf = Shelf(host)
        assert seen_as(shelf, "web", 100, "/a") == ("web", "dir:/a")
        assert seen_as(shelf, "web", 100, "/b") == ("web", "dir:/a")
        assert seen_as(shelf, "web", 200, "/b") == ("web", "dir:/b")
        assert seen_as(shelf, "db", 300, "/c") == ("db", "dir:/c")
        for pid in range(400, 410):  # one that crashes again and again, until somebody gives it another image
            assert seen_as(shelf, "db", pid, f"/{pid}") == ("db", f"dir:/{pid}")


def test_a_container_cannot_make_us_look_at_every_tick(tmp_path: Path) -> None:
    """Executing another program makes nobody look; with another root each time, files are read a few times at most."""
    with Recording(FakeHost(tmp_path).root) as host:
        shelf, opened = Shelf(host), []
        for number in range(20):
            program = process(100, 4026540001, comm=f"program{number}")
            shelf.look(made(leader=leader(program)))
            opened.append(len(host.opened))
        assert opened[0]
        assert opened[1:] == opened[:1] * 19
        for number in range(20):
            text = f"30 1 0:50 / / rw - overlay overlay rw,upperdir=/r{number}/docker/overlay2/x/diff"
            shelf.look(made(leader=leader(process(100, 4026540001), root=mount(text))))
            opened.append(len(host.opened))
    assert opened[-1] > opened[0]
    assert opened[-1] == opened[-10]


def test_a_shared_file_is_read_once_a_tick(tmp_path: Path) -> None:
    """Podman's one list of all containers is read once for all of them."""
    entries = [{"id": identifier, "names": [identifier[0]], "image": "i"} for identifier in (ID, "b" * 64)]
    fake = FakeHost(tmp_path).file(f"{PODMAN}/containers.json", json.dumps(entries))
    with Recording(fake.root) as host:
        metadata = Metadata(host, Absence())
        metadata.begin(refresh=True)
        containers = [made("podman"), made("podman")._replace(id="b" * 64, runtime_id="b" * 64)]
        assert [metadata.named(one).name for one in containers] == ["a", "b"]
        # Two files of each container's own were tried, and the list once: each trial opens the store.
        assert len(host.since("/var/lib/containers/storage")) == 3


def test_a_store_that_is_not_there_is_looked_for_once_a_tick(tmp_path: Path) -> None:
    """All containers of a runtime without its store cost one look for that, until the next tick; then it may be."""
    fake = FakeHost(tmp_path)
    with Recording(fake.root) as host:
        metadata = Metadata(host, Absence())
        for _ in range(2):
            metadata.begin(refresh=True)
            for digit in "abc":
                metadata.named(made()._replace(id=digit * 64, runtime_id=digit * 64))
        assert len(host.since("/var/lib/docker")) == 2
        fake.file(DOCKER, config("late"))
        metadata.begin(refresh=True)
        assert metadata.named(made()).name == "late"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(config("web")[:-5], id="truncated"),
        pytest.param(b"\x00\xff\xfe\x1b[31m", id="binary"),
        pytest.param("[]", id="another kind of JSON"),
        pytest.param("[" * 100_000, id="nested without end"),
    ],
)
def test_a_file_that_makes_no_sense(tmp_path: Path, text: str | bytes) -> None:
    """A file cut off, binary or hostile is one printable problem that quotes nothing; the container is shown by id."""
    with FakeHost(tmp_path).file(DOCKER, text).open() as host:
        shelf = Shelf(host)
        assert shelf.look(made()) == made()
    (problem,) = shelf.absence.problems
    assert problem.startswith(DOCKER)
    assert problem.isprintable()
    assert len(problem) < 300


def test_what_made_no_sense_is_told_of_at_every_tick(tmp_path: Path) -> None:
    """Two looks are one table: what went wrong at the first is told at the second, until the file is mended."""
    fake = FakeHost(tmp_path).file(DOCKER, config("web")[:-5])
    with fake.open() as host:
        shelf = Shelf(host)
        found = []
        for refresh in (False, False, True):
            shelf.look(made(), refresh=refresh)
            found.append([problem.startswith(DOCKER) for problem in shelf.absence.problems])
        fake.file(DOCKER, config("web"))
        shelf.look(made(), refresh=True)
    assert (found, shelf.absence.problems) == ([[True]] * 3, [])


class Written(Host):
    """A machine with a file that was being written when it was first read."""

    reads = 0

    def read_inside(self, store: str, relative: str, size: int) -> bytes:
        """Return the beginning at first."""
        self.reads += 1
        data = super().read_inside(store, relative, size)
        return data[:20] if self.reads == 1 else data


def test_a_file_that_is_written_meanwhile_is_read_again(tmp_path: Path) -> None:
    """One half-written read is no problem and costs no name until the next refresh."""
    with Written(FakeHost(tmp_path).file(DOCKER, config("web")).root) as host:
        shelf = Shelf(host)
        assert shelf.look(made()).name == "web"
    assert (host.reads, shelf.absence.problems) == (2, [])


def test_a_huge_file_is_cut(tmp_path: Path) -> None:
    """Of a file beyond any sane size no more than a part is read: what is left is no JSON, and nothing is named."""
    fake = FakeHost(tmp_path).file(DOCKER, config("web"))
    os.truncate(fake.root + DOCKER, MOST_BYTES * 4)
    with fake.open() as host:
        shelf = Shelf(host)
        assert shelf.look(made()) == made()
    assert len(shelf.absence.problems) == 1


@pytest.mark.parametrize("what", ["fifo", "directory", "link", "link to a directory"])
def test_something_else_than_a_file(tmp_path: Path, what: str) -> None:
    """A FIFO is not waited for, a link not followed, a directory not read: the container is shown by its id."""
    fake = FakeHost(tmp_path).file("/elsewhere/config.v2.json", config("stolen"))
    place = Path(fake.root + DOCKER)
    if what == "link to a directory":
        fake.link(os.path.dirname(DOCKER), f"{fake.root}/elsewhere")
    else:
        place.parent.mkdir(parents=True)
        if what == "fifo":
            os.mkfifo(place)
        elif what == "directory":
            place.mkdir()
        else:
            fake.link(DOCKER, f"{fake.root}/elsewhere/config.v2.json")
    with fake.open() as host:
        shelf = Shelf(host)
        assert shelf.look(made()) == made()
    assert len(shelf.absence.problems) <= 1


class Refusing(Host):
    """A machine whose stores we may not read."""

    def read_inside(self, store: str, relative: str, size: int) -> bytes:
        """Refuse, as the kernel refuses another user's directory."""
        del size
        raise PermissionError(errno.EACCES, "Permission denied", f"{store}/{relative}")


def test_an_unreadable_store_is_counted_at_every_tick(tmp_path: Path) -> None:
    """A store we may not read counts as denied at every tick, and the container is still shown."""
    fake = FakeHost(tmp_path).process(100, cgroups=f"/docker/{ID}", namespaces=own(1))
    with Refusing(fake.root) as host:
        observer = Observer(host, groups=False)
        ticks = [observer.tick() for _ in range(3)]
    assert [(tick.denied, tick.denied_files) for tick in ticks] == [(1, 1)] * 3
    assert [one(tick, ID).name for tick in ticks] == [ID[:12]] * 3
    assert ticks[-1].problems == ()


@pytest.mark.parametrize("changes", [{"runtime": None}, {"kind": "service", "runtime": "systemd"}, {"kind": "cgroup"}])
def test_what_has_no_files(tmp_path: Path, changes: dict[str, object]) -> None:
    """For a service, a control group or a container of no known runtime, no file is looked for."""
    with Recording(FakeHost(tmp_path).file(DOCKER, config("web")).root) as host:
        plain = made()._replace(**changes)  # type: ignore[arg-type]  # the fields that the test is about
        assert Shelf(host).look(plain) == plain
        assert host.opened == []


def test_hostile_names_come_through_as_data(tmp_path: Path) -> None:
    """A name and labels with escape sequences are data, in the document as in the file."""
    fake = FakeHost(tmp_path).file(DOCKER, config("\x1b[31mx", "\u202ei", **{"\x07": "\x9b"}))
    fake.process(100, cgroups=f"/docker/{ID}", namespaces=own(1))
    (found,) = [one for one in seen(fake)["containers"] if one["kind"] == "container"]
    assert (found["name"], found["image"], found["labels"]) == ("\x1b[31mx", "\u202ei", {"\x07": "\x9b"})


def test_the_id_that_a_runtime_knows(tmp_path: Path) -> None:
    """Files are looked for under the runtime's own id, where ours is made unique by a path."""
    fake = FakeHost(tmp_path).file("/var/lib/lxc/web/config", "lxc.rootfs.path = dir:/r\n")
    first = leader(process(100, 4026540001), "/lxc.payload.web")
    lxc = container("web", id="/lxc.payload.web", runtime="lxc", runtime_id="web", leader=first)
    with fake.open() as host:
        assert Shelf(host).look(lxc).image == "dir:/r"
