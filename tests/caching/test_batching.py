"""Commands of one turn share a write: what each caller sees of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from valkeyctl.caching.driver.batching import Batching
from valkeyctl.caching.driver.link import Command, LinkOutcome
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import UnreachableError, ValkeyctlError


class Echoing:
    """A link that answers each command with its last word, when told to."""

    def __init__(self) -> None:
        self.writes: list[int] = []
        self.go = asyncio.Event()
        self.go.set()
        self.error: ValkeyctlError | None = None

    async def exchange(self, commands: Sequence[Command]) -> list[LinkOutcome]:
        self.writes.append(len(commands))
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return [str(words[-1]).encode() for words in commands]

    async def probe(self) -> None:
        """Find it well."""

    async def primaries(self) -> tuple[Endpoint, ...]:
        """Stand for no server."""
        return ()

    def close(self) -> None:
        """Do nothing, at once."""

    async def aclose(self) -> None:
        """Likewise."""


async def echo(link: Batching, count: int) -> list[list[LinkOutcome] | BaseException]:
    """Return what so many callers of one turn get."""
    return await asyncio.gather(
        *(link.exchange([("ECHO", n)]) for n in range(count)), return_exceptions=True
    )


async def test_the_first_leaves_at_once_and_the_others_together() -> None:
    """In order, in writes of a bounded number of commands."""
    beneath = Echoing()

    answers = await echo(Batching(beneath), 300)

    assert beneath.writes == [1, 128, 128, 43]
    assert answers == [[b"%d" % n] for n in range(300)]


async def test_callers_of_different_turns_do_not_wait_for_each_other() -> None:
    """Each is the first of its turn."""
    beneath = Echoing()
    link = Batching(beneath)

    for n in range(3):
        assert await link.exchange([("ECHO", n)]) == [b"%d" % n]

    assert beneath.writes == [1, 1, 1]


async def test_a_failed_write_fails_each_caller_with_an_exception_of_its_own() -> None:
    """Raising one object in many tasks would mix their tracebacks."""
    beneath = Echoing()
    beneath.error = UnreachableError("broke", hint="Look at it")

    outcomes = await echo(Batching(beneath), 4)

    assert [str(outcome) for outcome in outcomes] == ["broke"] * 4
    assert all(isinstance(outcome, UnreachableError) for outcome in outcomes)
    assert all(getattr(outcome, "hint", None) == "Look at it" for outcome in outcomes)
    assert len({id(outcome) for outcome in outcomes}) == 4


async def test_closing_refuses_those_on_the_way_and_those_not_yet_gone() -> None:
    """And leaves no task."""
    beneath = Echoing()
    beneath.go.clear()
    link = Batching(beneath)
    before = asyncio.all_tasks()
    calls = [asyncio.create_task(link.exchange([("ECHO", n)])) for n in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    late = [asyncio.create_task(link.exchange([("ECHO", n)])) for n in range(2)]
    await asyncio.sleep(0)

    await link.aclose()
    calls[0].cancel()  # these two hang on the link beneath, whose closing is its own affair
    late[0].cancel()
    await asyncio.gather(calls[0], late[0], return_exceptions=True)

    for call in (*calls[1:], late[1]):
        with pytest.raises(UnreachableError, match="closed"):
            await call
    assert asyncio.all_tasks() == before


async def test_a_write_goes_on_while_one_caller_still_waits() -> None:
    """A caller who gives up does not take the others' answers along."""
    beneath = Echoing()
    beneath.go.clear()
    link = Batching(beneath)
    calls = [asyncio.create_task(link.exchange([("ECHO", n)])) for n in range(4)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    calls[1].cancel()
    calls[2].cancel()
    await asyncio.sleep(0)
    beneath.go.set()

    assert await calls[3] == [b"3"]
