"""Who was killed for lack of memory, from the kernel's log (/dev/kmsg, Documentation/ABI/testing/dev-kmsg).

The cgroup of a victim is often gone before anybody looks at its counters; the
log still names the cgroup, the task and its PID. Reading needs CAP_SYSLOG
where kernel.dmesg_restrict is 1. What a record says beyond the kernel's own
words (the task's name, the cgroup's path) is hostile text.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from typing import NamedTuple

from inspector.errors import ParseError
from inspector.kernel.figures import MOST_DIGITS
from inspector.kernel.host import Host

__all__ = ["KernelLog", "Kill", "KillReader", "Record", "parse_record"]

RECORD_BYTES = 8192  # the kernel's own most (CONSOLE_EXT_LOG_MAX)
MOST_RECORDS = 20_000  # of one look: a log of 1 MiB holds fewer
FACILITY = 8  # a priority is a level of 0 to 7 and a facility of 8 each; the kernel's own is 0
ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")

# Since Linux 5.0 (ef8444ea01d7) one line has it all: whose limit it was, or "global_oom" for the machine's own memory.
# A path may hold ",task=" too: the last one counts.
ONE_LINE = re.compile(
    r"oom-kill:constraint=(?P<constraint>[A-Z_]+),.*?(?:oom_memcg=(?P<limit>/.*?),)?task_memcg=(?P<cgroup>/.*),task=(?P<task>.*),"
    r"pid=(?P<pid>\d{1,10}),uid=\d{1,10}",
    re.ASCII | re.DOTALL,
)
# Before, three: "Task in /docker/ab killed as a result of limit of /docker/ab", memory figures, and then
# "Killed process 7 (stress) total-vm:...", with a ", UID 0," or "Memory cgroup out of memory: " in some versions.
OLD_CGROUP = re.compile(r"Task in (?P<cgroup>/.*) killed as a result of limit of (?P<limit>/.*)", re.DOTALL)
VICTIM = re.compile(
    r"(?:.*: )?Killed process (?P<pid>\d{1,10}) \((?P<task>.*)\),? (?:UID \d+, )?total-vm:.*", re.ASCII | re.DOTALL
)
GROUP = re.compile(r"Tasks in (?P<cgroup>/.*) are going to be killed due to memory\.oom\.group set", re.DOTALL)


class Record(NamedTuple):
    """One record of the log: `monotonic_us` since boot, without the time in suspend.

    `by_kernel`: what a process writes to /dev/kmsg never has the kernel's own facility.
    """

    by_kernel: bool
    monotonic_us: int
    text: str


class Kill(NamedTuple):
    """One process killed for lack of memory: its cgroup as seen from the root, its name (at most 15 bytes), its PID.

    `limit` is the cgroup whose limit was reached, that one or one above it; "" where the machine itself had no memory.
    """

    monotonic_us: int
    cgroup: str
    task: str
    pid: int
    limit: str = ""


# 6,339,5140900,-;NET: Registered protocol family 10
def parse_record(data: bytes) -> Record:
    r"""Parse one record: `priority,sequence,microseconds,flags;text`, then lines of a dictionary. \xNN is one byte."""
    head, semicolon, rest = data.partition(b";")
    fields = head.split(b",")
    numbers = fields[:3]
    if not semicolon or len(fields) < 4 or not all(one.isdigit() and len(one) <= MOST_DIGITS for one in numbers):  # noqa: PLR2004
        raise ParseError("/dev/kmsg", data)
    text = ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode("ascii")), rest.partition(b"\n")[0])
    return Record(int(fields[0]) < FACILITY, int(fields[2]), text.decode(errors="surrogateescape"))


class KillReader:
    """Finds the kills in a run of records; older kernels spread one over several of them."""

    def __init__(self) -> None:
        self._cgroup: str | None = None  # where a victim that is still to be named was, or the group that is killed
        self._limit = ""  # the limit for which they are killed
        self._told: int | None = None  # the victim that a line with everything has named

    def read(self, record: Record) -> Kill | None:
        """Return the kill that this record completes."""
        text = record.text
        if not record.by_kernel or not any(words in text for words in ("oom-kill:", "Task in", "Tasks in", "Killed")):
            return None
        if found := ONE_LINE.fullmatch(text):
            self._cgroup, self._limit, self._told = None, found["limit"] or "", int(found["pid"])
            return Kill(record.monotonic_us, found["cgroup"], found["task"], int(found["pid"]), self._limit)
        if found := OLD_CGROUP.fullmatch(text):
            self._cgroup, self._limit = found["cgroup"], found["limit"]
        elif found := GROUP.fullmatch(text):
            self._cgroup = found["cgroup"]
        elif (found := VICTIM.fullmatch(text)) and self._cgroup is not None and int(found["pid"]) != self._told:
            return Kill(record.monotonic_us, self._cgroup, found["task"], int(found["pid"]), self._limit)
        return None


class KernelLog:
    """The kernel's log, read on from where it was left. Not thread safe; one descriptor stays open."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._fd: int | None = None
        self._reader = KillReader()

    def kills(self) -> Iterator[Kill]:
        """Yield the kills among what records() yields; OSError as there."""
        for record in self.records():
            kill = self._reader.read(record)
            if kill is not None:
                yield kill

    def records(self) -> Iterator[Record]:
        """Yield what is new, at first everything the log still holds. OSError when it may not be read or is not there.

        What is overwritten before it could be read is passed over.
        """
        if self._fd is None:
            self._fd = self._host.open_fd("/dev/kmsg")
        for _ in range(MOST_RECORDS):
            try:
                data = os.read(self._fd, RECORD_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (errno.EPIPE, errno.EINVAL):  # overwritten meanwhile, or longer than any may be
                    continue
                self.close()
                raise
            if not data:  # a plain file in the place of the log
                return
            try:
                yield parse_record(data)
            except ParseError:
                continue

    def close(self) -> None:
        """Close the log; the next look reads it from its start."""
        if self._fd is not None:
            descriptor, self._fd = self._fd, None
            os.close(descriptor)
