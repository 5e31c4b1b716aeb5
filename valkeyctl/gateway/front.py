"""What every request passes: correlation id, clock, log line, and the last catch."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.typing import FilteringBoundLogger

from valkeyctl.gateway.failures import RequestFailure
from valkeyctl.gateway.journal import frames

# Printable, short, and unable to break a log line or a header.
_SANE = re.compile(r"[A-Za-z0-9._~:/+=-]{1,128}")
CLIENT_LEFT = 499  # nginx's number for a caller that did not wait for its answer

Observe = Callable[[str, int, float], None]


class Front:
    """Middleware that numbers, times and logs each request, and answers for a bug.

    Plain ASGI and no BaseHTTPMiddleware: that one runs the application in a task that it
    cancels when the caller leaves, and an origin call that others wait for must go on.

    Args:
        app: What stands behind.
        journal: Where the line of each request goes.
        routes: Paths of ours; any other is logged and counted as ``other``.
        observe: Called with route, status and seconds at the end of each request.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        journal: FilteringBoundLogger,
        routes: frozenset[str],
        observe: Observe,
    ) -> None:
        self._app = app
        self._journal = journal
        self._routes = routes
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        request_id = _request_id(scope)
        # Routes read the id here, and leave under "cache" what the cache did.
        state = scope["state"] = {**scope.get("state", {}), "request_id": request_id}
        status = 0

        async def stamped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", request_id.encode()),
                ]
            await send(message)

        error: Exception | None = None
        begun_answer = False
        try:
            await self._app(scope, receive, stamped)
        except ClientDisconnect:
            pass  # the caller left while it was answered; nobody did anything wrong
        except Exception as bug:  # noqa: BLE001 - the caller gets a clean 500, the log gets the bug
            error = bug
            begun_answer = status != 0
            if not begun_answer:
                failure = RequestFailure(500, "internal_error", "the gateway failed")
                await failure.response(request_id)(scope, receive, stamped)
        finally:
            # A stream that breaks after its start keeps the status that was sent.
            self._finish(scope, state, status or CLIENT_LEFT, time.perf_counter() - begun, error)
        if error is not None and begun_answer:
            raise error  # so that the server cuts the connection: nothing else tells the caller

    def _finish(
        self,
        scope: Scope,
        state: dict[str, object],
        status: int,
        seconds: float,
        error: Exception | None,
    ) -> None:
        path = scope["path"]
        route = path if path in self._routes else "other"
        self._observe(route, status, seconds)
        fields: dict[str, object] = {
            "request_id": state["request_id"],
            "method": scope["method"],
            "route": route,
            "status": status,
            "duration_ms": round(seconds * 1000, 3),
        }
        if "cache" in state:
            fields["cache"] = state["cache"]
        if error is None:
            self._journal.info("request", **fields)
        else:
            self._journal.error("request failed", **fields, error=frames(error))


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).get("x-request-id")
    if given is not None and _SANE.fullmatch(given):
        return given
    return secrets.token_hex(16)
