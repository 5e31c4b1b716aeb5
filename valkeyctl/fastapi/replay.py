"""Asking an application once more, behind a request that it has answered already.

A stale answer is refreshed, and a hot one early, after the caller has got it. By then
everything that the request's dependencies opened is closed, so the endpoint cannot be
called again: the whole application is asked again, with a request of the same URL and
headers that nobody waits for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from valkeyctl.fastapi.exchange import UNSHARED, Landed

# The rest of a scope is what routing and middleware added for the request that is over.
_OF_THE_REQUEST = (
    "type", "asgi", "http_version", "method", "scheme", "path", "raw_path", "query_string",
    "root_path", "headers", "client", "server", "state",
)  # fmt: skip
_MARK = "valkeyctl.replay"
# With these an origin may answer that nothing changed, which helps only who asked.
_CONDITIONAL = frozenset({b"if-none-match", b"if-modified-since"})


class Replayed:
    """Where the cached part of an application leaves what it answers to a replay.

    Attributes:
        landed: The answer; unshared until there is one.
    """

    def __init__(self) -> None:
        self.landed: Landed = UNSHARED


def replayed_in(scope: Scope) -> Replayed | None:
    """Return what a replay waits for, or None when *scope* is of a caller's request."""
    mark = scope.get(_MARK)
    return mark if isinstance(mark, Replayed) else None


def unconditional(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return *headers* without those that ask whether something changed."""
    return [(name, value) for name, value in headers if name.lower() not in _CONDITIONAL]


async def replay(app: ASGIApp, scope: Scope, send: Send) -> Replayed:
    """Ask *app* for what *scope* asked for; what it sends goes to *send*."""
    again = {name: scope[name] for name in _OF_THE_REQUEST if name in scope}
    again["headers"] = unconditional(scope["headers"])
    if "state" in scope:
        again["state"] = dict(scope["state"])
    again[_MARK] = mark = Replayed()
    await app(again, _caller(), send)
    return mark


def _caller() -> Receive:
    """Return the receiving side of a caller who sends no body and never leaves."""
    asked = False

    async def receive() -> Message:
        nonlocal asked
        if asked:
            await asyncio.get_running_loop().create_future()  # until the application ends
        asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    return receive


async def nowhere(message: Message) -> None:
    """Take what an application sends."""
