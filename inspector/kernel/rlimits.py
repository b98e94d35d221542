"""What a process may open and has open: /proc/<pid>/{limits,fd,task} (proc_pid_limits(5), proc_pid_fd(5))."""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple

from inspector.errors import ParseError
from inspector.kernel.host import Host

__all__ = ["Descriptors", "parse_limits", "read_descriptors", "read_limits", "read_thread_states"]

LINE = re.compile(r"(?P<name>Max [a-z ]+?) {2,}(?P<soft>unlimited|\d{1,20}) +(?:unlimited|\d{1,20})(?: .*)?", re.ASCII)
MOST_DESCRIPTORS = 100_000


class Descriptors(NamedTuple):
    """How many files a process has open, and how many of them are sockets."""

    files: int
    sockets: int


# Max open files            1024                 1048576              files
def parse_limits(data: bytes) -> dict[str, int | None]:
    """Parse /proc/<pid>/limits: the soft limits by the kernel's name ("Max open files"), None for no limit."""
    found: dict[str, int | None] = {}
    for line in data.decode(errors="replace").splitlines()[1:]:
        match = LINE.fullmatch(line.rstrip())
        if match is None:
            raise ParseError("/proc/<pid>/limits", line)
        found[match["name"]] = None if match["soft"] == "unlimited" else int(match["soft"])
    return found


def read_limits(host: Host, pid: int) -> dict[str, int | None]:
    """Read the soft limits of a process (/proc/<pid>/limits)."""
    return parse_limits(host.read(f"/proc/{pid}/limits"))


def read_descriptors(host: Host, pid: int) -> Descriptors:
    """Count the open files of a process (/proc/<pid>/fd); one closed meanwhile is counted as no socket."""
    directory = f"/proc/{pid}/fd"
    names = host.listdir(directory)
    sockets = 0
    for name in names[:MOST_DESCRIPTORS]:
        try:
            sockets += host.readlink(f"{directory}/{name}").startswith("socket:[")
        except FileNotFoundError:
            continue
    return Descriptors(len(names), sockets)


def read_thread_states(host: Host, pid: int) -> Counter[str]:
    """Count the threads of a process by state letter (/proc/<pid>/task/<tid>/stat); those that end are left out."""
    found: Counter[str] = Counter()
    for name in host.listdir(f"/proc/{pid}/task"):
        try:
            data = host.read(f"/proc/{pid}/task/{name}/stat")
        except (FileNotFoundError, ProcessLookupError):
            continue
        state = data.rpartition(b") ")[2][:1]
        if not state.isalpha():
            raise ParseError("/proc/<pid>/task/<tid>/stat", data)
        found[state.decode("ascii")] += 1
    return found
