"""Where what is written goes: a file behind a link, a pipe at which nobody waits, and what is said of errors."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from sandbox import cli
from sandbox.commands.output import write_archive
from sandbox.pack import write_to
from sandbox.terminal import write_all


def test_an_archive_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    """Behind a link, which stays; where it cannot be put in place nothing of it is left."""
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    write_archive(str(tmp_path / "link"), lambda: iter([b"one", b"two"]))
    assert ((tmp_path / "file").read_bytes(), (tmp_path / "link").is_symlink()) == (b"onetwo", True)
    (tmp_path / "directory").mkdir()
    with pytest.raises(IsADirectoryError) as refused:
        write_archive(str(tmp_path / "directory"), lambda: iter([b"one"]))
    assert refused.value.filename == str(tmp_path / "directory")
    with pytest.raises(FileNotFoundError) as missing:
        write_archive(str(tmp_path / "nowhere/file"), lambda: iter([b"one"]))
    assert missing.value.filename == str(tmp_path / "nowhere/file")
    assert sorted(os.listdir(tmp_path)) == ["directory", "file", "link"]


def test_an_archive_is_not_written_behind_somebody_elses_link(tmp_path: Path) -> None:
    """Where it is written first there may be a link, or a file that another user holds open."""
    (tmp_path / "other").write_text("kept")
    (tmp_path / "file.new").symlink_to("other")
    write_archive(str(tmp_path / "file"), lambda: iter([b"one"]))
    assert ((tmp_path / "other").read_text(), (tmp_path / "file").read_text()) == ("kept", "one")
    assert sorted(os.listdir(tmp_path)) == ["file", "other"]


@pytest.mark.parametrize("archive", [False, True])
def test_a_pipe_at_which_nobody_waits(*, archive: bool) -> None:
    """Who shares it with us may have it so (O_NONBLOCK): we wait all the same, and lose nothing."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    data, seen = os.urandom(1 << 20), bytearray()

    def read() -> None:
        while piece := os.read(reader, 1 << 16):
            seen.extend(piece)

    other = threading.Thread(target=read)
    other.start()
    if archive:
        write_to(writer, iter([data]))
    else:
        write_all(writer, data)
    os.close(writer)
    other.join()
    os.close(reader)
    assert bytes(seen) == data


def test_a_current_directory_that_cannot_be_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was to be explained is told even there."""

    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", refuse)
        told = cli._explained(FileNotFoundError(2, "No such file"))  # noqa: SLF001
    assert str(told) == "the current directory: No such file"
