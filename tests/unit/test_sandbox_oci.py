"""What the runtime makes of a config.json: checked values, mount options, limits and devices, whatever is in it."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.devices import DEFAULT_RULES, Rule
from sandbox.errors import SandboxError
from sandbox.limits import UNLIMITED, Limits, Throttle
from sandbox.oci.bundle import Bundle, Namespace, parse
from sandbox.oci.options import Options, device_rules, limits_of, parse_options
from sandbox.syscalls import MS_BIND, MS_NODEV, MS_NOSUID, MS_RDONLY, MS_REC

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = ("ociVersion", "process", "root", "mounts", "hostname", "linux", "hooks", "annotations")
INNER = ("namespaces", "resources", "devices", "seccomp", "maskedPaths", "sysctl", "cgroupsPath")


def config(**changed: object) -> dict[str, Any]:
    """Return a small configuration with some of it changed."""
    return {
        "ociVersion": "1.0.2",
        "root": {"path": "rootfs"},
        "process": {"args": ["true"], "cwd": "/"},
        "linux": {"namespaces": [{"type": "mount"}, {"type": "network", "path": "/run/x"}]},
        **changed,
    }


def test_a_small_configuration() -> None:
    """What is not given is empty, the root is below the bundle, a namespace with a path is joined."""
    found = parse(config(), "/b")
    assert (found.root, found.read_only, found.hostname, found.mounts) == ("/b/rootfs", False, "", ())
    assert found.namespaces == (Namespace("mount"), Namespace("network", "/run/x"))
    assert found.process is not None
    assert (found.process.args, found.process.uid, found.process.terminal) == (("true",), 0, False)


@given(st.sampled_from(KEYS), JSON)
def test_whatever_is_at_the_top(key: str, value: object) -> None:
    """A configuration is parsed or refused with 1, never anything else."""
    with contextlib.suppress(SandboxError):
        assert isinstance(parse(config(**{key: value}), "/b"), Bundle)


@given(st.sampled_from(INNER), JSON)
def test_whatever_is_below_linux(key: str, value: object) -> None:
    """The same below `linux`, and of what is made of its resources."""
    linux = {"namespaces": [{"type": "mount"}], key: value}
    with contextlib.suppress(SandboxError):
        found = parse(config(linux=linux), "/b")
        limits_of(found.resources)
        device_rules(found.resources)


@given(st.sampled_from(("memory", "cpu", "pids", "blockIO", "hugepageLimits", "devices")), JSON)
def test_whatever_the_resources_are(key: str, value: object) -> None:
    """Resources are limits and rules, or refused."""
    for function in (limits_of, device_rules):
        with contextlib.suppress(SandboxError):
            function({key: value})


def test_options_of_a_mount() -> None:
    """Flags are the kernel's, the last of two wins, propagation is private, the rest is the filesystem's."""
    found = parse_options(("rbind", "ro", "nosuid", "nodev", "dev", "rprivate", "size=5k", "mode=755"), "/x")
    assert (found.flags, found.data) == (MS_BIND | MS_REC | MS_RDONLY | MS_NOSUID, "size=5k,mode=755")
    assert (found.propagation, found.copy_up) == ("rprivate", False)
    assert parse_options(("tmpcopyup", "size=5k"), "/x") == Options(0, "size=5k", "", copy_up=True)
    assert parse_options(("nodev", "ro", "rw"), "/x").flags == MS_NODEV
    with pytest.raises(SandboxError, match=r"mount /x: the option 'rshared' is not supported"):
        parse_options(("rshared",), "/x")


def test_resources_as_limits() -> None:
    """0 and -1 mean what the spec says: not given, and no limit."""
    found = limits_of({
        "memory": {"limit": 64 << 20, "swap": 96 << 20, "reservation": 0, "swappiness": 0, "disableOOMKiller": False},
        "cpu": {"shares": 0, "quota": -1, "period": 50000, "cpus": "0-1"},
        "pids": {"limit": -1},
        "blockIO": {"weight": 0, "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 7}],
                    "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 5}]},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 4}],
    })  # fmt: skip
    assert found == Limits(
        cpu_quota_us=UNLIMITED, cpu_period_us=50000, cpuset_cpus="0-1", memory_bytes=64 << 20,
        memory_swap_bytes=96 << 20, memory_swappiness=0, pids=UNLIMITED, huge_pages=(("2MB", 4),),
        throttles=(Throttle("read_bps", "", "8:0", 7), Throttle("write_iops", "", "8:0", 5)),
    )  # fmt: skip
    assert limits_of({}) == Limits()


def test_devices_in_their_order() -> None:
    """Denying everything forgets what was allowed before; the usual ones are allowed in any case; None: no rule."""
    one = {"allow": True, "type": "c", "major": 1, "minor": 5, "access": "rw"}
    other = {"allow": True, "type": "b", "major": 8, "access": "r"}
    nothing = {"allow": False, "access": "rwm"}
    assert device_rules({}) is None
    assert device_rules({"devices": [one]}) is None
    assert device_rules({"devices": [one, nothing]}) == DEFAULT_RULES
    rules = device_rules({"devices": [nothing, one, other]})
    assert rules == (Rule("c", 1, 5, "rw"), Rule("b", 8, None, "r"), *DEFAULT_RULES)
    assert device_rules({"devices": [nothing, one, other, {**one, "allow": False}]}) == (rules[1], *DEFAULT_RULES)
    with pytest.raises(SandboxError, match="is no rule"):
        device_rules({"devices": [{"allow": True, "type": "x"}]})


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"ociVersion": "0.9"}, "ociVersion '0.9' is not 1.x"),
        ({"root": {}}, "root.path is missing"),
        ({"process": {"args": ["a\0b"], "cwd": "/"}}, "process.args is not a list of strings"),
        ({"process": {"args": ["a"], "cwd": "/", "env": ["A"]}}, "process.env has an entry without '='"),
        ({"process": {"args": ["a"], "cwd": "/", "user": {"uid": True}}}, "process.user.uid is not a int"),
        ({"mounts": [{"destination": "/../x"}]}, "holds '..'"),
        ({"linux": {"namespaces": []}}, "without a mount namespace"),
        ({"linux": {"namespaces": [{"type": "mount"}, {"type": "user"}]}}, "needs uidMappings and gidMappings"),
        ({"linux": {"namespaces": [{"type": "mount"}, {"type": "mount"}]}}, "mount is named twice"),
        ({"linux": {"cgroupsPath": "a.slice:b:c", "namespaces": [{"type": "mount"}]}}, "systemd makes no cgroups"),
        ({"linux": {"intelRdt": {"closID": "x"}}}, "linux.intelRdt is not supported"),
    ],
)
def test_what_is_refused(changed: dict[str, object], text: str) -> None:
    """What is wrong, or cannot be kept, is named by its place."""
    with pytest.raises(SandboxError, match=text) as caught:
        parse(config(**changed), "/b")
    assert caught.value.exit_code == 1
