"""Attached to a container: what its monitor said last is heard, however early it went."""

from __future__ import annotations

import socket

import pytest

from sandbox.attach import Attaching, attach


@pytest.mark.parametrize("unread", [b"", b"words that the monitor never reads"])
def test_a_monitor_that_is_gone_before_we_speak(unread: bytes) -> None:
    """The exit code of a program that ended at once is read, though its monitor left what we said unread."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if unread:
        ours.send(unread)
    theirs.send(b'x{"code": 3}')
    theirs.close()
    assert attach(ours, Attaching(stdin=False, tty=False), None) == 3
