"""A filesystem as most machines have it: ext4 with its journal, on a loop device.

What a container keeps is a dozen inodes. An ext4 without a journal, as cloud images of small virtual machines may
have, goes through the inodes that were deleted in the last minute or five before it takes a free one (fs/ext4/ialloc.c,
recently_deleted): each of a bench's files then costs 70 to 400 us in place of 15, and more from run to run.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.testbed.commands import run

__all__ = ["kind", "ordinary"]

BYTES = 8 << 30  # of which the file has what is written


@contextlib.contextmanager
def ordinary(place: Path) -> Iterator[None]:
    """Mount one at a directory that is there; where that cannot be, leave it as it is."""
    file = place.with_suffix(".image")
    with file.open("wb") as image:
        image.truncate(BYTES)
    mounted = False
    if shutil.which("mkfs.ext4"):
        run(["mkfs.ext4", "-q", str(file)])
        mounted = run(["mount", "-o", "loop", str(file), str(place)], check=False).returncode == 0
    try:
        yield
    finally:
        if mounted:
            run(["umount", str(place)])
        file.unlink()


def kind(place: Path) -> str:
    """Return what a directory is on: the filesystem, and the device."""
    return run(["df", "--output=fstype,source", str(place)]).stdout.splitlines()[-1]
