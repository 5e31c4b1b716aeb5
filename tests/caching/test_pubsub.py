"""Subscriptions hear what is published, share one connection, and outlive it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.caching.conftest import MortalServer
from tests.conftest import free_port
from valkeyctl.caching import ValkeyClient
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import AuthError, DeadlineError, UnreachableError


class Ear:
    """Keeps what it hears, and wakes who waits for it."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.losses = 0
        self._stirred = asyncio.Event()

    def hear(self, data: bytes) -> None:
        self.messages.append(data)
        self._stirred.set()

    def lose(self) -> None:
        self.losses += 1
        self._stirred.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when *condition* holds; looked at whenever something was heard."""
        async with asyncio.timeout(5):
            while not condition():
                self._stirred.clear()
                await self._stirred.wait()


async def test_nothing_published_after_a_subscription_is_missed(
    client: ValkeyClient, endpoint: Endpoint
) -> None:
    """The confirmation of the server is what `subscribe` waits for."""
    ear = Ear()
    async with ValkeyClient(endpoint) as listener:
        await listener.subscriber.subscribe("news", ear.hear)

        for n in range(200):
            assert await client.publish("news", n) == 1
        await ear.until(lambda: len(ear.messages) == 200)

    assert ear.messages == [b"%d" % n for n in range(200)]


async def test_subscribers_of_one_channel_share_it(client: ValkeyClient) -> None:
    """The server sees one; it is told to stop when the last of them has gone."""
    first, second = Ear(), Ear()
    one = await client.subscriber.subscribe("news", first.hear)
    two = await client.subscriber.subscribe(b"news", second.hear)

    assert await client.publish("news", "both") == 1
    await second.until(lambda: bool(second.messages))
    one.cancel()
    one.cancel()
    await client.publish("news", "second")
    await second.until(lambda: len(second.messages) == 2)
    two.cancel()
    await client.subscriber.subscribe("other", Ear().hear)  # so UNSUBSCRIBE has been handled

    assert first.messages == [b"both"]
    assert (one.active, two.active) == (False, False)
    assert await client.publish("news", "nobody") == 0


async def test_a_lost_connection_is_told_once_and_made_anew(client: ValkeyClient) -> None:
    """Messages arrive again, and nobody had to subscribe again."""
    ears = {name: Ear() for name in ("a", "b", "c")}
    subscriptions = [
        await client.subscriber.subscribe(name, ear.hear, on_lost=ear.lose)
        for name, ear in ears.items()
    ]

    await client.execute("CLIENT", "KILL", "TYPE", "pubsub")
    for ear in ears.values():
        await ear.until(lambda ear=ear: ear.losses == 1)  # type: ignore[misc]
    assert not any(subscription.active for subscription in subscriptions)
    again = [await client.subscriber.subscribe(name, Ear().hear) for name in ears]

    assert all(subscription.active for subscription in (*subscriptions, *again))
    for name, ear in ears.items():
        assert await client.publish(name, "again") == 1
        await ear.until(lambda ear=ear: ear.messages == [b"again"])  # type: ignore[misc]
        assert ear.losses == 1


async def test_a_subscription_made_again_at_once_hears(client: ValkeyClient) -> None:
    """What the server says to the cancelled one is not taken for the new one."""
    for n in range(50):
        ear = Ear()
        subscription = await client.subscriber.subscribe("news", ear.hear)
        assert await client.publish("news", n) == 1
        await ear.until(lambda n=n, ear=ear: ear.messages == [b"%d" % n])  # type: ignore[misc]
        subscription.cancel()


async def test_a_message_before_the_confirmation_is_not_delivered(client: ValkeyClient) -> None:
    """It was meant for a subscription that has been cancelled."""
    ear = Ear()
    first = await client.subscriber.subscribe("news", ear.hear)
    first.cancel()
    second = asyncio.create_task(client.subscriber.subscribe("news", ear.hear))
    await asyncio.sleep(0)

    client.subscriber.heard([b"message", b"news", b"too early"])
    await second
    await client.publish("news", "in time")
    await ear.until(lambda: bool(ear.messages))

    assert ear.messages == [b"in time"]


async def test_a_callback_that_raises_costs_nobody_else_a_message(client: ValkeyClient) -> None:
    """Its failure goes where asyncio sends those of callbacks."""
    failures: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    ear = Ear()

    def broken(data: bytes) -> None:
        raise ZeroDivisionError

    await client.subscriber.subscribe("news", broken)
    await client.subscriber.subscribe("news", ear.hear)
    for _ in range(2):
        await client.publish("news", "x")
    await ear.until(lambda: len(ear.messages) == 2)

    assert [type(failure["exception"]) for failure in failures] == [ZeroDivisionError] * 2


async def test_a_callback_may_cancel_its_neighbour(client: ValkeyClient) -> None:
    """Who was cancelled hears nothing more, not even the message in hand."""
    ear, last = Ear(), Ear()
    first = await client.subscriber.subscribe("news", lambda _: second.cancel())
    second = await client.subscriber.subscribe("news", ear.hear)
    await client.subscriber.subscribe("news", last.hear)

    await client.publish("news", "x")
    await last.until(lambda: bool(last.messages))

    assert ear.messages == []
    assert first.active
    assert not second.active


async def test_without_a_server_a_subscription_fails_in_time_and_says_why() -> None:
    """The caller's deadline holds, and the reason is that of the connection."""
    client = ValkeyClient(Endpoint(port=free_port()))
    began = time.monotonic()

    with pytest.raises(DeadlineError, match=r"'news' within 50 ms: cannot connect.*refused"):
        await client.subscriber.subscribe("news", Ear().hear, deadline=0.05)

    assert time.monotonic() - began < 0.5
    await client.aclose()


async def test_a_subscription_that_failed_leaves_nothing(server: MortalServer) -> None:
    """When the server comes, it is not asked for what nobody waits for any more."""
    async with ValkeyClient(server.endpoint) as client:
        server.freeze()
        with pytest.raises(DeadlineError):
            await client.subscriber.subscribe("news", Ear().hear, deadline=0.05)
        server.thaw()

        await client.subscriber.subscribe("other", Ear().hear)

        assert await client.publish("news", "nobody") == 0


async def test_a_subscription_waits_for_a_server_that_starts(server: MortalServer) -> None:
    """Within its deadline."""
    server.kill()
    client = ValkeyClient(server.endpoint)
    waiting = asyncio.create_task(client.subscriber.subscribe("news", Ear().hear, deadline=5))
    await asyncio.sleep(0.02)

    await asyncio.to_thread(server.start)

    assert (await waiting).active
    await client.aclose()


async def test_who_is_not_let_in_hears_it_at_once(
    mortal_server: Callable[..., MortalServer],
) -> None:
    """A wrong password, and a channel that the user may not have; the other channels stay."""
    endpoint = replace(mortal_server("--requirepass", "right").endpoint, password="right")
    async with ValkeyClient(replace(endpoint, password="wrong")) as client:
        with pytest.raises(AuthError, match="WRONGPASS"):
            await client.subscriber.subscribe("news", Ear().hear, deadline=5)
    async with ValkeyClient(endpoint) as admin:
        rules = ("on", ">pw", "~*", "+@all", "resetchannels", "&mine*")
        await admin.execute("ACL", "SETUSER", "reader", *rules)
        reader = replace(endpoint, username="reader", password="pw")
        async with ValkeyClient(reader) as client:
            ear = Ear()
            mine = await client.subscriber.subscribe("mine", ear.hear)

            with pytest.raises(AuthError, match="NOPERM"):
                await client.subscriber.subscribe("theirs", Ear().hear, deadline=5)
            await admin.publish("mine", "x")
            await ear.until(lambda: ear.messages == [b"x"])

            assert mine.active


async def test_closing_fails_who_waits_and_leaves_no_task(server: MortalServer) -> None:
    """A closed client subscribes to nothing more."""
    before = asyncio.all_tasks()
    ear = Ear()
    client = ValkeyClient(server.endpoint)
    subscription = await client.subscriber.subscribe("news", ear.hear, on_lost=ear.lose)
    server.freeze()
    waiting = asyncio.create_task(client.subscriber.subscribe("other", ear.hear, deadline=5))
    await asyncio.sleep(0.01)

    await client.aclose()

    with pytest.raises(UnreachableError, match="closed"):
        await waiting
    with pytest.raises(UnreachableError, match="closed"):
        await client.subscriber.subscribe("news", ear.hear)
    assert not subscription.active
    assert asyncio.all_tasks() == before


async def test_closing_while_it_connects_leaves_no_task(server: MortalServer) -> None:
    """Nor a caller that waits for ever."""
    before = asyncio.all_tasks()
    server.freeze()
    client = ValkeyClient(server.endpoint)
    waiting = asyncio.create_task(client.subscriber.subscribe("news", Ear().hear, deadline=5))
    await asyncio.sleep(0.01)

    await client.aclose()

    with pytest.raises(UnreachableError, match="closed"):
        await waiting
    assert asyncio.all_tasks() == before
