"""What a person should know about a container, each with its evidence in one sentence. Pure.

A finding is drawn from the document alone, so that whoever reads the JSON can
see why it is there. Codes are stable; the README lists them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from inspector.figures import byte_size
from inspector.kernel.namespaces import is_initial
from inspector.limits import NEARLY, Above, Full

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from inspector.schema import Container, Finding

__all__ = ["ALONE", "CODES", "DRAWN_FROM", "WHETHER_KNOWN", "findings", "may_be_short_of_cpus"]

CODES = {
    "hollow": "its first process is alive, but the application it was started for is gone",
    "cpu-throttled": "its own CPU quota stopped it in a good part of the periods",
    "cpu-throttled-by-ancestor": "the quota of a cgroup above it stopped it",
    "memory-near-limit": "what cannot be reclaimed is close to the memory limit: an OOM kill is near",
    "oom-killed": "processes in it were killed for lack of memory",
    "cpu-stalled": "all that was ready to run in it waited for a CPU, and no quota stopped it: others had the CPUs",
    "memory-stalled": "all its tasks at once waited for memory: its working set does not fit",
    "io-stalled": "all its tasks at once waited for a disk",
    "pids-near-limit": "it can hardly start another process or thread",
    "host-network": "it has the host's network: every port, interface and local service",
    "host-pid": "it sees, and with the right can signal, the host's processes",
}

DRAWN_FROM = (
    "kind", "namespaces", "cpu.quota_us", "cpu.period_us", "cpu.throttled_by", "cpu.throttled_ratio",
    "cpu.inherited_throttled_ratio", "memory.limit_bytes", "memory.unreclaimable_bytes", "memory.oom_kills",
    "pids.current", "pids.limit", "network.shared_with_host",
    *(f"{resource}.pressure_full_avg{span}" for resource in ("cpu", "memory", "io") for span in (10, 60)),
)  # fmt: skip
WHETHER_KNOWN = "cpu.usage_cores"
"""The values of a container that its findings are drawn from, and one of which only whether it is known.

With these, and what findings() is told beside them, the same as before the findings are the same.
"""

ALONE = Above()  # nobody above it has used nearly all
THROTTLED_WARNING = 0.05
THROTTLED_CRITICAL = 0.5
MEMORY_CRITICAL = 0.97
# Of time in which all of it stood still ("full" of accounting/psi.rst), of the last 10 s and of the last 60 s: one busy
# second is no finding, and what has passed is none for longer than a few. Memory is critical where systemd-oomd (the
# default of oomd.conf(5)) and oomd's etc/desktop.json would kill, 60 %. For a warning there is no such authority:
# 10 % of memory and 30 % of I/O are what dashboards/rules alert on; psi-notify's defaults are 10 % (of "some") and
# 15 %. 60 % of CPU is more than what one equal on each CPU takes (half), which is normal on a machine that is well
# used. I/O is never critical: who copies files waits for the disk by nature.
STALLED = (
    ("cpu", 0.6, 0.9, "what was ready to run in it got no CPU {} of the last 10 s and {} of the last minute"),
    ("memory", 0.1, 0.6, "all its tasks waited for memory {} of the last 10 s and {} of the last minute"),
    ("io", 0.3, None, "all its tasks waited for I/O {} of the last 10 s and {} of the last minute"),
)


def findings(
    container: Container,
    own: Mapping[str, int],
    hollow: str | None = None,
    below: float = 0.0,
    above: Above = ALONE,
) -> list[Finding]:
    """List the findings of one container.

    `own` are the reader's namespaces, the host's when it is on the host;
    `hollow` the evidence that its application is gone (inspector.hollow);
    `below` the share of periods throttled by the worst quota of the cgroups in it, 1 where no quota's period has ended
    yet (inspector.rates); `above` the cgroups above it that have nearly used what they may (inspector.limits): what it
    needs more of is not there then, however little it has itself.
    """
    gone: list[Finding] = [{"code": "hollow", "severity": "critical", "text": hollow}] if hollow else []
    throttled = list(_throttling(container))
    # Under a quota everything waits for a CPU just so, also where it stops all that runs in a cgroup from further down;
    # whether one stopped it is known from two looks.
    stopped = throttled or below >= THROTTLED_WARNING
    stalled = _stalls(container, of_cpu=not stopped and container["cpu"]["usage_cores"] is not None)
    of_memory, of_pids = _memory(container, above.memory), _pids(container, above.pids)
    return [*gone, *throttled, *of_memory, *stalled, *of_pids, *_namespaces(container, own)]


def _throttling(container: Container) -> Iterator[Finding]:
    cpu = container["cpu"]
    by, ratio, above = cpu["throttled_by"], cpu["throttled_ratio"] or 0.0, cpu["inherited_throttled_ratio"] or 0.0
    if ratio >= THROTTLED_WARNING:
        quota = f"{cpu['quota_us']} of {cpu['period_us']} us"
        yield {
            "code": "cpu-throttled",
            "severity": "critical" if ratio >= THROTTLED_CRITICAL else "warning",
            "text": f"throttled in {ratio:.0%} of its periods by its own quota ({quota})",
        }
    if above >= THROTTLED_WARNING and above > ratio:
        yield {
            "code": "cpu-throttled-by-ancestor",
            "severity": "critical" if above >= THROTTLED_CRITICAL else "warning",
            "text": f"throttled in {above:.0%} of the periods by the quota of {by}, above it",
        }


def _memory(container: Container, above: Full | None) -> Iterator[Finding]:
    memory = container["memory"]
    limit, fixed, kills = memory["limit_bytes"], memory["unreclaimable_bytes"], memory["oom_kills"] or 0
    whose = "its memory limit"
    if above and not (limit and fixed is not None and fixed / limit >= above.used / above.limit):
        fixed, limit, whose = above.used, above.limit, f"the memory limit of {above.path}, above it,"
    if limit and fixed is not None and fixed / limit >= NEARLY:
        left = byte_size(max(0, limit - fixed))
        yield {
            "code": "memory-near-limit",
            "severity": "critical" if fixed / limit >= MEMORY_CRITICAL else "warning",
            "text": f"{fixed / limit:.0%} of {whose} cannot be reclaimed: {left} to an OOM kill",
        }
    if kills:
        yield {
            "code": "oom-killed",
            "severity": "critical",
            "text": f"{kills} {'process' if kills == 1 else 'processes'} killed for lack of memory",
        }


def _stalls(container: Container, *, of_cpu: bool) -> Iterator[Finding]:
    one: Any = container  # mypy allows only literal keys of a TypedDict
    for resource, warning, critical, text in STALLED:
        late, lately = one[resource]["pressure_full_avg10"], one[resource]["pressure_full_avg60"]
        if late is None or lately is None or late < warning or lately < warning or (resource == "cpu" and not of_cpu):
            continue
        yield {
            "code": f"{resource}-stalled",
            "severity": "critical" if critical and min(late, lately) >= critical else "warning",
            "text": text.format(_percent(late), _percent(lately)),
        }


def may_be_short_of_cpus(late: float | None, lately: float | None) -> bool:
    """Tell whether the averages of CPU are such that it matters what stops the cgroups below."""
    return late is not None and lately is not None and min(late, lately) >= STALLED[0][1]


def _percent(share: float) -> str:
    """Write a share of the kernel's, which is in hundredths of a percent: whole ones, as a recording keeps them."""
    return f"{round(share * 1e4) // 100}%"


def _pids(container: Container, above: Full | None) -> Iterator[Finding]:
    current, limit, whose = container["pids"]["current"], container["pids"]["limit"], ""
    if above and not (limit and current is not None and current / limit >= above.used / above.limit):
        current, limit, whose = above.used, above.limit, f" of {above.path}, above it"
    if current is not None and limit and current / limit >= NEARLY:
        yield {
            "code": "pids-near-limit",
            "severity": "warning",
            "text": f"{current} of {limit} tasks{whose}: fork will fail at the limit",
        }


def _namespaces(container: Container, own: Mapping[str, int]) -> Iterator[Finding]:
    if container["kind"] != "container":
        return
    on_host = container["network"]["shared_with_host"]
    if on_host:
        yield {"code": "host-network", "severity": "warning", "text": "shares the host's network namespace"}
    # From inside a container the reader's namespaces are not the host's, but for those that are known by number.
    pid = container["namespaces"].get("pid")
    if pid == own.get("pid") and (on_host is not None or is_initial("pid", pid or 0)):
        yield {"code": "host-pid", "severity": "warning", "text": "shares the host's PID namespace"}
