"""What a monitor imports late is of one version: another may have been installed since it has started.

A container lives as long as it likes, and its monitor has in memory what it began with. What a probe of its health, its
end and its next start need comes from the disk by then, and does not fit that.
"""

from __future__ import annotations

import os
import sys

__all__ = ["forget_older"]

PLACE = os.path.dirname(__file__)
OURS = ("sandbox", "inspector")


def _installed() -> tuple[int, int]:
    """Return what changes when a file is put in place of another: every installer does that, if not all at once."""
    try:
        found = os.stat(PLACE)
    except OSError:
        return 0, 0
    return found.st_ino, found.st_mtime_ns


_begun_with = _installed()


def forget_older() -> None:
    """Have all of ours imported anew where another version is installed than the one we began with."""
    if _installed() != _begun_with:
        for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
            del sys.modules[name]
