"""The options of a container's network, Docker's, and `--net-rate`."""

from __future__ import annotations

from collections.abc import Sequence

from sandbox.network.ports import parse_exposed, parse_ports
from sandbox.network.settings import DEFAULT, Endpoint, Network, parse_host, parse_rate
from sandbox.parsing import Arguments, Parser

TYPE_CHECKING = False  # importing typing for it would cost a start a millisecond
if TYPE_CHECKING:
    from sandbox.full_parsing import FullParser

__all__ = ["add_endpoint_options", "add_network_options", "network_of"]


def add_network_options(parser: Parser) -> None:
    """Add what `run` and `create` may be told of a container's network."""
    add = parser.add_argument
    modes = "none (loopback only, the default), host, container:NAME, bridge (the default with -p, -P, --net-rate and "
    modes += "--mac-address), or networks of `sandbox network create`, of which there may be several"
    add("--net", "--network", action="append", default=[], metavar="NETWORK", help=modes)
    ports = "reach a port of the container at one of this machine"
    add("-p", "--publish", action="append", default=[], metavar="[IP:]HOST:CTR[/udp]", help=ports)
    add("-P", "--publish-all", action="store_true", help="publish every exposed port, at ports that are free")
    add("--expose", action="append", default=[], metavar="PORT[/udp]", help="a port that the program listens on")
    add("--dns", action="append", default=[], metavar="IP", help="a name server, in place of this machine's")
    add("--dns-search", action="append", default=[], metavar="DOMAIN", help="a search domain; `.` is none")
    add("--add-host", action="append", default=[], metavar="NAME:IP", help="a line for /etc/hosts")
    add("--mac-address", default="", metavar="MAC", help="hardware address of eth0")
    add_endpoint_options(parser, "--network-alias")
    add("--net-rate", default="", metavar="RATE", help="how fast it may send and receive, such as 10mbit")


def add_endpoint_options(parser: Parser | FullParser, alias: str) -> None:
    """Add what may be asked for on a network that was created."""
    add = parser.add_argument
    add("--ip", default="", metavar="IP", help="its address, on a network that was created")
    add("--ip6", default="", metavar="IP", help="its IPv6 address, on one with --ipv6")
    add(alias, dest="aliases", action="append", default=[], metavar="NAME", help="one more name on such a network")


def network_of(arguments: Arguments, image_ports: Sequence[str] = ()) -> Network:
    """Return the network that the options describe; on one of its own an image's ports are exposed too.

    An address, a hardware address and aliases are for the first of several networks, as with Docker.

    Docker's default is bridge. Here it is none until something asks for more: a start that touches nothing of the
    machine's network is the safer and the faster one.
    """
    wants_link = arguments.publish or arguments.publish_all or arguments.net_rate or arguments.mac_address
    given = arguments.net or [DEFAULT if wants_link else "none"]
    mode, *others = (DEFAULT if each == "default" else each for each in given)
    own = not mode.startswith("container:") and mode != "host"
    mac = arguments.mac_address.lower().replace("-", ":")
    endpoint = Endpoint(mode, arguments.ip, arguments.ip6, mac, tuple(arguments.aliases))
    has_endpoint = others or Network(mode).has_link or endpoint != Endpoint(mode)
    return Network(
        mode=mode,
        endpoints=(endpoint, *map(Endpoint, others)) if has_endpoint else (),
        ports=parse_ports(arguments.publish),
        exposed=parse_exposed([*arguments.expose, *(image_ports if own else ())]),
        publish_all=arguments.publish_all,
        dns=tuple(arguments.dns),
        dns_search=tuple(arguments.dns_search),
        hosts=tuple(map(parse_host, arguments.add_host)),
        rate_bits=parse_rate(arguments.net_rate) if arguments.net_rate else 0,
    )
