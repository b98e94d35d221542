"""Hollow: PID 1 is alive and the application it was started for is gone. Pure.

The first process is a shell, an init, a supervisor, or a `tail -f` or `sleep`
that a shell became, and nothing that could be an application is left below it.
That alone is never reported (`sleep infinity` may be all that was asked for,
and an idle application is alive): each verdict needs a trace of the
application that was there.

- supervisor: it runs nothing, in two observations;
- seen: a child that ran beside the `sleep` or `tail` was seen, and has ended since;
- zombie: a child has ended, and its parent (a `tail`, say) does not even take notice;
- named: the script starts a program in the background, and there is none of that name;
- spent: children that have ended used more CPU time than there was before the `tail` began to wait;
- restarts: a supervisor started the same program three times while we looked.

A shell that runs one command after another, with a `sleep` between, is an
application: what it waits for is gone only when it ran *beside* the waiting.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from inspector.kernel.process import CLOCK_TICKS
from inspector.model import Identity

__all__ = ["Evidence", "Member", "Memory", "Structure", "holder_of", "hollow", "is_wrapper", "remember"]

SHELLS = frozenset(("sh", "bash", "dash", "ash", "ksh", "mksh", "zsh"))
INITS = frozenset(
    ("tini", "tini-static", "dumb-init", "docker-init", "catatonit", "podman-init", "runit", "su", "sudo", "runuser")
)
SUPERVISORS = frozenset(("supervisord", "s6-svscan", "runsvdir"))
# What a supervisor runs for itself.
HELPERS = re.compile(r"s6-.*|s6rc-.*|runsv|svlogd|supervise")
FILLERS = frozenset(("sleep", "tail", "cat", "inotifywait", "pause"))
# Busybox runs its programs as itself: "busybox" or, as a shell does, "exe".
MULTICALL = frozenset(("busybox", "exe"))
WRAPPERS = SHELLS | INITS | SUPERVISORS | FILLERS | MULTICALL
PYTHON = re.compile(r"python[0-9.]*")

AT_START_TICKS = 1000  # 10 s: what began this soon after PID 1 was started by it, not by somebody who came in
APART_TICKS = 100  # the clock of starttime is coarse, and a shell that loops has moved on by a second later
STARTING_TICKS = 500  # a supervisor has started its programs by then
SPENT_TICKS = 20
RESTARTS = 3
MOST_STARTS = 16


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
        first = _base(self.argv[0]) if self.argv else ""
        if self.comm in MULTICALL:
            return _base(self.argv[1]) if first in MULTICALL and len(self.argv) > 1 else first or self.comm
        if PYTHON.fullmatch(first) and len(self.argv) > 1 and _base(self.argv[1]) in SUPERVISORS:
            return _base(self.argv[1])
        return first if first in SHELLS else self.comm

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
        return self.program != "tail" or any(re.match(r"-[a-zA-Z]*[fF]|--follow", word) for word in words)


class Structure(NamedTuple):
    """The processes of one container now. `script` is what its shell runs, where it could be read."""

    main: Member
    members: tuple[Member, ...]
    now_ticks: int
    cpus: int = 1
    script: str = ""


class Memory(NamedTuple):
    """What the next observation must know of this one: handed from tick to tick, per container.

    `beside` ran in the background of a waiting shell, `before` in the foreground of one that may yet wait for ever;
    `starts` and `empty` are a supervisor's.
    """

    main: Identity
    beside: Mapping[Identity, str] = {}
    before: Mapping[Identity, str] = {}
    starts: Mapping[str, frozenset[Identity]] = {}
    empty: bool = False


class Evidence(NamedTuple):
    """Why a container is hollow: the rule, and one sentence."""

    rule: str
    text: str


def is_wrapper(comm: str, argv: Sequence[str] = ()) -> bool:
    """Tell whether a first process may be without its application; of any other it is the application itself."""
    if comm in WRAPPERS:
        return True
    return Member(0, 0, 0, comm, tuple(argv), "S", 0, 0).program in WRAPPERS


def hollow(now: Structure, earlier: Memory | None = None) -> Evidence | None:
    """Decide; None: its application is there, or nothing shows that there ever was one."""
    if earlier is not None and earlier.main != now.main.identity:
        earlier = None
    holder = holder_of(now)
    if _interactive(holder) or _interactive(now.main):
        return None
    if holder.program in SUPERVISORS:
        return _supervisor(now, holder, earlier)
    below = _below(now, holder)
    alive = [one for one in below if not one.dead]
    if any(one.program not in FILLERS for one in alive):
        return None
    waiting = holder if holder.program in FILLERS else min(alive, key=lambda one: one.starttime_ticks, default=None)
    if waiting is None or (holder is not waiting and holder.program not in SHELLS):
        return None
    left = f"PID 1 is {now.main.program} and only `{' '.join(waiting.argv) or waiting.comm}` is left"
    for rule, trace in (
        ("seen", _seen(earlier, waiting)),
        ("zombie", _zombie(now, holder, below)),
        ("named", _named(now, below)),
        ("spent", _spent(now, holder, waiting)),
    ):
        if trace:
            return Evidence(rule, f"{left}: {trace}")
    return None


def remember(now: Structure, earlier: Memory | None = None) -> Memory:
    """Return what the next observation of this container needs."""
    if earlier is not None and earlier.main != now.main.identity:
        earlier = None
    holder = holder_of(now)
    below = _below(now, holder)
    alive = [one for one in below if not one.dead]
    starts = dict(earlier.starts) if earlier else {}
    if holder.program in SUPERVISORS:
        for one in alive:
            if one.program not in FILLERS and not _helps(one):
                known = {*starts.get(one.program, ()), one.identity}
                starts[one.program] = frozenset(sorted(known, key=lambda identity: identity[1])[-MOST_STARTS:])
        return Memory(now.main.identity, starts=starts, empty=not _working(alive))
    others = [one for one in alive if one.program not in FILLERS and one.ppid == holder.pid]
    beside = {one.identity: one.program for one in others if _runs_beside(one, holder, alive)}
    before = {one.identity: one.program for one in others if holder.program in SHELLS}
    # While nothing else runs, what was seen before is still what is missing.
    if earlier is not None and not others:
        beside, before = dict(earlier.beside), dict(earlier.before)
    return Memory(now.main.identity, beside, before, starts)


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


def _below(now: Structure, top: Member) -> list[Member]:
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


def _interactive(one: Member) -> bool:
    """Tell whether a person sits at this shell: a terminal, and neither -c nor a script."""
    return one.program in SHELLS and one.tty != 0 and all(word.startswith("-") for word in one.argv[1:])


def _helps(one: Member) -> bool:
    return HELPERS.fullmatch(one.comm) is not None or one.program in SUPERVISORS


def _working(alive: Iterable[Member]) -> list[Member]:
    return [one for one in alive if not _helps(one)]


def _supervisor(now: Structure, holder: Member, earlier: Memory | None) -> Evidence | None:
    alive = [one for one in _below(now, holder) if not one.dead]
    for name, starts in (remember(now, earlier).starts if earlier else {}).items():
        if len(starts) >= RESTARTS:
            text = f"{holder.program} started {name} {len(starts)} times while we looked: it does not stay"
            return Evidence("restarts", text)
    old = now.now_ticks - holder.starttime_ticks >= STARTING_TICKS
    if old and earlier is not None and earlier.empty and not _working(alive):
        return Evidence("supervisor", f"{holder.program} is alive and runs none of its programs")
    return None


def _runs_beside(one: Member, holder: Member, alive: Sequence[Member]) -> bool:
    """Tell whether a process runs beside its parent's waiting: in the background, for as long as that waits."""
    if holder.program in FILLERS:
        return one.session == holder.session
    waits = [other for other in alive if other.ppid == holder.pid and other.program in FILLERS]
    return any(wait.endless or one.starttime_ticks + APART_TICKS <= wait.starttime_ticks for wait in waits)


def _seen(earlier: Memory | None, waiting: Member) -> str:
    """Name what was seen and has ended; what ran before the waiting counts when that is for ever."""
    if earlier is None:
        return ""
    gone = [f"{name} (PID {pid}) ran beside it and has ended" for (pid, _), name in earlier.beside.items()]
    if not gone and waiting.endless:
        gone = [f"{name} (PID {pid}) ran before it and has ended" for (pid, _), name in earlier.before.items()]
    return ", ".join(gone[:3])


def _zombie(now: Structure, holder: Member, below: Iterable[Member]) -> str:
    """Find a child that nobody takes notice of. What somebody else left behind (docker exec) does not count."""
    early = now.main.starttime_ticks + AT_START_TICKS
    names = [
        f"{one.comm} (PID {one.pid})"
        for one in below
        if one.dead and one.ppid == holder.pid and holder.program in FILLERS and one.comm not in FILLERS
        if one.session == holder.session or one.starttime_ticks <= early
    ]
    return f"its child {', '.join(names[:3])} has ended and is still a zombie" if names else ""


def _named(now: Structure, below: Iterable[Member]) -> str:
    """Find a program that the script leaves in the background, and that is not there."""
    there = {_base(word) for one in below if not one.dead for word in (one.comm, *one.argv[:3])}
    missing = [name for name in background(now.script) if name not in there and name not in FILLERS]
    return f"its script starts {', '.join(missing[:3])} in the background, and it is not there" if missing else ""


def _spent(now: Structure, holder: Member, waiting: Member) -> str:
    """Compare the CPU time of the children that have ended with all there was before the shell began to wait."""
    if holder is waiting or waiting.ppid != holder.pid or not waiting.endless:
        return ""
    room = max(0, waiting.starttime_ticks - holder.starttime_ticks) * now.cpus
    if holder.dead_ticks < room + SPENT_TICKS:
        return ""
    return f"children that have ended used {holder.dead_ticks / CLOCK_TICKS:.1f} s of CPU time beside it"


def _base(path: str) -> str:
    return path.rpartition("/")[2]


# One command of a script and the sign that ends it; "&&", "||", ">&2" and "&>" are no "&".
COMMAND = re.compile(r"((?:\\.|'[^']*'|\"(?:\\.|[^\"\\])*\"|[<>]&|&>|[^;&|\n\\'\"])*)(&&|\|\||;;|[;&|\n]|$)")
COMMENT = re.compile(r"(?m)(^|\s)#.*$")
OPENS = frozenset(("if", "case", "for", "while", "until", "select", "{", "("))
CLOSES = frozenset(("fi", "esac", "done", "}", ")"))
PREFIXES = frozenset(("nohup", "exec", "setsid", "env", "time", "command"))
ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*")
FUNCTION = re.compile(r"(?m)^\s*(?:function\s+)?([\w-]+)\s*\(\)")
PLAIN = re.compile(r"[\w./+-]+")


def background(script: str) -> list[str]:
    """Return the programs that a shell script starts with "&", outside of conditions, loops and functions."""
    names, depth, condition = [], 0, False
    functions = set(FUNCTION.findall(script))
    for body, end in COMMAND.findall(COMMENT.sub(r"\1", script)):
        words = body.replace("()", " () ").split()
        depth += sum(word in OPENS for word in words[:1]) + sum(word == "{" for word in words[1:])
        name = next((word for word in words if word not in PREFIXES and not ASSIGNMENT.fullmatch(word)), "")
        name = name.strip("'\"")
        if end == "&" and depth == 0 and not condition and PLAIN.fullmatch(name) and name not in functions:
            names.append(_base(name))
        depth = max(0, depth - sum(word in CLOSES for word in words))
        condition = end in ("&&", "||")
    return names
