"""What `linux.resources` asks of the container's cgroups: limits, device rules, and files that only it knows; pure.

runtime-spec config-linux.md. A limit of 0 is none, as engines send it for what nobody asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sandbox import cgroup, control, devices
from sandbox.errors import SandboxError
from sandbox.limits import CPU_LIST, UNLIMITED, WEIGHT, Limits, Throttle
from sandbox.oci.reader import Reader

__all__ = ["device_rules", "limits_of", "steps_of"]

WHERE = "linux.resources"
LARGEST = 2**63 - 1
ACCESS = frozenset("rwm")
# memory.kernel is none of them: the kernel itself keeps no such limit since 5.16.
UNSUPPORTED = {"": ("network", "rdma"), "memory": ("kernelTCP",), "blockIO": ("leafWeight", "leafWeightDevice")}
THROTTLES = {
    "throttleReadBpsDevice": "read_bps",
    "throttleWriteBpsDevice": "write_bps",
    "throttleReadIOPSDevice": "read_iops",
    "throttleWriteIOPSDevice": "write_iops",
}
# What sandbox.limits has no word for, and its file on v1 and on v2.
FILES = {
    "realtimeRuntime": ("cpu.rt_runtime_us", ""),
    "realtimePeriod": ("cpu.rt_period_us", ""),
    "idle": ("cpu.idle", "cpu.idle"),
}
UNIFIED = r"[a-z]+[a-z0-9_.-]*"
# On v1 what both may have together comes off first, on v2 they are apart; without swap there is no file for it.
UNBOUND = {1: (("memory.memsw.limit_in_bytes", "-1", True), ("memory.limit_in_bytes", "-1", False)),
           2: (("memory.max", "max", False), ("memory.swap.max", "max", True))}  # fmt: skip


def limits_of(resources: Mapping[str, Any]) -> Limits:
    """Return the limits that `resources` asks for; SandboxError for what is wrong or cannot be kept."""
    top = Reader(resources, WHERE)
    memory, cpu, block = (top.object(name) for name in ("memory", "cpu", "blockIO"))
    for name, asked in (("", top), ("memory", memory), ("blockIO", block)):
        for key in UNSUPPORTED[name]:
            if asked.value.get(key):
                raise asked.wrong(key, "is not supported")
    limit, swap = (_amount(memory, key, low=UNLIMITED) for key in ("limit", "swap"))
    limit = None if limit == UNLIMITED else limit
    pids = top.object("pids").number("limit", 0, -(2**63), LARGEST)
    try:
        return Limits(
            cpu_quota_us=_amount(cpu, "quota", low=-LARGEST),
            cpu_period_us=_amount(cpu, "period"),
            cpu_burst_us=cpu.number("burst", 0, 0, LARGEST) if cpu.value.get("burst") is not None else None,
            cpu_shares=_amount(cpu, "shares"),
            cpuset_cpus=_list(cpu, "cpus"),
            cpuset_mems=_list(cpu, "mems"),
            memory_bytes=limit,
            memory_swap_bytes=swap if limit else None,
            memory_reservation_bytes=_amount(memory, "reservation", low=UNLIMITED),
            memory_swappiness=memory.get("swappiness", int, None),
            oom_kill_disable=memory.get("disableOOMKiller", bool, False),
            pids=None if not pids else pids if pids > 0 else UNLIMITED,
            blkio_weight=_amount(block, "weight"),
            throttles=tuple(_throttles(block)),
            huge_pages=tuple(_huge_pages(top)),
        )
    except SandboxError as error:
        raise SandboxError(str(error) if WHERE in str(error) else f"config.json: {WHERE}: {error}", 1) from None


def _amount(given: Reader, key: str, low: int = 0) -> int | None:
    # A number that is above the signed ones is "none" to who wrote it.
    return min(given.number(key, 0, low, 2**64 - 1), LARGEST) or None


def _list(given: Reader, key: str) -> str:
    text = given.text(key).strip()
    if text and not re.fullmatch(CPU_LIST, text, re.ASCII):
        raise given.wrong(key, f"{text!r} is not a list such as 0-3,7")
    return text


def _throttles(block: Reader) -> Iterator[Throttle]:
    for key, kind in THROTTLES.items():
        for each in block.objects(key):
            yield Throttle(kind, "", _device(each), each.number("rate", 0, 0, 2**64 - 1))
    for each in block.objects("weightDevice"):
        yield Throttle(WEIGHT, "", _device(each), each.number("weight", 0, 0, 1000))


def _device(each: Reader) -> str:
    return ":".join(str(each.number(key, 0, 0, 2**32 - 1)) for key in ("major", "minor"))


def _huge_pages(top: Reader) -> Iterator[tuple[str, int]]:
    for each in top.objects("hugepageLimits"):
        size = each.text("pageSize")
        if not re.fullmatch(r"[1-9]\d{0,9}[KMGT]B", size, re.ASCII):
            raise each.wrong("pageSize", f"{size!r} is not a size such as 2MB")
        yield size, each.number("limit", 0, 0, 2**64 - 1)


def steps_of(resources: Mapping[str, Any], places: Sequence[cgroup.Place]) -> Iterator[control.Step]:
    """Yield what is written besides limits: idle and real-time shares, and `unified`."""
    top = Reader(resources, WHERE)
    cpu, unified = top.object("cpu"), top.pairs("unified")
    # Which of a period and its share fits first depends on what was there: the period is written before and after.
    both = None not in (cpu.value.get("realtimePeriod"), cpu.value.get("realtimeRuntime"))
    before = [("realtimePeriod", True)] if both else []
    for key, may_fail in (*before, *((key, False) for key in FILES)):
        files = FILES[key]
        value = cpu.number(key, 0, -(2**63), LARGEST)
        if cpu.value.get(key) is not None:
            where, version = _located("cpu", places)
            if value and not files[version - 1]:
                raise cpu.wrong(key, "is not supported on cgroup v2: the kernel has no such file")
            # 0 is what there is without such a file.
            yield control.Step(control.LIMIT, "write", f"{where}/{files[version - 1]}", str(value),
                               optional=may_fail or not value)  # fmt: skip
    if top.object("memory").value.get("limit") == UNLIMITED:
        where, version = _located("memory", places)
        yield from (control.Step(control.LIMIT, "write", f"{where}/{file}", text, optional)
                    for file, text, optional in UNBOUND[version])  # fmt: skip
    if unified and not places:
        raise top.wrong("unified", "cannot be kept: no cgroup can be made here")
    if unified and any(where.hierarchy.version == 1 for where in places):
        raise top.wrong("unified", "is an invalid configuration on cgroup v1")
    for name, text in unified:
        if not re.fullmatch(UNIFIED, name, re.ASCII):
            raise top.wrong("unified", f"{name!r} is no file of a cgroup")
        for line in text.splitlines() or [""]:
            yield control.Step(control.LIMIT, "write", f"{places[0].directory}/{name}", line)


def _located(controller: str, places: Sequence[cgroup.Place]) -> tuple[str, int]:
    where = cgroup.located(controller, places)
    if where is None:
        raise SandboxError(f"config.json: {WHERE}: no cgroup with the controller {controller} can be made here", 1)
    return where.directory, min(where.hierarchy.version, 2)


def device_rules(resources: Mapping[str, Any]) -> tuple[devices.Rule, ...] | None:
    """Return which devices may be used, runc's usual ones with them; None where nothing is denied.

    The list is gone through in its order, as v1's files would: a rule that denies everything forgets what came before.
    """
    allowed: list[devices.Rule] = []
    everything = True
    for entry in Reader(resources, WHERE).objects("devices"):
        rule, allow = _rule(entry), entry.get("allow", bool, False)
        if rule.kind == "a":
            everything, allowed = allow, []
        elif allow:
            allowed.append(rule)
        elif not everything:
            allowed = [one for one in allowed if one != rule]
    return None if everything else (*allowed, *devices.DEFAULT_RULES)


def _rule(entry: Reader) -> devices.Rule:
    kind, access = entry.text("type") or "a", entry.text("access") or "rwm"
    if kind not in ("a", "b", "c", "u") or set(access) - ACCESS:
        raise SandboxError(f"config.json: {entry.where}: {entry.value!r} is no rule", 1)
    numbers = (entry.number(key, -1, -1, 2**31 - 1) for key in ("major", "minor"))
    major, minor = (None if number < 0 else number for number in numbers)
    return devices.Rule("c" if kind == "u" else kind, major, minor, access)
