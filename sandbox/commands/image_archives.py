"""The verbs that bring images in and out: `load`, `save`, `import`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.commands.output import ending_with_one, say_line, write_archive
from sandbox.parsing import Parser, new_parser

if TYPE_CHECKING:
    from sandbox.state import Store

__all__ = ["import_", "import_parser", "load", "load_parser", "save", "save_parser"]

ONE_PLATFORM = "an image here is of one platform, this machine's if its archive has that"


def load_parser() -> Parser:
    """Return the parser of `sandbox load`."""
    parser = new_parser("load", "[OPTIONS]", "Load images from an archive of `docker save`, or an OCI image layout.")
    parser.add_argument("-i", "--input", default="-", metavar="FILE", help="the archive (default: standard input)")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress, as without it")
    parser.refuse({"--platform": ONE_PLATFORM})
    return parser


def load(words: list[str], store: Store) -> int:
    """Load images."""
    arguments = load_parser().parse_args(words)
    from sandbox.images.loading import load as load_from  # noqa: PLC0415
    from sandbox.images.usage import open_images, tell  # noqa: PLC0415

    with ending_with_one():
        kept = open_images(store)
        for name in load_from(kept, arguments.input):
            tell(store, "load", f"sha256:{kept.find(name).id}", name)
            say_line(f"Loaded image{' ID' if name.startswith('sha256:') else ''}: {name}")
    return 0


def save_parser() -> Parser:
    """Return the parser of `sandbox save`."""
    parser = new_parser("save", "[-o FILE] IMAGE...", "Write images as an archive that `docker load` takes too.")
    parser.add_argument("-o", "--output", default="-", metavar="FILE", help="the archive (default: standard output)")
    parser.refuse({"--platform": ONE_PLATFORM})
    parser.add_argument("images", nargs="+", metavar="IMAGE")
    return parser


def save(words: list[str], store: Store) -> int:
    """Write images as an archive."""
    arguments = save_parser().parse_args(words)
    from sandbox.images.saving import save as pieces_of  # noqa: PLC0415
    from sandbox.images.usage import open_images, tell  # noqa: PLC0415

    with ending_with_one():
        kept = open_images(store)
        wanted: dict[str, set[str]] = {}
        for name in arguments.images:
            found = kept.find(name)
            wanted.setdefault(found.id, set()).update(each for each in found.names if each == _as_name(name))
        chosen = [(kept.load(image), sorted(names)) for image, names in wanted.items()]
        write_archive(arguments.output, lambda: pieces_of(kept, chosen))
        for image in wanted:
            tell(store, "save", f"sha256:{image}")
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
    changes = "an instruction: CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, STOPSIGNAL, USER, VOLUME, WORKDIR"
    parser.add_argument("-c", "--change", action="append", default=[], metavar="TEXT", help=changes)
    parser.add_argument("-m", "--message", default="", metavar="TEXT", help="what its history says of it")
    parser.refuse({"--platform": "an archive is of this machine's"})
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("name", nargs="?", default="", metavar="NAME")
    return parser


def import_(words: list[str], store: Store) -> int:
    """Make an image of a root filesystem."""
    arguments = import_parser().parse_args(words)
    import time  # noqa: PLC0415

    from sandbox.images.loading import import_rootfs  # noqa: PLC0415
    from sandbox.images.usage import open_images, tell  # noqa: PLC0415
    from sandbox.times import timestamp  # noqa: PLC0415

    with ending_with_one():
        created = timestamp(time.time())
        given = (arguments.file, arguments.name, arguments.change, created, arguments.message)
        made = import_rootfs(open_images(store), *given)
        tell(store, "import", made, arguments.name)
        say_line(made)
    return 0
