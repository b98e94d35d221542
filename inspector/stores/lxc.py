"""LXC: <lxcpath>/<name>/config (lxc.container.conf(5))."""

from __future__ import annotations

from inspector.stores.facts import MOST_TEXT, Facts

__all__ = ["parse_lxc"]

TEMPLATE = "# Template used to create this container: "


# a file like:
#   # Template used to create this container: /usr/share/lxc/templates/lxc-debian
#   lxc.rootfs.path = dir:/var/lib/lxc/web/rootfs
def parse_lxc(data: bytes, identifier: str) -> Facts:
    """Parse a config: its name is the directory's, its image the template, or else the root it was given."""
    root = template = ""
    for line in data.decode(errors="surrogateescape").split("\n"):
        if line.startswith(TEMPLATE):
            template = line.removeprefix(TEMPLATE).strip().rpartition("/")[2].removeprefix("lxc-")
        key, _, value = line.partition("=")
        if key.strip() == "lxc.rootfs.path":
            root = value.strip()
    return Facts(name=identifier, image=(template or root)[:MOST_TEXT])
