"""`sandbox oci`: the command line that containerd, Docker and Podman expect of a runtime, as runc has it.

Errors are one line on standard error, and with --log in that file too, which is
where containerd looks for them.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sandbox.commands.output import say_line
from sandbox.errors import SandboxError, describe
from sandbox.parsing import Arguments, Parser, new_parser

if TYPE_CHECKING:
    from sandbox.oci.records import Records
    from sandbox.state import Store

__all__ = ["main", "oci", "oci_parser"]

SPEC_VERSION = "1.2.0"
FAILED = 1


def oci_parser() -> Parser:
    """Return the parser of `sandbox oci`, up to its verb."""
    parser = new_parser(
        "oci",
        "[OPTIONS] VERB [ARG...]",
        "The OCI runtime command line, with which Docker, containerd and Podman start containers. Verbs: create, start,"
        " run, state, kill, delete, exec, ps, pause, resume, update, list, features.",
    )
    add = parser.add_argument
    add("--root", default="/run/cgscope-oci", metavar="DIR", help="where the state of its containers is kept")
    add("--log", default="", metavar="FILE", help="write errors there too")
    add("--log-format", default="text", choices=["text", "json"], help="how they are written there")
    add("--debug", action="store_true", help="accepted: there is nothing more to be said")
    add("--systemd-cgroup", action="store_true", help="refused: systemd makes no cgroups for the sandbox")
    add("--rootless", default="", metavar="BOOL", help="accepted, as runc has it")
    add("--version", "-v", action="store_true", help="print version and specification")
    return parser


def oci(words: list[str], _: Store | None = None) -> int:
    """Run one verb of the runtime; returns its exit code."""
    parser = oci_parser()
    parser.add_argument("verb", nargs="?")
    parser.add_argument("rest", nargs="...")
    arguments = parser.parse_args(words)
    try:
        return _verb(parser, arguments)
    except (SandboxError, OSError) as error:
        _log(arguments, describe(error))
        # Whatever Docker's code would be: a runtime that fails exits with 1.
        raise SandboxError(describe(error), FAILED) from None


def main() -> int:
    """Be `sandbox-oci`: for callers that take the name of a runtime, but no words behind it."""
    from sandbox import cli  # noqa: PLC0415

    return cli.main(["oci", *sys.argv[1:]])


def _log(arguments: Arguments, text: str) -> None:
    if not arguments.log:
        return
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    line = json.dumps({"level": "error", "msg": text, "time": now})
    try:
        with open(arguments.log, "a", encoding="utf-8") as file:
            file.write(f"{line if arguments.log_format == 'json' else text}\n")
    except OSError:  # the error itself is told on standard error
        return


def _verb(parser: Parser, arguments: Arguments) -> int:
    if arguments.version:
        from importlib.metadata import version  # noqa: PLC0415

        say_line(f"sandbox version {version('cgscope')}\nspec: {SPEC_VERSION}")
        return 0
    if arguments.systemd_cgroup:
        raise SandboxError("--systemd-cgroup: systemd makes no cgroups for the sandbox: use the driver cgroupfs")
    if arguments.verb not in VERBS:
        parser.error(f"{arguments.verb!r} is no verb of a runtime" if arguments.verb else "no verb is given")
    if os.geteuid() != 0:
        raise SandboxError("the runtime needs root: sandbox run works without")
    from sandbox.oci.records import Records  # noqa: PLC0415

    return VERBS[arguments.verb](arguments.rest, Records(os.path.abspath(arguments.root)))


def _parser(name: str, usage: str, text: str) -> Parser:
    return new_parser(f"oci {name}", usage, text)


def _id(name: str, text: str, words: list[str]) -> str:
    """Parse the words of a verb that takes a container's id and nothing else."""
    parser = _parser(name, "ID", text)
    parser.add_argument("id")
    return str(parser.parse_args(words).id)


def _add_ends(parser: Parser) -> None:
    parser.add_argument("--console-socket", default="", metavar="SOCKET", help="where a terminal's master is sent")
    parser.add_argument("--pid-file", default="", metavar="FILE", help="where the PID is written")


def _create_parser(name: str) -> Parser:
    parser = _parser(name, "[OPTIONS] ID", "Make a container from a bundle.")
    parser.add_argument("-b", "--bundle", default=".", metavar="DIR", help="the bundle (default: here)")
    _add_ends(parser)
    for option in ("--no-pivot", "--no-new-keyring"):
        parser.add_argument(option, action="store_true", help="refused: a container without is none")
    parser.add_argument("--preserve-fds", type=int, default=0, metavar="N", help="only 0: no descriptor is handed on")
    parser.add_argument("id")
    return parser


def _create(words: list[str], records: Records) -> int:
    _make(_create_parser("create").parse_args(words), records)
    return 0


def _make(arguments: Arguments, records: Records) -> None:
    from sandbox.oci import runtime  # noqa: PLC0415

    if arguments.no_pivot or arguments.preserve_fds:
        raise SandboxError("--no-pivot and --preserve-fds are not supported")
    ends = runtime.Ends(arguments.console_socket, arguments.pid_file)
    runtime.create(records, arguments.id, arguments.bundle, ends)


def _run(words: list[str], records: Records) -> int:
    parser = _create_parser("run")
    parser.add_argument("-d", "--detach", action="store_true", help="do not wait for its end")
    parser.add_argument("--keep", action="store_true", help="do not delete it at its end")
    arguments = parser.parse_args(words)
    from sandbox.oci import runtime  # noqa: PLC0415

    _make(arguments, records)
    runtime.start(records, arguments.id)
    if arguments.detach:
        return 0
    code = runtime.wait(records, arguments.id)
    if not arguments.keep:
        runtime.delete(records, arguments.id, force=True)
    return code


def _start(words: list[str], records: Records) -> int:
    from sandbox.oci import runtime  # noqa: PLC0415

    runtime.start(records, _id("start", "Start the program of a created container.", words))
    return 0


def _state(words: list[str], records: Records) -> int:
    ident = _id("state", "Print the state of a container as JSON.", words)
    say_line(json.dumps(records.load(ident).spoken(), indent=2))
    return 0


def _kill(words: list[str], records: Records) -> int:
    parser = _parser("kill", "[--all] ID [SIGNAL]", "Send a signal to a container's first process.")
    parser.add_argument("-a", "--all", action="store_true", help="to all its processes")
    parser.add_argument("id")
    parser.add_argument("signal", nargs="?", default="TERM")
    arguments = parser.parse_args(words)
    from sandbox.oci import runtime  # noqa: PLC0415
    from sandbox.signals import number_of  # noqa: PLC0415

    runtime.kill(records, arguments.id, number_of(arguments.signal), everything=arguments.all)
    return 0


def _delete(words: list[str], records: Records) -> int:
    parser = _parser("delete", "[--force] ID", "Remove a container that has ended.")
    parser.add_argument("-f", "--force", action="store_true", help="also one that has not: it is killed")
    parser.add_argument("id")
    arguments = parser.parse_args(words)
    from sandbox.oci import runtime  # noqa: PLC0415

    runtime.delete(records, arguments.id, force=arguments.force)
    return 0


def _exec_parser() -> Parser:
    parser = _parser("exec", "[OPTIONS] ID [COMMAND [ARG...]]", "Run one more program in a container.")
    add = parser.add_argument
    _add_ends(parser)
    add("-p", "--process", default="", metavar="FILE", help="a process as in config.json, in place of the command")
    add("-d", "--detach", action="store_true", help="do not wait for its end")
    add("-t", "--tty", action="store_true", help="give it a terminal")
    add("-u", "--user", default="", metavar="UID[:GID]", help="as whom")
    add("-e", "--env", action="append", default=[], metavar="K=V", help="an environment variable")
    add("-c", "--cap", action="append", default=[], metavar="CAP", help="one more capability")
    add("--no-new-privs", action="store_true", help="nothing it executes gains rights")
    add("--cwd", default="", metavar="DIR", help="where it starts")
    add("--preserve-fds", type=int, default=0, metavar="N", help="only 0: no descriptor is handed on")
    add("id")
    add("command", nargs="...")
    return parser


def _exec(words: list[str], records: Records) -> int:
    arguments = _exec_parser().parse_args(words)
    from sandbox.oci import runtime  # noqa: PLC0415

    if arguments.preserve_fds:
        raise SandboxError("--preserve-fds is not supported")
    process = _read(arguments.process) if arguments.process else _process(arguments, records)
    ends = runtime.Ends(arguments.console_socket, arguments.pid_file)
    return runtime.execute(records, arguments.id, process, ends, detach=arguments.detach)


def _process(arguments: Arguments, records: Records) -> dict[str, Any]:
    """Return the process of the container's own configuration, with what the command line says instead."""
    config = _read(f"{records.load(arguments.id).directory}/config.json")
    process: dict[str, Any] = {**config["process"], "args": arguments.command, "terminal": arguments.tty}
    process["env"] = [*process.get("env", []), *arguments.env]
    if arguments.cap:
        given = {key: list(names) for key, names in process.get("capabilities", {}).items()}
        for key in ("bounding", "effective", "permitted", "inheritable", "ambient"):
            given[key] = [*given.get(key, []), *arguments.cap]
        process["capabilities"] = given
    process["noNewPrivileges"] = process.get("noNewPrivileges", False) or arguments.no_new_privs
    if arguments.cwd:
        process["cwd"] = arguments.cwd
    if arguments.user:
        uid, _, gid = arguments.user.partition(":")
        if not all(part.isascii() and part.isdecimal() for part in (uid, gid or "0")):
            raise SandboxError(f"--user {arguments.user!r}: the form is UID[:GID]")
        process["user"] = {"uid": int(uid), "gid": int(gid or "0")}
    return process


def _read(path: str) -> Any:  # noqa: ANN401  whatever is in the file
    try:
        with sys.stdin if path == "-" else open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError) as error:
        raise SandboxError(f"{path}: {describe(error)}") from None


def _ps(words: list[str], records: Records) -> int:
    parser = _parser("ps", "[--format json|table] ID", "List the processes of a container.")
    parser.add_argument("-f", "--format", default="table", choices=["table", "json"], help="how (default table)")
    parser.add_argument("id")
    parser.add_argument("rest", nargs="...")
    arguments = parser.parse_args(words)
    from sandbox.oci import runtime  # noqa: PLC0415

    found = runtime.processes(records, arguments.id)
    say_line(json.dumps(found) if arguments.format == "json" else "\n".join(["PID", *map(str, found)]))
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
    parser = _parser("update", "--resources FILE ID", "Change the limits of a container.")
    parser.add_argument("-r", "--resources", required=True, metavar="FILE", help="as in config.json; -: standard input")
    parser.add_argument("id")
    arguments = parser.parse_args(words)
    from sandbox.oci import runtime  # noqa: PLC0415

    resources = _read(arguments.resources)
    if not isinstance(resources, dict):
        raise SandboxError(f"{arguments.resources}: not an object")
    runtime.update(records, arguments.id, resources)
    return 0


def _list(words: list[str], records: Records) -> int:
    parser = _parser("list", "[--format json|table]", "List the containers below --root.")
    parser.add_argument("-f", "--format", default="table", choices=["table", "json"], help="how (default table)")
    parser.add_argument("-q", "--quiet", action="store_true", help="only their ids")
    arguments = parser.parse_args(words)
    found = [record.spoken() for record in records.all()]
    if arguments.quiet:
        sys.stdout.write("".join(f"{each['id']}\n" for each in found))
    elif arguments.format == "json":
        say_line(json.dumps(found))
    else:
        from sandbox.document import table  # noqa: PLC0415

        rows = [["ID", "PID", "STATUS", "BUNDLE"]]
        say_line(table(rows + [[each["id"], str(each["pid"]), each["status"], each["bundle"]] for each in found]))
    return 0


def _features(words: list[str], _: Records) -> int:
    _parser("features", "", "Print what this runtime can do, as JSON.").parse_args(words)
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
    "pause": _pause,
    "resume": _resume,
    "update": _update,
    "list": _list,
    "features": _features,
}
