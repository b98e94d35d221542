"""A bundle's config.json, checked and as typed values; pure, but for the one file that is read.

Only what is asked of the engine is taken out of it. A field that it cannot
keep is an error by its name (runtime-spec: "MUST generate an error"), never
silently dropped; an unknown field is ignored, as the spec wants it.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from typing import Any

from inspector.kernel.process import IdRange
from sandbox.errors import SandboxError
from sandbox.idmap import IdMap
from sandbox.oci import scheduling
from sandbox.oci.process import LARGEST_ID, Process, parse_process
from sandbox.oci.reader import Reader, load
from sandbox.rootfs import PROPAGATIONS
from sandbox.value import Value

__all__ = ["Bundle", "Device", "Hook", "Mount", "Namespace", "parse", "read"]

KINDS = ("mount", "pid", "network", "ipc", "uts", "user", "cgroup", "time")
HOOKS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
CLOCKS = ("monotonic", "boottime")
DEVICE_KINDS = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}
LONGEST_SECONDS = 10**6  # poll(2) takes no more than twice as much
LARGEST_NUMBER = 2**20 - 1  # MINORBITS of the kernel, which the majors do not reach
UNSUPPORTED = ("intelRdt", "mountLabel")


class Namespace(Value):
    """One of the container's own, or with a path an existing one."""

    kind: str
    path: str = ""


class Mount(Value):
    """One of `mounts`, as it is written; `ids` say whose its files are instead."""

    destination: str
    kind: str
    source: str
    options: tuple[str, ...]
    ids: IdMap | None = None


class Device(Value):
    """A node below /dev; `kind` is one of stat.S_IF*."""

    path: str
    kind: int
    major: int
    minor: int
    mode: int
    owner: tuple[int, int]


class Hook(Value):
    """A program that is run at one point of a container's life; `timeout` in seconds, 0 for none."""

    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    timeout: float = 0


class Bundle(Value):
    """A whole config.json; `seccomp` is the profile as JSON, "" for none, `resources` is as it is written.

    `ids` are those of a new user namespace. `listener`: the socket of who answers for the profile's SCMP_ACT_NOTIFY,
    "" for nobody, and what he is told besides.
    """

    version: str
    directory: str
    root: str
    read_only: bool
    propagation: str
    process: Process | None
    hostname: str
    domainname: str
    mounts: tuple[Mount, ...]
    namespaces: tuple[Namespace, ...]
    ids: IdMap | None
    hooks: Mapping[str, tuple[Hook, ...]]
    cgroups_path: str
    resources: Mapping[str, Any]
    devices: tuple[Device, ...]
    sysctls: tuple[tuple[str, str], ...]
    time_offsets: tuple[tuple[str, int, int], ...]
    seccomp: str
    listener: tuple[str, str]
    masked: tuple[str, ...]
    readonly: tuple[str, ...]
    annotations: Mapping[str, str]
    domain: int | None
    memory: tuple[int, int] | None
    net_devices: Mapping[str, str]

    def has(self, kind: str) -> bool:
        """Tell whether it has a namespace of its own, new or joined."""
        return any(one.kind == kind for one in self.namespaces)


def read(directory: str) -> Bundle:
    """Read and parse the config.json of a bundle; SandboxError for one that is missing or wrong."""
    path = os.path.join(directory, "config.json")
    return parse(load(path), os.path.realpath(directory))


def parse(document: object, directory: str) -> Bundle:
    """Check a configuration and return what it asks for."""
    top = Reader(document, "")
    if not top.text("ociVersion").startswith("1."):
        raise SandboxError(f"config.json: ociVersion {top.text('ociVersion')!r} is not 1.x", 1)
    linux, process = top.object("linux"), top.value.get("process")
    root = _root(top, linux)
    domain, memory = scheduling.parse_machine(linux)
    return Bundle(
        version=top.text("ociVersion"),
        directory=directory,
        root=os.path.realpath(os.path.join(directory, root.text("path"))),
        read_only=root.get("readonly", bool, False),
        propagation=linux.text("rootfsPropagation"),
        process=None if process is None else parse_process(process),
        hostname=top.text("hostname"),
        domainname=_domainname(top, linux),
        mounts=tuple(map(_mount, top.objects("mounts"))),
        namespaces=_namespaces(linux),
        ids=_ids(linux),
        hooks=_hooks(top.object("hooks")),
        cgroups_path=_cgroups_path(linux.text("cgroupsPath")),
        resources=linux.object("resources").value,
        devices=tuple(map(_device, linux.objects("devices"))),
        sysctls=linux.pairs("sysctl"),
        time_offsets=_time_offsets(linux),
        seccomp=_seccomp(linux),
        listener=_listener(linux.object("seccomp")),
        masked=linux.texts("maskedPaths"),
        readonly=linux.texts("readonlyPaths"),
        annotations=dict(top.pairs("annotations")),
        domain=domain,
        memory=memory,
        net_devices=_net_devices(linux),
    )


def _root(top: Reader, linux: Reader) -> Reader:
    """Return where the root is; what else is asked of the whole has to be something that is done here."""
    for key in UNSUPPORTED:
        if linux.value.get(key):
            raise SandboxError(f"config.json: linux.{key} is not supported", 1)
    if linux.text("rootfsPropagation"):
        linux.word("rootfsPropagation", PROPAGATIONS)
    root = top.object("root")
    if not root.text("path"):
        raise SandboxError("config.json: root.path is missing", 1)
    return root


def _seccomp(linux: Reader) -> str:
    given = linux.object("seccomp").value
    profile = {key: value for key, value in given.items() if not key.startswith("listener")}
    return json.dumps(profile) if profile else ""


def _net_devices(linux: Reader) -> Mapping[str, str]:
    """Return which interfaces it is given, and their names inside."""
    if not linux.value.get("netDevices"):
        return {}
    from sandbox.oci.network_devices import parse as parse_devices  # noqa: PLC0415  rare

    if not any(one.kind == "network" for one in _namespaces(linux)):
        raise SandboxError("config.json: linux.netDevices need a network namespace", 1)
    return parse_devices(linux)


def _device(entry: Reader) -> Device:
    path, kind = os.path.normpath(entry.text("path")), DEVICE_KINDS.get(entry.text("type"))
    if kind is None or not path.startswith("/") or ".." in entry.text("path").split("/"):
        raise SandboxError(f"config.json: {entry.where}: {path!r} is no device", 1)
    major, minor = (entry.number(key, 0, 0, LARGEST_NUMBER) for key in ("major", "minor"))
    owner = (entry.number("uid", 0, 0, LARGEST_ID), entry.number("gid", 0, 0, LARGEST_ID))
    return Device(path, kind, major, minor, entry.number("fileMode", 0o666, 0, LARGEST_ID) & 0o777, owner)


def _listener(seccomp: Reader) -> tuple[str, str]:
    """Return the socket of who supervises system calls, and what he is told of the container."""
    path, metadata = seccomp.text("listenerPath"), seccomp.text("listenerMetadata")
    if metadata and not path:
        raise seccomp.wrong("listenerMetadata", "is for nobody without a listenerPath")
    return path, metadata


def _domainname(top: Reader, linux: Reader) -> str:
    name, own = top.text("domainname"), any(one.kind == "uts" for one in _namespaces(linux))
    for key in ("hostname", "domainname"):
        if top.text(key) and not own:
            raise SandboxError(f"config.json: {key} needs a uts namespace: without it is this machine's", 1)
    if name and dict(linux.pairs("sysctl")).get("kernel.domainname", name) != name:
        raise SandboxError("config.json: domainname and linux.sysctl kernel.domainname are not the same", 1)
    return name


def _cgroups_path(path: str) -> str:
    if ":" in path:
        raise SandboxError(f"config.json: linux.cgroupsPath {path!r}: systemd makes no cgroups for the sandbox", 1)
    if ".." in path.split("/"):
        raise SandboxError(f"config.json: linux.cgroupsPath {path!r} holds '..'", 1)
    return path


def _time_offsets(linux: Reader) -> tuple[tuple[str, int, int], ...]:
    clocks = linux.object("timeOffsets")
    offsets = {name: clocks.object(name) for name in clocks.value}
    if unknown := sorted(set(offsets) - set(CLOCKS)):
        raise SandboxError(f"config.json: linux.timeOffsets: {unknown[0]!r} is none of {', '.join(CLOCKS)}", 1)
    if offsets and not any(one.kind == "time" and not one.path for one in _namespaces(linux)):
        raise SandboxError("config.json: linux.timeOffsets need a new time namespace", 1)
    return tuple(
        (name, each.number("secs", 0, -(2**63), 2**63 - 1), each.number("nanosecs", 0, 0, 999_999_999))
        for name, each in offsets.items()
    )


def _mount(entry: Reader) -> Mount:
    destination = entry.text("destination")
    if not destination.startswith("/"):
        # runc takes a relative one as from the root, and says that it is deprecated.
        destination = f"/{destination}"
    if ".." in destination.split("/"):
        raise SandboxError(f"config.json: {entry.where}.destination {destination!r} holds '..'", 1)
    ids = _ranges(entry)
    if bool(ids[0]) != bool(ids[1]):
        raise entry.wrong("uidMappings", "and gidMappings go together")
    return Mount(destination, entry.text("type"), entry.text("source"), entry.texts("options"), ids if ids[0] else None)


def _namespaces(linux: Reader) -> tuple[Namespace, ...]:
    found: list[Namespace] = []
    for entry in linux.objects("namespaces"):
        kind, path = entry.text("type"), entry.text("path")
        if kind not in KINDS:
            raise SandboxError(f"config.json: {entry.where}.type {kind!r} is no kind of namespace", 1)
        if any(other.kind == kind for other in found):
            raise SandboxError(f"config.json: linux.namespaces: {kind} is named twice", 1)
        found.append(Namespace(kind, path))
    if not any(one.kind == "mount" and not one.path for one in found):
        raise SandboxError("config.json: linux.namespaces: a container without a mount namespace is not supported", 1)
    return tuple(found)


def _ids(linux: Reader) -> IdMap | None:
    """Return the map of a new user namespace, which has to have one; for an existing one it says nothing new."""
    if not any(one.kind == "user" and not one.path for one in _namespaces(linux)):
        return None
    ids = _ranges(linux)
    if not all(ids):
        raise SandboxError("config.json: linux.namespaces: a new user namespace needs uidMappings and gidMappings", 1)
    return ids


def _ranges(entry: Reader) -> IdMap:
    return IdMap(*(tuple(map(_range, entry.objects(key))) for key in ("uidMappings", "gidMappings")))


def _range(entry: Reader) -> IdRange:
    return IdRange(*(entry.number(key, 0, 0, 2**32 - 1) for key in ("containerID", "hostID", "size")))


def _hooks(entry: Reader) -> dict[str, tuple[Hook, ...]]:
    return {name: tuple(map(_hook, entry.objects(name))) for name in HOOKS}


def _hook(entry: Reader) -> Hook:
    path, timeout = entry.text("path"), entry.number("timeout", 0, 0, 2**63 - 1)
    if not path.startswith("/"):
        raise entry.wrong("path", f"{path!r} is not an absolute path")
    return Hook(path, entry.texts("args"), entry.texts("env"), float(min(timeout, LONGEST_SECONDS)))
