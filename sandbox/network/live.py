"""`sandbox network connect` and `disconnect`: onto a network and off it, running or not.

What is asked for is kept in the container's spec, so that its next start finds it. Published ports follow: the
monitor is told to look where its container is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from sandbox.attach import nudge
from sandbox.codec import decode, encode
from sandbox.errors import SandboxError
from sandbox.liveness import is_running
from sandbox.network import members, plumber
from sandbox.network.attach import default_mtu, tell
from sandbox.network.document import connected, unconnected
from sandbox.network.plan import links_of, plans
from sandbox.network.registry import Networks
from sandbox.network.settings import BUILT_IN, DEFAULT, Endpoint, Network
from sandbox.spec import Spec
from sandbox.value import replace

if TYPE_CHECKING:
    from sandbox.state import Document, Store

__all__ = ["connect", "disconnect"]

LAST_LINK = 99  # there is room for two digits: plan.links_of()


def connect(store: Store, endpoint: Endpoint, container: str) -> None:
    """Bring a container onto one more network."""
    networks = Networks(store.root)
    name = _name(networks, endpoint.network)
    with _changing(store, container) as (text, before):
        _check_joins(before, text["Name"])
        if any(each.network == name for each in before.endpoints):
            raise SandboxError(f"endpoint with name {text['Name']} already exists in network {name}", 1)
        network = replace(before, endpoints=(*before.endpoints, replace(endpoint, network=name)))
        with _namespace(text) as namespace:
            if namespace is not None:
                _join(networks, text, network, namespace)
            _record(networks, text, network)
    _tell(store, text, name, "connect")


def disconnect(store: Store, given: str, container: str, *, force: bool) -> None:
    """Take a container off a network, which may be gone; with `force` one that is not on it is no error."""
    networks = Networks(store.root)
    with _changing(store, container) as (text, before):
        known = {each.network for each in before.endpoints}
        known |= {each.record.name for each in members.members_of(networks, text["Id"])}  # a connect that was killed
        name = given if given in known else _name(networks, given)
        if name not in known:
            if force:
                return
            raise SandboxError(f"container {text['Name']} is not connected to network {name}", 1)
        network = replace(before, endpoints=tuple(each for each in before.endpoints if each.network != name))
        with _namespace(text) as namespace:
            if namespace is not None:
                _leave(networks, text["Id"], network, name, namespace)
            _record(networks, text, network)
    _tell(store, text, name, "disconnect")


def _name(networks: Networks, given: str) -> str:
    """Return the name of the network that is meant; `bridge` is there before anything is on it."""
    if given == DEFAULT:
        return given
    if given in BUILT_IN:
        raise SandboxError(f"container cannot be connected to or disconnected from the network {given}", 1)
    return networks.find(given).name


def _check_joins(network: Network, name: str) -> None:
    if network.mode == "none":
        raise SandboxError(
            f"container {name} was made with --net none, and cannot be connected: make it with --net NETWORK", 1
        )
    if not network.has_link:
        raise SandboxError(
            f"container {name} shares the network of {network.container[:12] or 'this machine'}, and cannot be "
            "connected to any other", 1
        )  # fmt: skip


@contextlib.contextmanager
def _changing(store: Store, name: str) -> Iterator[tuple[Document, Network]]:
    """Hold a container that is not just being started, and yield its document, to be changed, and its network."""
    with store.changing(store.find(name)["Id"]) as text:
        if text["Cgscope"]["Monitor"] is not None and not text["State"]["Running"]:
            raise SandboxError(f"container {name} is being started: try again", 1)
        yield text, decode(Spec, text["Cgscope"]["Spec"]).network


@contextlib.contextmanager
def _namespace(text: Document) -> Iterator[int | None]:
    """Hold the network namespace of a container, None when it does not run."""
    try:
        file = open(f"/proc/{text['State']['Pid']}/ns/net", "rb")  # noqa: SIM115  closed below
    except OSError:
        yield None
        return
    with file:
        # Opened first, and then looked whose it is.
        yield file.fileno() if is_running(text) else None


def _join(networks: Networks, text: Document, network: Network, namespace: int) -> None:
    """Connect a running container to the last of its networks."""
    guest = members.Guest(text["Id"], text["Name"], text["Config"]["Hostname"])
    endpoint = network.endpoints[-1]
    with networks.lock():
        # What a command that was killed has left of an earlier try.
        members.leave(networks, lambda key: key == guest.container, endpoint.network)
        before = members.members_of(networks, guest.container)
        number = _next_link([each.lease.link for each in before])
        member = members.join(networks, guest, endpoint, links_of(guest.container, number, rate=network.rate_bits > 0))
    begun = plumber.Plumber(plans([*before, member], network.rate_bits, default_mtu())[-1:], networks)
    try:
        begun.connect(text["State"]["Pid"], namespace)
    except BaseException:
        with networks.lock():
            members.leave(networks, lambda key: key == guest.container, endpoint.network)
        raise
    finally:
        begun.close()
    with networks.lock():
        members.tell(networks, member.record, also=[guest.container])


def _next_link(taken: Collection[str]) -> int:
    """Return the number of a new link: after all others, whose order is that of the networks, while there are any."""
    last = max((int(link.removeprefix("eth")) for link in taken), default=-1)
    return last + 1 if last < LAST_LINK else next(number for number in range(LAST_LINK) if f"eth{number}" not in taken)


def _leave(networks: Networks, container: str, network: Network, name: str, namespace: int) -> None:
    """Take a running container off a network; its way out is then over the first of the others."""
    with networks.lock():
        members.leave(networks, lambda key: key == container, name)
        members.tell(networks, also=[container])
        left = plans(members.members_of(networks, container), network.rate_bits, default_mtu())
    plumber.reroute(namespace, [gateway for each in left for gateway in each.inside.gateways])


def _record(networks: Networks, text: Document, network: Network) -> None:
    """Write into a container's document on which networks it is."""
    spec = decode(Spec, text["Cgscope"]["Spec"])
    text["Cgscope"]["Spec"] = encode(replace(spec, network=network))
    places = members.members_of(networks, text["Id"]) if text["State"]["Pid"] else []
    settings = text["NetworkSettings"]
    if places:
        text["NetworkSettings"] = connected(network, places, settings["Ports"], text["State"]["Pid"])
    else:
        blank = unconnected(network, text["State"]["Pid"])
        text["NetworkSettings"] = {**blank, "Ports": settings["Ports"]}


def _tell(store: Store, text: Document, name: str, action: str) -> None:
    nudge(store, text)
    record = Networks(store.root).load(name)
    if record is not None:
        tell(store.root, action, text["Id"], [record])
