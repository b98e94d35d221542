"""Where we look from: whose mounts, namespaces and cgroups are this machine's.

Usually our own. For a procfs that is mounted elsewhere (an exporter in a
container that has the machine's at /host/proc) they are its process 1's. The
kernel writes cgroup paths relative to the *reader's* cgroup namespace all the
same, "/../../system.slice" for one that lies outside: those are translated
back, with the names above our namespace's root found in the tree itself.
"""

from __future__ import annotations

from inspector.absence import Absence
from inspector.errors import ParseError
from inspector.kernel.cgroup_tree import Limit, hidden_tasks, walk
from inspector.kernel.cgroups import (
    Hierarchy,
    Membership,
    hierarchies_in,
    locate,
    parse_cgroup,
    parse_pids,
    path_in,
    read_cgroup,
)
from inspector.kernel.host import Host
from inspector.kernel.mounts import Mount, parse_root_mount, read_mountinfo, read_root_mount, root_identity
from inspector.kernel.namespaces import is_initial, read_namespaces
from inspector.kernel.process import list_pids, read_stat
from inspector.model import Own, Told

__all__ = ["Viewpoint"]

LOOKS = 3  # in a row
MOST_ABOVE = 50_000  # cgroups of the whole machine: 10 us each
LIMITING = frozenset(("cpu", "cpuset", "memory", "pids"))
KTHREADD = 2  # the parent of all kernel threads, in the machine's first namespaces


class Viewpoint:
    """Reads where we stand on one machine. Not thread safe."""

    def __init__(self, host: Host, absence: Absence) -> None:
        self._host = host
        self._absence = absence
        self._attempt = absence.attempt
        self._alone = False
        self._above: dict[str, tuple[str, ...]] = {}  # by mountpoint: the names down to our cgroup namespace's root
        self.hierarchies: tuple[Hierarchy, ...] = ()
        self.is_veiled = False  # /proc shows us not even process 1: none of other users (proc(5), hidepid=2)
        self.own = Own(0, {}, Membership({}), None, False, False, False, frozenset(), "")  # noqa: FBT003

    def look(self, hostname: str) -> None:
        """Read anew which hierarchies are mounted, and where we are in them; the machine's name is known by then."""
        host = self._host
        mountinfo = self._attempt("our mounts", host.read_long_lines, f"/proc/{host.viewer}/mountinfo") or b""
        found = self._attempt("hierarchies", hierarchies_in, host, mountinfo) or ()
        self.hierarchies = tuple(self._seen_whole(one) for one in found)
        own = self._read_own(mountinfo, hostname)
        if own != self.own:  # else all that rests on it holds, as it is the same one
            self.own = own
        self.is_veiled = not host.access("/proc/1")

    def membership(self, pid: int | str) -> Membership:
        """Read the cgroups of a process, in the names of `hierarchies`. Raises OSError and ParseError."""
        return self.membership_in(self._host.read(f"/proc/{pid}/cgroup"))

    def membership_in(self, cgroups: bytes) -> Membership:
        """Parse /proc/<pid>/cgroup, in the names of `hierarchies`."""
        membership = parse_cgroup(cgroups)
        if not self._above:
            return membership
        paths = dict(membership.paths)
        for one in self.hierarchies:
            above = self._above.get(one.mountpoint)
            for controller in one.controllers if one.version == 1 else ("",):
                if above is not None and controller in paths:
                    paths[controller] = _absolute(paths[controller], above)
        return Membership(paths)

    def _read_own(self, mountinfo: bytes, hostname: str) -> Own:
        host, viewer = self._host, self._host.viewer
        namespaces = self._namespaces()
        initial = {kind: is_initial(kind, inode) for kind, inode in namespaces.items()}
        tops = [(index, h, h.directory(h.root)) for index, h in enumerate(self.hierarchies)]
        # Only the root cgroup has release_agent (v1), and only it lacks cgroup.type (v2).
        true_roots = frozenset(
            index
            for index, h, top in tops
            if (host.access(f"{top}/release_agent") if h.version == 1 else not host.access(f"{top}/cgroup.type"))
        )
        stat = self._attempt("self", read_stat, host, viewer)
        membership = self._attempt("self", self.membership, viewer) or Membership({})
        root, kept_in = self._attempt("self", parse_root_mount, mountinfo) or (None, "")
        paths = ((h, path_in(h, membership)) for h in self.hierarchies)
        outside = any(path is not None and h.directory(path) is None for h, path in paths)
        # bwrap and `ctr run` show no /sys/fs/cgroup, and who binds v1's one by one may leave some out.
        carried = {name for h in self.hierarchies for name in h.controllers}
        unmounted = (not tops and bool(membership.paths)) or not carried.issuperset(LIMITING & membership.paths.keys())
        isolated = initial.get("pid") is False
        inside = isolated or initial.get("cgroup") is False or self._is_elsewhere(root)
        return Own(
            pid=stat.pid if stat else 0,
            namespaces=namespaces,
            membership=membership,
            root=root,
            kept_in=kept_in,
            own_pid_namespace=isolated,
            inside_container=inside,
            hidden_ancestors=outside or unmounted or any(index not in true_roots for index, _, _ in tops),
            true_roots=true_roots,
            hostname=hostname.strip(),
            told=self._told(kept_in, isolated) if inside else None,
            crowded=isolated and self._is_crowded(membership, true_roots),
            borrowed=inside and viewer == "self" and bool(kept_in) and self._is_borrowed(),
        )

    def _is_borrowed(self) -> bool:
        """Tell whether /etc/hostname was there before our container: another's, whose network we have.

        Docker makes /.dockerenv with a container, also from an image that has one, and writes its /etc/hostname
        whenever that starts. Where the other was started after ours was made (docker compose) nothing tells.
        """
        made, written = (self._attempt(path, self._host.stat, path) for path in ("/.dockerenv", "/etc/hostname"))
        return made is not None and written is not None and written.mtime_ns < made.mtime_ns

    def _told(self, kept_in: str, isolated: bool) -> Told | None:
        from inspector.told import read_told  # noqa: PLC0415  only who is in a container

        return read_told(self._host, self._absence, kept_in, own_first=isolated)

    def _is_crowded(self, membership: Membership, true_roots: frozenset[int]) -> bool:
        """Tell whether our v1 cgroup holds tasks outside our PID namespace, by its count of all of them.

        A task that begins or ends between two reads may look like one at one look, and not again and again. What was
        once ours alone stays so: who enters us (`docker exec`) is in our cgroup before he is in our namespace.
        """
        if self._alone:
            return False
        pids = locate(self.hierarchies, "pids")
        path = path_in(pids, membership) if pids else None
        if pids is None or path is None or pids.version != 1:
            return False
        at_top = self.hierarchies.index(pids) in true_roots
        top = path if at_top else pids.root
        if (at_top and path == "/") or pids.directory(top) is None:
            return False
        self._alone = any(self._hidden(pids, top) <= 0 for _ in range(LOOKS))
        return not self._alone

    def _hidden(self, pids: Hierarchy, path: str) -> int:
        hidden = self._attempt("our cgroup", hidden_tasks, self._host, pids, path) or 0
        if hidden <= 0:
            return 0
        stats = (self._attempt(f"process {pid}", read_stat, self._host, pid) for pid in list_pids(self._host))
        return hidden - sum(stat is not None and stat.state in "ZX" for stat in stats)

    def _is_elsewhere(self, root: Mount | None) -> bool:
        """Tell whether our root is a mount that process 1 does not have: a container with the host's PIDs.

        A chroot's directory is a mount of process 1's own namespace, if it is one at all.
        """
        first, _ = self._attempt("process 1", read_root_mount, self._host, 1) or (None, "")
        if root is None or first is None or root_identity(root) == root_identity(first):
            return False
        mounts = self._attempt("process 1", read_mountinfo, self._host, 1) or ()
        return all(mount.mount_id != root.mount_id for mount in mounts)

    def _namespaces(self) -> dict[str, int]:
        """Read the namespaces we look from; where process 1's are not shown, the machine's first by a kernel thread."""
        host = self._host
        if host.viewer == "self":
            return self._attempt("self", read_namespaces, host, "self") or {}
        kernel = self._attempt(f"process {KTHREADD}", read_stat, host, KTHREADD)
        candidates = (1, KTHREADD) if kernel is not None and kernel.is_kernel_thread else (1,)
        found = (self._attempt(f"process {pid}", read_namespaces, host, pid) for pid in candidates)
        return next(filter(None, found), {})

    def _seen_whole(self, hierarchy: Hierarchy) -> Hierarchy:
        """Return a hierarchy whose mount shows what lies above our cgroup namespace as one with names from its top."""
        depth = hierarchy.root.count("/..")
        if hierarchy.root != "/.." * depth or not depth:
            return hierarchy
        whole = hierarchy._replace(root="/")
        place = hierarchy.mountpoint
        if place not in self._above:
            above = self._attempt("our cgroup", self._names_above, whole, depth)
            if above is None:
                return hierarchy
            self._above[place] = above
        return whole

    def _names_above(self, whole: Hierarchy, depth: int) -> tuple[str, ...] | None:
        """Find the names down to our cgroup namespace's root: the first ones of the cgroup that we are in."""
        own = path_in(whole, read_cgroup(self._host, "self"))
        if own is None or own.startswith("/.."):
            return None
        me, limit = int(self._host.readlink("/proc/self")), Limit(lambda _: True, MOST_ABOVE)
        for path in walk(self._host, whole, limit=limit):
            try:
                members = parse_pids(self._host.read(f"{whole.directory(path)}/cgroup.procs"))
            except (OSError, ParseError):
                continue
            if me in members:
                return tuple(path.split("/")[1 : depth + 1])
        if limit.cut:
            self._absence.problem(f"{whole.mountpoint}: our cgroup is not among the {MOST_ABOVE} looked at")
        return None


def _absolute(path: str, above: tuple[str, ...]) -> str:
    """Translate a path relative to a cgroup whose names from the top are `above`: "/../x" below "/a/b" is "/a/x"."""
    names = path.split("/")[1:]
    up = next((place for place, name in enumerate(names) if name != ".."), len(names))
    if up > len(above):
        return path
    return "/" + "/".join(filter(None, (*above[: len(above) - up], *names[up:])))
