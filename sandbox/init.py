"""The container's side of a start: from the fork to the program, top to bottom.

`enter` is carried out by the process between (descent.py), `first_process`
becomes PID 1; where no namespace asks for one between, `straight` is both.
joined.py has the same for `sandbox exec`, entering.py for `sandbox enter`.
channel.py draws how they talk.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from sandbox import attributes, control, mounting, namespaces, syscalls
from sandbox.channel import Channel, Proceed
from sandbox.conversation import Straight
from sandbox.descent import descend, leave_python, run_child
from sandbox.program import Program, load, make_workdir, nothing, start
from sandbox.quick import signal, socket
from sandbox.sharing import NOTHING_SHARED, Joined, Sharing, write_time_offsets
from sandbox.value import Value, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from sandbox.overlays import Root
    from sandbox.rootfs import Step
    from sandbox.userns import Users

__all__ = ["Launch", "joiner", "straight"]


class Launch(Value):
    """Everything the child needs, computed before the fork. `before_pivot` is called when all is mounted.

    `users`: its root is nobody outside; `user_namespace`: without root, where only our own id can be had, as that of
    its root.
    """

    program: Program
    cgroup_steps: tuple[control.Step, ...]
    new_namespaces: int = 0
    user_namespace: bool = False
    root: Root | None = None
    mounts: tuple[Step, ...] = ()
    shared: tuple[Joined, ...] = ()
    sharing: Sharing = NOTHING_SHARED
    hostname: str = ""
    read_only: bool = False
    propagation: str = ""
    before_pivot: Callable[[], None] = nothing
    users: Users | None = None


def joiner(launch: Launch, channel: Channel, parent: int) -> NoReturn:
    """Run in the forked child: join the cgroups, enter the namespaces, fork the process that will live in them."""
    load(launch.program)  # what is needed later: descend() ends all imports
    if launch.users is not None:
        import sandbox.opening  # noqa: F401, PLC0415
    entered = [launch]

    def enter_all() -> None:
        entered[0] = enter(launch)

    descend(enter_all, lambda: first_process(entered[0], channel), channel, parent)


def straight(launch: Launch) -> Straight | None:
    """Return how the first process is born without one between; None where what it is to be in asks for that.

    Some namespaces are only their maker's children's (PID, time), and those of other users are made in theirs.
    """
    flags = launch.new_namespaces
    entered = sum(one.flag for one in launch.shared) & (syscalls.CLONE_NEWPID | syscalls.CLONE_NEWUSER)
    if flags & syscalls.CLONE_NEWTIME or entered or launch.users is not None or launch.user_namespace:
        return None
    # What the cgroup namespace shows is what its maker is in: it is made later.
    return Straight(flags & ~syscalls.CLONE_NEWCGROUP, lambda channel, left: born(launch, channel, left))


def born(launch: Launch, channel: Channel, steps: tuple[control.Step, ...]) -> NoReturn:
    """Be the first process, in its new namespaces but for that of cgroups; `steps` join those."""

    def life() -> NoReturn:
        load(launch.program)
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)  # a parent that died before is an end of file
        leave_python()
        attributes.set_oom_score(launch.program.attributes)
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)  # as in enter()
        for one in launch.shared:
            syscalls.setns(one.pidfd, one.flag)
        begin(launch)
        lay(launch)  # an empty root, while the monitor makes the cgroups of v1
        channel.expect(Proceed)
        control.apply(steps, control.JOIN)
        if launch.new_namespaces & syscalls.CLONE_NEWCGROUP:
            syscalls.unshare(syscalls.CLONE_NEWCGROUP)
        furnish(launch, channel)

    run_child(life, channel)


def enter(launch: Launch) -> Launch:
    """Join the cgroups and enter the namespaces; returns what is still to be done there."""
    # The cgroups first: a cgroup namespace shows what its maker is in when it is made.
    control.apply(launch.cgroup_steps, control.JOIN)
    joins_user = any(one.flag & syscalls.CLONE_NEWUSER for one in launch.shared)
    if launch.user_namespace and not joins_user:
        namespaces.enter_user_namespace()
    attributes.set_oom_score(launch.program.attributes)
    # A process of the container shall not read our memory or follow our descriptors (CVE-2016-9962).
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
    users = launch.users
    if users is not None:
        from sandbox.opening import cross  # noqa: PLC0415  rare

        if users.fd >= 0:  # an existing one: what else is joined need not belong to it
            for one in launch.shared:
                syscalls.setns(one.pidfd, one.flag)
            launch = replace(launch, shared=())
        launch = cross(launch, users)
    for one in launch.shared:
        syscalls.setns(one.pidfd, one.flag)
    syscalls.unshare(launch.new_namespaces)
    write_time_offsets(launch.sharing)
    return launch


def first_process(launch: Launch, channel: Channel) -> NoReturn:
    """Be the container's first process: mount, pivot, drop every right that is not granted, start the program."""
    channel.expect(Proceed)
    if launch.program.die_with_parent:
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
    begin(launch)
    lay(launch)
    furnish(launch, channel)


def begin(launch: Launch) -> None:
    """Do what needs nothing of the outside: a session, a name, a network that can be used."""
    os.setsid()
    syscalls.join_new_session_keyring()
    if launch.hostname and launch.new_namespaces & syscalls.CLONE_NEWUTS:
        socket.sethostname(launch.hostname)
    if launch.new_namespaces & syscalls.CLONE_NEWNET:
        namespaces.loopback_up()
        namespaces.let_users_serve()


def lay(launch: Launch) -> None:
    """Mount the root."""
    assert launch.root is not None  # noqa: S101
    mounting.lay(launch.root, launch.mounts, launch.propagation)


def furnish(launch: Launch, channel: Channel) -> NoReturn:
    """Mount what is in the root, pivot, and become the program."""
    attributes.set_sysctls(launch.program.attributes)
    assert launch.root is not None  # noqa: S101
    mounting.furnish(launch.root, launch.mounts)
    launch.before_pivot()
    mounting.enter(launch.root)
    os.umask(launch.program.umask)
    make_workdir(launch.program.workdir)
    if launch.read_only:
        mounting.make_root_read_only()
    mounting.set_propagation("/", launch.propagation)
    start(launch.program, channel, console=True)
