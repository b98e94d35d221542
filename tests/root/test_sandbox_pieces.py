"""A root that is put together from pieces of a machine which goes on meanwhile."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.testbed.commands import run

pytestmark = pytest.mark.root

# Each with a file of its own; what it is made of goes when all is planned, and before it is mounted.
PUT_TOGETHER = """
import os, sys
from pathlib import Path
from sandbox import mounting, pieces
from sandbox.overlays import Root
from sandbox.rootfs import Layout, Mount
place, lower = Path(sys.argv[1]), Path(sys.argv[1], "lower")
for name in ("tmp/mount", "tmp/directory", "tmp/stays", "upper", "work", "merged"):
    (lower if name.startswith("tmp") else place).joinpath(name).mkdir(parents=True)
(lower / "tmp/file").write_text("a file")
(lower / "tmp/stays/file").write_text("a file that stays")
layout = Layout((str(lower),), f"{place}/upper", f"{place}/work", f"{place}/merged", "", "")
layers, steps = pieces.split(layout, {f"{lower}/tmp/mount"})
for layer in layers:
    os.mkdir(layer.upper)
    os.mkdir(layer.work)
(lower / "tmp/directory").rmdir()
(lower / "tmp/file").unlink()
mounting.apply(Root(Mount("tmpfs", layout.merged)), steps)
print(*sorted(os.listdir(place / "merged/tmp")), (place / "merged/tmp/stays/file").read_text(), sep=", ")
"""


def test_what_goes_before_it_is_mounted(tmp_path: Path) -> None:
    """A directory is empty then, a file is not there, and the others are as they are."""
    # An overlay is no upper layer of another one, as which /tmp may be.
    script = f'mount -t tmpfs none {tmp_path} && exec "$@"'
    words = ["unshare", "-m", "sh", "-c", script, "sh", sys.executable, "-c", PUT_TOGETHER, str(tmp_path)]
    assert run(words).stdout == "directory, mount, stays, a file that stays\n"
