"""`sandbox system df`: what images, containers and volumes take on the disk, and what of it could be freed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.commands.output import ending_with_one, say_rows
from sandbox.parsing import Arguments

if TYPE_CHECKING:
    from sandbox.full_parsing import FullParser
    from sandbox.state import Store

__all__ = ["system", "system_parser"]

TITLES = {
    "Type": "TYPE",
    "TotalCount": "TOTAL",
    "Active": "ACTIVE",
    "Size": "SIZE",
    "Reclaimable": "RECLAIMABLE",
}
DEFAULT_FORMAT = "table " + "\t".join(f"{{{{.{name}}}}}" for name in TITLES)


def system_parser() -> FullParser:
    """Return the parser of `sandbox system`."""
    from sandbox.full_parsing import new_full_parser  # noqa: PLC0415

    parser = new_full_parser("system", "COMMAND ...", "See what all of it takes.")
    commands = parser.add_subparsers(dest="action", required=True, metavar="COMMAND")
    usage = commands.add_parser("df", help="show what images, containers and volumes take on the disk")
    usage.add_argument("--format", default="", metavar="TEMPLATE", help="such as '{{.Type}} {{.Size}}', json")
    return parser


def system(words: list[str], store: Store) -> int:
    """Show what images, containers and volumes take on the disk."""
    arguments = system_parser().parse_args(words, Arguments())
    from sandbox import sizes  # noqa: PLC0415
    from sandbox.reconcile import reconcile  # noqa: PLC0415

    with ending_with_one():
        usages = sizes.usages(store, reconcile(store))
        say_rows([usage.columns() for usage in usages], arguments.format or DEFAULT_FORMAT, TITLES)
    return 0
