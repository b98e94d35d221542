r"""/proc/<pid>/mountinfo (proc_pid_mountinfo(5)) and the layers of overlay mounts.

All unescaping of mount text lives here: the kernel writes space, tab, newline,
backslash and, in an option's value, "," as octal (\040), and whoever mounted an
overlay had to put a backslash before ":", "," and "\" in its layer paths.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from inspector.errors import ParseError
from inspector.kernel.files import Files
from inspector.kernel.named import NamedTuple
from inspector.kernel.remembered import remembered

__all__ = [
    "Mount",
    "Overlay",
    "may_hang",
    "overlay_layers",
    "parse_mountinfo",
    "parse_root_mount",
    "read_mountinfo",
    "read_root_mount",
    "root_identity",
    "root_mount",
]

# Not 9p and virtiofs, behind which is the machine that ours runs on.
REMOTE = frozenset(("nfs", "nfs4", "cifs", "smb3", "ceph", "afs", "lustre", "gfs2", "ocfs2", "beegfs", "orangefs"))
# The lines of mounts at these two places.
ROOT, HOSTNAME = b"/", b"/etc/hostname"
# Not compiled before they are used: a start of a container reads none of what they are for.
OCTAL = r"\\([0-7]{3})"
LAYER = r"(?s)(?:\\.|[^:\\])+"
# Since Linux 6.8 (fsconfig(2)): a layer an option, its path as it stands, top to bottom.
ONE_LAYER = ("lowerdir+", "datadir+")
FIXED_FIELDS = 6
AFTER_SEPARATOR = 3


class Mount(NamedTuple):
    """One mount of a mount namespace. Options are as written: {"rw": "", "size": "64k"} has "" for a bare word."""

    mount_id: int
    parent_id: int
    device_major: int
    device_minor: int
    root: str
    mountpoint: str
    options: dict[str, str]
    propagation: tuple[str, ...]
    fstype: str
    source: str
    super_options: dict[str, str]

    @property
    def read_only(self) -> bool:
        """True when nothing can be written through this mount: it or its filesystem is read-only."""
        return "ro" in self.options or "ro" in self.super_options


class Overlay(NamedTuple):
    """The layers of an overlay mount: `lower` from top to bottom; no upper means read-only."""

    lower: tuple[str, ...]
    upper: str | None
    work: str | None


# 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
def parse_mountinfo(data: bytes, kind: bytes = b"") -> tuple[Mount, ...]:
    """Parse /proc/<pid>/mountinfo: one mount a line, any number of optional fields before the " - ".

    Only those whose filesystem's type begins with `kind`: that stands behind it, and no field has a blank in it.
    """
    mark = b" - " + kind if kind else b""
    return tuple(_parse_line(line) for line in data.split(b"\n") if line and mark in line)


def read_mountinfo(host: Files, pid: int | str, kind: bytes = b"") -> tuple[Mount, ...]:
    """Read the mounts that a process sees, in the order they were made (/proc/<pid>/mountinfo)."""
    return parse_mountinfo(host.read_long_lines(f"/proc/{pid}/mountinfo"), kind)


def _parse_line(line: bytes) -> Mount:
    fields = line.decode(errors="surrogateescape").split(" ")
    try:
        separator = fields.index("-", FIXED_FIELDS)
        fstype, source, super_options = fields[separator + 1 : separator + 1 + AFTER_SEPARATOR]
        major, minor = fields[2].split(":")
        places = unescape(fields[3]), unescape(fields[4])
        if "\0" in places[0] or "\0" in places[1]:
            raise ParseError("/proc/<pid>/mountinfo", line)
        return Mount(
            int(fields[0]),
            int(fields[1]),
            int(major),
            int(minor),
            *places,
            {**_options(fields[5])},
            tuple(fields[FIXED_FIELDS:separator]),
            unescape(fstype),
            unescape(source),
            {**_options(super_options)},
        )
    except ValueError as error:
        raise ParseError("/proc/<pid>/mountinfo", line) from error


def unescape(text: str) -> str:
    """Undo the kernel's octal escapes (seq_escape in fs/seq_file.c)."""
    if "\\" not in text:
        return text
    import re  # noqa: PLC0415  a container's start has no use for it

    return re.sub(OCTAL, lambda match: chr(int(match[1], 8)), text)


@remembered(256)  # the same of most mounts
def _options(text: str) -> Mapping[str, str]:
    """Split mount options at the commas (one in a value is escaped); a value may hold "=" itself.

    The layers of an overlay that stand one an option are joined into the "lowerdir" of the older form.
    """
    options: dict[str, str] = {}
    for part in text.split(","):
        name, _, value = map(unescape, part.partition("=")) if "\\" in part else part.partition("=")
        if name in ONE_LAYER:
            layer = value.replace("\\", r"\\").replace(":", r"\:").replace(",", r"\,")
            options["lowerdir"] = f"{options['lowerdir']}:{layer}" if "lowerdir" in options else layer
        elif name:
            options[name] = value
    return options


def overlay_layers(mount: Mount) -> Overlay | None:
    """Return the layers of an overlay mount from its options, or None for any other mount."""
    if mount.fstype not in ("overlay", "fuse.fuse-overlayfs"):
        return None
    options = mount.super_options
    return _layers(options.get("lowerdir", ""), options.get("upperdir"), options.get("workdir"))


@remembered(1024)  # asked for at every tick, of mounts that stay the same
def _layers(lower: str, upper: str | None, work: str | None) -> Overlay:
    import re  # noqa: PLC0415  as above

    return Overlay(
        lower=tuple(map(_unescape_layer, re.findall(LAYER, lower))),
        upper=None if upper is None else _unescape_layer(upper),
        work=None if work is None else _unescape_layer(work),
    )


def _unescape_layer(path: str) -> str:
    if "\\" not in path:
        return path
    import re  # noqa: PLC0415  rare

    return re.sub(r"\\(.)", r"\1", path, flags=re.DOTALL)


def read_root_mount(host: Files, pid: int | str) -> tuple[Mount | None, str]:
    """Read a process's root mount, and where its /etc/hostname comes from; of a long table only two lines are parsed.

    Of several mounts at one place the last one made lies on top. Docker, Podman and our sandbox bind a file of
    the directory they keep for the container to /etc/hostname.
    """
    return parse_root_mount(host.read_long_lines(f"/proc/{pid}/mountinfo"))


def parse_root_mount(table: bytes) -> tuple[Mount | None, str]:
    """Parse a mountinfo for its last mount at "/", and the directory that /etc/hostname is bound from ("" for none)."""
    root, hostname = _last_at(table, ROOT), _last_at(table, HOSTNAME)
    return root, hostname.root.rpartition("/")[0] if hostname else ""


def _last_at(text: bytes, place: bytes) -> Mount | None:
    """Return the last mount of a table at a place; a line is split only where the place stands before options."""
    sought, end = b" " + place + b" r", len(text)  # "ro" or "rw" (fs/proc_namespace.c, show_mountinfo)
    while (found := text.rfind(sought, 0, end)) >= 0:
        start, stop = text.rfind(b"\n", 0, found) + 1, text.find(b"\n", found)
        line = text[start : stop if stop >= 0 else len(text)]
        if line.split(b" ", FIXED_FIELDS - 1)[4:5] == [place]:
            return _parsed(line)
        end = start
    return None


@remembered(2048)  # looked at again and again, of first processes whose mounts stay the same
def _parsed(line: bytes) -> Mount:
    return _parse_line(line)


def may_hang(path: str, mounts: Iterable[Mount]) -> bool:
    """Tell whether a path lies on a filesystem whose server may be gone: even stat(2) there then waits for it.

    `mounts` are those of the process whose path it is; nothing of the path itself is touched.
    """
    found, kind = "", ""
    for mount in mounts:
        place = mount.mountpoint.rstrip("/")
        if len(place) >= len(found) and (path == place or path.startswith(place + "/")):
            found, kind = place, mount.fstype
    return kind in REMOTE or (kind.startswith("fuse") and kind != "fusectl")


def root_identity(root: Mount | None) -> tuple[int, int, str] | None:
    """Return what tells one root filesystem from another: its device and the directory on it."""
    return (root.device_major, root.device_minor, root.root) if root else None


def root_mount(mounts: tuple[Mount, ...]) -> Mount | None:
    """Return the mount that is a process's "/": the last one made there, as it lies on top."""
    return next((mount for mount in reversed(mounts) if mount.mountpoint == "/"), None)
