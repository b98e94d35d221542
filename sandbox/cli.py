"""`sandbox`: Docker's verbs, flags, exit codes and columns, for containers made of the kernel's own files.

VERBS names the module of sandbox.commands in which each verb is; what a verb
needs is imported in it, as starting a container is measured in milliseconds.
"""

from __future__ import annotations

import errno
import gc
import os
import sys
from collections.abc import Sequence

from sandbox.errors import SandboxError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["VERBS", "command", "main"]

# A start has no garbage to look for: with Python's 700 looking takes a twelfth of it, and a fork's pages with it.
YOUNG_OBJECTS = 100_000
VERBS = {
    "run": "running",
    "create": "starting",
    "start": "starting",
    "restart": "starting",
    "attach": "starting",
    "wait": "ending",
    "rename": "keeping",
    "prune": "keeping",
    "top": "watching",
    "stats": "watching",
    "events": "watching",
    "info": "about",
    "version": "about",
    "pause": "ending",
    "unpause": "ending",
    "exec": "executing",
    "ps": "listing",
    "logs": "listing",
    "inspect": "listing",
    "port": "networks",
    "network": "networks",
    "stop": "ending",
    "kill": "ending",
    "rm": "ending",
    "update": "updating",
    "load": "image_archives",
    "save": "image_archives",
    "import": "image_archives",
    "images": "images",
    "image": "images",
    "history": "images",
    "tag": "images",
    "rmi": "images",
    "volume": "volumes",
    "diff": "copying",
    "cp": "copying",
    "export": "copying",
    "rootfs": "files",
    "system": "system",
    "oci": "oci",
    "enter": "any_process",
    "freeze": "any_process",
    "thaw": "any_process",
    "limit": "any_process",
}
# Docker's verbs that are none here, and why: who knows Docker types them.
BY_ARCHIVE = "images come from archives: see sandbox load and sandbox import"
ABSENT = {
    "build": f"images are not built here; {BY_ARCHIVE}",
    "commit": "images are not made of containers: see sandbox diff, export and import",
    **dict.fromkeys(("pull", "push", "login", "logout", "search"), f"there is no registry here; {BY_ARCHIVE}"),
}
USAGE = """\
Usage: sandbox [--root DIR] COMMAND ...

  run      start a program in a new container
  create   make a container, to be started later
  start    start containers that were created or have ended
  restart  stop containers and start them again
  attach   show the output of a container in the background, and type into it
  wait     wait until containers have ended, and print their exit codes
  pause    stop all processes of containers
  unpause  let them go on
  exec     run one more program in a running container
  ps       list containers
  logs     show what a detached container has said
  stop     ask a container to end, then make it
  kill     send a signal to a container
  rm       remove containers
  inspect  show all that is known of a container, as JSON
  rename   give a container another name
  prune    remove all containers that do not run
  top      show the processes of a container
  stats    show what containers use (ctop)
  events   show what happens to containers
  system   df, prune: what images, containers and volumes take on the disk
  info     show how many there are, and what this machine has
  version  show the versions of the sandbox, Python and the kernel
  port     show where the ports of a container are published
  network  create, ls, inspect, connect, disconnect, rm, prune: networks of containers
  update   change the limits of containers, running or not
  diff     show what a container changed in its root filesystem
  cp       copy files between a container and this machine
  export   write a container's files as an archive
  volume   create, ls, inspect, rm, prune

  load     bring in images from an archive of `docker save`, or an OCI layout
  save     write images as an archive, for us and for Docker
  import   make an image of a root filesystem's archive
  images   list images
  image    ls, inspect, rm, tag, history, prune
  history  show the steps that an image was made in
  tag      give an image one more name
  rmi      remove images
  rootfs   copy DEST BIN...: programs and their libraries, as a root filesystem
  oci      the OCI runtime command line, for Docker, containerd and Podman

Of any process, whoever made its container:
  enter    run a program, or a shell, in its cgroups and namespaces
  freeze   stop all processes of its container
  thaw     let them go on
  limit    tell or change its limits of CPU, memory and tasks

`sandbox COMMAND --help` tells more; `sandbox container COMMAND` is the same, and `container ls` is ps.
Containers are kept in /var/lib/cgscope, $CGSCOPE_ROOT or --root;
without root in $XDG_DATA_HOME/cgscope.
"""


def command(argv: Sequence[str] | None = None) -> NoReturn:
    """Be the console script: main(), and an end at once.

    Python would first take apart all that it holds, a sixth of a start's CPU time; the kernel takes it whole.
    """
    code = main(argv)
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        if code == 0:  # otherwise it was said already
            _complain(SandboxError(f"standard output: {error.strerror}"))
            code = 1
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
    except OSError:  # what was to be said there nobody hears: it was no more than a warning
        pass
    if finding := sys.modules.get("sandbox.finding"):
        finding.keep()
    os._exit(code)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code of the program in the container, or 125, 126, 127, 1."""
    words = list(sys.argv[1:] if argv is None else argv)
    gc.set_threshold(YOUNG_OBJECTS)
    try:
        _open_standard_streams()
        return _dispatch(words)
    except (SandboxError, OSError) as error:
        _complain(error)
        return error.exit_code if isinstance(error, SandboxError) else _code(words)
    except KeyboardInterrupt:
        return 130
    except SystemExit as end:  # argparse's, when it has shown its help
        return int(end.code or 0)


def _code(words: Sequence[str]) -> int:
    """Return the exit code of what the kernel refuses: with Docker the daemon's fault, 1 of all verbs but `run`.

    `enter` has its program's codes, as `run` has.
    """
    verb = words[1:2] if words[:1] == ["container"] else words[:1]
    return SandboxError.exit_code if verb in (["run"], ["enter"]) else 1


def _complain(error: SandboxError | OSError) -> None:
    from sandbox.commands.output import complain  # noqa: PLC0415  most starts say nothing

    complain(_explained(error))


def _explained(error: SandboxError | OSError) -> SandboxError | OSError:
    """Say of what the kernel refused what it was, where no file tells: a process, or where we are."""
    if isinstance(error, OSError) and error.filename is None:
        if error.errno == errno.EAGAIN:
            return SandboxError(f"no more processes can be made (ulimit -u, pids.max): {error.strerror}")
        if error.errno == errno.ENOENT and _is_nowhere():
            return SandboxError(f"the current directory: {error.strerror}")
    return error


def _is_nowhere() -> bool:
    """Tell whether the current directory was removed, or is none that we may look at."""
    try:
        return os.stat(".").st_nlink == 0
    except OSError:
        return True


def _say_line(text: str) -> None:
    from sandbox.commands.output import say_line  # noqa: PLC0415

    say_line(text)


def _open_standard_streams() -> None:
    """Fill closed standard descriptors: the next file that is opened would take their place."""
    while (fd := os.open("/dev/null", os.O_RDWR)) <= 2:  # noqa: PLR2004
        pass
    os.close(fd)
    # Python has no file object for one that was closed when it started.
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115


def _dispatch(words: list[str]) -> int:
    root = ""
    while words and words[0].startswith("--root"):
        option, equals, value = words.pop(0).partition("=")
        if option == "--root" and not equals and words:
            value = words.pop(0)
        if option != "--root" or not value:  # an empty one, as of a variable that is not set, would be where we are
            raise SandboxError("--root needs a directory")
        root = os.path.abspath(value)
    if not words or words[0] in ("-h", "--help", "help"):
        _say_line(USAGE.rstrip("\n"))
        return 0 if words else SandboxError.exit_code
    if words[0] in ("-v", "--version"):
        from sandbox.about import own_version  # noqa: PLC0415

        _say_line(f"sandbox {own_version()}")
        return 0
    if words[0] == "container" and len(words) > 1:  # Docker's longer form
        words = ["ps" if words[1] in ("ls", "list") else words[1], *words[2:]]
    if words[0] not in VERBS:
        why = ABSENT.get(words[0], "see sandbox --help")
        raise SandboxError(f"{words[0]!r} is not a sandbox command ({why})", 1)
    from sandbox.state import Store, default_root  # noqa: PLC0415

    # Not by importlib, which imports more than it does.
    module = __import__(f"sandbox.commands.{VERBS[words[0]]}", fromlist=("",))
    verb = getattr(module, words[0], None) or getattr(module, f"{words[0]}_")  # `import` is Python's word
    return int(verb(words[1:], Store(root or default_root())))


if __name__ == "__main__":
    command()
