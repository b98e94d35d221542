"""`sandbox rootfs`: programs and their libraries, as a root filesystem."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.commands.output import say_line
from sandbox.parsing import Parser, new_parser

if TYPE_CHECKING:
    from sandbox.state import Store

__all__ = ["rootfs", "rootfs_parser"]


def rootfs_parser() -> Parser:
    """Return the parser of `sandbox rootfs`."""
    parser = new_parser("rootfs", "copy DEST BIN...", "Copy programs and the libraries they need into a directory.")
    parser.add_argument("action", choices=["copy"])
    parser.add_argument("destination", metavar="DEST")
    parser.add_argument("programs", nargs="+", metavar="BIN")
    return parser


def rootfs(words: list[str], _: Store) -> int:
    """Copy programs and their libraries."""
    parser = rootfs_parser()
    arguments = parser.parse_args(words)
    from sandbox import binaries  # noqa: PLC0415

    for path in binaries.copy(arguments.destination, arguments.programs):
        say_line(path)
    return 0
