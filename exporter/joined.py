"""One answer for all who ask the same at the same moment; for the event loop's thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from starlette.concurrency import run_in_threadpool

__all__ = ["Joined"]

Q = TypeVar("Q", bound=Hashable)
T = TypeVar("T")


class _Call(Generic[T]):
    """One that is under way."""

    def __init__(self, task: asyncio.Task[T]) -> None:
        self.task = task
        self.askers = 0


class Joined(Generic[Q, T]):
    """Lets `answer` answer a question in a worker thread, which those who ask it meanwhile need no thread to wait for.

    Nothing is kept, and what it raises everyone of that moment gets, as of exporter.shared.
    """

    def __init__(self, answer: Callable[[Q], T]) -> None:
        self._answer = answer
        self._calls: dict[Q, _Call[T]] = {}

    async def __call__(self, question: Q) -> tuple[T, int]:
        """Return the answer, and how many get it."""
        call = self._calls.get(question)
        if call is None:
            call = self._calls[question] = _Call(asyncio.create_task(run_in_threadpool(self._answer, question)))
            call.task.add_done_callback(lambda _: self._calls.pop(question))
        call.askers += 1
        return await asyncio.shield(call.task), call.askers  # one who goes does not end it for the others
