"""The verbs for images: `load`, `save`, `import`, `images`, `image`, `history`, `tag`, `rmi`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from sandbox.commands.output import each, ending_with_one, say_documents, say_line, say_rows, write_archive
from sandbox.parsing import Arguments, Parser, new_parser

if TYPE_CHECKING:
    from typing import Any, TypeVar

    from sandbox.full_parsing import FullParser
    from sandbox.images.store import Images
    from sandbox.state import Store

    AnyParser = TypeVar("AnyParser", Parser, FullParser)

__all__ = [
    "history",
    "history_parser",
    "image",
    "image_parser",
    "images",
    "images_parser",
    "import_",
    "import_parser",
    "load",
    "load_parser",
    "rmi",
    "rmi_parser",
    "save",
    "save_parser",
    "tag",
    "tag_parser",
]


def _images(store: Store) -> Images:
    """Return the images of a store, without what commands that were killed have left."""
    from sandbox.images.store import Images  # noqa: PLC0415
    from sandbox.images.usage import layers_in_use  # noqa: PLC0415

    found = Images(store.root)
    found.clean(lambda: layers_in_use(store))
    return found


def load_parser() -> Parser:
    """Return the parser of `sandbox load`."""
    parser = new_parser("load", "[OPTIONS]", "Load images from an archive of `docker save`, or an OCI image layout.")
    parser.add_argument("-i", "--input", default="-", metavar="FILE", help="the archive (default: standard input)")
    parser.add_argument("-q", "--quiet", action="store_true", help="do not say what was loaded")
    return parser


def load(words: list[str], store: Store) -> int:
    """Load images."""
    arguments = load_parser().parse_args(words)
    from sandbox.images.loading import load as load_from  # noqa: PLC0415

    with ending_with_one():
        for name in load_from(_images(store), arguments.input):
            if not arguments.quiet:
                say_line(f"Loaded image{' ID' if name.startswith('sha256:') else ''}: {name}")
    return 0


def save_parser() -> Parser:
    """Return the parser of `sandbox save`."""
    parser = new_parser("save", "[-o FILE] IMAGE...", "Write images as an archive that `docker load` takes too.")
    parser.add_argument("-o", "--output", default="-", metavar="FILE", help="the archive (default: standard output)")
    parser.add_argument("images", nargs="+", metavar="IMAGE")
    return parser


def save(words: list[str], store: Store) -> int:
    """Write images as an archive."""
    arguments = save_parser().parse_args(words)
    from sandbox.images.saving import save as pieces_of  # noqa: PLC0415

    with ending_with_one():
        kept = _images(store)
        wanted: dict[str, set[str]] = {}
        for name in arguments.images:
            found = kept.find(name)
            wanted.setdefault(found.id, set()).update(each for each in found.names if each == _as_name(name))
        chosen = [(kept.load(image), sorted(names)) for image, names in wanted.items()]
        write_archive(arguments.output, lambda: pieces_of(kept, chosen))
    return 0


def _as_name(reference: str) -> str:
    """Return the name of an image that a reference is, "" for one that is an id."""
    from sandbox.errors import SandboxError  # noqa: PLC0415
    from sandbox.images.reference import normalise  # noqa: PLC0415

    try:
        return normalise(reference)
    except SandboxError:
        return ""


def import_parser() -> Parser:
    """Return the parser of `sandbox import`."""
    parser = new_parser("import", "[OPTIONS] FILE|- [NAME[:TAG]]", "Make an image of a root filesystem's archive.")
    changes = "an instruction: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME or WORKDIR and its value"
    parser.add_argument("-c", "--change", action="append", default=[], metavar="TEXT", help=changes)
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("name", nargs="?", default="", metavar="NAME")
    return parser


def import_(words: list[str], store: Store) -> int:
    """Make an image of a root filesystem."""
    arguments = import_parser().parse_args(words)
    import time  # noqa: PLC0415

    from sandbox.images.loading import import_rootfs  # noqa: PLC0415
    from sandbox.times import timestamp  # noqa: PLC0415

    with ending_with_one():
        created = timestamp(time.time())
        say_line(import_rootfs(_images(store), arguments.file, arguments.name, arguments.change, created))
    return 0


def images_parser() -> Parser:
    """Return the parser of `sandbox images`."""
    parser = new_parser("images", "[OPTIONS] [NAME[:TAG]]", "List images.")
    return _add_listing(parser)


def _add_listing(parser: AnyParser) -> AnyParser:
    parser.add_argument("-a", "--all", action="store_true", help="all of them, as without it")
    parser.add_argument("-q", "--quiet", action="store_true", help="only their ids")
    parser.add_argument("--no-trunc", action="store_true", help="whole ids")
    parser.add_argument("--format", default="", metavar="TEMPLATE", help="such as '{{.Repository}}:{{.Tag}}', json")
    parser.add_argument("name", nargs="?", default="", metavar="NAME")
    return parser


def images(words: list[str], store: Store) -> int:
    """List images."""
    return _list(images_parser().parse_args(words), store)


def _list(arguments: Arguments, store: Store) -> int:
    import time  # noqa: PLC0415

    from sandbox.document import table  # noqa: PLC0415
    from sandbox.images.listing import images_table  # noqa: PLC0415
    from sandbox.images.reference import split  # noqa: PLC0415

    with ending_with_one():
        kept = _images(store)
        wanted, tag_wanted = split(arguments.name)
        shown = []
        for found in kept.all():
            names = [name for name in found.names if split(name)[0] == wanted and tag_wanted in ("", split(name)[1])]
            if names or not arguments.name:
                shown.append(found._replace(names=tuple(names) if arguments.name else found.names))
        sizes = {found.id: sum(kept.layer(layer).size for layer in found.layers) for found in shown}
        rows = images_table(shown, sizes, time.time(), whole=arguments.no_trunc)
    if arguments.format:
        columns = ("Repository", "Tag", "ID", "CreatedSince", "Size")
        titles, *told = (dict(zip(columns, row, strict=True)) for row in rows)
        say_rows(told, arguments.format, titles)
    elif arguments.quiet:
        sys.stdout.write("".join(f"{row[-3]}\n" for row in rows[1:]))
    else:
        say_line(table(rows))
    return 0


def rmi_parser() -> Parser:
    """Return the parser of `sandbox rmi`."""
    return _add_removal(new_parser("rmi", "[-f] IMAGE...", "Remove images, by name or id."))


def _add_removal(parser: AnyParser) -> AnyParser:
    parser.add_argument("-f", "--force", action="store_true", help="also one that stopped containers were made of")
    parser.add_argument("images", nargs="+", metavar="IMAGE")
    return parser


def rmi(words: list[str], store: Store) -> int:
    """Remove images."""
    return _remove(rmi_parser().parse_args(words), store)


def _remove(arguments: Arguments, store: Store) -> int:
    from sandbox.images.usage import remove_image  # noqa: PLC0415

    kept = _images(store)

    def action(name: str) -> None:
        with ending_with_one():
            for line in remove_image(kept, store, name, force=arguments.force):
                say_line(line)

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
    with ending_with_one():
        _images(store).tag(arguments.image, arguments.name)
    return 0


def history_parser() -> Parser:
    """Return the parser of `sandbox history`."""
    return _add_history(new_parser("history", "[OPTIONS] IMAGE", "Show the steps that an image was made in."))


def _add_history(parser: AnyParser) -> AnyParser:
    parser.add_argument("--no-trunc", action="store_true", help="whole ids and commands")
    parser.add_argument("image", metavar="IMAGE")
    return parser


def history(words: list[str], store: Store) -> int:
    """Show how an image was made."""
    return _history(history_parser().parse_args(words), store)


def _history(arguments: Arguments, store: Store) -> int:
    import time  # noqa: PLC0415

    from sandbox.document import table  # noqa: PLC0415
    from sandbox.images.listing import history_table  # noqa: PLC0415

    with ending_with_one():
        kept = _images(store)
        found = kept.find(arguments.image)
        sizes = [kept.layer(layer).size for layer in found.layers]
        say_line(table(history_table(found, sizes, time.time(), whole=arguments.no_trunc)))
    return 0


def image_parser() -> FullParser:
    """Return the parser of `sandbox image`."""
    from sandbox.full_parsing import new_full_parser  # noqa: PLC0415

    text = "Work with images; each command is also one of its own, but inspect."
    parser = new_full_parser("image", "COMMAND ...", text)
    commands = parser.add_subparsers(dest="action", required=True, metavar="COMMAND")
    _add_listing(commands.add_parser("ls", help="list images"))
    inspect = commands.add_parser("inspect", help="show all that is known of images, as JSON")
    inspect.add_argument("-f", "--format", default="", metavar="TEXT", help="such as '{{.Id}}'")
    inspect.add_argument("images", nargs="+", metavar="IMAGE")
    _add_removal(commands.add_parser("rm", help="remove images"))
    _add_tagging(commands.add_parser("tag", help="give an image one more name"))
    _add_history(commands.add_parser("history", help="show the steps that an image was made in"))
    prune = commands.add_parser("prune", help="remove the images that have no name and no container")
    prune.add_argument("-f", "--force", action="store_true", help="do not ask: we never do")
    return parser


def image(words: list[str], store: Store) -> int:
    """Work with images."""
    arguments = image_parser().parse_args(words, Arguments())
    actions = {"ls": _list, "inspect": _inspect, "rm": _remove, "tag": _tag, "history": _history, "prune": _prune}
    return actions[arguments.action](arguments, store)


def _inspect(arguments: Arguments, store: Store) -> int:
    with ending_with_one():
        say_documents([document_of(store, name) for name in arguments.images], arguments.format)
    return 0


def document_of(store: Store, name: str) -> dict[str, Any]:
    """Return what `inspect` says of an image."""
    from sandbox.images.listing import image_document  # noqa: PLC0415

    kept = _images(store)
    found = kept.find(name)
    size = sum(kept.layer(layer).size for layer in found.layers)
    return image_document(found, size, [kept.layer_path(layer) for layer in reversed(found.layers)])


def _prune(_: Arguments, store: Store) -> int:
    from sandbox.images.usage import prune_images  # noqa: PLC0415

    with ending_with_one():
        for line in prune_images(_images(store), store):
            say_line(line)
    return 0
