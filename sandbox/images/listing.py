"""Images as text: the tables of `images` and `history`, Docker's inspect document of one, and sizes; pure."""

from __future__ import annotations

import calendar
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sandbox.document import printable
from sandbox.images.reference import split
from sandbox.images.store import Image
from sandbox.times import ago

__all__ = ["history_table", "human_size", "image_document", "images_table"]

SHORT_ID = 12
WIDTH = 45
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
NONE = "<none>"


def human_size(size: float) -> str:
    """Write a number of bytes as Docker does: three digits, powers of 1000."""
    units = ["B", "kB", "MB", "GB", "TB", "PB"]
    while size >= 1000 and len(units) > 1:  # noqa: PLR2004  powers of 1000
        size /= 1000
        units.pop(0)
    return f"{size:.3g}{units[0]}"


def _ago(created: object, now: float) -> str:
    """Say how long ago a time of an image's configuration was; some have none."""
    if not isinstance(created, str) or not TIME.match(created):
        return "N/A"
    try:
        return f"{ago(now - calendar.timegm(time.strptime(created[:19], '%Y-%m-%dT%H:%M:%S')))} ago"
    except ValueError:
        return "N/A"


def images_table(images: Iterable[Image], sizes: Mapping[str, int], now: float, *, whole: bool) -> list[list[str]]:
    """Return the header and the rows of `sandbox images`, the newest first: a row for each name."""
    rows = []
    for image in sorted(images, key=lambda each: str(each.config.get("created")), reverse=True):
        for name in image.names or ("",):
            repository, tag = split(name)
            rows.append(
                [
                    repository or NONE,
                    tag or NONE,
                    f"sha256:{image.id}" if whole else image.id[:SHORT_ID],
                    _ago(image.config.get("created"), now),
                    human_size(sizes[image.id]),
                ]
            )
    return [["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"], *rows]


def history_table(image: Image, sizes: Sequence[int], now: float, *, whole: bool) -> list[list[str]]:
    """Return the header and the rows of `sandbox history`, the last step first; `sizes` are those of the layers."""
    rows = []
    layers = iter(sizes)
    steps = image.config.get("history")
    for step in steps if isinstance(steps, list) else []:
        if not isinstance(step, dict):
            continue
        text = printable(" ".join(str(step.get("created_by", "")).split()))
        size = 0 if step.get("empty_layer") else next(layers, 0)
        rows.append(
            [
                "<missing>",
                _ago(step.get("created"), now),
                text if whole or len(text) <= WIDTH else f"{text[: WIDTH - 1]}…",
                human_size(size),
                printable(str(step.get("comment", ""))),
            ]
        )
    if rows:
        rows[-1][0] = f"sha256:{image.id}" if whole else image.id[:SHORT_ID]
    return [["IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"], *reversed(rows)]


def image_document(image: Image, size: int, paths: Sequence[str]) -> dict[str, Any]:
    """Return what `docker image inspect` says of an image; `paths` are its layers' directories, the highest first."""
    config = image.config
    return {
        "Id": f"sha256:{image.id}",
        "RepoTags": list(image.names),
        "RepoDigests": [],
        "Comment": str(config.get("comment", "")),
        "Created": config.get("created", ""),
        "Author": str(config.get("author", "")),
        "Config": config.get("config") or {},
        "Architecture": config.get("architecture", ""),
        "Os": config.get("os", ""),
        "Size": size,
        "GraphDriver": {"Name": "overlay2", "Data": {"LowerDir": ":".join(paths[1:]), "UpperDir": "".join(paths[:1])}},
        "RootFS": {"Type": "layers", "Layers": [f"sha256:{layer}" for layer in image.layers]},
    }
