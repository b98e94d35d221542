"""`sandbox`: Docker's verbs, flags, exit codes and columns, for containers made of the kernel's own files.

Each verb is a parser and a small function; what a verb needs is imported in
it, as starting a container is measured in milliseconds.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sandbox.errors import SandboxError, describe
from sandbox.parsing import Arguments, Parser, new_parser, parse_up_to_program

if TYPE_CHECKING:
    from sandbox.spec import Spec
    from sandbox.state import Store

__all__ = ["main"]

USAGE = """\
Usage: sandbox [--root DIR] COMMAND ...

  run      start a program in a new container
  exec     run one more program in a running container
  ps       list containers
  logs     show what a detached container has said
  stop     ask a container to end, then make it
  kill     send a signal to a container
  rm       remove containers
  inspect  show all that is known of a container, as JSON
  rootfs   copy DEST BIN...: programs and their libraries, as a root filesystem

Of any process, whoever made its container:
  enter    run a program, or a shell, in its cgroups and namespaces
  freeze   stop all processes of its container
  thaw     let them go on
  limit    tell or change its limits of CPU, memory and tasks

`sandbox COMMAND --help` tells more. Containers are kept in /var/lib/cgscope, $CGSCOPE_ROOT or --root;
without root in $XDG_DATA_HOME/cgscope.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code of the program in the container, or 125, 126, 127, 1."""
    words = list(sys.argv[1:] if argv is None else argv)
    _open_standard_streams()
    try:
        return _dispatch(words)
    except (SandboxError, OSError) as error:
        _say(error)
        return error.exit_code if isinstance(error, SandboxError) else SandboxError.exit_code
    except KeyboardInterrupt:
        return 130


def _say(error: BaseException) -> None:
    try:
        sys.stderr.write(f"sandbox: {describe(error)}\n")
        sys.stderr.flush()
    except OSError:  # nobody listens
        return


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _open_standard_streams() -> None:
    """Fill closed standard descriptors: the next file that is opened would take their place."""
    while (fd := os.open("/dev/null", os.O_RDWR)) <= 2:  # noqa: PLR2004
        pass
    os.close(fd)


def _dispatch(words: list[str]) -> int:
    root = ""
    while words and words[0].startswith("--root"):
        option, equals, value = words.pop(0).partition("=")
        if option != "--root" or not (equals or words):
            raise SandboxError("--root needs a directory")
        root = os.path.abspath(value if equals else words.pop(0))
    if not words or words[0] in ("-h", "--help", "help"):
        sys.stdout.write(USAGE)
        return 0 if words else SandboxError.exit_code
    if words[0] == "--version":
        from importlib.metadata import version  # noqa: PLC0415

        _print(f"sandbox {version('cgscope')}")
        return 0
    verb = VERBS.get(words[0])
    if verb is None:
        raise SandboxError(f"{words[0]!r} is not a sandbox command (see sandbox --help)")
    from sandbox.state import Store, default_root  # noqa: PLC0415

    return verb(words[1:], Store(root or default_root()))


def _run_parser() -> Parser:
    parser = new_parser("run", "[OPTIONS] --rootfs DIR [--] COMMAND [ARG...]", "Start a program in a new container.")
    add = parser.add_argument
    add("--rootfs", metavar="DIR", help="its root filesystem, never written to; / is this machine itself")
    add("-d", "--detach", action="store_true", help="in the background; prints the container's id")
    add("-i", "--interactive", action="store_true", help="give it our standard input")
    add("-t", "--tty", action="store_true", help="give it a terminal")
    add("--rm", action="store_true", help="remove the container when it ends")
    add("--name", default="", help="its name; one is invented otherwise")
    add("-h", "--hostname", default="", help="its host name (default: its short id)")
    add("-e", "--env", action="append", default=[], metavar="K[=V]", help="an environment variable")
    add("-w", "--workdir", default="/", metavar="DIR", help="where the program starts")
    add("-u", "--user", default="", metavar="USER[:GROUP]", help="name or number, by the container's passwd")
    add("-v", "--volume", action="append", default=[], metavar="SRC:DST[:ro]", help="bind a file or directory")
    add("--tmpfs", action="append", default=[], metavar="DIR[:OPTIONS]", help="a filesystem in memory")
    add("--cap-add", action="append", default=[], metavar="CAP", help="grant a capability, or ALL")
    add("--cap-drop", action="append", default=[], metavar="CAP", help="take a capability, or ALL")
    add("--privileged", action="store_true", help="all capabilities and devices, nothing masked")
    add("--pid", default="", choices=["", "host"], help="host: share the host's processes")
    add("--net", "--network", default="none", choices=["none", "host"], help="none (loopback only) or host")
    add("--cpus", default="", metavar="N", help="as many CPUs, such as 0.5")
    add("--cpu-quota", type=int, default=0, metavar="US", help="microseconds of CPU in each period")
    add("--cpu-period", type=int, default=0, metavar="US", help="the period (default 100000)")
    add("-m", "--memory", default="", metavar="SIZE", help="bytes, or with b, k, m, g; 6m at least")
    add("--pids-limit", type=int, default=0, metavar="N", help="how many processes and threads")
    add("--limits-best-effort", action="store_true", help="warn of a limit that cannot be set, and go on")
    add("--cgroup-parent", default="/cgscope", metavar="PATH", help="the cgroup that its cgroup is made in")
    add("--init", action="store_true", help="a small PID 1 that reaps orphans and passes signals on")
    add("--read-only", action="store_true", help="the root filesystem cannot be written")
    add("--dry-run", action="store_true", help="print what would be done, and do nothing")
    return parser


def _run(words: list[str], store: Store) -> int:
    parser = _run_parser()
    arguments = parse_up_to_program(parser, words, "command")
    if not arguments.rootfs:
        parser.error("--rootfs is needed")
    from sandbox import container  # noqa: PLC0415
    from sandbox.prepare import prepare  # noqa: PLC0415

    spec = _spec(arguments)
    if spec.interactive and spec.tty and not spec.detach and not os.isatty(0):
        raise SandboxError("the input device is not a TTY", 1)
    prepared = prepare(spec, store, os.environ)
    if arguments.dry_run:
        _print(prepared.describe())
        return 0
    return container.run(prepared, store)


def _spec(arguments: Arguments) -> Spec:
    from sandbox import capabilities, spec  # noqa: PLC0415

    return spec.Spec(
        rootfs=os.path.abspath(arguments.rootfs),
        argv=tuple(arguments.command),
        name=arguments.name,
        hostname=arguments.hostname,
        env=tuple(arguments.env),
        workdir=arguments.workdir,
        user=arguments.user,
        volumes=tuple(spec.parse_volume(text, os.path.abspath) for text in arguments.volume),
        tmpfs=tuple(spec.parse_tmpfs(text) for text in arguments.tmpfs),
        capabilities=capabilities.select(arguments.cap_add, arguments.cap_drop, privileged=arguments.privileged),
        cap_add=tuple(arguments.cap_add),
        cap_drop=tuple(arguments.cap_drop),
        privileged=arguments.privileged,
        host_pid=arguments.pid == "host",
        host_network=arguments.net == "host",
        limits=spec.limits(
            cpus=arguments.cpus,
            quota=arguments.cpu_quota,
            period=arguments.cpu_period,
            memory=arguments.memory,
            pids=arguments.pids_limit,
            host_cpus=os.cpu_count() or 1,
        ),
        best_effort_limits=arguments.limits_best_effort,
        cgroup_parent=os.path.join("/", arguments.cgroup_parent),
        init=arguments.init,
        read_only=arguments.read_only,
        interactive=arguments.interactive,
        tty=arguments.tty,
        detach=arguments.detach,
        remove=arguments.rm,
    )


def _exec(words: list[str], store: Store) -> int:
    parser = new_parser("exec", "[OPTIONS] CONTAINER COMMAND [ARG...]", "Run one more program in a running container.")
    add = parser.add_argument
    add("-d", "--detach", action="store_true", help="in the background")
    add("-i", "--interactive", action="store_true", help="give it our standard input")
    add("-t", "--tty", action="store_true", help="give it a terminal")
    add("-e", "--env", action="append", default=[], metavar="K[=V]", help="an environment variable")
    add("-w", "--workdir", default="", metavar="DIR", help="where the program starts")
    add("-u", "--user", default="", metavar="USER[:GROUP]", help="name or number, by the container's passwd")
    add("container")
    arguments = parse_up_to_program(parser, words, "command")
    if not arguments.command:
        parser.error("no command: give the program to run after the container")
    if arguments.interactive and arguments.tty and not os.isatty(0):
        raise SandboxError("the input device is not a TTY", 1)
    from sandbox import container  # noqa: PLC0415

    options = container.ExecOptions(
        argv=tuple(arguments.command),
        env=tuple(arguments.env),
        workdir=arguments.workdir,
        user=arguments.user,
        interactive=arguments.interactive,
        tty=arguments.tty and not arguments.detach,
        detach=arguments.detach,
    )
    return container.execute(store, arguments.container, options, os.environ)


def _ps(words: list[str], store: Store) -> int:
    parser = new_parser("ps", "[OPTIONS]", "List containers; cleans up after launchers that were killed.")
    parser.add_argument("-a", "--all", action="store_true", help="also those that have ended")
    parser.add_argument("-q", "--quiet", action="store_true", help="only their ids")
    parser.add_argument("--no-trunc", action="store_true", help="whole ids and commands")
    arguments = parser.parse_args(words)
    import time  # noqa: PLC0415

    from sandbox import container, document  # noqa: PLC0415

    container.reconcile(store)
    shown = [text for text in store.all() if arguments.all or text["State"]["Status"] == "running"]
    rows = document.ps_table(shown, time.time(), whole=arguments.no_trunc)
    if arguments.quiet:
        sys.stdout.write("".join(f"{row[0]}\n" for row in rows[1:]))
    else:
        _print(document.table(rows))
    return 0


def _logs(words: list[str], store: Store) -> int:
    parser = new_parser("logs", "[OPTIONS] CONTAINER", "Show what a detached container has said.")
    parser.add_argument("-f", "--follow", action="store_true", help="go on until it ends")
    parser.add_argument("-n", "--tail", default="all", metavar="N", help="only the last N lines")
    parser.add_argument("-t", "--timestamps", action="store_true", help="with the time of each line")
    parser.add_argument("container")
    arguments = parser.parse_args(words)
    if arguments.tail != "all" and not arguments.tail.lstrip("-").isdecimal():
        parser.error(f"--tail: invalid number of lines: {arguments.tail!r}")
    from sandbox import logs  # noqa: PLC0415

    tail = None if arguments.tail == "all" or arguments.tail.startswith("-") else int(arguments.tail)
    return logs.show(store, arguments.container, follow=arguments.follow, tail=tail, timestamps=arguments.timestamps)


def _each(names: Sequence[str], action: Callable[[str], None]) -> int:
    """Do something with each container, print the names as Docker does, and go on after one that fails."""
    code = 0
    for name in names:
        try:
            action(name)
        except SandboxError as error:
            _say(error)
            code = error.exit_code
        else:
            _print(name)
    return code


def _stop(words: list[str], store: Store) -> int:
    text = "Ask containers to end (SIGTERM), then make them (SIGKILL)."
    parser = new_parser("stop", "[-t SECONDS] CONTAINER...", text)
    parser.add_argument("-t", "--time", type=int, default=10, metavar="SECONDS", help="how long to wait (default 10)")
    parser.add_argument("containers", nargs="+", metavar="CONTAINER")
    arguments = parser.parse_args(words)
    from sandbox import container  # noqa: PLC0415

    return _each(arguments.containers, lambda name: container.stop(store, name, arguments.time))


def _kill(words: list[str], store: Store) -> int:
    parser = new_parser("kill", "[-s SIGNAL] CONTAINER...", "Send a signal to the first process of containers.")
    parser.add_argument("-s", "--signal", default="KILL", help="name or number (default KILL)")
    parser.add_argument("containers", nargs="+", metavar="CONTAINER")
    arguments = parser.parse_args(words)
    number = _signal_number(arguments.signal)
    from sandbox import container  # noqa: PLC0415

    return _each(arguments.containers, lambda name: container.kill(store, name, number))


def _signal_number(text: str) -> int:
    import signal  # noqa: PLC0415

    name = "SIG" + text.upper().removeprefix("SIG")
    if text.isdecimal() and int(text) in signal.valid_signals():
        return int(text)
    if name in signal.Signals.__members__:
        return signal.Signals[name].value
    raise SandboxError(f"invalid signal: {text!r}", 1)


def _rm(words: list[str], store: Store) -> int:
    parser = new_parser("rm", "[-f] CONTAINER...", "Remove containers with all they wrote.")
    parser.add_argument("-f", "--force", action="store_true", help="also one that runs: it is killed")
    parser.add_argument("containers", nargs="+", metavar="CONTAINER")
    arguments = parser.parse_args(words)
    from sandbox import container  # noqa: PLC0415
    from sandbox.errors import NoSuchContainer  # noqa: PLC0415

    def action(name: str) -> None:
        try:
            container.remove(store, name, force=arguments.force)
        except NoSuchContainer:
            if not arguments.force:
                raise

    return _each(arguments.containers, action)


def _inspect(words: list[str], store: Store) -> int:
    parser = new_parser("inspect", "[--format TEMPLATE] CONTAINER...", "Show all that is known of containers, as JSON.")
    parser.add_argument("-f", "--format", default="", help="such as '{{.State.Pid}}' or '{{json .Config}}'")
    parser.add_argument("containers", nargs="+", metavar="CONTAINER")
    arguments = parser.parse_args(words)
    import json  # noqa: PLC0415

    from sandbox import container, document  # noqa: PLC0415

    container.reconcile(store)
    found, code = [], 0
    for name in arguments.containers:
        try:
            found.append(store.find(name))
        except SandboxError as error:
            _say(error)
            code = 1
    if arguments.format:
        for text in found:
            _print(document.render(text, arguments.format))
    else:
        _print(json.dumps(found, indent=4))
    return code


def _rootfs(words: list[str], _store: Store) -> int:
    parser = new_parser("rootfs", "copy DEST BIN...", "Copy programs and the libraries they need into a directory.")
    parser.add_argument("action", choices=["copy"])
    parser.add_argument("destination", metavar="DEST")
    parser.add_argument("programs", nargs="+", metavar="BIN")
    arguments = parser.parse_args(words)
    from sandbox import binaries  # noqa: PLC0415

    for path in binaries.copy(arguments.destination, arguments.programs):
        _print(path)
    return 0


def _of_any(name: str) -> Callable[[list[str], Store], int]:
    def verb(words: list[str], store: Store) -> int:
        from sandbox import verbs  # noqa: PLC0415

        return verbs.VERBS[name](words, store)

    return verb


VERBS: dict[str, Callable[[list[str], Store], int]] = {
    "run": _run,
    "exec": _exec,
    "ps": _ps,
    "logs": _logs,
    "stop": _stop,
    "kill": _kill,
    "rm": _rm,
    "inspect": _inspect,
    "rootfs": _rootfs,
    **{name: _of_any(name) for name in ("enter", "freeze", "thaw", "limit")},
}


if __name__ == "__main__":
    sys.exit(main())
