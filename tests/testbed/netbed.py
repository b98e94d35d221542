"""The `sandbox` command in a network namespace of its own: what it makes there touches nothing of the machine."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator

from sandbox import syscalls
from tests.testbed.commands import SANDBOX, Completed, Sandbox, run

PATIENCE_SECONDS = 60.0


@contextlib.contextmanager
def inside(pid: int) -> Iterator[None]:
    """Be in a process's network namespace."""
    ours = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    theirs = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        syscalls.setns(theirs, syscalls.CLONE_NEWNET)
        yield
    finally:
        syscalls.setns(ours, syscalls.CLONE_NEWNET)
        os.close(ours)
        os.close(theirs)


class Namespace:
    """A network namespace that lives as long as a process of ours in it."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"], stdin=subprocess.DEVNULL)
        self.pid = self._holder.pid
        deadline = time.monotonic() + PATIENCE_SECONDS
        while os.readlink(f"/proc/{self.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
            assert time.monotonic() < deadline, "unshare --net did not come to it"
            time.sleep(0.01)
        self.run("ip", "link", "set", "lo", "up")

    @property
    def entering(self) -> list[str]:
        """Return what goes before a command that shall run in it."""
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", "--"]

    def run(self, *words: str, check: bool = True) -> Completed:
        """Run a command in it."""
        return run([*self.entering, *words], check=check)

    def inside(self) -> contextlib.AbstractContextManager[None]:
        """Be in it: sockets made meanwhile belong to it."""
        return inside(self.pid)

    def close(self) -> None:
        """Let it go."""
        self._holder.send_signal(signal.SIGKILL)
        self._holder.wait()


class NetworkBed(Sandbox):
    """`sandbox` in such a namespace; `outside` is another, a wire away, that knows no address of a container."""

    WIRE, FAR = "198.51.100.2", "198.51.100.1"

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.namespace = Namespace()
        self._outside: Namespace | None = None

    def __call__(self, *arguments: str, check: bool = True, timeout: float = 120, text: str | None = None) -> Completed:
        """Run `sandbox ARGUMENTS` in the namespace."""
        words = [*self.namespace.entering, *SANDBOX, *arguments]
        return run(words, check=check, timeout=timeout, text=text, env=self.env)

    @property
    def outside(self) -> Namespace:
        """Return the namespace at the other end of the wire, made when it is first needed."""
        if self._outside is None:
            self._outside = Namespace()
            pair = ("ip", "link", "add", "wire", "type", "veth", "peer", "name", "far", "netns", str(self._outside.pid))
            self.namespace.run(*pair)
            for namespace, link, address in (
                (self.namespace, "wire", self.WIRE),
                (self._outside, "far", self.FAR),
            ):
                namespace.run("ip", "address", "add", f"{address}/24", "dev", link)
                namespace.run("ip", "link", "set", link, "up")
            self.namespace.run("ip", "route", "add", "default", "via", self.FAR)
        return self._outside

    def httpd(self, name: str, *options: str) -> str:
        """Start a web server on port 80 in a container, with the files of its /etc; returns its address."""
        self("run", "-d", "--name", name, "--rootfs", "/", *options, "busybox", "httpd", "-f", "-p", "80", "-h", "/etc")
        return str(self.inspect(name)["NetworkSettings"]["IPAddress"])

    def get(self, address: str, port: int, path: str = "/hostname") -> str:
        """Return what a web server answers, from inside the namespace; it gets some time to begin."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return self._get(address, port, path)
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def _get(self, address: str, port: int, path: str) -> str:
        with self.namespace.inside(), socket.create_connection((address, port), timeout=PATIENCE_SECONDS) as client:
            client.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            answer = b""
            while chunk := client.recv(65536):
                answer += chunk
        if not answer.startswith(b"HTTP/"):
            raise ConnectionError(f"no answer: {answer!r}")
        return answer.partition(b"\r\n\r\n")[2].decode()

    def links(self) -> set[str]:
        """Return the interfaces of the namespace that are ours."""
        with self.namespace.inside():
            return {name for _, name in socket.if_nameindex() if name.startswith("cg")}

    def tables(self) -> str:
        """Return the nft tables of the namespace."""
        return self.namespace.run("nft", "list", "tables").stdout

    def close(self) -> None:
        """Remove every container, and the namespaces."""
        if containers := self("ps", "-aq", check=False).stdout.split():
            with contextlib.suppress(subprocess.TimeoutExpired):
                self("rm", "-f", *containers, check=False)
        for namespace in (self._outside, self.namespace):
            if namespace is not None:
                namespace.close()
