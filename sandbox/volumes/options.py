"""`-v` and `--tmpfs`, as Docker spells them; pure. `--mount` is in mount_option.py."""

from __future__ import annotations

from collections.abc import Callable

from sandbox.errors import SandboxError
from sandbox.quick import fullmatch
from sandbox.volumes.wanted import Tmpfs, Volume

__all__ = ["PROPAGATIONS", "check_volume_name", "parse_tmpfs", "parse_volume", "target_of"]

NAME = r"[a-zA-Z0-9][a-zA-Z0-9_.-]+"
TMPFS_FLAGS = frozenset({"ro", "rw", "suid", "nosuid", "dev", "nodev", "exec", "noexec"})
TMPFS_DATA = frozenset({"size", "mode", "uid", "gid", "nr_inodes", "nr_blocks"})
PROPAGATIONS = ("private", "rprivate", "slave", "rslave")
# Of Docker's modes of -v those that have no meaning here: SELinux's labels, and what only Docker Desktop does.
IGNORED = frozenset({"z", "Z", "consistent", "cached", "delegated"})


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
