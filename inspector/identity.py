"""What a group of processes is called, what kind it is, and the evidence for it. Pure.

Ids are stable for the life of the container: the runtime's own, or one made
of the namespace that sets it apart. The names and images that runtimes keep
in files come on top (inspector.metadata).
"""

from __future__ import annotations

from collections.abc import Iterator

from inspector.kernel.cgroups import Membership
from inspector.kernel.mounts import Mount, overlay_layers, root_identity
from inspector.kernel.named import NamedTuple
from inspector.model import Leader, Own, Told
from inspector.runtimes import Match, by_command, by_directory, by_layer, pod_uid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

__all__ = ["Naming", "by_pattern", "name_of"]

SHORT_ID = 12
LONG_ID = 64  # digits
DOCKERS_NAMESPACE = "moby"  # moby: daemon/config, DefaultContainersNamespace, in which dockerd uses containerd
MACHINE = r"(?:-M ?|--machine[= ])(\S+)"
JAIL = r"--name=(\S+)"
DIRECTORY = r"(?:-D ?|--directory[= ])(\S+)"


class Naming(NamedTuple):
    """The answer: kind, names, and why we believe it. `image` is never empty for a container."""

    kind: Literal["container", "service", "cgroup"]
    id: str
    name: str
    runtime: str | None
    image: str
    evidence: tuple[str, ...]
    runtime_id: str | None = None
    pod: str | None = None


def name_of(
    key: tuple[str, str | int],
    matched: Match | None,
    leader: Leader | None,
    own: Own,
    *,
    ours: bool = False,
    doubted: bool = False,
) -> Naming | None:
    """Name a group, or `ours`; None for one that is nothing of its own (a mount namespace with the host's root).

    `doubted`: what its files tell is another's, in whose root it was made.
    """
    kind, value = key
    # One that went elsewhere, or ended, before the full look at it is not what its group was made for.
    if leader is None or (kind in ("pid", "mnt") and leader.namespaces.get(str(kind)) != value):
        return None
    if kind == "group":
        path = str(value)
        return Naming("cgroup", path, path, None, "", (f"cgroup {path}",))
    evidence = _common_evidence(leader, own)
    if matched is not None:
        if matched.runtime == "containerd" and _is_dockers(leader):
            matched = matched._replace(runtime="docker")
        return by_pattern(matched, evidence, own.told if ours else None, leader.parent_cmdline)
    if kind == "self":
        return _self(own, leader, evidence)
    if kind == "pid" or root_identity(leader.root) != root_identity(own.root):
        return _anonymous(f"{kind}-{value}", leader, own, evidence, None if doubted else _kept(leader))
    return _service(leader, evidence)


def by_pattern(matched: Match, evidence: tuple[str, ...] = (), told: Told | None = None, parent: str = "") -> Naming:
    """Name a runtime's container by its id; LXC and nspawn have names, which come again within another container.

    `told` is what the container was told, where it is the one that we are in. The `parent` of Podman's, conmon, was
    given its name: that anybody may read, but not Podman's files.
    """
    unique = _is_long_id(matched.id)
    if told is not None and told.runtime == matched.runtime:
        evidence = (*evidence, f"{told.runtime} by {told.source}")
    else:
        told = None
    words = parent.split(" ")
    given = _after(words, "-n") if matched.runtime == "podman" == by_command(words[0]) else None
    return Naming(
        kind="container",
        id=matched.id if unique else matched.path,
        name=(told.name if told else "") or given or (matched.id[:SHORT_ID] if unique else matched.id),
        runtime=matched.runtime,
        image=(told.image if told else "") or "unknown",
        evidence=(f"cgroup pattern {matched.runtime}", *evidence),
        runtime_id=matched.id,
        pod=pod_uid(matched.path),
    )


def _is_dockers(leader: Leader) -> bool:
    """Tell whether containerd has started it for Docker: the kubelet's cgroups are called the same (cri-dockerd)."""
    layer = _layer(leader.root)
    return _after(leader.parent_cmdline.split(" "), "-namespace") == DOCKERS_NAMESPACE or bool(
        layer and layer[0] == "docker"
    )


def _is_hex_id(text: str) -> bool:
    return len(text) in (SHORT_ID, LONG_ID) and not text.strip("0123456789abcdef")


def _is_long_id(text: str) -> bool:
    return len(text) == LONG_ID and not text.strip("0123456789abcdef")


def _service(leader: Leader, evidence: tuple[str, ...]) -> Naming | None:
    """Name the systemd unit of a process with private mounts; None where it is in no unit."""
    unit = next((path for path in leader.membership.paths.values() if path.endswith(".service")), None)
    if unit is None:
        return None
    return Naming("service", unit, unit.rpartition("/")[2], "systemd", "", (f"systemd unit {unit}", *evidence))


def _common_evidence(leader: Leader, own: Own) -> tuple[str, ...]:
    """List the namespaces that are not the reader's, and the root filesystem."""
    found = [
        f"own {kind} namespace {inode}"
        for kind in ("mnt", "pid", "user")
        if (inode := leader.namespaces.get(kind)) is not None and own.namespaces.get(kind) not in (inode, None)
    ]
    if leader.root is not None and root_identity(leader.root) != root_identity(own.root):
        found.append(f"{leader.root.fstype} root")
    return tuple(found)


def _self(own: Own, leader: Leader, evidence: tuple[str, ...]) -> Naming:
    """Name the container that the reader itself is in: by what is bound or mounted in it, or else by what it was told.

    Without an id from a file or the host name it has the id that it has when seen from outside: its namespace.
    """
    overlay = overlay_layers(own.root) if own.root else None
    kept = _kept(own)
    if own.borrowed and kept in (None, by_directory(own.kept_in)):
        name = next(filter(_is_long_id, _last_names(own.membership)), "")
        own, kept = own._replace(kept_in=name, hostname=name[:SHORT_ID]), None
        evidence = (*evidence, "/etc/hostname is another's")
    seen = kept or _layer(own.root) or (by_command(leader.process.comm), None)
    told = own.told if own.told is not None and seen[0] in (None, own.told.runtime) else None
    # Docker's directory for a container is called by its full id, wherever Docker keeps its data.
    candidates = own.kept_in.rpartition("/")[2], told.id if told else "", own.hostname
    identifier = seen[1] or next(filter(_is_hex_id, candidates), None)
    evidence = (f"we run inside it, PID namespace {own.namespaces.get('pid')}", *evidence)
    if overlay:
        evidence = (*evidence, "overlay root")
    if told:
        evidence = (*evidence, f"{told.runtime} by {told.source}")
    apart = "pid" if own.own_pid_namespace else "mnt"
    # With the network of another container it has that one's host name too.
    hostname = own.hostname if kept is None or by_directory(own.kept_in) in (None, kept) else kept[1][:SHORT_ID]
    return Naming(
        kind="container",
        id=identifier or f"{apart}-{own.namespaces.get(apart)}",
        name=(told.name if told else "") or hostname or "self",
        runtime=told.runtime if told else seen[0],
        image=(told.image if told else "") or (own.root.root if own.root and not overlay else "unknown"),
        evidence=evidence,
    )


def _layer(root: Mount | None) -> tuple[str, str | None] | None:
    """Tell the runtime, and the id where the path holds it, from a root's writable layer."""
    overlay = overlay_layers(root) if root else None
    return by_layer(overlay.upper) if overlay and overlay.upper else None


def _kept(one: Leader | Own) -> tuple[str, str] | None:
    """Tell the runtime and the id from where a container's root and its /etc/hostname come from.

    The writable layer is its own; the host name is another's with the network of that one (--network container:X).
    Docker's cgroup is called by the id, whatever its parent.
    """
    layer = _layer(one.root)
    if layer and layer[1]:
        return layer[0], layer[1]
    found = by_directory(one.kept_in)
    if found and found[0] == "docker":
        return "docker", next(filter(_is_long_id, _last_names(one.membership)), found[1])
    return found


def _last_names(membership: Membership) -> Iterator[str]:
    return (path.rpartition("/")[2] for path in membership.paths.values())


def _anonymous(
    identifier: str, leader: Leader, own: Own, evidence: tuple[str, ...], kept: tuple[str, str] | None
) -> Naming:
    """Name a container whose cgroup's name says nothing, from where it is kept and the program that made it."""
    process, words = leader.process, leader.parent_cmdline.split(" ")
    starter = by_command(words[0])
    runtime = kept[0] if kept else starter or by_command(process.comm)  # bwrap is the process itself
    if runtime == "containerd" and _after(words, "-namespace") == DOCKERS_NAMESPACE:
        runtime = "docker"
    told = _told(runtime, words, leader) if starter or not kept else None
    # One that shares another's network (--network container:NAME) has that one's /etc/hostname.
    if kept and not (told and _is_long_id(told)):
        told = kept[1]
    image = (leader.root.root if leader.root else "") or "/"
    if image == "/" and root_identity(leader.root) != root_identity(own.root):
        image = "unknown"  # the top of a filesystem that is not the machine's: an overlay, a tmpfs, a disk of its own
    return Naming(
        kind="container",
        id=told if told is not None and _is_long_id(told) else identifier,
        name=(told[:SHORT_ID] if kept or _is_long_id(told) else told) if told else f"{process.comm}-{process.pid}",
        runtime=runtime,
        image=image,
        evidence=(*evidence, f"{'kept' if kept else 'started'} by {runtime}") if runtime else evidence,
        runtime_id=told,
    )


def _told(runtime: str | None, words: list[str], leader: Leader) -> str | None:
    """Return the id or name that a runtime's own program was started with."""
    if runtime in ("containerd", "docker"):
        # The cgroup of `ctr` is /<namespace>/<id>, of `docker run --cgroup-parent` /<parent>/<id>: both could be
        # anybody's; that its parent is a shim settles it.
        names = filter(None, _last_names(leader.membership))
        found = next((name for name in names if runtime == "containerd" or _is_long_id(name)), None)
        return found or _after(words, "-id")
    if runtime == "podman":
        return _after(words, "-c")
    if runtime == "lxc":
        return _lxc_name(words)
    import re  # noqa: PLC0415  most groups are no runtime's

    if runtime == "nspawn":
        machine = re.search(MACHINE, leader.parent_cmdline) or re.search(DIRECTORY, leader.parent_cmdline)
        return machine[1].rstrip("/").rpartition("/")[2] or None if machine else None
    if runtime == "firejail":
        jail = re.search(JAIL, leader.parent_cmdline)
        return jail[1] if jail else None
    return None


def _lxc_name(words: list[str]) -> str | None:
    """Return the name that LXC's monitor gives itself, "[lxc monitor] <lxcpath> <name>", or was started with."""
    if words[:2] == ["[lxc", "monitor]"]:
        return words[-1] if len(words) > 3 else None  # noqa: PLR2004
    return _after(words, "-n") or _after(words, "--name")


def _after(words: list[str], option: str) -> str | None:
    return words[words.index(option) + 1] if option in words[:-1] else None
