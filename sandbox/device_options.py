"""`--device HOST[:CONTAINER[:rwm]]`: a device of this machine for a container, as the user wrote it.

The form and its errors are Docker's (docker/cli opts, cli/command/container/opts.go); host_devices.py looks for them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from sandbox.errors import BadValue

__all__ = ["Device", "as_document", "parse_device"]

LETTERS = "rwm"
KERNELS = ("/proc/", "/sys/")


class Device(NamedTuple):
    """A device, or a directory with some; `access` holds of r, w and m (mknod)."""

    source: str
    target: str
    access: str = LETTERS


def parse_device(text: str) -> Device:
    """Parse `/dev/x`, `/dev/x:/dev/y`, `/dev/x:rw` or all three."""
    parts = text.split(":")
    if len(parts) > 3 or not parts[0]:  # noqa: PLR2004
        raise BadValue(f"invalid device specification: {text!r}")
    source, target, access = parts[0], parts[0], LETTERS
    for place, part in enumerate(parts[1:]):
        if _is_access(part):
            access = part
        elif place == 0 and part:
            target = part
        else:
            raise BadValue(f"invalid device specification: {text!r}: bad mode specified: {part!r}")
    for path in (source, target):
        if not path.startswith("/"):
            raise BadValue(f"invalid device specification: {text!r}: {path!r} is not an absolute path")
        if ".." in path.split("/"):
            raise BadValue(f"invalid device specification: {text!r}: {path!r} holds '..'")
    if f"{target.rstrip('/')}/".startswith(KERNELS) or not target.strip("/"):
        raise BadValue(f"invalid device specification: {text!r}: there is no making a device at {target!r}")
    return Device(source, target, access)


def _is_access(text: str) -> bool:
    return bool(text) and set(text) <= set(LETTERS) and len(set(text)) == len(text)


def as_document(devices: Iterable[str]) -> list[dict[str, Any]]:
    """Return inspect's HostConfig.Devices for devices as they are written."""
    return [
        {"PathOnHost": each.source, "PathInContainer": each.target, "CgroupPermissions": each.access}
        for each in map(parse_device, devices)
    ]
