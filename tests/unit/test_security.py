"""What lets a process reach the host, on mountinfo written by hand: each finding, and that there is no false one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.exposure import exposures, guarded
from inspector.kernel.mounts import Mount, parse_mountinfo
from inspector.kernel.process import CAPABILITIES
from inspector.security import CODES, DANGEROUS, DOCKER_DEFAULT, Situation, findings

HOST = (
    "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
    "2 1 0:5 / /dev rw - devtmpfs udev rw\n"
    "3 1 0:21 / /proc rw - proc proc rw\n"
    "4 1 0:22 / /run rw - tmpfs tmpfs rw\n"
    "5 1 0:23 / /sys rw - sysfs sysfs rw\n"
)
# As Docker mounts them by default.
DOCKER = (
    "10 9 0:50 / / rw - overlay overlay rw,lowerdir=/l,upperdir=/u,workdir=/w\n"
    "11 10 0:51 / /proc rw - proc proc rw\n"
    "12 10 0:52 / /dev rw - tmpfs tmpfs rw\n"
    "13 10 0:53 / /sys ro - sysfs sysfs ro\n"
    "14 13 0:30 /docker/ab /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
    "15 10 8:1 /var/lib/docker/containers/ab/hosts /etc/hosts rw - ext4 /dev/sda1 rw\n"
    "16 10 8:1 /var/lib/docker/volumes/v/_data /data rw - ext4 /dev/sda1 rw\n"
    "17 11 0:51 /sys /proc/sys ro - proc proc rw\n"
    "18 11 0:52 /null /proc/kcore rw - tmpfs tmpfs rw\n"
    "19 13 0:54 / /sys/firmware ro - tmpfs tmpfs ro\n"
)
OWN = {"mnt": False, "pid": False, "net": False, "ipc": False, "uts": False, "cgroup": False, "user": True}
RULES = ("c *:* m", "b *:* m", "c 1:3 rwm")


def situation(more: str = "", **changes: object) -> Situation:
    """Return Docker's default container with more mounts, or with something else about it changed."""
    seen = parse_mountinfo((DOCKER + more).encode())
    hosts = parse_mountinfo(HOST.encode())
    default = Situation(OWN, 0, DOCKER_DEFAULT, "filter", no_new_privs=False, mounts=seen, hosts=hosts, devices=RULES)
    return default._replace(**changes)  # type: ignore[arg-type]


def told(of: Situation) -> list[tuple[str, str]]:
    """Return code and severity of what is more than a remark."""
    return [(one["code"], one["severity"]) for one in findings(of) if one["severity"] != "info"]


def test_dockers_default_is_no_alarm() -> None:
    """Docker's default container, also with a volume and files of Docker's own, has remarks only."""
    assert told(situation()) == []
    assert {one["code"] for one in findings(situation())} == {"root-of-host", "may-gain-privileges"}


def test_a_process_without_walls_has_no_findings() -> None:
    """In the host's mount namespace, or where that is unknown, nothing is said."""
    for same in (True, None):
        assert findings(situation(same={**OWN, "mnt": same}, capabilities=frozenset(CAPABILITIES))) == []


@pytest.mark.parametrize(("net", "codes"), [(False, []), (True, [("sys-writable", "warning")])])
def test_its_own_interfaces_in_sys_are_its_own(*, net: bool, codes: list[tuple[str, str]]) -> None:
    """LXC lets it write to the interfaces of its network: the host's they are only with the host's network."""
    of = situation("30 13 0:53 /devices/virtual/net /sys/devices/virtual/net rw - sysfs sysfs rw\n")
    assert told(of._replace(same={**OWN, "net": net})) == codes


@pytest.mark.parametrize(
    ("mount", "code", "severity", "says"),
    [
        ("8:1 / /host rw", "host-path-writable", "critical", "can write to the host: / is mounted at /host read-write"),
        ("8:1 / /host ro", "host-path-readable", "warning", "/ is mounted at /host read-only"),
        ("8:1 /etc /x rw", "host-path-writable", "critical", "/etc is mounted at /x read-write"),
        ("0:22 /docker.sock /s ro", "runtime-socket", "critical", "/run/docker.sock is mounted at /s"),
        ("0:22 / /var/run ro", "runtime-socket", "critical", "/run with the sockets"),
        ("0:5 / /hostdev rw", "host-path-writable", "critical", "/dev is mounted at /hostdev"),
    ],
)
def test_what_is_the_hosts_is_told_by_device_and_root(mount: str, code: str, severity: str, says: str) -> None:
    """Device and root field, not the name inside, say what of the host a mount shows."""
    device, root, place, mode = mount.split()
    of = situation(f"30 10 {device} {root} {place} {mode} - ext4 x rw\n")
    assert told(of) == [(code, severity)]
    assert says in findings(of)[0]["text"]


def test_what_only_looks_like_the_hosts_is_not() -> None:
    """/etc and docker.sock of other filesystems are nobody's of the host, nor is a directory beside a sensitive one."""
    more = "30 10 0:99 /etc /etc rw - ext4 x rw\n31 10 0:99 /docker.sock /run/docker.sock rw - tmpfs x rw\n"
    more += "32 10 8:1 /etcetera /x rw - ext4 x rw\n33 10 8:1 /etc/localtime /etc/localtime rw - ext4 x rw\n"
    assert told(situation(more)) == []


def test_what_lies_below_the_whole_host_is_not_told_again() -> None:
    """With the host at /host, its /host/dev and /host/proc are no findings of their own."""
    more = "30 10 8:1 / /host rw - ext4 x rw\n31 30 0:5 / /host/dev rw - devtmpfs x rw\n"
    assert told(situation(more + "32 30 0:21 / /host/proc rw - proc proc rw\n")) == [("host-path-writable", "critical")]


def test_a_root_of_another_user_namespace_is_held_back() -> None:
    """With user namespaces neither capabilities nor a writable /proc/sys reach the host; a mount still counts."""
    bare = DOCKER.replace("17 11 0:51 /sys /proc/sys ro - proc proc rw\n", "")
    mounts = parse_mountinfo((bare + "30 10 8:1 / /host rw - ext4 x rw\n").encode())
    of = situation(same={**OWN, "user": False}, uid=100000, capabilities=frozenset(CAPABILITIES), mounts=mounts)
    assert told(of) == [("host-path-writable", "warning")]


def test_writable_settings_and_cgroups() -> None:
    """A writable /proc/sys is critical; writable cgroups lift limits, and with CAP_SYS_ADMIN on v1 run programs."""
    bare = DOCKER.replace("17 11 0:51 /sys /proc/sys ro - proc proc rw\n", "")
    assert told(situation(mounts=parse_mountinfo(bare.encode()))) == [("proc-sys-writable", "critical")]
    cgroup = "30 10 0:30 /docker/ab /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    assert told(situation(cgroup)) == [("writable-cgroup", "warning")]
    admin = situation(cgroup, capabilities=DOCKER_DEFAULT | {"CAP_SYS_ADMIN"})
    assert told(admin) == [("writable-cgroup", "critical"), ("dangerous-capability", "critical")]


@pytest.mark.parametrize("name", sorted(DANGEROUS))
def test_each_dangerous_capability_is_named_with_what_it_allows(name: str) -> None:
    """One beyond Docker's own is told, by its name."""
    texts = [one["text"] for one in findings(situation(capabilities=DOCKER_DEFAULT | {name}))]
    assert any(text.startswith(f"{name} lets it ") for text in texts)


def test_a_capability_over_a_namespace_of_the_host_is_worse() -> None:
    """CAP_NET_ADMIN is a remark over a network of its own and critical over the host's."""
    strong = situation(capabilities=DOCKER_DEFAULT | {"CAP_NET_ADMIN"})
    assert told(strong) == []
    assert told(strong._replace(same={**OWN, "net": True})) == [("dangerous-capability", "critical")]


def test_devices() -> None:
    """Rules for every device, or a disk, are told; those for making nodes alone are not; unknown rules say nothing."""
    assert told(situation(devices=("a *:* rwm",))) == [("host-devices", "critical")]
    assert told(situation(devices=("b 8:0 r",), capabilities=DOCKER_DEFAULT - {"CAP_MKNOD"})) == [
        ("host-devices", "warning")
    ]
    assert told(situation(devices=None)) == []


def test_privileged_is_one_finding() -> None:
    """All capabilities and no seccomp are said once, without a line for each capability."""
    codes = [one["code"] for one in findings(situation(capabilities=frozenset(CAPABILITIES), seccomp="disabled"))]
    assert codes[0] == "privileged"
    assert not {"dangerous-capability", "seccomp-off"} & set(codes)


def test_the_hosts_root_as_its_own() -> None:
    """After `unshare -m` the root is the host's: one remark, and no list of what is mounted where."""
    of = situation(mounts=parse_mountinfo(HOST.encode()), same={**OWN, "pid": True})
    assert told(of) == []
    assert "host-root" in [one["code"] for one in findings(of)]


def test_masked_and_read_only_paths() -> None:
    """What an empty file or directory covers is masked; what is read-only is told apart."""
    masked, read_only = guarded(parse_mountinfo(DOCKER.encode()))
    assert masked == ["/proc/kcore", "/sys/firmware"]
    jail = "90 27 0:22 /firejail/firejail.ro.{} {} ro - ext4 /dev/vda rw\n"  # firejail binds empty ones of its own
    binds = jail.format("dir", "/proc/irq") + jail.format("file", "/proc/kallsyms")
    assert guarded(parse_mountinfo(binds.encode())) == (["/proc/irq", "/proc/kallsyms"], [])
    assert read_only == ["/proc/sys", "/sys", "/sys/fs/cgroup/memory"]


PATHS = st.sampled_from(["/", "/etc", "/run", "/proc", "/a\n", "/docker.sock", "/../x", "//"]) | st.text(max_size=8)
MOUNT = st.builds(
    lambda device, root, place, kind: parse_mountinfo(HOST.encode())[0]._replace(
        device_minor=device, root=root, mountpoint=place, fstype=kind
    ),
    st.integers(0, 3), PATHS, PATHS, st.sampled_from(["ext4", "proc", "sysfs", "cgroup", "tmpfs"]),
)  # fmt: skip


@given(st.lists(MOUNT, max_size=8), st.lists(MOUNT, max_size=8), st.frozensets(st.sampled_from(CAPABILITIES)))
def test_whatever_is_mounted_every_finding_has_a_listed_code(
    mounts: list[Mount], hosts: list[Mount], capabilities: frozenset[str]
) -> None:
    """Hostile paths raise nothing, and every code is in the table that the README lists."""
    of = situation(mounts=tuple(mounts), hosts=tuple(hosts), capabilities=capabilities)
    assert {one["code"] for one in findings(of)} <= set(CODES)
    assert len(exposures(mounts, hosts)) <= len(mounts)
