"""When and where a process runs, and from where it has its memory: checked, and as the kernel takes it.

sched_setattr(2), ioprio_set(2), sched_setaffinity(2), personality(2), set_mempolicy(2). Children inherit all of them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
from collections.abc import Iterator

from sandbox import rare_syscalls
from sandbox.errors import SandboxError
from sandbox.oci.reader import Reader
from sandbox.value import Value

__all__ = ["FLAGS", "POLICIES", "Affinity", "Scheduling", "apply", "parse_affinity", "parse_machine",
           "parse_process", "put_on"]  # fmt: skip

POLICIES = {"SCHED_OTHER": 0, "SCHED_FIFO": 1, "SCHED_RR": 2, "SCHED_BATCH": 3, "SCHED_ISO": 4, "SCHED_IDLE": 5,
            "SCHED_DEADLINE": 6}  # fmt: skip
REAL_TIME = (1, 2)
DEADLINE = 6
SHARE = " (the cgroup needs a share of real time: linux.resources.cpu.realtimeRuntime)"
WHEN_FORBIDDEN = dict.fromkeys(REAL_TIME, SHARE) | {
    DEADLINE: " (SCHED_DEADLINE needs every CPU: not with linux.resources.cpu.cpus)"
}
FLAGS = {"SCHED_FLAG_RESET_ON_FORK": 1, "SCHED_FLAG_RECLAIM": 2, "SCHED_FLAG_DL_OVERRUN": 4,
         "SCHED_FLAG_KEEP_POLICY": 8, "SCHED_FLAG_KEEP_PARAMS": 16, "SCHED_FLAG_UTIL_CLAMP_MIN": 32,
         "SCHED_FLAG_UTIL_CLAMP_MAX": 64}  # fmt: skip
CLASSES = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}
CLASS_SHIFT = 13
DOMAINS = {"LINUX": 0, "LINUX32": 8}
MODES = {"MPOL_DEFAULT": 0, "MPOL_PREFERRED": 1, "MPOL_BIND": 2, "MPOL_INTERLEAVE": 3, "MPOL_LOCAL": 4,
         "MPOL_PREFERRED_MANY": 5, "MPOL_WEIGHTED_INTERLEAVE": 6}  # fmt: skip
MODE_FLAGS = {"MPOL_F_STATIC_NODES": 1 << 15, "MPOL_F_RELATIVE_NODES": 1 << 14, "MPOL_F_NUMA_BALANCING": 1 << 13}
WITHOUT_NODES = (0, 4)
# The largest that a kernel is built for (CONFIG_NR_CPUS, MAX_NUMNODES).
MOST_CPUS, MOST_NODES = 8192, 1024


class Affinity(Value):
    """On which CPUs `exec` begins, before it is in the container's cgroups, and on which its program runs."""

    initial: frozenset[int] = frozenset()
    final: frozenset[int] = frozenset()


class Scheduling(Value):
    """What the kernel is told; None is nothing. `attributes` is a struct sched_attr, `memory` a mode and its nodes."""

    attributes: bytes | None = None
    io_priority: int | None = None
    domain: int | None = None
    memory: tuple[int, int] | None = None


def parse_process(process: Reader) -> tuple[bytes | None, int | None]:
    """Return the scheduler's attributes and the I/O priority that `process` asks for."""
    given, io = process.object("scheduler"), process.object("ioPriority")
    attributes = _attributes(given) if given.value else None
    if not io.value:
        return attributes, None
    kind = io.word("class", CLASSES)
    return attributes, kind << CLASS_SHIFT | io.number("priority", 0, 0, 7)


def _attributes(given: Reader) -> bytes:
    policy = given.word("policy", POLICIES)
    priority = given.number("priority", 0, -(2**31), 2**31 - 1)
    if priority and policy not in REAL_TIME:
        raise given.wrong("priority", "is for SCHED_FIFO and SCHED_RR only")
    times = [given.number(key, 0, 0, 2**64 - 1) for key in ("runtime", "deadline", "period")]
    if any(times) and policy != DEADLINE:
        raise given.wrong("runtime", "deadline and period are for SCHED_DEADLINE only")
    nice, flags = given.number("nice", 0, -20, 19), given.words("flags", FLAGS)
    return struct.pack("=IIQiiQQQ", 48, policy, flags, nice, priority, *times)


def parse_affinity(process: Reader) -> Affinity:
    """Return the CPUs that `process.execCPUAffinity` names."""
    given = process.object("execCPUAffinity")
    return Affinity(*(frozenset(_numbers(given, key, MOST_CPUS)) for key in ("initial", "final")))


def _numbers(given: Reader, key: str, most: int) -> tuple[int, ...]:
    """Return the numbers of a list such as 0-3,7 (cpuset(7))."""
    text = given.text(key)
    if not text:
        return ()
    from inspector.errors import ParseError  # noqa: PLC0415  rare
    from inspector.kernel.system import parse_cpu_list  # noqa: PLC0415

    try:
        found = parse_cpu_list(text.replace(" ", ""))
    except ParseError:
        found = (most,)
    if found[-1:] >= (most,):
        raise given.wrong(key, f"{text!r} is not a list such as 0-3,7 of numbers below {most}")
    return found


def parse_machine(linux: Reader) -> tuple[int | None, tuple[int, int] | None]:
    """Return the personality and the memory policy that `linux` asks for."""
    personality, domain = linux.object("personality"), None
    if personality.value:
        domain = personality.word("domain", DOMAINS)
        personality.words("flags", {})
    if linux.value.get("memoryPolicy") is None:
        return domain, None
    policy = linux.object("memoryPolicy")
    mode, flags = policy.word("mode", MODES), policy.words("flags", MODE_FLAGS)
    nodes = _numbers(policy, "nodes", MOST_NODES)
    if nodes and mode in WITHOUT_NODES:
        raise policy.wrong("mode", f"requires 0 nodes but got {len(nodes)}")
    return domain, (mode | flags, sum(1 << node for node in set(nodes)))


def put_on(cpus: frozenset[int]) -> None:
    """Let the calling process run on these CPUs; without any, on all that its cgroup has, whatever its caller's are."""
    if not cpus and len(os.sched_getaffinity(0)) == (os.cpu_count() or 0):
        return
    try:
        os.sched_setaffinity(0, cpus or range(MOST_CPUS))
    except OSError as error:
        listed = ",".join(map(str, sorted(cpus)))
        raise SandboxError(f"config.json: process.execCPUAffinity {listed}: {error.strerror}", 1) from None


def apply(wanted: Scheduling) -> None:
    """Tell the kernel, of the calling process; SandboxError says which of them cannot be had."""
    if wanted.attributes is not None:
        with _named("process.scheduler", WHEN_FORBIDDEN.get(struct.unpack_from("=I", wanted.attributes, 4)[0], "")):
            rare_syscalls.set_scheduler(wanted.attributes)
    if wanted.io_priority is not None:
        with _named("process.ioPriority"):
            rare_syscalls.set_io_priority(wanted.io_priority)
    if wanted.domain is not None:
        with _named("linux.personality"):
            rare_syscalls.set_personality(wanted.domain)
    if wanted.memory is not None:
        with _named("linux.memoryPolicy"):
            rare_syscalls.set_memory_policy(wanted.memory)


@contextlib.contextmanager
def _named(where: str, when_forbidden: str = "") -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hint = when_forbidden if error.errno == errno.EPERM else ""
        raise SandboxError(f"config.json: {where}: {os.strerror(error.errno or 0)}{hint}", 1) from None
