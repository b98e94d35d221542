"""`sandbox oci`: the command line that containerd, Docker and Podman expect of a runtime, as runc has it.

Errors are one line on standard error, and with --log in that file too, which is
where containerd looks for them.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from typing import TYPE_CHECKING

from sandbox.commands.oci_verbs import SPEC_VERSION, VERBS
from sandbox.commands.output import say_line
from sandbox.errors import SandboxError, describe
from sandbox.parsing import Arguments, Parser, new_parser

if TYPE_CHECKING:
    from typing import NoReturn

    from sandbox.state import Store

__all__ = ["command", "oci", "oci_parser"]

FAILED = 1
EXEC_FAILED = 255  # so that it is no code of the program's, as in runc
ROOT = "/run/cgscope-oci"


def oci_parser() -> Parser:
    """Return the parser of `sandbox oci`, up to its verb."""
    parser = new_parser(
        "oci",
        "[OPTIONS] VERB [ARG...]",
        "The OCI runtime command line, with which Docker, containerd and Podman start containers. Verbs: create, start,"
        " run, state, kill, delete, exec, ps, events, pause, resume, update, list, spec, features.",
    )
    add = parser.add_argument
    add("--root", default=ROOT, metavar="DIR", help="where the state of its containers is kept")
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
    log = _open_log(arguments.log)
    try:
        return _verb(parser, arguments)
    except (SandboxError, OSError) as error:
        _log(log, arguments.log_format, describe(error))
        # Whatever Docker's code would be: a runtime that fails exits with 1.
        raise SandboxError(describe(error), EXEC_FAILED if arguments.verb == "exec" else FAILED) from None


def command() -> NoReturn:
    """Be `sandbox-oci`: for callers that take the name of a runtime, but no words behind it."""
    from sandbox import cli  # noqa: PLC0415

    cli.command(["oci", *sys.argv[1:]])


def _open_log(path: str) -> int:
    """Open the file of --log at once, so that one that cannot be written is an error by itself; -1 for none."""
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644) if path else -1
    except OSError as error:
        raise SandboxError(f"--log {path}: {error.strerror}", FAILED) from None


def _log(log: int, form: str, text: str) -> None:
    if log < 0:
        return
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    line = json.dumps({"level": "error", "msg": text, "time": now}) if form == "json" else text
    with contextlib.suppress(OSError):  # the error itself is told on standard error
        os.write(log, f"{line}\n".encode())


def _verb(parser: Parser, arguments: Arguments) -> int:
    if arguments.version:
        from sandbox.about import own_version  # noqa: PLC0415

        say_line(f"sandbox version {own_version()}\nspec: {SPEC_VERSION}")
        return 0
    if arguments.systemd_cgroup:
        raise SandboxError("--systemd-cgroup: systemd makes no cgroups for the sandbox: use the driver cgroupfs")
    if arguments.verb not in VERBS:
        parser.error(f"{arguments.verb!r} is no verb of a runtime" if arguments.verb else "no verb is given")
    if os.geteuid() != 0:
        raise SandboxError("the runtime needs root: sandbox run works without")
    from sandbox.oci.records import Records  # noqa: PLC0415

    root = os.path.abspath(arguments.root)
    if arguments.verb == "list" and root != ROOT and not os.path.isdir(root):
        raise SandboxError(f"--root {root}: no such directory")
    return VERBS[arguments.verb](arguments.rest, Records(root))
