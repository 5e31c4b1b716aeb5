"""What the tasks of one turn of the event loop ask for, asked for together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


class Turnwise(Generic[Q, A]):
    """Collects questions until the turn ends, and answers them by one call.

    Args:
        ask: Returns the answers to some questions, in their order. What it raises reaches
            all who asked.
        eager: Whether the first question of a turn leaves at once where questions came one
            by one before: quicker for a lone caller, but a crowd's first is apart from it.
    """

    def __init__(
        self, ask: Callable[[Sequence[Q]], Awaitable[Sequence[A]]], *, eager: bool = False
    ) -> None:
        self._ask = ask
        self._eager = eager
        self._lonely = False
        self._in_turn = False
        self._asked: list[tuple[Q, asyncio.Future[A]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def add(self, question: Q) -> A:
        """Return the answer to *question*."""
        loop = asyncio.get_running_loop()
        if not self._in_turn:
            self._in_turn = True
            loop.call_soon(self._depart)
            if self._eager and self._lonely:
                (answer,) = await self._ask([question])
                return answer
        else:
            self._lonely = False
        arrived: asyncio.Future[A] = loop.create_future()
        self._asked.append((question, arrived))
        return await arrived

    async def aclose(self) -> None:
        """End what goes on; who still waits is cancelled."""
        for task in self._tasks:
            if not task.cancelling():  # a second time would break off what it does to end
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _depart(self) -> None:
        self._in_turn = False
        asked, self._asked = self._asked, []
        if not asked:
            return
        self._lonely = len(asked) == 1
        task = asyncio.get_running_loop().create_task(self._carry(asked))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        waiting = len(asked)

        def left(_: asyncio.Future[A]) -> None:
            nonlocal waiting
            waiting -= 1
            if waiting == 0:  # answered, or all have given up
                task.cancel()

        for _, arrived in asked:
            arrived.add_done_callback(left)

    async def _carry(self, asked: Sequence[tuple[Q, asyncio.Future[A]]]) -> None:
        try:
            answers = await self._ask([question for question, _ in asked])
            for (_, arrived), answer in zip(asked, answers, strict=True):
                if not arrived.done():
                    arrived.set_result(answer)
        except Exception as error:  # noqa: BLE001 - it belongs to those who asked
            for _, arrived in asked:
                if not arrived.done():
                    arrived.set_exception(error)
        finally:
            for _, arrived in asked:
                arrived.cancel()  # where nothing else was said
