"""Addresses of a network namespace: what the kernel's files say, and what they must never do to us."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.errors import ParseError
from inspector.kernel.addresses import Address, parse_fib_trie, parse_if_inet6, parse_route, read_addresses
from tests.fakehost import FakeHost

# As Linux 6.18 wrote them, on a machine with one interface.
TRIE = """\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 127.0.0.0/8 2 0 2
        +-- 127.0.0.0/31 1 0 0
           |-- 127.0.0.0
              /8 host LOCAL
           |-- 127.0.0.1
              /32 host LOCAL
        |-- 127.255.255.255
           /32 link BROADCAST
     +-- 192.0.2.0/24 2 0 2
        |-- 192.0.2.0
           /24 link UNICAST
        |-- 192.0.2.2
           /32 host LOCAL
Local:
     |-- 127.0.0.1
        /32 host LOCAL
     |-- 192.0.2.2
        /32 host LOCAL
     |-- 198.51.100.7
        /32 host LOCAL
"""
ROUTE = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
wide\t000000C0\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""
INET6 = """\
00000000000000000000000000000001 01 80 10 80       lo
fe8000000000000000fc00fffe000001 04 40 20 80     eth0
"""


def machine(root: Path) -> FakeHost:
    """Write the files of one process."""
    fake = FakeHost(root).file("/proc/7/net/fib_trie", TRIE).file("/proc/7/net/route", ROUTE)
    return fake.file("/proc/7/net/if_inet6", INET6)


def test_each_address_with_its_interface(tmp_path: Path) -> None:
    """Each once; of several networks around an address the narrowest tells the interface, the default route none."""
    with machine(tmp_path).open() as host:
        assert read_addresses(host, 7) == (
            Address("lo", "127.0.0.1"), Address("eth0", "192.0.2.2"), Address(None, "198.51.100.7"),
            Address("lo", "::1"), Address("eth0", "fe80::fc:ff:fe00:1"),
        )  # fmt: skip


def test_a_kernel_without_ipv6(tmp_path: Path) -> None:
    """Without if_inet6 the other addresses are told; a process that is gone is an error."""
    fake = machine(tmp_path)
    (tmp_path / "proc/7/net/if_inet6").unlink()
    with fake.open() as host:
        assert len(read_addresses(host, 7)) == 3
        with pytest.raises(FileNotFoundError):
            read_addresses(host, 8)


@pytest.mark.parametrize("parse", [parse_fib_trie, parse_route, parse_if_inet6])
@given(data=st.binary(max_size=200) | st.sampled_from([
    b"|-- 999.1.1.1\n /32 host LOCAL", b" /32 host LOCAL", b"t\neth0 zz 0 0 0 0 0 0", b"t\neth0 FF 0 1 2 3 4 -1",
    b"t\neth0 FFFFFFFFFF 0 1 2 3 4 0", b"zz 1 2 3 4 lo", b"00 1 2 3 4 lo", b"0" * 32,
]))  # fmt: skip
def test_any_bytes_are_addresses_or_a_parse_error(parse: object, data: bytes) -> None:
    """Whatever a file says, its parser raises nothing but its error."""
    assert callable(parse)
    with contextlib.suppress(ParseError):
        parse(data)
