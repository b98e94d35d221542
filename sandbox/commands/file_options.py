"""The options of `run` and `create` that say what a container is made of, and what is mounted into it."""

from __future__ import annotations

import os

from sandbox.errors import SandboxError
from sandbox.parsing import Arguments, Parser
from sandbox.value import Value, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.images.origin import Defaults, Origin
    from sandbox.lifecycle import Lifecycle
    from sandbox.state import Store
    from sandbox.volumes.wanted import Tmpfs, Volume

__all__ = ["Source", "add_file_options", "mounts_of", "source_of", "with_image"]

MISSING = (
    "Unable to find image {!r}: there is no registry here, load it (sandbox load, import), or give a directory "
    "(--rootfs DIR)"
)


class Source(Value):
    """What a container is made of, and what it executes."""

    rootfs: str
    origin: Origin
    argv: tuple[str, ...]
    defaults: Defaults


def add_file_options(parser: Parser) -> None:
    """Add the options."""
    add = parser.add_argument
    add("--rootfs", metavar="DIR", help="a directory in an image's place, never written to; / is this machine itself")
    add("--entrypoint", metavar="PROGRAM", help="in place of the image's; what follows the image are its arguments")
    forms = "[SRC:]DST[:ro,...]"
    add("-v", "--volume", action="append", default=[], metavar=forms, help="mount a directory, a file or a volume")
    keys = "type=bind|volume|tmpfs,source=,target=,readonly,..."
    add("--mount", action="append", default=[], metavar="K=V,...", help=f"the same in words: {keys}")
    add("--volumes-from", action="append", default=[], metavar="CONTAINER[:ro]", help="all volumes of another one")
    add("--tmpfs", action="append", default=[], metavar="DIR[:OPTIONS]", help="a filesystem in memory")
    add("--read-only", action="store_true", help="the root filesystem cannot be written")
    add("--lxcfs", action="store_true", help="/proc tells of its limits, by the lxcfs that runs here")


def source_of(arguments: Arguments, parser: Parser, store: Store) -> Source:
    """Return what the command line says a container is made of: a directory, or the image that its first word names."""
    from sandbox.images.origin import Defaults, Origin, command, defaults  # noqa: PLC0415

    words = list(arguments.command)
    if arguments.rootfs:
        entrypoint, argv = command(Defaults(), words, arguments.entrypoint)
        return Source(os.path.abspath(arguments.rootfs), Origin(entrypoint=entrypoint), argv, Defaults())
    if not words:
        parser.error("no image: name one, or give a directory with --rootfs")
    from sandbox.images.reference import IMAGE_ID, normalise  # noqa: PLC0415
    from sandbox.images.store import Images, NoSuchImage  # noqa: PLC0415

    name = words.pop(0)
    if not IMAGE_ID.fullmatch(name):
        normalise(name)
    try:
        image = Images(store.root).find(name)
    except NoSuchImage:
        raise SandboxError(MISSING.format(name)) from None
    known = defaults(image.config.get("config"))
    entrypoint, argv = command(known, words, arguments.entrypoint)
    origin = Origin(f"sha256:{image.id}", name, image.layers, entrypoint, known.ports)
    return Source("", origin, argv, known)


def mounts_of(arguments: Arguments, source: Source, store: Store) -> tuple[tuple[Volume, ...], tuple[Tmpfs, ...]]:
    """Return what is mounted: what is asked for, then other containers' volumes, then those that the image wants."""
    asked = (arguments.volume, arguments.mount, arguments.volumes_from, arguments.tmpfs, source.defaults.volumes)
    if not any(asked):
        return (), ()
    from sandbox.volumes import options  # noqa: PLC0415
    from sandbox.volumes.store import Volumes, volumes_from  # noqa: PLC0415
    from sandbox.volumes.wanted import Tmpfs  # noqa: PLC0415

    path_of = Volumes(store.root).path
    volumes = [options.parse_volume(text, os.path.abspath, path_of) for text in dict.fromkeys(arguments.volume)]
    tmpfs = [options.parse_tmpfs(text) for text in arguments.tmpfs]
    for text in arguments.mount:
        from sandbox.volumes.mount_option import parse_mount  # noqa: PLC0415

        found = parse_mount(text, os.path.abspath, path_of)
        if isinstance(found, Tmpfs):
            tmpfs.append(found)
        else:
            volumes.append(found)
    taken = {volume.target for volume in volumes} | {each.target for each in tmpfs}
    for text in arguments.volumes_from:
        others = [each for each in volumes_from(store, text) if each.target not in taken]
        volumes += others
        taken |= {each.target for each in others}
    for path in source.defaults.volumes:
        target = options.target_of(path if path[:1] in ("", "/") else f"/{path}", "the image's VOLUME")
        if target not in taken:
            taken.add(target)
            volumes.append(options.parse_volume(target, os.path.abspath, path_of))
    return tuple(volumes), tuple(tmpfs)


def with_image(life: Lifecycle, image: Defaults) -> Lifecycle:
    """Return a lifecycle with what the image says where the command line says nothing."""
    from sandbox.lifecycle import from_image  # noqa: PLC0415

    if image.stop_signal and not life.stop_signal:
        from sandbox.signals import number_of  # noqa: PLC0415

        number_of(image.stop_signal, 125)
    labels = tuple({**dict(image.labels), **dict(life.labels)}.items())
    health = from_image(life.health, image.health)
    return replace(life, labels=labels, stop_signal=life.stop_signal or image.stop_signal, health=health)
