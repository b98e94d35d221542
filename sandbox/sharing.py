"""Whose namespaces a container lives in: --pid, --ipc, --uts, --cgroupns, --userns, and the offsets of --time-offset.

Words and messages are Docker's (moby api/types/container/hostconfig.go). Those
of another container are entered by a pidfd of its first process, before our
own are made (namespaces(7)).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from sandbox import syscalls
from sandbox.errors import BadValue, NoSuchContainer, SandboxError
from sandbox.liveness import open_running
from sandbox.quick import fullmatch
from sandbox.state import Store
from sandbox.value import Value, replace

__all__ = [
    "AUTO",
    "CONTAINER",
    "NOTHING_SHARED",
    "WITH_CONTAINERS",
    "Joined",
    "Sharing",
    "hold",
    "joined",
    "sharing",
    "write_time_offsets",
]

AUTO = "auto"
CONTAINER = "container:"
MODES = {"pid": ("", "host"), "ipc": ("", "private", "shareable", "none", "host"), "uts": ("", "host"),
         "cgroup": ("", "private", "host"), "user": ("", "host", AUTO)}  # fmt: skip
WITH_CONTAINERS = ("pid", "ipc")  # of which a pidfd is held; --userns goes its own way: userns.py
FLAGS = {
    "pid": syscalls.CLONE_NEWPID,
    "ipc": syscalls.CLONE_NEWIPC,
    "uts": syscalls.CLONE_NEWUTS,
    "cgroup": syscalls.CLONE_NEWCGROUP,
}
OFFSET = r"(monotonic|boottime)=(-?\d{1,10})"


class Sharing(Value):
    """One word a namespace: "" is its own, host is this machine's, container:ID another container's.

    Of users "" is this machine's too, as without root nothing but one of its own can be had; auto is its own.
    `time_offsets` are seconds that its clocks are ahead, `nanoseconds` what they are besides; with any it has a time
    namespace (time_namespaces(7)).
    """

    pid: str = ""
    ipc: str = ""
    uts: str = ""
    cgroup: str = ""
    user: str = ""
    time_offsets: tuple[tuple[str, int], ...] = ()
    nanoseconds: tuple[tuple[str, int], ...] = ()

    @property
    def own(self) -> int:
        """The CLONE_NEW* flags of those that are made new."""
        flags = sum(flag for kind, flag in FLAGS.items() if getattr(self, kind) in ("", "private", "shareable", "none"))
        return flags | (syscalls.CLONE_NEWTIME if self.time_offsets else 0)

    @property
    def has_users(self) -> bool:
        """Tell whether its root is nobody outside, as was asked for."""
        return self.user not in ("", "host")

    def mode(self, kind: str) -> str:
        """Return Docker's word for one, for `inspect`."""
        return str(getattr(self, kind))


NOTHING_SHARED = Sharing()


def sharing(*, time_offsets: Iterable[str] = (), **modes: str) -> Sharing:
    """Check the options."""
    for kind, mode in modes.items():
        option = f"--{kind}ns" if kind in ("cgroup", "user") else f"--{kind}"
        if kind in (*WITH_CONTAINERS, "user") and mode.startswith(CONTAINER):
            if mode == CONTAINER:
                raise BadValue(f"{option}: invalid {kind.upper()} mode {mode!r}: the form is container:<name|id>")
        elif mode not in MODES[kind]:
            raise BadValue(f"{option}: invalid {kind.upper()} mode: {mode!r}")
    offsets = {}
    for text in time_offsets:
        match = fullmatch(OFFSET, text)
        if not match or not text.isascii():
            raise SandboxError(f"invalid time offset {text!r}: the form is monotonic=SECONDS or boottime=SECONDS")
        offsets[match[1]] = int(match[2])
    return replace(Sharing(time_offsets=tuple(offsets.items())), **modes)


class Joined(Value):
    """A process by its pidfd, and the CLONE_NEW* flag of the namespace that is shared with it."""

    pidfd: int
    flag: int


def hold(store: Store, name: str, own_id: str = "") -> int:
    """Return a pidfd of a running container's first process; SandboxError when there is none."""
    try:
        text = store.find(name)
    except NoSuchContainer as error:
        raise SandboxError(str(error)) from None
    if text["Id"] == own_id:
        raise SandboxError("a container cannot join its own namespaces")
    pidfd = open_running(text)
    if pidfd is None:
        raise SandboxError(f"cannot join the namespaces of container {name}: it is not running")
    return pidfd


def joined(given: Sharing, store: Store, own_id: str = "") -> Iterator[Joined]:
    """Yield what has to be entered before our own namespaces are made."""
    for kind in WITH_CONTAINERS:
        mode = given.mode(kind)
        if mode.startswith(CONTAINER):
            if os.geteuid() != 0:
                raise SandboxError(f"--{kind} {mode}: without root a container cannot enter another's namespaces")
            yield Joined(hold(store, mode[len(CONTAINER) :], own_id), FLAGS[kind])


def write_time_offsets(given: Sharing) -> None:
    """Set the clocks of the time namespace that our children will be in; before the first of them is born."""
    for clock, seconds in given.time_offsets:
        try:
            with open("/proc/self/timens_offsets", "wb") as file:
                file.write(f"{clock} {seconds} {dict(given.nanoseconds).get(clock, 0)}\n".encode())
        except OSError as error:
            raise SandboxError(f"time offset {clock}={seconds}: {error.strerror}") from None
