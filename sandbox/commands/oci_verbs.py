"""The verbs of `sandbox oci`: each parses its words, and has it done by sandbox.oci."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from sandbox.commands import oci_asked
from sandbox.commands.output import say_line
from sandbox.errors import SandboxError
from sandbox.parsing import Arguments, Parser

if TYPE_CHECKING:
    from sandbox.oci.handing import Ends
    from sandbox.oci.records import Records

__all__ = ["SPEC_VERSION", "VERBS"]

SPEC_VERSION = "1.2.0"


def _id(name: str, text: str, words: list[str]) -> str:
    """Parse the words of a verb that takes a container's id and nothing else."""
    parser = oci_asked.parser(name, "ID", text)
    parser.add_argument("id")
    return str(parser.parse_args(words).id)


def _create_parser(name: str) -> Parser:
    parser = oci_asked.parser(name, "[OPTIONS] ID", "Make a container from a bundle.")
    parser.add_argument("-b", "--bundle", default=".", metavar="DIR", help="the bundle (default: here)")
    oci_asked.add_ends(parser)
    for option in ("--no-pivot", "--no-new-keyring"):
        parser.add_argument(option, action="store_true", help="refused: a container without is none")
    parser.add_argument("id")
    return parser


def _create(words: list[str], records: Records) -> int:
    arguments = _create_parser("create").parse_args(words)
    from sandbox.oci import creation  # noqa: PLC0415

    creation.create(records, arguments.id, arguments.bundle, _ends(arguments))
    return 0


def _ends(arguments: Arguments) -> Ends:
    from sandbox.oci.handing import Ends  # noqa: PLC0415

    for option in ("no_pivot", "no_new_keyring"):
        if getattr(arguments, option, False):
            raise SandboxError(f"--{option.replace('_', '-')} is not supported")
    return Ends(arguments.console_socket, arguments.pid_file, arguments.preserve_fds, arguments.pidfd_socket)


def _run(words: list[str], records: Records) -> int:
    parser = _create_parser("run")
    parser.add_argument("-d", "--detach", action="store_true", help="do not wait for its end")
    parser.add_argument("--keep", action="store_true", help="do not delete it at its end")
    arguments = parser.parse_args(words)
    from sandbox.oci import creation, runtime  # noqa: PLC0415

    ends = _ends(arguments)
    if not arguments.detach:
        return creation.run(records, arguments.id, arguments.bundle, ends, keep=arguments.keep)
    creation.create(records, arguments.id, arguments.bundle, ends)
    runtime.start(records, arguments.id)
    return 0


def _start(words: list[str], records: Records) -> int:
    from sandbox.oci import runtime  # noqa: PLC0415

    runtime.start(records, _id("start", "Start the program of a created container.", words))
    return 0


def _state(words: list[str], records: Records) -> int:
    ident = _id("state", "Print the state of a container as JSON.", words)
    say_line(json.dumps(records.load(ident).spoken(), indent=2))
    return 0


def _kill(words: list[str], records: Records) -> int:
    parser = oci_asked.parser("kill", "[--all] ID [SIGNAL]", "Send a signal to a container's first process.")
    parser.add_argument("-a", "--all", action="store_true", help="to all its processes")
    parser.add_argument("id")
    parser.add_argument("signal", nargs="?", default="TERM")
    arguments = parser.parse_args(words)
    from sandbox.oci import runtime  # noqa: PLC0415
    from sandbox.signals import number_of  # noqa: PLC0415

    number = 0 if arguments.signal == "0" else number_of(arguments.signal)  # 0: is it there?
    runtime.kill(records, arguments.id, number, everything=arguments.all)
    return 0


def _delete(words: list[str], records: Records) -> int:
    parser = oci_asked.parser("delete", "[--force] ID", "Remove a container that has ended.")
    parser.add_argument("-f", "--force", action="store_true", help="also one that has not: it is killed")
    parser.add_argument("id")
    arguments = parser.parse_args(words)
    from sandbox.oci import runtime  # noqa: PLC0415

    runtime.delete(records, arguments.id, force=arguments.force)
    return 0


def _exec(words: list[str], records: Records) -> int:
    arguments = oci_asked.exec_parser().parse_args(words)
    from sandbox.oci import executing  # noqa: PLC0415

    how = executing.How(arguments.detach, arguments.ignore_paused, tuple(arguments.cgroup))
    return executing.execute(records, arguments.id, oci_asked.process(arguments, records), _ends(arguments), how)


def _ps(words: list[str], records: Records) -> int:
    parser = oci_asked.parser("ps", "[--format json|table] ID [PS-OPTION...]", "List the processes of a container.")
    parser.add_argument("-f", "--format", default="table", choices=["table", "json"], help="how (default table)")
    parser.add_argument("id")
    parser.add_argument("rest", nargs="...")
    arguments = parser.parse_args(words)
    from sandbox.oci import runtime  # noqa: PLC0415

    found = runtime.processes(records, arguments.id)
    say_line(json.dumps(found) if arguments.format == "json" else _table_of_ps(found, arguments.rest or ["-ef"]))
    return 0


def _table_of_ps(pids: list[int], options: list[str]) -> str:
    """Return what ps(1) says of these processes, by the column PID of what it says of all."""
    import subprocess  # noqa: PLC0415

    try:
        done = subprocess.run(["ps", *options], capture_output=True, check=False)  # noqa: S603, S607  as runc does it
    except OSError as error:
        raise SandboxError(f"ps: {error.strerror}: --format json needs none") from None
    head, *lines = done.stdout.decode(errors="backslashreplace").splitlines() or [""]
    if done.returncode or "PID" not in head.split():
        said = " ".join(done.stderr.decode(errors="backslashreplace").split()) or "no column PID"
        raise SandboxError(f"ps {' '.join(options)}: {said}")
    column, wanted = head.split().index("PID"), {str(pid) for pid in pids}
    ours = (line for line in lines if wanted.intersection(line.split()[column : column + 1]))
    return "\n".join([head, *ours])


def _events(words: list[str], records: Records) -> int:
    parser = oci_asked.parser("events", "[--stats | --interval TIME] ID", "Print what a container uses, as JSON.")
    parser.add_argument("--stats", action="store_true", help="once")
    parser.add_argument("--interval", default="5s", metavar="TIME", help="how often (default 5s)")
    parser.add_argument("id")
    arguments = parser.parse_args(words)
    from sandbox.oci import events, runtime  # noqa: PLC0415
    from sandbox.times import parse_duration  # noqa: PLC0415

    try:
        seconds = parse_duration(arguments.interval)
    except ValueError as error:
        raise SandboxError(f"--interval: {error}") from None
    if seconds <= 0:
        raise SandboxError(f"--interval {arguments.interval}: duration interval must be greater than 0")
    record = runtime.alive(records, arguments.id, "created", "running", "paused")
    for event in [events.stats(record)] if arguments.stats else events.follow(record, seconds):
        say_line(json.dumps(event, separators=(",", ":")))
        sys.stdout.flush()
    return 0


def _pause(words: list[str], records: Records) -> int:
    from sandbox.oci import runtime  # noqa: PLC0415

    runtime.pause(records, _id("pause", "Stop all processes of a container.", words))
    return 0


def _resume(words: list[str], records: Records) -> int:
    from sandbox.oci import runtime  # noqa: PLC0415

    runtime.resume(records, _id("resume", "Let the processes of a container go on.", words))
    return 0


def _update(words: list[str], records: Records) -> int:
    arguments = oci_asked.update_parser().parse_args(words)
    from sandbox.oci import runtime  # noqa: PLC0415

    runtime.update(records, arguments.id, oci_asked.resources(arguments))
    return 0


def _list(words: list[str], records: Records) -> int:
    parser = oci_asked.parser("list", "[--format json|table]", "List the containers below --root.")
    parser.add_argument("-f", "--format", default="table", choices=["table", "json"], help="how (default table)")
    parser.add_argument("-q", "--quiet", action="store_true", help="only their ids")
    arguments = parser.parse_args(words)
    found = [{**record.spoken(), "created": record.created(), "owner": record.owner()} for record in records.all()]
    if arguments.quiet:
        for each in found:
            say_line(each["id"])
    elif arguments.format == "json":
        say_line(json.dumps(found))
    else:
        from sandbox.document import table  # noqa: PLC0415

        heads = ("id", "pid", "status", "bundle", "created", "owner")
        say_line(table([[head.upper() for head in heads], *([str(each[head]) for head in heads] for each in found)]))
    return 0


def _spec(words: list[str], _: Records) -> int:
    parser = oci_asked.parser("spec", "[--bundle DIR]", "Write a config.json to begin with.")
    parser.add_argument("-b", "--bundle", default=".", metavar="DIR", help="the bundle (default: here)")
    path = os.path.join(parser.parse_args(words).bundle, "config.json")
    from sandbox.oci.example import example  # noqa: PLC0415

    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(f"{json.dumps(example(SPEC_VERSION), indent=4)}\n")
    except FileExistsError:
        raise SandboxError(f"{path} exists: remove it first") from None
    return 0


def _features(words: list[str], _: Records) -> int:
    oci_asked.parser("features", "", "Print what this runtime can do, as JSON.").parse_args(words)
    from sandbox.oci import features  # noqa: PLC0415

    say_line(json.dumps(features.features(), indent=2))
    return 0


VERBS: dict[str, Callable[[list[str], Records], int]] = {
    "create": _create,
    "start": _start,
    "run": _run,
    "state": _state,
    "kill": _kill,
    "delete": _delete,
    "exec": _exec,
    "ps": _ps,
    "events": _events,
    "pause": _pause,
    "resume": _resume,
    "update": _update,
    "list": _list,
    "spec": _spec,
    "features": _features,
}
