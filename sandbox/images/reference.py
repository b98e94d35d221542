"""Names of images: `[host[:port]/]path[:tag]`, as distribution/reference has them; pure.

What Docker adds in private is left away: `docker.io/library/busybox:latest` is `busybox:latest`.
"""

from __future__ import annotations

import re

from sandbox.errors import SandboxError

__all__ = ["IMAGE_ID", "digest_of", "normalise", "split"]

COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
HOST = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*(?::[0-9]+)?"
NAME = re.compile(rf"(?:(?:{HOST})/)?{COMPONENT}(?:/{COMPONENT})*", re.ASCII)
TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
IMAGE_ID = re.compile(r"(?:sha256:)?([0-9a-f]{1,64})", re.ASCII)
WHOLE = 64
LONGEST_NAME = 255
DEFAULT_TAG = "latest"


def split(reference: str) -> tuple[str, str]:
    """Return repository and tag of a reference; the tag is "" when there is none."""
    colon = reference.rfind(":")
    if colon > reference.rfind("/"):
        return reference[:colon], reference[colon + 1 :]
    return reference, ""


def normalise(reference: str) -> str:
    """Return `name:tag`, with `latest` where no tag is given; SandboxError for what is no name of an image."""
    name, tag = split(reference)
    if name != reference and not tag:
        raise SandboxError(f"invalid reference format: {reference!r}")
    for prefix in ("index.docker.io/", "docker.io/"):
        name = name.removeprefix(prefix)
    name = name.removeprefix("library/")
    if name != name.lower() and "/" not in name:
        raise SandboxError(f"invalid reference format: repository name {name!r} must be lowercase")
    if name == "sha256":
        raise SandboxError(f"invalid reference format: {reference!r} is the id of an image, and no name for one")
    digits = len(name) == WHOLE and IMAGE_ID.fullmatch(name)
    if len(name) > LONGEST_NAME or digits or not NAME.fullmatch(name) or (tag and not TAG.fullmatch(tag)):
        raise SandboxError(f"invalid reference format: {reference[:LONGEST_NAME]!r}")
    return f"{name}:{tag or DEFAULT_TAG}"


def digest_of(text: object) -> str:
    """Return the 64 digits of `sha256:...`; SandboxError when it is none."""
    digits = text.removeprefix("sha256:") if isinstance(text, str) else ""
    if len(digits) != WHOLE or not IMAGE_ID.fullmatch(digits):
        raise SandboxError(f"{text!r} is not a sha256 digest")
    return digits
