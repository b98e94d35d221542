"""Basic authentication: what is right, and what it costs to find out."""

from __future__ import annotations

import asyncio
import base64
import time

import bcrypt
import pytest

from exporter import auth
from exporter.auth import REMEMBERED, WAITING, Busy, Passwords, credentials


def hashed(password: bytes, cost: int = 4) -> str:
    """Return a bcrypt hash."""
    return bcrypt.hashpw(password, bcrypt.gensalt(cost)).decode()


USERS = {"alice": hashed(b"secret"), "bob": hashed("pässwörd:x".encode(), 5)}


def basic(text: bytes) -> bytes:
    """Return an Authorization header."""
    return b"Basic " + base64.b64encode(text)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (basic(b"alice:secret"), ("alice", b"secret")),
        (basic(b"alice:a:b"), ("alice", b"a:b")),
        (basic(b":"), ("", b"")),
        (b"bAsIc " + basic(b"a:b")[6:], ("a", b"b")),
        (basic("ä:ö".encode()), ("ä", "ö".encode())),
        (basic(b"alice"), None),
        (basic(b"\xff:x"), None),
        (b"Basic !!!", None),
        (b"Basic", None),
        (b"Bearer abc", None),
        (b"", None),
    ],
)
def test_credentials(header: bytes, expected: tuple[str, bytes] | None) -> None:
    """A header of RFC 7617 gives user and password; anything else gives nothing."""
    assert credentials(header) == expected


@pytest.mark.parametrize(
    ("user", "password", "expected"),
    [
        ("alice", b"secret", True),
        ("bob", "pässwörd:x".encode(), True),
        ("alice", b"Secret", False),
        ("alice", b"", False),
        ("alice", b"\0", False),
        ("alice", b"x" * 5000, False),
        ("bob", b"secret", False),
        ("carol", b"secret", False),
        ("carol", "pässwörd:x".encode(), False),  # what an unknown user's password is compared with
        ("", b"", False),
    ],
)
def test_right_and_wrong(user: str, password: bytes, expected: bool) -> None:
    """Only the user's own password is right, at the first time and when it is remembered."""

    async def ask() -> list[bool]:
        passwords = Passwords()
        return [await passwords.right(USERS, user, password) for _ in range(2)]

    assert asyncio.run(ask()) == [expected] * 2


def test_a_long_password_counts_to_its_72nd_byte() -> None:
    """As in htpasswd and Go: bcrypt has no more."""
    users = {"a": hashed(b"x" * 72)}
    assert asyncio.run(Passwords().right(users, "a", b"x" * 72 + b"whatever"))
    assert not asyncio.run(Passwords().right(users, "a", b"x" * 71 + b"y"))


@pytest.fixture(name="checks")
def checks_fixture(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bytes]]:
    """Note each bcrypt check: the hash and the password."""
    made = []
    real = auth._matches  # noqa: SLF001  what costs the time

    def noted(hash_: str, password: bytes) -> bool:
        made.append((hash_, password))
        time.sleep(0.001)
        return real(hash_, password)

    monkeypatch.setattr(auth, "_matches", noted)
    return made


def test_an_unknown_user_costs_what_the_dearest_known_one_costs(checks: list[tuple[str, bytes]]) -> None:
    """Names cannot be found by the time that an answer takes."""
    asyncio.run(Passwords().right(USERS, "carol", b"x"))
    assert checks == [(USERS["bob"], b"x")]


def test_each_password_is_checked_once(checks: list[tuple[str, bytes]]) -> None:
    """The same question, one after another or at the same time, costs one check; a changed hash is a new question."""

    async def ask() -> None:
        passwords = Passwords()
        await asyncio.gather(*(passwords.right(USERS, "alice", b"secret") for _ in range(WAITING)))
        await passwords.right(USERS, "alice", b"secret")
        assert len(checks) == 1
        assert not await passwords.right({"alice": hashed(b"new")}, "alice", b"secret")
        assert len(checks) == 2

    asyncio.run(ask())


def test_a_user_who_goes_or_comes_is_no_longer_what_was_remembered() -> None:
    """Whose name was taken out is not let in although another has the same hash, and whose was put in is."""
    users = {"alice": hashed(b"secret")}
    renamed = {"alicia": users["alice"]}

    async def ask() -> None:
        passwords = Passwords()
        assert await passwords.right(users, "alice", b"secret")
        assert not await passwords.right(users, "alicia", b"secret")
        assert not await passwords.right(renamed, "alice", b"secret")
        assert await passwords.right(renamed, "alicia", b"secret")

    asyncio.run(ask())


def test_guesses_do_not_push_out_what_is_right(checks: list[tuple[str, bytes]]) -> None:
    """After any number of wrong passwords the right one still costs nothing, and what is remembered is bounded."""

    async def ask() -> None:
        passwords = Passwords()
        assert await passwords.right(USERS, "alice", b"secret")
        for number in range(REMEMBERED + 20):
            assert not await passwords.right(USERS, "alice", b"%d" % number)
        before = len(checks)
        assert await passwords.right(USERS, "alice", b"secret")
        assert not await passwords.right(USERS, "alice", b"%d" % (REMEMBERED + 19))
        assert len(checks) == before
        assert not await passwords.right(USERS, "alice", b"0")
        assert len(checks) == before + 1

    asyncio.run(ask())


def test_only_so_many_wait(checks: list[tuple[str, bytes]]) -> None:
    """Of a hundred different passwords at once, WAITING are checked, one at a time, and the others are told so."""

    async def ask() -> list[object]:
        passwords = Passwords()
        asked = (passwords.right(USERS, "alice", b"%d" % number) for number in range(100))
        return list(await asyncio.gather(*asked, return_exceptions=True))

    answers = asyncio.run(ask())
    assert answers.count(False) == WAITING == len(checks)
    assert sum(isinstance(answer, Busy) for answer in answers) == 100 - WAITING
