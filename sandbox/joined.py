"""The container's side of `exec`: joins what a running container has, and becomes one more process of it."""

from __future__ import annotations

import os

from sandbox import attributes, control, namespaces, syscalls
from sandbox.channel import Channel, Proceed
from sandbox.descent import descend
from sandbox.program import Program, load, start
from sandbox.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["Joining", "joiner"]


class Joining(Value):
    """Everything the child needs, computed before the fork; the container is entered by a process of it."""

    program: Program
    cgroup_steps: tuple[control.Step, ...]
    pid: int
    pidfd: int


def joiner(joining: Joining, channel: Channel, parent: int) -> NoReturn:
    """Run in the forked child: join the cgroups and the namespaces, fork the process that will live in them."""
    load(joining.program)
    descend(lambda: join(joining), lambda: joined_process(joining.program, channel), channel, parent)


def join(joining: Joining) -> None:
    """Join the cgroups and the namespaces."""
    control.apply(joining.cgroup_steps, control.JOIN)
    attributes.set_oom_score(joining.program.attributes)
    # A process of the container shall not read our memory or follow our descriptors (CVE-2016-9962).
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
    namespaces.join(joining.pid, joining.pidfd)


def joined_process(program: Program, channel: Channel) -> NoReturn:
    """Be one more process of a running container."""
    channel.expect(Proceed)
    os.setsid()
    syscalls.join_new_session_keyring()
    os.umask(program.umask)
    start(program, channel, console=False)
