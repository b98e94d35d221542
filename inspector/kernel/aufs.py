"""The branches of an aufs mount: /sys/fs/aufs/si_<id>/br<n> (aufs(5), and its Documentation/ABI/testing/sysfs-aufs)."""

from __future__ import annotations

import re
from typing import NamedTuple

from inspector.errors import ParseError
from inspector.kernel.host import Host
from inspector.kernel.mounts import Mount

__all__ = ["Branch", "parse_branch", "read_branches"]

NUMBERED = re.compile(r"br([0-9]{1,9})", re.ASCII)  # beside them stand brid<n> and xi_path
IDENTIFIER = re.compile(r"[0-9a-f]{1,32}", re.ASCII)
BRANCH_BYTES = 8192


class Branch(NamedTuple):
    """A directory of the union; only a writable one takes changes."""

    path: str
    writable: bool


# a file like "/var/lib/docker/aufs/diff/4a7f=rw" or "...=ro+wh"
def parse_branch(data: bytes) -> Branch:
    """Parse one br<n> file: the directory and, behind the last "=", its permission with attributes."""
    path, separator, permission = data.rstrip(b"\n").decode(errors="surrogateescape").rpartition("=")
    if not separator or not path.startswith("/"):
        raise ParseError("/sys/fs/aufs/si_*/br*", data)
    return Branch(path, permission.split("+")[0] == "rw")


def read_branches(host: Host, mount: Mount) -> tuple[Branch, ...]:
    """Read the branches of an aufs mount, from top to bottom: its option `si` names them."""
    identifier = mount.super_options.get("si", "")
    if not IDENTIFIER.fullmatch(identifier):
        raise ParseError("aufs mount option si", identifier)
    directory = f"/sys/fs/aufs/si_{identifier}"
    numbers = sorted(int(found[1]) for name in host.listdir(directory) if (found := NUMBERED.fullmatch(name)))
    return tuple(parse_branch(host.read_prefix(f"{directory}/br{number}", BRANCH_BYTES)) for number in numbers)
