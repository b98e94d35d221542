"""A real rootless Podman: containers of the user `nobody`, in private directories, removed when its context ends."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator

from tests.testbed.commands import Completed, run
from tests.testbed.processes import until
from tests.testbed.runtimes import IMAGE, make_root, tidied
from tests.testbed.tools import need

USER, GROUP = "nobody", "nogroup"
LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")


class Rootless:
    """`podman` as an ordinary user without subordinate ids, on fuse-overlayfs or on the kernel's overlay."""

    def __init__(self, below: str, *, fuse: bool) -> None:
        self.below = below
        self.store = f"{below}/data/containers/storage"
        options = ["overlay.ignore_chown_errors=true", *(["overlay.mount_program=/usr/bin/fuse-overlayfs"] * fuse)]
        self._podman = ["podman", "--log-level", "error", "--events-backend", "none", "--storage-driver", "overlay"]
        self._podman += [word for option in options for word in ("--storage-opt", option)]
        self._podman += ["--runtime", "runc", "--cgroup-manager", "cgroupfs"]
        self.env = {**os.environ, "HOME": below, "XDG_RUNTIME_DIR": f"{below}/run",
                    "XDG_DATA_HOME": f"{below}/data", "XDG_CONFIG_HOME": f"{below}/config"}  # fmt: skip

    def __call__(self, *arguments: str, check: bool = True) -> Completed:
        """Run `podman ARGUMENTS` as that user."""
        words = ["setpriv", f"--reuid={USER}", f"--regid={GROUP}", "--clear-groups"]
        # What Podman keeps to hold its namespaces open changes into the directory it was started from.
        return run([*words, "env", "-C", self.below, *self._podman, *arguments], check=check, env=self.env)

    def start(self, name: str, *command: str) -> None:
        """Start a container without network in the background."""
        self("run", "-d", "--name", name, "--network", "none", *LIMITS, IMAGE, *command)

    def inside(self, *command: str) -> str:
        """Run a command where the user's mounts are seen; return what it prints."""
        return self("unshare", *command).stdout


@contextlib.contextmanager
def rootless(*, fuse: bool) -> Iterator[Rootless]:
    """Give a Podman with an image of busybox."""
    need("podman", "runc", "conmon", "setpriv", *(["fuse-overlayfs"] if fuse else []))
    with tempfile.TemporaryDirectory(prefix="rootless") as below, tidied("libpod_parent", "libpod-"):
        os.chmod(below, 0o755)  # noqa: S103  the user has to get through
        os.makedirs(f"{make_root(f'{below}/root')}/srv/app/old")
        run(["tar", "-C", f"{below}/root", "-cf", f"{below}/root.tar", "."])
        shutil.rmtree(f"{below}/root")
        for name in ("run", "data", "config"):
            os.mkdir(f"{below}/{name}", 0o700)
            shutil.chown(f"{below}/{name}", USER, GROUP)
        shutil.chown(below, USER, GROUP)
        podman = Rootless(below, fuse=fuse)
        try:
            podman("import", "-q", f"{below}/root.tar", IMAGE)
            yield podman
        finally:
            podman("rm", "-a", "-f", "-t", "0", check=False)
            until(lambda: not _ended(below), "Podman's processes to end")


def _ended(below: str) -> list[int]:
    """Kill what Podman leaves running in a home, and return it: a clean-up, and what holds the namespaces open."""
    home, found = f"HOME={below}".encode(), []
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
            if home in file.read().split(b"\0"):
                os.kill(pid, signal.SIGKILL)
                found.append(pid)
    return found
