"""What a container's manager tells those inside of it: who it is, and for Podman the container's name and image.

systemd's container interface (systemd.io/CONTAINER_INTERFACE): `container=`
in the environment of PID 1, /run/host/container-manager, and
/run/systemd/container, where systemd as PID 1 writes it down for ordinary
users. Then what Podman (/run/.containerenv) and Docker (/.dockerenv) leave, in
the order of systemd's own detect_container (src/basic/virt.c). A machine that
was made out of a Docker image has Docker's file too: it counts only beside the
directory that Docker binds files of into its containers. Whoever is root
inside can write all of them, and an environment is inherited: they are good
for a name, and for nothing else.
"""

from __future__ import annotations

import re

from inspector.absence import Absence
from inspector.kernel.host import Host
from inspector.kernel.process import read_variable
from inspector.model import Told

__all__ = ["parse_containerenv", "read_told"]

MOST_BYTES = 4096
# Those who call themselves otherwise than they are called here; "oci" is any of several, which its files tell apart.
NAMES = {"systemd-nspawn": "nspawn", "oci": ""}
WORD = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}", re.ASCII)  # "a short lowercase string"
ID = re.compile(r"[0-9a-f]{64}", re.ASCII)
SETTING = re.compile(r'(\w+)="([^"\\]*)"', re.ASCII)
FILES = (("/run", "host/container-manager"), ("/run", "systemd/container"))


def read_told(host: Host, absence: Absence, kept_in: str = "", *, own_first: bool) -> Told | None:
    """Read who made the container that we are in; `own_first`: process 1 is in it, not the machine's.

    `kept_in` is the directory that our /etc/hostname comes from.

    Where the environment of PID 1 may not be read, our own, which most inherit from it, is taken.
    """

    def text(store: str, relative: str) -> str | None:
        data = absence.attempt(f"{store.rstrip('/')}/{relative}", host.read_inside, store, relative, MOST_BYTES)
        return None if data is None else data.decode(errors="replace")

    def variable(pid: str) -> str | None:
        return absence.attempt(f"process {pid}", read_variable, host, pid, "container")

    environment = variable("1") if own_first else None
    whose = "the environment of PID 1"
    if environment is None:
        environment, whose = variable(host.viewer), "our own environment"
    first, second = ((text(*place), "/".join(place)) for place in FILES)
    answers = ((_runtime(value or ""), source) for value, source in (first, (environment, whose), second))
    runtime, source = next((answer for answer in answers if answer[0]), ("", ""))
    if runtime in ("", "podman", "buildah"):
        containerenv = text("/run", ".containerenv")
        if containerenv is not None:
            told = parse_containerenv(containerenv)
            return told._replace(runtime=runtime, source=source) if runtime else told
    kept = ID.fullmatch(kept_in.rpartition("/")[2])
    if not runtime and kept and text("/", ".dockerenv") is not None:
        return Told("docker", "/.dockerenv")
    return Told(runtime, source) if runtime else None


def _runtime(value: str) -> str:
    word = value.strip()
    return NAMES.get(word, word) if WORD.fullmatch(word) else ""


# lines like engine="podman-4.3.1", name="web", id="7d1dd8a993e0d176a6...", image="docker.io/library/nginx:1"
def parse_containerenv(text: str) -> Told:
    """Parse /run/.containerenv, which Podman fills for privileged containers only and Buildah always."""
    found = dict(SETTING.findall(text))
    engine = _runtime(found.get("engine", "").rpartition("-")[0])
    return Told(
        engine or "podman", "/run/.containerenv", found.get("id", ""), found.get("name", ""), found.get("image", "")
    )
