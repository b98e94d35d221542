"""A container's network, from its start to its end; what only those with a link of their own need is in attach.py.

    begin()       before anything is started: ports bound, an address leased
    .write()      before whoever binds its files goes on: its hosts and resolv.conf
    .join(pid)    the first process exists and waits: it is connected
    .settings()   what `inspect` tells
    .handed()     what its monitor serves: proxy.py
    release()     when the container has ended, or whoever looked after it was killed
A container may be started again: each time from the beginning.
"""

from __future__ import annotations

import os

from sandbox.attributes import domain
from sandbox.contexts import suppress
from sandbox.network.document import unconnected
from sandbox.network.settings import Network

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sandbox.rootfs import Layout
    from sandbox.sharing import Joined
    from sandbox.spec import Spec
    from sandbox.state import Document, Store

__all__ = ["Connection", "begin", "release", "rename", "sweep"]


class Connection:
    """The network of a container that has no link of its own: none, the host's, or another container's."""

    def __init__(self, network: Network, shared: tuple[Joined, ...] = ()) -> None:
        self.network, self.shared = network, shared

    def write(self) -> None:
        """Write the container's hosts and resolv.conf, where that is not done already."""

    def join(self, pid: int) -> None:
        """Connect the network namespace of the container's first process."""

    def settings(self, pid: int) -> dict[str, Any]:
        """Return Docker's NetworkSettings of the container while it runs."""
        return unconnected(self.network, pid)

    def handed(self) -> dict[str, Any] | None:
        """Return what the proxy of the published ports needs, as JSON, if there are any: descriptors stay open."""
        return None

    def resolver(self) -> dict[str, Any] | None:
        """Return what the container's own resolver needs, as JSON, if it has one: descriptors stay open."""
        return None

    def started(self) -> None:
        """Give back what only the start needed."""
        for each in self.shared:
            with suppress(OSError):
                os.close(each.pidfd)

    def close(self) -> None:
        """Give up: nobody listens to the ports any more."""
        self.started()


class Unlinked(Connection):
    """The network of a container that has files of its own, but no link: none, or the host's."""

    def __init__(self, network: Network, layout: Layout, hostname: str) -> None:
        super().__init__(network)
        self._layout, self._hostname = layout, hostname

    def write(self) -> None:
        """Write the container's hosts and resolv.conf."""
        from sandbox.network import names  # noqa: PLC0415

        network, layout = self.network, self._layout
        if network.has_servers:
            names.write(layout.resolv_file, names.resolv_conf(names.read_resolvers(), network))
        if network.mode == "host":
            hosts = names.hosts(network.hosts, base=names.read_hosts())
        else:
            hosts = names.hosts(network.hosts, own=("127.0.1.1", names.called(self._hostname)))
        names.write(layout.hosts_file, hosts)


def begin(spec: Spec, text: Document, store: Store, layout: Layout) -> Connection:
    """Do what comes before anything of the container is started; hosts and resolv.conf are written here or by write().

    SandboxError: a port is in use, no such network, no free address, the other container does not run.
    """
    network = spec.network
    hostname = ".".join(filter(None, (spec.hostname, domain(spec.attributes))))
    if network.container:
        from sandbox.network.sharing import open_shared  # noqa: PLC0415

        return Connection(network, (open_shared(store, network.container, rootless=os.geteuid() != 0),))
    if network.has_link:
        from sandbox.network.attach import connect  # noqa: PLC0415
        from sandbox.network.members import Guest  # noqa: PLC0415

        return connect(store.root, Guest(text["Id"], text["Name"], hostname), network, layout)
    return Unlinked(network, layout, hostname)


def release(store: Store, text: Document) -> None:
    """Take a container off its network, if it is on one."""
    mode = str(text["HostConfig"]["NetworkMode"])
    if Network(mode).has_link:
        from sandbox.network import attach  # noqa: PLC0415

        attach.release(store.root, text["Id"])


def sweep(store: Store) -> None:
    """Take those off their networks that are no containers any more."""
    if os.path.isdir(f"{store.root}/networks"):
        from sandbox.network import attach  # noqa: PLC0415

        attach.sweep(store.root, frozenset(store.ids()))


def rename(store: Store, container: str, old: str, new: str) -> None:
    """Tell those on a network with a container that it has another name."""
    if os.path.isdir(f"{store.root}/networks"):
        from sandbox.network import members  # noqa: PLC0415
        from sandbox.network.registry import Networks  # noqa: PLC0415

        networks = Networks(store.root)
        with networks.lock():
            members.rename(networks, container, old, new)
