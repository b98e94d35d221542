"""The devices of this machine that a container gets besides the usual ones, and the rules that let it use them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator

from sandbox.device_options import Device
from sandbox.devices import Rule, parse_rule
from sandbox.errors import SandboxError, code_of
from sandbox.rootfs import Node
from sandbox.value import Value, replace

__all__ = ["Given", "chosen", "everything", "rules"]

KINDS = {stat.S_IFCHR: "c", stat.S_IFBLK: "b"}
# Of a directory such as /dev itself, what every container has of its own (moby daemon/pkg/oci/devices_linux.go).
OWN = frozenset({"pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev", "console", "ptmx"})


class Given(Value):
    """A device node in the container, and what may be done with it."""

    node: Node
    rule: Rule


def everything() -> Iterator[Node]:
    """Yield the devices directly in the host's /dev, for a privileged container."""
    with os.scandir("/dev") as entries:
        for entry in entries:
            found = entry.stat(follow_symlinks=False)
            if stat.S_IFMT(found.st_mode) in KINDS and entry.name not in OWN:
                yield _node(entry.path, entry.path, found)


def chosen(devices: Iterable[Device], *, bound: bool) -> list[Given]:
    """Return what `--device` asks for; links are followed, a directory stands for all devices below it."""
    return [given for device in devices for given in _found(device, bound=bound)]


def rules(texts: Iterable[str]) -> Iterator[Rule]:
    """Yield what `--device-cgroup-rule` asks for; `a` is every kind."""
    for text in texts:
        for kind in ("b", "c") if text[0] == "a" else text[0]:
            yield parse_rule(kind + text[1:])


def _found(device: Device, *, bound: bool) -> Iterator[Given]:
    what = f"error gathering device information while adding custom device {device.source!r}"
    source = os.path.realpath(device.source)
    try:
        found = os.stat(source)
    except OSError as error:
        raise SandboxError(f"{what}: {(error.strerror or '').lower()}", code_of(error)) from None
    nodes = list(_below(source, device.target) if stat.S_ISDIR(found.st_mode) else _single(source, device.target))
    if not nodes:
        raise SandboxError(f"{what}: not a device node")
    for node in nodes:
        rule = Rule(KINDS[node.kind], node.major, node.minor, device.access)
        yield Given(replace(node, bind=bound), rule)


def _single(source: str, target: str) -> Iterator[Node]:
    found = os.lstat(source)
    if stat.S_IFMT(found.st_mode) in KINDS:
        yield _node(source, target, found)


def _below(source: str, target: str) -> Iterator[Node]:
    for directory, below, names in os.walk(source):
        below[:] = sorted(name for name in below if name not in OWN)
        for name in sorted(set(names) - OWN):
            path = os.path.join(directory, name)
            yield from _single(path, os.path.join(target, os.path.relpath(path, source)))


def _node(source: str, target: str, found: os.stat_result) -> Node:
    return Node(
        target,
        stat.S_IFMT(found.st_mode),
        os.major(found.st_rdev),
        os.minor(found.st_rdev),
        stat.S_IMODE(found.st_mode),
        owner=(found.st_uid, found.st_gid),
        source=source,
    )
