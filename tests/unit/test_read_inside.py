"""Host.read_inside: files that somebody else owns."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from inspector.kernel.host import Host


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Make a store with one file in it, and a secret beside it."""
    (tmp_path / "store/containers/ab").mkdir(parents=True)
    (tmp_path / "store/containers/ab/config.json").write_bytes(b'{"Name": "web"}')
    (tmp_path / "secret").write_bytes(b"secret")
    return tmp_path / "store"


def test_reads_a_regular_file_below_the_store(store: Path) -> None:
    """A plain file is returned, cut at the size asked for."""
    host = Host()
    assert host.read_inside(str(store), "containers/ab/config.json", 1 << 20) == b'{"Name": "web"}'
    assert host.read_inside(str(store), "containers/ab/config.json", 5) == b'{"Nam'


def test_follows_no_link_out_of_the_store(store: Path) -> None:
    """A link in place of the file, or of a directory on the way, is refused."""
    (store / "containers/ab/config.json").unlink()
    (store / "containers/ab/config.json").symlink_to("../../../secret")
    with pytest.raises(OSError, match=r"(?i)symbolic"):
        Host().read_inside(str(store), "containers/ab/config.json", 100)
    (store / "containers/cd").symlink_to("ab")
    with pytest.raises(OSError, match=r"(?i)directory"):
        Host().read_inside(str(store), "containers/cd/config.json", 100)


def test_never_waits_for_a_fifo(store: Path) -> None:
    """A FIFO that nobody writes to is refused at once."""
    os.mkfifo(store / "containers/ab/fifo")
    with pytest.raises(OSError, match="not a regular file"):
        Host().read_inside(str(store), "containers/ab/fifo", 100)


@pytest.mark.parametrize("path", ["../secret", "containers/../../secret", "/etc/passwd", "containers//x", "."])
def test_refuses_a_path_that_leaves_the_store(store: Path, path: str) -> None:
    """An id like ".." cannot be used to climb."""
    with pytest.raises(OSError, match="not a plain relative path"):
        Host().read_inside(str(store), path, 100)


@pytest.mark.parametrize("name", ["a\0b", "half a character \ud83d"])
def test_what_can_be_no_path_is_an_oserror(store: Path, name: str) -> None:
    """What a file tells of another is anybody's text: NUL in it, or a surrogate that JSON can write, is an error."""
    for directory, path in ((f"{store}/{name}", "config.json"), (str(store), f"containers/{name}/config.json")):
        with pytest.raises(OSError, match="not a path"):
            Host().read_inside(directory, path, 100)


def test_leaves_no_descriptor_open(store: Path) -> None:
    """Reads and refusals close what they opened."""
    before = os.listdir("/proc/self/fd")
    for path in ("containers/ab/config.json", "containers/none", "containers/ab"):
        try:
            Host().read_inside(str(store), path, 100)
        except OSError:
            continue
    assert os.listdir("/proc/self/fd") == before
