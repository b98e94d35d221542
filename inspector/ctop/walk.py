"""A walk over what a container changed of its image, in a thread of its own: it may take minutes.

It has a Host of its own, as one is not for two threads. Its figures may be
read at any time from the thread that draws.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Literal

from inspector.changes import Changes
from inspector.errors import ParseError
from inspector.kernel.host import Host
from inspector.layers import Change, Totals
from inspector.model import Container
from inspector.unions import UNPLACED, read_layers, view_of

__all__ = ["MOST_KEPT", "Walk", "unknown", "walker"]

MOST_KEPT = 5000
"""Changes kept to be shown; `totals` counts them all."""
Open = Callable[[Host], Changes | str]
State = Literal["running", "done", "stopped", "failed"]


def walker(container: str, containers: Iterable[Container]) -> Open:
    """Return what opens the walk over one container of a sample; in place of it the reason why there is none."""
    ones = tuple(containers)

    def opened(host: Host) -> Changes | str:
        one = next((one for one in ones if one.id == container), None)
        if one is None or one.leader is None:
            return "it has ended"
        view = view_of(one, ones)
        layers = read_layers(host, one.leader.process.pid, view, one)
        if layers is None:
            return "its root is no union of layers: what was changed of an image cannot be told"
        if not layers.is_placed:
            return UNPLACED
        return Changes(host, layers, view, one.runtime)

    return opened


def unknown(through: str) -> Walk:
    """Return the walk of a source that cannot walk: it has failed already."""
    return Walk(lambda _: f"not known through {through}")


class Walk:
    """One walk, under way from the start. `changes` are the first found, `problem` why it failed."""

    def __init__(self, opened: Open, host: Callable[[], Host] = Host) -> None:
        self.state: State = "running"
        self.changes: list[Change] = []
        self.totals = {kind: Totals() for kind in ("added", "changed", "deleted", "copied")}
        self.problem = ""
        self._changes: Changes | None = None
        self._stopped = False
        # A daemon: a filesystem that hangs must not keep the terminal from coming back.
        self._thread = threading.Thread(target=self._run, args=(opened, host), name="walk", daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether it is under way."""
        return self.state == "running"

    @property
    def entries(self) -> int:
        """How many files and directories were seen so far."""
        return self._changes.entries if self._changes else 0

    @property
    def fraction(self) -> float:
        """How much is done, 0 to 1."""
        if not self.is_running:
            return 1.0
        return self._changes.fraction if self._changes else 0.0

    @property
    def problems(self) -> tuple[str, ...]:
        """What could not be read."""
        return tuple(self._changes.problems) if self._changes else ()

    def stop(self) -> None:
        """End it where it is; what was found stays."""
        self._stopped = True

    def wait(self, seconds: float) -> bool:
        """Wait for its end; False when it is not in time."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self, opened: Open, make: Callable[[], Host]) -> None:
        try:
            with make() as host:
                walk = opened(host)
                if isinstance(walk, str):
                    self.problem, self.state = walk, "failed"
                    return
                self._changes = walk
                for change in walk:
                    if self._stopped:
                        break
                    self.totals[change.kind] = self.totals[change.kind].plus(change)
                    if len(self.changes) < MOST_KEPT:
                        self.changes.append(change)
            self.state = "stopped" if self._stopped else "done"
        except (OSError, ParseError) as error:
            self.problem, self.state = f"not readable: {error}", "failed"
