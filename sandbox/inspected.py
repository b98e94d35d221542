"""What `inspect` shows of a container besides its own document: keys of Docker's that templates ask for; pure.

(moby api/types/container)
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from sandbox.security import split
from sandbox.state import Document

__all__ = ["inspected"]

ANONYMOUS = re.compile("[0-9a-f]{64}")  # the name of a volume that was given none


# What all containers of the sandbox have alike.
HOST = {
    "VolumesFrom": None, "Links": None, "Runtime": "sandbox", "Isolation": "", "ContainerIDFile": "", "Cgroup": "",
    "VolumeDriver": "", "ConsoleSize": [0, 0], "DeviceRequests": None, "CpuRealtimePeriod": 0, "CpuRealtimeRuntime": 0,
}  # fmt: skip
NETWORK = {
    "SandboxID": "", "HairpinMode": False, "LinkLocalIPv6Address": "", "LinkLocalIPv6PrefixLen": 0,
    "SecondaryIPAddresses": None, "SecondaryIPv6Addresses": None, "EndpointID": "",
}  # fmt: skip


def inspected(document: Document) -> Document:
    """Return the document with what follows from it, or is the same for all containers of the sandbox."""
    config = {**_attached(document), "Volumes": _anonymous(document), "OnBuild": None, **document["Config"]}
    ports = {*(config.get("ExposedPorts") or {}), *(document["HostConfig"].get("PortBindings") or {})}
    config["ExposedPorts"] = {port: {} for port in sorted(ports)}
    host = {"NanoCpus": _nano_cpus(document["HostConfig"]), **HOST}
    profile = _apparmor(document["HostConfig"])
    extra = {"AppArmorProfile": profile, "MountLabel": "", "ProcessLabel": "", "ExecIDs": None}
    network = {**NETWORK, **document["NetworkSettings"]}
    network["Networks"] = {
        name: {"Links": None, "DriverOpts": None, **member} for name, member in network["Networks"].items()
    }
    parts = {"Config": config, "HostConfig": {**document["HostConfig"], **host}, "NetworkSettings": network}
    return {**document, **extra, **parts}


def _attached(document: Document) -> dict[str, bool]:
    """Return which streams its launcher had, unless it was told otherwise (`run -a`)."""
    seen = not document["Cgscope"]["Spec"].get("detach", False)
    stdin = seen and document["Config"].get("OpenStdin", False)
    return {"AttachStdin": stdin, "AttachStdout": seen, "AttachStderr": seen}


def _apparmor(host_config: Document) -> str:
    options = map(split, reversed(host_config.get("SecurityOpt") or ()))
    return next((value for name, _, value in options if name == "apparmor"), "")


def _anonymous(document: Document) -> dict[str, Mapping[str, str]]:
    """Return the mount points of the volumes without a name, as Docker lists them."""
    return {each["Destination"]: {} for each in document["Mounts"] if ANONYMOUS.fullmatch(each.get("Name") or "")}


def _nano_cpus(host: Mapping[str, int]) -> int:
    """Return the quota in billionths of a CPU: `--cpus` is kept as one."""
    quota, period = host["CpuQuota"], host["CpuPeriod"] or 100_000
    return quota * 1_000_000_000 // period if quota > 0 else 0
