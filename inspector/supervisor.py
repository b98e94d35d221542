"""A supervisor (supervisord, s6, runit) that lives, and none of whose programs does. Pure.

Between the end of a program and its next start there is nothing to see either,
so it takes two looks and one of these:

- the supervisor has written nothing down for longer than it waits before a start: it has given up;
- it wrote something down between two looks that saw nothing, and not just after the first, as that will have been the
  end of what was there before: what it started is gone already;
- nothing was there for that long, as far as we looked;
- programs were there, and for a good while none of them has stayed.
"""

from __future__ import annotations

from collections.abc import Iterable

from inspector.kernel.named import NamedTuple
from inspector.members import NAMING, TEXT, Evidence, Member, Structure, below_of, command, helps

__all__ = ["Bare", "bare_of", "bare_verdict"]

# Longer than any supervisor waits before it starts a program again (supervisord: 3 s, runit and s6: 1 s).
STAYS_TICKS = 500
LOOP_TICKS = 1500  # a program that needs its second or third start to succeed has done so, and stayed, by then
NOTED_TICKS = 50  # by when a supervisor has written down, also on a busy machine, that a program of it has ended
MOST_COMMANDS = 16


class Bare(NamedTuple):
    """A supervisor with no program that has stayed, as seen at each of several looks; times in ticks since boot.

    `none_since` is the first of the looks in a row at which it had no program at all. `commands` came and went.
    """

    since: int
    none_since: int | None
    looked: int
    changed: int | None
    commands: frozenset[str]


def bare_of(now: Structure, below: Iterable[Member], earlier: Bare | None) -> Bare | None:
    """Take down what runs under a supervisor; None as soon as one program of it has stayed for a while."""
    programs = [one for one in below if not helps(one)]
    alive = [one for one in programs if not one.dead]
    if any(now.now_ticks - one.starttime_ticks >= STAYS_TICKS for one in alive):
        return None
    # Between looks far apart a program may well have stayed.
    near = earlier if earlier and now.now_ticks - earlier.looked <= STAYS_TICKS else None
    return Bare(
        since=near.since if near else now.now_ticks,
        none_since=None if programs else _since(now, earlier),
        looked=now.now_ticks,
        changed=now.changed_ticks,
        commands=frozenset([*(near.commands if near else ()), *map(command, alive)][:MOST_COMMANDS]),
    )


def _since(now: Structure, earlier: Bare | None) -> int:
    return now.now_ticks if earlier is None or earlier.none_since is None else earlier.none_since


def bare_verdict(now: Structure, holder: Member, earlier: Bare | None) -> Evidence | None:
    """Decide whether a supervisor is without its programs."""
    below = below_of(now, holder)
    bare = bare_of(now, below, earlier)
    if bare is None or earlier is None or now.now_ticks - holder.starttime_ticks < STAYS_TICKS:
        return None
    if bare.none_since is not None and earlier.none_since is not None:
        names = ", ".join(one.argv[1] for one in below if one.comm in NAMING and len(one.argv) > 1)[:TEXT]
        text = f"{holder.program} is alive and runs none of its programs" + (f" ({names})" if names else "")
        if bare.changed is not None and now.now_ticks - bare.changed >= STAYS_TICKS:
            return Evidence("supervisor", f"{text}: it has given up, or was told to stop them")
        if _has_started_some(bare, earlier):
            return Evidence("supervisor", f"{text}: what it starts ends at once")
        if now.now_ticks - bare.none_since >= STAYS_TICKS:
            return Evidence("supervisor", text)
    if bare.commands and now.now_ticks - bare.since >= LOOP_TICKS:
        names = ", ".join(f"`{one}`" for one in sorted(bare.commands)[:3])
        return Evidence("restarts", f"{holder.program} starts {names} again and again: it does not stay")
    return None


def _has_started_some(bare: Bare, earlier: Bare) -> bool:
    if bare.changed is None or earlier.changed in (None, bare.changed) or bare.none_since is None:
        return False
    return bare.changed - bare.none_since >= NOTED_TICKS
