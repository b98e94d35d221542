"""inspector.hollow: which containers are without their application, from processes written down here."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.hollow import hollow, remember
from inspector.members import Evidence, Member, Structure, is_wrapper
from inspector.shellscript import background

TAIL = ("tail", "tail", "-f", "/dev/null")  # name and arguments


def member(
    pid: int,
    comm: str,
    *argv: str,
    ppid: int = 1,
    start: int = 100,
    state: str = "S",
    session: int = 1,
    tty: int = 0,
    dead_ticks: int = 0,
) -> Member:
    """Return a process; PID 1 is the container's first."""
    return Member(pid, start, ppid if pid != 1 else 0, comm, argv or (comm,), state, session, tty, dead_ticks)


def container(
    *members: Member, now: int = 100_000, script: str = "", changed: int | None = None
) -> Structure:
    """Return a container of these processes."""
    return Structure(members[0], members, now, 2, script, changed)


def verdict(*looks: Structure) -> Evidence | None:
    """Judge the last look after the ones before it."""
    memory = None
    for look in looks[:-1]:
        memory = remember(look, memory)
    return hollow(looks[-1], memory)


SHELL = member(1, "sh", "sh", "-c", "x")
SLEEP = member(8, "sleep", "sleep", "1", start=5000)
ENDLESS = member(9, *TAIL, start=101)
SERVER = member(2, "server")
FORKED = SHELL._replace(pid=3, ppid=1, starttime_ticks=99_990)
SUPERVISOR = member(1, "supervisord", "/usr/bin/python3", "/usr/bin/supervisord")
S6 = (member(1, "s6-svscan"), member(2, "s6-supervise", "s6-supervise", "web"))


def supervised(
    *supervisor: Member, now: int, start: int | None = None, state: str = "S", changed: int | None = None
) -> Structure:
    """Return a container of a supervisor, and of one program where that has a `start`."""
    program = () if start is None else (member(50, "web", start=start, state=state),)
    return container(*(supervisor or (SUPERVISOR,)), *program, now=now, changed=changed)


@pytest.mark.parametrize(
    "look",
    [
        container(member(1, "sleep", "sleep", "infinity")),
        container(member(1, *TAIL)),
        container(member(1, "docker-init", "docker-init", "--", "sleep", "infinity"), member(9, "sleep")),
        container(member(1, "nginx"), member(2, "nginx")),
        container(member(1, "catatonit", "catatonit", "-P")),
        container(SHELL),
        container(SHELL, SLEEP),
        container(SHELL, ENDLESS),
        container(SHELL, SERVER, ENDLESS, script="gone & server & tail -f x"),
        container(member(1, "bash", tty=34816), SLEEP, script="server & sleep 1"),
        container(
            member(1, "tini"), member(3, "bash", start=1, tty=34816), SLEEP._replace(ppid=3), script="server & sleep 1"
        ),
        container(SUPERVISOR, SERVER),
    ],
)
def test_idle_or_by_design_is_never_hollow(look: Structure) -> None:
    """However often one looks: without a trace of an application that is gone nothing is said."""
    assert verdict(look, look, look) is None


@pytest.mark.parametrize(
    ("looks", "rule", "name"),
    [
        ([container(SHELL, SERVER, SLEEP), container(SHELL, SLEEP)], "seen", "server (PID 2) ran beside"),
        ([container(SHELL, SERVER, ENDLESS), container(SHELL, ENDLESS), container(SHELL, ENDLESS)], "seen", "server"),
        # What waits is PID 1 itself, beside another one.
        ([container(member(1, *TAIL), member(3, *TAIL), SERVER), container(member(1, *TAIL), member(3, *TAIL))],
         "seen", "server (PID 2) ran beside"),
        # Between one `sleep` and the next.
        ([container(SHELL, SERVER, SLEEP), container(SHELL, SLEEP), container(SHELL)], "seen", "server"),
        ([container(SHELL, SERVER, SLEEP), container(SHELL, SLEEP), container(SHELL, FORKED)], "seen", "server"),
        ([container(SHELL, SLEEP, script="sleep 2; server & sleep 1"),
          container(SHELL, SLEEP._replace(argv=()), script="sleep 2; server & sleep 1")], "named", "server"),
        ([container(SHELL, SERVER), container(SHELL, ENDLESS)], "seen", "server (PID 2) ran before"),
        ([container(member(1, *TAIL), member(2, "server", state="Z"))], "zombie", "server (PID 2)"),
        # Of its own session whenever it began, of another one (`setsid server &`) when that was at the start.
        ([container(member(1, *TAIL), member(2, "server", state="Z", start=50_000))], "zombie", "server (PID 2)"),
        ([container(member(1, *TAIL), member(2, "server", state="Z", session=77))], "zombie", "server (PID 2)"),
        ([container(SHELL, ENDLESS, script="/opt/server -p 80 & tail -f /dev/null")], "named", "server"),
        ([container(SHELL, member(2, "server", state="Z"), SLEEP, script="server & sleep 1")], "named", "server"),
        ([container(member(1, "tini"), member(3, "sh", start=1), member(9, "sleep", ppid=3), script="srv & sleep 1")],
         "named", "srv"),
        ([container(SHELL, SLEEP, script="chown web /data & server & sleep 1")], "named", "starts server in"),
        ([container(SHELL, SLEEP, script="sleep 2; server & while sleep  1; do :; done")], "named", "server"),
        ([container(SHELL, member(8, "sleep", "sleep", "9"), script="server & sleep $N")], "named", "server"),
        ([container(SHELL, member(8, "busybox", "busybox", "sleep", "1"), script="srv & sleep 1")], "named", "srv"),
        ([container(member(1, "bash", "bash", "x", dead_ticks=60), ENDLESS)], "spent", "0.6 s"),
        # Two looks 1 s apart: it wrote its last line long ago, or one between the looks.
        ([supervised(now=now, changed=900) for now in (5000, 5100)], "supervisor", "given up, or was told to stop"),
        ([supervised(now=5000, changed=4990), supervised(now=5100, changed=5090)], "supervisor", "ends at once"),
        ([supervised(*S6, now=now, changed=900) for now in (5000, 5100)], "supervisor", "none of its programs (web)"),
        # What it writes cannot be seen.
        ([supervised(now=now) for now in range(5000, 5600, 100)], "supervisor", "none of its programs"),
        ([supervised(now=now, start=now - 90) for now in range(5000, 6600, 100)], "restarts", "`web` again and again"),
        ([supervised(now=now, start=now - 90 if now % 200 else None) for now in range(5000, 6600, 100)],
         "restarts", "`web` again and again"),
    ],
)  # fmt: skip
def test_each_trace_of_an_application_that_is_gone(looks: list[Structure], rule: str, name: str) -> None:
    """Every rule fires on its evidence, and names it."""
    found = verdict(*looks)
    assert found is not None
    assert found.rule == rule
    assert name in found.text


def test_no_more_than_three_are_named() -> None:
    """Of many that are gone a finding names the first three."""
    found = verdict(container(SHELL, SLEEP, script="a & b & c & d & sleep 1"))
    assert found is not None
    assert "its script starts a, b, c in the background" in found.text
    servers = [member(pid, f"server{pid}") for pid in range(2, 6)]
    found = verdict(container(SHELL, *servers, ENDLESS), container(SHELL, ENDLESS))
    assert found is not None
    assert ("server4 (PID 4)" in found.text, "server5" in found.text) == (True, False)


@pytest.mark.parametrize(
    "looks",
    [
        # It waits for something else before it starts the server.
        [container(SHELL, SLEEP, script="until nc -z db; do sleep 1; done; server & wait")],
        [container(SHELL, SLEEP, script="# server & sleep 1\nsleep 1\nserver &\nsleep 1")],
        [container(SHELL, SLEEP, script=". lib; server & wait_for_ever")],
        # A loop: a job, then a sleep, as cron would do it.
        [container(SHELL, member(2, "backup")), container(SHELL, SLEEP)],
        # The same with a pipeline: what feeds the job has ended with it.
        [container(SHELL, member(4, "cat", "cat", "/log", start=4800), member(5, "nc", start=4800)),
         container(SHELL, SLEEP), container(SHELL, SLEEP)],
        [container(SHELL, member(4, *TAIL, start=4800), member(5, "nc", start=4800)), container(SHELL, SLEEP)],
        # The job began with the sleep: the next one comes with the next sleep.
        [container(SHELL, member(2, "job", start=5000), SLEEP), container(SHELL, SLEEP)],
        # What a visitor left behind, long after the start.
        [container(member(1, *TAIL), member(2, "probe", state="Z", start=50_000, session=77))],
        # `sleep 5 & exec tail -f log`: a pause that is over is no application, and the tail may be the one.
        [container(member(1, *TAIL), member(2, "sleep", "sleep", "5")),
         container(member(1, *TAIL), member(2, "sleep", state="Z"))],
        # Work before the waiting began.
        [container(member(1, "bash", "bash", "x", dead_ticks=60), member(9, *TAIL, start=500))],
        # A shell that goes on behind its `sleep`: what it ran before, it may run again.
        [container(member(1, "bash", "bash", "x", dead_ticks=60), SLEEP._replace(starttime_ticks=101))],
        # A supervisor that has only just begun, or that runs something again.
        [supervised(now=200, changed=150), supervised(now=300, changed=250)],
        [supervised(now=5000), supervised(now=5100, start=5050)],
        # Between the end of a program and its next start, however often one looks.
        [supervised(now=now, changed=4990) for now in range(5000, 5300, 50)],
        [supervised(now=now) for now in range(5000, 5300, 50)],
        # One look came before it had written down that the program had ended.
        [supervised(now=4990, changed=900), supervised(now=5000, changed=4993), supervised(now=5080, changed=4993)],
        # What has ended waits to be noticed.
        [supervised(now=now, start=1000, state="Z", changed=900) for now in (5000, 5050, 5100)],
        # The second or third start succeeds.
        [supervised(now=now, start=now - now % 200) for now in range(5000, 6000, 100)]
        + [supervised(now=now, start=6000) for now in range(6000, 7500, 100)],
        # A program that ends by itself and is started anew: for years, seen now and then, and just then.
        [supervised(now=now, start=now - 90) for now in range(5000, 60_000, 6000)],
        # Workers that were started together.
        [container(SUPERVISOR, *(member(pid, "web", start=100) for pid in range(2, 9)), now=now) for now in (150, 250)],
        [container(SUPERVISOR, *(member(pid, "web", start=now - 90) for pid in range(2, 9)), now=now)
         for now in (5000, 5100, 5200)],
        # Preparations, and then `tail` by design.
        [container(SHELL, member(2, "migrate", start=99_000)), container(SHELL, ENDLESS)],
        # Preparations that end by their nature, in the background or for long: the loop or the `tail` is all there is.
        [container(SHELL, SLEEP, script="chown -R web /data & while :; do sleep 1; job; done")],
        [container(SHELL, member(2, "tar"), SLEEP), container(SHELL, SLEEP)],
        [container(SHELL, member(2, "cp", start=90_000)), container(SHELL, ENDLESS)],
        [container(member(1, *TAIL), member(2, "date", state="Z"))],
        [container(member(1, "bash", "bash", "x", dead_ticks=60), ENDLESS, script="gzip x & tail -f /dev/null")],
        # A copy of the shell that stays, or one that came while nothing was missing.
        [container(SHELL, SERVER, SLEEP), container(SHELL, SLEEP), container(SHELL, FORKED, now=101_000)],
        [container(SHELL, SLEEP), container(SHELL, FORKED)],
        # Another container under the same name.
        [container(SHELL, SERVER, ENDLESS), container(member(1, "sh", start=999), ENDLESS)],
    ],
)  # fmt: skip
def test_what_is_no_trace(looks: list[Structure]) -> None:
    """Jobs in a loop, visitors, set-up work and a start are told from a lost application."""
    assert verdict(*looks) is None


@pytest.mark.parametrize(
    ("script", "programs"),
    [
        ("server & tail -f log", ["server"]),
        ("/usr/bin/srv -p 80 >/dev/null 2>&1 &\nwhile :; do sleep 1; done", ["srv"]),
        ("X=1 nohup foo 'a & b' & # c &\n$APP & wait", ["foo"]),
        ("if x; then d & fi\nwhile :; do job & sleep 60; done", []),
        ("f() { x & }\nf & sleep 1", []),
        ('[ -n "$A" ] && srv & a &> log; b || c &', []),
        ("", []),
    ],
)
def test_what_a_script_leaves_in_the_background(script: str, programs: list[str]) -> None:
    """Plain commands that end in "&", not those of a condition, loop or function, nor those a variable names."""
    assert background(script) == programs


@given(st.text(alphabet="ab &|;\n'\"\\#(){}<>$", max_size=60))
def test_any_script_can_be_read(script: str) -> None:
    """Whatever stands in a script, reading it ends, and finds plain names."""
    assert all(name and "&" not in name for name in background(script))


def test_which_first_processes_are_looked_into() -> None:
    """A script goes by its interpreter, busybox by its program; of any other name it is the application."""
    assert is_wrapper("entrypoint", ("/bin/sh", "/entrypoint"))
    assert is_wrapper("exe", ("sleep", "1"))
    assert is_wrapper("supervisord", ("/usr/bin/python3", "/usr/bin/supervisord"))
    assert not is_wrapper("nginx", ("nginx",))
    assert not is_wrapper("python3", ("python3", "app.py"))
