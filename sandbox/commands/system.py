"""`sandbox system`: what images, containers and volumes take on the disk, and an end of what nobody uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.commands.output import ending_with_one, say_line, say_rows
from sandbox.errors import SandboxError
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
WARNING = (
    "WARNING! This will remove all containers that do not run, networks that no container is on, images without "
    "a container{}{}.\nAre you sure you want to continue? [y/N] "
)


def system_parser() -> FullParser:
    """Return the parser of `sandbox system`."""
    from sandbox.commands.rare_options import refuse  # noqa: PLC0415
    from sandbox.full_parsing import new_full_parser  # noqa: PLC0415

    parser = new_full_parser("system", "COMMAND ...", "See what all of it takes, and free what nobody uses.")
    commands = parser.add_subparsers(dest="action", required=True, metavar="COMMAND", prog="sandbox system")
    usage = commands.add_parser("df", help="show what images, containers and volumes take on the disk")
    usage.add_argument("--format", default="", metavar="TEMPLATE", help="such as '{{.Type}} {{.Size}}', json")
    usage.add_argument("-v", "--verbose", action="store_true", help="one by one")
    prune = commands.add_parser("prune", help="remove containers, networks and images that nobody uses")
    prune.add_argument("-f", "--force", action="store_true", help="do not ask")
    prune.add_argument("-a", "--all", action="store_true", help="images with a name too, if they have no container")
    refuse(prune, {"--filter": "each kind has its own: prune, image prune, network prune, volume prune"})
    prune.add_argument("--volumes", action="store_true", help="and the volumes without a name that nobody uses")
    return parser


def system(words: list[str], store: Store) -> int:
    """Show what there is, or remove what nobody uses."""
    if words[:1] in (["info"], ["events"]):  # Docker's longer form
        from sandbox.commands import about, watching  # noqa: PLC0415

        return about.info(words[1:], store) if words[0] == "info" else watching.events(words[1:], store)
    arguments = system_parser().parse_args(words, Arguments())
    with ending_with_one():
        return _usage(arguments, store) if arguments.action == "df" else _prune(arguments, store)


def _usage(arguments: Arguments, store: Store) -> int:
    from sandbox import sizes  # noqa: PLC0415
    from sandbox.reconcile import reconcile  # noqa: PLC0415

    if not arguments.verbose:
        usages = sizes.usages(store, reconcile(store))
        say_rows([usage.columns() for usage in usages], arguments.format, TITLES, DEFAULT_FORMAT)
        return 0
    if arguments.format:
        raise SandboxError("--format and --verbose do not go together")
    from sandbox import size_tables  # noqa: PLC0415

    say_line("\n\n".join(f"{title}\n\n{text}" for title, text in size_tables.tables(store, reconcile(store))))
    return 0


def _prune(arguments: Arguments, store: Store) -> int:
    from sandbox import upkeep  # noqa: PLC0415
    from sandbox.images.usage import open_images, prune_images  # noqa: PLC0415
    from sandbox.network import manage  # noqa: PLC0415
    from sandbox.volumes.store import Volumes  # noqa: PLC0415

    names = "" if arguments.all else " or a name"
    volumes = ", and volumes without a name" if arguments.volumes else ""
    if not (arguments.force or upkeep.ask(WARNING.format(names, volumes))):
        return 0
    say_line(upkeep.prune(store, upkeep.candidates(store, [])))
    removed = {"Networks": manage.prune(store)}
    if arguments.volumes:
        removed["Volumes"] = Volumes(store.root).prune(store, named=False)
    for kind, gone in removed.items():
        if gone:
            say_line("\n".join([f"Deleted {kind}:", *gone]))
    for line in prune_images(open_images(store), store, named=arguments.all):
        say_line(line)
    return 0
