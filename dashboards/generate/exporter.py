"""The exporter itself: is it there, does it see all, and what does it cost."""

from __future__ import annotations

from dashboards.generate.dashboard import dashboard
from dashboards.generate.panels import Column, Query, graph, stat, states, table, whole
from dashboards.generate.promql import count, target

FLEET = whole("cgscope-fleet", "Fleet")
BY = "{{instance}}"
BAD = ((None, "green"), (1, "red"))
WARN = ((None, "green"), (1, "orange"))

NOW = [
    stat("Exporters up", "Machines whose exporter answered the last scrape.", "short",
         Query(f"sum({target('up')})"), link=FLEET),
    stat("Exporters down", "Targets of the job that did not answer.", "short",
         Query(count(f"{target('up')} == 0")), link=FLEET, steps=BAD),
    stat("Collectors failing", "Parts of the metrics that could not be read. The rest of the page is served all the "
         "same; the exporter's log says why.", "short",
         Query(count(f"{target('cgscope_scrape_collector_success')} == 0")), link=FLEET, steps=BAD),
    stat("Reads denied", "Files that the kernel did not let the exporter read. CAP_SYS_PTRACE and "
         "CAP_DAC_READ_SEARCH are what it can use.", "short",
         Query(f"sum({target('cgscope_denied_reads')})"), link=FLEET, steps=WARN),
    stat("Kernel logs unread", "Machines whose exporter may not read the kernel's log (CAP_SYSLOG): OOM kills of "
         "containers that are gone by the next scrape are not seen.", "short",
         Query(count(f"{target('cgscope_kernel_log_readable')} == 0")), link=FLEET, steps=WARN),
    stat("Not understood", "Kernel files that could not be understood: a bug, or a hostile name. Please report it.",
         "short",
         Query(f"sum({target('cgscope_problems')})"), link=FLEET, steps=WARN),
]  # fmt: skip

SCRAPES = [
    graph("Time of a scrape", "As Prometheus measures it, over the network. It gives up after its scrape_timeout, 10 "
          "s unless set.", "s", Query(target("scrape_duration_seconds"), BY), link=FLEET),
    graph("Time by collector", "Reading the machine, and the exporter's own figures.", "s",
          Query(target("cgscope_scrape_collector_duration_seconds"), "{{collector}} @ {{instance}}"), link=FLEET),
    states("Collectors", "Whether each part of the metrics could be read.",
           Query(target("cgscope_scrape_collector_success"), "{{collector}} @ {{instance}}"), link=FLEET,
           names={"0": ("failed", "red"), "1": ("read", "green")}),
    graph("Series", "Series of a scrape.", "short", Query(target("scrape_samples_scraped"), BY), link=FLEET),
]  # fmt: skip

COST = [
    graph("CPU", "CPU used by the exporter. It does nothing between scrapes.", "short",
          Query(f"rate({target('process_cpu_seconds_total')}[$__rate_interval])", BY), link=FLEET, axis="cores",
          width=8),
    graph("Memory", "Resident memory of the exporter.", "bytes",
          Query(target("process_resident_memory_bytes"), BY), link=FLEET, width=8),
    graph("Open files", "Of what it may open. The files that every scrape reads are kept open, up to a part of that.",
          "percentunit", Query(f"{target('process_open_fds')} / {target('process_max_fds')}", BY), link=FLEET, width=8),
]  # fmt: skip

VERSIONS = [
    table("Versions", "What runs where, and since when.",
          Column("Up",
                 f"(time() - max by (instance, job) ({target('process_start_time_seconds')})) * on (instance, job) "
                 f"group_right max by (instance, job, version) ({target('cgscope_build_info')})", "s"), link=FLEET,
          labels={"instance": "Machine", "job": "Job", "version": "Version"}, sort="Up", height=5),
]  # fmt: skip

DASHBOARD = dashboard(
    "cgscope-exporter", "Exporter", "The exporter itself: is it there, does it see all, and what does it cost.",
    [("Now", NOW), ("Scrapes", SCRAPES), ("What it costs", COST), ("Versions", VERSIONS)],
)  # fmt: skip
