"""What runtimes write down of a container's end: which file may tell, and how to read it. Pure.

LXC, containerd without Kubernetes, systemd-nspawn, bubblewrap and unshare
leave nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from inspector.errors import ParseError
from inspector.stores import Clues, sources
from inspector.stores.facts import mapping, moment, object_of, text

__all__ = ["EndSource", "Ending", "endings", "parse_cri", "parse_exit", "parse_state", "parse_unstarted"]

NEVER = "0001-01-01T00:00:00"
MOST_CODE = 1 << 31
LATEST = (1 << 63) - 1  # nanoseconds: time.Time.UnixNano() of Go


class Ending(NamedTuple):
    """How a container ended, as its runtime has it.

    `code` is 128 and the number of the signal where one ended it. `out_of_memory`: some process of it was killed for
    that; `ordered`: somebody asked the runtime to end it; `error` is what the runtime has to say, hostile text;
    `finished` in seconds since the epoch.
    """

    code: int | None = None
    out_of_memory: bool = False
    ordered: bool = False
    error: str = ""
    finished: float | None = None


class EndSource(NamedTuple):
    """A file that may tell; `parse` returns None for a container that runs."""

    store: str
    relative: str
    parse: Callable[[bytes], Ending | None]

    @property
    def path(self) -> str:
        """Return the file's whole path."""
        return f"{self.store}/{self.relative}"


def endings(runtime: str, clues: Clues) -> list[EndSource]:
    """Return the files that may tell how a container ended."""
    if runtime in ("docker", "sandbox"):
        return [EndSource(one.store, one.relative, parse_state) for one in sources(runtime, clues)]
    if runtime in ("podman", "cri-o"):
        # conmon writes the exit code there; Podman removes it again within seconds.
        usual = "/run/libpod/exits" if runtime == "podman" else "/run/crio/exits"
        places = dict.fromkeys((clues.option("--exit-dir"), usual))
        return [EndSource(place, clues.id, parse_exit) for place in places if place.startswith("/")]
    if runtime == "containerd":
        # containerd: internal/cri/store/container/status.go; the plugin's directory changed its name with 2.0.
        roots = dict.fromkeys((*clues.before("/io.containerd.snapshotter"), "/var/lib/containerd"))
        return [
            EndSource(f"{root}/{plugin}", f"containers/{clues.id}/status", parse_cri)
            for root in roots
            for plugin in ("io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime")
        ]
    return []


def _was(state: Mapping[str, object], key: str) -> bool:
    """Tell whether a time of a state is one: Go writes the year 1 for never."""
    return text(state.get(key))[: len(NEVER)] not in ("", NEVER)


def _code(value: object) -> int | None:
    return value if type(value) is int and abs(value) < MOST_CODE else None


# a file like {"State":{"Running":false,"Restarting":false,"ExitCode":137,"OOMKilled":false,"Error":"",
#   "FinishedAt":"2026-11-28T18:00:00Z"},"HasBeenManuallyStopped":true}
def parse_state(data: bytes) -> Ending | None:
    """Parse Docker's config.v2.json, or our sandbox's state.json."""
    document = object_of("the container's state", data)
    state = mapping(document.get("State"))
    runs = state.get("Running") is True and state.get("Restarting") is not True
    if runs or not _was(state, "FinishedAt"):
        return None
    return Ending(
        code=_code(state.get("ExitCode")),
        out_of_memory=state.get("OOMKilled") is True,
        ordered=document.get("HasBeenManuallyStopped") is True,
        error=text(state.get("Error")),
        finished=moment(state.get("FinishedAt")),
    )


def parse_unstarted(data: bytes) -> Ending | None:
    """Parse the same of a container that was never started, or could not be; None for another."""
    state = mapping(object_of("the container's state", data).get("State"))
    if _was(state, "StartedAt") or _was(state, "FinishedAt") or state.get("Running") is not False:
        return None
    return Ending(_code(state.get("ExitCode")), error=text(state.get("Error")))


# 137
def parse_exit(data: bytes) -> Ending | None:
    """Parse the file that conmon writes: the exit code alone."""
    found = data.strip()
    if not found.isdigit() or len(found) > 3:  # noqa: PLR2004  a byte, in decimal
        raise ParseError("the exit code of conmon", data)
    return Ending(int(found))


# a file like {"Version":"v1","Pid":0,"FinishedAt":1764350000000000000,"ExitCode":137,"Reason":"OOMKilled","Message":""}
def parse_cri(data: bytes) -> Ending | None:
    """Parse the status that containerd keeps of a container of Kubernetes."""
    status = object_of("status", data)
    finished = status.get("FinishedAt")
    if not isinstance(finished, int) or not 0 < finished <= LATEST:
        return None
    reason = text(status.get("Reason"))
    words = ": ".join(filter(None, (reason, text(status.get("Message")))))
    plain = reason in ("Completed", "Error", "OOMKilled") and not text(status.get("Message"))
    code, error = _code(status.get("ExitCode")), "" if plain else words
    return Ending(code, reason == "OOMKilled", error=error, finished=finished / 1e9)
