"""What a group of processes is called, of what kind it is, and why."""

from __future__ import annotations

import pytest

from inspector.identity import Naming, name_of
from inspector.kernel.cgroups import Membership
from inspector.kernel.mounts import Mount, root_identity
from inspector.model import Leader, Own, Told
from inspector.runtimes import match
from tests.unit.parts import OVERLAY, OWN, ROOT, leader, mount, process

ID = "ab" * 32
DOCKERS = mount("30 1 0:50 / / rw - overlay o rw,lowerdir=/l,upperdir=/var/lib/docker/overlay2/a/diff,workdir=/w")
PID_NS, MNT_NS = 4026540001, 4026550001
OTHER_ROOT = mount("27 1 254:0 /srv/root / rw - ext4 /dev/vda rw")
POD = "3f2b7c1e-9d54-4e0a-8f6b-1a2b3c4d5e6f"


def named(key: tuple[str, str | int], first: Leader | None, own: Own = OWN, path: str = "") -> Naming:
    """Return the name of a group that is something of its own."""
    found = name_of(key, match(path) if path else None, first, own)
    assert found is not None
    return found


def isolated(comm: str = "sh", *, parent: str = "", path: str = "/", root: Mount | None = OTHER_ROOT) -> Leader:
    """Return a first process with PID and mount namespaces of its own."""
    return leader(process(100, PID_NS, MNT_NS, comm=comm), path, parent=parent, root=root)


def test_a_runtimes_container() -> None:
    """A runtime's container has the runtime's id and says by which cgroup, namespaces and root it was known."""
    path = f"/docker/{ID}"
    found = named(("runtime", path), isolated(path=path, root=OVERLAY), path=path)
    assert (found.kind, found.id, found.name, found.runtime) == ("container", ID, ID[:12], "docker")
    assert (found.runtime_id, found.image, found.pod) == (ID, "unknown", None)
    assert found.evidence == (
        "cgroup pattern docker",
        f"own mnt namespace {MNT_NS}",
        f"own pid namespace {PID_NS}",
        "overlay root",
    )


def test_a_runtimes_container_without_namespaces() -> None:
    """A privileged container in the host's namespaces is one by its cgroup alone, and claims nothing else."""
    path = f"/docker/{ID}"
    assert named(("runtime", path), leader(process(100), path), path=path).evidence == ("cgroup pattern docker",)


def test_a_name_that_comes_again_elsewhere() -> None:
    """LXC's containers have names, which are no ids: the cgroup's path is."""
    inner = "/lxc.payload.a/lxc.payload.web"
    found = named(("runtime", inner), isolated(), path=inner)
    assert (found.id, found.name, found.runtime_id) == (inner, "web", "web")


def test_a_pods_container() -> None:
    """A container of Kubernetes carries its pod's uid, as the cgroup tells it."""
    path = f"/kubepods.slice/kubepods-pod{POD.replace('-', '_')}.slice/cri-containerd-{ID}.scope"
    assert named(("runtime", path), isolated(), path=path).pod == POD


def test_a_plain_control_group() -> None:
    """A control group is called by its path, has no image and no runtime."""
    found = named(("group", "/limited"), leader(process(100), "/limited"))
    assert found == Naming("cgroup", "/limited", "/limited", None, "", ("cgroup /limited",))


@pytest.mark.parametrize("key", [("pid", PID_NS), ("mnt", MNT_NS)])
def test_namespaces_alone(key: tuple[str, int]) -> None:
    """Processes with a namespace and a root of their own are a container, known by the namespace."""
    found = named(key, isolated("sleep"))
    assert (found.kind, found.id, found.name) == ("container", f"{key[0]}-{key[1]}", "sleep-100")
    assert (found.image, found.runtime) == ("/srv/root", None)


def test_a_pid_namespace_with_the_hosts_root() -> None:
    """A PID namespace of its own makes a container, whatever its root: its image is "/"."""
    found = named(("pid", PID_NS), isolated(root=ROOT))
    assert (found.kind, found.image) == ("container", "/")
    assert not any("root" in text for text in found.evidence)


@pytest.mark.parametrize(
    ("comm", "parent", "runtime", "name", "runtime_id"),
    [
        ("sh", "/usr/bin/unshare -pf sh", "unshare", "sh-100", None),
        ("bwrap", "-bash", "bubblewrap", "bwrap-100", None),
        ("systemd", "systemd-nspawn -D /srv/deb12/ -b", "nspawn", "deb12", "deb12"),
        ("systemd", "/usr/bin/systemd-nspawn --machine=web -D /srv/x", "nspawn", "web", "web"),
        ("systemd", "systemd-nspawn", "nspawn", "systemd-100", None),
        ("sh", "/usr/bin/containerd-shim-runc-v2 -namespace default -id c1", "containerd", "c1", "c1"),
        ("sh", "containerd-shim-runc-v2 -id", "containerd", "sh-100", None),
        ("sh", f"/usr/bin/conmon --api -c {ID}", "podman", ID[:12], ID),
        ("init", "[lxc monitor] /var/lib/lxc web", "lxc", "web", "web"),
        ("init", "[lxc monitor] /srv/a b web", "lxc", "web", "web"),
        ("init", "[lxc monitor] /var/lib/lxc", "lxc", "init-100", None),
        ("init", "/usr/bin/lxc-start -F -n web", "lxc", "web", "web"),
        ("lxc-execute", "-bash", "lxc", "lxc-execute-100", None),
        ("firejail", "firejail --quiet --name=mail sh", "firejail", "mail", "mail"),
        ("firejail", "/usr/bin/firejail --private sh", "firejail", "firejail-100", None),
        ("sh", "/bin/notbwrap x", None, "sh-100", None),
        ("sh", "", None, "sh-100", None),
    ],
)
def test_the_program_that_made_it(
    comm: str, parent: str, runtime: str | None, name: str, runtime_id: str | None
) -> None:
    """Where no cgroup tells, the program that made the container does, with the name it was given."""
    found = named(("pid", PID_NS), isolated(comm, parent=parent))
    assert (found.runtime, found.name, found.runtime_id) == (runtime, name, runtime_id)
    assert (f"started by {runtime}" in found.evidence) == (runtime is not None)


def test_an_id_that_the_program_was_given() -> None:
    """A full id told on a command line is the container's id; a short name is not unique enough for that."""
    assert named(("pid", PID_NS), isolated(parent=f"conmon -c {ID}")).id == ID
    assert named(("pid", PID_NS), isolated(parent="conmon -c web")).id == f"pid-{PID_NS}"


def test_containerds_cgroup_names_its_container() -> None:
    """The cgroup of `ctr` (/<namespace>/<id>) counts once a shim is known to be the parent."""
    shim = "containerd-shim-runc-v2 -namespace default -id other"
    assert named(("pid", PID_NS), isolated(parent=shim, path="/default/c1")).name == "c1"
    assert named(("pid", PID_NS), isolated(path="/default/c1")).name == "sh-100"


def test_docker_below_another_cgroup() -> None:
    """`docker run --cgroup-parent`: no pattern tells, but the shim was started in Docker's namespace of containerd."""
    shim = f"/usr/bin/containerd-shim-runc-v2 -namespace moby -id {ID} -address /run/containerd.sock"
    found = named(("pid", PID_NS), isolated(parent=shim, path=f"/batch/{ID}"))
    assert (found.runtime, found.id, found.name, found.runtime_id) == ("docker", ID, ID[:12], ID)
    assert "started by docker" in found.evidence


@pytest.mark.parametrize(
    ("root", "image"), [(OVERLAY, "unknown"), (OTHER_ROOT, "/srv/root"), (ROOT, "/"), (None, "unknown")]
)
def test_the_top_of_a_filesystem_is_no_image(root: Mount | None, image: str) -> None:
    """A directory that is the root is told as the image, "/" where it is the machine's own; of an overlay none is."""
    assert named(("pid", PID_NS), isolated(root=root)).image == image


def test_a_container_with_the_network_of_another() -> None:
    """Docker gives it the other's /etc/hostname: what its own shim was started for is what it is."""
    other, shim = "cd" * 32, f"/usr/bin/containerd-shim-runc-v2 -namespace moby -id {ID}"
    for path in (f"/tenant/{ID}", "/user.slice/session-1.scope"):
        first = isolated(parent=shim, path=path)._replace(kept_in=f"/var/lib/docker/containers/{other}")
        found = named(("pid", PID_NS), first)
        assert (found.id, found.name, found.runtime, found.runtime_id) == (ID, ID[:12], "docker", ID)
    for kept_in in (f"/var/lib/docker/containers/{ID}", f"/var/lib/docker/containers/{other}"):
        reparented = isolated(path=f"/tenant/{ID}")._replace(kept_in=kept_in)
        found = named(("pid", PID_NS), reparented)
        assert (found.id, found.runtime) == (ID, "docker")
        own = OWN._replace(hostname=other[:12], kept_in=kept_in, membership=reparented.membership)
        found = named(("self", ""), reparented, own)
        assert (found.id, found.runtime) == (ID, "docker")
        assert found.name == (other if ID in kept_in else ID)[:12]


def test_a_sandbox_with_the_network_of_another() -> None:
    """Its writable layer is its own, wherever the state directory is; the host name it has is the other's."""
    other, root = "cd" * 32, mount(f"30 1 0:50 / / rw - overlay o rw,lowerdir=/,upperdir=/s/containers/{ID}/upper")
    for directory in ("", f"/s/containers/{other}", f"/s/cgscope/containers/{other}", f"/docker/containers/{other}"):
        found = named(("pid", PID_NS), isolated(root=root)._replace(kept_in=directory))
        assert (found.id, found.name, found.runtime, found.runtime_id) == (ID, ID[:12], "sandbox", ID)
    own = OWN._replace(hostname="web", root=root, kept_in=f"/s/cgscope/containers/{other}")
    found = named(("self", ""), isolated(root=root), own)
    assert (found.id, found.name, found.runtime) == (ID, ID[:12], "sandbox")


def test_a_service() -> None:
    """A systemd unit with private mounts and the host's root is a service, called by its unit."""
    found = named(("mnt", MNT_NS), leader(process(100, mnt_ns=MNT_NS), "/system.slice/a.service"))
    assert (found.kind, found.id, found.name) == ("service", "/system.slice/a.service", "a.service")
    assert found.evidence == ("systemd unit /system.slice/a.service", f"own mnt namespace {MNT_NS}")


def test_private_mounts_outside_any_unit() -> None:
    """A mount namespace with the host's root in no unit (`unshare -m` in a shell) is nothing of its own."""
    assert name_of(("mnt", MNT_NS), None, leader(process(100, mnt_ns=MNT_NS), "/user.slice/a.scope"), OWN) is None


def test_a_first_process_that_is_elsewhere_by_now() -> None:
    """A group whose first process was not looked at in time, or has changed its namespace, is not named."""
    assert name_of(("pid", PID_NS), None, None, OWN) is None
    assert name_of(("pid", PID_NS + 1), None, isolated(), OWN) is None
    assert name_of(("mnt", MNT_NS + 1), None, isolated(), OWN) is None


@pytest.mark.parametrize(
    ("hostname", "root", "expected"),
    [
        ("0123456789ab", ROOT, ("0123456789ab", "0123456789ab", None)),
        ("web", ROOT, (f"pid-{PID_NS}", "web", None)),
        ("", ROOT, (f"pid-{PID_NS}", "self", None)),
        ("0123456789ab", OVERLAY, ("0123456789ab", "0123456789ab", "docker")),
        ("web", mount(f"30 1 0:50 / / rw - overlay o rw,lowerdir=/,upperdir=/s/containers/{ID}/upper,workdir=/w"),
         (ID, "web", "sandbox")),
        ("web", None, (f"pid-{PID_NS}", "web", None)),
    ],
)  # fmt: skip
def test_ourselves(hostname: str, root: Mount | None, expected: tuple[str, str, str | None]) -> None:
    """From inside, the container we are in is called by its host name, and known by its writable layer where shown."""
    namespaces = {**OWN.namespaces, "pid": PID_NS}
    own = OWN._replace(namespaces=namespaces, hostname=hostname, root=root, own_pid_namespace=True)
    found = named(("self", ""), isolated(root=root), own)
    assert (found.id, found.name, found.runtime) == expected
    assert found.evidence[0] == f"we run inside it, PID namespace {PID_NS}"


@pytest.mark.parametrize(
    ("directory", "runtime"),
    [
        (f"/home/ada/.local/share/cgscope/containers/{ID}", "sandbox"),
        (f"/var/lib/docker/containers/{ID}", "docker"),
        (f"/s/overlay-containers/{ID}/userdata", "podman"),
    ],
)
def test_the_directory_that_a_runtime_keeps(directory: str, runtime: str) -> None:
    """Where a container's /etc/hostname comes from tells its runtime and full id, from outside and from inside."""
    first = isolated(parent="/usr/bin/unshare")._replace(kept_in=directory)
    found = named(("pid", PID_NS), first)
    assert (found.id, found.name, found.runtime) == (ID, ID[:12], runtime)
    assert f"kept by {runtime}" in found.evidence
    own = OWN._replace(namespaces={**OWN.namespaces, "pid": PID_NS}, hostname=ID[:12], kept_in=directory)
    found = named(("self", ""), first, own)
    assert (found.id, found.runtime) == (ID, runtime)


@pytest.mark.parametrize("path", ["/", f"/batch/{ID}"])
@pytest.mark.parametrize("store", ["/var/lib/docker", "/srv/data"])
def test_our_hostname_is_anothers(store: str, path: str) -> None:
    """With the network of another container nothing of that one's name is taken for ours; our cgroup may tell ours."""
    other = "cd" * 32
    own = OWN._replace(
        namespaces={**OWN.namespaces, "pid": PID_NS}, hostname=other[:12], root=DOCKERS, own_pid_namespace=True,
        kept_in=f"{store}/containers/{other}", borrowed=True, membership=Membership({"": path}),
    )  # fmt: skip
    found = named(("self", ""), isolated(root=DOCKERS), own)
    assert found.runtime == "docker"
    assert (found.id, found.name) == ((f"pid-{PID_NS}", "self") if path == "/" else (ID, ID[:12]))


@pytest.mark.parametrize(("ours", "name", "image"), [(True, "web", "nginx:1"), (False, ID[:12], "unknown")])
def test_our_own_cgroups_pattern_and_what_we_were_told(*, ours: bool, name: str, image: str) -> None:
    """Of the containers to be seen from inside, what we were told names the one that we are in alone."""
    own = OWN._replace(inside_container=True, told=Told("podman", "/run/.containerenv", ID, "web", "nginx:1"))
    path = f"/libpod_parent/libpod-{ID}"
    found = name_of(("runtime", path), match(path), isolated(path=path), own, ours=ours)
    assert found is not None
    assert (found.id, found.name, found.image) == (ID, name, image)
    assert ("podman by /run/.containerenv" in found.evidence) is ours
    docker = f"/docker/{ID}"
    found = name_of(("runtime", docker), match(docker), isolated(path=docker), own, ours=ours)
    assert found is not None
    assert (found.runtime, found.name) == ("docker", ID[:12])


def test_dockers_directory_by_another_name() -> None:
    """From inside, Docker's data directory may be called anything: what it holds for the container has the full id."""
    own = OWN._replace(hostname=ID[:12], kept_in=f"/srv/data/containers/{ID}", root=OVERLAY)
    found = named(("self", ""), isolated(root=OVERLAY), own)
    assert (found.id, found.runtime) == (ID, "docker")


def test_roots_are_told_apart() -> None:
    """Two roots are the same when device and directory are, whatever their mount ids and options."""
    again = mount("99 1 254:0 / / ro - ext4 /dev/vda ro")
    assert root_identity(ROOT) == root_identity(again)
    assert root_identity(ROOT) != root_identity(OTHER_ROOT)
    assert root_identity(None) is None


def test_hostile_names_are_kept_as_data() -> None:
    """A control group or first process named with escape sequences is named so, for the views to escape."""
    path = "/\x1b[31m\udcff"
    assert named(("group", path), leader(process(100), path)).name == path
    assert named(("pid", PID_NS), isolated("\x1b]0;x\x07")).name == "\x1b]0;x\x07-100"


def test_a_unit_in_any_hierarchy_names_the_service() -> None:
    """On v1 the unit is the named hierarchy's; the controllers may have the process elsewhere."""
    membership = Membership({"cpu": "/", "name=systemd": "/system.slice/a.service"})
    first = leader(process(100, mnt_ns=MNT_NS))._replace(membership=membership)
    assert named(("mnt", MNT_NS), first).name == "a.service"
