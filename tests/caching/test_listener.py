"""The connection on which the server speaks unasked."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable

import pytest

from tests.caching.conftest import MortalServer
from valkeyctl.caching import ValkeyClient
from valkeyctl.caching.driver import listener as listener_module
from valkeyctl.caching.driver.listener import Listener
from valkeyctl.caching.driver.pushes import Push, PushConnection
from valkeyctl.caching.replies import RichReply
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import (
    AuthError,
    DeadlineError,
    ServerReplyError,
    UnreachableError,
    ValkeyctlError,
)


class Recorder:
    """An audience that writes everything down."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.pushes: list[Push] = []
        self.reasons: list[ValkeyctlError] = []
        self.on_opened: Callable[[], None] = lambda: None
        self._stirred = asyncio.Event()

    def opened(self) -> None:
        self._note("opened")
        self.on_opened()

    def heard(self, push: Push) -> None:
        self.pushes.append(push)
        self._note("heard")

    def lost(self, reason: ValkeyctlError) -> None:
        self.reasons.append(reason)
        self._note("lost")

    def refused(self, reason: ValkeyctlError) -> None:
        self.reasons.append(reason)
        self._note("refused")

    async def until(self, event: str, times: int = 1) -> None:
        async with asyncio.timeout(5):
            while self.events.count(event) < times:
                self._stirred.clear()
                await self._stirred.wait()

    def _note(self, event: str) -> None:
        self.events.append(event)
        self._stirred.set()


@contextlib.asynccontextmanager
async def listening(
    endpoint: Endpoint, *, silence: float | None = None, patience: float = 1.0
) -> AsyncIterator[tuple[Listener, Recorder]]:
    """A listener that has started, and its audience."""
    recorder = Recorder()

    async def locate() -> Endpoint:
        return endpoint

    listener = Listener(
        locate,
        recorder,
        purpose="test",
        silence=silence,
        patience=patience,
        rng=random.Random(1),
    )
    listener.start()
    try:
        yield listener, recorder
    finally:
        await listener.aclose()


@contextlib.asynccontextmanager
async def scripted(*answers: bytes) -> AsyncIterator[Endpoint]:
    """Serve a server that greets and gives *answers* in turn, whatever it is asked."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = [b"%1\r\n$5\r\nproto\r\n:3\r\n", *answers]
        with contextlib.suppress(ConnectionError):
            while await reader.read(1000):
                if left:
                    writer.write(left.pop(0))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield Endpoint(port=server.sockets[0].getsockname()[1])


async def asked(listener: Listener, *words: str) -> RichReply | ValkeyctlError:
    """Return the answer to a command on the listener's connection."""
    answer: asyncio.Future[RichReply | ValkeyctlError] = asyncio.get_running_loop().create_future()
    assert listener.send(words, answer.set_result)
    async with asyncio.timeout(5):
        return await answer


async def test_answers_find_their_commands_among_the_pushes(
    client: ValkeyClient, endpoint: Endpoint
) -> None:
    """Confirmations, replies, errors and pushes come on one connection, in order."""
    async with listening(endpoint) as (listener, recorder):
        await recorder.until("opened")
        answers: list[RichReply | ValkeyctlError] = []
        last: asyncio.Future[RichReply | ValkeyctlError] = (
            asyncio.get_running_loop().create_future()
        )
        listener.send(("SUBSCRIBE", "a", "b", "c"), answers.append)
        listener.send(("PING",), answers.append)
        listener.send(("NONSENSE",), answers.append)
        listener.send(("PUBLISH", "a", "x"), answers.append)
        listener.send(("UNSUBSCRIBE", "a", "b"), answers.append)
        listener.send(("PUBLISH", "b", "y"), answers.append)
        listener.send(("PUBLISH", "c", "z"), last.set_result)
        async with asyncio.timeout(5):
            answers.append(await last)
        await recorder.until("heard", 2)

    assert answers[:2] == [None, b"PONG"]
    assert isinstance(answers[2], ServerReplyError)
    assert answers[3:] == [1, None, 0, 1]
    assert recorder.pushes == [[b"message", b"a", b"x"], [b"message", b"c", b"z"]]


async def test_nothing_is_sent_before_it_is_connected() -> None:
    """And a listener that never started closes."""
    listener = Listener(_nowhere, Recorder(), purpose="test")

    assert not listener.send(("PING",), lambda _: None)
    assert listener.endpoint is None
    await listener.aclose()
    listener.start()
    assert not listener.send(("PING",), lambda _: None)


async def test_it_comes_back_for_ever(server: MortalServer) -> None:
    """Killed, started, killed, started: each loss is told once, each return once."""
    async with listening(server.endpoint) as (listener, recorder):
        for times in range(1, 4):
            await recorder.until("opened", times)
            assert await asked(listener, "PING") == b"PONG"
            assert listener.failure is None
            server.kill()
            await recorder.until("lost", times)
            await recorder.until("refused", times)
            assert listener.endpoint is None
            assert isinstance(listener.failure, UnreachableError)
            await asyncio.to_thread(server.start)

    story = [event for event in recorder.events if event != "refused"]
    assert story[:6] == ["opened", "lost"] * 3


async def test_a_command_without_an_answer_is_answered_with_the_loss() -> None:
    """Exactly once, before the audience hears of the loss."""
    async with scripted() as endpoint, listening(endpoint, patience=0.05) as (listener, recorder):
        await recorder.until("opened")
        answers: list[RichReply | ValkeyctlError] = []

        def answered(answer: RichReply | ValkeyctlError) -> None:
            answers.append(answer)
            recorder.events.append("answered")

        listener.send(("PING",), answered)
        await recorder.until("lost")

        assert len(answers) == 1
        assert isinstance(answers[0], UnreachableError)
        assert recorder.events[:3] == ["opened", "answered", "lost"]


async def test_a_frozen_server_is_given_up_when_it_owes_an_answer(server: MortalServer) -> None:
    """Within the patience; it is not asked for anything while nobody asks."""
    async with listening(server.endpoint, patience=0.05) as (listener, recorder):
        await recorder.until("opened")
        server.freeze()
        await asyncio.sleep(0.15)
        assert recorder.events == ["opened"]

        listener.send(("PING",), lambda _: None)
        await recorder.until("lost")

        assert isinstance(recorder.reasons[0], DeadlineError)
        server.thaw()
        await recorder.until("opened", 2)


async def test_a_silent_server_is_asked_whether_it_is_there(server: MortalServer) -> None:
    """One that answers stays; one that is frozen is given up, without anybody asking."""
    async with listening(server.endpoint, silence=0.02, patience=0.1) as (_, recorder):
        await recorder.until("opened")
        await asyncio.sleep(0.2)
        assert recorder.events == ["opened"]

        server.freeze()
        await recorder.until("lost")

        assert isinstance(recorder.reasons[0], DeadlineError)


async def test_a_loop_that_stood_still_is_no_frozen_server(endpoint: Endpoint) -> None:
    """What has arrived meanwhile is read before the server is blamed."""
    async with listening(endpoint, patience=0.03) as (listener, recorder):
        await recorder.until("opened")
        answer: asyncio.Future[RichReply | ValkeyctlError]
        answer = asyncio.get_running_loop().create_future()
        listener.send(("PING",), answer.set_result)
        connection = listener._connection
        assert connection is not None
        assert connection._timer is not None
        due = connection._timer.when()

        time.sleep(0.2)  # noqa: ASYNC251 - it is the loop that shall stand still
        connection._quiet(due)  # uvloop runs what is due before it reads

        assert await answer == b"PONG"
        assert recorder.events == ["opened"]


async def test_a_connection_that_leads_elsewhere_by_now_is_given_up(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old primary that comes back after a failover answers every PING."""
    monkeypatch.setattr(listener_module, "_LOOK_EVERY", 0.01)
    answers: list[bool | ValkeyctlError] = [True, UnreachableError("nobody knows"), True, False]
    recorder = Recorder()

    async def locate() -> Endpoint:
        return endpoint

    async def stays(where: Endpoint) -> bool:
        assert where == endpoint
        answer = answers.pop(0) if answers else True
        if isinstance(answer, ValkeyctlError):
            raise answer
        return answer

    listener = Listener(locate, recorder, purpose="test", stays=stays)
    listener.start()

    await recorder.until("opened", 2)

    assert answers == []
    assert "is no primary any more" in str(recorder.reasons[0])
    await listener.aclose()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"+unasked\r\n+PONG\r\n", "a reply to no command"),
        (b">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n", "a confirmation that nobody waits for"),
        (b"!!!\r\n", "what is not the server's protocol"),
    ],
)
async def test_what_the_protocol_does_not_allow_ends_the_connection(
    answer: bytes, reason: str
) -> None:
    """Nobody gets an answer that is another's."""
    async with scripted(answer) as endpoint, listening(endpoint) as (listener, recorder):
        await recorder.until("opened")
        listener.send(("PING",), lambda _: None)

        await recorder.until("lost")

        assert reason in str(recorder.reasons[0])


async def test_a_reply_in_the_place_of_a_confirmation_ends_the_connection() -> None:
    """Subscribing is answered by pushes and by nothing else."""
    async with scripted(b"+OK\r\n") as endpoint, listening(endpoint) as (listener, recorder):
        await recorder.until("opened")
        listener.send(("SUBSCRIBE", "a"), lambda _: None)

        await recorder.until("lost")

        assert "in the place of a confirmation" in str(recorder.reasons[0])


async def test_a_dropped_connection_is_made_anew(endpoint: Endpoint) -> None:
    """The audience may give it up for reasons of its own."""
    async with listening(endpoint) as (listener, recorder):
        await recorder.until("opened")

        listener.drop(UnreachableError("enough"))
        await recorder.until("opened", 2)

        assert str(recorder.reasons[0]) == "enough"


async def test_a_command_sent_after_the_end_is_answered_too(endpoint: Endpoint) -> None:
    """Between the decision to drop a connection and its end."""
    async with listening(endpoint) as (listener, recorder):
        await recorder.until("opened")
        answers: list[RichReply | ValkeyctlError] = []

        listener.drop(UnreachableError("enough"))
        listener.send(("PING",), answers.append)
        await recorder.until("lost")

        assert [str(answer) for answer in answers] == ["enough"]


async def test_a_server_that_refuses_is_asked_again_for_ever(
    mortal_server: Callable[..., MortalServer],
) -> None:
    """A wrong password may become the right one."""
    server = mortal_server("--requirepass", "right")
    async with listening(server.endpoint.with_password("wrong")) as (_, recorder):
        await recorder.until("refused", 2)
        assert all(isinstance(reason, AuthError) for reason in recorder.reasons)

        async with ValkeyClient(server.endpoint.with_password("right")) as admin:
            await admin.execute("CONFIG", "SET", "requirepass", "wrong")
        await recorder.until("opened")


async def test_a_place_that_cannot_be_found_is_bounded() -> None:
    """Locating counts against the connect timeout."""
    recorder = Recorder()

    async def locate() -> Endpoint:
        await asyncio.sleep(60)
        raise AssertionError

    listener = Listener(locate, recorder, purpose="test", connect_timeout=0.02)
    listener.start()

    await recorder.until("refused")

    assert "within 20 ms where the server is" in str(recorder.reasons[0])
    await listener.aclose()


async def test_closing_leaves_no_task_and_tells_the_audience(endpoint: Endpoint) -> None:
    """The end is a loss like others."""
    before = asyncio.all_tasks()
    async with listening(endpoint) as (_, recorder):
        await recorder.until("opened")

    assert recorder.events == ["opened", "lost"]
    assert asyncio.all_tasks() == before


async def _nowhere() -> Endpoint:
    raise UnreachableError("nowhere")


async def test_a_listener_that_fails_holds_up_nobody_who_closes(endpoint: Endpoint) -> None:
    """Such as one that logs to a closed pipe: the connection counts as ended all the same."""

    def failing(_: ValkeyctlError) -> None:
        raise BrokenPipeError

    told: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
    connection = PushConnection(
        endpoint, on_push=lambda _: None, on_end=failing, patience=1.0, silence=None
    )
    await connection.open(connect_timeout=1.0)

    connection.abort(UnreachableError("the test ends it"))

    async with asyncio.timeout(5):
        await connection.wait_ended()
    assert [type(error) for error in told] == [BrokenPipeError]
