"""`sandbox volume`: directories that outlive the containers they are mounted in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.commands.output import each, ending_with_one, say_each, say_line, say_rows
from sandbox.errors import SandboxError
from sandbox.parsing import Arguments

if TYPE_CHECKING:
    from sandbox.full_parsing import FullParser
    from sandbox.state import Store

__all__ = ["volume", "volume_parser"]


DIRECTORY = "a volume is a directory of ours: bind another one (-v DIR:DST), or use --tmpfs DST:size=64m"

CLUSTER = "there is no Swarm here, and no volume of a cluster"
OF_A_CLUSTER = ("--availability", "--group", "--limit-bytes", "--required-bytes", "--scope", "--secret", "--sharing",
                "--topology-preferred", "--topology-required", "--type")  # fmt: skip


def volume_parser() -> FullParser:
    """Return the parser of `sandbox volume`."""
    from sandbox.full_parsing import new_full_parser  # noqa: PLC0415

    parser = new_full_parser("volume", "COMMAND ...", "Make, list, show and remove volumes.")
    commands = parser.add_subparsers(dest="action", required=True, metavar="COMMAND", prog="sandbox volume")
    create = commands.add_parser("create", help="make a volume, and print its name")
    create.add_argument("--label", action="append", default=[], metavar="K[=V]", help="a label")
    create.add_argument("-d", "--driver", default="local", metavar="KIND", help="the kind (local)")
    create.refuse({"--opt": DIRECTORY, "-o": DIRECTORY, **dict.fromkeys(OF_A_CLUSTER, CLUSTER)})
    create.add_argument("--name", default="", dest="named", metavar="NAME", help="the same as NAME, as it was once")
    create.add_argument("name", nargs="?", default="", metavar="NAME")
    listing = commands.add_parser("ls", help="list volumes")
    listing.refuse({"--cluster": CLUSTER})
    listing.add_argument("-q", "--quiet", action="store_true", help="only their names")
    template = "such as '{{.Name}} {{.Mountpoint}}', json"
    listing.add_argument("--format", default="", metavar="TEMPLATE", help=template)
    filters = "dangling=true|false, driver=local, name=TEXT, label=K[=V]"
    listing.add_argument("-f", "--filter", action="append", default=[], metavar="K=V", help=filters)
    inspect = commands.add_parser("inspect", help="show all that is known of volumes, as JSON")
    inspect.add_argument("-f", "--format", default="", metavar="TEXT", help="such as '{{.Mountpoint}}'")
    inspect.add_argument("volumes", nargs="+", metavar="VOLUME")
    removal = commands.add_parser("rm", help="remove volumes that no container has")
    removal.add_argument("-f", "--force", action="store_true", help="one that is not there is no error")
    removal.add_argument("volumes", nargs="+", metavar="VOLUME")
    prune = commands.add_parser("prune", help="remove the volumes without a name that no container has")
    prune.add_argument("-a", "--all", action="store_true", help="those with a name too")
    prune.add_argument("-f", "--force", action="store_true", help="do not ask: we never do")
    prune.add_argument("--filter", action="append", default=[], metavar="K=V", help="label=K[=V], label!=K[=V]")
    return parser


def volume(words: list[str], store: Store) -> int:
    """Work with volumes."""
    arguments = volume_parser().parse_args(words, Arguments())
    actions = {"create": _create, "ls": _list, "inspect": _inspect, "rm": _remove, "prune": _prune}
    return actions[arguments.action](arguments, store)


def _create(arguments: Arguments, store: Store) -> int:
    import time  # noqa: PLC0415

    from sandbox.lifecycle import pairs  # noqa: PLC0415
    from sandbox.times import timestamp  # noqa: PLC0415
    from sandbox.volumes.store import Volumes  # noqa: PLC0415

    with ending_with_one():
        name = arguments.named or arguments.name
        if arguments.named and arguments.name:
            raise SandboxError("conflicting options: a name by --name, and another one")
        if arguments.driver != "local":
            raise SandboxError(f"create {name}: plugin {arguments.driver!r} not found: there is local alone")
        labels = dict(pairs(arguments.label, "label"))
        created = timestamp(time.time())
        say_line(Volumes(store.root).create(name, created, labels, anonymous=not name))
    return 0


def _list(arguments: Arguments, store: Store) -> int:
    from sandbox.filters import has_label, split_filter  # noqa: PLC0415
    from sandbox.volumes.store import Volumes, users_of  # noqa: PLC0415

    with ending_with_one():
        kept = Volumes(store.root)
        used = users_of(store)
        names = kept.names()
        for wanted in arguments.filter:
            key, value = split_filter(wanted, ("dangling", "driver", "name", "label"))
            if key == "dangling" and value in ("true", "false", "1", "0"):
                names = [name for name in names if (name not in used) == (value in ("true", "1"))]
            elif key == "driver":
                names = names if value == "local" else []
            elif key == "name":
                names = [name for name in names if value in name]
            elif key == "label":
                names = [name for name in names if has_label(kept.document(name)["Labels"] or {}, value)]
            else:
                raise SandboxError(f"invalid filter {wanted!r}", 1)
    if arguments.quiet and not arguments.format:
        for name in names:
            say_line(name)
    else:
        rows = [{"Driver": "local", "Name": name, "Mountpoint": kept.path(name), "Scope": "local"} for name in names]
        titles = {"Driver": "DRIVER", "Name": "VOLUME NAME", "Mountpoint": "MOUNTPOINT", "Scope": "SCOPE"}
        say_rows(rows, arguments.format, titles, "table {{.Driver}}\\t{{.Name}}")
    return 0


def _inspect(arguments: Arguments, store: Store) -> int:
    from sandbox.volumes.store import Volumes  # noqa: PLC0415

    with ending_with_one():
        return say_each(arguments.volumes, Volumes(store.root).document, arguments.format)


def _remove(arguments: Arguments, store: Store) -> int:
    from sandbox.volumes.store import NoSuchVolume, Volumes  # noqa: PLC0415

    def action(name: str) -> None:
        try:
            Volumes(store.root).remove(name, store)
        except NoSuchVolume:
            if not arguments.force:
                raise

    return each(arguments.volumes, action)


def _prune(arguments: Arguments, store: Store) -> int:
    from sandbox.filters import chooser  # noqa: PLC0415
    from sandbox.volumes.store import Volumes  # noqa: PLC0415

    with ending_with_one():
        chosen = chooser(arguments.filter)
        gone = Volumes(store.root).prune(store, named=arguments.all, chosen=lambda each: chosen(each["Labels"] or {}))
    for line in ["Deleted Volumes:", *gone] if gone else ["no volume is unused"]:
        say_line(line)
    return 0
