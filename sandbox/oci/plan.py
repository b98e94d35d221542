"""From a bundle to what the engine carries out: init.Launch, with the mounts in the bundle's own order."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Sequence

from sandbox import apparmor, capabilities, cgroup, init, rootfs, syscalls
from sandbox.attributes import IPC_SYSCTLS, RESOURCES, Attributes, Ulimit
from sandbox.errors import SandboxError
from sandbox.idmap import of_process
from sandbox.oci import resources, scheduling
from sandbox.oci.bundle import Bundle, Namespace
from sandbox.oci.mounts import steps_of
from sandbox.oci.process import Process
from sandbox.overlays import Root
from sandbox.privileges import Rights
from sandbox.program import Program, Streams, nothing
from sandbox.seccomp.filters import Filter, filter_of
from sandbox.sharing import Joined, Sharing
from sandbox.syscalls import MS_BIND, MS_REC
from sandbox.userns import Users

__all__ = ["launch_of", "program_of"]

FLAGS = {
    "pid": syscalls.CLONE_NEWPID,
    "network": syscalls.CLONE_NEWNET,
    "ipc": syscalls.CLONE_NEWIPC,
    "uts": syscalls.CLONE_NEWUTS,
    "cgroup": syscalls.CLONE_NEWCGROUP,
    "time": syscalls.CLONE_NEWTIME,
    "user": syscalls.CLONE_NEWUSER,
    "mount": syscalls.CLONE_NEWNS,
}
# Which settings each namespace has of its own: by name, and all in these folders.
SYSCTLS = {"ipc": IPC_SYSCTLS, "network": frozenset[str](), "uts": frozenset({"kernel.domainname"})}
FOLDERS = {"ipc": ("fs.mqueue.",), "network": ("net.",), "uts": ()}
NAMESPACE_FILES = {"ipc": "ipc", "network": "net", "uts": "uts"}


def launch_of(
    bundle: Bundle, program: Program, places: Sequence[cgroup.Place], before_pivot: Callable[[], None]
) -> init.Launch:
    """Return how a bundle's container is made."""
    _check_sysctls(bundle)
    joined = [one for one in bundle.namespaces if one.path and one.kind != "user"]
    steps = cgroup.plan(resources.limits_of(bundle.resources), places, all_devices=True)
    steps = (*steps, *resources.steps_of(bundle.resources, places))
    rules = resources.device_rules(bundle.resources)
    if rules is not None:
        steps = (*steps, *cgroup.device_steps(places, rules))
    return init.Launch(
        program=program,
        cgroup_steps=steps,
        new_namespaces=sum(FLAGS[one.kind] for one in bundle.namespaces if not one.path and one.kind != "user"),
        users=_users(bundle),
        root=Root(rootfs.Mount("", bundle.root, MS_BIND | MS_REC, "", bundle.root)),
        mounts=tuple(steps_of(bundle, places)),
        shared=tuple(Joined(_open_namespace(one.path, one.kind), FLAGS[one.kind]) for one in joined),
        sharing=_clocks(bundle),
        hostname=bundle.hostname,
        read_only=bundle.read_only,
        propagation=bundle.propagation,
        before_pivot=before_pivot,
    )


def _users(bundle: Bundle) -> Users | None:
    """Return the user namespace it is in: a new one, an existing one, or None for ours."""
    path = next((one.path for one in bundle.namespaces if one.kind == "user"), "")
    if not path:
        return Users(bundle.ids) if bundle.ids else None
    fd = _open_namespace(path, "user")
    if os.path.samestat(os.fstat(fd), os.stat("/proc/self/ns/user")):
        os.close(fd)
        return None
    member = os.fork()  # by whom the kernel tells which ids it has
    if member == 0:
        try:
            syscalls.setns(fd, syscalls.CLONE_NEWUSER)
            os.kill(os.getpid(), signal.SIGSTOP)
        finally:
            os._exit(1)
    try:
        if not os.WIFSTOPPED(os.waitpid(member, os.WUNTRACED)[1]):
            raise SandboxError(f"config.json: linux.namespaces: user: {path} cannot be entered", 1)
        return Users(of_process(member), fd)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(member, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(member, 0)


def _clocks(bundle: Bundle) -> Sharing:
    return Sharing(
        time_offsets=tuple((clock, seconds) for clock, seconds, _ in bundle.time_offsets),
        nanoseconds=tuple((clock, rest) for clock, _, rest in bundle.time_offsets),
    )


def _check_sysctls(bundle: Bundle) -> None:
    """Refuse kernel settings that are not those of a namespace of the container's: they would be this machine's."""
    for name, _ in bundle.sysctls:
        kind = next((kind for kind, ours in SYSCTLS.items() if name in ours or name.startswith(FOLDERS[kind])), "")
        if not any(one.kind == kind and not _is_ours(one) for one in bundle.namespaces):
            raise SandboxError(f"config.json: linux.sysctl {name} is not allowed: it would be this machine's", 1)


def _is_ours(joined: Namespace) -> bool:
    """Tell whether a namespace is the one that we are in."""
    return bool(joined.path) and os.path.samefile(joined.path, f"/proc/self/ns/{NAMESPACE_FILES[joined.kind]}")


def _open_namespace(path: str, kind: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise SandboxError(f"config.json: linux.namespaces: {kind}: {path}: {error.strerror}", 1) from None


def program_of(
    bundle: Bundle,
    process: Process,
    filters: Callable[[], str],
    gate: int = -1,
    at_start: Callable[[dict[str, str]], None] = nothing,
    handed: int = 0,
) -> Program:
    """Return what is executed, and as whom; also of `exec`, which shares the bundle's filter.

    `filters` is where filters are kept, `gate` the FIFO that `start` opens, none for `exec`.
    """
    chosen = _filter(bundle, process, filters()) if bundle.seccomp else None
    if process.apparmor:
        apparmor.require(process.apparmor, "config.json: process.apparmorProfile", 1)
    wanted = scheduling.Scheduling(process.scheduler, process.io_priority, bundle.domain, bundle.memory)

    def settle() -> None:
        scheduling.put_on(process.affinity.final if gate < 0 else frozenset())
        scheduling.apply(wanted)

    bounding = capabilities.mask(process.bounding)
    rights = Rights(bounding, process.no_new_privileges, chosen, process.sets, process.apparmor)
    return Program(
        argv=process.args,
        env=process.env,
        workdir=process.cwd,
        user=f"{process.uid}:{process.gid}",
        rights=rights,
        tty=process.terminal,
        streams=Streams(0, 1, 2, owned=True),
        groups=process.groups,
        umask=process.umask,
        die_with_parent=False,
        attributes=_attributes(bundle, process),
        gate=gate,
        at_start=at_start,
        settle=settle,
        handed=handed,
    )


def _attributes(bundle: Bundle, process: Process) -> Attributes:
    domain = (("kernel.domainname", bundle.domainname),) if bundle.domainname else ()
    return Attributes(
        ulimits=tuple(_ulimit(*limit) for limit in process.rlimits),
        sysctls=(*bundle.sysctls, *domain),
        oom_score_adj=process.oom_score_adj,
    )


def _filter(bundle: Bundle, process: Process, directory: str) -> Filter | None:
    return filter_of(bundle.seccomp, process.bounding, directory, supervised=bool(bundle.listener[0]))


def _ulimit(name: str, soft: int, hard: int) -> Ulimit:
    plain = name.removeprefix("RLIMIT_").lower()
    if plain not in RESOURCES:
        raise SandboxError(f"config.json: process.rlimits: unknown {name}", 1)
    # The kernel's "none" is the largest unsigned number, here as in JSON.
    return Ulimit(plain, *(-1 if number >= 1 << 63 else number for number in (soft, hard)))
