"""Images as text: the tables of `images` and `history`, Docker's inspect document of one, and sizes; pure."""

from __future__ import annotations

import calendar
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from sandbox.errors import SandboxError, printable
from sandbox.filters import chooser, has_label, split_filter
from sandbox.images.reference import split
from sandbox.images.store import Image
from sandbox.state import SHORT_ID
from sandbox.times import ago, moment

__all__ = [
    "DEFAULT_FORMAT",
    "HISTORY_FORMAT",
    "HISTORY_TITLES",
    "TITLES",
    "choose",
    "history_rows",
    "human_size",
    "image_document",
    "image_rows",
    "memory_size",
    "prune_filter",
]

WIDTH = 45
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
NONE = "<none>"
DEFAULT_FORMAT = "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"
# Docker's columns (docker/cli cli/command/formatter/image.go).
TITLES = {
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "Digest": "DIGEST",
    "ID": "IMAGE ID",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "Size": "SIZE",
}
# docker/cli cli/command/formatter/history.go
HISTORY_TITLES = {
    "ID": "IMAGE",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "CreatedBy": "CREATED BY",
    "Size": "SIZE",
    "Comment": "COMMENT",
}
HISTORY_FORMAT = "table {{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}"
# What an image's configuration need not say, and `inspect` shows all the same.
UNSAID: dict[str, Any] = {
    "User": "",
    "ExposedPorts": {},
    "Env": [],
    "Cmd": None,
    "Volumes": {},
    "WorkingDir": "",
    "Entrypoint": None,
    "OnBuild": None,
    "Labels": None,
}
FILTERS = ("dangling", "label", "before", "since", "reference")


def human_size(size: float, digits: int = 3) -> str:
    """Write a number of bytes as Docker does: three digits, powers of 1000."""
    return _scaled(size, 1000, ("B", "kB", "MB", "GB", "TB", "PB"), digits)


def memory_size(size: float) -> str:
    """Write a number of bytes as Docker writes memory: four digits, powers of 1024."""
    return _scaled(size, 1024, ("B", "KiB", "MiB", "GiB", "TiB", "PiB"), 4)


def _scaled(size: float, step: int, units: Sequence[str], digits: int) -> str:
    """Write a number in the largest unit of which it is one at least (docker/go-units size.go)."""
    place = 0
    while size >= step and place < len(units) - 1:
        size, place = size / step, place + 1
    return f"{size:.{digits}g}{units[place]}"


def _at(created: object) -> str:
    """Write a time of an image's configuration as Docker's CreatedAt."""
    if not isinstance(created, str) or not TIME.match(created):
        return "N/A"
    return f"{created[:10]} {created[11:19]} +0000 UTC"


def _ago(created: object, now: float) -> str:
    """Say how long ago a time of an image's configuration was; some have none."""
    if not isinstance(created, str) or not TIME.match(created):
        return "N/A"
    try:
        return f"{ago(now - calendar.timegm(time.strptime(created[:19], '%Y-%m-%dT%H:%M:%S')))} ago"
    except ValueError:
        return "N/A"


def image_rows(images: Iterable[Image], sizes: Mapping[str, int], now: float, *, whole: bool) -> list[dict[str, str]]:
    """Return the columns of `sandbox images`, the newest first: a row for each name."""
    return [
        {
            "Repository": repository or NONE,
            "Tag": tag or NONE,
            "Digest": NONE,  # of a registry, which none of ours came from
            "ID": f"sha256:{image.id}" if whole else image.id[:SHORT_ID],
            "CreatedSince": _ago(image.config.get("created"), now),
            "CreatedAt": _at(image.config.get("created")),
            "Size": human_size(sizes[image.id]),
        }
        for image in sorted(images, key=_created, reverse=True)
        for repository, tag in map(split, image.names or ("",))
    ]


def choose(images: Sequence[Image], filters: Sequence[str], find: Callable[[str], Image]) -> list[Image]:
    """Return the images that the filters want, with those of their names that `reference` wants.

    `find` looks up those that `before` and `since` name. SandboxError for a filter that does not exist.
    """
    chosen = list(images)
    patterns = []
    for text in filters:
        key, value = split_filter(text, FILTERS)
        if key == "dangling":
            if value.lower() not in ("true", "false", "1", "0"):
                raise SandboxError(f"invalid filter 'dangling={value}': true or false", 1)
            chosen = [each for each in chosen if bool(each.names) != (value.lower() in ("true", "1"))]
        elif key == "label":
            chosen = [each for each in chosen if has_label(_labels(each), value)]
        elif key == "reference":
            patterns.append(value)
        else:
            made = _created(find(value))
            chosen = [each for each in chosen if (_created(each) < made if key == "before" else _created(each) > made)]
    if not patterns:
        return chosen
    named = ((each, tuple(name for name in each.names if _matches(name, patterns))) for each in chosen)
    return [each._replace(names=names) for each, names in named if names]


def prune_filter(filters: Sequence[str], now: float) -> Callable[[Image], bool]:
    """Return what tells whether `image prune` means an image, by `until=TIME`, `label=K[=V]` and `label!=K[=V]`."""
    limits = [moment(text[6:], now, "--filter until") for text in filters if text.startswith("until=")]
    labelled = chooser(text for text in filters if not text.startswith("until="))
    return lambda image: labelled(_labels(image)) and all(_made_at(image) < limit for limit in limits)


def _made_at(image: Image) -> float:
    """Return when an image was made, in seconds since 1970; 0 where it does not say so."""
    try:
        return calendar.timegm(time.strptime(_created(image)[:19], "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return 0.0


def _matches(name: str, patterns: Iterable[str]) -> bool:
    """Tell whether a name with its tag, or without, is one of the patterns (path.Match of Go: `*` stops at a slash)."""
    candidates = (name, split(name)[0])
    return any(
        each.count("/") == pattern.count("/")
        and all(fnmatchcase(*parts) for parts in zip(each.split("/"), pattern.split("/"), strict=True))
        for pattern in patterns
        for each in candidates
    )


def _created(image: Image) -> str:
    return str(image.config.get("created"))


def _labels(image: Image) -> dict[str, str]:
    config = image.config.get("config")
    labels = config.get("Labels") if isinstance(config, dict) else None
    return labels if isinstance(labels, dict) else {}


def _steps(image: Image) -> list[dict[str, Any]]:
    steps = image.config.get("history")
    return [step for step in steps if isinstance(step, dict)] if isinstance(steps, list) else []


def history_rows(
    image: Image, sizes: Sequence[int], now: float, *, whole: bool, human: bool = True
) -> list[dict[str, str]]:
    """Return the columns of `sandbox history`, the last step first; `sizes` are those of the layers.

    Not `human`: sizes in bytes, and times instead of how long ago that was.
    """
    rows = []
    layers = iter(sizes)
    for step in _steps(image):
        created = step.get("created")
        made = f"{created[:19]}Z" if isinstance(created, str) and TIME.match(created) else "N/A"
        text = printable(" ".join(str(step.get("created_by", "")).split()))
        size = 0 if step.get("empty_layer") else next(layers, 0)
        rows.append(
            {
                "ID": "<missing>",
                "CreatedSince": _ago(created, now) if human else made,
                "CreatedAt": made,
                "CreatedBy": text if whole or len(text) <= WIDTH else f"{text[: WIDTH - 1]}…",
                "Size": human_size(size) if human else str(size),
                "Comment": printable(str(step.get("comment", ""))),
            }
        )
    if rows:
        rows[-1]["ID"] = f"sha256:{image.id}" if whole else image.id[:SHORT_ID]
    return rows[::-1]


def image_document(image: Image, size: int, paths: Sequence[str]) -> dict[str, Any]:
    """Return what `docker image inspect` says of an image; `paths` are its layers' directories, the highest first."""
    config = image.config
    comment = config.get("comment") or next((step.get("comment") for step in reversed(_steps(image))), "")
    return {
        "Id": f"sha256:{image.id}",
        "RepoTags": list(image.names),
        "RepoDigests": [],
        "Comment": str(comment or ""),
        "Created": config.get("created", ""),
        "Author": str(config.get("author", "")),
        "Config": {**UNSAID, **(config.get("config") or {})},
        "Architecture": config.get("architecture", ""),
        "Os": config.get("os", ""),
        "Size": size,
        "GraphDriver": {"Name": "overlay2", "Data": {"LowerDir": ":".join(paths[1:]), "UpperDir": "".join(paths[:1])}},
        "RootFS": {"Type": "layers", "Layers": [f"sha256:{layer}" for layer in image.layers]},
    }
