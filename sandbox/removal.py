"""Removes a directory with all that is in it, whatever a container or an archive made of it.

However deep the tree is, nothing recurses and two directories are open at a
time: each directory is moved up before it is emptied. No link is followed. What
its owner cannot enter (overlayfs leaves a work directory with no permission at
all) is opened first.
"""

from __future__ import annotations

import os

from sandbox.contexts import suppress

__all__ = ["remove_tree"]


def remove_tree(path: str, parent: int | None = None) -> None:
    """Remove a directory, relative to the descriptor `parent` if there is one; one that is not there is fine."""
    try:
        top = _open(path, parent)
    except FileNotFoundError:
        return
    try:
        _empty(top)
    finally:
        os.close(top)
    with suppress(FileNotFoundError):
        os.rmdir(path, dir_fd=parent)


def _open(name: str, parent: int | None) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(name, flags, dir_fd=parent)
    except PermissionError:
        pinned = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            os.chmod(f"/proc/self/fd/{pinned}", 0o700)
        finally:
            os.close(pinned)
        return os.open(name, flags, dir_fd=parent)
    if os.geteuid() != 0:  # its entries can be removed only when it can be written and searched
        with suppress(PermissionError):
            os.fchmod(fd, 0o700)
    return fd


def _empty(top: int) -> None:
    mark = f".removing-{os.urandom(8).hex()}-"
    waiting: list[str] = []
    _clear(top, top, mark, waiting)
    while waiting:
        name = waiting.pop()
        if _remove_empty(name, top):  # as most of a container's are: no need to look into it
            continue
        try:
            fd = _open(name, top)
        except FileNotFoundError:  # another process removes the same tree
            continue
        try:
            _clear(fd, top, mark, waiting)
        finally:
            os.close(fd)
        with suppress(FileNotFoundError):
            os.rmdir(name, dir_fd=top)


def _clear(fd: int, top: int, mark: str, waiting: list[str]) -> None:
    """Unlink the files of a directory, and move its directories to the top to wait for their turn."""
    with os.scandir(fd) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_directory in found:
        with suppress(FileNotFoundError):
            if not is_directory:
                os.unlink(name, dir_fd=fd)
            elif fd == top:
                waiting.append(name)
            elif _remove_empty(name, fd):
                continue
            else:
                new = f"{mark}{len(waiting)}-{os.urandom(4).hex()}"
                _move(name, new, fd, top)
                waiting.append(new)


def _remove_empty(name: str, parent: int) -> bool:
    """Remove a directory, unless something is in it, or its parent cannot be written."""
    try:
        os.rmdir(name, dir_fd=parent)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _move(name: str, new: str, fd: int, top: int) -> None:
    try:
        os.rename(name, new, src_dir_fd=fd, dst_dir_fd=top)
    except PermissionError:  # its ".." cannot be written
        os.chmod(name, 0o700, dir_fd=fd)
        os.rename(name, new, src_dir_fd=fd, dst_dir_fd=top)
