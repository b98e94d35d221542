"""Boot Debian's kernel with this machine's files as its root, and run the tests marked `vm` in it.

`python -m tests.vm.run [PYTEST ARGUMENTS]`. One boot for all tests. The guest
sees the checkout read-only over 9p, so everything the tests write goes to
tmpfs. virtme-ng's own exit code cannot tell a test failure from a guest that
never came up, so the guest says both itself: a line when it is up, and a
line with pytest's exit code. No such line is a failure.

The exit code is pytest's; 1 when the guest did not get that far. Where qemu
or the kernel is missing the run is skipped, except in CI, where that fails.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NoReturn

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GUEST = os.path.join(REPOSITORY, "tests", "vm", "guest.sh")
UP = "cgscope-vm: up"
DONE = "cgscope-vm: pytest exited with "
TIMEOUT_SECONDS = 2700  # emulated, beside the tests on this kernel
SILENT_SECONDS = 600  # far longer than the tests of any file take: an emulated machine has been seen to stand still
KVM_SECONDS = 60  # to come up with KVM, which takes ten; where KVM is offered and does nothing, it never does
MEMORY = "2G"
UNUSED = {"mypy", "mypyc", "pip", "setuptools", "test", "idlelib", "tkinter", "lib2to3", "ensurepip"}


@dataclass
class Result:
    """What the guest said of itself: whether it came up, and how pytest ended (None: it never said).

    `stands_still`: it was up, and then nothing was heard of it any more.
    """

    up: bool = False
    code: int | None = None
    stands_still: bool = False

    def take(self, line: str) -> bool:
        """Read one line of the guest's output; True when it is one of ours, and not for the screen."""
        text = line.strip()
        if text == UP:
            self.up = True
        elif text.startswith(DONE) and text[len(DONE) :].isdigit():
            self.code = int(text[len(DONE) :])
        else:
            return False
        return True


def newest_kernel(directory: str = "/boot") -> str | None:
    """Return the newest of Debian's full kernels: the cloud flavour has no 9p."""
    kernels = [path for path in glob.glob(f"{glob.escape(directory)}/vmlinuz-*-amd64") if "-cloud-" not in path]
    return max(kernels, key=lambda path: [int(n) for n in re.findall(r"\d+", os.path.basename(path))], default=None)


def missing() -> list[str]:
    """Return what a virtual machine needs and is not here."""
    lacks = [tool for tool in ("vng", "qemu-system-x86_64") if shutil.which(tool) is None]
    return lacks + ([] if newest_kernel() else ["/boot/vmlinuz-*-amd64 (linux-image-amd64)"])


def pack(archive: str) -> None:
    """Write what Python reads at every start into one file, by its absolute paths.

    Each import looks at dozens of files, and over 9p each look is a round
    trip to the host: the guest unpacks this into memory, which makes a start
    several times faster.
    """
    stdlib = sysconfig.get_path("stdlib")
    paths = {stdlib, sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    paths |= {os.path.join(REPOSITORY, name) for name in ("inspector", "exporter", "sandbox", "tests")}

    def needed(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        """Leave out the bulk of what no test in the guest imports, and the base Python's own site-packages."""
        name = os.path.basename(member.name)
        foreign = f"/{member.name}" in (f"{stdlib}/site-packages", f"{stdlib}/dist-packages")
        # A process that was kept on this kernel is for this kernel (sandbox/snapshot.py).
        unused = name in UNUSED or "__mypyc" in name or name.startswith(("config-3", "kept_start.cpython"))
        return None if foreign or unused else member

    with Archive.open(archive, "w") as tar:
        for path in sorted(paths):
            tar.add(path, filter=needed)


class Archive(tarfile.TarFile):
    """An archive of what there is: byte code that the tests beside us write has another name before it is whole."""

    def add(
        self,
        name: str | os.PathLike[str],
        arcname: str | os.PathLike[str] | None = None,
        recursive: bool = True,
        *,
        filter: Callable[[tarfile.TarInfo], tarfile.TarInfo | None] | None = None,  # noqa: A002  tarfile's
    ) -> None:
        """Add a file, or a directory with all that is in it; nothing where it is gone by now."""
        with contextlib.suppress(FileNotFoundError):
            super().add(name, arcname, recursive, filter=filter)


def command(kernel: str, archive: str, arguments: list[str], *, kvm: bool) -> list[str]:
    """Return the command that boots the kernel and runs the guest's script."""
    strict = ["env", f"CI={os.environ['CI']}"] if "CI" in os.environ else []
    script = shlex.join([*strict, "sh", GUEST, sys.executable, archive, *arguments])
    line = ["vng", "-r", kernel, "-m", MEMORY, "--user", "root", "--cwd", REPOSITORY, "-a", "psi=1"]
    return [*line, *([] if kvm else ["--disable-kvm"]), "--", script]


def boot(line: list[str], up_within: float = TIMEOUT_SECONDS) -> Result:
    """Run the virtual machine, pass its output on, and return what it said of itself; seconds it has to come up."""
    result = Result()
    boot_messages: deque[str] = deque(maxlen=20)
    # A session of its own, so that vng, virtme-run and qemu can be ended together.
    with subprocess.Popen(
        line,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as machine:
        timers = [threading.Timer(seconds, end, [machine]) for seconds in (TIMEOUT_SECONDS, up_within)]

        def give_up() -> None:
            result.stands_still = True
            end(machine)

        try:
            for timer in timers:
                timer.start()
            for output in machine.stdout or ():
                is_its_own = result.take(output)
                if result.up:
                    timers[-1].cancel()  # it is up, or goes on
                    timers[-1] = threading.Timer(SILENT_SECONDS, give_up)
                    timers[-1].start()
                if is_its_own:
                    continue
                if not result.up:
                    boot_messages.append(output)
                elif result.code is None:
                    print(output, end="", flush=True)
            machine.wait()
        finally:
            for timer in timers:
                timer.cancel()
            end(machine)
    if not result.up:
        print(*boot_messages, sep="", file=sys.stderr)
    return result


def end(machine: subprocess.Popen[str]) -> None:
    """Kill what is left of the virtual machine; nothing when it has ended."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(machine.pid, signal.SIGKILL)


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end us as Ctrl-C does: the machine has a session of its own, and nobody else ends it."""

    def leave(number: int, _: object) -> NoReturn:
        sys.exit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main(arguments: list[str]) -> int:
    """Run the tests in the guest; return the exit code."""
    os.environ["PATH"] = os.path.dirname(sys.executable) + ":" + os.environ["PATH"]
    lacks = missing()
    if lacks:
        print("No tests on cgroup v2: missing here:", ", ".join(lacks), file=sys.stderr)
        return 1 if os.environ.get("CI") else 0
    kernel = newest_kernel()
    assert kernel is not None
    # A machine may offer /dev/kvm and yet boot no guest with it (nested virtualization), so a failure to come up
    # with it is no failure yet.
    attempts = [True, False, False] if os.access("/dev/kvm", os.R_OK | os.W_OK) else [False, False]
    result = Result()
    with ended_by_signals(), tempfile.TemporaryDirectory(prefix="cgscope-vm-") as directory:
        os.environ["TMPDIR"] = directory  # of virtme-run too, which leaves its file there when it is ended
        archive = os.path.join(directory, "python.tar")
        pack(archive)
        for kvm in attempts:
            print(f"== {os.path.basename(kernel)} in a virtual machine{'' if kvm else ', emulated'} ==", flush=True)
            result = boot(command(kernel, archive, arguments, kvm=kvm), KVM_SECONDS if kvm else TIMEOUT_SECONDS)
            if result.up and not result.stands_still:
                break
            if result.stands_still:
                print(f"Nothing was heard of it for {SILENT_SECONDS} s.", flush=True)
    if result.code is None:
        how = "ended before its tests did" if result.up else "did not come up"
        print(f"The virtual machine {how} (at most {TIMEOUT_SECONDS} s).", file=sys.stderr)
        return 1
    return result.code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
