"""POST /v1/chat/completions: from the cache where it may be, else from the origin."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from valkeyctl.caching.responses import Answer
from valkeyctl.errors import UsageError
from valkeyctl.gateway import directives
from valkeyctl.gateway.body import read_body
from valkeyctl.gateway.context import Gateway, gateway_of, request_id_of
from valkeyctl.gateway.failures import RequestFailure, wrong
from valkeyctl.gateway.front import CLIENT_LEFT
from valkeyctl.gateway.metrics import CacheResult
from valkeyctl.gateway.origin import ChatCall, OriginReply
from valkeyctl.gateway.relay import Relay
from valkeyctl.gateway.schemas import read_chat
from valkeyctl.gateway.scope import scope_of

_JSON = {"content-type": "application/json"}


class _Unstorable(Exception):  # noqa: N818 - a reply on its way past the cache, and no error
    """A reply that must not be stored; the cache hands it to all who waited for it."""

    def __init__(self, reply: OriginReply) -> None:
        super().__init__(reply.status)
        self.reply = reply


async def chat(request: Request) -> Response:
    """Answer one chat request in the OpenAI protocol.

    Raises:
        RequestFailure: There is no answer; what the caller is told instead.
    """
    gateway = gateway_of(request)
    settings = gateway.settings
    mode = directives.read_mode(request.headers)
    try:
        body = await read_body(
            request, limit=settings.max_body_bytes, patience=settings.body_timeout
        )
    except ClientDisconnect:
        # Nobody is there to read it; the status is for the log and the metrics.
        return Response(status_code=CLIENT_LEFT)
    parsed = read_chat(body)
    call = ChatCall(body=body, headers=request.headers, chat=parsed)
    if parsed.stream:
        return await _streamed(gateway, request, call)
    if mode == "off" or parsed.ambiguous:
        _note(gateway, request, "bypass")
        return _answer(await _ask(gateway, call), directives.bypass())
    try:
        return await _cached(gateway, request, call, refresh=mode == "refresh")
    except RequestFailure:
        _note(gateway, request, "error")
        raise


async def _cached(gateway: Gateway, request: Request, call: ChatCall, *, refresh: bool) -> Response:
    own: OriginReply | None = None  # what the origin told this request, if it was this that asked

    async def load() -> dict[str, object]:
        nonlocal own
        own = await _ask(gateway, call)
        return _storable(own)

    try:
        answer = await gateway.responses.complete(
            call.chat.document,
            load,
            scope=scope_of(call.headers, user=call.chat.user),
            # Answers of a simulation must never be taken for a provider's, even where
            # both gateways use one server and one application name.
            origin=gateway.origin.identity,
            refresh=refresh,
        )
    except _Unstorable as passed:
        shared = own is None
        outcome: CacheResult = "collapsed" if shared else "miss"
        _note(gateway, request, outcome if passed.reply.status == 200 else "error")
        return _answer(
            passed.reply,
            directives.collapsed() if shared else directives.miss(refresh=refresh, stored=False),
        )
    except (UsageError, RecursionError) as error:
        # Python's parser took it, and still it has no canonical text to be found under.
        raise wrong(
            "the body has a number out of range, or is nested too deep", code="invalid_json"
        ) from error
    _note(gateway, request, "hit" if answer.outcome == "stale" else answer.outcome)
    reply = own or OriginReply(200, json.dumps(answer.body).encode(), _JSON)
    return _answer(reply, _headers(answer, refresh=refresh))


async def _streamed(gateway: Gateway, request: Request, call: ChatCall) -> Response:
    _note(gateway, request, "bypass")
    begun = time.perf_counter()
    stack = AsyncExitStack()
    try:
        stream = await stack.enter_async_context(gateway.origin.stream(call))
    except RequestFailure:
        gateway.metrics.origin(time.perf_counter() - begun)
        raise
    return Relay(
        stream,
        stack,
        headers=directives.bypass(),
        request_id=request_id_of(request),
        ended=lambda: gateway.metrics.origin(time.perf_counter() - begun),
    )


async def _ask(gateway: Gateway, call: ChatCall) -> OriginReply:
    begun = time.perf_counter()
    try:
        return await gateway.origin.complete(call)
    finally:
        gateway.metrics.origin(time.perf_counter() - begun)


def _storable(reply: OriginReply) -> dict[str, object]:
    """Return the JSON object in *reply*.

    Raises:
        _Unstorable: It has none, or is not the answer to the question.
    """
    if reply.status != 200:
        raise _Unstorable(reply)
    try:
        document = json.loads(reply.body)
    except (ValueError, RecursionError) as error:
        raise _Unstorable(reply) from error
    if not isinstance(document, dict):
        raise _Unstorable(reply)
    return document


def _headers(answer: Answer, *, refresh: bool) -> dict[str, str]:
    if answer.outcome in {"hit", "stale"}:
        return directives.hit(age=answer.age or 0.0, ttl=answer.ttl or 0.0)
    if answer.outcome == "collapsed":
        return directives.collapsed()
    if answer.outcome == "bypass":
        return directives.bypass()
    return directives.miss(refresh=refresh, stored=answer.ttl is not None)


def _answer(reply: OriginReply, headers: Mapping[str, str]) -> Response:
    return Response(reply.body, status_code=reply.status, headers={**reply.headers, **headers})


def _note(gateway: Gateway, request: Request, result: CacheResult) -> None:
    gateway.metrics.cache(result)
    request.state.cache = result  # for the log line
