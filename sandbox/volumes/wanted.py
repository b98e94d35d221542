"""What is mounted into a container beside its root; options.py makes it of `-v`, `--mount` and `--tmpfs`; pure."""

from __future__ import annotations

from sandbox.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Tmpfs", "Volume"]


class Volume(Value):
    """A file or directory of the host, bound into the container; with a `name` it is a volume of ours.

    `recursion` tells of what is mounted below the source: "enabled" (bound too, read-only too), "writable"
    (bound, and written to even where the volume is read-only), "disabled" (not bound). `idmap`: its files belong to
    the container's users by number, in a user namespace of its own too, as those of a volume of ours do. `subpath`:
    only what is there in the volume is mounted. `labels`: of the volume, when it is made for this.
    """

    source: str
    target: str
    read_only: bool = False
    name: str = ""
    anonymous: bool = False
    copy: bool = True
    propagation: str = "rprivate"
    recursion: str = "enabled"
    idmap: bool = False
    subpath: str = ""
    labels: tuple[tuple[str, str], ...] = ()

    def document(self) -> dict[str, Any]:
        """Return it as one of the Mounts of `docker inspect`."""
        found: dict[str, Any] = {"Type": "volume" if self.name else "bind"}
        if self.name:
            found |= {"Name": self.name, "Driver": "local"}
        return found | {
            "Source": self.source,
            "Destination": self.target,
            "Mode": "ro" if self.read_only else "",
            "RW": not self.read_only,
            "Propagation": "" if self.name else self.propagation,
        }

    @property
    def is_spelled_out(self) -> bool:
        """Tell whether -v has no words for it: --mount asked for it."""
        return bool(self.subpath or self.labels)

    def asked(self) -> dict[str, Any]:
        """Return it as one of HostConfig.Mounts, where Docker has what --mount asks for."""
        options = {"NoCopy": not self.copy, "Labels": dict(self.labels), "Subpath": self.subpath}
        given = {key: value for key, value in options.items() if value}
        source = {} if self.anonymous else {"Source": self.name}
        found = {"Type": "volume", **source, "Target": self.target, "VolumeOptions": given}
        return found | ({"ReadOnly": True} if self.read_only else {})

    def spelled(self) -> str:
        """Return it as -v takes it."""
        mode = ",".join(["ro"] * self.read_only + ["idmap"] * self.idmap)
        return ":".join(filter(None, (self.name or self.source, self.target, mode)))


class Tmpfs(Value):
    """A filesystem in memory (`--tmpfs target[:options]`): mount flags by name, and options tmpfs itself reads."""

    target: str
    flags: tuple[str, ...] = ("nosuid", "nodev", "noexec")
    data: str = ""
