"""What a container was made of, and how an image's configuration and a command line become one; pure.

The rules are Docker's (moby runconfig: Merge): what the command line tells
counts; of variables, labels, ports and volumes each by itself. An entrypoint
that is given drops the image's command as well, and an empty one both.
"""

from __future__ import annotations

from collections.abc import Sequence

from sandbox.errors import SandboxError
from sandbox.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Defaults", "Origin", "command", "defaults"]

Pairs = tuple[tuple[str, str], ...]


class Origin(Value):
    """The image, and what of its configuration is nobody else's concern. Without an `id` it was a directory."""

    id: str = ""
    name: str = ""
    layers: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    ports: tuple[str, ...] = ()

    def document(self, argv: Sequence[str], exposed: Sequence[str] = ()) -> dict[str, Any]:
        """Return the part of Docker's Config; `exposed` are the ports of the command line."""
        command = list(argv[len(self.entrypoint or ()) :])
        entrypoint = None if self.entrypoint is None else list(self.entrypoint)
        found: dict[str, Any] = {"Cmd": command, "Entrypoint": entrypoint}
        if ports := sorted({*self.ports, *exposed}):
            found["ExposedPorts"] = {port: {} for port in ports}
        return found


class Defaults(Value):
    """What an image says of its containers, checked: it comes from anywhere."""

    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: tuple[str, ...] = ()  # always with a value: a bare name would take the host's
    workdir: str = ""
    user: str = ""
    labels: Pairs = ()
    ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    stop_signal: str = ""
    health: dict[str, Any] | None = None


def defaults(config: object) -> Defaults:
    """Return what the configuration of an image (its part `config`) says; SandboxError when it is malformed."""
    if config is None:
        return Defaults()
    if not isinstance(config, dict):
        raise SandboxError("the image's configuration is malformed: config is not an object")
    health = config.get("Healthcheck")
    if health is not None and not isinstance(health, dict):
        raise SandboxError("the image's configuration is malformed: Healthcheck is not an object")
    entrypoint = _words(config, "Entrypoint")
    return Defaults(
        entrypoint=() if entrypoint == ("",) else entrypoint,  # ENTRYPOINT [""]: without that of the image below
        command=_words(config, "Cmd"),
        env=tuple(item for item in _words(config, "Env") if item.find("=") > 0),
        workdir=_text(config, "WorkingDir"),
        user=_text(config, "User"),
        labels=tuple((key, str(value)) for key, value in _object(config, "Labels").items()),
        ports=tuple(_object(config, "ExposedPorts")),
        volumes=tuple(_object(config, "Volumes")),
        stop_signal=_text(config, "StopSignal"),
        health=health,
    )


def _words(config: dict[str, Any], key: str) -> tuple[str, ...]:
    found = config.get(key) or []
    if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
        raise SandboxError(f"the image's configuration is malformed: {key} is not a list of words")
    return tuple(found)


def _text(config: dict[str, Any], key: str) -> str:
    found = config.get(key) or ""
    if not isinstance(found, str):
        raise SandboxError(f"the image's configuration is malformed: {key} is not a text")
    return found


def _object(config: dict[str, Any], key: str) -> dict[str, Any]:
    found = config.get(key) or {}
    if not isinstance(found, dict):
        raise SandboxError(f"the image's configuration is malformed: {key} is not an object")
    return found


def command(
    image: Defaults, words: Sequence[str], entrypoint: str | None
) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """Return the entrypoint (None: there is none) and all that is executed.

    `entrypoint` is what --entrypoint says, None when it is not given.
    """
    if entrypoint is None:
        program = image.entrypoint
        rest = tuple(words) or image.command
    else:
        program = (entrypoint,) if entrypoint else ()
        rest = tuple(words)
    if not program + rest:
        raise SandboxError("no command specified: neither the image nor the command line has one")
    return program or None, program + rest
