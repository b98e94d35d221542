"""What a container's root is made of, what in it comes from outside the image, and what it changed. Types; pure.

inspector.changes reads them: the paths of the layers are those of whoever
mounted them, which is the host except for a container in a container.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from inspector.kernel.aufs import Branch
from inspector.kernel.mounts import Mount, overlay_layers

__all__ = [
    "FUSE",
    "TRUSTED",
    "Change",
    "Claim",
    "Layers",
    "Role",
    "Totals",
    "Volume",
    "host_path",
    "layers_of",
    "under",
    "volumes",
]

Role = Literal["upper", "work", "merged", "lower", "volume", "mounted-from", "state"]
ReadLink = Callable[[str], str | None]

# Filesystems that show the kernel itself: a fresh one belongs to whoever made the mount namespace.
KERNEL = frozenset(
    "proc sysfs cgroup cgroup2 devpts mqueue securityfs debugfs tracefs bpf configfs binfmt_misc pstore".split()  # noqa: SIM905
)
STANDARD = ("/proc", "/sys", "/dev")
NODES = frozenset(f"/dev/{n}" for n in ("null", "zero", "full", "random", "urandom", "tty", "console", "ptmx"))
RUNTIME_FILES = frozenset(
    ("/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/run/.containerenv", "/sbin/docker-init", "/run/podman-init")
)
RUNTIME_DIRECTORIES = ("/run/secrets", "/run/host", "/run/systemd/nspawn")
DELETED = "//deleted"
TRUSTED, USER = ("trusted.overlay.",), ("user.overlay.",)
FUSE = (*TRUSTED, *USER, "user.fuseoverlayfs.")


@dataclass(frozen=True, slots=True)
class Layers:
    """The layers of a root, `lower` from top to bottom, short links resolved; no `upper`: it cannot be written.

    `merged` is where the whole is mounted on the host, None when only the
    container sees it. `attributes` are the prefixes of the extended attributes that mark what is hidden.
    """

    kind: Literal["overlay", "fuse-overlayfs", "aufs"]
    lower: tuple[str, ...]
    upper: str | None
    work: str | None
    merged: str | None
    attributes: tuple[str, ...] = TRUSTED

    @property
    def is_placed(self) -> bool:
        """Whether it is known where they are: who mounts by hand may name them from where he stands."""
        return all(path.startswith("/") for path in (*self.lower, self.upper or "/"))


@dataclass(frozen=True, slots=True)
class Volume:
    """A mount that is not the image's: `source` on the host, None where it has no place there.

    `runtime` marks the files the runtime itself gives (hostname, hosts, resolv.conf, device nodes).
    """

    kind: Literal["volume", "bind", "tmpfs", "runtime"]
    source: str | None
    destination: str
    read_only: bool
    fstype: str
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """One difference to the image.

    `copied` is a file that was copied up and is still as it was: it only takes
    space. Sizes in bytes: of a deleted one, what it hides in the image;
    `before` is the size in the image of a changed file. `renamed_from` is
    where a directory was (overlayfs's redirect): what it holds is compared with that.
    """

    kind: Literal["added", "changed", "deleted", "copied"]
    path: str
    type: str
    size: int
    disk: int
    before: int | None = None
    renamed_from: str | None = None


@dataclass(frozen=True, slots=True)
class Totals:
    """How many changes of one kind, and their sizes in bytes; a file with several names counts once."""

    count: int = 0
    size: int = 0
    disk: int = 0

    def plus(self, change: Change) -> Totals:
        """Return the totals with one more."""
        return Totals(self.count + 1, self.size + change.size, self.disk + change.disk)


@dataclass(frozen=True, slots=True)
class Claim:
    """A file or directory of the host that is a container's.

    `inside` is where the container has it, None where it does not see it;
    `layer` numbers lower layers from 1, the top one. `holds` is set in an
    answer when `path` lies below the path that was asked for.
    """

    container: str
    name: str
    runtime: str | None
    running: bool
    role: Role
    path: str
    inside: str | None = None
    layer: int | None = None
    holds: bool = False


def under(path: str, directory: str) -> bool:
    """Tell whether `path` is `directory` or something below it."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def layers_of(
    root: Mount, host_mounts: Iterable[Mount], branches: Sequence[Branch] = (), readlink: ReadLink = lambda _: None
) -> Layers | None:
    """Return the layers of a root mount, or None when it is no union of any.

    `branches` are those of an aufs mount; `readlink` gives the text of a link, None for what is not one.
    """
    merged = next((m.mountpoint for m in host_mounts if _device(m) == _device(root) and m.root == root.root), None)
    if root.fstype == "aufs":
        upper = next((branch.path for branch in branches if branch.writable), None)
        lower = tuple(branch.path for branch in branches if branch.path != upper)
        return Layers("aufs", lower, upper, None, merged, ()) if branches else None
    overlay = overlay_layers(root)
    if overlay is None or not overlay.lower:
        return None
    # Runtimes change into the store before they mount, to have short names: Docker's and Podman's l/XXXX,
    # containerd's 5/fs. The upper directory they always write in full.
    store = posixpath.dirname(posixpath.dirname(overlay.upper or ""))
    lower = tuple(_resolved(posixpath.join(store, path), readlink) for path in overlay.lower)
    attributes = USER if "userxattr" in root.super_options else TRUSTED
    return Layers("overlay", lower, overlay.upper, overlay.work, merged, attributes)


def _resolved(path: str, readlink: ReadLink) -> str:
    """Follow a short link such as Docker's overlay2/l/XXXX -> ../<layer>/diff, once."""
    target = readlink(path)
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), target) if target else path)


def _device(mount: Mount) -> tuple[int, int]:
    return mount.device_major, mount.device_minor


def host_path(mount: Mount, host_mounts: Sequence[Mount]) -> str | None:
    """Return where on the host the directory or file is that a container's mount shows, None when it has no place.

    mountinfo gives its path on its filesystem: the host has the same filesystem mounted somewhere, maybe in part.
    """
    root = mount.root.removesuffix(DELETED)
    places = (m for m in host_mounts if _device(m) == _device(mount) and under(root, m.root))
    for place in sorted(places, key=lambda m: len(m.root)):
        path = posixpath.normpath(posixpath.join(place.mountpoint, posixpath.relpath(root, place.root)))
        # Of the mounts on the way to it the longest shows, of those in one place the last: another one hides this.
        above = [(len(m.mountpoint), order, m) for order, m in enumerate(host_mounts) if under(path, m.mountpoint)]
        if max(above)[2] is place:
            return path
    return None


def volumes(mounts: Sequence[Mount], host_mounts: Sequence[Mount]) -> tuple[Volume, ...]:
    """Tell volumes and binds from the image: the mounts that are neither the root nor the kernel's own filesystems.

    `mounts` are those a container's process sees, `host_mounts` those of the reader.
    """
    root = next((m for m in reversed(mounts) if m.mountpoint == "/"), None)
    dev = next((m for m in reversed(mounts) if m.mountpoint == "/dev"), None)
    own = {_device(m) for m in (dev, root) if m and (m.fstype in ("tmpfs", "overlay", "aufs"))}
    hosts = {_device(m) for m in host_mounts}
    found = (_volume(m, own, host_mounts, shared=_device(m) in hosts) for m in mounts if m.mountpoint != "/")
    return tuple(volume for volume in found if volume is not None)


def _volume(
    mount: Mount, own: set[tuple[int, int]], host_mounts: Sequence[Mount], *, shared: bool
) -> Volume | None:
    place = mount.mountpoint
    standard = any(under(place, top) for top in STANDARD)
    if _device(mount) in own or (standard and mount.fstype in KERNEL):
        return None
    if mount.fstype == "tmpfs" and not shared:
        # Empty ones hide what is below /proc and /sys; /dev and /dev/shm are every container's.
        return None if standard else Volume("tmpfs", None, place, mount.read_only, "tmpfs")
    if mount.fstype in KERNEL and not shared:
        return None
    source = host_path(mount, host_mounts)
    volume = Volume("bind", source, place, mount.read_only, mount.fstype, mount.root.endswith(DELETED))
    if place in RUNTIME_FILES | NODES or any(under(place, top) for top in ("/proc", "/sys", *RUNTIME_DIRECTORIES)):
        return replace(volume, kind="runtime")
    # Docker's and Podman's named volumes: <root>/volumes/<name>/_data
    named = source is not None and "/volumes/" in source and "/_data" in source
    return replace(volume, kind="volume") if named else volume
