"""Makes and starts containers: in the foreground, where we can be its monitor, or beside one of its own.

prepare.py computes everything and changes nothing, launch.py forks and speaks
with the child, monitor.py becomes the process beside a container, and
teardown.py takes down what they made.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from sandbox import channel, events, launch
from sandbox.contexts import suppress
from sandbox.drafting import KEEP_SECONDS, keep
from sandbox.errors import NoSuchContainer, SandboxError
from sandbox.liveness import has_monitor
from sandbox.prepare import Prepared, prepare_again
from sandbox.program import NULL, Streams
from sandbox.quick import socket
from sandbox.signals import blocked_signals
from sandbox.spec import Spec
from sandbox.state import Document, Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.attach import Attaching

__all__ = ["comes_back", "create", "run", "start"]

PATIENCE_SECONDS = 10.0
POLL_SECONDS = 0.01
# What undoes a start, and what records it and returns that.
Undo = Callable[[], None]


def create(prepared: Prepared, store: Store) -> str:
    """Make a container and start nothing; returns its id."""
    from sandbox.teardown import settle  # noqa: PLC0415

    _warn(prepared)
    launch.create(prepared, store)
    settle(store, prepared.document["Id"], "created")
    return str(prepared.document["Id"])


def run(prepared: Prepared, store: Store, how: Attaching | None = None) -> int:
    """Make a container and start its program; returns its exit code, or 0 at once with -d, whose id is printed.

    `how` is given where we are attached in another way than to all of it.
    """
    _warn(prepared)
    container = prepared.document["Id"]

    def establish() -> Undo:
        launch.create(prepared, store)
        return lambda: _quietly(lambda: _destroy(store, container))

    with blocked_signals():
        if how is None and _needs_no_monitor(prepared.spec):
            return _run_in_foreground(prepared, store, establish)
        from sandbox.attach import Attaching  # noqa: PLC0415  not where we are the monitor

        how = how or Attaching(stdin=prepared.spec.interactive)
        code = _start(prepared, store, establish, None if prepared.spec.detach else how)
        if prepared.spec.detach:
            sys.stdout.write(f"{container}\n")
            sys.stdout.flush()
    return code


def _needs_no_monitor(spec: Spec) -> bool:
    """Tell whether a container ends with its launcher and leaves nothing: then that is its monitor."""
    return spec.remove and not (spec.detach or spec.tty or spec.network.is_served or spec.lifecycle.needs_monitor)


def start(store: Store, name: str, how: Attaching | None = None) -> int:
    """Start a container that was created, or has ended; one that runs is left alone.

    In the background, or attached to it as `how` says; returns 0, or then its exit code.
    """
    text = store.find(name)
    if text["State"]["Status"] == "paused":
        raise SandboxError(f"cannot start a paused container, try unpause instead: {name}", 1)
    if text["State"]["Running"]:
        return 0
    try:
        return _start_again(store, name, text, how)
    except (SandboxError, OSError):
        if not os.path.isdir(store.directory(text["Id"])):  # removed meanwhile: nothing else it lacks is of interest
            raise NoSuchContainer(name) from None
        raise


def _start_again(store: Store, name: str, text: Document, how: Attaching | None) -> int:
    container = text["Id"]
    other = f"container {name} is being started by another command"
    prepared = prepare_again(text, store)
    _warn(prepared)

    def establish() -> Undo:
        with store.changing(container) as now:
            if has_monitor(now):
                raise SandboxError(other, 1)
            before = now["State"]["Status"]
            now["RestartCount"] = 0
            cgroups = prepared.document["Cgscope"]["Cgroups"]
            now["Cgscope"].update(launch.ourselves(), Stopped=False, Kept=False, Cgroups=cgroups)
        return lambda: _quietly(lambda: _give_up(store, prepared.document, before))

    with blocked_signals():
        try:
            return _start(prepared, store, establish, how)
        except SandboxError as error:
            if how is None and str(error) == other and _was_started(store, text):
                return 0
            _record_failure(store, text, error)
            raise


def _was_started(store: Store, before: Document) -> bool:
    """Wait while another command starts a container, and tell whether that went well: then ours is done too."""
    import time  # noqa: PLC0415  rare

    deadline = time.monotonic() + PATIENCE_SECONDS
    with suppress(SandboxError):
        while has_monitor(text := store.load(before["Id"])) and not text["State"]["Running"]:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        return bool(text["State"]["StartedAt"] != before["State"]["StartedAt"])
    return False


def _record_failure(store: Store, before: Document, error: SandboxError) -> None:
    """Keep for `inspect` why a container did not start, as Docker does; not why one that has started was left."""
    with suppress(SandboxError, OSError), store.changing(before["Id"]) as text:
        state = text["State"]
        is_ours = not (state["Running"] or has_monitor(text))  # not being started by another command
        if is_ours and state["StartedAt"] == before["State"]["StartedAt"]:
            state["Error"] = str(error)
            state["ExitCode"] = error.exit_code if error.exit_code in (126, 127) else 128


def comes_back(text: Document) -> bool:
    """Tell whether a container is started with the machine: as nobody's daemon does it here, by `start --all`."""
    policy = text["HostConfig"]["RestartPolicy"]["Name"]
    if text["State"]["Status"] == "created" or text["State"]["Running"]:
        return False
    return policy == "always" or (policy == "unless-stopped" and not text["Cgscope"].get("Stopped"))


def _destroy(store: Store, container: str) -> None:
    from sandbox.teardown import destroy  # noqa: PLC0415

    destroy(store, store.load(container))


def _give_up(store: Store, document: Document, before: str) -> None:
    from sandbox.teardown import settle, take_down  # noqa: PLC0415

    container = document["Id"]
    with suppress(NoSuchContainer):  # removed meanwhile: what was made for this start is nobody's but ours
        document = store.load(container)
    take_down(store, document)
    settle(store, container, before)


def _quietly(action: Undo) -> None:
    """Undo as much as can be: the error that led to it is what the user shall read."""
    with suppress(SandboxError, OSError):
        action()


def _warn(prepared: Prepared) -> None:
    if prepared.warnings:
        from sandbox.commands.output import warn  # noqa: PLC0415  most starts have none

        for warning in prepared.warnings:
            warn(warning)


def _run_in_foreground(prepared: Prepared, store: Store, establish: Callable[[], Undo]) -> int:
    """Be the monitor ourselves: the program has our own streams, and dies with us."""
    undo = establish()
    streams = Streams(stdin=0 if prepared.spec.interactive else NULL)
    try:
        running = launch.start(prepared, store, streams, lambda: None, _load_the_rest, once=True)
    except BaseException:
        undo()
        raise
    from sandbox.foreground import attend  # noqa: PLC0415
    from sandbox.teardown import finish  # noqa: PLC0415

    events.of_container(store.root, prepared.document, "start")
    container = prepared.document["Id"]
    code = attend(
        running.pid,
        running.pidfd,
        running.console,
        interactive=prepared.spec.interactive,
        services=lambda loop: loop.after(KEEP_SECONDS, lambda: keep(store, container)),
    )
    finish(store, container, code)
    return code


def _load_the_rest() -> None:
    """Import what comes after a start, while the child works and we would only wait for it."""
    import sandbox.foreground  # noqa: PLC0415
    import sandbox.removal  # noqa: PLC0415
    import sandbox.teardown  # noqa: F401, PLC0415


def _start(prepared: Prepared, store: Store, establish: Callable[[], Undo], how: Attaching | None) -> int:
    """Fork the monitor; it starts the program only while we are there to say so, and we stay attached or leave."""
    from sandbox.attach import attach, program_of  # noqa: PLC0415
    from sandbox.monitor import be_monitor  # noqa: PLC0415

    ours, theirs = channel.pair()
    end, their_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) if how else (None, None)
    sys.stdout.flush()
    if os.fork() == 0:
        ours.close()
        if end is not None:
            end.close()
        be_monitor(prepared, store, theirs, establish, their_end)
    theirs.close()
    if their_end is not None:
        their_end.close()
    try:
        ours.expect(channel.Ready)
        ours.send(channel.Go())
        ours.expect_end()
    except channel.Closed:
        raise SandboxError("the container's monitor was killed") from None
    finally:
        ours.close()
    if how is None or end is None:
        return 0
    code = attach(end, how, program_of(store, prepared.document["Id"]))
    return 0 if code is None else code
