"""Cached endpoints: `cached_response` says which, `CachedRoute` makes it happen.

The cache is asked after the endpoint's dependencies have run, so that they go on
checking who asks, and it stores what FastAPI made of the endpoint's return value, so
that a ``response_model`` hides as much in a hit as in a miss. Headers that dependencies
set are those of one request: they are added to each answer and never stored.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import time
from collections.abc import Callable, Coroutine
from typing import ParamSpec

from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from valkeyctl.errors import UsageError
from valkeyctl.fastapi.answer import answer, marks_of
from valkeyctl.fastapi.exchange import (
    UNSHARED,
    Exchange,
    Found,
    Landed,
    OriginError,
    Outcome,
    Refused,
    peek,
)
from valkeyctl.fastapi.lifespan import get_cache
from valkeyctl.fastapi.replay import nowhere, replay, replayed_in
from valkeyctl.fastapi.rule import CacheRule, Scope, Tags
from valkeyctl.fastapi.stored import StoredResponse, body_of, may_be_shared, stored_from

P = ParamSpec("P")
Handler = Callable[[Request], Coroutine[object, object, Response]]

_RULE = "__valkeyctl_cache_rule__"
_VISIT = "valkeyctl.visit"
_PARAMETER = "valkeyctl_visit"
# Refusals that are about the thing asked for; others may be about who asks, and how.
_GONE = frozenset({404, 410})


def cached_response(
    namespace: str,
    *,
    ttl: float | None = None,
    vary: tuple[str, ...] = (),
    scope: Scope = None,
    tags: Tags = (),
    bypass: Callable[[Request], bool] | None = None,
    client_ttl: float | None = None,
    max_bytes: int = 2**20,
    obey_client: bool = True,
) -> Callable[[Callable[P, object]], Callable[P, Coroutine[object, object, object]]]:
    """Cache the answers of an endpoint, which stands on a router with `CachedRoute`.

    ::

        router = APIRouter(route_class=CachedRoute)

        @router.get("/models/{name}")
        @cached_response("metadata", ttl=60)
        async def model(name: str) -> Model: ...

    Only answers to GET with status 200 that come in one piece are stored; all others
    pass untouched. Called directly, as in a test, the function is what it was.

    Args:
        namespace: Where answers are stored; this and the others as in `CacheRule`.
        ttl: Seconds that an answer may be served.
        vary: Request headers that change the answer.
        scope: Whose answers these are; without one, requests with credentials pass.
        tags: What the answers can be invalidated by.
        bypass: Says whether a request shall pass.
        client_ttl: Seconds at most that a browser or proxy may reuse an answer.
        max_bytes: Larger bodies are not stored.
        obey_client: Whether a request's ``Cache-Control`` counts.

    Raises:
        UsageError: As `CacheRule`, or the endpoint yields its answer piece by piece.
        InvalidKeyError: As `CacheRule`.
    """
    rule = CacheRule(
        namespace,
        ttl=ttl,
        vary=vary,
        scope=scope,
        tags=tags,
        bypass=bypass,
        client_ttl=client_ttl,
        max_bytes=max_bytes,
        obey_client=obey_client,
    )

    def decorate(
        endpoint: Callable[P, object],
    ) -> Callable[P, Coroutine[object, object, object]]:
        if inspect.isgeneratorfunction(endpoint) or inspect.isasyncgenfunction(endpoint):
            raise UsageError(
                f"{getattr(endpoint, '__name__', 'the endpoint')} yields its answer, "
                "which cannot be cached",
                hint="Return the whole answer, or leave cached_response away",
            )

        @functools.wraps(endpoint)
        async def cached(*args: P.args, **kwargs: P.kwargs) -> object:
            visit = kwargs.pop(_PARAMETER, None)
            if isinstance(visit, _Visit) and (found := await visit.ask()) is not None:
                return found
            if inspect.iscoroutinefunction(endpoint):
                return await endpoint(*args, **kwargs)
            returned = await run_in_threadpool(endpoint, *args, **kwargs)
            return await returned if inspect.isawaitable(returned) else returned

        cached.__signature__ = _with_visit(endpoint)  # type: ignore[attr-defined] # FastAPI reads it
        setattr(cached, _RULE, rule)
        return cached

    return decorate


class CachedRoute(APIRoute):
    """The route class for endpoints with `cached_response`; others are as ever.

    ``APIRouter(route_class=CachedRoute)``, or ``app.router.route_class = CachedRoute``
    before the endpoints are declared.
    """

    def get_route_handler(self) -> Handler:
        """Return what answers a request."""
        handler: Handler = super().get_route_handler()
        rule = getattr(self.endpoint, _RULE, None)
        if not isinstance(rule, CacheRule):
            return handler

        async def visited(request: Request) -> Response:
            visit = request.scope[_VISIT] = _Visit(rule, request)
            try:
                response = await handler(request)
            except Exception as error:
                older = await visit.failed(error)
                if older is None:
                    raise
                return older
            except asyncio.CancelledError:
                visit.abandoned()
                raise
            return await visit.completed(response)

        return visited


class _Visit:
    """What the route and the endpoint share while one request is answered."""

    def __init__(self, rule: CacheRule, request: Request) -> None:
        # What FastAPI adds to the answer: headers that dependencies, or the endpoint, set.
        self.added: Response | None = None
        self._rule = rule
        self._request = request
        self._exchange: Exchange | None = None
        self._outcome: Outcome = "bypass"
        self._answered = False
        self._aside: list[tuple[bytes, bytes]] = []

    async def ask(self) -> Response | None:
        """Return the answer, or None: the endpoint runs. Its dependencies have run."""
        rule, request = self._rule, self._request
        if replayed_in(request.scope) is not None:
            self._put_aside()
            return None
        plan = rule.plan(request)
        if plan is None:
            return None
        self._put_aside()
        self._outcome = "miss"
        cache = get_cache(request)
        if request.method == "HEAD":
            found = await peek(cache, rule, plan)
        else:
            self._exchange = Exchange(cache, rule, plan, self._ask_again)
            found = await self._exchange.look()
        if found is None:
            return None
        self._answered = True
        return self._response(found)

    async def completed(self, response: Response) -> Response:
        """Return what is sent, after FastAPI has made *response* of what the endpoint returned."""
        if self._answered:
            return response
        mark = replayed_in(self._request.scope)
        if mark is not None:
            mark.landed = self._landed(response)
            # Nobody reads it, and a stream might never end.
            return Response() if mark.landed is UNSHARED else response
        if self._exchange is not None and self._exchange.leads:
            if response.status_code >= 500:
                error = OriginError(f"the endpoint answered with {response.status_code}")
                return await self.failed(error) or self._as_it_is(response)
            landed = self._landed(response)
            ttl = await self._exchange.land(landed)
            if isinstance(landed, StoredResponse):
                sent = self._response(Found(landed, "miss", 0.0, ttl))
                sent.background = response.background
                return sent
        return self._as_it_is(response)

    async def failed(self, error: Exception) -> Response | None:
        """Return an older answer, if one may be served instead of *error*."""
        if self._exchange is None or not self._exchange.leads:
            return None
        if isinstance(error, HTTPException) and error.status_code < 500:
            gone = error.status_code in _GONE
            await self._exchange.land(Refused(error) if gone else UNSHARED)
            return None
        found = await self._exchange.fail(error)
        if found is None:
            return None
        return self._response(found)

    def abandoned(self) -> None:
        """Let another request bring the answer: this one was cancelled."""
        if self._exchange is not None and self._exchange.leads:
            self._exchange.abandon()

    async def _ask_again(self) -> Landed:
        return (await replay(self._request.app, self._request.scope, nowhere)).landed

    def _landed(self, response: Response) -> Landed:
        now = time.time()
        body = body_of(response)
        if body is None or not may_be_shared(
            response.status_code, response.raw_headers, self._rule, now=now
        ):
            return UNSHARED
        return stored_from(response.raw_headers, body, now=now)

    def _response(self, found: Found) -> Response:
        sent = answer(found, self._rule, self._request)
        response = Response(sent.body, sent.status)
        response.raw_headers = [*sent.headers, *self._aside]
        return response

    def _as_it_is(self, response: Response) -> Response:
        response.raw_headers.extend(self._aside)
        for name, value in marks_of(self._outcome):
            response.headers[name] = value
        return response

    def _put_aside(self) -> None:
        if self.added is not None:
            self._aside = list(self.added.raw_headers)
            self.added.raw_headers.clear()


# Async, though it waits for nothing: FastAPI would call a plain function in a thread.
async def _visit_of(request: Request, response: Response) -> _Visit:
    """Return the visit that the route has begun; FastAPI calls it before the endpoint."""
    visit = request.scope.get(_VISIT)
    if not isinstance(visit, _Visit):
        raise RuntimeError(
            "cached_response needs its route class: APIRouter(route_class=CachedRoute)"
        )
    visit.added = response
    return visit


def _with_visit(endpoint: Callable[..., object]) -> inspect.Signature:
    """Return the endpoint's signature with one more parameter, which FastAPI fills."""
    try:
        # FastAPI would look the names up in this module.
        signature = inspect.signature(endpoint, eval_str=True)
    except NameError:
        signature = inspect.signature(endpoint)  # a local name; FastAPI has its own ways
    visit = inspect.Parameter(
        _PARAMETER,
        inspect.Parameter.KEYWORD_ONLY,
        default=Depends(_visit_of),
        annotation=_Visit,
    )
    parameters = list(signature.parameters.values())
    last = len(parameters)
    if parameters and parameters[-1].kind is inspect.Parameter.VAR_KEYWORD:
        last -= 1
    return signature.replace(parameters=[*parameters[:last], visit, *parameters[last:]])
