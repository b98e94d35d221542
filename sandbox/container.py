"""The verbs: what happens, in which order, when a container is run, entered, stopped and removed.

The only module that knows all the others. `prepare` computes everything and
changes nothing; `start` forks and speaks with the child; `finish` takes down
what `start` made, and is also what cleans up after a launcher that was killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NoReturn

from inspector.errors import ParseError
from inspector.kernel.cgroups import read_cgroup, read_hierarchies
from inspector.kernel.host import Host
from inspector.kernel.mounts import read_mountinfo
from inspector.kernel.process import read_stat
from sandbox import capabilities, cgroup, channel, document, init, monitor, names, namespaces, rootfs, syscalls
from sandbox.errors import NoSuchContainer, SandboxError, describe
from sandbox.spec import Limits, Spec, environment
from sandbox.state import Document, Store

__all__ = ["Prepared", "execute", "kill", "prepare", "reconcile", "remove", "run", "stop"]

DEFAULT_CGROUP_PARENT = "/cgscope"
KILLED = 137
POLL_SECONDS = 0.005
FINISH_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Prepared:
    """A container that could be made: all its data, and nothing done yet."""

    spec: Spec
    document: Document
    layout: rootfs.Layout
    places: tuple[cgroup.Place, ...]
    launch: init.Launch
    layers: tuple[rootfs.Layer, ...]
    warnings: tuple[str, ...] = ()

    def describe(self) -> str:
        """Return the plan as text, a step a line (`--dry-run`)."""
        flags = self.launch.new_namespaces | (syscalls.CLONE_NEWUSER if self.launch.user_namespace else 0)
        kinds = {name[9:].lower(): flag for name, flag in vars(syscalls).items() if name.startswith("CLONE_NEW")}
        chosen = [name for name, flag in kinds.items() if flags & flag]
        steps = self.launch.cgroup_steps
        lines = [str(step) for step in steps if step.phase != cgroup.LIMIT]
        lines += [f"unshare {' '.join(chosen)}", str(self.launch.root), *map(str, self.launch.mounts), "pivot_root"]
        granted = sorted(name for name in self.spec.capabilities)
        lines += [f"caps   {' '.join(granted) or 'none'}", f"user   {self.spec.user or 'root'}"]
        lines += [str(step) for step in steps if step.phase == cgroup.LIMIT]
        return "\n".join([*lines, f"exec   {' '.join(map(repr, self.spec.argv))}"])


@dataclass(frozen=True, slots=True)
class Running:
    """A program that runs, as its parent knows it."""

    pid: int
    pidfd: int
    console: int | None


def prepare(spec: Spec, store: Store, host_environment: Mapping[str, str]) -> Prepared:
    """Compute a container from its spec and this machine; raises SandboxError for what cannot work here."""
    rootless = os.geteuid() != 0
    lower = os.path.realpath(spec.rootfs)
    if not os.path.isdir(lower):
        reason = "not a directory" if os.path.lexists(lower) else "no such directory"
        raise SandboxError(f"rootfs {spec.rootfs}: {reason}")
    for volume in spec.volumes:
        if not os.path.lexists(volume.source):
            raise SandboxError(f"invalid volume: {volume.source}: no such file or directory")
    container = os.urandom(32).hex()
    directory = store.directory(container)
    layout = rootfs.Layout(
        lower, *(f"{directory}/{name}" for name in ("upper", "work", "merged", "hostname", "hosts"))
    )
    host = Host()
    places = cgroup.place(
        read_hierarchies(host), spec.cgroup_parent, container, read_cgroup(host, "self") if rootless else None
    )
    limits, lost = cgroup.without_unreachable(spec.limits, places)
    if lost and not spec.best_effort_limits:
        why = "without root only a delegated cgroup can be" if rootless else "the controller cannot be used here"
        raise SandboxError(f"cannot limit {', '.join(lost)}: {why} (--limits-best-effort goes on without)")
    hostname = spec.hostname or (os.uname().nodename if spec.host_network else container[:12])
    env = environment(spec.env, host_environment, hostname=hostname, tty=spec.tty)
    keep = capabilities.mask(spec.capabilities)
    root, layers, pieces = _root(host, layout, rootless=rootless)
    launch = init.Launch(
        program=init.Program(spec.argv, env, spec.workdir, spec.user, keep, spec.tty, init.Streams(), spec.init),
        cgroup_steps=cgroup.plan(limits, places, all_devices=spec.privileged or rootless),
        new_namespaces=namespaces.own(spec),
        user_namespace=rootless,
        root=root,
        mounts=rootfs.plan(
            spec,
            layout,
            places,
            rootless=rootless,
            store=store.root,
            host_devices=host_devices() if spec.privileged and not rootless else (),
            pieces=pieces,
        ),
        hostname=hostname,
        read_only=spec.read_only,
    )
    private = {"Capabilities": keep, "Foreground": not spec.detach, "Rootless": rootless}
    text = document.new(
        replace(spec, limits=limits),
        container,
        layout,
        places,
        env=env,
        hostname=hostname,
        log_path=f"{directory}/log.jsonl" if spec.detach else "",
        private=private,
    )
    warnings = tuple(f"cannot limit {name} here: the container runs without that limit" for name in lost)
    return Prepared(spec, text, layout, places, launch, tuple(layers), warnings)


def _root(
    host: Host, layout: rootfs.Layout, *, rootless: bool
) -> tuple[rootfs.Mount, list[rootfs.Layer], list[rootfs.Step]]:
    """Return the mount that is the root, its layers, and the pieces it is put together from when it is no overlay."""
    whole = rootfs.Layer(layout.lower, layout.upper, layout.work)
    if rootless:
        below = f"{layout.lower.rstrip('/')}/"
        mountpoints = {mount.mountpoint for mount in read_mountinfo(host, "self")}
        if any(mountpoint.startswith(below) for mountpoint in mountpoints - {layout.lower}):
            from sandbox import pieces  # noqa: PLC0415

            layers, steps = pieces.split(layout, mountpoints)
            return rootfs.Mount("tmpfs", layout.merged, 0, "mode=755", "tmpfs"), layers, steps
    return rootfs.overlay(whole, layout.merged, rootless=rootless), [whole], []


def host_devices() -> Iterator[rootfs.Node]:
    """Yield the devices directly in the host's /dev, for a privileged container."""
    import stat  # noqa: PLC0415

    with os.scandir("/dev") as entries:
        for entry in entries:
            found = entry.stat(follow_symlinks=False)
            if stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode):
                if entry.name in ("ptmx", "console"):
                    continue
                major, minor = os.major(found.st_rdev), os.minor(found.st_rdev)
                yield rootfs.Node(entry.path, stat.S_IFMT(found.st_mode), major, minor, stat.S_IMODE(found.st_mode))


def run(prepared: Prepared, store: Store) -> int:
    """Make a container and start its program; returns its exit code, or 0 at once with -d, whose id is printed."""
    for warning in prepared.warnings:
        sys.stderr.write(f"sandbox: warning: {warning}\n")
    with monitor.blocked_signals():
        if prepared.spec.detach:
            return _run_detached(prepared, store)
        streams = init.Streams(stdin=0 if prepared.spec.interactive else init.NULL)
        text = prepared.document
        try:
            running = start(prepared, store, streams, lambda: None)
        except channel.Closed:
            raise SandboxError("the container's first process was killed during its set-up") from None
        code = monitor.attend(running.pid, running.pidfd, running.console, interactive=prepared.spec.interactive)
        finish(store, text, code)
    return code


def _run_detached(prepared: Prepared, store: Store) -> int:
    """Fork the monitor; it starts the program only while we are there to say so, and we print the id then."""
    ours, theirs = channel.pair()
    sys.stdout.flush()
    if os.fork() == 0:
        ours.close()
        _be_monitor(prepared, store, theirs)
    theirs.close()
    try:
        ours.expect(channel.Ready)
        ours.send(channel.Go())
        ours.expect_end()
    except channel.Closed:
        raise SandboxError("the container's monitor was killed") from None
    sys.stdout.write(f"{prepared.document['Id']}\n")
    sys.stdout.flush()
    return 0


def _be_monitor(prepared: Prepared, store: Store, launcher: channel.Channel) -> NoReturn:
    """Be the process beside a detached container, from its making to its end."""
    try:
        os.setsid()
        os.chdir("/")
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        syscalls.set_process_name("sandbox-monitor")
        stdin, keep_open = os.pipe() if prepared.spec.interactive and not prepared.spec.tty else (init.NULL, init.NULL)
        pipes = [] if prepared.spec.tty else [os.pipe(), os.pipe()]
        out, err = (writing for _, writing in pipes) if pipes else (init.NULL, init.NULL)

        def confirm() -> None:
            launcher.send(channel.Ready())
            launcher.expect(channel.Go)

        running = start(prepared, store, init.Streams(stdin, out, err, owned=True), confirm)
        for fd in (out, err, stdin):
            if fd != init.NULL:
                os.close(fd)
        launcher.close()
    except BaseException as error:  # noqa: BLE001  the launcher tells the user
        launcher.send_error(error)
        os._exit(1)
    try:
        sources = {reading: name for (reading, _), name in zip(pipes, ("stdout", "stderr"), strict=False)}
        if running.console is not None:
            sources = {running.console: "stdout"}
        log = monitor.Log(prepared.document["LogPath"])
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        code = monitor.watch_output(running.pid, running.pidfd, sources, log)
        finish(store, prepared.document, code)
    finally:
        os._exit(0)
    del keep_open


def start(
    prepared: Prepared, store: Store, streams: init.Streams, confirm: Callable[[], None]
) -> Running:
    """Make everything and start the program; on any error all of it is taken down again.

    `confirm` is called when nothing but the program's start is left; it may raise.
    """
    text = prepared.document
    private = text["Cgscope"]
    private["BootId"] = boot_id()
    private["Monitor"] = {"Pid": os.getpid(), "StartTime": start_time(os.getpid())}
    store.add(text, names.invent)
    try:
        _make_files(prepared)
        private["MadeCgroups"] = [
            path
            for path in cgroup.apply(prepared.launch.cgroup_steps, cgroup.CREATE)
            if path not in {place.directory for place in prepared.places}
        ]
        launch = replace(prepared.launch, program=replace(prepared.launch.program, streams=streams))
        return _launch(
            launch, lambda pid: _record_birth(store, text, pid), lambda: _record_start(prepared, store, confirm)
        )
    except BaseException:
        with contextlib.suppress(SandboxError, OSError):
            destroy(store, text)
        raise


def _record_birth(store: Store, text: Document, pid: int) -> None:
    text["State"]["Pid"] = pid
    text["Cgscope"]["StartTime"] = start_time(pid)
    store.save(text)


def _record_start(prepared: Prepared, store: Store, confirm: Callable[[], None]) -> None:
    """Write the limits, and then that the container runs: before it does, so that nothing runs unknown."""
    cgroup.apply(prepared.launch.cgroup_steps, cgroup.LIMIT)
    confirm()
    state = prepared.document["State"]
    state.update(Status="running", Running=True, StartedAt=document.timestamp(time.time()))
    store.save(prepared.document)


def _launch(launch: init.Launch, born: Callable[[int], None], ready: Callable[[], None]) -> Running:
    """Fork the joiner and speak with its child as channel.py draws it; an error leaves no process."""
    syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
    ours, theirs = channel.pair()
    me = os.getpid()
    joiner = os.fork()
    if joiner == 0:
        ours.close()
        init.joiner(launch, theirs, me)
    theirs.close()
    pid = 0
    try:
        try:
            pid = ours.expect(channel.Born).pid
        finally:
            os.waitpid(joiner, 0)
        born(pid)
        pidfd = os.pidfd_open(pid)
        ours.send(channel.Proceed())
        console = ours.expect_descriptor(channel.Console) if launch.program.tty else None
        ours.expect(channel.Ready)
        ready()
        ours.send(channel.Go())
        ours.expect_end()
    except BaseException:
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        raise
    finally:
        ours.close()
    return Running(pid, pidfd, console)


def _make_files(prepared: Prepared) -> None:
    """Make the container's own directories and files; the upper layer looks like the root it covers."""
    layout = prepared.layout
    for path in (layout.upper, layout.work, layout.merged):
        os.mkdir(path, 0o700)
    for layer in prepared.layers:
        for path in (layer.upper, layer.work):
            if path not in (layout.upper, layout.work):
                os.mkdir(path, 0o700)
        found = os.stat(layer.lower)
        if not prepared.launch.user_namespace:
            os.chown(layer.upper, found.st_uid, found.st_gid)
        # A rootfs made with mktemp -d is closed to all but its owner; a container's "/" is open to its users.
        open_to_all = 0o555 if layer.lower == layout.lower else 0
        os.chmod(layer.upper, found.st_mode & 0o7777 | open_to_all)
    hostname = prepared.launch.hostname
    hosts = f"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t{hostname}\n"
    for path, text in ((layout.hostname_file, f"{hostname}\n"), (layout.hosts_file, hosts)):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, 0o644)


def boot_id() -> str:
    """Read which boot this is: a PID means nothing in another."""
    return Host().read("/proc/sys/kernel/random/boot_id").decode().strip()


def start_time(pid: int) -> int | None:
    """Return when a process started (ticks since boot), or None when it is gone or only a zombie."""
    try:
        found = read_stat(Host(), pid)
    except (OSError, ParseError):
        return None
    return None if found.state in ("Z", "X") else found.starttime_ticks


def _alive(pid: int, started: int | None, boot: str) -> bool:
    return pid > 0 and started is not None and boot == boot_id() and start_time(pid) == started


def is_running(text: Document) -> bool:
    """Tell whether the process that a container's document names is that process, and lives."""
    private = text["Cgscope"]
    return _alive(text["State"]["Pid"], private.get("StartTime"), private.get("BootId", ""))


def has_monitor(text: Document) -> bool:
    """Tell whether the process that looks after a container lives."""
    private = text["Cgscope"]
    return _alive(private["Monitor"]["Pid"], private["Monitor"]["StartTime"], private["BootId"])


def _take_down(text: Document) -> None:
    """Kill what is left of a container and remove its cgroups; the mounts go with the last process."""
    places = document.places_of(text)
    if is_running(text):
        with contextlib.suppress(ProcessLookupError):
            os.kill(text["State"]["Pid"], signal.SIGKILL)
    cgroup.kill(places)
    made = list(text["Cgscope"]["MadeCgroups"])
    if text["HostConfig"]["CgroupParent"] == DEFAULT_CGROUP_PARENT:
        made = [os.path.dirname(place.directory) for place in places]
    cgroup.remove(places, made)


def destroy(store: Store, text: Document) -> None:
    """Remove a container and all that belongs to it."""
    _take_down(text)
    with store.lock():
        store.remove(text["Id"], text["Name"])


def finish(store: Store, text: Document, code: int, error: str = "") -> None:
    """Record how a container ended and take it down; one with --rm is gone afterwards."""
    text["State"].update(
        Status="exited",
        Running=False,
        Pid=0,
        ExitCode=code,
        OOMKilled=cgroup.oom_kills(document.places_of(text)) > 0,
        Error=error,
        FinishedAt=document.timestamp(time.time()),
    )
    _take_down(text)
    if text["HostConfig"]["AutoRemove"]:
        destroy(store, text)
    else:
        store.save(text)


def reconcile(store: Store) -> None:
    """Clean up after monitors that were killed: their containers are dead, or die now.

    What was being set up, and what ran in the foreground or with --rm, is
    removed; a detached container stays, exited.
    """
    if not store.exists():
        return
    with store.lock():
        store.remove_remains()
        orphans = [text for text in store.all() if text["State"]["Status"] != "exited" and not has_monitor(text)]
    for text in orphans:
        try:
            _clean_up(store, text["Id"])
        except NoSuchContainer:  # another `ps` was faster
            continue
        except (SandboxError, OSError) as error:
            sys.stderr.write(f"sandbox: warning: cannot clean up {text['Name']}: {describe(error)}\n")


def _clean_up(store: Store, container: str) -> None:
    """Take down a container whose monitor is dead."""
    text = store.load(container)  # anew: its monitor may have ended well since it was listed
    if text["State"]["Status"] == "exited":
        return
    if text["State"]["Status"] == "created" or text["Cgscope"]["Foreground"]:
        destroy(store, text)
    else:
        finish(store, text, KILLED, "the monitor of this container was killed")


def _await(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _settled(store: Store, container: str) -> bool:
    """Tell whether a container's monitor has recorded its end."""
    try:
        text = store.load(container)
    except NoSuchContainer:
        return True
    return text["State"]["Status"] == "exited" or not has_monitor(text)


def _signal(text: Document, number: int) -> None:
    """Signal a container's first process, and no other that has its number by now."""
    pid = text["State"]["Pid"]
    try:
        pidfd = os.pidfd_open(pid)
    except (ProcessLookupError, ValueError, OSError) as error:
        raise SandboxError(f"container {text['Name']} is not running", 1) from error
    try:
        if not is_running(text):
            raise SandboxError(f"container {text['Name']} is not running", 1)
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, number)
    finally:
        os.close(pidfd)


def kill(store: Store, name: str, number: int) -> None:
    """Send a signal to a container's first process."""
    text = store.find(name)
    if text["State"]["Status"] != "running":
        raise SandboxError(f"container {name} is not running", 1)
    _signal(text, number)
    if number == signal.SIGKILL:
        _await(lambda: _settled(store, text["Id"]), FINISH_SECONDS)


def stop(store: Store, name: str, seconds: float) -> None:
    """Ask a container to end, and kill it after `seconds`; returns when its end is recorded."""
    text = store.find(name)
    if text["State"]["Status"] != "running":
        return
    with contextlib.suppress(SandboxError):
        _signal(text, signal.SIGTERM)
        if not _await(lambda: not is_running(text), seconds):
            _signal(text, signal.SIGKILL)
    if not _await(lambda: _settled(store, text["Id"]), FINISH_SECONDS):
        raise SandboxError(f"container {name} does not end: a process of it is stuck in the kernel", 1)
    reconcile(store)


def remove(store: Store, name: str, *, force: bool) -> None:
    """Remove a container; a running one only with `force`, which kills it."""
    text = store.find(name)
    if text["State"]["Status"] != "exited" and has_monitor(text):
        if not force:
            raise SandboxError(
                f"cannot remove container {name!r}: it is {text['State']['Status']}: stop it first, or use rm -f", 1
            )
        with contextlib.suppress(SandboxError):
            _signal(text, signal.SIGKILL)
        if not _await(lambda: _settled(store, text["Id"]), FINISH_SECONDS):
            raise SandboxError(f"container {name} does not end: a process of it is stuck in the kernel", 1)
    with contextlib.suppress(NoSuchContainer):
        destroy(store, store.load(text["Id"]))


@dataclass(frozen=True, slots=True)
class ExecOptions:
    """What `sandbox exec` adds to what the container has."""

    argv: tuple[str, ...]
    env: tuple[str, ...] = ()
    workdir: str = ""
    user: str = ""
    interactive: bool = False
    tty: bool = False
    detach: bool = False


def execute(store: Store, name: str, options: ExecOptions, host_environment: Mapping[str, str]) -> int:
    """Run a program in a running container, as restricted as the container's own; returns its exit code."""
    text = store.find(name)
    pid = text["State"]["Pid"]
    try:
        pidfd = os.pidfd_open(pid) if pid > 0 else -1
    except OSError:
        pidfd = -1
    # The descriptor first, then the check: what is checked is what is entered.
    if pidfd < 0 or text["State"]["Status"] != "running" or not is_running(text):
        raise SandboxError(f"container {name} is not running", 1)
    private, config = text["Cgscope"], text["Config"]
    given = environment((*config["Env"], *options.env), host_environment, tty=options.tty)
    out, err = (init.NULL, init.NULL) if options.detach else (1, 2)
    program = init.Program(
        argv=options.argv,
        env=given,
        workdir=options.workdir or config["WorkingDir"],
        user=options.user or config["User"],
        capabilities=private["Capabilities"],
        tty=options.tty,
        streams=init.Streams(0 if options.interactive else init.NULL, out, err),
        die_with_parent=not options.detach,
    )
    steps = tuple(step for step in cgroup.plan(Limits(), document.places_of(text)) if step.phase == cgroup.JOIN)
    with monitor.blocked_signals():
        try:
            running = _launch(init.Launch(program, steps, join=(pid, pidfd)), lambda _: None, lambda: None)
        except channel.Closed:
            raise SandboxError(f"container {name} ended while it was entered", 1) from None
        if options.detach:
            return 0
        return monitor.attend(running.pid, running.pidfd, running.console, interactive=options.interactive)


