"""The verbs for images that are here: `images`, `image`, `history`, `tag`, `rmi`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.commands.output import complain, each, ending_with_one, say_each, say_line, say_rows
from sandbox.errors import NotFound
from sandbox.parsing import Arguments, Parser, new_parser

if TYPE_CHECKING:
    from typing import Any, TypeVar

    from sandbox.full_parsing import FullParser
    from sandbox.state import Store

    AnyParser = TypeVar("AnyParser", Parser, FullParser)

__all__ = [
    "history",
    "history_parser",
    "image",
    "image_parser",
    "images",
    "images_parser",
    "rmi",
    "rmi_parser",
    "tag",
    "tag_parser",
]


ONE_PLATFORM = "an image here is of one platform"


def images_parser() -> Parser:
    """Return the parser of `sandbox images`."""
    parser = new_parser("images", "[OPTIONS] [NAME[:TAG]]", "List images.")
    return _add_listing(parser)


def _add_listing(parser: AnyParser) -> AnyParser:
    parser.add_argument("-a", "--all", action="store_true", help="all of them, as without it")
    parser.add_argument("-q", "--quiet", action="store_true", help="only their ids")
    parser.add_argument("--no-trunc", action="store_true", help="whole ids")
    parser.add_argument("--digests", action="store_true", help="also those of registries: none, as there is none here")
    filters = "dangling=true|false, label=K[=V], before=IMAGE, since=IMAGE, reference=PATTERN"
    parser.add_argument("-f", "--filter", action="append", default=[], metavar="KEY=VALUE", help=filters)
    parser.add_argument("--format", default="", metavar="TEMPLATE", help="such as '{{.Repository}}:{{.Tag}}', json")
    parser.refuse({"--tree": ONE_PLATFORM})
    parser.add_argument("name", nargs="?", default="", metavar="NAME")
    return parser


def images(words: list[str], store: Store) -> int:
    """List images."""
    return _list(images_parser().parse_args(words), store)


def _list(arguments: Arguments, store: Store) -> int:
    import time  # noqa: PLC0415

    from sandbox.images import listing  # noqa: PLC0415
    from sandbox.images.reference import split  # noqa: PLC0415
    from sandbox.images.usage import open_images  # noqa: PLC0415

    with ending_with_one():
        kept = open_images(store)
        asked, filters, shown = arguments.name, arguments.filter, []
        if any(letter in asked for letter in "*?["):
            asked, filters = "", [*filters, f"reference={asked}"]
        wanted, tag_wanted = split(asked)
        for found in listing.choose(kept.all(), filters, kept.find):
            names = [name for name in found.names if split(name)[0] == wanted and tag_wanted in ("", split(name)[1])]
            if names or not asked:
                shown.append(found._replace(names=tuple(names) if asked else found.names))
        sizes = {found.id: sum(kept.layer(layer).size for layer in found.layers) for found in shown}
        rows = listing.image_rows(shown, sizes, time.time(), whole=arguments.no_trunc)
    usual = listing.DEFAULT_FORMAT
    usual = usual.replace("{{.ID}}", "{{.Digest}}\t{{.ID}}") if arguments.digests else usual
    template = arguments.format or ("{{.ID}}" if arguments.quiet else "")
    say_rows(rows, template, listing.TITLES, usual)
    return 0


def rmi_parser() -> Parser:
    """Return the parser of `sandbox rmi`."""
    return _add_removal(new_parser("rmi", "[-f] IMAGE...", "Remove images, by name or id."))


def _add_removal(parser: AnyParser) -> AnyParser:
    parser.add_argument("-f", "--force", action="store_true", help="also one that stopped containers were made of")
    parser.add_argument("--no-prune", action="store_true", help="as always: there are no images above others")
    parser.refuse({"--platform": ONE_PLATFORM})
    parser.add_argument("images", nargs="+", metavar="IMAGE")
    return parser


def rmi(words: list[str], store: Store) -> int:
    """Remove images."""
    return _remove(rmi_parser().parse_args(words), store)


def _remove(arguments: Arguments, store: Store) -> int:
    from sandbox.images.usage import open_images, remove_image  # noqa: PLC0415

    kept = open_images(store)

    def action(name: str) -> None:
        with ending_with_one():
            try:
                for line in remove_image(kept, store, name, force=arguments.force):
                    say_line(line)
            except NotFound as error:
                if not arguments.force:
                    raise
                complain(error)  # and no failure, as with Docker

    return each(arguments.images, action, name_it=False)


def tag_parser() -> Parser:
    """Return the parser of `sandbox tag`."""
    return _add_tagging(new_parser("tag", "IMAGE NAME[:TAG]", "Give an image one more name."))


def _add_tagging(parser: AnyParser) -> AnyParser:
    parser.add_argument("image", metavar="IMAGE")
    parser.add_argument("name", metavar="NAME")
    return parser


def tag(words: list[str], store: Store) -> int:
    """Name an image."""
    return _tag(tag_parser().parse_args(words), store)


def _tag(arguments: Arguments, store: Store) -> int:
    from sandbox.images.reference import normalise  # noqa: PLC0415
    from sandbox.images.usage import open_images, tell  # noqa: PLC0415

    with ending_with_one():
        kept = open_images(store)
        kept.tag(arguments.image, arguments.name)
        tell(store, "tag", f"sha256:{kept.find(arguments.image).id}", normalise(arguments.name))
    return 0


def history_parser() -> Parser:
    """Return the parser of `sandbox history`."""
    return _add_history(new_parser("history", "[OPTIONS] IMAGE", "Show the steps that an image was made in."))


def _add_history(parser: AnyParser) -> AnyParser:
    parser.add_argument("--no-trunc", action="store_true", help="whole ids and commands")
    parser.add_argument("-q", "--quiet", action="store_true", help="only ids")
    parser.add_argument("-H", "--human", action="store_true", default=True, help="sizes for people, not in bytes")
    parser.add_argument("--format", default="", metavar="TEMPLATE", help="such as '{{.ID}} {{.CreatedBy}}', json")
    parser.refuse({"--platform": ONE_PLATFORM})
    parser.add_argument("image", metavar="IMAGE")
    return parser


def history(words: list[str], store: Store) -> int:
    """Show how an image was made."""
    return _history(history_parser().parse_args(words), store)


def _history(arguments: Arguments, store: Store) -> int:
    import time  # noqa: PLC0415

    from sandbox.images.listing import HISTORY_FORMAT, HISTORY_TITLES, history_rows  # noqa: PLC0415
    from sandbox.images.usage import open_images  # noqa: PLC0415

    with ending_with_one():
        kept = open_images(store)
        found = kept.find(arguments.image)
        sizes = [kept.layer(layer).size for layer in found.layers]
        rows = history_rows(found, sizes, time.time(), whole=arguments.no_trunc, human=arguments.human)
        template = arguments.format or ("{{.ID}}" if arguments.quiet else "")
        say_rows(rows, template, HISTORY_TITLES, HISTORY_FORMAT)
    return 0


def image_parser() -> FullParser:
    """Return the parser of `sandbox image`."""
    from sandbox.full_parsing import new_full_parser  # noqa: PLC0415

    text = "Work with images; each command is also one of its own, but inspect."
    parser = new_full_parser("image", "COMMAND ...", text)
    commands = parser.add_subparsers(dest="action", required=True, metavar="COMMAND", prog="sandbox image")
    _add_listing(commands.add_parser("ls", help="list images"))
    inspect = commands.add_parser("inspect", help="show all that is known of images, as JSON")
    inspect.refuse({"--platform": ONE_PLATFORM})
    inspect.add_argument("-f", "--format", default="", metavar="TEXT", help="such as '{{.Id}}'")
    inspect.add_argument("images", nargs="+", metavar="IMAGE")
    _add_removal(commands.add_parser("rm", help="remove images"))
    _add_tagging(commands.add_parser("tag", help="give an image one more name"))
    _add_history(commands.add_parser("history", help="show the steps that an image was made in"))
    prune = commands.add_parser("prune", help="remove the images that have no name and no container")
    prune.add_argument("-f", "--force", action="store_true", help="do not ask: we never do")
    prune.add_argument("-a", "--all", action="store_true", help="those with a name too, if they have no container")
    filters = "until=TIME (made before), label=K[=V], label!=K[=V]"
    prune.add_argument("--filter", action="append", default=[], metavar="KEY=VALUE", help=filters)
    return parser


def image(words: list[str], store: Store) -> int:
    """Work with images."""
    if words[:1] in (["save"], ["load"], ["import"]):  # Docker's longer form
        from sandbox.commands import image_archives  # noqa: PLC0415

        verbs = {"save": image_archives.save, "load": image_archives.load, "import": image_archives.import_}
        return verbs[words[0]](words[1:], store)
    arguments = image_parser().parse_args(words, Arguments())
    actions = {"ls": _list, "inspect": _inspect, "rm": _remove, "tag": _tag, "history": _history, "prune": _prune}
    return actions[arguments.action](arguments, store)


def _inspect(arguments: Arguments, store: Store) -> int:
    with ending_with_one():
        return say_each(arguments.images, lambda name: document_of(store, name), arguments.format)


def document_of(store: Store, name: str) -> dict[str, Any]:
    """Return what `inspect` says of an image."""
    from sandbox.images.listing import image_document  # noqa: PLC0415
    from sandbox.images.usage import open_images  # noqa: PLC0415

    kept = open_images(store)
    found = kept.find(name)
    size = sum(kept.layer(layer).size for layer in found.layers)
    return image_document(found, size, [kept.layer_path(layer) for layer in reversed(found.layers)])


def _prune(arguments: Arguments, store: Store) -> int:
    import time  # noqa: PLC0415

    from sandbox.images import listing  # noqa: PLC0415
    from sandbox.images.usage import open_images, prune_images  # noqa: PLC0415

    with ending_with_one():
        meant = listing.prune_filter(arguments.filter, time.time())
        for line in prune_images(open_images(store), store, meant, named=arguments.all):
            say_line(line)
    return 0
