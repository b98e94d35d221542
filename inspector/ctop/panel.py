"""The page of one container, without a screen: which tab, in what order, what is asked for, and its lines."""

from __future__ import annotations

import time
from collections.abc import Callable

from inspector.closeup import Ask, Closeup
from inspector.ctop.history import Track
from inspector.ctop.pages import FILES, FINDINGS, PROCESSES, TABS, Page, Seen, page
from inspector.ctop.walk import Walk
from inspector.schema import Container, Document, ProcessRow
from inspector.views.cells import COLOUR_OF_SEVERITY
from inspector.views.detail import heading
from inspector.views.diagnosis import every_finding
from inspector.views.layout import Line
from inspector.views.processes import Entry, arrange, sort_at, titles
from inspector.views.scene import Scene
from inspector.views.text import byte_size, cores_of, in_units, percent, safe

__all__ = ["Panel"]

ORDER = ("cpu", "mem", "time", "pid")
GAP = 2


class Panel:
    """One container that is looked at, with the last that is known of it also when it has ended.

    `process` is the process under the cursor. `walk` starts a walk over what a container changed.
    """

    def __init__(self, walk: Callable[[str], Walk], *, unicode: bool = True) -> None:
        self.unicode = unicode
        self.tab = 0
        self.sort = "cpu"
        self.reverse = self.tree = self.threads = False
        self.id: str | None = None
        self.container: Container | None = None
        self.ended_at: float | None = None
        self._why_told = self._is_fading = False
        self.offsets: dict[int, tuple[int, int]] = {}
        self._start_walk = walk
        self._walk: Walk | None = None
        self._closeup = Closeup("", 0.0)
        self._scene = Scene()
        self._track: Track = Track()
        self._arranged: list[Entry] | None = None
        self._chosen: tuple[int, int] | None = None
        self._cursor = 0
        self._width = 80

    def open(self, container: str) -> None:
        """Look at the container with that id; the tab and the order stay as they were."""
        if container != self.id:
            self.stop()
            self._walk = None
            self.id, self.container, self.ended_at = container, None, None
            self._closeup, self._why_told = Closeup(container, 0.0), False
            self._arranged, self._chosen, self._cursor = None, None, 0
            self.offsets.clear()

    def stop(self) -> None:
        """Stop a walk that is under way; what it has found stays."""
        if self._walk is not None:
            self._walk.stop()

    def update(self, document: Document, scene: Scene, track: Track) -> None:
        """Take a new sample. When the container is not in it, its last figures stay."""
        self._scene, self._track = scene, track
        found = next((one for one in document["containers"] if one["id"] == self.id), None)
        if found is not None:
            if self._is_dying(found):
                return
            # Between the key and the next sample there are no processes yet: those before stay.
            if found["processes"] is None and self.container is not None and self.container["id"] == self.id:
                found = {**found, "processes": self.container["processes"]}
            if self.ended_at is not None:  # a recording was stepped back
                self.ended_at, self._why_told = None, False
                self._closeup = self._closeup._replace(ended=None, ended_by=())
            self.container = found
        elif self.container is not None and self.ended_at is None:
            self.ended_at = document["taken_at"]
        self._arranged = None

    def _is_dying(self, found: Container) -> bool:
        """Tell whether a sample met it in the moment of its end, out of its cgroup already: the one before says more.

        What goes on so is alive, and has been moved.
        """
        had = self.container is not None and self.container["cpu"]["source"] == "cgroup"
        self._is_fading = had and not self._is_fading and found["cpu"]["source"] == "processes"
        return self._is_fading

    def take(self, closeup: Closeup) -> None:
        """Take the answer to what was asked; what it does not tell stays as it was."""
        if closeup.container != self.id:
            return
        if "end" in closeup.parts:
            self._why_told = True
        told = {name: value for name, value in closeup._asdict().items() if value is not None}
        told["users"] = closeup.users or self._closeup.users
        told["ended_by"] = closeup.ended_by or self._closeup.ended_by
        if "network" not in closeup.parts:
            del told["holders"]
        self._closeup = self._closeup._replace(**told)
        self._arranged = None

    def ask(self) -> Ask | None:
        """Return what to look at closely for the tab in sight; None when no page is open."""
        if self.id is None:
            return None
        if self.ended_at is not None:
            if self._why_told:
                return None
            cgroups = self.container["cgroups"] if self.container else {}
            return Ask(self.id, frozenset({"end"}), cgroups.get("memory"), self.ended_at)
        parts = TABS[self.tab].parts
        return Ask(self.id, parts | {"threads"} if self.tab == PROCESSES and self.threads else parts)

    @property
    def process(self) -> int | None:
        """The PID of the process under the cursor, here; None in the other tabs, and when there is none."""
        return self.row["pid"] if self.row else None

    @property
    def row(self) -> ProcessRow | None:
        """That process."""
        return self.entries[self._cursor].row if self.tab == PROCESSES and not self.ended_at and self.entries else None

    @property
    def walking(self) -> bool:
        """Whether a walk is under way, so that its progress is to be drawn."""
        return self._walk is not None and self._walk.is_running

    def turn_to(self, tab: int) -> None:
        """Show a tab, counted from 0 and round."""
        self.tab = tab % len(TABS)

    def sort_by(self, name: str) -> None:
        """Order the processes; by the same once more turns the order round."""
        self.reverse = not self.reverse if name == self.sort else False
        self.sort = name
        self._arranged = None

    def move_to(self, index: int) -> None:
        """Put the cursor on a line of the processes, or the nearest there is."""
        self._cursor = max(0, min(index, len(self.entries) - 1))
        if self.entries:
            self._chosen = _identity(self.entries[self._cursor])

    def press(self, key: str, screen: int) -> bool:
        """Do what a key of this page does; False when it is not one. `screen` is how many lines are in sight."""
        if key.isdigit() and 1 <= int(key) <= len(TABS):
            self.turn_to(int(key) - 1)
            return True
        if key in ("tab", "shift+tab"):
            self.turn_to(self.tab + (1 if key == "tab" else -1))
            return True
        if self.tab == FILES and key == "c":
            self._walk_or_stop()
            return True
        return self.tab == PROCESSES and (self._press_order(key) or self._press_move(key, screen))

    def _press_order(self, key: str) -> bool:
        name = {"P": "cpu", "C": "cpu", "M": "mem", "T": "time", "N": "pid"}.get(key)
        if name is not None:
            self.sort, self.reverse = name, False
        elif key in ("s", "f6"):
            self.sort, self.reverse = ORDER[(ORDER.index(self.sort) + 1) % len(ORDER)], False
        elif key in ("r", "I"):
            self.reverse = not self.reverse
        elif key in ("t", "f5"):
            self.tree = not self.tree
        elif key == "H":
            self.threads = not self.threads
            self._closeup = self._closeup._replace(threads=None)
        else:
            return False
        self._arranged = None
        return True

    def _press_move(self, key: str, screen: int) -> bool:
        step = {"up": -1, "k": -1, "down": 1, "j": 1, "pageup": 1 - screen, "ctrl+b": 1 - screen,
                "pagedown": screen - 1, "ctrl+f": screen - 1, "home": -len(self.entries), "g": -len(self.entries),
                "end": len(self.entries), "G": len(self.entries)}.get(key)  # fmt: skip
        if step is not None:
            self.move_to(self._cursor + step)
        return step is not None

    def _walk_or_stop(self) -> None:
        if self._walk is not None and self._walk.is_running:
            self._walk.stop()
        elif self.id is not None and self.ended_at is None:
            self._walk = self._start_walk(self.id)

    @property
    def entries(self) -> list[Entry]:
        """The processes in order, put so when they are needed; the cursor stays on its process."""
        if self._arranged is None:
            rows = (self.container["processes"] if self.container else None) or ()
            threads = self._closeup.threads if self.threads else None
            self._arranged = arrange(rows, self.sort, reverse=self.reverse, tree=self.tree, threads=threads)
            kept = (at for at, entry in enumerate(self._arranged) if _identity(entry) == self._chosen)
            # Until a person has chosen it is the first.
            before = self._cursor if self._chosen is not None else 0
            self._cursor = next(kept, max(0, min(before, len(self._arranged) - 1)))
        return self._arranged

    def heading(self) -> list[Line]:
        """Return who it is, what it uses of what it may use, and whether it has ended."""
        one = self.container
        if one is None:
            return [[("reading ...", "dim")], []]
        ended: Line = []
        if self.ended_at is not None:
            why = f": {safe(self._closeup.ended)}" if self._closeup.ended else ""
            at = time.strftime("%H:%M:%S", time.localtime(self.ended_at))
            ended = [(f"ENDED at {at}{why}", "bad"), ("  last: ", "dim")]
        cpu, memory = one["cpu"], one["memory"]
        of_cpu = cores_of(cpu["usage_cores"], cpu["limit_cores"])
        used = memory["working_set_bytes"] if memory["working_set_bytes"] is not None else memory["anon_bytes"]
        most = f" of {byte_size(memory['limit_bytes'])}" if memory["limit_bytes"] is not None else ""
        members = in_units(str(one["members"]), "process", "processes")
        line = [*ended, ("CPU ", "dim"), (of_cpu, ""), ("  memory ", "dim"),
                (f"{byte_size(used)}{most}", ""), (f"  {members}", "")]  # fmt: skip
        if cpu["throttled_ratio"]:
            line.append((f"  throttled {percent(cpu['throttled_ratio'])}", "warn"))
        scene = self._scene if self.ended_at is None else self._scene._replace(now=self.ended_at)
        return [heading(one, scene), line]

    @property
    def hint(self) -> str:
        """The keys of the tab in sight."""
        return f"Esc back  1-8 Tab tabs  {TABS[self.tab].keys}? help  q quit"

    def finding(self) -> Line:
        """Return the worst finding, which its own tab shows whole; of a container that ended what says why."""
        if self.ended_at is not None and self._closeup.ended_by and self.tab != FINDINGS:
            return [("evidence  ", "dim"), (safe("; ".join(self._closeup.ended_by)), "")]
        found = every_finding(self.container, self._closeup) if self.container and self.tab != FINDINGS else []
        if not found:
            return []
        meaning = COLOUR_OF_SEVERITY.get(found[0]["severity"], "")
        return [(f"{safe(found[0]['severity'])}  ", meaning), (safe(found[0]["text"]), "")]

    def tabs(self, width: int) -> Line:
        """Return the titles of the tabs, that in sight marked."""
        line: Line = []
        for number, (title, meaning) in enumerate(self._titles(width)):
            line += [(f"{number + 1}", "dim"), (title, meaning), (" " * GAP, "")]
        return line

    def tab_at(self, x: int, width: int) -> int | None:
        """Return the tab whose title is at column `x`."""
        start = 0
        for number, (title, _) in enumerate(self._titles(width)):
            if start <= x < start + 1 + len(title):
                return number
            start += 1 + len(title) + GAP
        return None

    def _titles(self, width: int) -> list[tuple[str, str]]:
        found = every_finding(self.container, self._closeup) if self.container else []
        long = sum(len(tab.name) + 1 + GAP for tab in TABS) + 3 <= width
        titles = []
        for number, tab in enumerate(TABS):
            count = f" {len(found)}" if number == FINDINGS and found else ""
            worst = COLOUR_OF_SEVERITY.get(found[0]["severity"], "") if count else ""
            titles.append(((tab.name if long else tab.short) + count, "sorted" if number == self.tab else worst))
        return titles

    @property
    def has_titles(self) -> bool:
        """Whether there are titles above the lines of the tab in sight."""
        return self.tab == PROCESSES

    def column_titles(self, width: int) -> Line:
        """Return the titles above the processes; nothing in the other tabs."""
        return titles(self.sort, width) if self.tab == PROCESSES else []

    def click_title(self, x: int, width: int) -> None:
        """Sort by the title at column `x`."""
        name = sort_at(x, width) if self.tab == PROCESSES else None
        if name is not None:
            self.sort_by(name)

    def page(self, width: int, height: int) -> Page:
        """Return the lines of the tab in sight, for so many columns and lines."""
        if self.container is None:
            return Page(1, lambda _: [("reading ...", "dim")])
        closeup = self._closeup
        if self.ended_at is not None:
            closeup = closeup._replace(note="it ended before that was read")
        seen = Seen(self.container, closeup, self._track, self.entries, self._cursor, self._walk, self.unicode)
        return page(self.tab, seen, width, height)


def _identity(entry: Entry) -> tuple[int, int]:
    return entry.row["pid"], entry.thread.tid if entry.thread else 0
