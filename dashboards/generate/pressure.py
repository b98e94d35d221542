"""Pressure and OOM kills: who waits for what, who is close to a limit, who was killed."""

from __future__ import annotations

from dashboards.generate.dashboard import IMAGE, NAME, dashboard
from dashboards.generate.panels import Column, Query, bars, ranking, stat, table, to, whole
from dashboards.generate.promql import CONTAINER as EACH
from dashboards.generate.promql import (
    by_container,
    count,
    gained,
    killed,
    selected,
    share,
    total,
    total_rate,
)

CONTAINER = to("cgscope-container", "Show ${__field.labels.name}")
ROW = to("cgscope-container", "Show this container", row=True)
FLEET = whole("cgscope-fleet", "Fleet")
CPU = whole("cgscope-cpu", "CPU quota and throttling")
BY = "{{name}} @ {{instance}}"
LABELS = {"name": "Container", "instance": "Machine", "image": "Image", "id": ""}
BAD = ((None, "green"), (1, "red"))
FULL = ((None, "green"), (0.8, "orange"), (0.95, "red"))

MAX = 'event="max"'
HELD = total("container_memory_unreclaimable_bytes")
LIMIT = total("container_memory_limit_bytes")
OF_LIMIT = share(HELD, LIMIT)
# The highest sample, not that of every minute.
PEAK = by_container(f"max_over_time({selected('container_memory_unreclaimable_bytes')}[$__range])")
LARGEST = by_container(f"max_over_time({selected('container_memory_working_set_bytes')}[$__range])")
TASKS = share(total("container_threads"), total("container_pids_limit"))


def pressure(title: str, resource: str, kind: str, meaning: str) -> dict[str, object]:
    """Return a chart of one kind of pressure stall information, by container."""
    return ranking(title, f"Share of time in which {meaning} (PSI). It says that work was delayed, not merely that "
                   "much is used.", "percentunit",
                   total_rate(f"container_pressure_{resource}_{kind}_seconds_total"), link=CONTAINER,
                   width=8)  # fmt: skip


NOW = [
    stat("Hit by OOM kills", "Containers of which something was killed for lack of memory in the time shown, those "
         "that are gone, too.", "short", Query(count(killed()), instant=True), link=FLEET, steps=BAD),
    stat("Near their memory limit", "Containers of whose limit 90 % cannot be reclaimed.", "short",
         Query(count(f"{OF_LIMIT} > 0.9")), link=FLEET, steps=BAD),
    stat("Stalled by memory", "Containers whose tasks all waited for memory more than 5 % of the time.", "short",
         Query(count(f"{total_rate('container_pressure_memory_stalled_seconds_total')} > 0.05")), link=FLEET,
         steps=BAD),
    stat("Stalled by I/O", "Containers whose tasks all waited for a disk more than 20 % of the time.", "short",
         Query(count(f"{total_rate('container_pressure_io_stalled_seconds_total')} > 0.2")), link=FLEET,
         steps=((None, "green"), (1, "orange"))),
    stat("Near their task limit", "Containers that have 90 % of the tasks they may have.", "short",
         Query(count(f"{TASKS} > 0.9")), link=FLEET, steps=BAD),
    stat("Without a memory limit", "Containers that nothing but the machine's memory limits.", "short",
         Query(count(f"{selected('container_memory_working_set_bytes')} unless on (instance, id) "
                     f"{selected('container_memory_limit_bytes')}")), link=FLEET),
]  # fmt: skip

STALLS = [
    pressure("Waiting for a CPU", "cpu", "waiting", "some task was ready and had no CPU"),
    pressure("Waiting for memory", "memory", "waiting", "some task waited for memory to be reclaimed or read back"),
    pressure("Waiting for I/O", "io", "waiting", "some task waited for a disk"),
    pressure("Stopped for a CPU", "cpu", "stalled", "no task at all could run"),
    pressure("Stopped for memory", "memory", "stalled", "every task waited for memory: nothing was done"),
    pressure("Stopped for I/O", "io", "stalled", "every task waited for a disk: nothing was done"),
]

MEMORY = [
    ranking("Memory that cannot be reclaimed, of the limit", "The distance to an OOM kill. Page cache is not in it, so "
            "a file server does not look as if it were about to die.", "percentunit", OF_LIMIT, link=CONTAINER),
    bars("Limits met", "Each time a memory limit was met and memory had to be reclaimed.",
         Query(f"{gained(total_rate('container_memory_events_total', MAX))} > 0", BY), link=CONTAINER),
    ranking("Swap", "Memory that was moved to swap.", "bytes", total("container_memory_swap"), link=CONTAINER, width=8),
    ranking("Major page faults", "Pages read back from a disk: a working set larger than its memory.", "ops",
            total_rate("container_memory_failures_total", 'failure_type="pgmajfault"', 'scope="container"'),
            link=CONTAINER, width=8),
    ranking("Tasks of the limit", "Processes and threads, as a share of what the container may have. At 1 fork fails.",
            "percentunit", TASKS, link=CONTAINER, width=8),
]  # fmt: skip

KILLS = [
    bars("OOM kills", "Processes killed for lack of memory. Series outlive their container for a while, so a kill "
         "that ends it is seen; one before it was first looked at is in the table alone.",
         Query(f"{gained(total_rate('container_oom_kills_total'))} > 0", BY),
         link=CONTAINER, width=10),
    table("OOM kills in the time shown", "Who was killed for lack of memory.",
          Column("Kills", killed(), "short", BAD, decimals=0),
          Column("Memory limit", f"{LIMIT} and ({killed()})", "bytes"),
          Column("Held memory", f"{OF_LIMIT} and ({killed()})", "percentunit", FULL),
          link=ROW, labels=LABELS, sort="Kills", width=14, height=8),
    table("The last victims", "The last process that was killed in each container, as the kernel's log names it; "
          "told for an hour after the container is gone. Needs CAP_SYSLOG.",
          Column("Killed",
                 f"1000 * (max by (instance, id) ({selected('container_oom_last_kill_timestamp_seconds')}) * on "
                 "(instance, id) group_right "
                 f"max by ({EACH}, task, pid) ({selected('container_oom_last_victim_info')}))",
                 "dateTimeFromNow"),
          link=ROW, labels={"name": "Container", "instance": "Machine", "task": "Process", "pid": "PID",
                            "image": "Image", "id": ""}, sort="Killed", height=8),
]  # fmt: skip

RIGHT_SIZE = [
    table(
        "Right-sizing", "The most memory over the time shown, and a limit with 15 % to spare above it. From the "
        "highest, never from an average: one peak above the limit is a kill. Choose a time that includes the "
        "busiest.",
        Column("Memory limit", LIMIT, "bytes"),
        Column("Most held", PEAK, "bytes"),
        Column("Largest working set", LARGEST, "bytes"),
        Column("Suggested limit", f"1.15 * {LARGEST}", "bytes"),
        Column("Most held of limit", f"{PEAK} / ({LIMIT} > 0)", "percentunit", FULL),
        link=ROW, labels=LABELS, sort="Most held of limit", height=12,
    ),
]  # fmt: skip

DASHBOARD = dashboard(
    "cgscope-pressure", "Pressure and OOM kills", "Who waits for what, who is close to a limit, who was killed.",
    [("Now", NOW), ("Pressure", STALLS), ("Memory and tasks", MEMORY), ("OOM kills", KILLS), ("Right-sizing",
    RIGHT_SIZE)],
    variables=[IMAGE, NAME], since="now-6h",
)  # fmt: skip
