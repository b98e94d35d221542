"""One container: what it is, what it is allowed, what it uses, and what holds it back."""

from __future__ import annotations

from dashboards.generate.dashboard import dashboard, variable
from dashboards.generate.panels import (
    DATASOURCE,
    SEVERITY,
    Column,
    Query,
    bars,
    graph,
    stat,
    table,
    when_empty,
    whole,
    with_name,
)
from dashboards.generate.promql import TARGET, found, gained, kills, target

CPU = with_name("cgscope-cpu", "CPU quota and throttling")
PRESSURE = with_name("cgscope-pressure", "Pressure and OOM kills")
FLEET = whole("cgscope-fleet", "Fleet")
FULL = ((None, "green"), (0.8, "orange"), (0.95, "red"))
BAD = ((None, "green"), (1, "red"))
NOT_KILLS = 'event!="oom_kill"'
OWN = 'scope="container"'  # not that of the control groups below it


def of(metric: str, *matchers: str) -> str:
    """Select a metric of this container."""
    return target(metric, 'name="$container",id=~"$id"', *matchers)


def rate(metric: str, *matchers: str) -> str:
    """Give a counter of this container by the second."""
    return f"rate({of(metric, *matchers)}[$__rate_interval])"


def share(part: str, whole_: str) -> str:
    """Give part of whole, both added up: a container that was made anew has another id."""
    return f"sum({part}) / (sum({whole_}) > 0)"


WHICH = [
    # Not "name", as on the others, where it may be All: the links between dashboards would hand that on.
    variable("container", f'label_values(container_last_seen{{{TARGET},name!=""}}, name)', many=False,
             description="The container or service, by the name its runtime gave it."),
    variable("id", f'label_values(container_last_seen{{{TARGET},name="$container"}}, id)', label="Cgroup",
             description="Its cgroup: where several have the name, or it was made anew."),
]  # fmt: skip

THROTTLED = share(rate("container_cpu_cfs_throttled_periods_total"), rate("container_cpu_cfs_periods_total"))
FROM_ABOVE = (f"{rate('container_cpu_inherited_throttled_periods_total')}"
              f" / ({rate('container_cpu_inherited_periods_total')} > 0)")  # fmt: skip

NOW = [
    when_empty("No limit", stat(
        "CPU of its limit", "CPU used, as a share of the effective limit: the least of quota and cpuset, its own and "
        "its ancestors'.", "percentunit",
        Query(share(rate("container_cpu_usage_seconds_total"), of("container_cpu_limit_cores"))), link=CPU,
        steps=FULL)),
    when_empty("No quota", stat(
        "Throttled", "Share of the quota's periods in which it was stopped.", "percentunit", Query(THROTTLED),
        link=CPU, steps=((None, "green"), (0.05, "orange"), (0.25, "red")))),
    when_empty("No limit", stat(
        "Memory of its limit", "Memory that cannot be reclaimed, as a share of the effective limit. At 1 it is killed.",
        "percentunit", Query(share(of("container_memory_unreclaimable_bytes"), of("container_memory_limit_bytes"))),
        link=PRESSURE, steps=FULL)),
    when_empty("No limit", stat(
        "Tasks of its limit", "Processes and threads, as a share of what it may have. At 1 fork fails.", "percentunit",
        Query(share(of("container_threads"), of("container_pids_limit"))), link=PRESSURE, steps=FULL)),
    stat("OOM kills", "Processes of it killed for lack of memory in the time shown.", "short",
         Query(f"{kills(of, '')} or vector(0)", instant=True), link=PRESSURE, steps=BAD),
    stat("Age", "Since its first process started.", "s",
         Query(f"time() - max({of('container_start_time_seconds')})", instant=True), link=FLEET),
]  # fmt: skip

IDENTITY = [
    table("What it is", "Who made it, and its state.", Column("", of("container_info"), ""), link=FLEET,
          labels={"name": "Container", "runtime": "Runtime", "image": "Image", "kind": "Kind", "state": "State",
                  "pid": "PID", "rootfs": "Root", "instance": "Machine", "id": "Cgroup"}, sort="Runtime", height=4),
    table("Findings", "What cgscope found wrong or risky now.",
          Column("Severity", found(of, "code, id"), "none", names=SEVERITY), link=FLEET,
          labels={"code": "Finding", "id": "Cgroup"}, sort="Severity", width=12, height=6),
    table("Namespaces", "Its namespaces, and whether they are the host's own: then there is no wall there.",
          Column("", of("container_namespace_info"), ""), link=FLEET,
          labels={"kind": "Namespace", "inode": "Inode", "shared_with_host": "Host's own"}, sort="Host's own",
          width=12, height=6),
]  # fmt: skip

CPU_PANELS = [
    graph("CPU", "CPU used in user mode and in the kernel, and the effective limit. 1 is one core.", "short",
          Query(f"sum({rate('container_cpu_user_seconds_total')})", "user"),
          Query(f"sum({rate('container_cpu_system_seconds_total')})", "kernel"),
          Query(f"sum({of('container_cpu_limit_cores')})", "limit"), link=CPU, axis="cores", stack=True,
          limit="limit", width=8),
    when_empty("No quota", graph(
        "Throttled", "Share of the periods in which a quota stopped it: its own, and that of a cgroup above it, which "
        "its own counters do not show.", "percentunit", Query(THROTTLED, "own quota"),
        Query(FROM_ABOVE, "quota of {{set_by}}"), link=CPU, width=8)),
    graph("Waiting for a CPU", "Share of time in which some task was ready and had no CPU (PSI); and seconds its run "
          "queues were throttled, of all CPUs, each second.", "percentunit",
          Query(f"max({rate('container_pressure_cpu_waiting_seconds_total')})", "some task waits"),
          Query(f"sum({rate('container_cpu_cfs_throttled_seconds_total')})", "throttled"), link=CPU, width=8),
]  # fmt: skip

MEMORY = [
    graph("Memory", "What cannot be reclaimed, the working set (what Docker and the kubelet show), and all that is "
          "charged, page cache included.", "bytes",
          Query(f"sum({of('container_memory_unreclaimable_bytes')})", "cannot be reclaimed"),
          Query(f"sum({of('container_memory_working_set_bytes')})", "working set"),
          Query(f"sum({of('container_memory_usage_bytes')})", "charged"),
          Query(f"sum({of('container_memory_limit_bytes')})", "limit"), link=PRESSURE, limit="limit", width=8),
    graph("Its parts", "Anonymous memory (heaps and stacks), page cache and swap.", "bytes",
          Query(f"sum({of('container_memory_rss')})", "anonymous"), Query(f"sum({of('container_memory_cache')})",
          "cache"),
          Query(f"sum({of('container_memory_swap')})", "swap"), link=PRESSURE, stack=True, width=8),
    graph("Waiting for memory", "Share of time in which some or all tasks waited for memory (PSI).", "percentunit",
          Query(f"max({rate('container_pressure_memory_waiting_seconds_total')})", "some"),
          Query(f"max({rate('container_pressure_memory_stalled_seconds_total')})", "all"), link=PRESSURE, width=8),
    graph("Page faults", "Major ones wait for a disk: many of them are a working set larger than its memory.", "ops",
          Query(f"sum by (failure_type) ({rate('container_memory_failures_total', OWN)})",
                "{{failure_type}}"), link=PRESSURE, width=8),
    bars("Events of the memory limits", "Each time a limit was met: `high` slows it down, `max` reclaims, `oom_kill` "
         "kills. A container that was started again counts its own anew, but not its kills.",
         Query(gained(f"sum by (event) ({rate('container_memory_events_total', NOT_KILLS)})"), "{{event}}"),
         Query(gained(f"sum({rate('container_oom_kills_total')})"), "oom_kill"), link=PRESSURE, width=8),
    graph("Tasks", "Threads and processes; fork fails at the limit.", "short",
          Query(f"sum({of('container_threads')})", "threads"), Query(f"sum({of('container_processes')})", "processes"),
          Query(f"sum({of('container_pids_limit')})", "limit"), link=PRESSURE, limit="limit", width=8),
]  # fmt: skip

DISK = [
    graph("Bytes read and written", "To block devices; what the page cache answers is not in it.", "Bps",
          Query(f"sum by (device) ({rate('container_fs_reads_bytes_total')})", "read {{device}}"),
          Query(f"sum by (device) ({rate('container_fs_writes_bytes_total')})", "write {{device}}"), link=PRESSURE,
          width=6),
    graph("Reads and writes", "Requests to block devices.", "iops",
          Query(f"sum by (device) ({rate('container_fs_reads_total')})", "read {{device}}"),
          Query(f"sum by (device) ({rate('container_fs_writes_total')})", "write {{device}}"), link=PRESSURE, width=6),
    graph("Written to its own root", "Bytes in the layer that is its own: what is lost with it, and fills the "
          "machine's disk. Counted seldom, as it takes long: container_layer_age_seconds tells when.", "bytes",
          Query(f"sum({of('container_layer_bytes')})", "layer"), link=FLEET, width=6),
    graph("Waiting for I/O", "Share of time in which some or all tasks waited for a disk (PSI).", "percentunit",
          Query(f"max({rate('container_pressure_io_waiting_seconds_total')})", "some"),
          Query(f"max({rate('container_pressure_io_stalled_seconds_total')})", "all"), link=PRESSURE, width=6),
]  # fmt: skip

NETWORK = [
    graph("Network", "Bytes by interface. Containers of one network namespace have the same figures: they are shown "
          "at the one that was there first.", "Bps",
          Query(f"sum by (interface) ({rate('container_network_receive_bytes_total')})", "received {{interface}}"),
          Query(f"sum by (interface) ({rate('container_network_transmit_bytes_total')})", "sent {{interface}}"),
          link=FLEET),
    graph("Packets lost", "Packets with errors or dropped, both ways.", "pps",
          Query(f"sum({rate('container_network_receive_errors_total')})", "receive errors"),
          Query(f"sum({rate('container_network_transmit_errors_total')})", "transmit errors"),
          Query(f"sum({rate('container_network_receive_packets_dropped_total')})", "received, dropped"),
          Query(f"sum({rate('container_network_transmit_packets_dropped_total')})", "to send, dropped"), link=FLEET),
]  # fmt: skip

STARTED = {
    "name": "Started", "datasource": DATASOURCE, "enable": True, "hide": False, "iconColor": "blue",
    "expr": f"{of('container_start_time_seconds')} * 1000", "useValueForTime": True, "step": "60s",
    "titleFormat": "{{name}} started", "textFormat": "{{id}}", "tagKeys": "image",
}  # fmt: skip

DASHBOARD = dashboard(
    "cgscope-container", "Container", "One container: what it is, what it is allowed, what it uses, what holds it "
    "back.",
    [("Now", NOW), ("What it is", IDENTITY), ("CPU", CPU_PANELS), ("Memory and tasks", MEMORY), ("Disk", DISK),
     ("Network", NETWORK)],
    variables=WHICH, annotations=[STARTED],
)  # fmt: skip
