"""Runtimes that no test machine can run, on machines written by hand from their sources (synthetic).

Cgroup names: the kubelet's pkg/kubelet/cm/{cgroup_manager,qos_container_manager,pod_container_manager}_linux.go;
containerd's internal/cri/server/podsandbox and pkg/shim; CRI-O's internal/config/cgmgr; Docker's rootless
documentation; libpod/container_internal_linux.go; flatpak's common/flatpak-run.c; snapd's sandbox/cgroup;
systemd's src/machine/machine.c; libvirt's src/util/virsystemd.c; nerdctl's pkg/cmd/container/rename.go;
storage's containers.go; Incus' internal/server/storage/storage.go.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from inspector.document import document
from inspector.observe import Observer
from inspector.schema import Container
from tests.fakehost import FakeHost
from tests.unit.test_stores import Buckets, bolt

ID = "0a" * 32
UID = "3f2b7c1e-9d54-4e0a-8f6b-1a2b3c4d5e6f"
STATIC_UID = "3f2b7c1e9d544e0a8f6b1a2b3c4d5e6f"  # of a pod from a file: pkg/kubelet/config/common.go, an MD5 sum
UNIT_UID = UID.replace("-", "_")
# synthetic: Incus' internal/server/backup/config/backup_config.go and shared/api/instance.go
BACKUP = """\
container:
  architecture: x86_64
  config:
    image.architecture: amd64
    image.description: "Debian bookworm amd64 (20261101_05:24)"
    image.os: Debian
    volatile.base_image: 0123456789ab
  created_at: 2023-01-18T05:24:00Z
  name: web
snapshots:
- config:
    image.description: Alpine edge
  created_at: 2022-01-01T00:00:00Z
"""
TASKS = "/run/containerd/io.containerd.runtime.v2.task/k8s.io"
ANNOTATIONS = {
    "io.kubernetes.cri.container-name": "app",
    "io.kubernetes.cri.container-type": "container",
    "io.kubernetes.cri.image-name": "registry.example/shop/app:2.1",
    "io.kubernetes.cri.sandbox-name": "app-6f9c",
    "io.kubernetes.cri.sandbox-namespace": "shop",
}


def overlay(upper: str) -> str:
    """Return a mount table whose root is an overlay with that upper directory."""
    options = f"rw,lowerdir=/image,upperdir={upper},workdir=/work"
    return f"500 1 0:99 / / rw,relatime - overlay overlay {options}\n"


def add(fake: FakeHost, cgroup: str, *, parent: str = "init", upper: str = "/x/diff", uid: int = 0) -> None:
    """Add a container's first process, 4242, and the program that started it, 4000."""
    fake.process(4000, parent.split("\0", maxsplit=1)[0].rpartition("/")[2][:15], cmdline=parent)
    fake.link("/proc/4000/cwd", "/")
    fake.process(
        4242,
        "app",
        ppid=4000,
        ns_pids=(4242, 1),
        namespaces={"pid": 4026532001, "mnt": 4026532002, "net": 4026532003},
        cgroups=cgroup,
        mountinfo=overlay(upper),
        uid=uid,
    )


def only(fake: FakeHost) -> Container:
    """Return the one container that is found on a machine, after two looks at it."""
    with fake.open() as host:
        observer = Observer(host, groups=False)
        before = observer.tick()
        found = document(before, observer.tick())
    assert found["problems"] == []
    assert len(found["containers"]) == 1
    return found["containers"][0]


@pytest.mark.parametrize("layout", ["v1", "v2"])
@pytest.mark.parametrize(
    "cgroup",
    [
        f"/kubepods.slice/kubepods-pod{UNIT_UID}.slice/cri-containerd-{ID}.scope",
        f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UNIT_UID}.slice/cri-containerd-{ID}.scope",
        f"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{UNIT_UID}.slice/cri-containerd-{ID}.scope",
        f"/kubepods/pod{UID}/{ID}",
        f"/kubepods/burstable/pod{UID}/{ID}",
        f"/kubepods/besteffort/pod{UID}/{ID}",
        f"/system.slice/containerd.service/kubepods-burstable-pod{UNIT_UID}.slice:cri-containerd:{ID}",
        f"/kubepods/burstable/pod{STATIC_UID}/{ID}",
        f"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{UNIT_UID}.slice/cri-containerd-{ID}.scope",
    ],
)
def test_a_kubernetes_container_of_every_class_and_driver(tmp_path: Path, layout: str, cgroup: str) -> None:
    """Guaranteed, burstable and best-effort, under systemd and cgroupfs (and kind): container, pod and namespace."""
    fake = FakeHost(tmp_path, layout)
    add(fake, cgroup, parent=f"/usr/bin/containerd-shim-runc-v2\0-namespace\0k8s.io\0-id\0{ID}")
    fake.link("/proc/4000/cwd", f"{TASKS}/{ID}")
    fake.file(f"{TASKS}/{ID}/config.json", json.dumps({"annotations": ANNOTATIONS}))
    found = only(fake)
    assert (found["id"], found["runtime"], found["name"]) == (ID, "containerd", "app")
    assert found["image"] == "registry.example/shop/app:2.1"
    assert found["pod"] == "shop/app-6f9c"
    assert {path for path in found["cgroups"].values() if ID in path} == {cgroup}


@pytest.mark.parametrize(("written", "uid"), [(UNIT_UID, UID), (STATIC_UID, STATIC_UID)])
def test_a_pod_without_its_bundle_keeps_its_uid(tmp_path: Path, written: str, uid: str) -> None:
    """Where the bundle may not be read, the pod's uid is known from the cgroup, and the image is not empty."""
    fake = FakeHost(tmp_path, "v2")
    add(fake, f"/kubepods.slice/kubepods-pod{written}.slice/cri-containerd-{ID}.scope")
    found = only(fake)
    assert (found["name"], found["image"], found["pod"]) == (ID[:12], "unknown", uid)


def test_a_container_of_nerdctl_that_was_renamed(tmp_path: Path) -> None:
    """Its new name is a label in containerd's database alone; the bundle keeps the one it was made with."""
    fake = FakeHost(tmp_path, "v2")
    tasks = TASKS.replace("k8s.io", "default")
    add(fake, f"/system.slice/nerdctl-{ID}.scope", parent="/usr/bin/containerd-shim-runc-v2")
    fake.link("/proc/4000/cwd", f"{tasks}/{ID}")
    fake.file(f"{tasks}/{ID}/config.json", json.dumps({"annotations": {"nerdctl/name": "old", "a": "b"}}))
    one: Buckets = {b"image": b"docker.io/library/nginx:1", b"labels": {b"nerdctl/name": b"new"}}
    database = bolt({b"v1": {b"default": {b"containers": {ID.encode(): one}}}})
    fake.file("/var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db", database)
    found = only(fake)
    assert (found["runtime"], found["name"], found["image"]) == ("containerd", "new", "docker.io/library/nginx:1")


def test_cri_o_names_its_container_by_annotations(tmp_path: Path) -> None:
    """CRI-O leaves the names of Kubernetes in containers/storage."""
    fake = FakeHost(tmp_path, "v2")
    add(fake, f"/kubepods.slice/kubepods-pod{UNIT_UID}.slice/crio-{ID}.scope", parent=f"/usr/bin/conmon\0-c\0{ID}")
    annotations = {
        "io.kubernetes.container.name": "app",
        "io.kubernetes.cri-o.ImageName": "quay.example/app:1",
        "io.kubernetes.pod.name": "web-0",
        "io.kubernetes.pod.namespace": "shop",
    }
    store = f"/var/lib/containers/storage/overlay-containers/{ID}/userdata/config.json"
    fake.file(store, json.dumps({"annotations": annotations}))
    found = only(fake)
    assert (found["runtime"], found["name"], found["image"]) == ("cri-o", "app", "quay.example/app:1")
    assert found["pod"] == "shop/web-0"


@pytest.mark.parametrize(
    ("cgroup", "parent", "upper"),
    [
        (f"/kubepods/burstable/pod{UID}/{ID}", "/usr/bin/containerd-shim-runc-v2\0-namespace\0moby", ""),
        (f"/kubepods/burstable/pod{UID}/{ID}", "/usr/bin/containerd-shim-runc-v2", "/data/overlay2/layer/diff"),
        (f"/kubepods.slice/kubepods-pod{UNIT_UID}.slice/docker-{ID}.scope", "/usr/bin/containerd-shim-runc-v2", ""),
    ],
)
def test_a_kubernetes_container_of_docker(tmp_path: Path, cgroup: str, parent: str, upper: str) -> None:
    """Through cri-dockerd, whose cgroups are called as containerd's where the kubelet makes them."""
    fake = FakeHost(tmp_path, "v1")
    add(fake, cgroup, parent=parent, upper=upper or "/x/diff")
    labels = {f"io.kubernetes.{key}": value for key, value in (
        ("container.name", "app"), ("pod.name", "app-6f9c"), ("pod.namespace", "shop"))}  # fmt: skip
    config = {"Name": "/k8s_app_app-6f9c_shop_1_0", "Config": {"Image": "app:2.1", "Labels": labels}}
    root = "/data" if upper else "/var/lib/docker"
    fake.file(f"{root}/containers/{ID}/config.v2.json", json.dumps(config))
    found = only(fake)
    assert (found["runtime"], found["name"], found["image"]) == ("docker", "app", "app:2.1")
    assert found["pod"] == "shop/app-6f9c"


def test_rootless_docker_is_named_from_the_users_own_store(tmp_path: Path) -> None:
    """A daemon in a home directory keeps its containers' names there, where the writable layer lies as well."""
    fake = FakeHost(tmp_path, "v2")
    store = "/home/ada/.local/share/docker"
    cgroup = f"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{ID}.scope"
    add(fake, cgroup, upper=f"{store}/overlay2/layer/diff", uid=1000)
    config = {"Name": "/db", "Config": {"Image": "postgres:17"}}
    fake.file(f"{store}/containers/{ID}/config.v2.json", json.dumps(config))
    found = only(fake)
    assert (found["runtime"], found["name"], found["image"]) == ("docker", "db", "postgres:17")


def test_rootless_podman_is_named_through_conmon(tmp_path: Path) -> None:
    """With fuse-overlayfs no layer is to be seen: conmon's command line tells where the store is."""
    fake = FakeHost(tmp_path, "v2")
    store = "/home/ada/.local/share/containers/storage"
    conmon = f"/usr/bin/conmon\0-c\0{ID}\0-b\0{store}/overlay-containers/{ID}/userdata\0-n\0cache"
    cgroup = f"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope/container"
    add(fake, cgroup, parent=conmon, uid=1000)
    metadata = json.dumps({"name": "cache", "image-name": "docker.io/library/redis:8"})
    fake.file(f"{store}/overlay-containers/containers.json", json.dumps([{"id": ID, "metadata": metadata}]))
    found = only(fake)
    assert (found["runtime"], found["name"], found["image"]) == ("podman", "cache", "docker.io/library/redis:8")
    assert found["cgroups"]["memory"].endswith(f"libpod-{ID}.scope")


def test_a_quadlet_of_podman(tmp_path: Path) -> None:
    """Its cgroup is below its unit's (--cgroups=split), and as it has --rm it is in the list of what is volatile."""
    fake = FakeHost(tmp_path, "v2")
    store = "/var/lib/containers/storage"
    conmon = f"/usr/bin/conmon\0-c\0{ID}\0-b\0{store}/overlay-containers/{ID}/userdata\0-n\0systemd-web"
    add(fake, f"/system.slice/web.service/libpod-payload-{ID}", parent=conmon)
    metadata = json.dumps({"name": "systemd-web", "image-name": "docker.io/library/nginx:1"})
    fake.file(f"{store}/overlay-containers/containers.json", "[]")
    fake.file(f"{store}/overlay-containers/volatile-containers.json", json.dumps([{"id": ID, "metadata": metadata}]))
    found = only(fake)
    assert (found["id"], found["runtime"], found["name"]) == (ID, "podman", "systemd-web")
    assert found["image"] == "docker.io/library/nginx:1"
    assert found["cgroups"]["memory"] == f"/system.slice/web.service/libpod-payload-{ID}"


def test_podmans_files_may_not_be_read(tmp_path: Path) -> None:
    """The name is then that which conmon was given; what else has such an option names nothing."""
    fake = FakeHost(tmp_path, "v2")
    add(fake, f"/machine.slice/libpod-{ID}.scope", parent=f"/usr/bin/conmon\0-c\0{ID}\0-n\0db")
    assert (only(fake)["name"], only(fake)["image"]) == ("db", "unknown")
    fake.process(4000, "sudo", cmdline="/usr/bin/sudo\0-n\0db")
    assert only(fake)["name"] == ID[:12]


@pytest.mark.parametrize(
    ("server", "pool", "name"),
    [
        ("/var/lib/incus", "default", "web"),
        ("/var/lib/incus", "fast", "shop_web"),
        ("/var/snap/lxd/common/lxd", "default", "web"),
    ],
)
def test_a_container_of_incus_and_lxd(tmp_path: Path, server: str, pool: str, name: str) -> None:
    """Its server's copy of its configuration tells the image; what its snapshots were made of is another matter."""
    fake = FakeHost(tmp_path, "v2")
    add(fake, f"/lxc.payload.{name}", parent=f"[lxc monitor] {server}/containers {name}")
    place = f"{server}/storage-pools/{pool}/containers/{name}"
    root = f"{place}/rootfs" if pool != "default" else "/rootfs"
    fake.file("/proc/4242/mountinfo", f"500 1 254:0 {root} / rw - ext4 /dev/vda rw\n")
    fake.link(f"{server}/containers/{name}", place)
    fake.file(f"{place}/backup.yaml", BACKUP)
    found = only(fake)
    assert (found["runtime"], found["name"], found["image"]) == ("lxc", name, "Debian bookworm amd64 (20261101_05:24)")
    assert found["created_at"] == 1674019440.0


@pytest.mark.parametrize(
    ("cgroup", "runtime", "name"),
    [
        ("/lxc/web", "lxc", "web"),
        ("/machine.slice/machine-my\\x2dweb.scope/payload", "nspawn", "my-web"),
        ("/machine.slice/machine-lxc\\x2dweb.scope/payload", "nspawn", "lxc-web"),
        ("/user.slice/app.slice/app-flatpak-org.a_b.My\\x2dApp-4242.scope", "flatpak", "org.a_b.My-App"),
        ("/user.slice/app.slice/snap.code.code-3f2b7c1e-9d54-4e0a-8f6b-1a2b3c4d5e6f.scope", "snap", "code.code"),
        ("/user.slice/app.slice/snap.code.code.3f2b7c1e-9d54-4e0a-8f6b-1a2b3c4d5e6f.scope", "snap", "code.code"),
        ("/system.slice/snap.lxd.daemon.service", "snap", "lxd.daemon"),
        ("/machine.slice/systemd-nspawn@build.service/payload", "nspawn", "build"),
        ("/user.slice/app.slice/app-flatpak-org.mozilla.firefox-4242.scope", "flatpak", "org.mozilla.firefox"),
        ("/user.slice/app.slice/snap.code.code-1f2e.scope", "snap", "code.code-1f2e"),
    ],
)
def test_a_named_cgroup_names_its_container(tmp_path: Path, cgroup: str, runtime: str, name: str) -> None:
    """LXC, nspawn, flatpak and snap put the name into the cgroup's."""
    fake = FakeHost(tmp_path, "v2")
    add(fake, cgroup)
    found = only(fake)
    assert (found["runtime"], found["name"]) == (runtime, name)


def test_a_virtual_machine_is_not_a_container_of_nspawn(tmp_path: Path) -> None:
    """Libvirt's machines share nspawn's slice; a QEMU without namespaces of its own is no container."""
    fake = FakeHost(tmp_path, "v2")
    fake.process(4242, "qemu-system-x86", cgroups="/machine.slice/machine-qemu\\x2d1\\x2ddb.scope")
    fake.process(4243, "libvirt_lxc", cgroups="/machine.slice/machine-lxc\\x2d4242\\x2ddb.scope")
    with fake.open() as host:
        assert [one.kind for one in Observer(host).tick().containers if one.kind == "container"] == []


def test_a_store_with_a_link_out_of_it_names_nothing(tmp_path: Path) -> None:
    """A user's store that links to another file is not followed: the container keeps its id as its name."""
    fake = FakeHost(tmp_path, "v2")
    store = "/home/eve/.local/share/docker"
    fake.file("/root/secret.json", json.dumps({"Name": "/stolen", "Config": {"Image": "secret"}}))
    fake.link(f"{store}/containers/{ID}/config.v2.json", f"{tmp_path}/root/secret.json")
    add(fake, f"/user.slice/docker-{ID}.scope", upper=f"{store}/overlay2/layer/diff", uid=1000)
    with fake.open() as host:
        found = Observer(host, groups=False).tick()
    assert [one.name for one in found.containers] == [ID[:12]]
