"""Where images are kept: their configurations, their names, and their layers unpacked, each by its digest.

    <root>/images/lock              flock: shared while a container is made of an image, alone while anything changes
    <root>/images/<id>.json         a configuration as it came; its sha256 is its name
    <root>/images/names.json        {"busybox:latest": "<id>", ...}
    <root>/images/new-<random>/     what one load is unpacking; flocked by it, so that a dead one is known as such
    <root>/layers/<diff id>/diff    a layer as overlayfs takes it
    <root>/layers/<diff id>/layer.json

A layer is moved to its place, whole and on the disk, when its image is registered, under the lock. A load that is
killed leaves its directory, and at the worst layers of no image: clean() removes both.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, NamedTuple

from sandbox.errors import NotFound, SandboxError
from sandbox.images import NEW
from sandbox.images.reference import IMAGE_ID, digest_of, normalise
from sandbox.removal import remove_tree

__all__ = ["Image", "Images", "Layer", "NoSuchImage", "diff_ids"]

MOST_LAYERS = 127  # Docker's limit, below overlayfs's own
ID_LENGTH = 64


class NoSuchImage(NotFound):
    """No image has that name or id."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no such image: {name}")


class Image(NamedTuple):
    """One image: the 64 digits of its id, its configuration, its names."""

    id: str
    config: dict[str, Any]
    names: tuple[str, ...]

    @property
    def layers(self) -> tuple[str, ...]:
        """Return the digests of its layers, the lowest first."""
        return diff_ids(self.config)


class Layer(NamedTuple):
    """What is known of an unpacked layer: bytes of its files; `root`: it says how "/" itself looks."""

    size: int
    root: bool


def diff_ids(config: object) -> tuple[str, ...]:
    """Return the digests of the layers that a configuration names; SandboxError when it is no image's."""
    rootfs = config.get("rootfs") if isinstance(config, dict) else None
    found = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(found, list):
        raise SandboxError("not the configuration of an image: it has no rootfs.diff_ids")
    if len(found) > MOST_LAYERS:
        raise SandboxError(f"the image has {len(found)} layers, more than {MOST_LAYERS}")
    return tuple(digest_of(each) for each in found)


def _flush(directory: str, flush: Callable[[int], None]) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        flush(fd)
    finally:
        os.close(fd)


class Images:
    """The images below one state directory."""

    def __init__(self, root: str) -> None:
        self._root, self._images, self._layers = root, f"{root}/images", f"{root}/layers"

    @contextlib.contextmanager
    def lock(self, *, shared: bool = False) -> Iterator[None]:
        """Hold the store alone, or with others who only need that nothing is removed."""
        for path in (self._root, self._images, self._layers):
            os.makedirs(path, mode=0o700, exist_ok=True)
        fd = os.open(f"{self._images}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def session(self) -> Iterator[str]:
        """Give a directory for what is being unpacked; it is removed at the end, or by clean() after a SIGKILL."""
        path = f"{self._images}/{NEW}{os.urandom(8).hex()}"
        with self.lock(shared=True):
            os.mkdir(path, 0o700)
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(fd, fcntl.LOCK_EX)
        try:
            yield path
        finally:
            remove_tree(path)
            os.close(fd)

    def names(self) -> dict[str, str]:
        """Return which image each name stands for."""
        try:
            with open(f"{self._images}/names.json", encoding="utf-8") as file:
                found = json.load(file)
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise SandboxError(f"{self._images}/names.json: {error}") from None
        return {str(name): str(image) for name, image in found.items()}

    def _write_names(self, names: dict[str, str]) -> None:
        self._write("names.json", json.dumps(names, indent=1).encode())

    def _write(self, name: str, data: bytes) -> None:
        with open(f"{self._images}/.{name}.new", "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(f"{self._images}/.{name}.new", f"{self._images}/{name}")

    def ids(self) -> list[str]:
        """Return the ids of all images, in no order."""
        try:
            found = os.listdir(self._images)
        except FileNotFoundError:
            return []
        return [name[:ID_LENGTH] for name in found if len(name) == ID_LENGTH + 5 and name.endswith(".json")]

    def load(self, image: str) -> Image:
        """Return the image of a full id."""
        try:
            with open(f"{self._images}/{image}.json", "rb") as file:
                data = file.read()
        except FileNotFoundError:
            raise NoSuchImage(image) from None
        if hashlib.sha256(data).hexdigest() != image:
            raise SandboxError(f"image {image[:12]}: its configuration was changed: remove it and load it again")
        return Image(image, json.loads(data), tuple(sorted(name for name, id_ in self.names().items() if id_ == image)))

    def all(self) -> list[Image]:
        """Return every image; one that is removed meanwhile is left out."""
        found = []
        for image in self.ids():
            with contextlib.suppress(NoSuchImage):
                found.append(self.load(image))
        return found

    def find(self, reference: str) -> Image:
        """Return the image that a name, an id or the beginning of one id stands for."""
        named = ""
        with contextlib.suppress(SandboxError):
            named = normalise(reference)
        if image := self.names().get(named):
            return self.load(image)
        digits = IMAGE_ID.fullmatch(reference)
        matches = [image for image in self.ids() if image.startswith(digits[1])] if digits else []
        if len(matches) > 1:
            raise SandboxError(f"{reference!r} is the beginning of {len(matches)} image ids: give more of it", 1)
        if not matches:
            raise NoSuchImage(reference)
        return self.load(matches[0])

    def layer_path(self, diff_id: str) -> str:
        """Return the directory that overlayfs gets for a layer."""
        return f"{self._layers}/{diff_id}/diff"

    def has_layer(self, diff_id: str) -> bool:
        """Tell whether a layer is unpacked."""
        return os.path.exists(f"{self._layers}/{diff_id}/layer.json")

    def layer(self, diff_id: str) -> Layer:
        """Return what is known of a layer."""
        try:
            with open(f"{self._layers}/{diff_id}/layer.json", encoding="utf-8") as file:
                found = json.load(file)
        except FileNotFoundError:
            raise SandboxError(f"layer {diff_id[:12]} is gone: load the image again") from None
        except ValueError:
            raise SandboxError(f"layer {diff_id[:12]} is damaged: remove the image and load it again") from None
        return Layer(int(found["Size"]), bool(found["Root"]))

    def directories(self, layers: Sequence[str]) -> tuple[tuple[str, ...], str]:
        """Return the directories of layers, the highest first, and the one that says how the root looks ("": none).

        One that is there more than once, as BuildKit's empty ones are, is mounted where it is highest: overlayfs takes
        a directory once (ELOOP), and of the same layer further down nothing is seen.
        """
        order = tuple(dict.fromkeys(reversed(layers)))
        paths = tuple(self.layer_path(layer) for layer in order)
        known = [self.layer(layer) for layer in order]
        return paths, next((path for path, layer in zip(paths, known, strict=True) if layer.root), "")

    def register(self, config: bytes, names: Collection[str], session: str) -> list[str]:
        """Add an image whose layers are here or in a session's directory; return the layers that are missing.

        When some are (their image was removed meanwhile) nothing was done: unpack them and call again.
        """
        image = hashlib.sha256(config).hexdigest()
        layers = diff_ids(json.loads(config))
        if os.listdir(session):
            from sandbox.rare_syscalls import syncfs  # noqa: PLC0415  a start makes no layer

            # When the power fails a layer that has its name must not be of empty files. All that is to be written
            # at once: file by file it takes about twice as long.
            _flush(session, syncfs)
        with self.lock():
            fresh = [each for each in dict.fromkeys(layers) if not self.has_layer(each)]
            missing = [each for each in fresh if not os.path.exists(f"{session}/{each}/layer.json")]
            if missing:
                return missing
            for each in fresh:
                os.rename(f"{session}/{each}", f"{self._layers}/{each}")
            self._write(f"{image}.json", config)
            if names:
                self._write_names({**self.names(), **dict.fromkeys(map(normalise, names), image)})
            _flush(self._images, os.fsync)
        return []

    def tag(self, reference: str, name: str) -> None:
        """Give an image one more name; it is taken from the image that had it."""
        with self.lock():
            self._write_names({**self.names(), normalise(name): self.find(reference).id})

    def untag(self, name: str) -> None:
        """Take a name away."""
        with self.lock():
            self._write_names({each: image for each, image in self.names().items() if each != name})

    def remove(self, image: str, used: Callable[[], Collection[str]]) -> None:
        """Forget an image and its names, and its layers where neither another image nor `used()` has them."""
        with self.lock():
            self._write_names({name: id_ for name, id_ in self.names().items() if id_ != image})
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self._images}/{image}.json")
            self._drop_layers(used)

    def clean(self, used: Callable[[], Collection[str]]) -> None:
        """Remove what loads and removals that were killed have left; `used()`: layers that containers have."""
        try:
            left = [name for name in os.listdir(self._images) if name.startswith(NEW)]
        except FileNotFoundError:
            return
        if not left:
            return
        with self.lock():
            dead = [name for name in left if self._is_dead(f"{self._images}/{name}")]
            if dead:
                self._drop_layers(used)
            for name in dead:
                remove_tree(f"{self._images}/{name}")

    @staticmethod
    def _is_dead(path: str) -> bool:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(fd)
        return True

    def _drop_layers(self, used: Callable[[], Collection[str]]) -> None:
        """Remove the layers of nobody; each is first moved to a directory that clean() knows. Call with the lock."""
        needed = {layer for image in self.all() for layer in image.layers}.union(used())
        unused = [name for name in os.listdir(self._layers) if name not in needed]
        if not unused:
            return
        grave = f"{self._images}/{NEW}{os.urandom(8).hex()}"
        os.mkdir(grave, 0o700)
        for name in unused:
            os.rename(f"{self._layers}/{name}", f"{grave}/{name}")
        remove_tree(grave)
