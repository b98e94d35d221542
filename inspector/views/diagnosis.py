"""The findings of a container, each with its evidence and what to do; behind them why it is taken for a container."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

from inspector.advice import ADVICE
from inspector.closeup import Closeup
from inspector.schema import Container, Finding
from inspector.views.cells import COLOUR_OF_SEVERITY, SEVERITY
from inspector.views.detail import identity_lines
from inspector.views.facts import not_readable, wrapped
from inspector.views.layout import Line
from inspector.views.text import safe

__all__ = ["diagnosis_lines", "every_finding", "finding_lines"]

INDENT = 10


def every_finding(container: Container, closeup: Closeup) -> list[Finding]:
    """Return those of the last sample, and those that only the close look at a process tells; the worst first."""
    found = list(container["findings"])
    now = {one["code"] for one in found}
    # Of what both tell the sample is newer; what it tells no more has passed.
    others = closeup.report["findings"] if closeup.report else ()
    found += [one for one in others if one["code"] not in now and one["code"] not in OF_SAMPLES]
    return sorted(found, key=lambda one: -SEVERITY.get(one["severity"], 0))


OF_SAMPLES = frozenset(
    ("hollow", "cpu-throttled", "cpu-throttled-by-ancestor", "memory-near-limit", "oom-killed", "cpu-stalled",
     "memory-stalled", "io-stalled", "pids-near-limit", "host-network", "host-pid")
)  # fmt: skip
"""What every sample tells (inspector.findings)."""


def diagnosis_lines(container: Container, closeup: Closeup, width: int) -> list[Line]:
    """Return the page of findings."""
    lines: list[Line] = []
    if closeup.ended is not None:
        lines += wrapped("ended", "; ".join((closeup.ended, *closeup.ended_by)), width, "bad")
    found = every_finding(container, closeup)
    for one in found:
        lines += finding_lines(one, width)
    if not found:
        lines.append([("no findings", "good")])
    if closeup.report is None:
        why = closeup.note or "reading ..."
        lines.append([(f"what lets it reach the host: {safe(why)}", "dim")])
    else:
        lines += not_readable(closeup.report["unreadable"])
    return [*lines, [], *identity_lines(container, width)]


def finding_lines(one: Finding, width: int) -> Iterator[Line]:
    """Yield a finding: how bad, what it is called, the evidence and what to do."""
    yield [
        (f"{safe(one['severity']):<{INDENT - 1}} ", COLOUR_OF_SEVERITY.get(one["severity"], "")),
        (safe(one["code"]), "title"),
    ]
    room = max(width - INDENT - 1, 20)
    for part in wrap(safe(one["text"]), room, break_on_hyphens=False):
        yield [(" " * INDENT, ""), (part, "")]
    for part in wrap(ADVICE.get(one["code"], ""), room, break_on_hyphens=False):
        yield [(" " * INDENT, ""), (part, "dim")]
