"""What every request passes: ids, limits, errors and the log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from tests.gateway.asking import CHAT, ask, question
from tests.gateway.conftest import Running, Start
from tests.gateway.fakes import HeldOrigin
from tests.gateway.serving import served
from valkeyctl.endpoint import Endpoint
from valkeyctl.gateway.app import create_app
from valkeyctl.gateway.settings import GatewaySettings


async def test_a_correlation_id_is_kept_or_made(running: Running) -> None:
    """The caller's own where it is sane, else a new one each time."""
    kept = await ask(running.http, headers={"X-Request-Id": "order-4711"})
    made = [await running.http.get("/healthz") for _ in range(2)]

    assert kept.headers["x-request-id"] == "order-4711"
    assert len({answer.headers["x-request-id"] for answer in made}) == 2


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, 'a"b', "é".encode()])
async def test_a_correlation_id_that_could_break_a_log_is_replaced(
    running: Running, given: str | bytes
) -> None:
    """Nobody writes into our log lines."""
    answer = await ask(running.http, headers={"X-Request-Id": given})

    assert len(answer.headers["x-request-id"]) == 32


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "unknown_url"),
        ("POST", "/v1/embeddings", 404, "unknown_url"),
        ("POST", "/v1/chat/completions/", 404, "unknown_url"),
        ("GET", CHAT, 405, "method_not_allowed"),
        ("DELETE", "/healthz", 405, "method_not_allowed"),
        ("POST", CHAT, 400, "invalid_json"),
    ],
)
async def test_an_error_has_the_shape_that_client_libraries_read(
    running: Running, method: str, path: str, status: int, code: str
) -> None:
    """An OpenAI error object with the correlation id."""
    answer = await running.http.request(method, path, headers={"X-Request-Id": "id-1"})

    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert error["type"] == "invalid_request_error"
    assert error["request_id"] == answer.headers["x-request-id"] == "id-1"


async def test_a_refused_method_is_told_which_ones_are_allowed(running: Running) -> None:
    """RFC 9110, 15.5.6."""
    assert (await running.http.get(CHAT)).headers["allow"] == "POST"


async def test_a_bug_is_a_500_that_tells_nothing_and_a_log_line_that_tells_where(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    """The text of the exception may quote a prompt: neither answer nor log has it."""
    origin = HeldOrigin(held=False)
    origin.failure = ZeroDivisionError("topsecretprompt")
    running = await start(origin)

    answer = await ask(running.http)

    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
    assert answer.json()["error"]["type"] == "server_error"
    log = capsys.readouterr().err
    assert "topsecretprompt" not in answer.text + log
    line = next(json.loads(line) for line in log.splitlines() if "request failed" in line)
    assert line["request_id"] == answer.headers["x-request-id"]
    assert line["error"][0] == "builtins.ZeroDivisionError"
    assert any("fakes.py" in frame for frame in line["error"])


async def test_each_request_is_one_log_line_without_its_content(
    running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    """JSON with id, route, status, time and what the cache did; no prompt, no key."""
    await ask(
        running.http,
        "topsecretprompt",
        headers={"Authorization": "Bearer topsecretkey", "X-Request-Id": "id-1"},
    )
    await running.http.get("/topsecretpath?topsecretquery")

    log = capsys.readouterr().err
    lines = [json.loads(line) for line in log.splitlines()]
    requests = [line for line in lines if line["event"] == "request"]
    assert [line["route"] for line in requests] == [CHAT, "other"]
    first = requests[0]
    assert first["duration_ms"] > 0
    assert (first["request_id"], first["status"], first["cache"]) == ("id-1", 200, "miss")
    assert (first["level"], first["service"]) == ("info", "valkeyctl-gateway")
    assert "topsecret" not in log


async def test_a_quiet_gateway_logs_no_requests(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    """log_level is the least severe line."""
    running = await start(log_level="warning")
    await ask(running.http)

    assert capsys.readouterr().err == ""


async def test_a_body_over_the_limit_is_refused(start: Start) -> None:
    """By its Content-Length, or once it is too long where it has none."""
    running = await start(max_body_bytes=1000)
    body = json.dumps(question("x" * 1000)).encode()
    kind = {"content-type": "application/json"}

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(body), 100):
            yield body[at : at + 100]

    announced = await running.http.post(CHAT, content=body, headers=kind)
    chunked = await running.http.post(CHAT, content=pieces(), headers=kind)

    for answer in (announced, chunked):
        assert answer.status_code == 413
        assert answer.json()["error"]["code"] == "request_too_large"
    assert running.calls == 0


async def test_a_body_at_the_limit_is_taken(start: Start) -> None:
    """The limit itself is allowed."""
    body = json.dumps(question()).encode()
    running = await start(max_body_bytes=len(body))

    answer = await running.http.post(CHAT, content=body)

    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("content-type", "text/plain"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("content-encoding", "gzip"),
    ],
)
async def test_a_body_that_is_not_plain_json_is_refused(
    running: Running, header: str, value: str
) -> None:
    """A web page could send text/plain here without asking, and spend the key."""
    answer = await running.http.post(CHAT, json=question(), headers={header: value})

    assert answer.status_code == 415
    assert answer.json()["error"]["param"] == header


async def test_a_caller_that_does_not_finish_its_body_is_cut_off(start: Start) -> None:
    """408, so that it cannot hold a connection for ever."""
    running = await start(body_timeout=0.05)
    url = urlsplit(running.url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"

    writer.write(head.encode() + b"{")
    async with asyncio.timeout(2):
        status = await reader.readline()

    assert b" 408 " in status
    writer.close()
    await writer.wait_closed()


async def test_a_caller_that_leaves_before_its_body_ends_is_no_error(
    running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is logged as 499, and the next request is served."""
    url = urlsplit(running.url)
    _, writer = await asyncio.open_connection(url.hostname, url.port)
    writer.write(f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{".encode())
    await writer.drain()
    await running.http.get("/healthz")
    writer.close()
    await writer.wait_closed()

    assert (await ask(running.http)).status_code == 200
    log = capsys.readouterr().err
    assert '"status": 499' in log
    assert "request failed" not in log


async def test_the_origin_is_closed_with_the_gateway(endpoint: Endpoint) -> None:
    """Nothing is left open."""
    origin = HeldOrigin()
    app = create_app(GatewaySettings(cache=endpoint), origin=origin)

    async with served(app):
        assert not origin.closed

    assert origin.closed
