"""What is known of the containers: one directory each, one state.json in it, written whole or not at all.

    <root>/lock                       flock: held while names are given and taken, never while anybody waits
    <root>/containers/<id>/           flock: held while this container's document is changed
    <root>/containers/<id>/state.json the document of `sandbox inspect`
    <root>/containers/<id>/state.json.draft  what it will be as soon as the container runs (drafting.py)
    <root>/containers/<id>/state.json.spare  room for one more of it, so that an end is recorded on a full disk too
    <root>/containers/<id>/upper, work, merged, hostname, hosts, log.jsonl
    <root>/names/<name> -> <id>       who has a name; a symbolic link is made atomically (owner_of)
    <root>/userns/<number> -> <id>    who has the ids from that number on (idmap.py)

The document is written before anything else of a container exists, so that
whatever its launcher leaves behind when it is killed can be found and removed.
Who holds both locks has taken the store's last.
"""

from __future__ import annotations

import binascii
import fcntl
import os
from collections.abc import Callable, Iterator

from sandbox.atomic import replace_document, reserve
from sandbox.contexts import contextmanager, suppress
from sandbox.errors import Damaged, NoSuchContainer, SandboxError
from sandbox.quick import loads

__all__ = ["SHORT_ID", "Document", "Store", "default_root", "hold", "owner_of"]

TYPE_CHECKING = False  # importing it from typing would be a twentieth of a small monitor's memory
if TYPE_CHECKING:
    from typing import Any

    Document = dict[str, Any]
else:
    Document = dict
ID_LENGTH = 64
SHORT_ID = 12  # as much of one as is shown, and as a container is called by itself
KINDS: dict[type, str] = {str: "string", dict: "object", list: "array", int: "number"}  # in terms of JSON
# The parts of a document, and what they are made of.
PARTS: dict[str, type] = {
    **dict.fromkeys(("Created", "Path", "LogPath", "Name"), str),
    **dict.fromkeys(("State", "Config", "HostConfig", "GraphDriver", "NetworkSettings", "Cgscope"), dict),
    **dict.fromkeys(("Args", "Mounts"), list),
    "RestartCount": int,
}
# What a document may grow by while its container runs: five results of health checks of 4,096 characters.
GROWTH_BYTES = 24 << 10


def default_root() -> str:
    """Return where containers are kept: $CGSCOPE_ROOT, /var/lib/cgscope, or for a user $XDG_DATA_HOME/cgscope."""
    configured = os.environ.get("CGSCOPE_ROOT")
    if configured:
        return os.path.abspath(configured)
    if os.geteuid() == 0:
        return "/var/lib/cgscope"
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return os.path.join(data, "cgscope")


def hold(directory: str, how: int) -> int | None:
    """Lock a directory; None when it is gone, or somebody else has it and we do not wait."""
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, how)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def _in_short(container: str) -> str:
    """Return an id in 44 characters: up to 59 the link needs no block on ext4, whose end may wait for the disk."""
    return binascii.b2a_base64(bytes.fromhex(container), newline=False).decode("ascii")


def owner_of(link: str) -> str:
    """Return the id that a link among the names or the users' ids is to: in full, or in short; "-" for no id's."""
    text = os.readlink(link)
    try:
        owner = text if len(text) == ID_LENGTH else binascii.a2b_base64(text, strict_mode=True).hex()
    except ValueError:
        return "-"
    return owner if len(owner) == ID_LENGTH and "/" not in owner else "-"


class Store:
    """The containers below one root directory. Methods raise OSError with its path, or SandboxError."""

    def __init__(self, root: str) -> None:
        self.root = os.path.realpath(root)

    def directory(self, container: str) -> str:
        """Return the directory of a container's files."""
        return f"{self.root}/containers/{container}"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the store alone."""
        for path in (f"{self.root}/containers", f"{self.root}/names"):
            if not os.path.isdir(path):  # makedirs() takes long to find out
                os.makedirs(self.root, mode=0o700, exist_ok=True)
                os.makedirs(path, mode=0o700, exist_ok=True)
        fd = os.open(f"{self.root}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    @contextmanager
    def locked(self, container: str) -> Iterator[Document]:
        """Hold one container alone, and yield its document as it is now; NoSuchContainer when it is gone."""
        fd = hold(self.directory(container), fcntl.LOCK_EX)
        if fd is None:
            raise NoSuchContainer(container)
        try:
            yield self.load(container)
        finally:
            # Said, not only closed: a child that was forked meanwhile has the same lock.
            fcntl.flock(fd, fcntl.LOCK_UN)
            os.close(fd)

    @contextmanager
    def changing(self, container: str, *, durable: bool = False) -> Iterator[Document]:
        """Yield a container's document as it is now, to be changed, and save it; nobody else changes it meanwhile."""
        with self.locked(container) as document:
            yield document
            self.save(document, durable=durable)

    def exists(self) -> bool:
        """Tell whether any container was ever made here."""
        return os.path.isdir(f"{self.root}/containers")

    def add(self, document: Document, invent_name: Callable[[], str]) -> None:
        """Reserve the id and the name of a new container and write its document.

        An empty Name is filled in by `invent_name`. Raises SandboxError when the name is taken.
        """
        with self.lock():
            document["Name"] = self._take_name(document["Id"], document["Name"], invent_name)
            directory = self.directory(document["Id"])
            try:
                os.mkdir(directory, 0o700)
                self.save(document)
            except OSError:  # a full disk: nothing of it stays
                with suppress(OSError):
                    os.unlink(f"{self.root}/names/{document['Name']}")
                    os.rmdir(directory)
                raise

    def _take_name(self, container: str, wanted: str, invent_name: Callable[[], str]) -> str:
        while True:
            name = wanted or invent_name()
            try:
                os.symlink(_in_short(container), f"{self.root}/names/{name}")
            except FileExistsError:
                owner = owner_of(f"{self.root}/names/{name}")
                if not os.path.isdir(self.directory(owner)):  # its launcher died before it wrote anything else
                    os.unlink(f"{self.root}/names/{name}")
                elif wanted:
                    raise SandboxError(
                        f"the name {name!r} is already in use by container {owner[:SHORT_ID]}: remove that one first"
                    ) from None
            else:
                return name

    def claim_name(self, container: str, name: str) -> None:
        """Give a container one more name; SandboxError when it is taken."""
        with self.lock():
            self._take_name(container, name, str)

    def free_name(self, container: str, name: str) -> None:
        """Take a name from the container that has it."""
        with self.lock(), suppress(FileNotFoundError):
            if owner_of(f"{self.root}/names/{name}") == container:
                os.unlink(f"{self.root}/names/{name}")

    def save(self, document: Document, *, durable: bool = False) -> None:
        """Replace a container's document, atomically; a `durable` one is on the disk when this returns.

        What is not waits in memory: a machine that loses its power loses its running containers anyway.
        """
        replace_document(f"{self.directory(document['Id'])}/state.json", document, durable=durable)

    def reserve(self, container: str) -> None:
        """Make sure that whatever becomes of a container can be recorded: OSError when the disk is full."""
        reserve(f"{self.directory(container)}/state.json", GROWTH_BYTES)

    def load(self, container: str) -> Document:
        """Return the document of a full id; NoSuchContainer when it is gone."""
        path = f"{self.directory(container)}/state.json"
        try:
            with open(path, "rb", buffering=0) as file:
                document = loads(file.readall())
        except FileNotFoundError:
            raise NoSuchContainer(container) from None
        except ValueError as error:
            raise Damaged(path, container, f"not a container's document: {error}") from None
        if not isinstance(document, dict) or document.get("Id") != container:
            raise Damaged(path, container, f"not the document of container {container}")
        for part, kind in PARTS.items():
            if type(document.get(part)) is not kind:
                raise Damaged(path, container, f"not a container's document: {part} is no {KINDS[kind]}")
        return document

    def ids(self) -> list[str]:
        """Return the ids of all containers, in no order."""
        try:
            names = os.listdir(f"{self.root}/containers")
        except FileNotFoundError:
            return []
        return [name for name in names if len(name) == ID_LENGTH]

    def all(self, unreadable: Callable[[SandboxError], object] = lambda _: None) -> list[Document]:
        """Return every container's document, the newest first; one that is being made or removed is left out.

        `unreadable` is told of each that is damaged: it does not hide the others.
        """
        documents = []
        for container in self.ids():
            try:
                documents.append(self.load(container))
            except NoSuchContainer:
                continue
            except SandboxError as error:
                unreadable(error)
        return sorted(documents, key=lambda document: str(document["Created"]), reverse=True)

    def find(self, name: str) -> Document:
        """Return the container that a name, an id or the beginning of one id stands for."""
        name = name.removeprefix("/")  # as Docker's `inspect` has names
        if not name or "/" in name or name.startswith("."):
            raise NoSuchContainer(name)
        with suppress(OSError):
            return self.load(owner_of(f"{self.root}/names/{name}"))
        matches = [container for container in self.ids() if container.startswith(name)]
        if len(matches) > 1:
            raise SandboxError(f"{name!r} is the beginning of {len(matches)} container ids: give more of it", 1)
        if not matches:
            raise NoSuchContainer(name)
        return self.load(matches[0])

    def remove(self, container: str, name: str) -> None:
        """Forget a container: its name, then its files."""
        from sandbox.removal import remove_tree  # noqa: PLC0415  most commands remove nothing

        # Out of sight first: a removal that is interrupted leaves no half a container.
        doomed = f"{self.root}/containers/.{container}"
        held = hold(self.directory(container), fcntl.LOCK_EX)
        try:
            with self.lock():
                with suppress(FileNotFoundError):
                    os.rename(self.directory(container), doomed)
                path = f"{self.root}/names/{name}"
                with suppress(FileNotFoundError):
                    if name and owner_of(path) == container:
                        os.unlink(path)
            if held is not None:
                remove_tree(doomed)
        finally:
            if held is not None:
                os.close(held)
