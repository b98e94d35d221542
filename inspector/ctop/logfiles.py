"""Where a runtime keeps what a container has said, and how a line of it reads. Read as data, and never trusted.

- Docker: <root>/containers/<id>/<id>-json.log (moby daemon/logger/jsonfilelog);
  its driver "local" writes local-logs/container.log, which only Docker reads
- our sandbox: <root>/containers/<id>/log.jsonl, the same records
- Podman, log driver k8s-file: <graphroot>/overlay-containers/<id>/userdata/ctr.log
- Kubernetes, by whatever runtime: /var/log/pods/<namespace>_<pod>_<uid>/<container>/<restarts>.log (CRI)
- LXC: what lxc.console.logfile of <lxcpath>/<name>/config names
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from inspector.errors import ParseError
from inspector.kernel.host import Host
from inspector.kernel.mounts import read_root_mount
from inspector.kernel.process import read_stat
from inspector.runtimes import match
from inspector.schema import Container
from inspector.stores import Clues, Source, sources

__all__ = ["Form", "LogFile", "find", "parse_line"]

Form = Literal["json", "cri", "raw"]
PODS = "/var/log/pods"
CONFIG_BYTES = 1 << 20
CMDLINE_BYTES = 4096
CONSOLE = re.compile(r"^\s*lxc\.console\.logfile\s*=\s*(/\S.*?)\s*$", re.MULTILINE)
# 2016-10-06T00:17:09.669794202Z stdout P part of a line
CRI_LINE = re.compile(r"(?P<time>\S+) (?P<stream>stdout|stderr) (?P<tags>\S+) (?P<text>.*)", re.DOTALL)
# Kubernetes' names, as labels of containerd's CRI, of CRI-O and of Docker's shim.
NAMES = (
    ("io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"),
    ("io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"),
    ("io.kubernetes.cri.sandbox-uid", "io.kubernetes.pod.uid"),
    ("io.kubernetes.cri.container-name", "io.kubernetes.container.name"),
)


class LogFile(NamedTuple):
    """One file, below a directory whose owner is trusted: no link below it is followed."""

    store: str
    relative: str
    form: Form

    @property
    def path(self) -> str:
        """Return the whole path."""
        return f"{self.store}/{self.relative}"


def find(host: Host, container: Container) -> LogFile | None:
    """Return the file with a container's output, or None where its runtime is not known to keep one."""
    return next((file for file in candidates(host, container) if _exists(host, file)), None)


def _exists(host: Host, file: LogFile) -> bool:
    try:
        host.read_inside(file.store, file.relative, 0)
    except FileNotFoundError:
        return False
    except OSError:  # it is there, and reading it will say what is wrong
        return host.access(file.path)
    return True


def candidates(host: Host, container: Container) -> Iterator[LogFile]:
    """Yield the files it may be, the likeliest first."""
    runtime = container["runtime"] or ""
    for source in sources(runtime, _clues(host, container)):
        directory, _, _ = source.relative.rpartition("/")
        if runtime == "docker":
            yield LogFile(source.store, f"{directory}/{directory.rpartition('/')[2]}-json.log", "json")
        elif runtime == "sandbox":
            yield LogFile(source.store, f"{directory}/log.jsonl", "json")
        elif directory.endswith("/userdata"):
            yield LogFile(source.store, f"{directory}/ctr.log", "cri")
        elif runtime == "lxc":
            yield from _console(host, source)
    yield from _pod(host, container["labels"])


def _clues(host: Host, container: Container) -> Clues:
    """Look at the first process once more: who started it, and which directory its runtime keeps for it."""
    pid = container["pid"]
    parent, directory, kept_in = b"", "", ""
    try:
        above = read_stat(host, pid or 0).ppid
        _, kept_in = read_root_mount(host, pid or 0)
        parent = host.read_prefix(f"/proc/{above}/cmdline", CMDLINE_BYTES)
        directory = host.readlink(f"/proc/{above}/cwd")
    except (OSError, ParseError):
        pass
    words = parent.rstrip(b"\0").replace(b"\0", b" ").decode(errors="surrogateescape").split(" ")
    # A name that is not unique, as LXC's, is in the id with its cgroup's path.
    matched = match(container["id"]) if container["id"].startswith("/") else None
    identifier = matched.id if matched else container["id"]
    return Clues(identifier, container["rootfs"]["upper"] or "", tuple(words), directory, kept_in)


def _console(host: Host, source: Source) -> Iterator[LogFile]:
    try:
        text = host.read_inside(source.store, source.relative, CONFIG_BYTES).decode(errors="surrogateescape")
    except OSError:
        return
    for path in CONSOLE.findall(text)[-1:]:
        directory, _, name = path.rpartition("/")
        yield LogFile(directory or "/", name, "raw")


def _pod(host: Host, labels: dict[str, str]) -> Iterator[LogFile]:
    found = [next((labels[key] for key in keys if labels.get(key)), "") for keys in NAMES]
    if not all(found) or any("/" in part or part.startswith(".") or not part.isprintable() for part in found):
        return
    namespace, pod, uid, name = found
    directory = f"{namespace}_{pod}_{uid}/{name}"
    try:
        numbers = [int(entry[:-4]) for entry in host.listdir(f"{PODS}/{directory}") if re.fullmatch(r"\d+\.log", entry)]
    except OSError:
        return
    if numbers:
        yield LogFile(PODS, f"{directory}/{max(numbers)}.log", "cri")


def parse_line(form: Form, line: str) -> tuple[str, str, str]:
    """Return time, stream and text of one line; what is not of that form is shown as it stands."""
    if form == "json":
        try:
            record = json.loads(line)
            return str(record.get("time", "")), str(record.get("stream", "")), str(record["log"]).rstrip("\r\n")
        except (ValueError, KeyError, AttributeError, RecursionError):
            return "", "", line
    match = CRI_LINE.fullmatch(line) if form == "cri" else None
    return (match["time"], match["stream"], match["text"]) if match else ("", "", line.rstrip("\r"))
