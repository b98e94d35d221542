"""What can be done to a container from the live view: a signal, freeze, thaw, other limits, a shell in it.

Each is asked about first, naming what will be done to what, and says
afterwards what was done.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from typing import NamedTuple, Protocol

from inspector.ctop.asking import Asking, Choice, Prompt, Question
from inspector.ctop.runner import Done, NotDone, Runner
from inspector.kernel.process import CLOCK_TICKS
from inspector.schema import Container, Document
from inspector.views.cells import started_at
from inspector.views.layout import Line
from inspector.views.text import UNKNOWN, byte_size, cores, count, fit, safe, width_of

__all__ = ["Actions", "Aim", "Aims", "SignalMenu", "aim_at"]

NAME_WIDTH, COMM_WIDTH = 28, 20
MOST_NAMED = 3
"""Of those that are tagged, in a question."""
# In the order of htop's menu: by number; the real-time ones are left out.
SIGNALS = tuple(sorted((number.value, number.name) for number in signal.Signals if number < signal.SIGRTMIN))
MOVES = {"up": -1, "k": -1, "down": 1, "j": 1, "pageup": -10, "pagedown": 10, "home": -100, "end": 100}
CPUS = re.compile(r"none|\d{1,6}(\.\d{1,4})?")
SIZE = re.compile(r"none|\d{1,15}(\.\d{1,4})?[bkmgt]?", re.IGNORECASE)
COUNT = re.compile(r"none|\d{1,10}")


class Aim(NamedTuple):
    """Whom an action is for: the container, and its first process or the one that was chosen.

    `started_ticks` (since boot) tells that process from a later one with its PID.
    """

    container: Container
    pid: int
    started_ticks: int
    comm: str = ""

    @property
    def name(self) -> str:
        """The container's name, escaped, and no longer than leaves room for the rest of a line."""
        text = safe(self.container["name"])
        return text if width_of(text) <= NAME_WIDTH else fit(text, NAME_WIDTH)

    @property
    def whom(self) -> str:
        """The container and its process, as a question names them."""
        comm = safe(self.comm)[:COMM_WIDTH]
        return f"process {self.pid} ({comm}) of {self.name}" if comm else f"{self.name}, process {self.pid}"

    @property
    def words(self) -> tuple[str, ...]:
        """The process as `sandbox` takes it."""
        return str(self.pid), "--started", str(self.started_ticks)


class Aims(NamedTuple):
    """Whom an action is for: one, or all that are tagged. Why some of these cannot be aimed at is in `problems`."""

    ones: tuple[Aim, ...]
    problems: tuple[str, ...] = ()

    @property
    def many(self) -> int:
        """How many are meant."""
        return len(self.ones) + len(self.problems)

    @property
    def whom(self) -> str:
        """How many are tagged, and the names of the first ones."""
        names = [f"{aim.pid} ({safe(aim.comm)[:COMM_WIDTH]})" if aim.comm else aim.name for aim in self.ones]
        more = f" and {self.many - MOST_NAMED} more" if self.many > MOST_NAMED else ""
        return f"{self.many} tagged: {', '.join(names[:MOST_NAMED])}{more}"

    def each(self, act: Callable[[Aim], str], what: str) -> Done:
        """Act on one after the other, `act` returning what went wrong; say for how many it did not, and why first."""
        failures = list(self.problems)
        for aim in self.ones:
            problem = act(aim)
            failures += [f"{aim.name}: {problem}"] if problem else []
        done = f"{what} {self.many - len(failures)} of {self.many} tagged"
        return Done(1, f"{done}; {failures[0]}") if failures else Done(0, done)


def aim_at(document: Document, container: Container, pid: int | None = None) -> Aim | str:
    """Return whom an action on a container, or on its process `pid`, is for; or why it cannot be."""
    boot = document["host"]["boot_time"]
    started, comm = started_at(container), ""
    if pid is None:
        pid = container["pid"]
    else:
        row = next((row for row in container["processes"] or () if row["pid"] == pid), None)
        started, comm = (row.get("started_at"), row["comm"]) if row else (None, "")
    if pid is None or started is None or boot is None:
        return f"no process of {safe(container['name'])} is known here"
    return Aim(container, pid, round((started - boot) * CLOCK_TICKS), comm)


class Stage(Protocol):
    """The application, as far as actions need it."""

    def say(self, text: str, meaning: str = "") -> None:
        """Show a line for a while."""

    def beside(self, work: Callable[[], Done]) -> None:
        """Do something that may take long, and show what it says."""

    def in_front(self, words: tuple[str, ...]) -> Done:
        """Run `sandbox WORDS` on the terminal."""


class Actions:
    """The actions on one machine. `refused` says why there are none here: "" where there are."""

    def __init__(self, stage: Stage, runner: Runner, refused: str = "") -> None:
        self._stage, self._runner = stage, runner
        self.refused = refused

    def signal(self, aim: Aim | Aims) -> SignalMenu:
        """Return the list of signals to choose from."""
        if isinstance(aim, Aims):
            return SignalMenu(aim.whom, lambda number, name: self._confirm_signals(aim, number, name))
        return SignalMenu(aim.whom, lambda number, name: self._confirm_signal(aim, number, name))

    def _confirm_signal(self, aim: Aim, number: int, name: str) -> Asking:
        def send() -> None:
            try:
                remark = self._runner.signal(aim.pid, aim.started_ticks, number)
            except NotDone as error:
                self._stage.say(safe(str(error)), "bad")
            else:
                self._stage.say(f"{name} sent to process {aim.pid}{remark and f': {remark}'}", "warn" if remark else "")

        return Question(f"send {name} to {aim.whom}", send)

    def _confirm_signals(self, aims: Aims, number: int, name: str) -> Asking:
        def send(aim: Aim) -> str:
            try:
                return self._runner.signal(aim.pid, aim.started_ticks, number)
            except NotDone as error:
                return str(error)

        def send_all() -> None:
            code, text = aims.each(send, f"{name} sent to")
            self._stage.say(safe(text), "bad" if code else "")

        return Question(f"send {name} to {aims.whom}", send_all)

    def freeze(self, aim: Aim | Aims) -> Asking:
        """Ask whether to freeze a container, or to thaw one that is frozen; of many to thaw them if all are."""
        if isinstance(aim, Aims):
            return self._freeze_all(aim)
        verb = "thaw" if aim.container["state"] == "paused" else "freeze"
        text = f"{verb} all processes of {aim.name} (that of process {aim.pid})"
        return Question(text, lambda: self._run(verb, *aim.words))

    def _freeze_all(self, aims: Aims) -> Asking:
        verb = "thaw" if all(aim.container["state"] == "paused" for aim in aims.ones) else "freeze"
        done = {"thaw": "thawed", "freeze": "frozen"}[verb]

        def run(aim: Aim) -> str:
            code, text = self._runner.run((verb, *aim.words))
            return (text or f"exit code {code}") if code else ""

        text = f"{verb} all processes of {aims.whom}"
        return Question(text, lambda: self._stage.beside(lambda: aims.each(run, f"{done}:")))

    def limits(self, aim: Aim) -> Asking:
        """Ask which limit to change."""
        cpu, memory, pids = aim.container["cpu"], aim.container["memory"], aim.container["pids"]
        limits = cores(cpu["limit_cores"]), byte_size(memory["limit_bytes"]), count(pids["limit"])
        # Called as it is typed here.
        now_cpus, now_memory, now_pids = ("none" if limit == UNKNOWN else limit for limit in limits)
        return Choice(
            f"limits of {aim.name}",
            {
                "c": ("cpus", lambda: self._limit(aim, CPUS, "cpus", now_cpus, "such as 0.5")),
                "m": ("memory", lambda: self._limit(aim, SIZE, "memory", now_memory, "512m")),
                "p": ("tasks", lambda: self._limit(aim, COUNT, "pids", now_pids, "such as 100")),
            },
        )

    def _limit(self, aim: Aim, form: re.Pattern[str], what: str, now: str, example: str) -> Asking:
        def take(text: str) -> Asking:
            if not form.fullmatch(text):
                raise ValueError(f"{text} is not it: {example}, or none for no limit")
            change = f"limit {what} of {aim.name} (that of process {aim.pid}): {now} -> {text}"
            return Question(change, lambda: self._run("limit", *aim.words, f"--{what}", text))

        return Prompt(f"{what} of {aim.name} (now {now})", f"{example}, or none", take)

    def shell(self, aim: Aim) -> Asking:
        """Ask whether to open a shell in a container, on our terminal."""
        return Question(f"open a shell in {aim.whom}", lambda: self._open_shell(aim))

    def _open_shell(self, aim: Aim) -> None:
        done = self._stage.in_front(("enter", *aim.words))
        if done.text:
            self._stage.say(safe(done.text), "bad" if done.code else "warn")
        else:
            self._stage.say(f"the shell in {aim.name} ended with exit code {done.code}")

    def _run(self, *words: str) -> None:
        self._stage.beside(lambda: self._runner.run(words))


class SignalMenu:
    """The signals, as htop's menu has them: TERM is the one to begin with; a number finds its line."""

    hint = "Enter send  a number finds it  Esc back"

    def __init__(self, whom: str, chosen: Callable[[int, str], Asking]) -> None:
        self.heading: Line = [("a signal to ", "dim"), (whom, "title")]
        self._chosen = chosen
        self._digits = ""
        self.cursor = 0
        self.cursor = self._at(signal.SIGTERM)
        self.following: Asking | None = None

    def _at(self, number: int) -> int:
        return next((index for index, one in enumerate(SIGNALS) if one[0] == number), self.cursor)

    def lines(self) -> list[Line]:
        """Return a line for each signal."""
        return [[(f"{number:>3} ", "dim"), (name, "title")] for number, name in SIGNALS]

    def press(self, key: str) -> bool:
        """Move, or take the signal; what is asked next is in `following`."""
        if key.isdecimal():
            self._digits = f"{self._digits}{key}"[-2:]
            self.cursor = self._at(int(self._digits))
            return False
        self._digits = ""
        if key in MOVES:
            self.cursor = max(0, min(self.cursor + MOVES[key], len(SIGNALS) - 1))
        elif key == "enter":
            self.following = self._chosen(*SIGNALS[self.cursor])
            return True
        return key in ("escape", "q", "f10")
