"""Fills what is mounted from what the container's root has at its place: a new volume, a filesystem in memory."""

from __future__ import annotations

import fcntl
import os

from sandbox.inroot import in_root_open
from sandbox.pack import Stream, pack
from sandbox.privileges import setgroups_denied
from sandbox.unpack import Rules, unpack

__all__ = ["copy_up", "fill"]

FIRST_USER_NAMESPACE = 0xEFFFFFFD  # PROC_USER_INIT_INO


def fill(root: int, target: str, volume: str) -> None:
    """Copy the directory `target` of the root, if there is one, into the directory `volume`, if that is empty."""
    try:
        source = in_root_open(root, target, os.O_PATH | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        fd = os.open(volume, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)  # two containers may be starting with it
            if not os.listdir(fd):
                _copy(source, fd)
        finally:
            os.close(fd)
    finally:
        os.close(source)


def copy_up(source: int, root: int, target: str) -> None:
    """Copy a directory into what has just been mounted over it, at `target` of the root."""
    fd = in_root_open(root, target, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _copy(source, fd)
    finally:
        os.close(fd)


def _copy(source: int, fd: int) -> None:
    devices = os.stat("/proc/self/ns/user").st_ino == FIRST_USER_NAMESPACE
    unpack(Stream(pack(source, ".")), fd, Rules(devices=devices, rootless=setgroups_denied()))
