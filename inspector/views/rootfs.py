"""The root filesystem as text: what a container changed, line by line, and who a path belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from inspector.layers import Change, Claim, Layers, Totals
from inspector.views.layout import Line
from inspector.views.text import byte_size, safe, short_id

__all__ = ["change_line", "layer_lines", "owner_lines", "total_lines"]

MARKS = {"added": ("A", "good"), "changed": ("C", "warn"), "deleted": ("D", "bad"), "copied": ("=", "dim")}
WORDS = {"added": "added", "changed": "changed", "deleted": "deleted", "copied": "copied up, the same as in the image"}
TYPES_WITHOUT_WORD = ("file", "directory")
MOST_PROBLEMS = 10
ROLES = {
    "upper": "upper directory",
    "work": "work directory",
    "merged": "root",
    "volume": "volume",
    "mounted-from": "mounted from here",
    "state": "state file",
}


def layer_lines(layers: Layers) -> list[Line]:
    """Return the layers from top to bottom, the upper one first."""
    rows = [("upper", layers.upper or "none: it cannot be written")]
    rows += [(f"lower {number}", path) for number, path in enumerate(layers.lower, 1)]
    rows += [("work", layers.work)] if layers.work else []
    rows += [("merged", layers.merged or "seen by the container alone")]
    return [[(f"{name:<9} ", "dim"), (safe(value), "")] for name, value in rows]


def change_line(change: Change) -> Line:
    """Return one change as `docker diff` writes it, with its size: A /etc/motd, 12B."""
    mark, meaning = MARKS[change.kind]
    slash = "/" if change.type == "directory" and change.path != "/" else ""
    size = "" if change.type == "directory" and change.kind != "deleted" else byte_size(change.size)
    line: Line = [(f"{mark} ", meaning), (f"{size:>8}  ", "dim"), (safe(change.path) + slash, "")]
    notes = [] if change.type in TYPES_WITHOUT_WORD else [change.type]
    if change.before is not None and change.kind == "changed" and change.before != change.size:
        notes.append(f"was {byte_size(change.before)}")
    if change.renamed_from is not None:
        notes.append(f"was {safe(change.renamed_from)}")
    return [*line, (f"  ({', '.join(notes)})", "dim")] if notes else line


def total_lines(totals: Mapping[str, Totals], problems: Iterable[str], *, interrupted: bool = False) -> list[Line]:
    """Return how much was added, changed and deleted, and whether that is all."""
    lines: list[Line] = []
    for kind, total in totals.items():
        if total.count or kind != "copied":
            what = "hidden in the image" if kind == "deleted" else f"{byte_size(total.disk)} on disk"
            size = f", {byte_size(total.size)} {what}" if kind == "deleted" else f", {byte_size(total.size)}, {what}"
            lines.append([(f"{total.count} {WORDS[kind]}", MARKS[kind][1]), (size if total.count else "", "dim")])
    told = list(problems)
    lines += [[(f"not complete: {safe(problem)}", "warn")] for problem in told[:MOST_PROBLEMS]]
    if len(told) > MOST_PROBLEMS:
        lines.append([(f"not complete: {len(told) - MOST_PROBLEMS} more places could not be read", "warn")])
    if interrupted:
        lines.append([("interrupted: this is only a part of it", "warn")])
    return lines


def owner_lines(path: str, claims: Iterable[Claim]) -> list[Line]:
    """Return a line for each container: what the path is to it; one line that says so where it is nobody's."""
    claims = tuple(claims)
    if not claims:
        return [[(f"{safe(path)} belongs to no container", "")]]
    held: dict[str, list[Claim]] = {}
    for claim in claims:
        if claim.holds:
            held.setdefault(claim.container, []).append(claim)
    return [*(_owner(claim) for claim in claims if not claim.holds), *(_holder(ones) for ones in held.values())]


def _who(claim: Claim) -> Line:
    runtime = f"{claim.runtime} " if claim.runtime else ""
    state = "running" if claim.running else "stopped"
    return [(safe(claim.name), "title"), (f" ({safe(runtime)}{short_id(claim.container)}, {state})", "dim")]


def _owner(claim: Claim) -> Line:
    role = f"lower layer {claim.layer}" if claim.role == "lower" else ROLES[claim.role]
    inside = f", {safe(claim.inside)} in it" if claim.inside not in (None, "/") else ""
    if claim.role == "mounted-from":
        inside = f" at {safe(claim.inside)}" if claim.inside else ""
        return [*_who(claim), (f": {role}{inside}", "")]
    return [*_who(claim), (f": {role}{inside}", ""), (f"  [{safe(claim.path)}]", "dim")]


def _holder(claims: list[Claim]) -> Line:
    roles = dict.fromkeys(ROLES.get(claim.role, "lower layer") for claim in claims)
    return [*_who(claims[0]), (f": holds its {', '.join(roles)}", "")]
