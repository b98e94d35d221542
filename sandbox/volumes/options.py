"""`-v`, `--mount` and `--tmpfs`, as Docker spells them; pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sandbox.errors import BadValue, SandboxError
from sandbox.quick import fullmatch
from sandbox.volumes.wanted import Tmpfs, Volume

__all__ = ["check_volume_name", "parse_mount", "parse_tmpfs", "parse_volume", "target_of"]

NAME = r"[a-zA-Z0-9][a-zA-Z0-9_.-]+"
TMPFS_FLAGS = frozenset({"ro", "rw", "suid", "nosuid", "dev", "nodev", "exec", "noexec"})
TMPFS_DATA = frozenset({"size", "mode", "uid", "gid", "nr_inodes", "nr_blocks"})
PROPAGATIONS = ("private", "rprivate", "slave", "rslave")
# Of Docker's modes of -v those that have no meaning here: SELinux's labels, and what only Docker Desktop does.
IGNORED = frozenset({"z", "Z", "consistent", "cached", "delegated"})
RECURSIONS = ("enabled", "disabled", "writable", "readonly")
TRUE, FALSE = ("", "1", "true"), ("0", "false")
KEYS = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}
SWITCHES = ("readonly", "idmap", "bind-nonrecursive", "volume-nocopy")
VALUES = ("type", "source", "target", "bind-propagation", "bind-recursive", "tmpfs-size", "tmpfs-mode", "consistency")


def target_of(path: str, option: str) -> str:
    """Return a mount point in its shortest form; SandboxError for what is none."""
    if not path.startswith("/"):
        raise SandboxError(f"invalid mount path {path!r} of {option}: it must be absolute")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise SandboxError(f"invalid mount path {path!r} of {option}: it holds '..'")
    if not parts or parts[0] in ("proc", "sys"):
        raise SandboxError(f"invalid mount path {path!r} of {option}: /, /proc and /sys are the container's own")
    return "/" + "/".join(parts)


def check_volume_name(name: str) -> str:
    """Return the name of a volume; SandboxError for what Docker refuses as one."""
    if not fullmatch(NAME, name):
        raise SandboxError(
            f"invalid volume name {name!r}: two characters at least"
            if len(name) == 1 and name.isalnum()
            else f"{name!r} includes invalid characters for a volume name, only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed: "
            "to mount a directory of the host give its absolute path"
        )
    return name


def parse_volume(text: str, absolute: Callable[[str], str], path_of: Callable[[str], str]) -> Volume:
    """Parse `[source:]target[:ro|rw|nocopy|idmap|rslave,...]`.

    `absolute` completes a source that begins with a dot, `path_of` returns the directory of a named volume, of a new
    one for "".
    """
    parts = text.split(":")
    if len(parts) > 3 or not parts[0]:  # noqa: PLR2004
        raise SandboxError(f"invalid volume {text!r}: the form is [/host/path|name:]/container/path[:ro]")
    options = parts.pop().split(",") if len(parts) == 3 else []  # noqa: PLR2004
    source = parts[0] if len(parts) > 1 else ""
    target = target_of(parts[-1], "-v")
    known = {"ro", "rw", "nocopy", "idmap", *PROPAGATIONS, *IGNORED}
    chosen = [each for each in options if each in PROPAGATIONS]
    if set(options) - known or {"ro", "rw"} <= set(options) or len(chosen) > 1:
        propagations = ", ".join(PROPAGATIONS)
        raise SandboxError(f"invalid volume {text!r}: the mode is ro or rw, with nocopy or one of {propagations}")
    read_only, propagation = "ro" in options, chosen[0] if chosen else "rprivate"
    if source.startswith(("/", ".")):
        if "nocopy" in options:
            raise SandboxError(f"invalid volume {text!r}: only what is in a volume can be left uncopied")
        return Volume(absolute(source), target, read_only, propagation=propagation, idmap="idmap" in options)
    path = path_of(check_volume_name(source) if source else "")
    name = source or path.split("/")[-2]
    return Volume(path, target, read_only, name, anonymous=not source, copy="nocopy" not in options)


def _fields(text: str) -> dict[str, str]:
    """Return the keys and values of --mount, by their long names; a value with a comma is in quotes."""
    import csv  # noqa: PLC0415  only --mount needs it

    found: dict[str, str] = {}
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
        if name in SWITCHES and value.lower() not in TRUE + FALSE:
            raise BadValue(f"invalid argument {text!r} for --mount: invalid value for {key}: {value}")
        found[name] = value
    return found


def _is_on(fields: dict[str, str], key: str) -> bool:
    return key in fields and fields[key].lower() in TRUE


def parse_mount(text: str, absolute: Callable[[str], str], path_of: Callable[[str], str]) -> Volume | Tmpfs:
    """Parse `type=bind|volume|tmpfs,source=...,target=...,...`."""
    fields = _fields(text)
    kind = fields.get("type", "volume").lower()
    if not fields.get("target"):
        raise BadValue(f"invalid argument {text!r} for --mount: target is required")
    if kind not in ("bind", "volume", "tmpfs"):
        raise SandboxError(f"invalid mount config for type {kind!r}: mount type unknown")
    foreign = [key for key in fields if "-" in key and not key.startswith(f"{kind}-")]
    if foreign or (kind == "tmpfs" and fields.get("source")):
        raise SandboxError(f"invalid mount config for type {kind!r}: {(foreign or ['source'])[0]} does not fit it")
    target = target_of(fields["target"], "--mount")
    if kind == "tmpfs":
        return _tmpfs(fields, target)
    read_only = _is_on(fields, "readonly")
    if kind == "volume":
        name = fields.get("source", "")
        path = path_of(check_volume_name(name) if name else "")
        copy = not _is_on(fields, "volume-nocopy")
        return Volume(path, target, read_only, name or path.split("/")[-2], anonymous=not name, copy=copy)
    if not fields.get("source"):
        raise SandboxError("invalid mount config for type 'bind': field Source must not be empty")
    return Volume(
        absolute(fields["source"]),
        target,
        read_only,
        propagation=_choice(fields, "bind-propagation", PROPAGATIONS, "rprivate"),
        recursion="disabled"
        if _is_on(fields, "bind-nonrecursive")
        else _choice(fields, "bind-recursive", RECURSIONS, "enabled").replace("readonly", "enabled"),
        idmap=_is_on(fields, "idmap"),
    )


def _choice(fields: dict[str, str], key: str, choices: Sequence[str], default: str) -> str:
    value = fields.get(key, default)
    if value not in choices:
        raise SandboxError(f"invalid value {value!r} of {key}: one of {', '.join(choices)}")
    return value


def _tmpfs(fields: dict[str, str], target: str) -> Tmpfs:
    from sandbox.limits import parse_size  # noqa: PLC0415

    data = [f"size={parse_size(fields['tmpfs-size'], 'tmpfs-size')}"] if fields.get("tmpfs-size") else []
    mode = fields.get("tmpfs-mode", "")
    if mode and not fullmatch(r"[0-7]{1,4}", mode):
        raise SandboxError(f"invalid value {mode!r} of tmpfs-mode: an octal number such as 1777")
    data += [f"mode={mode or '1777'}"]
    flags = (*(("ro",) if _is_on(fields, "readonly") else ()), "nosuid", "nodev", "noexec")
    return Tmpfs(target, flags, ",".join(data))


def parse_tmpfs(text: str) -> Tmpfs:
    """Parse `target[:size=64m,mode=1777,exec,...]`; Docker's default is nosuid,nodev,noexec."""
    target, _, options = text.partition(":")
    flags = {"nosuid", "nodev", "noexec"}
    data = []
    for option in filter(None, options.split(",")):
        key, equals, value = option.partition("=")
        if option in TMPFS_FLAGS:
            flags.discard("no" + option)
            flags.discard(option.removeprefix("no"))
            flags.add(option)
        elif equals and key in TMPFS_DATA and fullmatch(r"[0-9]+[kmgKMG%]?", value):
            data.append(option)
        else:
            raise SandboxError(f"invalid tmpfs option {option!r} in {text!r}")
    chosen = tuple(sorted(flags & {"ro", "nosuid", "nodev", "noexec"}))
    return Tmpfs(target_of(target, "--tmpfs"), chosen, ",".join(data))
