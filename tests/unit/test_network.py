"""inspector.kernel.network: /proc/<pid>/net/dev."""

from __future__ import annotations

import pytest

from inspector.errors import ParseError
from inspector.kernel.network import Interface, parse_net_dev
from tests.fakehost import NET_DEV


def test_every_counter_from_its_column() -> None:
    """Bytes, packets, errors and drops of both directions, for each interface in turn."""
    assert parse_net_dev(NET_DEV.encode()) == (
        Interface("lo", 3193, 29, 0, 0, 3193, 29, 0, 0),
        Interface("eth0", 1000, 10, 1, 2, 2000, 20, 3, 4),
    )


def test_no_interface_at_all() -> None:
    """Two lines of titles and nothing else is a namespace without interfaces."""
    assert parse_net_dev("\n".join(NET_DEV.split("\n")[:2]).encode()) == ()


def test_a_number_may_touch_the_colon_and_a_name_may_be_strange() -> None:
    """Older kernels leave no blank behind the colon; "|" and odd bytes are allowed in a name."""
    header = NET_DEV.split("\n")[:2]
    line = "a|\udcff:1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0"
    (interface,) = parse_net_dev("\n".join([*header, line]).encode(errors="surrogateescape"))
    assert interface == Interface("a|\udcff", 1, 2, 3, 4, 5, 6, 7, 8)


@pytest.mark.parametrize("data", ["", "eth0: 1\n", NET_DEV + "x: 1 2\n", NET_DEV + "x\n", NET_DEV + f"x:{' a' * 16}\n"])
def test_anything_else_is_a_parse_error(data: str) -> None:
    """No titles, too few columns or no numbers raise ParseError."""
    with pytest.raises(ParseError):
        parse_net_dev(data.encode())
