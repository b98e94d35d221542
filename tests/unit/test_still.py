"""Documents one after the other: what stands still is not written anew, and is what it would be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from inspector.document import document
from inspector.kernel.controllers import Cpu, Cpuset, CpuUsage, Freezer, Memory, Pids, Pressure, Reading
from inspector.kernel.namespaces import INITIAL
from inspector.model import Container, Key, Observation, Tally
from inspector.still import Documents
from tests.unit.parts import container, interface, leader, observation, process

NETWORK = 4026560000
FEW = st.integers(0, 1)


def made(name: str) -> Container:
    """Return a container with a network namespace that it shares with the other."""
    own = leader(process(100, 4026540001, 4026550001), f"/docker/{name}")
    return container(name, leader=own._replace(namespaces={**INITIAL, "net": NETWORK}))


@st.composite
def looks(draw: st.DrawFn) -> list[Observation]:
    """Return looks at a machine on which a few figures, of all sorts, change now and then."""
    seen = []
    for at in range(draw(st.integers(1, 8))):
        readings: dict[Key, Reading] = {
            ("cpu", "/docker"): Cpu(10000 << draw(FEW), 100000, periods=draw(FEW), throttled_periods=0),
            ("memory", "/docker"): Memory(draw(FEW), limit_bytes=4 << draw(FEW), locked_and_anon_bytes=4 * draw(FEW)),
            ("pids", "/docker"): Pids(draw(FEW), limit=1 + draw(FEW)),
            ("cpuset", "/docker"): Cpuset(f"0-{draw(FEW)}"),
        }
        for name in ("web", "db"):
            path = f"/docker/{name}"
            readings |= {
                ("cpuacct", path): CpuUsage(draw(FEW), 0, 0), ("cpu", path): Cpu(None, 100000, periods=draw(FEW)),
                ("memory", path): Memory(usage_bytes=draw(FEW), limit_bytes=8), ("pids", path): Pids(draw(FEW)),
                ("freezer", path): Freezer(bool(draw(FEW))), ("pressure", path): Pressure(draw(FEW)),
            }  # fmt: skip
        every = [made("web"), made("db")._replace(members=(100, 101)[: 1 + draw(FEW)])]
        one = observation(
            1000.0 + at * draw(FEW),
            containers=every[: 2 - (draw(st.integers(0, 5)) == 0)],
            readings=readings,
            interfaces={NETWORK: (interface("eth0", draw(FEW), 0),)},
            tallies={"db": Tally({}, draw(FEW), 1)} if draw(FEW) else {},
        )
        hollow = {"web": "gone"} if draw(FEW) else {}
        seen.append(one._replace(hollow=hollow, inodes=dict.fromkeys(readings, draw(FEW))))
    return seen


@given(looks())
def test_whatever_stood_still_the_document_is_the_same(seen: list[Observation]) -> None:
    """Each document is what it would be if all of it were written anew."""
    documents = Documents()
    before = None
    for after in seen:
        assert documents.document(before, after) == document(before, after)
        before = after


def test_what_stands_still_is_not_written_anew() -> None:
    """Of two containers, one busy, the other's part is the same object from the second time on, whatever both use."""
    documents = Documents()
    before, parts = None, []
    for at in range(4):
        readings: dict[Key, Reading] = {
            ("cpuacct", "/docker/web"): CpuUsage(at, 0, 0),
            ("cpuacct", "/docker/db"): CpuUsage(5, 0, 0),
            ("memory", "/docker"): Memory(usage_bytes=at, limit_bytes=8),
        }
        after = observation(1000.0 + at, containers=[container("web"), container("db")], readings=readings)
        parts.append(documents.document(before, after)["containers"])
        before = after
    assert parts[2][1] is parts[1][1]
    assert parts[3][1] is parts[1][1]
    assert parts[3][0] is not parts[2][0]
    # Whoever leaves out a look has all of it written.
    others = observation(1000.0), observation(1009.0)
    assert documents.document(*others) == document(*others)


def test_a_neighbour_that_takes_what_is_left_is_told_of_who_stands_still() -> None:
    """When the cgroup above gets full, or has room again, the finding comes and goes though nothing else moves."""
    documents = Documents()
    before, told = None, []
    for at, tasks in enumerate((5, 5, 10, 10, 5)):
        readings: dict[Key, Reading] = {("pids", "/docker/web"): Pids(1), ("pids", "/docker"): Pids(tasks, limit=10)}
        after = observation(1000.0 + at, containers=[container("web")], readings=readings)
        (one,) = documents.document(before, after)["containers"]
        told.append([each["code"] for each in one["findings"] if each["code"] == "pids-near-limit"])
        before = after
    assert told == [[], [], ["pids-near-limit"], ["pids-near-limit"], []]
