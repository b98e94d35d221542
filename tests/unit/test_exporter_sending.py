"""A page for several clients at once: made once, and sent whole to each, however slowly he reads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from itertools import count, islice

import pytest

from exporter.joined import Joined
from exporter.sending import HELD, Reel

PIECES = [b"%d" % number for number in range(3 * HELD)]


class Press:
    """Makes the pieces of a reel, and counts how many it has made."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self) -> Iterator[bytes]:
        """Make them."""
        for piece in PIECES:
            self.made += 1
            yield piece


def test_clients_in_step_are_sent_what_is_made_once() -> None:
    """Three who take some pieces in turns, as the event loop lets them, each get all; each piece is made once."""
    press = Press()
    reel = Reel(press, 0)
    reel.shared = True
    clients = [(iter(reel), list[bytes]()) for _ in range(3)]
    while any(len(got) < len(PIECES) for _, got in clients):
        for pieces, got in clients:
            got.extend(islice(pieces, 4))
    assert [got for _, got in clients] == [PIECES] * 3
    assert press.made == len(PIECES)


def test_who_falls_far_behind_has_them_made_again() -> None:
    """Who reads when another has read all gets all the same, and no more than HELD are held for him."""
    press = Press()
    reel = Reel(press, 0)
    reel.shared = True
    slow = iter(reel)
    assert next(slow) == PIECES[0]
    assert list(reel) == PIECES
    assert list(slow) == PIECES[1:]
    assert press.made == 2 * len(PIECES)


def test_a_lone_client_has_nothing_held_for_him() -> None:
    """What one client alone is sent is let go of at once; who comes late all the same has it made again."""
    press = Press()
    reel = Reel(press, 0)
    assert list(reel) == PIECES
    assert list(reel) == PIECES
    assert press.made == 2 * len(PIECES)


def test_what_fails_is_not_taken_for_the_end() -> None:
    """Who asks for a piece that could not be made for another is told so too, or gets it when it can be made now."""
    room = [False, False, True]

    def make() -> Iterator[bytes]:
        yield PIECES[0]
        if not room.pop(0):
            raise MemoryError
        yield PIECES[1]

    reel = Reel(make, 0)
    reel.shared = True
    first, second, third = iter(reel), iter(reel), iter(reel)
    assert [next(first), next(second), next(third)] == PIECES[:1] * 3
    for pieces in (first, second):
        with pytest.raises(MemoryError):
            next(pieces)
    assert list(third) == PIECES[1:2]


def test_the_same_question_is_answered_once_for_all_who_ask_meanwhile() -> None:
    """Four questions, two of them others: three answers; asked again, it is answered anew."""
    go_on, numbers = threading.Event(), count(1)

    def answer(question: str) -> str:
        assert go_on.wait(60)
        return f"{question}{next(numbers)}"

    async def ask() -> None:
        joined = Joined(answer)
        asking = [asyncio.create_task(joined(question)) for question in ("a", "a", "b", "a")]
        await asyncio.sleep(0)  # each has asked
        go_on.set()
        told = await asyncio.gather(*asking)
        assert told[0] == told[1] == told[3]
        assert [(text[0], clients) for text, clients in told] == [("a", 3), ("a", 3), ("b", 1), ("a", 3)]
        assert await joined("a") == ("a3", 1)

    asyncio.run(ask())


def test_an_error_reaches_all_and_one_who_goes_ends_nothing() -> None:
    """What an answer raises each asker gets; that the first one gives up does not end it for the second."""
    go_on = threading.Event()

    def answer(question: int) -> int:
        assert go_on.wait(60)
        return 1 // question

    async def ask() -> None:
        joined = Joined(answer)
        first, second, *others = [asyncio.create_task(joined(question)) for question in (1, 1, 0, 0)]
        await asyncio.sleep(0)
        first.cancel()
        go_on.set()
        assert await second == (1, 2)
        for other in others:
            with pytest.raises(ZeroDivisionError):
                await other
        assert first.cancelled()

    asyncio.run(ask())
