"""Close looks made by hand for the tests of a container's page: a test changes only what it is about."""

from __future__ import annotations

from typing import Any, cast

from inspector.closeup import Address, Chain, Closeup, Level, Listener, Part, Thread, Traffic
from inspector.layers import Volume
from inspector.report import LimitLine, Namespace, Report

__all__ = ["closeup", "namespace", "report"]

MIB = 2**20
OWN = "/docker/aaaa"
ALL: frozenset[Part] = frozenset({"report", "limits", "network", "threads"})


def namespace(inode: int, *, hosts: bool | None = False, containers: list[str] | None = None) -> Namespace:
    """Return one namespace of three processes."""
    return {
        "inode": inode, "same_as_host": hosts, "processes": 3, "containers": containers or ["web"],
        "owner": 4026531837, "parent": None,
    }  # fmt: skip


def _no_limit() -> LimitLine:
    return {"kind": "limit", "own": None, "value": None, "set_by": None, "chain": [], "hidden_ancestors": False}


NAMESPACES = {
    "cgroup": namespace(4026531835, hosts=True),
    "ipc": namespace(4026532001),
    "mnt": namespace(4026532000),
    "net": namespace(4026532003, containers=["web", "sidecar"]),
    "pid": namespace(4026531836, hosts=True, containers=["web", "db", "cache"]),
    "time": namespace(4026531834, hosts=True),
    "user": namespace(4026531837, hosts=True),
    "uts": namespace(4026532005),
}
SECURITY = {
    "uid": 0, "gid": 0,
    "uid_map": [{"inside": 0, "outside": 0, "length": 4294967295}], "gid_map": None,
    "capabilities": {
        "effective": ["CAP_CHOWN", "CAP_KILL", "CAP_SYS_ADMIN"], "permitted": [], "inheritable": [],
        "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_SYS_ADMIN"], "ambient": [],
    },
    "seccomp": "filter", "seccomp_filters": 1, "no_new_privs": False, "lsm": "docker-default (enforce)",
    "devices": ["c 1:3 rwm"], "devices_note": None, "masked_paths": ["/proc/kcore"], "read_only_paths": ["/proc/sys"],
}  # fmt: skip
FINDINGS = [
    {"code": "runtime-socket", "severity": "critical",
     "text": "/run/docker.sock is mounted at /var/run/docker.sock: who may connect to it controls the host"},
    {"code": "dangerous-capability", "severity": "critical",
     "text": "CAP_SYS_ADMIN lets it mount filesystems and administer nearly everything"},
    {"code": "may-gain-privileges", "severity": "info",
     "text": "no_new_privs is off: setuid programs and file capabilities in it work"},
]  # fmt: skip


def report(**changes: object) -> Report:
    """Return what nsinspect says of the first process of "web"."""
    row: dict[str, Any] = {
        "schema": 1, "pid": 4242, "pids": [4242, 1], "comm": "nginx", "cmdline": "nginx -g daemon off;",
        "container": "web-0123456789abcdef", "container_name": "web", "namespaces": NAMESPACES, "cgroups": [],
        "limits": {
            "cpu": _no_limit(), "memory": _no_limit(), "pids": _no_limit(), "cpuset": _no_limit(), "cpu_own": None,
            "memory_others": {}, "io": [], "hugetlb": {}, "above": [],
        },
        "rootfs": {"type": "overlay", "source": "overlay", "read_only": False, "lower": ["/l/two", "/l/one"],
                   "upper": "/l/up/diff", "work": "/l/up/work", "merged": None},
        "chroot": None,
        "mounts": [
            {"mountpoint": "/data", "type": "ext4", "source": "/dev/vda1", "source_root": "/srv", "read_only": False,
             "options": ["rw"], "propagation": []},
            {"mountpoint": "/etc/hosts", "type": "ext4", "source": "/dev/vda1", "source_root": "/x/hosts",
             "read_only": False, "options": ["rw"], "propagation": []},
            {"mountpoint": "/tmp", "type": "tmpfs", "source": "tmpfs", "source_root": "/",  # noqa: S108
             "read_only": False, "options": ["rw"], "propagation": []},
            {"mountpoint": "/proc", "type": "proc", "source": "proc", "source_root": "/", "read_only": False,
             "options": ["rw"], "propagation": []},
            {"mountpoint": "/proc/keys", "type": "tmpfs", "source": "tmpfs", "source_root": "/", "read_only": True,
             "options": ["ro"], "propagation": []},
        ],
        "security": SECURITY, "proc_says": {}, "really_has": {}, "findings": FINDINGS,
        "unreadable": [{"what": "the host's mounts", "error": "Permission denied", "needs": "CAP_SYS_PTRACE"}],
    }  # fmt: skip
    return cast("Report", {**row, **changes})


CHAINS = (
    Chain("cpu", "cores", 0.2, "/docker", (
        Level(OWN, 0.5, 0.19), Level("/docker", 0.2, 0.195), Level("/", 2, 0.6, machine=True))),
    Chain("memory", "bytes", 64 * MIB, OWN, (
        Level(OWN, 64 * MIB, 12 * MIB), Level("/docker", None, 40 * MIB), Level("/", 8192 * MIB, None, machine=True))),
    Chain("pids", "tasks", None, None, (Level(OWN, None, 5),), hidden=True),
    Chain("io 8:0 read", "bytes/s", 1024.0, OWN, (Level(OWN, 1024.0, 1000.0),)),
)  # fmt: skip
TRAFFIC = (
    Traffic("lo", 0.0, 0.0, 0.0, 0.0, 0, 0, 0, 0, 0, 0),
    Traffic("eth0", 2048.0, 512.0, 3.0, 2.0, 5 * MIB, MIB, 0, 0, 7, 0),
)
LISTENERS = (
    Listener("tcp", "0.0.0.0", 80, 0, 700),  # noqa: S104  what the test is about
    Listener("tcp", "127.0.0.1", 9000, 33, 701),
    Listener("udp6", "::1", 53, 4242, 702),
)
VOLUMES = (
    Volume("bind", "/srv", "/data", read_only=False, fstype="ext4"),
    Volume("runtime", "/var/lib/docker/containers/x/hosts", "/etc/hosts", read_only=False, fstype="ext4"),
    Volume("tmpfs", None, "/tmp", read_only=False, fstype="tmpfs"),  # noqa: S108  a path inside the container
)


def closeup(container: str = "web-0123456789abcdef", **changes: object) -> Closeup:
    """Return a close look at everything of "web"."""
    made = Closeup(
        container=container,
        taken_at=1_700_093_600.0,
        parts=ALL,
        report=report(),
        chains=CHAINS,
        traffic=TRAFFIC,
        addresses=(Address("lo", "127.0.0.1"), Address("eth0", "172.17.0.2"), Address("eth0", "fe80::1")),
        listeners=LISTENERS,
        holders={700: 4242, 701: 4243},
        threads={4242: (Thread(4242, "nginx", "S", 0.0, 1.0), Thread(4250, "aio-worker", "R", 0.15, 2.5))},
        users={0: "root", 33: "www-data"},
        volumes=VOLUMES,
    )
    return made._replace(**changes)  # type: ignore[arg-type]  # mypy cannot check them by name
