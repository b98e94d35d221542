"""What to do about each finding: the first step, in one or two sentences. No I/O."""
# ruff: noqa: E501  a table: one row, one line

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["ADVICE"]

ADVICE: Mapping[str, str] = {
    "hollow": "Look at its log for why the application ended, then restart the container. So that this ends it the next time, start the application with exec, as its first process.",
    "cpu-throttled": "Raise its quota, or give it fewer threads than the quota has cores. If only its latency suffers in bursts, allow cpu.max.burst, or take a longer period with the same share.",
    "cpu-throttled-by-ancestor": "Raise the quota of the cgroup that is named: a quota of its own would not help. All the containers below that cgroup share it.",
    "memory-near-limit": "Raise the limit, or make the application smaller (a heap limit, fewer workers): page cache is not counted here, so nothing is left to reclaim.",
    "oom-killed": "Raise the limit (of the cgroup above, where one is named) or find what grew: its history in ctop shows whether it grew steadily (a leak) or at once. The kernel's log (dmesg) names each process that was killed, and its size.",
    "cpu-stalled": "Others have the CPUs: sort by CPU to see who. Give it a larger weight (cpu.weight, --cpu-shares) or CPUs of its own (--cpuset-cpus), or limit the others. If nobody else is busy, a quota stops it that cannot be seen from here: one further up, or in it.",
    "memory-stalled": "Its working set does not fit: raise its limit, memory.high too (which slows it down and never kills), or give it less to do. If it has neither, or is far from both, the machine is short of memory.",
    "io-stalled": "See by what it reads and writes whether it fills the disk itself: who only copies files waits like this by nature. If not, a neighbour fills the disk, or its io.max is low.",
    "pids-near-limit": "Look in the process list for what multiplies (zombies that nobody waits for, a pool without a bound), or raise pids.max.",
    "host-network": "Give it a network of its own and publish the ports it needs. If it must stay, bind its services to the addresses they are for: everything on the host's loopback is open to it.",
    "host-pid": "Start it without the host's PID namespace (--pid=host, hostPID: true), unless it is there to watch the host.",
    "all-capabilities": "Drop all capabilities and add the few it needs (--cap-drop ALL --cap-add ...), or give it a user namespace.",
    "cpu-was-throttled": "It was throttled before and is not now: if its users noticed, raise the quota; else leave it.",
    "chroot-only": "chroot is no wall to root. Start it in namespaces of its own, with pivot_root, and not as root.",
    "proc-misleads": "Tell the application what it may use: set its number of threads and its heap from the limits, or use lxcfs, which makes /proc say so.",
    "zombies": "Let a first process wait for them: an init (docker run --init, tini), or the parent that is named, once it is mended. Until it ends they cannot be removed.",
    "privileged": "Start it without --privileged, and give it the one capability or device it needs.",
    "host-path-writable": "Mount only the directory it needs, or mount it read-only.",
    "host-path-readable": "Mount only the directory it needs: what is in it now are the host's secrets.",
    "host-root": "Give it a root filesystem of its own (an image, or a directory), with the host's paths that it needs.",
    "runtime-socket": "Do not mount the socket. Who needs a part of that API can have a proxy that lets only it through.",
    "host-devices": "Allow only the devices it needs (--device), and drop CAP_MKNOD.",
    "host-proc": "Mount a /proc of its own PID namespace, and not the host's.",
    "proc-sys-writable": "Mount /proc/sys read-only, as runtimes do by default; set the sysctls it needs from outside.",
    "sys-writable": "Mount /sys read-only, as runtimes do by default.",
    "writable-cgroup": "Mount its cgroups read-only, or give it a cgroup namespace and a subtree delegated to a user other than root.",
    "dangerous-capability": "Drop that capability (--cap-drop) unless the application needs it, or give it a user namespace, in which it reaches no further than that.",
    "seccomp-off": "Start it with the runtime's default seccomp profile: do not use seccomp=unconfined.",
    "host-ipc": "Start it with an IPC namespace of its own (without --ipc=host, hostIPC: true).",
    "root-of-host": "Run it as another user, or with a user namespace (--userns, hostUsers: false).",
    "may-gain-privileges": "Set no_new_privs (--security-opt no-new-privileges, allowPrivilegeEscalation: false).",
}
"""By finding code: each that the README lists."""
