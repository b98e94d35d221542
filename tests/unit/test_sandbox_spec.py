"""What the sandbox accepts: limits, sizes, names, volumes, environments, capabilities and users, in Docker's terms."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox import capabilities, users
from sandbox.attributes import Attributes, Ulimit, attributes, check_namespaces
from sandbox.codec import decode, encode
from sandbox.environment import environment
from sandbox.errors import SandboxError
from sandbox.limit_files import weight_of_shares
from sandbox.limits import UNLIMITED, Limits, Throttle, host_config, limits, parse_size
from sandbox.spec import Spec
from sandbox.volumes.mount_option import parse_mount
from sandbox.volumes.options import parse_tmpfs, parse_volume
from sandbox.volumes.wanted import Tmpfs, Volume


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("6291456", 6 << 20), ("64m", 64 << 20), ("1.5G", 3 << 29), ("2kb", 2048), ("1MiB", 1 << 20)],
)
def test_sizes(text: str, size: int) -> None:
    """A size is a number with a unit of 1024, in any case, with or without b."""
    assert parse_size(text, "--memory") == size


@pytest.mark.parametrize("text", ["", "-1", "1x", "m", "1e3", "0x10", "99999999999p", "1 2"])
def test_sizes_that_are_none(text: str) -> None:
    """Anything else is refused."""
    with pytest.raises(SandboxError, match="--memory: invalid size"):
        parse_size(text, "--memory")


def test_limits_as_docker_means_them() -> None:
    """0 is not given, -1 is no limit, --cpus is a quota of 100 ms."""
    assert limits(host_cpus=2) == Limits()
    assert limits(quota=-1, period=0, pids=-1, host_cpus=2) == Limits(cpu_quota_us=UNLIMITED, pids=UNLIMITED)
    assert limits(quota=1000, period=1000000, host_cpus=2) == Limits(1000, 1000000)
    assert limits(cpus="1.5", host_cpus=2) == Limits(150000, 100000)
    assert limits(cpus="0", host_cpus=2) == Limits()
    assert limits(memory="6m", pids=7, host_cpus=2) == Limits(memory_bytes=6 << 20, pids=7)
    assert limits(quota=5000, burst=5000, shares=2, host_cpus=2) == Limits(5000, cpu_burst_us=5000, cpu_shares=2)
    swap = limits(memory="64m", memory_swap="-1", memory_reservation="32m", memory_swappiness=0, host_cpus=2)
    assert swap == Limits(None, None, 64 << 20, None, memory_swap_bytes=UNLIMITED, memory_reservation_bytes=32 << 20,
                          memory_swappiness=0)  # fmt: skip


def test_limits_kept_as_json() -> None:
    """What a container's document keeps is read back as it was."""
    one = Limits(5000, pids=9, cpuset_cpus="0", throttles=(Throttle("read_bps", "/dev/a", "8:0", 7),),
                 huge_pages=(("2MB", 4),), memory_swappiness=0)  # fmt: skip
    assert decode(Limits, json.loads(json.dumps(encode(one)))) == one


@pytest.mark.parametrize(
    ("shares", "weight"),
    [(2, 1), (10, 4), (128, 21), (1000, 99), (1024, 100), (2048, 174), (8192, 532), (100000, 4340), (262144, 10000)],
)
def test_shares_as_a_weight(shares: int, weight: int) -> None:
    """v1's shares become v2's weight on runc's curve: the figures of its tests."""
    assert weight_of_shares(shares) == weight


@pytest.mark.parametrize(
    "given",
    [
        {"quota": 1},
        {"quota": 999},
        {"quota": -2},
        {"quota": 2**62},
        {"period": 999},
        {"period": 1000001},
        {"period": -1},
        {"memory": "5m"},
        {"cpus": "3"},
        {"cpus": "0.001"},
        {"cpus": "-1"},
        {"cpus": "nan"},
        {"cpus": "many"},
        {"cpus": "1", "quota": 5000},
        {"cpus": "1", "period": 5000},
        {"burst": 1000},
        {"quota": 5000, "burst": 5001},
        {"shares": 1},
        {"shares": 262145},
        {"cpuset_cpus": "0-"},
        {"cpuset_mems": "a"},
        {"memory_swap": "64m"},
        {"memory": "64m", "memory_swap": "32m"},
        {"memory": "64m", "memory_reservation": "65m"},
        {"memory_reservation": "5m"},
        {"memory_swappiness": 101},
        {"blkio_weight": 9},
        {"huge_pages": ("2MB",)},
        {"huge_pages": ("2mb=64m",)},
    ],
)
def test_limits_out_of_range(given: dict[str, object]) -> None:
    """What Docker refuses is refused with exit code 125."""
    with pytest.raises(SandboxError) as caught:
        limits(host_cpus=2, **given)
    assert caught.value.exit_code == 125


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"cpus": "2"}, Limits(200_000, 100_000)),
        ({"cpus": "0.01"}, Limits(1000, 100_000)),
        ({"quota": (2**63 - 1) // 1000}, Limits((2**63 - 1) // 1000)),
        ({"period": 1000}, Limits(None, 1000)),
        ({"period": 1_000_000}, Limits(None, 1_000_000)),
        ({"shares": 262_144}, Limits(cpu_shares=262_144)),
        ({"blkio_weight": 10}, Limits(blkio_weight=10)),
        ({"blkio_weight": 1000}, Limits(blkio_weight=1000)),
        ({"memory_swappiness": 100}, Limits(memory_swappiness=100)),
        ({"pids": 1}, Limits(pids=1)),
        ({"pids": 0}, Limits(pids=UNLIMITED)),
        (
            {"memory": "6m", "memory_swap": "6m", "memory_reservation": "6m"},
            Limits(memory_bytes=6 << 20, memory_swap_bytes=6 << 20, memory_reservation_bytes=6 << 20),
        ),
    ],
)
def test_the_ends_of_each_range_are_in_it(given: dict[str, object], expected: Limits) -> None:
    """The least and the most that Docker takes, with --cpus all CPUs that there are."""
    assert limits(host_cpus=2, **given) == expected


def test_limits_as_inspect_has_them() -> None:
    """Docker's keys: 0 where nothing is limited, memory and swap together twice the memory unless told."""
    shown = host_config(Limits())
    zeros = ("CpuShares", "CpuQuota", "CpuPeriod", "CpuBurst", "Memory", "MemorySwap", "MemoryReservation",
             "BlkioWeight")  # fmt: skip
    assert [shown[key] for key in zeros] == [0] * len(zeros)
    assert [shown[key] for key in ("MemorySwappiness", "PidsLimit")] == [None, None]
    shown = host_config(Limits(5000, 50_000, 64, cpu_burst_us=9, cpu_shares=7, memory_reservation_bytes=3))
    assert [shown[key] for key in zeros] == [7, 5000, 50_000, 9, 64, 128, 3, 0]
    assert host_config(Limits(memory_bytes=64, memory_swap_bytes=UNLIMITED))["MemorySwap"] == UNLIMITED


@pytest.mark.parametrize(
    ("text", "volume"),
    [
        ("/a:/b", Volume("/a", "/b")),
        ("/a:/b/:ro", Volume("/a", "/b", read_only=True)),
        ("./a:/b//c:rw", Volume("/here/./a", "/b/c")),
        ("/a:/b:rslave,ro,z", Volume("/a", "/b", read_only=True, propagation="rslave")),
        ("name:/b", Volume("/v/name/_data", "/b", name="name")),
        ("name:/b:ro,nocopy", Volume("/v/name/_data", "/b", read_only=True, name="name", copy=False)),
        ("/b", Volume("/v/new/_data", "/b", name="new", anonymous=True)),
    ],
)
def test_volumes(text: str, volume: Volume) -> None:
    """A volume is a path of the host, a name or nothing, and a path of the container; a dot is completed."""
    completed = parse_volume(text, lambda path: path if path.startswith("/") else f"/here/{path}", volume_path)
    assert completed == volume


def volume_path(name: str) -> str:
    """Name the directory of a volume."""
    return f"/v/{name or 'new'}/_data"


@pytest.mark.parametrize(
    "text",
    ["a", "n!:/b", "x:/b", "/a:b", "/a:/", "/a:/proc", "/a:/sys/fs", "/a:/../b", "/a:/b:x", "/a:/b:ro,rw", "/a:ro",
     ":/b", "/a:/b:nocopy", "/a:/b:shared", "/a:/b:slave,private", "a:/b:ro:c"],
)  # fmt: skip
def test_volumes_that_are_refused(text: str) -> None:
    """A bad name, a relative target, the root, the kernel's own filesystems and unknown modes are refused."""
    with pytest.raises(SandboxError, match="invalid"):
        parse_volume(text, str, volume_path)


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("type=bind,source=/a,target=/b", Volume("/a", "/b")),
        ("type=bind,src=/a,dst=/b,readonly", Volume("/a", "/b", read_only=True)),
        ('type=bind,"src=/a,b",dst=/b,ro=false', Volume("/a,b", "/b")),
        ("type=bind,src=/a,dst=/b,bind-propagation=rslave", Volume("/a", "/b", propagation="rslave")),
        ("type=bind,src=/a,dst=/b,bind-nonrecursive", Volume("/a", "/b", recursion="disabled")),
        ("type=bind,src=/a,dst=/b,bind-recursive=writable,ro",
         Volume("/a", "/b", read_only=True, recursion="writable")),
        ("target=/b", Volume("/v/new/_data", "/b", name="new", anonymous=True)),
        ("type=volume,src=n1,dst=/b,volume-nocopy", Volume("/v/n1/_data", "/b", name="n1", copy=False)),
        ("type=volume,src=n1,dst=/b,volume-driver=local,volume-label=a=b=c,volume-label=d",
         Volume("/v/n1/_data", "/b", name="n1", labels=(("a", "b=c"), ("d", "")))),
        ("src=n1,dst=/b,volume-subpath=a/../b/c", Volume("/v/n1/_data", "/b", name="n1", subpath="a/../b/c")),
        ("src=n1,dst=/b,volume-subpath=", Volume("/v/n1/_data", "/b", name="n1")),
        ("type=tmpfs,dst=/b", Tmpfs("/b", data="mode=1777")),
        ("type=tmpfs,dst=/b,tmpfs-size=1m,tmpfs-mode=700,ro",
         Tmpfs("/b", ("ro", "nosuid", "nodev", "noexec"), "size=1048576,mode=700")),
    ],
)  # fmt: skip
def test_mounts(text: str, mount: Volume | Tmpfs) -> None:
    """--mount says in words what -v and --tmpfs say in signs."""
    assert parse_mount(text, str, volume_path) == mount


def test_what_was_asked_of_a_volume_without_a_name() -> None:
    """Of HostConfig.Mounts it is one without a source, as in Docker's: the name that it got is in Mounts."""
    mount = parse_mount("dst=/b,volume-label=a=b,ro", str, volume_path)
    assert isinstance(mount, Volume)
    options = {"Labels": {"a": "b"}}
    assert mount.asked() == {"Type": "volume", "Target": "/b", "VolumeOptions": options, "ReadOnly": True}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("type=volume", "target is required"),
        ("type=foo,dst=/x", "mount type unknown"),
        ("type=volume,dst=/x,foo=1", "unexpected key 'foo'"),
        ("type=bind,dst=/x", "Source must not be empty"),
        ("type=bind,src=/a,dst=x", "must be absolute"),
        ("type=bind,src=/a,dst=/x,volume-nocopy", "does not fit"),
        ("type=tmpfs,src=/a,dst=/x", "source does not fit"),
        ("type=bind,src=/a,dst=/x,readonly=perhaps", "invalid value for readonly"),
        ("type=bind,src=/a,dst=/x,readonly=", "invalid value for readonly"),
        ("type=bind,src=/a,dst=/x,bind-recursive=readonly", "requires 'readonly'"),
        ("type=bind,src=/a,dst=/x,bind-recursive=writable,ro=0", "requires 'readonly'"),
        ("type=bind,src=/a,dst=/x,bind-propagation=shared", "invalid value 'shared'"),
        ("type=tmpfs,dst=/x,tmpfs-mode=9", "octal"),
        ("type=tmpfs,dst=/x,tmpfs-size=x", "invalid size"),
        ('type=bind,"src=/a', "quotes"),
        ("type,dst=/x", "key=value"),
        ("src=n1,dst=/x,volume-label", "key=value"),
        ("src=n1,dst=/x,volume-label==b", "a label has a name"),
        ("src=n1,dst=/x,volume-driver=nfs", "create n1: plugin 'nfs' not found"),
        ("src=n1,dst=/x,volume-opt=type=nfs", "volume-opt: a volume is a directory of ours"),
        ("src=n1,dst=/x,volume-subpath=/a", "a relative path within the volume"),
        ("src=n1,dst=/x,volume-subpath=a/../../b", "a relative path within the volume"),
        ("src=n1,dst=/x,image-subpath=a", "image-subpath does not fit"),
        ("type=bind,src=/a,dst=/x,volume-label=a=b", "volume-label does not fit"),
        ("type=image,src=a,dst=/x", "an image is not mounted into another one"),
    ],
)
def test_mounts_that_are_refused(text: str, reason: str) -> None:
    """Each mistake in --mount is told in Docker's words."""
    with pytest.raises(SandboxError, match=reason):
        parse_mount(text, str, volume_path)


def test_tmpfs_options() -> None:
    """A tmpfs is nosuid,nodev,noexec as Docker's unless an option says otherwise; unknown options are refused."""
    assert parse_tmpfs("/t") == Tmpfs("/t", ("nodev", "noexec", "nosuid"), "")
    assert parse_tmpfs("/t:exec,size=1m,mode=1777,ro") == Tmpfs("/t", ("nodev", "nosuid", "ro"), "size=1m,mode=1777")
    for text in ("/t:size=1m;x", "/t:context=a", "t", "/t:size="):
        with pytest.raises(SandboxError):
            parse_tmpfs(text)


def test_environment() -> None:
    """The last value of a variable wins; a bare name takes the host's, or nothing (B021)."""
    host = {"HERE": "yes"}
    got = environment(["A=1", "A=2=3", "HERE", "GONE", "PATH=/x"], host, hostname="h", tty=True)
    assert got == ("PATH=/x", "HOSTNAME=h", "TERM=xterm", "A=2=3", "HERE=yes")
    with pytest.raises(SandboxError):
        environment(["=x"], host)


def test_specs_that_no_kernel_can_fulfil() -> None:
    """A bad name, host name, directory or cgroup, no command, and two mounts on one point are refused (B056)."""
    bad: list[dict[str, object]] = [
        {"argv": ()},
        {"argv": ("a\0b",)},
        {"name": "x"},
        {"name": "-x"},
        {"name": "a/b"},
        {"hostname": "a b"},
        {"workdir": "relative"},
        {"cgroup_parent": "/a/../b"},
        {"cgroup_parent": f"/{'a' * 256}"},
        {"cgroup_parent": "/ab" * 1000},
        {"cgroup_parent": "/ü" * 700},
        {"volumes": (Volume("/a", "/x"),), "tmpfs": (Tmpfs("/x"),)},
    ]
    for fields in bad:
        with pytest.raises(SandboxError):
            Spec(**{"rootfs": "/", "argv": ("true",), **fields})  # type: ignore[arg-type]  # a table of fields


def test_capability_sets() -> None:
    """The default is Docker's bit mask; ALL, single names and --privileged combine as Docker combines them."""
    select = capabilities.select
    assert capabilities.mask(select((), (), privileged=False)) == 0xA80425FB
    assert select(("cap_sys_admin",), ("CHOWN",), privileged=False) == capabilities.DEFAULT - {"CHOWN"} | {"SYS_ADMIN"}
    assert select(("MKNOD",), ("all",), privileged=False) == {"MKNOD"}
    assert select(("ALL",), ("SYS_ADMIN",), privileged=False) == capabilities.ALL - {"SYS_ADMIN"}
    assert select((), (), privileged=True) == capabilities.ALL
    with pytest.raises(SandboxError, match="unknown capability"):
        select(("NO_SUCH",), (), privileged=False)


PASSWD = [line.split(":") for line in ("root:x:0:0:r:/root:/bin/sh", "web:x:33:34::/srv:/bin/sh")]
GROUP = [line.split(":") for line in ("root:x:0:", "www:x:34:", "logs:x:4:root,web")]


@pytest.mark.parametrize(
    ("text", "user"),
    [
        ("", users.User(0, 0, (0, 4), "/root", "/bin/sh")),
        ("web", users.User(33, 34, (34, 4), "/srv", "/bin/sh")),
        ("33", users.User(33, 34, (34, 4), "/srv", "/bin/sh")),
        ("web:www", users.User(33, 34, (34,), "/srv", "/bin/sh")),
        ("1042:1043", users.User(1042, 1043, (1043,), "/")),
        ("1042", users.User(1042, 0, (0,), "/")),
    ],
)
def test_users(text: str, user: users.User) -> None:
    """Names are looked up in the container's files; numbers need no entry; a group given replaces the others.

    B016, T21.
    """
    assert users.look_up(text, PASSWD, GROUP) == user


@pytest.mark.parametrize("text", ["nobody", "web:nogroup", "99999999999", "0:99999999999"])
def test_users_that_do_not_exist(text: str) -> None:
    """A name without an entry and a number that is no id are refused."""
    with pytest.raises(SandboxError):
        users.look_up(text, PASSWD, GROUP)


def test_hostile_passwd(tmp_path: object) -> None:
    """Lines that are no entries are passed over; a missing file has none."""
    path = f"{tmp_path}/passwd"
    with open(path, "wb") as file:
        file.write(b"#c:x:1:1::/:\nshort:x\nnan:x:y:0::/h:\n\xff:x:5:5::/h:/s\nlast:x:6:6::/h:/s")
    assert [entry[2] for entry in users.read_users(path, users.PASSWD_FIELDS)] == ["5", "6"]
    assert users.read_users(f"{tmp_path}/none", users.PASSWD_FIELDS) == []


def test_surroundings_of_a_program() -> None:
    """Ulimits take one or two numbers, the last of a name wins; settings are those of namespaces."""
    given = attributes(ulimits=("nofile=5", "core=unlimited", "nofile=7:9"), sysctls=("net/ipv4/ip_forward=1",))
    assert given.ulimits == (Ulimit("nofile", 7, 9), Ulimit("core", -1, -1))
    assert given.sysctls == (("net.ipv4.ip_forward", "1"),)
    assert (given.shm_bytes, given.oom_score_adj) == (64 << 20, None)
    assert decode(Attributes, json.loads(json.dumps(encode(given)))) == given
    with pytest.raises(SandboxError, match="shares its IPC namespace"):
        check_namespaces(attributes(sysctls=("kernel.sem=1",)), own_network=True, own_ipc=False)


@given(st.text())
def test_no_ulimit_or_setting_is_another_error(text: str) -> None:
    """Whatever is given is taken or refused, never anything else."""
    for options in ({"ulimits": (text, f"nofile={text}")}, {"sysctls": (text, f"net.a={text}")}, {"shm_size": text}):
        with contextlib.suppress(SandboxError):
            attributes(**options)
