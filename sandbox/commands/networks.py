"""`sandbox network` and `port`: the networks that there are, and where a container's ports are published."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sandbox.commands.network_options import add_endpoint_options
from sandbox.commands.output import each, ending_with_one, say_each, say_line
from sandbox.errors import BadValue, NotFound, SandboxError
from sandbox.parsing import Arguments, Parser, new_parser

if TYPE_CHECKING:
    from sandbox.full_parsing import FullParser
    from sandbox.state import Store

__all__ = ["network", "network_parser", "port", "port_parser"]

SWARM = "there is no swarm: a network is of this machine alone"
NOT_FOR_ONE = {
    "--ipv4": "every network has IPv4, and --ipv6 adds IPv6",
    "--config-from": SWARM,
    "--config-only": SWARM,
    "--ingress": SWARM,
    "--ipam-opt": "there is none",
}
ALIASES = {"list": "ls", "remove": "rm"}


def network_parser() -> FullParser:
    """Return the parser of `sandbox network`."""
    from sandbox.commands.rare_options import LINKS, REFUSED, refuse  # noqa: PLC0415
    from sandbox.full_parsing import new_full_parser  # noqa: PLC0415

    text = "Make, list, show and remove networks, and bring containers onto them."
    parser = new_full_parser("network", "COMMAND ...", text)
    commands = parser.add_subparsers(dest="action", required=True, metavar="COMMAND", prog="sandbox network")
    _add_create(commands.add_parser("create", help="make a network of its own subnet, and print its id"))
    listing = commands.add_parser("ls", aliases=["list"], help="list networks")
    listing.add_argument("-q", "--quiet", action="store_true", help="only ids")
    listing.add_argument("--no-trunc", action="store_true", help="whole ids")
    filters = "name=TEXT, id=ID, driver=NAME, type=custom|builtin, label=K[=V]"
    listing.add_argument("-f", "--filter", action="append", default=[], metavar="K=V", help=filters)
    listing.add_argument("--format", default="", metavar="TEMPLATE", help="such as '{{.Name}}'")
    inspect = commands.add_parser("inspect", help="show all that is known of networks, as JSON")
    inspect.add_argument("-f", "--format", default="", metavar="TEMPLATE", help="such as '{{.Id}}'")
    inspect.add_argument("-v", "--verbose", action="store_true", help="all that is known, as always")
    inspect.add_argument("networks", nargs="+", metavar="NETWORK")
    removal = commands.add_parser("rm", aliases=["remove"], help="remove networks that no container is on")
    removal.add_argument("-f", "--force", action="store_true", help="one that is not there is no error")
    removal.add_argument("networks", nargs="+", metavar="NETWORK")
    prune = commands.add_parser("prune", help="remove all networks that no container is on")
    prune.add_argument("-f", "--force", action="store_true", help="do not ask: we never do")
    prune.add_argument("--filter", action="append", default=[], metavar="K=V", help="label=K[=V], label!=K[=V]")
    joining = commands.add_parser("connect", help="bring a container onto one more network")
    add_endpoint_options(joining, "--alias")
    refuse(joining, {"--driver-opt": "there is none", "--link": LINKS, "--link-local-ip": REFUSED["--link-local-ip"],
        "--gw-priority": "its way out is over the first of its networks that has one"})  # fmt: skip
    leaving = commands.add_parser("disconnect", help="take a container off a network")
    leaving.add_argument("-f", "--force", action="store_true", help="one that is not on it is no error")
    for parser_of_both in (joining, leaving):
        parser_of_both.add_argument("network", metavar="NETWORK")
        parser_of_both.add_argument("container", metavar="CONTAINER")
    return parser


def _add_create(parser: FullParser) -> None:
    from sandbox.commands.rare_options import refuse  # noqa: PLC0415

    add = parser.add_argument
    add("-d", "--driver", default="bridge", metavar="KIND", help="the kind (bridge)")
    subnets = "such as 172.30.0.0/16, and with --ipv6 fd00:1::/64; those that are free otherwise"
    add("--subnet", action="append", default=[], metavar="SUBNET", help=subnets)
    add("--gateway", action="append", default=[], metavar="IP", help="the bridge's address; a subnet's first otherwise")
    add("--ip-range", default="", metavar="SUBNET", help="the part of the IPv4 subnet that addresses are given from")
    kept = "an address that is never given, such as router=172.30.0.9"
    add("--aux-address", action="append", default=[], metavar="NAME=IP", help=kept)
    add("--ipv6", action="store_true", help="with IPv6 beside IPv4")
    add("--internal", action="store_true", help="it leads nowhere else")
    add("-o", "--opt", action="append", default=[], metavar="K=V", help="com.docker.network.driver.mtu=N")
    add("--label", action="append", default=[], metavar="K[=V]", help="a label")
    add("--attachable", action="store_true", help="as all are")
    add("--scope", default="local", choices=("local",), help="local")
    add("--ipam-driver", default="default", choices=("default",), help="default")
    refuse(parser, NOT_FOR_ONE)
    add("name", metavar="NETWORK")


def network(words: list[str], store: Store) -> int:
    """Make, list, show and remove networks, and bring containers onto them."""
    arguments = network_parser().parse_args(words, Arguments())
    from sandbox.reconcile import reconcile  # noqa: PLC0415

    reconcile(store)
    actions = {
        "create": _create,
        "ls": _list,
        "inspect": _inspect,
        "rm": _remove,
        "prune": _prune,
        "connect": _connect,
        "disconnect": _disconnect,
    }
    return actions[ALIASES.get(arguments.action, arguments.action)](arguments, store)


def _create(arguments: Arguments, store: Store) -> int:
    from sandbox.lifecycle import pairs  # noqa: PLC0415
    from sandbox.network import manage  # noqa: PLC0415

    if os.geteuid() != 0:
        raise SandboxError("network create needs root: nothing could be connected to it", 1)
    with ending_with_one():
        if arguments.driver != "bridge":
            raise SandboxError(f"plugin {arguments.driver!r} not found: there is bridge alone")
        say_line(
            manage.create(
                store,
                arguments.name,
                subnets=arguments.subnet,
                gateways=arguments.gateway,
                ip_range=arguments.ip_range,
                reserved=arguments.aux_address,
                ipv6=arguments.ipv6,
                internal=arguments.internal,
                mtu=manage.parse_options(arguments.opt),
                labels=pairs(arguments.label, "label"),
            )
        )
    return 0


def _list(arguments: Arguments, store: Store) -> int:
    from sandbox.network import manage  # noqa: PLC0415

    text = manage.listing(
        store, arguments.filter, arguments.format, quiet=arguments.quiet, whole=arguments.no_trunc
    )
    if text:
        say_line(text)
    return 0


def _prune(arguments: Arguments, store: Store) -> int:
    from sandbox.filters import chooser  # noqa: PLC0415
    from sandbox.network import manage  # noqa: PLC0415

    with ending_with_one():
        removed = manage.prune(store, chooser(arguments.filter))
    if removed:
        say_line("\n".join(["Deleted Networks:", *removed]))
    return 0


def _connect(arguments: Arguments, store: Store) -> int:
    from sandbox.network import live  # noqa: PLC0415
    from sandbox.network.settings import Endpoint  # noqa: PLC0415

    with ending_with_one():
        aliases = tuple(arguments.aliases)
        endpoint = Endpoint(arguments.network, arguments.ip, arguments.ip6, aliases=aliases)
        live.connect(store, endpoint, arguments.container)
    return 0


def _disconnect(arguments: Arguments, store: Store) -> int:
    from sandbox.network import live  # noqa: PLC0415

    with ending_with_one():
        live.disconnect(store, arguments.network, arguments.container, force=arguments.force)
    return 0


def _remove(arguments: Arguments, store: Store) -> int:
    from sandbox.network import manage  # noqa: PLC0415

    def remove(name: str) -> None:
        try:
            manage.remove(store, name)
        except NotFound:
            if not arguments.force:
                raise

    return each(arguments.networks, remove)


def _inspect(arguments: Arguments, store: Store) -> int:
    from sandbox.network import manage  # noqa: PLC0415

    return say_each(arguments.networks, lambda name: manage.inspect(store, name), arguments.format)


def port_parser() -> Parser:
    """Return the parser of `sandbox port`."""
    parser = new_parser("port", "CONTAINER [PORT[/udp]]", "Show where the ports of a container are published.")
    parser.add_argument("container")
    parser.add_argument("port", nargs="?", default="", metavar="PORT")
    return parser


def port(words: list[str], store: Store) -> int:
    """Show where the ports of a container are published."""
    parser = port_parser()
    arguments = parser.parse_args(words)
    from sandbox.network.ports import lines, parse_exposed  # noqa: PLC0415
    from sandbox.reconcile import reconcile  # noqa: PLC0415

    reconcile(store)
    ports = store.find(arguments.container)["NetworkSettings"]["Ports"]
    if not arguments.port:
        for line in lines(ports):
            say_line(line)
        return 0
    with ending_with_one():
        try:
            (name,) = parse_exposed([arguments.port])[:1]
        except BadValue:
            raise SandboxError(f"invalid port ({arguments.port})") from None
    if not ports.get(name):
        raise SandboxError(f"No public port '{name}' published for {arguments.container}", 1)
    for line in lines({name: ports[name]}):
        say_line(line.partition(" -> ")[2])
    return 0
