"""Whose a path is when its container has stopped: told by the files that each runtime keeps of it."""

from __future__ import annotations

import os
import shutil
from typing import Any

import pytest

from tests.root.test_rootfs_changes import nsinspect
from tests.testbed import runtimes
from tests.testbed.processes import until
from tests.testbed.runtimes import SLEEP, make_root, started
from tests.testbed.tools import need

pytestmark = pytest.mark.root
NAME = f"cgscope-owner-{os.getpid()}"
MACHINES = "/var/lib/machines"


def told(path: str, *keys: str) -> list[Any]:
    """Return name, runtime and whether it runs, and more of our container's one claim to a path.

    Other containers of the machine may have it too: one that has all of / mounted, say.
    """
    (found,) = (one for one in nsinspect("--owner", path)["owners"] if one["name"] == NAME)
    return [found[key] for key in ("name", "runtime", "running", *keys)]


def test_containerd() -> None:
    """A stopped containerd container's layers are its own: those that `ctr snapshots mounts` would mount for it."""
    bind = "type=bind,src=/usr/share,dst=/shared,options=rbind:ro"
    with runtimes.containerd(NAME, "--mount", bind) as box:
        call = box.tool
        assert call is not None
        mounted = call("snapshots", "mounts", "/x", NAME).split()[-1]
        options = dict(one.partition("=")[::2] for one in mounted.split(","))
        upper, lower = options["upperdir"], options["lowerdir"].split(":")
        assert told(f"{upper}/etc", "role", "inside") == [NAME, "containerd", True, "upper", "/etc"]
        call("task", "kill", "-s", "KILL", NAME)
        until(lambda: "RUNNING" not in call("task", "ls"), f"{NAME} to end")
        call("task", "rm", NAME)
        assert told(f"{upper}/etc", "role", "inside") == [NAME, "containerd", False, "upper", "/etc"]
        assert told(options["workdir"], "role") == [NAME, "containerd", False, "work"]
        assert [told(f"{path}/bin", "role", "layer") for path in lower] == [
            [NAME, "containerd", False, "lower", number] for number in range(1, len(lower) + 1)
        ]
        root = upper.partition("/io.containerd.")[0]
        held = nsinspect("--owner", root)["owners"]
        assert {(one["running"], one["holds"]) for one in held if one["name"] == NAME} == {(False, True)}


def test_podman() -> None:
    """A stopped Podman container's layer, volume and bind are its own, as `podman inspect` has them."""
    with runtimes.podman(NAME, "-v", "cgscope-data:/data", "-v", "/usr/share:/shared:ro") as box:
        call = box.tool
        assert call is not None
        upper = call("inspect", "-f", "{{.GraphDriver.Data.UpperDir}}", NAME).strip()
        volume = call("volume", "inspect", "-f", "{{.Mountpoint}}", "cgscope-data").strip()
        assert told(f"{upper}/etc", "role") == [NAME, "podman", True, "upper"]
        call("stop", "-t", "0", NAME)
        until(lambda: not told(f"{upper}/etc")[2], f"{NAME} to end")
        assert told(f"{upper}/etc", "role", "inside") == [NAME, "podman", False, "upper", "/etc"]
        assert told(f"{volume}/x", "role", "inside") == [NAME, "podman", False, "volume", "/data/x"]
        call("rm", NAME)
        call("volume", "rm", "-a", "-f")


def test_lxc() -> None:
    """An LXC container's root and its configuration are its own, running or stopped."""
    with runtimes.lxc(NAME) as box:
        call = box.tool
        assert call is not None
        root = call("info", "-c", "lxc.rootfs.path").partition("= ")[2].strip().removeprefix("dir:")
        for running in (True, False):
            assert told(f"{root}/bin/sh", "role", "inside") == [NAME, "lxc", running, "merged", "/bin/sh"]
            assert told(f"{os.path.dirname(root)}/config", "role") == [NAME, "lxc", running, "state"]
            if running:
                call("stop", "-k")
                until(lambda: not told(root)[2], f"{NAME} to end")


def test_nspawn() -> None:
    """A machine of systemd-nspawn is its directory in /var/lib/machines, running or stopped."""
    need("systemd-nspawn")
    root = f"{MACHINES}/{NAME}"
    existed = os.path.isdir(MACHINES)
    try:
        make_root(root)
        assert told(f"{root}/bin/sh", "role", "inside") == [NAME, "nspawn", False, "merged", "/bin/sh"]
        command = ["systemd-nspawn", "-q", "-M", NAME, "-D", root, "--register=no", "--keep-unit", *SLEEP]
        with runtimes.tidied("payload", "supervisor"), started(command, os.devnull):
            until(lambda: told(f"{root}/bin")[2], "the machine to run")
        until(lambda: not told(root)[2], "the machine to end")
        assert told(root, "role") == [NAME, "nspawn", False, "merged"]
    finally:
        shutil.rmtree(root)
        if not existed:
            os.rmdir(MACHINES)
