"""Connections that are slow, idle or many, with their limits made small."""

from __future__ import annotations

import asyncio
import logging
import random
import resource
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Self, cast

import pytest
import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from exporter import connection, listener, waiting, web
from exporter.address import bind
from exporter.connection import Connection
from exporter.guard import Guard
from exporter.listener import Listener
from exporter.scrape import Scraper
from exporter.web import Endpoints
from exporter.web_config import WebConfig

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
BIG = 8 << 20

Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


async def app(scope: Any, _: Any, send: Any) -> None:  # noqa: ANN401
    """Answer with a short body, or with a large one at /big."""
    body = b"x" * BIG if scope["path"] == "/big" else b"hello"
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body[:-1], "more_body": True})
    await send({"type": "http.response.body", "body": body[-1:]})


async def at_once(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401
    """Answer the same in one piece: with it the answer is complete, read or not."""
    kept: list[bytes] = []

    async def gather(message: Any) -> None:  # noqa: ANN401
        kept.append(message.get("body", b""))
        if not message.get("more_body"):
            await send(message if "body" not in message else {**message, "body": b"".join(kept)})

    await app(scope, receive, gather)


class Leaving:
    """A scrape whose client resets the connection when the first piece is about to be sent."""

    size = 50_000

    def __init__(self, client: socket.socket) -> None:
        self._client = client
        self.over = asyncio.Event()

    def page(self, **_: object) -> Self:
        """Return it as the page, too."""
        return self

    def pieces(self) -> Iterator[bytes]:
        """Yield the page."""
        self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._client.close()
        yield from [b"x" * 1000] * 50
        self.over.set()


@asynccontextmanager
async def listening(application: ASGIApp = app) -> AsyncIterator[Connect]:
    """Listen on a free port; gives a function that connects. All that it opened is closed at the end."""
    config = uvicorn.Config(application, ws="none", lifespan="off", log_config=None, proxy_headers=False)
    config.load()
    state = ServerState()
    opened: list[asyncio.StreamWriter] = []
    with bind("127.0.0.1", 0) as sock:
        made = Listener([sock], lambda owner: Connection(config, state, owner), lambda: None)

        async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            reader, writer = await asyncio.open_connection(*sock.getsockname())
            opened.append(writer)
            return reader, writer

        try:
            yield connect
        finally:
            made.close()
            for one in list(state.connections):
                one.transport.abort()
            for writer in opened:
                writer.transport.abort()
            await asyncio.sleep(0.01)  # closing takes a round of the event loop or two


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Return the status line of an answer."""
    writer.write(REQUEST)
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(5)
    return head.split(b"\r\n")[0]


async def ended(reader: asyncio.StreamReader) -> bool:
    """Wait until the other side has closed; False when something comes instead."""
    try:
        return await asyncio.wait_for(reader.read(1), 60) == b""
    except ConnectionResetError:
        return True


def run(scenario: Callable[[Connect], Awaitable[None]], application: ASGIApp = app) -> None:
    """Run a scenario against a listener."""

    async def main() -> None:
        async with listening(application) as connect:
            await asyncio.wait_for(scenario(connect), 180)

    asyncio.run(main())


def test_slow_headers_are_answered_408(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A sender of one byte now and then, at first or after a whole request, is told and let go, with one line."""
    async def drip(writer: asyncio.StreamWriter) -> None:
        for number in range(len(REQUEST) - 1):
            writer.write(REQUEST[number : number + 1])
            await asyncio.sleep(0.05)

    async def scenario(connect: Connect) -> None:
        for before in (False, True):
            # From when it is connected in the one case, from the next request's first byte in the other.
            monkeypatch.setattr(connection, "REQUEST_SECONDS", 60.0 if before else 0.2)
            reader, writer = await connect()
            if before:
                assert await ask(reader, writer) == b"HTTP/1.1 200 OK"
                monkeypatch.setattr(connection, "REQUEST_SECONDS", 0.2)
            dripping = asyncio.create_task(drip(writer))
            assert (await reader.readuntil(b"\r\n")) == b"HTTP/1.1 408 Request Timeout\r\n"
            await reader.read()
            dripping.cancel()

    with caplog.at_level(logging.INFO, "exporter"):
        run(scenario)
    # uvicorn's own lines are switched off where the log is set up (exporter.logs).
    ours = [record for record in caplog.records if record.name.startswith("exporter")]
    assert [record.__dict__["fields"]["status"] for record in ours] == [408, 408]


def test_a_connection_without_a_byte_is_closed_in_silence(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A browser's connection in advance, or a probe of the port, is no event."""
    monkeypatch.setattr(connection, "REQUEST_SECONDS", 0.1)

    async def scenario(connect: Connect) -> None:
        reader, _ = await connect()
        assert await ended(reader)

    with caplog.at_level(logging.INFO, "exporter"):
        run(scenario)
    assert caplog.records == []


def test_a_connection_that_is_used_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two requests the time for one does not run."""

    async def scenario(connect: Connect) -> None:
        reader, writer = await connect()
        assert await ask(reader, writer) == b"HTTP/1.1 200 OK"
        monkeypatch.setattr(connection, "REQUEST_SECONDS", 0.1)
        for _ in range(3):
            assert await ask(reader, writer) == b"HTTP/1.1 200 OK"
            await asyncio.sleep(0.2)

    run(scenario)


def test_the_one_idle_longest_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound the connection whose last use is the longest ago is closed; newer ones and the new one work."""
    monkeypatch.setattr(listener, "MOST", 3)

    async def scenario(connect: Connect) -> None:
        first, second, third = [await connect() for _ in range(3)]
        for one in (second, third, first):
            await ask(*one)
        fourth = await connect()
        assert await ask(*fourth) == b"HTTP/1.1 200 OK"
        assert await ended(second[0])
        for one in (first, third, fourth):
            assert await ask(*one) == b"HTTP/1.1 200 OK"

    run(scenario)


def test_descriptors_that_run_out_make_room() -> None:
    """With hardly a descriptor left idle connections are closed, so that kernel files can still be opened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def scenario(connect: Connect) -> None:
        held = [await connect() for _ in range(20)]
        await ask(*held[-1])
        highest = max(writer.get_extra_info("socket").fileno() for _, writer in held)
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + listener.SPARED_DESCRIPTORS, hard))
        for number in range(10):
            assert await ask(*await connect()) == b"HTTP/1.1 200 OK"
            assert await ended(held[number][0])

    try:
        run(scenario)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_client_who_leaves_in_the_middle_of_its_page(caplog: pytest.LogCaptureFixture) -> None:
    """What is still to be sent is thrown away without a line in the log, and the next client is answered."""
    client = socket.socket()
    scrape = Leaving(client)
    endpoints = Endpoints[object](cast("Scraper", scrape), object, cast("Any", None))

    async def scenario(connect: Connect) -> None:
        reader, writer = await connect()
        client.connect(writer.get_extra_info("peername"))
        client.sendall(REQUEST.replace(b"/ ", b"/metrics "))
        await scrape.over.wait()
        writer.write(REQUEST.replace(b"/ ", b"/healthz "))
        assert (await reader.readuntil(b"\r\n")) == b"HTTP/1.1 200 OK\r\n"

    run(scenario, web.application(endpoints))
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_few_clients_who_do_not_read_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is held in memory for them is bounded: beyond that the first of them is let go."""
    monkeypatch.setattr(waiting, "MOST", 2)
    monkeypatch.setattr(waiting, "SECONDS", 0.05)
    dropped, drop = asyncio.Semaphore(0), Listener._drop  # noqa: SLF001

    def noted(made: Listener, one: Connection, why: str) -> None:
        drop(made, one, why)
        dropped.release()

    async def scenario(connect: Connect) -> None:
        monkeypatch.setattr(Listener, "_drop", noted)
        held = [await stuck(connect) for _ in range(4)]
        for _ in range(2):
            await dropped.acquire()
        assert [await whole(reader, writer) for reader, writer in held] == [False, False, True, True]

    run(scenario)


def test_one_who_has_not_got_its_whole_answer_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """All is written for it, and its end waits for room in the kernel: one who has nothing to come goes instead."""
    monkeypatch.setattr(listener, "MOST", 2)

    async def scenario(connect: Connect) -> None:
        held, idle = await stuck(connect), await connect()
        assert await ask(*idle) == b"HTTP/1.1 200 OK"
        assert await ask(*await connect()) == b"HTTP/1.1 200 OK"
        assert await ended(idle[0])
        assert await whole(*held)

    run(scenario, at_once)


def test_one_who_does_not_read_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody is idle the one who has read nothing for longest goes, so that a scrape is answered."""
    monkeypatch.setattr(listener, "MOST", 2)
    monkeypatch.setattr(waiting, "AT_LEAST", 0.0)

    async def scenario(connect: Connect) -> None:
        held = [await stuck(connect) for _ in range(2)]
        assert await ask(*await connect()) == b"HTTP/1.1 200 OK"
        assert [await whole(reader, writer) for reader, writer in held] == [False, True]

    run(scenario)


def test_many_clients_who_read_on_are_all_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large answers are sent faster than they are read: that many do not read for a moment is no reason to drop one."""
    monkeypatch.setattr(waiting, "MOST", 2)

    async def scenario(connect: Connect) -> None:
        held = [await stuck(connect) for _ in range(6)]
        assert [await whole(reader, writer) for reader, writer in held] == [True] * 6

    run(scenario)


async def stuck(connect: Connect) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Ask for a large answer and do not read it."""
    reader, writer = await connect()
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    writer.write(REQUEST.replace(b"/ ", b"/big "))
    for _ in range(20):  # rounds of the event loop: enough for the answer to be stuck, however long they take
        await asyncio.sleep(0.005)
    return reader, writer


async def whole(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Read the rest; tell whether all of it came."""
    writer.transport.resume_reading()  # type: ignore[attr-defined]
    try:
        await reader.readuntil(b"\r\n\r\n")
        return len(await reader.readexactly(BIG)) == BIG
    except (ConnectionResetError, asyncio.IncompleteReadError):
        return False


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x00\xff\r\n\r\n", b"400 Bad Request"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400 Bad Request"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: x\r\n\r\n", b"501 Not Implemented"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 1_000_000, b"431 Request Header Fields Too Large"),
        (b"GET /" + b"a" * 1_000_000, f"414 {HTTPStatus(414).phrase}".encode()),
        (b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", b"200 OK"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"200 OK"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n" + b"a" * 1_000_000, b"200 OK"),
    ],
)
def test_what_is_no_request(sent: bytes, status: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """The status can be read even when megabytes were sent, and there is one line for each refusal."""

    async def scenario(connect: Connect) -> None:
        reader, writer = await connect()
        writer.write(sent)
        assert await reader.readuntil(b"\r\n") == b"HTTP/1.1 " + status + b"\r\n"

    with caplog.at_level(logging.INFO, "exporter"):
        run(scenario)
    ours = [record for record in caplog.records if record.name.startswith("exporter")]
    assert len(ours) == (status != b"200 OK")


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"SM b'x')", r'illegal request line: "SM b\'x\')"'),
        (b"\xff\x1b[2J", r"illegal request line: '\xff\x1b[2J'"),
        (b"GET / HTTP/1.1\r\nHo st: x", "illegal header line: 'Ho st: x'"),
    ],
)
def test_what_is_said_of_no_request(sent: bytes, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    """The log has what came as text, escaped, and not as Python writes bytes."""

    async def scenario(connect: Connect) -> None:
        reader, writer = await connect()
        writer.write(sent + b"\r\n\r\n")
        await reader.readuntil(b"\r\n")

    with caplog.at_level(logging.INFO, "exporter"):
        run(scenario)
    ours = [cast("Any", record) for record in caplog.records if record.name.startswith("exporter")]
    assert [record.fields["reason"] for record in ours] == [reason]


def test_a_body_that_nobody_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not read to its end: some time after the answer the connection is closed."""
    monkeypatch.setattr(connection, "LINGER_SECONDS", 0.2)

    async def send_on(writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"a" * 100_000)
            await writer.drain()

    async def scenario(connect: Connect) -> None:
        reader, writer = await connect()
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
        assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200 OK\r\n")
        with pytest.raises(ConnectionError):
            await send_on(writer)

    run(scenario)


@pytest.mark.parametrize(
    ("asked", "status"),
    [("http://x:10071/healthz", 200), ("HTTPS://x/api/a%20b?c=d", 200), ("http://x", 200), ("http://x?c=d", 200),
     ("http:/healthz", 404)],
)  # fmt: skip
def test_a_whole_address_is_asked_for(asked: str, status: int) -> None:
    """As a proxy is asked; a server answers as if for the path in it alone (RFC 9112, section 3.2.2)."""
    paths = ("/", "/healthz", "/api/a b")

    async def site(scope: Scope, receive: Receive, send: Send) -> None:
        known = scope["path"] in paths and scope["raw_path"].startswith(b"/")
        await PlainTextResponse("", 200 if known else 404)(scope, receive, send)

    async def scenario(connect: Connect) -> None:
        reader, writer = await connect()
        writer.write(f"GET {asked} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert (await reader.readuntil(b"\r\n")).split()[1] == str(status).encode()

    run(scenario, Guard(site, WebConfig))


WHOLE = (
    REQUEST,
    b"HEAD /big HTTP/1.0\r\nExpect: 100-continue\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n" + b"a" * 100,
)
PIECES = (b"\r\n", b"\0", b"%", b"\r\n\r\n", b":", b" ", b"a" * 40_000)


def damaged(chance: random.Random) -> bytes:
    """Return a few requests one after another, with bytes changed, taken out and put in."""
    data = bytearray(b"".join(chance.choices(WHOLE, k=chance.randint(1, 4))))
    for _ in range(chance.choice((0, 1, 1, 2, 5, 40))):
        at = chance.randrange(len(data))
        match chance.randrange(4):
            case 0:
                data[at] = chance.randrange(256)
            case 1:
                del data[at : at + chance.randint(1, 9)]
            case 2:
                data[at:at] = chance.randbytes(chance.randint(1, 9))
            case _:
                data[at:at] = chance.choice(PIECES)
        data = data or bytearray(b"x")
    return bytes(data)


def test_damaged_requests(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever comes in whatever pieces, and however it ends, is no error of ours, and the next client is answered."""
    chance = random.Random(20)  # noqa: S311

    async def scenario(connect: Connect) -> None:
        for _ in range(600):
            reader, writer = await connect()
            data = damaged(chance)
            cut = chance.randrange(len(data) + 1)
            for piece in (data[:cut], data[cut:]):
                writer.write(piece)
                await asyncio.sleep(0)
            if chance.random() < 0.5:
                await asyncio.wait([asyncio.ensure_future(reader.read(100))], timeout=0.005)
            writer.transport.abort()
        assert await ask(*await connect()) == b"HTTP/1.1 200 OK"

    run(scenario)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
