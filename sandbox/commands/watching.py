"""`sandbox top`, `stats` and `events`: what containers do."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from sandbox.commands.output import ending_with_one, say_line, say_rows, warn
from sandbox.errors import SandboxError
from sandbox.parsing import Parser, new_parser, parse_up_to_program

if TYPE_CHECKING:
    from typing import NoReturn

    from sandbox.state import Document, Store

__all__ = ["events", "events_parser", "stats", "stats_parser", "top", "top_parser"]


def top_parser() -> Parser:
    """Return the parser of `sandbox top`."""
    text = "Show the processes of a container, as this machine's ps does."
    parser = new_parser("top", "CONTAINER [PS OPTIONS]", text)
    parser.add_argument("container")
    return parser


def top(words: list[str], store: Store) -> int:
    """Show the processes of a container."""
    parser = top_parser()
    arguments = parse_up_to_program(parser, words, "options")
    from sandbox import upkeep  # noqa: PLC0415

    say_line(upkeep.top(store, arguments.container, arguments.options))
    return 0


def stats_parser() -> Parser:
    """Return the parser of `sandbox stats`."""
    text = "Show what containers use: ctop, of these or all running ones."
    parser = new_parser("stats", "[OPTIONS] [CONTAINER...]", text)
    parser.add_argument("--no-stream", action="store_true", help="one table, then end")
    parser.add_argument("--no-trunc", action="store_true", help="whole ids, with --format")
    why = "what does not run uses nothing: `sandbox ps -a` has it"
    parser.refuse({"--all": why, "-a": why})
    formats = "such as '{{.Name}} {{.CPUPerc}} {{.MemUsage}}', 'table {{.Name}}\\t{{.PIDs}}'; json: ctop's document"
    parser.add_argument("--format", default="table", metavar="TEMPLATE", help=formats)
    parser.add_argument("containers", nargs="*", metavar="CONTAINER")
    return parser


def _running(store: Store, names: list[str]) -> list[Document]:
    """Return the containers of these names, which must run, or all that do."""
    from sandbox.liveness import not_running  # noqa: PLC0415
    from sandbox.reconcile import reconcile  # noqa: PLC0415

    known = reconcile(store)
    if not names:
        return [text for text in known if text["State"]["Pid"] > 0]
    found = [store.find(name) for name in names]
    for text in found:
        if text["State"]["Pid"] <= 0:
            raise not_running(text, text["Name"])
    return found


def stats(words: list[str], store: Store) -> int:
    """Show what containers use."""
    parser = stats_parser()
    arguments = parser.parse_args(words)
    running = _running(store, arguments.containers)
    if not running and arguments.no_stream and "{{" in arguments.format:
        from sandbox.stats import TITLES  # noqa: PLC0415

        say_rows([], arguments.format, TITLES)  # who measures all that run finds none of them: no error
        return 0
    if not running:
        raise SandboxError("no container is running", 1)
    command = [sys.executable, "-m", "inspector.ctop", "-p", ",".join(str(text["State"]["Pid"]) for text in running)]
    if "{{" in arguments.format:
        command.append("--json" if arguments.no_stream else "--jsonl")
        return _say_stats(command, arguments.format, whole=arguments.no_trunc)
    if arguments.format not in ("table", "json"):
        parser.error(f"--format: table, json or a template, not {arguments.format!r}")
    if arguments.format == "json":
        command.append("--json" if arguments.no_stream else "--jsonl")
    elif arguments.no_stream:
        command.append("--once")
    elif not os.isatty(1):
        command.append("-b")
    return _become(command)


def _become(command: list[str]) -> NoReturn:
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606


def _say_stats(command: list[str], template: str, *, whole: bool) -> int:
    """Print what ctop measures, by a template: once, or again and again as its lines come."""
    import json  # noqa: PLC0415
    import subprocess  # noqa: PLC0415

    from sandbox.stats import TITLES, rows  # noqa: PLC0415
    from sandbox.template import listing  # noqa: PLC0415

    listing([], template, TITLES)  # a wrong one is said before anything is measured
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as measuring:  # noqa: S603  our own program
        assert measuring.stdout is not None  # noqa: S101
        try:
            documents = [measuring.stdout.read()] if command[-1] == "--json" else measuring.stdout
            for document in documents:
                if document:
                    say_rows(rows(json.loads(document), whole=whole), template, TITLES)
        except BaseException:
            measuring.terminate()
            raise
    return measuring.returncode


def events_parser() -> Parser:
    """Return the parser of `sandbox events`."""
    parser = new_parser("events", "[OPTIONS]", "Show what happens to containers, as it happens.")
    add = parser.add_argument
    add("--since", default="", metavar="TIME", help="also what happened since: a date, seconds since 1970, or 10m ago")
    add("--until", default="", metavar="TIME", help="end then; without it go on for ever")
    filters = "container, event, image, label, network, scope, type, volume"
    add("-f", "--filter", action="append", default=[], metavar="KEY=VALUE", help=filters)
    add("--format", default="", metavar="TEMPLATE", help="such as '{{.Action}} {{.Actor.ID}}', or json")
    return parser


def events(words: list[str], store: Store) -> int:
    """Show what happens to containers."""
    parser = events_parser()
    arguments = parser.parse_args(words)
    import time  # noqa: PLC0415

    from sandbox import event_text, journal, template  # noqa: PLC0415
    from sandbox.times import moment  # noqa: PLC0415

    now = time.time()
    with ending_with_one():
        template.check(arguments.format)
        wanted = event_text.chooser(arguments.filter)
        since = moment(arguments.since, now, "--since") if arguments.since else now
        until = moment(arguments.until, now, "--until") if arguments.until else None
        for event in journal.follow(store.root, since, until, odd=warn):
            if wanted(event):
                say_line(event_text.line(event, arguments.format))
    return 0
