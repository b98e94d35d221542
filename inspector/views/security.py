"""What a process may do, as lines of text: ids, capabilities, seccomp, devices, what is kept from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from inspector.report import Security
from inspector.views.facts import fact, wrapped
from inspector.views.layout import Line
from inspector.views.text import UNKNOWN, safe

__all__ = ["security_lines"]

EVERY_ID = (1 << 32) - 1  # user_namespaces(7): the last one is no id


def security_lines(security: Security, width: int, known: Sequence[str]) -> Iterator[Line]:
    """Yield the lines; `known` are the names of all capabilities that there are."""
    for label, own, ranges in (
        ("user ids", security["uid"], security["uid_map"]),
        ("group ids", security["gid"], security["gid_map"]),
    ):
        maps = [
            f"{_span(one['inside'], one['length'])} is {one['outside']}{'...' if one['length'] > 1 else ''} here"
            for one in ranges or ()
        ]
        same = ranges == [{"inside": 0, "outside": 0, "length": EVERY_ID}]
        said = "as they are here" if same else ", ".join(maps) or "not mapped" if ranges is not None else UNKNOWN
        yield fact(label, f"{own if own is not None else UNKNOWN}   ", (said, "dim"))
    capabilities = security["capabilities"]
    if capabilities is not None:
        for kind in ("effective", "bounding", "ambient", "inheritable"):
            names: Sequence[str] = capabilities[kind]
            if kind == "bounding" and names == capabilities["effective"]:
                yield fact(kind, ("the same", "dim"))
            elif names or kind == "effective":
                yield from wrapped(kind, _capabilities(names, known), width)
    seccomp = security["seccomp"] or UNKNOWN
    filters = security["seccomp_filters"]
    yield fact("seccomp", seccomp + (f", {filters} filter{'s' if filters > 1 else ''}" if filters else ""))
    new = {True: "no: no_new_privs is set", False: "yes, by setuid programs and file capabilities", None: UNKNOWN}
    yield fact("may gain", new[security["no_new_privs"]])
    yield from _devices(security, width)
    for label, paths in (("masked", security["masked_paths"]), ("read-only", security["read_only_paths"])):
        if paths:
            yield from wrapped(label, " ".join(paths), width)
    yield fact("LSM label", safe(security["lsm"]) if security["lsm"] else ("none", "dim"))


def _devices(security: Security, width: int) -> Iterator[Line]:
    if security["devices"]:
        yield from wrapped("devices", ", ".join(security["devices"]), width)
        yield fact("", ("c character, b block, a all; r read, w write, m make the node", "dim"))
    elif security["devices"] is not None:
        yield fact("devices", "none")
    elif security["devices_note"]:
        yield fact("devices", (security["devices_note"], "dim"))


def _span(first: int, length: int) -> str:
    return str(first) if length == 1 else f"{first}-{first + length - 1}"


def _capabilities(names: Sequence[str], known: Sequence[str]) -> str:
    """Name those it has, or, where that is shorter, those it lacks."""
    if not names:
        return "none"
    lacks = [name for name in known if name not in names]
    few = lacks if len(lacks) < len(names) else names
    text = " ".join(name.removeprefix("CAP_").lower() for name in few)
    if few is names:
        return f"{len(names)}: {text}"
    return f"{len(names)} of {len(known)}: all but {text}" if lacks else f"all {len(names)}"
