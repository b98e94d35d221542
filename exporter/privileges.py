"""What the exporter may not do, and what of the machine it therefore does not see.

It is made to run as an ordinary user with two capabilities; a whole root is
more than it needs.
"""

from __future__ import annotations

import re

__all__ = ["NEEDED", "missing"]

# Bits of CapEff (include/uapi/linux/capability.h), and what each is for.
NEEDED = {
    "CAP_DAC_READ_SEARCH": (2, "names, images and labels in the runtimes' directories"),
    "CAP_SYS_PTRACE": (19, "namespaces, root filesystems and memory of other users' processes"),
}
EFFECTIVE = re.compile(rb"^CapEff:\s*([0-9a-f]+)$", re.MULTILINE)


def missing(status: bytes) -> dict[str, str]:
    """Return the capabilities that a /proc/<pid>/status lacks, with what they are for."""
    found = EFFECTIVE.search(status)
    effective = int(found[1], 16) if found else 0
    return {name: why for name, (bit, why) in NEEDED.items() if not effective >> bit & 1}
