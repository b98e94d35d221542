"""`sandbox ps`, `logs` and `inspect`: what there is, what it says, and all that is known of it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from sandbox.commands.output import complain, say_line
from sandbox.errors import SandboxError
from sandbox.parsing import Parser, new_parser

if TYPE_CHECKING:
    from sandbox.state import Store

__all__ = ["inspect", "inspect_parser", "logs", "logs_parser", "ps", "ps_parser"]


def ps_parser() -> Parser:
    """Return the parser of `sandbox ps`."""
    parser = new_parser("ps", "[OPTIONS]", "List containers; cleans up after launchers that were killed.")
    parser.add_argument("-a", "--all", action="store_true", help="also those that have ended")
    parser.add_argument("-q", "--quiet", action="store_true", help="only their ids")
    parser.add_argument("--no-trunc", action="store_true", help="whole ids and commands")
    return parser


def ps(words: list[str], store: Store) -> int:
    """List containers."""
    parser = ps_parser()
    arguments = parser.parse_args(words)
    import time  # noqa: PLC0415

    from sandbox import document  # noqa: PLC0415
    from sandbox.reconcile import reconcile  # noqa: PLC0415

    shown = [text for text in reconcile(store) if arguments.all or text["State"]["Status"] == "running"]
    rows = document.ps_table(shown, time.time(), whole=arguments.no_trunc)
    if arguments.quiet:
        sys.stdout.write("".join(f"{row[0]}\n" for row in rows[1:]))
    else:
        say_line(document.table(rows))
    return 0


def logs_parser() -> Parser:
    """Return the parser of `sandbox logs`."""
    parser = new_parser("logs", "[OPTIONS] CONTAINER", "Show what a detached container has said.")
    parser.add_argument("-f", "--follow", action="store_true", help="go on until it ends")
    parser.add_argument("-n", "--tail", default="all", metavar="N", help="only the last N lines")
    parser.add_argument("-t", "--timestamps", action="store_true", help="with the time of each line")
    parser.add_argument("container")
    return parser


def logs(words: list[str], store: Store) -> int:
    """Show what a detached container has said."""
    parser = logs_parser()
    arguments = parser.parse_args(words)
    if arguments.tail != "all" and not arguments.tail.lstrip("-").isdecimal():
        parser.error(f"--tail: invalid number of lines: {arguments.tail!r}")
    from sandbox import logs  # noqa: PLC0415

    tail = None if arguments.tail == "all" or arguments.tail.startswith("-") else int(arguments.tail)
    return logs.show(store, arguments.container, follow=arguments.follow, tail=tail, timestamps=arguments.timestamps)


def inspect_parser() -> Parser:
    """Return the parser of `sandbox inspect`."""
    parser = new_parser("inspect", "[--format TEMPLATE] CONTAINER...", "Show all that is known of containers, as JSON.")
    parser.add_argument("-f", "--format", default="", help="such as '{{.State.Pid}}' or '{{json .Config}}'")
    parser.add_argument("containers", nargs="+", metavar="CONTAINER")
    return parser


def inspect(words: list[str], store: Store) -> int:
    """Show all that is known of containers."""
    parser = inspect_parser()
    arguments = parser.parse_args(words)
    import json  # noqa: PLC0415

    from sandbox import document  # noqa: PLC0415
    from sandbox.reconcile import reconcile  # noqa: PLC0415

    reconcile(store)
    found, code = [], 0
    for name in arguments.containers:
        try:
            found.append(store.find(name))
        except SandboxError as error:
            complain(error)
            code = 1
    if arguments.format:
        for text in found:
            say_line(document.render(text, arguments.format))
    else:
        say_line(json.dumps(found, indent=4))
    return code
