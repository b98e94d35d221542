"""`import -c`: those instructions of a Dockerfile that change an image's configuration alone; pure."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import Any

from sandbox.errors import BadValue, SandboxError
from sandbox.images.words import expand, split, split_expanded
from sandbox.lifecycle import nanoseconds
from sandbox.network.ports import parse_exposed
from sandbox.signals import number_of

__all__ = ["apply_changes"]

SHELL = ["/bin/sh", "-c"]
TEXTS = {"USER": "User", "STOPSIGNAL": "StopSignal"}
DURATIONS = {
    "interval": "Interval",
    "timeout": "Timeout",
    "start-period": "StartPeriod",
    "start-interval": "StartInterval",
}


def apply_changes(config: dict[str, Any], texts: Sequence[str]) -> None:
    """Apply instructions, such as `ENV A=b` or `CMD ["sh"]`, in turn to the `config` of an image."""
    told: set[str] = set()
    for text in texts:
        word, _, rest = text.strip().partition(" ")
        rest = rest.strip()
        instruction = word.upper()
        if not rest:
            raise SandboxError(f"--change {text!r}: {instruction or 'an instruction'} requires an argument")
        if instruction == "ENTRYPOINT" and "CMD" not in told:  # that was for the one before
            config.pop("Cmd", None)
        told.add(instruction)
        try:
            _apply(config, instruction, rest)
        except (ValueError, RecursionError, BadValue, SandboxError) as error:
            raise SandboxError(f"--change {text!r}: {error}") from None


def _apply(config: dict[str, Any], instruction: str, rest: str) -> None:
    values = dict(item.split("=", 1) for item in config.get("Env", []))
    if instruction in ("CMD", "ENTRYPOINT"):
        config[instruction.capitalize()] = _command(rest)
    elif instruction in ("ENV", "LABEL"):
        _add_pairs(config, instruction, rest, values)
    elif instruction == "EXPOSE":
        ports = dict.fromkeys(_ports(split_expanded(rest, values)))
        config["ExposedPorts"] = {**config.get("ExposedPorts", {}), **{port: {} for port in ports}}
    elif instruction == "VOLUME":
        words = _list(rest)
        paths = split_expanded(rest, values) if words is None else [expand(word, values) for word in words]
        config["Volumes"] = {**config.get("Volumes", {}), **{path: {} for path in paths}}
    elif instruction in TEXTS:
        config[TEXTS[instruction]] = found = expand(rest, values)
        if instruction == "STOPSIGNAL":
            number_of(found)
    elif instruction == "WORKDIR":
        path = expand(rest, values)
        before = config.get("WorkingDir") or "/"
        config["WorkingDir"] = path if path.startswith("/") else posixpath.normpath(posixpath.join(before, path))
    elif instruction == "HEALTHCHECK":
        config["Healthcheck"] = _healthcheck(rest)
    else:
        raise SandboxError(f"{instruction} is not a valid change")


def _ports(words: Sequence[str]) -> tuple[str, ...]:
    try:
        return parse_exposed(words)
    except BadValue:
        raise SandboxError("the form of a port is 80, 53/udp or 8000-8080") from None


def _list(text: str) -> list[str] | None:
    """Return the JSON form of a list of words, or None when it is not one."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, list):
        return None
    if not all(isinstance(word, str) for word in found):
        raise SandboxError("when using JSON array syntax, arrays must be comprised of strings only")
    return found


def _command(text: str) -> list[str]:
    words = _list(text)
    return [*SHELL, text] if words is None else words


def _healthcheck(rest: str) -> dict[str, Any]:
    """Read `[--interval=30s ...] CMD COMMAND`, or `NONE`."""
    if rest.upper() == "NONE":
        return {"Test": ["NONE"]}
    found: dict[str, Any] = {}
    while rest.startswith("--"):
        word, _, rest = rest.partition(" ")
        name, _, value = word[2:].partition("=")
        rest = rest.strip()
        if name == "retries" and re.fullmatch("[0-9]{1,9}", value):
            found["Retries"] = int(value)
        elif name in DURATIONS:
            found[DURATIONS[name]] = nanoseconds(value, f"--{name}")
        else:
            options = ", ".join(f"--{each}" for each in DURATIONS)
            raise SandboxError(f"{word}: known are --retries=N and, with a duration, {options}")
    word, _, command = rest.partition(" ")
    if word.upper() != "CMD" or not command.strip():
        raise SandboxError("the form is HEALTHCHECK [OPTIONS] CMD COMMAND, or HEALTHCHECK NONE")
    words = _list(command)
    found["Test"] = ["CMD-SHELL", command.strip()] if words is None else ["CMD", *words]
    return found


def _add_pairs(config: dict[str, Any], instruction: str, text: str, values: Mapping[str, str]) -> None:
    """Add `K=V K2=V2`, or the old `K V`."""
    words = split(text)
    if "=" not in words[0]:
        words = ["=".join(text.split(None, 1))]
    parts = [word.split("=", 1) for word in words]
    if any(len(part) == 1 or not expand(part[0], values) for part in parts):
        raise SandboxError("the form is NAME=VALUE")
    pairs = {expand(name, values): expand(value, values) for name, value in parts}
    if instruction == "LABEL":
        config["Labels"] = {**config.get("Labels", {}), **pairs}
    else:
        config["Env"] = [f"{key}={value}" for key, value in {**values, **pairs}.items()]
