"""A real Docker daemon for tests: private directories, no network, nothing left when it is closed."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator
from typing import Self

from tests.testbed import leaks
from tests.testbed.commands import Completed, run

IMAGE = "busybox"
START_SECONDS = 180.0  # an emulated machine takes most of a minute
STOP_SECONDS = 120.0


class Docker:
    """`docker` with a daemon below one directory, which has more `options`; a context manager starts and stops it."""

    def __init__(self, directory: str, *options: str) -> None:
        self.directory = directory
        self._options = options
        self.socket = f"unix://{directory}/docker.sock"
        self._daemon: subprocess.Popen[bytes] | None = None

    def __call__(self, *arguments: str, check: bool = True, timeout: float = 180) -> Completed:
        """Run `docker ARGUMENTS` against this daemon."""
        return run(["docker", "-H", self.socket, *arguments], check=check, timeout=timeout)

    @contextlib.contextmanager
    def running(self, name: str, *arguments: str, network: str = "none") -> Iterator[str]:
        """Start a container in the background and give its id; it is removed at the end, however that comes."""
        try:
            yield self("run", "-d", "--name", name, "--network", network, *arguments).stdout.strip()
        finally:
            self("rm", "-f", "-v", name, check=False)

    def pid(self, name: str) -> int:
        """Return the PID of a container's first process, on this machine."""
        return int(self("inspect", "-f", "{{.State.Pid}}", name).stdout)

    def __enter__(self) -> Self:
        self._cgroups_before = leaks.take().cgroups
        try:
            self._start_daemon()
            self._import_image()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            for container in self("ps", "-aq", check=False, timeout=120).stdout.split():
                self("rm", "-f", container, check=False, timeout=120)
        if self._daemon is not None:
            self._daemon.send_signal(signal.SIGTERM)
            try:
                self._daemon.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._daemon.kill()
                self._daemon.wait()
        self._tidy()

    def _start_daemon(self) -> None:
        below = self.directory
        command = ["dockerd", "--data-root", f"{below}/data", "--exec-root", f"{below}/exec", "-H", self.socket]
        command += ["-p", f"{below}/pid", "--iptables=false", "--ip6tables=false", "--ip-forward=false"]
        command += ["--bridge=none", "--exec-opt", "native.cgroupdriver=cgroupfs", *self._options]
        with open(f"{below}/log", "wb") as log:
            self._daemon = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + START_SECONDS
        while self("version", check=False).returncode != 0:
            if self._daemon.poll() is not None or time.monotonic() > deadline:
                with open(f"{below}/log", encoding="utf-8", errors="replace") as log_file:
                    raise AssertionError(f"dockerd did not start:\n{log_file.read()[-3000:]}")
            time.sleep(0.2)

    def _import_image(self) -> None:
        busybox = shutil.which("busybox")
        assert busybox is not None
        archive = f"{self.directory}/image.tar"
        with tarfile.open(archive, "w") as tar:
            tar.add(busybox, "bin/busybox")
            for applet in ("sh", "sleep", "true", "cat", "tail"):
                link = tarfile.TarInfo(f"bin/{applet}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
        self("import", archive, IMAGE)

    def _tidy(self) -> None:
        """Remove what a stopped daemon leaves: its mounts below the directory, and its cgroups."""
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            mounts = [line.split()[4] for line in file]
        for mount in sorted((m for m in mounts if m.startswith(self.directory + "/")), reverse=True):
            subprocess.run(["umount", mount], check=False)
        leaks.remove_cgroups(one for one in leaks.take().cgroups - self._cgroups_before if "/docker" in one)
        shutil.rmtree(self.directory, ignore_errors=True)
