"""CPU quotas: who is throttled, by whom, how much it costs, and which limit would be right."""

from __future__ import annotations

from dashboards.generate.dashboard import IMAGE, NAME, dashboard
from dashboards.generate.panels import Column, Query, ranking, stat, table, to, whole
from dashboards.generate.promql import by_container, count, rate, selected, share, total, total_rate

CONTAINER = to("cgscope-container", "Show ${__field.labels.name}")
ROW = to("cgscope-container", "Show this container", row=True)
FLEET = whole("cgscope-fleet", "Fleet")
LABELS = {"name": "Container", "instance": "Machine", "image": "Image", "id": ""}
THROTTLED_STEPS = ((None, "green"), (0.05, "orange"), (0.25, "red"))

USED = total_rate("container_cpu_usage_seconds_total")
LIMIT = total("container_cpu_limit_cores")
OWN = share(total_rate("container_cpu_cfs_throttled_periods_total"), total_rate("container_cpu_cfs_periods_total"))
# By each cgroup above that has a quota (set_by), and of the one that stops it most.
BY_WHOM = share(rate("container_cpu_inherited_throttled_periods_total"), rate("container_cpu_inherited_periods_total"))
ABOVE = by_container(BY_WHOM, "max")
LOST = total_rate("container_cpu_cfs_throttled_seconds_total")


def over_time(quantile: float) -> str:
    """Give a quantile of the CPU used over the time shown, in its panel's steps: a week costs no more than a day."""
    used = by_container(rate("container_cpu_usage_seconds_total"))
    return f"quantile_over_time({quantile}, ({used})[$__range:$__interval])"


NOW = [
    stat("With a quota", "Containers with a CPU quota of their own.", "short",
         Query(count(selected("container_spec_cpu_quota"))), link=FLEET),
    stat("Throttled", "Containers that their own quota stopped in more than 5 % of its periods.", "short",
         Query(count(f"{OWN} > 0.05")), link=FLEET, steps=((None, "green"), (1, "orange"))),
    stat("Throttled from above", "Containers that the quota of a cgroup above them stopped in more than 5 % of its "
         "periods. Their own counters stay 0.", "short",
         Query(count(f"{ABOVE} > 0.05")), link=FLEET, steps=((None, "green"), (1, "orange"))),
    stat("Time lost", "Time that run queues were throttled, added up over CPUs and containers, each second.", "s",
         Query(f"sum({LOST}) or vector(0)"), link=FLEET),
    stat("CPU limited", "The sum of the effective limits of the containers that have one, in cores.", "none",
         Query(f"sum({LIMIT})"), link=FLEET),
    stat("CPU used of it", "What those containers use of it.", "percentunit",
         Query(f"sum({USED} and {LIMIT}) / sum({LIMIT})"), link=FLEET),
]  # fmt: skip

THROTTLING = [
    ranking("Periods throttled by the own quota", "Share of the quota's periods in which the container was stopped. It "
            "says how often, not for how long.", "percentunit", OWN, link=CONTAINER),
    ranking("Time throttled", "Time that its run queues stood still, each second; above 1 where several CPUs did. This "
            "is what a request waits.", "s", LOST, link=CONTAINER),
    ranking("Periods throttled by a quota above", "The quota of a pod, slice or parent stops all below it, though "
            "their own counters stay 0. The table below names it.", "percentunit", ABOVE, link=CONTAINER),
    ranking("Waiting for a CPU", "Share of time in which some task was ready and had no CPU (PSI), throttled or not. "
            "Throttling without this did no harm.", "percentunit",
            total_rate("container_pressure_cpu_waiting_seconds_total"), link=CONTAINER),
    ranking("CPU used of the limit", "Use as a share of the effective limit.", "percentunit", share(USED, LIMIT),
            link=CONTAINER),
    ranking("Bursts", "Periods in which quota saved up earlier was used: the cure for throttling at low use.", "ops",
            total_rate("container_cpu_cfs_burst_periods_total"), link=CONTAINER),
]  # fmt: skip

WHO = [
    table("Which cgroup sets the limit", "The cgroup whose quota or cpuset is the container's effective CPU limit. "
          "When it is not the container's own, raising the container's quota changes nothing.",
          Column("Limit (cores)",
                 f"max by (instance, id, name, set_by) ({selected('container_cpu_limit_info')})"
                 f" * on (instance, id) group_left max by (instance, id) ({selected('container_cpu_limit_cores')})",
                 "short", decimals=3),
          link=ROW, labels={"name": "Container", "instance": "Machine", "set_by": "Set by", "id": ""},
          sort="Limit (cores)", width=12, height=8),
    table("Whose quota throttles those below it", "Each cgroup above a container that was throttled, and so stopped "
          "the container.",
          Column("Throttled", f"max by (instance, id, name, set_by) ({BY_WHOM}) > 0", "percentunit", THROTTLED_STEPS),
          link=ROW, labels={"name": "Container", "instance": "Machine", "set_by": "Quota of", "id": ""},
          sort="Throttled", width=12, height=8),
]  # fmt: skip

RIGHT_SIZE = [
    table(
        "Right-sizing", "CPU used over the time shown, and a limit that would have let 99 % of it through with 20 % "
        "to spare. Choose a week to include its busiest hour. Much lower than the limit: the rest is reserved for "
        "nobody. Throttled with a suggestion near the limit: bursts shorter than a period, so allow a burst first.",
        Column("Limit (cores)", LIMIT, "short", decimals=3),
        Column("Median", over_time(0.5), "short", decimals=3),
        Column("95 %", over_time(0.95), "short", decimals=3),
        Column("99 %", over_time(0.99), "short", decimals=3),
        Column("Suggested limit", f"1.2 * {over_time(0.99)}", "short", decimals=3),
        Column("99 % of limit", f"{over_time(0.99)} / ({LIMIT} > 0)", "percentunit"),
        Column("Throttled", OWN, "percentunit", THROTTLED_STEPS),
        link=ROW, labels=LABELS, sort="Limit (cores)", height=12,
    )
    | {"maxDataPoints": 360},  # a minute each of six hours, half an hour of a week
]  # fmt: skip

DASHBOARD = dashboard(
    "cgscope-cpu", "CPU quota and throttling", "Who is throttled, by whom, what it costs, and which limit would be "
    "right.",
    [("Now", NOW), ("Throttling", THROTTLING), ("By whom", WHO), ("Right-sizing", RIGHT_SIZE)],
    variables=[IMAGE, NAME], since="now-6h",
)  # fmt: skip
