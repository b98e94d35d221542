"""The command: options, exit codes, signals and --once, as a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from exporter.address import bind
from exporter.options import parser, route_prefix
from inspector.kernel.namespaces import INITIAL
from tests.fakehost import FakeHost
from tests.testbed.commands import REPOSITORY

TRIES = 20
COMMAND = (sys.executable, "-m", "exporter.cli")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False, timeout=120)


@contextmanager
def started(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start the command on a free port; gives the process and its base URL, and kills it if it still runs."""
    command = [*COMMAND, "--web.listen-address=127.0.0.1:0", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            line = process.stderr.readline()
            match = re.search(r"metrics at (http://127\.0\.0\.1:\d+)/", line)
            assert match, line
            yield process, match[1]
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--web.listen-address=10071"], "'10071' is not HOST:PORT"),
        (["--web.listen-address=127.0.0.1:99999"], "99999 is not a port"),
        (["--web.telemetry-path=metrics"], "'metrics' is not a path"),
        (["--web.telemetry-path=/"], "'/' is not a path"),
        (["--web.telemetry-path=/{x}"], "'/{x}' is not a path"),
        (["--web.max-requests=-1"], "'-1' is not a number from 0"),
        (["--web.max-requests=\u0661"], "'\u0661' is not a number from 0"),
        (["--web.telemetry-path=/ui/x"], "'/ui/x' is not a path"),
        (["--web.external-url=example.org/x"], "'example.org/x' is not a URL"),
        (["--web.external-url=https://u:secret@example.org/"], "is not a URL"),
        (["--web.external-url=https://example.org:x/"], "is not a URL"),
        (["--web.external-url=https://example.org/a%20b"], "'/a%20b' is not a path that can be a prefix"),
        (["--web.route-prefix=/a//b"], "'/a//b' is not a path that can be a prefix"),
        (["--web.route-prefix=/a/../b"], "'/a/../b' is not a path that can be a prefix"),
        (["--web.config=x"], "unrecognized arguments"),
        (["--log.format=xml"], "invalid choice: 'xml'"),
        (["--path.procfs=/no/such"], "'/no/such' is not a directory"),
        (["--path.rootfs=/dev/null"], "'/dev/null' is not a directory"),
        (["--log.level=loud"], "invalid choice: 'loud'"),
        (["--no-such-option"], "unrecognized arguments"),
    ],
)
def test_a_wrong_option_is_one_line_and_2(arguments: list[str], complaint: str) -> None:
    """Each wrong option is named on a single line of standard error; nothing is started."""
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "prefix"),
    [
        ((), ""),
        (("--web.external-url=https://example.org",), ""),
        (("--web.external-url=https://example.org:8443/a/b/",), "/a/b"),
        (("--web.external-url=http://[::1]:9/a", "--web.route-prefix=/"), ""),
        (("--web.external-url=http://example.org/a", "--web.route-prefix=b/"), "/b"),
        (("--web.route-prefix=/a/b",), "/a/b"),
    ],
)
def test_the_prefix_of_all_endpoints(arguments: tuple[str, ...], prefix: str) -> None:
    """As Prometheus defines it: --web.route-prefix, or else the path of --web.external-url."""
    assert route_prefix(parser().parse_args(arguments)) == prefix


def test_a_port_in_use_is_one_line_and_1() -> None:
    """A port that another program has is named, without a traceback."""
    with bind("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        done = run(f"--web.listen-address=127.0.0.1:{port}")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert f"cannot listen on '127.0.0.1', port {port}: Address already in use\n" in done.stderr


def test_a_host_that_cannot_be_had_is_one_line_and_1() -> None:
    """A name that is none, and an address that is not this machine's, are said in one line."""
    for address in ("no-such-host.invalid:1", "a..b:1", f"{'x' * 99}:1", "192.0.2.1:10071"):
        done = run(f"--web.listen-address={address}")
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert "cannot listen on" in done.stderr


def test_version_and_help() -> None:
    """--version says name and version; --help names every option."""
    assert re.fullmatch(r"cgscope-exporter \S+\n", run("--version").stdout)
    text = run("--help").stdout
    options = """web.listen-address web.systemd-socket web.config.file web.telemetry-path web.external-url
    web.route-prefix web.max-requests web.disable-exporter-metrics path.procfs path.sysfs path.rootfs
    log.level log.format once"""
    assert [option for option in options.split() if f"--{option}" not in text] == []


def test_once_on_a_machine_that_cannot_be_read(tmp_path: Path) -> None:
    """Below an empty directory there is no /proc: the rest of the page is written, and the exit code is 1.

    node_exporter's textfile collector has a process_cpu_seconds_total of its own, so ours is not in it.
    """
    done = run("--once", f"--path.rootfs={tmp_path}", "--log.level=warning")
    assert done.returncode == 1
    assert 'cgscope_scrape_collector_success{collector="containers"} 0\n' in done.stdout
    assert "process_cpu_seconds_total" not in done.stdout
    assert "the collector 'containers' failed: " in done.stderr
    assert "Traceback" not in done.stderr


def test_once_with_a_reader_that_has_enough(tmp_path: Path) -> None:
    """`--once | head -1` is no failure and no complaint; a full disk is one line and 1."""
    FakeHost(tmp_path, "v2")
    command = [*COMMAND, "--once", f"--path.rootfs={tmp_path}", "--log.level=error"]
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write), open("/dev/full", "wb") as full:
        left, refused = (
            subprocess.run(command, stdout=output, stderr=subprocess.PIPE, text=True, check=False, timeout=120)
            for output in (write, full)
        )
    assert (left.returncode, left.stderr) == (0, "")
    assert (refused.returncode, refused.stderr) == (1, "cgscope-exporter: standard output: No space left on device\n")


def test_a_procfs_of_another_pid_namespace_is_warned_of(tmp_path: Path) -> None:
    """Where PIDs are not ours, nobody is found in the cgroups: it says so, and how to start it instead."""
    FakeHost(tmp_path, "v2")
    done = run("--once", f"--path.procfs={tmp_path}/proc", f"--path.sysfs={tmp_path}/sys")
    assert done.returncode == 0
    assert re.search(r"level=WARN .*another PID namespace.*--pid host.*hostPID: true", done.stderr)


def test_a_missing_root_is_warned_of(tmp_path: Path) -> None:
    """In a container with the machine's /proc and not its /, names and images are missing: it says what to give."""
    FakeHost(tmp_path, "v2")
    paths = f"--path.procfs={tmp_path}/proc", f"--path.sysfs={tmp_path}/sys", f"--path.rootfs={tmp_path}"
    without, whole = (run("--once", *paths[:count]).stderr for count in (2, 3))
    warning = r"level=WARN .*--path\.procfs without --path\.rootfs: names and images"
    assert [len(re.findall(warning, one)) for one in (without, whole)] == [1, 0]


def test_a_missing_sys_is_warned_of_once(tmp_path: Path) -> None:
    """Without the machine's /sys there are no cgroups: one line says what to do, and what /proc tells is there."""
    FakeHost(tmp_path / "machine", "v1").process(4242, "nginx", namespaces={"pid": 4026532001, "mnt": 4026532002})
    (tmp_path / "empty").mkdir()
    whole, done = (run("--once", f"--path.rootfs={tmp_path}/machine", *more)
                   for more in ((), (f"--path.sysfs={tmp_path}/empty",)))  # fmt: skip
    warning = r"level=WARN .*no cgroup of the machine.*--path\.sysfs"
    assert [len(re.findall(warning, one.stderr)) for one in (whole, done)] == [0, 1]
    assert len(done.stderr.splitlines()) == len(whole.stderr.splitlines()) + 1
    assert done.returncode == 0
    assert re.search(r'^container_last_seen\{.*name="nginx-4242"', done.stdout, re.MULTILINE)
    assert 'cgscope_scrape_collector_success{collector="memory"} 1\n' in done.stdout


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_with_0(signum: signal.Signals, tmp_path: Path) -> None:
    """SIGTERM and SIGINT, while it serves, end it with exit code 0 and no traceback."""
    with started(f"--path.rootfs={tmp_path}") as (process, url):
        with urlopen(f"{url}/healthz", timeout=60) as answer:  # noqa: S310  our own http://127.0.0.1
            assert answer.read() == b"ok\n"
        process.send_signal(signum)
        assert process.wait(60) == 0
        assert process.stderr
        assert "Traceback" not in process.stderr.read()


# Serves, and has another thread get SIGTERM once the event loop sleeps again; it stays, so that its end wakes nobody.
IN_ANOTHER_THREAD = """
import os, signal, socket, threading, time
from exporter.address import bind
from exporter.reload import WebConfigFile
from exporter.server import serve

def get(address):
    with socket.create_connection(address) as client:
        client.sendall(b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
        client.recv(1000)
        time.sleep(0.5)
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        time.sleep(600)

with bind("127.0.0.1", 0) as sock:
    threading.Thread(target=get, args=[sock.getsockname()], daemon=True).start()
    serve(None, [sock], WebConfigFile(None), lambda: None)
os._exit(0)
"""


def test_a_signal_that_another_thread_gets_stops_it() -> None:
    """The kernel gives one that is sent to the process to whichever it likes; the event loop is woken all the same."""
    done = subprocess.run([sys.executable, "-c", IN_ANOTHER_THREAD], check=False, timeout=60, cwd=REPOSITORY)
    assert done.returncode == 0


@pytest.mark.parametrize(("pid_ns", "warned"), [(INITIAL["pid"], False), (4026532001, True)])
def test_it_warns_when_it_sees_a_container_alone(tmp_path: Path, pid_ns: int, *, warned: bool) -> None:
    """In a container with a /proc of its own it says so at its start, and what to give it."""
    FakeHost(tmp_path, "v2").process(1, "init", ppid=0, namespaces={"pid": pid_ns})
    command = [*COMMAND, "--web.listen-address=127.0.0.1:0", f"--path.rootfs={tmp_path}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            line = next(line for line in process.stderr if "metrics at" in line)
            with urlopen(re.findall(r"http://\S+/", line)[0], timeout=60):  # noqa: S310  our own http://127.0.0.1
                pass  # by now all is said
            process.terminate()
            said = process.stderr.read()
            process.wait(60)
        finally:
            process.kill()
    assert bool(re.search(r"level=WARN .*runs in a container, and sees no more.*--path\.procfs", said)) is warned


def test_it_warns_when_others_can_reach_it(tmp_path: Path) -> None:
    """Listening beyond loopback without authentication is warned of; loopback is not."""
    command = [*COMMAND, "--web.listen-address=0.0.0.0:0", f"--path.rootfs={tmp_path}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            assert "metrics at http://0.0.0.0:" in process.stderr.readline()
            assert re.search("level=WARN .* no authentication", process.stderr.readline())
            process.terminate()
            assert process.wait(60) == 0
        finally:
            process.kill()


def test_it_sleeps_while_nobody_asks(tmp_path: Path) -> None:
    """After a request, the exporter's main thread does not wake up once in a second."""
    with started(f"--path.rootfs={tmp_path}") as (process, url):
        status = Path(f"/proc/{process.pid}/status")

        def switches() -> int:
            match = re.search(r"^voluntary_ctxt_switches:\t(\d+)$", status.read_text(), re.MULTILINE)
            assert match
            return int(match[1])

        with urlopen(f"{url}/metrics", timeout=60) as answer:  # noqa: S310  our own http://127.0.0.1
            assert "GMT" in answer.headers["Date"]
        for _ in range(TRIES):  # what the request began may not have ended yet
            before = switches()
            time.sleep(1)
            if (after := switches()) == before:
                break
        assert after == before
