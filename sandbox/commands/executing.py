"""`sandbox exec`: one more program in a container that runs."""

from __future__ import annotations

import os

from sandbox.errors import SandboxError
from sandbox.parsing import Arguments, Parser, new_parser, parse_up_to_program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.full_parsing import FullParser
    from sandbox.state import Store

__all__ = ["exec", "exec_parser"]


def exec_parser() -> Parser:
    """Return the parser of `sandbox exec`."""
    parser = new_parser("exec", "[OPTIONS] CONTAINER COMMAND [ARG...]", "Run one more program in a running container.")
    add = parser.add_argument
    add("-d", "--detach", action="store_true", help="in the background")
    add("-i", "--interactive", action="store_true", help="give it our standard input")
    add("-t", "--tty", action="store_true", help="give it a terminal")
    add("-e", "--env", action="append", default=[], metavar="K[=V]", help="an environment variable")
    add("--env-file", action="append", default=[], metavar="FILE", help="environment variables, one a line")
    add("-w", "--workdir", default="", metavar="DIR", help="where the program starts")
    add("-u", "--user", default="", metavar="USER[:GROUP]", help="name or number, by the container's passwd")
    add("--privileged", action="store_true", help="all capabilities; what else holds it in stays")
    add("container")
    parser.add_rare = _add_rare
    return parser


def _add_rare(parser: FullParser) -> None:
    from sandbox.commands.rare_options import refuse  # noqa: PLC0415

    refuse(parser, {"--detach-keys": "a program of exec ends with it; -d starts one that does not"})


def _environment(arguments: Arguments) -> tuple[str, ...]:
    if not arguments.env_file:
        return tuple(arguments.env)
    from sandbox.commands.lifecycle_options import environment_of  # noqa: PLC0415  rare

    return environment_of(arguments)


def exec(words: list[str], store: Store) -> int:  # noqa: A001  the verb is called so
    """Run one more program in a running container."""
    parser = exec_parser()
    arguments = parse_up_to_program(parser, words, "command")
    if not arguments.command:
        parser.error("no command: give the program to run after the container")
    if arguments.interactive and arguments.tty and not os.isatty(0):
        raise SandboxError("the input device is not a TTY", 1)
    from sandbox import executing  # noqa: PLC0415

    options = executing.ExecOptions(
        argv=tuple(arguments.command),
        env=_environment(arguments),
        workdir=arguments.workdir,
        user=arguments.user,
        interactive=arguments.interactive,
        tty=arguments.tty and not arguments.detach,
        detach=arguments.detach,
        privileged=arguments.privileged,
    )
    return executing.execute(store, arguments.container, options, os.environ)
