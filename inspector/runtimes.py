"""Who made this container: what a cgroup's path, an overlay's layers or the parent process tell.

A pure table. A runtime is recognised by the name it gives its cgroup; the
files it leaves (name, image) are read by inspector.metadata.
"""

from __future__ import annotations

from inspector.kernel.named import NamedTuple
from inspector.kernel.remembered import remembered

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re

__all__ = ["Match", "by_command", "by_directory", "by_layer", "match", "pod_uid"]

HEX = r"[0-9a-f]{64}"
UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


class Match(NamedTuple):
    """A cgroup that a runtime made: the runtime, the id it gave the container, and the cgroup's path."""

    runtime: str
    id: str
    path: str


# The last component of the path, or the last two, as each runtime writes them. Compiled when the first path needs it:
# that takes longer than all else that is done at a start.
# Before each is what stands in every path that it matches: that is looked for first, far faster than a pattern.
# Sources: moby daemon (cgroupfs and systemd drivers), containerd's ctr (/<namespace>/<id>), libpod, lxc, machined.
PATTERNS = tuple(
    (runtime, word, rf"(?:^|/){pattern}\Z")
    for runtime, word, pattern in (
        ("sandbox", "cgscope/", rf"cgscope/(?P<id>{HEX})"),
        ("docker", "docker/", rf"docker/(?P<id>{HEX})"),
        ("docker", "docker-", rf"docker-(?P<id>{HEX})\.scope"),
        # With --cgroups=split, as quadlets have it, below the unit's own: libpod-payload-<id>.
        ("podman", "libpod-", rf"libpod-(?:payload-)?(?P<id>{HEX})(?:\.scope)?"),
        ("cri-o", "crio-", rf"crio-(?P<id>{HEX})(?:\.scope)?"),
        ("containerd", "cri-containerd-", rf"cri-containerd-(?P<id>{HEX})\.scope"),
        ("containerd", "nerdctl-", rf"nerdctl-(?P<id>{HEX})\.scope"),
        # The kubelet's cgroupfs driver names the pod, not the runtime: nearly always containerd since 1.24.
        ("containerd", "kubepods/", rf"kubepods(?:/burstable|/besteffort)?/pod[0-9a-f-]{{32,36}}/(?P<id>{HEX})"),
        # What is meant for systemd ("slice:prefix:name") is a path to a runc that was not told to ask it.
        ("containerd", ":cri-containerd:", rf"[^/]+\.slice:cri-containerd:(?P<id>{HEX})"),
        ("lxc", "lxc.payload.", r"lxc\.payload\.(?P<id>[^/]+)"),
        ("lxc", "lxc/", r"lxc/(?P<id>[^/]+)"),  # before LXC 4.0
        ("nspawn", "systemd-nspawn@", r"machine\.slice/systemd-nspawn@(?P<id>[^/]+)\.service"),
        # Not libvirt's machines, which it numbers.
        ("nspawn", "machine-", r"machine\.slice/machine-(?!(?:qemu|lxc)\\x2d[0-9])(?P<id>[^/]+)\.scope"),
        ("flatpak", "app-flatpak-", r"app-flatpak-(?P<id>[^/]+)-[0-9]+\.scope"),
        ("snap", "snap.", rf"snap\.(?P<id>[^/]+?)(?:[.-]{UUID})?\.(?:scope|service)"),
    )
)

# Where the writable layer of an overlay lies, for the reader that is itself in the container and sees no path.
LAYERS = (
    ("sandbox", rf"/containers/(?P<id>{HEX})/upper$"),
    ("docker", r"/overlay2/[^/]+/diff$"),
    ("podman", r"/containers/storage/overlay/[^/]+/diff$"),
    ("containerd", r"/io\.containerd\.snapshotter\.v1\.overlayfs/snapshots/[0-9]+/fs$"),
)

# The directory that the runtime keeps for the container, and binds files of into it.
DIRECTORIES = (
    ("sandbox", rf"/cgscope[^/]*/containers/(?P<id>{HEX})\Z"),
    ("docker", rf"/docker/containers/(?P<id>{HEX})\Z"),
    ("podman", rf"/(?:overlay|vfs|btrfs|zfs)-containers/(?P<id>{HEX})/userdata\Z"),
)

# The program whose child is the first process of a container that no cgroup's name gives away.
COMMANDS = {
    "bwrap": "bubblewrap",
    "conmon": "podman",
    "containerd-shim-runc-v2": "containerd",
    "[lxc": "lxc",  # "[lxc monitor] <lxcpath> <name>"; in the foreground it keeps the name it was started by
    "firejail": "firejail",
    "lxc-execute": "lxc",
    "lxc-start": "lxc",
    "systemd-nspawn": "nspawn",
    "unshare": "unshare",
}
# Of a pod that the kubelet has from a file or an address (a static pod) the uid is an MD5 sum, without hyphens.
POD = r"/(?:[^/]*-)?pod(?P<uid>[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})(?:\.slice)?[/:]"
# Whose names are parts of systemd's units, in which it writes all else than ASCII letters, digits, ":_." as \xXX.
IN_UNITS = ("nspawn", "flatpak", "snap")
ESCAPE = rb"\\x([0-9a-f]{2})"


@remembered(8192)  # every cgroup is asked about at every tick
def match(path: str) -> Match | None:
    """Tell which runtime made the cgroup `path` itself (not one above or below it)."""
    for runtime, word, pattern in PATTERNS:
        if word in path and (found := _search(pattern, path)):
            return Match(runtime, _unescape(found["id"]) if runtime in IN_UNITS else found["id"], path)
    return None


def _search(pattern: str, text: str) -> re.Match[str] | None:
    import re  # noqa: PLC0415  where there is no runtime nothing is sought

    return re.search(pattern, text)


def _unescape(text: str) -> str:
    """Undo systemd's escaping of names of units (systemd-escape(1))."""
    data = text.encode(errors="surrogateescape")
    import re  # noqa: PLC0415  as below

    return re.sub(ESCAPE, lambda found: bytes.fromhex(found[1].decode()), data).decode(errors="surrogateescape")


def by_layer(upper: str) -> tuple[str, str | None] | None:
    """Tell the runtime, and the id where the path holds it, from an overlay's upper directory."""
    for runtime, pattern in LAYERS:
        found = _search(pattern, upper)
        if found:
            return runtime, found.groupdict().get("id")
    return None


def by_directory(directory: str) -> tuple[str, str] | None:
    """Tell the runtime and the id from the directory that the container's /etc/hostname comes from."""
    for runtime, pattern in DIRECTORIES if directory else ():
        found = _search(pattern, directory)
        if found:
            return runtime, found["id"]
    return None


def by_command(*names: str) -> str | None:
    """Tell the runtime from the names of the first process and its parent: "bwrap", "/usr/bin/systemd-nspawn"."""
    return next((COMMANDS[base] for name in names if (base := name.rpartition("/")[2]) in COMMANDS), None)


def pod_uid(path: str) -> str | None:
    """Return the uid of the Kubernetes pod a cgroup is in; the systemd driver writes "_" for its "-"."""
    found = _search(POD, path) if "pod" in path else None
    return found["uid"].replace("_", "-") if found else None
