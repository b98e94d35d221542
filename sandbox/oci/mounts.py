"""A bundle's mounts, devices and hidden paths, as the steps that rootfs.py has for them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence

from sandbox import cgroup, lxcfs, rare_syscalls, rootfs, syscalls
from sandbox.devices import NODES
from sandbox.errors import SandboxError, describe
from sandbox.namespaces import make_user_namespace
from sandbox.oci.bundle import Bundle, Mount
from sandbox.oci.options import Options, parse_options
from sandbox.syscalls import MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY, MS_REC

__all__ = ["steps_of"]

KERNELS_OWN = ("/proc", "/sys", "/dev")
# What may be bound over the kernel's own files, as in runc (rootfs_linux.go): /proc itself, and what lxcfs tells.
OVER_PROC = ("/proc", *(f"/{path}" for path in lxcfs.FILES), "/proc/net/dev")
# What a bind mount can be told beside ro, and what it can be told to lose: MOUNT_ATTR_* of mount_setattr(2).
ATTRIBUTES = {MS_NOSUID: 2, MS_NODEV: 4, MS_NOEXEC: 8}
CLEARED = {MS_RDONLY: 1, **ATTRIBUTES}
# What stands there in every container; a privileged one is given the machine's own.
PLACED = ("/dev/ptmx", "/dev/console")


def steps_of(bundle: Bundle, places: Sequence[cgroup.Place]) -> Iterator[rootfs.Step]:
    """Yield what is mounted on a bundle's root, made and hidden in it, in its order."""
    for mount in bundle.mounts:
        options = _options(mount)
        if mount.kind == "cgroup" or (mount.kind == "cgroup2" and not mount.source.startswith("/")):
            yield from _cgroups(mount.destination, options, places, own=bundle.has("cgroup"))
        elif options.flags & MS_BIND:
            yield _bind(bundle, mount, options)
        else:
            if mount.ids or options.idmap:
                raise SandboxError(f"config.json: mount {mount.destination}: idmap is for bind mounts", 1)
            if _is_dev(mount):
                options = options._replace(flags=options.flags & ~MS_RDONLY)  # what is in it comes first
            plain = f"{mount.destination}/".startswith(tuple(f"{path}/" for path in KERNELS_OWN))
            if options.copy_up:
                if mount.kind != "tmpfs":
                    raise SandboxError(f"config.json: mount {mount.destination}: only a tmpfs copies up", 1)
                import sandbox.filling  # noqa: F401, PLC0415  from the fork on nothing is imported
            yield rootfs.Mount(mount.kind, mount.destination, options.flags, options.data, mount.source, plain,
                               options.copy_up, options.propagation)  # fmt: skip
    yield from _devices(bundle)
    if any(_is_dev(mount) and _options(mount).flags & MS_RDONLY for mount in bundle.mounts):
        yield rootfs.Node("/dev/console", stat.S_IFREG, 0, 0, 0o600)  # what a terminal is bound to
        yield rootfs.ReadOnly("/dev")
    yield from (rootfs.ReadOnly(path) for path in dict.fromkeys(bundle.readonly))
    yield from (rootfs.Mask(path) for path in dict.fromkeys(bundle.masked))


def _options(mount: Mount) -> Options:
    """Return what a mount's options mean; of a new filesystem, below which nothing is, the recursive ones are plain."""
    options = parse_options(mount.options, mount.destination)
    if options.flags & MS_BIND:
        return options
    return options._replace(flags=options.flags | options.recursive, recursive=0)


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
    read_only, below = bool((options.flags | options.recursive) & MS_RDONLY), bool(options.flags & MS_REC)
    return rootfs.Bind(
        source,
        mount.destination,
        read_only,
        own=mount.destination in OVER_PROC or f"{mount.destination}/".startswith("/sys/"),
        below=below,
        read_only_below=bool(options.recursive & MS_RDONLY),
        propagation=options.propagation,
        attributes=_attributes(options),
        cleared=sum(bit for flag, bit in CLEARED.items() if options.cleared & ~options.recursive & flag),
        tree=_tree(bundle, mount, options, source),
    )


def _tree(bundle: Bundle, mount: Mount, options: Options, source: str) -> int:
    """Return what is mounted in place of the source itself, opened, or -1 where it is that."""
    if "shared" not in options.propagation or mount.ids or options.idmap:
        return _idmapped(bundle, mount, options, source)
    # Copied before this machine's mounts are the container's own: it stays one of those that hear of each other.
    try:
        return syscalls.clone_mount(source, recursive=bool(options.flags & MS_REC))
    except OSError as error:
        where = f"config.json: mount {mount.destination}: {options.propagation}"
        raise SandboxError(f"{where}: {source}: {describe(error)}", 1) from None


def _idmapped(bundle: Bundle, mount: Mount, options: Options, source: str) -> int:
    """Return a copy of a mount whose files belong to others (mount_setattr(2)), or -1 where that is not asked for."""
    if not (mount.ids or options.idmap):
        return -1
    where = f"config.json: mount {mount.destination}: idmap"
    try:
        users = _users(bundle, mount)
        tree = syscalls.clone_mount(source, recursive=bool(options.flags & MS_REC))
        if "shared" not in options.propagation:  # a copy is shared where its source is: mounts in it would be here too
            kind = syscalls.MS_SLAVE if "slave" in options.propagation else syscalls.MS_PRIVATE
            syscalls.set_mount_attributes(tree, 0, recursive=True, propagation=kind)
        try:
            rare_syscalls.idmap_mount(tree, users, recursive=options.idmap == "ridmap")
        finally:
            os.close(users)
    except (OSError, SandboxError) as error:
        raise SandboxError(f"{where}: {source}: {describe(error)}", 1) from None
    return tree


def _users(bundle: Bundle, mount: Mount) -> int:
    """Return a user namespace with the ids of a mount, or else the container's own, new or joined."""
    if ids := mount.ids or bundle.ids:
        return make_user_namespace(ids)
    for one in bundle.namespaces:
        if one.kind == "user" and one.path:
            return os.open(one.path, os.O_RDONLY | os.O_CLOEXEC)
    raise SandboxError("which ids, neither the mount nor a user namespace says")


def _attributes(options: Options) -> int:
    return sum(bit for flag, bit in ATTRIBUTES.items() if (options.flags | options.recursive) & flag)


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
