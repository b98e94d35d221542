"""Computes a container from its spec and this machine; nothing is changed yet."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

from inspector.kernel.cgroups import read_cgroup, read_hierarchies
from inspector.kernel.files import Files
from inspector.kernel.mounts import read_mountinfo
from sandbox import (
    attributes,
    capabilities,
    cgroup,
    control,
    document,
    init,
    limit_files,
    namespaces,
    new_document,
    planning,
    rootfs,
    security,
    syscalls,
)
from sandbox.codec import decode
from sandbox.devices import Rule
from sandbox.environment import environment
from sandbox.errors import SandboxError
from sandbox.limits import DEFAULT_PIDS, Limits
from sandbox.network import preparing
from sandbox.overlays import Layer, Root, overlay, skeleton
from sandbox.program import Program, Streams
from sandbox.sharing import AUTO, joined
from sandbox.spec import Spec
from sandbox.state import SHORT_ID, Document, Store
from sandbox.value import Value, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.privileges import Rights
    from sandbox.userns import Users

__all__ = ["Prepared", "prepare", "prepare_again", "root_of"]


class Prepared(Value):
    """A container that could be made: all its data, and nothing done yet."""

    spec: Spec
    document: Document
    layout: rootfs.Layout
    places: tuple[cgroup.Place, ...]
    launch: init.Launch
    layers: tuple[Layer, ...]
    warnings: tuple[str, ...] = ()

    def describe(self, store: Store) -> str:
        """Return the plan as text, a step a line (`--dry-run`)."""
        own_users = self.launch.user_namespace or self.spec.sharing.user == AUTO
        flags = self.launch.new_namespaces | (syscalls.CLONE_NEWUSER if own_users else 0)
        kinds = {name[9:].lower(): flag for name, flag in vars(syscalls).items() if name.startswith("CLONE_NEW")}
        chosen = [name for name, flag in kinds.items() if flags & flag]
        steps = self.launch.cgroup_steps
        lines = [str(step) for step in steps if step.phase != control.LIMIT]
        lines += [f"unshare {' '.join(chosen)}"]
        lines += preparing.plan(self.spec.network, store, self.document["Id"])
        lines += [str(self.launch.root), *map(str, self.launch.mounts), "pivot_root"]
        granted = sorted(name for name in self.spec.capabilities)
        lines += [f"caps   {' '.join(granted) or 'none'}", f"user   {self.spec.user or 'root'}"]
        lines += self.launch.program.rights.describe()
        lines += [str(step) for step in steps if step.phase == control.LIMIT]
        return "\n".join([*lines, f"exec   {' '.join(map(repr, self.spec.argv))}"])


def prepare(spec: Spec, store: Store, host_environment: Mapping[str, str]) -> Prepared:
    """Compute a new container from its spec and this machine; raises SandboxError for what cannot work here."""
    container = os.urandom(32).hex()
    network, hostname = preparing.resolve(spec.network, spec.hostname, store)
    is_ours = spec.host_network or spec.sharing.uts == "host"
    hostname = hostname or (os.uname().nodename if is_ours else container[:SHORT_ID])
    env = environment(spec.env, host_environment, hostname=hostname, tty=spec.tty)
    return _compute(replace(spec, hostname=hostname, env=env, network=network), store, container, None)


def prepare_again(text: Document, store: Store) -> Prepared:
    """Compute a container that exists from its document and this machine as it is now: to start it (again)."""
    return _compute(decode(Spec, text["Cgscope"]["Spec"]), store, text["Id"], text)


def _compute(spec: Spec, store: Store, container: str, known: Document | None) -> Prepared:
    rootless, mapped = os.geteuid() != 0, spec.sharing.has_users
    users, host = _users(spec, store, container), Files()
    _check(spec)
    once = spec.remove and known is None  # with --rm it is gone after its first run, and all that was written with it
    layout, root, layers, pieces = root_of(spec, store, container, host, rootless=rootless, mapped=mapped, once=once)
    places = _places(spec, container, host, rootless=rootless)
    limits, lost = _limits(spec, places, rootless=rootless)
    rights = security.rights(spec.security, spec.capabilities, store.root)
    nodes, rules = _devices(spec, bound=rootless or mapped)
    shared = tuple(joined(spec.sharing, store, container))
    mounts = planning.plan(
        spec,
        layout,
        places,
        rootless=rootless,
        host_devices=nodes,
        pieces=pieces,
        over=_over(spec, store, host, layout.lowers[0]),
        shared_ipc=next((one.pidfd for one in shared if one.flag == syscalls.CLONE_NEWIPC), None),
    )
    launch = init.Launch(
        program=_program(spec, rights),
        users=users,
        cgroup_steps=cgroup.plan(limits, places, all_devices=spec.privileged or rootless, devices=rules),
        new_namespaces=namespaces.own(spec),
        shared=shared,
        sharing=spec.sharing,
        user_namespace=rootless,
        root=root,
        mounts=mounts,
        hostname=spec.hostname,
        read_only=spec.read_only,
    )
    text = known or new_document.new(replace(spec, limits=limits), container, layout, store.directory(container))
    if users is not None:
        text["HostConfig"]["IDMappings"] = users.ids.document()
    text["Cgscope"].update(document.private(places, rights.capabilities, rootless=rootless))
    warnings = _warnings(spec, store, limits, lost, places)
    return Prepared(spec, text, layout, places, launch, tuple(layers), tuple(warnings))


def _places(spec: Spec, container: str, host: Files, *, rootless: bool) -> tuple[cgroup.Place, ...]:
    """Return where its cgroups are, in every hierarchy; without root below our own."""
    own = read_cgroup(host, "self") if rootless else None
    return cgroup.place(read_hierarchies(host), spec.cgroup_parent, container, own)


def _program(spec: Spec, rights: Rights) -> Program:
    streams = Streams()
    argv, env, where, user = spec.argv, spec.env, spec.workdir, spec.user
    return Program(argv, env, where, user, rights, spec.tty, streams, spec.init, attributes=spec.attributes)


def _check(spec: Spec) -> None:
    """Refuse attributes of namespaces that are not its own, and volumes of what is not there."""
    own_ipc = bool(spec.sharing.own & syscalls.CLONE_NEWIPC)
    own_network = not (spec.host_network or spec.network.container)
    attributes.check_namespaces(spec.attributes, own_network=own_network, own_ipc=own_ipc)
    for volume in spec.volumes:
        if not volume.name and not os.path.lexists(volume.source):
            raise SandboxError(f"invalid volume: {volume.source}: no such file or directory")
        if volume.name and volume.copy:
            import sandbox.filling  # noqa: F401, PLC0415  after the fork nothing is imported in the child


def _users(spec: Spec, store: Store, container: str) -> Users | None:
    """Check what a container with users of its own cannot have, and return another's, when it shares those."""
    if not (spec.sharing.has_users or any(volume.idmap for volume in spec.volumes)):
        return None
    from sandbox import userns  # noqa: PLC0415  rare

    userns.check(spec)
    return userns.joined(spec, store, container)


def _over(spec: Spec, store: Store, host: Files, lower: str) -> Iterator[rootfs.Step]:
    """Yield what is mounted over the root's own files: over our state directory, and what --lxcfs asks for."""
    if not spec.image.id:
        yield from planning.hide(store.root, lower)
    if spec.lxcfs:
        from sandbox import lxcfs  # noqa: PLC0415  rare

        yield from lxcfs.steps(read_mountinfo(host, "self"))


def _limits(spec: Spec, places: Sequence[cgroup.Place], *, rootless: bool) -> tuple[Limits, list[str]]:
    """Return the limits that are kept, with the default number of processes, and what cannot be limited here."""
    limits, lost = cgroup.without_unreachable(spec.limits, places)
    if lost and not spec.best_effort_limits:
        why = "without root only a delegated cgroup can be" if rootless else "the controller cannot be used here"
        raise SandboxError(f"cannot limit {', '.join(lost)}: {why} (--limits-best-effort goes on without)")
    if limits.cpuset_cpus or limits.cpuset_mems:
        from sandbox import cpusets  # noqa: PLC0415  rare

        cpusets.check(limits, places)
    if limits.pids is None and "pids" not in lost and cgroup.located("pids", places):
        limits = replace(limits, pids=DEFAULT_PIDS)
    return limits, lost


def _warnings(
    spec: Spec, store: Store, limits: Limits, lost: list[str], places: Sequence[cgroup.Place]
) -> Iterator[str]:
    """Yield a warning for each thing that is asked for and that the container does not get."""
    yield from _not_limited(limits, lost, places)
    yield from preparing.warnings(spec.network, store)
    own_users = os.geteuid() != 0 or spec.sharing.has_users  # in a user namespace of its own it has all
    if spec.cap_add and not (own_users or spec.privileged):
        yield from _not_given(spec.cap_add)


def _not_limited(limits: Limits, lost: list[str], places: Sequence[cgroup.Place]) -> Iterator[str]:
    """Yield a warning for each limit that is asked for and does not hold here."""
    yield from (f"cannot limit {name} here: the container runs without that limit" for name in lost)
    if memory := cgroup.located("memory", places):
        ignored = limit_files.ignored(memory.hierarchy.version, limits)
        yield from (f"{option} is discarded: cgroup v2 has nothing of the kind" for option in ignored)


def _not_given(wanted: Sequence[str]) -> Iterator[str]:
    """Yield a warning for each capability that is asked for by name, and that we may not hand on ourselves."""
    by_name = [each for each in wanted if each.upper() not in ("ALL", "CAP_ALL")]
    for name in sorted(capabilities.named(by_name) - capabilities.names(capabilities.bounding_set())):
        yield f"--cap-add {name}: not in the bounding set of this process, so the container does not get it"


def root_of(
    spec: Spec, store: Store, container: str, host: Files, *, rootless: bool, mapped: bool = False, once: bool = False
) -> tuple[rootfs.Layout, Root, list[Layer], list[rootfs.Step]]:
    """Return where a container's files are, the mount that is its root, and what that consists of.

    `mapped`: for its own users, where it has any; otherwise as it is stored. `once`: it is never mounted again.
    """
    lowers, like = _made_of(spec, store)
    directory = store.directory(container)
    files = preparing.own_files(spec.network, store, container)
    layout = rootfs.Layout(lowers, f"{directory}/upper", f"{directory}/work", f"{directory}/merged", *files)
    return (layout, *_root(host, layout, directory, like, rootless=rootless, mapped=mapped, once=once))


def _made_of(spec: Spec, store: Store) -> tuple[tuple[str, ...], str]:
    """Return the directories that a container is made of, the highest first, and the one its root looks like."""
    if spec.image.id:
        from sandbox.images.store import Images  # noqa: PLC0415

        return Images(store.root).directories(spec.image.layers)
    lower = os.path.realpath(spec.rootfs)
    if not os.path.isdir(lower):
        reason = "not a directory" if os.path.lexists(lower) else "no such directory"
        raise SandboxError(f"rootfs {spec.rootfs}: {reason}")
    return (lower,), lower


def _root(
    host: Files, layout: rootfs.Layout, directory: str, like: str, *, rootless: bool, mapped: bool, once: bool
) -> tuple[Root, list[Layer], list[rootfs.Step]]:
    """Return the mount that is the root, its layers, and the pieces it is put together from when it is no overlay."""
    if rootless:
        lower = layout.lowers[0]
        mountpoints = {mount.mountpoint for mount in read_mountinfo(host, "self")}
        if any(mountpoint.startswith(f"{lower.rstrip('/')}/") for mountpoint in mountpoints - {lower}):
            from sandbox import pieces  # noqa: PLC0415

            layers, steps = pieces.split(layout, mountpoints)
            return Root(rootfs.Mount("tmpfs", layout.merged, 0, "mode=755", "tmpfs")), layers, steps
    missing = skeleton(layout.merged, layout.lowers)  # below the whole: one directory less to make and to remove
    # What is mounted on "/" is not found by that name, but as what is above it.
    below = tuple("/.." if mapped and path == "/" else path for path in layout.lowers)
    lowers = (missing.path, *below) if missing else below
    whole = Layer(lowers, layout.upper, layout.work, like)
    root = overlay(whole, layout.merged, rootless=rootless, short_names=f"{directory}/lowers", once=once)
    return replace(root, skeleton=missing, mapped=(*below, directory) if mapped else ()), [whole], []


def _devices(spec: Spec, *, bound: bool) -> tuple[list[rootfs.Node], list[Rule]]:
    """Return the devices that a container gets besides the usual ones, and the rules that let it use them.

    `bound`: its root can make none.
    """
    if not (spec.devices or spec.privileged or spec.device_rules):
        return [], []
    from sandbox import host_devices  # noqa: PLC0415  rare
    from sandbox.device_options import parse_device  # noqa: PLC0415

    given = host_devices.chosen(map(parse_device, spec.devices), bound=bound)
    nodes = {each.node.path: each.node for each in given}
    if spec.privileged and not bound:
        nodes = {node.path: node for node in host_devices.everything()} | nodes
    return list(nodes.values()), [*(each.rule for each in given), *host_devices.rules(spec.device_rules)]
