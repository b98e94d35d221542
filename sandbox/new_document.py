"""The document of a container that is about to be made, as Docker's inspect shows it; pure.

The keys are Docker's (moby api/types/container). "Cgscope" holds what only
the sandbox needs to find a container's processes and cgroups again.
"""

from __future__ import annotations

import time

from sandbox import attributes, lifecycle
from sandbox.codec import encode
from sandbox.document import NEVER
from sandbox.limits import host_config
from sandbox.network import document as network
from sandbox.rootfs import MASKED, READ_ONLY, Layout
from sandbox.spec import Spec
from sandbox.state import Document
from sandbox.times import timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["new"]


def new(spec: Spec, container: str, layout: Layout, directory: str) -> Document:
    """Return the document of a container that is about to be made in a directory of the store."""
    return {
        "Id": container,
        "Created": timestamp(time.time()),
        "Path": spec.argv[0],
        "Args": list(spec.argv[1:]),
        "State": _state(),
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
        "Config": _config(spec),
        "HostConfig": _host_config(spec),
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
        "Cgscope": {"Spec": encode(spec), "MadeCgroups": {}, "Monitor": None},
    }


def _state() -> dict[str, Any]:
    return {
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
    }


def _config(spec: Spec) -> dict[str, Any]:
    return {
        "Hostname": spec.hostname,
        "Domainname": attributes.domain(spec.attributes),
        "User": spec.user,
        "Tty": spec.tty,
        "OpenStdin": spec.interactive,
        "Env": list(spec.env),
        **spec.image.document(spec.argv, spec.network.exposed),
        "Image": spec.image.name or spec.rootfs,
        "WorkingDir": spec.workdir,
        **lifecycle.config(spec.lifecycle),
    }


def _host_config(spec: Spec) -> dict[str, Any]:
    spelled_out = [each.asked() for each in spec.volumes if each.is_spelled_out]
    return {
        "Binds": [each.spelled() for each in spec.volumes if not each.is_spelled_out],
        **({"Mounts": spelled_out} if spelled_out else {}),
        **network.host_config(spec.network),
        "PidMode": spec.sharing.pid,
        "IpcMode": spec.sharing.ipc or "private",
        "UTSMode": spec.sharing.uts,
        "CgroupnsMode": spec.sharing.cgroup or "private",
        "UsernsMode": spec.sharing.user,
        "IDMappings": None,
        "AutoRemove": spec.remove,
        "CapAdd": list(spec.cap_add),
        "CapDrop": list(spec.cap_drop),
        "Privileged": spec.privileged,
        "Devices": _devices(spec),
        "DeviceCgroupRules": list(spec.device_rules) or None,
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
