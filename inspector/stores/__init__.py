"""The files that runtimes leave: where each keeps a container's name, image and labels, and how to read them.

Pure: `sources` says which files may tell, each module's parse_x understands
one. They are read as data and never trusted (inspector.metadata).
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Callable
from functools import lru_cache, partial

from inspector.kernel.named import NamedTuple
from inspector.stores.bolt import parse_containerd, parse_podman
from inspector.stores.docker import parse_docker, parse_start
from inspector.stores.facts import Facts
from inspector.stores.incus import parse_backup
from inspector.stores.lxc import parse_lxc
from inspector.stores.oci import parse_bundle
from inspector.stores.sandbox import parse_sandbox
from inspector.stores.sqlite import parse_podman_sql
from inspector.stores.storage import parse_check, parse_containers

__all__ = ["RUN_ROOT", "Clues", "Facts", "Source", "lead", "sources"]

SERVED = ("/incus/containers", "/lxd/containers")  # by servers that use LXC
LXCPATH = "--lxcpath="
TASKS = "/io.containerd.runtime.v2.task/"
RUN_ROOT = "/run/containers/storage"
STORAGE = r"(?P<root>/.*)/(?P<directory>(?:overlay|vfs|btrfs|zfs)-containers)/"


class Clues(NamedTuple):
    """What is known of a container before its files are read: its id, its layers, the process that started it."""

    id: str
    upper: str = ""
    parent: tuple[str, ...] = ()
    parent_directory: str = ""
    kept_in: str = ""
    root: str = ""  # the directory on its filesystem that its root is

    def option(self, name: str) -> str:
        """Return the word after an option of the parent's command line ("-b DIR"), or ""."""
        words = self.parent
        return words[words.index(name) + 1] if name in words[:-1] else ""

    def before(self, *markers: str) -> list[str]:
        """Return what stands before a marker in the path of a directory of the runtime: the runtime's own root."""
        paths = (self.upper, self.kept_in)
        return [path.partition(marker)[0] for path in paths for marker in markers if marker in path]


class Source(NamedTuple):
    """A file that may tell: below `store` no link is followed (Host.read_inside)."""

    store: str
    relative: str
    parse: Callable[[bytes, str], Facts]

    @property
    def path(self) -> str:
        """Return the file's whole path."""
        return f"{self.store}/{self.relative}"


def sources(runtime: str, clues: Clues) -> list[Source]:
    """Return the files that may tell a container's name and image, the likeliest first."""
    find = FINDERS.get(runtime)
    return find(clues) if find else []


def lead(runtime: str, clues: Clues) -> Source | None:
    """Return the file that tells where the sources are, for a container whose root leads nowhere yet: runc starts it.

    Docker's alone: where it keeps its data is for who installs it to say, and no process of the container's says it.
    It is in the bundle, and the shim in that of its first container: <state>/<TASKS>/moby/<id>.
    """
    state, task, _ = clues.parent_directory.partition(TASKS)
    found = Source(f"{state}{TASKS}moby", f"{clues.id}/config.json", parse_start)
    return found if task and runtime == "docker" else None


def _docker(clues: Clues) -> list[Source]:
    # moby: <data-root>/containers/<id>/config.v2.json; the layers lie below the same root.
    roots = dict.fromkeys((*clues.before("/overlay2/", "/vfs/", "/rootfs/", "/containers/"), "/var/lib/docker"))
    return [Source(root, f"containers/{clues.id}/config.v2.json", parse_docker) for root in roots]


def _sandbox(clues: Clues) -> list[Source]:
    # Until the first process has entered its root, its monitor leads there, which is in the container's directory; of
    # one in the foreground its options, where they say it.
    root, own, rest = clues.parent_directory.partition(f"/containers/{clues.id}")
    led = (*((root,) if own and not rest else ()), *filter(os.path.isabs, (clues.option("--root"),)))
    roots = dict.fromkeys((*clues.before("/containers/"), *led, "/var/lib/cgscope", "/run/cgscope"))
    return [Source(root, f"containers/{clues.id}/state.json", parse_sandbox) for root in roots]


def _containerd(clues: Clues) -> list[Source]:
    # The shim's working directory is the bundle of its first container: <state>/<TASKS>/<namespace>/<id>.
    state, task, rest = clues.parent_directory.partition(TASKS)
    namespace = rest.partition("/")[0] if task else clues.option("-namespace") or "k8s.io"
    state = state if task else "/run/containerd"
    roots = dict.fromkeys((*clues.before("/io.containerd.snapshotter"), "/var/lib/containerd"))
    bundle = Source(f"{state}{TASKS}{namespace}", f"{clues.id}/config.json", parse_bundle)
    databases = [
        Source(root, "io.containerd.metadata.v1.bolt/meta.db", _in_namespace(namespace))
        for root in roots
    ]
    # `nerdctl rename` changes the label in the database alone; Kubernetes renames nothing, and its bundle tells all.
    return [bundle, *databases] if namespace == "k8s.io" else [*databases, bundle]


@lru_cache(64)  # the same one for the same namespace, so that a Source is equal to the last tick's
def _in_namespace(namespace: str) -> Callable[[bytes, str], Facts]:
    return partial(parse_containerd, namespace=namespace)


def _storage(clues: Clues) -> list[Source]:
    # github.com/containers/storage, of Podman and CRI-O: <graphroot>/<driver>-containers/<id>/userdata is the bundle
    # (conmon's "-b"), the same below <runroot> what is bound into the container. In a transient store all is there.
    found = [place for path in (clues.option("-b"), clues.kept_in) if (place := re.match(STORAGE, path))]
    roots = dict.fromkeys((*(one["root"] for one in found), *clues.before("/overlay/"), "/var/lib/containers/storage"))
    directory = found[0]["directory"] if found else "overlay-containers"
    return [
        source
        for root in roots
        for source in (
            Source(root, f"{directory}/{clues.id}/userdata/config.json", parse_bundle),
            Source(root, f"{directory}/containers.json", parse_containers),
            Source(root, f"{directory}/volatile-containers.json", parse_containers),  # of `podman run --rm`, since 4.4
            Source(root, "libpod/bolt_state.db", parse_podman),  # before Podman 5, and as long as it is there
            Source(root, "db.sql", parse_podman_sql),
            Source(root, "libpod/db.sql", parse_podman_sql),
        )
    ]


def _podman(clues: Clues) -> list[Source]:
    # What its checks said is beside what is bound into the container.
    place = re.match(STORAGE, clues.kept_in)
    root, directory = (place["root"], place["directory"]) if place else (RUN_ROOT, "overlay-containers")
    return [Source(root, f"{directory}/{clues.id}/healthcheck.log", parse_check), *_storage(clues)]


def _lxc(clues: Clues) -> list[Source]:
    path = _lxcpath(clues)
    roots = dict.fromkeys((*([path] if path.startswith("/") else []), "/var/lib/lxc"))
    if path.endswith(SERVED):
        # <path>/<name> is a link into a storage pool, of which only some kinds tell the name: nearly all are "default".
        server, pool = path.removesuffix("/containers"), re.search(r"/storage-pools/([^/]+)/containers/", clues.root)
        directory = f"storage-pools/{pool[1] if pool else 'default'}/containers/{clues.id}"
        return [Source(server, f"{directory}/backup.yaml", parse_backup)]
    return [Source(root, f"{clues.id}/config", parse_lxc) for root in roots]


def _lxcpath(clues: Clues) -> str:
    """Return what the parent was told: it calls itself "[lxc monitor] <lxcpath> <name>", but not in the foreground."""
    words = clues.parent
    if words[:2] == ("[lxc", "monitor]"):
        return words[2] if len(words) > 2 else ""  # noqa: PLR2004
    if not words or words[0].rpartition("/")[2] not in ("lxc-start", "lxc-execute"):
        return ""
    joined = (word.removeprefix(LXCPATH) for word in words if word.startswith(LXCPATH))
    return clues.option("-P") or clues.option("--lxcpath") or next(joined, "")


FINDERS: dict[str, Callable[[Clues], list[Source]]] = {
    "docker": _docker,
    "sandbox": _sandbox,
    "containerd": _containerd,
    "podman": _podman,
    "cri-o": _storage,
    "lxc": _lxc,
}
