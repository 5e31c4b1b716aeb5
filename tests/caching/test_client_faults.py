"""Life of a client while its server goes away, freezes, refuses and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.caching.conftest import MortalServer
from tests.conftest import free_port
from valkeyctl.caching import ValkeyClient
from valkeyctl.caching.backoff import pauses
from valkeyctl.caching.breaker import Breaker
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import (
    AuthError,
    BreakerOpenError,
    DeadlineError,
    ServerReplyError,
    TlsError,
    UnreachableError,
    ValkeyctlError,
)


async def until(condition: Callable[[], Awaitable[bool]], *, within: float) -> float:
    """Return the seconds until *condition* held; another process makes it hold."""
    began = time.monotonic()
    while time.monotonic() - began < within:
        if await condition():
            return time.monotonic() - began
        await asyncio.sleep(0.005)
    raise AssertionError(f"still not so after {within} s")


async def answers(client: ValkeyClient) -> bool:
    """Say whether a call succeeds now."""
    try:
        await client.ping()
    except ValkeyctlError:
        return False
    return True


async def test_a_client_opens_without_a_server() -> None:
    """An application comes up while its cache is away; its calls say so."""
    async with ValkeyClient(Endpoint(port=free_port())) as client:
        with pytest.raises(UnreachableError):
            await client.get("k")


async def test_ping_tells_those_who_must_know() -> None:
    """A refused port is an UnreachableError that names the address and the reason."""
    endpoint = Endpoint(port=free_port())

    async with contextlib.aclosing(ValkeyClient(endpoint)) as client:
        with pytest.raises(UnreachableError, match=f"{endpoint.address}.*refused") as caught:
            await client.ping()

    assert caught.value.hint is not None


async def test_a_killed_server_is_found_again_after_its_restart(server: MortalServer) -> None:
    """Recovery takes under a second from the server's return, without a new client."""
    async with ValkeyClient(server.endpoint) as client:
        await client.set("k", "v")
        server.kill()
        for _ in range(3):
            with pytest.raises(UnreachableError):
                await client.get("k")
        assert client.breaker.state == "open"

        server.start()
        waited = await until(lambda: answers(client), within=5)

        assert waited < 1.0
        # One to see that it started, and the one by which it was found again.
        assert (await client.info("stats"))["total_connections_received"] == "2"


async def test_a_restart_between_two_calls_is_not_noticed(server: MortalServer) -> None:
    """A connection that died while idle is replaced before anything is sent on it."""
    async with ValkeyClient(server.endpoint) as client:
        await client.set("k", "v")
        server.kill()
        await asyncio.to_thread(server.start)

        await client.set("k", "w")

        assert await client.get("k") == b"w"


async def test_a_frozen_server_costs_a_deadline_and_then_nothing(server: MortalServer) -> None:
    """Each call costs at most its deadline until the breaker opens, then well under 1 ms."""
    async with ValkeyClient(server.endpoint, deadline=0.05) as client:
        await client.set("k", "v")
        server.freeze()
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(DeadlineError):
                await client.get("k")
            assert time.monotonic() - began < 0.1

        refusals = []
        for _ in range(100):
            began = time.perf_counter()
            with pytest.raises(BreakerOpenError):
                await client.get("k")
            refusals.append(time.perf_counter() - began)

        assert sorted(refusals)[50] < 0.001


async def test_a_thawed_server_is_found_again(server: MortalServer) -> None:
    """After SIGCONT calls go through within a second, with the right answers."""
    async with ValkeyClient(server.endpoint, deadline=0.05) as client:
        await client.set("a", "1")
        await client.set("b", "2")
        server.freeze()
        await asyncio.gather(*(client.get("a") for _ in range(20)), return_exceptions=True)
        assert client.breaker.state == "open"

        server.thaw()
        waited = await until(lambda: answers(client), within=5)

        assert waited < 1.0
        assert await client.get("b") == b"2"


async def test_a_read_in_flight_on_a_broken_connection_is_sent_again(
    server: MortalServer,
) -> None:
    """CLIENT KILL under a waiting read is not noticed by its caller."""
    async with ValkeyClient(server.endpoint) as client, ValkeyClient(server.endpoint) as killer:
        await client.set("k", "v")
        await killer.execute("CLIENT", "PAUSE", "300", "WRITE")
        waiting = asyncio.create_task(
            client.execute("EVAL", "return redis.call('PUBLISH','x','y')", 0, idempotent=True)
        )
        await asyncio.sleep(0.05)

        await killer.execute("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await killer.execute("CLIENT", "UNPAUSE")

        assert await waiting == 0


async def test_a_write_in_flight_on_a_broken_connection_is_refused(server: MortalServer) -> None:
    """A command that may have run is not sent twice; its caller hears that."""
    async with ValkeyClient(server.endpoint) as client, ValkeyClient(server.endpoint) as killer:
        await killer.execute("CLIENT", "PAUSE", "300", "WRITE")
        waiting = asyncio.create_task(client.execute("INCR", "n"))
        await asyncio.sleep(0.05)

        await killer.execute("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await killer.execute("CLIENT", "UNPAUSE")

        with pytest.raises(UnreachableError, match="broke"):
            await waiting
        assert await client.get("n") is None


async def test_a_wrong_password_is_an_auth_error_that_does_not_open_the_breaker(
    mortal_server: Callable[..., MortalServer],
) -> None:
    """The server answers, so it is not gone; the message keeps the password to itself."""
    endpoint = mortal_server("--requirepass", "right").endpoint

    async with ValkeyClient(replace(endpoint, password="wr0ng-secret")) as client:
        for _ in range(5):
            with pytest.raises(AuthError) as caught:
                await client.get("k")

    assert "wr0ng-secret" not in f"{caught.value}{caught.value.__cause__}"
    assert client.breaker.state == "closed"


async def test_a_missing_password_and_a_forbidden_command_are_auth_errors(
    mortal_server: Callable[..., MortalServer],
) -> None:
    """NOAUTH and NOPERM are about credentials; a neighbour in the same write is unharmed."""
    endpoint = mortal_server("--requirepass", "right").endpoint
    async with ValkeyClient(endpoint) as client:
        with pytest.raises(AuthError, match="NOAUTH"):
            await client.get("k")
    async with ValkeyClient(replace(endpoint, password="right")) as admin:
        await admin.execute("ACL", "SETUSER", "reader", "on", ">pw", "~*", "+get", "+ping")

    reader = replace(endpoint, username="reader", password="pw")
    async with ValkeyClient(reader) as client:
        results = await asyncio.gather(
            client.get("a"),
            client.get("b"),
            client.set("k", "v"),
            client.get("c"),
            return_exceptions=True,
        )

    assert [type(result) for result in results] == [type(None), type(None), AuthError, type(None)]


async def test_a_full_server_is_a_reply_error_with_its_word(
    mortal_server: Callable[..., MortalServer],
) -> None:
    """OOM is what the server says, not a failure of the server."""
    endpoint = mortal_server("--maxmemory", "3mb", "--maxmemory-policy", "noeviction").endpoint
    async with ValkeyClient(endpoint) as client:
        with pytest.raises(ServerReplyError) as caught:
            for n in range(100):
                await client.set(f"k{n}", b"x" * 100_000)

        assert caught.value.reply == "OOM"
        assert await client.get("k0") is not None
        assert client.breaker.state == "closed"


async def test_waiting_for_a_connection_counts_against_the_deadline(server: MortalServer) -> None:
    """Callers beyond the pool wait no longer than their deadline, and the breaker sees it."""
    breaker = Breaker(failures=2)
    async with ValkeyClient(server.endpoint, pool_size=1, deadline=0.05, breaker=breaker) as client:
        blocked = asyncio.create_task(client.execute("BLPOP", "queue", 1, deadline=1.5))
        await asyncio.sleep(0.02)

        for _ in range(2):
            with pytest.raises(DeadlineError, match="within 50 ms"):
                await client.get("k")

        assert breaker.state == "open"
        blocked.cancel()
        await asyncio.gather(blocked, return_exceptions=True)


async def test_a_cancelled_call_never_leaks_its_answer_to_the_next(server: MortalServer) -> None:
    """A connection with an answer still on its way is not given to anybody else."""
    async with ValkeyClient(server.endpoint, pool_size=1) as client:
        await client.set("k", "v")
        for _ in range(20):
            call = asyncio.create_task(client.execute("ECHO", "not yours"))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)

            assert await client.get("k") == b"v"


async def test_callers_that_gave_up_leave_no_task_behind(server: MortalServer) -> None:
    """A write that several callers shared ends with the last of them."""
    async with ValkeyClient(server.endpoint, breaker=Breaker(failures=1000)) as client:
        await asyncio.gather(client.ping(), client.ping())  # the two connections that a burst takes
        before = asyncio.all_tasks()
        server.freeze()

        outcomes = await asyncio.gather(
            *(client.get("k", deadline=0.05) for _ in range(20)), return_exceptions=True
        )
        await asyncio.sleep(0)
        await asyncio.sleep(0)

        assert all(isinstance(outcome, DeadlineError) for outcome in outcomes)
        assert asyncio.all_tasks() <= before


async def test_closing_ends_every_task_and_fails_calls_in_flight(server: MortalServer) -> None:
    """Nothing of the client runs after aclose; waiting callers get a typed error."""
    before = asyncio.all_tasks()
    client = ValkeyClient(server.endpoint)
    await client.start()
    calls = [asyncio.create_task(client.execute("BLPOP", f"q{n}", 5)) for n in range(5)]
    await asyncio.sleep(0.02)

    await client.aclose()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)

    assert all(isinstance(outcome, UnreachableError) for outcome in outcomes)
    assert asyncio.all_tasks() == before
    with pytest.raises(UnreachableError, match="closed"):
        await client.get("k")


async def test_closing_while_a_connection_is_made_fails_its_caller(server: MortalServer) -> None:
    """With a typed error, not with a cancellation that nobody asked for."""
    server.freeze()
    client = ValkeyClient(server.endpoint)
    call = asyncio.create_task(client.get("k"))
    await asyncio.sleep(0.02)

    await client.aclose()

    with pytest.raises(UnreachableError, match="closed"):
        await call


async def test_a_handshake_longer_than_every_budget_is_finished_for_the_next_caller(
    server: MortalServer,
) -> None:
    """Impatient callers would otherwise start over for ever."""
    async with contextlib.aclosing(ValkeyClient(server.endpoint)) as client:
        server.freeze()
        for _ in range(2):
            with pytest.raises(DeadlineError):
                await client.get("k", deadline=0.01)
        server.thaw()
        await asyncio.sleep(0.05)

        assert client.breaker.state == "closed"
        # One to see that it started, and that of both impatient callers.
        assert (await client.info("stats"))["total_connections_received"] == "2"


async def test_closing_ends_the_recovery_task() -> None:
    """A client that never found its server leaves nothing behind."""
    before = asyncio.all_tasks()
    client = ValkeyClient(Endpoint(port=free_port()))
    assert not await client.start()
    assert asyncio.all_tasks() != before

    await client.aclose()

    assert asyncio.all_tasks() == before


@contextlib.asynccontextmanager
async def scripted(*answers: bytes) -> AsyncIterator[tuple[Endpoint, list[bytes]]]:
    """Serve a server that greets, gives *answers* in turn, and hangs up after half a one."""
    heard: list[bytes] = []
    left = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(b"%1\r\n$5\r\nproto\r\n:3\r\n")
        while words := await reader.read(1000):
            heard.append(words)
            answer = left.pop(0)
            writer.write(answer)
            if not answer.endswith(b"\r\n"):
                break
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listener:
        yield Endpoint(port=listener.sockets[0].getsockname()[1]), heard


async def test_a_reply_cut_short_is_no_answer() -> None:
    """A read is asked for again on a new connection; a write is refused, and sent once."""
    async with scripted(b"$10\r\nhalf", b"$5\r\nwhole\r\n", b"$1", b"+OK\r\n") as (
        endpoint,
        heard,
    ):
        client = ValkeyClient(endpoint)

        assert await client.get("k") == b"whole"
        with pytest.raises(UnreachableError, match="broke"):
            await client.set("k", "v")

        assert len(heard) == 3
        await client.aclose()


async def test_a_server_that_loads_its_data_is_there_but_not_ready() -> None:
    """LOADING is what it says, so the breaker stays closed."""
    async with scripted(b"-LOADING Valkey is loading the dataset in memory\r\n") as (endpoint, _):
        client = ValkeyClient(endpoint)

        with pytest.raises(ServerReplyError) as caught:
            await client.get("k")

        assert caught.value.reply == "LOADING"
        assert client.breaker.state == "closed"
        await client.aclose()


@pytest.mark.skipif(not Path("/usr/bin/valkey-server").exists(), reason="needs a TLS server")
async def test_tls_is_spoken_and_verified(tls_server: Endpoint) -> None:
    """The right CA lets in; the system's CAs do not know ours, and a missing file is named."""
    async with ValkeyClient(tls_server) as client:
        await client.set("k", "v")
        assert await client.get("k") == b"v"
        assert await client.raw.get("k") == b"v"

    for ca_file, reason in ((None, "self-signed"), (Path("/nowhere/ca.pem"), "No such file")):
        async with ValkeyClient(replace(tls_server, ca_file=ca_file)) as client:
            with pytest.raises(TlsError, match=reason):
                await client.get("k")


def test_pauses_grow_with_full_jitter_to_a_bound() -> None:
    """Reconnection pauses double up to half a second and are spread over their range."""
    ceilings = pauses(_Top())
    spread = pauses(random.Random(7))

    assert [round(next(ceilings), 3) for _ in range(6)] == [0.05, 0.1, 0.2, 0.4, 0.5, 0.5]
    assert all(0 <= next(spread) <= 0.5 for _ in range(100))


class _Top(random.Random):
    """Draws the upper end."""

    def uniform(self, a: float, b: float) -> float:
        return b
