"""What stands before the endpoints, as an ASGI application around a small one."""

from __future__ import annotations

import asyncio
import base64
import logging
from typing import Any

import bcrypt
import pytest

from exporter.guard import MAX_HEADERS, MAX_TARGET, REASON, Guard, client
from exporter.web_config import RateLimit, WebConfig

SERVER_BUSY = 503
USERS = {"alice": bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()}
RIGHT = (b"authorization", b"Basic " + base64.b64encode(b"alice:secret"))
WRONG = (b"authorization", b"Basic " + base64.b64encode(b"alice:wrong"))


async def app(scope: Any, _: Any, send: Any) -> None:  # noqa: ANN401
    """Answer with the status in the path; /raise raises, /late raises after the beginning."""
    if scope["path"] == "/raise":
        raise ValueError("no\nway")
    if scope["path"] == "/503":
        scope[REASON] = "nothing to read"
    headers = [(b"Content-Security-Policy", b"none"), (b"x-own", b"1")]
    await send({"type": "http.response.start", "status": int(scope["path"].lstrip("/x") or 200), "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})


class Answer:
    """Status, headers and body that a request got."""

    def __init__(
        self, config: WebConfig, *headers: tuple[bytes, bytes], path: str = "/", guard: Guard | None = None
    ) -> None:
        scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"",
                 "headers": list(headers), "client": ("192.0.2.1", 4711)}  # fmt: skip
        messages: list[dict[str, Any]] = []

        async def send(message: Any) -> None:  # noqa: ANN401
            messages.append(message)

        async def receive() -> Any:  # noqa: ANN401
            raise AssertionError

        asyncio.run((guard or Guard(app, lambda: config))(scope, receive, send))
        self.status: int = messages[0]["status"]
        self.headers = [(name.decode().lower(), value.decode()) for name, value in messages[0]["headers"]]
        self.body = b"".join(message.get("body", b"") for message in messages)


def test_every_answer_has_a_date_and_the_configured_headers() -> None:
    """A configured header takes the place of our own, and stands in refusals too."""
    config = WebConfig(headers={"Content-Security-Policy": "mine", "X-Frame-Options": "deny"}, users=USERS)
    for given, status in ((RIGHT, 200), (WRONG, 401)):
        answer = Answer(config, given)
        assert answer.status == status
        assert [value for name, value in answer.headers if name == "content-security-policy"] == ["mine"]
        assert ("x-frame-options", "deny") in answer.headers
        assert [name for name, _ in answer.headers].count("date") == 1


@pytest.mark.parametrize(
    "headers",
    [(), (WRONG,), (RIGHT, RIGHT), (RIGHT, WRONG), ((b"authorization", b"Bearer x"),), ((b"cookie", b"a"),)],
)
def test_who_does_not_show_one_right_password_is_asked_for_it(headers: tuple[tuple[bytes, bytes], ...]) -> None:
    """No header, a wrong one and more than one get 401 with the scheme."""
    answer = Answer(WebConfig(users=USERS), *headers)
    assert answer.status == 401
    assert ("www-authenticate", 'Basic realm="cgscope"') in answer.headers
    assert b"hello" not in answer.body


def test_what_is_too_large() -> None:
    """A target beyond its limit gets 414, headers beyond theirs 431, and up to there 200."""
    assert Answer(WebConfig(), path="/" + "x" * (MAX_TARGET - 1)).status == 200
    assert Answer(WebConfig(), path="/" + "x" * MAX_TARGET).status == 414
    assert Answer(WebConfig(), (b"a", b"b" * (MAX_HEADERS - 1))).status == 200
    assert Answer(WebConfig(), (b"a", b"b" * MAX_HEADERS)).status == 431
    assert Answer(WebConfig(), *[(b"a", b"")] * (MAX_HEADERS + 1)).status == 431


def test_a_rate_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A burst is let in, then one for each interval; passwords are not looked at beyond it."""
    now = [100.0]
    monkeypatch.setattr("exporter.guard.time.monotonic", lambda: now[0])
    config = WebConfig(rate_limit=RateLimit(2.0, 3), users=USERS)
    guard = Guard(app, lambda: config)

    def statuses(count: int) -> list[int]:
        return [Answer(config, RIGHT, guard=guard).status for _ in range(count)]

    assert statuses(5) == [200, 200, 200, 429, 429]
    now[0] += 4.1
    assert statuses(3) == [200, 200, 429]
    now[0] += 1000
    assert statuses(4) == [200, 200, 200, 429]
    config = WebConfig(users=USERS)
    assert statuses(2) == [200, 200]


@pytest.mark.parametrize(
    ("path", "status", "level"),
    [("/404", 404, logging.INFO), ("/401", 401, logging.WARNING), ("/503", SERVER_BUSY, logging.WARNING)],
)
def test_a_refusal_is_one_line(path: str, status: int, level: int, caplog: pytest.LogCaptureFixture) -> None:
    """With who asked for what, the status, and why if the endpoint tells; an answer is none."""
    with caplog.at_level(logging.DEBUG, "exporter"):
        Answer(WebConfig(), path="/200")
        assert caplog.records == []
        assert Answer(WebConfig(), path=path).status == status
    [record] = caplog.records
    expected = {"client": "192.0.2.1:4711", "method": "GET", "path": path, "status": status}
    if status == SERVER_BUSY:
        expected["error"] = "nothing to read"
    assert (record.levelno, record.__dict__["fields"]) == (level, expected)


def test_an_error_is_a_500_and_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """What an endpoint raises reaches neither the client nor, with a traceback, the log."""
    answer = Answer(WebConfig(), path="/raise")
    assert (answer.status, answer.body) == (500, b"internal error\n")
    [record] = caplog.records
    assert record.__dict__["fields"]["error"] == "ValueError: no\nway"
    assert not record.exc_info


def test_addresses_of_clients() -> None:
    """IPv4, IPv6, and a unix socket, which has none."""
    assert [client(peer) for peer in (("192.0.2.1", 1), ("2001:db8::1", 1, 0, 0), "", None)] == [
        "192.0.2.1:1", "[2001:db8::1]:1", "unix", "unix",
    ]  # fmt: skip
