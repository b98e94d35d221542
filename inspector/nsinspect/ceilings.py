"""The limits that no tick needs: read once for one process, along its cgroups, from the on-demand tables."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from inspector.errors import ParseError
from inspector.kernel.cgroup_on_demand import ON_DEMAND, parse_devices, parse_recent_pressure
from inspector.kernel.cgroups import Hierarchy, Membership, ancestors, directory_of, locate, path_in
from inspector.kernel.host import Host
from inspector.limits import Limit, effective, guarantee, swap_limit

__all__ = ["Ceilings", "read_ceilings", "read_devices", "read_pressure"]

Chain = tuple[tuple[str, Mapping[str, float | None]], ...]


class Ceilings(NamedTuple):
    """`memory` by "high", "swap", "low", "min" and "soft"; `io` by device and figure; `hugetlb` by size of page."""

    memory: Mapping[str, Limit]
    io: Mapping[tuple[str, str], Limit]
    hugetlb: Mapping[str, Limit]
    problems: tuple[str, ...]


def read_ceilings(
    host: Host,
    located: Mapping[str, tuple[Hierarchy, int]],
    paths: Mapping[str, str],
    true_roots: frozenset[int],
) -> Ceilings:
    """Read them along the ancestors; a file that is not there sets no limit, one that cannot be read is told."""
    problems: list[str] = []

    def look(resource: str) -> tuple[Chain, bool]:
        path, place = paths.get(resource), located.get(resource)
        if path is None or place is None:
            return (), True
        return tuple(_along(host, place[0], resource, path, problems)), place[1] not in true_roots

    memory, hidden = look("memory")
    kinds = {name for _, values in memory for name in values}
    found = {}
    for name in kinds & {"high", "low", "min", "soft"}:
        chain = tuple((path, values[name]) for path, values in memory if name in values)
        found[name] = (guarantee if name in ("low", "min") else effective)(chain, hidden=hidden)
    if kinds & {"swap", "memory_and_swap"}:
        found["swap"] = swap_limit(memory, hidden=hidden)
    io, io_hidden = look("io")
    devices = sorted({name for _, values in io for name in values})
    pages, pages_hidden = look("hugetlb")
    sizes = sorted({name for _, values in pages for name in values})
    return Ceilings(
        found,
        {(name.split(" ")[0], name.split(" ")[1]): _least(io, name, hidden=io_hidden) for name in devices},
        {name: _least(pages, name, hidden=pages_hidden) for name in sizes},
        tuple(problems),
    )


def _least(chain: Chain, name: str, *, hidden: bool) -> Limit:
    return effective(((path, values.get(name)) for path, values in chain), hidden=hidden)


def _along(
    host: Host, hierarchy: Hierarchy, resource: str, path: str, problems: list[str]
) -> Iterator[tuple[str, Mapping[str, float | None]]]:
    for above in ancestors(path, hierarchy.root):
        directory = hierarchy.directory(above)
        values: dict[str, float | None] = {}
        for file in ON_DEMAND[hierarchy.version][resource] if directory else ():
            try:
                read = file.parse(host.read(f"{directory}/{file.name}"))
            except FileNotFoundError:
                continue
            except (OSError, ParseError) as error:
                problems.append(f"{file.name} of {above}: {error}")
                continue
            values.update({name: value for name, value in read.items() if not isinstance(value, (str, bool))})
        if values:
            yield above, values


def read_devices(host: Host, located: tuple[Hierarchy, str] | None) -> tuple[str, ...] | None:
    """Read the rules of v1's devices.list; None where a BPF program decides, which is not for reading."""
    directory = located[0].directory(located[1]) if located and located[0].version == 1 else None
    return parse_devices(host.read(f"{directory}/devices.list")) if directory else None


def read_pressure(
    host: Host, hierarchies: Sequence[Hierarchy], membership: Membership, paths: Mapping[str, str]
) -> dict[str, float | None]:
    """Read the share of the last 10 s in which a task of the cgroup waited for each resource; None: not told.

    `paths` are its cgroups by controller: where it has one of its own on v1 and is left at v2's root, the stalls that
    are counted there are everybody's.
    """
    place = locate(hierarchies, "pressure")
    directory = directory_of(hierarchies, "pressure", membership)
    at_root = place is not None and path_in(place, membership) == "/"
    found: dict[str, float | None] = {}
    for kind in ("cpu", "memory", "io"):
        found[kind] = None
        if not (at_root and paths.get(kind, "/") != "/"):
            with contextlib.suppress(OSError, ParseError):
                found[kind] = parse_recent_pressure(host.read(f"{directory}/{kind}.pressure"))
    return found
