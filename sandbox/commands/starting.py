"""`sandbox create` and `start`: a container is made in one step and started in another, as often as one likes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.commands.output import each, say_line
from sandbox.commands.running import add_container_options, prepare_from
from sandbox.parsing import Parser, new_parser, parse_up_to_program

if TYPE_CHECKING:
    from sandbox.state import Store

__all__ = ["create", "create_parser", "start", "start_parser"]


def create_parser() -> Parser:
    """Return the parser of `sandbox create`."""
    usage = "[OPTIONS] --rootfs DIR [--] COMMAND [ARG...]"
    parser = new_parser("create", usage, "Make a container and start nothing; prints its id.")
    add_container_options(parser)
    parser.set_defaults(detach=True)
    return parser


def create(words: list[str], store: Store) -> int:
    """Make a container and start nothing."""
    parser = create_parser()
    arguments = parse_up_to_program(parser, words, "command")
    from sandbox import container  # noqa: PLC0415

    prepared = prepare_from(arguments, parser, store)
    say_line(prepared.describe() if arguments.dry_run else container.create(prepared, store))
    return 0


def start_parser() -> Parser:
    """Return the parser of `sandbox start`."""
    parser = new_parser("start", "CONTAINER...", "Start containers that were created or have ended.")
    parser.add_argument("containers", nargs="+", metavar="CONTAINER")
    return parser


def start(words: list[str], store: Store) -> int:
    """Start containers that were created or have ended."""
    parser = start_parser()
    arguments = parser.parse_args(words)
    from sandbox import container  # noqa: PLC0415
    from sandbox.reconcile import reconcile  # noqa: PLC0415

    reconcile(store)
    return each(arguments.containers, lambda name: container.start(store, name))
