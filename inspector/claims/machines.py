"""Containers whose root is a plain directory: LXC's (<lxcpath>/<name>/config) and systemd-nspawn's (machines)."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from inspector.claims.files import names, text
from inspector.claims.who import Who
from inspector.kernel.host import Host
from inspector.layers import Claim, Layers

__all__ = ["MACHINES", "lxc", "nspawn"]

MACHINES = "/var/lib/machines"  # systemd-nspawn(1): fixed
# lxc.container.conf(5); what stands before the first ":" is the backend, "dir" when nothing does.
ROOT = ("lxc.rootfs.path", "lxc.rootfs")
OVERLAY = ("overlay", "overlayfs")
BIND_FIELDS = 4


def lxc(host: Host, root: str) -> Iterator[Claim]:
    """Return what belongs to the containers of an lxcpath."""
    for name in names(host, root):
        settings = [_setting(line) for line in text(host, root, f"{name}/config").split("\n")]
        place = next((value for key, value in settings if key in ROOT), "")
        if not place:
            continue
        who = Who(name, name, "lxc")
        yield who.claim("state", f"{root}/{name}")
        yield from _root(who, place)
        for key, value in settings:
            fields = value.split()
            if key == "lxc.mount.entry" and len(fields) >= BIND_FIELDS and "bind" in fields[3]:
                yield from who.mount(fields[0], posixpath.join("/", fields[1]))


def _setting(line: str) -> tuple[str, str]:
    key, _, value = line.partition("=")
    return key.strip(), value.strip()


def _root(who: Who, place: str) -> Iterator[Claim]:
    backend, separator, path = place.partition(":")
    if not separator:
        backend, path = "dir", place
    if backend in OVERLAY:
        # overlay:LOWER:UPPER, with the work directory beside the upper one.
        *lower, upper = path.split(":")
        yield from who.layers(Layers("overlay", tuple(lower), upper, None, None), store=False)
    elif path.startswith("/"):
        yield who.claim("merged", posixpath.normpath(path), "/")


def nspawn(host: Host, root: str) -> Iterator[Claim]:
    """Return what belongs to the machines of systemd-nspawn: a directory or an image file each."""
    for name in names(host, root) if root == MACHINES else ():
        machine = name.removesuffix(".raw")
        yield Who(machine, machine, "nspawn").claim("merged", f"{root}/{name}", "/" if machine == name else None)
