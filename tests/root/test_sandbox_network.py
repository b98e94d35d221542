"""Containers on networks: ports, names, addresses, rates, isolation, and what is left afterwards.

Each test has a network namespace of its own, in which the machine's own rules and routes cannot be touched.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from tests.root.sandboxing import namespaces, wait_for
from tests.testbed.commands import SANDBOX
from tests.testbed.netbed import NetworkBed

pytestmark = pytest.mark.root

UDP_ECHO = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("0.0.0.0", 53))
while True:
    data, peer = server.recvfrom(65536)
    server.sendto(data.upper(), peer)
"""


def leases(bed: NetworkBed) -> list[str]:
    """Return the addresses that containers have, by the networks' own files."""
    found = []
    for name in os.listdir(f"{bed.root}/networks"):
        if name.endswith(".json"):
            with open(f"{bed.root}/networks/{name}", encoding="utf-8") as file:
                found += [lease["address"] for lease in json.load(file).get("leases", {}).values()]
    return found


def test_a_published_port(bed: NetworkBed) -> None:
    """B079: a port answers from loopback, by IPv6 and at the bridge; taken it is refused before anything is started."""
    address = bed.httpd("web", "-p", "4000:80")
    hostname = bed.inspect("web")["Config"]["Hostname"] + "\n"
    gateway = bed.inspect("web")["NetworkSettings"]["Gateway"]
    answers = {bed.get(*place) for place in ((address, 80), ("127.0.0.1", 4000), ("::1", 4000), (gateway, 4000))}
    assert answers == {hostname}
    assert "0.0.0.0:4000->80/tcp, [::]:4000->80/tcp" in bed("ps").stdout
    assert bed("port", "web").stdout == "80/tcp -> 0.0.0.0:4000\n80/tcp -> [::]:4000\n"
    assert bed("port", "web", "80").stdout == "0.0.0.0:4000\n[::]:4000\n"
    done = bed("port", "web", "81", check=False)
    assert (done.returncode, done.stderr) == (1, "sandbox: No public port '81/tcp' published for web\n")
    done = bed("run", "--rm", "-p", "4000:81", "--rootfs", "/", "true", check=False)
    assert (done.returncode, done.stderr) == (125, "sandbox: Bind for 0.0.0.0:4000 failed: port is already allocated\n")
    assert leases(bed) == [address]
    bed("stop", "-t", "0", "web")
    settings = bed.inspect("web")["NetworkSettings"]
    assert (settings["IPAddress"], settings["Ports"], settings["SandboxKey"]) == ("", {}, "")
    assert (bed.links(), bed.tables(), leases(bed)) == (set(), "", [])
    bed("start", "web")
    assert bed.get("127.0.0.1", 4000) == hostname
    bed("rm", "-f", "web")
    with bed.namespace.inside(), socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("0.0.0.0", 4000))  # noqa: S104
        again.listen()


def test_ports_that_are_free(bed: NetworkBed) -> None:
    """-p without a host port, a range of them and -P take what is free."""
    bed.httpd("any", "-p", "127.0.0.1::80", "--expose", "9000")
    found = bed.inspect("any")["NetworkSettings"]["Ports"]
    assert found["9000/tcp"] is None
    assert [binding["HostIp"] for binding in found["80/tcp"]] == ["127.0.0.1"]
    assert bed.get("127.0.0.1", int(found["80/tcp"][0]["HostPort"]))
    bed.httpd("one", "-p", "127.0.0.1:4000-4001:80")
    bed.httpd("two", "-p", "127.0.0.1:4000-4001:80")
    assert [bed("port", name, "80").stdout for name in ("one", "two")] == ["127.0.0.1:4000\n", "127.0.0.1:4001\n"]
    assert bed.get("127.0.0.1", 4001) == bed.inspect("two")["Config"]["Hostname"] + "\n"
    done = bed("run", "--rm", "-p", "127.0.0.1:4000-4001:80", "--rootfs", "/", "true", check=False)
    assert (done.returncode, done.stderr.count("\n")) == (125, 1)
    bed.httpd("all", "-P", "--expose", "80")
    assert bed.get("127.0.0.1", int(bed("port", "all", "80").stdout.split()[0].rpartition(":")[2]))


def test_datagrams(bed: NetworkBed) -> None:
    """A published UDP port answers, each client its own, from the address that was asked."""
    bed.start("echo", "-p", "5300:53/udp", sys.executable, "-c", UDP_ECHO)
    gateway = bed.inspect("echo")["NetworkSettings"]["Gateway"]
    with bed.namespace.inside():
        for address in ("127.0.0.1", gateway):
            clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
            for number, client in enumerate(clients):
                client.connect((address, 5300))
                client.settimeout(0.5)
                assert wait_for(lambda c=client, n=number: ask(c, f"a{n}".encode()) == f"A{n}".encode())  # type: ignore[misc]
            for client in clients:
                client.close()


def ask(client: socket.socket, data: bytes) -> bytes:
    """Send a datagram and return the answer, or nothing."""
    try:
        client.send(data)
        return client.recv(65536)
    except OSError:  # nobody there yet
        return b""


def test_names_and_walls(bed: NetworkBed) -> None:
    """Containers of one network reach each other by address and name; those of two networks do not."""
    bed("network", "create", "one")
    bed("network", "create", "--subnet", "10.77.0.0/24", "two")
    address = bed.httpd("web", "--net", "one", "--network-alias", "www")
    other = bed.httpd("db", "--net", "two", "--ip", "10.77.0.77")
    assert other == "10.77.0.77"
    bed("run", "-d", "--name", "client", "--net", "one", "--rootfs", "/", "sleep", "600")
    fetch = ("exec", "client", "busybox", "wget", "-qO-")
    hostname = bed.inspect("web")["Config"]["Hostname"] + "\n"
    for name in (address, "web", "www", hostname.strip()):
        assert wait_for(lambda n=name: bed(*fetch, f"http://{n}/hostname", check=False).stdout == hostname), name  # type: ignore[misc]
    assert bed.get(other, 80)
    done = bed("exec", "client", "timeout", "1", *fetch[2:], f"http://{other}/hostname", check=False)
    assert (done.returncode, done.stdout) == (124, "")
    assert "client" in bed("exec", "web", "cat", "/etc/hosts").stdout
    bed("rm", "-f", "client")
    assert "client" not in bed("exec", "web", "cat", "/etc/hosts").stdout
    done = bed("network", "rm", "one", check=False)
    assert (done.returncode, "has active endpoints" in done.stderr) == (1, True)
    done = bed("run", "--rm", "--net", "two", "--ip", "10.77.0.77", "--rootfs", "/", "true", check=False)
    assert (done.returncode, done.stderr) == (125, "sandbox: Address already in use: 10.77.0.77\n")
    bed("rm", "-f", "web", "db")
    assert bed("network", "rm", "one", "two").stdout == "one\ntwo\n"
    done = bed("run", "--rm", "--net", "one", "--rootfs", "/", "true", check=False)
    assert (done.returncode, done.stderr) == (125, "sandbox: network one not found\n")
    assert (bed.links(), bed.tables()) == (set(), "")


def test_the_network_of_another(bed: NetworkBed) -> None:
    """B078: --net container:ID is the same namespace with the same host name; what contradicts it is refused."""
    bed.httpd("web", "--net", "bridge")
    bed("run", "-d", "--name", "guest", "--net", "container:web", "--rootfs", "/", "sleep", "600")
    one, two = (namespaces(bed.pid(name)) for name in ("web", "guest"))
    assert {kind for kind in one if one[kind] == two[kind]} == {"net"}
    assert bed("exec", "guest", "hostname").stdout == bed("exec", "web", "hostname").stdout
    assert bed("exec", "guest", "cat", "/etc/hosts").stdout == bed("exec", "web", "cat", "/etc/hosts").stdout
    fetch = ("exec", "guest", "busybox", "wget", "-qO-", "http://127.0.0.1/hostname")
    assert wait_for(lambda: bed(*fetch, check=False).returncode == 0)
    assert bed.inspect("guest")["HostConfig"]["NetworkMode"] == f"container:{bed.inspect('web')['Id']}"
    for words, complaint in (
        (["-p", "80"], "conflicting options: port publishing and the container type network mode"),
        (["--dns", "1.1.1.1"], "conflicting options: dns and the network mode"),
        (["-h", "other"], "conflicting options: hostname and the network mode"),
    ):
        done = bed("run", "--rm", "--net", "container:web", *words, "--rootfs", "/", "true", check=False)
        assert (done.returncode, done.stderr) == (125, f"sandbox: {complaint}\n")
    done = bed("run", "--rm", "--name", "self", "--net", "container:self", "--rootfs", "/", "true", check=False)
    assert (done.returncode, done.stderr) == (125, "sandbox: No such container: self\n")
    bed("rm", "-f", "guest")
    bed("stop", "-t", "0", "web")
    done = bed("run", "--rm", "--net", "container:web", "--rootfs", "/", "true", check=False)
    assert (done.returncode, "cannot join network of a non running container" in done.stderr) == (125, True)


def received(pid: int) -> int:
    """Return the bytes that eth0 of a process's network namespace has received."""
    with open(f"/proc/{pid}/net/dev", encoding="ascii") as file:
        return int(next(line for line in file if "eth0:" in line).partition(":")[2].split()[0])


def test_a_rate_is_kept(bed: NetworkBed) -> None:
    """--net-rate bounds what a container sends and what it receives, and does not stop it."""
    rate = 2_000_000 // 8
    script = "busybox nc -l -p 9 < /dev/zero & busybox nc -l -p 10 > /dev/null & wait"
    bed("run", "-d", "--name", "slow", "--net-rate", "2mbit", "--rootfs", "/", "--", "sh", "-c", script)
    address, pid = bed.inspect("slow")["NetworkSettings"]["IPAddress"], bed.pid("slow")
    for port in (9, 10):
        begun = time.monotonic()  # from then on something may be on its way
        with bed.namespace.inside():
            client = connected(address, port)
        with client:
            client.settimeout(0.1)
            before, passed = received(pid), 0
            while (seconds := time.monotonic() - begun) < 1 or passed < rate // 10:
                assert seconds < 60, "nothing goes through"
                with contextlib.suppress(TimeoutError):
                    passed += len(client.recv(65536)) if port == 9 else 0 * client.send(bytes(65536))
                passed = received(pid) - before if port == 10 else passed
            assert passed <= 1.2 * rate * (time.monotonic() - begun) + 65536


def connected(address: str, port: int) -> socket.socket:
    """Return a connection to a server that gets some time to begin."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return socket.create_connection((address, port), timeout=60)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def test_the_way_out(bed: NetworkBed) -> None:
    """What leaves has this machine's address; nobody out there begins, not even with a route; --internal is shut."""
    with bed.outside.inside():
        server = socket.create_server((bed.FAR, 80))
    with server:
        server.settimeout(60)
        address = bed.httpd("web", "--net", "bridge")
        fetch = ["busybox", "nc", "-w", "5", bed.FAR, "80"]
        client = subprocess.Popen([*bed.namespace.entering, *SANDBOX, "exec", "web", *fetch], env=bed.env)
        connection, (peer, _) = server.accept()
        connection.close()
        client.wait(60)
        assert peer == bed.WIRE
        assert bed.get(address, 80)
        bed.outside.run("ip", "route", "add", "172.16.0.0/12", "via", bed.WIRE)
        with bed.outside.inside(), pytest.raises(OSError, match=r"timed out|unreachable"):
            socket.create_connection((address, 80), timeout=1).close()
        bed("network", "create", "--internal", "shut")
        done = bed("run", "--rm", "--net", "shut", "--rootfs", "/", *fetch, check=False)
        assert done.returncode == 1
        assert (bed.namespace.run("cat", "/proc/sys/net/ipv4/ip_forward")).stdout == "1\n"


def test_beside_rules_that_forbid_forwarding(bed: NetworkBed) -> None:
    """T25: with somebody's FORWARD policy of DROP a published port answers, and it is said that nothing gets out."""
    rules = "add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }"
    bed.namespace.run("nft", rules)
    _ = bed.outside
    command = ("run", "-d", "--name", "web", "-p", "4000:80", "--rootfs", "/", "busybox", "httpd", "-f", "-h", "/etc")
    said = bed(*command).stderr
    assert "others' rules drop what is forwarded (ip filter FORWARD)" in said
    assert bed.get("127.0.0.1", 4000)
    assert bed.get(bed.WIRE, 4000)
    with bed.outside.inside(), connected(bed.WIRE, 4000) as client:
        client.sendall(b"GET /hostname HTTP/1.0\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1")
    bed("rm", "-f", "web")
    assert "table ip filter" in bed.tables()
    assert "cgscope" not in bed.tables()


def test_many_at_once(bed: NetworkBed) -> None:
    """Twenty containers started together have twenty addresses, know each other, and leave nothing (B109)."""
    bed("network", "create", "one")
    names = [f"n{number}" for number in range(20)]
    at_once(bed, [["run", "-d", "--name", name, "--net", "one", "--rootfs", "/", "sleep", "600"] for name in names])
    given = addresses(bed, names)
    assert len(set(given)) == 20
    assert sorted(leases(bed)) == sorted(given)
    assert len(bed.links()) == 21
    hosts = bed("exec", "n0", "cat", "/etc/hosts").stdout
    assert all(f"{address}\t{name} " in hosts for address, name in zip(given[1:], names[1:], strict=True))
    restarts = [["restart", "-t", "0", name] for name in names[:2]]
    at_once(bed, [["rm", "-f", *names[2:10]], ["rm", "-f", *names[10:18]], *restarts])
    left = dict(zip(names[1:2] + names[18:], addresses(bed, names[1:2] + names[18:]), strict=True))
    hosts = bed("exec", "n0", "cat", "/etc/hosts").stdout
    assert {line.split()[1]: line.split()[0] for line in hosts.splitlines() if "\tn" in line} == left
    at_once(bed, [["rm", "-f", name] for name in (*names[:2], *names[18:])])
    bed("network", "rm", "one")
    assert (bed.links(), bed.tables()) == (set(), "")


def at_once(bed: NetworkBed, commands: list[list[str]]) -> None:
    """Run commands beside each other; each succeeds."""
    enter = [*bed.namespace.entering, *SANDBOX]
    running = [subprocess.Popen([*enter, *words], env=bed.env, text=True, stderr=subprocess.PIPE) for words in commands]
    for process in running:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors


def addresses(bed: NetworkBed, names: list[str]) -> list[str]:
    """Return what `inspect` tells."""
    return [each["NetworkSettings"]["IPAddress"] for each in json.loads(bed("inspect", *names).stdout)]


def test_after_something_was_killed(bed: NetworkBed) -> None:
    """A restarted program answers on its port; what a killed monitor leaves, the next command cleans up."""
    bed.httpd("web", "-p", "4000:80", "--net-rate", "10mbit", "--restart", "always")
    assert bed.get("127.0.0.1", 4000)
    os.kill(bed.pid("web"), signal.SIGKILL)
    assert wait_for(lambda: bed.inspect("web")["RestartCount"] > 0)
    assert bed.get("127.0.0.1", 4000)
    assert len(bed.links()) == 3
    bed.namespace.run("nft", "flush", "ruleset")
    bed("run", "--rm", "--net", "bridge", "--rootfs", "/", "true")
    assert "cgscope-" in bed.tables()
    monitor = bed.inspect("web")["Cgscope"]["Monitor"]["Pid"]
    os.kill(monitor, signal.SIGKILL)
    assert wait_for(lambda: not os.path.exists(f"/proc/{monitor}/exe"))  # a zombie has none
    bed("ps")
    assert (bed.links(), bed.tables(), leases(bed)) == (set(), "", [])
    bed("start", "web")
    assert bed.get("127.0.0.1", 4000)


def test_names_are_resolved(bed: NetworkBed) -> None:
    """--dns, --dns-search, --add-host, --mac-address and --hostname are in the container's files and on eth0 (B074)."""
    script = "cat /etc/resolv.conf /etc/hosts; ip link show eth0"
    done = bed(
        "run", "--rm", "--net", "bridge", "--dns", "192.0.2.53", "--dns-search", "a.example", "--add-host",
        "db:192.0.2.7", "--add-host", "out:host-gateway", "--mac-address", "02:42:ac:11:99:99", "-h", "me.example",
        "--rootfs", "/", "--", "sh", "-c", script,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert {"nameserver 192.0.2.53", "search a.example", "192.0.2.7\tdb"} <= set(lines)
    assert [line.split()[1:3] for line in lines if "me.example" in line] == [["me.example", "me"]]
    assert any(line.endswith("\tout") and not line.startswith("127.") for line in lines)
    assert "link/ether 02:42:ac:11:99:99" in done.stdout
    done = bed("run", "--rm", "--net", "host", "--rootfs", "/", "cat", "/etc/hosts", "/etc/hostname")
    with open("/etc/hosts", encoding="utf-8") as file:
        assert file.read().splitlines()[0] in done.stdout
    assert done.stdout.splitlines()[-1] == os.uname().nodename


def test_what_is_none(bed: NetworkBed) -> None:
    """B078: without a network there is lo alone, and it is up; ports that lead nowhere are said to be discarded."""
    done = bed("run", "--rm", "--rootfs", "/", "ip", "-o", "link")
    assert [line.split()[1] for line in done.stdout.splitlines()] == ["lo:"]
    assert "LOOPBACK,UP" in done.stdout
    done = bed("run", "--rm", "--net", "host", "-p", "80:80", "--rootfs", "/", "true")
    assert done.stderr == "sandbox: warning: Published ports are discarded when using host network mode\n"
    assert bed("run", "--dry-run", "-p", "4000:80", "--rootfs", "/", "true").stdout.count("cgscope-") >= 2
    assert (bed.links(), bed.tables(), os.path.exists(f"{bed.root}/networks/bridge.json")) == (set(), "", False)
