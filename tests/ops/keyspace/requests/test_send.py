"""Requests sent through a real gateway: counted by what its cache did, resumable, careful."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from io import BytesIO
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.conftest import free_port, start_server
from tests.gateway.asking import question
from tests.gateway.conftest import Running, Start, running, start  # noqa: F401 - fixtures
from tests.gateway.serving import served
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import PartialError, ServerReplyError, UnreachableError, UsageError
from valkeyctl.ops.keyspace.requests.send import SendProgress, SendReport, send_requests

SECRET = "hunter2hunter2"
Answerer = Callable[[Request], Awaitable[Response]]


def line(**fields: object) -> bytes:
    """Return one line."""
    return json.dumps(fields).encode() + b"\n"


async def send(source: bytes | Path, gateway: str, **options: object) -> SendReport:
    """Send from a thread of its own: it runs an event loop, as the test does."""
    stream = BytesIO(source) if isinstance(source, bytes) else source
    return await asyncio.to_thread(send_requests, stream, gateway=gateway, **options)  # type: ignore[arg-type]


def stand_in(answer: Answerer) -> Starlette:
    """Return a gateway that answers as the test says."""

    async def healthy(request: Request) -> Response:
        return JSONResponse({"status": "ok", "store": {"state": "up"}})

    return Starlette(
        routes=[
            Route("/healthz", healthy),
            Route("/v1/chat/completions", answer, methods=["POST"]),
            Route("/elsewhere", answer, methods=["GET", "POST"]),
        ]
    )


def stored(**headers: str) -> Response:
    """Return the answer to a request that is stored now."""
    told = {"x-cache": "miss", "cache-status": "valkeyctl; fwd=uri-miss; stored"}
    return JSONResponse({}, headers=told | headers)


async def test_what_was_sent_is_answered_from_the_cache(running: Running) -> None:  # noqa: F811
    """A caller who asks the same afterwards costs no call to the origin."""
    texts = [f"question {number}" for number in range(20)]
    source = b"".join(line(**question(text)) for text in texts)

    first = await send(source, running.url)
    calls = running.calls
    second = await send(source, running.url)
    answer = await running.http.post("/v1/chat/completions", json=question(texts[7]))

    assert (first.answered, first.stored, first.hits, first.rejected) == (20, 20, 0, 0)
    assert (second.answered, second.stored, second.hits) == (20, 0, 20)
    assert answer.headers["x-cache"] == "hit"
    assert running.calls == calls == 20


async def test_the_headers_of_a_request_decide_whose_answer_it_is(running: Running) -> None:  # noqa: F811
    """One that names a credential is found by that caller; another by ours."""
    body = question()
    source = line(body=body, headers={"Authorization": "Bearer alice"}) + line(body=body)

    found = await send(source, running.url, credential="ours")
    answers = [
        await running.http.post(
            "/v1/chat/completions", json=body, headers={"authorization": f"Bearer {who}"}
        )
        for who in ("alice", "ours", "bob")
    ]

    assert found.stored == 2
    assert [answer.headers["x-cache"] for answer in answers] == ["hit", "hit", "miss"]


async def test_wrong_lines_are_refused_with_their_number(
    running: Running,  # noqa: F811
    tmp_path: Path,
) -> None:
    """Those that are no request, and those that the gateway refuses; the rest is stored."""
    rejects = tmp_path / "rejects"
    source = b"".join(
        [
            b"nonsense\n",
            line(**question("one")),
            b"\n",
            line(model="m", messages=[]),
            line(body=question("two"), path="/v1/elsewhere"),
            line(**question("three")),
        ]
    )

    found = await send(source, running.url, rejects_file=rejects)

    assert (found.stored, found.rejected) == (2, 3)
    reasons = {reject.line: reject.reason for reject in found.rejects}
    assert sorted(reasons) == [1, 4, 5]
    assert reasons[4] == "HTTP 400: 'messages' must be a non-empty array"
    assert reasons[5].startswith("HTTP 404")
    written = [json.loads(one) for one in rejects.read_text().splitlines()]
    assert [one["line"] for one in written] == [1, 4, 5]
    assert written[0]["text"] == "nonsense"
    assert found.rejects_file == rejects


async def test_a_stream_is_read_to_its_end_and_counted_apart(start: Start) -> None:  # noqa: F811
    """The gateway passes streams on without storing them, and so it says."""
    running = await start()  # noqa: F811

    found = await send(line(**question(stream=True)), running.url)

    assert (found.answered, found.unstored, found.stored) == (1, 1, 0)


async def test_a_stream_that_breaks_is_refused() -> None:
    """It had begun well; its last event says that it failed, or there is none."""

    async def answer(request: Request) -> Response:
        broken = b"broken" in await request.body()

        async def events() -> object:
            yield b'data: {"choices": []}\n\n'
            if broken:
                raise RuntimeError("gone")
            yield b'\n\ndata: {"error": {"message": "the provider broke off"}}\n\n'

        return StreamingResponse(events(), media_type="text/event-stream")  # type: ignore[arg-type]

    async with served(stand_in(answer)) as url:
        found = await send(line(model="m") + line(model="broken"), url, concurrency=1)

    assert [reject.reason for reject in found.rejects] == [
        "the stream failed: the provider broke off",
        "the answer broke off",
    ]


async def test_a_reason_shows_no_secret_and_no_escape() -> None:
    """A provider that refuses a key likes to quote it."""

    async def answer(request: Request) -> Response:
        words = f"Incorrect key sk-{SECRET}\x1b[2J\nprovided: token={SECRET}"
        return JSONResponse({"error": {"message": words}}, status_code=401)

    async with served(stand_in(answer)) as url:
        with pytest.raises(ServerReplyError) as caught:
            await send(line(model="m") * 150, url)

    assert SECRET not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert str(caught.value).startswith("100 requests in a row were refused; the last: HTTP 401")


async def test_a_redirect_is_not_followed_and_no_cookie_travels() -> None:
    """Nothing is sent to anything but the gateway, nor from one caller to another."""
    seen: list[tuple[str, str | None]] = []

    async def answer(request: Request) -> Response:
        seen.append((request.url.path, request.headers.get("cookie")))
        if b"away" in await request.body():
            return RedirectResponse("/elsewhere", status_code=307)
        return stored(**{"set-cookie": "session=alice"})

    async with served(stand_in(answer)) as url:
        found = await send(line(model="m") + line(model="away"), url, concurrency=1)

    assert [reject.reason for reject in found.rejects] == ["HTTP 307"]
    assert seen == [("/v1/chat/completions", None)] * 2


async def test_so_many_are_under_way_and_no_more() -> None:
    """As many at a time as were asked for."""
    now = most = 0
    full = asyncio.Event()

    async def answer(request: Request) -> Response:
        nonlocal now, most
        now += 1
        most = max(most, now)
        if now == 4:
            full.set()
        await full.wait()
        now -= 1
        return stored()

    async with served(stand_in(answer)) as url:
        found = await send(line(model="m") * 40, url, concurrency=4)

    assert (found.stored, most) == (40, 4)


async def test_rejects_are_written_in_order_whatever_comes_first(tmp_path: Path) -> None:
    """A line whose answer takes its time holds back those behind it: a resumed run begins there."""
    rejects = tmp_path / "rejects"
    last = asyncio.Event()
    early: list[bytes] = []

    async def answer(request: Request) -> Response:
        body = await request.body()
        if b'"3"' in body:
            await last.wait()
            return Response(status_code=400)
        if b'"8"' in body:
            early.append(rejects.read_bytes())
            last.set()
        return Response(status_code=400) if b'"5"' in body else stored()

    source = b"".join(line(model=str(number)) for number in range(1, 8)) + b"wrong\n"
    async with served(stand_in(answer)) as url:
        found = await send(
            source + line(model="8"), url, concurrency=2, rejects_file=rejects, again=["go"]
        )

    assert early == [b""]
    assert (found.stored, found.rejected) == (6, 3)
    assert [json.loads(one)["line"] for one in rejects.read_text().splitlines()] == [3, 5, 8]


async def test_silence_is_a_refusal_of_one_line() -> None:
    """The gateway answers others."""
    over = asyncio.Event()

    async def answer(request: Request) -> Response:
        await over.wait()
        return stored()

    async with served(stand_in(answer)) as url:
        found = await send(line(model="m"), url, timeout=0.2)
        over.set()

    assert [reject.reason for reject in found.rejects] == ["no answer within 200 ms"]


async def test_a_dead_gateway_stops_the_run_behind_the_last_answered_line(tmp_path: Path) -> None:
    """The hint names the line to go on at."""
    path = tmp_path / "requests"
    path.write_bytes(b"".join(line(model=str(number)) for number in range(1, 101)))
    number = 0
    listening = True

    async def answer(request: Request) -> Response:
        nonlocal number, listening
        number += 1
        listening = number < 10
        return stored()

    async def healthy(request: Request) -> Response:
        return JSONResponse({"store": {"state": "up" if listening else "down", "reason": "x"}})

    async def dying(request: Request) -> Response:
        if not listening:
            raise RuntimeError("gone")  # the answer breaks off
        return await answer(request)

    app = Starlette(
        routes=[
            Route("/healthz", healthy),
            Route("/v1/chat/completions", _cut(dying), methods=["POST"]),
        ]
    )
    async with served(app) as url:
        with pytest.raises(PartialError) as caught:
            await send(path, url, concurrency=1, again=["valkeyctl", "keys", "warm"])

    assert "stopped after line 10 (the gateway" in str(caught.value)
    assert "10 requests are answered" in str(caught.value)
    assert caught.value.hint == "Run it again to go on: valkeyctl keys warm --from-line 11"


def _cut(answer: Answerer) -> Answerer:
    """Return *answer*, with a failure of it as an answer that breaks off."""

    async def run(request: Request) -> Response:
        try:
            return await answer(request)
        except RuntimeError:

            async def nothing() -> object:
                yield b"x"
                raise RuntimeError("gone")

            return StreamingResponse(nothing())  # type: ignore[arg-type]

    return run


async def test_a_run_goes_on_at_a_line() -> None:
    """Numbers stay those of the file."""
    seen: list[str] = []

    async def answer(request: Request) -> Response:
        seen.append((await request.json())["model"])
        return stored()

    source = b"".join(line(model=str(number)) for number in range(1, 6))
    async with served(stand_in(answer)) as url:
        found = await send(source, url, from_line=4)

        with pytest.raises(UsageError, match="are 5 lines, and line 6 is past the end"):
            await send(source, url, from_line=6)

    assert sorted(seen) == ["4", "5"]
    assert found.stored == 2


async def test_what_is_no_gateway_is_asked_for_nothing(endpoint: Endpoint) -> None:
    """A provider would take money for it; so it is known before the first request."""
    asked = 0

    async def anything(request: Request) -> Response:
        nonlocal asked
        asked += 1
        return JSONResponse({"data": []})

    app = Starlette(routes=[Route("/{path:path}", anything, methods=["GET", "POST"])])
    async with served(app) as url:
        with pytest.raises(UsageError, match="is no valkeyctl gateway"):
            await send(line(model="m"), url)
    assert asked == 1
    with pytest.raises(UnreachableError, match="no gateway answers at"):
        await send(line(model="m"), f"http://127.0.0.1:{free_port()}")


async def test_a_gateway_without_its_cache_is_not_paid_for(start: Start, tmp_path: Path) -> None:  # noqa: F811
    """Nothing would be stored, so nothing is sent."""
    process, gone = start_server(tmp_path)
    running = await start(cache=gone)  # noqa: F811
    process.kill()
    process.wait()

    with pytest.raises(UnreachableError, match="has lost its cache"):
        await send(line(**question()), running.url)

    assert running.calls == 0


async def test_a_cache_that_goes_away_stops_the_run() -> None:
    """Answers that nobody keeps would be paid for to the last line."""
    state = "up"
    asked = 0

    async def healthy(request: Request) -> Response:
        return JSONResponse({"store": {"state": state, "reason": "unreachable"}})

    async def answer(request: Request) -> Response:
        nonlocal state, asked
        asked += 1
        state = "down"
        return JSONResponse({}, headers={"x-cache": "miss"})

    routes = [Route("/healthz", healthy), Route("/v1/chat/completions", answer, methods=["POST"])]
    async with served(Starlette(routes=routes)) as url:
        with pytest.raises(PartialError, match="has lost its cache"):
            await send(line(model="m") * 500, url, concurrency=1)

    assert asked == 20


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:8080", "ftp://x", "http://", "http://u:hunter2hunter2@x", "http://x/?a=b", ""],
)
def test_a_url_that_is_none_is_refused_without_being_repeated(url: str) -> None:
    """It may hold a password."""
    with pytest.raises(UsageError) as caught:
        send_requests(BytesIO(b""), gateway=url)

    assert SECRET not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    "options", [{"concurrency": 0}, {"concurrency": 1001}, {"rate": 0.0}, {"timeout": float("nan")}]
)
def test_a_number_out_of_range_is_refused(options: dict[str, float]) -> None:
    """Before anything is opened."""
    with pytest.raises(UsageError):
        send_requests(BytesIO(b""), gateway="http://x", **options)  # type: ignore[arg-type]


async def test_progress_follows_the_lines(tmp_path: Path) -> None:
    """To the last byte of the file."""
    path = tmp_path / "requests"
    path.write_bytes(line(model="m") * 30)
    told: list[SendProgress] = []

    async def answer(request: Request) -> Response:
        return stored()

    async with served(stand_in(answer)) as url:
        await send(path, url, progress=told.append)

    assert [step.answered for step in told] == list(range(1, 31))
    assert (told[-1].line, told[-1].read, told[-1].size) == (30, path.stat().st_size, told[-1].size)
    assert told[-1].size == told[-1].read
