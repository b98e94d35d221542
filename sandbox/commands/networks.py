"""`sandbox network` and `port`: the networks that there are, and where a container's ports are published."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sandbox.commands.output import each, say_line
from sandbox.errors import SandboxError
from sandbox.parsing import Arguments, Parser, new_parser

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.full_parsing import FullParser
    from sandbox.state import Store

__all__ = ["network", "network_parser", "port", "port_parser"]

ACTIONS = """\
  create   make a network of its own subnet
  ls       list networks
  inspect  show all that is known of networks, as JSON
  rm       remove networks that no container is on
  prune    remove all such networks
"""


def network_parser() -> FullParser:
    """Return the parser of `sandbox network`."""
    usage = "create|ls|inspect|rm|prune [OPTIONS] [NETWORK...]"
    from argparse import RawDescriptionHelpFormatter  # noqa: PLC0415

    from sandbox.full_parsing import new_full_parser  # noqa: PLC0415

    parser = new_full_parser("network", usage, f"Networks of containers.\n\n{ACTIONS}")
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.add_argument("action", choices=["create", "ls", "list", "inspect", "rm", "remove", "prune"])
    parser.add_argument("networks", nargs="*", metavar="NETWORK")
    add = parser.add_argument
    add("-d", "--driver", default="bridge", choices=["bridge"], help="create: the kind (bridge)")
    add("--subnet", default="", metavar="SUBNET", help="create: such as 172.30.0.0/16; one that is free otherwise")
    add("--gateway", default="", metavar="IP", help="create: the bridge's address; the subnet's first otherwise")
    add("--internal", action="store_true", help="create: it leads nowhere else")
    add("-q", "--quiet", action="store_true", help="ls: only ids")
    add("--no-trunc", action="store_true", help="ls: whole ids")
    add("--format", default="", metavar="TEMPLATE", help="inspect: such as '{{.Id}}'")
    add("-f", "--force", action="store_true", help="rm, prune: no question and no error")
    return parser


def network(words: list[str], store: Store) -> int:
    """Make, list, show and remove networks."""
    parser = network_parser()
    arguments = parser.parse_intermixed_args(words, Arguments())
    from sandbox.network import manage  # noqa: PLC0415
    from sandbox.reconcile import reconcile  # noqa: PLC0415

    reconcile(store)
    action, names = arguments.action, arguments.networks
    if action in ("ls", "list", "prune") and names:
        parser.error(f"network {action} takes no name")
    if action == "create":
        if len(names) != 1:
            parser.error("network create needs one name")
        if os.geteuid() != 0:
            raise SandboxError("network create needs root: nothing could be connected to it", 1)
        say_line(
            manage.create(
                store, names[0], subnet=arguments.subnet, gateway=arguments.gateway, internal=arguments.internal
            )
        )
        return 0
    if action in ("ls", "list"):
        say_line(manage.listing(store, quiet=arguments.quiet, whole=arguments.no_trunc))
        return 0
    if action == "prune":
        for name in manage.prune(store):
            say_line(name)
        return 0
    if not names:
        parser.error(f"network {action} needs a name")
    if action == "inspect":
        return _inspect(store, names, arguments.format)
    return each(names, _remover(store, force=arguments.force))


def _remover(store: Store, *, force: bool) -> Callable[[str], None]:
    from sandbox.network import manage  # noqa: PLC0415

    def remove(name: str) -> None:
        try:
            manage.remove(store, name)
        except SandboxError as error:
            if not force or not str(error).endswith("not found"):
                raise

    return remove


def _inspect(store: Store, names: list[str], template: str) -> int:
    import json  # noqa: PLC0415

    from sandbox.commands.output import complain  # noqa: PLC0415
    from sandbox.document import render  # noqa: PLC0415
    from sandbox.network import manage  # noqa: PLC0415

    found, code = [], 0
    for name in names:
        try:
            found.append(manage.inspect(store, name))
        except SandboxError as error:
            complain(error)
            code = 1
    if template:
        for text in found:
            say_line(render(text, template))
    else:
        say_line(json.dumps(found, indent=4))
    return code


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
    (name,) = parse_exposed([arguments.port])[:1]
    if not ports.get(name):
        raise SandboxError(f"No public port '{name}' published for {arguments.container}", 1)
    for line in lines({name: ports[name]}):
        say_line(line.partition(" -> ")[2])
    return 0
