"""The stream of messages that applications read."""

from __future__ import annotations

import asyncio

import pytest

from valkeyctl.caching import ValkeyClient
from valkeyctl.caching.messages import Message, Messages
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import AuthError, UsageError


async def test_a_stream_has_what_its_channels_and_patterns_say(client: ValkeyClient) -> None:
    """In the order of publication; a channel that is named twice is heard once."""
    async with client.listen("news", b"news", patterns=("user:*",)) as messages:
        await client.publish("news", "one")
        await client.publish("user:7", b"\x00\xff")
        await client.publish("other", "unheard")
        await client.publish("news", "two")

        heard = [await anext(messages) for _ in range(3)]

    assert heard == [
        Message(b"news", b"one"),
        Message(b"user:7", b"\x00\xff"),
        Message(b"news", b"two"),
    ]
    assert await client.publish("news", "nobody") == 0


async def test_a_stream_survives_its_connection_and_marks_the_gap(client: ValkeyClient) -> None:
    """The first message after it says that some may be missing, the next one does not."""
    async with client.listen("news") as messages:
        await client.publish("news", "before")
        await client.execute("CLIENT", "KILL", "TYPE", "pubsub")
        async with asyncio.timeout(5):
            while await client.publish("news", "after") == 0:
                pass
        await client.publish("news", "last")

        heard = [await anext(messages) for _ in range(3)]

    assert [(message.data, message.gap) for message in heard] == [
        (b"before", False),
        (b"after", True),
        (b"last", False),
    ]


async def test_a_slow_reader_loses_the_oldest_and_is_told(client: ValkeyClient) -> None:
    """The buffer is bounded; the gap stands where the messages are missing."""
    async with Messages(client.subscriber, ["news"], buffer=3) as messages:
        for n in range(10):
            await client.publish("news", n)
        async with client.listen("fence") as fence:
            await client.publish("fence", "")
            await anext(fence)

        heard = [await anext(messages) for _ in range(3)]

    assert [(message.data, message.gap) for message in heard] == [
        (b"7", True),
        (b"8", False),
        (b"9", False),
    ]


async def test_a_stream_ends_with_its_client(endpoint: Endpoint) -> None:
    """After what had been heard."""
    client = ValkeyClient(endpoint)
    async with client.listen("news") as messages, client.listen("fence") as fence:
        await client.publish("news", "last")
        await client.publish("fence", "")
        await anext(fence)

        await client.aclose()

        assert [message.data async for message in messages] == [b"last"]


async def test_a_reader_that_waits_ends_with_the_block(client: ValkeyClient) -> None:
    """No task hangs on a stream that nobody feeds."""

    async def read(messages: Messages) -> list[Message]:
        return [message async for message in messages]

    async with client.listen("news") as messages:
        reader = asyncio.create_task(read(messages))
        await asyncio.sleep(0)

    assert await reader == []


async def test_a_stream_that_is_refused_one_channel_takes_none(
    client: ValkeyClient, endpoint: Endpoint
) -> None:
    """What had been subscribed is given back."""
    await client.execute("ACL", "SETUSER", "half", "on", "nopass", "+@all", "~*", "&good")
    async with ValkeyClient(f"redis://half:x@{endpoint.address}/0") as half:
        with pytest.raises(AuthError, match="NOPERM"):
            async with half.listen("good", "bad"):
                pass
        await half.subscriber.subscribe("good", lambda _: None)  # so UNSUBSCRIBE was handled

        assert await client.execute("PUBSUB", "CHANNELS") == [b"good"]
    await client.execute("ACL", "DELUSER", "half")


async def test_what_cannot_be_listened_to_is_refused(client: ValkeyClient) -> None:
    """Nothing, a string of patterns, a buffer for none, and reading outside of the block."""
    with pytest.raises(UsageError, match="nothing to listen to"):
        client.listen()
    with pytest.raises(UsageError, match="not the string"):
        client.listen(patterns="user:*")
    with pytest.raises(UsageError, match="at least 1"):
        Messages(client.subscriber, ["news"], buffer=0)
    with pytest.raises(UsageError, match="inside of their block"):
        await anext(client.listen("news"))
