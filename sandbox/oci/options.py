"""What the options of an OCI mount mean, and the cgroup files of its `resources`; pure tables.

runtime-spec config.md and config-linux.md; the names of mount(8).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from sandbox import devices
from sandbox.errors import SandboxError
from sandbox.limits import UNLIMITED, Limits, Throttle
from sandbox.syscalls import (
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_RDONLY,
    MS_REC,
    MS_RELATIME,
    MS_STRICTATIME,
)

__all__ = ["Options", "device_rules", "limits_of", "parse_options"]

MS_SYNCHRONOUS, MS_MANDLOCK, MS_DIRSYNC, MS_NOATIME, MS_NODIRATIME = 0x10, 0x40, 0x80, 0x400, 0x800
# Name: bits that are set, bits that are cleared.
FLAGS = {
    "defaults": (0, 0),
    "bind": (MS_BIND, 0),
    "rbind": (MS_BIND | MS_REC, 0),
    "ro": (MS_RDONLY, 0),
    "rw": (0, MS_RDONLY),
    "nosuid": (MS_NOSUID, 0),
    "suid": (0, MS_NOSUID),
    "nodev": (MS_NODEV, 0),
    "dev": (0, MS_NODEV),
    "noexec": (MS_NOEXEC, 0),
    "exec": (0, MS_NOEXEC),
    "sync": (MS_SYNCHRONOUS, 0),
    "async": (0, MS_SYNCHRONOUS),
    "dirsync": (MS_DIRSYNC, 0),
    "mand": (MS_MANDLOCK, 0),
    "nomand": (0, MS_MANDLOCK),
    "noatime": (MS_NOATIME, 0),
    "atime": (0, MS_NOATIME),
    "nodiratime": (MS_NODIRATIME, 0),
    "diratime": (0, MS_NODIRATIME),
    "relatime": (MS_RELATIME, 0),
    "norelatime": (0, MS_RELATIME),
    "strictatime": (MS_STRICTATIME, 0),
    "nostrictatime": (0, MS_STRICTATIME),
}
# Nothing of a container's mounts goes out; what a slave is told of comes in.
PRIVATE = frozenset({"private", "rprivate", "slave", "rslave", "unbindable", "runbindable"})
REFUSED = frozenset(
    {"shared", "rshared", "remount", "idmap", "ridmap", "copy-symlink", "src-nofollow", "dest-nofollow"}
)
COPY_UP = "tmpcopyup"
ACCESS = frozenset("rwm")
# memory.kernel is none of them: the kernel itself keeps no such limit since 5.16.
UNSUPPORTED = {
    "": ("network", "rdma", "unified"),
    "cpu.": ("idle", "realtimePeriod", "realtimeRuntime"),
    "memory.": ("kernelTCP",),
    "blockIO.": ("leafWeight", "leafWeightDevice", "weightDevice"),
}
THROTTLES = {
    "throttleReadBpsDevice": "read_bps",
    "throttleWriteBpsDevice": "write_bps",
    "throttleReadIOPSDevice": "read_iops",
    "throttleWriteIOPSDevice": "write_iops",
}


class Options(NamedTuple):
    """MS_* flags, what the filesystem itself reads, and what is neither."""

    flags: int
    data: str
    propagation: str
    copy_up: bool


def parse_options(options: Iterable[str], where: str) -> Options:
    """Sort the options of a mount; SandboxError for one that cannot be kept."""
    flags, data, propagation, copy_up = 0, [], "", False
    for option in options:
        if option in FLAGS:
            wanted, unwanted = FLAGS[option]
            flags = (flags | wanted) & ~unwanted
        elif option in REFUSED or option.startswith(("idmap=", "ridmap=")):
            raise SandboxError(f"config.json: mount {where}: the option {option!r} is not supported", 1)
        elif option in PRIVATE:
            propagation = option
        elif option == COPY_UP:
            copy_up = True
        else:
            data.append(option)
    return Options(flags, ",".join(data), propagation, copy_up)


def limits_of(resources: Mapping[str, Any]) -> Limits:
    """Return the limits that `resources` asks for; SandboxError for what is wrong or cannot be kept."""
    with _checked("linux.resources"):
        return _limits(resources)


@contextlib.contextmanager
def _checked(where: str) -> Iterator[None]:
    """Turn what a value of another type leads to into an error that tells where it is."""
    try:
        yield
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise SandboxError(f"config.json: {where}: {type(error).__name__}: {error}", 1) from None


def _limits(resources: Mapping[str, Any]) -> Limits:
    memory, cpu = resources.get("memory") or {}, resources.get("cpu") or {}
    block, pids = resources.get("blockIO") or {}, (resources.get("pids") or {}).get("limit")
    for name, asked in (("", resources), ("cpu.", cpu), ("memory.", memory), ("blockIO.", block)):
        for key in UNSUPPORTED[name]:
            if asked.get(key):
                raise SandboxError(f"config.json: linux.resources.{name}{key} is not supported", 1)
    limit, swap = memory.get("limit") or None, memory.get("swap") or None
    limit = None if limit == UNLIMITED else limit
    return Limits(
        cpu_quota_us=cpu.get("quota") or None,
        cpu_period_us=cpu.get("period") or None,
        cpu_burst_us=cpu.get("burst") or None,
        cpu_shares=cpu.get("shares") or None,
        cpuset_cpus=cpu.get("cpus") or "",
        cpuset_mems=cpu.get("mems") or "",
        memory_bytes=limit,
        memory_swap_bytes=swap if limit else None,
        memory_reservation_bytes=memory.get("reservation") or None,
        memory_swappiness=memory.get("swappiness"),
        oom_kill_disable=bool(memory.get("disableOOMKiller")),
        pids=None if not pids else pids if pids > 0 else UNLIMITED,
        blkio_weight=block.get("weight") or None,
        throttles=tuple(_throttles(block)),
        huge_pages=tuple((each["pageSize"], int(each["limit"])) for each in resources.get("hugepageLimits") or ()),
    )


def _throttles(block: Mapping[str, Any]) -> Iterable[Throttle]:
    for key, kind in THROTTLES.items():
        for each in block.get(key) or ():
            yield Throttle(kind, "", f"{int(each['major'])}:{int(each['minor'])}", int(each["rate"]))


def device_rules(resources: Mapping[str, Any]) -> tuple[devices.Rule, ...] | None:
    """Return which devices may be used, runc's usual ones with them; None where nothing is denied.

    The list is gone through in its order, as v1's files would: a rule that denies everything forgets what came before.
    """
    with _checked("linux.resources.devices"):
        return _device_rules(resources)


def _device_rules(resources: Mapping[str, Any]) -> tuple[devices.Rule, ...] | None:
    allowed: list[devices.Rule] = []
    everything = True
    for entry in resources.get("devices") or ():
        rule = _rule(entry)
        if rule.kind == "a":
            everything, allowed = bool(entry["allow"]), []
        elif entry["allow"]:
            allowed.append(rule)
        elif not everything:
            allowed = [one for one in allowed if one != rule]
    return None if everything else (*allowed, *devices.DEFAULT_RULES)


def _rule(entry: Mapping[str, Any]) -> devices.Rule:
    kind, access = str(entry.get("type") or "a"), str(entry.get("access") or "rwm")
    numbers = [entry.get(key) for key in ("major", "minor")]
    if kind not in ("a", "b", "c", "u", "p") or set(access) - ACCESS or "allow" not in entry:
        raise SandboxError(f"config.json: linux.resources.devices: {dict(entry)!r} is no rule", 1)
    major, minor = (None if number in (None, -1) else int(number) for number in numbers)
    return devices.Rule("c" if kind == "u" else kind, major, minor, access)
