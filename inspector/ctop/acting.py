"""The part of the application that acts on containers and shows their logs: keys, questions, what comes of it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from textual.app import App
from textual.message import Message
from textual.timer import Timer

from inspector.ctop.actions import Actions, Aim, Aims, SignalMenu, aim_at
from inspector.ctop.asking import Asking
from inspector.ctop.lines import Lines
from inspector.ctop.logs import Logs
from inspector.ctop.menus import Menu
from inspector.ctop.options import Options
from inspector.ctop.panel import Panel
from inspector.ctop.runner import Done, Runner, SandboxRunner
from inspector.ctop.sampler import Sampler
from inspector.ctop.sources import Source, Stored
from inspector.ctop.state import State
from inspector.ctop.tags import Tags
from inspector.kernel.host import Host
from inspector.schema import Container
from inspector.views.text import safe, width_of

__all__ = ["Acting"]

LOG_SECONDS = 0.5
ELSEWHERE = "not on this machine: there is nothing here to act on"
RECORDED = "a recording: what was then cannot be acted on"


class Acting(App[None]):
    """What Ctop is beside a view. `question` is asked in the status line; `logs` are those of the page in sight."""

    state: State
    page: str
    menu: Menu | None
    sampler: Sampler
    question: Asking | None = None
    logs: Logs | None = None
    _log_timer: Timer | None = None

    class Acted(Message):
        """An action has ended."""

        def __init__(self, done: Done) -> None:
            self.done = done
            super().__init__()

    def prepare_actions(self, source: Source, options: Options, runner: Runner | None) -> None:
        """Say on what the actions act, and whether there are any."""
        self._here = getattr(source, "local", True)
        refused = "" if self._here else RECORDED if isinstance(source, Stored) else ELSEWHERE
        if options.readonly and not refused:
            refused = "ctop --readonly: nothing is done to containers"
        self._runner = runner or SandboxRunner()
        self.actions = Actions(self, self._runner, refused)
        self.tags = Tags()

    def draw(self) -> None:
        """Draw everything."""
        raise NotImplementedError

    def turn_over(self, page: str) -> None:
        """Show a page over the one in sight, to which Esc goes back."""
        raise NotImplementedError

    @property
    def panel(self) -> Panel:
        """What the page of a container shows."""
        raise NotImplementedError

    def say(self, text: str, meaning: str = "") -> None:
        """Show a line for a while."""
        self.state.say(text, meaning)
        self.draw()

    def beside(self, work: Callable[[], Done]) -> None:
        """Do something that may take long, in a thread; what it says is shown."""
        self.say("working ...", "dim")
        threading.Thread(target=lambda: self.post_message(self.Acted(work())), daemon=True).start()

    def on_acting_acted(self, message: Acting.Acted) -> None:
        """Show what came of an action."""
        code, text = message.done
        self.say(safe(text) or f"exit code {code}", "bad" if code else "")

    def in_front(self, words: tuple[str, ...]) -> Done:
        """Run `sandbox WORDS` on the terminal; no sample is taken meanwhile, as nobody would see it."""
        self.sampler.pause(paused=True)
        try:
            return self._runner.in_front(self, words)
        finally:
            self.sampler.pause(self.state.paused)

    def _container(self) -> Container | None:
        """Return the container that keys are for: the one whose page is in sight, or the chosen row."""
        if self.page == "detail":
            return self.panel.container
        if self.page != "table" or self.state.on_group or not self.state.shown:
            return None
        return self.state.shown[self.state.cursor]

    def _aim(self) -> Aim | None:
        """Return whom an action is for; None, and why is said, when there is nobody."""
        container = self._container()
        if container is None or self.state.document is None:
            return None
        has_ended = self.page == "detail" and self.panel.ended_at is not None
        if self.actions.refused or has_ended:
            self.say(self.actions.refused or f"{safe(container['name'])} has ended: there is nothing to act on", "warn")
            return None
        process = self.panel.process if self.page == "detail" else None
        aim = aim_at(self.state.document, container, process)
        if isinstance(aim, str):
            self.say(aim, "warn")
            return None
        return aim

    def tagged(self) -> list[tuple[Container, int | None]]:
        """Return the tagged of the page in sight, shown or not: containers, or processes of one."""
        if self.page == "table" and self.state.document is not None:
            return [(one, None) for one in self.tags.of(self.state.document["containers"])]
        one = self.panel.container
        if self.page != "detail" or one is None or self.panel.process is None:
            return []
        return [(one, process["pid"]) for process in self.tags.among(one["processes"] or ())]

    def _aims(self) -> Aim | Aims | None:
        """Return whom an action that may be for many is for: all that are tagged, else as any other action."""
        tagged = self.tagged() if self.tags and not self.actions.refused else []
        if not tagged or self.state.document is None:
            return self._aim()
        found = [aim_at(self.state.document, *one) for one in tagged]
        known = tuple(one for one in found if isinstance(one, Aim))
        aims = Aims(known, tuple(one for one in found if isinstance(one, str)))
        if not aims.ones:
            self.say(aims.problems[0], "warn")
            return None
        return aims

    def _ask(self, asking: Callable[[Aim], Asking]) -> None:
        aim = self._aim()
        if aim is not None:
            self.question = asking(aim)
            self.draw()

    def answer(self, key: str) -> None:
        """Take a key for the question."""
        if self.question is not None:
            self.question = self.question.press(key)
            self.draw()

    def action_signal(self) -> None:
        """Choose a signal for a process, or for a container's first one, or for all that are tagged."""
        aim = self._aims()
        if aim is not None:
            self.menu = self.actions.signal(aim)
            self.turn_over("menu")

    def menu_done(self) -> None:
        """Ask what the menu leads to."""
        if isinstance(self.menu, SignalMenu):
            self.question = self.menu.following

    def action_freeze(self) -> None:
        """Freeze a container, or thaw it, or all that are tagged in the table."""
        aim = self._aims() if self.page == "table" else self._aim()
        if aim is not None:
            self.question = self.actions.freeze(aim)
            self.draw()

    def action_limits(self) -> None:
        """Change a limit of a container."""
        self._ask(self.actions.limits)

    def action_shell(self) -> None:
        """Open a shell in a container."""
        self._ask(self.actions.shell)

    def action_logs(self) -> None:
        """Show what a container has said."""
        container = self._container()
        if container is None:
            return
        if not self._here:
            self.say(f"{self.actions.refused.partition(':')[0]}: its logs are not here", "warn")
            return
        self.logs = Logs(Host(), container)
        self.logs.read_on()
        self.turn_over("logs")
        self._to_the_end()
        self._log_timer = self._log_timer or self.set_interval(LOG_SECONDS, self._read_logs)

    def log_times(self) -> None:
        """Show the times in the log, or not."""
        if self.logs is not None:
            self.logs.has_times = not self.logs.has_times
            self.draw()

    def draw_logs(self) -> None:
        """Draw the lines of the log."""
        if self.logs is not None:
            lines = self.logs.lines()
            width = max(sum(width_of(text) for text, _ in line) for line in lines)
            self.query_one("#page", Lines).show(len(lines), lambda index: lines[index], width=width)

    def _read_logs(self) -> None:
        """Read on; whoever looks at the end goes on looking at the end."""
        if self.page != "logs" or self.logs is None:
            if self._log_timer is not None:
                self._log_timer.stop()
            self._log_timer = None
            return
        page = self.query_one("#page", Lines)
        at_end = page.scroll_offset.y >= page.max_scroll_y
        if self.logs.read_on():
            self.draw()
            if at_end:
                self._to_the_end()

    def _to_the_end(self) -> None:
        page = self.query_one("#page", Lines)

        def scroll() -> None:
            page.scroll_to(0, page.virtual_size.height, animate=False, immediate=True)

        self.call_after_refresh(scroll)
