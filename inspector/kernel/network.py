"""Traffic of a network namespace's interfaces: /proc/<pid>/net/dev (proc_pid_net(5))."""

from __future__ import annotations

from inspector.errors import ParseError
from inspector.kernel.named import NamedTuple
from inspector.kernel.remembered import remembered

__all__ = ["Interface", "parse_net_dev"]

HEADER_LINES = 2
COLUMNS = 16


class Interface(NamedTuple):
    """Counters of one interface since it was made; bytes and packets."""

    name: str
    receive_bytes: int
    receive_packets: int
    receive_errors: int
    receive_dropped: int
    transmit_bytes: int
    transmit_packets: int
    transmit_errors: int
    transmit_dropped: int


# Inter-|   Receive                                                |  Transmit
#  face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier ...
#   eth0: 282136826    6418    0    0    0     0          0         0   316560    3385    0    0    0     0       0   0
def parse_net_dev(data: bytes) -> tuple[Interface, ...]:
    """Parse /proc/<pid>/net/dev: two lines of titles, then an interface a line. A name cannot hold ":"."""
    lines = data.split(b"\n")
    if len(lines) < HEADER_LINES or any(b"|" not in line for line in lines[:HEADER_LINES]):
        raise ParseError("/proc/<pid>/net/dev", data)
    return tuple(_parse_line(line) for line in lines[HEADER_LINES:] if line)


@remembered(256)  # most have a loopback that nothing went through
def _parse_line(line: bytes) -> Interface:
    name, _, rest = line.partition(b":")
    try:
        numbers = [int(field) for field in rest.split()]
    except ValueError as error:
        raise ParseError("/proc/<pid>/net/dev", line) from error
    if len(numbers) != COLUMNS:
        raise ParseError("/proc/<pid>/net/dev", line)
    return Interface(name.strip().decode(errors="surrogateescape"), *numbers[0:4], *numbers[8:12])
