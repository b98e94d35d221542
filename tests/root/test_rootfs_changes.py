"""What real containers changed, beside `docker diff` and a plain comparison; and whose a path is."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inspector.changes import Changes
from inspector.kernel.host import Host
from inspector.kernel.mounts import read_mountinfo
from inspector.layers import volumes
from inspector.unions import layers_at, read_layers
from tests.testbed.commands import NSINSPECT, REPOSITORY, Sandbox, run
from tests.testbed.docker import IMAGE, Docker
from tests.testbed.processes import until
from tests.testbed.runtimes import SLEEP

pytestmark = pytest.mark.root

KINDS = {"added": "A", "changed": "C", "deleted": "D"}
RICH = "cgscope-rich"
FILL = """
busybox mkdir -p /etc/deep /usr/lib/old /srv/tree/a/b /var/log /opt/empty
for name in /etc/keep /etc/change /etc/mode /etc/gone /etc/deep/x /usr/lib/old/lib1 /usr/lib/old/lib2 \
    /srv/tree/a/b/c /srv/tree/d /var/log/big /etc/open /etc/linked; do echo $name > $name; done
"""
ALTER = """
echo more >> /etc/change; busybox chmod 600 /etc/mode; busybox rm /etc/gone; busybox rm -r /srv/tree/a
busybox rm -r /usr/lib/old; busybox mkdir /usr/lib/old; echo new > /usr/lib/old/lib3; echo again > /usr/lib/old/lib1
busybox mkdir -p /new/dir; echo x > /new/dir/file; busybox ln -s /etc/passwd /new/link; busybox mkfifo /new/fifo
busybox mv /etc/deep /etc/moved; busybox rm -r /opt/empty; echo file > /opt/empty; busybox rm /etc/linked
busybox mkdir /etc/linked; : >> /etc/open; busybox chown 7 /var/log; echo x > "/new/a
b"; busybox chmod 700 /bin
"""


def nsinspect(*arguments: str, code: int = 0) -> Any:  # noqa: ANN401  a JSON document
    """Return what `nsinspect --json` says."""
    done = run([*NSINSPECT, "--json", *arguments], check=False)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def marks(document: dict[str, Any]) -> set[str]:
    """Return the changes as `docker diff` writes them."""
    assert document["complete"], document["problems"]
    return {f"{KINDS[one['kind']]} {one['path']}" for one in document["changes"] if one["kind"] in KINDS}


@pytest.fixture(scope="module")
def altered(docker: Docker) -> Iterator[str]:
    """Run a container that changes an image of two layers in every way; give its id."""
    with docker.running("cgscope-fill", IMAGE, "sh", "-c", f"{FILL}"):
        assert docker("wait", "cgscope-fill").stdout == "0\n"
        docker("commit", "cgscope-fill", RICH)
    command = (RICH, "sh", "-c", f"{ALTER}\n: > /ready; busybox sleep 600")
    volumes = ("-v", "cgscope-data:/data", "-v", f"{REPOSITORY}:/mnt/code:ro", "--tmpfs", "/scratch")
    with docker.running("cgscope-altered", *volumes, *command) as identifier:
        ready = ("exec", "cgscope-altered", "busybox", "test", "-e", "/ready")
        until(lambda: docker(*ready, check=False).returncode == 0, "the changes")
        yield identifier
    docker("volume", "rm", "cgscope-data")


def test_the_changes_are_those_of_docker_diff(docker: Docker, altered: str) -> None:
    """Added, changed and deleted are line by line what `docker diff` says, without its socket."""
    told = docker("diff", altered).stdout.replace("/new/a\nb", "/new/a\\nb").splitlines()
    found = {line.replace("\n", "\\n") for line in marks(nsinspect("cgscope-altered", "--changes"))}
    assert found == set(told)
    assert {"D /etc/gone", "D /srv/tree/a", "D /usr/lib/old/lib2", "C /usr/lib/old/lib1", "A /etc/moved/x"} <= found


def test_sizes_are_those_of_the_files(docker: Docker, altered: str) -> None:
    """Each file has the size it has in the container, and together they are what `docker ps --size` says."""
    document = nsinspect(altered, "--changes")
    found = {one["path"]: one for one in document["changes"]}
    assert (found["/etc/change"]["size_bytes"], found["/etc/change"]["before_bytes"]) == (17, 12)
    assert found["/srv/tree/a"]["size_bytes"] == len("/srv/tree/a/b/c\n")
    together = sum(one["size_bytes"] for one in document["changes"] if one["kind"] != "deleted")
    assert docker("inspect", "--size", "-f", "{{.SizeRw}}", altered).stdout.strip() == str(together)


def test_the_layers_are_those_of_docker_inspect(docker: Docker, altered: str) -> None:
    """Upper, work, merged and the lower layers in their order, with no short link left, are Docker's own."""
    data = json.loads(docker("inspect", "-f", "{{json .GraphDriver.Data}}", altered).stdout)
    rootfs = nsinspect(altered, "--changes")["rootfs"]
    assert rootfs["lower"] == data["LowerDir"].split(":")
    assert (rootfs["upper"], rootfs["work"], rootfs["merged"]) == (data["UpperDir"], data["WorkDir"], data["MergedDir"])


def test_volumes_are_those_of_docker_inspect(docker: Docker, altered: str) -> None:
    """Volumes and binds are told from the image, with source, destination and read-only."""
    told = json.loads(docker("inspect", "-f", "{{json .Mounts}}", altered).stdout)
    with Host() as host:
        found = volumes(read_mountinfo(host, docker.pid(altered)), read_mountinfo(host, "self"))
    assert {(v.kind, v.source, v.destination, not v.read_only) for v in found if v.kind in ("bind", "volume")} == {
        (one["Type"], one["Source"], one["Destination"], one["RW"]) for one in told
    }
    assert [v.destination for v in found if v.kind == "tmpfs"] == ["/scratch"]
    assert {v.destination for v in found if v.kind == "runtime"} == {"/etc/hostname", "/etc/hosts", "/etc/resolv.conf"}


def role(path: str, identifier: str) -> tuple[str, str | None]:
    """Return what a path is to one container, and where it has it."""
    claims = [one for one in nsinspect("--owner", path)["owners"] if one["container"] == identifier]
    assert len(claims) == 1, claims
    return claims[0]["role"], claims[0]["inside"]


def test_the_owner_of_every_kind_of_path(docker: Docker, altered: str) -> None:
    """Upper, work, merged, lower and short link, volume, bind and state files of a running container are found."""
    data = json.loads(docker("inspect", "-f", "{{json .GraphDriver.Data}}", altered).stdout)
    upper, lower, root = data["UpperDir"], data["LowerDir"].split(":"), f"{docker.directory}/data"
    link = Path(os.path.dirname(lower[-1]), "link").read_text(encoding="ascii")
    assert role(upper, altered) == ("upper", "/")
    assert role(f"{upper}/etc/change", altered) == ("upper", "/etc/change")
    assert role(data["WorkDir"], altered)[0] == "work"
    assert role(f"{data['MergedDir']}/bin/sh", altered) == ("merged", "/bin/sh")
    assert role(f"{lower[-1]}/bin", altered) == ("lower", "/bin")
    assert role(f"{root}/overlay2/l/{link}/bin", altered) == ("lower", "/bin")
    assert role(f"{root}/volumes/cgscope-data/_data/x", altered) == ("volume", "/data/x")
    assert role(f"{REPOSITORY}/README.md", altered) == ("mounted-from", "/mnt/code/README.md")
    assert role(f"{root}/containers/{altered}/hosts", altered) == ("state", "/etc/hosts")
    assert role(f"{root}/containers/{altered}/config.v2.json", altered)[0] == "state"
    assert role(os.path.dirname(upper), altered)[0] == "state"


def test_a_layer_belongs_to_all_that_use_it(docker: Docker, altered: str) -> None:
    """A layer of the image belongs to two containers, the one that is stopped included; the store holds both."""
    with docker.running("cgscope-other", RICH, "busybox", "true") as other:
        docker("wait", "cgscope-other")
        lower = json.loads(docker("inspect", "-f", "{{json .GraphDriver.Data.LowerDir}}", altered).stdout).split(":")

        def found() -> set[tuple[Any, ...]]:
            """Ask for those of the two: whatever else is in the daemon's store has the lowest layer as well."""
            owners = nsinspect("--owner", f"{lower[-1]}/bin")["owners"]
            claims = {(one["container"], one["name"], one["running"], one["role"]) for one in owners}
            return {one for one in claims if one[0] in (altered, other)}

        both = {(altered, "cgscope-altered", True, "lower"), (other, "cgscope-other", False, "lower")}
        # Docker tells who waits for the end before it has written it down.
        until(lambda: found() == both, "both to be told of")
        upper = docker("inspect", "-f", "{{.GraphDriver.Data.UpperDir}}", other).stdout.strip()
        assert role(upper, other) == ("upper", "/")
        held = nsinspect("--owner", f"{docker.directory}/data/overlay2")["owners"]
        assert {one["container"] for one in held if one["holds"]} >= {altered, other}
    assert nsinspect("--owner", upper, code=1)["owners"] == []


def test_a_path_that_is_nobodys() -> None:
    """One line says that a path belongs to no container, with exit code 1, and a hostile name is made visible."""
    done = run([*NSINSPECT, "--owner", "/nowhere/\x1b[31m"], check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "/nowhere/\\x1b[31m belongs to no container\n"


def test_a_path_that_is_not_there(docker: Docker) -> None:
    """Of a place in a container's layer where there is nothing it is said so, and whose it would be."""
    with docker.running("absent", IMAGE, *SLEEP):
        upper = docker("inspect", "-f", "{{.GraphDriver.Data.UpperDir}}", "absent").stdout.strip()
        done = run([*NSINSPECT, "--owner", f"{upper}/absent"])
    assert done.stdout.startswith("absent (docker ")
    assert done.stderr == f"nsinspect: there is nothing at {upper}/absent now\n"


def test_a_sandbox(sandbox: Sandbox, tmp_path: Path) -> None:
    """What was done in our own container is what is told, and its files are its own, running or stopped."""
    rootfs = tmp_path / "root"
    (rootfs / "bin").mkdir(parents=True)
    shutil.copy(shutil.which("busybox") or "", rootfs / "bin/busybox")
    (rootfs / "bin/sh").symlink_to("busybox")
    for name in ("keep", "change", "gone"):
        (rootfs / name).write_text(name)
    do = "echo more >> /change; busybox rm /gone; busybox mkdir /new; echo x > /new/x; : > /ready; busybox sleep 600"
    identifier = sandbox("run", "-d", "--name", "box", "--rootfs", str(rootfs), "sh", "-c", do).stdout.strip()
    data = sandbox.inspect("box")["GraphDriver"]["Data"]
    until(lambda: os.path.exists(f"{data['UpperDir']}/ready"), "the changes")
    found = marks(nsinspect(str(sandbox.pid("box")), "--changes"))
    assert found >= {"C /change", "D /gone", "A /new", "A /new/x", "A /ready"}
    assert all(line.startswith("A ") or line in ("C /change", "D /gone") for line in found)
    assert role(f"{data['UpperDir']}/new", identifier) == ("upper", "/new")
    assert role(f"{rootfs}/keep", identifier) == ("lower", "/keep")
    assert role(f"{sandbox.root}/containers/{identifier}/state.json", identifier)[0] == "state"
    sandbox("kill", "box")
    sandbox("wait", "box", check=False)
    assert role(f"{data['UpperDir']}/new", identifier) == ("upper", "/new")


Listing = dict[str, list[str]]
LISTED = ("-printf", r"/%P\0%y\0%m %U\0%s %T@\0")


def listing(found: str) -> Listing:
    """Return what `find DIRECTORY -printf LISTED` listed: kind, rights, size and time by path."""
    words = found.split("\0")
    return {path: facts for path, *facts in zip(*(words[n::4] for n in range(4)), strict=False) if path != "/"}


def compared(above: Listing, below: Listing) -> set[tuple[str, str]]:
    """Compare a merged tree with what was below it, the slow and plain way; directories only by owner and mode."""
    found = {("added", path) for path in above.keys() - below.keys()}
    found |= {("deleted", p) for p in below.keys() - above.keys() if os.path.dirname(p) in {"/", *above}}
    for path in above.keys() & below.keys():
        new, old = above[path], below[path]
        if new[:2] != old[:2] or (new[0] != "d" and new != old):
            found.add(("changed", path))
    # What was below a directory that is now something else went with it.
    kinds = {path: facts[0] == "d" for path, facts in above.items()}
    found = {(kind, p) for kind, p in found if kind != "deleted" or kinds.get(os.path.dirname(p), True)}
    around = {parent for _, path in found for parent in _parents(path) if parent in below}
    return found | {("changed", path) for path in around}


def _walk(top: str) -> Iterator[str]:
    for directory, names, files in os.walk(top):
        yield from (os.path.join(directory, name) for name in [*names, *files])


def _parents(path: str) -> Iterator[str]:
    while (path := os.path.dirname(path)) != "/":
        yield path


def _alter(chance: random.Random, top: str) -> None:
    """Do one random thing to a tree."""
    places = [top, *(p for p in _walk(top) if os.path.isdir(p) and not os.path.islink(p))]
    everything = list(_walk(top))
    new = f"{chance.choice(places)}/{chance.choice('abcdef')}"
    old = chance.choice(everything) if everything else None
    what = chance.choice(("write", "write", "mkdir", "link", "remove", "remove", "move", "mode", "touch"))
    try:
        if what == "write":
            Path(new).write_text("x" * chance.randrange(50))
        elif what == "mkdir":
            os.mkdir(new)
        elif what == "link":
            os.symlink("a", new)
        elif old is None:
            return
        elif what == "remove":
            shutil.rmtree(old) if os.path.isdir(old) and not os.path.islink(old) else os.unlink(old)
        elif what == "move":
            shutil.move(old, new)
        elif what == "mode" and not os.path.islink(old):
            os.chmod(old, chance.choice((0o700, 0o755, 0o644)))
        elif what == "touch":
            os.close(os.open(old, os.O_WRONLY | os.O_NOFOLLOW))  # copies it up and changes nothing
    except (OSError, shutil.Error):
        return


@pytest.mark.parametrize("options", ["", ",redirect_dir=off,metacopy=off"])
def test_random_changes_of_a_real_overlay(tmp_path: Path, options: str) -> None:
    """Whatever was done to an overlay, its changes are those that a comparison of the whole trees finds."""
    seed = random.randrange(1 << 32)  # noqa: S311  shown when it fails
    chance = random.Random(seed)  # noqa: S311
    for name in ("lower", "upper", "work", "merged"):
        (tmp_path / name).mkdir()
    for _ in range(60):
        _alter(chance, str(tmp_path / "lower"))
    lower, upper, work, merged = (str(tmp_path / name) for name in ("lower", "upper", "work", "merged"))
    data = f"lowerdir={lower},upperdir={upper},workdir={work},index=off{options}"
    run(["mount", "-t", "overlay", "overlay", "-o", data, merged])
    try:
        with Host() as host:
            mount = next(m for m in read_mountinfo(host, "self") if m.mountpoint == merged)
            layers = layers_at(host, mount, read_mountinfo(host, "self"))
            assert layers is not None
            for _ in range(10):
                for _ in range(6):
                    _alter(chance, merged)
                walk = Changes(host, layers)
                found = {(change.kind, change.path) for change in walk if change.kind != "copied"}
                assert walk.problems == []
                above, below = (listing(run(["find", top, *LISTED]).stdout) for top in (merged, lower))
                assert found == compared(above, below), f"seed {seed}"
    finally:
        run(["umount", merged])


def test_it_can_be_interrupted(tmp_path: Path) -> None:
    """Ctrl-C ends the walk of a large tree with what was found so far, says so, and exits with 130."""
    for name in ("lower", "upper", "work", "merged"):
        (tmp_path / name).mkdir()
    for number in range(200):
        directory = tmp_path / f"upper/d{number}"
        directory.mkdir()
        for each in range(200):
            (directory / str(each)).touch()
    lower, upper, work, merged = (str(tmp_path / name) for name in ("lower", "upper", "work", "merged"))
    (tmp_path / "lower/bin").mkdir()
    shutil.copy(shutil.which("busybox") or "", tmp_path / "lower/bin/busybox")
    run(["mount", "-t", "overlay", "overlay", "-o", f"lowerdir={lower},upperdir={upper},workdir={work}", merged])
    holder = subprocess.Popen(["chroot", merged, "/bin/busybox", "sleep", "60"])
    try:
        with Host() as host:
            until(lambda: read_layers(host, holder.pid), "its root")
        command = [*NSINSPECT, str(holder.pid), "--changes"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as walk:
            assert walk.stdout is not None
            first = [walk.stdout.readline() for _ in range(20)]
            walk.send_signal(signal.SIGINT)
            rest = walk.stdout.read()
        assert walk.returncode == 130
        assert first[-1].startswith("A ")
        assert rest.splitlines()[-1] == "interrupted: this is only a part of it"
        assert len(rest.splitlines()) < 40_000
    finally:
        holder.kill()
        holder.wait()
        run(["umount", merged])

