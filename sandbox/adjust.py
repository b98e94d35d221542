"""`sandbox limit`: another quota, memory or task limit for the container of any process, while it runs.

What is written, and in which order, is worked out first, from what is there
(`writes`, pure); an order that the kernel refuses is undone, and another one
tried. Sources: cgroup-v1/memory.rst, scheduler/sched-bwc.rst, cgroup-v2.rst.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from sandbox import ceilings, control
from sandbox.ceilings import Bounds
from sandbox.errors import SandboxError, describe
from sandbox.limits import DEFAULT_PERIOD_US
from sandbox.subject import FAILED, Group, Subject, hold

__all__ = ["Asked", "adjust", "carry_out", "check_file", "check_memory", "lines", "writes"]

MAIN_FILE = {
    ("cpu", 1): "cpu.cfs_quota_us",
    ("cpu", 2): "cpu.max",
    ("memory", 1): "memory.limit_in_bytes",
    ("memory", 2): "memory.max",
    ("pids", 1): "pids.max",
    ("pids", 2): "pids.max",
}
# All those of the five files that one controller checks against each other (memory's); disks are any number.
MOST_ORDERS = 120
# A control file and the value for it.
Write = tuple[str, str]


class Asked(NamedTuple):
    """The limit that one resource shall have: microseconds a period, bytes, tasks; None for no limit.

    `period_us` None keeps the period there is.
    """

    limit: int | None
    period_us: int | None = None


def writes(resource: str, version: int, now: Bounds, asked: Asked) -> tuple[tuple[Write, ...], ...]:
    """Return the orders of writes that may reach what is asked, the likeliest first; pure."""
    return PLANS[resource, version](now, asked)


def _number(value: int | None, none: str) -> str:
    return none if value is None else str(value)


def _cpu_v1(now: Bounds, asked: Asked) -> tuple[tuple[Write, ...], ...]:
    """Each write is checked against the parent's share and the children's: which of the two comes first matters."""
    period = asked.period_us or now.period_us or DEFAULT_PERIOD_US
    quota = ("cpu.cfs_quota_us", _number(asked.limit, "-1"))
    first = _less_burst("cpu.cfs_burst_us", now, asked)
    if period == now.period_us:
        return ((*first, quota),)
    one, other = ("cpu.cfs_period_us", str(period)), quota
    # A longer period lowers the share, a shorter one raises it.
    lowers_first = (one, other) if period > (now.period_us or 0) else (other, one)
    return (*first, *lowers_first), (*first, *reversed(lowers_first))


def _cpu_v2(now: Bounds, asked: Asked) -> tuple[tuple[Write, ...], ...]:
    period = asked.period_us or now.period_us or DEFAULT_PERIOD_US
    return ((*_less_burst("cpu.max.burst", now, asked), ("cpu.max", f"{_number(asked.limit, 'max')} {period}")),)


def _less_burst(file: str, now: Bounds, asked: Asked) -> Iterator[Write]:
    """Lower a burst that is larger than the new quota: the kernel refuses the quota otherwise."""
    if now.burst_us and asked.limit is not None and now.burst_us > asked.limit:
        yield file, str(asked.limit)


def _memory_v1(now: Bounds, asked: Asked) -> tuple[tuple[Write, ...], ...]:
    """Memory may never have more than memory and swap together; the swap that it may use stays as much as it was."""
    memory = ("memory.limit_in_bytes", _number(asked.limit, "-1"))
    if now.with_swap is None:
        return ((memory,),)
    both = None
    if asked.limit is not None:
        both = max(now.with_swap, asked.limit) if now.limit is None else asked.limit + now.with_swap - now.limit
    swap = ("memory.memsw.limit_in_bytes", _number(both, "-1"))
    raises = asked.limit is None or asked.limit > now.with_swap
    return ((swap, memory) if raises else (memory, swap),)


def _memory_v2(_: Bounds, asked: Asked) -> tuple[tuple[Write, ...], ...]:
    return ((("memory.max", _number(asked.limit, "max")),),)


def _pids(_: Bounds, asked: Asked) -> tuple[tuple[Write, ...], ...]:
    return ((("pids.max", _number(asked.limit, "max")),),)


PLANS: dict[tuple[str, int], Callable[[Bounds, Asked], tuple[tuple[Write, ...], ...]]] = {
    ("cpu", 1): _cpu_v1,
    ("cpu", 2): _cpu_v2,
    ("memory", 1): _memory_v1,
    ("memory", 2): _memory_v2,
    ("pids", 1): _pids,
    ("pids", 2): _pids,
}


def adjust(pid: int, asked: dict[str, Asked], *, force: bool, started: int | None = None) -> Iterator[str]:
    """Change limits of a process's container; yields a line for each: old, new, and what holds in the end.

    Nothing asked: tells all of them. Raises SandboxError for the first that
    cannot be: what came before it stays changed, and was told.
    """
    subject = hold(pid, started)
    groups = {resource: _group(subject, resource, force=force) for resource in asked}
    for resource, group in groups.items():
        before = ceilings.read(resource, group)
        if resource == "memory":
            check_memory(group, before, asked[resource], force=force)
        carry_out(group, writes(resource, group.version, before, asked[resource]))
        after = ceilings.read(resource, group)
        if not subject.is_alive():
            raise SandboxError(f"{subject} has ended meanwhile", FAILED)
        old, new = (ceilings.text(resource, bounds) for bounds in (before, after))
        yield f"{resource}: {old} -> {new}; {ceilings.effective(resource, group)} ({group})"
    if not asked:
        yield from _tell(subject)


def _group(subject: Subject, resource: str, *, force: bool) -> Group:
    group = subject.group(resource)
    group.check(subject, force=force)
    check_file(group)
    return group


def check_file(group: Group) -> None:
    """Refuse a cgroup that has no file for this limit: on v2 a controller must be handed down to it."""
    file = MAIN_FILE[group.controller, group.version]
    if not ceilings.has(group, file):
        raise SandboxError(
            f"{group} has no {file}: the controller {group.controller} is not handed down to it"
            " (cgroup.subtree_control of the cgroup above)",
            FAILED,
        )


def _tell(subject: Subject) -> Iterator[str]:
    for resource in ("cpu", "memory", "pids"):
        try:
            group = subject.group(resource)
            check_file(group)
        except SandboxError as error:
            yield f"{resource}: {error}"
            continue
        bounds = ceilings.text(resource, ceilings.read(resource, group))
        yield f"{resource}: {bounds}; {ceilings.effective(resource, group)} ({group})"


def check_memory(group: Group, now: Bounds, asked: Asked, *, force: bool) -> None:
    """Refuse a limit that would be kept by killing: v2 does so at once, where v1 answers EBUSY."""
    if asked.limit is None or now.unreclaimable is None or force:
        return
    if group.version != 1 and asked.limit < now.unreclaimable:
        held = ceilings.size(now.unreclaimable)
        raise SandboxError(
            f"{group} holds {held} that cannot be given back: below that the kernel kills processes of it (--force)",
            FAILED,
        )


def carry_out(group: Group, orders: Iterable[Sequence[Write]]) -> None:
    """Try each order, but not more than MOST_ORDERS; whatever fails is undone first."""
    failed: OSError | None = None
    for order in islice(orders, MOST_ORDERS):
        try:
            _write_all(group, order)
        except OSError as error:
            failed = error
            if error.errno != errno.EINVAL:
                break
        else:
            return
    if failed is not None:
        raise _explain(group, failed)


def _write_all(group: Group, order: Sequence[Write]) -> None:
    done: list[Write] = []
    try:
        for file, value in order:
            path = f"{group.place.directory}/{file}"
            was = ceilings.raw(group, file)
            control.write(path, value)
            done.append((path, was))
    except OSError:
        for path, line in lines(reversed(done)):
            with contextlib.suppress(OSError):
                control.write(path, line)
        raise


def lines(found: Iterable[Write]) -> Iterator[Write]:
    """Yield what files said as it can be written back: those with a line for each disk take one at a time."""
    for file, text in found:
        yield from ((file, line) for line in text.splitlines() or [""])


def _explain(group: Group, error: OSError) -> SandboxError:
    why = describe(error)
    if error.errno == errno.EBUSY:
        used = ceilings.read("memory", group).usage
        why += f": it uses {ceilings.size(used)}, and the kernel cannot get it below that"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        why += ": only root, or whom the cgroup was given to, may"
    elif error.errno == errno.EINVAL and group.controller == "cpu":
        why += ceilings.in_the_way(group)
    return SandboxError(why, FAILED)
