"""The processes of one container: is the first a shell, an init, a supervisor or the application itself? Pure.

Programs go by their names, which anyone may choose: nothing here is proof of anything.
"""

from __future__ import annotations

from collections.abc import Sequence

from inspector.kernel.named import NamedTuple
from inspector.model import Identity

__all__ = ["Evidence", "Member", "Structure", "base", "below_of", "command", "helps", "holder_of", "is_wrapper"]

SHELLS = frozenset(("sh", "bash", "dash", "ash", "ksh", "mksh", "zsh"))
INITS = frozenset(
    ("tini", "tini-static", "dumb-init", "docker-init", "catatonit", "podman-init", "runit", "su", "sudo", "runuser")
)
SUPERVISORS = frozenset(("supervisord", "s6-svscan", "runsvdir"))
# What a supervisor runs for itself.
HELPERS = ("runsv", "svlogd", "supervise")
NAMING = frozenset(("s6-supervise", "runsv", "supervise"))  # each stands for one program, and is told its name
FILLERS = frozenset(("sleep", "tail", "cat", "inotifywait", "pause"))
# What comes to an end by its nature, however long it takes: preparations, and never the application that is gone.
PASSING = frozenset((
    "chgrp", "chmod", "chown", "cp", "curl", "date", "echo", "find", "git", "grep", "gunzip", "gzip", "install",
    "ip", "iptables", "ldconfig", "ln", "mkdir", "mkfifo", "mknod", "mount", "mv", "printf", "rm", "rmdir",
    "sed", "setfacl", "sort", "sync", "sysctl", "tar", "test", "touch", "true", "umount", "unzip",
    "update-ca-certificates", "wget", "xargs", "zcat"
))  # fmt: skip
# Busybox runs its programs as itself: "busybox" or, as a shell does, "exe".
MULTICALL = frozenset(("busybox", "exe"))
WRAPPERS = SHELLS | INITS | SUPERVISORS | FILLERS | MULTICALL
TEXT = 80  # of a command line, in a finding


class Member(NamedTuple):
    """One process of a container; times in clock ticks, `starttime_ticks` since boot.

    `dead_ticks` is the CPU time of the children it has waited for (proc_pid_stat(5), cutime and cstime).
    """

    pid: int
    starttime_ticks: int
    ppid: int
    comm: str
    argv: tuple[str, ...]
    state: str
    session: int
    tty: int
    dead_ticks: int = 0

    @property
    def identity(self) -> Identity:
        """What tells it from a later process with the same PID."""
        return self.pid, self.starttime_ticks

    @property
    def program(self) -> str:
        """The name of what it runs; a script goes by its interpreter."""
        first = base(self.argv[0]) if self.argv else ""
        if self.comm in MULTICALL:
            return base(self.argv[1]) if first in MULTICALL and len(self.argv) > 1 else first or self.comm
        python = first.startswith("python") and not first[len("python") :].strip("0123456789.")
        if python and len(self.argv) > 1 and base(self.argv[1]) in SUPERVISORS:
            return base(self.argv[1])
        return first if first in SHELLS else self.comm

    @property
    def words(self) -> tuple[str, ...]:
        """The name of what it runs, and its arguments."""
        at = next((place for place, word in enumerate(self.argv) if base(word) == self.program), None)
        return (self.program, *(() if at is None else self.argv[at + 1 :]))

    @property
    def dead(self) -> bool:
        """True when it has ended and waits to be noticed."""
        return self.state in ("Z", "X")

    @property
    def endless(self) -> bool:
        """True when it waits for ever, so that its shell runs nothing after it."""
        words = self.argv[1:]
        if self.program == "sleep":
            return any(word in ("infinity", "inf") or (word.isdigit() and len(word) > 5) for word in words)  # noqa: PLR2004  days
        import re  # noqa: PLC0415  few start with it

        return self.program != "tail" or any(re.match(r"-[a-zA-Z]*[fF]|--follow", word) for word in words)


class Evidence(NamedTuple):
    """Why a container is hollow: the rule, and one sentence."""

    rule: str
    text: str


class Structure(NamedTuple):
    """The processes of one container now. `script` is what its shell runs, where it could be read.

    `changed_ticks` is when its supervisor last wrote down that a program began or ended, in ticks since boot.
    """

    main: Member
    members: tuple[Member, ...]
    now_ticks: int
    cpus: int = 1
    script: str = ""
    changed_ticks: int | None = None


def is_wrapper(comm: str, argv: Sequence[str] = ()) -> bool:
    """Tell whether a first process may be without its application; of any other it is the application itself."""
    if comm in WRAPPERS:
        return True
    return Member(0, 0, 0, comm, tuple(argv), "S", 0, 0).program in WRAPPERS


def holder_of(now: Structure) -> Member:
    """Return the process that should hold the application: PID 1, or the only child of an init."""
    holder, seen = now.main, {now.main.pid}
    while holder.program in INITS:
        children = [one for one in now.members if one.ppid == holder.pid and not one.dead and one.pid not in seen]
        if len(children) != 1:
            break
        holder = children[0]
        seen.add(holder.pid)
    return holder


def below_of(now: Structure, top: Member) -> list[Member]:
    """Return all descendants; who came in from outside (docker exec) has a parent outside and is none."""
    children: dict[int, list[Member]] = {}
    for one in now.members:
        children.setdefault(one.ppid, []).append(one)
    found: list[Member] = []
    waiting, seen = [top], {top.pid}
    while waiting:
        for one in children.get(waiting.pop().pid, ()):
            if one.pid not in seen:
                seen.add(one.pid)
                found.append(one)
                waiting.append(one)
    return found


def helps(one: Member) -> bool:
    """Tell whether a process is a supervisor's own, and no program that it was told to run."""
    return one.comm in HELPERS or one.comm.startswith(("s6-", "s6rc-")) or one.program in SUPERVISORS


def command(one: Member) -> str:
    """Return its command line, cut."""
    text = " ".join(one.argv) or one.comm
    return text if len(text) <= TEXT else f"{text[:TEXT]}..."


def base(path: str) -> str:
    """Return the last component of a path."""
    return path.rpartition("/")[2]
