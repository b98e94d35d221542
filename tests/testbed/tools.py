"""Tools that a test cannot do without: skipped where they are missing, and why; in CI that is a failure."""

from __future__ import annotations

import os
import shutil

import pytest

IN_CI = bool(os.environ.get("CI"))
PACKAGES = {
    "apparmor_parser": "apparmor",
    "as": "binutils",
    "bwrap": "bubblewrap",
    "busybox": "busybox-static",
    "chromium": "chromium",
    "containerd": "containerd",
    "docker": "docker.io",
    "dockerd": "docker.io",
    "fuse-overlayfs": "fuse-overlayfs",
    "lxc-start": "lxc",
    "lxcfs": "lxcfs",
    "nft": "nftables",
    "nginx": "nginx-light",
    "objcopy": "binutils",
    "ctr": "containerd",
    "promtool": "prometheus",
    "runc": "runc",
    "s6-svscan": "s6",
    "supervisord": "supervisor",
    "systemd-nspawn": "systemd-container",
}


def need(*tools: str) -> None:
    """Skip the test, naming the Debian package, when one of these programs is not on PATH; fail it in CI."""
    lacks = [tool for tool in tools if shutil.which(tool) is None]
    if lacks:
        packages = " ".join(sorted({PACKAGES.get(tool, tool) for tool in lacks}))
        (pytest.fail if IN_CI else pytest.skip)(f"not installed: {', '.join(lacks)} (apt-get install {packages})")
