"""inspector.claims: what the stores of containerd, LXC, nspawn and Podman say belongs to a container."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inspector.absence import Absence
from inspector.claims import stored
from inspector.kernel.host import Host
from inspector.layers import Claim
from inspector.nsinspect.rootfs import write_owner
from inspector.observe import Observer
from inspector.owner import owners
from tests.fakehost import FakeHost
from tests.unit.observing import ID, own
from tests.unit.test_stores import Buckets, bolt

HOSTS = Path(__file__).parent.parent / "hosts"
# Of a containerd 1.6.20 on this project's test machine: `ctr run -d localhost/bbp:1 c1 sleep 300`, and its snapshots.
META = gzip.decompress((HOSTS / "containerd-meta.db.gz").read_bytes())
SNAPSHOTS = gzip.decompress((HOSTS / "containerd-snapshots.db.gz").read_bytes())
C = "/var/lib/containerd"
SNAPSHOTTER = "io.containerd.snapshotter.v1.overlayfs"
HOME = f"{C}/{SNAPSHOTTER}/snapshots"


def containerd(root: Path, meta: bytes = META, snapshots: bytes = SNAPSHOTS) -> FakeHost:
    """Make a machine with containerd's databases of a container `c1`."""
    fake = FakeHost(root).file(f"{C}/io.containerd.metadata.v1.bolt/meta.db", meta)
    return fake.file(f"{C}/{SNAPSHOTTER}/metadata.db", snapshots)


def ask(fake: FakeHost, path: str) -> list[tuple[str, str | None, bool, str, str | None]]:
    """Return name, runtime, whether it runs, role and place inside of all who have a path."""
    with fake.open() as host:
        found = owners(host, path, Observer(host, groups=False).tick().containers)
    return [(one.name, one.runtime, one.running, one.role, one.inside) for one in found]


@pytest.mark.parametrize(
    ("path", "role", "inside"),
    [
        (f"{HOME}/2/fs/etc/motd", "upper", "/etc/motd"),
        (f"{HOME}/2/work", "work", None),
        (f"{HOME}/2", "state", None),
        (f"{HOME}/1/fs/bin", "lower", "/bin"),
    ],
)
def test_a_stopped_container_of_containerd(tmp_path: Path, path: str, role: str, inside: str | None) -> None:
    """From container to snapshot key, to the snapshot's name, to its number and its parents."""
    assert ask(containerd(tmp_path), path) == [("c1", "containerd", False, role, inside)]


def test_a_running_container_of_containerd_is_one(tmp_path: Path) -> None:
    """That it runs is told by its layers, and it is not told twice."""
    options = f"lowerdir={HOME}/1/fs,upperdir={HOME}/2/fs,workdir={HOME}/2/work"
    mounts = f"80 1 0:50 / / rw - overlay overlay rw,{options}\n"
    shim = "/usr/bin/containerd-shim-runc-v2\0-namespace\0default\0-id\0c1\0"
    fake = containerd(tmp_path).process(60, "shim", cmdline=shim)
    fake.process(70, "sleep", ppid=60, cgroups="/default/c1", namespaces=own(1), mountinfo=mounts)
    assert ask(fake, f"{HOME}/2/fs/x") == [("c1", "containerd", True, "upper", "/x")]
    assert ask(fake, f"{HOME}/1/fs/x") == [("c1", "containerd", True, "lower", "/x")]


def test_containerds_root_holds_its_containers(tmp_path: Path) -> None:
    """Asked about its root directory, the containers it holds are named, with what it holds of each."""
    with containerd(tmp_path).open() as host:
        found = owners(host, C, ())
    assert {(one.name, one.holds) for one in found} == {("c1", True)}
    assert [one.role for one in found] == ["upper", "work", "lower", "state"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(st.data())
def test_damaged_databases_claim_something_or_nothing(tmp_path: Path, data: st.DataObject) -> None:
    """Whatever bytes of the databases are changed, nothing is raised and nothing outside the store is claimed."""
    damaged = []
    for whole in (META, SNAPSHOTS):
        part = bytearray(whole[: data.draw(st.integers(len(whole) // 2, len(whole)))])
        for _ in range(data.draw(st.integers(0, 20))):
            part[data.draw(st.integers(0, min(len(part), 1 << 16) - 1))] = data.draw(st.integers(0, 255))
        damaged.append(bytes(part))
    with containerd(tmp_path, *damaged).open() as host:
        claims = [one for one in stored(host, C, Absence()) if one.role not in ("mounted-from", "volume")]
    assert all(one.path.startswith(f"{HOME}/") for one in claims)


class Torn(Host):
    """A machine whose databases are being written: the first reads give their beginning alone."""

    left = 0

    def read_inside(self, store: str, relative: str, size: int) -> bytes:
        """Return half of a database so many times."""
        data = super().read_inside(store, relative, size)
        if len(data) > len(SNAPSHOTS) // 2 and self.left:
            self.left -= 1
            return data[: 4 * 4096]
        return data


@pytest.mark.parametrize(("times", "claims", "problems"), [(0, 4, 0), (1, 4, 0), (2, 4, 0), (99, 0, 1)])
def test_a_database_that_is_written_meanwhile(tmp_path: Path, times: int, claims: int, problems: int) -> None:
    """What is torn is read again; where it stays torn that is said, and nothing is claimed."""
    absence = Absence()
    with Torn(containerd(tmp_path).root) as host:
        host.left = times
        found = stored(host, C, absence)
    assert (len(found), len(absence.problems)) == (claims, problems)
    assert all(text.startswith(f"{C}: ") for text in absence.problems)


def test_the_owner_command_says_what_it_could_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody's is not the same as not known: a database that makes no sense is told, in text and in JSON."""
    junk = b"\xff" * 9000
    with containerd(tmp_path, junk, junk).open() as host:
        assert write_owner(host, "/srv/x") == 1
        assert write_owner(host, "/srv/x", as_json=True) == 1
    told = capsys.readouterr()
    assert f"nsinspect: {C}: cannot parse meta.db" in told.err
    assert json.loads(told.out)["problems"][0].startswith(f"{C}: cannot parse meta.db")


class Refusing(Host):
    """A machine whose stores only root may read."""

    def read_inside(self, store: str, relative: str, size: int) -> bytes:
        """Refuse, as the kernel refuses another user's directory."""
        raise PermissionError(13, f"Permission denied: {size} bytes", f"{store}/{relative}")


def test_the_owner_command_says_what_it_may_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An ordinary user is told in one line that others could be asked, and who may ask them."""
    with Refusing(containerd(tmp_path).root) as host:
        assert write_owner(host, "/srv/x") == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "not all was asked" in line]
    assert line.startswith("nsinspect: not all was asked: /")
    assert line.endswith("may not be read (root may)")


LXC = """\
# Template used to create this container: /usr/share/lxc/templates/lxc-debian
lxc.rootfs.path = {root}
lxc.mount.entry = /srv/data srv/data none bind,create=dir 0 0
lxc.mount.entry = proc proc proc nodev 0 0
"""


@pytest.mark.parametrize(
    ("root", "path", "role", "inside"),
    [
        ("dir:/var/lib/lxc/web/rootfs", "/var/lib/lxc/web/rootfs/etc", "merged", "/etc"),
        ("/srv/web", "/srv/web/etc", "merged", "/etc"),
        ("btrfs:/srv/web", "/srv/web", "merged", "/"),
        ("overlay:/srv/base:/srv/web/delta0", "/srv/web/delta0/x", "upper", "/x"),
        ("overlayfs:/srv/base:/srv/web/delta0", "/srv/base/x", "lower", "/x"),
        ("dir:/srv/web", "/var/lib/lxc/web/config", "state", None),
        ("dir:/srv/web", "/srv/data/x", "mounted-from", "/srv/data/x"),
    ],
)
def test_a_stopped_container_of_lxc(tmp_path: Path, root: str, path: str, role: str, inside: str | None) -> None:
    """The configuration tells the root, whatever its backend, and what is bound into it."""
    fake = FakeHost(tmp_path).file("/var/lib/lxc/web/config", LXC.format(root=root))
    assert ask(fake, path) == [("web", "lxc", False, role, inside)]


@pytest.mark.parametrize("text", ["", "lxc.rootfs.path\n", "lxc.rootfs.path = zfs:tank/web\n", "lxc.mount.entry = a\n"])
def test_lxc_configurations_that_tell_no_directory(tmp_path: Path, text: str) -> None:
    """One without a root, or with one that is no directory, claims no directory and breaks nothing."""
    fake = FakeHost(tmp_path).file("/var/lib/lxc/web/config", text).file("/var/lib/lxc/web/rootfs/x", "")
    assert [role for _, _, _, role, _ in ask(fake, "/var/lib/lxc/web/rootfs/x")] in ([], ["state"])


def test_an_lxcpath_of_ones_own(tmp_path: Path) -> None:
    """An lxcpath elsewhere is found through the path in it, but none in a directory where everybody may write."""
    fake = FakeHost(tmp_path).file("/home/u/lxc/web/config", LXC.format(root="dir:/home/u/lxc/web/rootfs"))
    assert ask(fake, "/home/u/lxc/web/rootfs/x") == [("web", "lxc", False, "merged", "/x")]
    fake.file("/scratch/web/config", LXC.format(root="dir:/scratch/victim"))
    assert ask(fake, "/scratch/victim/x") == [("web", "lxc", False, "merged", "/x")]
    os.chmod(f"{fake.root}/scratch", 0o1777)  # noqa: S103  as /tmp is
    assert ask(fake, "/scratch/victim/x") == []


def test_machines_of_nspawn(tmp_path: Path) -> None:
    """A directory or an image file in /var/lib/machines is a machine's; hidden ones are systemd's own."""
    fake = FakeHost(tmp_path).file("/var/lib/machines/web/etc/motd", "").file("/var/lib/machines/db.raw", "")
    fake.file("/var/lib/machines/.#tmp/x", "")
    assert ask(fake, "/var/lib/machines/web/etc/motd") == [("web", "nspawn", False, "merged", "/etc/motd")]
    assert ask(fake, "/var/lib/machines/db.raw") == [("db", "nspawn", False, "merged", None)]
    assert ask(fake, "/var/lib/machines/.#tmp/x") == []
    mounts = "80 1 254:0 /var/lib/machines/web / rw - ext4 /dev/vda rw\n"
    fake.process(60, "nspawn", cmdline="systemd-nspawn\0-M\0web\0")
    fake.process(70, "sleep", ppid=60, namespaces=own(1), mountinfo=mounts)
    assert ask(fake, "/var/lib/machines/web/etc/motd") == [("web", "nspawn", True, "merged", "/etc/motd")]


PODMAN = "/home/u/.local/share/containers/storage"
FUSE = "80 1 0:50 / / rw - fuse.fuse-overlayfs fuse-overlayfs rw,user_id=0,group_id=0\n"


def podman(root: Path, file: str = "containers.json") -> FakeHost:
    """Make a machine with a rootless Podman container on fuse-overlayfs, which is in that list."""
    fake = FakeHost(root).file(f"{PODMAN}/overlay/own/lower", "l/TOP:l/BASE")
    fake.link(f"{PODMAN}/overlay/l/TOP", "../top/diff").link(f"{PODMAN}/overlay/l/BASE", "../base/diff")
    metadata = json.dumps({"name": "web", "image-name": "i:1"})
    entry = {"id": ID, "names": ["web"], "layer": "own", "metadata": metadata}
    fake.file(f"{PODMAN}/overlay-containers/{file}", json.dumps([entry]))
    bundle = f"{PODMAN}/overlay-containers/{ID}/userdata"
    binds = [("/srv/www", "/www"), (f"{PODMAN}/volumes/pg/_data", "/pg"), (f"/run/u/overlay-containers/{ID}/x", "/x")]
    mounts = [{"type": "bind", "source": source, "destination": place} for source, place in binds]
    fake.file(f"{bundle}/config.json", json.dumps({"mounts": [*mounts, {"type": "proc", "source": "proc"}, 7]}))
    return fake.process(60, "conmon", cmdline=f"/usr/bin/conmon\0-c\0{ID}\0-b\0{bundle}\0")


@pytest.mark.parametrize("file", ["containers.json", "volatile-containers.json"])
@pytest.mark.parametrize("running", [True, False])
def test_a_rootless_container_on_fuse_overlayfs(tmp_path: Path, running: bool, file: str) -> None:
    """Though its mount names no layer, those that the store tells are its own, running or stopped, with --rm or not."""
    fake = podman(tmp_path, file)
    if running:
        fake.process(70, "sleep", ppid=60, namespaces=own(1), mountinfo=FUSE)
    assert ask(fake, f"{PODMAN}/overlay/own/diff/x") == [("web", "podman", running, "upper", "/x")]
    assert ask(fake, f"{PODMAN}/overlay/base/diff/x") == [("web", "podman", running, "lower", "/x")]
    assert ask(fake, f"{PODMAN}/overlay-containers/{ID}/userdata/config.json")[0][:4] == (
        "web", "podman", running, "state",
    )  # fmt: skip


def test_what_a_stopped_podman_container_has_mounted(tmp_path: Path) -> None:
    """Its bundle tells volumes and binds; what the runtime gave it is not claimed twice."""
    fake = podman(tmp_path)
    assert ask(fake, f"{PODMAN}/volumes/pg/_data/x") == [("web", "podman", False, "volume", "/pg/x")]
    with fake.open() as host:
        sources = {one.path for one in stored(host, PODMAN, Absence()) if one.role in ("mounted-from", "volume")}
    assert sources == {"/srv/www", f"{PODMAN}/volumes/pg/_data"}


# synthetic: the keys are those of CRI-O's RuntimeContainerMetadata (internal/storage/runtime.go).
def test_a_stopped_container_of_cri_o(tmp_path: Path) -> None:
    """In the store that both use, a container with a pod is CRI-O's."""
    metadata = json.dumps({"pod-name": "web-0", "pod-id": "f" * 64, "image-name": "i:1", "metadata-name": "web"})
    entry = {"id": ID, "names": ["k8s_web_web-0_shop_1_0"], "layer": "own", "metadata": metadata}
    store = "/var/lib/containers/storage"
    fake = FakeHost(tmp_path).file(f"{store}/overlay-containers/containers.json", json.dumps([entry]))
    assert ask(fake, f"{store}/overlay/own/diff/x") == [("k8s_web_web-0_shop_1_0", "cri-o", False, "upper", "/x")]


def test_a_container_of_the_same_name_that_another_runtime_has(tmp_path: Path) -> None:
    """A stopped LXC container does not run because one of containerd's does that is called the same."""
    shim = "/usr/bin/containerd-shim-runc-v2\0-namespace\0default\0-id\0web\0"
    fake = FakeHost(tmp_path).file("/var/lib/lxc/web/config", LXC.format(root="dir:/srv/web"))
    fake.process(60, "shim", cmdline=shim).process(70, "sleep", ppid=60, cgroups="/default/web", namespaces=own(1))
    with fake.open() as host:
        (found,) = owners(host, "/srv/web", Observer(host, groups=False).tick().containers)
    assert found == Claim("web", "web", "lxc", running=False, role="merged", path="/srv/web", inside="/")


# synthetic: moby's daemon/containerd/image_snapshot.go (the key is the container's id), daemon/snapshotter/mount.go and
# daemon/command/daemon.go; the databases in the form of containerd's own, as above.
@pytest.mark.parametrize(
    ("root", "data_root"), [(C, "/var/lib/docker"), ("/srv/docker/containerd/daemon", "/srv/docker")]
)
def test_a_stopped_container_of_docker_on_containerds_store(tmp_path: Path, root: str, data_root: str) -> None:
    """Docker 29 keeps its snapshot in containerd, but not it: it is found, with layers, name and volumes."""
    kept: Buckets = {ID.encode(): {b"name": b"moby/7/rw"}, b"sha256:ab": {b"name": b"moby/5/image"}}
    kept[f"{ID}-init".encode()] = {b"name": b"moby/6/init"}
    own_layers: Buckets = {
        b"moby/5/image": {b"id": b"\x05"},
        b"moby/6/init": {b"id": b"\x06", b"parent": b"moby/5/image"},
        b"moby/7/rw": {b"id": b"\x07", b"parent": b"moby/6/init"},
    }
    meta = bolt({b"v1": {b"moby": {b"snapshots": {b"overlayfs": kept}}}})
    fake = FakeHost(tmp_path).file(f"{root}/io.containerd.metadata.v1.bolt/meta.db", meta)
    fake.file(f"{root}/{SNAPSHOTTER}/metadata.db", bolt({b"v1": {b"snapshots": own_layers}}))
    volume = {"Type": "volume", "Name": "pg", "Destination": "/pg", "Source": f"{data_root}/volumes/pg/_data"}
    config = {"ID": ID, "Name": "/db", "Driver": "overlayfs", "MountPoints": {"/pg": volume}}
    fake.file(f"{data_root}/containers/{ID}/config.v2.json", json.dumps(config))
    home = f"{root}/{SNAPSHOTTER}/snapshots"
    assert ask(fake, f"{home}/7/fs/etc/motd") == [("db", "docker", False, "upper", "/etc/motd")]
    assert ask(fake, f"{home}/5/fs/bin") == [("db", "docker", False, "lower", "/bin")]
    assert ask(fake, f"{data_root}/volumes/pg/_data/x") == [("db", "docker", False, "volume", "/pg/x")]
    assert ask(fake, f"{data_root}/rootfs/overlayfs/{ID}/etc") == [("db", "docker", False, "merged", "/etc")]
    assert ask(fake, f"{data_root}/containers/{ID}/hostname")[0][3] == "state"
