"""The pure halves of the sandbox: the plans for cgroups, mounts and devices, and how a container reads as text."""

from __future__ import annotations

import os
import stat
import struct
from pathlib import Path

import pytest

from inspector.kernel.cgroups import Hierarchy, parse_cgroup
from sandbox import binaries, cgroup, control, culling, devices, limit_files, overlays, pieces, planning, rootfs, times
from sandbox.errors import SandboxError, describe, printable
from sandbox.limits import UNLIMITED, Limits, Throttle
from sandbox.log_file import Log
from sandbox.spec import Spec
from sandbox.value import replace
from sandbox.volumes.wanted import Tmpfs, Volume

LAYOUT = rootfs.Layout(("/",), "/s/c/upper", "/s/c/work", "/s/c/merged", "/s/c/hostname", "/s/c/hosts")
V1_CPU = Hierarchy(1, frozenset({"cpu", "cpuacct"}), "/sys/fs/cgroup/cpu,cpuacct")
V1_MEMORY = Hierarchy(1, frozenset({"memory"}), "/sys/fs/cgroup/memory")
V1_CPUSET = Hierarchy(1, frozenset({"cpuset"}), "/sys/fs/cgroup/cpuset")
V1_NAMED = Hierarchy(1, frozenset({"name=systemd"}), "/sys/fs/cgroup/systemd")
V2 = Hierarchy(2, frozenset({"cpu", "memory", "pids", "hugetlb"}), "/sys/fs/cgroup")
THROTTLES = (Throttle("read_bps", "/dev/a", "8:0", 1024), Throttle("write_iops", "/dev/a", "8:0", 5))
OTHER_LIMITS = Limits(20000, None, 64 << 20, UNLIMITED, 10000, 2048, "0-1", "0", 96 << 20, 32 << 20, 5,
                      oom_kill_disable=True, blkio_weight=1000, throttles=THROTTLES,
                      huge_pages=(("2MB", 4096),))  # fmt: skip


def places(*hierarchies: Hierarchy, path: str = "/cgscope/id") -> tuple[cgroup.Place, ...]:
    """Put a container into these hierarchies."""
    return tuple(cgroup.Place(each, path, f"{each.mountpoint}{path}") for each in hierarchies)


def written(steps: tuple[control.Step, ...], phase: str) -> list[tuple[str, str]]:
    """Return what is written in one phase, without the devices."""
    return [(s.path, s.value) for s in steps if s.phase == phase and s.action == "write" and "devices" not in s.path]


def test_limits_in_both_versions() -> None:
    """The same limits are other files in each version; on v1 the period comes before the quota."""
    limits = Limits(20000, 50000, 64 << 20, None)
    v1 = written(cgroup.plan(limits, places(V1_CPU, V1_MEMORY)), control.LIMIT)
    assert v1 == [
        ("/sys/fs/cgroup/memory/cgscope/id/memory.limit_in_bytes", str(64 << 20)),
        ("/sys/fs/cgroup/memory/cgscope/id/memory.memsw.limit_in_bytes", str(128 << 20)),
        ("/sys/fs/cgroup/cpu,cpuacct/cgscope/id/cpu.cfs_period_us", "50000"),
        ("/sys/fs/cgroup/cpu,cpuacct/cgscope/id/cpu.cfs_quota_us", "20000"),
    ]
    v2 = written(cgroup.plan(Limits(None, 50000, 64 << 20, 9), places(V2)), control.LIMIT)
    assert v2 == [
        ("/sys/fs/cgroup/cgscope/id/memory.max", str(64 << 20)),
        ("/sys/fs/cgroup/cgscope/id/memory.swap.max", str(64 << 20)),
        ("/sys/fs/cgroup/cgscope/id/pids.max", "9"),
        ("/sys/fs/cgroup/cgscope/id/cpu.max", "max 50000"),
    ]


def test_the_other_limits_in_version_1() -> None:
    """A burst comes after its quota, swap is counted with the memory, throttles name their device."""
    v1_all = tuple(Hierarchy(1, frozenset({each}), f"/{each}") for each in
                   ("cpuset", "memory", "pids", "cpu", "blkio", "hugetlb"))  # fmt: skip
    below = [(path.replace("/cgscope/id", ""), value) for path, value in
             written(cgroup.plan(OTHER_LIMITS, places(*v1_all)), control.LIMIT)]  # fmt: skip
    assert below == [
        ("/cpuset/cpuset.cpus", "0-1"),
        ("/cpuset/cpuset.mems", "0"),
        ("/memory/memory.limit_in_bytes", str(64 << 20)),
        ("/memory/memory.memsw.limit_in_bytes", str(96 << 20)),
        ("/memory/memory.soft_limit_in_bytes", str(32 << 20)),
        ("/memory/memory.swappiness", "5"),
        ("/memory/memory.oom_control", "1"),
        ("/pids/pids.max", "max"),
        ("/cpu/cpu.shares", "2048"),
        ("/cpu/cpu.cfs_period_us", "100000"),
        ("/cpu/cpu.cfs_quota_us", "20000"),
        ("/cpu/cpu.cfs_burst_us", "10000"),
        ("/blkio/blkio.bfq.weight", "1000"),
        ("/blkio/blkio.throttle.read_bps_device", "8:0 1024"),
        ("/blkio/blkio.throttle.write_iops_device", "8:0 5"),
        ("/hugetlb/hugetlb.2MB.limit_in_bytes", "4096"),
    ]
    assert limit_files.ignored(1, OTHER_LIMITS) == []


def test_the_other_limits_in_version_2() -> None:
    """Shares become a weight, swap is counted apart, and what there is no file for is told."""
    names = ("cpuset", "cpu", "io", "memory", "pids", "hugetlb")
    steps = cgroup.plan(OTHER_LIMITS, places(Hierarchy(2, frozenset(names), "")))
    assert [(path.rpartition("/")[2], value) for path, value in written(steps, control.LIMIT)] == [
        ("cpuset.cpus", "0-1"),
        ("cpuset.mems", "0"),
        ("memory.max", str(64 << 20)),
        ("memory.swap.max", str(32 << 20)),
        ("memory.low", str(32 << 20)),
        ("pids.max", "max"),
        ("cpu.weight", "174"),
        ("cpu.max", "20000 100000"),
        ("cpu.max.burst", "10000"),
        ("io.bfq.weight", "default 1000"),
        ("io.weight", "default 10000"),
        ("io.max", "8:0 rbps=1024"),
        ("io.max", "8:0 wiops=5"),
        ("hugetlb.2MB.max", "4096"),
    ]
    assert [step.value for step in steps if step.action == "enable"] == ["cpuset cpu io memory pids hugetlb"] * 2
    assert limit_files.ignored(2, OTHER_LIMITS) == ["--memory-swappiness", "--oom-kill-disable"]
    assert limit_files.ignored(2, Limits()) == []


def test_order_of_making_and_joining() -> None:
    """A v1 cpuset is filled from its parent, v2 hands controllers down, both from the top; then all are joined (T3)."""
    steps = cgroup.plan(Limits(), places(V1_CPUSET, V2), all_devices=True)
    assert [(s.action, s.path, s.value) for s in steps if s.phase == control.CREATE] == [
        ("mkdir", "/sys/fs/cgroup/cpuset/cgscope", ""),
        ("copy", "/sys/fs/cgroup/cpuset/cgscope/cpuset.cpus", "/sys/fs/cgroup/cpuset/cpuset.cpus"),
        ("copy", "/sys/fs/cgroup/cpuset/cgscope/cpuset.mems", "/sys/fs/cgroup/cpuset/cpuset.mems"),
        ("mkdir", "/sys/fs/cgroup/cpuset/cgscope/id", ""),
        ("copy", "/sys/fs/cgroup/cpuset/cgscope/id/cpuset.cpus", "/sys/fs/cgroup/cpuset/cgscope/cpuset.cpus"),
        ("copy", "/sys/fs/cgroup/cpuset/cgscope/id/cpuset.mems", "/sys/fs/cgroup/cpuset/cgscope/cpuset.mems"),
        ("enable", "/sys/fs/cgroup/cgroup.subtree_control", "cpu memory pids"),
        ("mkdir", "/sys/fs/cgroup/cgscope", ""),
        ("enable", "/sys/fs/cgroup/cgscope/cgroup.subtree_control", "cpu memory pids"),
        ("mkdir", "/sys/fs/cgroup/cgscope/id", ""),
    ]
    assert written(steps, control.JOIN) == [
        ("/sys/fs/cgroup/cpuset/cgscope/id/tasks", "0"),
        ("/sys/fs/cgroup/cgscope/id/cgroup.procs", "0"),
    ]
    assert written(steps, control.LIMIT) == []


def test_a_limit_without_its_controller() -> None:
    """A limit that cannot be kept is an error that names it, and can be told apart beforehand."""
    with pytest.raises(SandboxError, match="cannot limit memory"):
        cgroup.plan(Limits(memory_bytes=64 << 20), places(V1_CPU))
    kept, lost = cgroup.without_unreachable(Limits(20000, None, 64 << 20, 5), places(V1_CPU))
    assert (kept, lost) == (Limits(20000), ["memory", "pids"])


def test_applying_a_plan_to_plain_files(tmp_path: object) -> None:
    """Steps write what exists, never make a missing control file, and name what cannot be written."""
    os.makedirs(f"{tmp_path}/g")
    step = control.Step(control.LIMIT, "write", f"{tmp_path}/g/pids.max", "5")
    with pytest.raises(SandboxError, match=r"g/pids.max: No such file or directory"):
        control.apply([step], control.LIMIT)
    open(step.path, "w").close()
    control.apply([step], control.JOIN)
    assert os.path.getsize(step.path) == 0
    control.apply([step], control.LIMIT)
    with open(step.path, encoding="ascii") as file:
        assert file.read() == "5"
    steps = [control.Step(control.CREATE, "mkdir", f"{tmp_path}/{name}") for name in ("g", "h")]
    made = control.apply(steps, control.CREATE)
    assert made == [f"{tmp_path}/h"]


def test_places_of_a_user(tmp_path: object) -> None:
    """Without root a container's cgroup is below the caller's own, where that can be written."""
    mountpoint = f"{tmp_path}"
    os.makedirs(f"{mountpoint}/user/me")
    hierarchy = Hierarchy(2, frozenset({"cpu"}), mountpoint)
    own = parse_cgroup(b"0::/user/me\n")
    (place,) = cgroup.place([hierarchy], "/cgscope", "id", own)
    assert (place.path, place.directory) == ("/user/me/cgscope/id", f"{mountpoint}/user/me/cgscope/id")
    assert cgroup.place([hierarchy], "/cgscope", "id", parse_cgroup(b"0::/no/such\n")) == ()


@pytest.mark.parametrize("parent", ["/a/b", "/./a//b/.", "a/b///"])
def test_places_are_named_without_dots(tmp_path: Path, parent: str) -> None:
    """A directory that ends with a dot cannot be removed (rmdir(2): EINVAL)."""
    (place,) = cgroup.place([Hierarchy(2, frozenset({"cpu"}), str(tmp_path))], parent, "id", None)
    assert (place.path, place.directory) == ("/a/b/id", f"{tmp_path}/a/b/id")


@pytest.mark.parametrize("name", ["file/id", "none/id", "x" * 256])
def test_cgroups_that_cannot_have_been_made_are_gone(tmp_path: Path, name: str) -> None:
    """What a start could not make is in nobody's way when its container is removed."""
    (tmp_path / "file").touch()
    hierarchy = Hierarchy(2, frozenset({"cpu"}), str(tmp_path))
    culling.remove([cgroup.Place(hierarchy, f"/{name}", f"{tmp_path}/{name}")], [f"{tmp_path}/{name}/above"])
    assert os.listdir(tmp_path) == ["file"]


def test_cgroup_mounts_inside() -> None:
    """One v2 tree is mounted at /sys/fs/cgroup; several trees each at its name, with links for joint controllers."""
    one = planning.plan(Spec("/", ("true",)), LAYOUT, places(V2))
    assert [step.fstype for step in one if isinstance(step, rootfs.Mount) and "cgroup" in step.target] == ["cgroup2"]
    many = planning.plan(Spec("/", ("true",)), LAYOUT, places(V1_CPU, V1_NAMED))
    found = {step.target: step.data for step in many if isinstance(step, rootfs.Mount) and step.fstype == "cgroup"}
    assert found == {"/sys/fs/cgroup/cpu,cpuacct": "cpu,cpuacct", "/sys/fs/cgroup/systemd": "none,name=systemd"}
    assert rootfs.Link("/sys/fs/cgroup/cpuacct", "cpu,cpuacct") in many


def test_order_of_the_users_mounts() -> None:
    """Mounts are sorted by depth, replace our own files at the same place, and come before what is masked."""
    spec = Spec("/", ("true",), volumes=(Volume("/h", "/a/b/c"), Volume("/x", "/etc/hosts")), tmpfs=(Tmpfs("/a"),))
    steps = list(planning.plan(spec, LAYOUT, ()))
    targets = [step.target for step in steps if isinstance(step, rootfs.Mount | rootfs.Bind)]
    assert targets.index("/a") < targets.index("/a/b/c")
    assert [step for step in steps if isinstance(step, rootfs.Bind) and step.target == "/etc/hosts"] == [
        rootfs.Bind("/x", "/etc/hosts", propagation="rprivate")
    ]
    assert steps.index(rootfs.Bind("/h", "/a/b/c", propagation="rprivate")) < steps.index(rootfs.Mask("/proc/kcore"))


def test_the_store_is_hidden_where_it_shows() -> None:
    """A state directory that lies in the root filesystem is covered; one elsewhere is not."""
    (step,) = planning.hide("/var/lib/cgscope", "/")
    assert isinstance(step, rootfs.Mount)
    assert (step.fstype, step.target) == ("tmpfs", "/var/lib/cgscope")
    assert list(planning.hide("/var/lib/cgscope", "/srv")) == []
    assert list(planning.hide("/srv", "/srv")) == []


def test_overlay_paths_are_escaped() -> None:
    """A comma ends an option and a colon a layer: in a path both get a backslash (T15)."""
    mount = overlays.overlay(overlays.Layer(("/a:b,c", "/d"), "/u,p", "/w"), "/m", rootless=False).mount
    assert mount.data.startswith("lowerdir=/a\\:b\\,c:/d,upperdir=/u\\,p,workdir=/w,index=off,")


def test_privileged_masks_nothing() -> None:
    """A privileged container sees and writes what the kernel offers."""
    steps = planning.plan(Spec("/", ("true",), privileged=True), LAYOUT, places(V2))
    assert not any(isinstance(step, rootfs.Mask | rootfs.ReadOnly) for step in steps)
    assert not any(isinstance(step, rootfs.Mount) and step.flags & 1 for step in steps)


def test_pieces_of_a_root_with_mounts(tmp_path: object) -> None:
    """Without root, a directory with a mount below it is taken apart; the mount's own place is empty."""
    for name in ("usr/bin", "var/lib/data", "var/log", "proc"):
        os.makedirs(f"{tmp_path}/{name}")
    os.symlink("usr/bin", f"{tmp_path}/bin")
    open(f"{tmp_path}/file", "w").close()
    layout = replace(LAYOUT, lowers=(f"{tmp_path}",))
    layers, steps = pieces.split(layout, {f"{tmp_path}/proc", f"{tmp_path}/var/lib/data"})
    assert [layer.like.removeprefix(f"{tmp_path}") for layer in layers] == ["/usr", "/var/log"]
    paths = [step.target if isinstance(step, rootfs.Mount | rootfs.Bind) else step.path for step in steps]
    assert list(zip([type(step).__name__ for step in steps], paths, strict=True)) == [
        ("Link", "/bin"),
        ("Bind", "/file"),
        ("Directory", "/proc"),
        ("Mount", "/usr"),
        ("Directory", "/var"),
        ("Directory", "/var/lib"),
        ("Directory", "/var/lib/data"),
        ("Mount", "/var/log"),
    ]


def test_pieces_that_go_while_they_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What others remove meanwhile is left out, whatever it is."""
    (tmp_path / "var" / "mount").mkdir(parents=True)
    (tmp_path / "var" / "directory").mkdir()
    (tmp_path / "var" / "file").touch()
    (tmp_path / "var" / "link").symlink_to("file")
    (tmp_path / "var" / "stays").touch()
    scandir = os.scandir

    def seen(path: str) -> list[os.DirEntry[str]]:
        found = list(scandir(path))
        if path == f"{tmp_path}/var/":
            (tmp_path / "var" / "directory").rmdir()
            (tmp_path / "var" / "file").unlink()
            (tmp_path / "var" / "link").unlink()
        return found

    monkeypatch.setattr(os, "scandir", seen)
    layers, steps = pieces.split(replace(LAYOUT, lowers=(f"{tmp_path}",)), {f"{tmp_path}/var/mount"})
    paths = [step.target if isinstance(step, rootfs.Mount | rootfs.Bind) else step.path for step in steps]
    assert (layers, paths) == ([], ["/var", "/var/mount", "/var/stays"])


def allows(code: bytes, kind: int, access: int, major: int, minor: int) -> bool:
    """Run a device program as the kernel would: the few instructions it is made of."""
    context = struct.unpack("<III", struct.pack("<III", kind | access << 16, major, minor))
    instructions = list(struct.iter_unpack("<BBhi", code))
    registers = [0] * 11
    at = 0
    while True:
        operation, pair, offset, value = instructions[at]
        target, source = pair & 15, pair >> 4
        at += 1
        if operation == 0x61:
            registers[target] = context[offset // 4]
        elif operation == 0x54:
            registers[target] &= value
        elif operation == 0x74:
            registers[target] >>= value
        elif operation == 0xBC:
            registers[target] = registers[source]
        elif operation == 0xB4:
            registers[target] = value
        elif operation == 0x55:
            at += offset if registers[target] != value else 0
        else:
            assert operation == 0x95
            return registers[0] == 1


@pytest.mark.parametrize(
    ("kind", "access", "major", "minor", "allowed"),
    [
        (2, 6, 1, 3, True),  # read and write /dev/null
        (2, 6, 1, 1, False),  # /dev/mem
        (2, 1, 1, 1, True),  # make a node of it
        (2, 3, 1, 1, False),  # make and read
        (1, 1, 254, 0, True),
        (1, 2, 254, 0, False),  # read a disk
        (1, 6, 1, 3, False),  # a block device of /dev/null's number
        (2, 6, 136, 77, True),  # /dev/pts/77
        (2, 6, 5, 2, True),
        (2, 6, 5, 1, False),
    ],
)
def test_device_program(kind: int, access: int, major: int, minor: int, *, allowed: bool) -> None:
    """The program for v2 allows what the rules for v1 allow."""
    assert allows(devices.program(devices.DEFAULT_RULES), kind, access, major, minor) is allowed


def test_ldd_output() -> None:
    """Paths are taken whole, with blanks and arrows in them; the vdso is none; what is missing is named."""
    text = (
        "\tlinux-vdso.so.1 (0x00007ffd)\n"
        "\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f00)\n"
        "\tlibodd.so => /opt/a b/libodd.so (0x00007f01)\n"
        "\t/lib64/ld-linux-x86-64.so.2 (0x00007f02)\n"
        "\tlibgone.so.1 => not found\n"
    )
    paths, missing = binaries.parse_ldd(text)
    assert paths == ["/lib/x86_64-linux-gnu/libc.so.6", "/opt/a b/libodd.so", "/lib64/ld-linux-x86-64.so.2"]
    assert missing == ["libgone.so.1"]


def test_copy_does_not_follow_a_link_out(tmp_path: object) -> None:
    """A destination whose folders are links out of it gets nothing copied there."""
    os.makedirs(f"{tmp_path}/root")
    os.makedirs(f"{tmp_path}/outside")
    os.symlink(f"{tmp_path}/outside", f"{tmp_path}/root/usr")
    script = f"{tmp_path}/usr/script"
    os.makedirs(os.path.dirname(script))
    with open(script, "w", encoding="ascii") as file:
        file.write("no program\n")
    os.chmod(script, stat.S_IRWXU)
    os.symlink(f"{tmp_path}/outside", f"{tmp_path}/root/{script.split('/')[1]}")
    with pytest.raises(SandboxError, match="leads out of"):
        list(binaries.copy(f"{tmp_path}/root", [script]))
    assert os.listdir(f"{tmp_path}/outside") == []


def test_hostile_text_is_escaped_in_tables() -> None:
    """A command line with escape sequences does not reach the terminal."""
    assert printable("a\x1b[31m\n\udcff€") == "a\\x1b[31m\\n\\udcff€"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.5, "Less than a second"), (1, "1 second"), (59, "59 seconds"),
     (60, "About a minute"), (150, "2 minutes"), (3600, "About an hour"), (200000, "2 days"), (86400 * 45, "6 weeks")],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    """Durations read as Docker's."""
    assert times.ago(seconds) == text


def test_log_keeps_lines_and_bytes(tmp_path: object) -> None:
    """Each line is a record; a part of one waits for its end; bytes that are no text come back as they were."""
    log = Log(f"{tmp_path}/log")
    log.write("stdout", b"one\ntw")
    log.write("stdout", b"o\n\xff")
    log.close("stdout")
    with open(f"{tmp_path}/log", encoding="utf-8") as file:
        import json  # noqa: PLC0415

        records = [json.loads(line) for line in file]
    assert [record["log"].encode(errors="surrogateescape") for record in records] == [b"one\n", b"two\n", b"\xff"]


def test_errors_are_one_line() -> None:
    """Whatever goes wrong is said in one line, with the path that it was about."""
    assert describe(OSError(2, "No such file", "/a\nb")) == "/a b: No such file"
    assert describe(OSError(36, "File name too long", "to", None, "/link")) == "/link: File name too long"
    assert describe(OSError(2, "No such file", "")) == "'': No such file"
    assert describe(SandboxError("two\nlines")) == "two lines"
    assert describe(KeyError()) == "KeyError"
