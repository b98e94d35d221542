"""A container as text: Docker's inspect document, the rows of `ps`, and `--format`; pure.

The keys are Docker's (moby api/types/container). "Cgscope" holds what only
the sandbox needs to find a container's processes and cgroups again.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence

from inspector.kernel.cgroups import Hierarchy
from sandbox import attributes, lifecycle
from sandbox.cgroup import Place
from sandbox.codec import encode
from sandbox.errors import SandboxError
from sandbox.limits import host_config
from sandbox.network import document as network
from sandbox.rootfs import MASKED, READ_ONLY, Layout
from sandbox.spec import Spec
from sandbox.state import Document
from sandbox.times import timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["new", "places_of", "private", "render", "table", "timestamp"]

NEVER = "0001-01-01T00:00:00Z"
PLACEHOLDER = r"\{\{\s*(json\s+)?\.([\w.]*)\s*\}\}"


def new(spec: Spec, container: str, layout: Layout, directory: str) -> Document:
    """Return the document of a container that is about to be made in a directory of the store."""
    return {
        "Id": container,
        "Created": timestamp(time.time()),
        "Path": spec.argv[0],
        "Args": list(spec.argv[1:]),
        "State": {
            "Status": "creating",
            "Running": False,
            "Paused": False,
            "Restarting": False,
            "OOMKilled": False,
            "Dead": False,
            "Pid": 0,
            "ExitCode": 0,
            "Error": "",
            "StartedAt": NEVER,
            "FinishedAt": NEVER,
        },
        "Image": spec.image.id or spec.rootfs,
        "HostnamePath": layout.hostname_file,
        "HostsPath": layout.hosts_file,
        "ResolvConfPath": layout.resolv_file,
        "LogPath": f"{directory}/log.jsonl" if spec.lifecycle.log_driver != "none" else "",
        "RestartCount": 0,
        "Name": spec.name,
        "Driver": "overlay2",
        "Platform": "linux",
        "Mounts": _mounts(spec),
        "Config": {
            "Hostname": spec.hostname,
            "User": spec.user,
            "Tty": spec.tty,
            "OpenStdin": spec.interactive,
            "Env": list(spec.env),
            **spec.image.document(spec.argv, spec.network.exposed),
            "Image": spec.image.name or spec.rootfs,
            "WorkingDir": spec.workdir,
            **lifecycle.config(spec.lifecycle),
        },
        "HostConfig": {
            "Binds": [each.spelled() for each in spec.volumes],
            **network.host_config(spec.network),
            "PidMode": spec.sharing.pid,
            "IpcMode": spec.sharing.ipc or "private",
            "UTSMode": spec.sharing.uts,
            "CgroupnsMode": spec.sharing.cgroup or "private",
            "AutoRemove": spec.remove,
            "CapAdd": list(spec.cap_add),
            "CapDrop": list(spec.cap_drop),
            "Privileged": spec.privileged,
            "Devices": _devices(spec),
            "SecurityOpt": list(spec.security.options) or None,
            "MaskedPaths": list(MASKED) if spec.security.system_paths else [],
            "ReadonlyPaths": list(READ_ONLY) if spec.security.system_paths else [],
            "ReadonlyRootfs": spec.read_only,
            "Tmpfs": {each.target: each.data for each in spec.tmpfs},
            "CgroupParent": spec.cgroup_parent,
            **attributes.host_config(spec.attributes),
            **host_config(spec.limits),
            "Init": spec.init,
            **lifecycle.host_config(spec.lifecycle),
        },
        "GraphDriver": {
            "Name": "overlay2",
            "Data": {
                "LowerDir": ":".join(layout.lowers),
                "UpperDir": layout.upper,
                "WorkDir": layout.work,
                "MergedDir": layout.merged,
            },
        },
        "NetworkSettings": network.unconnected(spec.network),
        # The spec is what a start makes the container of: who changes a limit changes it there.
        "Cgscope": {"Spec": encode(spec), "MadeCgroups": [], "Monitor": None},
    }


def private(places: Sequence[Place], keep: int, *, rootless: bool) -> dict[str, Any]:
    """Return what of a document is computed anew for each start: where its cgroups are, and its capabilities."""
    return {"Cgroups": [_place(each) for each in places], "Capabilities": keep, "Rootless": rootless}


def running(now: float) -> dict[str, Any]:
    """Return what changes in the state of a container whose program starts."""
    return {
        "Status": "running",
        "Running": True,
        "Paused": False,
        "Restarting": False,
        "OOMKilled": False,
        "ExitCode": 0,
        "Error": "",
        "StartedAt": timestamp(now),
        "FinishedAt": NEVER,
    }


def ended(code: int, now: float, error: str = "", *, out_of_memory: bool = False) -> dict[str, Any]:
    """Return what changes in the state of a container whose program has ended."""
    return {
        "Status": "exited",
        "Running": False,
        "Paused": False,
        "Restarting": False,
        "OOMKilled": out_of_memory,
        "Pid": 0,
        "ExitCode": code,
        "Error": error,
        "FinishedAt": timestamp(now),
    }


def _devices(spec: Spec) -> list[dict[str, Any]]:
    if not spec.devices:
        return []
    from sandbox.device_options import as_document  # noqa: PLC0415  rare

    return as_document(spec.devices)


def _mounts(spec: Spec) -> list[dict[str, Any]]:
    return [each.document() for each in spec.volumes] + [
        {"Type": "tmpfs", "Source": "", "Destination": each.target, "Mode": each.data, "RW": "ro" not in each.flags}
        for each in spec.tmpfs
    ]


def _place(place: Place) -> dict[str, Any]:
    return {
        "Version": place.hierarchy.version,
        "Controllers": sorted(place.hierarchy.controllers),
        "Mountpoint": place.hierarchy.mountpoint,
        "Root": place.hierarchy.root,
        "Path": place.path,
        "Directory": place.directory,
    }


def places_of(document: Document) -> tuple[Place, ...]:
    """Return the cgroups that a container's document names."""
    return tuple(
        Place(
            Hierarchy(each["Version"], frozenset(each["Controllers"]), each["Mountpoint"], each["Root"]),
            each["Path"],
            each["Directory"],
        )
        for each in document["Cgscope"]["Cgroups"]
    )


def render(document: Document, template: str) -> str:
    """Fill in `{{.State.Pid}}` and `{{json .Config}}`; a key that does not exist is an error, as with Docker."""

    def value(match: re.Match[str]) -> str:
        found: Any = document
        for key in filter(None, match[2].split(".")):
            if not isinstance(found, dict) or key not in found:
                raise SandboxError(f"--format: no such key: .{match[2]}", 1)
            found = found[key]
        if match[1]:
            return json.dumps(found)
        if isinstance(found, bool):
            return str(found).lower()
        return json.dumps(found) if isinstance(found, dict | list) else "<nil>" if found is None else str(found)

    text = re.sub(PLACEHOLDER, value, template)
    if "{{" in text and "{{" in re.sub(PLACEHOLDER, "", template):
        raise SandboxError("--format: only {{.Key.Key}} and {{json .Key}} are understood", 1)
    return text


def printable(text: str) -> str:
    """Escape what a terminal would obey: a container chooses its command line."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape", "surrogatepass").decode() for letter in text
    )


def table(rows: Sequence[Sequence[str]]) -> str:
    """Align columns, three blanks apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
