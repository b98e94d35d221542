"""Ends containers: a signal, a stop, a removal; each waits until the container's monitor has recorded the end.

Nobody holds a lock while it waits: other commands see the container as it is.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import time
from collections.abc import Callable, Iterator

from sandbox import attach, document, events, freezer, journal
from sandbox.commands.output import warn
from sandbox.errors import Damaged, NoSuchContainer, SandboxError
from sandbox.liveness import has_monitor, is_running, not_running, open_running
from sandbox.reconcile import reconcile
from sandbox.remains import remove_remains
from sandbox.signals import number_of
from sandbox.state import Document, Store
from sandbox.teardown import destroy

__all__ = ["DEFAULT_SECONDS", "kill", "remove", "stop", "wait"]

POLL_SECONDS = 0.005
FINISH_SECONDS = 15.0
RECORD_SECONDS = 0.1
DEFAULT_SECONDS = 10
LONGEST_WAIT_MS = 2**31 - 1


def _await(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _settled(store: Store, container: str) -> bool:
    """Tell whether a container's monitor has recorded its last end."""
    try:
        text = store.load(container)
    except NoSuchContainer:
        return True
    return not has_monitor(text)


def _await_settled(store: Store, text: Document) -> None:
    """Wait for the end of a container that was killed or waits for its restart: that one is told.

    One that was paused meanwhile goes on: on v1 not even SIGKILL ends what is frozen.
    """
    nudged = False

    def ended() -> bool:
        nonlocal nudged
        with contextlib.suppress(NoSuchContainer):
            now = store.load(text["Id"])
            if now["State"]["Paused"]:
                _let_go(store, now)
            if not nudged and _awaits_restart(now):
                attach.nudge(store, text)
                nudged = True
        return _settled(store, text["Id"])

    if not _await(ended, FINISH_SECONDS):
        raise _stuck(text)


def _stuck(text: Document) -> SandboxError:
    return SandboxError(f"container {text['Name']} does not end: a process of it is stuck in the kernel", 1)


def _open_program(text: Document) -> int:
    """Return a pidfd of a container's first process, and of no other that has its number by now."""
    pidfd = -1
    with contextlib.suppress(OSError, ValueError):
        pidfd = os.pidfd_open(text["State"]["Pid"])
    if pidfd < 0 or not is_running(text):
        if pidfd >= 0:
            os.close(pidfd)
        raise not_running(text, text["Name"])
    return pidfd


def _signal(store: Store, text: Document, number: int) -> None:
    """Signal a container's first process; one that is paused goes on, or it would not notice."""
    pidfd = _open_program(text)
    try:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, number)
    finally:
        os.close(pidfd)
    events.of_container(store.root, text, "kill", signal=str(number))


@contextlib.contextmanager
def _changing(store: Store, container: str) -> Iterator[Document]:
    """Change a document where it can be: what runs on a disk that has failed, and is read-only since, can be ended."""
    try:
        with store.changing(container) as now:
            yield now
    except OSError as error:
        if error.errno != errno.EROFS:
            raise


def _let_go(store: Store, text: Document) -> None:
    """Let a paused container go on, or one that somebody else has frozen: a signal that is to end it must reach it."""
    with _changing(store, text["Id"]) as now:
        freezer.let_go(document.places_of(now))
        if now["State"]["Paused"]:
            now["State"].update(Paused=False, Status="running")


def _stop_signal(text: Document) -> int:
    return number_of(text["Config"].get("StopSignal") or "TERM")


def kill(store: Store, name: str, number: int) -> None:
    """Send a signal to a container's first process; what ends it by Docker's book is not restarted."""
    text = store.find(name)
    ends = number in (signal.SIGKILL, _stop_signal(text))
    if text["State"]["Status"] not in ("running", "paused") and not (ends and _awaits_restart(text)):
        raise not_running(text, name)
    if ends:
        text = _do_not_restart(store, text)
    if _awaits_restart(text):
        _await_settled(store, text)
        return
    _signal(store, text, number)
    if number == signal.SIGKILL:
        _let_go(store, text)
        _await(lambda: _settled(store, text["Id"]), FINISH_SECONDS)


def _awaits_restart(text: Document) -> bool:
    return bool(text["State"]["Status"] == "restarting")


def _do_not_restart(store: Store, text: Document) -> Document:
    """Have a container not be started again, and return it as it is then: after a start that was under way."""
    with _changing(store, text["Id"]) as now:
        now["Cgscope"]["Stopped"] = True

    def started() -> bool:
        nonlocal now
        try:
            now = store.load(text["Id"])
        except NoSuchContainer:  # --rm
            return True
        return not (_awaits_restart(now) and now["Cgscope"].get("StartsAgain"))

    _await(started, FINISH_SECONDS)
    return now


def stop(store: Store, name: str, seconds: int | None = None, number: int | None = None) -> None:
    """Ask a container to end, and kill it after `seconds` (-1: never); returns when its end is recorded."""
    text = store.find(name)
    if text["State"]["Status"] not in ("running", "paused", "restarting"):
        return
    text = _do_not_restart(store, text)
    if not _awaits_restart(text):
        with contextlib.suppress(SandboxError):  # it has ended meanwhile
            _ask_and_make(store, text, seconds, number)
    _await_settled(store, text)
    reconcile(store)
    events.of_container(store.root, text, "stop")


def _ask_and_make(store: Store, text: Document, seconds: int | None, number: int | None) -> None:
    """Send the stop signal, wait, and kill what has not ended."""
    if seconds is None:
        seconds = text["Config"].get("StopTimeout", DEFAULT_SECONDS)
    if number is None:
        number = _stop_signal(text)
    pidfd = _open_program(text)
    try:
        _signal(store, text, number)
        _let_go(store, text)
        if not _ends_within(pidfd, seconds):
            if seconds:
                name = signal.Signals(number).name if number in set(signal.Signals) else str(number)
                warn(f"{name} failed to stop container {text['Name']} in {seconds} seconds, resorting to SIGKILL")
            _signal(store, text, signal.SIGKILL)
    finally:
        os.close(pidfd)


def _ends_within(pidfd: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(None if seconds < 0 else min(int(seconds * 1000), LONGEST_WAIT_MS)))


def remove(store: Store, name: str, *, force: bool, volumes: bool = False) -> None:
    """Remove a container, with `volumes` its anonymous volumes too; a running one only with `force`, which kills it.

    With `force` also one whose document is damaged: its files, and whatever is named after it.
    """
    try:
        text = store.find(name)
    except Damaged as error:
        if not force:
            raise
        store.remove(error.container, "")
        with store.lock():
            remove_remains(store)
        return
    if has_monitor(text):
        if not force:
            status = text["State"]["Status"]
            raise SandboxError(f"cannot remove container {name!r}: it is {status}: stop it first, or use rm -f", 1)
        _end(store, text)
    with contextlib.suppress(NoSuchContainer):
        destroy(store, store.load(text["Id"]), volumes=volumes)


def _end(store: Store, text: Document) -> None:
    """Kill a container, also one that is being started: its first process is killed as soon as it is known."""
    seen = set[tuple[str, int]]()

    def ended() -> bool:
        with contextlib.suppress(NoSuchContainer, SandboxError):
            now = store.load(text["Id"])
            stage = now["State"]["Status"], now["State"]["Pid"]
            if has_monitor(now) and stage not in seen:
                seen.add(stage)
                _do_not_restart(store, now)
                if _awaits_restart(now):
                    attach.nudge(store, now)
                _signal(store, now, signal.SIGKILL)
                _let_go(store, now)
        return _settled(store, text["Id"])

    if not _await(ended, FINISH_SECONDS):
        raise _stuck(text)


def wait(store: Store, name: str) -> int:
    """Wait until a container's program has ended, also if it is restarted then, and return its exit code."""
    begun = time.time()
    text = store.find(name)
    seen = _run_of(text)
    while text["State"]["Running"] or text["State"]["Status"] == "creating":
        _watch(store, text)
        try:
            text = store.load(text["Id"])
        except NoSuchContainer:  # --rm: only the journal knows
            return next(_codes_in_journal(store, text["Id"], begun), 0)
        if _run_of(text) != seen:  # ended, unless it was to be started when we came
            for code in _codes_in_journal(store, text["Id"], begun):
                return code
    return int(text["State"]["ExitCode"])


def _run_of(text: Document) -> tuple[int, str]:
    """Return what differs between two runs of a container."""
    return text["RestartCount"], text["State"]["StartedAt"]


def _watch(store: Store, text: Document) -> None:
    """Wait a second, or until a container's program or its monitor ends; clean up after a monitor that was killed."""
    pidfd, seconds = open_running(text), 1.0
    if pidfd is None and has_monitor(text):  # it ends, or is to be started
        monitor, seconds = text["Cgscope"]["Monitor"], RECORD_SECONDS
        with contextlib.suppress(OSError, ValueError):
            pidfd = os.pidfd_open(monitor["Pid"])
    if pidfd is None:
        reconcile(store)
        return
    # A monitor stays while its container is restarted; one that lingers for a reader has recorded the end already.
    _ends_within(pidfd, seconds)
    os.close(pidfd)


def _codes_in_journal(store: Store, container: str, since: float) -> Iterator[int]:
    """Yield the exit codes of a container since a time, the first one first."""
    for event in journal.follow(store.root, since, time.time()):
        if event["Action"] == "die" and event["Actor"]["ID"] == container:
            code = event["Actor"]["Attributes"].get("exitCode", "")
            yield int(code) if code.isdecimal() else 0
