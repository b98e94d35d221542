"""`sandbox oci` against the ways in which other runtimes were broken, each by its number; none may work here either.

The bundle is the hostile one: its rootfs, its paths, or who changes it meanwhile.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.root import sandboxing
from tests.root.bundles import PATIENCE, Runtime, create, wait_for_program
from tests.root.test_sandbox_cves import EXCHANGE
from tests.testbed.commands import REPOSITORY, SANDBOX

pytestmark = pytest.mark.root


@pytest.fixture
def rootfs(runtime: Runtime) -> Path:
    """Give the bundle's rootfs."""
    return runtime.bundle / "rootfs"


def refused(runtime: Runtime, said: str) -> None:
    """Make sure that no container comes of the bundle, with one line of why."""
    done = create(runtime, "bad", check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert said in done.stderr
    assert runtime("list", "-q", check=False).stdout == ""


def test_cve_2019_5736(runtime: Runtime, rootfs: Path) -> None:
    """Nothing that leads to who executes it is executed, neither at the start nor by `exec`."""
    (rootfs / "bin/self").symlink_to("/proc/self/exe")
    runtime.set("process", "args", value=["self"])
    refused(runtime, "leads to /proc/self/exe")
    runtime.set("process", "args", value=["sleep", "1000"])
    create(runtime, "held")
    runtime("start", "held")
    done = runtime("exec", "held", "self", check=False)
    assert (done.returncode, done.stdout, "leads to /proc/self/exe" in done.stderr) == (255, "", True)


@pytest.mark.parametrize("link", ["proc", "dev"])
def test_cve_2019_19921(runtime: Runtime, rootfs: Path, link: str) -> None:
    """An image whose /proc or /dev is a link (CVE-2019-16884, -2023-27561, -28642) is refused."""
    (rootfs / "elsewhere").mkdir()
    (rootfs / link).symlink_to("elsewhere")
    refused(runtime, f"/{link} is a symbolic link")
    assert os.listdir(rootfs / "elsewhere") == []


def test_cve_2021_30465(runtime: Runtime, rootfs: Path) -> None:
    """A mount point that becomes a link while it is looked for (CVE-2024-45310) leads nowhere outside."""
    outside, swapped = runtime.directory / "outside", rootfs / "swapped"
    outside.mkdir()
    swapped.mkdir()
    runtime.config["mounts"].append(
        {"destination": "/swapped/target/made/here", "type": "tmpfs", "source": "tmpfs", "options": ["size=4k"]})
    runtime.set("process", "args", value=["grep", "-c", "made/here", "/proc/self/mountinfo"])
    before = sandboxing.mounts()
    swapper = subprocess.Popen(["python3", "-c", EXCHANGE.replace("/v/", f"{swapped}/"), str(outside)])
    try:
        assert sandboxing.wait_for(lambda: os.path.lexists(swapped / "target"), PATIENCE)
        done = [runtime("run", "--bundle", str(runtime.bundle), "raced", check=False) for _ in range(6)]
    finally:
        swapper.kill()
        swapper.wait()
    assert {each.returncode for each in done} <= {0, 1}
    assert os.listdir(outside) == []
    assert [line for line in sandboxing.mounts() if line not in before and "made/here" in line] == []


def test_cve_2022_0492_and_2023_25809(runtime: Runtime) -> None:
    """Neither the cgroups that are mounted nor those of a user namespace of one's own can be written."""
    groups = "/sys/fs/cgroup/* /sys/fs/cgroup"
    script = (f"for each in {groups}; do echo 0 > $each/cgroup.procs; busybox mkdir $each/made; done; "
              "busybox mkdir /mnt; unshare -Urm busybox sh -c 'busybox mount -t cgroup -o memory none /mnt; "
              "echo x > /mnt/release_agent' && echo reached")  # fmt: skip
    runtime.set("process", "args", value=["sh", "-c", f"({script}) 2>/dev/null; ls -d {groups}"])
    done = runtime("run", "--bundle", str(runtime.bundle), "shut", check=False)
    assert "reached" not in done.stdout
    assert "/made" not in done.stdout
    assert "/sys/fs/cgroup" in done.stdout


@pytest.mark.parametrize("value", ["1+kernel.core_pattern=|/x", "1\nkernel.core_pattern=|/x"])
def test_cve_2022_0811(runtime: Runtime, value: str) -> None:
    """A sysctl's value cannot smuggle in another one."""
    pattern = Path("/proc/sys/kernel/core_pattern")
    before = pattern.read_text()
    runtime.set("linux", "sysctl", value={"kernel.shm_rmid_forced": value})
    if "\n" in value:  # the kernel takes the first line, for the container's own setting
        create(runtime, "good")
    else:
        refused(runtime, "kernel.shm_rmid_forced")
    runtime.set("linux", "sysctl", value={"kernel/../kernel/core_pattern": "|/x"})
    assert "is not allowed" in create(runtime, "bad", check=False).stderr
    assert pattern.read_text() == before


def test_cve_2022_24769(runtime: Runtime) -> None:
    """No capability is inheritable that the bundle does not name so (CVE-2022-29162); of one ambient it is told."""
    wanted = ["CAP_KILL", "CAP_CHOWN"]
    runtime.set("process", "capabilities", value={"bounding": wanted, "permitted": wanted, "ambient": ["CAP_KILL"]})
    runtime.set("process", "args", value=["grep", "-E", "Cap(Inh|Amb)", "/proc/self/status"])
    done = runtime("run", "--bundle", str(runtime.bundle), "sets")
    assert done.stdout.split()[1::2] == ["0" * 16] * 2
    assert done.stderr == "sandbox: warning: can't raise ambient capability CAP_KILL: it is not inheritable\n"


@pytest.mark.parametrize("workdir", ["/proc/self/fd/7", "/proc/1/fd/7", "/proc/self/fd/7/../..", "/link"])
def test_cve_2024_21626(runtime: Runtime, rootfs: Path, workdir: str) -> None:
    """A descriptor of the caller's is no working directory, for `create` as for `exec`, nor is it the program's."""
    (rootfs / "link").symlink_to("/proc/self/fd/7")
    prefix = ["sh", "-c", 'exec 7</; exec "$@"', "sh", *SANDBOX, "oci", "--root", str(runtime.directory / "root")]

    def leaking(*words: str) -> subprocess.CompletedProcess[str]:
        command = [*prefix, *words]
        return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=120)

    runtime.set("process", "cwd", value=workdir)
    runtime.set("process", "args", value=["ls"])
    runtime("list", check=False)  # writes the configuration
    done = leaking("run", "--bundle", str(runtime.bundle), "led")
    assert (done.returncode, "etc" in done.stdout, "working directory" in done.stderr) == (1, False, True)
    runtime.set("process", "cwd", value="/")
    runtime.set("process", "args", value=["sleep", "1000"])
    create(runtime, "held")
    runtime("start", "held")
    wait_for_program(runtime.state("held")["pid"], b"sleep")
    assert leaking("exec", "--cwd", workdir, "held", "ls").returncode == 255
    assert leaking("exec", "held", "ls", "/proc/self/fd").stdout.split() == ["0", "1", "2", "3"]  # 3 is ls's own


@pytest.mark.parametrize("null", ["link", "file"])
def test_cve_2025_31133(runtime: Runtime, null: str) -> None:
    """What is laid over masked files is the null device itself, not what a volume calls so."""
    secret, dev = runtime.directory / "secret", runtime.directory / "dev"
    secret.write_text("secret")
    dev.mkdir()
    (dev / "null").symlink_to(secret) if null == "link" else secret.rename(dev / "null")
    runtime.config["mounts"] = [runtime.config["mounts"][0],
                                {"destination": "/dev", "source": str(dev), "options": ["bind"]}]  # fmt: skip
    runtime.set("linux", "maskedPaths", value=["/proc/version"])
    refused(runtime, "/dev/null")


def test_cve_2025_52565(runtime: Runtime) -> None:
    """A terminal is not laid over what a link in the place of /dev/console points to."""
    guarded, dev = runtime.directory / "guarded", runtime.directory / "dev"
    guarded.write_text("kept")
    dev.mkdir()
    (dev / "console").symlink_to("/guarded/guarded")
    (runtime.bundle / "rootfs/guarded").mkdir()
    runtime.config["mounts"] = [
        runtime.config["mounts"][0],
        {"destination": "/guarded", "source": str(runtime.directory), "options": ["bind"]},
        {"destination": "/dev", "source": str(dev), "options": ["bind"]},
    ]
    runtime.set("process", "terminal", value=True)
    runtime.set("process", "args", value=["cat", "/guarded/guarded"])
    done = runtime("run", "--bundle", str(runtime.bundle), "shown", check=False)
    assert done.stdout in ("kept", "")
    assert guarded.read_text() == "kept"


@pytest.mark.parametrize("target", ["/proc/self/attr", "/proc/sys/kernel", "/forged/kernel", "/proc/../proc/sys"])
def test_cve_2025_52881(runtime: Runtime, rootfs: Path, target: str) -> None:
    """Nothing is mounted into /proc, also by way of a link, so that no write there goes elsewhere (T32)."""
    (rootfs / "forged").symlink_to("/proc/sys")
    volume = runtime.directory / "volume"
    volume.mkdir()
    runtime.config["mounts"].append({"destination": target, "source": str(volume), "options": ["bind"]})
    refused(runtime, "refused" if ".." not in target else "holds '..'")
