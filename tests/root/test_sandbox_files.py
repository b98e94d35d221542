"""Volumes, `diff`, `cp`: the files of containers, as Docker treats them, and never those of this machine."""

from __future__ import annotations

import functools
import os
import re
import shutil
import socket
import stat
import subprocess
import time
from pathlib import Path

import pytest

from sandbox.commands.output import write_archive
from tests.root import sandboxing
from tests.root.test_sandbox_images import busybox_layer, load
from tests.testbed.commands import REPOSITORY, SANDBOX, Sandbox, run
from tests.testbed.docker import Docker
from tests.testbed.image_archives import entry, folder
from tests.testbed.tools import need

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left_of_it")]

PATIENCE = 240.0  # a container's shell forks a dozen times, and each look at it is a process of ours


@pytest.fixture
def image(sandbox: Sandbox, tmp_path: Path) -> str:
    """Load an image of busybox with a few files and return its name."""
    files = (folder("data", mode=0o1777, uid=7, gid=8), entry("data/a", b"a\n", uid=33, gid=44, mode=0o640))
    load(sandbox, tmp_path, busybox_layer(*files, folder("etc"), entry("etc/services", b"s"), entry("etc/keep", b"k")))
    return "made:1"


def output(sandbox: Sandbox, *options: str, script: str) -> list[str]:
    """Run a script in a container of the image and return the words that it printed."""
    return sandbox("run", "--rm", *options, "made:1", "sh", "-c", script).stdout.split()


def test_binds(sandbox: Sandbox, image: str, tmp_path: Path) -> None:
    """Directories, files, sockets and FIFOs are bound, parents first, read-only where asked, over our own files too.

    B053, B055, B061.
    """
    outer, inner = tmp_path / "outer", tmp_path / "inner"
    (outer / "y").mkdir(parents=True)
    inner.mkdir()
    (outer / "file").write_text("outer")
    (inner / "file").write_text("inner")
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        options = ["-v", f"{inner}:/x/y", "-v", f"{outer}:/x:ro", "-v", f"{outer}/file:/etc/hosts:ro"]
        options += ["-v", f"{tmp_path}/socket:/s", "-v", f"{tmp_path}/fifo:/f"]
        script = "cat /x/file; echo; cat /x/y/file; echo; cat /etc/hosts; echo; touch /x/y/new && touch /x/new"
        done = sandbox("run", "--rm", *options, image, "sh", "-c", f"{script}; ls -ld /s /f", check=False)
    assert done.stdout.split()[:3] == ["outer", "inner", "outer"]
    assert "Read-only file system" in done.stderr
    assert ("srwx" in done.stdout, "\np" in done.stdout) == (True, True)
    assert (sorted(os.listdir(inner)), sorted(os.listdir(outer))) == (["file", "new"], ["file", "y"])


def test_a_source_that_is_gone(sandbox: Sandbox, image: str, tmp_path: Path) -> None:
    """A container whose bound directory was removed does not start, which is told in one line, and can be removed.

    B070.
    """
    (tmp_path / "gone").mkdir()
    sandbox("create", "--name", "made", "-v", f"{tmp_path}/gone:/x", image, "true")
    (tmp_path / "gone").rmdir()
    done = sandbox("start", "made", check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "no such file or directory" in done.stderr
    sandbox("rm", "made")
    done = sandbox("create", "-v", f"{tmp_path}/gone:/x", image, "true", check=False)
    assert (done.returncode, done.stderr.count("\n"), sandbox("ps", "-aq").stdout) == (1, 1, "")


def test_mounts_below_a_bind(sandbox: Sandbox, image: str, tmp_path: Path) -> None:
    """What is mounted below a source comes along, read-only with it; left out, or left writable, where asked.

    B051, T11.
    """
    top = tmp_path / "top"
    (top / "below").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "cgscope-test", str(top / "below")], check=True)
    try:
        (top / "below/inside").write_text("x")
        mount = f"type=bind,src={top},dst=/m,ro"
        script = "ls /m/below; touch /m/below/new && echo written"
        assert output(sandbox, "--mount", mount, script=f"{script} 2>/dev/null; true") == ["inside"]
        wanted = f"{mount},bind-recursive=writable"
        assert output(sandbox, "--mount", wanted, script=script) == ["inside", "written"]
        assert output(sandbox, "--mount", f"{mount},bind-nonrecursive", script="ls /m/below") == []
        sandbox("run", "-d", "--name", "slave", "-v", f"{top}:/m:rslave", "-v", f"{top}:/p", image, "sleep", "100")
        (top / "late").mkdir()
        subprocess.run(["mount", "--make-shared", str(top / "below")], check=True)
    finally:
        sandbox("rm", "-f", "slave", check=False)
        subprocess.run(["umount", str(top / "below")], check=True)


def test_volumes_with_names(sandbox: Sandbox, image: str) -> None:
    """A volume is made on use, filled with what the image has there, kept, and not removed while it is in use."""
    show = "stat -c '%a %u %g' /data; stat -c '%a %u %g' /data/a; cat /data/*"
    first = output(sandbox, "-v", "v1:/data", script=f"{show}; echo new > /data/b")
    assert first == ["1777", "7", "8", "640", "33", "44", "a"]
    assert output(sandbox, "-v", "v1:/data", script="cat /data/a /data/b") == ["a", "new"]
    assert output(sandbox, "-v", "v2:/data:nocopy", script="ls /data") == []
    assert output(sandbox, "--mount", "src=v3,dst=/new", script="ls /new; stat -c %a /new") == ["755"]
    assert sandbox("volume", "ls", "-q").stdout.split() == ["v1", "v2", "v3"]
    path = sandbox("volume", "inspect", "-f", "{{.Mountpoint}}", "v1").stdout.strip()
    assert sorted(os.listdir(path)) == ["a", "b"]
    sandbox("create", "--name", "user", "-v", "v1:/data", image, "true")
    done = sandbox("volume", "rm", "v1", check=False)
    assert (done.returncode, done.stderr.count("\n"), "volume is in use" in done.stderr) == (1, 1, True)
    assert sandbox("volume", "ls", "-q", "-f", "dangling=true").stdout.split() == ["v2", "v3"]
    sandbox("rm", "-v", "user")
    sandbox("volume", "rm", "v1")
    assert sandbox("volume", "prune", "-a").stdout.split()[2:] == ["v2", "v3"]
    done = sandbox("volume", "rm", "v1", check=False)
    assert (done.returncode, done.stderr) == (1, "sandbox: get v1: no such volume\n")
    assert sandbox("volume", "rm", "-f", "v1").returncode == 0


def test_what_is_done_with_files_is_told(sandbox: Sandbox, image: str, tmp_path: Path) -> None:
    """`events` has volumes and images that come and go, and what is copied out of containers and into them."""
    sandbox("volume", "create", "vol")
    sandbox("create", "--name", "told", "-v", "vol:/v", image, "true")
    sandbox("cp", "told:/etc/keep", str(tmp_path / "keep"))
    sandbox("cp", str(tmp_path / "keep"), "told:/v/")
    sandbox("export", "-o", str(tmp_path / "export.tar"), "told")
    sandbox("update", "-m", "64m", "told")
    sandbox("rm", "told")
    sandbox("volume", "rm", "vol")
    sandbox("tag", image, "other:1")
    sandbox("save", "-o", str(tmp_path / "save.tar"), "other:1")
    for name in ("other:1", image):
        sandbox("rmi", name)
    sandbox("import", str(tmp_path / "export.tar"), "new:1")
    shown = sandbox("events", "--since", "1h", "--until", "0s", "--format", "{{.Type}} {{.Action}}").stdout.splitlines()
    assert shown == [
        "image load", "volume create", "container create", "container archive-path", "container extract-to-dir",
        "container export", "container update", "container destroy", "volume destroy", "image tag", "image save",
        "image untag", "image untag", "image delete", "image import",
    ]  # fmt: skip


def test_a_part_of_a_volume(sandbox: Sandbox, image: str, tmp_path: Path) -> None:
    """Of a volume a subdirectory or a file is mounted, which has to be there; a link in it leads nowhere else."""
    mount = "src=parts,dst=/m,volume-subpath"
    made = output(sandbox, "-v", "parts:/v", script="mkdir -p /v/a/b; echo 1 > /v/a/b/one; ln -s /etc /v/out; "
                                                    "ln -s /a/b /v/in; ln -s ../../../etc /v/a/up")  # fmt: skip
    assert made == []
    assert output(sandbox, "--mount", f"{mount}=a/b", script="ls /m; echo 2 > /m/two") == ["one"]
    assert output(sandbox, "--mount", f"{mount}=a/b/one,ro", script="cat /m; echo 3 > /m 2>/dev/null || echo no") == [
        "1", "no"
    ]  # fmt: skip
    assert output(sandbox, "--mount", f"{mount}=in", script="cd /m; ls") == ["one", "two"]
    assert output(sandbox, "--userns", "auto", "--mount", f"{mount}=a/b", script="stat -c %u /m/two") == ["0"]
    path = sandbox("volume", "inspect", "-f", "{{.Mountpoint}}", "parts").stdout.strip()
    for gone in ("none", "out", "a/up", "a/b/one/two"):
        for users in ((), ("--userns", "auto")):
            done = sandbox("run", "--rm", *users, "--mount", f"{mount}={gone}", image, "true", check=False)
            assert (done.returncode, done.stderr.count("\n")) == (125, 1), gone
            assert f"cannot bind {path}/{gone}: No" in done.stderr, done.stderr
    sandbox("create", "--name", "part", "--mount", f"{mount}=a/b,volume-label=tier=web", image, "true")
    asked = {"Type": "volume", "Source": "parts", "Target": "/m"}
    options = {"Labels": {"tier": "web"}, "Subpath": "a/b"}
    assert sandbox.inspect("part")["HostConfig"]["Mounts"] == [{**asked, "VolumeOptions": options}]
    sandbox("cp", "part:/m/two", str(tmp_path / "two"))
    assert (tmp_path / "two").read_text() == "2\n"
    sandbox("create", "--mount", "src=named,dst=/x,volume-label=tier=web,volume-label=new", image, "true")
    assert sandbox("volume", "inspect", "-f", "{{json .Labels}}", "named").stdout == '{"tier":"web","new":""}\n'
    assert sandbox("ps", "-aq").stdout.count("\n") == 2


def test_volumes_without_names(sandbox: Sandbox, image: str) -> None:
    """An anonymous volume goes with --rm and `rm -v`, stays with `rm`, and can be taken over from its container.

    B056.
    """
    assert output(sandbox, "-v", "/data", script="cat /data/a") == ["a"]
    assert sandbox("volume", "ls", "-q").stdout == ""
    script = "echo 1 > /data/one; echo 2 > /n/two"
    sandbox("run", "--name", "one", "-v", "/data", "-v", "named:/n", image, "sh", "-c", script)
    script = "cat /data/one /n/two; touch /data/x 2>/dev/null || echo closed"
    assert output(sandbox, "--volumes-from", "one:ro", script=script) == ["1", "2", "closed"]
    assert output(sandbox, "--volumes-from", "one", "--tmpfs", "/n", script="ls /n; cat /data/one") == ["1"]
    assert len(sandbox("volume", "ls", "-q").stdout.split()) == 2
    sandbox("create", "--name", "two", "--volumes-from", "one", image, "true")
    sandbox("rm", "-v", "one")
    assert len(sandbox("volume", "ls", "-q").stdout.split()) == 2
    sandbox("rm", "-v", "two")
    assert sandbox("volume", "ls", "-q").stdout.split() == ["named"]
    sandbox("run", "--name", "kept", "-v", "/data", image, "true")
    sandbox("rm", "kept")
    assert len(sandbox("volume", "prune").stdout.split()) == 3
    assert sandbox("volume", "ls", "-q").stdout.split() == ["named"]
    for words in (("--volumes-from", "none"), ("--volumes-from", "x:y"), ("-v", "/data", "--tmpfs", "/data")):
        done = sandbox("run", "--rm", *words, image, "true", check=False)
        assert (done.returncode in (1, 125), done.stdout, done.stderr.count("\n")) == (True, "", 1)
    assert sandbox("volume", "ls", "-q").stdout.split() == ["named"]


WRITES = """
b=/bin/busybox
$b mkdir /foo; echo > /foo/bar; $b touch /RANDOM; $b rm /etc/services; $b chmod 600 /etc/keep; $b rm -r /data
$b mkdir /data; echo b > /data/b; $b mkdir -p /deep/er; $b chown 5 /bin; echo changed > /etc/more
$b mv /deep/er /deep/est; $b ln -s x /link; $b touch /etc/same; $b rm /etc/same
"""


def test_diff_is_dockers(sandbox: Sandbox, image: str, docker: Docker, tmp_path: Path) -> None:
    """`diff` of the same image after the same commands, running and stopped, with and without mounts, is Docker's.

    B064.
    """
    (tmp_path / "host").mkdir()
    mounts = ("-v", f"{tmp_path}/host:/host", "-v", f"{tmp_path}/host:/data/sub", "--tmpfs", "/t", "-w", "/made/here")
    docker("load", "-i", str(tmp_path / "made.tar"))
    busy = WRITES.replace("$b rm -r /data", "")  # something is mounted in it
    try:
        docker("run", "--name", "oracle", "--network", "none", *mounts, image, "sh", "-c", busy)
        docker("run", "--name", "oracle2", "--network", "none", image, "sh", "-c", WRITES)
        wanted = [sorted(docker("diff", name).stdout.split("\n")) for name in ("oracle", "oracle2")]
    finally:
        docker("rm", "-f", "oracle", "oracle2", check=False)
        docker("rmi", "-f", image, check=False)
    sandbox("run", "--name", "ours", *mounts, image, "sh", "-c", busy)
    sandbox("run", "-d", "--name", "ours2", image, "sh", "-c", f"{WRITES}$b touch /t; sleep 100")
    assert sandboxing.wait_for(lambda: sandbox("exec", "ours2", "ls", "/t", check=False).returncode == 0, PATIENCE)
    sandbox("exec", "ours2", "rm", "/t")
    got = [sorted(sandbox("diff", name).stdout.split("\n")) for name in ("ours", "ours2")]
    assert got == wanted
    assert {"A /foo", "A /foo/bar", "A /RANDOM", "C /etc", "D /etc/services"} <= set(got[1])


CONTENT = """
b=/bin/busybox
$b mkdir /x /y; echo f > /x/f; $b chown 5:6 /x/f; $b ln -s /x/f /y/l; $b ln -s /x /y/d; $b ln -s /nowhere/z /y/dangling
$b ln -s ../../../../../../x /y/up; $b mkdir /x/sub; echo s > /x/sub/s
"""
INTO = (
    "{h}/f c1:/x/h", "-a {h}/f c1:/x/ha", "{h}/tree c1:/x", "{h}/tree/. c1:/x/new", "{h}/tree c1:/x/f",
    "{h}/f c1:/no/z", "{h}/f c1:/no/", "{h}/f c1:/y/l", "{h}/f c1:/y/d", "{h}/f c1:/y/dangling", "{h}/l c1:/y/hl",
    "-L {h}/l c1:/y/hL", "{h}/none c1:/y", "{h}/tree c1:/y/up/new2", "{h}/tree/ c1:/y/trailing",
    "{h}/tree c1:/x/f/z", "{h}/./f c1:relative",
)  # fmt: skip
OUT = (
    "c1:/x/f {o}", "c1:/x/f {o}/f2", "c1:/y/l {o}", "-L c1:/y/l {o}/L", "c1:/y/d {o}/d", "c1:/y/d/ {o}/d2",
    "c1:/x/. {o}/d3", "c1:/x {o}", "c1:/none {o}", "c1:/x/f {o}/no/f", "c1:/x/f {o}/no/", "c1:/x {o}/f", "none:/x {o}",
    "c1:/x c1:/y", "{h}/f {o}/g", "c1:/y/up/sub {o}/../out/up", "c1:x/f {o}/relative",
)  # fmt: skip


def _is_ready(command: Sandbox | Docker, name: str) -> bool:
    """Tell whether a container has come to its end of the preparations."""
    return command("exec", name, "ls", "/ready", check=False).returncode == 0


def listing(top: Path) -> list[str]:
    """Return what is in a directory: kind, mode without set-id bits, target and content of each."""
    found = []
    for path in sorted(top.rglob("*")):
        seen = path.lstat()
        mode = stat.filemode(seen.st_mode & ~0o6000)
        target = os.readlink(path) if path.is_symlink() else ""
        data = path.read_text() if path.is_file() and not path.is_symlink() else ""
        found.append(f"{path.relative_to(top)} {mode} {seen.st_uid} {seen.st_gid} {target} {data!r}")
    return found


def test_cp_is_dockers(sandbox: Sandbox, image: str, docker: Docker, tmp_path: Path) -> None:
    """Each form of `cp` in and out succeeds or fails as Docker's does, and leaves the same files of the same owners."""
    host = tmp_path / "h"
    (host / "tree/sub").mkdir(parents=True)
    (host / "tree/t").write_text("t")
    (host / "f").write_text("from the host")
    os.chown(host / "f", 33, 44)
    os.chmod(host / "f", 0o4711)  # noqa: S103  set-uid
    os.symlink("f", host / "l")
    find = "/bin/busybox find /x /y /relative -exec /bin/busybox stat -c '%n %a %u %g %F %N' {} +"
    results = {}
    for name, command in (("ours", sandbox), ("its", docker)):
        docker("load", "-i", str(tmp_path / "made.tar"))
        out = tmp_path / name / "out"
        out.mkdir(parents=True)
        network = ("--network", "none")
        command("run", "-d", "--name", "c1", *network, image, "sh", "-c", f"{CONTENT}$b touch /ready; sleep 300")
        try:
            assert sandboxing.wait_for(functools.partial(_is_ready, command, "c1"), PATIENCE)
            words = [text.format(h=host, o=out).split() for text in (*INTO, *OUT)]
            codes = [command("cp", *each, check=False).returncode for each in words]
            inside = command("exec", "c1", "sh", "-c", find).stdout
            results[name] = (dict(zip((*INTO, *OUT), codes, strict=True)), inside.splitlines(), listing(out))
        finally:
            command("rm", "-f", "c1", check=False)
            docker("rmi", "-f", image, check=False)
    assert results["ours"] == results["its"]


def test_cp_of_archives_and_of_a_stopped_container(sandbox: Sandbox, image: str, tmp_path: Path) -> None:
    """`-` is an archive on both sides; a container that does not run is served as well, its volumes too."""
    volume = tmp_path / "volume"
    volume.mkdir()
    sandbox("run", "--name", "stopped", "-v", f"{volume}:/v", image, "sh", "-c", "mkdir /made; echo 1 > /made/f")
    (tmp_path / "in").write_text("put")
    sandbox("cp", str(tmp_path / "in"), "stopped:/v/new")
    assert (volume / "new").read_text() == "put"
    sandbox("cp", "stopped:/made", str(tmp_path))
    assert (tmp_path / "made/f").read_text() == "1\n"
    words = [*SANDBOX, "cp"]
    with (tmp_path / "out.tar").open("wb") as file:
        subprocess.run([*words, "stopped:/made/.", "-"], stdout=file, check=True, cwd=REPOSITORY, env=sandbox.env)
    names = run(["tar", "-tf", str(tmp_path / "out.tar")]).stdout.split()
    assert names == ["./", "./f"]
    with (tmp_path / "out.tar").open("rb") as file:
        subprocess.run([*words, "-", "stopped:/data"], stdin=file, check=True, cwd=REPOSITORY, env=sandbox.env)
    assert sandbox("diff", "stopped").stdout.splitlines() == ["C /data", "A /data/f", "A /made", "A /made/f", "A /v"]
    done = sandbox("cp", "-", "stopped:/data", text="no archive" * 99, check=False)
    assert (done.returncode, done.stderr.count("\n"), "not a sound archive" in done.stderr) == (1, 1, True)
    sandbox("start", "stopped")
    sandbox("run", "--name", "closed", "--read-only", "-d", image, "sleep", "100")
    for path in ("/proc/version", "/proc", "/sys/kernel/notes"):  # what has no size would be copied as an empty file
        for target in ("-", str(tmp_path / "kernels")):
            done = sandbox("cp", f"closed:{path}", target, check=False)
            assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert not (tmp_path / "kernels").exists()
    done = sandbox("cp", str(tmp_path / "in"), "closed:/x", check=False)
    assert (done.returncode, done.stderr) == (1, "sandbox: cannot copy to 'closed:/x': Read-only file system\n")


def test_cp_into_a_small_filesystem(sandbox: Sandbox, image: str, tmp_path: Path) -> None:
    """What fits is copied, also in the place of a file; what does not takes no file's place and leaves none."""
    for name, size in (("old", 600_000), ("more", 700_000), ("most", 2_000_000)):
        (tmp_path / name).write_bytes(name[-1:].encode() * size)
    sandbox("run", "-d", "--name", "small", "--tmpfs", "/x:size=1m", image, "sleep", "1000")
    sandbox("cp", str(tmp_path / "old"), "small:/x/file")
    sandbox("cp", str(tmp_path / "more"), "small:/x/file")
    for target in ("file", "new"):
        done = sandbox("cp", str(tmp_path / "most"), f"small:/x/{target}", check=False)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert re.search(
            rf"to 'small:/x/{target}': no space: \d+ bytes more are needed, and \d+ are free$", done.stderr
        )
    assert sandbox("exec", "small", "sh", "-c", "ls /x; head -c 1 /x/file; wc -c </x/file").stdout == "file\ne700000\n"


@pytest.mark.parametrize("kind", ["device", "fifo", "link"])
def test_what_is_no_file_is_not_replaced(sandbox: Sandbox, image: str, tmp_path: Path, kind: str) -> None:
    """A device such as /dev/null stays what it is, whatever is copied or written onto it: refused, as by Docker."""
    place = tmp_path / "place"
    if kind == "fifo":
        os.mkfifo(place)
    else:
        os.mknod(place, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    if kind == "link":
        place = tmp_path / "link"
        place.symlink_to("place")
    sandbox("run", "-d", "--name", "one", image, "sleep", "1000")
    before, around = place.stat(), sorted(os.listdir(tmp_path))
    to = str(place)
    for words in (("cp", "one:/bin/sh", to), ("cp", "one:/bin", to), ("export", "-o", to, "one"),
                  ("save", "-o", to, image), ("cp", "/etc/passwd", "one:/dev/null")):  # fmt: skip
        done = sandbox(*words, check=False)
        assert (done.returncode, "must be a directory or a regular file" in done.stderr) == (1, True), (words, done)
    assert place.stat() == before
    assert sorted(os.listdir(tmp_path)) == around


def test_a_link_that_the_kernel_would_not_follow(tmp_path: Path) -> None:
    """Who has put a link where everybody may (/tmp) does not choose what root's `export -o` replaces."""
    if Path("/proc/sys/fs/protected_symlinks").read_text() != "1\n":
        pytest.skip("this kernel follows others' links everywhere")
    shared, victim = tmp_path / "shared", tmp_path / "victim"
    shared.mkdir()
    shared.chmod(0o1777)
    victim.write_text("kept")
    (shared / "out").symlink_to(victim)
    os.lchown(shared / "out", 4242, 4242)
    with pytest.raises(PermissionError):
        write_archive(str(shared / "out"), lambda: iter([b"archive"]))
    assert (victim.read_text(), os.listdir(shared)) == ("kept", ["out"])


def test_cp_never_leaves_the_root(sandbox: Sandbox, image: str, tmp_path: Path) -> None:
    """A container that swaps directories and links while files are copied in and out gets nothing of this machine.

    B069.
    """
    secret, outside = tmp_path / "secret", tmp_path / "outside"
    secret.write_text("secret")
    outside.mkdir()
    before = tmp_path.stat().st_mtime_ns, sorted(os.listdir(tmp_path))
    swap = f"""
b=/bin/busybox; mkdir -p /work/dir; echo inside > /work/dir/secret; $b ln -s {tmp_path} /work/link; touch /ready
while :; do $b mv /work/dir /work/t; $b mv /work/link /work/dir; $b mv /work/dir /work/link; $b mv /work/t /work/dir
done
"""
    sandbox("run", "-d", "--name", "racer", image, "sh", "-c", swap)
    assert sandboxing.wait_for(lambda: _is_ready(sandbox, "racer"), PATIENCE)
    target = tmp_path / "outside/got"
    for number in range(8):
        sandbox("cp", "racer:/work/dir/secret", str(target), check=False)
        if target.exists():
            assert target.read_text() == "inside\n"
            target.unlink()
        sandbox("cp", str(secret), f"racer:/work/dir/put{number}", check=False)
    assert (sorted(os.listdir(tmp_path)), os.listdir(outside)) == (before[1], [])


def test_device_nodes_and_set_uid_bits_stay_inside(sandbox: Sandbox, image: str, tmp_path: Path) -> None:
    """What root in a container made to be misused outside is not copied out: devices, and set-uid programs as ours."""
    script = "b=/bin/busybox; mkdir /w; $b mknod /w/disk b 254 0; $b cp $b /w/su; $b chmod 6777 /w/su"
    sandbox("run", "--name", "maker", image, "sh", "-c", script)
    done = sandbox("cp", "maker:/w", str(tmp_path))
    assert "not copied: devices of 1 files" in done.stderr
    assert os.listdir(tmp_path / "w") == ["su"]
    assert stat.S_IMODE((tmp_path / "w/su").stat().st_mode) == 0o777


def test_lxcfs(sandbox: Sandbox, image: str, tmp_path: Path) -> None:
    """With --lxcfs the container's /proc tells its limits; where lxcfs does not run that is said, in one line."""
    need("lxcfs")
    script = "/bin/busybox grep MemTotal /proc/meminfo; cat /proc/uptime"
    run_it = ("run", "--rm", "-m", "64m", "--lxcfs", image, "sh", "-c", script)
    if "fuse.lxcfs" not in Path("/proc/self/mountinfo").read_text():
        done = sandbox(*run_it, check=False)
        text = "sandbox: --lxcfs: lxcfs does not run here: no fuse.lxcfs is mounted\n"
        assert (done.returncode, done.stderr) == (125, text)
    place = tmp_path / "lxcfs"
    place.mkdir()
    server = subprocess.Popen(["lxcfs", "-f", "-p", str(tmp_path / "pid"), str(place)], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + sandboxing.PATIENCE_SECONDS
        while not (place / "proc/meminfo").exists() and server.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        if not (place / "proc/meminfo").exists():
            pytest.skip("lxcfs does not run on this machine")
        words = sandbox(*run_it).stdout.split()
        assert words[:3] == ["MemTotal:", str(64 * 1024), "kB"]
        assert float(words[3]) < float(Path("/proc/uptime").read_text().split()[0])
    finally:
        server.terminate()
        server.wait()
        if os.path.ismount(place):
            run(["umount", str(place)])
        shutil.rmtree(place, ignore_errors=True)
