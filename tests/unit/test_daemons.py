"""inspector.daemons: names from an API socket, whatever sits behind it."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from inspector.daemons import MOST_BYTES, Names
from inspector.model import Observation
from inspector.observe import Observer
from tests.fakehost import FakeHost
from tests.testbed.processes import until
from tests.unit.observing import ID, one, own

ENTRY = {"Id": ID, "Names": ["/web"], "Image": "nginx:1.27", "Labels": {"a": "b"}}
PATIENCE = 60.0
Answer = Callable[[socket.socket, threading.Event], None]


def answer(body: bytes, *headers: str, status: str = "200 OK") -> Answer:
    """Answer once with a body, and close."""
    head = "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode()
    return lambda client, _: client.sendall(head + body)


def raw(data: bytes) -> Answer:
    """Answer with these bytes, and close."""
    return lambda client, _: client.sendall(data)


def drip(client: socket.socket, ended: threading.Event) -> None:
    """Send a byte now and then, for ever."""
    client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while not ended.wait(0.02):
        client.sendall(b"[")


def flood(client: socket.socket, ended: threading.Event) -> None:
    """Send as fast as it is taken, for ever."""
    while not ended.is_set():
        client.sendall(b"x" * 65536)


def hang(_: socket.socket, ended: threading.Event) -> None:
    """Take the question and say nothing."""
    ended.wait(PATIENCE)


@contextmanager
def serving(directory: Path, answered: Answer) -> Iterator[tuple[str, list[bytes]]]:
    """Serve a socket; gives its path and the questions that came."""
    path, questions, ended = str(directory / "api.sock"), [], threading.Event()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(path)
        server.listen()

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client:
                    questions.append(client.recv(4096))
                    try:
                        answered(client, ended)
                    except OSError:
                        continue  # who asked has heard enough

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield path, questions
        finally:
            ended.set()
            server.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE)


@pytest.fixture
def seen(tmp_path: Path) -> Observation:
    """Observe a machine with a Docker container that no file names, and one that a file names."""
    other = "c" * 64
    fake = FakeHost(tmp_path).process(70, cgroups=f"/docker/{ID}", namespaces=own(1))
    fake.process(80, cgroups=f"/docker/{other}", namespaces=own(2))
    fake.file(f"/var/lib/docker/containers/{other}/config.v2.json", '{"Name": "/known"}')
    with fake.open() as host:
        return Observer(host, groups=False).tick()


def named(seen: Observation, names: Names) -> str:
    """Return what the nameless container is called now."""
    return one(names.named(seen), ID).name


@pytest.mark.parametrize(
    "answered",
    [
        pytest.param(answer(json.dumps([7, {"Id": 5}, ENTRY]).encode()), id="until it closes"),
        pytest.param(answer(json.dumps([ENTRY]).encode() + b"trailing", f"Content-Length: {len(json.dumps([ENTRY]))}"),
                     id="length"),
        pytest.param(answer(b"%x\r\n%s\r\n0\r\n\r\n" % (len(json.dumps([ENTRY])), json.dumps([ENTRY]).encode()),
                            "Transfer-Encoding: chunked"), id="chunked"),
    ],
)  # fmt: skip
def test_the_socket_names_what_no_file_names(tmp_path: Path, seen: Observation, answered: Answer) -> None:
    """Name, image and labels come from the API; a container that a file names keeps that, and is told nothing else."""
    with serving(tmp_path, answered) as (path, questions):
        names = Names(path, PATIENCE)
        after = names.named(seen)
    found = one(after, ID)
    assert (found.name, found.image, found.labels) == ("web", "nginx:1.27", {"a": "b"})
    assert found.evidence[-1] == "named by its runtime's socket"
    assert one(after, "c" * 64) == one(seen, "c" * 64)
    assert after.problems == seen.problems
    assert [question.split(b"\r\n")[0] for question in questions] == [b"GET /containers/json HTTP/1.1"]


@pytest.mark.parametrize(
    ("answered", "problem"),
    [
        pytest.param(hang, "no answer within 0.2 s", id="hangs"),
        pytest.param(drip, "no answer within 0.2 s", id="drips"),
        pytest.param(answer(b"", "Content-Length: 100"), "its answer is not HTTP", id="cut off"),
        pytest.param(raw(b""), "its answer is not HTTP", id="nothing"),
        pytest.param(raw(b"\x00\xff\x1b[31m" * 100), "its answer is not HTTP", id="garbage"),
        pytest.param(raw(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000), "its answer is not HTTP", id="headers"),
        pytest.param(answer(b"[]", "Content-Length: " + "9" * 30), "its answer is not HTTP", id="length"),
        pytest.param(answer(b"f" * 40 + b"\r\n[]", "Transfer-Encoding: chunked"), "its answer is not HTTP", id="chunk"),
        pytest.param(answer(b"{}", status="500 No"), "it answers with status 500", id="status"),
        pytest.param(answer(b"\xff["), "its answer is not JSON", id="no JSON"),
        pytest.param(answer(b"[" * 100_000), "its answer is not JSON", id="nested without end"),
        pytest.param(answer(b'{"Id": 1}'), "its answer is not a list of containers", id="other JSON"),
    ],
)
def test_whatever_answers(tmp_path: Path, seen: Observation, answered: Answer, problem: str) -> None:
    """An answer that never comes, never ends or makes no sense is one line, and the container keeps its id."""
    with serving(tmp_path, answered) as (path, questions):
        names = Names(path, 0.2 if "0.2 s" in problem else PATIENCE)
        after = names.named(seen)
        assert one(after, ID) == one(seen, ID)
        assert after.problems == (*seen.problems, f"{path}: {problem}")
        assert names.named(seen).problems == after.problems
        until(lambda: questions, "the question")
    assert len(questions) == 1  # what failed is not asked again


def test_an_endless_answer(tmp_path: Path, seen: Observation) -> None:
    """An answer without end is given up when it is larger than any sane one."""
    with serving(tmp_path, flood) as (path, _):
        (problem,) = Names(path, PATIENCE).named(seen).problems
    assert problem == f"{path}: its answer is larger than {MOST_BYTES >> 20} MiB"


@pytest.mark.parametrize(
    "entry",
    [
        {"Id": ID}, {"Id": ID, "Names": None, "Image": 5, "Labels": [1]}, {"Id": ID, "Names": [{}]},
        {"Id": "d" * 64, "Names": ["/other"]},
    ],
)  # fmt: skip
def test_an_entry_of_another_shape(tmp_path: Path, seen: Observation, entry: dict[str, object]) -> None:
    """An entry without a name, or of a container that is not ours, gives none; nothing breaks."""
    with serving(tmp_path, answer(json.dumps([entry]).encode())) as (path, _):
        names = Names(path, PATIENCE)
        assert named(seen, names) == ID[:12]
        assert names.problems == []


@pytest.mark.parametrize("place", ["nothing", "a file", "a fifo", "a directory", "long" * 60])
def test_a_path_that_is_no_socket(tmp_path: Path, seen: Observation, place: str) -> None:
    """Where no socket listens, that is one line at once."""
    path = tmp_path / place
    if place == "a file":
        path.touch()
    elif place == "a fifo":
        os.mkfifo(path)
    elif place == "a directory":
        path.mkdir()
    (problem,) = Names(str(path)).named(seen).problems
    assert problem.startswith(f"{path}: ")


def test_it_asks_only_when_a_container_is_new(tmp_path: Path, seen: Observation) -> None:
    """The socket is asked once for a container; where every name is known, never."""
    with serving(tmp_path, answer(json.dumps([ENTRY]).encode())) as (path, questions):
        names = Names(path, PATIENCE)
        known = seen._replace(containers=tuple(c for c in seen.containers if c.id != ID))
        names.named(known)
        assert questions == []
        assert [named(seen, names) for _ in range(3)] == ["web"] * 3
        assert len(questions) == 1


def test_the_usual_places(tmp_path: Path, seen: Observation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a path the variable that Docker's own client obeys tells the socket."""
    with serving(tmp_path, answer(json.dumps([ENTRY]).encode())) as (path, _):
        monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
        assert named(seen, Names(seconds=PATIENCE)) == "web"
