"""What a client does with the sentinels' news, however they come: on scripted servers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

import pytest

from tests.caching.deployments import PRIMARY_NAME
from tests.caching.scripted import ScriptedServer, Start
from valkeyctl.caching import ValkeyClient
from valkeyctl.caching.replies import RichReply
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import UnreachableError


class Watcher:
    """What a scripted sentinel knows."""

    def __init__(self, port: int, epoch: int = 0) -> None:
        self.port = port
        self.epoch = epoch

    def __call__(self, words: tuple[str, ...]) -> RichReply | Exception:
        """Answer as a sentinel does."""
        if words[1] == "GET-MASTER-ADDR-BY-NAME":
            return [b"127.0.0.1", b"%d" % self.port]
        return {b"config-epoch": b"%d" % self.epoch}


class Role:
    """A scripted server with a role."""

    def __init__(self, role: str = "master", *, refusal: str | None = None) -> None:
        self.role = role
        self.refusal = refusal

    def __call__(self, words: tuple[str, ...]) -> RichReply | Exception:
        """Answer as such a server does."""
        if words[0] == "ROLE":
            return [self.role.encode(), 0, []]
        if words[0] == "PING":
            return b"PONG"
        return Exception(self.refusal) if self.refusal else self.role.encode()


def watched_by(*sentinels: ScriptedServer) -> Endpoint:
    """Return the endpoint of these sentinels."""
    nodes = tuple(("127.0.0.1", sentinel.port) for sentinel in sentinels)
    return Endpoint(topology="sentinel", nodes=nodes, primary_name=PRIMARY_NAME)


async def test_the_newest_election_decides(start: Start) -> None:
    """A sentinel that was cut off names a primary of the past, and may answer first."""
    old, new = await start(Role()), await start(Role())
    sentinels = [await start(Watcher(port, n)) for n, port in enumerate([old.port, new.port, 1])]
    sentinels[2].answer = Watcher(old.port, 0)

    async with ValkeyClient(watched_by(*sentinels)) as client:
        assert [one.port for one in await client.primaries()] == [new.port]


async def test_a_server_that_is_no_primary_is_not_used(start: Start) -> None:
    """In the middle of a failover the sentinels may name one that does not know yet."""
    server = await start(Role("slave"))
    sentinel = await start(Watcher(server.port))

    async with aclosing(ValkeyClient(watched_by(sentinel))) as client:
        with pytest.raises(UnreachableError, match="says that it is a replica"):
            await client.set("a", "1")

    assert not any(words[0] == "SET" for words in server.asked)


@pytest.mark.parametrize("word", ["READONLY", "MASTERDOWN", "LOADING", "UNBLOCKED"])
async def test_a_refusal_for_the_role_makes_it_ask_again(start: Start, word: str) -> None:
    """Only an error tells the caller of a write that it must decide what to do."""
    old, new = await start(Role()), await start(Role())
    sentinel = await start(Watcher(old.port))
    async with ValkeyClient(watched_by(sentinel)) as client:
        await client.ping()
        old.answer = Role(refusal=f"{word} no")
        sentinel.answer = Watcher(new.port, 1)

        with pytest.raises(UnreachableError, match=f"did not run.*{word}"):
            await client.execute("SET", "a", "1")

        assert await client.execute("SET", "a", "1") == b"master"
        assert new.asked[-1] == ("SET", "a", "1")


@pytest.mark.parametrize("word", ["READONLY", "MASTERDOWN", "LOADING", "UNBLOCKED"])
async def test_a_read_that_was_refused_is_sent_again(start: Start, word: str) -> None:
    """To the new primary, in the same call."""
    old, new = await start(Role()), await start(Role())
    sentinel = await start(Watcher(old.port))
    async with ValkeyClient(watched_by(sentinel)) as client:
        await client.ping()
        old.answer = Role(refusal=f"{word} no")
        sentinel.answer = Watcher(new.port, 1)

        assert await client.get("a") == b"master"

        assert ("GET", "a") in old.asked
        assert new.asked[-1] == ("GET", "a")


async def test_a_refusal_in_a_batch_concerns_its_own_command(start: Start) -> None:
    """Callers that share a write share no failure."""
    server = await start(Role())
    sentinel = await start(Watcher(server.port))
    async with ValkeyClient(watched_by(sentinel)) as client:
        await client.ping()
        server.answer = lambda words: Role(refusal="READONLY no" if words[0] == "SET" else None)(
            words
        )

        lone, read, write = await asyncio.gather(
            client.execute("TYPE", "x"),
            client.execute("TYPE", "a"),
            client.execute("SET", "a", "1"),
            return_exceptions=True,
        )

        assert (lone, read) == (b"master", b"master")
        assert isinstance(write, UnreachableError)


@pytest.mark.parametrize(
    ("channel", "message"),
    [
        ("+switch-master", "{name} 127.0.0.1 1 127.0.0.1 {port}"),
        ("+promoted-slave", "slave 127.0.0.1:{port} 127.0.0.1 {port} @ {name} 127.0.0.1 1"),
    ],
)
async def test_an_announcement_is_heeded_at_once(start: Start, channel: str, message: str) -> None:
    """Before any call; others' names, and what is known already, change nothing."""
    old, new = await start(Role()), await start(Role())
    sentinel = await start(Watcher(old.port))
    async with ValkeyClient(watched_by(sentinel)) as client:
        await client.ping()
        await eventually(lambda: sentinel.listeners == 1)
        asked = len(sentinel.asked)
        sentinel.announce(channel, message.format(name="other", port=new.port))
        sentinel.announce(channel, message.format(name=PRIMARY_NAME, port=old.port))
        sentinel.announce(channel, message.format(name=PRIMARY_NAME, port="x"))
        sentinel.announce(channel, "nonsense")
        await asyncio.sleep(0.05)  # nothing tells that nothing happens
        assert len(sentinel.asked) == asked

        sentinel.answer = Watcher(new.port, 1)
        sentinel.announce(channel, message.format(name=PRIMARY_NAME, port=new.port))
        await eventually(lambda: len(sentinel.asked) > asked)
        assert await client.execute("SET", "a", "1") == b"master"
        assert new.asked[-1] == ("SET", "a", "1")
        assert not any(words[0] == "SET" for words in old.asked)


async def test_an_announcement_that_may_have_been_missed_is_made_up_for(start: Start) -> None:
    """When a sentinel is heard again, it is asked."""
    old, new = await start(Role()), await start(Role())
    sentinel = await start(Watcher(old.port))
    async with ValkeyClient(watched_by(sentinel)) as client:
        await client.ping()
        await eventually(lambda: sentinel.listeners == 1)
        sentinel.answer = Watcher(new.port, 1)

        sentinel.hang_up()

        async with asyncio.timeout(5):
            while not any(words[0] == "GET" for words in new.asked):
                await client.get("a")


async def test_an_answer_from_before_an_announcement_is_not_used(start: Start) -> None:
    """A search that began before it asks once more."""
    old, new = await start(Role()), await start(Role())
    sentinel = await start(Watcher(old.port))
    async with ValkeyClient(watched_by(sentinel)) as client:
        await client.ping()
        await eventually(lambda: sentinel.listeners == 1)
        old.answer = Role(refusal="READONLY no")

        def late(words: tuple[str, ...]) -> RichReply | Exception:
            if words[1] == "MASTER":
                sentinel.answer = Watcher(new.port, 1)
                news = f"{PRIMARY_NAME} 127.0.0.1 1 127.0.0.1 {new.port}"
                sentinel.announce("+switch-master", news)
            return Watcher(old.port)(words)

        sentinel.answer = late
        with pytest.raises(UnreachableError):
            await client.execute("SET", "a", "1")
        old.answer = Role()

        await client.execute("SET", "a", "2")

        assert new.asked[-1] == ("SET", "a", "2")


async def test_closing_ends_what_waits(start: Start) -> None:
    """A call that waits for the sentinels hears that the client is closed."""
    silent = asyncio.Event()
    server = await start(Role())
    sentinel = await start(Watcher(server.port))
    sentinel.hold = silent
    client = ValkeyClient(watched_by(sentinel))
    call = asyncio.create_task(client.get("a"))
    await asyncio.sleep(0.05)

    await client.aclose()

    with pytest.raises(UnreachableError, match="closed"):
        await call
    with pytest.raises(UnreachableError, match="closed"):
        await client.get("a")
    silent.set()


async def eventually(holds: Callable[[], bool]) -> None:
    """Wait until *holds*, which nothing announces."""
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.001)
