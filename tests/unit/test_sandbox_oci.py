"""What the runtime makes of a config.json: checked values, mount options, limits and devices, whatever is in it."""

from __future__ import annotations

import contextlib
import copy
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.kernel.cgroups import Hierarchy
from sandbox.cgroup import Place
from sandbox.commands import oci_asked
from sandbox.devices import DEFAULT_RULES, Rule, parse_rule, program
from sandbox.errors import SandboxError
from sandbox.limits import UNLIMITED, Limits, Throttle
from sandbox.oci.bundle import Namespace, parse
from sandbox.oci.options import Options, parse_options
from sandbox.oci.process import parse_process
from sandbox.oci.records import Records
from sandbox.oci.resources import device_rules, limits_of, steps_of
from sandbox.oci.scheduling import Affinity
from sandbox.syscalls import MS_BIND, MS_NODEV, MS_NOSUID, MS_RDONLY, MS_REC

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
ODD_TEXTS = ("", "/", "..", "a\0b", "\ud800", "x" * 300)
ODD_NUMBERS = (-1, 0, 2**31, 2**32 - 1, 2**63, 2**64, -(2**64), 1e400, float("nan"), True)
ODD: st.SearchStrategy[object] = st.sampled_from((*ODD_TEXTS, *ODD_NUMBERS, [], {}, [None], [{}], None))
THROTTLE = [{"major": 8, "minor": 0, "rate": 7}]
# A configuration with everything in it that is read.
FULL: dict[str, Any] = {
    "ociVersion": "1.2.0",
    "process": {
        "terminal": False, "consoleSize": {"height": 1, "width": 2}, "cwd": "/", "env": ["A=b"], "args": ["true"],
        "user": {"uid": 1, "gid": 2, "umask": 18, "additionalGids": [3]}, "oomScoreAdj": 5, "noNewPrivileges": True,
        "rlimits": [{"type": "RLIMIT_CORE", "soft": 1, "hard": 2}], "capabilities": {"bounding": ["CAP_KILL"]},
        "scheduler": {"policy": "SCHED_BATCH", "nice": 3, "flags": ["SCHED_FLAG_RESET_ON_FORK"]},
        "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 4}, "execCPUAffinity": {"initial": "0", "final": "0-1"},
    },
    "root": {"path": "rootfs", "readonly": True},
    "hostname": "a",
    "domainname": "b",
    "mounts": [{"destination": "/x", "type": "tmpfs", "source": "tmpfs", "options": ["ro", "size=1k"]}],
    "hooks": {"poststop": [{"path": "/bin/true", "args": ["true"], "env": ["A=b"], "timeout": 1}]},
    "annotations": {"a": "b"},
    "linux": {
        "namespaces": [{"type": "mount"}, {"type": "uts"}, {"type": "time"}, {"type": "user"}],
        "uidMappings": [{"containerID": 0, "hostID": 1, "size": 2}],
        "gidMappings": [{"containerID": 0, "hostID": 1, "size": 2}],
        "timeOffsets": {"monotonic": {"secs": 1, "nanosecs": 2}},
        "devices": [{"path": "/dev/x", "type": "c", "major": 1, "minor": 3, "fileMode": 438, "uid": 0, "gid": 0}],
        "cgroupsPath": "/a/b", "sysctl": {"kernel.domainname": "b"}, "maskedPaths": ["/m"], "readonlyPaths": ["/r"],
        "rootfsPropagation": "rslave", "personality": {"domain": "LINUX32", "flags": []},
        "memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0,2-3", "flags": ["MPOL_F_STATIC_NODES"]},
        "seccomp": {"defaultAction": "SCMP_ACT_ALLOW"},
        "resources": {
            "devices": [{"allow": True, "type": "c", "major": 1, "minor": 5, "access": "rw"}],
            "memory": {"limit": 9 << 20, "swap": 9 << 20, "reservation": 1 << 20, "swappiness": 1},
            "cpu": {"shares": 5, "quota": 2000, "period": 5000, "burst": 10, "cpus": "0", "mems": "0", "idle": 1},
            "pids": {"limit": 5}, "hugepageLimits": [{"pageSize": "2MB", "limit": 4}],
            "blockIO": {"weight": 20, "throttleReadBpsDevice": THROTTLE, "weightDevice": [{"major": 8, "weight": 20}]},
            "unified": {"memory.high": "1"},
        },
    },
}  # fmt: skip


def places_in(value: object, above: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the way to everything that is in a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield (*above, key)
        yield from places_in(each, (*above, key))


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


@given(st.sampled_from(tuple(places_in(FULL))), JSON | ODD)
def test_whatever_stands_anywhere(place: tuple[str | int, ...], value: object) -> None:
    """A configuration in which any value is another is a bundle, or refused with 1 by one line: never anything else."""
    document: Any = copy.deepcopy(FULL)
    inner = document
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    said: SandboxError | None = None
    try:
        found = parse(document, "/b")
        limits_of(found.resources)
        device_rules(found.resources)
        for mount in found.mounts:
            parse_options(mount.options, mount.destination)
        list(steps_of(found.resources, ()))
    except SandboxError as error:
        said = error
    assert said is None or (said.exit_code, len(str(said).splitlines())) == (1, 1)


def test_a_share_of_real_time() -> None:
    """Whether period and share grow or shrink, one of two writes of the period fits; alone it is written once."""
    group = Place(Hierarchy(1, frozenset({"cpu"}), "/cg/cpu", "/"), "/a", "/cg/cpu/a")

    def written(cpu: dict[str, int]) -> list[tuple[str, str, bool]]:
        steps = steps_of({"cpu": cpu}, [group])
        return [(step.path.removeprefix("/cg/cpu/a/"), step.value, step.optional) for step in steps]

    period, share = ("cpu.rt_period_us", "10", False), ("cpu.rt_runtime_us", "3", False)
    assert written({"realtimePeriod": 10, "realtimeRuntime": 3}) == [(*period[:2], True), share, period]
    assert written({"realtimePeriod": 10}) == [period]


def test_everything_at_once() -> None:
    """What is read of a full configuration is what is written there."""
    found = parse(FULL, "/b")
    assert found.process is not None
    assert struct.unpack("=IIQiiQQQ", found.process.scheduler or b"") == (48, 3, 1, 3, 0, 0, 0, 0)
    assert (found.process.io_priority, found.domain, found.memory) == (2 << 13 | 4, 8, (2 | 1 << 15, 0b1101))
    assert found.process.affinity == Affinity(frozenset({0}), frozenset({0, 1}))
    assert found.time_offsets == (("monotonic", 1, 2),)
    assert (found.devices[0].mode, found.devices[0].path) == (0o666, "/dev/x")


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
    with pytest.raises(SandboxError, match=r"mount /x: the option 'rrw' is not supported"):
        parse_options(("rbind", "rrw"), "/x")
    assert parse_options(("rro", "rnodev", "ridmap"), "/x") == Options(0, "", recursive=MS_RDONLY | MS_NODEV,
                                                                       idmap="ridmap")  # fmt: skip


def test_resources_as_limits() -> None:
    """0 and -1 mean what the spec says: not given, and no limit."""
    found = limits_of({
        "memory": {"limit": 64 << 20, "swap": 96 << 20, "reservation": 0, "swappiness": 0, "disableOOMKiller": False},
        "cpu": {"shares": 0, "quota": -1, "period": 50000, "cpus": "0-1"},
        "pids": {"limit": -1},
        "blockIO": {"weight": 0, "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 7}],
                    "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 5}],
                    "weightDevice": [{"major": 8, "minor": 16, "weight": 30}]},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 4}],
    })  # fmt: skip
    assert found == Limits(
        cpu_quota_us=UNLIMITED, cpu_period_us=50000, cpuset_cpus="0-1", memory_bytes=64 << 20,
        memory_swap_bytes=96 << 20, memory_swappiness=0, pids=UNLIMITED, huge_pages=(("2MB", 4),),
        throttles=(Throttle("read_bps", "", "8:0", 7), Throttle("write_iops", "", "8:0", 5),
                   Throttle("weight", "", "8:16", 30)),
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
    # What the kernel's program for them cannot hold: a FIFO is not asked about, a number has 31 bits.
    for odd in ({"type": "p"}, {"type": "c", "major": 2**31}):
        with pytest.raises(SandboxError):
            device_rules({"devices": [nothing, {"allow": True, **odd}]})
    largest = device_rules({"devices": [nothing, {"allow": True, "type": "c", "major": 2**31 - 1}]})
    assert largest is not None
    assert program(map(parse_rule, map(str, largest)))


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"ociVersion": "0.9"}, "ociVersion '0.9' is not 1.x"),
        ({"root": {}}, "root.path is missing"),
        ({"process": {"args": ["a\0b"], "cwd": "/"}}, "process.args is not a list of strings"),
        ({"process": {"args": ["a"], "cwd": "/", "env": ["A"]}}, "process.env has an entry without a name and '='"),
        ({"process": {"args": ["a"], "cwd": "/", "user": {"uid": True}}}, "process.user.uid is not a whole number"),
        ({"mounts": [{"destination": "/../x"}]}, "holds '..'"),
        ({"linux": {"namespaces": []}}, "without a mount namespace"),
        ({"linux": {"namespaces": [{"type": "mount"}, {"type": "user"}]}}, "needs uidMappings and gidMappings"),
        ({"linux": {"namespaces": [{"type": "mount"}, {"type": "mount"}]}}, "mount is named twice"),
        ({"linux": {"cgroupsPath": "a.slice:b:c", "namespaces": [{"type": "mount"}]}}, "systemd makes no cgroups"),
        ({"linux": {"intelRdt": {"closID": "x"}}}, "linux.intelRdt is not supported"),
        ({"process": {"args": ["a"], "cwd": "/", "apparmorProfile": "a b"}}, "apparmorProfile 'a b' is no name"),
        ({"process": {"args": ["a"], "cwd": "/", "selinuxLabel": "a:b:c:s0"}}, "selinuxLabel is not supported"),
        ({"linux": {"personality": {"domain": "PDP11"}}}, "linux.personality.domain 'PDP11' is none of LINUX, LINUX32"),
        ({"linux": {"memoryPolicy": {}}}, "linux.memoryPolicy.mode '' is none of"),
        ({"linux": {"memoryPolicy": {"mode": "MPOL_DEFAULT", "nodes": "0-7"}}}, "requires 0 nodes but got 8"),
        ({"linux": {"memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0-9876543210"}}}, "memoryPolicy.nodes '0-98765"),
        ({"linux": {"namespaces": [{"type": "mount"}], "timeOffsets": {"boottime": {"secs": 1}}}},
         "timeOffsets need a new time namespace"),
    ],
)
def test_what_is_refused(changed: dict[str, object], text: str) -> None:
    """What is wrong, or cannot be kept, is named by its place."""
    with pytest.raises(SandboxError, match=text) as caught:
        parse(config(**changed), "/b")
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"scheduler": {"policy": "SCHED_FAST"}}, "process.scheduler.policy 'SCHED_FAST' is none of SCHED_OTHER"),
        ({"scheduler": {"policy": "SCHED_OTHER", "priority": 5}}, "is for SCHED_FIFO and SCHED_RR only"),
        ({"scheduler": {"policy": "SCHED_FIFO", "runtime": 5}}, "are for SCHED_DEADLINE only"),
        ({"scheduler": {"policy": "SCHED_OTHER", "nice": 20}}, "nice is not from -20 to 19"),
        ({"ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 8}}, "priority is not from 0 to 7"),
        ({"execCPUAffinity": {"initial": "0-a"}}, "process.execCPUAffinity.initial '0-a' is not a list"),
        ({"rlimits": [{"type": "RLIMIT_CPU"}, {"type": "RLIMIT_CPU"}]}, "RLIMIT_CPU is named twice"),
        ({"rlimits": [{"type": "RLIMIT_CPU", "soft": 2, "hard": 1}]}, "the soft limit 2 is above the hard one 1"),
        ({"user": {"uid": 2**32 - 1}}, "process.user.uid is not from 0 to"),
        ({"oomScoreAdj": 1001}, "process.oomScoreAdj is not from -1000 to 1000"),
    ],
)
def test_what_a_process_cannot_be(changed: dict[str, object], text: str) -> None:
    """The same of a process, whether it is in config.json or given to `exec`."""
    with pytest.raises(SandboxError, match=text):
        parse_process({"args": ["true"], "cwd": "/", **changed})


def test_a_word_more_for_a_process_of_which_much_is_null(tmp_path: Path) -> None:
    """`exec -e --cap -g` adds to what the configuration has, also where that is null; an id has not 5,000 digits."""
    (tmp_path / "c").mkdir()
    nothing = dict.fromkeys(("env", "capabilities", "user", "noNewPrivileges"))
    (tmp_path / "c/state.json").write_text('{"Cgscope": {}}', encoding="utf-8")
    for own in (nothing, {"capabilities": {"bounding": None}, "user": {"additionalGids": None}}):
        config = {"process": {"cwd": "/", "args": ["sh"], **own}}
        (tmp_path / "c/config.json").write_text(json.dumps(config), encoding="utf-8")
        words = ["-e", "A=b", "--cap", "CAP_KILL", "-g", "7", "c", "true"]
        made = parse_process(oci_asked.process(oci_asked.exec_parser().parse_args(words), Records(str(tmp_path))))
        assert (made.env, made.bounding, made.groups, made.args) == (("A=b",), frozenset({"KILL"}), (7,), ("true",))
    arguments = oci_asked.exec_parser().parse_args(["-u", "9" * 5000, "c", "true"])
    with pytest.raises(SandboxError, match="the form is UID"):
        oci_asked.process(arguments, Records(str(tmp_path)))
