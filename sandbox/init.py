"""The container's side: from the fork to the program's execve, top to bottom.

Three functions are processes: `descend` enters cgroups and namespaces and
forks, `first_process` becomes PID 1, `joined_process` is that of `sandbox
exec` (that of `sandbox enter` is in entering.py). channel.py draws how they
talk. From pivot_root on nothing is imported: Python would look for it in the
container.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Callable

from sandbox import (
    attributes,
    control,
    namespaces,
    privileges,
    selfexec,
    syscalls,
    terminal,
    trampoline,
    users,
)
from sandbox.attributes import Attributes
from sandbox.channel import Born, Channel, Console, Go, Proceed, Ready
from sandbox.errors import CommandNotExecutable, CommandNotFound, SandboxError, not_executed
from sandbox.inroot import in_root_open, make_directories, root_directory
from sandbox.privileges import Rights
from sandbox.quick import signal, socket
from sandbox.sharing import NOTHING_SHARED, Joined, Sharing, write_time_offsets
from sandbox.value import Value, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from sandbox.overlays import Root
    from sandbox.rootfs import Step
    from sandbox.userns import Users

__all__ = ["Launch", "Program", "Streams", "descend", "joiner"]

LAST_SIGNAL = 64  # _NSIG, with the real-time ones
NULL = -1
NO_ATTRIBUTES = Attributes()


def nothing(*_: object) -> None:
    """Do nothing, where something can be done."""


class Streams(Value):
    """Descriptors that become 0, 1 and 2; NULL is the container's /dev/null. `owned`: ours, not the caller's."""

    stdin: int = NULL
    stdout: int = 1
    stderr: int = 2
    owned: bool = False


class Program(Value):
    """What is executed, and as whom. `gate`: a FIFO to wait at, when all is done, for the byte that `start` writes.

    `groups`: these and no others, whatever the container's files say. `settle` is called in the cgroups, as root still.
    `handed` descriptors from 3 on are the program's. `at_start` is called under the filter, with the environment.
    """

    argv: tuple[str, ...]
    env: tuple[str, ...]
    workdir: str
    user: str
    rights: Rights
    tty: bool
    streams: Streams
    init: bool = False
    die_with_parent: bool = True
    attributes: Attributes = NO_ATTRIBUTES
    groups: tuple[int, ...] | None = None
    umask: int = 0o022
    gate: int = -1
    at_start: Callable[[dict[str, str]], None] = nothing
    settle: Callable[[], None] = nothing
    handed: int = 0


class Launch(Value):
    """Everything the child needs, computed before the fork. `before_pivot` is called when all is mounted.

    `join` is the process whose namespaces are entered (`exec`); without it new ones are made. `users`: its root is
    nobody outside; `user_namespace`: without root, where only our own id can be had, as its root's.
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
    join: tuple[int, int] | None = None
    before_pivot: Callable[[], None] = nothing
    users: Users | None = None


def joiner(launch: Launch, channel: Channel, parent: int) -> NoReturn:
    """Run in the forked child: join the cgroups, enter the namespaces, fork the process that will live in them."""
    role = joined_process
    if launch.join is None:
        role = first_process
        import sandbox.mounting  # noqa: PLC0415  what first_process() needs, as descend() ends all imports
    if launch.users is not None:
        import sandbox.opening  # noqa: F401, PLC0415
    entered = [launch]

    def enter_all() -> None:
        entered[0] = enter(launch)

    descend(enter_all, lambda: role(entered[0], channel), channel, parent)


def enter(launch: Launch) -> Launch:
    """Join the cgroups and enter the namespaces; returns what is still to be done there."""
    # The cgroups first: a cgroup namespace shows what its maker is in when it is made.
    control.apply(launch.cgroup_steps, control.JOIN)
    joins_user = any(flag & syscalls.CLONE_NEWUSER for _, flag in launch.shared)
    if launch.user_namespace and not joins_user:
        namespaces.enter_user_namespace()
    attributes.set_oom_score(launch.program.attributes)
    # A process of the container shall not read our memory or follow our descriptors (CVE-2016-9962).
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
    if launch.join is not None:
        namespaces.join(*launch.join)
        return launch
    users = launch.users
    if users is not None:
        from sandbox.opening import cross  # noqa: PLC0415  rare

        if users.fd >= 0:  # an existing one: what else is joined need not belong to it
            for fd, flag in launch.shared:
                syscalls.setns(fd, flag)
            launch = replace(launch, shared=())
        launch = cross(launch, users)
    for pidfd, flag in launch.shared:
        syscalls.setns(pidfd, flag)
    syscalls.unshare(launch.new_namespaces)
    write_time_offsets(launch.sharing)
    return launch


def descend(enter: Callable[[], None], role: Callable[[], NoReturn], channel: Channel, parent: int) -> NoReturn:
    """Be the process between: `enter` goes where the container is, `role` is then its new process's life."""
    try:
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        reset_signals()
        # From here on an import would look for its file in the container: it fails instead.
        sys.meta_path.clear()
        selfexec.identity()  # so that it is known where there may be no /proc
        os.setsid()
        enter()
        pid = os.fork()
        if pid == 0:
            run_child(role, channel)
        channel.send(Born(pid))
    except BaseException as error:  # noqa: BLE001  the parent tells the user, whatever it was
        channel.send_error(error)
        os._exit(1)
    os._exit(0)


def run_child(body: Callable[[], NoReturn], channel: Channel) -> NoReturn:
    """Run the new process's code; whatever goes wrong in it is reported whole."""
    try:
        body()
    except BaseException as error:  # noqa: BLE001
        channel.send_error(error)
        os._exit(error.exit_code if isinstance(error, SandboxError) else SandboxError.exit_code)


def first_process(launch: Launch, channel: Channel) -> NoReturn:
    """Be the container's first process: mount, pivot, drop every right that is not granted, start the program."""
    from sandbox import mounting  # noqa: PLC0415  joiner() has loaded it

    channel.expect(Proceed)
    if launch.program.die_with_parent:
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()
    syscalls.join_new_session_keyring()
    if launch.hostname and launch.new_namespaces & syscalls.CLONE_NEWUTS:
        socket.sethostname(launch.hostname)
    if launch.new_namespaces & syscalls.CLONE_NEWNET:
        namespaces.loopback_up()
        namespaces.let_users_serve()
    attributes.set_sysctls(launch.program.attributes)
    assert launch.root is not None  # noqa: S101
    mounting.apply(launch.root, launch.mounts)
    launch.before_pivot()
    mounting.enter(launch.root)
    os.umask(launch.program.umask)
    make_workdir(launch.program.workdir)
    if launch.read_only:
        mounting.make_root_read_only()
    start(launch.program, channel, console=True)


def joined_process(launch: Launch, channel: Channel) -> NoReturn:
    """Be one more process of a running container."""
    channel.expect(Proceed)
    os.setsid()
    syscalls.join_new_session_keyring()
    os.umask(launch.program.umask)
    start(launch.program, channel, console=False)


def start(program: Program, channel: Channel, *, console: bool) -> NoReturn:
    """Set up streams, drop privileges, find the program, and execute it when the limits are written."""
    group = users.read_users("/etc/group", users.GROUP_FIELDS)
    user = users.look_up(program.user, users.read_users("/etc/passwd", users.PASSWD_FIELDS), group)
    user = attributes.with_groups(user, program.attributes, group)
    if program.groups is not None:
        user = replace(user, groups=program.groups)
    environment = dict(item.split("=", 1) for item in program.env)
    environment.setdefault("HOME", user.home)
    if not environment["HOME"]:
        environment["HOME"] = user.home
    set_streams(program, channel, user, console=console)
    free = trampoline.CHANNEL + program.handed
    syscalls.close_on_exec_from(free)
    last_step = trampoline.prepare(channel.fileno(), free)
    program.settle()
    attributes.set_limits(program.attributes)
    entered = can_enter(program.workdir)
    granted = privileges.drop(user, program.rights)
    if not entered:
        enter_workdir(program.workdir)
    path = find_program(program.argv[0], environment.get("PATH", ""))
    selfexec.refuse(path)
    if program.die_with_parent:
        # Changing ids has cleared it. If the parent is gone by now, Go will not come.
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
    channel.send(Ready(path))
    channel.expect(Go)
    if program.gate >= 0:
        wait_at(program.gate, channel, free)
    privileges.seal(program.rights, granted)
    program.at_start(environment)
    if program.init:
        serve_as_init(lambda: execute(last_step, path, program.argv, environment), channel)
    execute(last_step, path, program.argv, environment)


def wait_at(gate: int, channel: Channel, free: int) -> None:
    """End the conversation, and wait until somebody else says that the program is to start."""
    channel.close()
    os.dup2(gate, free)  # its other descriptor, which the last step expects to be open
    os.read(gate, 1)


def reset_signals() -> None:
    """Undo what Python and our caller have set (/proc/self/status): an ignored SIGPIPE would survive execve."""
    with open("/proc/self/status", "rb") as file:
        masks = [int(line.split()[1], 16) for line in file if line.startswith((b"SigIgn:", b"SigCgt:"))]
    for number in range(1, LAST_SIGNAL + 1):
        if any(mask >> (number - 1) & 1 for mask in masks):
            syscalls.default_action(number)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def set_streams(program: Program, channel: Channel, user: users.User, *, console: bool) -> None:
    """Put the terminal, the given descriptors, or the container's null device on 0, 1 and 2."""
    if program.tty:
        master, peer = terminal.open_pair()
        os.fchown(peer, user.uid, -1)
        if console:
            terminal.bind_console(peer)
        channel.send(Console(), master)
        terminal.adopt(peer)
        os.close(master)
        os.close(peer)
        return
    streams = program.streams
    # Duplicated above 2 first: one of them may be another's target.
    sources = [null_device() if fd == NULL else os.dup(fd) for fd in (streams.stdin, streams.stdout, streams.stderr)]
    for target, source in enumerate(sources):
        if streams.owned and stat.S_ISFIFO(os.fstat(source).st_mode):
            with contextlib.suppress(PermissionError):  # in a user namespace that does not know its owner
                os.fchown(source, user.uid, -1)  # so that /dev/stdout can be opened again
        os.dup2(source, target)
        os.close(source)


def null_device() -> int:
    """Open the container's /dev/null, and nothing else that has its name."""
    fd = os.open("/dev/null", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    found = os.fstat(fd)
    if not stat.S_ISCHR(found.st_mode) or found.st_rdev != os.makedev(1, 3):
        raise SandboxError("rootfs: /dev/null is not the null device")
    return fd


def make_workdir(path: str) -> None:
    """Make the working directory where it is missing, as Docker does."""
    with contextlib.suppress(OSError), root_directory() as root:
        os.close(make_directories(root, path))


def enter_workdir(path: str) -> None:
    """Go to the working directory, and make sure that it is in the container (CVE-2024-21626)."""
    try:
        with root_directory() as root:
            fd = in_root_open(root, path, os.O_PATH | os.O_DIRECTORY)
        os.fchdir(fd)
        os.close(fd)
        inside = os.getcwd().startswith("/")
    except OSError as error:
        raise SandboxError(f"cannot enter the working directory {path}: {error.strerror}") from None
    if not inside:
        raise SandboxError(f"the working directory {path} is outside the container")


def can_enter(path: str) -> bool:
    """Go to the working directory as root, if that may: on a file server it can be closed to all but its user."""
    try:
        enter_workdir(path)
    except SandboxError:
        return False
    return True


def find_program(name: str, search: str) -> str:
    """Return the path to execute: 127 when there is none, 126 when it cannot be executed."""
    candidates = [name] if "/" in name else [f"{folder or '.'}/{name}" for folder in search.split(":")]
    refused: CommandNotExecutable | None = None
    for path in candidates:
        try:
            mode = os.stat(path).st_mode
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            refused = refused or CommandNotExecutable(f'exec: "{name}": {describe_errno(error)}')
            continue
        if stat.S_ISDIR(mode):
            refused = refused or CommandNotExecutable(f'exec: "{name}": is a directory')
        elif not os.access(path, os.X_OK, effective_ids=True):
            refused = refused or CommandNotExecutable(f'exec: "{name}": permission denied')
        else:
            return path
    if refused is not None:
        raise refused
    reason = "no such file or directory" if "/" in name else "executable file not found in $PATH"
    raise CommandNotFound(f'exec: "{name}": {reason}')


def describe_errno(error: OSError) -> str:
    """Return the kernel's words, in Docker's lower case."""
    return os.strerror(error.errno or 0).lower()


def execute(last_step: int | None, path: str, argv: tuple[str, ...], environment: dict[str, str]) -> NoReturn:
    """Become the program, by way of trampoline.py's."""
    try:
        trampoline.become(last_step, path, argv, environment)
    except OSError as error:
        raise not_executed(path, error.errno or 0) from None


def serve_as_init(program: Callable[[], NoReturn], channel: Channel) -> NoReturn:
    """Be PID 1 for a program that is not made for it: pass signals on, reap orphans, exit with its code."""
    everything = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
    signal.pthread_sigmask(signal.SIG_BLOCK, everything)
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        take_foreground()
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        run_child(program, channel)
    os.closerange(3, 1 << 20)
    syscalls.set_process_name("sandbox-init")
    while True:
        number = signal.sigwait(everything)
        if number != signal.SIGCHLD:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, number)
            continue
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                if pid == child:
                    code = os.waitstatus_to_exitcode(status)
                    os._exit(128 - code if code < 0 else code)


def take_foreground() -> None:
    """Make the caller's process group that of the terminal, if there is one (tcsetpgrp would stop us otherwise)."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTTOU,))
    with contextlib.suppress(OSError):
        os.tcsetpgrp(0, os.getpgrp())


