"""Packs files in a child of ours: who has entered a container's user namespace cannot reach the host's files any more.

Inside, files have the owners that the container's users know them by.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import NoReturn

from sandbox import channel, namespaces
from sandbox.errors import SandboxError
from sandbox.pack import CHUNK, pack, write_to

__all__ = ["pack_apart"]


def pack_apart(fd: int, name: str, *, users: int, mounts: bool = True) -> Iterator[bytes]:
    """Pack as pack() does, in a child, as root of the user namespace `users`, -1 for ours.

    What stops it is raised at the end.
    """
    ours, its = channel.pair()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        ours.close()
        os.close(reading)
        _be_packer(its, writing, fd, name, users=users, mounts=mounts)
    its.close()
    os.close(writing)
    return _read(reading, ours, child)


def _be_packer(its: channel.Channel, writing: int, fd: int, name: str, *, users: int, mounts: bool) -> NoReturn:
    try:
        if users >= 0:
            namespaces.become_its_root(users)
        write_to(writing, pack(fd, name, mounts=mounts))
    except BaseException as error:  # noqa: BLE001  the parent raises it
        its.send_error(error)
    os._exit(0)


def _read(reading: int, ours: channel.Channel, child: int) -> Iterator[bytes]:
    try:
        while data := os.read(reading, CHUNK):
            yield data
        ours.expect_end()
    finally:
        os.close(reading)
        ours.close()
        _, status = os.waitpid(child, 0)
    if status:  # killed, so it could not say what stopped it: what was read is no whole archive
        raise SandboxError(f"packing was cut off: {signal.strsignal(os.WTERMSIG(status))}")
