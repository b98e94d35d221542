"""Makes a container and starts its program; what was made is undone on an error."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from sandbox import control, document, events, init, names
from sandbox.channel import Closed
from sandbox.contexts import suppress
from sandbox.conversation import Outside, Running, launch
from sandbox.drafting import Draft
from sandbox.errors import SandboxError
from sandbox.liveness import boot_id, start_time
from sandbox.network.connection import Connection, begin
from sandbox.overlays import DIRTY, MARK, Layer
from sandbox.prepare import Prepared
from sandbox.program import Streams, nothing
from sandbox.sharing import AUTO
from sandbox.state import Document, Store
from sandbox.times import timestamp
from sandbox.value import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sandbox.userns import Users

__all__ = ["create", "ourselves", "start"]


def create(prepared: Prepared, store: Store) -> None:
    """Record a new container and make its files; nothing is mounted, no process, no cgroup made. On an error: nothing.

    The caller is its maker, and stays recorded as what looks after it: it goes on to start(), or to settle().
    """
    text = prepared.document
    text["Cgscope"].update(ourselves())
    store.add(text, names.invent)
    events.of_container(store.root, text, "create")
    try:
        _check_layers(prepared, store)
        _make_files(prepared)
        _make_volumes(prepared, store)
        if prepared.spec.sharing.user == AUTO:
            _claim_ids(text, store)
    except BaseException:
        from sandbox.teardown import destroy  # noqa: PLC0415

        with suppress(SandboxError, OSError):
            destroy(store, text, volumes=True)
        raise


def ourselves() -> Document:
    """Return the part of a document that names this process as what looks after the container."""
    return {"BootId": boot_id(), "Monitor": {"Pid": os.getpid(), "StartTime": start_time(os.getpid())}}


def start(
    prepared: Prepared,
    store: Store,
    streams: Streams,
    confirm: Callable[[], None],
    meanwhile: Callable[[], None] = nothing,
    *,
    once: bool = False,
) -> Running:
    """Start the program of a container that is recorded with us as its monitor; on an error no process is left.

    `confirm` is called when nothing but the program's start is left; it may raise. `meanwhile` is called while the
    child works. `once`: the container is removed as soon as the program ends.
    """
    network = begin(prepared.spec, prepared.document, store, prepared.layout)
    try:
        _make_pieces(prepared)
        program = replace(prepared.launch.program, streams=streams)
        shared = (*prepared.launch.shared, *network.shared)
        plan = replace(prepared.launch, program=program, shared=shared, users=_users(prepared))
        start = _Start(prepared, store, network, confirm, meanwhile, once=once)
        running = launch(
            lambda end, parent, left: init.joiner(replace(plan, cgroup_steps=left), end, parent),
            plan.cgroup_steps,
            Outside(start.prepare, start.born, start.meanwhile, start.ready, start.clear if once else nothing),
            tty=plan.program.tty,
            straight=init.straight(plan),
        )
    except BaseException as error:
        network.close()
        if isinstance(error, Closed):
            raise SandboxError("the container's first process was killed during its set-up") from None
        raise
    network.started()
    return replace(running, network=network)


class _Start:
    """What is done from outside while a container starts, in this order: conversation.py says when."""

    def __init__(
        self,
        prepared: Prepared,
        store: Store,
        network: Connection,
        confirm: Callable[[], None],
        meanwhile: Callable[[], None],
        *,
        once: bool,
    ) -> None:
        self._prepared, self._store, self._network = prepared, store, network
        self._confirm, self._meanwhile, self._once = confirm, meanwhile, once
        self._steps = prepared.launch.cgroup_steps
        self._rules: list[control.Step] = []  # about devices, and all other limits
        self._limits: list[control.Step] = []
        self._pid = 0
        self._draft: Draft | None = None
        of_v2 = tuple(f"{place.hierarchy.mountpoint}/" for place in prepared.places if place.hierarchy.version != 1)
        # The first process is born in the one of v2; what the others are joined by may be made meanwhile.
        self._later = [step for step in self._steps if not step.path.startswith(of_v2)]
        self._own = {place.directory for place in prepared.places}
        # The usual parent is found again by its name.
        self._foretold = {} if prepared.spec.cgroup_parent == document.CGROUP_PARENT else self._foretell()
        self._made = control.apply((step for step in self._steps if step.path.startswith(of_v2)), control.CREATE)

    def prepare(self) -> None:
        """Make the cgroups of v1 and the files of its network, while the first process mounts its root, or before."""
        self._made += control.apply(self._later, control.CREATE)
        self._network.write()

    def born(self, pid: int) -> None:
        """Make what the first process needs from outside, its network and the rules of its devices; it waits."""
        self._pid = pid
        spec = self._prepared.spec
        # Each record takes the place of another, and such a file the kernel writes to the disk at once.
        if spec.network.has_link:
            self._record()
        # Those of v1 first forbid all: who makes its devices meanwhile would be refused.
        for step in self._steps:
            if step.phase == control.LIMIT:
                (self._rules if step.is_rule else self._limits).append(step)
        control.apply((step for step in self._rules if step.action == "write"), control.LIMIT)
        self._network.join(pid)

    def meanwhile(self, _: int) -> None:
        """Load, while it mounts, the program of v2 for its devices; and what else the caller does then.

        Of one that is removed at its end, the record that it runs is written already: a failure takes that with it.
        """
        control.apply((step for step in self._rules if step.action != "write"), control.LIMIT)
        self._meanwhile()
        if self._once:
            running = document.running(time.time())
            with suppress(OSError, SandboxError):  # ready() says what is wrong
                self._draft = Draft(self._store, self._prepared.document["Id"], lambda text: self._set(text, running))

    def ready(self) -> None:
        """Write the limits, and then that the container runs: before it does, so that nothing runs unknown."""
        control.apply(self._limits, control.LIMIT)
        self._confirm()
        if self._draft is None or not self._draft.save():
            self._record(**document.running(time.time()))

    def clear(self) -> None:
        """Remove, while the program starts, the directories that nobody needs once a root is mounted for good.

        Where freed blocks are discarded at once each costs the end a wait for the disk.
        """
        layout = self._prepared.layout
        mark = f"{layout.work}/{MARK}"
        with suppress(OSError):  # an older kernel, or no right to: they go with the rest
            os.rmdir(layout.merged)
            os.unlink(f"{mark}/{DIRTY}")
            os.rmdir(mark)
            os.rmdir(os.path.dirname(mark))

    def _foretell(self) -> dict[str, str]:
        """Record, before any is made, which cgroups above the container's go with the last one in them."""
        from sandbox import above  # noqa: PLC0415  rare

        foretold = above.foretell(
            self._steps, self._own, lambda: (text for text in self._store.all() if text["Cgscope"]["Monitor"])
        )
        if foretold:
            with self._store.changing(self._prepared.document["Id"]) as text:
                text["Cgscope"]["MadeCgroups"] = foretold
        return foretold

    def _record(self, **state: Any) -> None:  # noqa: ANN401  what a document holds
        with self._store.changing(self._prepared.document["Id"]) as text:
            self._set(text, state)

    def _set(self, text: Document, state: Document) -> None:
        own = self._prepared.document
        text["State"].update(state, Pid=self._pid)
        if state and "Healthcheck" in text["Config"]:
            from sandbox import health  # noqa: PLC0415  rare

            # With the rest, as who started it may ask at once, and its monitor has modules to load first.
            if health.enabled(text["Config"]["Healthcheck"]):
                text["State"]["Health"] = health.unchecked()
        text["Cgscope"].update(StartTime=start_time(self._pid), Cgroups=own["Cgscope"]["Cgroups"])
        if self._foretold:
            from sandbox import above  # noqa: PLC0415  rare

            text["Cgscope"]["MadeCgroups"] = above.identified({*self._foretold, *self._made} - self._own)
        text["HostConfig"]["IDMappings"] = own["HostConfig"].get("IDMappings")
        text["NetworkSettings"] = self._network.settings(self._pid)


def _check_layers(prepared: Prepared, store: Store) -> None:
    """Make sure that the image was not removed while its container was being recorded: from now on it cannot be."""
    if prepared.spec.image.id:
        from sandbox.images.store import Images  # noqa: PLC0415

        images = Images(store.root)
        with images.lock(shared=True):
            images.directories(prepared.spec.image.layers)


def _claim_ids(text: Document, store: Store) -> None:
    """Take a range of ids for the container's users, and record it."""
    from sandbox import idmap  # noqa: PLC0415  rare

    ids = idmap.claim(store, text["Id"])
    text["HostConfig"]["IDMappings"] = ids.document()
    with store.changing(text["Id"]) as now:
        now["HostConfig"]["IDMappings"] = ids.document()


def _users(prepared: Prepared) -> Users | None:
    """Return the users of a container whose root is nobody outside."""
    if not prepared.spec.sharing.has_users:
        return None
    from sandbox import userns  # noqa: PLC0415  rare

    return prepared.launch.users or userns.recorded(prepared.document)


def _make_volumes(prepared: Prepared, store: Store) -> None:
    """Make the volumes that are not there yet."""
    wanted = [volume for volume in prepared.spec.volumes if volume.name]
    if wanted:
        from sandbox.volumes.store import Volumes  # noqa: PLC0415

        for volume in wanted:
            labels = dict(volume.labels)
            Volumes(store.root).create(volume.name, timestamp(time.time()), labels, anonymous=volume.anonymous)


def _make_files(prepared: Prepared) -> None:
    """Make the container's own directories and files."""
    layout = prepared.layout
    for path in (layout.upper, layout.work, layout.merged):
        os.mkdir(path, 0o700)
    for layer in prepared.layers:
        if layer.upper == layout.upper:
            is_directory = layer.like == layout.lowers[-1] and not prepared.spec.image.id
            _dress(layer, rootless=prepared.launch.user_namespace, open_to_all=is_directory)
    _make_pieces(prepared)
    root = prepared.launch.root
    if root is not None and root.directory:
        os.mkdir(root.directory, 0o700)
        for number, path in enumerate(prepared.layers[0].lowers):
            os.symlink(path, f"{root.directory}/{number}")
    if not prepared.spec.network.container:
        with open(layout.hostname_file, "w", encoding="utf-8") as file:
            file.write(f"{prepared.launch.hostname}\n")
        os.chmod(layout.hostname_file, 0o644)


def _make_pieces(prepared: Prepared) -> None:
    """Make the layers of a root in pieces (pieces.py) that are not there yet: some may be new since the last start."""
    for layer in prepared.layers:
        if layer.upper != prepared.layout.upper and not os.path.isdir(layer.work):
            os.makedirs(layer.upper, 0o700, exist_ok=True)
            with suppress(FileNotFoundError):  # gone again
                _dress(layer, rootless=prepared.launch.user_namespace, open_to_all=False)
            os.mkdir(layer.work, 0o700)


def _dress(layer: Layer, *, rootless: bool, open_to_all: bool) -> None:
    """Make an upper layer look like the root it covers.

    A rootfs made with mktemp -d is closed to all but its owner; a container's "/" is open to its users.
    """
    if not layer.like:
        os.chmod(layer.upper, 0o755)  # noqa: S103  what images' roots have that say nothing
        return
    found = os.stat(layer.like)
    if not rootless:
        os.chown(layer.upper, found.st_uid, found.st_gid)
    os.chmod(layer.upper, found.st_mode & 0o7777 | (0o555 if open_to_all else 0))
