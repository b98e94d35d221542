"""`--explain`: each system call that makes a container, as it is done, with one line of why.

Nothing in the code that does the work knows of this. Python calls us back at
each function that begins (sys.setprofile), in every process that we fork, and
the tables below tell which of them are system calls, what their arguments are
called, and what they are for. Who does not ask for it pays nothing.
"""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any

from sandbox import syscalls
from sandbox.capabilities import NAMES

__all__ = ["BUILTINS", "FUNCTIONS", "start"]

Locals = Mapping[str, Any]
Told = Iterator[tuple[str, str]]

NAMESPACES = {
    "NS": "mounts", "UTS": "host name", "IPC": "IPC", "PID": "processes", "NET": "network", "CGROUP": "view of cgroups",
    "USER": "users", "TIME": "clocks",
}  # fmt: skip
FILESYSTEMS = {
    "overlay": "the root: the image's layers read-only below, what the container changes on top",
    "proc": "processes, as its own PID namespace numbers them",
    "sysfs": "devices and settings of the kernel, of its own network namespace",
    "tmpfs": "files in memory, of nobody else",
    "devpts": "terminals of its own",
    "mqueue": "message queues of its own IPC namespace",
    "cgroup": "its control groups, with its own as the top",
    "cgroup2": "its control groups, with its own as the top",
}
FILES = {
    "cgroup.procs": "join: from here on what we use counts for the container, and its limits hold",
    "tasks": "join: from here on what we use counts for the container, and its limits hold",
    "cgroup.subtree_control": "hand controllers down to the groups below",
    "cpuset.cpus": "the CPUs it may run on; an empty set lets nobody in",
    "cpuset.mems": "the memory nodes it may use; an empty set lets nobody in",
    "cpu.cfs_period_us": "the length of a period, of which the quota is a part",
    "cpu.cfs_quota_us": "the CPU time of all its processes in each period: above it they are throttled",
    "cpu.max": "quota and period: the CPU time of all its processes in each period",
    "memory.limit_in_bytes": "all its memory: above it pages are reclaimed, and then a process is killed",
    "memory.max": "all its memory: above it pages are reclaimed, and then a process is killed",
    "pids.max": "the number of its processes and threads: fork fails above it",
    "devices.deny": "no device may be used",
    "devices.allow": "but this one",
}
PRCTL = {
    syscalls.PR_SET_PDEATHSIG: ("PR_SET_PDEATHSIG", "if our parent dies, so do we: no container without its monitor"),
    syscalls.PR_SET_DUMPABLE: ("PR_SET_DUMPABLE", "the container's processes cannot look into us (CVE-2016-9962)"),
    syscalls.PR_SET_KEEPCAPS: ("PR_SET_KEEPCAPS", "keep what is needed to load the filter over the change of user"),
    syscalls.PR_SET_NAME: ("PR_SET_NAME", "what ps shows"),
    syscalls.PR_CAPBSET_DROP: ("PR_CAPBSET_DROP", "no program in there, setuid or not, gains this one again"),
    syscalls.PR_SET_CHILD_SUBREAPER: ("PR_SET_CHILD_SUBREAPER", "the first process becomes our child, to wait for"),
    syscalls.PR_SET_NO_NEW_PRIVS: ("PR_SET_NO_NEW_PRIVS", "nothing it executes gains rights"),
    syscalls.PR_CAP_AMBIENT: ("PR_CAP_AMBIENT", "a capability that survives execve without root"),
}
MOUNT_FLAGS = {name: value for name, value in vars(syscalls).items() if name.startswith("MS_")}
CLONE_FLAGS = {name: value for name, value in vars(syscalls).items() if name.startswith("CLONE_NEW")}
LOWEST_DESCRIPTOR = 64
RESET = "no signal is ignored or handled because we or our caller did"


def _flags(value: int, names: Mapping[str, int]) -> str:
    return "|".join(name for name, bit in names.items() if value & bit) or "0"


def _path(text: str) -> str:
    """Return what a descriptor's path stands for, as the kernel names it now."""
    try:
        return os.readlink(text) if text.startswith("/proc/self/fd/") else text
    except OSError:
        return text


def _mount(given: Locals) -> Told:
    flags, fstype = given["flags"], given["fstype"]
    words = [repr(given["source"]), repr(_path(given["target"])), repr(fstype), _flags(flags, MOUNT_FLAGS)]
    if given["data"]:
        words.append(repr(given["data"]))
    if fstype:
        why = FILESYSTEMS.get(fstype, "a filesystem")
    elif flags & syscalls.MS_PRIVATE:
        why = "what is mounted in here is not seen outside, and the other way round"
    elif flags & syscalls.MS_REMOUNT:
        why = "the same mount, with other flags"
    else:
        why = "show a file or directory at another place"
    yield f"mount({', '.join(words)})", why


def _umount(given: Locals) -> Told:
    yield f"umount2({_path(given['target'])!r}, MNT_DETACH)", "let go of the machine's files: there is no way back"


def _own(flags: int) -> str:
    kinds = [what for name, what in NAMESPACES.items() if flags & CLONE_FLAGS[f"CLONE_NEW{name}"]]
    return f"of its own from here on: {', '.join(kinds)}"


def _unshare(given: Locals) -> Told:
    yield f"unshare({_flags(given['flags'], CLONE_FLAGS)})", _own(given["flags"])


def _setns(given: Locals) -> Told:
    yield f"setns({given['fd']}, {_flags(given['flags'], CLONE_FLAGS)})", "enter what another process has"


def _pivot_root(given: Locals) -> Told:
    yield f"pivot_root({given['new']!r}, {given['old']!r})", "the container's root is ours now, the machine's below it"


def _prctl(given: Locals) -> Told:
    option, argument = given["option"], given["argument"]
    if option == syscalls.PR_CAPBSET_READ:  # only a question
        return
    name, why = PRCTL.get(option, (str(option), ""))
    known = option == syscalls.PR_CAPBSET_DROP and argument < len(NAMES)
    yield f"prctl({name}, {f'CAP_{NAMES[argument]}' if known else argument})", why


def _capset(given: Locals) -> Told:
    sets = ", ".join(f"{name} {given[name]:#x}" for name in ("effective", "permitted", "inheritable"))
    yield f"capset({sets})", "the rights of root that are left"


def _openat2(given: Locals) -> Told:
    text = f"openat2({given['directory']}, {given['path']!r}, RESOLVE_IN_ROOT)"
    yield text, "found below that directory, wherever links of the image lead; so is each path that follows"


def _attributes(given: Locals) -> Told:
    path = _path(f"/proc/self/fd/{given['fd']}")
    yield f"mount_setattr({path!r}, {given['attributes']:#x})", "a mount's flags"


def _clone_mount(given: Locals) -> Told:
    yield f"open_tree({given['path']!r}, OPEN_TREE_CLONE)", "in hand, for one who cannot reach it"


def _filesystem_ids(given: Locals) -> Told:
    call = f"setfsgid({given['gid']}); setfsuid({given['uid']})"
    yield call, "an overlay acts as who mounts it: the container's root"


def _cgroup_step(given: Locals) -> Told:
    step = given["step"]
    if step.action == "mkdir":
        yield f"mkdir({step.path!r})", "a control group: what is used is counted and limited by group"
    elif step.action == "devices":
        yield f"bpf(BPF_PROG_ATTACH, {step.path!r})", "a program that is asked about each device that is opened"
    elif step.value:
        value = f"what {step.value} says" if step.action == "copy" else repr(step.value)
        yield f"write({step.path!r}, {value})", FILES.get(os.path.basename(step.path), "a limit")


def _fork_into(given: Locals) -> Told:
    words = [_flags(given["namespaces"], CLONE_FLAGS)] if given["namespaces"] else []
    words += ["CLONE_INTO_CGROUP", repr(given["cgroup"])] if given["cgroup"] else []
    why = _own(given["namespaces"]) if given["namespaces"] else BUILTINS["sandbox.conversation", "fork_joining", "fork"]
    yield f"clone3({', '.join(words)})", why


def _drop(given: Locals) -> Told:
    user = given["user"]
    yield f"setgroups({list(user.groups)})", "its groups, by the container's own file; later there is no right to"
    yield f"setresgid({user.gid}); setresuid({user.uid})", "become its user, by the container's own passwd file"


def _filter(given: Locals) -> Told:
    count = len(given["program"]) // 8
    yield f"seccomp(SECCOMP_SET_MODE_FILTER, {count} instructions)", "most system calls it will never need are refused"


def _execute(given: Locals) -> Told:
    yield f"execve({given['path']!r}, {list(given['argv'])})", "become the program: what we were is gone"


def _fixed(text: str, why: str) -> Callable[[Locals], Told]:
    def told(_: Locals) -> Told:
        yield text, why

    return told


# What is told when a function begins, by its module and name.
FUNCTIONS: dict[tuple[str, str], Callable[[Locals], Told]] = {
    ("sandbox.syscalls", "mount"): _mount,
    ("sandbox.syscalls", "umount"): _umount,
    ("sandbox.syscalls", "unshare"): _unshare,
    ("sandbox.syscalls", "setns"): _setns,
    ("sandbox.syscalls", "pivot_root"): _pivot_root,
    ("sandbox.syscalls", "prctl"): _prctl,
    ("sandbox.syscalls", "capset"): _capset,
    ("sandbox.syscalls", "openat2"): _openat2,
    ("sandbox.syscalls", "set_mount_attributes"): _attributes,
    ("sandbox.syscalls", "clone_mount"): _clone_mount,
    ("sandbox.rare_syscalls", "idmap_mount"): _fixed(
        "mount_setattr(MOUNT_ATTR_IDMAP)", "its files are those of the container's users, without a change on the disk"
    ),
    ("sandbox.rare_syscalls", "set_filesystem_ids"): _filesystem_ids,
    ("sandbox.namespaces", "become_its_root"): _fixed(
        "setgroups([]); setns(); setresgid(0); setresuid(0)", "from here on we are its root, and nobody on this machine"
    ),
    ("sandbox.syscalls", "load_seccomp_filter"): _filter,
    ("sandbox.syscalls", "join_new_session_keyring"): _fixed(
        "keyctl(KEYCTL_JOIN_SESSION_KEYRING)", "the caller's keys stay outside"
    ),
    ("sandbox.syscalls", "close_on_exec_from"): _fixed(
        "close_range(3, ~0, CLOSE_RANGE_CLOEXEC)", "no open file of ours goes along"
    ),
    ("sandbox.syscalls", "fork_into"): _fork_into,
    ("sandbox.control", "_do"): _cgroup_step,
    ("sandbox.descent", "reset_signals"): _fixed("rt_sigaction(each that is ignored or caught, SIG_DFL)", RESET),
    ("sandbox.program", "execute"): _execute,
    ("sandbox.namespaces", "loopback_up"): _fixed(
        "ioctl(SIOCSIFFLAGS, lo, IFF_UP)", "a new network has nothing but lo, and that is down"
    ),
    ("sandbox.namespaces", "let_users_serve"): _fixed(
        "write /proc/sys/net/ipv4/ip_unprivileged_port_start", "the ports of its own network are open to all its users"
    ),
    ("sandbox.privileges", "drop"): _drop,
    ("sandbox.trampoline", "prepare"): _fixed(
        "memfd_create(); fcntl(F_ADD_SEALS)", "the last step before the program is one nobody can write (CVE-2019-5736)"
    ),
    ("sandbox.terminal", "open_pair"): _fixed(
        "open('/dev/pts/ptmx'); ioctl(TIOCGPTPEER)", "a terminal of its own devpts"
    ),
}
# What Python itself has as a function, with what it is for in the function of ours that calls it.
BUILTINS = {
    ("sandbox.conversation", "fork_joining", "fork"): "goes where the container is, and forks the first process there",
    ("sandbox.descent", "descend", "fork"): "the first to be born in the new PID namespace: in there it is process 1",
    ("sandbox.descent", "descend", "setsid"): "no terminal and no process group of the caller's",
    ("sandbox.init", "begin", "setsid"): "process 1 leads its own session",
    ("sandbox.init", "begin", "sethostname"): "the name in its own UTS namespace",
}


def start() -> None:
    """Tell from now on, on standard error; also in processes that are forked."""
    # A descriptor of our own, out of the way: the container's program may have another standard error.
    teller = _Teller(fcntl.fcntl(2, fcntl.F_DUPFD_CLOEXEC, LOWEST_DESCRIPTOR))

    def listen(frame: FrameType, event: str, argument: Any) -> None:  # noqa: ANN401  a builtin, with c_call
        module, function = frame.f_globals.get("__name__", ""), frame.f_code.co_name
        if event == "call" and (module, function) in FUNCTIONS:
            for text, why in FUNCTIONS[module, function](frame.f_locals):
                teller.tell(text, why)
        elif event == "c_call" and (why := BUILTINS.get((module, function, getattr(argument, "__name__", "")), "")):
            teller.tell(f"{argument.__name__}()", why)

    sys.setprofile(listen)


class _Teller:
    """Writes a call and what it is for; a reason that was just given is not given again, nor each path looked up."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._last = ""
        self._looked_up = False

    def tell(self, text: str, why: str) -> None:
        if text.startswith("openat2("):
            if self._looked_up:
                return
            self._looked_up = True
        reason = "" if why == self._last else f"        {why}\n"
        self._last = why
        os.write(self._fd, f"{os.getpid():>7} {text}\n{reason}".encode(errors="backslashreplace"))
