"""All containers of all machines: what is there, what it uses, and which needs a look."""

from __future__ import annotations

from dashboards.generate.dashboard import IMAGE, NAME, dashboard
from dashboards.generate.panels import SEVERITY, Column, Query, graph, ranking, stat, table, to, whole
from dashboards.generate.promql import CONTAINER as EACH
from dashboards.generate.promql import (
    count,
    found,
    killed,
    rate,
    selected,
    share,
    target,
    total,
    total_increase,
    total_rate,
)

CONTAINER = to("cgscope-container", "Show ${__field.labels.name}")
ROW = to("cgscope-container", "Show this container", row=True)
CPU = whole("cgscope-cpu", "CPU quota and throttling")
PRESSURE = whole("cgscope-pressure", "Pressure and OOM kills")
EXPORTER = whole("cgscope-exporter", "The exporter itself")
BAD = ((None, "green"), (1, "red"))
FULL = ((None, "green"), (0.8, "orange"), (0.95, "red"))
LABELS = {"name": "Container", "instance": "Machine", "image": "Image", "id": ""}

USED_CPU = total_rate("container_cpu_usage_seconds_total")
THROTTLED = share(
    total_rate("container_cpu_cfs_throttled_periods_total"), total_rate("container_cpu_cfs_periods_total")
)
HELD = total("container_memory_unreclaimable_bytes")
MEMORY_LIMIT = total("container_memory_limit_bytes")

# Who made some is not to be known, and a legend of nothing would be the whole query.
RUNTIME = f'label_replace({selected("container_info")}, "runtime", "unknown", "runtime", "")'

NOW = [
    stat("Machines", "Machines whose exporter answers.", "short",
         Query(count(target("cgscope_build_info"))), link=EXPORTER),
    stat("Containers", "Containers that run now, whoever made them.", "short",
         Query(count(selected("container_last_seen"))), link=PRESSURE),
    stat("CPU used", "CPU used by the containers chosen, of all CPUs of the machines.", "percentunit",
         Query(f"sum({USED_CPU}) / sum({target('machine_cpu_cores')})"), link=CPU, steps=FULL),
    stat("Memory used", "Working sets of the containers chosen, of the machines' memory.", "percentunit",
         Query(f"sum({selected('container_memory_working_set_bytes')}) / sum({target('machine_memory_bytes')})"),
         link=PRESSURE, steps=FULL),
    stat("Throttled containers", "Containers whose own CPU quota stopped them in more than a quarter of its periods.",
         "short", Query(count(f"{THROTTLED} > 0.25")), link=CPU, steps=((None, "green"), (1, "orange"))),
    stat("Hit by OOM kills", "Containers of which something was killed for lack of memory in the time shown, those "
         "that are gone, too.", "short", Query(count(killed()), instant=True), link=PRESSURE, steps=BAD),
]  # fmt: skip

FINDINGS = [
    table("Findings", "What cgscope found wrong or risky now: hollow containers (the application is gone, PID 1 "
          "lives), memory or tasks near their limit, host namespaces. The codes are explained in cgscope's README.",
          Column("Severity", found(selected, f"{EACH}, code"), "none", names=SEVERITY), link=ROW, sort="Severity",
          labels={**LABELS, "image": "", "code": "Finding"}, width=14, height=8),
    graph("Findings over time", "Containers with each finding.", "short",
          Query(f"count by (code) ({selected('container_finding')} == 1)", "{{code}}"), link=PRESSURE, width=10),
]  # fmt: skip

TABLE = [
    table(
        "Containers", "Every container now. Memory that cannot be reclaimed, against the effective limit, is the "
        "distance to an OOM kill; page cache is not in it. No limit: no figure.",
        Column("CPU (cores)", USED_CPU, "short", decimals=3),
        Column("CPU limit", total("container_cpu_limit_cores"), "short", decimals=3),
        Column("Throttled", THROTTLED, "percentunit", ((None, "green"), (0.05, "orange"), (0.25, "red"))),
        Column("Working set", total("container_memory_working_set_bytes"), "bytes"),
        Column("Held memory", share(HELD, MEMORY_LIMIT), "percentunit", FULL),
        Column("Memory limit", MEMORY_LIMIT, "bytes"),
        Column("Tasks", total("container_threads"), "short"),
        Column("OOM kills", total_increase("container_oom_kills_total"), "short", BAD, decimals=0),
        Column("Age", f"time() - {total('container_start_time_seconds')}", "s"),
        link=ROW, labels=LABELS, sort="CPU (cores)", height=12,
    ),
]  # fmt: skip

MOST = [
    ranking("CPU, the 15 that use most", "CPU used: 1 is one core fully busy.", "short", USED_CPU, link=CONTAINER,
            axis="cores", stack=True),
    ranking("Memory, the 15 that hold most", "Memory that cannot be reclaimed without swap.", "bytes", HELD,
            link=CONTAINER, stack=True),
    ranking("Received, the 15 with most", "Bytes from the network, each network namespace counted once.", "Bps",
            total_rate("container_network_receive_bytes_total"), link=CONTAINER),
    ranking("Sent, the 15 with most", "Bytes to the network, each network namespace counted once.", "Bps",
            total_rate("container_network_transmit_bytes_total"), link=CONTAINER),
    ranking("Read, the 15 with most", "Bytes read from block devices.", "Bps",
            total_rate("container_fs_reads_bytes_total"), link=CONTAINER),
    ranking("Written, the 15 with most", "Bytes written to block devices.", "Bps",
            total_rate("container_fs_writes_bytes_total"), link=CONTAINER),
]  # fmt: skip

MACHINES = [
    graph("CPU of the containers by machine", "CPU used by all containers chosen of each machine.", "short",
          Query(f"sum by (instance) ({rate('container_cpu_usage_seconds_total')})", "{{instance}}"),
          Query(f"sum by (instance) ({target('machine_cpu_cores')})", "{{instance}} has"), link=EXPORTER, axis="cores",
          limit="/ has$/", width=8),
    graph("Memory of the containers by machine", "Working sets of all containers chosen of each machine.", "bytes",
          Query(f"sum by (instance) ({selected('container_memory_working_set_bytes')})", "{{instance}}"),
          Query(f"sum by (instance) ({target('machine_memory_bytes')})", "{{instance}} has"), link=EXPORTER,
          limit="/ has$/", width=8),
    graph("Containers by runtime", "Who made them.", "short",
          Query(f"count by (runtime) ({RUNTIME})", "{{runtime}}"), link=EXPORTER, stack=True, width=8),
]  # fmt: skip

DASHBOARD = dashboard(
    "cgscope-fleet", "Fleet", "All containers of all machines, and which of them needs a look.",
    [("Now", NOW), ("Which needs a look", FINDINGS), ("Containers", TABLE), ("The largest", MOST), ("Machines",
    MACHINES)],
    variables=[IMAGE, NAME],
)  # fmt: skip
