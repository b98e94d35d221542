"""What `sandbox oci exec` and `update` are asked for: by a file, as engines do it, or word by word, as people do."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from sandbox.capabilities import ALL
from sandbox.errors import SandboxError, describe
from sandbox.limits import UNLIMITED, parse_size
from sandbox.parsing import Arguments, Parser, new_parser

if TYPE_CHECKING:
    from sandbox.oci.records import Records

__all__ = ["add_ends", "exec_parser", "parser", "process", "resources", "update_parser"]

# An option of `update`, and where its value is in the resources of config.json.
SIZES = {"memory": ("memory", "limit"), "memory-swap": ("memory", "swap"),
         "memory-reservation": ("memory", "reservation")}  # fmt: skip
NUMBERS = {"cpu-period": ("cpu", "period"), "cpu-quota": ("cpu", "quota"), "cpu-burst": ("cpu", "burst"),
           "cpu-share": ("cpu", "shares"), "cpu-idle": ("cpu", "idle"),
           "cpu-rt-period": ("cpu", "realtimePeriod"), "cpu-rt-runtime": ("cpu", "realtimeRuntime"),
           "blkio-weight": ("blockIO", "weight"),
           "pids-limit": ("pids", "limit")}  # fmt: skip
DIGITS = 10  # of an id
WORDS = {"cpuset-cpus": ("cpu", "cpus"), "cpuset-mems": ("cpu", "mems")}


def parser(name: str, usage: str, text: str) -> Parser:
    """Return the parser of one verb."""
    return new_parser(f"oci {name}", usage, text)


def add_ends(made: Parser) -> None:
    """Add where the caller wants to hear of a new process."""
    made.add_argument("--console-socket", default="", metavar="SOCKET", help="where a terminal's master is sent")
    made.add_argument("--pidfd-socket", default="", metavar="SOCKET", help="where its pidfd is sent")
    made.add_argument("--pid-file", default="", metavar="FILE", help="where the PID is written")
    made.add_argument("--preserve-fds", type=int, default=0, metavar="N", help="hand on N descriptors, from 3 on")


def exec_parser() -> Parser:
    """Return the parser of `exec`."""
    made = parser("exec", "[OPTIONS] ID [COMMAND [ARG...]]", "Run one more program in a container.")
    add = made.add_argument
    add_ends(made)
    add("-p", "--process", default="", metavar="FILE", help="a process as in config.json, in place of the command")
    add("-d", "--detach", action="store_true", help="do not wait for its end")
    add("-t", "--tty", action="store_true", help="give it a terminal")
    add("-u", "--user", default="", metavar="UID[:GID]", help="as whom")
    add("-e", "--env", action="append", default=[], metavar="K=V", help="an environment variable")
    add("-c", "--cap", action="append", default=[], metavar="CAP", help="one more capability")
    add("--no-new-privs", action="store_true", help="nothing it executes gains rights")
    add("--cwd", default="", metavar="DIR", help="where it starts")
    add("-g", "--additional-gids", action="append", type=int, default=[], metavar="GID", help="one more group")
    add("--ignore-paused", action="store_true", help="in a paused container it waits, in place of an error")
    add("--cgroup", action="append", default=[], metavar="[NAME,...:]PATH", help="below the container's own cgroup")
    add("id")
    add("command", nargs="...")
    return made


def process(arguments: Arguments, records: Records) -> Any:  # noqa: ANN401  whatever is in the file
    """Return what `exec` runs: the file's, or the container's own process with what the command line says instead."""
    if arguments.process:
        return _read(arguments.process)
    config = _read(f"{records.load(arguments.id).directory}/config.json")
    asked: dict[str, Any] = {**config["process"], "args": arguments.command, "terminal": arguments.tty}
    asked["env"] = [*(asked.get("env") or []), *arguments.env]
    if unknown := [name for name in arguments.cap if name.removeprefix("CAP_") not in ALL]:
        raise SandboxError(f"--cap: unknown {', '.join(unknown)}")
    if arguments.cap:
        given = {key: names or [] for key, names in (asked.get("capabilities") or {}).items()}
        for key in ("bounding", "effective", "permitted"):
            given[key] = [*given.get(key, []), *arguments.cap]
        inherited = [name for name in arguments.cap if name in given.get("inheritable", [])]
        given["ambient"] = [*given.get("ambient", []), *inherited]
        asked["capabilities"] = given
    asked["noNewPrivileges"] = asked.get("noNewPrivileges", False) or arguments.no_new_privs
    if arguments.cwd:
        asked["cwd"] = arguments.cwd
    if arguments.user:
        uid, _, gid = arguments.user.partition(":")
        if not all(part.isascii() and part.isdecimal() and len(part) <= DIGITS for part in (uid, gid or "0")):
            raise SandboxError(f"--user {arguments.user!r}: the form is UID[:GID]")
        asked["user"] = {"uid": int(uid), "gid": int(gid or "0")}
    if arguments.additional_gids:
        own = asked.get("user") or {}
        asked["user"] = {**own, "additionalGids": [*(own.get("additionalGids") or []), *arguments.additional_gids]}
    return asked


def update_parser() -> Parser:
    """Return the parser of `update`."""
    made = parser("update", "[--resources FILE | LIMIT...] ID", "Change the limits of a container.")
    made.add_argument("-r", "--resources", default="", metavar="FILE", help="as in config.json; -: standard input")
    for name, (part, key) in SIZES.items():
        made.add_argument(f"--{name}", type=_size, metavar="BYTES", help=f"{part}.{key}, such as 64m; -1 for none")
    for name, (part, key) in NUMBERS.items():
        made.add_argument(f"--{name}", type=int, metavar="N", help=f"{part}.{key}")
    for name, (part, key) in WORDS.items():
        made.add_argument(f"--{name}", metavar="LIST", help=f"{part}.{key}, such as 0-1")
    made.add_argument("id")
    return made


def _size(text: str) -> int:
    return UNLIMITED if text == "-1" else parse_size(text, "a limit")


def resources(arguments: Arguments) -> dict[str, Any]:
    """Return the resources that `update` is to change."""
    if arguments.resources:
        found = _read(arguments.resources)
        if not isinstance(found, dict):
            raise SandboxError(f"{arguments.resources}: not an object")
        return found
    asked: dict[str, dict[str, Any]] = {}
    for name, (part, key) in {**SIZES, **NUMBERS, **WORDS}.items():
        value = getattr(arguments, name.replace("-", "_"))
        if value is not None:
            asked.setdefault(part, {})[key] = value
    return asked


def _read(path: str) -> Any:  # noqa: ANN401  whatever is in the file
    try:
        with sys.stdin if path == "-" else open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise SandboxError(f"{path}: {describe(error)}") from None
