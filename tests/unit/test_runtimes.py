"""Which runtime made a cgroup."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.runtimes import by_command, by_layer, match

ID = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("path", "runtime", "found"),
    [
        (f"/cgscope/{ID}", "sandbox", ID),
        (f"/docker/{ID}", "docker", ID),
        (f"/system.slice/docker-{ID}.scope", "docker", ID),
        (f"/docker/{'f' * 64}/docker/{ID}", "docker", ID),
        (f"/libpod_parent/libpod-{ID}", "podman", ID),
        (f"/machine.slice/libpod-{ID}.scope", "podman", ID),
        (f"/kubepods.slice/kubepods-pod1.slice/crio-{ID}.scope", "cri-o", ID),
        (f"/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope", "containerd", ID),
        ("/lxc.payload.web", "lxc", "web"),
        ("/machine.slice/systemd-nspawn@web.service", "nspawn", "web"),
        ("/machine.slice/machine-web.scope", "nspawn", "web"),
    ],
)
def test_each_runtimes_cgroup(path: str, runtime: str, found: str) -> None:
    """Each runtime is known by the name it gives its cgroup."""
    matched = match(path)
    assert matched is not None
    assert (matched.runtime, matched.id, matched.path) == (runtime, found, path)


@pytest.mark.parametrize(
    "path", ["/", "/docker", f"/docker/{ID}/sub", f"/docker/{ID[:12]}", f"/docker/{ID}\n", f"/libpod-conmon-{ID}.scope"]
)
def test_other_cgroups(path: str) -> None:
    """A cgroup above, below or beside a container's is not the container's."""
    assert match(path) is None


@given(st.text() | st.from_regex(r"/(docker|cgscope)/[0-9a-f]{60,66}") | st.from_regex(r"/lxc\.payload\..*"))
def test_any_path(path: str) -> None:
    """Whatever the path, there is no error, and an id found stands in its last component."""
    matched = match(path)
    assert matched is None or (matched.path == path and matched.id and matched.id in path.rpartition("/")[2])


@pytest.mark.parametrize(
    ("upper", "expected"),
    [
        (f"/var/lib/cgscope/containers/{ID}/upper", ("sandbox", ID)),
        (f"/srv/elsewhere/containers/{ID}/upper", ("sandbox", ID)),
        ("/var/lib/docker/overlay2/abc/diff", ("docker", None)),
        ("/var/lib/containers/storage/overlay/abc/diff", ("podman", None)),
        ("/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots/7/fs", ("containerd", None)),
        ("/home/me/upper", None),
    ],
)
def test_layers(upper: str, expected: tuple[str, str | None] | None) -> None:
    """From inside, a container's runtime is known by where its writable layer lies."""
    assert by_layer(upper) == expected


def test_commands() -> None:
    """The program that made a container is known by its name, whatever its directory."""
    assert by_command("sh", "/usr/bin/systemd-nspawn") == "nspawn"
    assert by_command("bwrap", "zsh") == "bubblewrap"
    assert by_command("sh", "", "bwrap.sh") is None
