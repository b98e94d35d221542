"""Where volumes are kept, and who uses them.

    <root>/volumes/lock                    flock: held while volumes are made and removed
    <root>/volumes/<name>/_data            the volume itself
    <root>/volumes/<name>/volume.json

A volume is in use as long as a container's document names it, running or not. One that was made for a single
container (anonymous) goes with it where Docker lets it go: with --rm and `rm -v`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from sandbox import events
from sandbox.atomic import write_document
from sandbox.errors import NoSuchContainer, NotFound, SandboxError
from sandbox.removal import remove_tree
from sandbox.value import replace
from sandbox.volumes.options import check_volume_name
from sandbox.volumes.wanted import Volume

__all__ = ["NoSuchVolume", "Volumes", "named_volumes", "users_of", "volumes_from"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.state import Document, Store

NEW = ".new-"


class NoSuchVolume(NotFound):
    """No volume has that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"get {name}: no such volume")


class Volumes:
    """The volumes below one state directory."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._top = f"{root}/volumes"

    def path(self, name: str) -> str:
        """Return the directory of a volume; of a new one, named at random, for ""."""
        return f"{self._top}/{name or os.urandom(32).hex()}/_data"

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        for path in (self._root, self._top):
            os.makedirs(path, mode=0o700, exist_ok=True)
        fd = os.open(f"{self._top}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            for name in os.listdir(self._top):
                if name.startswith(NEW):  # of a command that was killed
                    remove_tree(f"{self._top}/{name}")
            yield
        finally:
            os.close(fd)

    def create(self, name: str, created: str, labels: Mapping[str, str], *, anonymous: bool = False) -> str:
        """Make a volume, if there is none of that name, and return its name; `created` is the time as text."""
        name = check_volume_name(name) if name else os.urandom(32).hex()
        with self._lock():
            if not os.path.isdir(f"{self._top}/{name}"):
                text = {"Name": name, "CreatedAt": created, "Labels": dict(labels) or None, "Anonymous": anonymous}
                self._make(name, text)
                events.append(self._root, "volume", "create", name, {"driver": "local"})
        return name

    def _make(self, name: str, text: Mapping[str, object]) -> None:
        new = f"{self._top}/{NEW}{name}"
        os.mkdir(new, 0o700)
        try:
            os.mkdir(f"{new}/_data")
            os.chmod(f"{new}/_data", 0o755)  # noqa: S103  for the container's users; ours stop at the root's 0700
            write_document(f"{new}/volume.json", text)
            os.rename(new, f"{self._top}/{name}")
        except BaseException:
            remove_tree(new)
            raise

    def names(self) -> list[str]:
        """Return the names of all volumes, sorted."""
        try:
            found = os.listdir(self._top)
        except FileNotFoundError:
            return []
        return sorted(name for name in found if name != "lock" and not name.startswith("."))

    def document(self, name: str) -> dict[str, Any]:
        """Return what `docker volume inspect` says of a volume."""
        kept = self._kept(name)
        return {
            "CreatedAt": kept["CreatedAt"],
            "Driver": "local",
            "Labels": kept["Labels"],
            "Mountpoint": self.path(name),
            "Name": name,
            "Options": None,
            "Scope": "local",
        }

    def _kept(self, name: str) -> dict[str, Any]:
        if name not in self.names():
            raise NoSuchVolume(name)
        with open(f"{self._top}/{name}/volume.json", encoding="utf-8") as file:
            return dict(json.load(file))

    def remove(self, name: str, store: Store) -> None:
        """Remove a volume with all that is in it; SandboxError while a container has it."""
        with self._lock():
            self._kept(name)
            if users := users_of(store).get(name):
                raise SandboxError(f"remove {name}: volume is in use - [{', '.join(sorted(users))}]", 1)
            self._drop(name)

    def remove_anonymous(self, names: Iterable[str], store: Store) -> None:
        """Remove those of these volumes that were made for one container, and that no other has."""
        chosen = set(names)
        if not chosen:
            return
        with self._lock():
            used = users_of(store)
            for name in sorted(chosen.intersection(self.names()) - used.keys()):
                if self._kept(name)["Anonymous"]:
                    self._drop(name)

    def prune(
        self, store: Store, *, named: bool, chosen: Callable[[Mapping[str, Any]], bool] = lambda _: True
    ) -> list[str]:
        """Remove the anonymous volumes that no container has, with `named` all of them; return their names.

        `chosen` is asked about what is known of each.
        """
        with self._lock():
            used = users_of(store)
            kept = {name: self._kept(name) for name in self.names() if name not in used}
            gone = [name for name, text in kept.items() if (named or text["Anonymous"]) and chosen(text)]
            for name in gone:
                self._drop(name)
        return gone

    def _drop(self, name: str) -> None:
        """Remove a volume's files; at no time is there half a volume of that name. Call with the lock held."""
        os.rename(f"{self._top}/{name}", f"{self._top}/{NEW}{name}")
        remove_tree(f"{self._top}/{NEW}{name}")
        events.append(self._root, "volume", "destroy", name, {"driver": "local"})


def volumes_from(store: Store, text: str) -> list[Volume]:
    """Return the volumes of the container that `CONTAINER[:ro|rw]` names, with its binds, as they are mounted there."""
    from sandbox.codec import decode  # noqa: PLC0415  rare

    name, _, mode = text.partition(":")
    if mode not in ("", "ro", "rw"):
        raise SandboxError(f"invalid mode {mode!r} of --volumes-from {text!r}: ro or rw")
    try:
        found = store.find(name)["Cgscope"]["Spec"].get("volumes", ())
    except NoSuchContainer as error:  # with its exit code `create` would end where `run` ends with another
        raise SandboxError(str(error)) from None
    volumes = [decode(Volume, volume) for volume in found]
    return [replace(volume, read_only=volume.read_only or mode == "ro", copy=False) for volume in volumes]


def named_volumes(text: Document) -> set[str]:
    """Return the names of the volumes that a container has."""
    return {volume["name"] for volume in text["Cgscope"]["Spec"].get("volumes", ()) if volume.get("name")}


def users_of(store: Store) -> dict[str, set[str]]:
    """Return which containers have each volume, by their ids."""
    found: dict[str, set[str]] = {}
    for text in store.all():
        for name in named_volumes(text):
            found.setdefault(name, set()).add(text["Id"])
    return found
