"""Networks that change while containers run: connect, disconnect, restarts, other names, IPv6, a reboot.

Each test has a network namespace of its own, as in test_sandbox_network.py.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess

import pytest

from tests.root.sandboxing import wait_for
from tests.testbed.commands import SANDBOX
from tests.testbed.netbed import Namespace, NetworkBed

pytestmark = pytest.mark.root

# What a container `web` on the network `two` is not to be told, and what is said of it.
WRONG_CONNECTIONS = {
    ("connect", "two", "web"): "endpoint with name web already exists in network two",
    ("connect", "nowhere", "web"): "network nowhere not found",
    ("connect", "host", "web"): "container cannot be connected to or disconnected from the network host",
    ("connect", "--ip", "10.72.0.72", "two", "other"): "no such container: other",
    ("disconnect", "bridge", "web"): "container web is not connected to network bridge",
}


def sleeper(bed: NetworkBed, name: str, *options: str) -> None:
    """Start a container that does nothing."""
    bed("run", "-d", "--name", name, "--rootfs", "/", *options, "sleep", "600")


def known(bed: NetworkBed, name: str) -> dict[str, list[str]]:
    """Return the addresses of each name in a container's /etc/hosts, but for loopback's."""
    found: dict[str, list[str]] = {}
    for line in bed("exec", name, "cat", "/etc/hosts").stdout.splitlines():
        address, *names = line.partition("#")[0].split()
        for each in names if not address.startswith(("127.", "::1")) else ():
            found.setdefault(each, []).append(address)
    return found


def addresses(bed: NetworkBed, name: str) -> dict[str, str]:
    """Return what the kernel says of the addresses of a container's links, but for loopback's and one link's."""
    listed = json.loads(bed("exec", name, "ip", "-j", "address").stdout)
    return {
        link["ifname"]: " ".join(each["local"] for each in link["addr_info"] if each["scope"] == "global")
        for link in listed
        if link["ifname"] != "lo"
    }


def way_out(bed: NetworkBed, name: str) -> list[str]:
    """Return the gateways of a container's default routes."""
    found = [json.loads(bed("exec", name, "ip", *kind, "-j", "route").stdout) for kind in ((), ("-6",))]
    return [each["gateway"] for routes in found for each in routes if each["dst"] == "default"]


def hostname_of(bed: NetworkBed, name: str) -> str:
    """Return what the web server of a container answers for /hostname."""
    return str(bed.inspect(name)["Config"]["Hostname"]) + "\n"


def connections(bed: NetworkBed, name: str) -> list[str]:
    """Return what `events` says of when a container came onto networks and left them."""
    words = ("events", "--since", "1h", "--until", "0s", "-f", "type=network", "--format")
    container = bed.inspect(name)["Id"]
    lines = bed(*words, "{{.Action}} {{.Actor.Attributes.name}} {{.Actor.Attributes.container}}").stdout.splitlines()
    return [line.removesuffix(f" {container}") for line in lines if line.endswith(f" {container}")]


def reaches(bed: NetworkBed, client: str, url: str, answer: str) -> bool:
    """Tell whether a container gets an answer from another, which gets some time to begin."""
    fetch = ("exec", client, "busybox", "wget", "-qO-", f"http://{url}/hostname")
    return wait_for(lambda: bed(*fetch, check=False).stdout == answer)


def inspected(bed: NetworkBed, name: str) -> dict[str, str]:
    """Return the address of a container on each of its networks, as `inspect` has it."""
    return {network: each["IPAddress"] for network, each in bed.inspect(name)["NetworkSettings"]["Networks"].items()}


def test_onto_a_network_and_off_it(bed: NetworkBed) -> None:
    """A running container comes onto a network and leaves it; routes, names and published ports follow, and starts."""
    bed("network", "create", "--subnet", "10.71.0.0/24", "one")
    bed("network", "create", "--subnet", "10.72.0.0/24", "-o", "com.docker.network.driver.mtu=1400", "two")
    bed.httpd("web", "--net", "one", "-p", "4000:80")
    sleeper(bed, "client", "--net", "two", "--net", "bridge")
    assert addresses(bed, "client").keys() == {"eth0", "eth1"}
    assert "web" not in known(bed, "client")
    bed("network", "connect", "--alias", "www", "--ip", "10.72.0.72", "two", "web")
    assert connections(bed, "web") == ["connect one", "connect two"]
    members = json.loads(bed("network", "inspect", "two").stdout)[0]["Containers"]
    networks = bed.inspect("web")["NetworkSettings"]["Networks"]
    assert members[bed.inspect("web")["Id"]]["EndpointID"] == networks["two"]["EndpointID"]
    assert len({each["EndpointID"] for each in networks.values()} - {""}) == 2
    assert addresses(bed, "web") == {"eth0": "10.71.0.2", "eth1": "10.72.0.72"}
    assert bed("exec", "web", "cat", "/sys/class/net/eth1/mtu").stdout == "1400\n"
    assert known(bed, "client")["www"] == ["10.72.0.72"]
    assert reaches(bed, "client", "www", hostname_of(bed, "web"))
    assert way_out(bed, "web") == ["10.71.0.1"]
    assert inspected(bed, "web") == {"one": "10.71.0.2", "two": "10.72.0.72"}
    for words, complaint in WRONG_CONNECTIONS.items():
        done = bed("network", *words, check=False)
        assert (done.returncode, done.stderr) == (1, f"sandbox: {complaint}\n")
    bed("network", "disconnect", "one", "web")
    assert (addresses(bed, "web"), way_out(bed, "web")) == ({"eth1": "10.72.0.72"}, ["10.72.0.1"])
    assert "10.71.0.2" not in json.dumps(known(bed, "web"))
    assert bed.get("127.0.0.1", 4000) == hostname_of(bed, "web")
    assert bed("network", "rm", "one").stdout == "one\n"
    bed("stop", "-t", "0", "web")
    assert "www" not in known(bed, "client")
    bed("start", "web")
    assert connections(bed, "web")[2:] == ["disconnect one", "disconnect two", "connect two"]
    assert addresses(bed, "web") == {"eth0": "10.72.0.72"}
    assert bed.get("127.0.0.1", 4000) == hostname_of(bed, "web")
    bed("network", "disconnect", "two", "web")
    assert addresses(bed, "web") == {}
    with bed.namespace.inside(), socket.create_connection(("127.0.0.1", 4000), timeout=60) as turned_away:
        assert turned_away.recv(1) == b""
    bed("rm", "-f", "web", "client")
    assert (bed.links(), bed.tables()) == (set(), "")


def test_a_connection_that_cannot_be(bed: NetworkBed) -> None:
    """What cannot be connected is refused or fails with a line, and has no address then; a stopped one waits for it."""
    bed("network", "create", "--subnet", "10.73.0.0/24", "one")
    sleeper(bed, "bare")
    sleeper(bed, "guest", "--net", "container:bare")
    for name, complaint in (("bare", "was made with --net none"), ("guest", "shares the network of")):
        done = bed("network", "connect", "one", name, check=False)
        assert (done.returncode, complaint in done.stderr) == (1, True)
    sleeper(bed, "odd", "--net", "bridge", "--cap-add", "NET_ADMIN")
    bed("exec", "odd", "ip", "link", "add", "eth1", "type", "bridge")
    done = bed("network", "connect", "one", "odd", check=False)
    assert (done.returncode, done.stderr.count("\n"), "File exists" in done.stderr) == (1, 1, True)
    assert bed("network", "inspect", "--format", "{{json .Containers}}", "one").stdout == "{}\n"
    assert bed("network", "rm", "one").stdout == "one\n"
    bed("network", "create", "--subnet", "10.73.0.0/24", "one")
    bed("stop", "-t", "0", "odd")
    bed("network", "connect", "one", "odd")
    bed("network", "disconnect", "bridge", "odd")
    bed("start", "odd")
    assert addresses(bed, "odd") == {"eth0": "10.73.0.2"}
    bed("stop", "-t", "0", "odd")
    bed("network", "rm", "one")
    assert bed("start", "odd", check=False).stderr == "sandbox: network one not found\n"
    bed("network", "disconnect", "one", "odd")
    bed("start", "odd")
    assert addresses(bed, "odd") == {}


def test_the_first_network_stays_the_first(bed: NetworkBed) -> None:
    """Who comes after others is after them, also when the first has left: the way out and the address do not change."""
    for number in (1, 2, 3):
        bed("network", "create", "--subnet", f"10.7{number}.0.0/24", f"net{number}")
    sleeper(bed, "web", "--net", "net1", "--net", "net2")
    bed("network", "disconnect", "net1", "web")
    bed("network", "connect", "net3", "web")
    assert addresses(bed, "web") == {"eth1": "10.72.0.2", "eth2": "10.73.0.2"}
    assert way_out(bed, "web") == ["10.72.0.1"]
    assert bed.inspect("web")["NetworkSettings"]["IPAddress"] == "10.72.0.2"
    bed("network", "disconnect", "net2", "web")
    assert way_out(bed, "web") == ["10.73.0.1"]


def test_a_table_of_an_older_version(bed: NetworkBed) -> None:
    """The rules that versions without IPv6 made for a bridge go when the bridge is used, and with it."""
    bed("network", "create", "one")
    sleeper(bed, "web", "--net", "one")
    link = json.loads(bed("network", "inspect", "one").stdout)[0]["Options"]["com.docker.network.bridge.name"]
    for words in (("restart", "-t", "0", "web"), ("rm", "-f", "web")):
        bed.namespace.run("nft", "add", "table", "ip", link)
        bed(*words)
        assert f"table ip {link}" not in bed.tables()
    assert bed.tables() == ""


def test_names_follow(bed: NetworkBed) -> None:
    """After restarts with other addresses, and another name, every /etc/hosts says what the kernel says."""
    bed("network", "create", "--subnet", "10.74.0.0/24", "one")
    for name in ("red", "green", "blue"):
        sleeper(bed, name, "--net", "one")
    bed("stop", "-t", "0", "red")
    sleeper(bed, "later", "--net", "one")
    bed("start", "red")
    bed("restart", "-t", "0", "blue")
    bed("rename", "green", "teal")
    names = ("red", "teal", "blue", "later")
    true = {name: [addresses(bed, name)["eth0"]] for name in names}
    assert true["later"] == ["10.74.0.2"]
    for name in names:
        found = known(bed, name)
        assert {other: found.get(other) for other in (*names, "green")} == {**true, name: None, "green": None}


def test_both_kinds_of_addresses(bed: NetworkBed) -> None:
    """With --ipv6 containers reach each other and the outside by IPv6 as by IPv4; without, there is none of it."""
    outside = bed.outside
    for namespace, link, end in ((bed.namespace, "wire", 2), (outside, "far", 1)):
        namespace.run("ip", "address", "add", f"2001:db8::{end}/64", "dev", link, "nodad")
    bed.namespace.run("ip", "route", "add", "default", "via", "2001:db8::1")
    bed("network", "create", "--ipv6", "--subnet", "fd00:75::/64", "six")
    server = bed.httpd("web", "--net", "six", "--ip6", "fd00:75::80", "-p", "[::1]:4000:80")
    sleeper(bed, "client", "--net", "six")
    assert addresses(bed, "web")["eth0"] == f"{server} fd00:75::80"
    assert known(bed, "client")["web"] == [server, "fd00:75::80"]
    for place in (f"{server}:80", "[fd00:75::80]:80"):
        assert reaches(bed, "client", place, hostname_of(bed, "web"))
    assert bed.get("::1", 4000) == hostname_of(bed, "web")
    with outside.inside():
        listener = socket.create_server(("2001:db8::1", 80), family=socket.AF_INET6)
    with listener:
        listener.settimeout(60)
        words = [*bed.namespace.entering, *SANDBOX, "exec", "client", "busybox", "nc", "-w", "5", "2001:db8::1", "80"]
        client = subprocess.Popen(words, env=bed.env)
        connection, peer = listener.accept()
        connection.close()
        client.wait(60)
    assert peer[0] == "2001:db8::2"
    outside.run("ip", "route", "add", "fd00:75::/64", "via", "2001:db8::2")
    with outside.inside(), pytest.raises(OSError, match=r"timed out|unreachable"):
        socket.create_connection(("fd00:75::80", 80), timeout=1).close()
    sleeper(bed, "plain", "--net", "bridge")
    assert "inet6" not in bed("exec", "plain", "ip", "address", "show", "eth0").stdout
    for network, expected in (("six", "0\n0\n"), ("bridge", "0\n1\n")):  # neither hears another's router advertisements
        link = json.loads(bed("network", "inspect", network).stdout)[0]["Options"]["com.docker.network.bridge.name"]
        settings = [f"/proc/sys/net/ipv6/conf/{link}/{each}" for each in ("accept_ra", "disable_ipv6")]
        assert bed.namespace.run("cat", *settings).stdout == expected


def test_after_a_reboot(bed: NetworkBed) -> None:
    """Addresses of a time when the machine was another are nobody's, and a bridge is made where there is none."""
    bed("network", "create", "one")
    bed.httpd("web", "--net", "one", "-p", "4000:80")
    text = bed.inspect("web")
    monitor = text["Cgscope"]["Monitor"]["Pid"]
    os.kill(monitor, signal.SIGKILL)
    assert wait_for(lambda: not os.path.exists(f"/proc/{monitor}/exe"))  # a zombie has none
    path = f"{bed.root}/containers/{text['Id']}/state.json"
    with open(path, encoding="utf-8") as file:
        state = json.load(file)
    state["Cgscope"]["BootId"] = "00000000-0000-0000-0000-000000000000"
    with open(path, "w", encoding="utf-8") as file:
        json.dump(state, file)
    bed.namespace.close()
    bed.namespace = Namespace()
    assert bed.inspect("web")["State"]["ExitCode"] == 255
    assert bed("network", "inspect", "--format", "{{json .Containers}}", "one").stdout == "{}\n"
    bed("start", "web")
    assert bed.get("127.0.0.1", 4000) == hostname_of(bed, "web")
