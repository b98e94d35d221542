"""`sandbox rename` and `prune`: another name, and no more containers that have ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.commands.output import ending_with_one, say_line
from sandbox.parsing import Parser, new_parser

if TYPE_CHECKING:
    from sandbox.state import Store

__all__ = ["prune", "prune_parser", "rename", "rename_parser"]

WARNING = """\
WARNING! This will remove all stopped containers.
Are you sure you want to continue? [y/N] """


def rename_parser() -> Parser:
    """Return the parser of `sandbox rename`."""
    parser = new_parser("rename", "CONTAINER NEW_NAME", "Give a container another name.")
    parser.add_argument("container")
    parser.add_argument("name", metavar="NEW_NAME")
    return parser


def rename(words: list[str], store: Store) -> int:
    """Give a container another name."""
    parser = rename_parser()
    arguments = parser.parse_args(words)
    from sandbox import upkeep  # noqa: PLC0415

    with ending_with_one():
        upkeep.rename(store, arguments.container, arguments.name)
    return 0


def prune_parser() -> Parser:
    """Return the parser of `sandbox prune`."""
    parser = new_parser("prune", "[-f] [--filter KEY=VALUE]", "Remove all containers that do not run.")
    parser.add_argument("-f", "--force", action="store_true", help="do not ask")
    filters = "until=TIME (made before), label=K[=V], label!=K[=V]"
    parser.add_argument("--filter", action="append", default=[], metavar="KEY=VALUE", help=filters)
    return parser


def prune(words: list[str], store: Store) -> int:
    """Remove all containers that do not run."""
    parser = prune_parser()
    arguments = parser.parse_args(words)
    from sandbox import upkeep  # noqa: PLC0415

    with ending_with_one():
        doomed = upkeep.candidates(store, arguments.filter)
        if arguments.force or upkeep.ask(WARNING):
            say_line(upkeep.prune(store, doomed))
    return 0
