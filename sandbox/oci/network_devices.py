"""`linux.netDevices`: interfaces of this machine that a container is given, with their addresses.

They go with its network namespace: at its end a physical one comes back here, and one that is made by the kernel is
gone (runtime-spec config-linux.md).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping

from sandbox import syscalls
from sandbox.errors import SandboxError, describe
from sandbox.network.netlink import Netlink, link_index, load_messages
from sandbox.oci.reader import Reader

__all__ = ["move", "parse"]

LONGEST_NAME = 15  # IFNAMSIZ, without its end


def parse(linux: Reader) -> dict[str, str]:
    """Return what each interface is called inside, by its name here."""
    given = linux.object("netDevices")
    found = {name: given.object(name).text("name") or name for name in given.value}
    for name in (*found, *found.values()):
        if not _is_name(name):
            raise given.wrong(name, f"{name!r} is no name of a network interface")
    if len(set(found.values())) < len(found):
        raise linux.wrong("netDevices", "gives one name to two interfaces")
    return found


def _is_name(name: str) -> bool:
    """Tell whether the kernel would take it, as it is (dev_valid_name; what has a % it would make a number of)."""
    short = 0 < len(os.fsencode(name)) <= LONGEST_NAME and name not in (".", "..")
    return short and not any(char in "/:%" or char.isspace() for char in name)


def move(devices: Mapping[str, str], namespace: str) -> None:
    """Give interfaces to a network namespace, a file of /proc, and set them up there; for a process of one thread."""
    if not devices:
        return
    load_messages()
    with open(namespace, "rb") as theirs, open("/proc/self/ns/net", "rb") as ours, Netlink() as here:
        with _entered(theirs.fileno(), ours.fileno()):
            taken = [new for new in devices.values() if link_index(new)]
        if taken:  # the kernel would give it under its old name, and then say so
            raise SandboxError(f"config.json: linux.netDevices: {taken[0]} exists in the container's network", 1)
        for name, new in devices.items():
            index = link_index(name)
            if not index:
                raise SandboxError(f"config.json: linux.netDevices.{name}: no such network interface here", 1)
            try:
                addresses = here.lasting_addresses(index)  # the kernel takes them from it
                here.move_link(f"give it to the container as {new}", index, new, theirs.fileno())
                with _entered(theirs.fileno(), ours.fileno()):
                    _set_up(new, addresses)
            except OSError as error:
                raise SandboxError(f"config.json: linux.netDevices.{name}: {describe(error)}", 1) from None


@contextlib.contextmanager
def _entered(namespace: int, ours: int) -> Iterator[None]:
    syscalls.setns(namespace, syscalls.CLONE_NEWNET)
    try:
        yield
    finally:
        syscalls.setns(ours, syscalls.CLONE_NEWNET)


def _set_up(name: str, addresses: list[tuple[str, int]]) -> None:
    with Netlink() as inside:
        index = link_index(name)
        for address, prefix in addresses:
            inside.add_address(f"address {address}", index, address, prefix)
        inside.change_link("set it up", index)
