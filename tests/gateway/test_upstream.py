"""The gateway in front of a provider: a small one of our own, over real HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from tests.conftest import free_port
from tests.gateway.asking import CHAT, ask, question
from tests.gateway.conftest import Start
from tests.gateway.fakes import completion
from tests.gateway.serving import served
from valkeyctl.gateway.settings import UPSTREAM_KEY_VARIABLE
from valkeyctl.gateway.upstream import Upstream

JSON = {"content-type": "application/json"}


@dataclass
class Provider:
    """What it was asked, and how it answers next."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    answer: Response | None = None
    hang: asyncio.Event | None = None

    async def chat(self, request: Request) -> Response:
        self.bodies.append(await request.body())
        self.headers.append(dict(request.headers))
        if self.hang is not None:
            await self.hang.wait()
        return self.answer or Response(
            json.dumps(completion("real")), media_type=JSON["content-type"]
        )


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    """A provider on a port of its own."""
    fake = Provider()
    app = Starlette(routes=[Route("/v1/chat/completions", fake.chat, methods=["POST"])])
    async with served(app) as url:
        fake.url = url
        yield fake
        if fake.hang is not None:
            fake.hang.set()


async def test_a_question_reaches_the_provider_byte_by_byte(
    start: Start, provider: Provider
) -> None:
    """Order, spaces and unknown fields as sent: prompt caching there depends on them."""
    running = await start(upstream=provider.url)
    body = b'{ "zzz": 1.0, "messages": [{"role":"user","content":"\\u00e9"}],  "model":"m"}\n'

    answer = await running.http.post(CHAT, content=body, headers=JSON)

    assert provider.bodies == [body]
    assert answer.json()["choices"][0]["message"]["content"] == "real"


async def test_the_providers_bytes_are_the_answer(start: Start, provider: Provider) -> None:
    """On a miss nothing is parsed and written again."""
    raw = b'{ "choices": [{"index":0, "finish_reason":"stop", "message":{}}], "x": 1.50 }'
    provider.answer = Response(raw, media_type="application/json")
    running = await start(upstream=provider.url)

    miss, hit = [await ask(running.http) for _ in range(2)]

    assert miss.content == raw
    assert (hit.headers["x-cache"], hit.json()) == ("hit", miss.json())
    assert len(provider.bodies) == 1


async def test_the_callers_credential_is_passed_on(start: Start, provider: Provider) -> None:
    """With what tells variants of the service apart, and nothing else of the caller's."""
    running = await start(upstream=provider.url)

    await ask(
        running.http,
        headers={
            "Authorization": "Bearer alice",
            "OpenAI-Project": "p",
            "Cookie": "secret=1",
            "X-Simulate-Output-Tokens": "5",
        },
    )

    sent = provider.headers[0]
    assert (sent["authorization"], sent["openai-project"]) == ("Bearer alice", "p")
    assert "cookie" not in sent
    assert "x-simulate-output-tokens" not in sent


async def test_the_gateways_key_replaces_the_callers(
    start: Start,
    provider: Provider,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It comes from the environment, goes to the provider and to nobody else."""
    monkeypatch.setenv(UPSTREAM_KEY_VARIABLE, "sk-gateway")
    running = await start(upstream=provider.url)

    answer = await ask(running.http, headers={"Authorization": "Bearer a", "api-key": "b"})

    assert provider.headers[0]["authorization"] == "Bearer sk-gateway"
    assert "api-key" not in provider.headers[0]
    assert "sk-gateway" not in str(answer.headers) + answer.text + capsys.readouterr().err


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 529])
async def test_a_refusal_of_the_provider_passes_and_is_not_stored(
    start: Start, provider: Provider, status: int
) -> None:
    """Its status, its body, and the headers that a client library acts on."""
    body = completion("looks like an answer, and the status says that it is none")
    provider.answer = Response(
        json.dumps(body),
        status_code=status,
        media_type="application/json",
        headers={
            "retry-after": "7",
            "x-ratelimit-remaining-requests": "0",
            "x-request-id": "req_provider",
            "set-cookie": "a=b",
            "server": "internal-name",
        },
    )
    running = await start(upstream=provider.url)

    answers = [await ask(running.http) for _ in range(2)]

    for answer in answers:
        assert answer.status_code == status
        assert answer.json() == body
        assert answer.headers["retry-after"] == "7"
        assert answer.headers["x-ratelimit-remaining-requests"] == "0"
        assert answer.headers["x-upstream-request-id"] == "req_provider"
        assert answer.headers["x-request-id"] != "req_provider"
        assert "set-cookie" not in answer.headers
        assert "internal-name" not in str(answer.headers)
    assert len(provider.bodies) == 2


async def test_a_stream_passes_event_by_event(start: Start, provider: Provider) -> None:
    """The first event is there before the provider has written the second."""
    second = asyncio.Event()

    async def events() -> AsyncIterator[bytes]:
        yield b"data: one\n\n"
        await second.wait()
        yield b": comment\r\n\r\ndata: [DONE]\n\n"

    provider.answer = StreamingResponse(events(), media_type="text/event-stream")
    running = await start(upstream=provider.url)
    seen = []

    async with running.http.stream("POST", CHAT, json=question(stream=True)) as answer:
        async for chunk in answer.aiter_bytes():
            seen.append(chunk)
            second.set()

    assert seen[0] == b"data: one\n\n"
    assert b"".join(seen) == b"data: one\n\n: comment\r\n\r\ndata: [DONE]\n\n"
    assert answer.headers["x-cache"] == "bypass"
    assert provider.headers[0]["accept-encoding"] == "identity"


async def test_a_refused_stream_is_an_ordinary_error(start: Start, provider: Provider) -> None:
    """Status and body of the provider, no event stream around them."""
    provider.answer = Response(b'{"error": 1}', status_code=429, media_type="application/json")
    running = await start(upstream=provider.url)

    answer = await running.http.post(CHAT, json=question(stream=True))

    assert (answer.status_code, answer.content) == (429, b'{"error": 1}')
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_provider_that_cannot_be_reached_is_a_502(start: Start, stream: bool) -> None:
    """In the protocol's shape, without the address."""
    port = free_port()
    running = await start(upstream=f"http://127.0.0.1:{port}")

    answer = await running.http.post(CHAT, json=question(stream=stream))

    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_unreachable")
    assert answer.json()["error"]["type"] == "server_error"
    assert str(port) not in answer.text
    assert (await running.http.get("/readyz")).json()["origin"] == {"state": "failing"}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_provider_that_does_not_answer_in_time_is_a_504(
    start: Start, provider: Provider, stream: bool
) -> None:
    """The caller waits as long as the setting says, no longer."""
    provider.hang = asyncio.Event()
    running = await start(upstream=provider.url, upstream_timeout=0.1)

    answer = await running.http.post(CHAT, json=question(stream=stream))

    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "upstream_timeout")


async def test_a_provider_that_drips_is_cut_off_at_the_whole_timeout(
    start: Start, provider: Provider
) -> None:
    """A byte now and then resets a read timeout, and must not reset this one."""

    async def drops() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.02)

    provider.answer = StreamingResponse(drops(), media_type="application/json")
    running = await start(upstream=provider.url, upstream_timeout=0.2)

    assert (await ask(running.http)).status_code == 504


async def test_a_provider_that_breaks_off_is_a_502(start: Start) -> None:
    """A half answer is none."""

    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(half, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        running = await start(upstream=f"http://127.0.0.1:{port}")

        answer = await ask(running.http)

    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_failed")


async def test_an_endless_answer_is_a_502(start: Start, provider: Provider) -> None:
    """It must not take the gateway's memory."""
    provider.answer = Response(b"x" * 2000, media_type="application/json")
    running = await start(upstream=provider.url, max_reply_bytes=1000)

    answer = await ask(running.http)

    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_reply_too_large")


async def test_more_calls_than_connections_wait_and_then_are_told_so(
    start: Start, provider: Provider
) -> None:
    """503 with Retry-After: nothing was sent, so the caller may safely try again."""
    provider.hang = asyncio.Event()
    running = await start(upstream=provider.url, upstream_connections=1, connect_timeout=0.1)
    first = asyncio.create_task(ask(running.http, "one"))
    while not provider.bodies:  # noqa: ASYNC110 - the provider is another server
        await asyncio.sleep(0.001)

    second = await ask(running.http, "two")

    assert (second.status_code, second.headers["retry-after"]) == (503, "1")
    assert (await running.http.get("/readyz")).json()["origin"] == {"state": "up"}
    provider.hang.set()
    assert (await first).status_code == 200


async def test_answers_of_two_origins_are_kept_apart(start: Start, provider: Provider) -> None:
    """A simulated answer must never pass for a provider's, on one server and one app."""
    simulated, real = await start(), await start(upstream=provider.url)

    first = await ask(simulated.http)
    second = await ask(real.http)

    assert (first.headers["x-cache"], second.headers["x-cache"]) == ("miss", "miss")
    assert second.json()["choices"][0]["message"]["content"] == "real"


def test_a_failure_is_forgotten_after_a_while() -> None:
    """A gateway that gets no requests because it failed must be tried again."""
    now = 100.0
    upstream = Upstream("http://127.0.0.1:9/v1", clock=lambda: now)
    upstream._failed_at = now
    assert upstream.failing

    now += 11

    assert not upstream.failing
