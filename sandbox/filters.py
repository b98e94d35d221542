"""`--filter KEY=VALUE` of verbs that list; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from sandbox.errors import BadValue, SandboxError

__all__ = ["chooser", "has_label", "split_filter"]


def split_filter(text: str, known: Iterable[str]) -> tuple[str, str]:
    """Return key and value; BadValue without `=` (Docker's client sees that), SandboxError (1) for an unknown key."""
    key, equals, value = text.partition("=")
    key = key.strip().lower()
    if not equals:
        raise BadValue(f"invalid filter {text!r}: the form is key=value")
    if key not in known:
        raise SandboxError(f"invalid filter {key!r}: known are {', '.join(known)}", 1)
    return key, value


def has_label(labels: Mapping[str, str], wanted: str) -> bool:
    """Tell whether a label is there, by `KEY` or `KEY=VALUE`."""
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)


def chooser(texts: Iterable[str]) -> Callable[[Mapping[str, str]], bool]:
    """Return what tells by its labels whether something is meant by all of `label=K[=V]` and `label!=K[=V]`."""
    wanted = [split_filter(text, ("label", "label!")) for text in texts]
    return lambda labels: all(has_label(labels, value) == (key == "label") for key, value in wanted)
