"""Docker's and OCI's seccomp profiles: JSON, and the rules of it that hold for one machine and set of capabilities.

The form is moby/profiles seccomp (archMap, includes, excludes), of which the
runtime-spec's linux.seccomp is a part. What is not one of its values is an
error; a key or a system call that is not known is left out, as Docker does.
"""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

from sandbox.errors import SandboxError
from sandbox.seccomp.filters import NEW_LISTENER

__all__ = ["ALLOW", "ERRNO", "Condition", "Machine", "Profile", "Rule", "parse"]

ERRNO, TRACE, ALLOW, LOG = 0x00050000, 0x7FF00000, 0x7FFF0000, 0x7FFC0000  # linux/seccomp.h, SECCOMP_RET_*
NOTIFY = 0x7FC00000
ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": ERRNO,
    "SCMP_ACT_TRACE": TRACE,
    "SCMP_ACT_LOG": LOG,
    "SCMP_ACT_ALLOW": ALLOW,
    "SCMP_ACT_NOTIFY": NOTIFY,
}
OPERATORS = frozenset(f"SCMP_CMP_{name}" for name in ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"))
FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": 1,
    "SECCOMP_FILTER_FLAG_LOG": 2,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 4,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": 32,
}
# Of these only the machine's own family comes to anything here (libseccomp, seccomp.h); crun takes the short ones too.
ARCHITECTURE = re.compile(
    "(?:SCMP_ARCH_)?(?:NATIVE|X86|X86_64|AMD64|X32|ARM|ARM64|AARCH64|MIPS(?:EL)?(?:64(?:N32)?)?|PPC(?:64(?:LE)?)?"
    "|S390X?|PARISC(?:64)?|RISCV64|LOONGARCH64|M68K|SH|SHEB)",
    re.IGNORECASE,
)
TSYNC = 1  # of one thread it means nothing, and the kernel does not take it together with a listener
SPEC_ALLOW = 4  # what runc sets when a profile names no flags: before Linux 5.16 a filter slowed the program down
ARGUMENTS = 6
T = TypeVar("T")
WORD = 2**64
LARGEST_ERRNO = 4095


class Machine(NamedTuple):
    """What decides which rules of a profile hold: `architecture` as Go calls it, the kernel's version, CAP_* names."""

    architecture: str
    kernel: tuple[int, int]
    capabilities: frozenset[str]


class Condition(NamedTuple):
    """A comparison of one argument; with MASKED_EQ `value` is the mask and `second` what is left of it."""

    argument: int
    operator: str
    value: int
    second: int


class Rule(NamedTuple):
    """What happens to these calls when all conditions hold; `action` is the kernel's SECCOMP_RET_* with its data."""

    names: tuple[str, ...]
    action: int
    conditions: tuple[Condition, ...] = ()


class Profile(NamedTuple):
    """A profile as it holds here: what happens by default, on which architectures besides the own, and the rules."""

    default: int
    architectures: frozenset[str]
    rules: tuple[Rule, ...]
    flags: int = SPEC_ALLOW


def parse(text: str, machine: Machine) -> Profile | None:
    """Return the profile, or None for an empty one, which restricts nothing; raises SandboxError with what is wrong."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SandboxError(f"seccomp profile: not JSON: {error}") from None
    top = _Object(document, "seccomp profile")
    if not document.get("defaultAction") and not document.get("syscalls"):
        return None
    default = _action(top, "defaultAction", "defaultErrnoRet")
    architectures = set(top.texts("architectures"))
    maps = top.objects("archMap")
    if architectures and maps:
        raise SandboxError("seccomp profile: 'architectures' and 'archMap' are both given, use either")
    for entry in maps:
        if _is_own(entry.text("architecture"), machine):
            architectures.update(entry.texts("subArchitectures"))
    for name in sorted(architectures):
        if not ARCHITECTURE.fullmatch(name):
            raise SandboxError(f"seccomp profile: {name!r} is not an architecture: SCMP_ARCH_X86_64 is one")
    rules = [rule for entry in top.objects("syscalls") if (rule := _rule(entry, machine))]
    flags = _flags(top)
    if any(rule.action == NOTIFY for rule in rules):
        flags = flags & ~TSYNC | NEW_LISTENER
    return Profile(default, frozenset(architectures), tuple(rules), flags)


def _is_own(name: str, machine: Machine) -> bool:
    return {"SCMP_ARCH_X86_64": "amd64", "SCMP_ARCH_AARCH64": "arm64"}.get(name) == machine.architecture


def _flags(top: _Object) -> int:
    names = top.texts("flags")
    if unknown := [name for name in names if name not in FLAGS]:
        raise SandboxError(f"seccomp profile: unknown flag {unknown[0]!r}")
    return sum(FLAGS[name] for name in set(names)) if names else SPEC_ALLOW


def _rule(entry: _Object, machine: Machine) -> Rule | None:
    """Return a rule that holds here; its form is checked in any case."""
    names = entry.texts("names")
    if single := entry.text("name"):
        if names:
            raise SandboxError(f"{entry.where}: 'name' and 'names' are both given, use either")
        names = (single,)
    action = _action(entry, "action", "errnoRet")
    conditions = tuple(_condition(each) for each in entry.objects("args"))
    included = _matches(entry.object("includes"), machine, every=True)
    excluded = _matches(entry.object("excludes"), machine, every=False)
    return Rule(names, action, conditions) if included and not excluded else None


def _matches(choice: _Object, machine: Machine, *, every: bool) -> bool:
    """Tell whether architecture, capabilities and kernel are those of a choice: all that it names, or any of it."""
    verdicts = []
    if arches := choice.texts("arches"):
        verdicts.append(machine.architecture in arches)
    if caps := choice.texts("caps"):
        verdicts.append((all if every else any)(name in machine.capabilities for name in caps))
    if kernel := choice.text("minKernel"):
        match = re.fullmatch(r"(\d{1,5})\.(\d{1,5})", kernel)
        if not match:
            raise SandboxError(f"{choice.where}: minKernel {kernel!r} is not a version such as 4.8")
        verdicts.append(machine.kernel >= (int(match[1]), int(match[2])))
    return all(verdicts) if every else any(verdicts)


def _action(entry: _Object, key: str, number_key: str) -> int:
    name = entry.text(key)
    if name == "SCMP_ACT_NOTIFY" and key == "defaultAction":
        raise SandboxError(f"{entry.where}: SCMP_ACT_NOTIFY cannot be used as {key}: no start is possible then")
    if name not in ACTIONS:
        raise SandboxError(f"{entry.where}: unknown {key} {name!r}")
    number = entry.number(number_key, errno.EPERM, LARGEST_ERRNO)
    return ACTIONS[name] | (number if ACTIONS[name] in (ERRNO, TRACE) else 0)


def _condition(entry: _Object) -> Condition:
    operator = entry.text("op")
    if operator not in OPERATORS:
        raise SandboxError(f"{entry.where}: unknown op {operator!r}")
    argument = entry.number("index", 0, ARGUMENTS - 1)
    value, second = entry.number("value", 0, WORD - 1), entry.number("valueTwo", 0, WORD - 1)
    return Condition(argument, operator, value, second)


class _Object:
    """A JSON object whose values are taken by type; `where` names it in errors."""

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise SandboxError(f"{where}: not a JSON object")
        self._values: Mapping[str, Any] = value
        self.where = where

    def _take(self, key: str, kind: type[T], empty: T) -> T:
        value = self._values.get(key)
        if value is None:
            return empty
        if not isinstance(value, kind) or isinstance(value, bool):
            raise SandboxError(f"{self.where}: {key!r} is not {'a list' if kind is list else 'of its type'}")
        return value

    def text(self, key: str) -> str:
        """Return a string, empty when it is missing."""
        return self._take(key, str, "")

    def number(self, key: str, default: int, largest: int) -> int:
        """Return a whole number from 0 to `largest`."""
        value = self._take(key, int, default)
        if not 0 <= value <= largest:
            raise SandboxError(f"{self.where}: {key!r} is not a number from 0 to {largest}")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of strings."""
        values = tuple(self._take(key, list, []))
        if not all(isinstance(value, str) for value in values):
            raise SandboxError(f"{self.where}: {key!r} is not a list of strings")
        return values

    def object(self, key: str) -> _Object:
        """Return an object, empty when it is missing."""
        return _Object(self._take(key, dict, {}), f"{self.where}.{key}")

    def objects(self, key: str) -> list[_Object]:
        """Return a list of objects."""
        values = self._take(key, list, [])
        return [_Object(value, f"{self.where}.{key}[{number}]") for number, value in enumerate(values)]
