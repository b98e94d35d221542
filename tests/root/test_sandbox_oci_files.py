"""`sandbox oci` and files: mounts, devices, what belongs to others, and what is not there."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess

import pytest

from tests.root import sandboxing
from tests.root.bundles import Runtime, create, wait_for_program
from tests.testbed.commands import SANDBOX, run

pytestmark = pytest.mark.root


def test_what_a_mount_finds(runtime: Runtime) -> None:
    """A tmpfs is as open as the directory it hides, and has its files where asked; /sys can be the machine's own."""
    below = runtime.bundle / "rootfs/kept"
    below.mkdir()
    (below / "file").write_text("from the image")
    below.chmod(0o712)
    runtime.config["mounts"] += [
        {"destination": "/kept", "type": "tmpfs", "source": "tmpfs", "options": ["ro", "tmpcopyup"]},
        {"destination": "/sys", "type": "bind", "source": "/sys", "options": ["rbind", "ro"]},
    ]
    script = "cat /kept/file; stat -c ' %a' /kept; ls -d /sys/kernel; > /kept/x"
    runtime.set("process", "args", value=["sh", "-c", script])
    done = runtime("run", "--bundle", str(runtime.bundle), "mounted", check=False)
    assert done.stdout.splitlines() == ["from the image 712", "/sys/kernel"]
    assert "Read-only file system" in done.stderr
    assert (below / "file").exists()


def test_what_is_read_only_or_bound(runtime: Runtime) -> None:
    """/dev can be read-only with its devices, programs below a read-only path run, a source may be in the root."""
    runtime.config["mounts"][1]["options"].append("ro")
    runtime.config["mounts"] += [
        {"destination": "/one", "type": "tmpfs", "source": "tmpfs", "options": ["noexec"]},
        {"destination": "/two", "source": str(runtime.bundle / "rootfs/one"), "options": ["bind"]},
    ]
    runtime.set("linux", "readonlyPaths", value=["/bin", "/bin"])
    runtime.set("linux", "maskedPaths", value=["/proc/version", "/proc/version"])
    runtime.config["linux"]["namespaces"].pop()  # its own cgroups: without, they are bound
    script = "cat /dev/null && echo read; touch /dev/x; touch /bin/x; touch /two/y; ls /one; cat /proc/self/mountinfo"
    runtime.set("process", "args", value=["sh", "-c", script])
    done = runtime("run", "--bundle", str(runtime.bundle), "bound")
    first, second, *mounts = done.stdout.splitlines()
    assert (first, second) == ("read", "y")
    assert [line.partition(": ")[2] for line in done.stderr.splitlines()] == [
        "/dev/x: Read-only file system", "/bin/x: Read-only file system"]  # fmt: skip
    options = {line.split()[4]: line.split()[5] for line in mounts}
    assert len([line for line in mounts if line.split()[4] in ("/bin", "/proc/version")]) == 2
    assert "noexec" not in options["/bin"]
    assert all("nosuid" in flags for path, flags in options.items() if path.startswith("/sys/fs/cgroup"))


def test_files_that_belong_to_others(runtime: Runtime) -> None:
    """An idmapped mount shows its files as other users'; what is recursive holds below the mount too.

    Of a new filesystem, below which there is nothing, it is as what is not.
    """
    source = runtime.directory / "source"
    (source / "below").mkdir(parents=True)
    os.chown(source, 5, 5)
    ids = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    runtime.config["mounts"] += [
        {"destination": "/one", "source": str(source), "options": ["bind"], "uidMappings": ids, "gidMappings": ids},
        {"destination": "/t", "type": "tmpfs", "source": "tmpfs"},
        {"destination": "/t/x", "type": "tmpfs", "source": "tmpfs"},
        {"destination": "/new", "type": "tmpfs", "source": "tmpfs", "options": ["rro", "rnoexec"]},
        {"destination": "/two", "source": str(runtime.bundle / "rootfs/t"), "options": ["rbind", "rro"]},
    ]
    script = "stat -c %u:%g /one; touch /t/x/a; touch /two/x/b; grep -c '/new .*ro.*noexec' /proc/mounts"
    runtime.set("process", "args", value=["sh", "-c", script])
    done = runtime("run", "--bundle", str(runtime.bundle), "mapped", check=False)
    assert done.stdout == "100005:100005\n1\n"
    assert done.stderr == "touch: /two/x/b: Read-only file system\n"
    runtime.config["mounts"][-1]["options"] = ["bind", "idmap"]
    assert f"idmap: {runtime.bundle}/rootfs/t: which ids, neither" in create(runtime, "mapped", check=False).stderr


def test_another_containers_users(runtime: Runtime) -> None:
    """A container can live in the user namespace of another and in its other namespaces; exec writes into a pipe.

    What is to be idmapped without ids of its own has those of that namespace.
    """
    outside = 1_900_000_000
    ids = [{"containerID": 0, "hostID": outside, "size": 65536}]
    runtime.config["linux"].update(uidMappings=ids, gidMappings=ids)
    runtime.config["linux"]["namespaces"].append({"type": "user"})
    os.chown(runtime.bundle / "rootfs", outside, outside)
    create(runtime, "owner")
    pid = runtime.state("owner")["pid"]
    joined = [{"type": kind, "path": f"/proc/{pid}/ns/{name}"} for kind, name in (
        ("user", "user"), ("pid", "pid"), ("network", "net"), ("ipc", "ipc"), ("uts", "uts"))]  # fmt: skip
    for key in ("uidMappings", "gidMappings", "resources"):
        runtime.config["linux"].pop(key)
    runtime.set("linux", "namespaces", value=[{"type": "mount"}, {"type": "cgroup"}, *joined])
    runtime.config.pop("hostname")
    (runtime.directory / "roots").mkdir()
    runtime.config["mounts"].append(
        {"destination": "/mapped", "source": str(runtime.directory / "roots"), "options": ["bind", "idmap"]}
    )
    create(runtime, "guest")
    runtime("start", "guest")
    guest = runtime.state("guest")["pid"]
    wait_for_program(guest, b"sleep")
    assert sandboxing.status(guest, "Uid").split() == [str(outside)] * 4
    for one in joined:
        assert os.stat(f"/proc/{guest}/ns/{one['path'].rpartition('/')[2]}").st_ino == os.stat(one["path"]).st_ino
    words = ("exec", "guest", "stat", "-c", "%u", "/mapped")
    command = [*SANDBOX, "oci", "--root", str(runtime.directory / "root"), *words]
    assert subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout == b"0\n"


def test_what_is_not_there(runtime: Runtime) -> None:
    """No /proc: it starts; a capability that no kernel has: it is left out, and said; /dev as a link: it is refused."""
    runtime.set("mounts", value=[])
    runtime.set("linux", "maskedPaths", value=[])
    runtime.set("linux", "readonlyPaths", value=[])
    runtime.set("process", "capabilities", value={"bounding": ["CAP_KILL", "CAP_FLY"]})
    runtime.set("process", "args", value=["ls", "/"])
    begin = ("run", "--bundle", str(runtime.bundle), "bare")
    done = runtime(*begin)
    assert done.stdout.split() == ["bin", "dev"]
    assert done.stderr == "sandbox: warning: left out, as no such capability is known: FLY\n"
    assert runtime(*begin).stdout.split() == ["bin", "dev"]  # what the first one left in the root is in nobody's way
    shutil.rmtree(runtime.bundle / "rootfs/dev")
    (runtime.bundle / "rootfs/dev").symlink_to("/outside")
    assert "/dev is a symbolic link" in runtime(*begin, check=False).stderr
    unwritable = run([*SANDBOX, "oci", "--log", "/nosuch/log", "list"], check=False)
    assert (unwritable.returncode, "--log /nosuch/log: No such file" in unwritable.stderr) == (1, True)


def test_modes_of_given_devices(runtime: Runtime) -> None:
    """A device of config.json has the mode and the owner that it says."""
    device = {"path": "/dev/one", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600, "uid": 7, "gid": 8}
    runtime.set("linux", "devices", value=[device])
    create(runtime, "moded")
    runtime("start", "moded")
    pid = runtime.state("moded")["pid"]
    wait_for_program(pid, b"sleep")
    found = os.stat(f"/proc/{pid}/root/dev/one")
    assert (stat.S_ISCHR(found.st_mode), stat.S_IMODE(found.st_mode), found.st_rdev) == (True, 0o600, os.makedev(1, 3))
    assert (found.st_uid, found.st_gid) == (7, 8)
