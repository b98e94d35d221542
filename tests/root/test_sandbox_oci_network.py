"""`sandbox oci` with linux.netDevices: interfaces of the machine that a container is given."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.root.bundles import Runtime, create
from tests.testbed.commands import run
from tests.testbed.tools import need

pytestmark = pytest.mark.root

ADDRESSES = ("192.0.2.7/24", "2001:db8::7/64")


@pytest.fixture
def link(runtime: Runtime) -> Iterator[str]:
    """Give the name of an interface of the machine with addresses that last; its peer is `<name>p`."""
    need("ip")
    name = f"oci{os.getpid()}"
    run(["ip", "link", "add", name, "mtu", "1400", "type", "veth", "peer", "name", f"{name}p"])
    for address in ADDRESSES:
        run(["ip", "address", "add", address, "dev", name, "nodad"] if ":" in address
            else ["ip", "address", "add", address, "dev", name])  # fmt: skip
    run(["ip", "address", "add", "127.9.9.9/32", "scope", "host", "dev", name])
    yield name
    runtime.close()
    run(["ip", "link", "delete", f"{name}p"], check=False)


def test_an_interface_is_given(runtime: Runtime, link: str) -> None:
    """It is inside alone, up, under its new name, with what it had and those of its addresses that hold anywhere."""
    runtime.set("linux", "netDevices", value={link: {"name": "wire0"}})
    create(runtime, "given")
    runtime("start", "given")
    pid = runtime.state("given")["pid"]
    run(["ip", "link", "set", f"{link}p", "up"])
    assert run(["ip", "link", "show", link], check=False).returncode != 0
    told = run(["nsenter", "-t", str(pid), "-n", "ip", "address", "show", "dev", "wire0"]).stdout
    assert ("mtu 1400" in told, ",UP" in told, "127.9.9.9" in told) == (True, True, False)
    assert all(f" {address} " in told for address in ADDRESSES)


def test_interfaces_that_cannot_be_given(runtime: Runtime, link: str) -> None:
    """One line each, and what was asked for is still here."""
    for given, said in (
        ({"nosuch0": {}}, "linux.netDevices.nosuch0: no such network interface here"),
        ({link: {"name": "lo"}}, "lo exists in the container's network"),
        ({link: {"name": "a/b"}}, "'a/b' is no name of a network interface"),
        ({link: {"name": "eth%d"}}, "'eth%d' is no name of a network interface"),
        ({link: {"name": "x"}, f"{link}p": {"name": "x"}}, "gives one name to two interfaces"),
        ({link: 5}, f"linux.netDevices.{link} is not a object"),
    ):
        runtime.set("linux", "netDevices", value=given)
        done = create(runtime, "bad", check=False)
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
        assert said in done.stderr
        assert run(["ip", "link", "show", link]).returncode == 0
    runtime.set("linux", "netDevices", value={link: {}})
    runtime.set("linux", "namespaces", value=[{"type": "mount"}, {"type": "uts"}])
    assert "linux.netDevices need a network namespace" in create(runtime, "bad", check=False).stderr
