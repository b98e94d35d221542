"""One layer from an archive to its directory, verified."""

from __future__ import annotations

import os
import re
from collections import Counter
from typing import IO

from sandbox.atomic import write_document
from sandbox.errors import SandboxError
from sandbox.inroot import root_directory
from sandbox.tarstream import Hashed, plain
from sandbox.unpack import Rules, unpack

__all__ = ["unpack_layer", "verify"]

BLOB = re.compile(r"blobs/sha256/([0-9a-f]{64})", re.ASCII)
# Tars are padded to their blocking factor, 10 KiB; what else follows their end is no layer.
MOST_PADDING = 16 << 20
SPARE_BYTES = 16 << 20  # for the records of the containers that are there


def verify(path: str, digest: str) -> None:
    """Refuse a blob of an OCI layout whose content is not what its name says."""
    named = BLOB.fullmatch(path)
    if named and digest != f"sha256:{named[1]}":
        raise SandboxError(f"{path} is damaged: its digest is {digest}")


def unpack_layer(source: IO[bytes], path: str, directory: str) -> tuple[str, Counter[str]]:
    """Unpack a layer, compressed or not, into the new `directory`.

    Returns the 64 digits of its diff id, and what could not be made here.
    """
    blob = Hashed(source)
    stream = Hashed(plain(blob))
    os.mkdir(directory, 0o700)
    os.mkdir(f"{directory}/diff", 0o755)
    rootless = os.geteuid() != 0
    with root_directory(f"{directory}/diff") as root:
        done = unpack(stream, root, Rules(whiteouts=True, rootless=rootless, spare=SPARE_BYTES))
    stream.drain(MOST_PADDING)
    blob.drain(MOST_PADDING)
    verify(path, blob.digest)
    write_document(f"{directory}/layer.json", {"Size": done.size, "Root": done.has_root})
    return stream.digest.removeprefix("sha256:"), +done.lost
