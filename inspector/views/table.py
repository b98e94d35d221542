"""The one-shot table of `ctop --once`: header, rows, and under them what a person should know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TextIO

from inspector.schema import Container, Document
from inspector.views.ascii import drawn_in_ascii, to_ascii
from inspector.views.cells import COLOUR_OF_SEVERITY, OUT_OF_SIGHT, SEVERITY, memory_is_set_above, set_elsewhere
from inspector.views.columns import Column
from inspector.views.detail import process_lines
from inspector.views.header import header
from inspector.views.layout import Line, place, row, titles
from inspector.views.scene import Scene
from inspector.views.text import byte_size, cores, count, in_units, moment, safe

__all__ = ["PALETTE", "finding_lines", "hint", "limits_line", "print_lines", "table"]

PALETTE: Mapping[str, str] = {
    "": "",
    "title": "bold",
    "sorted": "bold underline",
    "dim": "dim",
    "warn": "magenta",
    "bad": "bold red",
}
"""What a meaning looks like: those of the terminal's own 16 colours that can be read on black and on white alike."""

MOST_NOTES = 20


def table(
    document: Document,
    shown: Sequence[Container],
    scene: Scene,
    width: int | None = None,
    columns: Sequence[Column] | None = None,
) -> list[Line]:
    """Return the whole page: `shown` are the containers selected from `document`, in order.

    `width` None cuts nothing (the output is not a terminal).
    """
    # When that was: of a recording, of one table among many, and where it is read later.
    lines = [*header(document, scene, shown, [(f" · {moment(document['taken_at'])}", "dim")]), []]
    if not shown:
        if any(container["kind"] == "container" for container in document["containers"]):
            return [*lines, [("nothing matches the filter", "warn")]]
        return [*lines, [("no containers found", "warn"), (hint(document), "")]]
    placed = place(shown, scene, width, columns)
    lines.append(titles(placed, scene))
    for container in shown:
        lines.append(row(container, placed, scene, whole=width is None))
        if container["processes"] is not None:
            lines += [[("  ", ""), *line] for line in process_lines(container["processes"], "cpu")]
    notes = [*finding_lines(shown), *_set_by_lines(shown)]
    if notes:
        lines += [[], *notes[:MOST_NOTES]]
    if len(notes) > MOST_NOTES:
        lines.append([(f"and {len(notes) - MOST_NOTES} more: ctop --json has them all", "dim")])
    return lines


def hint(document: Document) -> str:
    """Say what could still be shown when the table is empty."""
    others = sum(container["kind"] != "container" for container in document["containers"])
    if others:
        what = in_units(str(others), "service or control group", "services and control groups")
        return f"; {what}: ctop -a shows {'it' if others == 1 else 'them'}"
    return "; ctop -a also shows services and control groups"


def finding_lines(containers: Iterable[Container], *, named: bool = True) -> list[Line]:
    """Return a line for each finding, the worst first; `named` says whose it is."""
    found = [(finding, container) for container in containers for finding in container["findings"]]
    found.sort(key=lambda pair: -SEVERITY.get(pair[0]["severity"], 0))
    return [
        [
            (f"{safe(finding['severity']):<9}", COLOUR_OF_SEVERITY.get(finding["severity"], "")),
            (f"{safe(container['name'])}: " * named + safe(finding["text"]), ""),
        ]
        for finding, container in found
    ]


def _set_by_lines(containers: Iterable[Container]) -> list[Line]:
    """Say which ancestor sets the limits marked with ^ in the table."""
    lines: list[Line] = []
    for container in containers:
        cpu, memory = container["cpu"], container["memory"]
        for what, set_by, above in (
            (
                in_units(cores(cpu["limit_cores"]), "core"),
                cpu["limit_set_by"],
                set_elsewhere(container, cpu["limit_set_by"]),
            ),
            (f"{byte_size(memory['limit_bytes'])} of memory", memory["limit_set_by"], memory_is_set_above(container)),
        ):
            if above:
                who = f"{safe(container['name'])}: {what} set by {safe(set_by or OUT_OF_SIGHT)}"
                lines.append([("^        ", "dim"), (who, "")])
    return lines


def limits_line(container: Container) -> Line:
    """Say what a container may use, and who says so."""
    cpu, memory, pids = container["cpu"], container["memory"], container["pids"]
    limits = (
        (in_units(cores(cpu["limit_cores"]), "core"), cpu["limit_cores"], cpu["limit_set_by"]),
        (f"{byte_size(memory['limit_bytes'])} of memory", memory["limit_bytes"], memory["limit_set_by"]),
        (in_units(count(pids["limit"]), "task"), pids["limit"], pids["limit_set_by"]),
    )
    said = [
        what + (f" (by {safe(by)})" if by is not None and set_elsewhere(container, by) else "")
        for what, value, by in limits
        if value is not None
    ]
    return [(f"{safe(container['name'])} may use ", "dim"), (", ".join(said), "")] if said else []


def print_lines(lines: Iterable[Line], file: TextIO, *, colour: bool, unicode: bool = True) -> None:
    """Write lines, in colour by their meaning; trailing blanks are left out.

    Without `unicode` all we draw is ASCII, and so are names that the file's encoding cannot write.
    """
    if not unicode:
        lines = ([(_in_ascii(shown, file), meaning) for shown, meaning in line] for line in lines)
    if not colour:
        file.writelines("".join(shown for shown, _ in line).rstrip() + "\n" for line in lines)
        return
    from rich.console import Console  # noqa: PLC0415  slow, and a pipe does not need it
    from rich.text import Text  # noqa: PLC0415

    console = Console(file=file, force_terminal=True, highlight=False, soft_wrap=True)
    for line in lines:
        text = Text.assemble(*((shown, PALETTE.get(meaning, "")) for shown, meaning in line), end="\n")
        text.rstrip()
        console.print(text)


def _in_ascii(shown: str, file: TextIO) -> str:
    drawn = drawn_in_ascii(shown)
    try:
        drawn.encode(file.encoding or "utf-8", "surrogateescape")
    except UnicodeEncodeError:  # the file would escape them, and what stands behind would be out of its column
        return to_ascii(shown)
    return drawn
