"""`import -c`: those instructions of a Dockerfile that change an image's configuration alone; pure."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

from sandbox.errors import BadValue, SandboxError
from sandbox.lifecycle import nanoseconds
from sandbox.network.ports import parse_exposed
from sandbox.signals import number_of

__all__ = ["apply_change"]

SHELL = ["/bin/sh", "-c"]
TEXTS = {"USER": "User", "STOPSIGNAL": "StopSignal"}
DURATIONS = {
    "interval": "Interval",
    "timeout": "Timeout",
    "start-period": "StartPeriod",
    "start-interval": "StartInterval",
}


def apply_change(config: dict[str, Any], text: str) -> None:
    """Apply one instruction, such as `ENV A=b` or `CMD ["sh"]`, to the `config` of an image."""
    word, _, rest = text.strip().partition(" ")
    rest = rest.strip()
    instruction = word.upper()
    if not rest:
        raise SandboxError(f"--change {text!r}: {instruction or 'an instruction'} requires an argument")
    if instruction in ("CMD", "ENTRYPOINT"):
        config[instruction.capitalize()] = _command(rest)
        if instruction == "ENTRYPOINT":
            config.pop("Cmd", None)
    elif instruction in ("ENV", "LABEL"):
        _add_pairs(config, instruction, rest)
    elif instruction == "EXPOSE":
        config["ExposedPorts"] = {**config.get("ExposedPorts", {}), **{port: {} for port in _ports(text, rest)}}
    elif instruction == "VOLUME":
        config["Volumes"] = {**config.get("Volumes", {}), **{path: {} for path in _list(rest) or rest.split()}}
    elif instruction in TEXTS:
        config[TEXTS[instruction]] = _text(instruction, rest)
    elif instruction == "WORKDIR":
        config["WorkingDir"] = rest if rest.startswith("/") else f"{config.get('WorkingDir') or '/'}/{rest}"
    elif instruction == "HEALTHCHECK":
        config["Healthcheck"] = _healthcheck(text, rest)
    else:
        raise SandboxError(f"--change {text!r}: {instruction} is not a valid change")


def _text(instruction: str, text: str) -> str:
    if instruction == "STOPSIGNAL":
        try:
            number_of(text)
        except SandboxError as error:
            raise SandboxError(f"--change {instruction} {text!r}: {error}") from None
    return text


def _ports(text: str, rest: str) -> tuple[str, ...]:
    try:
        return parse_exposed(rest.split())
    except BadValue:
        raise SandboxError(f"--change {text!r}: the form of a port is 80, 53/udp or 8000-8080") from None


def _list(text: str) -> list[str] | None:
    """Return the JSON form of a list of words, or None when it is not one."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) and all(isinstance(word, str) for word in found) else None


def _command(text: str) -> list[str]:
    words = _list(text)
    return [*SHELL, text] if words is None else words


def _healthcheck(text: str, rest: str) -> dict[str, Any]:
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
            found[DURATIONS[name]] = nanoseconds(value, f"--change {text!r}: --{name}")
        else:
            raise SandboxError(f"--change {text!r}: {word}: known are --retries=N and, with a duration, "
                               f"{', '.join(f'--{each}' for each in DURATIONS)}")  # fmt: skip
    word, _, command = rest.partition(" ")
    if word.upper() != "CMD" or not command.strip():
        raise SandboxError(f"--change {text!r}: the form is HEALTHCHECK [OPTIONS] CMD COMMAND, or HEALTHCHECK NONE")
    words = _list(command)
    found["Test"] = ["CMD-SHELL", command.strip()] if words is None else ["CMD", *words]
    return found


def _add_pairs(config: dict[str, Any], instruction: str, text: str) -> None:
    """Add `K=V K2=V2`, or the old `K V`."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise SandboxError(f"--change {instruction} {text!r}: {error}") from None
    if "=" not in words[0]:
        words = ["=".join(text.split(None, 1))]
    pairs = dict(word.split("=", 1) for word in words if "=" in word)
    if len(pairs) < len({word.split("=")[0] for word in words}) or "" in pairs:
        raise SandboxError(f"--change {instruction} {text!r}: the form is NAME=VALUE")
    if instruction == "LABEL":
        config["Labels"] = {**config.get("Labels", {}), **pairs}
    else:
        known = dict(item.split("=", 1) for item in config.get("Env", []))
        config["Env"] = [f"{key}={value}" for key, value in {**known, **pairs}.items()]
