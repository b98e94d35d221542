"""`--mount`, as Docker spells it (docker/cli opts/mount.go); pure."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Mapping, Sequence

from sandbox.errors import BadValue, SandboxError
from sandbox.quick import fullmatch
from sandbox.volumes.options import PROPAGATIONS, check_volume_name, target_of
from sandbox.volumes.wanted import Tmpfs, Volume

__all__ = ["parse_mount"]

RECURSIONS = ("enabled", "disabled", "writable", "readonly")
TRUE, FALSE = ("", "1", "true"), ("0", "false")
KEYS = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}
SWITCHES = ("readonly", "idmap", "bind-nonrecursive", "volume-nocopy")
REPEATED = ("volume-label", "volume-opt")
VALUES = ("type", "source", "target", "bind-propagation", "bind-recursive", "tmpfs-size", "tmpfs-mode", "consistency",
          "volume-driver", "volume-subpath", "image-subpath", *REPEATED)  # fmt: skip
IMAGE = "an image is not mounted into another one: make a container of it, and name that with --volumes-from or cp"
OPTIONS = "a volume is a directory of ours: bind another one (type=bind), or take type=tmpfs"


def parse_mount(text: str, absolute: Callable[[str], str], path_of: Callable[[str], str]) -> Volume | Tmpfs:
    """Parse `type=bind|volume|tmpfs,source=...,target=...,...`.

    `absolute` completes a source that is none, `path_of` returns the directory of a named volume, of a new one for "".
    """
    fields, repeated = _fields(text)
    kind = fields.get("type", "volume").lower()
    if not fields.get("target"):
        raise BadValue(f"invalid argument {text!r} for --mount: target is required")
    if kind not in ("bind", "volume", "tmpfs"):
        why = IMAGE if kind == "image" else "mount type unknown"
        raise SandboxError(f"invalid mount config for type {kind!r}: {why}")
    foreign = next((key for key in fields if "-" in key and not key.startswith(f"{kind}-")), "")
    if foreign:
        raise BadValue(f"invalid mount config for type {kind!r}: {foreign} does not fit it")
    if kind == "tmpfs" and fields.get("source"):
        raise SandboxError(f"invalid mount config for type {kind!r}: source does not fit it")
    target = target_of(fields["target"], "--mount")
    if kind == "tmpfs":
        return _tmpfs(fields, target)
    if kind == "volume":
        return _volume(fields, repeated, target, path_of)
    if not fields.get("source"):
        raise SandboxError("invalid mount config for type 'bind': field Source must not be empty")
    recursion = _choice(fields, "bind-recursive", RECURSIONS, "enabled")
    if recursion in ("writable", "readonly") and not _is_on(fields, "readonly"):
        raise BadValue(f"option 'bind-recursive={recursion}' requires 'readonly' to be specified in conjunction")
    return Volume(
        absolute(fields["source"]),
        target,
        _is_on(fields, "readonly"),
        propagation=_choice(fields, "bind-propagation", PROPAGATIONS, "rprivate"),
        recursion="disabled" if _is_on(fields, "bind-nonrecursive") else recursion.replace("readonly", "enabled"),
        idmap=_is_on(fields, "idmap"),
    )


def _fields(text: str) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return the keys and values of --mount, by their long names; then those that may come more than once.

    A value with a comma is in quotes.
    """
    found: dict[str, str] = {}
    repeated: dict[str, list[str]] = {}
    try:
        (words,) = csv.reader([text], strict=True)
    except (csv.Error, ValueError):
        raise BadValue(f"invalid argument {text!r} for --mount: its quotes do not match") from None
    for word in words:
        key, equals, value = word.partition("=")
        name = KEYS.get(key.lower(), key.lower())
        if name not in (*SWITCHES, *VALUES):
            raise BadValue(f"invalid argument {text!r} for --mount: unexpected key {key!r} in {word!r}")
        if name in VALUES and not equals:
            raise BadValue(f"invalid argument {text!r} for --mount: {key!r} must be a key=value pair")
        if name in SWITCHES and (value.lower() not in TRUE + FALSE or (equals and not value)):
            raise BadValue(f"invalid argument {text!r} for --mount: invalid value for {key}: {value}")
        if name in REPEATED:
            repeated.setdefault(name, []).append(value)
        found[name] = value
    return found, repeated


def _is_on(fields: Mapping[str, str], key: str) -> bool:
    return key in fields and fields[key].lower() in TRUE


def _choice(fields: Mapping[str, str], key: str, choices: Sequence[str], default: str) -> str:
    value = fields.get(key, default)
    if value not in choices:
        raise SandboxError(f"invalid value {value!r} of {key}: one of {', '.join(choices)}")
    return value


def _volume(
    fields: Mapping[str, str], repeated: Mapping[str, Sequence[str]], target: str, path_of: Callable[[str], str]
) -> Volume:
    name = fields.get("source", "")
    if name:
        check_volume_name(name)
    driver = fields.get("volume-driver", "local")
    if driver != "local":
        raise SandboxError(f"create {name or 'a volume'}: plugin {driver!r} not found: there is local alone")
    if "volume-opt" in repeated:
        raise SandboxError(f"invalid mount config for type 'volume': volume-opt: {OPTIONS}")
    below = fields.get("volume-subpath", "")
    if below and not _is_local(below):
        raise SandboxError(f"invalid value {below!r} of volume-subpath: a relative path within the volume")
    labels = tuple((key, value) for key, _, value in (each.partition("=") for each in repeated.get("volume-label", ())))
    if any(not key for key, _ in labels):
        raise SandboxError("invalid value of volume-label: a label has a name")
    path = path_of(name)
    return Volume(
        path,
        target,
        _is_on(fields, "readonly"),
        name or path.split("/")[-2],
        anonymous=not name,
        copy=not _is_on(fields, "volume-nocopy"),
        subpath=below,
        labels=labels,
    )


def _is_local(path: str) -> bool:
    """Tell whether a path stays below where it begins, by its text: links are for who opens it."""
    return not path.startswith("/") and os.path.normpath(path).split("/")[0] != ".."


def _tmpfs(fields: Mapping[str, str], target: str) -> Tmpfs:
    from sandbox.limits import parse_size  # noqa: PLC0415

    data = [f"size={parse_size(fields['tmpfs-size'], 'tmpfs-size')}"] if fields.get("tmpfs-size") else []
    mode = fields.get("tmpfs-mode", "")
    if mode and not fullmatch(r"[0-7]{1,4}", mode):
        raise SandboxError(f"invalid value {mode!r} of tmpfs-mode: an octal number such as 1777")
    data += [f"mode={mode or '1777'}"]
    flags = (*(("ro",) if _is_on(fields, "readonly") else ()), "nosuid", "nodev", "noexec")
    return Tmpfs(target, flags, ",".join(data))
