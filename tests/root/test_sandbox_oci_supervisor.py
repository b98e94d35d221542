"""`sandbox oci` with SCMP_ACT_NOTIFY: a supervisor, written here from seccomp_unotify(2), answers for calls."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import select
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest

from sandbox import channel, conversation, syscalls
from sandbox.errors import SandboxError
from tests.root import sandboxing
from tests.root.bundles import PATIENCE, Runtime, create

pytestmark = pytest.mark.root

# linux/seccomp.h: SECCOMP_IOCTL_NOTIF_RECV and _SEND, struct seccomp_notif and seccomp_notif_resp.
RECEIVE, SEND = 0xC0502100, 0xC0182101
ASKED, ANSWER = "=QIIiI7Q", "=QqiI"
CONTINUE = 1
MKDIR = {"x86_64": (83, 258), "aarch64": (34,)}[os.uname().machine]


class Supervisor:
    """Answers "no medium" for mkdir, lets everything else go on, and keeps what it was told of each process."""

    def __init__(self, path: str) -> None:
        self.told: list[dict[str, Any]] = []
        self.calls: list[int] = []
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._server.bind(path)
        self._server.listen()
        self._server.settimeout(0.1)
        self._stopped = False
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        """Hear of no more processes; calls that are asked about get ENOSYS."""
        self._stopped = True
        for thread in self._threads:
            thread.join()
        self._server.close()

    def _accept(self) -> None:
        while not self._stopped:
            try:
                peer, _ = self._server.accept()
            except TimeoutError:
                continue
            with peer:
                data, [fd], _, _ = socket.recv_fds(peer, 65536, 1)
            self.told.append(json.loads(data))
            self._threads.append(threading.Thread(target=self._answer, args=(fd,)))
            self._threads[-1].start()

    def _answer(self, fd: int) -> None:
        waiting = select.poll()
        waiting.register(fd, select.POLLIN)
        while not self._stopped:
            if not (events := waiting.poll(100)):
                continue
            if events[0][1] & select.POLLHUP:
                break
            asked = bytearray(struct.calcsize(ASKED))
            try:
                fcntl.ioctl(fd, RECEIVE, asked)
                number = struct.unpack(ASKED, asked)[3]
                self.calls.append(number)
                verdict = (-errno.ENOMEDIUM, 0) if number in MKDIR else (0, CONTINUE)
                fcntl.ioctl(fd, SEND, struct.pack(ANSWER, struct.unpack(ASKED, asked)[0], 0, *verdict))
            except FileNotFoundError:  # who asked was killed
                continue
        os.close(fd)


@pytest.fixture
def supervisor(runtime: Runtime) -> Iterator[Supervisor]:
    """Give a supervisor that the runtime's bundle names."""
    path = str(runtime.directory / "supervisor")
    made = Supervisor(path)
    runtime.set("linux", "seccomp", value={
        "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": path, "listenerMetadata": "for you",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}]})  # fmt: skip
    yield made
    runtime.close()
    made.close()


def test_a_supervisor_answers(runtime: Runtime, supervisor: Supervisor) -> None:
    """It gets the state of the specification and a filter for the first process and for each exec, and its word holds.

    Also when it is asked about what a start itself needs: read, close, execve, sendmsg.
    """
    names = ["mkdir", "mkdirat", "read", "close", "execve", "execveat", "sendmsg", "openat"]
    runtime.set("linux", "seccomp", "syscalls", value=[{"names": names, "action": "SCMP_ACT_NOTIFY"}])
    create(runtime, "asked")
    [first] = supervisor.told
    pid = runtime.state("asked")["pid"]
    assert (first["fds"], first["pid"], first["metadata"]) == (["seccompFd"], pid, "for you")
    state = first["state"]
    assert (state["id"], state["status"], state["pid"]) == ("asked", "creating", pid)
    assert (state["bundle"], state["annotations"]) == (str(runtime.bundle), {"who": "a test"})
    assert first["ociVersion"] == state["ociVersion"]
    runtime("start", "asked")
    done = runtime("exec", "asked", "sh", "-c", "busybox mkdir /new; echo $?", check=False)
    assert (done.stdout, done.stderr.strip()) == ("1\n", "mkdir: can't create directory '/new': No medium found")
    second = supervisor.told[1]
    assert (second["state"]["status"], second["state"]["pid"], second["fds"]) == ("running", pid, ["seccompFd"])
    assert second["pid"] != pid
    assert not (runtime.bundle / "rootfs/new").exists()
    assert set(MKDIR) & set(supervisor.calls)


def test_a_supervisor_that_goes(runtime: Runtime, supervisor: Supervisor) -> None:
    """Without one the call is none; a new process is refused, and the container it was for goes on."""
    create(runtime, "left")
    runtime("start", "left")
    supervisor.close()
    done = runtime("exec", "left", "true", check=False)
    path = runtime.config["linux"]["seccomp"]["listenerPath"]
    assert done.returncode == 255
    assert done.stderr.endswith(f"listenerPath {path}: failed to connect with seccomp agent: Connection refused\n")
    assert sandboxing.wait_for(lambda: len(json.loads(runtime("ps", "-f", "json", "left").stdout)) == 1, PATIENCE)
    assert runtime.state("left")["status"] == "running"


def test_a_process_that_its_filter_kills() -> None:
    """One that is gone before anybody has its filter's descriptor is an error, and is not waited for."""

    def joiner(end: channel.Channel, _: int, __: object) -> NoReturn:
        if child := os.fork():
            end.send(channel.Born(child))
            os._exit(0)
        end.expect(channel.Proceed)
        end.send(channel.Ready("program"))
        end.expect(channel.Go)
        end.send(channel.Listens(1 << 19))
        os._exit(0)

    try:
        with pytest.raises(SandboxError, match="ended under its seccomp filter"):
            conversation.launch(joiner, (), tty=False, supervise=lambda *_: None)
    finally:
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 0)


def test_a_listener_that_nobody_needs(runtime: Runtime) -> None:
    """A path without SCMP_ACT_NOTIFY is not connected to."""
    runtime.set("linux", "seccomp", value={"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/nosuch"})
    runtime.set("process", "args", value=["true"])
    assert runtime("run", "--bundle", str(runtime.bundle), "plain").stderr == ""
