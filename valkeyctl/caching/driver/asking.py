"""Asking several servers the same thing, of which some may be gone or frozen."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from typing import TypeVar

from valkeyctl.caching.deadline import Deadline
from valkeyctl.caching.driver.link import Command
from valkeyctl.caching.driver.standalone import Standalone
from valkeyctl.caching.replies import RichReply
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import DeadlineError, ValkeyctlError
from valkeyctl.units import format_duration

A = TypeVar("A")


async def ask(
    endpoint: Endpoint, commands: Sequence[Command], *, patience: float
) -> list[RichReply]:
    """Return the answers of one server, on a connection of its own.

    A connection that was there before could be one that leads nowhere any more.

    Args:
        endpoint: The server.
        commands: What to ask.
        patience: Seconds for connecting and for the answers, each.

    Raises:
        UnreachableError, DeadlineError, AuthError, TlsError: As `Link.exchange`.
        ServerReplyError: One of the answers is an error reply.
    """
    link = Standalone(endpoint, size=1, connect_timeout=patience)
    try:
        with Deadline(2 * patience):
            answers = await link.exchange(commands)
    except TimeoutError as error:
        waited = format_duration(patience)
        raise DeadlineError(f"no answer from {endpoint.address} within {waited}") from error
    finally:
        await link.aclose()
    replies: list[RichReply] = []
    for answer in answers:
        if isinstance(answer, ValkeyctlError):
            raise answer
        replies.append(answer)
    return replies


async def first_answers(
    asked: Iterable[Coroutine[None, None, A]], *, grace: float
) -> tuple[list[A], list[ValkeyctlError]]:
    """Run all of *asked* together; return what came within *grace* seconds of the first answer.

    Returns:
        The answers in the order in which they came, and the failures that came before them.
        The rest is cancelled.
    """
    answers: list[A] = []
    failures: list[ValkeyctlError] = []
    pending = {asyncio.create_task(one) for one in asked}
    try:
        while pending:
            done, pending = await asyncio.wait(
                pending,
                timeout=grace if answers else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not done:
                break
            for task in done:
                try:
                    answers.append(task.result())
                except ValkeyctlError as error:
                    failures.append(error)
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
    return answers, failures
