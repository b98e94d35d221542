"""Brings images in: `load` from an archive of images, `import` from one of a root filesystem."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import IO, cast

from sandbox.commands.output import warn
from sandbox.errors import SandboxError
from sandbox.images.archive import Archive, Found, architecture
from sandbox.images.changes import apply_changes
from sandbox.images.layers import unpack_layer
from sandbox.images.reference import normalise
from sandbox.images.store import Images, diff_ids
from sandbox.tarstream import CHUNK, archive_errors, is_plain, plain

__all__ = ["import_rootfs", "load"]

SPARE_BYTES = 16 << 20
ATTEMPTS = 5
STDIN = "-"


def load(images: Images, path: str) -> Iterator[str]:
    """Load every image of an archive; yield the names of each, or `sha256:...` for one that has none."""
    what = _name(path)
    with (
        archive_errors(what),
        images.session() as session,
        _opened(path) as source,
        _seekable(source, session) as file,
    ):
        archive = Archive(file)
        for found in archive.images():
            identifier = _load_one(images, archive, found, session)
            yield from found.names or (f"sha256:{identifier}",)


def _load_one(images: Images, archive: Archive, found: Found, session: str) -> str:
    config = json.loads(found.config)
    missing = [each for each in diff_ids(config) if not images.has_layer(each)]
    for _ in range(ATTEMPTS):
        for diff_id, path in zip(diff_ids(config), found.layers, strict=True):
            if diff_id in missing and not os.path.exists(f"{session}/{diff_id}"):
                with archive.open(path) as source:
                    digest, lost = unpack_layer(source, path, f"{session}/layer")
                if digest != diff_id:
                    raise SandboxError(f"layer {path} is damaged: its digest is {digest}, and {diff_id} is expected")
                os.rename(f"{session}/layer", f"{session}/{diff_id}")
                _tell(lost)
        missing = images.register(found.config, found.names, session)
        if not missing:
            break
    else:
        raise SandboxError("the layers of the image are removed as fast as they are loaded")
    if config.get("architecture") not in (None, "", architecture()):
        warn(f"the image is for {config['architecture']!r}, not {architecture()}")
    return hashlib.sha256(found.config).hexdigest()


def import_rootfs(
    images: Images, path: str, name: str, changes: Sequence[str], created: str, message: str = ""
) -> str:
    """Make an image of a root filesystem's archive, and return its id.

    `created` is the time as images have it, `message` what its history says.
    """
    config: dict[str, object] = {}
    apply_changes(config, changes)
    names = [normalise(name)] if name else []
    what = _name(path)
    with archive_errors(what), images.session() as session, _opened(path) as source:
        diff_id, lost = unpack_layer(source, "", f"{session}/layer")
        _tell(lost)
        os.rename(f"{session}/layer", f"{session}/{diff_id}")
        text = {
            "created": created,
            "architecture": architecture(),
            "os": "linux",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff_id}"]},
            "history": [{"created": created, "comment": message or f"Imported from {path}"}],
        }
        data = json.dumps(text).encode()
        if images.register(data, names, session):
            raise SandboxError("the image's layer was removed while it was imported: do it again")
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _name(path: str) -> str:
    return "standard input" if path == STDIN else path


def _tell(lost: Counter[str]) -> None:
    """Say what of a layer cannot be here: without root there is one owner, and no device."""
    if lost:
        text = ", ".join(f"{kind} of {count} files" for kind, count in sorted(lost.items()))
        warn(f"not kept in this image, as this needs root: {text}")


@contextlib.contextmanager
def _opened(path: str) -> Iterator[IO[bytes]]:
    if path != STDIN:
        with open(path, "rb", buffering=0) as file:
            if stat.S_ISDIR(os.fstat(file.fileno()).st_mode):
                raise IsADirectoryError(21, "Is a directory", path)
            yield cast("IO[bytes]", file)
    elif os.isatty(0):
        raise SandboxError("an archive cannot be read from a terminal: give a file, or redirect standard input")
    else:
        with open(0, "rb", buffering=0, closefd=False) as file:
            yield cast("IO[bytes]", file)


@contextlib.contextmanager
def _seekable(source: IO[bytes], session: str) -> Iterator[IO[bytes]]:
    """Give an archive that can be read in any order: the file itself, or what it holds, in a nameless file of ours."""
    if stat.S_ISREG(os.fstat(source.fileno()).st_mode) and is_plain(source):
        yield source
        return
    with tempfile.TemporaryFile(dir=session) as file:
        stream = plain(source)
        while data := stream.read(CHUNK):
            found = os.fstatvfs(file.fileno())
            if found.f_bavail * found.f_frsize < SPARE_BYTES + len(data):
                raise SandboxError("no space left for the archive in the state directory")
            file.write(data)
        file.seek(0)
        yield file
