"""inspector.kernel.host: reading below a root, kept files, ticks, the limit of descriptors."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inspector.kernel.bundle import LITTLE
from inspector.kernel.files import CHUNK
from inspector.kernel.host import SPARE_DESCRIPTORS, Host
from inspector.kernel.kmsg import KernelLog


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """Give a host whose root is an empty directory."""
    with Host(str(tmp_path)) as host:
        yield host


def kept_descriptors(tmp_path: Path) -> set[str]:
    """Tell which files below the directory this process holds open, by the kernel's word."""
    links = []
    for name in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{name}"))
        except FileNotFoundError:
            continue
    return {os.path.basename(link) for link in links if link.startswith(f"{tmp_path}/")}


def test_paths_below_a_root() -> None:
    """Every path is the machine's; /proc and /sys may be mounted elsewhere, by whole names only."""
    assert Host().path("/proc/1/stat") == "/proc/1/stat"
    assert Host("/host/").path("/proc/1/stat") == "/host/proc/1/stat"
    moved = Host("/host", procfs="/p/", sysfs="/s")
    assert [moved.path(path) for path in ("/proc", "/proc/1", "/sys/fs", "/processes", "/etc")] == [
        "/p", "/p/1", "/s/fs", "/host/processes", "/host/etc",
    ]  # fmt: skip


def test_is_live_only_for_the_machine_itself() -> None:
    """A Host of this machine agrees with its system calls, any other does not."""
    assert Host().is_live
    assert Host("/", procfs="/proc").is_live
    assert not Host("/host").is_live
    assert not Host("/", procfs="/p").is_live


@pytest.mark.parametrize("size", [0, 1, 2047, 2048, 16383, 16384, 16385, 100_000])
def test_reading_the_whole_file(host: Host, tmp_path: Path, size: int) -> None:
    """A file of any length comes whole, kept open or not."""
    (tmp_path / "f").write_bytes(os.urandom(size))
    assert host.read("/f") == host.read_kept("/f") == (tmp_path / "f").read_bytes()


def test_files_of_a_bundle_come_whole(host: Host, tmp_path: Path) -> None:
    """Whatever their lengths are and were: read all at once, or some by their numbers."""
    files = [tmp_path / "f", tmp_path / "g"]
    for file in files:
        file.touch()
    bundle, _ = host.bundle([("", ["f", "g"])])
    for sizes in ((1, 500), (469, 470), (471, 16384), (40_000, 3), (470, 16383), (0, 100)):
        wanted = [os.urandom(size) for size in sizes]
        for file, data in zip(files, wanted, strict=True):
            file.write_bytes(data)
        assert (bundle.read(), bundle.read((1, 0))) == (wanted, wanted[::-1])


@pytest.mark.parametrize("size", [469, 470, 16384])
def test_a_file_of_a_bundle_that_grows_comes_whole(host: Host, tmp_path: Path, size: int) -> None:
    """Also where it begins with all that it said when it was read last."""
    (tmp_path / "f").write_bytes(b"x" * size)
    bundle, _ = host.bundle([("", ["f"])])
    before = bundle.read()
    assert bundle.read(before=before) == before == [b"x" * size]
    (tmp_path / "f").write_bytes(b"x" * (size + 1))
    assert bundle.read(before=before) == [b"x" * (size + 1)]


def test_bundles_learn_from_each_other(host: Host, tmp_path: Path) -> None:
    """What one found to be long its likes ask for whole at once; any other length comes whole all the same."""
    for directory, long, short in (("a", 500, 3), ("b", 40_000, 4), ("c", 5, 600)):
        (tmp_path / directory).mkdir()
        (tmp_path / directory / "long").write_bytes(b"l" * long)
        (tmp_path / directory / "short").write_bytes(b"s" * short)
    sizes: list[int] = []
    found, asked = [], []
    for directory in "abc":
        bundle, _ = host.bundle([(f"/{directory}", ["long", "short"])], sizes=sizes)
        asked.append(tuple(sizes))
        found.append([(text[:1], len(text)) for text in bundle.read()])
    assert found == [[(b"l", 500), (b"s", 3)], [(b"l", 40_000), (b"s", 4)], [(b"l", 5), (b"s", 600)]]
    assert asked == [(LITTLE, LITTLE), (CHUNK, LITTLE), (3 * CHUNK, LITTLE)]


def test_reading_a_prefix(host: Host, tmp_path: Path) -> None:
    """At most the size asked for is read."""
    (tmp_path / "f").write_bytes(b"abcdef")
    assert host.read_prefix("/f", 4) == b"abcd"
    assert host.read_prefix("/f", 400) == b"abcdef"


READERS: list[Callable[[Host, str], object]] = [
    Host.read,
    Host.read_long_lines,
    Host.read_kept,
    lambda host, path: host.read_prefix(path, 100),
    lambda host, path: host.read_inside("/", path[1:], 100),
    lambda host, path: os.close(host.open_fd(path)),
    lambda host, path: host.bundle([("", [path[1:]])])[0].read(),
    lambda host, path: host.directory(path),
    lambda host, path: host.listdir(path),
    lambda host, path: (host.stat(path), host.lstat(path), host.access(path), host.links(path)),
]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kept_open", [False, True])
def test_a_fifo_is_not_waited_for(
    host: Host, tmp_path: Path, reader: Callable[[Host, str], object], *, kept_open: bool
) -> None:
    """One in the place of a kernel file below --path.rootfs, with a silent writer or without, hangs nothing."""
    os.mkfifo(tmp_path / "f")
    writer = os.open(tmp_path / "f", os.O_RDWR) if kept_open else None

    def read() -> None:
        with contextlib.suppress(OSError):
            reader(host, "/f")

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(30)
    hung = thread.is_alive()
    if writer is not None:
        os.close(writer)
    if hung:
        os.close(os.open(tmp_path / "f", os.O_WRONLY))  # so that the thread ends
    assert not hung


@pytest.mark.parametrize("reader", READERS[:3])
def test_a_file_without_end_is_given_up(
    host: Host, tmp_path: Path, reader: Callable[[Host, str], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file longer than any of the kernel's (a device, a planted file) is an error that names it."""
    monkeypatch.setattr("inspector.kernel.files.MOST_BYTES", 1 << 20)
    (tmp_path / "f").touch()
    os.truncate(tmp_path / "f", 8 << 20)
    with pytest.raises(OSError, match=rf"longer than any kernel file: '{tmp_path}/f'"):
        reader(host, "/f")


def test_a_kept_file_is_read_once_a_tick(host: Host, tmp_path: Path) -> None:
    """Within a tick the same bytes come back; the next tick reads the same open file anew."""
    (tmp_path / "f").write_bytes(b"one")
    assert host.read_kept("/f") == b"one"
    (tmp_path / "f").write_bytes(b"two")
    assert host.read_kept("/f") == b"one"
    host.end_tick()
    assert host.read_kept("/f") == b"two"


def test_a_kept_descriptor_guards_the_identity(host: Host, tmp_path: Path) -> None:
    """A file that was replaced by another of its name goes on being the one that was opened."""
    (tmp_path / "f").write_bytes(b"one")
    host.read_kept("/f")
    host.end_tick()
    (tmp_path / "f").unlink()
    (tmp_path / "f").write_bytes(b"another")
    assert host.read_kept("/f") == b"one"
    host.forget("/f")
    assert host.read_kept("/f") == b"another"


def test_a_tick_closes_what_it_did_not_read(host: Host, tmp_path: Path) -> None:
    """A file that a whole tick did not need is closed."""
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"x")
        host.read_kept(f"/{name}")
    host.end_tick()
    assert kept_descriptors(tmp_path) == {"a", "b"}
    host.read_kept("/a")
    host.end_tick()
    assert kept_descriptors(tmp_path) == {"a"}
    host.close()
    assert kept_descriptors(tmp_path) == set()


def test_a_process_that_ended_answers_esrch_and_is_forgotten() -> None:
    """A kept stat of a process that is gone raises ProcessLookupError and is closed."""
    with subprocess.Popen(["sleep", "60"]) as child, Host() as host:
        path = f"/proc/{child.pid}/stat"
        assert host.read_kept(path).startswith(f"{child.pid} (".encode())
        child.kill()
        child.wait()
        host.end_tick()
        with pytest.raises(ProcessLookupError):
            host.read_kept(path)
        with pytest.raises(FileNotFoundError):
            host.read_kept(path)


def test_beyond_the_limit_files_are_read_but_not_kept(tmp_path: Path) -> None:
    """With no descriptor to spare a kept read still works, closes the file, and is made once a tick."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(name.encode() * 3000)
    with Host(str(tmp_path)) as host:
        host.read_kept("/a")
        host._limit = 2  # noqa: SLF001  the real limit can only be lowered for good
        assert [host.read_kept(f"/{name}") for name in "bc"] == [b"b" * 3000, b"c" * 3000]
        assert kept_descriptors(tmp_path) == {"a", "b"}
        (tmp_path / "c").write_bytes(b"new")
        assert host.read_kept("/c") == b"c" * 3000
        host.end_tick()
        assert host.read_kept("/c") == b"new"
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] == limits[1]


def test_the_limit_is_the_hard_one_less_some(tmp_path: Path) -> None:
    """The soft limit of open files is raised to the hard one, and some are left for others."""
    (tmp_path / "a").write_bytes(b"a")
    with Host(str(tmp_path)) as host:
        host.read_kept("/a")
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert soft == hard
        assert host._limit == hard - SPARE_DESCRIPTORS  # noqa: SLF001


def test_nothing_is_inherited(host: Host, tmp_path: Path) -> None:
    """A kept descriptor is closed on exec: no child gets a view of the machine with it."""
    (tmp_path / "f").write_bytes(b"x")
    host.read_kept("/f")
    kept = [fd for fd in map(int, os.listdir("/proc/self/fd")) if os.path.exists(f"/proc/self/fd/{fd}")]
    ours = [fd for fd in kept if os.readlink(f"/proc/self/fd/{fd}") == str(tmp_path / "f")]
    assert len(ours) == 1
    assert not os.get_inheritable(ours[0])


def test_below_an_anchor(host: Host, tmp_path: Path) -> None:
    """What lies below an anchor is opened from there, in every way; an error names the whole path."""
    for place in ("a", "b", "a2"):
        (tmp_path / place / "x").mkdir(parents=True)
        (tmp_path / place / "x/f").write_text(place)
    host.anchor(["/a", "/b", "/nowhere"])
    paths = ["/a/x/f", "/a2/x/f", "/b/x/f"]
    assert [host.read(path) for path in paths] == [b"a", b"a2", b"b"]
    assert list(host.read_each(paths)) == [b"a", b"a2", b"b"]
    assert host.bundle([(path.removesuffix("/f"), ["f"]) for path in paths])[0].read() == [b"a", b"a2", b"b"]
    assert host.links("/a/x") == 2
    for path in ("/a/gone", "/nowhere/f"):
        with pytest.raises(FileNotFoundError) as error:
            host.read(path)
        assert error.value.filename == f"{tmp_path}{path}"
        directory, _, name = path.rpartition("/")
        (failed,) = host.bundle([(directory, [name])])[1].values()
        assert (failed.filename, failed.errno) == (f"{tmp_path}{path}", errno.ENOENT)
    (tmp_path / "a").rename(tmp_path / "away")
    assert host.read("/a/x/f") == b"a"
    host.anchor(["/b"])
    with pytest.raises(FileNotFoundError):
        host.read("/a/x/f")
    host.close()
    assert host.read("/b/x/f") == b"b"


def test_who_is_interrupted_closes_once(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C comes right behind the system call: what is closed once more afterwards is somebody else's by then."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "f").write_bytes(b"")

    def interrupted(call: Callable[..., None]) -> Callable[..., None]:
        def close(*descriptors: int) -> None:
            call(*descriptors)
            raise KeyboardInterrupt

        return close

    log, directory = KernelLog(Host(str(tmp_path))), host.directory("/tree")
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "kmsg").write_bytes(b"")
    assert list(log.records()) == []
    host.anchor(["/tree"])
    bundle, _ = host.bundle([("", ["f"])])
    closes: list[Callable[[], None]] = [log.close, directory.close, bundle.close, lambda: host.anchor([]), host.close]
    for close in closes:
        with monkeypatch.context() as patched:
            patched.setattr(os, "close", interrupted(os.close))
            patched.setattr(os, "closerange", interrupted(os.closerange))
            with contextlib.suppress(KeyboardInterrupt):
                close()
    others = [os.open(os.devnull, os.O_RDONLY) for _ in range(10)]
    for close in closes:
        close()
    for descriptor in others:
        os.close(descriptor)  # EBADF, were it closed


def test_each_of_many_files(host: Host, tmp_path: Path) -> None:
    """Many files at once are what they are one by one, or why they are not; nothing is left open."""
    for number in range(200):
        (tmp_path / f"{number}").write_bytes(b"x" * number * 100)
    paths = [f"/{number}" for number in (*range(150), 999, *range(150, 200))]
    found = list(host.read_each(paths))
    assert isinstance(found.pop(150), FileNotFoundError)
    assert [len(text) for text in found if isinstance(text, bytes)] == [number * 100 for number in range(200)]
    assert kept_descriptors(tmp_path) == set()


def test_each_of_many_files_with_few_descriptors(tmp_path: Path) -> None:
    """Where a process may have a few files open alone, many at once are read all the same."""
    for number in range(200):
        (tmp_path / f"{number}").write_text(f"{number}")
    code = (
        "import resource, sys\nfrom inspector.kernel.host import Host\n"
        "host = Host(sys.argv[1])\nresource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))\n"
        "print([text.decode() for text in host.read_each(f'/{number}' for number in range(200))])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == f"{[str(number) for number in range(200)]}\n"


def test_each_of_many_kept_files(host: Host, tmp_path: Path) -> None:
    """Many files that stay open are what they are one by one, once a tick, or why they are not."""
    sizes = [0, 1, 469, 470, 2047, 2048, 40_000]
    paths = [f"/{number}" for number in range(len(sizes))]
    for _ in range(2):
        texts = [os.urandom(size) for size in sizes]
        for path, text in zip(paths, texts, strict=True):
            Path(f"{tmp_path}{path}").write_bytes(text)
        found = host.read_each_kept([*paths[:3], "/999", *paths[3:]])
        assert isinstance(found.pop(3), FileNotFoundError)
        assert found == texts
        (tmp_path / "1").write_bytes(b"other")
        assert host.read_each_kept(paths) == texts == [host.read_kept(path) for path in paths]
        host.end_tick()
    assert kept_descriptors(tmp_path) == {path[1:] for path in paths}


def test_many_kept_files_are_opened_before_they_are_read(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No read is of a file that is not open yet: an error for each would cost more than to open it."""
    paths = [f"/{number}" for number in range(5)]
    for path in paths:
        Path(f"{tmp_path}{path}").write_bytes(b"x")
    truly, read = os.pread, list[int]()

    def noted(descriptor: int, size: int, offset: int) -> bytes:
        read.append(descriptor)
        return truly(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", noted)
    assert host.read_each_kept(paths) == [b"x"] * 5
    assert len(read) == 5
    assert min(read) >= 0


def test_some_of_many_kept_files_are_of_who_ended() -> None:
    """They answer ESRCH and are forgotten; the others are read."""
    with Host() as host, contextlib.ExitStack() as stack:
        processes = [stack.enter_context(subprocess.Popen(["cat"], stdin=subprocess.PIPE)) for _ in range(3)]
        paths = [f"/proc/{process.pid}/stat" for process in processes]
        assert all(isinstance(text, bytes) for text in host.read_each_kept(paths))
        host.end_tick()
        processes[1].communicate()
        first, error, last = host.read_each_kept(paths)
        assert isinstance(error, ProcessLookupError)
        assert [isinstance(text, bytes) for text in (first, last)] == [True, True]
        assert paths[1] not in host._kept  # noqa: SLF001  a descriptor that is left looks like any other
        host.end_tick()
        twice = host.read_each_kept([paths[1], paths[1]])
        assert [isinstance(error, FileNotFoundError) for error in twice] == [True, True]


def test_more_files_to_those_that_are_open(host: Host, tmp_path: Path) -> None:
    """A bundle takes more files, also when they cannot be kept open beside the others, in the order they came."""
    for name in "abcd":
        (tmp_path / name).write_text(name)
    bundle, _ = host.bundle([("", ["a"])])
    host._limit = 2  # noqa: SLF001  the real limit can only be lowered for good
    for more in ("bc", "d"):
        assert host.bundle([("", more)], bundle) == (bundle, {})
    assert bundle.read() == [b"a", b"b", b"c", b"d"]
    assert kept_descriptors(tmp_path) == {"a"}
    assert bundle.inode(3) == (tmp_path / "d").stat().st_ino
    bundle.close()
    assert kept_descriptors(tmp_path) == set()


def test_directories(host: Host, tmp_path: Path) -> None:
    """All names, or only the directories; a link to a directory is not one."""
    (tmp_path / "d/sub/leaf").mkdir(parents=True)
    (tmp_path / "d/file").write_text("x")
    (tmp_path / "d/link").symlink_to("sub")
    assert sorted(host.listdir("/d")) == ["file", "link", "sub"]
    assert host.subdirectories("/d") == ["sub"]
    assert host.subdirectories("/d/sub/leaf") == []
    with pytest.raises(FileNotFoundError):
        host.subdirectories("/nowhere")


def test_links_and_identity(host: Host, tmp_path: Path) -> None:
    """A dangling link can be read; stat tells what a link leads to; access never raises."""
    (tmp_path / "f").write_text("abc")
    (tmp_path / "to").symlink_to("f")
    (tmp_path / "ns").symlink_to("net:[1]")
    assert host.readlink("/ns") == "net:[1]"
    assert host.stat("/to").inode == os.stat(tmp_path / "f").st_ino
    assert host.stat("/to").size == 3
    assert (host.access("/to"), host.access("/ns"), host.access("/nowhere")) == (True, False, False)
