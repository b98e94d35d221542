"""A bundle's config.json, checked and as typed values; pure, but for the one file that is read.

Only what is asked of the engine is taken out of it. A field that it cannot
keep is an error by its name (runtime-spec: "MUST generate an error"), never
silently dropped; an unknown field is ignored, as the spec wants it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from inspector.kernel.process import IdRange
from sandbox.capabilities import ALL, mask
from sandbox.errors import SandboxError
from sandbox.idmap import IdMap
from sandbox.privileges import Sets
from sandbox.value import Value

__all__ = ["Bundle", "Hook", "Mount", "Namespace", "Process", "parse", "parse_process", "read"]

LARGEST_FILE = 16 << 20
USUAL_UMASK = 0o022
KINDS = ("mount", "pid", "network", "ipc", "uts", "user", "cgroup", "time")
HOOKS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
SETS = ("bounding", "effective", "permitted", "inheritable", "ambient")
OF_A_PROCESS = ("scheduler", "ioPriority", "execCPUAffinity")
UNSUPPORTED = ("intelRdt", "personality", "mountLabel", "memoryPolicy", "netDevices")


class Namespace(Value):
    """One of the container's own, or with a path an existing one."""

    kind: str
    path: str = ""


class Mount(Value):
    """One of `mounts`, as it is written."""

    destination: str
    kind: str
    source: str
    options: tuple[str, ...]


class Hook(Value):
    """A program that is run at one point of a container's life; `timeout` in seconds, 0 for none."""

    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    timeout: float = 0


class Process(Value):
    """What is started, and as whom. Capability names are without CAP_; `console` is rows and columns.

    `unknown` are capabilities that this machine does not have: it starts without, and a warning is due.
    """

    args: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    umask: int
    terminal: bool
    console: tuple[int, int]
    bounding: frozenset[str]
    unknown: tuple[str, ...]
    sets: Sets
    rlimits: tuple[tuple[str, int, int], ...]
    oom_score_adj: int | None
    no_new_privileges: bool


class Bundle(Value):
    """A whole config.json; `seccomp` is the profile as JSON, "" for none, `resources` is as it is written.

    `ids` are those of a new user namespace.
    """

    version: str
    directory: str
    root: str
    read_only: bool
    process: Process | None
    hostname: str
    domainname: str
    mounts: tuple[Mount, ...]
    namespaces: tuple[Namespace, ...]
    ids: IdMap | None
    hooks: Mapping[str, tuple[Hook, ...]]
    cgroups_path: str
    resources: Mapping[str, Any]
    devices: tuple[Mapping[str, Any], ...]
    sysctls: tuple[tuple[str, str], ...]
    time_offsets: tuple[tuple[str, int], ...]
    seccomp: str
    masked: tuple[str, ...]
    readonly: tuple[str, ...]
    annotations: Mapping[str, str]

    def has(self, kind: str) -> bool:
        """Tell whether it has a namespace of its own, new or joined."""
        return any(one.kind == kind for one in self.namespaces)


class _Reader:
    """An object of the configuration, with its place in it for the errors."""

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise SandboxError(f"config.json: {where or 'the whole'} is not an object", 1)
        self.value: dict[str, Any] = value
        self.where = where

    def _name(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where else key

    def get(self, key: str, kind: type, default: Any) -> Any:  # noqa: ANN401  of the kind that is asked for
        found = self.value.get(key)
        if found is None:
            return default
        if not isinstance(found, kind) or (kind is int and isinstance(found, bool)):
            raise SandboxError(f"config.json: {self._name(key)} is not a {kind.__name__}", 1)
        return found

    def text(self, key: str) -> str:
        found: str = self.get(key, str, "")
        if "\0" in found:
            raise SandboxError(f"config.json: {self._name(key)} holds a NUL byte", 1)
        return found

    def texts(self, key: str) -> tuple[str, ...]:
        found = self.get(key, list, [])
        if not all(isinstance(item, str) and "\0" not in item for item in found):
            raise SandboxError(f"config.json: {self._name(key)} is not a list of strings", 1)
        return tuple(found)

    def object(self, key: str) -> _Reader:
        return _Reader(self.get(key, dict, {}), self._name(key))

    def objects(self, key: str) -> list[_Reader]:
        return [_Reader(item, f"{self._name(key)}[{index}]") for index, item in enumerate(self.get(key, list, []))]

    def pairs(self, key: str) -> tuple[tuple[str, str], ...]:
        found = self.get(key, dict, {})
        if not all(isinstance(value, str) for value in found.values()):
            raise SandboxError(f"config.json: {self._name(key)} has a value that is no string", 1)
        return tuple(found.items())


def read(directory: str) -> Bundle:
    """Read and parse the config.json of a bundle; SandboxError for one that is missing or wrong."""
    path = os.path.join(directory, "config.json")
    return parse(_load(path), os.path.realpath(directory))


def _load(path: str) -> object:
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise SandboxError(f"{path}: {error.strerror}", 1) from None
    if len(data) > LARGEST_FILE:
        raise SandboxError(f"{path}: larger than {LARGEST_FILE} bytes", 1)
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise SandboxError(f"{path}: not JSON: {error}", 1) from None


def parse(document: object, directory: str) -> Bundle:
    """Check a configuration and return what it asks for."""
    top = _Reader(document, "")
    if not top.text("ociVersion").startswith("1."):
        raise SandboxError(f"config.json: ociVersion {top.text('ociVersion')!r} is not 1.x", 1)
    linux = top.object("linux")
    for key in UNSUPPORTED:
        if linux.value.get(key):
            raise SandboxError(f"config.json: linux.{key} is not supported", 1)
    propagation = linux.text("rootfsPropagation")
    if propagation not in ("", "private", "rprivate", "slave", "rslave"):
        raise SandboxError(f"config.json: linux.rootfsPropagation {propagation!r} is not supported", 1)
    root = top.object("root")
    if not root.text("path"):
        raise SandboxError("config.json: root.path is missing", 1)
    seccomp = linux.object("seccomp").value
    if seccomp.get("listenerPath"):
        raise SandboxError("config.json: linux.seccomp.listenerPath is not supported", 1)
    process = top.value.get("process")
    return Bundle(
        version=top.text("ociVersion"),
        directory=directory,
        root=os.path.realpath(os.path.join(directory, root.text("path"))),
        read_only=root.get("readonly", bool, False),
        process=None if process is None else parse_process(process),
        hostname=top.text("hostname"),
        domainname=_domainname(top, linux),
        mounts=tuple(map(_mount, top.objects("mounts"))),
        namespaces=_namespaces(linux),
        ids=_ids(linux),
        hooks=_hooks(top.object("hooks")),
        cgroups_path=_cgroups_path(linux.text("cgroupsPath")),
        resources=linux.object("resources").value,
        devices=tuple(each.value for each in linux.objects("devices")),
        sysctls=linux.pairs("sysctl"),
        time_offsets=_time_offsets(linux.object("timeOffsets")),
        seccomp=json.dumps(seccomp) if seccomp else "",
        masked=linux.texts("maskedPaths"),
        readonly=linux.texts("readonlyPaths"),
        annotations=dict(top.pairs("annotations")),
    )


def _domainname(top: _Reader, linux: _Reader) -> str:
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


def _time_offsets(clocks: _Reader) -> tuple[tuple[str, int], ...]:
    offsets = {name: clocks.object(name) for name in clocks.value}
    if any(offset.get("nanosecs", int, 0) for offset in offsets.values()):
        raise SandboxError("config.json: linux.timeOffsets: whole seconds only", 1)
    return tuple((name, offset.get("secs", int, 0)) for name, offset in offsets.items())


def _mount(entry: _Reader) -> Mount:
    destination = entry.text("destination")
    if not destination.startswith("/"):
        # runc takes a relative one as from the root, and says that it is deprecated.
        destination = f"/{destination}"
    if ".." in destination.split("/"):
        raise SandboxError(f"config.json: {entry.where}.destination {destination!r} holds '..'", 1)
    return Mount(destination, entry.text("type"), entry.text("source"), entry.texts("options"))


def _namespaces(linux: _Reader) -> tuple[Namespace, ...]:
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


def _ids(linux: _Reader) -> IdMap | None:
    """Return the map of a new user namespace, which has to have one; for an existing one it says nothing new."""
    if not any(one.kind == "user" and not one.path for one in _namespaces(linux)):
        return None
    uids, gids = (
        tuple(IdRange(*(each.get(name, int, 0) for name in ("containerID", "hostID", "size"))) for each in given)
        for given in (linux.objects("uidMappings"), linux.objects("gidMappings"))
    )
    if not uids or not gids:
        raise SandboxError("config.json: linux.namespaces: a new user namespace needs uidMappings and gidMappings", 1)
    return IdMap(uids, gids)


def _hooks(entry: _Reader) -> dict[str, tuple[Hook, ...]]:
    return {
        name: tuple(
            Hook(each.text("path"), each.texts("args"), each.texts("env"), float(each.get("timeout", int, 0)))
            for each in entry.objects(name)
        )
        for name in HOOKS
    }


def parse_process(document: object) -> Process:
    """Check the `process` of a configuration, or of `exec --process`."""
    entry = _Reader(document, "process")
    user, console = entry.object("user"), entry.object("consoleSize")
    for key in OF_A_PROCESS:
        if entry.value.get(key):
            raise SandboxError(f"config.json: process.{key} is not supported", 1)
    args, cwd = entry.texts("args"), entry.text("cwd")
    if not args or not args[0]:
        raise SandboxError("config.json: process.args is empty", 1)
    if not cwd.startswith("/"):
        raise SandboxError(f"config.json: process.cwd {cwd!r} is not an absolute path", 1)
    env = entry.texts("env")
    if not all("=" in item for item in env):
        raise SandboxError("config.json: process.env has an entry without '='", 1)
    given = entry.object("capabilities")
    asked = {name: frozenset(each.removeprefix("CAP_") for each in given.texts(name)) for name in SETS}
    capabilities = {name: found & ALL for name, found in asked.items()}
    limits = [(each.text("type"), each.get("soft", int, 0), each.get("hard", int, 0)) for each in
              entry.objects("rlimits")]  # fmt: skip
    groups = user.get("additionalGids", list, [])
    _check_all(groups, lambda number: isinstance(number, int) and number >= 0, "process.user.additionalGids")
    return Process(
        args=args,
        env=env,
        cwd=cwd,
        uid=user.get("uid", int, 0),
        gid=user.get("gid", int, 0),
        groups=tuple(groups),
        umask=user.get("umask", int, USUAL_UMASK) & 0o777,
        terminal=entry.get("terminal", bool, False),
        console=(console.get("height", int, 0), console.get("width", int, 0)),
        bounding=capabilities["bounding"],
        unknown=tuple(sorted(frozenset().union(*asked.values()) - ALL)),
        sets=Sets(*(mask(capabilities[name]) for name in SETS[1:])),
        rlimits=tuple(limits),
        oom_score_adj=entry.get("oomScoreAdj", int, None),
        no_new_privileges=entry.get("noNewPrivileges", bool, False),
    )


def _check_all(values: list[Any], good: Callable[[Any], bool], where: str) -> None:
    if not all(map(good, values)):
        raise SandboxError(f"config.json: {where} has a value of another type", 1)
