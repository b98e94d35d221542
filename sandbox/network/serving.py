"""What a monitor serves of its container's network, if anything: published ports, and the container's name server."""

from __future__ import annotations

__all__ = ["Served"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sandbox.loop import Loop


class Served:
    """Both, of what monitor.hand_over() left, for one run of a container; each is imported where there is one."""

    def __init__(self, loop: Loop, handed: dict[str, Any], root: str, container: str) -> None:
        self._proxy = self._resolver = None
        if handed["ports"] is not None:
            from sandbox.network.proxy import Proxy  # noqa: PLC0415

            self._proxy = Proxy(handed["ports"], loop)
        if handed["resolver"] is not None:
            from sandbox.network.resolver import Resolver  # noqa: PLC0415
            from sandbox.network.zone import Zone  # noqa: PLC0415

            self._resolver = Resolver(handed["resolver"], Zone(root, container), loop)

    def move(self, address: str) -> None:
        """Pass what comes to a published port from now on to another address."""
        if self._proxy is not None:
            self._proxy.move(address)

    def close(self) -> None:
        """End all of it."""
        for each in (self._proxy, self._resolver):
            if each is not None:
                each.close()
