"""The root filesystem without root: one overlay for each part of it that holds no mount of the host.

In a user namespace the host's mounts are locked: the kernel refuses an overlay
whose lower directory has one below it (clone_private_mount, EINVAL), as it
would uncover what the mount hides. `/` always has some. So the parts without
any are put together on a small tmpfs; where a mount is, is an empty directory,
which is what a container of root sees there too. The host goes on meanwhile:
of what is gone since it was seen, as it happens below /tmp, nothing is shown.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator

from sandbox.overlays import Layer, overlay
from sandbox.rootfs import Bind, Directory, Layout, Link, Step
from sandbox.value import replace

__all__ = ["split"]


def split(layout: Layout, mountpoints: Collection[str]) -> tuple[list[Layer], list[Step]]:
    """Return the layers and the steps that show the first of `layout.lowers` without the host's mounts in it.

    `mountpoints` are the absolute paths of the mounts that the caller sees.
    """
    layers: list[Layer] = []
    steps = list(_walk(layout, mountpoints, "", layers))
    return layers, steps


def _walk(layout: Layout, mountpoints: Collection[str], inside: str, layers: list[Layer]) -> Iterator[Step]:
    base = layout.lowers[0].rstrip("/")
    try:
        entries = sorted(os.scandir(f"{base}{inside}/"), key=lambda entry: entry.name)
    except OSError:  # not ours to read: empty
        return
    for entry in entries:
        target = f"{inside}/{entry.name}"
        path = f"{base}{target}"
        try:
            kind = entry.stat(follow_symlinks=False).st_mode
            text = os.readlink(path) if stat.S_ISLNK(kind) else ""
        except OSError:
            continue
        if text:
            yield Link(target, text)
        elif path in mountpoints:
            if stat.S_ISDIR(kind):
                yield Directory(target)
        elif stat.S_ISREG(kind):
            yield Bind(path, target, read_only=True, may_go=True)
        elif stat.S_ISDIR(kind):
            if any(mountpoint.startswith(f"{path}/") for mountpoint in mountpoints):
                yield Directory(target)
                yield from _walk(layout, mountpoints, target, layers)
            else:
                # By its path: when the container is started again there may be others, and each has its own changes.
                own = target[1:].replace("%", "%25").replace("/", "%2F")
                layer = Layer((path,), f"{layout.upper}/{own}", f"{layout.work}/{own}", path)
                layers.append(layer)
                yield replace(overlay(layer, target, rootless=True).mount, may_go=True)
