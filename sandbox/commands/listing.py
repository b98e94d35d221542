"""`sandbox ps`, `logs` and `inspect`: what there is, what it says, and all that is known of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.commands.output import say_each, say_line
from sandbox.contexts import suppress
from sandbox.errors import NotFound, SandboxError
from sandbox.parsing import Parser, new_parser

if TYPE_CHECKING:
    from sandbox.state import Document, Store

DIGITS = 18  # of a number of lines
__all__ = ["inspect", "inspect_parser", "logs", "logs_parser", "ps", "ps_parser"]


def ps_parser() -> Parser:
    """Return the parser of `sandbox ps`."""
    parser = new_parser("ps", "[OPTIONS]", "List containers; cleans up after launchers that were killed.")
    add = parser.add_argument
    add("-a", "--all", action="store_true", help="also those that do not run")
    add("-q", "--quiet", action="store_true", help="only their ids")
    add("-n", "--last", type=int, default=-1, metavar="N", help="the last N that were made, running or not")
    add("-l", "--latest", action="store_true", help="the last that was made, running or not")
    filters = "status, name, id, label, exited, health, ancestor, before, since, volume, network, publish, expose"
    add("-f", "--filter", action="append", default=[], metavar="KEY=VALUE", help=filters)
    add("--format", default="", metavar="TEMPLATE", help="such as '{{.Names}} {{.Status}}', 'table {{.ID}}', json")
    add("-s", "--size", action="store_true", help="also what each has written, and that with its image")
    add("--no-trunc", action="store_true", help="whole ids and commands")
    return parser


def ps(words: list[str], store: Store) -> int:
    """List containers."""
    parser = ps_parser()
    arguments = parser.parse_args(words)
    import time  # noqa: PLC0415

    from sandbox import ps  # noqa: PLC0415
    from sandbox.reconcile import reconcile  # noqa: PLC0415

    last = 1 if arguments.latest else arguments.last
    shown = ps.choose(reconcile(store), [_by_id(store, text) for text in arguments.filter])
    everything = last >= 0 or any(text.startswith(("status=", "exited=")) for text in arguments.filter)
    if not (arguments.all or everything):
        shown = [text for text in shown if text["State"]["Running"]]
    shown = shown[:last] if last > 0 else shown
    usual = ps.DEFAULT_FORMAT + ("\t{{.Size}}" if arguments.size else "")
    template = arguments.format or ("{{.ID}}" if arguments.quiet else usual)
    template = usual if template == "table" else template

    def size(text: Document) -> str:
        from sandbox import sizes  # noqa: PLC0415  rare

        return sizes.shown(*sizes.of_container(store, text))

    if text := ps.listing(shown, template, time.time(), whole=arguments.no_trunc, size=size):
        say_line(text)
    return 0


def _by_id(store: Store, wanted: str) -> str:
    """Return a filter by the image with its id, whichever name or beginning of the id was given."""
    key, _, image = wanted.partition("=")
    if key != "ancestor":
        return wanted
    from sandbox.images.usage import open_images  # noqa: PLC0415  rare

    with suppress(SandboxError):
        return f"ancestor=sha256:{open_images(store).find(image).id}"
    return wanted  # it has lost its name since


def logs_parser() -> Parser:
    """Return the parser of `sandbox logs`."""
    parser = new_parser("logs", "[OPTIONS] CONTAINER", "Show what a container has said.")
    add = parser.add_argument
    add("-f", "--follow", action="store_true", help="go on until it ends")
    add("-n", "--tail", default="all", metavar="N", help="only the last N lines")
    add("-t", "--timestamps", action="store_true", help="with the time of each line")
    add("--details", action="store_true", help="with the labels and variables that --log-opt labels= and env= name")
    add("--since", default="", metavar="TIME", help="from then on: a date, seconds since 1970, or 10m ago")
    add("--until", default="", metavar="TIME", help="until then")
    add("container")
    return parser


def logs(words: list[str], store: Store) -> int:
    """Show what a container has said."""
    parser = logs_parser()
    arguments = parser.parse_args(words)
    digits = arguments.tail.lstrip("-")
    if arguments.tail != "all" and not (digits.isdecimal() and len(digits) <= DIGITS):
        parser.error(f"--tail: invalid number of lines: {arguments.tail!r}")
    import time  # noqa: PLC0415

    from sandbox import logs  # noqa: PLC0415
    from sandbox.times import moment  # noqa: PLC0415

    now = time.time()
    shown = logs.Shown(
        follow=arguments.follow,
        tail=None if arguments.tail == "all" or arguments.tail.startswith("-") else int(arguments.tail),
        timestamps=arguments.timestamps,
        details=arguments.details,
        since=moment(arguments.since, now, "--since") if arguments.since else 0.0,
        until=moment(arguments.until, now, "--until") if arguments.until else None,
    )
    return logs.show(store, arguments.container, shown)


def _container(store: Store, name: str) -> Document:
    from sandbox.inspected import inspected  # noqa: PLC0415

    return inspected(store.find(name))


def _image(store: Store, name: str) -> Document:
    from sandbox.commands.images import document_of  # noqa: PLC0415

    return document_of(store, name)


def _network(store: Store, name: str) -> Document:
    from sandbox.network import manage  # noqa: PLC0415

    return manage.inspect(store, name)


def _volume(store: Store, name: str) -> Document:
    from sandbox.volumes.store import Volumes  # noqa: PLC0415

    return Volumes(store.root).document(name)


FINDERS = {"container": _container, "image": _image, "network": _network, "volume": _volume}


def _object(store: Store, name: str, kind: str, *, sized: bool) -> Document:
    """Return what is known of the first thing of that name, of any kind or the one that is asked for."""
    for each in (kind,) if kind else FINDERS:
        try:
            found = FINDERS[each](store, name)
        except NotFound:
            if kind:
                raise
            continue
        if sized and each == "container":
            from sandbox import sizes  # noqa: PLC0415  rare

            found |= dict(zip(("SizeRw", "SizeRootFs"), sizes.of_container(store, found), strict=True))
        return found
    raise NotFound(f"no such object: {name}")


def inspect_parser() -> Parser:
    """Return the parser of `sandbox inspect`."""
    text = "Show all that is known of containers, images, networks and volumes, as JSON."
    parser = new_parser("inspect", "[OPTIONS] CONTAINER|IMAGE|NETWORK|VOLUME...", text)
    parser.add_argument("-f", "--format", default="", help="such as '{{.State.Pid}}' or '{{json .Config}}'")
    parser.add_argument("-s", "--size", action="store_true", help="of containers also what they have written")
    parser.add_argument("--type", default="", choices=["", *FINDERS], metavar="KIND", help=", ".join(FINDERS))
    parser.add_argument("names", nargs="+", metavar="CONTAINER")
    return parser


def inspect(words: list[str], store: Store) -> int:
    """Show all that is known of what has a name."""
    parser = inspect_parser()
    arguments = parser.parse_args(words)
    from sandbox.reconcile import reconcile  # noqa: PLC0415

    reconcile(store)
    kind, sized = arguments.type, arguments.size
    return say_each(arguments.names, lambda name: _object(store, name, kind, sized=sized), arguments.format)
