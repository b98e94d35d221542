"""`sandbox exec`: one more program in a running container, as restricted as the container's own."""

from __future__ import annotations

import os
from collections.abc import Mapping

from sandbox import capabilities, channel, control, events, joined, security
from sandbox.attributes import Attributes
from sandbox.codec import decode
from sandbox.conversation import launch
from sandbox.environment import environment
from sandbox.errors import CommandNotExecutable, SandboxError
from sandbox.foreground import attend
from sandbox.liveness import is_stopped, not_running, open_running
from sandbox.program import NULL, Program, Streams
from sandbox.signals import blocked_signals
from sandbox.state import Document, Store
from sandbox.value import Value, replace

__all__ = ["ExecOptions", "execute"]


class ExecOptions(Value):
    """What `sandbox exec` adds to what the container has; `privileged`: with all capabilities; `quiet`: no event."""

    argv: tuple[str, ...]
    env: tuple[str, ...] = ()
    workdir: str = ""
    user: str = ""
    interactive: bool = False
    tty: bool = False
    detach: bool = False
    privileged: bool = False
    quiet: bool = False


def execute(store: Store, name: str, options: ExecOptions, host_environment: Mapping[str, str]) -> int:
    """Run a program in a running container; returns its exit code."""
    if options.workdir and not options.workdir.startswith("/"):
        raise CommandNotExecutable(f"the working directory {options.workdir!r} is not an absolute path")
    text = store.find(name)
    if text["State"]["Status"] == "paused" or is_stopped(text):
        raise SandboxError(f"container {name} is paused, unpause the container before exec", 1)
    pid, pidfd = text["State"]["Pid"], open_running(text)
    if pidfd is None:
        raise not_running(text, name)
    program = _program(text, store.root, options, host_environment)
    steps = tuple(control.join(each["Version"], each["Directory"]) for each in text["Cgscope"]["Cgroups"])
    plan = joined.Joining(program, steps, pid, pidfd)
    with blocked_signals():
        try:
            running = launch(
                lambda end, parent, left: joined.joiner(replace(plan, cgroup_steps=left), end, parent),
                steps,
                tty=program.tty,
            )
        except SandboxError as error:
            if isinstance(error, channel.Closed) or (error.exit_code == SandboxError.exit_code and _has_ended(pidfd)):
                raise SandboxError(f"container {name} ended while it was entered", 1) from None
            raise _explained(error, text) from None
        one = os.urandom(32).hex()
        if not options.quiet:
            events.of_container(store.root, text, f"exec_start: {' '.join(options.argv)}", execID=one)
        if options.detach:
            return 0
        code = attend(running.pid, running.pidfd, running.console, interactive=options.interactive)
        if not options.quiet:
            events.of_container(store.root, text, "exec_die", execID=one, exitCode=str(code))
        return code


def _program(text: Document, root: str, options: ExecOptions, host_environment: Mapping[str, str]) -> Program:
    config = text["Config"]
    rights = security.rights_of(text, root)
    if options.privileged:
        rights = replace(rights, capabilities=capabilities.mask(capabilities.ALL))
    out, err = (NULL, NULL) if options.detach else (1, 2)
    return Program(
        argv=options.argv,
        env=environment((*config["Env"], *options.env), host_environment, tty=options.tty),
        workdir=options.workdir or config["WorkingDir"],
        user=options.user or config["User"],
        rights=rights,
        tty=options.tty,
        streams=Streams(0 if options.interactive else NULL, out, err),
        die_with_parent=not options.detach,
        attributes=decode(Attributes, text["Cgscope"]["Spec"].get("attributes", {})),
    )


def _has_ended(pidfd: int) -> bool:
    from sandbox.subject import has_ended  # noqa: PLC0415  rare

    return has_ended(pidfd)


def _explained(error: SandboxError, text: Document) -> SandboxError:
    if error.exit_code == SandboxError.exit_code:
        error.exit_code = CommandNotExecutable.exit_code  # Docker's, where `run` has 125
    from sandbox.crowding import explained  # noqa: PLC0415  rare

    return explained(error, (each["Directory"] for each in text["Cgscope"]["Cgroups"]))
