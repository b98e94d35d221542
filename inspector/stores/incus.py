"""Incus and LXD: <var>/storage-pools/<pool>/containers/<name>/backup.yaml, which both write at each change.

Its shape: internal/server/backup/config/backup_config.go and shared/api/instance.go; <name> is the project's and the
container's ("project_name") outside of the default project. Of YAML no more is understood than what both write here: a
key and a plain or quoted text on a line, the container's own before its snapshots'.
"""

from __future__ import annotations

import re

from inspector.stores.facts import MOST_TEXT, Facts, moment

__all__ = ["parse_backup"]

LINE = re.compile(r"""^ +(?:image\.(description|os|release)|(created_at)): +(["']?)(.*)\3$""")


# a file like:
#   container:
#     config:
#       image.description: Debian bookworm amd64 (20261101_05:24)
#     created_at: 2026-11-01T09:12:33.1Z
def parse_backup(data: bytes, identifier: str) -> Facts:
    """Parse backup.yaml: its name is the directory's, its image what its server calls that."""
    found: dict[str, str] = {}
    for line in data.decode(errors="replace").split("\n"):
        if (match := LINE.match(line)) is not None:
            found.setdefault(match[1] or match[2], match[4][:MOST_TEXT])
        elif line.startswith(("snapshots:", "profiles:")):
            break
    system = " ".join(found[key] for key in ("os", "release") if found.get(key))
    return Facts(identifier, found.get("description") or system, created=moment(found.get("created_at")))
