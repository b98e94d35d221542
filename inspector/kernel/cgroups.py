"""Which cgroup hierarchies are mounted, where, and which cgroup a process is in.

Sources: /proc/self/mountinfo and /proc/<pid>/cgroup (cgroups(7)), and the
v2 root's cgroup.controllers. There is no "cgroup mode" here: a host is a
tuple of hierarchies. cgroup v1 is many, v2 is one, a hybrid host has both.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping

from inspector.errors import ParseError
from inspector.kernel.files import Files
from inspector.kernel.mounts import Mount, parse_mountinfo
from inspector.kernel.named import NamedTuple
from inspector.kernel.remembered import remembered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from inspector.kernel.host import Host

__all__ = [
    "Hierarchy",
    "Membership",
    "ancestors",
    "directory_of",
    "hierarchies_in",
    "locate",
    "members_of",
    "parse_cgroup",
    "parse_controllers",
    "parse_pids",
    "path_in",
    "read_cgroup",
    "read_hierarchies",
]

# Files of the core that every v2 cgroup has, whatever its controllers (Documentation/admin-guide/cgroup-v2.rst).
V2_CORE = frozenset({"cpuacct", "pressure", "freezer"})
V1_CONTROLLERS = frozenset(
    {
        "cpu",
        "cpuacct",
        "cpuset",
        "memory",
        "devices",
        "freezer",
        "net_cls",
        "net_prio",
        "blkio",
        "perf_event",
        "hugetlb",
        "pids",
        "rdma",
        "misc",
        "debug",
    }
)


class Hierarchy(NamedTuple):
    """One mounted cgroup tree: version 1 or 2, the controllers it carries, where it is mounted.

    `root` is the cgroup that the mount shows at its mountpoint, as mountinfo
    tells it, relative to the reader's cgroup namespace. A named v1 hierarchy
    without controllers has its name ("name=systemd") as its only controller.
    """

    version: int
    controllers: frozenset[str]
    mountpoint: str
    root: str = "/"

    def directory(self, path: str) -> str | None:
        """Return the directory of the cgroup `path`, or None when it lies outside what is mounted."""
        if path == self.root:
            return self.mountpoint
        if self.root == "/" and path.startswith("/") and not path.startswith("/.."):  # nearly every one
            return self.mountpoint + path
        root = self.root.rstrip("/")
        # "/../x" lies beside our cgroup namespace's root; "/..x" is a cgroup with a strange name.
        if not path.startswith(root + "/") or path[len(root) :].startswith("/../") or path == root + "/..":
            return None
        return self.mountpoint + path[len(root) :]


class Membership(NamedTuple):
    """The cgroup of a process in each hierarchy: {"memory": "/docker/ab", "name=systemd": "/", "": "/v2/path"}.

    The key "" is the v2 hierarchy, as /proc/<pid>/cgroup writes it.
    """

    paths: Mapping[str, str]


# 4:memory:/docker/0de9
# 1:name=systemd:/user.slice
# 0::/system.slice/docker-0de9.scope
def parse_cgroup(data: bytes) -> Membership:
    """Parse /proc/<pid>/cgroup: `id:controllers:path` a line. A path may hold any byte but NUL and newline."""
    paths: dict[str, str] = {}
    for line in data.decode(errors="surrogateescape").split("\n"):
        if not line:
            continue
        number, _, rest = line.partition(":")
        controllers, separator, path = rest.partition(":")
        if not separator or not number.isdigit() or not path.startswith("/") or "\0" in line:
            raise ParseError("/proc/<pid>/cgroup", data)
        # The kernel's " (deleted)" behind a cgroup that was removed under a zombie stays: a live one may be called so,
        # and without it would be taken for its neighbour. Nothing is found under the path of a removed one.
        path = sys.intern(path)
        for controller in _controllers(controllers):
            paths[controller] = path
    return Membership(paths)


@remembered(256)  # the same of every process
def _controllers(text: str) -> tuple[str, ...]:
    return tuple(map(sys.intern, text.split(",")))


def read_cgroup(host: Files, pid: int | str) -> Membership:
    """Read the cgroups of a process (/proc/<pid>/cgroup)."""
    return parse_cgroup(host.read(f"/proc/{pid}/cgroup"))


# cpuset cpu io memory hugetlb pids rdma misc
def parse_controllers(data: bytes) -> frozenset[str]:
    """Parse cgroup.controllers or cgroup.subtree_control: names separated by blanks."""
    try:
        return frozenset(data.decode("ascii").split())
    except UnicodeDecodeError as error:
        raise ParseError("cgroup.controllers", data) from error


# 4242
# 4250
def parse_pids(data: bytes) -> tuple[int, ...]:
    """Parse cgroup.procs or cgroup.threads: a PID a line; 0 is a process outside the reader's PID namespace."""
    try:
        return tuple(map(int, data.split()))
    except ValueError as error:
        raise ParseError("cgroup.procs", data) from error


def read_hierarchies(host: Files) -> tuple[Hierarchy, ...]:
    """Read which hierarchies are mounted here (mountinfo of Files.viewer), each once, the widest mount of it first.

    A hierarchy can be mounted several times, or partly (a bind mount of one
    cgroup): the mount whose root is nearest to the hierarchy's is taken.
    """
    return hierarchies_in(host, host.read_long_lines(f"/proc/{host.viewer}/mountinfo"))


def hierarchies_in(host: Files, mountinfo: bytes) -> tuple[Hierarchy, ...]:
    """Return what read_hierarchies does, for who has read mountinfo."""
    found: dict[tuple[int, int], Hierarchy] = {}
    for mount in parse_mountinfo(mountinfo, b"cgroup"):
        if mount.fstype not in ("cgroup", "cgroup2"):
            continue
        hierarchy = _hierarchy(host, mount)
        key = (mount.device_major, mount.device_minor)
        known = found.get(key)
        if known is None or len(hierarchy.root) < len(known.root):
            found[key] = hierarchy
    return tuple(found.values())


def _hierarchy(host: Files, mount: Mount) -> Hierarchy:
    if mount.fstype == "cgroup2":
        try:
            controllers = parse_controllers(host.read(f"{mount.mountpoint}/cgroup.controllers"))
        except OSError:
            controllers = frozenset()
        return Hierarchy(2, controllers, mount.mountpoint, mount.root)
    names = set(mount.super_options) & V1_CONTROLLERS
    if "name" in mount.super_options:
        names.add(f"name={mount.super_options['name']}")
    return Hierarchy(1, frozenset(names), mount.mountpoint, mount.root)


def locate(hierarchies: Iterable[Hierarchy], controller: str) -> Hierarchy | None:
    """Find the hierarchy that carries a controller; a core resource of v2 is found on any v2 tree.

    "cpuacct" (usage), "pressure" and "freezer" are part of every v2 cgroup; a
    v1 controller of that name comes first, as its figures are the host's own.
    "io" is v1's "blkio" too.
    """
    fallback = None
    wanted = {controller, "blkio"} if controller == "io" else {controller}
    for hierarchy in hierarchies:
        if wanted & hierarchy.controllers:
            return hierarchy
        if hierarchy.version == 2 and controller in V2_CORE:  # noqa: PLR2004
            fallback = hierarchy
    return fallback


def path_in(hierarchy: Hierarchy, membership: Membership) -> str | None:
    """Return a process's cgroup in one hierarchy, or None when /proc/<pid>/cgroup does not list it."""
    if hierarchy.version == 2:  # noqa: PLR2004
        return membership.paths.get("")
    for name in hierarchy.controllers:
        if name in membership.paths:
            return membership.paths[name]
    return None


def directory_of(hierarchies: Iterable[Hierarchy], controller: str, membership: Membership) -> str | None:
    """Return the directory with a process's control files for one controller, or None when there is none here."""
    hierarchy = locate(hierarchies, controller)
    path = path_in(hierarchy, membership) if hierarchy else None
    return hierarchy.directory(path) if hierarchy and path is not None else None


@remembered(4096)  # asked about each cgroup many times a tick
def ancestors(path: str, root: str = "/") -> tuple[str, ...]:
    """Return a cgroup path and its ancestors up to and including `root`, the innermost first."""
    found = [path]
    # The parent of "/../x" is "/..", whose own ancestors have no names here.
    while path not in (root, "/", "") and not path.endswith("/.."):
        path = path.rpartition("/")[0] or "/"
        found.append(path)
    return tuple(found)


def members_of(
    host: Host, hierarchy: Hierarchy, paths: Iterable[str], known: dict[bytes, tuple[int, ...]] | None = None
) -> Iterator[tuple[int, ...] | OSError | ParseError]:
    """Yield the processes directly in cgroups of a hierarchy (cgroup.procs), or why they are not known.

    `known` are lists that were read before, and those that are read now are added: most are the same in each hierarchy.

    Those of a cgroup's children are not among them; of one outside what is mounted there are none. v1's file is
    opened anew each time: a kept descriptor goes on returning its first list for up to a second
    (kernel/cgroup/cgroup-v1.c, the pidlist cache).
    """
    known = {} if known is None else known
    directories = map(hierarchy.directory, paths)
    files = [f"{directory}/cgroup.procs" if directory is not None else None for directory in directories]
    seen = files if None not in files else [file for file in files if file is not None]
    read = host.read_each(seen) if hierarchy.version == 1 else iter(host.read_each_kept(seen))  # type: ignore[arg-type]
    for file in files:
        text = b"" if file is None else next(read)
        if isinstance(text, OSError):
            yield text
            continue
        found = known.get(text)
        if found is None:
            try:
                found = known[text] = parse_pids(text)
            except ParseError as error:
                yield error
                continue
        yield found
