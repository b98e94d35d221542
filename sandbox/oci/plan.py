"""From a bundle to what the engine carries out: init.Launch, with the mounts in the bundle's own order."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
from collections.abc import Callable, Iterator, Sequence

from sandbox import capabilities, cgroup, init, lxcfs, rootfs, syscalls
from sandbox.attributes import IPC_SYSCTLS, RESOURCES, Attributes, Ulimit, load
from sandbox.devices import NODES
from sandbox.errors import SandboxError
from sandbox.idmap import of_process
from sandbox.oci import resources, scheduling
from sandbox.oci.bundle import Bundle, Mount, Namespace
from sandbox.oci.options import Options, parse_options
from sandbox.oci.process import Process
from sandbox.overlays import Root
from sandbox.privileges import Rights
from sandbox.seccomp.filters import filter_of
from sandbox.sharing import Joined, Sharing
from sandbox.syscalls import MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY, MS_REC
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
KERNELS_OWN = ("/proc", "/sys", "/dev")
# What may be bound over the kernel's own files, as in runc (rootfs_linux.go): /proc itself, and what lxcfs tells.
OVER_PROC = ("/proc", *(f"/{path}" for path in lxcfs.FILES), "/proc/net/dev")
# What a bind mount can be told beside ro: MOUNT_ATTR_* of mount_setattr(2).
ATTRIBUTES = {MS_NOSUID: 2, MS_NODEV: 4, MS_NOEXEC: 8}
# What stands there in every container; a privileged one is given the machine's own.
PLACED = ("/dev/ptmx", "/dev/console")


def launch_of(
    bundle: Bundle, program: init.Program, places: Sequence[cgroup.Place], before_pivot: Callable[[], None]
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
        mounts=tuple(_steps(bundle, places)),
        shared=tuple(Joined(_open_namespace(one.path, one.kind), FLAGS[one.kind]) for one in joined),
        sharing=_clocks(bundle),
        hostname=bundle.hostname,
        read_only=bundle.read_only,
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
    at_start: Callable[[dict[str, str]], None] = init.nothing,
    handed: int = 0,
) -> init.Program:
    """Return what is executed, and as whom; also of `exec`, which shares the bundle's filter.

    `filters` is where filters are kept, `gate` the FIFO that `start` opens, none for `exec`.
    """
    chosen = filter_of(bundle.seccomp, process.bounding, filters()) if bundle.seccomp else None
    domain = (("kernel.domainname", bundle.domainname),) if bundle.domainname else ()
    attributes = Attributes(
        ulimits=tuple(_ulimit(*limit) for limit in process.rlimits),
        sysctls=(*bundle.sysctls, *domain),
        oom_score_adj=process.oom_score_adj,
    )
    load(attributes)
    wanted = scheduling.Scheduling(process.scheduler, process.io_priority, bundle.domain, bundle.memory)

    def settle() -> None:
        scheduling.put_on(process.affinity.final if gate < 0 else frozenset())
        scheduling.apply(wanted)

    return init.Program(
        argv=process.args,
        env=process.env,
        workdir=process.cwd,
        user=f"{process.uid}:{process.gid}",
        rights=Rights(capabilities.mask(process.bounding), process.no_new_privileges, chosen, process.sets),
        tty=process.terminal,
        streams=init.Streams(0, 1, 2, owned=True),
        groups=process.groups,
        umask=process.umask,
        die_with_parent=False,
        attributes=attributes,
        gate=gate,
        at_start=at_start,
        settle=settle,
        handed=handed,
    )


def _ulimit(name: str, soft: int, hard: int) -> Ulimit:
    plain = name.removeprefix("RLIMIT_").lower()
    if plain not in RESOURCES:
        raise SandboxError(f"config.json: process.rlimits: unknown {name}", 1)
    # The kernel's "none" is the largest unsigned number, here as in JSON.
    return Ulimit(plain, *(-1 if number >= 1 << 63 else number for number in (soft, hard)))


def _steps(bundle: Bundle, places: Sequence[cgroup.Place]) -> Iterator[rootfs.Step]:
    for mount in bundle.mounts:
        options = parse_options(mount.options, mount.destination)
        if mount.kind == "cgroup" or (mount.kind == "cgroup2" and not mount.source.startswith("/")):
            yield from _cgroups(mount.destination, options, places, own=bundle.has("cgroup"))
        elif options.flags & MS_BIND:
            yield _bind(bundle, mount, options)
        else:
            if _is_dev(mount):
                options = options._replace(flags=options.flags & ~MS_RDONLY)  # what is in it comes first
            plain = f"{mount.destination}/".startswith(tuple(f"{path}/" for path in KERNELS_OWN))
            if options.copy_up:
                if mount.kind != "tmpfs":
                    raise SandboxError(f"config.json: mount {mount.destination}: only a tmpfs copies up", 1)
                import sandbox.filling  # noqa: F401, PLC0415  from the fork on nothing is imported
            yield rootfs.Mount(mount.kind, mount.destination, options.flags, options.data, mount.source, plain,
                               options.copy_up)  # fmt: skip
    yield from _devices(bundle)
    if any(_is_dev(mount) and parse_options(mount.options, "").flags & MS_RDONLY for mount in bundle.mounts):
        yield rootfs.ReadOnly("/dev")
    yield from (rootfs.ReadOnly(path) for path in dict.fromkeys(bundle.readonly))
    yield from (rootfs.Mask(path) for path in dict.fromkeys(bundle.masked))


def _is_dev(mount: Mount) -> bool:
    return mount.destination == "/dev" and mount.kind == "tmpfs"


def _bind(bundle: Bundle, mount: Mount, options: Options) -> rootfs.Bind:
    source = os.path.join(bundle.directory, mount.source)
    # What an earlier mount brings into the root is not there yet.
    if not os.path.lexists(source) and not os.path.normpath(source).startswith(f"{bundle.root}/"):
        raise SandboxError(f"config.json: mount {mount.destination}: {source}: no such file or directory", 1)
    if mount.destination == "/proc" and not os.path.samefile(source, "/proc"):
        # What is written to /proc to give up rights would go into another's files (CVE-2019-19921).
        raise SandboxError(f"config.json: mount /proc: {source} is another directory: refused", 1)
    read_only, below = bool(options.flags & MS_RDONLY), bool(options.flags & MS_REC)
    return rootfs.Bind(
        source,
        mount.destination,
        read_only,
        own=mount.destination in OVER_PROC or f"{mount.destination}/".startswith("/sys/"),
        below=below,
        read_only_below=False,
        propagation=options.propagation,
        attributes=_attributes(options),
    )


def _attributes(options: Options) -> int:
    return sum(bit for flag, bit in ATTRIBUTES.items() if options.flags & flag)


def _cgroups(target: str, options: Options, places: Sequence[cgroup.Place], *, own: bool) -> Iterator[rootfs.Step]:
    """Yield the container's cgroups: a new mount shows them as "/" in a namespace of their own, a bind without one."""
    if len(places) == 1 and places[0].hierarchy.version != 1:
        yield _cgroup(places[0], target, options, own=own)
        return
    yield rootfs.Mount("tmpfs", target, options.flags & ~MS_RDONLY, "mode=755", "tmpfs")
    for where in places:
        names = os.path.basename(where.hierarchy.mountpoint)
        yield _cgroup(where, f"{target}/{names}", options, own=own)
        for alias in sorted(where.hierarchy.controllers - {names}) if "," in names else ():
            yield rootfs.Link(f"{target}/{alias}", names)
    if options.flags & MS_RDONLY:
        yield rootfs.ReadOnly(target)


def _cgroup(where: cgroup.Place, target: str, options: Options, *, own: bool) -> rootfs.Step:
    if not own:
        return rootfs.Bind(where.directory, target, bool(options.flags & MS_RDONLY), own=True,
                           attributes=_attributes(options))  # fmt: skip
    if where.hierarchy.version != 1:
        return rootfs.Mount("cgroup2", target, options.flags, "", "cgroup")
    names = sorted(where.hierarchy.controllers)
    data = ",".join(["none", *names] if names[0].startswith("name=") else names)
    return rootfs.Mount("cgroup", target, options.flags, data, "cgroup")


def _devices(bundle: Bundle) -> Iterator[rootfs.Step]:
    """Yield the nodes that every container has, those of the bundle, and the links beside them."""
    dev = [mount for mount in bundle.mounts if mount.destination == "/dev"]
    if dev and {"bind", "rbind"} & {dev[-1].kind, *dev[-1].options}:
        return  # the machine's own, which has them all
    if not dev and os.path.islink(f"{bundle.root}/dev"):
        raise SandboxError(f"{bundle.root}/dev is a symbolic link, and nothing is mounted over it: refused", 1)
    bound = bundle.has("user")
    given = {each.path for each in bundle.devices}
    for name, major, minor in NODES:
        if f"/dev/{name}" not in given:
            yield rootfs.Node(f"/dev/{name}", stat.S_IFCHR, major, minor, bind=bound)
    for each in bundle.devices:
        if each.path not in PLACED:
            yield rootfs.Node(each.path, each.kind, each.major, each.minor, each.mode, bind=bound, owner=each.owner)
    for path, text in rootfs.LINKS:
        yield rootfs.Link(path, text)
