"""Where we look from: an exporter in a container, with the machine's /proc and /sys mounted elsewhere."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector import viewpoint
from inspector.absence import Absence
from inspector.document import document
from inspector.kernel import cgroup_tree
from inspector.kernel.cgroup_tree import hidden_tasks
from inspector.kernel.cgroups import hierarchies_in, parse_pids
from inspector.kernel.host import Host
from inspector.model import Observation
from inspector.observe import Observer
from inspector.viewpoint import Viewpoint, _absolute
from tests.fakehost import FakeHost
from tests.unit.observing import ID, LIMITED, OTHER, look, one

OURS, THEIRS = f"/docker/{ID}", f"/docker/{OTHER}"
OVERLAY = "30 1 0:50 / / rw - overlay overlay rw,lowerdir=/l,upperdir=/u,workdir=/w\n"
LAYOUTS = ("v1", "v2", "hybrid")


def machine(root: Path, layout: str) -> FakeHost:
    """Return a machine with two containers; the exporter runs in the first, in namespaces of its own but for PIDs."""
    fake = FakeHost(root, layout)
    for controller, files in LIMITED[layout].items():
        fake.cgroup(controller, THEIRS, files)
    spaces = {"mnt": 21, "net": 22, "cgroup": 23, "uts": 24}
    fake.process(2, "kthreadd", ppid=0)
    fake.process(500, "cgscope-exporter", cgroups=OURS, namespaces=spaces, mountinfo=OVERLAY)
    return fake.process(600, "nginx", cgroups=THEIRS, namespaces={"pid": 31, "mnt": 32}, mountinfo=OVERLAY)


def as_read_from(fake: FakeHost, base: str) -> None:
    """Write the paths as the kernel shows them to a reader whose cgroup namespace has its root at `base`."""
    for name in filter(str.isdigit, os.listdir(f"{fake.root}/proc")):
        file = Path(fake.root, "proc", name, "cgroup")
        lines = [line.rsplit(":", 1) for line in file.read_text(encoding="ascii").splitlines()]
        shown = [(head, os.path.relpath(path, base)) for head, path in lines]
        file.write_text("".join(f"{head}:/{'' if path == '.' else path}\n" for head, path in shown), encoding="ascii")
    up = "/.." * base.count("/")
    mounts = [line.split(" ") for line in fake.mounts().splitlines()]
    fake.mountinfo("".join(" ".join([*f[:3], up if "cgroup" in f[4] else f[3], *f[4:]]) + "\n" for f in mounts))


def observed(fake: FakeHost, *, elsewhere: bool) -> Observation:
    """Return a look through the machine's own /proc, or through one that is mounted elsewhere."""
    with Host(fake.root, procfs=f"{fake.root}/proc" if elsewhere else None) as host:
        return Observer(host).tick()


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_procfs_elsewhere_is_seen_through_process_1(tmp_path: Path, layout: str, *, private: bool) -> None:
    """What the exporter's container sees is what the machine sees, in a cgroup namespace of its own too."""
    fake = machine(tmp_path, layout)
    expected = observed(fake, elsewhere=True)
    fake.viewer(500)
    if private:
        as_read_from(fake, OURS)
    seen = observed(fake, elsewhere=True)
    assert seen.containers == expected.containers
    assert seen.readings == expected.readings
    assert not seen.own.inside_container
    assert one(seen, OTHER).cgroups["memory"] == THEIRS
    assert one(seen, ID).leader is not None


def counted(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return the lists of processes that a module has read, as they come."""
    read: list[bytes] = []

    def parse(data: bytes) -> tuple[int, ...]:
        read.append(data)
        return parse_pids(data)

    monkeypatch.setattr(module, "parse_pids", parse)
    return read


def test_so_many_cgroups_are_searched_for_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above our cgroup namespace its names are looked for in so many cgroups; not to find them is said."""
    fake = machine(tmp_path, "v2").viewer(500)
    as_read_from(fake, OURS)
    read = counted(viewpoint, monkeypatch)
    monkeypatch.setattr(viewpoint, "MOST_ABOVE", 30)
    for number in range(200):
        (tmp_path / f"sys/fs/cgroup/{number}").mkdir()
    with Host(fake.root, procfs=f"{fake.root}/proc") as host:
        absence = Absence()
        Viewpoint(host, absence).look("")
    assert len(read) <= 31
    assert absence.problems == ["/sys/fs/cgroup: our cgroup is not among the 30 looked at"]


def test_so_many_cgroups_are_searched_for_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has a hundred thousand cgroups within his own does not make us read them all; in those that are read, all."""
    fake = FakeHost(tmp_path).cgroup("pids", "/a", {"pids.current": "7\n", "tasks": "1\n2\n"})
    for number in range(100):
        fake.cgroup("pids", f"/a/{number}", {"tasks": "9\n" if number < 50 else ""})
    read = counted(cgroup_tree, monkeypatch)
    with fake.open() as host:
        pids = next(one for one in hierarchies_in(host, host.read("/proc/1/mountinfo")) if "pids" in one.controllers)
        assert hidden_tasks(host, pids, "/a") <= 0
        assert len(read) <= 56  # its own, all of the fifty without any, and five with one: no more are missing
        monkeypatch.setattr(cgroup_tree, "MOST_BELOW", 4)
        fake.cgroup("pids", "/a", {"pids.current": "90\n"})
        read.clear()
        assert hidden_tasks(host, pids, "/a") > 0
    assert len(read) == 5


@pytest.mark.parametrize(("made", "written", "borrowed"), [(5, 9, False), (9, 5, True), (None, 5, False)])
def test_whose_hostname_it_is(tmp_path: Path, made: int | None, written: int, *, borrowed: bool) -> None:
    """Docker writes a container's /etc/hostname when it starts: one from before /.dockerenv is another's."""
    bound = f"31 30 254:1 /docker/containers/{OTHER}/hostname /etc/hostname rw - ext4 a rw\n"
    fake = FakeHost(tmp_path, "v2").process(500, namespaces={"pid": 21, "mnt": 22}, mountinfo=OVERLAY + bound)
    for path, at in (("/.dockerenv", made), ("/etc/hostname", written)):
        if at is not None:
            fake.file(path, f"{OTHER[:12]}\n")
            os.utime(tmp_path / path[1:], (at, at))
    with fake.viewer(500).open() as host:
        here = Viewpoint(host, Absence())
        here.look(f"{OTHER[:12]}\n")
    assert here.own.kept_in.endswith(OTHER)
    assert here.own.borrowed is borrowed


def test_without_rights_over_process_1_a_kernel_thread_tells(tmp_path: Path) -> None:
    """Where the namespaces of process 1 are not shown, those of kthreadd are the machine's first as well."""
    fake = machine(tmp_path, "v2").viewer(500)
    stat = Path(fake.root, "proc/2/stat")
    fields = stat.read_text(encoding="ascii").split(" ")
    stat.write_text(" ".join([*fields[:8], str(0x00200000), *fields[9:]]), encoding="ascii")
    for link in Path(fake.root, "proc/1/ns").iterdir():
        link.unlink()
    with Host(fake.root, procfs=f"{fake.root}/proc") as host:
        here = Viewpoint(host, Absence())
        here.look("")
    assert here.own.namespaces["pid"] == 0xEFFFFFFC
    assert not here.own.inside_container


def test_a_container_with_the_hosts_pids_is_a_container(tmp_path: Path) -> None:
    """In the host's PID and cgroup namespaces, but with a root that process 1 has no mount of, we are inside."""
    fake = FakeHost(tmp_path, "v1")
    lines = fake.mounts().splitlines(keepends=True)
    mounts = "".join(line for line in lines if " / / " not in line) + OVERLAY
    fake.process(500, "ctop", namespaces={"mnt": 21, "net": 22}, cgroups=OURS, mountinfo=mounts).viewer(500)
    fake.process(600, "sshd")
    seen = look(fake)
    assert seen.own.inside_container
    assert one(seen, ID).members == (500,)
    assert {row["network"]["shared_with_host"] for row in document(None, seen)["containers"]} == {None}


@pytest.mark.parametrize("changed", ["27 1 254:0 / / rw - ext4 /dev/vda rw", "28 27 254:1 / / rw - ext4 /dev/vdb rw"])
def test_a_chroot_is_no_container(tmp_path: Path, changed: str) -> None:
    """Another root within the mount namespace of process 1 is where we stand, not another machine."""
    fake = FakeHost(tmp_path, "v2")
    fake.mountinfo(fake.mounts() + "28 27 254:1 / /srv rw - ext4 /dev/vdb rw\n")
    fake.process(500, "ctop", mountinfo=f"{changed}\n").viewer(500)
    assert not look(fake).own.inside_container


@given(st.lists(st.sampled_from(["a", "b", "..x"]), max_size=4), st.lists(st.sampled_from(["a", "b", "c"]), max_size=4))
def test_a_path_relative_to_our_namespace_is_found_again(base: list[str], path: list[str]) -> None:
    """Whatever our cgroup namespace's root, a path as the kernel writes it leads to the cgroup it came from."""
    absolute = "/" + "/".join(path)
    relative = os.path.relpath(absolute, "/" + "/".join(base))
    assert _absolute("/" if relative == "." else f"/{relative}", tuple(base)) == absolute
