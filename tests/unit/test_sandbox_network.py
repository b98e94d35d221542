"""The sandbox's network without a kernel: options, addresses, rules and files as text, plans as data."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.codec import decode, encode
from sandbox.commands.network_options import add_network_options, network_of
from sandbox.errors import SandboxError
from sandbox.network import addresses, document, manage, names, nft, ports, registry
from sandbox.network.plan import links_of, plans
from sandbox.network.ports import Port, can_be_published, parse_exposed, parse_ports
from sandbox.network.registry import Lease, Member, Networks, Record
from sandbox.network.settings import Endpoint, Network, parse_host, parse_rate
from sandbox.parsing import new_parser
from sandbox.state import Store
from sandbox.value import replace
from tests.testbed.commands import REPOSITORY

CONTAINER = "0123456789abcdef" * 4
IFNAMSIZ = 16  # linux/if.h, with the zero at its end


def options(*words: str) -> Network:
    """Return the network of a command line."""
    parser = new_parser("run", "", "")
    add_network_options(parser)
    found = parser.parse_args(list(words))
    return network_of(found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("80", [Port(80)]),
        ("4000:80", [Port(80, "tcp", "", 4000, 4000)]),
        ("4000:80/udp", [Port(80, "udp", "", 4000, 4000)]),
        ("4000:80/TCP", [Port(80, "tcp", "", 4000, 4000)]),
        ("127.0.0.1:4000:80", [Port(80, "tcp", "127.0.0.1", 4000, 4000)]),
        ("127.0.0.1::80", [Port(80, "tcp", "127.0.0.1")]),
        ("[::1]:4000:80", [Port(80, "tcp", "::1", 4000, 4000)]),
        ("8000-8001:80-81", [Port(80, "tcp", "", 8000, 8000), Port(81, "tcp", "", 8001, 8001)]),
        ("8000-8001:80", [Port(80, "tcp", "", 8000, 8001)]),
        ("80-81", [Port(80, "tcp", "", 0, 0), Port(81, "tcp", "", 0, 0)]),
        ("65535:65535", [Port(65535, "tcp", "", 65535, 65535)]),
    ],
)
def test_published_ports(text: str, expected: list[Port]) -> None:
    """Every form of -p that Docker knows is understood."""
    assert list(parse_ports([text])) == expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("4000:", "no port specified: 4000:<empty>"),
        ("", "no port specified: <empty>"),
        ("4000:x", "invalid containerPort: x"),
        ("x:80", "invalid hostPort: x"),
        ("4000:0", "invalid containerPort: 0"),
        ("65536:80", "invalid hostPort: 65536"),
        ("4000:65536", "invalid containerPort: 65536"),
        ("82-80:80-82", "invalid hostPort: 82-80"),
        ("1-3:1-2", "invalid ranges specified for container and host Ports: 1-2 and 1-3"),
        ("4000:80/sctp", "invalid proto: 'sctp'"),
        ("localhost:4000:80", "invalid IP address: localhost"),
        ("1.2.3:4000:80", "invalid IP address: 1.2.3"),
        ("[::1:4000:80", "invalid IP address: [::1"),
        ("::1]:4000:80", "invalid IP address: ::1]"),
        ("4000:٨٠", "invalid containerPort"),
    ],
)
def test_bad_ports_are_refused(text: str, complaint: str) -> None:
    """A port that cannot be is refused with what is wrong about it, and Docker's exit code."""
    with pytest.raises(SandboxError) as refused:
        parse_ports([text])
    assert complaint in str(refused.value)
    assert refused.value.exit_code == 125


def test_what_an_image_exposes_need_not_be_published() -> None:
    """SCTP too, as Docker's images have it; -P goes without it."""
    assert parse_exposed(["80/sctp", "81"]) == ("80/sctp", "81/tcp")
    assert [can_be_published(name) for name in ("80/sctp", "81/tcp", "53/udp")] == [False, True, True]


def test_exposed_ports() -> None:
    """A range is of both its ends, each port is named once, and 0 is none."""
    assert parse_exposed(["1", "8000-8002/TCP", "53/udp", "8001"]) == (
        "1/tcp", "8000/tcp", "8001/tcp", "8002/tcp", "53/udp",
    )  # fmt: skip
    for text in ("0", "0-2", "", "2-1", "65536"):
        with pytest.raises(SandboxError, match="invalid range format for --expose"):
            parse_exposed([text])


@given(st.text(max_size=30))
def test_any_text_is_a_port_or_refused(text: str) -> None:
    """Whatever is given to the parsers, the answer is a value in its range or one clear error."""
    for parse in (lambda: parse_ports([text]), lambda: parse_exposed([text])):
        try:
            found: Any = parse()
        except SandboxError:
            continue
        for each in found:
            assert 1 <= int(str(getattr(each, "name", each)).partition("/")[0]) <= 65535
    with contextlib.suppress(SandboxError):
        assert 8_000 <= parse_rate(text) <= 32_000_000_000
    with contextlib.suppress(SandboxError):
        assert ":" in parse_host(text)


@given(st.integers(1, 65535), st.integers(1, 65535), st.sampled_from(["tcp", "udp"]), st.ip_addresses())
def test_ports_come_back(host: int, port: int, protocol: str, address: Any) -> None:  # noqa: ANN401
    """A port written as Docker writes it is the port that is read."""
    where = f"[{address}]" if address.version == 6 else str(address)
    assert parse_ports([f"{where}:{host}:{port}/{protocol}"]) == (Port(port, protocol, str(address), host, host),)


def test_how_ports_are_shown() -> None:
    """`ps` joins neighbours with the same number on both sides; `port` tells each; what is only exposed has no host."""
    bound = [
        ("80/tcp", "0.0.0.0", 4000),  # noqa: S104
        ("80/tcp", "::", 4000),
        ("8000/tcp", "0.0.0.0", 8000),  # noqa: S104
        ("8001/tcp", "0.0.0.0", 8001),  # noqa: S104
        ("53/udp", "127.0.0.1", 53),
    ]
    found = ports.bindings(bound, ["9000/tcp", "80/tcp"])
    assert list(found) == ["53/udp", "80/tcp", "8000/tcp", "8001/tcp", "9000/tcp"]
    assert found["80/tcp"] == [{"HostIp": "0.0.0.0", "HostPort": "4000"}, {"HostIp": "::", "HostPort": "4000"}]  # noqa: S104
    assert found["9000/tcp"] is None
    assert ports.column(found) == (
        "127.0.0.1:53->53/udp, 0.0.0.0:8000-8001->8000-8001/tcp, 9000/tcp, 0.0.0.0:4000->80/tcp, [::]:4000->80/tcp"
    )
    assert ports.lines(found)[:3] == ["53/udp -> 127.0.0.1:53", "80/tcp -> 0.0.0.0:4000", "80/tcp -> [::]:4000"]
    assert ports.column({}) == ""


@pytest.mark.parametrize(
    ("text", "bits"),
    [("10mbit", 10**7), ("1.5gbit", 15 * 10**8), ("500Kbit", 5 * 10**5), ("64000", 64000), ("10m", 10**7)],
)
def test_rates(text: str, bits: int) -> None:
    """A rate is in bits a second, with units of 1000."""
    assert parse_rate(text) == bits


@pytest.mark.parametrize("text", ["", "fast", "-1", "0", "1bit", "40gbit", "10mbyte", "1e6", "10 mbit per second"])
def test_bad_rates_are_refused(text: str) -> None:
    """A rate that the kernel cannot keep is refused."""
    with pytest.raises(SandboxError, match="invalid rate"):
        parse_rate(text)


def test_default_network() -> None:
    """A container has no network until something asks for one; a port, a rate or a hardware address does."""
    assert options().mode == "none"
    assert options("--dns", "1.1.1.1", "--add-host", "a:1.2.3.4").mode == "none"
    assert options("-p", "80").mode == "bridge"
    assert options("-P").mode == "bridge"
    assert options("--net-rate", "1mbit").mode == "bridge"
    assert options("--mac-address", "02-42-AC-11-00-02").endpoints == (Endpoint("bridge", mac="02:42:ac:11:00:02"),)
    assert options("-p", "80", "--net", "none").mode == "none"
    assert options("--network", "default").mode == "bridge"
    both = options("--net", "one", "--net", "default", "--ip", "10.0.0.9")
    assert (both.mode, both.endpoints) == ("one", (Endpoint("one", "10.0.0.9"), Endpoint("bridge")))


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("--net container:a -p 80", "conflicting options: port publishing and the container type network mode"),
        ("--net container:a --expose 80", "conflicting options: port exposing and the container type network mode"),
        ("--net container:a --dns 1.1.1.1", "conflicting options: dns and the network mode"),
        ("--net container:a --add-host a:1.1.1.1", "custom host-to-IP mapping and the network mode"),
        ("--net container:a --mac-address 02:42:ac:11:00:02", "conflicting options: mac-address and the network mode"),
        ("--net container:", "invalid container format"),
        ("--net none --net-rate 1mbit", "--net-rate and --net none"),
        ("--net host --ip 172.30.0.9", "--ip and --net host"),
        ("--net bridge --ip 172.30.0.9", "supported on user defined networks only"),
        ("--net bridge --network-alias a", "only for containers in user defined networks"),
        ("--net mine --ip 1.2.3", "invalid IPv4 address"),
        ("--net mine --ip6 10.0.0.1", "invalid IPv6 address"),
        ("--net none --ip6 fd00::9", "--ip6 and --net none"),
        ("--net mine --network-alias a\nb", "not a valid host name"),
        ("--net mine --mac-address 01:00:5e:00:00:01", "not a valid mac address"),
        ("--net mine --mac-address banana", "not a valid mac address"),
        ("--net mine --mac-address 00:00:00:00:00:00", "not a valid mac address"),
        ("--net a/b", "invalid network"),
        ("--net mine --net mine", "network 'mine' is specified multiple times"),
        ("--net mine --net host", "cannot attach both user-defined and non-user-defined network-modes"),
        ("--net none --net mine", "cannot attach both user-defined and non-user-defined network-modes"),
        ("--net mine --net a/b", "invalid network"),
        ("--dns banana", "--dns: 'banana' is not an IP address"),
        ("--dns-search a..\n", "not a valid domain"),
        ("--add-host a", "bad format for add-host"),
        ("--add-host a:banana", "invalid IP address in add-host"),
    ],
)
def test_what_cannot_be_together(words: str, complaint: str) -> None:
    """Options that contradict each other, or that no kernel could take, are refused in Docker's words."""
    with pytest.raises(SandboxError) as refused:
        options(*words.split(" "))
    assert complaint in str(refused.value)


def test_the_network_is_kept_in_the_document() -> None:
    """What `create` was told comes back whole when the container is started."""
    given_network = options(
        "--net", "mine", "-p", "127.0.0.1:4000:80/udp", "--ip", "172.30.0.9", "--network-alias", "db",
        "--net-rate", "1mbit", "--dns", "1.1.1.1", "--expose", "90", "-P",
    )  # fmt: skip
    assert decode(Network, encode(given_network)) == given_network
    config = document.host_config(given_network)
    assert config["NetworkMode"] == "mine"
    assert config["PortBindings"] == {"80/udp": [{"HostIp": "127.0.0.1", "HostPort": "4000"}]}
    assert config["PublishAllPorts"] is True


ROUTES = b"""Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
docker0\t00001EAC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
"""


def test_routes() -> None:
    """The kernel's routing table is read, the default route left out."""
    found = addresses.parse_routes(ROUTES)
    assert [(link, str(subnet)) for link, subnet in found] == [("eth0", "192.0.2.0/24"), ("docker0", "172.30.0.0/16")]


IPV6_ROUTES = b"""\
00000000000000000000000000000000 00 00000000000000000000000000000000 00 20010db8000000000000000000000001 \
00000400 00000001 00000000 00000003     wire
fd000075000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 \
00000100 00000001 00000000 00000001 cgscope-1234567
"""


def test_ipv6_routes() -> None:
    """So is that of IPv6."""
    (found,) = addresses.parse_ipv6_routes(IPV6_ROUTES)
    assert (found[0], str(found[1])) == ("cgscope-1234567", "fd00:75::/64")
    assert not found[1].overlaps(addresses.parse_subnet("10.0.0.0/8"))
    assert found[1].overlaps(addresses.parse_subnet("fd00:75::/32"))


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(8, 32)), max_size=20))
def test_a_chosen_subnet_collides_with_nothing(taken: list[tuple[int, int]]) -> None:
    """The subnet that is chosen shares no address with one that is taken, and is a private one."""
    others = [addresses.Subnet(first >> (32 - prefix) << (32 - prefix), prefix) for first, prefix in taken]
    try:
        chosen = addresses.choose_subnet(others)
    except SandboxError:
        chosen = None
    mine = [ipaddress.ip_network(str(subnet)) for subnet in addresses.POOL]
    theirs = [ipaddress.ip_network(str(other)) for other in others]
    free = [each for each in mine if not any(each.overlaps(other) for other in theirs)]
    assert all(each.is_private for each in mine)
    assert (None if chosen is None else ipaddress.ip_network(str(chosen))) == (free[0] if free else None)


@given(st.text(max_size=20))
def test_any_text_is_a_subnet_or_refused(text: str) -> None:
    """A subnet is what ipaddress takes for one, of a useful size, or it is refused."""
    try:
        found = addresses.parse_subnet(text)
    except SandboxError:
        return
    assert ipaddress.ip_network(text) == ipaddress.ip_network(str(found))


def test_addresses_are_given_out_once() -> None:
    """The lowest free address is given, a wanted one when it is free, and a full network says so."""
    subnet = addresses.parse_subnet("10.9.8.0/29")
    taken = {"10.9.8.1", "fd00::1"}
    while len(taken) < 7:
        taken.add(addresses.free_address(subnet, taken))
    assert sorted(taken) == [*(f"10.9.8.{number}" for number in range(1, 7)), "fd00::1"]
    with pytest.raises(SandboxError, match="no available IPv4 addresses"):
        addresses.free_address(subnet, taken)
    with pytest.raises(SandboxError, match="Address already in use"):
        addresses.free_address(subnet, taken, "10.9.8.3")
    for outside in ("10.9.9.1", "10.9.8.0", "10.9.8.7"):
        with pytest.raises(SandboxError, match="does not belong"):
            addresses.free_address(subnet, taken, outside)
    assert addresses.mac_of("172.30.0.2") == "02:42:ac:1e:00:02"
    wide = addresses.parse_subnet("fd00:1::/64")
    assert addresses.free_address(wide, {"fd00:1::1"}) == "fd00:1::2"
    assert addresses.free_address(wide, (), "fd00:1:0:0::0a") == "fd00:1::a"
    assert ipaddress.IPv6Network(str(addresses.local_subnet())).subnet_of(ipaddress.IPv6Network("fd00::/8"))


def record(**changes: Any) -> Record:  # noqa: ANN401
    """Return a network."""
    fields: dict[str, Any] = {"subnet": "172.30.0.0/16", "gateway": "172.30.0.1", "leases": {}, **changes}
    return Record("mine", "a" * 64, 0.0, "cgscope-1234567", **fields)


def test_the_plan_is_data() -> None:
    """What connects a container is a tuple of steps that --dry-run prints."""
    links = links_of(CONTAINER, 0, rate=True)
    lease = Lease("172.30.0.2", "02:42:ac:1e:00:02", links.veth, links.ifb, links.inside)
    (first,) = plans([Member(record(), lease)], 10_000_000, 1400)
    assert str(first).splitlines() == [
        "bridge cgscope-1234567 172.30.0.1/16 of 172.30.0.0/16",
        "veth   cgv012345678900 on cgscope-1234567, eth0 02:42:ac:1e:00:02 in the container",
        "rate   10000000 bit/s on cgv012345678900 and on cgi012345678900",
        "addr   172.30.0.2/16 on eth0, default via 172.30.0.1",
    ]
    shut = record(subnet="172.29.0.0/16", gateway="172.29.0.1", internal=True)
    both = record(subnet="172.28.0.0/16", gateway="172.28.0.1", subnet6="fd00:1::/64", gateway6="fd00:1::1", mtu=1280)
    second = replace(lease, address="172.28.0.2", address6="fd00:1::2", link="eth2")
    members = [Member(shut, lease), Member(record(), lease), Member(both, second)]
    closed, open_, last = plans(members, 0, 1400)
    assert closed.rate is None
    assert [each.inside.gateways for each in (closed, open_, last)] == [(), ("172.30.0.1",), ("fd00:1::1",)]
    assert (closed.bridge.mtu, last.bridge.mtu, last.veth.mtu) == (1400, 1280, 1280)
    assert last.inside.addresses == ("172.28.0.2/16", "fd00:1::2/64")
    longest = links_of(CONTAINER, 99, rate=True)
    assert max(map(len, (longest.inside, longest.veth, longest.ifb, record().link))) < IFNAMSIZ


def test_the_rules_are_one_table() -> None:
    """A bridge has a table of its own name: closed to what begins elsewhere, with the host's address to the outside."""
    text = nft.ruleset("cgscope0", ["172.30.0.0/16", "fd00:1::/64"], internal=False)
    assert "delete table ip cgscope0\n" in text  # of versions without IPv6
    tables = [line.split() for line in text.splitlines() if "table" in line.split()]
    assert {line[line.index("table") + 2] for line in tables} == {"cgscope0"}
    assert 'ip saddr 172.30.0.0/16 oifname != "cgscope0" masquerade' in text
    assert 'ip6 saddr fd00:1::/64 oifname != "cgscope0" masquerade' in text
    assert text.index("ct state established,related accept") < text.index('oifname "cgscope0" drop')
    internal = nft.ruleset("cgscope0", ["172.30.0.0/16"], internal=True)
    assert "masquerade" not in internal
    assert 'iifname "cgscope0" drop' in internal


CHAINS = """table ip filter {
	chain INPUT {
		type filter hook input priority filter; policy drop;
	}
	chain FORWARD {
		type filter hook forward priority filter; policy drop;
	}
	chain DOCKER {
	}
}
table inet firewalld {
	chain filter_FORWARD {
		type filter hook forward priority filter + 10; policy accept;
	}
}
table ip6 filter {
	chain FORWARD {
		type filter hook forward priority filter; policy drop;
	}
}
table ip cgscope0 {
	chain forward {
		type filter hook forward priority filter; policy drop;
	}
}
"""


def test_who_forbids_forwarding() -> None:
    """Only a chain of others on the forward hook with a policy of DROP is named, IPv6's only where it matters."""
    assert nft.dropping_chains(CHAINS, ipv6=False) == ["ip filter FORWARD"]
    assert nft.dropping_chains(CHAINS, ipv6=True) == ["ip filter FORWARD", "ip6 filter FORWARD"]
    assert nft.dropping_chains("", ipv6=True) == []


def test_hosts() -> None:
    """/etc/hosts has the container, what --add-host says, and marked lines for the others, which come and go."""
    own = ("172.30.0.2", names.called("web.example"))
    text = names.hosts(["db:10.0.0.1", "out:host-gateway"], "172.30.0.1", own=own)
    assert text.splitlines()[2:] == ["10.0.0.1\tdb", "172.30.0.1\tout", "172.30.0.2\tweb.example web"]
    both = names.with_members(text, [("172.30.0.3", ("db", "abc"))])
    assert both.startswith(text)
    assert "172.30.0.3\tdb abc\t" in both
    changed = names.with_members(both + "1.2.3.4 mine", [("172.30.0.4", ("cache",))])
    assert "172.30.0.3" not in changed
    assert "1.2.3.4 mine\n172.30.0.4\tcache\t" in changed
    assert names.with_members(changed, []) == text + "1.2.3.4 mine\n"


def test_a_hosts_file_is_rewritten_in_place(tmp_path: os.PathLike[str]) -> None:
    """The file stays the same file, as it is bound into a container; one grown beyond all measure is left alone."""
    path = f"{tmp_path}/hosts"
    names.write(path, names.hosts(own=("172.30.0.2", "a")))
    inode = os.stat(path).st_ino
    names.update_members(path, [("172.30.0.3", ["b"])])
    with open(path, encoding="utf-8") as file:
        assert "172.30.0.3\tb" in file.read()
    names.update_members(path, [])
    assert os.stat(path).st_ino == inode
    with open(path, encoding="utf-8") as file:
        assert file.read() == names.hosts(own=("172.30.0.2", "a"))
    os.truncate(path, 1 << 30)
    names.update_members(path, [("172.30.0.3", ["b"])])
    assert os.stat(path).st_size == 1 << 30


RESOLV = """\
# made by x
nameserver 127.0.0.53
nameserver 192.0.2.7
nameserver fe80::1%eth0
search a.example
options ndots:2
"""


@pytest.mark.parametrize(
    ("network", "host", "expected"),
    [
        (Network("bridge"), RESOLV, "nameserver 192.0.2.7\nsearch a.example\noptions ndots:2\n"),
        (Network("bridge"), "nameserver ::1\nnameserver fd00::53\n", "nameserver fd00::53\n"),
        (Network("bridge"), "nameserver 127.0.0.1\n", "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"),
        (Network("bridge", dns=("127.0.0.1",)), RESOLV, "nameserver 127.0.0.1\nsearch a.example\noptions ndots:2\n"),
        (Network("bridge", dns_search=(".",)), "nameserver 192.0.2.7\nsearch a\n", "nameserver 192.0.2.7\n"),
        (Network("host"), "nameserver 127.0.0.53\nsearch a\n", "nameserver 127.0.0.53\nsearch a\n"),
        (Network("host", dns_search=("b", "c")), "nameserver ::1\n", "nameserver ::1\nsearch b c\n"),
    ],
)
def test_resolv_conf(network: Network, host: str, expected: str) -> None:
    """Resolvers on loopback are dropped where they cannot be reached; --dns and --dns-search take the host's place."""
    assert names.resolv_conf(host, network, ipv6=True) == expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("nameserver 127.0.0.53\nsearch a\n", "nameserver 127.0.0.11\nsearch a\noptions ndots:0\n"),
        ("options edns0 ndots:2\n", "nameserver 127.0.0.11\noptions edns0 ndots:2\n"),
    ],
)
def test_a_container_with_a_resolver_of_its_own(host: str, expected: str) -> None:
    """Its own is the only one, and it is asked for names without a dot as they are unless the machine says else."""
    assert names.resolv_conf(host, Network("mine", dns=("1.1.1.1",)), own=True) == expected


def test_a_resolver_with_ipv6_alone() -> None:
    """Where a container has no IPv6 it cannot be asked: the public ones are."""
    found = names.resolv_conf("nameserver fd00::53\n", Network("bridge"), ipv6=False)
    assert found == "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"


@pytest.fixture
def routed(tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have one route, to 10.98.0.0/24, whatever this machine's are."""
    path = os.path.join(tmp_path, "route")
    with open(path, "w", encoding="ascii") as file:
        file.write("Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n")
        file.write("eth7\t0000620A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n")
    monkeypatch.setattr(registry, "ROUTES", path)
    monkeypatch.setattr(registry, "IPV6_ROUTES", os.path.join(tmp_path, "none"))


@pytest.mark.usefixtures("routed")
def test_networks_are_recorded(tmp_path: os.PathLike[str]) -> None:
    """A network is made, found by name and by the beginning of its id, listed, shown, and removed when it is empty."""
    store = Store(str(tmp_path))
    with pytest.raises(SandboxError, match=r"Pool overlaps.*10\.98\.0\.0/24 .the route of eth7"):
        manage.create(store, "mine", subnets=["10.98.0.0/16"])
    identity = manage.create(store, "mine", subnets=["10.99.0.0/24"], gateways=["10.99.0.254"])
    networks = Networks(store.root)
    assert networks.find("mine") == networks.find(identity[:12])
    assert networks.find("mine").gateway == "10.99.0.254"
    assert manage.inspect(store, "mine")["IPAM"]["Config"] == [{"Subnet": "10.99.0.0/24", "Gateway": "10.99.0.254"}]
    with pytest.raises(SandboxError, match="already exists"):
        manage.create(store, "mine")
    with pytest.raises(SandboxError, match="Pool overlaps"):
        manage.create(store, "other", subnets=["10.99.0.128/25"])
    manage.create(store, "six", ipv6=True, mtu=1300, labels=(("tier", "front"),))
    with pytest.raises(SandboxError, match="Pool overlaps"):
        manage.create(store, "seven", subnets=["fd00::/8"], ipv6=True)
    assert manage.inspect(store, "six")["Options"]["com.docker.network.driver.mtu"] == "1300"
    for filters, chosen in (
        (["type=custom"], "mine six"),
        (["label=tier=front"], "six"),
        (["driver=null"], "none"),
        (["name=i", "type=custom"], "mine six"),
        ([f"id={identity[:12]}"], "mine"),
    ):
        assert manage.listing(store, filters, "{{.Name}}", quiet=False, whole=False).split() == chosen.split()
    titled = manage.listing(store, ["label=tier"], r"table {{.Name}}\t{{.IPv6}}", quiet=False, whole=False)
    assert titled.split() == ["NAME", "IPV6", "six", "true"]
    manage.remove(store, "six")
    listed = [line.split()[1:3] for line in manage.listing(store, quiet=False, whole=False).splitlines()[1:]]
    assert listed == [["bridge", "bridge"], ["host", "host"], ["mine", "bridge"], ["none", "null"]]
    lease = Lease("10.99.0.1", "02:42:0a:63:00:01", "cgv0")
    networks.save(replace(networks.find("mine"), leases={CONTAINER: lease}))
    with pytest.raises(SandboxError, match="has active endpoints"):
        manage.remove(store, "mine")
    assert manage.prune(store) == []
    networks.save(replace(networks.find("mine"), leases={}))
    assert manage.prune(store) == ["mine"]
    with pytest.raises(SandboxError, match="network mine not found"):
        manage.remove(store, "mine")


@pytest.mark.parametrize(
    ("name", "changes", "complaint"),
    [
        ("host", {}, "predefined host network"),
        ("a b", {}, "invalid network name"),
        ("a" * 129, {}, "invalid network name"),
        ("mine", {"subnets": ["10.0.0.1/24"]}, "it should be 10.0.0.0/24"),
        ("mine", {"subnets": ["10.0.0.0"]}, "the form is"),
        ("mine", {"subnets": ["10.0.0.0/31"]}, "the prefix is from"),
        ("mine", {"subnets": ["127.0.0.0/16"]}, "no container's"),
        ("mine", {"subnets": ["fe80::/64"], "ipv6": True}, "no container's"),
        ("mine", {"subnets": ["fd00::1/64"], "ipv6": True}, "it should be fd00::/64"),
        ("mine", {"subnets": ["fd00::/127"], "ipv6": True}, "the prefix is from"),
        ("mine", {"subnets": ["fd00::/64"]}, "needs --ipv6"),
        ("mine", {"subnets": ["10.0.0.0/24", "10.1.0.0/24"]}, "one of each kind"),
        ("mine", {"gateways": ["10.0.0.1"]}, "no matching subnet for gateway"),
        ("mine", {"subnets": ["10.0.0.0/24"], "gateways": ["10.0.1.1"]}, "no matching subnet for gateway"),
        ("mine", {"subnets": ["10.0.0.0/24"], "gateways": ["10.0.0.1", "10.0.0.2"]}, "no matching subnet for gateway"),
        ("mine", {"ipv6": True, "mtu": 1279}, "with IPv6 it is 1280 at least"),
    ],
)
def test_bad_networks_are_refused(
    tmp_path: os.PathLike[str], name: str, changes: dict[str, Any], complaint: str
) -> None:
    """A network that cannot be is refused, and nothing is recorded."""
    store = Store(str(tmp_path))
    with pytest.raises(SandboxError) as refused:
        manage.create(store, name, **changes)
    assert complaint in str(refused.value)
    assert Networks(store.root).all() == []


@pytest.mark.parametrize("text", ["mtu=67", "mtu=65536", "mtu=", "mtu=1\u0661", "icc=false", "mtu"])
def test_bad_options_are_refused(text: str) -> None:
    """Of --opt only an MTU that the kernel could take is known."""
    with pytest.raises(SandboxError, match=r"invalid MTU|unknown option"):
        manage.parse_options([text])
    assert manage.parse_options(["com.docker.network.driver.mtu=1400"]) == 1400


def test_importing_the_fast_path_is_cheap() -> None:
    """A start without a network imports nothing of bridges, rules or proxies, and never pyroute2."""
    program = "import sys, sandbox.container, sandbox.commands.running; print(*sys.modules)"
    listed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=REPOSITORY
    ).stdout
    found = set(listed.split())
    assert not {name for name in found if name.startswith("pyroute2")}
    expected = {"connection", "document", "ports", "preparing", "settings"}
    assert {name.rpartition(".")[2] for name in found if name.startswith("sandbox.network.")} == expected
