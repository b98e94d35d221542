"""`nsinspect TARGET --changes` and `nsinspect --owner PATH`: a root filesystem, as text or JSON."""

from __future__ import annotations

import dataclasses
import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from inspector.absence import Absence
from inspector.changes import Changes
from inspector.errors import InspectorError, NoSuchProcess
from inspector.kernel.host import Host
from inspector.kernel.process import process_of
from inspector.layers import Change, Layers, Totals
from inspector.model import Container
from inspector.nsinspect.listing import look, resolve
from inspector.observe import Observer
from inspector.owner import owners
from inspector.unions import UNPLACED, read_layers, view_of
from inspector.views.jsontext import to_json
from inspector.views.rootfs import change_line, layer_lines, owner_lines, total_lines
from inspector.views.table import print_lines
from inspector.views.text import safe

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from inspector.daemons import Names

__all__ = ["write_changes", "write_owner"]

OK, NOBODYS, INTERRUPTED = 0, 1, 130
MOST_STORES = 3
UNITS = {"size": "size_bytes", "disk": "disk_bytes", "before": "before_bytes"}


class NotLayered(InspectorError):
    """The root is no union of layers, or they cannot be seen."""


def write_owner(
    host: Host, path: str, *, as_json: bool = False, colour: bool = False, names: Names | None = None
) -> int:
    """Print who a path of this machine belongs to; the exit code is 1 when it is nobody's."""
    path = os.path.abspath(path)
    absence = Absence()
    claims = owners(host, path, look(Observer(host, groups=False), names).containers, absence)
    unread = [*absence.problems, *_refused(sorted(absence.denied)), *(_missing(host, path) if claims else ())]
    if as_json:
        told = [dataclasses.asdict(claim) for claim in claims]
        sys.stdout.write(_json({"schema": 1, "path": path, "owners": told, "problems": unread}) + "\n")
    elif claims:
        print_lines(owner_lines(path, claims), sys.stdout, colour=colour)
    else:
        print_lines(owner_lines(path, ()), sys.stderr, colour=False)
    if not as_json:
        sys.stderr.writelines(f"nsinspect: {safe(problem)}\n" for problem in unread)
    return OK if claims else NOBODYS


def _missing(host: Host, path: str) -> list[str]:
    """Say that there is no such path: whose it would be is told all the same, as a layer may be gone by now."""
    try:
        host.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return [f"there is nothing at {path} now"]
    except OSError:  # who may not look there cannot tell
        pass
    return []


def _refused(stores: list[str]) -> list[str]:
    """Say in one line which stores could tell more, to whoever may read them."""
    if not stores:
        return []
    others = f" and {len(stores) - MOST_STORES} more" if len(stores) > MOST_STORES else ""
    return [f"not all was asked: {', '.join(stores[:MOST_STORES])}{others} may not be read (root may)"]


def write_changes(
    host: Host, target: str, *, as_json: bool = False, colour: bool = False, names: Names | None = None
) -> int:
    """Print what a container changed of its image, as it is found. Ctrl-C ends it with what there is: 130."""
    observation = look(Observer(host, groups=False), names)
    pid = resolve(target, observation, host)
    containers, process = observation.containers, process_of(host, pid)
    around = next((one for one in containers if one.kind == "container" and process in one.members), None)
    view = view_of(around, containers) if around else ""
    layers = _layers(host, pid, view, around)
    walk = Changes(host, layers, view, around.runtime if around else None)
    totals = {"added": Totals(), "changed": Totals(), "deleted": Totals(), "copied": Totals()}
    interrupted = False
    write = _json_writer(layers) if as_json else _text_writer(layers, colour=colour)
    with _progress(walk, as_json=as_json):
        try:
            for change in walk:
                totals[change.kind] = totals[change.kind].plus(change)
                write(change)
        except KeyboardInterrupt:
            interrupted = True
        except FileNotFoundError:
            raise NotLayered(f"its upper directory {layers.upper} cannot be seen from here") from None
    if as_json:
        _end_json(totals, walk, interrupted=interrupted)
    else:
        print_lines(total_lines(totals, walk.problems, interrupted=interrupted), sys.stdout, colour=colour)
    return INTERRUPTED if interrupted else OK


def _layers(host: Host, pid: int, view: str, around: Container | None) -> Layers:
    """Return the layers of a process's root; NoSuchProcess, or NotLayered where there are none to look into."""
    try:
        layers = read_layers(host, pid, view, around)
    except (FileNotFoundError, ProcessLookupError):
        raise NoSuchProcess(pid) from None
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise NotLayered(f"process {pid} is a zombie: it has left its root") from None
    if layers is None:
        raise NotLayered(f"the root of process {pid} is no overlay: what was changed of an image cannot be told")
    if not layers.is_placed:
        raise NotLayered(f"the root of process {pid}: {UNPLACED}")
    return layers


def _text_writer(layers: Layers, *, colour: bool) -> Callable[[Change], None]:
    print_lines(layer_lines(layers), sys.stdout, colour=colour)
    return lambda change: print_lines([change_line(change)], sys.stdout, colour=colour)


def _json_writer(layers: Layers) -> Callable[[Change], None]:
    """Begin a document whose list of changes is written as they come: nothing is kept."""
    sys.stdout.write(f'{{"schema": 1,\n"rootfs": {_json(dataclasses.asdict(layers))},\n"changes": [')
    separator = iter(("\n", *()))
    return lambda change: _put(next(separator, ",\n") + _json(_named(dataclasses.asdict(change))))


def _put(text: str) -> None:
    sys.stdout.write(text)


def _end_json(totals: dict[str, Totals], walk: Changes, *, interrupted: bool) -> None:
    rest = {
        "totals": {kind: _named(dataclasses.asdict(total)) for kind, total in totals.items()},
        "complete": not interrupted and not walk.problems,
        "interrupted": interrupted,
        "problems": walk.problems,
    }
    sys.stdout.write(f"\n],\n{_json(rest)[1:]}\n")


def _named(values: dict[str, Any]) -> dict[str, Any]:
    """Name figures as every document does: with their unit."""
    return {UNITS.get(key, key): value for key, value in values.items()}


def _json(value: Any) -> str:  # noqa: ANN401  whatever JSON can say
    return to_json(value)


@contextmanager
def _bar(walk: Changes, console: Console) -> Iterator[None]:
    from rich.live import Live  # noqa: PLC0415  slow, and only a terminal needs it
    from rich.progress_bar import ProgressBar  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    def render() -> Table:
        line = Table.grid(padding=(0, 1))
        line.add_row(ProgressBar(1.0, walk.fraction, width=30), f"{walk.entries} files seen, Ctrl-C ends it here")
        return line

    # Standard output passes through it, so that the lines printed meanwhile stay above the bar.
    with Live(console=console, get_renderable=render, refresh_per_second=8, transient=True):
        yield


def _progress(walk: Changes, *, as_json: bool) -> AbstractContextManager[None]:
    """Show how far it is on the terminal: below the lines, or alone where these go elsewhere."""
    if not sys.stderr.isatty() or (as_json and sys.stdout.isatty()):
        return nullcontext()
    from rich.console import Console  # noqa: PLC0415

    return _bar(walk, Console(file=sys.stdout if sys.stdout.isatty() else sys.stderr))
