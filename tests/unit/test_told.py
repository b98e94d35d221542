"""What a container's manager tells those inside: by systemd's container interface, and Podman's and Docker's files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.absence import Absence
from inspector.kernel.host import Host
from inspector.model import Container, Told
from inspector.told import parse_containerenv, read_told
from inspector.viewpoint import Viewpoint
from tests.fakehost import FakeHost
from tests.unit.observing import ID, look, own
from tests.unit.test_observe import inside

MANAGER, PID_1, SYSTEMD = "/run/host/container-manager", "/proc/1/environ", "/run/systemd/container"
PODMAN, DOCKER, OURS = "/run/.containerenv", "/.dockerenv", "/proc/7/environ"
CONTAINERENV = f'engine="podman-4.3.1"\nname="web"\nid="{ID}"\nimage="localhost/busybox:1"\nrootless=0\n'


def ourselves(fake: FakeHost) -> Container:
    """Return the one container that is seen from inside it."""
    (found,) = look(fake).containers
    return found


@pytest.mark.parametrize(
    ("files", "runtime", "source"),
    [
        ({PID_1: "PATH=/bin\0container=lxc\0"}, "lxc", "the environment of PID 1"),
        ({PID_1: "container=systemd-nspawn\0"}, "nspawn", "the environment of PID 1"),
        ({PID_1: "container=\0xcontainer=lxc\0"}, None, ""),
        ({MANAGER: "systemd-nspawn\n", PID_1: "container=lxc\0"}, "nspawn", MANAGER),
        ({SYSTEMD: "lxc"}, "lxc", SYSTEMD),
        ({PID_1: "container=oci\0", PODMAN: ""}, "podman", PODMAN),
        ({PODMAN: 'engine="buildah-1.28.2"\n'}, "buildah", PODMAN),
        ({DOCKER: ""}, None, ""),
        ({PID_1: "container=lxc\0", DOCKER: "", PODMAN: CONTAINERENV}, "lxc", "the environment of PID 1"),
        ({PID_1: "A=1\0", OURS: "container=lxc\0"}, None, ""),
    ],
)
def test_who_made_the_container_we_are_in(
    tmp_path: Path, files: dict[str, str], runtime: str | None, source: str
) -> None:
    """From inside, the runtime is what its manager tells, the evidence says where, and the first that tells counts."""
    fake = inside(tmp_path, "v1", true_root=False).file(PID_1, "A=1\0")
    for path, text in files.items():
        fake.file(path, text)
    found = ourselves(fake)
    assert found.runtime == runtime
    assert [text for text in found.evidence if " by " in text] == ([f"{runtime} by {source}"] if runtime else [])


def test_dockers_file_counts_beside_dockers_directory(tmp_path: Path) -> None:
    """A machine made out of a Docker image has /.dockerenv too, and with it what `unshare` makes there."""
    fake = inside(tmp_path, "v1", true_root=False).file(PID_1, "").file(DOCKER, "")
    bound = fake.mounts() + f"90 27 254:0 /data/containers/{ID}/hostname /etc/hostname rw - ext4 /dev/vda rw\n"
    fake.mountinfo(bound, 1).mountinfo(bound, 7)
    found = ourselves(fake)
    assert (found.runtime, found.id) == ("docker", ID)
    assert f"docker by {DOCKER}" in found.evidence


def test_podman_tells_name_and_image(tmp_path: Path) -> None:
    """In a privileged container of Podman its name, image and id are those that it has outside."""
    fake = inside(tmp_path, "v1", true_root=False).file(PID_1, "container=podman\0")
    found = ourselves(fake.file(PODMAN, CONTAINERENV))
    assert (found.runtime, found.id, found.name, found.image) == ("podman", ID, "web", "localhost/busybox:1")


@pytest.mark.parametrize("text", ['id="../../x"\nname=""\n', "", 'id="\n'])
def test_an_id_that_is_none_is_not_taken(tmp_path: Path, text: str) -> None:
    """What is no id of Podman's leaves the container its namespace's, and its host's name."""
    found = ourselves(inside(tmp_path, "v1", true_root=False).file(PODMAN, text))
    assert (found.runtime, found.id, found.name) == ("podman", f"pid-{own(1)['pid']}", "fake")


@pytest.mark.parametrize("name", ["LXC", "a b", "\x1b[31mlxc", "x" * 33, "../x", "-x", "lxc\n\nlxc"])
def test_what_is_no_name_is_not_taken(tmp_path: Path, name: str) -> None:
    """Anyone inside can write it: no more than a short lower-case word is believed."""
    assert ourselves(inside(tmp_path, "v1", true_root=False).file(MANAGER, name).file(PID_1, "")).runtime is None


@pytest.mark.parametrize("kind", ["fifo", "link", "directory"])
def test_something_else_in_place_of_the_file(tmp_path: Path, kind: str) -> None:
    """A FIFO is not waited for, and no link is followed to the name of something else."""
    fake = inside(tmp_path, "v1", true_root=False).file("/run/host/x", "lxc").file(PID_1, "")
    place = Path(fake.root + MANAGER)
    if kind == "fifo":
        os.mkfifo(place)
    elif kind == "link":
        place.symlink_to("x")
    else:
        place.mkdir()
    assert ourselves(fake).runtime is None


def test_a_group_that_was_ours_alone_stays_ours(tmp_path: Path) -> None:
    """Who is on his way in (`docker exec`) is in the cgroup before he is in the namespace: that shares nothing."""
    fake = inside(tmp_path, "v1", true_root=False)
    fake.cgroup("pids", "/", {"pids.current": "2\n", "tasks": "1\n7\n"})
    with fake.open() as host:
        viewpoint = Viewpoint(host, Absence())
        viewpoint.look("")
        assert not viewpoint.own.crowded
        fake.cgroup("pids", "/", {"pids.current": "4\n"})
        viewpoint.look("")
        assert not viewpoint.own.crowded


class Refusing(Host):
    """A Host as an ordinary user has it, to whom the environment of PID 1 is not shown."""

    def read_prefix(self, path: str, size: int) -> bytes:
        """Refuse one file."""
        if path == PID_1:
            raise PermissionError(13, "Permission denied", path)
        return super().read_prefix(path, size)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({OURS: "container=lxc\0"}, Told("lxc", "our own environment")),
        ({OURS: "HOME=/\0", SYSTEMD: "lxc\n"}, Told("lxc", SYSTEMD)),
        ({OURS: "container=evil\0", MANAGER: "systemd-nspawn\n"}, Told("nspawn", MANAGER)),
        ({OURS: "HOME=/\0"}, None),
    ],
)
def test_as_an_ordinary_user(tmp_path: Path, files: dict[str, str], expected: Told | None) -> None:
    """Who may not read the environment of PID 1 is told by the files, or by the environment inherited from it."""
    fake = inside(tmp_path, "v1", true_root=False).file(PID_1, "container=other\0")
    for path, text in files.items():
        fake.file(path, text)
    absence = Absence()
    with Refusing(fake.root) as host:
        assert read_told(host, absence, own_first=True) == expected
    assert (absence.denied, absence.problems) == ({"process 1"}, [])


def test_with_the_hosts_pids_process_1_is_not_asked(tmp_path: Path) -> None:
    """Process 1 is the machine's init there: what made the machine did not make the container."""
    fake = FakeHost(tmp_path).file(PID_1, "container=lxc\0").process(7, "ctop").viewer(7)
    fake.file(OURS, "container=podman\0")
    with fake.open() as host:
        assert read_told(host, Absence(), own_first=False) == Told("podman", "our own environment")


def test_what_is_mounted_in_it_counts_for_more(tmp_path: Path) -> None:
    """A bwrap started in an LXC container inherits its environment, and is bubblewrap's all the same."""
    fake = inside(tmp_path, "v1", true_root=False)
    fake.process(1, "bwrap", ppid=0, namespaces=own(1, cgroup=4026530001), mountinfo=fake.mounts())
    found = ourselves(fake.file(PID_1, "container=lxc\0"))
    assert found.runtime == "bubblewrap"
    assert not any("lxc" in text for text in found.evidence)


def test_on_the_host_nothing_is_read(tmp_path: Path) -> None:
    """Who is in no container is not told of one by files that lie about."""
    fake = FakeHost(tmp_path).file(PODMAN, CONTAINERENV).file(PID_1, "container=lxc\0")
    assert look(fake).own.told is None


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    """Whatever stands in Podman's file, what comes of it is a runtime's name and text."""
    assert parse_containerenv(text).runtime


@pytest.mark.parametrize(
    ("counted", "tasks", "zombies", "source"),
    [("2\n", "1\n7\n", 0, "cgroup"), ("3\n", "1\n7\n", 0, "processes"), ("3\n", "1\n7\n", 1, "cgroup")],
)
def test_a_v1_group_shared_with_others_is_not_ours(
    tmp_path: Path, counted: str, tasks: str, zombies: int, source: str
) -> None:
    """v1 hides tasks outside our PID namespace but counts them: a group with more of them than it lists has others."""
    fake = inside(tmp_path, "v1", true_root=False)
    fake.cgroup("pids", "/", {"pids.current": counted, "tasks": tasks})
    for number in range(zombies):
        fake.process(20 + number, "gone", state="Z", namespaces=own(1, cgroup=4026530001))
    found = ourselves(fake)
    assert ("memory" in found.owned) is (source == "cgroup")
