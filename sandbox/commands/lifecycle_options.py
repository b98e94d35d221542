"""The options of `run` and `create` that say how a container lives: labels, restarts, health, stop, log."""

from __future__ import annotations

import os
from collections.abc import Iterator

from sandbox.contexts import contextmanager
from sandbox.errors import BadValue, SandboxError, code_of, describe
from sandbox.parsing import Arguments, Parser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.lifecycle import Lifecycle

__all__ = ["add_lifecycle_options", "environment_of", "lifecycle_of", "write_id"]


def add_lifecycle_options(parser: Parser) -> None:
    """Add the options."""
    add = parser.add_argument
    add("--env-file", action="append", default=[], metavar="FILE", help="environment variables, one a line")
    add("-l", "--label", action="append", default=[], metavar="K[=V]", help="a label, for filters")
    add("--label-file", action="append", default=[], metavar="FILE", help="labels, one a line")
    add("--cidfile", default="", metavar="FILE", help="write the container's id there; the file must not exist")
    policies = "no, on-failure[:N], always, unless-stopped"
    add("--restart", default="", metavar="POLICY", help=f"when to start it again: {policies}")
    add("--stop-signal", default="", metavar="SIGNAL", help="what `stop` sends first (default SIGTERM)")
    add("--stop-timeout", type=int, default=None, metavar="SECONDS", help="how long `stop` waits (default 10)")
    add("--log-driver", default="json-file", metavar="DRIVER", help="json-file, or none: its output is not kept")
    add("--log-opt", action="append", default=[], metavar="K=V", help="max-size=10m, max-file=3, labels=K,L, env=K,L")
    add("--health-cmd", default="", metavar="LINE", help="a shell's line that tells whether it is healthy")
    add("--health-interval", default="", metavar="TIME", help="between two checks (default 30s)")
    add("--health-timeout", default="", metavar="TIME", help="a check that takes longer has failed (default 30s)")
    add("--health-retries", type=int, default=0, metavar="N", help="failures in a row to be unhealthy (default 3)")
    add("--health-start-period", default="", metavar="TIME", help="in which failures do not count (default 0s)")
    add("--health-start-interval", default="", metavar="TIME", help="between two checks in that time (default 5s)")
    add("--no-healthcheck", action="store_true", help="no checks, whatever its image says")


def lifecycle_of(arguments: Arguments) -> Lifecycle:
    """Return what the options mean."""
    from sandbox import lifecycle  # noqa: PLC0415

    policy, most = "no", 0
    if arguments.restart:
        from sandbox import restart  # noqa: PLC0415

        policy, most = restart.parse(arguments.restart)
    if arguments.rm and policy != "no":
        raise BadValue("conflicting options: cannot specify both --restart and --rm")
    if arguments.stop_signal:
        from sandbox.signals import number_of  # noqa: PLC0415

        number_of(arguments.stop_signal, 125)
    names = ("interval", "timeout", "start_period", "start_interval")
    durations = {name: getattr(arguments, f"health_{name}") for name in names}
    lines = [line for path in arguments.label_file for line in lifecycle.read_lines(path, "label")]
    return lifecycle.Lifecycle(
        labels=lifecycle.pairs([*lines, *arguments.label], "label"),
        restart=policy,
        most_restarts=most,
        health=lifecycle.healthcheck(
            arguments.health_cmd, durations, arguments.health_retries, none=arguments.no_healthcheck
        ),
        stop_signal=arguments.stop_signal,
        stop_timeout=arguments.stop_timeout,
        log_driver=arguments.log_driver,
        log_options=lifecycle.pairs(arguments.log_opt, "log option"),
        stdin_once=arguments.interactive and not arguments.detach and "stdin" in (arguments.attach or ("stdin",)),
    )


@contextmanager
def write_id(path: str, container: str) -> Iterator[None]:
    """Write a container's id to the file of --cidfile, and remove it when the container is not made."""
    if not path:
        yield
        return
    try:
        with open(path, "x", encoding="ascii") as file:
            file.write(container)
    except FileExistsError:
        raise SandboxError(
            f"container ID file found, make sure the other container isn't running or delete {path}"
        ) from None
    except OSError as error:
        raise SandboxError(f"failed to create the container ID file: {describe(error)}", code_of(error)) from None
    try:
        yield
    except BaseException:
        os.unlink(path)
        raise


def environment_of(arguments: Arguments) -> tuple[str, ...]:
    """Return the variables of --env-file, then those of -e."""
    if not arguments.env_file:
        return tuple(arguments.env)
    from sandbox.lifecycle import read_lines  # noqa: PLC0415

    lines = [line for path in arguments.env_file for line in read_lines(path, "environment")]
    return (*lines, *arguments.env)
