"""A network namespace's sockets by state, and its counters of TCP.

Sources: /proc/<pid>/net/{tcp,tcp6,udp,udp6} and /proc/<pid>/net/{snmp,netstat} (proc_pid_net(5), snmp_counter.rst).
"""

from __future__ import annotations

import re
import socket
import sys
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from inspector.errors import ParseError
from inspector.kernel.host import Host

__all__ = [
    "TCP_STATES",
    "UDP_STATES",
    "Listener",
    "parse_listeners",
    "parse_tcp",
    "parse_tcp_counters",
    "parse_udp",
    "read_listeners",
    "read_tcp",
    "read_tcp_counters",
    "read_udp",
]

# By number (include/net/tcp_states.h); the names are cAdvisor's.
TCP_STATES = (
    "", "established", "synsent", "synrecv", "finwait1", "finwait2", "timewait", "close", "closewait", "lastack",
    "listen", "closing",
)  # fmt: skip
UDP_STATES = ("listen", "dropped", "rxqueued", "txqueued")
UDP_LISTENS = b"07"  # bound and not connected
TCP_LISTENS = b"0A"
ADDRESS_DIGITS = (8, 32)  # IPv4, IPv6
ADDRESS, STATE, QUEUES, UID, INODE, DROPS = 1, 3, 4, 7, 9, 12  # fields of a line
TCP_TABLES = ("Tcp:", "TcpExt:")
COUNT = re.compile(r"-?\d{1,20}", re.ASCII)  # MaxConn is -1
LISTENS = {"tcp": TCP_LISTENS, "tcp6": TCP_LISTENS, "udp": UDP_LISTENS, "udp6": UDP_LISTENS}


class Listener(NamedTuple):
    """A socket that waits for anyone; `protocol` is tcp, tcp6, udp or udp6, `uid` its owner's in our terms.

    A descriptor for it is a link to "socket:[<inode>]".
    """

    protocol: str
    address: str
    port: int
    uid: int
    inode: int


#   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
#    0: 0100007F:2757 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 52321 1 ...
def parse_tcp(data: bytes) -> Mapping[str, int]:
    """Parse /proc/<pid>/net/tcp or tcp6: how many sockets are in each state."""
    counts: Counter[bytes] = Counter()
    for line in data.splitlines()[1:]:
        fields = line.split(None, QUEUES)
        if len(fields) <= STATE:
            raise ParseError("/proc/<pid>/net/tcp", line)
        counts[fields[STATE]] += 1
    return {name: counts.get(b"%02X" % number, 0) for number, name in enumerate(TCP_STATES) if name}


#   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
#  409: 00000000:0044 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 9182 2 0000 0
def parse_udp(data: bytes) -> Mapping[str, int]:
    """Parse /proc/<pid>/net/udp or udp6: sockets that wait for anyone, datagrams dropped, bytes queued."""
    found = dict.fromkeys(UDP_STATES, 0)
    for line in data.splitlines()[1:]:
        fields = line.split()
        try:
            sent, _, received = fields[QUEUES].partition(b":")
            found["listen"] += fields[STATE] == UDP_LISTENS
            found["dropped"] += int(fields[DROPS])
            found["txqueued"] += int(sent, 16)
            found["rxqueued"] += int(received, 16)
        except (IndexError, ValueError) as error:
            raise ParseError("/proc/<pid>/net/udp", line) from error
    return found


def read_tcp(host: Host, pid: int | str, version: str = "") -> Mapping[str, int]:
    """Count a network namespace's TCP sockets by state (/proc/<pid>/net/tcp, or tcp6 with the `version` "6")."""
    return parse_tcp(host.read(f"/proc/{pid}/net/tcp{version}"))


def read_udp(host: Host, pid: int | str, version: str = "") -> Mapping[str, int]:
    """Sum up a network namespace's UDP sockets (/proc/<pid>/net/udp, or udp6 with the `version` "6"); bytes queued."""
    return parse_udp(host.read(f"/proc/{pid}/net/udp{version}"))


# Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens ...
# Tcp: 1 200 120000 -1 8 ...
def parse_tcp_counters(data: bytes) -> dict[str, int]:
    """Parse the lines of /proc/<pid>/net/snmp or netstat that are about TCP: names and, on the next line, values."""
    found: dict[str, int] = {}
    lines = data.decode(errors="replace").splitlines()
    for names, values in zip(lines[::2], lines[1::2], strict=False):
        protocol, _, named = names.partition(" ")
        if protocol not in TCP_TABLES:
            continue
        again, _, told = values.partition(" ")
        keys, numbers = named.split(), told.split()
        if again != protocol or len(keys) != len(numbers) or not all(map(COUNT.fullmatch, numbers)):
            raise ParseError("/proc/<pid>/net/snmp", data)
        found.update(zip(keys, map(int, numbers), strict=True))
    return found


def read_tcp_counters(host: Host, pid: int | str) -> dict[str, int]:
    """Read a network namespace's counters of TCP by the kernel's names (/proc/<pid>/net/snmp and netstat)."""
    files = (host.read(f"/proc/{pid}/net/{name}") for name in ("snmp", "netstat"))
    return {name: value for data in files for name, value in parse_tcp_counters(data).items()}


#    0: 0100007F:2757 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 52321 1 ...
def parse_listeners(protocol: str, data: bytes) -> tuple[Listener, ...]:
    """Parse the sockets that listen out of /proc/<pid>/net/{tcp,tcp6,udp,udp6}.

    An address is 32-bit words in the machine's byte order, written in hexadecimal (net/ipv4/tcp_ipv4.c).
    """
    found = []
    for line in data.splitlines()[1:]:
        fields = line.split(None, INODE + 1)
        try:
            if fields[STATE] == LISTENS[protocol]:
                address, _, port = fields[ADDRESS].partition(b":")
                owner = int(fields[UID]), int(fields[INODE])
                found.append(Listener(protocol, _address(address), int(port, 16), *owner))
        except (IndexError, ValueError, OverflowError) as error:  # "-0000001" is a number, and no address
            raise ParseError(f"/proc/<pid>/net/{protocol}", line) from error
    return tuple(found)


def _address(text: bytes) -> str:
    if len(text) not in ADDRESS_DIGITS:
        raise ValueError(text)
    words = [int(text[start : start + 8], 16) for start in range(0, len(text), 8)]
    packed = b"".join(word.to_bytes(4, sys.byteorder) for word in words)
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)  # noqa: PLR2004


def read_listeners(host: Host, pid: int) -> tuple[Listener, ...]:
    """Read what listens in a network namespace (/proc/<pid>/net/{tcp,tcp6,...}); a protocol not there has none."""
    found: list[Listener] = []
    for protocol in LISTENS:
        try:
            found += parse_listeners(protocol, host.read(f"/proc/{pid}/net/{protocol}"))
        except FileNotFoundError:  # no IPv6 in this kernel
            continue
    return tuple(found)
