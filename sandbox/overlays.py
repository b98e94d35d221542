"""The root of a container as overlayfs mounts it: the layers, and the mount points that they lack.

Between a container's own layer and those it was made of stands a small one in memory, with the files and directories
that are only there to be mounted on (/proc, /etc/hosts, ...; moby daemon/initlayer): so they never are changes
of the container. It lives in the container's mount namespace, and goes with it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from sandbox.lowers import find, find_lacking
from sandbox.rootfs import Mount
from sandbox.value import Value

__all__ = ["DIRTY", "MARK", "VOLATILE", "Folder", "Layer", "Root", "Skeleton", "overlay", "skeleton"]

# The kernel takes a page of options at most (mount(2)).
LONGEST_DATA = 4095
# Without it the last process of a container, when it ends, waits until the whole filesystem of the upper layer is on
# the disk (Linux 5.10, Documentation/filesystems/overlayfs.rst).
VOLATILE = "volatile"
# The directory with which the kernel then keeps a work directory from being mounted again, and a file in it.
MARK, DIRTY = "work/incompat/volatile", "dirty"
DIRECTORIES = ("dev", "proc", "sys")
FILES = ("hostname", "hosts", "resolv.conf")  # in etc
MTAB = "mtab"


class Layer(Value):
    """The directories of one overlay, the highest lower one first; `like`: what its root looks like, "" is 0755."""

    lowers: tuple[str, ...]
    upper: str
    work: str
    like: str = ""


class Folder(Value):
    """A directory of the skeleton: it hides the one of the layers, so it looks the same."""

    path: str
    mode: int = 0o755
    owner: tuple[int, int] = (0, 0)
    mtime_ns: int | None = None


class Skeleton(Value):
    """What is missing in the layers to be mounted on; `path` is the directory where a filesystem for it is mounted."""

    path: str
    folders: tuple[Folder, ...] = ()
    files: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        names = [folder.path for folder in self.folders] + list(self.files) + [path for path, _ in self.links]
        return f"layer  {self.path} in memory with {' '.join(names)}"


class Root(Value):
    """The mount that becomes the root. The layers in its options may be named relative to `directory`.

    `mapped`: directories that are mounted on themselves first, as the container's own users see them. `tree`: it is
    mounted already, and this a descriptor of it (opening.py).
    """

    mount: Mount
    directory: str = ""
    skeleton: Skeleton | None = None
    mapped: tuple[str, ...] = ()
    tree: int = -1

    @property
    def target(self) -> str:
        """Return where it is mounted."""
        return self.mount.target

    def __str__(self) -> str:
        mapped = [f"idmap  {path}" for path in self.mapped]
        return "\n".join(map(str, filter(None, (self.skeleton, *mapped, self.mount))))


def overlay(layer: Layer, target: str, *, rootless: bool, short_names: str = "", once: bool = False) -> Root:
    """Return an overlay: redirects of an untrusted layer are not followed (trusted.overlay.redirect).

    `short_names` is a directory in which "0", "1", ... are links to the layers, for more than fit into the options.
    `once`: it is never mounted again, and what is written to it need not outlast a crash of the machine (VOLATILE).
    """
    root = _overlay(layer, [_escape(path, ":") for path in layer.lowers], target, rootless=rootless, once=once)
    if len(os.fsencode(root.data)) <= LONGEST_DATA or not short_names:
        return Root(root)
    names = [str(number) for number in range(len(layer.lowers))]
    return Root(_overlay(layer, names, target, rootless=rootless, once=once), short_names)


def _overlay(layer: Layer, names: Sequence[str], target: str, *, rootless: bool, once: bool) -> Mount:
    options = [f"lowerdir={':'.join(names)}", f"upperdir={_escape(layer.upper)}", f"workdir={_escape(layer.work)}"]
    # redirect_dir and metacopy cannot be named together with userxattr, which turns both off.
    options += ["userxattr"] if rootless else ["index=off", "metacopy=off", "redirect_dir=nofollow"]
    options += [VOLATILE] if once else []
    return Mount("overlay", target, 0, ",".join(options), "overlay")


def _escape(path: str, also: str = "") -> str:
    for letter in f"\\,{also}":
        path = path.replace(letter, f"\\{letter}")
    return path


def skeleton(path: str, layers: Sequence[str]) -> Skeleton | None:
    """Return what the layers lack, or None where they have it all."""
    folders = [Folder(name) for name in DIRECTORIES if find(layers, name) is None]
    files: list[str] = []
    links: list[tuple[str, str]] = []
    etc, lacking = find_lacking(layers, "etc", (*FILES, MTAB))
    if etc is None or stat.S_ISDIR(etc.stat.st_mode):  # a link leads to where mounting makes them
        files = [f"etc/{name}" for name in FILES if name in lacking]
        links = [(f"etc/{MTAB}", "/proc/mounts")] if MTAB in lacking else []
    if files or links:
        if etc is None:
            folders.append(Folder("etc"))
        else:
            found = etc.stat
            owner = (found.st_uid, found.st_gid)
            folders.append(Folder("etc", stat.S_IMODE(found.st_mode), owner, found.st_mtime_ns))
    return Skeleton(path, tuple(folders), tuple(files), tuple(links)) if folders else None
