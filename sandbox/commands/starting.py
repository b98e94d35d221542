"""`sandbox create`, `start`, `restart`, `attach`: made in one step, started in another, as often as one likes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sandbox.commands.ending import add_stop_options
from sandbox.commands.lifecycle_options import write_id
from sandbox.commands.output import each, ending_with_one, say_line
from sandbox.commands.running import add_container_options, prepare_from
from sandbox.errors import SandboxError
from sandbox.parsing import Parser, boolean, new_parser, parse_up_to_program

if TYPE_CHECKING:
    from sandbox.state import Store

__all__ = [
    "attach",
    "attach_parser",
    "create",
    "create_parser",
    "restart",
    "restart_parser",
    "start",
    "start_parser",
]

KEYS_HELP = "what leaves it and lets it go on (default ctrl-p,ctrl-q)"


def create_parser() -> Parser:
    """Return the parser of `sandbox create`."""
    usage = "[OPTIONS] IMAGE|--rootfs DIR [COMMAND [ARG...]]"
    parser = new_parser("create", usage, "Make a container and start nothing; prints its id.")
    add_container_options(parser)
    parser.set_defaults(detach=False)
    return parser


def create(words: list[str], store: Store) -> int:
    """Make a container and start nothing."""
    parser = create_parser()
    arguments = parse_up_to_program(parser, words, "command")
    from sandbox import container  # noqa: PLC0415

    with ending_with_one():
        prepared = prepare_from(arguments, parser, store)
        if arguments.dry_run:
            say_line(prepared.describe(store))
            return 0
        with write_id(arguments.cidfile, prepared.document["Id"]):
            say_line(container.create(prepared, store))
    return 0


def start_parser() -> Parser:
    """Return the parser of `sandbox start`."""
    parser = new_parser("start", "[OPTIONS] CONTAINER...", "Start containers that were created or have ended.")
    add = parser.add_argument
    add("-a", "--attach", action="store_true", help="show its output, pass signals on, and end with its exit code")
    add("-i", "--interactive", action="store_true", help="give it our standard input")
    add("--detach-keys", default="", metavar="KEYS", help=KEYS_HELP)
    add("--all", action="store_true", help="those whose restart policy says so: for the machine's start")
    why = "a checkpoint needs CRIU: none is made here"
    parser.refuse({"--checkpoint": why, "--checkpoint-dir": why})
    add("containers", nargs="*", metavar="CONTAINER")
    return parser


def start(words: list[str], store: Store) -> int:
    """Start containers that were created or have ended."""
    parser = start_parser()
    arguments = parser.parse_args(words)
    from sandbox import container  # noqa: PLC0415
    from sandbox.attach import DETACH_KEYS, Attaching, parse_keys  # noqa: PLC0415
    from sandbox.reconcile import reconcile  # noqa: PLC0415

    found = reconcile(store)
    names = arguments.containers
    if arguments.all:
        names = [text["Name"] for text in reversed(found) if container.comes_back(text)]
    elif not names:
        parser.error("no container: give one, or --all")
    if not (arguments.attach or arguments.interactive):
        return each(names, lambda name: _start_one(store, name))
    if len(names) > 1:
        raise SandboxError("you cannot start and attach multiple containers at once", 1)
    text = store.find(names[0])
    tty = text["Config"]["Tty"]
    if tty and arguments.interactive and not os.isatty(0):
        raise SandboxError("the input device is not a TTY", 1)
    keys = parse_keys(arguments.detach_keys or DETACH_KEYS)
    stdin = arguments.interactive and text["Config"]["OpenStdin"]
    with ending_with_one():
        return container.start(store, names[0], Attaching(stdin=stdin, tty=tty, keys=keys))


def _start_one(store: Store, name: str) -> None:
    from sandbox import container  # noqa: PLC0415

    with ending_with_one():
        container.start(store, name)


def restart_parser() -> Parser:
    """Return the parser of `sandbox restart`."""
    parser = new_parser("restart", "[-t SECONDS] [-s SIGNAL] CONTAINER...", "Stop containers and start them again.")
    add_stop_options(parser)
    parser.add_argument("containers", nargs="+", metavar="CONTAINER")
    return parser


def restart(words: list[str], store: Store) -> int:
    """Stop containers and start them again."""
    parser = restart_parser()
    arguments = parser.parse_args(words)
    from sandbox import restarting  # noqa: PLC0415
    from sandbox.reconcile import reconcile  # noqa: PLC0415
    from sandbox.signals import number_of  # noqa: PLC0415

    number = number_of(arguments.signal) if arguments.signal else None
    reconcile(store)

    def action(name: str) -> None:
        with ending_with_one():
            restarting.restart(store, name, arguments.time, number)

    return each(arguments.containers, action)


def attach_parser() -> Parser:
    """Return the parser of `sandbox attach`."""
    text = "Show the output of a container in the background, and type into it."
    parser = new_parser("attach", "[OPTIONS] CONTAINER", text)
    add = parser.add_argument
    add("--no-stdin", action="store_true", help="only look")
    add("--detach-keys", default="", metavar="KEYS", help=KEYS_HELP)
    add("--sig-proxy", type=boolean, default=True, metavar="true|false", help="pass signals on to it (default true)")
    add("container")
    return parser


def attach(words: list[str], store: Store) -> int:
    """Attach to a container in the background."""
    parser = attach_parser()
    arguments = parser.parse_args(words)
    from sandbox import attach, events  # noqa: PLC0415
    from sandbox.reconcile import reconcile  # noqa: PLC0415

    reconcile(store)
    text = store.find(arguments.container)
    if text["State"]["Status"] == "paused":
        raise SandboxError("you cannot attach to a paused container, unpause it first", 1)
    if text["State"]["Status"] != "running":
        raise SandboxError("you cannot attach to a stopped container, start it first", 1)
    stdin = not arguments.no_stdin and text["Config"]["OpenStdin"]
    tty = text["Config"]["Tty"]
    if tty and stdin and not os.isatty(0):
        raise SandboxError("the input device is not a TTY", 1)
    how = attach.Attaching(
        stdin=stdin,
        tty=tty,
        signals=arguments.sig_proxy,
        keys=attach.parse_keys(arguments.detach_keys or attach.DETACH_KEYS),
    )
    end = attach.connect(store, text)
    events.of_container(store.root, text, "attach")
    code = attach.attach(end, how, attach.program_of(store, text["Id"]))
    if code is None:
        events.of_container(store.root, text, "detach")
    return code or 0
