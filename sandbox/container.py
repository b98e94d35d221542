"""The verbs: what happens, in which order, when a container is run, entered, stopped and removed.

The only module that knows all the others: prepare.py computes everything and
changes nothing, launch.py forks and speaks with the child, teardown.py takes
down what that made, also after a launcher that was killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn

from sandbox import cgroup, channel, document, init, monitor, syscalls
from sandbox.errors import NoSuchContainer, SandboxError, describe
from sandbox.launch import launch, start
from sandbox.liveness import has_monitor, is_running
from sandbox.prepare import Prepared
from sandbox.spec import Limits, environment
from sandbox.state import Document, Store
from sandbox.teardown import destroy, finish

__all__ = ["ExecOptions", "execute", "kill", "reconcile", "remove", "run", "stop"]

KILLED = 137
POLL_SECONDS = 0.005
FINISH_SECONDS = 15.0


def run(prepared: Prepared, store: Store) -> int:
    """Make a container and start its program; returns its exit code, or 0 at once with -d, whose id is printed."""
    for warning in prepared.warnings:
        sys.stderr.write(f"sandbox: warning: {warning}\n")
    with monitor.blocked_signals():
        if prepared.spec.detach:
            return _run_detached(prepared, store)
        streams = init.Streams(stdin=0 if prepared.spec.interactive else init.NULL)
        text = prepared.document
        try:
            running = start(prepared, store, streams, lambda: None)
        except channel.Closed:
            raise SandboxError("the container's first process was killed during its set-up") from None
        code = monitor.attend(running.pid, running.pidfd, running.console, interactive=prepared.spec.interactive)
        finish(store, text, code)
    return code


def _run_detached(prepared: Prepared, store: Store) -> int:
    """Fork the monitor; it starts the program only while we are there to say so, and we print the id then."""
    ours, theirs = channel.pair()
    sys.stdout.flush()
    if os.fork() == 0:
        ours.close()
        _be_monitor(prepared, store, theirs)
    theirs.close()
    try:
        ours.expect(channel.Ready)
        ours.send(channel.Go())
        ours.expect_end()
    except channel.Closed:
        raise SandboxError("the container's monitor was killed") from None
    sys.stdout.write(f"{prepared.document['Id']}\n")
    sys.stdout.flush()
    return 0


def _be_monitor(prepared: Prepared, store: Store, launcher: channel.Channel) -> NoReturn:
    """Be the process beside a detached container, from its making to its end."""
    try:
        os.setsid()
        os.chdir("/")
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        syscalls.set_process_name("sandbox-monitor")
        stdin, keep_open = os.pipe() if prepared.spec.interactive and not prepared.spec.tty else (init.NULL, init.NULL)
        pipes = [] if prepared.spec.tty else [os.pipe(), os.pipe()]
        out, err = (writing for _, writing in pipes) if pipes else (init.NULL, init.NULL)

        def confirm() -> None:
            launcher.send(channel.Ready())
            launcher.expect(channel.Go)

        running = start(prepared, store, init.Streams(stdin, out, err, owned=True), confirm)
        for fd in (out, err, stdin):
            if fd != init.NULL:
                os.close(fd)
        launcher.close()
    except BaseException as error:  # noqa: BLE001  the launcher tells the user
        launcher.send_error(error)
        os._exit(1)
    try:
        sources = {reading: name for (reading, _), name in zip(pipes, ("stdout", "stderr"), strict=False)}
        if running.console is not None:
            sources = {running.console: "stdout"}
        log = monitor.Log(prepared.document["LogPath"])
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        code = monitor.watch_output(running.pid, running.pidfd, sources, log)
        finish(store, prepared.document, code)
    finally:
        os._exit(0)
    del keep_open


def reconcile(store: Store) -> None:
    """Clean up after monitors that were killed: their containers are dead, or die now.

    What was being set up, and what ran in the foreground or with --rm, is
    removed; a detached container stays, exited.
    """
    if not store.exists():
        return
    with store.lock():
        store.remove_remains()
        orphans = [text for text in store.all() if text["State"]["Status"] != "exited" and not has_monitor(text)]
    for text in orphans:
        try:
            _clean_up(store, text["Id"])
        except NoSuchContainer:  # another `ps` was faster
            continue
        except (SandboxError, OSError) as error:
            sys.stderr.write(f"sandbox: warning: cannot clean up {text['Name']}: {describe(error)}\n")


def _clean_up(store: Store, container: str) -> None:
    """Take down a container whose monitor is dead."""
    text = store.load(container)  # anew: its monitor may have ended well since it was listed
    if text["State"]["Status"] == "exited":
        return
    if text["State"]["Status"] == "created" or text["Cgscope"]["Foreground"]:
        destroy(store, text)
    else:
        finish(store, text, KILLED, "the monitor of this container was killed")


def _await(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _settled(store: Store, container: str) -> bool:
    """Tell whether a container's monitor has recorded its end."""
    try:
        text = store.load(container)
    except NoSuchContainer:
        return True
    return text["State"]["Status"] == "exited" or not has_monitor(text)


def _signal(text: Document, number: int) -> None:
    """Signal a container's first process, and no other that has its number by now."""
    pid = text["State"]["Pid"]
    try:
        pidfd = os.pidfd_open(pid)
    except (ProcessLookupError, ValueError, OSError) as error:
        raise SandboxError(f"container {text['Name']} is not running", 1) from error
    try:
        if not is_running(text):
            raise SandboxError(f"container {text['Name']} is not running", 1)
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, number)
    finally:
        os.close(pidfd)


def kill(store: Store, name: str, number: int) -> None:
    """Send a signal to a container's first process."""
    text = store.find(name)
    if text["State"]["Status"] != "running":
        raise SandboxError(f"container {name} is not running", 1)
    _signal(text, number)
    if number == signal.SIGKILL:
        _await(lambda: _settled(store, text["Id"]), FINISH_SECONDS)


def stop(store: Store, name: str, seconds: float) -> None:
    """Ask a container to end, and kill it after `seconds`; returns when its end is recorded."""
    text = store.find(name)
    if text["State"]["Status"] != "running":
        return
    with contextlib.suppress(SandboxError):
        _signal(text, signal.SIGTERM)
        if not _await(lambda: not is_running(text), seconds):
            _signal(text, signal.SIGKILL)
    if not _await(lambda: _settled(store, text["Id"]), FINISH_SECONDS):
        raise SandboxError(f"container {name} does not end: a process of it is stuck in the kernel", 1)
    reconcile(store)


def remove(store: Store, name: str, *, force: bool) -> None:
    """Remove a container; a running one only with `force`, which kills it."""
    text = store.find(name)
    if text["State"]["Status"] != "exited" and has_monitor(text):
        if not force:
            raise SandboxError(
                f"cannot remove container {name!r}: it is {text['State']['Status']}: stop it first, or use rm -f", 1
            )
        with contextlib.suppress(SandboxError):
            _signal(text, signal.SIGKILL)
        if not _await(lambda: _settled(store, text["Id"]), FINISH_SECONDS):
            raise SandboxError(f"container {name} does not end: a process of it is stuck in the kernel", 1)
    with contextlib.suppress(NoSuchContainer):
        destroy(store, store.load(text["Id"]))


@dataclass(frozen=True, slots=True)
class ExecOptions:
    """What `sandbox exec` adds to what the container has."""

    argv: tuple[str, ...]
    env: tuple[str, ...] = ()
    workdir: str = ""
    user: str = ""
    interactive: bool = False
    tty: bool = False
    detach: bool = False


def execute(store: Store, name: str, options: ExecOptions, host_environment: Mapping[str, str]) -> int:
    """Run a program in a running container, as restricted as the container's own; returns its exit code."""
    text = store.find(name)
    pid = text["State"]["Pid"]
    try:
        pidfd = os.pidfd_open(pid) if pid > 0 else -1
    except OSError:
        pidfd = -1
    # The descriptor first, then the check: what is checked is what is entered.
    if pidfd < 0 or text["State"]["Status"] != "running" or not is_running(text):
        raise SandboxError(f"container {name} is not running", 1)
    private, config = text["Cgscope"], text["Config"]
    given = environment((*config["Env"], *options.env), host_environment, tty=options.tty)
    out, err = (init.NULL, init.NULL) if options.detach else (1, 2)
    program = init.Program(
        argv=options.argv,
        env=given,
        workdir=options.workdir or config["WorkingDir"],
        user=options.user or config["User"],
        capabilities=private["Capabilities"],
        tty=options.tty,
        streams=init.Streams(0 if options.interactive else init.NULL, out, err),
        die_with_parent=not options.detach,
    )
    steps = tuple(step for step in cgroup.plan(Limits(), document.places_of(text)) if step.phase == cgroup.JOIN)
    plan = init.Launch(program, steps, join=(pid, pidfd))
    with monitor.blocked_signals():
        try:
            running = launch(lambda end, parent: init.joiner(plan, end, parent), tty=program.tty)
        except channel.Closed:
            raise SandboxError(f"container {name} ended while it was entered", 1) from None
        if options.detach:
            return 0
        return monitor.attend(running.pid, running.pidfd, running.console, interactive=options.interactive)


