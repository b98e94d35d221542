"""The verbs for any process, whoever made its container: `enter`, `freeze`, `thaw`, `limit`.

Each is a parser and a small function. Options may stand before and after the
PID, as people type them; `enter`'s end where its program begins.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sandbox.commands.output import say_line
from sandbox.parsing import Arguments, Parser, new_parser, parse_up_to_program

if TYPE_CHECKING:
    from sandbox.adjust import Asked
    from sandbox.state import Store

__all__ = [
    "enter",
    "enter_parser",
    "freeze",
    "freeze_parser",
    "limit",
    "limit_parser",
    "thaw",
    "thaw_parser",
]

NAMESPACES = {
    "mnt": "its files",
    "net": "its network",
    "pid": "its processes",
    "uts": "its host name",
    "ipc": "its System V and POSIX IPC",
    "user": "its users",
    "cgroup": "its view of the cgroups",
    "time": "its clocks",
}
NONE = "none"


def enter_parser() -> Parser:
    """Return the parser of `sandbox enter`."""
    parser = new_parser(
        "enter",
        "PID [OPTIONS] [--] [COMMAND [ARG...]]",
        "Run a program, or a shell, where a process is: in its cgroups and its namespaces, all of them or those named.",
    )
    add = parser.add_argument
    for kind, what in NAMESPACES.items():
        add(f"--{kind}", dest="namespaces", action="append_const", const=kind, help=f"only this namespace: {what}")
    add("--no-cgroup", action="store_true", help="stay in our own cgroups: its limits do not hold for the program")
    add("--root", default="", metavar="DIR", help="another root directory than its own, as it is called here")
    add("--wd", default="", metavar="DIR", help="another working directory than its own, as it is called in there")
    add("-u", dest="user_name", default="", metavar="USER[:GROUP]", help="by the container's passwd (default root)")
    add("-e", dest="variables", action="append", default=[], metavar="K[=V]", help="an environment variable")
    add("--env", action="store_true", help="the process's own environment too, not only PATH, TERM and HOME")
    add("--privileged", action="store_true", help="keep all our capabilities, not only those that it may have")
    _add_started(parser)
    return parser


def _add_started(parser: Parser) -> None:
    parser.add_argument("--started", type=int, metavar="TICKS", help="refuse a PID whose process started at another"
                        " time: field 22 of /proc/PID/stat")  # fmt: skip


def _pid(parser: Parser, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10):  # noqa: PLR2004  beyond any PID
        parser.error(f"{text!r} is not a PID")
    return int(text)


def enter(words: list[str], _: Store) -> int:
    """Run a program where a process is."""
    parser = enter_parser()
    parser.add_argument("pid", metavar="PID", nargs="?")
    first = parse_up_to_program(parser, words, "rest")
    if first.pid is None:
        parser.error("no PID: give that of a process in the container")
    # What follows the PID may be options still.
    arguments = parse_up_to_program(enter_parser(), words[len(words) - len(first.rest) :], "command", first)
    from sandbox.enter import Wish  # noqa: PLC0415
    from sandbox.enter import enter as run  # noqa: PLC0415

    wish = Wish(
        pid=_pid(parser, arguments.pid),
        argv=tuple(arguments.command),
        namespaces=frozenset(arguments.namespaces or ()),
        cgroups=not arguments.no_cgroup,
        user=arguments.user_name,
        root=arguments.root,
        workdir=arguments.wd,
        env=tuple(arguments.variables),
        its_environment=arguments.env,
        privileged=arguments.privileged,
        started=arguments.started,
    )
    return run(wish, os.environ)


def _group_parser(name: str, usage: str, text: str) -> Parser:
    parser = new_parser(name, usage, text)
    parser.add_argument("pid", metavar="PID")
    parser.add_argument("--force", action="store_true", help="also a cgroup that holds more than the container")
    _add_started(parser)
    return parser


def freeze_parser() -> Parser:
    """Return the parser of `sandbox freeze`."""
    return _group_parser("freeze", "PID [--force]", "Stop all processes of a process's container, until a thaw.")


def thaw_parser() -> Parser:
    """Return the parser of `sandbox thaw`."""
    return _group_parser("thaw", "PID [--force]", "Let the processes of a frozen container go on.")


def freeze(words: list[str], _: Store) -> int:
    """Stop a container."""
    from sandbox import freezer  # noqa: PLC0415

    parser = freeze_parser()
    arguments = parser.parse_args(words)
    say_line(freezer.freeze(_pid(parser, arguments.pid), force=arguments.force, started=arguments.started))
    return 0


def thaw(words: list[str], _: Store) -> int:
    """Let a container go on."""
    from sandbox import freezer  # noqa: PLC0415

    parser = thaw_parser()
    arguments = parser.parse_args(words)
    say_line(freezer.thaw(_pid(parser, arguments.pid), force=arguments.force, started=arguments.started))
    return 0


def limit_parser() -> Parser:
    """Return the parser of `sandbox limit`."""
    parser = _group_parser(
        "limit",
        "PID [OPTIONS]",
        "Change the limits of a process's container while it runs; without an option, tell them.",
    )
    add = parser.add_argument
    add("--cpus", default="", metavar="N", help="as many CPUs, such as 0.5, or none for no limit")
    add("--cpu-quota", default="", metavar="US", help="microseconds of CPU in each period, or none")
    add("--cpu-period", type=int, default=0, metavar="US", help="the period (default: as it is)")
    add("-m", "--memory", default="", metavar="SIZE", help="bytes, or with b, k, m, g; 6m at least; or none")
    add("--pids", default="", metavar="N", help="how many processes and threads, or none")
    return parser


def limit(words: list[str], _: Store) -> int:
    """Change the limits of a container."""
    from sandbox.adjust import adjust  # noqa: PLC0415

    parser = limit_parser()
    arguments = parser.parse_args(words)
    asked = _asked(parser, arguments)
    pid = _pid(parser, arguments.pid)
    for line in adjust(pid, asked, force=arguments.force, started=arguments.started):
        say_line(line)
    return 0


def _asked(parser: Parser, arguments: Arguments) -> dict[str, Asked]:
    """Check the options as `sandbox run` does, and return what is to be changed."""
    from sandbox.adjust import Asked  # noqa: PLC0415
    from sandbox.limits import limits as parsed  # noqa: PLC0415

    given = {name: getattr(arguments, name) for name in ("cpus", "cpu_quota", "memory", "pids")}
    numbers = {name: "" if value == NONE else value for name, value in given.items()}
    for name in ("cpu_quota", "pids"):
        if numbers[name] and not (numbers[name].isascii() and numbers[name].isdecimal() and len(numbers[name]) < 20):  # noqa: PLR2004
            parser.error(f"--{name.replace('_', '-')}: {numbers[name]!r} is neither a whole number nor none")
    for name, value in numbers.items():
        if value and not value.strip("0."):
            parser.error(f"--{name.replace('_', '-')} {value}: say none for no limit")
    if given["cpus"] and (given["cpu_quota"] or arguments.cpu_period):
        parser.error("--cpus and --cpu-quota or --cpu-period cannot both be given")
    if arguments.cpu_period and not given["cpu_quota"]:
        parser.error("--cpu-period needs --cpu-quota")
    limits = parsed(
        cpus=numbers["cpus"] or None,
        quota=int(numbers["cpu_quota"] or 0),
        period=arguments.cpu_period,
        memory=numbers["memory"] or None,
        pids=int(numbers["pids"]) if numbers["pids"] else None,
        host_cpus=os.cpu_count() or 1,
    )
    found = {}
    if given["cpus"] or given["cpu_quota"]:
        found["cpu"] = Asked(limits.cpu_quota_us, limits.cpu_period_us)
    if given["memory"]:
        found["memory"] = Asked(limits.memory_bytes)
    if given["pids"]:
        found["pids"] = Asked(limits.pids)
    return found
