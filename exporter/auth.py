"""Basic authentication against bcrypt hashes (RFC 7617), as Prometheus' exporter-toolkit does it.

A bcrypt check takes 60 ms and more, on purpose. So that strangers who try
passwords cannot make it expensive for others: one check at a time, in a
thread; as many waiting as WAITING; and each answer is remembered, so a
Prometheus whose password was right once never waits behind them.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import os
from collections.abc import Mapping

__all__ = ["Busy", "Passwords", "credentials"]

WAITING = 16
REMEMBERED = 100
BCRYPT_BYTES = 72  # the algorithm's: what is longer is cut, in htpasswd and Go as well


class Busy(Exception):
    """Too many passwords are waiting to be checked."""


def credentials(header: bytes) -> tuple[str, bytes] | None:
    """Return user and password of an Authorization header; None when it is not basic authentication."""
    scheme, _, text = header.partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        user, colon, password = base64.b64decode(text.strip(), validate=True).partition(b":")
        return (user.decode(), password) if colon else None
    except (binascii.Error, UnicodeDecodeError):
        return None


class Passwords:
    """Checks passwords, and remembers the last answers (not the passwords: a keyed hash of them)."""

    def __init__(self) -> None:
        self._secret = os.urandom(32)
        # Apart, so that a stranger's guesses do not push out what is right.
        self._known: dict[bool, dict[bytes, None]] = {True: {}, False: {}}
        self._one_at_a_time = asyncio.Lock()
        self._waiting = 0

    async def right(self, users: Mapping[str, str], user: str, password: bytes) -> bool:
        """Tell whether the user has that password. Busy when there are too many to check."""
        # An unknown user takes as long as a known one, or names could be found by the time it takes.
        hashed = users.get(user) or max(users.values(), key=_cost)
        key = hmac.digest(self._secret, repr((user, user in users, hashed, password)).encode(), "sha256")
        answer = self._remembered(key)
        if answer is not None:
            return answer
        if self._waiting >= WAITING:
            raise Busy
        self._waiting += 1
        try:
            async with self._one_at_a_time:
                answer = self._remembered(key)  # the same may have been asked while we waited
                if answer is None:
                    answer = await asyncio.to_thread(_matches, hashed, password) and user in users
                    self._remember(key, answer)
        finally:
            self._waiting -= 1
        return answer

    def _remembered(self, key: bytes) -> bool | None:
        return next((answer for answer, keys in self._known.items() if key in keys), None)

    def _remember(self, key: bytes, answer: bool) -> None:
        keys = self._known[answer]
        if len(keys) >= REMEMBERED:
            del keys[next(iter(keys))]
        keys[key] = None


def _cost(hashed: str) -> str:
    return hashed.split("$")[2]


def _matches(hashed: str, password: bytes) -> bool:
    import bcrypt  # noqa: PLC0415  for those who have users

    try:
        return bcrypt.checkpw(password[:BCRYPT_BYTES], hashed.encode())
    except ValueError:  # a NUL in the password, for some versions
        return False
