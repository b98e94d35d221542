"""The processes of `sandbox enter`: from the fork to the program's execve, top to bottom.

`entrant` goes where the process is, `entered` becomes the program there.
channel.py draws how they talk. What is opened here, before anything is
joined, is closed again before the program starts: none of the host's
descriptors but the three standard streams is left in the container.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from collections.abc import Iterable, Mapping
from typing import NoReturn

from sandbox import control, privileges, selfexec, syscalls, terminal, trampoline, users
from sandbox.channel import Channel, Console, Go, Proceed, Ready
from sandbox.descent import descend
from sandbox.errors import CommandNotFound, SandboxError
from sandbox.program import enter_workdir, execute, find_program
from sandbox.subject import FAILED, has_ended
from sandbox.value import Value

__all__ = ["Entry", "entered", "entrant", "join", "shells"]

NO_LOGIN = ("/nologin", "/false", "/true", "/sync")
PATH_ONLY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


class Entry(Value):
    """What is entered and how, all of it known before the fork.

    `flags` are the namespaces to join, by kind. `its_place`: its root and
    working directory are taken. `ids`: take the user's ids, and let go of
    capabilities; an ordinary user who joins no user namespace has only his.
    """

    pid: int
    pidfd: int
    flags: Mapping[str, int]
    cgroup_steps: tuple[control.Step, ...]
    argv: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    user: str
    root: str
    workdir: str
    its_place: bool
    rights: privileges.Rights
    ids: bool
    tty: bool


class Opened(Value):
    """What was opened or looked at outside, for use inside. -1: nothing."""

    root: int
    workdir: int
    namespaces: Mapping[str, int]
    terminal: tuple[int, int] | None
    own_program: tuple[int, int]

    def close(self) -> None:
        """Close all of it."""
        for fd in (self.root, self.workdir, *self.namespaces.values(), *(self.terminal or ())):
            if fd >= 0:
                os.close(fd)


def entrant(entry: Entry, channel: Channel, parent: int) -> NoReturn:
    """Run in the forked child: join the cgroups and the namespaces, and fork the process that will be the program."""
    kept: list[Opened] = []

    def enter() -> None:
        opened = _open(entry)
        kept.append(opened)
        try:
            control.apply(entry.cgroup_steps, control.JOIN)
        except SandboxError as error:
            raise SandboxError(f"cannot join its cgroup: {error}; --no-cgroup enters without it", FAILED) from error
        # A process of the container shall not read our memory or follow our descriptors (CVE-2016-9962).
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
        if "user" in entry.flags and os.geteuid() == 0:
            os.setgroups(())  # root's own, which a user namespace without setgroups would not let go
        join(entry.pidfd, entry.flags, opened.namespaces)

    descend(enter, lambda: entered(entry, kept[0], channel), channel, parent)


def _open(entry: Entry) -> Opened:
    """Open what is reached by the process's PID, and make sure that the PID is still its own."""
    place = f"/proc/{entry.pid}"
    try:
        opened = Opened(
            os.open(entry.root or f"{place}/root", PATH_ONLY) if entry.root or entry.its_place else -1,
            os.open(f"{place}/cwd", PATH_ONLY) if entry.its_place and not entry.root and not entry.workdir else -1,
            {kind: os.open(f"{place}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in entry.flags},
            _spare_terminal() if entry.tty else None,
            selfexec.identity(),
        )
    except (FileNotFoundError, ProcessLookupError):
        raise SandboxError(f"process {entry.pid} has ended", FAILED) from None
    if has_ended(entry.pidfd):
        raise SandboxError(f"process {entry.pid} has ended", FAILED)
    return opened


def _spare_terminal() -> tuple[int, int] | None:
    """Open a terminal of the host's, for a container without a devpts."""
    try:
        return os.openpty()
    except OSError:
        return None


def join(pidfd: int, flags: Mapping[str, int], opened: Mapping[str, int]) -> None:
    """Join namespaces: all at once by the pidfd (Linux 5.8), or one by one by their own descriptors.

    At once the kernel takes the user namespace first, and checks the rest by
    the rights that gives. Where that is refused (another one owns some of
    them) or unknown: first those that our own rights open, then the user
    namespace, then what only its rights open. Raises SandboxError.
    """
    if not flags:
        return
    try:
        syscalls.setns(pidfd, sum(flags.values()))
    except OSError as error:
        if error.errno == errno.ESRCH:
            raise SandboxError("the process has ended", FAILED) from None
        if error.errno not in (errno.EPERM, errno.EINVAL, errno.ENOSYS):
            raise SandboxError(f"cannot join its namespaces: {error.strerror}", FAILED) from None
    else:
        return
    rest = _join_each((kind for kind in flags if kind != "user"), flags, opened)
    if "user" in flags and not (failed := _join_each(("user",), flags, opened)):
        rest = _join_each(rest, flags, opened)
    elif "user" in flags:
        rest |= failed
    if rest:
        kinds, reasons = ", ".join(rest), {error.errno for error in rest.values()}
        hint = ": only root may (CAP_SYS_ADMIN)" if errno.EPERM in reasons else ""
        raise SandboxError(f"cannot join its {kinds} namespace: {next(iter(rest.values())).strerror}{hint}", FAILED)


def _join_each(kinds: Iterable[str], flags: Mapping[str, int], opened: Mapping[str, int]) -> dict[str, OSError]:
    """Join namespaces one by one; returns those that could not be, and why."""
    failed = {}
    for kind in kinds:
        try:
            syscalls.setns(opened[kind], flags[kind])
        except OSError as error:
            failed[kind] = error
    return failed


def entered(entry: Entry, opened: Opened, channel: Channel) -> NoReturn:
    """Be one more process where the other one is: take its root, its user's ids and rights, and start the program."""
    channel.expect(Proceed)
    os.setsid()
    syscalls.join_new_session_keyring()
    _take_place(opened, entry.workdir)
    os.umask(0o022)
    user = users.look_up(
        entry.user or ("" if entry.ids else str(os.getuid())),
        users.read_users("/etc/passwd", users.PASSWD_FIELDS),
        users.read_users("/etc/group", users.GROUP_FIELDS),
    )
    environment = {"HOME": user.home, **dict(entry.environment)}
    if entry.tty:
        _take_terminal(opened, user.uid, channel)
    opened.close()
    syscalls.close_on_exec_from(3)
    last_step = trampoline.prepare(channel.fileno())
    granted = privileges.drop(user, entry.rights) if entry.ids else privileges.Sets(0, 0)
    path, argv = _program(entry.argv, user.shell, environment["PATH"])
    selfexec.refuse(path, opened.own_program)
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
    channel.send(Ready(path))
    channel.expect(Go)
    privileges.seal(entry.rights, granted)
    execute(last_step, path, argv, environment)


def _take_place(opened: Opened, workdir: str) -> None:
    """Go to the root and the working directory; a directory that is not below that root is none for us."""
    if opened.root >= 0:
        os.fchdir(opened.root)
        try:
            os.chroot(".")
        except PermissionError:
            if not os.path.samestat(os.stat("."), os.stat("/")):  # else it is our root already
                raise
        os.chdir("/")
    if opened.workdir >= 0:
        with contextlib.suppress(OSError):
            os.fchdir(opened.workdir)
            if not os.getcwd().startswith("/"):
                raise FileNotFoundError
            return
        os.chdir("/")
    if workdir:
        enter_workdir(workdir)


def _take_terminal(opened: Opened, uid: int, channel: Channel) -> None:
    """Take a terminal of the container's own for the standard streams, or the host's spare one; its master goes out."""
    try:
        master, peer = terminal.open_pair()
    except OSError:
        if opened.terminal is None:
            raise SandboxError("no terminal can be made: neither in the container nor here", FAILED) from None
        master, peer = (os.dup(fd) for fd in opened.terminal)
    with contextlib.suppress(OSError):  # an id that this user namespace does not have
        os.fchown(peer, uid, -1)
    terminal.copy_size(0, master)
    channel.send(Console(), master)
    terminal.adopt(peer)
    os.close(master)
    os.close(peer)


def shells(told: str) -> tuple[tuple[str, ...], ...]:
    """Return the shells to try, each as a path and its first words; `told` is the one of the passwd entry."""
    own = [told] if told.startswith("/") and not told.endswith(NO_LOGIN) else []
    paths = dict.fromkeys([*own, "/bin/sh", "/usr/bin/sh"])
    return (*((path, path) for path in paths), ("/bin/busybox", "sh"))


def _program(argv: tuple[str, ...], told: str, search: str) -> tuple[str, tuple[str, ...]]:
    """Return what to execute, and its words: what was asked for, or the container's shell."""
    if argv:
        return find_program(argv[0], search), argv
    for path, *words in shells(told):
        with contextlib.suppress(SandboxError):
            return find_program(path, search), tuple(words)
    tried = ", ".join(path for path, *_ in shells(told))
    raise CommandNotFound(
        f"there is no shell in it ({tried}): give a program that it has, or stay with your own files:"
        " sandbox enter PID --net --pid --ipc --uts COMMAND"
    )
