"""What a container's resolver knows by itself: who is on its networks, as their files say (registry.py).

Read as plain JSON, and again when a file is another: this is part of a monitor, which is small.
"""

from __future__ import annotations

import json
import os
import socket

from sandbox.network.dns import AAAA, PTR, A, domain, reversed_address

__all__ = ["Zone"]

DEFAULT = "bridge"  # as in settings.py, which is too large for a monitor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Values = list[bytes]
    Stamp = tuple[tuple[str, int, int], ...]


class Zone:
    """The names that one container knows; `outward`: one of its networks leads beyond them."""

    def __init__(self, root: str, container: str) -> None:
        self._directory, self._container = f"{root}/networks", container
        self._stamp: Stamp = ()
        self.outward = False
        self._names: dict[str, dict[int, Values]] = {}
        self._owners: dict[bytes, str] = {}

    def find(self, name: str, kind: int) -> Values | None:
        """Return the values of a type that a name has here, perhaps none; None for a name that is not known here."""
        self._look()
        if kind == PTR:
            owner = self._owners.get(reversed_address(name))
            return None if owner is None else [found for found in (domain(owner),) if found]
        values = self._names.get(name)
        return None if values is None else values.get(kind, [])

    def _look(self) -> None:
        """Read the networks again if one has changed: each is replaced as a whole, so it is another file then.

        Where they cannot be read what was known last holds: nothing here may end the monitor.
        """
        try:
            with os.scandir(self._directory) as entries:
                found = [(each.name, each.stat()) for each in entries if each.name.endswith(".json")]
        except OSError:  # one was just removed, or too many files are open
            return
        if (now := tuple(sorted((name, file.st_ino, file.st_mtime_ns) for name, file in found))) != self._stamp:
            self._names, self._owners, self.outward = {}, {}, False
            for name, _, _ in now:
                self._read(f"{self._directory}/{name}")
            self._stamp = now

    def _read(self, path: str) -> None:
        try:
            with open(path, encoding="utf-8") as file:
                record = json.load(file)
        except (OSError, ValueError):
            return
        if self._container not in record["leases"]:
            return
        self.outward = self.outward or not record.get("internal", False)
        if record["name"] != DEFAULT:
            for lease in record["leases"].values():
                self._add(record["name"], lease)

    def _add(self, network: str, lease: dict[str, Any]) -> None:
        kinds = (("address", A, socket.AF_INET), ("address6", AAAA, socket.AF_INET6))
        packed = [(kind, socket.inet_pton(family, lease[key])) for key, kind, family in kinds if lease.get(key)]
        for name in lease.get("names", ()):
            for each in (name.lower(), f"{name}.{network}".lower()):
                for kind, address in packed:
                    self._names.setdefault(each, {}).setdefault(kind, []).append(address)
        if lease.get("names"):
            for _, address in packed:
                self._owners[address] = f"{lease['names'][0]}.{network}"
