"""Sharing a load: who loads, who waits, who takes over."""

from __future__ import annotations

import asyncio

import pytest

from valkeyctl.caching.flight import ANYONE, Flight, Flights


class Origin:
    """A load that ends when told to, and counts."""

    def __init__(self) -> None:
        self.calls = 0
        self.stored: list[object] = []
        self.go = asyncio.Event()
        self.error: Exception | None = None

    async def load(self, _: Flight[int]) -> int:
        """Return how many times it was called, once `go` is set."""
        self.calls += 1
        mine = self.calls
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return mine

    async def store(self, flight: Flight[int], value: object) -> None:
        """Note what was to be kept."""
        if not flight.forgotten:
            self.stored.append(value)


def callers(
    flights: Flights[int], origin: Origin, count: int, *, token: object = 0
) -> list[asyncio.Task[tuple[int, bool]]]:
    """Return so many tasks that want the same key."""
    return [
        asyncio.create_task(flights.run(b"k", token, origin.load, origin.store))
        for _ in range(count)
    ]


async def turns(count: int = 5) -> None:
    """Let every task run until it waits."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_one_loads_and_stores_and_all_get_the_value() -> None:
    """Exactly one caller is not shared."""
    flights: Flights[int] = Flights()
    origin = Origin()
    tasks = callers(flights, origin, 100)
    await turns()
    origin.go.set()

    outcomes = await asyncio.gather(*tasks)

    assert origin.calls == 1
    assert origin.stored == [1]
    assert sorted(outcomes) == [(1, False)] + [(1, True)] * 99
    assert len(flights) == 0


async def test_the_loaders_error_goes_to_all_and_is_not_stored() -> None:
    """Nobody waits on, nobody loads again, and the next caller starts anew."""
    flights: Flights[int] = Flights()
    origin = Origin()
    origin.error = LookupError("not there")
    tasks = callers(flights, origin, 3)
    await turns()
    origin.go.set()

    outcomes = await asyncio.gather(*tasks, return_exceptions=True)

    assert outcomes == [origin.error] * 3
    assert (origin.calls, origin.stored, len(flights)) == (1, [], 0)


async def test_a_cancelled_waiter_disturbs_nobody() -> None:
    """The load goes on for the others."""
    flights: Flights[int] = Flights()
    origin = Origin()
    tasks = callers(flights, origin, 3)
    await turns()
    tasks[1].cancel()
    await turns()
    origin.go.set()

    outcomes = await asyncio.gather(*tasks, return_exceptions=True)

    assert isinstance(outcomes[1], asyncio.CancelledError)
    assert [outcomes[0], outcomes[2]] == [(1, False), (1, True)]
    assert origin.calls == 1


async def test_when_the_leader_is_cancelled_one_other_takes_over() -> None:
    """The rest keep waiting, for the new load."""
    flights: Flights[int] = Flights()
    origin = Origin()
    tasks = callers(flights, origin, 4)
    await turns()
    tasks[0].cancel()
    await turns()
    origin.go.set()

    outcomes = await asyncio.gather(*tasks, return_exceptions=True)

    assert isinstance(outcomes[0], asyncio.CancelledError)
    assert outcomes[1:] == [(2, False), (2, True), (2, True)]
    assert origin.calls == 2
    assert len(flights) == 0


async def test_a_successor_cancelled_in_the_same_turn_passes_it_on() -> None:
    """Leader and next in line may be cancelled together; the third loads."""
    flights: Flights[int] = Flights()
    origin = Origin()
    tasks = callers(flights, origin, 3)
    await turns()
    tasks[0].cancel()
    await asyncio.sleep(0)  # the leader has handed over; the next one has not run yet
    tasks[1].cancel()
    await turns()
    origin.go.set()

    outcomes = await asyncio.gather(*tasks, return_exceptions=True)

    assert outcomes[2] == (2, False)
    assert len(flights) == 0


async def test_when_all_are_cancelled_nothing_is_left() -> None:
    """The next caller does not wait for the dead."""
    flights: Flights[int] = Flights()
    origin = Origin()
    tasks = callers(flights, origin, 3)
    await turns()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert len(flights) == 0
    origin.go.set()

    (outcome,) = await asyncio.gather(*callers(flights, origin, 1))

    assert outcome == (origin.calls, False)


async def test_a_caller_with_another_token_loads_for_itself() -> None:
    """Who saw newer versions must not get what was loaded under older ones."""
    flights: Flights[int] = Flights()
    origin = Origin()
    early = callers(flights, origin, 2, token="before")
    await turns()
    late = callers(flights, origin, 2, token="after")
    await turns()
    origin.go.set()

    outcomes = await asyncio.gather(*early, *late)

    assert outcomes == [(1, False), (1, True), (2, False), (2, True)]
    assert len(flights) == 0


async def test_waiters_do_not_wait_for_the_store() -> None:
    """A slow cache costs the leader alone; later callers get the value meanwhile."""
    flights: Flights[int] = Flights()
    origin = Origin()
    origin.go.set()
    storing = asyncio.Event()

    async def slow_store(_: Flight[int], value: int) -> None:
        await storing.wait()

    leader = asyncio.create_task(flights.run(b"k", 0, origin.load, slow_store))
    await turns()

    assert await flights.run(b"k", 0, origin.load, origin.store) == (1, True)
    assert not leader.done()
    storing.set()
    assert await leader == (1, False)
    assert len(flights) == 0


async def test_a_forgotten_load_is_neither_stored_nor_joined() -> None:
    """After a set or a delete its value is too old for anybody but its waiters."""
    flights: Flights[int] = Flights()
    origin = Origin()
    early = callers(flights, origin, 2)
    await turns()

    flights.forget(b"k")
    late = callers(flights, origin, 1)
    await turns()
    origin.go.set()
    outcomes = await asyncio.gather(*early, *late)

    assert outcomes == [(1, False), (1, True), (2, False)]
    assert origin.stored == [2]


async def test_a_loader_that_asks_for_its_own_key_does_not_wait_for_itself() -> None:
    """Recursion is the caller's business; a deadlock would be ours."""
    flights: Flights[int] = Flights()
    depth = 0

    async def load(_: Flight[int]) -> int:
        nonlocal depth
        depth += 1
        if depth == 1:
            inner, shared = await flights.run(b"k", 0, load, store)
            assert not shared
            return inner
        return 7

    async def store(_: Flight[int], value: int) -> None:
        """Keep nothing."""

    value, shared = await asyncio.wait_for(flights.run(b"k", 0, load, store), 1)

    assert (value, shared) == (7, False)


async def test_a_load_that_has_not_begun_is_open_to_everybody() -> None:
    """Whatever a caller knows is older than the value will be; once it has begun, that counts."""
    flights: Flights[int] = Flights()
    origin = Origin()
    asked = asyncio.Event()

    async def load(flight: Flight[int]) -> int:
        flight.token = ANYONE
        await asked.wait()
        flight.token = "new"
        return await origin.load(flight)

    first = asyncio.create_task(flights.run(b"k", "old", load, origin.store))
    await turns()
    other = callers(flights, origin, 1, token="unlike")
    await turns()
    asked.set()
    await turns()
    late = callers(flights, origin, 1, token="unlike")
    await turns()
    origin.go.set()

    assert [await first, await other[0], await late[0]] == [(1, False), (1, True), (2, False)]


async def test_a_loader_cancelled_from_within_does_not_hang_the_others() -> None:
    """CancelledError out of the loader itself is handed on, one load each."""
    flights: Flights[int] = Flights()
    calls = 0

    async def load(_: Flight[int]) -> int:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        raise asyncio.CancelledError

    async def store(_: Flight[int], value: int) -> None:
        """Keep nothing."""

    tasks = [asyncio.create_task(flights.run(b"k", 0, load, store)) for _ in range(3)]
    outcomes = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 1)

    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
    assert calls == 3
    assert len(flights) == 0


async def test_none_is_a_value() -> None:
    """A loader may find nothing, and say so to all."""
    flights: Flights[None] = Flights()

    async def load(_: Flight[None]) -> None:
        await asyncio.sleep(0)

    async def store(_: Flight[None], value: None) -> None:
        """Keep nothing."""

    outcomes = await asyncio.gather(*(flights.run(b"k", 0, load, store) for _ in range(2)))

    assert outcomes == [(None, False), (None, True)]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
async def test_an_interruption_is_not_shared(interruption: type[BaseException]) -> None:
    """Ctrl-C in one caller is not the others' answer."""
    flights: Flights[int] = Flights()

    async def load(_: Flight[int]) -> int:
        raise interruption

    async def store(_: Flight[int], value: int) -> None:
        """Keep nothing."""

    with pytest.raises(interruption):
        await flights.run(b"k", 0, load, store)

    assert len(flights) == 0
