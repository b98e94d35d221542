"""What becomes the program: its streams, its user, its rights, and the execve; the same in a new container and in exec.

All of it runs inside, where nothing is imported any more: Python would look
for it in the container. load() is called before.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from sandbox import attributes, privileges, selfexec, syscalls, trampoline, users
from sandbox.attributes import Attributes
from sandbox.channel import Channel, Console, Go, Listens, Ready
from sandbox.contexts import suppress
from sandbox.errors import CommandNotExecutable, CommandNotFound, SandboxError, not_executed
from sandbox.inroot import in_root_open, make_directories, root_directory
from sandbox.privileges import Rights, Sets
from sandbox.quick import signal
from sandbox.value import Value, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = [
    "NULL",
    "Program",
    "Streams",
    "enter_workdir",
    "execute",
    "find_program",
    "load",
    "make_workdir",
    "nothing",
    "start",
]

NULL = -1
NO_ATTRIBUTES = Attributes()
MOST_DESCRIPTORS = 1 << 20
ENDING_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


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


def load(program: Program) -> None:
    """Import what only some programs need, as long as Python still finds its own files."""
    attributes.load(program.attributes)
    if program.tty:
        import sandbox.terminal  # noqa: PLC0415
    if program.rights.apparmor:
        import sandbox.apparmor  # noqa: PLC0415
    if program.init:
        import sandbox.pid_one  # noqa: F401, PLC0415


def start(program: Program, channel: Channel, *, console: bool) -> NoReturn:
    """Set up streams, drop privileges, find the program, and execute it when the limits are written."""
    group = users.read_users("/etc/group", users.GROUP_FIELDS)
    user = users.look_up(program.user, users.read_users("/etc/passwd", users.PASSWD_FIELDS), group)
    user = attributes.with_groups(user, program.attributes, group)
    if program.groups is not None:
        user = replace(user, groups=program.groups)
    environment = dict(item.split("=", 1) for item in program.env)
    if not environment.get("HOME"):
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
    supervised = program.rights.filter is not None and program.rights.filter.listens
    if supervised:
        seal_supervised(program.rights, granted, channel)
    if program.gate >= 0:
        wait_at(program.gate, channel, free, last_step)
    if not supervised:
        privileges.seal(program.rights, granted)
    program.at_start(environment)
    if program.init:
        _be_init(program.rights, lambda: execute(last_step, path, program.argv, environment), channel)
    execute(last_step, path, program.argv, environment)


def _be_init(rights: Rights, run: Callable[[], NoReturn], channel: Channel) -> NoReturn:
    from sandbox.pid_one import serve_as_init  # noqa: PLC0415  by load()

    if rights.apparmor:
        from sandbox.apparmor import enter  # noqa: PLC0415  likewise

        enter(rights.apparmor)
    serve_as_init(run, channel)


def seal_supervised(rights: Rights, granted: Sets, channel: Channel) -> None:
    """Load the filter while there is still somebody who takes its descriptor to the supervisor."""
    lowest_free = os.dup(0)  # the number that the next descriptor gets
    os.close(lowest_free)
    channel.send(Listens(lowest_free))
    privileges.seal(rights, granted)
    channel.wait()


def wait_at(gate: int, channel: Channel, free: int, last_step: int | None) -> None:
    """End the conversation, and wait until somebody else says that the program is to start.

    Until then others may be let into the container: whatever we have inherited is closed, not only at execve.
    """
    channel.close()
    os.dup2(gate, free)  # its other descriptor, which the last step expects to be open
    if last_step is None:
        os.closerange(free + 1, MOST_DESCRIPTORS)
    else:
        os.closerange(free + 1, last_step)
        os.closerange(last_step + 1, MOST_DESCRIPTORS)
    # The first process of a PID namespace is sent no signal that it does nothing about.
    for number in ENDING_SIGNALS:
        signal.signal(number, lambda number, _: os._exit(128 + number))
    os.read(free, 1)
    for number in ENDING_SIGNALS:
        signal.signal(number, signal.SIG_DFL)


def set_streams(program: Program, channel: Channel, user: users.User, *, console: bool) -> None:
    """Put the terminal, the given descriptors, or the container's null device on 0, 1 and 2."""
    if program.tty:
        from sandbox import terminal  # noqa: PLC0415  by load()

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
            with suppress(PermissionError):  # in a user namespace that does not know its owner
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
    with suppress(OSError), root_directory() as root:
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
    folders = search.split(":") if name else ()  # an empty one would be each directory itself
    candidates = [name] if "/" in name else [f"{folder or '.'}/{name}" for folder in folders]
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
            refused = refused or CommandNotExecutable(f'exec: "{name}": is a directory: permission denied')
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
