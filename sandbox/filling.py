"""Fills a new volume from what the container's root has at its place, as Docker does."""

from __future__ import annotations

import fcntl
import os

from sandbox.inroot import in_root_open
from sandbox.pack import Stream, pack
from sandbox.privileges import setgroups_denied
from sandbox.unpack import Rules, unpack

__all__ = ["fill"]

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
                devices = os.stat("/proc/self/ns/user").st_ino == FIRST_USER_NAMESPACE
                unpack(Stream(pack(source, ".")), fd, Rules(devices=devices, rootless=setgroups_denied()))
        finally:
            os.close(fd)
    finally:
        os.close(source)
