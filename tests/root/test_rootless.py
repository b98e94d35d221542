"""Containers of an ordinary user's Podman, on fuse-overlayfs and on the kernel's overlay, beside `podman diff`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from inspector.changes import MOUNTED_ON
from tests.root.test_rootfs_changes import LISTED, compared, listing, marks, nsinspect
from tests.testbed.processes import until
from tests.testbed.rootless import Rootless, rootless

pytestmark = pytest.mark.root

ALTER = """
echo more >> /etc/os-release; busybox rm /bin/cat; busybox rm -r /var; busybox mkdir /new; echo x > /new/file
busybox ln -s / /new/link; busybox chmod 700 /tmp; echo x > "/root/a b"
"""
REMAKE = """
echo x > /root/x
busybox rm -r /srv; busybox mkdir /srv; echo new > /srv/new; busybox rm /bin/mkdir; busybox mkdir /bin/mkdir
"""


@pytest.fixture(scope="module", params=[True, False], ids=["fuse-overlayfs", "overlay"])
def podman(request: pytest.FixtureRequest) -> Iterator[Rootless]:
    """Give a rootless Podman with one storage driver or the other."""
    with rootless(fuse=request.param) as podman:
        yield podman


def start(podman: Rootless, name: str, commands: str) -> dict[str, str]:
    """Run a container that does this to its files, wait until it has, and return where its layers are."""
    podman.start(name, "sh", "-c", f"{commands}\n: > /ready; exec sleep 600")
    data = json.loads(podman("inspect", "-f", "{{json .GraphDriver.Data}}", name).stdout)
    until(lambda: os.path.exists(f"{data['UpperDir']}/ready"), "the container's changes")
    return dict(data)


def test_the_changes_are_those_of_podman_diff(podman: Rootless) -> None:
    """Added, changed and deleted are what `podman diff` tells, and the layers, found in the store, what it inspects."""
    data = start(podman, "cgscope-altered", ALTER)
    document = nsinspect("cgscope-altered", "--changes")
    assert marks(document) == set(podman("diff", "cgscope-altered").stdout.splitlines())
    assert {"D /var", "D /bin/cat", "C /etc/os-release", "A /new/file", "C /tmp"} <= marks(document)
    for found in (document["rootfs"], nsinspect("cgscope-altered")["rootfs"]):
        assert (found["upper"], found["work"], found["lower"]) == (
            data["UpperDir"], data["WorkDir"], [data["LowerDir"]],
        )  # fmt: skip


def test_a_directory_that_was_made_again(podman: Rootless) -> None:
    """What an opaque directory hides is deleted, as a comparison of the whole trees says; `podman diff` misses it."""
    data = start(podman, "cgscope-remade", REMAKE)
    above, below = (listing(podman.inside("find", data[top], *LISTED)) for top in ("MergedDir", "LowerDir"))
    expected = {(kind, path) for kind, path in compared(above, below) if path not in MOUNTED_ON}
    document = nsinspect("cgscope-remade", "--changes")
    assert document["complete"]
    assert {(one["kind"], one["path"]) for one in document["changes"] if one["kind"] != "copied"} == expected
    assert {("changed", "/srv"), ("deleted", "/srv/app")} <= expected


def claim(path: str) -> dict[str, Any]:
    """Return our container's one claim to a path; others of the machine may have it too."""
    (found,) = (one for one in nsinspect("--owner", path)["owners"] if one["name"] == "cgscope-owner")
    return dict(found)


def test_whose_its_files_are(podman: Rootless) -> None:
    """A layer of a rootless container is found to be its own while it runs, and when it has stopped."""
    data = start(podman, "cgscope-owner", "echo x > /root/x")
    told = {"name": "cgscope-owner", "runtime": "podman", "role": "upper", "inside": "/root/x"}
    assert claim(f"{data['UpperDir']}/root/x").items() >= {**told, "running": True}.items()
    lower = claim(f"{data['LowerDir']}/bin")
    assert (lower["role"], lower["running"]) == ("lower", True)
    podman("stop", "-t", "0", "cgscope-owner")
    until(lambda: not claim(f"{data['UpperDir']}/root/x")["running"], "the container to end")
    assert claim(f"{data['UpperDir']}/root/x").items() >= {**told, "running": False}.items()
