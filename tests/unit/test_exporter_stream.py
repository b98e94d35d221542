"""The event stream over real sockets on loopback: what is sent, what is shared, and when nothing is done."""

from __future__ import annotations

import http.client
import itertools
import json
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Self

import pytest

from exporter.live import Look, View, brief
from exporter.stream import MOST_CLOSE
from inspector.document import document as document_of
from inspector.observe import Observer
from inspector.schema import Document
from tests.fakehost import FakeHost
from tests.testbed.page_server import Served, serving
from tests.testbed.processes import until
from tests.unit.documents import container, document
from tests.unit.observing import ID, OTHER, limited, own

PATIENCE = 60.0


def numbered(tick: int) -> Document:
    """Make a document that tells its tick."""
    return document(container("web"), taken_at=1000.0 + tick)


@pytest.fixture(name="served", scope="module")
def served_fixture() -> Iterator[Served]:
    """Serve a machine with one container."""
    with serving(numbered) as served:
        yield served


class Client:
    """Reads one stream."""

    def __init__(self, served: Served, query: str = "interval=0.5") -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE)
        self.connection.request("GET", f"/api/v1/stream?{query}")
        self.response = self.connection.getresponse()
        self.status = self.response.status

    def event(self) -> dict[str, Any]:
        """Return the fields of the next event; `data` is parsed. At the end of the stream there are none."""
        fields: dict[str, Any] = {}
        while line := self.response.readline().decode().rstrip("\n"):
            name, _, value = line.partition(": ")
            fields[name] = json.loads(value) if name == "data" else value
        return fields

    def ticks(self, number: int) -> list[int]:
        """Return the ticks of the next documents."""
        events = [self.event() for _ in range(number)]
        return [int(event["data"]["taken_at"]) - 1000 for event in events]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Go away without a word, as a browser whose window is closed."""
        self.response.close()
        self.connection.close()


@pytest.fixture(name="client")
def client_fixture(served: Served) -> Iterator[Client]:
    """Open a stream of two documents a second, and read what comes before the first of them."""
    with Client(served) as client:
        assert client.event() == {"retry": "2000"}
        yield client
    until(lambda: not served.streams.open, "the stream to be let go")


def test_documents_come_as_numbered_events(client: Client) -> None:
    """The first document comes at once, then one an interval, each whole, on one line and with a number."""
    first, second = client.event(), client.event()
    assert (first["id"], second["id"]) == ("1", "2")
    assert first["data"]["schema"] == 1
    assert first["data"]["containers"][0]["rootfs"]["type"] == "overlay"
    assert second["data"]["taken_at"] - first["data"]["taken_at"] == 1


def test_headers(client: Client) -> None:
    """No cache may keep a stream, no proxy hold it back, no browser guess what it is."""
    headers = dict(client.response.getheaders())
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-store"
    assert headers["x-accel-buffering"] == "no"
    assert headers["x-content-type-options"] == "nosniff"


def test_streams_of_all_intervals_share_looks(served: Served, client: Client) -> None:
    """Beside a stream of two looks a second, five more cost none, and get documents that it gets."""
    with ExitStack() as stack:
        intervals = ("0.5", "0.5", "0.5", "0.6", "1")
        others = [stack.enter_context(Client(served, f"interval={interval}")) for interval in intervals]
        for other in others:
            other.event()
        looked = len(served.ticks)
        ticks = client.ticks(6)
        # Each by itself they would take thirty.
        assert len(served.ticks) - looked <= 15
        assert all(set(other.ticks(3)) & set(ticks) for other in others)


def test_a_browser_is_sent_the_stream_compressed() -> None:
    """Who accepts gzip gets each event at once in a gzip stream, whole to its checksum, and a fraction of the bytes."""
    fleet = [container(f"web-{number}") for number in range(100)]
    with serving(lambda tick: document(*fleet, taken_at=1000.0 + tick)) as served:
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE)
        with closing(connection):
            connection.request("GET", "/api/v1/stream?interval=0.5", headers={"Accept-Encoding": "gzip"})
            response = connection.getresponse()
            assert response.getheader("Content-Encoding") == "gzip"
            unpacker, sent, text = zlib.decompressobj(31), 0, b""
            while text.count(b"\n\n") < 4:
                data = response.read1(1 << 16)
                sent += len(data)
                text += unpacker.decompress(data)
            events = [event.split(b"data: ")[1] for event in text.split(b"\n\n")[1:4]]
            assert [len(json.loads(event)["containers"]) for event in events] == [100] * 3
            assert sent < len(text) / 10
            served.close_streams()
            unpacker.decompress(response.read())
            assert unpacker.eof


def test_nothing_is_done_without_a_stream(served: Served) -> None:
    """When the last reader has gone there is no look; the next reader starts them again."""
    with Client(served) as client:
        client.event()
        client.ticks(2)
    until(lambda: not served.streams.open, "the stream to be let go")

    def idle() -> bool:
        """Tell whether nobody looks for a while; at first a look may be under way."""
        looked = len(served.ticks)
        time.sleep(0.8)
        return len(served.ticks) == looked

    until(idle, "the ticks to end")
    looked = len(served.ticks)
    with Client(served) as client:
        client.event()
        assert client.ticks(1)[0] > looked


def test_a_page_that_is_turned_has_no_gap() -> None:
    """A stream that opens a moment after another ended begins with the next look, half a second after the last."""
    times: list[float] = []

    def make(tick: int) -> Document:
        times.append(time.monotonic())
        return numbered(tick)

    with serving(make) as served:
        with Client(served) as client:
            client.event()
            client.ticks(2)
        until(lambda: not served.streams.open, "the stream to be let go")
        looked = len(served.ticks)
        with Client(served, "interval=60&view=table&detail=x") as client:
            client.event()
            assert client.ticks(1) == [looked + 1]
    assert times[looked] - times[looked - 1] > 0.1


def test_the_table_and_one_container_whole(served: Served) -> None:
    """view=table leaves out what the table does not show, and detail= adds one container; a gone one is null."""
    one = container("web")["id"]
    for wanted, whole in ((one, container("web")), ("no-such", None)):
        with Client(served, f"view=table&detail={wanted}") as client:
            client.event()
            made = client.event()["data"]
        assert "rootfs" not in made["containers"][0]
        assert made["containers"][0]["cpu"]["limit_set_by"] == "own"
        assert (made["detail"] and made["detail"]["container"]) == whole


@pytest.mark.parametrize("query", ["interval=0.4", "interval=61", "interval=nan", "interval=", "interval=x", "view=y"])
def test_a_bad_question_is_refused_in_one_line(served: Served, query: str) -> None:
    """What is no interval from 0.5 to 60 s, and no view, gets 400 and a sentence."""
    with Client(served, query) as client:
        assert client.status == 400
        assert set(json.loads(client.response.read())) == {"error"}


def test_head_has_no_stream(served: Served) -> None:
    """HEAD is answered and ends."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE)
    with closing(connection):
        connection.request("HEAD", "/api/v1/stream")
        assert connection.getresponse().status == 200
    until(lambda: not served.streams.open, "the stream to be let go")


def test_one_stream_too_many() -> None:
    """Beyond the most there may be the answer is 503; a place that is given up can be taken."""
    with serving(numbered, most=2) as served, Client(served) as first:
        with Client(served) as second, Client(served) as third:
            assert [one.status for one in (first, second, third)] == [200, 200, 503]
            assert third.response.read() == b"too many streams at a time\n"
        until(lambda: served.streams.open == 1, "the stream")
        with Client(served) as fourth:
            assert fourth.status == 200


def test_streams_end_when_the_server_stops() -> None:
    """At SIGTERM each stream ends as a whole response, and no other is begun."""
    with serving(numbered) as served, Client(served, "interval=60") as client:
        client.event()
        client.ticks(1)
        start = time.monotonic()
        served.close_streams()
        assert client.response.read().count(b"data:") <= 1
        assert time.monotonic() - start < 45  # and not when the next is due, in a minute
        with Client(served) as late:
            assert late.status == 503


def test_a_machine_that_cannot_be_read_is_told_and_tried_again() -> None:
    """A failure is an event of its own kind, with the error's name alone; the next document comes all the same."""

    def make(tick: int) -> Document:
        if tick == 1:
            raise OSError(5, "/secret/path")
        return numbered(tick)

    with serving(make) as served, Client(served) as client:
        client.event()
        assert client.event() == {"event": "problem", "data": {"error": "the machine could not be read: OSError"}}
        assert client.ticks(1) == [2]


def test_a_slow_reader_gets_the_newest_document_and_delays_nobody() -> None:
    """Who reads nothing for a while misses documents instead of being sent the old ones, and others do not wait."""
    big = [container(f"web-{number}", image="x" * 4000) for number in range(500)]

    def make(tick: int) -> Document:
        return document(*big, taken_at=1000.0 + tick)

    with serving(make) as served, Client(served) as quick:
        with Client(served) as slow:
            quick.event()
            slow.event()
            # More than the sockets hold: some of these cannot have been sent to the slow one.
            quick.ticks(8)
            read = slow.ticks(4)
            assert max(after - before for before, after in itertools.pairwise(read)) > 1, read
        until(lambda: served.streams.open == 1, "the stream")


def test_what_readers_look_at_closely_is_known_before_each_look() -> None:
    """Each reader may look closely at a container of its own, of all together at few; afterwards nobody does."""
    with serving(numbered) as served:
        with ExitStack() as stack:
            for name in ("a", "a", "b"):
                stack.enter_context(Client(served, f"interval=0.5&view=table&detail={name}")).event()
            until(lambda: served.focused[-1] == {"a", "b"}, "both to be looked at closely")
            for number in range(12):
                stack.enter_context(Client(served, f"interval=0.5&view=table&detail={number}")).event()
            until(
                lambda: len(served.focused[-1]) == MOST_CLOSE and {"a", "b"} < served.focused[-1], "as many as may be"
            )
        until(lambda: not served.streams.open and served.focused[-1] == frozenset(), "nobody to be looked at")


def test_labels_come_to_who_asks_for_them(served: Served) -> None:
    """The table's documents have no labels, which may be many, except for a reader who filters by them."""
    for more, labels in (("", None), ("&labels=1", {"team": "shop"})):
        with Client(served, f"interval=0.5&view=table{more}") as client:
            client.event()
            assert client.event()["data"]["containers"][0].get("labels") == labels


def test_brief_keeps_the_places_of_the_document() -> None:
    """What the table is sent is a part of the document, but for who sets a limit, whether one is known, and `lacks`."""
    whole = document(container("web", cpu={"limit_set_by": "/docker"}, cgroups={"memory": "/docker/aaaa"}))
    short = brief(whole)
    [given], [made] = whole["containers"], short["containers"]
    assert short.pop("lacks") == []
    assert {key: value for key, value in short.items() if key != "containers"} == {
        key: value for key, value in whole.items() if key != "containers"
    }
    assert made["cpu"].pop("limit_set_by") == "/docker"
    assert made["memory"].pop("limit_set_by") == "own"
    assert [made[group].pop("limit_known") for group in ("cpu", "memory", "pids")] == [True, True, False]
    made["pids"].pop("limit_set_by")
    for key, value in made.items():
        expected: Any = dict(given)[key]
        assert value == ({name: expected[name] for name in value} if isinstance(value, dict) else expected)


def test_the_detail_says_who_limits_and_who_shares(tmp_path: Path) -> None:
    """The chain of each limit, and each namespace's owner: the host, another container by name, or itself."""
    fake = limited(tmp_path, "v2", f"/docker/{ID}")
    fake.cgroup("", "/docker", {"cpu.max": "max 100000\n", "memory.max": "2048\n"})
    fake.process(100, "sh", cgroups=f"/docker/{ID}", namespaces=own(1, ipc=4026560001))
    fake.process(200, "sh", cgroups=f"/docker/{OTHER}", namespaces=own(2, ipc=4026560001))
    with fake.open() as host:
        look = Look(None, Observer(host).tick(), document_of)
    made = json.loads(look.text(View(table=True, detail=ID)))["detail"]
    assert made["container"]["id"] == ID
    assert made["owned"] == [f"/docker/{ID}"]
    assert made["limits"]["memory"]["set_by"] == "/docker"
    assert {(one["path"], one["value"]) for one in made["limits"]["memory"]["chain"]} >= {
        (f"/docker/{ID}", 4096),
        ("/docker", 2048),
    }
    assert made["limits"]["cpu"]["value"] == 0.1
    assert made["namespaces"]["net"]["same_as_host"] is True
    assert made["namespaces"]["ipc"]["same_as_host"] is False
    assert [len(made["namespaces"][kind]["containers"]) for kind in ("net", "ipc", "pid")] == [0, 1, 0]
    assert json.loads(look.text(View(table=True, detail="gone")))["detail"] is None
    assert "detail" not in json.loads(look.text(View(table=True)))


def test_a_look_is_written_once(tmp_path: Path) -> None:
    """However many readers want the same view, the document is made and written once."""
    made: list[int] = []

    def counted(*_: object) -> Document:
        made.append(1)
        return document(container())

    with FakeHost(tmp_path, "v2").open() as host:
        look = Look(None, Observer(host).tick(), counted, lacks=("CAP_SYSLOG",))
    assert look.text(View()) is look.text(View())
    assert len(look.text(View(table=True))) < len(look.text(View()))
    assert json.loads(look.text(View(table=True)))["lacks"] == ["CAP_SYSLOG"]
    assert made == [1]
