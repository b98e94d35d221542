"""What the options of an OCI mount mean; a pure table.

runtime-spec config.md; the names of mount(8).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sandbox.errors import SandboxError
from sandbox.rootfs import PROPAGATIONS
from sandbox.syscalls import (
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_RDONLY,
    MS_REC,
    MS_RELATIME,
    MS_STRICTATIME,
)

__all__ = ["COPY_UP", "FLAGS", "IDMAPS", "RECURSIVE", "Options", "parse_options"]

MS_SYNCHRONOUS, MS_MANDLOCK, MS_DIRSYNC, MS_NOATIME, MS_NODIRATIME = 0x10, 0x40, 0x80, 0x400, 0x800
# Name: bits that are set, bits that are cleared.
FLAGS = {
    "defaults": (0, 0),
    "bind": (MS_BIND, 0),
    "rbind": (MS_BIND | MS_REC, 0),
    "ro": (MS_RDONLY, 0),
    "rw": (0, MS_RDONLY),
    "nosuid": (MS_NOSUID, 0),
    "suid": (0, MS_NOSUID),
    "nodev": (MS_NODEV, 0),
    "dev": (0, MS_NODEV),
    "noexec": (MS_NOEXEC, 0),
    "exec": (0, MS_NOEXEC),
    "sync": (MS_SYNCHRONOUS, 0),
    "async": (0, MS_SYNCHRONOUS),
    "dirsync": (MS_DIRSYNC, 0),
    "mand": (MS_MANDLOCK, 0),
    "nomand": (0, MS_MANDLOCK),
    "noatime": (MS_NOATIME, 0),
    "atime": (0, MS_NOATIME),
    "nodiratime": (MS_NODIRATIME, 0),
    "diratime": (0, MS_NODIRATIME),
    "relatime": (MS_RELATIME, 0),
    "norelatime": (0, MS_RELATIME),
    "strictatime": (MS_STRICTATIME, 0),
    "nostrictatime": (0, MS_STRICTATIME),
}
REFUSED = frozenset({
    "remount", "copy-symlink", "src-nofollow", "dest-nofollow", "rrw", "rsuid", "rdev", "rexec",
    "rnoatime", "ratime", "rnodiratime", "rdiratime", "rrelatime", "rnorelatime", "rstrictatime", "rnostrictatime",
    "rsymfollow", "rnosymfollow",
})  # fmt: skip
# Of a bind mount and all below it.
RECURSIVE = {"rro": MS_RDONLY, "rnosuid": MS_NOSUID, "rnodev": MS_NODEV, "rnoexec": MS_NOEXEC}
COPY_UP = "tmpcopyup"
IDMAPS = ("idmap", "ridmap")


class Options(NamedTuple):
    """MS_* flags, what the filesystem itself reads, and what is neither.

    `recursive` are flags of all below it too, `cleared` those that it shall not have, whatever its source has.
    """

    flags: int
    data: str
    propagation: str = ""
    copy_up: bool = False
    recursive: int = 0
    idmap: str = ""
    cleared: int = 0


def parse_options(options: Iterable[str], where: str) -> Options:
    """Sort the options of a mount; SandboxError for one that cannot be kept."""
    flags, data, propagation, copy_up, recursive, idmap, cleared = 0, [], "", False, 0, "", 0
    for option in options:
        if option in FLAGS:
            wanted, unwanted = FLAGS[option]
            flags, cleared = (flags | wanted) & ~unwanted, (cleared | unwanted) & ~wanted
        elif option in REFUSED or option.startswith(("idmap=", "ridmap=")):
            raise SandboxError(f"config.json: mount {where}: the option {option!r} is not supported", 1)
        elif option in PROPAGATIONS:
            propagation = option
        elif option == COPY_UP:
            copy_up = True
        elif option in RECURSIVE:
            recursive |= RECURSIVE[option]
        elif option in IDMAPS:
            idmap = option
        else:
            data.append(option)
    return Options(flags, ",".join(data), propagation, copy_up, recursive, idmap, cleared)
