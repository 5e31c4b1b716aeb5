"""`ResponseCacheMiddleware`: a response cache in front of any ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from valkeyctl.caching import CacheService
from valkeyctl.errors import UsageError
from valkeyctl.fastapi.answer import answer
from valkeyctl.fastapi.exchange import UNSHARED, Exchange, Found, Landed, OriginError, peek
from valkeyctl.fastapi.lifespan import get_cache
from valkeyctl.fastapi.replay import nowhere, replay, replayed_in, unconditional
from valkeyctl.fastapi.rule import CacheRule
from valkeyctl.fastapi.stored import StoredResponse
from valkeyctl.fastapi.taking import Taking, marked


class ResponseCacheMiddleware:
    """Answers GET and HEAD from the cache before the application sees the request.

    ::

        app.add_middleware(
            ResponseCacheMiddleware, rule=CacheRule("response", ttl=60), paths=["/catalog/"]
        )

    A hit skips everything behind it: routing, dependencies, and whoever checks there
    who asks. For endpoints that check, `cached_response` is the safer form; here, put
    authentication into a middleware outside of this one, and give the rule a scope. The
    rule's callables see the request before routing, without path parameters.

    Only answers with status 200 that come in one piece, or announce a length of at most
    ``rule.max_bytes``, are stored; all others pass as they are, streams without delay.

    Args:
        app: What stands behind.
        rule: What is cached, for whom and how long.
        paths: Which requests: a path, or with a slash at its end all paths below it.
        cache: Where answers are stored; None takes the one that `lifespan` opened.

    Raises:
        UsageError: There is no path, or one does not begin with a slash.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        rule: CacheRule,
        paths: Collection[str],
        cache: CacheService | None = None,
    ) -> None:
        if isinstance(paths, str) or not paths or any(path[:1] != "/" for path in paths):
            raise UsageError(
                f"paths is a list of paths that begin with a slash, not {paths!r}",
                hint="Write paths=['/models', '/catalog/']; '/' is everything",
            )
        self._app = app
        self._rule = rule
        self._exact = frozenset(paths)
        self._below = tuple(path for path in paths if path.endswith("/"))
        self._cache = cache

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or not self._covers(scope) or replayed_in(scope) is not None:
            await self._app(scope, receive, send)
            return
        # A copy: routing writes into the scope that it gets, and a replay needs it as it came.
        request = Request(dict(scope), receive)
        plan = self._rule.plan(request)
        if plan is None:
            await self._app(scope, receive, marked(send, "bypass"))
            return
        cache = self._cache or get_cache(request)
        if request.method == "HEAD":
            found = await peek(cache, self._rule, plan)
            leading = None
        else:
            exchange = Exchange(cache, self._rule, plan, lambda: self._ask_again(request))
            found = await exchange.look()
            leading = exchange if exchange.leads else None
        if found is not None:
            await self._send(found, request, send)
        elif leading is not None:
            await self._lead(leading, request, scope, receive, send)
        else:
            await self._app(scope, receive, marked(send, "miss"))

    async def _lead(
        self, exchange: Exchange, request: Request, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Let the application answer, for this caller and for all who wait."""

        async def whole(stored: StoredResponse) -> None:
            ttl = await exchange.land(stored)
            await self._send(Found(stored, "miss", 0.0, ttl), request, send)

        async def passed(status: int) -> bool:
            if status < 500:
                await exchange.land(UNSHARED)
                return True
            return not await older(OriginError(f"the application answered with {status}"))

        async def older(error: Exception) -> bool:
            found = await exchange.fail(error)
            if found is not None:
                await self._send(found, request, send)
            return found is not None

        taking = Taking(self._rule, whole=whole, passed=passed, send=marked(send, "miss"))
        scope["headers"] = unconditional(scope["headers"])
        try:
            await self._app(scope, receive, taking)
            await taking.finish()
        except Exception as error:
            if taking.decided or not await older(error):
                raise
        except asyncio.CancelledError:
            exchange.abandon()
            raise

    async def _ask_again(self, request: Request) -> Landed:
        """Return the application's answer to *request*, for nobody in particular."""
        landed: asyncio.Future[Landed] = asyncio.get_running_loop().create_future()

        async def whole(stored: StoredResponse) -> None:
            landed.set_result(stored)

        async def passed(status: int) -> bool:
            if status >= 500:
                landed.set_exception(OriginError(f"the application answered with {status}"))
            else:
                landed.set_result(UNSHARED)
            await asyncio.get_running_loop().create_future()  # a stream might never end
            return False

        taking = Taking(self._rule, whole=whole, passed=passed, send=nowhere)
        asking = asyncio.create_task(replay(self._app, request.scope, taking))
        try:
            await asyncio.wait((asking, landed), return_when=asyncio.FIRST_COMPLETED)
            if not landed.done():
                await asking  # raises what the application raised
                return UNSHARED
            if isinstance(landed.result(), StoredResponse):
                await asking  # what the application does after its answer
            return landed.result()
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    def _covers(self, scope: Scope) -> bool:
        path = scope["path"]
        return path in self._exact or path.startswith(self._below)

    async def _send(self, found: Found, request: Request, send: Send) -> None:
        sent = answer(found, self._rule, request)
        await send(
            {"type": "http.response.start", "status": sent.status, "headers": list(sent.headers)}
        )
        await send({"type": "http.response.body", "body": sent.body})
