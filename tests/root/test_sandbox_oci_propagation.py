"""`sandbox oci`: which mounts of a container and of the machine hear of each other (mount_namespaces(7))."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.root.bundles import Runtime, create
from tests.testbed.commands import run

pytestmark = pytest.mark.root


@pytest.fixture
def shared(runtime: Runtime) -> Iterator[Path]:
    """Give a directory that is a shared mount of the machine's, with one more mount below it."""
    path = runtime.directory / "shared"
    path.mkdir()
    run(["mount", "-t", "tmpfs", "tmpfs", str(path)])
    try:
        run(["mount", "--make-shared", str(path)])
        for name in ("in", "out", "before"):
            (path / name).mkdir()
        run(["mount", "-t", "tmpfs", "tmpfs", str(path / "before")])
        yield path
    finally:
        runtime.close()
        run(["umount", "-R", str(path)])


def tags(pid: int, target: str) -> list[str]:
    """Return the optional fields of the mount on a path in a process's /proc/PID/mountinfo."""
    lines = [line.split() for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
    [found] = [words for words in lines if words[4] == target]
    return found[6 : found.index("-")]


@pytest.mark.vm
def test_what_is_mounted_in_a_shared_mount(runtime: Runtime, shared: Path) -> None:
    """With rshared, what either side mounts there the other has; with rslave only the container; by default neither."""
    kinds = {"both": "rshared", "hears": "rslave", "alone": "rprivate"}
    runtime.config["mounts"] += [
        {"destination": f"/{name}", "source": str(shared), "options": ["rbind", kind]} for name, kind in kinds.items()]
    runtime.set("process", "capabilities", value={
        key: ["CAP_SYS_ADMIN"] for key in ("bounding", "effective", "permitted")})
    create(runtime, "told")
    runtime("start", "told")
    pid = runtime.state("told")["pid"]
    run(["mount", "-t", "tmpfs", "tmpfs", str(shared / "in")])
    here = tags(os.getpid(), str(shared))
    assert (tags(pid, "/both"), tags(pid, "/alone")) == (here, [])
    assert tags(pid, "/hears") == [here[0].replace("shared", "master")]
    runtime("exec", "told", "busybox", "mount", "-t", "tmpfs", "tmpfs", "/both/out")
    mounts = Path(f"/proc/{pid}/mounts").read_text()
    for name in kinds:
        assert (f" /{name}/in " in mounts) == (name != "alone"), name
        assert f" /{name}/before " in mounts
    assert f" {shared}/out " in Path("/proc/mounts").read_text()
    # Nothing else of the container's is the machine's.
    assert all(str(runtime.bundle) not in line for line in Path("/proc/mounts").read_text().splitlines())
    assert tags(pid, "/") == []


@pytest.mark.parametrize(("options", "kind"), [((), ""), (("rslave",), "master"), (("rshared",), "shared")])
def test_a_mount_of_others_files(runtime: Runtime, shared: Path, options: tuple[str, ...], kind: str) -> None:
    """A mount that shows its files as other users' is no peer of its source either where nobody asks for that."""
    ids = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    runtime.config["mounts"].append({"destination": "/mapped", "source": str(shared), "options": ["bind", *options],
                                     "uidMappings": ids, "gidMappings": ids})  # fmt: skip
    create(runtime, "mapped")
    pid = runtime.state("mapped")["pid"]
    here = tags(os.getpid(), str(shared))
    assert tags(pid, "/mapped") == ([here[0].replace("shared", kind)] if kind else [])
    run(["nsenter", "-t", str(pid), "-m", "busybox", "mount", "-t", "tmpfs", "tmpfs", "/mapped/out"])
    assert (f" {shared}/out " in Path("/proc/mounts").read_text()) == (kind == "shared")


def test_a_root_that_is_told(runtime: Runtime, shared: Path) -> None:
    """With rootfsPropagation slave it hears of what is mounted where the bundle's root lies."""
    shutil.copytree(runtime.bundle / "rootfs", shared / "rootfs", symlinks=True)
    runtime.set("root", "path", value=str(shared / "rootfs"))
    runtime.set("linux", "rootfsPropagation", value="slave")
    (shared / "rootfs/later").mkdir()
    create(runtime, "told")
    pid = runtime.state("told")["pid"]
    run(["mount", "-t", "tmpfs", "tmpfs", str(shared / "rootfs/later")])
    assert " /later tmpfs " in Path(f"/proc/{pid}/mounts").read_text()
    assert tags(pid, "/") == [tags(os.getpid(), str(shared))[0].replace("shared", "master")]


@pytest.mark.parametrize(
    ("word", "tag"), [("shared", "shared:"), ("rshared", "shared:"), ("unbindable", "unbindable"), ("private", "")]
)
def test_the_root_and_new_mounts(runtime: Runtime, word: str, tag: str) -> None:
    """The root is what rootfsPropagation says, a new mount what its options do; of neither hears the machine."""
    runtime.set("linux", "rootfsPropagation", value=word)
    runtime.config["mounts"].append({"destination": "/new", "type": "tmpfs", "options": [word]})
    create(runtime, "kind")
    pid = runtime.state("kind")["pid"]
    for target in ("/", "/new"):
        assert [found.startswith(tag) for found in tags(pid, target)] == [True] * bool(tag), target
    below = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    assert not [path for path in below if path.startswith(str(runtime.bundle))]


def test_what_a_bind_keeps_of_its_source(runtime: Runtime) -> None:
    """What a source may not, its bind may not either, unless the options say so by name; what lies below keeps it."""
    path = runtime.directory / "strict"
    path.mkdir()
    strict = "ro,nosuid,nodev,noexec"
    run(["mount", "-t", "tmpfs", "tmpfs", str(path)])
    try:
        (path / "below").mkdir()
        run(["mount", "-t", "tmpfs", "-o", strict, "tmpfs", str(path / "below")])
        run(["mount", "-o", f"remount,{strict}", str(path)])
        every = ["rbind", "rw", "exec", "suid", "dev"]
        kinds = {"plain": ["rbind"], "cleared": every, "last": ["bind", "exec", "noexec"]}
        runtime.config["mounts"] += [
            {"destination": f"/{name}", "source": str(path), "options": words} for name, words in kinds.items()]
        create(runtime, "told")
        lines = Path(f"/proc/{runtime.state('told')['pid']}/mountinfo").read_text().splitlines()
        found = {words[4]: {*words[5].split(",")} & {*strict.split(",")} for words in map(str.split, lines)}
        everything = {*strict.split(",")}
        assert (found["/plain"], found["/plain/below"], found["/last"]) == (everything, everything, everything)
        assert (found["/cleared"], found["/cleared/below"]) == (set(), everything)
    finally:
        runtime.close()
        run(["umount", "-R", str(path)])
