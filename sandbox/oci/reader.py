"""A configuration's JSON, taken value by value with its type, and an error that says where a wrong one stands."""

from __future__ import annotations

import json
import os
from typing import Any

from sandbox.errors import SandboxError

__all__ = ["Reader", "load"]

LARGEST_FILE = 16 << 20
# What goes into the kernel's own words: a number that fits none of them is wrong anywhere.
LARGEST, SMALLEST = 2**64 - 1, -(2**63)
NAMES = {bool: "boolean", int: "whole number", str: "string", list: "list", dict: "object"}


class Reader:
    """An object of the configuration, with its place in it for the errors."""

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise SandboxError(f"config.json: {where or 'the whole'} is not an object", 1)
        self.value: dict[str, Any] = value
        self.where = where

    def name(self, key: str) -> str:
        """Return where a value stands."""
        return f"{self.where}.{key}" if self.where else key

    def wrong(self, key: str, why: str) -> SandboxError:
        """Return the error that says what is wrong with a value."""
        return SandboxError(f"config.json: {self.name(key)} {why}", 1)

    def get(self, key: str, kind: type, default: Any) -> Any:  # noqa: ANN401  of the kind that is asked for
        """Return a value; null is none."""
        found = self.value.get(key)
        if found is None:
            return default
        if not isinstance(found, kind) or (kind is int and isinstance(found, bool)):
            raise self.wrong(key, f"is not a {NAMES[kind]}")
        if isinstance(found, int) and not SMALLEST <= found <= LARGEST:
            raise self.wrong(key, "is out of range")
        return found

    def number(self, key: str, default: int, low: int, high: int) -> int:
        """Return a whole number between two, which may be these."""
        found: int = self.get(key, int, default)
        if not low <= found <= high:
            raise self.wrong(key, f"is not from {low} to {high}")
        return found

    def text(self, key: str) -> str:
        """Return a string, which is "" by default."""
        found: str = self.get(key, str, "")
        if not _is_text(found):
            raise self.wrong(key, "holds a NUL byte or half a character")
        return found

    def word(self, key: str, words: dict[str, int]) -> int:
        """Return what one of these words stands for."""
        found = self.text(key)
        if found not in words:
            raise self.wrong(key, f"{found!r} is none of {', '.join(words)}")
        return words[found]

    def words(self, key: str, words: dict[str, int]) -> int:
        """Return the sum of what a list of these words stands for."""
        found = self.texts(key)
        if unknown := [word for word in found if word not in words]:
            raise self.wrong(key, f"{unknown[0]!r} is none of {', '.join(words)}")
        return sum({words[word] for word in found})

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of strings."""
        found = self.get(key, list, [])
        if not all(isinstance(item, str) and _is_text(item) for item in found):
            raise self.wrong(key, "is not a list of strings")
        return tuple(found)

    def numbers(self, key: str, low: int, high: int) -> tuple[int, ...]:
        """Return a list of whole numbers."""
        found = self.get(key, list, [])
        if not all(isinstance(item, int) and not isinstance(item, bool) and low <= item <= high for item in found):
            raise self.wrong(key, f"is not a list of whole numbers from {low} to {high}")
        return tuple(found)

    def object(self, key: str) -> Reader:
        """Return an object, which is empty by default."""
        return Reader(self.get(key, dict, {}), self.name(key))

    def objects(self, key: str) -> list[Reader]:
        """Return a list of objects."""
        return [Reader(item, f"{self.name(key)}[{index}]") for index, item in enumerate(self.get(key, list, []))]

    def pairs(self, key: str) -> tuple[tuple[str, str], ...]:
        """Return an object of strings."""
        found = self.get(key, dict, {})
        if not all(isinstance(value, str) and _is_text(value) and _is_text(name) for name, value in found.items()):
            raise self.wrong(key, "has a value that is no string")
        return tuple(found.items())


def _is_text(found: str) -> bool:
    """Tell whether it can be given to the kernel: no NUL, nor half of a surrogate pair, which JSON can hold."""
    return "\0" not in found and not any("\ud800" <= char <= "\udfff" for char in found)


def load(path: str) -> object:
    """Return what a file of JSON holds; SandboxError for one that is missing, too large, or something else."""
    try:
        # Not a FIFO of somebody's, at which we would wait.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(fd, "rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise SandboxError(f"{path}: {error.strerror}", 1) from None
    if len(data or b"") > LARGEST_FILE:
        raise SandboxError(f"{path}: larger than {LARGEST_FILE} bytes", 1)
    try:
        return json.loads(data or b"")
    except (ValueError, RecursionError) as error:
        raise SandboxError(f"{path}: not JSON: {error}", 1) from None
