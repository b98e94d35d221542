"""The files that runtimes leave: what each tells, and where they are looked for."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.errors import ParseError
from inspector.stores import RUN_ROOT, Clues, Facts, sources
from inspector.stores.bolt import LEAF, META, PAGE_HEADER, _fnv, answer, parse_containerd, parse_podman, torn
from inspector.stores.docker import parse_docker
from inspector.stores.incus import parse_backup
from inspector.stores.lxc import parse_lxc
from inspector.stores.oci import parse_bundle
from inspector.stores.sandbox import parse_sandbox
from inspector.stores.storage import parse_check, parse_containers

ID = "ab" * 32
# A containerd 1.6.20 on this project's test machine: `ctr run -d --label x=y localhost/bbp:1 c1 sleep 300`.
HOSTS = Path(__file__).parent.parent / "hosts"
META_DB = gzip.decompress((HOSTS / "containerd-meta.db.gz").read_bytes())
CREATED_C1 = 1795538522.758863  # 2026-11-24T16:42:02Z
POD = "cd" * 32
Buckets = dict[bytes, "bytes | Buckets"]
SNAPSHOTS_DB = gzip.decompress((HOSTS / "containerd-snapshots.db.gz").read_bytes())


def leaf(bucket: Buckets, number: int = 0) -> bytes:
    """Write a leaf page of bbolt: small buckets stand within it (go.etcd.io/bbolt, internal/common/page.go)."""
    pairs = [(key, bytes(16) + leaf(value) if isinstance(value, dict) else value) for key, value in bucket.items()]
    elements, data = b"", b""
    for place, (key, value) in enumerate(pairs):
        position = (len(pairs) - place) * LEAF.size + len(data)
        elements += LEAF.pack(isinstance(bucket[key], dict), position, len(key), len(value))
        data += key + value
    return PAGE_HEADER.pack(number, 2, len(pairs), 0) + elements + data


def bolt(bucket: Buckets) -> bytes:
    """Write a database: two meta pages, and one leaf for all."""
    metas = b""
    for number in (0, 1):
        meta = META.pack(0xED0CDAED, 2, 4096, 0, 2, 0, 0, 3, number, 0)[:-8]
        page = PAGE_HEADER.pack(number, 4, 0, 0) + meta + _fnv(meta).to_bytes(8, "little")
        metas += page.ljust(4096, b"\0")
    return metas + leaf(bucket, 2)


def test_docker_names_its_container() -> None:
    """Docker's file gives the name without its slash, the image as it was asked for, and the labels."""
    data = json.dumps({"Name": "/web", "Config": {"Image": "nginx:1.27", "Labels": {"a": "b", "n": 1}}}).encode()
    assert parse_docker(data, ID) == Facts("web", "nginx:1.27", "", {"a": "b"})


def test_dockers_kubernetes_labels_name_the_pod() -> None:
    """A container of Kubernetes under Docker belongs to the pod that its labels name."""
    labels = {"io.kubernetes.pod.name": "web-1", "io.kubernetes.pod.namespace": "shop"}
    assert parse_docker(json.dumps({"Config": {"Labels": labels}}).encode(), ID).pod == "shop/web-1"


def test_cri_annotations_name_container_image_and_pod() -> None:
    """The CRI of containerd writes the names of Kubernetes into the bundle."""
    annotations = {
        "io.kubernetes.cri.container-name": "app",
        "io.kubernetes.cri.container-type": "container",
        "io.kubernetes.cri.image-name": "registry.example/app:2",
        "io.kubernetes.cri.sandbox-name": "app-6f9c",
        "io.kubernetes.cri.sandbox-namespace": "prod",
    }
    facts = parse_bundle(json.dumps({"annotations": annotations}).encode(), ID)
    assert (facts.name, facts.image, facts.pod) == ("app", "registry.example/app:2", "prod/app-6f9c")


def test_the_container_that_holds_a_pod_is_called_pod() -> None:
    """A pod's sandbox container has no name of its own: it is POD, as cAdvisor calls it."""
    annotations = {"io.kubernetes.cri.container-type": "sandbox", "io.kubernetes.cri.sandbox-name": "app-6f9c"}
    assert parse_bundle(json.dumps({"annotations": annotations}).encode(), ID).name == "POD"


def test_podmans_pod_is_known_by_its_id_until_the_database_names_it() -> None:
    """The bundle has the pod's id alone, libpod's database its name; a pod's own container keeps the name it has."""
    annotations = {"io.kubernetes.cri-o.SandboxID": POD, "io.kubernetes.cri-o.ContainerType": "sandbox"}
    bundle = parse_bundle(json.dumps({"annotations": annotations}).encode(), ID)
    assert (bundle.name, bundle.pod, bundle.pod_id) == ("", "", POD)
    database = bolt({
        b"ctr": {ID.encode(): {b"config": b"{}", b"pod-id": POD.encode()}, b"ee": {b"config": b"{}"}},
        b"id-registry": {ID.encode(): b"web", POD.encode(): b"shop"},
    })  # fmt: skip
    assert parse_podman(database, ID) == Facts(pod="shop", pod_id=POD)
    assert parse_podman(database, "ee") == parse_podman(database, "ff") == Facts()


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("2026-11-29T07:15:34.828230789Z", 1795936534.82823),
        ("2026-11-29T08:15:34+01:00", 1795936534.0),
        ("0001-01-01T00:00:00Z", None),  # Go's zero time
        ("yesterday", None),
        ("", None),
        (1795936534, None),
        (None, None),
    ],
)
def test_when_a_container_was_created(written: object, seconds: float | None) -> None:
    """Docker, our sandbox, Podman's list and a bundle's annotation tell it as Go writes a time; nonsense is unknown."""
    docker, listed = {"Created": written}, [{"id": ID, "created": written}]
    bundle = {"annotations": {"io.kubernetes.cri-o.Created": written}}
    found = [parse(json.dumps(document).encode(), ID).created for parse, document in (
        (parse_docker, docker), (parse_sandbox, docker), (parse_containers, listed), (parse_bundle, bundle),
    )]  # fmt: skip
    assert found == [pytest.approx(seconds)] * 4


def test_podmans_list_names_the_container_with_that_id() -> None:
    """containers.json holds all containers: the one asked for is named by its metadata."""
    entries = [
        {"id": "cd" * 32, "names": ["other"]},
        {"id": ID, "names": ["x"], "metadata": json.dumps({"name": "pod1", "image-name": "localhost/bb:1"})},
    ]
    assert parse_containers(json.dumps(entries).encode(), ID) == Facts("pod1", "localhost/bb:1")
    assert parse_containers(json.dumps(entries).encode(), "cd" * 32).name == "other"
    assert parse_containers(json.dumps(entries).encode(), "ef" * 32) == Facts()


def test_lxc_is_named_by_its_directory_and_its_template() -> None:
    """LXC's config tells the template, or else the root filesystem."""
    config = b"# Template used to create this container: /usr/share/lxc/templates/lxc-debian\nlxc.rootfs.path=dir:/r"
    assert parse_lxc(config, "web") == Facts("web", "debian")
    assert parse_lxc(b"lxc.rootfs.path=dir:/r\n", "web") == Facts("web", "dir:/r")


def test_containerds_database_tells_image_and_labels() -> None:
    """The image of a `ctr` container stands in containerd's own database alone."""
    facts = parse_containerd(META_DB, "c1", namespace="default")
    assert facts.image == "localhost/bbp:1"
    assert facts.labels["x"] == "y"
    assert facts.created == pytest.approx(CREATED_C1)


@pytest.mark.parametrize(("namespace", "identifier"), [("default", "c2"), ("moby", "c1"), ("", ""), ("version", "c1")])
def test_containerds_database_knows_no_other_container(namespace: str, identifier: str) -> None:
    """A container or namespace that is not there gives nothing, and no error."""
    assert parse_containerd(META_DB, identifier, namespace=namespace) == Facts()


@given(st.data())
def test_a_damaged_database_is_a_parse_error_or_an_answer(data: st.DataObject) -> None:
    """Whatever bytes of the database are changed or cut off, nothing but ParseError is raised."""
    database = bytearray(META_DB[: data.draw(st.integers(0, len(META_DB)))])
    for _ in range(data.draw(st.integers(0, 40))):
        if database:
            database[data.draw(st.integers(0, min(len(database), 65536) - 1))] = data.draw(st.integers(0, 255))
    try:
        parse_containerd(bytes(database), "c1", namespace="default")
    except ParseError:
        return


def meta_at(database: bytes, *, newest: bool) -> int:
    """Return where the meta page of the newest state, or of the one before, begins: in the file's first two pages."""
    txids = [int.from_bytes(database[at + 64 : at + 72], "little") for at in (0, 4096)]
    return 4096 * txids.index(max(txids) if newest else min(txids))


@pytest.mark.parametrize("place", [16, 24, 32, 72])
def test_a_meta_page_that_was_half_written_does_not_count(place: int) -> None:
    """The checksum tells: where the newest state's meta page is torn, the state before it answers."""
    database = bytearray(META_DB)
    at = meta_at(META_DB, newest=True) + place
    database[at : at + 4] = b"\xff\xff\xff\x7f"
    assert parse_containerd(bytes(database), "c1", namespace="default").image == "localhost/bbp:1"


@pytest.mark.parametrize("junk", [b"\xff" * 4096, b"\0" * 4096, META_DB[2 * 4096 : 3 * 4096]])
def test_a_state_whose_pages_are_torn_gives_way_to_the_one_before(junk: bytes) -> None:
    """Where a page of the newest state is another's by now, the state before it answers."""
    database = bytearray(SNAPSHOTS_DB)
    metas = [meta_at(SNAPSHOTS_DB, newest=newest) for newest in (True, False)]
    newest, older = (int.from_bytes(SNAPSHOTS_DB[at + 32 : at + 40], "little") * 4096 for at in metas)
    whole = answer(SNAPSHOTS_DB, lambda found: set(found.bucket(b"v1")))
    database[newest : newest + 4096] = junk
    assert whole == answer(bytes(database), lambda found: set(found.bucket(b"v1"))) == {b"snapshots", b"parents"}
    database[older : older + 4096] = junk
    with pytest.raises(ParseError):
        answer(bytes(database), lambda found: set(found.bucket(b"v1")))


def test_two_changes_since_it_was_read_may_have_torn_it() -> None:
    """The first change after our state leaves its pages alone, the second may not."""
    older = bytearray(META_DB)
    at = meta_at(META_DB, newest=True)
    older[at : at + 4096] = bytes(4096)
    assert not torn(META_DB, META_DB)
    assert not torn(bytes(older), META_DB)
    assert torn(SNAPSHOTS_DB, META_DB)


def test_a_database_that_loops_ends() -> None:
    """A branch page that names itself, as no bbolt writes it, is given up after a bounded number of pages."""
    database = bytearray(META_DB)
    for offset in range(8192, len(database), 4096):
        database[offset + 8 : offset + 12] = b"\x01\x00\xff\x00"  # a branch page of 255 elements
        page = database[offset : offset + 8] = (offset // 4096).to_bytes(8, "little")
        for element in range(offset + 16, offset + 16 + 255 * 16, 16):
            database[element + 8 : element + 16] = page
    with pytest.raises(ParseError, match="too many pages"):
        parse_containerd(bytes(database), "c1", namespace="default")


@given(st.one_of(st.binary(), st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(
        st.sampled_from(["Name", "Config", "Image", "Labels", "annotations", "id", "names", "metadata", "Created",
                         "Status"]),
        inner,
    ),
).map(lambda value: json.dumps(value).encode())))  # fmt: skip
def test_no_file_raises_anything_but_its_parse_error(data: bytes) -> None:
    """Whatever bytes or JSON a file holds, its parser gives facts that are text, or a ParseError."""
    for parse in (parse_docker, parse_sandbox, parse_bundle, parse_containers, parse_lxc, parse_backup, parse_podman,
                  parse_check):  # fmt: skip
        try:
            facts = parse(data, ID)
        except ParseError:
            continue
        assert all(isinstance(value, str) for value in (facts.name, facts.image, facts.pod, *facts.labels.values()))


def test_a_parse_error_does_not_quote_the_file() -> None:
    """What stands in a file that is not a runtime's own is not shown."""
    with pytest.raises(ParseError) as caught:
        parse_docker(b"root:$6$secret", ID)
    assert "secret" not in str(caught.value)


def test_files_are_looked_for_below_the_root_that_the_layers_tell() -> None:
    """A runtime with another data root than the usual one is found through its container's writable layer."""
    found = sources("docker", Clues(ID, upper="/data/docker/overlay2/x/diff"))
    assert [(one.store, one.relative) for one in found] == [
        ("/data/docker", f"containers/{ID}/config.v2.json"),
        ("/var/lib/docker", f"containers/{ID}/config.v2.json"),
    ]


def test_containerds_bundle_is_found_through_its_shim() -> None:
    """The shim's working directory tells the state directory and the namespace."""
    clues = Clues(
        "c1",
        parent_directory="/s/io.containerd.runtime.v2.task/default/c1",
        upper="/d/io.containerd.snapshotter.v1.overlayfs/snapshots/2/fs",
    )
    found = sources("containerd", clues)
    assert (found[-1].store, found[-1].relative) == ("/s/io.containerd.runtime.v2.task/default", "c1/config.json")
    assert found[0].store == "/d"
    assert found[0].parse(META_DB, "c1").image == "localhost/bbp:1"
    kubernetes = clues._replace(parent_directory="/s/io.containerd.runtime.v2.task/k8s.io/c1")
    assert [one.relative for one in sources("containerd", kubernetes)] == [found[-1].relative, *(
        one.relative for one in found[:-1]
    )]  # fmt: skip


def test_podmans_store_is_found_through_conmon() -> None:
    """The command line of conmon tells the store, rootless too."""
    storage = "/home/u/.local/share/containers/storage"
    parent = ("/usr/bin/conmon", "-c", ID, "-b", f"{storage}/overlay-containers/{ID}/userdata")
    assert sources("podman", Clues(ID, parent=parent))[1].store == storage


def test_podmans_checks_are_in_its_run_root() -> None:
    """Where what is bound into the container is; which file there has none is no fault."""
    kept_in = f"/run/user/1000/containers/overlay-containers/{ID}/userdata"
    for clues, root in ((Clues(ID, kept_in=kept_in), "/run/user/1000/containers"), (Clues(ID), RUN_ROOT)):
        found = sources("podman", clues)[0]
        assert found.path == f"{root}/overlay-containers/{ID}/healthcheck.log"
        assert found.parse(b'{"Status": "healthy", "Log": null}', ID).health == "healthy"


# synthetic: podman, libpod/container_internal.go (bundlePath) and sqlite_state_internal.go (sqliteStatePath);
# storage, containers.go (newContainerStore).
@pytest.mark.parametrize("driver", ["overlay", "vfs", "btrfs"])
def test_podmans_transient_store_is_in_its_run_root(driver: str) -> None:
    """With --transient-store lists, bundle and database are where what is bound into the container comes from."""
    found = sources("podman", Clues(ID, kept_in=f"/run/containers/storage/{driver}-containers/{ID}/userdata"))
    assert [one.path.removeprefix("/run/containers/storage/") for one in found[1:7]] == [
        f"{driver}-containers/{ID}/userdata/config.json",
        f"{driver}-containers/containers.json",
        f"{driver}-containers/volatile-containers.json",
        "libpod/bolt_state.db",
        "db.sql",
        "libpod/db.sql",
    ]


def test_a_directory_that_is_not_absolute_leads_nowhere() -> None:
    """Only whole paths are taken apart; to look for one within a text of slashes takes their number squared."""
    parent = ("/usr/bin/conmon", "-b", f"x/evil/overlay-containers/{ID}/userdata")
    assert sources("podman", Clues(ID, parent=parent)) == sources("podman", Clues(ID))


def test_lxcs_directory_is_found_through_its_monitor() -> None:
    """The monitor calls itself after the directory and the container."""
    assert sources("lxc", Clues("web", parent=("[lxc", "monitor]", "/srv/lxc", "web")))[0].store == "/srv/lxc"


@pytest.mark.parametrize("words", ["-P /srv/lxc -n web -F", "-n web --lxcpath /srv/lxc", "--lxcpath=/srv/lxc web"])
def test_lxcs_directory_in_the_foreground(words: str) -> None:
    """There the parent is the command as it was called."""
    for command in ("lxc-start", "/usr/bin/lxc-execute"):
        found = sources("lxc", Clues("web", parent=(command, *words.split())))
        assert [one.store for one in found] == ["/srv/lxc", "/var/lib/lxc"]
    assert [one.store for one in sources("lxc", Clues("web", parent=("sh", *words.split())))] == ["/var/lib/lxc"]


def test_a_runtime_without_files_has_no_sources() -> None:
    """Plain unshare leaves nothing to read."""
    assert sources("unshare", Clues("pid-1")) == []
