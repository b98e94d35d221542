"""`sandbox diff`, `cp` and `export`: what a container changed, and files in and out of it."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sandbox.commands.output import ending_with_one, refuse_terminal, say_line, warn, write_archive
from sandbox.errors import SandboxError
from sandbox.parsing import Arguments, Parser, new_parser

if TYPE_CHECKING:
    from sandbox.state import Store

__all__ = ["cp", "cp_parser", "diff", "diff_parser", "export", "export_parser"]

STREAM = "-"


def diff_parser() -> Parser:
    """Return the parser of `sandbox diff`."""
    text = "Show what a container added (A), changed (C) and deleted (D) in its root filesystem."
    parser = new_parser("diff", "CONTAINER", text)
    parser.add_argument("container", metavar="CONTAINER")
    return parser


def diff(words: list[str], store: Store) -> int:
    """Show what a container changed."""
    arguments = diff_parser().parse_args(words)
    from sandbox.errors import printable  # noqa: PLC0415
    from sandbox.view import changes_of  # noqa: PLC0415

    with ending_with_one():
        for change in changes_of(store, arguments.container):
            say_line(f"{change.kind} {printable(change.path)}")
    return 0


def export_parser() -> Parser:
    """Return the parser of `sandbox export`."""
    text = "Write a container's root filesystem, without what is mounted in it, as an archive."
    parser = new_parser("export", "[-o FILE] CONTAINER", text)
    parser.add_argument("-o", "--output", default=STREAM, metavar="FILE", help="the archive (default: standard output)")
    parser.add_argument("container", metavar="CONTAINER")
    return parser


def export(words: list[str], store: Store) -> int:
    """Write a container's files as an archive."""
    arguments = export_parser().parse_args(words)
    from sandbox.pack import pack  # noqa: PLC0415
    from sandbox.view import container_root  # noqa: PLC0415

    def pieces() -> Iterator[bytes]:
        with container_root(store, arguments.container, volumes=False) as (root, users):
            if users < 0:
                yield from pack(root, "", mounts=False)
                return
            from sandbox.apart import pack_apart  # noqa: PLC0415  rare

            yield from pack_apart(root, "", users=users, mounts=False)

    with ending_with_one(), _told(store, arguments.container, "export"):
        write_archive(arguments.output, pieces)
    return 0


@contextlib.contextmanager
def _told(store: Store, container: str, action: str) -> Iterator[None]:
    """Record what is done to a container, when it is done: by then we may be nobody but a user of the container's."""
    from sandbox import events  # noqa: PLC0415

    document = store.find(container)
    journal = None
    with contextlib.suppress(OSError):
        journal = events.opened(store.root)
    yield
    events.of_container(store.root, document, action, journal)


def cp_parser() -> Parser:
    """Return the parser of `sandbox cp`."""
    usage = "[OPTIONS] CONTAINER:PATH PATH|- | PATH|- CONTAINER:PATH"
    text = "Copy files between a container, running or not, and this machine; - is an archive."
    parser = new_parser("cp", usage, text)
    add = parser.add_argument
    add("-a", "--archive", action="store_true", help="keep the owners, when copying out too")
    add("-L", "--follow-link", action="store_true", help="copy what a link leads to, not the link")
    add("-q", "--quiet", action="store_true", help="say nothing, as without it")
    add("source", metavar="SOURCE")
    add("target", metavar="TARGET")
    return parser


def _split(text: str) -> tuple[str, str]:
    """Return the container ("" for the host) and the path that an operand names."""
    name, colon, path = text.partition(":")
    if not colon or text.startswith(("/", ".")) or "/" in name:
        return "", text
    return name, path


def cp(words: list[str], store: Store) -> int:
    """Copy files in or out."""
    arguments = cp_parser().parse_args(words)
    source, path = _split(arguments.source)
    target, into = _split(arguments.target)
    with ending_with_one():
        if source and target:
            raise SandboxError("copying between containers is not supported", 1)
        if not source and not target:
            raise SandboxError("one of the two must be CONTAINER:PATH", 1)
        if not path or not into:
            raise SandboxError("a path must not be empty", 1)
        with _told(store, source or target, "archive-path" if source else "extract-to-dir"):
            lost = _copy_out(store, source, path, arguments) if source else _copy_in(store, target, into, arguments)
    del lost["owners"]  # without root there is one on each side
    if +lost:
        text = ", ".join(f"{kind} of {count} files" for kind, count in sorted((+lost).items()))
        warn(f"not copied: {text}")
    return 0


def _here(path: str) -> str:
    """Complete a path of this machine; what stands at its end matters, so it is not shortened."""
    return path if path.startswith("/") else f"{os.getcwd()}/{path}"


def _copy_out(store: Store, container: str, path: str, arguments: Arguments) -> Counter[str]:
    from sandbox.copying import Place, copy, pack_source  # noqa: PLC0415
    from sandbox.inroot import root_directory  # noqa: PLC0415
    from sandbox.pack import write_to  # noqa: PLC0415
    from sandbox.unpack import Rules  # noqa: PLC0415
    from sandbox.view import container_root  # noqa: PLC0415

    if arguments.target == STREAM:
        refuse_terminal(1)
    here = _here(arguments.target)
    rules = Rules(own_ids=arguments.archive, owner=(os.geteuid(), os.getegid()), devices=False, replace=False,
                  rootless=os.geteuid() != 0)  # fmt: skip
    with root_directory() as host, container_root(store, container) as (root, users):
        place = Place(root, f"/{path.lstrip('/')}", container, users)
        if arguments.target != STREAM:
            return copy(place, Place(host, here), rules, follow_link=arguments.follow_link)
        with pack_source(place, follow_link=arguments.follow_link) as pieces:
            write_to(1, pieces)
    return Counter()


def _copy_in(store: Store, container: str, path: str, arguments: Arguments) -> Counter[str]:
    from sandbox.copying import Place, copy, unpack_into  # noqa: PLC0415
    from sandbox.inroot import root_directory  # noqa: PLC0415
    from sandbox.tarstream import archive_errors, plain  # noqa: PLC0415
    from sandbox.unpack import Rules  # noqa: PLC0415
    from sandbox.view import container_root  # noqa: PLC0415

    if arguments.source == STREAM:
        refuse_terminal(0)
    here = _here(arguments.source)
    rules = Rules(replace=False, rootless=os.geteuid() != 0)
    with root_directory() as host, container_root(store, container) as (root, users):
        place = Place(root, f"/{path.lstrip('/')}", container, users)
        if arguments.source != STREAM:
            return copy(Place(host, here), place, rules, follow_link=arguments.follow_link)
        with open(0, "rb", buffering=0, closefd=False) as file, archive_errors("standard input"):
            return unpack_into(plain(file), place, rules)
