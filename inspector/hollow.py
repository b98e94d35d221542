"""Hollow: PID 1 is alive and the application it was started for is gone. Pure.

The first process is a shell, an init, a supervisor, or a `tail -f` or `sleep`
that a shell became, and nothing that could be an application is left below it.
That alone is never reported (`sleep infinity` may be all that was asked for,
and an idle application is alive): each verdict needs a trace of the
application that was there.

- supervisor, restarts: nothing runs under it, or stays (inspector.supervisor);
- seen: a child that ran beside the `sleep` or `tail` was seen, and has ended since;
- zombie: a child has ended, and its parent (a `tail`, say) does not even take notice;
- named: the script starts a program in the background, and there is none of that name;
- spent: children that have ended used more CPU time than there was before the `tail` began to wait.

A shell that runs one command after another, with a `sleep` between, is an
application: what it waits for is gone only when it ran *beside* the waiting. What comes to an end by its nature
(`chown -R`, `tar`) is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from inspector.kernel.named import NamedTuple
from inspector.kernel.process import CLOCK_TICKS
from inspector.members import (
    FILLERS,
    PASSING,
    SHELLS,
    SUPERVISORS,
    Evidence,
    Member,
    Structure,
    base,
    below_of,
    command,
    holder_of,
)
from inspector.model import Identity
from inspector.shellscript import background, until
from inspector.supervisor import Bare, bare_of, bare_verdict

__all__ = ["Memory", "hollow", "remember"]

AT_START_TICKS = 1000  # 10 s: what began this soon after PID 1 was started by it, not by somebody who came in
APART_TICKS = 100  # the clock of starttime is coarse, and a shell that loops has moved on by a second later
SPENT_TICKS = 20
SERVES_TICKS = 6000  # what a shell ran in the foreground for a minute was no preparation
STARTING_TICKS = 200  # far longer than fork and execve take on a busy machine


class Memory(NamedTuple):
    """What the next observation must know of this one: handed from tick to tick, per container.

    `beside` ran in the background of a waiting shell, `before` in the foreground of one that may yet wait for ever;
    `waits` are those beside which they did, where these wait for ever: when both are gone it was a pipeline, as in
    `cat log | nc`. `evidence` holds while a shell is between one `sleep` and the next.
    """

    main: Identity
    beside: Mapping[Identity, str] = {}
    waits: frozenset[Identity] = frozenset()
    before: Mapping[Identity, str] = {}
    bare: Bare | None = None
    evidence: Evidence | None = None


def hollow(now: Structure, earlier: Memory | None = None) -> Evidence | None:
    """Decide; None: its application is there, or nothing shows that there ever was one."""
    if earlier is not None and earlier.main != now.main.identity:
        earlier = None
    holder = holder_of(now)
    if _interactive(holder):
        return None
    if holder.program in SUPERVISORS:
        return bare_verdict(now, holder, earlier.bare if earlier else None)
    below = below_of(now, holder)
    alive = [one for one in below if not (one.dead or _is_starting(one, holder, now))]
    if holder.program not in FILLERS | SHELLS or any(one.program not in FILLERS for one in alive):
        return None
    waiting = holder if holder.program in FILLERS else min(alive, key=lambda one: one.starttime_ticks, default=None)
    for rule, trace in _traces(now, earlier, holder, waiting) if waiting else ():
        if trace:
            return Evidence(rule, trace)
    # One `sleep` has ended, or the next has only just been executed: it has no command line.
    between = waiting is None or not waiting.argv
    return earlier.evidence if between and earlier else None


def _traces(now: Structure, earlier: Memory | None, holder: Member, waiting: Member) -> Iterator[tuple[str, str]]:
    """Try the rules, one after another: each with its name, and "" where it found nothing."""
    below = below_of(now, holder)
    for rule, found in (
        ("seen", _seen(earlier, waiting)),
        ("zombie", _zombie(now, holder, below)),
        ("named", _named(now, waiting, below)),
        ("spent", _spent(now, holder, waiting)),
    ):
        yield rule, found and f"PID 1 is {now.main.program} and only `{command(waiting)}` is left: {found}"


def remember(now: Structure, earlier: Memory | None = None) -> Memory:
    """Return what the next observation of this container needs."""
    if earlier is not None and earlier.main != now.main.identity:
        earlier = None
    holder = holder_of(now)
    below = below_of(now, holder)
    alive = [one for one in below if not one.dead]
    if holder.program in SUPERVISORS:
        return Memory(now.main.identity, bare=bare_of(now, below, earlier.bare if earlier else None))
    others = [
        one
        for one in alive
        if one.ppid == holder.pid and one.program not in FILLERS and not _is_starting(one, holder, now)
    ]
    lasting = [one for one in others if one.program not in PASSING]
    beside = {one.identity: one.program for one in lasting if _runs_beside(one, holder, alive)}
    before = {
        one.identity: one.program
        for one in lasting
        if holder.program in SHELLS and now.now_ticks - one.starttime_ticks >= SERVES_TICKS
    }
    waits = frozenset(one.identity for one in (holder, *alive) if one.program in FILLERS and one.endless)
    # While nothing else runs, what was seen before is still what is missing.
    if earlier is not None and not others:
        beside, before, waits = dict(earlier.beside), dict(earlier.before), earlier.waits
    return Memory(now.main.identity, beside, waits, before, evidence=hollow(now, earlier))


def _is_starting(one: Member, shell: Member, now: Structure) -> bool:
    """Tell whether a process is still a copy of the shell that is about to execute something in it."""
    new = now.now_ticks - one.starttime_ticks < STARTING_TICKS
    return new and one.ppid == shell.pid and (one.comm, one.argv) == (shell.comm, shell.argv)


def _interactive(one: Member) -> bool:
    """Tell whether a person sits at this shell: a terminal, and neither -c nor a script."""
    return one.program in SHELLS and one.tty != 0 and all(word.startswith("-") for word in one.argv[1:])


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
    beside = {} if earlier.waits and waiting.identity not in earlier.waits else earlier.beside
    gone = [f"{name} (PID {pid}) ran beside it and has ended" for (pid, _), name in beside.items()]
    if not gone and waiting.endless:
        gone = [f"{name} (PID {pid}) ran before it and has ended" for (pid, _), name in earlier.before.items()]
    return ", ".join(gone[:3])


def _zombie(now: Structure, holder: Member, below: Iterable[Member]) -> str:
    """Find a child that nobody takes notice of. What somebody else left behind (docker exec) does not count."""
    early = now.main.starttime_ticks + AT_START_TICKS
    names = [
        f"{one.comm} (PID {one.pid})"
        for one in below
        if one.dead and one.ppid == holder.pid and holder.program in FILLERS and one.comm not in FILLERS | PASSING
        if one.session == holder.session or one.starttime_ticks <= early
    ]
    return f"its child {', '.join(names[:3])} has ended and is still a zombie" if names else ""


def _named(now: Structure, waiting: Member, below: Iterable[Member]) -> str:
    """Find a program that the script has left in the background before it began to wait, and that is not there."""
    there = {base(word) for one in below if not one.dead for word in (one.comm, *one.argv[:3])}
    started = background(until(now.script, waiting.words))
    missing = [name for name in started if name not in there and name not in FILLERS | PASSING]
    return f"its script starts {', '.join(missing[:3])} in the background, and it is not there" if missing else ""


def _spent(now: Structure, holder: Member, waiting: Member) -> str:
    """Compare the CPU time of the children that have ended with all there was before the shell began to wait."""
    if holder is waiting or waiting.ppid != holder.pid or not waiting.endless:
        return ""
    started = background(until(now.script, waiting.words))
    if started and PASSING.issuperset(started):
        return ""
    room = max(0, waiting.starttime_ticks - holder.starttime_ticks) * now.cpus
    if holder.dead_ticks < room + SPENT_TICKS:
        return ""
    return f"children that have ended used {holder.dead_ticks / CLOCK_TICKS:.1f} s of CPU time beside it"
