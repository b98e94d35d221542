"""What a runtime's file tells of a container, and the tolerant reading of JSON that all of them share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType

from inspector.errors import ParseError
from inspector.kernel.named import NamedTuple

__all__ = ["Facts", "labels_of", "mapping", "moment", "object_of", "text"]

MOST_LABELS = 100
MOST_TEXT = 4096


class Facts(NamedTuple):
    """Name, image and labels as the runtime has them; "" is unknown.

    `pod` is "namespace/name" in Kubernetes and Podman's name for one, which has a `pod_id` besides; `health` is what
    a health check said last, `created` in seconds since the epoch, `kept_in` the directory where a file tells more.
    """

    name: str = ""
    image: str = ""
    pod: str = ""
    labels: Mapping[str, str] = MappingProxyType({})
    health: str = ""
    pod_id: str = ""
    created: float | None = None
    kept_in: str = ""

    def over(self, other: Facts) -> Facts:
        """Return these facts, with `other`'s where these are unknown."""
        return Facts(
            self.name or other.name,
            self.image or other.image,
            self.pod or other.pod,
            {**other.labels, **self.labels},
            self.health or other.health,
            self.pod_id or other.pod_id,
            other.created if self.created is None else self.created,
            self.kept_in or other.kept_in,
        )


def object_of(what: str, data: bytes) -> dict[str, object]:
    """Parse a JSON object; the error does not quote the file, as it may not be ours to show."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ParseError(what, "not JSON") from error
    if not isinstance(found, dict):
        raise ParseError(what, "not a JSON object")
    return found


def mapping(value: object) -> dict[str, object]:
    """Return a JSON object, or an empty one where there is something else."""
    return value if isinstance(value, dict) else {}


def text(value: object) -> str:
    """Return a JSON string, cut at a sane length, or "" where there is something else."""
    return value[:MOST_TEXT] if isinstance(value, str) else ""


def moment(value: object) -> float | None:
    """Return an RFC 3339 time, as Go writes it, in seconds since the epoch; None for anything else, and Go's zero."""
    from datetime import datetime  # noqa: PLC0415  a millisecond, and a machine without runtimes needs none

    try:
        seconds = datetime.fromisoformat(text(value)).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
    return seconds if seconds > 0 else None


def labels_of(value: object) -> dict[str, str]:
    """Return the string pairs of a JSON object, as many as are sane."""
    pairs = list(mapping(value).items())[:MOST_LABELS]
    return {key[:MOST_TEXT]: text(found) for key, found in pairs if isinstance(found, str)}
