"""What the systemd unit forbids is nothing that the exporter does: its system calls, traced, against the unit.

There is no systemd to run the unit here. So the exporter is traced from its
start to its end, scrapes included, and each rule of the unit is applied to
what it did.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tests.testbed.commands import EXPORTER, REPOSITORY, run
from tests.testbed.processes import children
from tests.testbed.tools import need

UNIT = Path(REPOSITORY, "exporter", "deploy", "cgscope-exporter.service")
CALL = re.compile(r"^(?:\d+ +)?([a-z_0-9]+)\((.*)$", re.MULTILINE)
PATIENCE = 60.0
PATHS = ("/metrics", "/api/v1/containers?interval=0.1", "/healthz", "/", "/ui/")


def setting(name: str) -> list[str]:
    """Return the values of a setting of the unit, in their order."""
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)


def group(name: str) -> set[str]:
    """Return the system calls of one of systemd's groups, those of the groups in it as well."""
    calls = set()
    for line in run(["systemd-analyze", "syscall-filter", name]).stdout.splitlines()[1:]:
        word = line.strip()
        if word and not word.startswith("#"):
            calls |= group(word) if word.startswith("@") else {word}
    return calls


def allowed() -> set[str]:
    """Return the system calls that the unit's filter lets through; execve and exit are always among them."""
    calls: set[str] = set()
    for words in setting("SystemCallFilter"):
        named = {call for word in words.lstrip("~").split() for call in group(word)}
        calls = calls - named if words.startswith("~") else calls | named
    return calls


@pytest.fixture(scope="module", name="trace")
def trace_fixture(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Trace an exporter that starts, answers on each of its paths, also compressed, and stops at SIGTERM."""
    need("strace", "systemd-analyze")
    directory = tmp_path_factory.mktemp("trace")
    log, output = directory / "log", directory / "strace"
    command = ["strace", "--follow-forks", "--seccomp-bpf", f"--output={output}", "--signal=none",
               "--trace=!openat,read,pread64,close,fstat,newfstatat,readlink,lseek,getdents64", "--",
               *EXPORTER, "--web.listen-address=127.0.0.1:0"]  # fmt: skip
    with log.open("wb") as file, subprocess.Popen(command, cwd=REPOSITORY, stderr=file) as strace:
        try:
            deadline = time.monotonic() + PATIENCE
            while not (match := re.search(r"http://127\.0\.0\.1:\d+", log.read_text())):
                assert strace.poll() is None
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            for path in PATHS:
                request = Request(match[0] + path, headers={"Accept-Encoding": "gzip"})  # noqa: S310
                with urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310
                    assert answer.status == 200
            os.kill(children(strace.pid)[0], signal.SIGTERM)
            assert strace.wait(PATIENCE) == 0
        finally:
            strace.kill()
    return output.read_text(errors="replace")


def test_the_filter_allows_every_call(trace: str) -> None:
    """Each system call that the exporter makes passes SystemCallFilter."""
    calls = {name for name, _ in CALL.findall(trace)}
    assert {"socket", "bind", "listen", "epoll_wait", "mmap"} <= calls
    assert calls - allowed() == set()
    assert {"mount", "ptrace", "bpf", "setuid", "chroot"} & allowed() == set()


def test_the_families_are_enough(trace: str) -> None:
    """Each socket is of a family that RestrictAddressFamilies names."""
    families = {arguments.split(",")[0] for name, arguments in CALL.findall(trace) if name in ("socket", "socketpair")}
    assert "AF_INET" in families
    assert families <= set(setting("RestrictAddressFamilies")[0].split())


def test_no_memory_is_written_and_run(trace: str) -> None:
    """No mapping is writable and executable, and none becomes executable later: MemoryDenyWriteExecute refuses both."""
    calls = CALL.findall(trace)
    assert not [line for name, line in calls if name == "mmap" and "PROT_WRITE|PROT_EXEC" in line]
    assert not [line for name, line in calls if "mprotect" in name and "PROT_EXEC" in line]


def test_it_makes_no_namespaces_and_no_set_uid_files(trace: str) -> None:
    """RestrictNamespaces, RestrictSUIDSGID and RestrictRealtime forbid nothing that it does."""
    calls = CALL.findall(trace)
    assert not [line for name, line in calls if name.startswith("clone") and "CLONE_NEW" in line]
    assert {name for name, _ in calls} & {"unshare", "setns", "sched_setscheduler", "chmod", "fchmodat"} == set()
