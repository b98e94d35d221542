"""`sandbox update`: other limits, and another policy of restarts, for containers, running or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.commands.limit_options import add_changeable, limit_values
from sandbox.commands.output import each, ending_with_one
from sandbox.errors import SandboxError
from sandbox.parsing import Parser, new_parser
from sandbox.restart import parse

if TYPE_CHECKING:
    from sandbox.full_parsing import FullParser
    from sandbox.state import Store

__all__ = ["update", "update_parser"]


def update_parser() -> Parser:
    """Return the parser of `sandbox update`."""
    text = "Change the limits of containers, and when they are started again: now if they run, and later."
    parser = new_parser("update", "[OPTIONS] CONTAINER...", text)
    add_changeable(parser)
    policies = "when it is started again: no, on-failure[:N], always, unless-stopped"
    parser.add_argument("--restart", default="", metavar="POLICY", help=policies)
    parser.add_rare = _refuse_others
    parser.add_argument("containers", nargs="+", metavar="CONTAINER")
    return parser


def _refuse_others(parser: FullParser) -> None:
    from sandbox.commands.rare_options import REFUSED, refuse  # noqa: PLC0415

    refuse(parser, {name: REFUSED[name] for name in ("--cpu-rt-period", "--cpu-rt-runtime", "--kernel-memory")})


def update(words: list[str], store: Store) -> int:
    """Change containers."""
    arguments = update_parser().parse_args(words)
    restart = None
    with ending_with_one():
        given = limit_values(arguments)
        if arguments.restart:
            restart = dict(zip(("restart", "most_restarts"), parse(arguments.restart), strict=True))
    if not (given or restart):
        raise SandboxError("you must provide one or more flags when using this command (see sandbox update --help)", 1)
    from sandbox.updating import update as change  # noqa: PLC0415

    def action(name: str) -> None:
        with ending_with_one():
            change(store, name, given, restart)

    return each(arguments.containers, action)
