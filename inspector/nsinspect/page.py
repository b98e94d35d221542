"""The report as lines of text: for a student who wants to see the walls, and for whoever is on call."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap

from inspector.kernel.process import CAPABILITIES
from inspector.nsinspect.facts import overmounted
from inspector.report import LimitLine, Limits, Namespace, Report, Security
from inspector.views.cells import COLOUR_OF_SEVERITY, Cell
from inspector.views.layout import Line
from inspector.views.text import UNKNOWN, byte_size, cores, count, duration, fit, safe

__all__ = ["page"]

LABEL = 12
DEFAULT_WEIGHT = 100
KINDS = {"guarantee": "   a guarantee: so much is not reclaimed for others", "target": "   where reclaim stops"}
LONG_ID = re.compile(r"[0-9a-f]{64}")
ISOLATES = {
    "cgroup": "the cgroup tree it sees",
    "ipc": "System V IPC, POSIX queues",
    "mnt": "mounts, its root",
    "net": "interfaces, ports, routes",
    "pid": "the processes it sees",
    "time": "clocks since boot",
    "user": "ids and capabilities",
    "uts": "the host name",
}
SHOW = {"cpu": cores, "memory": byte_size, "pids": count, "cpuset": count}
UNITS = {"cpu": " cores", "memory": "", "pids": " tasks", "cpuset": " CPUs"}


def page(report: Report, width: int = 100) -> list[Line]:
    """Return the whole page, for a terminal of `width`."""
    lines = [*_who(report, width), []]
    lines += [*_namespaces(report["namespaces"]), []]
    lines += [*_limits(report), []]
    lines += [*_cgroups(report, width), []]
    lines += [*_root(report, width), []]
    lines += [*_security(report["security"], width), []]
    lines += _resources(report)
    if report["findings"]:
        lines += [[], [("FINDINGS", "title")]]
        for finding in report["findings"]:
            severity = f"{finding['severity']:<{LABEL - 1}} "
            lines.append([("  ", ""), (severity, COLOUR_OF_SEVERITY.get(finding["severity"], "")),
                          (safe(finding["text"]), "")])  # fmt: skip
    if report["unreadable"]:
        lines += [[], [("NOT READABLE", "title")]]
        lines += [_unreadable(one["what"], one["error"], one["needs"]) for one in report["unreadable"]]
    return lines


def _unreadable(what: str, error: str, needs: str | None) -> Line:
    return [(f"  {safe(what)}: {safe(error)}" + (f" (needs {safe(needs)})" if needs else ""), "warn")]


def _fact(label: str, *cells: Cell | str) -> Line:
    return [(f"  {label:<{LABEL}}", "dim"), *((cell, "") if isinstance(cell, str) else cell for cell in cells)]


def _wrapped(label: str, text: str, width: int) -> Iterator[Line]:
    for number, part in enumerate(wrap(safe(text), max(width - LABEL - 3, 30), break_on_hyphens=False) or [UNKNOWN]):
        yield _fact("" if number else label, part)


def _who(report: Report, width: int) -> Iterator[Line]:
    name, identifier = report["container_name"], report["container"]
    where: Cell = ("in no container", "dim")
    if name is not None and identifier is not None:
        where = (f"in container {safe(name)}" + (f" ({safe(identifier[:12])})" if identifier != name else ""), "good")
    yield [(f"PID {report['pid']}  {safe(report['comm'])}  ", "title"), where]
    yield from _wrapped("command", report["cmdline"] or "(none: a kernel thread or a zombie)", width)
    numbers = " > ".join(map(str, report["pids"]))
    depth = len(report["pids"]) - 1
    said = "the same number everywhere" if not depth else f"{report['pids'][-1]} to itself, {report['pid']} to us"
    yield _fact("PIDs", numbers, (f"   {said}", "dim"))


def _namespaces(namespaces: Mapping[str, Namespace]) -> Iterator[Line]:
    yield [(f"{'NAMESPACES':<{LABEL + 2}}{'':<7}{'inode':<12}{'processes':>9}   {'owner':<12}separates", "title")]
    if not namespaces:
        yield _fact("", ("could not be read", "warn"))
    for kind, one in namespaces.items():
        wall: Cell = {True: ("host's", "warn"), False: ("own", "good"), None: ("?", "")}[one["same_as_host"]]
        others = "" if one["same_as_host"] else ", ".join(safe(name) for name in one["containers"])
        owner = str(one["owner"]) if one["owner"] is not None else UNKNOWN
        text = f"{one['inode']:<12}{one['processes']:>9}   {owner:<12}{fit(ISOLATES.get(kind, ''), 27)} {others}"
        yield _fact(kind, (f"{wall[0]:<7}", wall[1]), text)


def _limits(report: Report) -> Iterator[Line]:
    yield [("LIMITS", "title")]
    for kind, show in SHOW.items():
        limit: LimitLine = report["limits"][kind]  # type: ignore[literal-required]
        value = limit["value"]
        if value is None:
            said: Cell = ("unknown: cgroups above are hidden", "warn") if limit["hidden_ancestors"] else ("none", "dim")
            yield _fact(kind, said)
        else:
            yield _fact(kind, (f"{show(value)}{UNITS[kind]}", "title"), f"   set by {_setter(limit)}")
        shown = limit["chain"] if any(step["value"] is not None for step in limit["chain"]) and kind != "cpuset" else []
        for step in shown:
            own = show(step["value"]) if step["value"] is not None else "-"
            mark = "  <" if step["path"] == limit["set_by"] else ""
            yield _fact("", f"{own:>9}  ", (safe(step["path"]) + mark, "" if mark else "dim"))
        if shown and limit["hidden_ancestors"]:
            yield _fact("", (f"{'?':>9}  hidden by our cgroup namespace", "warn"))
    yield from _more_limits(report["limits"])


def _more_limits(limits: Limits) -> Iterator[Line]:
    own = limits["cpu_own"]
    if own is not None and own["weight"] not in (None, DEFAULT_WEIGHT):
        yield _fact("cpu weight", f"{own['weight']}", ("   its share beside its siblings, no limit", "dim"))
    if own is not None and own["burst_us"]:
        yield _fact("cpu burst", f"{own['burst_us']} us", ("   of unused quota that it may save up", "dim"))
    for name, one in limits["memory_others"].items():
        if one["value"] is not None and (one["value"] or one["kind"] == "limit"):
            note = KINDS.get(one["kind"], "")
            yield _fact(f"mem. {name}", (byte_size(one["value"]), "title"), f"   set by {_setter(one)}", (note, "dim"))
    for device in limits["io"]:
        value, figure = device["limit"]["value"], device["figure"]
        if value is not None:
            size = byte_size(value) if "bytes" in figure else count(int(value))
            said = f"{size}/s {figure.split('_')[0]} on {device['device']}"
            yield _fact("io", (said, "title"), f"   set by {_setter(device['limit'])}")
    for pages, one in limits["hugetlb"].items():
        if one["value"] is not None:
            yield _fact("hugetlb", (f"{byte_size(one['value'])} of {pages} pages", "title"),
                        f"   set by {_setter(one)}")  # fmt: skip
    for evidence in limits["above"]:
        yield _fact("above", (evidence, "warn"))


def _setter(limit: LimitLine) -> str:
    if limit["set_by"] is None:
        return "a cgroup above that we cannot see"
    if limit["chain"] and limit["set_by"] == limit["chain"][0]["path"]:
        return "its own cgroup"
    return f"the ancestor {safe(limit['set_by'])}"


def _cgroups(report: Report, width: int) -> Iterator[Line]:
    yield [("CGROUPS", "title")]
    where: dict[tuple[int, str], list[str]] = {}
    for one in report["cgroups"]:
        where.setdefault((one["version"], one["path"]), []).extend(one["controllers"] or ["(no controllers)"])
    for (version, path), controllers in where.items():
        yield from _wrapped(f"v{version}", f"{path}   {' '.join(controllers)}", width)


def _root(report: Report, width: int) -> Iterator[Line]:
    root = report["rootfs"]
    kind = " ".join(filter(None, (root["type"], root["source"], "read-only" if root["read_only"] else "")))
    yield [("ROOT", "title"), (f"{'':<{LABEL - 2}}{safe(kind) or UNKNOWN}", "")]
    if report["chroot"] is not None:
        yield _fact("chroot", (safe(report["chroot"]), "warn"))
    for layer, path in (("upper", root["upper"]), ("work", root["work"]), ("merged", root["merged"])):
        if path:
            yield from _wrapped(layer, path, width)
    for number, lower in enumerate(root["lower"]):
        yield from _wrapped("" if number else "lower", lower, width)
    mounts = report["mounts"]
    if not mounts:
        yield _fact("mounts", ("all of them are the host's", "dim"))
        return
    hosts_unseen = any(one["what"] == "the host's mounts" for one in report["unreadable"])
    yield _fact("mounts", f"{len(mounts)}" + ("" if hosts_unseen else " that the host does not have"))
    hidden = set(overmounted(mounts))
    widest = min(max(len(safe(one["mountpoint"])) for one in mounts), 40)
    for mount in mounts:
        place = fit(safe(mount["mountpoint"]), widest) if len(mount["mountpoint"]) <= widest else mount["mountpoint"]
        of = safe(mount["source"]) + (f" {_short(mount['source_root'])}" if mount["source_root"] != "/" else "")
        flags = ",".join(option for option in mount["options"] if option != "relatime")
        note = "  one of several here" if mount["mountpoint"] in hidden else ""
        yield [("    ", ""), (safe(place), ""), (f"  {safe(mount['type']):<9} {of}  {safe(flags)}{note}", "dim")]


def _short(path: str) -> str:
    """Shorten the ids in a path that is shown again and again."""
    return LONG_ID.sub(lambda match: match[0][:12] + "...", safe(path))


def _security(security: Security, width: int) -> Iterator[Line]:
    yield [("SECURITY", "title")]
    for label, own, ranges in (
        ("user ids", security["uid"], security["uid_map"]),
        ("group ids", security["gid"], security["gid_map"]),
    ):
        maps = [f"{_span(one['inside'], one['length'])} is {one['outside']}... here" for one in ranges or ()]
        same = ranges is not None and [(one["inside"], one["outside"]) for one in ranges] == [(0, 0)]
        said = "as they are here" if same else ", ".join(maps) or "not mapped" if ranges is not None else UNKNOWN
        yield _fact(label, f"{own if own is not None else UNKNOWN}   ", (said, "dim"))
    capabilities = security["capabilities"]
    if capabilities is not None:
        for kind in ("effective", "bounding", "ambient", "inheritable"):
            names: Sequence[str] = capabilities[kind]
            if kind == "bounding" and names == capabilities["effective"]:
                yield _fact(kind, ("the same", "dim"))
            elif names or kind == "effective":
                yield from _wrapped(kind, _capabilities(names), width)
    seccomp = security["seccomp"] or UNKNOWN
    filters = security["seccomp_filters"]
    yield _fact("seccomp", seccomp + (f", {filters} filter{'s' if filters > 1 else ''}" if filters else ""))
    new = {True: "no: no_new_privs is set", False: "yes, by setuid programs and file capabilities", None: UNKNOWN}
    yield _fact("may gain", new[security["no_new_privs"]])
    if security["devices"] is not None:
        yield from _wrapped("devices", ", ".join(security["devices"]) or "none", width)
    elif security["devices_note"]:
        yield _fact("devices", (security["devices_note"], "dim"))
    for label, paths in (("masked", security["masked_paths"]), ("read-only", security["read_only_paths"])):
        if paths:
            yield from _wrapped(label, " ".join(paths), width)
    yield _fact("LSM label", safe(security["lsm"]) if security["lsm"] else ("none", "dim"))


def _span(first: int, length: int) -> str:
    return str(first) if length == 1 else f"{first}-{first + length - 1}"


def _capabilities(names: Sequence[str]) -> str:
    """Name those it has, or, where that is shorter, those it lacks."""
    if not names:
        return "none"
    lacks = [name for name in CAPABILITIES if name not in names]
    few = lacks if len(lacks) < len(names) else names
    text = " ".join(name.removeprefix("CAP_").lower() for name in few)
    return f"{len(names)}: {text}" if few is names else f"all {len(names)}{' but ' if lacks else ''}{text}"


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
        yield _fact(label, f"{said:<14}", (real, "warn" if said != real and UNKNOWN not in (said, real) else ""))
    if told["load"]:
        load = " ".join(f"{value:.2f}" for value in told["load"])
        known = {kind: value for kind, value in (has["pressure"] or {}).items() if value is not None}
        waits = "   waited in the last 10 s: " + ", ".join(f"{kind} {value:.0%}" for kind, value in known.items())
        yield _fact("load", f"{load:<14} ", ("-", "dim"), (waits if known else "", "dim"))
