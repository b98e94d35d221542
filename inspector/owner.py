"""Which container a path of the host belongs to: by the mounts of those that run, by the stores' files for the rest.

A path belongs to whoever has it, or a directory above it, as a layer, a work
or merged directory, a volume or a bind's source, or among its state files. It
is compared by name and by identity (device and inode), so that a link such as
Docker's overlay2/l/XXXX or another way to the store gives the same answer.
"""

from __future__ import annotations

import posixpath
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from inspector.absence import Absence
from inspector.claims import ROOTS, Who, stored
from inspector.errors import ParseError
from inspector.kernel.host import Host
from inspector.kernel.mounts import read_mountinfo, root_mount
from inspector.layers import Claim, Role, host_path, under, volumes
from inspector.model import Container
from inspector.unions import layers_at, view_of

__all__ = ["claims_of", "owners"]

ROLES: dict[str, Role] = {"volume": "volume", "runtime": "state"}
OWN = ("upper", "merged")


def owners(
    host: Host, path: str, containers: Iterable[Container], absence: Absence | None = None
) -> tuple[Claim, ...]:
    """Return who an absolute path belongs to, of each container the nearest claim, the nearest of all first.

    Behind them, where the path is a store or lies in one, come those others of
    whom it holds something. `absence` keeps account of the stores that could not be read.
    """
    absence = absence or Absence()
    path = posixpath.normpath(path)
    containers = tuple(containers)
    live = [claim for one in containers for claim in claims_of(host, one, view_of(one, containers))]
    above = tuple(_ancestors(path))
    roots = [*ROOTS, *_own_roots(live), *(place for place in above if not _anybodys(host, place))]
    found = {root: stored(host, root, absence) for root in dict.fromkeys(roots)}
    for root in ROOTS:
        absence.attempt(root, host.listdir, root)
    running = _Running(containers, live)
    added = [claim for ones in found.values() for claim in running.added(ones)]
    claims = [*(running.named(claim) for claim in live), *added]
    nearest = _nearest(host, above, claims)
    if not any(under(path, root) for root in (*_own_roots(live), *(root for root, ones in found.items() if ones))):
        return nearest
    having = {claim.container for claim in nearest}
    held = dict.fromkeys(claim for claim in claims if claim.container not in having and under(claim.path, path))
    return (*nearest, *(replace(claim, inside=None, holds=True) for claim in held))


class _Running:
    """Tells the containers of a store that run: of these their own mounts tell all but the state files.

    One that is just being started has no root of its own yet, and one just ended no mounts: of it the store tells all.
    """

    def __init__(self, containers: Iterable[Container], live: Iterable[Claim]) -> None:
        ones = [one for one in containers if one.kind == "container"]
        self._names = {one.id: one.name for one in ones}
        self._unnamed = {one.id for one in ones if one.runtime_id is None}
        self._ids = {(one.runtime, one.runtime_id or one.id): one.id for one in ones}
        # The one that has this directory for its root is it, whatever it is called.
        self._roots = {claim.path: claim.container for claim in live if claim.role in OWN}
        self._rooted = set(self._roots.values())

    def added(self, claims: Iterable[Claim]) -> Iterator[Claim]:
        """Yield what the files of a store tell beyond what is known of those that run."""
        claims = tuple(claims)
        by_root = {c.container: self._roots[c.path] for c in claims if c.role in OWN and c.path in self._roots}
        for claim in claims:
            one = self._ids.get((claim.runtime, claim.container)) or by_root.get(claim.container)
            if one in self._unnamed:
                self._names[one] = claim.name
            if one is None:
                yield claim
            elif claim.role == "state" or one not in self._rooted:
                yield replace(claim, container=one, name=self._names[one], running=True)

    def named(self, claim: Claim) -> Claim:
        """Return a live claim by the name that its store has, where it was known by its directory alone."""
        return replace(claim, name=self._names[claim.container]) if claim.container in self._unnamed else claim


def _nearest(host: Host, above: Sequence[str], claims: Iterable[Claim]) -> tuple[Claim, ...]:
    """Choose each container's claim to the path that lies nearest; `above` are the path and all above it."""
    identities = {identity: place for place in above if (identity := _identity(host, place))}
    order = {place: number for number, place in enumerate(above)}
    best: dict[str, tuple[int, Claim]] = {}
    for claim in claims:
        place = claim.path if claim.path in order else None
        if place is None and (identity := _identity(host, claim.path)):
            place = identities.get(identity)
        if place is None:
            continue
        number = order[place]
        if claim.container not in best or number < best[claim.container][0]:
            best[claim.container] = number, _at(claim, above[0], place)
    return tuple(claim for _, claim in sorted(best.values(), key=lambda pair: (pair[0], pair[1].layer or 0)))


def _at(claim: Claim, path: str, place: str) -> Claim:
    """Extend a claim to a path below the place it was found at."""
    rest = "" if path == place else path[len(place.rstrip("/")) :]
    inside = None if claim.inside is None else (claim.inside.rstrip("/") + rest or "/")
    return replace(claim, inside=inside)


def _identity(host: Host, path: str) -> tuple[int, int] | None:
    try:
        entry = host.stat(path)
    except (OSError, ValueError):
        return None
    return entry.device, entry.inode


def _ancestors(path: str) -> Iterator[str]:
    yield path
    while path not in ("/", "//", ""):
        path = posixpath.dirname(path)
        yield path


def _own_roots(live: Iterable[Claim]) -> Iterator[str]:
    """Yield the roots of the stores whose containers run: /x for an upper directory /x/overlay2/<layer>/diff."""
    for claim in live:
        if claim.role == "upper":
            root = posixpath.dirname(posixpath.dirname(posixpath.dirname(claim.path)))
            if root != "/":
                yield root


def _anybodys(host: Host, directory: str) -> bool:
    """Tell whether everybody may write to a directory (/tmp): what looks like a store there may be a trick."""
    try:
        return bool(host.stat(directory).mode & stat.S_IWOTH)
    except OSError:
        return False


def claims_of(host: Host, container: Container, view: str = "") -> tuple[Claim, ...]:
    """Return what belongs to a running container: its layers, and where its volumes and binds come from.

    `view` is where the "/" of whoever mounted its layers is found: that of the container around it.
    """
    leader = container.leader
    if leader is None or container.kind != "container":
        return ()
    try:
        mounts = read_mountinfo(host, leader.process.pid)
        hosts = read_mountinfo(host, "self")
        root = root_mount(mounts)
        layers = layers_at(host, root, hosts, view, container) if root else None
    except (OSError, ParseError):
        return ()
    who = Who(container.id, container.name, container.runtime, running=True)
    store = container.runtime not in (None, "unshare")
    told = who.layers(layers, store=store) if layers and layers.is_placed else ()
    claims = [_seen_through(claim, view) for claim in told]
    place = host_path(root, hosts) if not claims and root else None
    if place not in (None, "/"):  # the directory of nspawn, LXC, bubblewrap
        claims.append(who.claim("merged", place, "/"))
    for volume in volumes(mounts, hosts):
        # A new mount namespace starts as a copy: on the host's own root, what is where the host has it is the host's.
        copied = place == "/" and volume.source == volume.destination
        # A device node that is bound from the host is everybody's.
        if volume.source and not copied and not (volume.kind == "runtime" and under(volume.source, "/dev")):
            claims.append(who.claim(ROLES.get(volume.kind, "mounted-from"), volume.source, volume.destination))
    return tuple(claims)


def _seen_through(claim: Claim, view: str) -> Claim:
    return replace(claim, path=view + claim.path) if claim.role != "merged" else claim
