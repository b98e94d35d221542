"""The report as lines of text: for a student who wants to see the walls, and for whoever is on call."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from inspector.kernel.process import CAPABILITIES
from inspector.nsinspect.facts import overmounted
from inspector.report import LimitLine, Limits, Namespace, Report
from inspector.views.abridge import abridged
from inspector.views.cells import COLOUR_OF_SEVERITY, OUT_OF_SIGHT, SEVERITY, Cell
from inspector.views.diagnosis import finding_lines
from inspector.views.facts import LABEL, fact, not_readable, wrapped
from inspector.views.layout import Line
from inspector.views.security import security_lines
from inspector.views.text import UNKNOWN, byte_size, cores, count, duration, fit, in_units, safe, short_id
from inspector.views.walls import ISOLATES

__all__ = ["page"]

DEFAULT_WEIGHT = 100
KINDS = {"guarantee": "   a guarantee: so much is not reclaimed for others", "target": "   where reclaim stops"}
LONG_ID = re.compile(r"[0-9a-f]{64}")
SHOW = {"cpu": cores, "memory": byte_size, "pids": count, "cpuset": count}
UNITS = {"cpu": "core", "pids": "task", "cpuset": "CPU"}


def page(report: Report, width: int = 100) -> list[Line]:
    """Return the whole page, for a terminal of `width`."""
    lines = [*_who(report, width), *_alarm(report, width), []]
    lines += [*_namespaces(report["namespaces"]), []]
    lines += [*_limits(report), []]
    lines += [*_cgroups(report, width), []]
    lines += [*_root(report, width), []]
    lines += [[("SECURITY", "title")], *security_lines(report["security"], width, CAPABILITIES), []]
    lines += _resources(report)
    if report["findings"]:
        lines += [[], [("FINDINGS", "title")]]
        for finding in sorted(report["findings"], key=lambda one: -SEVERITY.get(one["severity"], 0)):
            lines += finding_lines(finding, width)
    return [*lines, *not_readable(report["unreadable"])]


def _who(report: Report, width: int) -> Iterator[Line]:
    name, identifier = report["container_name"], report["container"]
    where: Cell = ("in no container", "dim")
    if not report["namespaces"] and not report["kernel_thread"]:
        # How many PID namespaces it is in is told to anybody.
        below = "in a PID namespace below ours: in which container" if len(report["pids"]) > 1 else "in which container"
        where = (f"{below}, if in any, cannot be told without its namespaces", "warn")
    if name is not None and identifier is not None:
        known_as = f" ({short_id(identifier)})" if short_id(identifier) != name else ""
        inside = "".join(f", inside {safe(one)}" for one in report["container_parents"])
        where = (f"in container {safe(name)}{known_as}{inside}", "good")
    yield [(f"PID {report['pid']}  {safe(report['comm'])}  ", "title"), where]
    if name is not None:
        made = f"by {report['container_runtime']}" if report["container_runtime"] else "by nobody we know"
        yield from wrapped("made", f"{made}, image {report['container_image']}", width)
        yield from wrapped("known by", ", ".join(report["container_evidence"]), width, "dim")
    if report["container_state"] == "paused":
        yield fact("state", "paused", ("   frozen by its cgroup: nothing in it runs until it is thawed", "warn"))
    yield from wrapped("command", report["cmdline"] or _no_command(report), width)
    numbers = " > ".join(map(str, report["pids"]))
    depth = len(report["pids"]) - 1
    said = "the same number everywhere" if not depth else f"{report['pids'][-1]} to itself, {report['pid']} to us"
    of_pids = report["namespaces"].get("pid")
    if of_pids is None and not depth:
        said = "to itself and to us"  # in our PID namespace, but whether that is the host's is not known
    elif of_pids and of_pids["same_as_host"] is False and not depth:
        said = "in our PID namespace; its number outside cannot be seen from here"
    said += f"; a thread of process {report['thread_of']}" if report["thread_of"] else ""
    yield fact("PIDs", numbers, (f"   {said}", "dim"))


def _no_command(report: Report) -> str:
    if report["kernel_thread"]:
        return "(none: a kernel thread)"
    if report["state"] in ("Z", "X"):
        return "(none: a zombie, which has ended and waits for its parent to take notice)"
    return "(none: it has no arguments, or has overwritten them)"


def _alarm(report: Report, width: int) -> Iterator[Line]:
    """Say at once which bad findings the end of the page has."""
    for severity in ("critical", "warning"):
        codes = [one["code"] for one in report["findings"] if one["severity"] == severity]
        if codes:
            text = f"{', '.join(dict.fromkeys(codes))} (see FINDINGS below)"
            yield from wrapped(severity, text, width, COLOUR_OF_SEVERITY[severity])


def _namespaces(namespaces: Mapping[str, Namespace]) -> Iterator[Line]:
    yield [(f"{'NAMESPACES':<{LABEL + 2}}{'':<7}{'inode':<12}{'processes':>9}   {'owner':<12}separates", "title")]
    if not namespaces:
        yield fact("", ("could not be read", "warn"))
    for kind, one in namespaces.items():
        wall: Cell = {True: ("host's", "warn"), False: ("own", "good"), None: ("?", "")}[one["same_as_host"]]
        others = "" if one["same_as_host"] else ", ".join(safe(name) for name in one["containers"])
        owner = str(one["owner"]) if one["owner"] is not None else UNKNOWN
        text = f"{one['inode']:<12}{one['processes']:>9}   {owner:<12}{fit(ISOLATES.get(kind, ''), 27)} {others}"
        yield fact(kind, (f"{wall[0]:<7}", wall[1]), text.rstrip())
    if any(one["same_as_host"] is None for one in namespaces.values()):
        yield fact("", ("?  whether it is the host's cannot be told from here", "dim"))


def _limits(report: Report) -> Iterator[Line]:
    yield [("LIMITS", "title")]
    for kind, show in SHOW.items():
        limit: LimitLine = report["limits"][kind]  # type: ignore[literal-required]
        value = limit["value"]
        if value is None:
            said: Cell = ("unknown: cgroups above are hidden", "warn") if limit["hidden_ancestors"] else ("none", "dim")
            yield fact(kind, said)
        else:
            figure = in_units(show(value), UNITS[kind]) if kind in UNITS else show(value)
            yield fact(kind, (figure, "title"), f"   set by {_setter(limit)}")
        shown = limit["chain"] if any(step["value"] is not None for step in limit["chain"]) and kind != "cpuset" else []
        for step in shown:
            own = show(step["value"]) if step["value"] is not None else "-"
            mark = "  <" if step["path"] == limit["set_by"] else ""
            yield fact("", f"{own:>9}  ", (safe(step["path"]) + mark, "" if mark else "dim"))
        if shown and limit["hidden_ancestors"]:
            yield fact("", (f"{'?':>9}  hidden: cgroups above cannot be seen from here", "warn"))
    yield from _more_limits(report["limits"])


def _more_limits(limits: Limits) -> Iterator[Line]:
    own = limits["cpu_own"]
    if own is not None and own["weight"] not in (None, DEFAULT_WEIGHT):
        yield fact("cpu weight", f"{own['weight']}", ("   its share beside its siblings, no limit", "dim"))
    if own is not None and own["burst_us"]:
        yield fact("cpu burst", f"{own['burst_us']} us", ("   of unused quota that it may save up", "dim"))
    for name, one in limits["memory_others"].items():
        if one["value"] is not None and (one["value"] or one["kind"] == "limit"):
            note = KINDS.get(one["kind"], "")
            yield fact(f"mem. {name}", (byte_size(one["value"]), "title"), f"   set by {_setter(one)}", (note, "dim"))
    for device in limits["io"]:
        value, figure = device["limit"]["value"], device["figure"]
        if value is not None:
            size = byte_size(value) if "bytes" in figure else count(int(value))
            said = f"{size}/s {figure.split('_')[0]} on {device['device']}"
            yield fact("io", (said, "title"), f"   set by {_setter(device['limit'])}")
    for pages, one in limits["hugetlb"].items():
        if one["value"] is not None:
            yield fact("hugetlb", (f"{byte_size(one['value'])} of {pages} pages", "title"),
                        f"   set by {_setter(one)}")  # fmt: skip
    for evidence in limits["above"]:
        yield fact("above", (evidence, "warn"))


def _setter(limit: LimitLine) -> str:
    if limit["set_by"] is None:
        return OUT_OF_SIGHT
    if limit["chain"] and limit["set_by"] == limit["chain"][0]["path"]:
        return "its own cgroup"
    return f"the ancestor {safe(limit['set_by'])}"


def _cgroups(report: Report, width: int) -> Iterator[Line]:
    yield [("CGROUPS", "title")]
    where: dict[tuple[int, str], list[str]] = {}
    for one in report["cgroups"]:
        where.setdefault((one["version"], one["path"]), []).extend(one["controllers"] or ["(no controllers)"])
    for (version, path), controllers in where.items():
        yield from wrapped(f"v{version}", f"{path}   {' '.join(controllers)}", width, whole=True)
    if not where:
        yield fact("", ("none to be seen: no cgroup filesystem is mounted here", "warn"))


def _root(report: Report, width: int) -> Iterator[Line]:
    root = report["rootfs"]
    source = root["source"] if root["source"] != root["type"] else ""
    kind = " ".join(filter(None, (root["type"], source, "read-only" if root["read_only"] else "")))
    yield [("ROOT", "title"), (f"{'':<{LABEL - 2}}{safe(kind) or UNKNOWN}", "")]
    if report["chroot"] is not None:
        yield fact("chroot", (safe(report["chroot"]), "warn"))
    for layer, path in (("upper", root["upper"]), ("work", root["work"]), ("merged", root["merged"])):
        if path:
            yield from wrapped(layer, path, width, whole=True)
    for number, lower in enumerate(root["lower"]):
        yield from wrapped("" if number else "lower", lower, width, whole=True)
    mounts = report["mounts"]
    if not mounts:
        unread = any(one["what"] == "mounts" for one in report["unreadable"])
        said = "none any more" if report["state"] in ("Z", "X") else "all of them are the host's"
        yield fact("mounts", ("could not be read", "warn") if unread else (said, "dim"))
        return
    hosts_unseen = any(one["what"] == "the host's mounts" for one in report["unreadable"])
    yield fact("mounts", f"{len(mounts)}" + ("" if hosts_unseen else " that the host does not have"))
    hidden = set(overmounted(mounts))
    widest = min(max(len(safe(one["mountpoint"])) for one in mounts), 40)
    for mount, more in abridged(mounts):
        place = fit(safe(mount["mountpoint"]), widest) if len(mount["mountpoint"]) <= widest else mount["mountpoint"]
        of = safe(mount["source"]) + (f" {_short(mount['source_root'])}" if mount["source_root"] != "/" else "")
        flags = ",".join(option for option in mount["options"] if option != "relatime")
        note = f"  {more}" if more else "  one of several here" if mount["mountpoint"] in hidden else ""
        yield [("    ", ""), (safe(place), ""), (f"  {safe(mount['type']):<9} {of}  {safe(flags)}{note}", "dim")]


def _short(path: str) -> str:
    """Shorten the ids in a path that is shown again and again."""
    return LONG_ID.sub(lambda match: match[0][:12] + "...", safe(path))


def _resources(report: Report) -> Iterator[Line]:
    told, has = report["proc_says"], report["really_has"]
    yield [(f"{'':<{LABEL + 2}}{'/proc says':<14}{'really has'}", "title")]
    rows = (
        ("CPUs", cores(told["cpus"]), cores(has["cpus"])),
        ("memory", byte_size(told["memory_bytes"]), byte_size(has["memory_bytes"])),
        ("free", byte_size(told["memory_free_bytes"]), byte_size(has["memory_free_bytes"])),
        ("available", byte_size(told["memory_available_bytes"]), byte_size(has["memory_available_bytes"])),
        ("swap", byte_size(told["swap_bytes"]), byte_size(has["swap_bytes"])),
        ("swap free", byte_size(told["swap_free_bytes"]), byte_size(has["swap_free_bytes"])),
        ("up for", duration(told["uptime_seconds"]), duration(has["uptime_seconds"])),
    )
    for label, said, real in rows:
        differs = said != real and UNKNOWN not in (said, real)
        yield fact(label, f"{said:<14}", (real, "warn") if differs else ("unknown", "dim") if real == UNKNOWN else real)
    if told["load"]:
        load = " ".join(f"{value:.2f}" for value in told["load"])
        known = {kind: value for kind, value in (has["pressure"] or {}).items() if value is not None}
        waits = "   waited in the last 10 s: " + ", ".join(f"{kind} {value:.0%}" for kind, value in known.items())
        yield fact("load", f"{load:<14} ", ("-", "dim"), (waits if known else "", "dim"))
