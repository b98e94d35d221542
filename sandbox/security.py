"""`--security-opt`: what a container may not do besides its capabilities; seccomp, no_new_privs, guarded paths.

The options and their form are Docker's (docker/cli opts, moby daemon/daemon_unix.go).
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping

from sandbox import capabilities
from sandbox.errors import BadValue, SandboxError
from sandbox.privileges import Rights
from sandbox.seccomp.filters import builtin_profile, filter_of
from sandbox.value import Value, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["BUILTIN", "UNCONFINED", "Security", "of_document", "parse", "rights", "rights_of", "split"]

BUILTIN, UNCONFINED = "builtin", "unconfined"
LARGEST_PROFILE = 1 << 20
BOOLEANS = {"": True, "true": True, "1": True, "false": False, "0": False}


class Security(Value):
    """`seccomp` is "builtin", "unconfined" or a profile itself; `system_paths`: /proc and /sys are guarded.

    `options` are as the user gave them, with the profile in place of its path; `apparmor` is the name of a profile.
    """

    seccomp: str = BUILTIN
    no_new_privileges: bool = False
    system_paths: bool = True
    options: tuple[str, ...] = ()
    apparmor: str = ""


def parse(options: Iterable[str], *, privileged: bool) -> Security:
    """Return what the options ask for; raises SandboxError for one that is not known or cannot be kept here."""
    seccomp = UNCONFINED if privileged else BUILTIN
    no_new_privileges, system_paths = False, not privileged
    kept, profile = [], ""
    for option in options:
        name, separator, value = split(option)
        if name == "no-new-privileges" and value in BOOLEANS and bool(separator) == bool(value):
            no_new_privileges = BOOLEANS[value]
        elif name == "seccomp" and value:
            seccomp = value if value in (BUILTIN, UNCONFINED) else _read_profile(value)
            kept.append(f"seccomp={seccomp}")
            continue
        elif option in ("systempaths=unconfined", "systempaths:unconfined"):
            system_paths = False
        elif name == "apparmor" and value:
            profile = _apparmor(value)
        elif name == "label":
            _refuse_label(value)
        else:
            raise BadValue(f"invalid --security-opt: {option!r}")
        kept.append(option)
    return Security(seccomp, no_new_privileges, system_paths, tuple(kept), profile)


def split(option: str) -> tuple[str, str, str]:
    """Split an option as Docker does: at the first "=", or ":" where it has none."""
    return option.partition("=" if "=" in option else ":")


def _apparmor(value: str) -> str:
    if value == UNCONFINED:
        return ""
    from sandbox import apparmor  # noqa: PLC0415  rare

    option = "--security-opt apparmor"
    apparmor.require(apparmor.name_of(value, option), option)
    return value


def _refuse_label(value: str) -> None:
    """Refuse to promise what SELinux would have to keep."""
    if value != "disable":
        present = os.path.isdir("/sys/fs/selinux")
        reason = "the sandbox does not set SELinux up" if present else "this kernel runs without SELinux"
        raise SandboxError(f"--security-opt label={value}: {reason}")


def _read_profile(path: str) -> str:
    """Return a profile's text, without the blanks, as it is kept and shown."""
    import json  # noqa: PLC0415

    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST_PROFILE + 1)
    except OSError as error:
        raise BadValue(f"opening seccomp profile ({path}) failed: {error.strerror}") from None
    if len(data) > LARGEST_PROFILE:
        raise BadValue(f"seccomp profile ({path}) is larger than {LARGEST_PROFILE} bytes")
    try:
        return json.dumps(json.loads(data), separators=(",", ":"))
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise BadValue(f"compacting json for seccomp profile ({path}) failed: {reason}") from None


def rights(security: Security, granted: Collection[str], root: str) -> Rights:
    """Return what programs may do that have these capabilities; `root` is the state directory, where filters are."""
    chosen = None
    if security.seccomp != UNCONFINED:
        profile = builtin_profile() if security.seccomp == BUILTIN else security.seccomp
        chosen = filter_of(profile, granted, root)
    return Rights(capabilities.mask(granted), security.no_new_privileges, chosen, apparmor=security.apparmor)


def of_document(host_config: Mapping[str, Any]) -> Security:
    """Return a container's options again, from inspect's HostConfig; the profile is in it, not its path."""
    options = list(host_config.get("SecurityOpt") or ())
    profiles = [option.partition("=")[2] for option in options if option.startswith("seccomp=")]
    others = (option for option in options if not option.startswith("seccomp="))
    found = parse(others, privileged=bool(host_config["Privileged"]))
    return replace(found, seccomp=profiles[-1] if profiles else found.seccomp, options=tuple(options))


def rights_of(document: Mapping[str, Any], root: str) -> Rights:
    """Return what a running container's programs may do, from its document; `root` is the state directory."""
    mask = int(document["Cgscope"]["Capabilities"])
    return rights(of_document(document["HostConfig"]), capabilities.names(mask), root)
