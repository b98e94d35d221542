"""The environment that a container's programs begin with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sandbox.errors import BadValue

__all__ = ["environment"]

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def environment(
    given: Iterable[str], host: Mapping[str, str], *, hostname: str = "", tty: bool = False
) -> tuple[str, ...]:
    """Return the program's environment: the defaults, then `-e` (`K` alone takes the host's value; the last wins)."""
    result = {"PATH": PATH}
    if hostname:
        result["HOSTNAME"] = hostname
    if tty:
        result["TERM"] = "xterm"
    for item in given:
        key, equals, value = item.partition("=")
        if not key:
            raise BadValue(f"invalid environment variable: {item!r}")
        if equals:
            result[key] = value
        elif key in host:
            result[key] = host[key]
    return tuple(f"{key}={value}" for key, value in result.items())
