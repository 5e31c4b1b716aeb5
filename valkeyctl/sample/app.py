"""The sample application for an ASGI server: plain, since it serves both arms of a run."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from valkeyctl.caching import ValkeyClient
from valkeyctl.errors import ValkeyctlError
from valkeyctl.sample.items import LARGEST, Items, Source
from valkeyctl.sample.origin import Origin
from valkeyctl.sample.settings import SampleSettings

# As the ASGI specification types them: values differ from message to message.
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Answer = tuple[int, bytes, bytes, tuple[tuple[bytes, bytes], ...]]

_DEADLINE = 1.0
_SIZE = 1024
_ITEM = re.compile(r"/items/([A-Za-z0-9_.:-]{1,200})")
_QUERY = re.compile(rb"bytes=([0-9]{1,7})")
_JSON, _TEXT = b"application/json", b"text/plain; version=0.0.4; charset=utf-8"
# RFC 9211, as the gateway says it; a miss is stored unless the cache is away.
_STATUS: dict[Source, bytes] = {
    "hit": b"valkeyctl; hit",
    "stale": b"valkeyctl; hit; fwd=stale",
    "miss": b"valkeyctl; fwd=uri-miss; stored",
    "collapsed": b"valkeyctl; fwd=uri-miss; collapsed",
    "bypass": b"valkeyctl; fwd=bypass",
}
_METHODS = {"/healthz": "GET", "/metrics": "GET", "/flush": "POST"}


class Refusal(Exception):  # noqa: N818 - an answer on its way, and no error of ours
    """A request that is answered with an error.

    Args:
        status: HTTP status.
        message: The same words for the same fault.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Sample:
    """The application; the connection to the cache is opened and closed with its lifespan.

    Args:
        settings: How it behaves.
    """

    def __init__(self, settings: SampleSettings) -> None:
        self._settings = settings
        self._client: ValkeyClient
        self._items: Items

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request, or live through the lifespan."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        try:
            status, body, kind, headers = await self._answer(scope, receive)
        except Refusal as refusal:
            status, kind, headers = refusal.status, _JSON, ()
            body = json.dumps({"error": {"message": str(refusal)}}).encode()
        if status != 204:  # which has no body, and must not speak of its length
            headers = (
                (b"content-type", kind),
                (b"content-length", b"%d" % len(body)),
                *headers,
            )
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _live(self, receive: Receive, send: Send) -> None:
        settings = self._settings
        await receive()
        self._client = ValkeyClient(
            settings.cache, deadline=_DEADLINE, connect_timeout=1.0, pool_size=64
        )
        try:
            origin = Origin(
                seed=settings.seed,
                median=settings.origin,
                speedup=settings.speedup,
                at_once=settings.origin_at_once,
            )
            self._items = Items(settings, self._client, origin)
            # One that is away is no reason not to serve: reads are misses until it comes.
            await self._client.start()
            await send({"type": "lifespan.startup.complete"})
            await receive()
        finally:
            await self._client.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, scope: Message, receive: Receive) -> Answer:
        path, method = scope["path"], scope["method"]
        item = _ITEM.fullmatch(path)
        if item is not None:
            if method == "GET":
                return await self._get(item[1], scope)
            if method == "PUT":
                return await self._put(item[1], scope, receive)
            raise Refusal(405, "an item takes GET and PUT")
        if path not in _METHODS:
            raise Refusal(404, "there is nothing at this URL")
        if method != _METHODS[path]:
            raise Refusal(405, f"{path} takes {_METHODS[path]}")
        if path == "/metrics":
            return 200, self._metrics(), _TEXT, ()
        if path == "/healthz":
            return 200, await self._health(), _JSON, ()
        return await self._flush()

    async def _get(self, key: str, scope: Message) -> Answer:
        query = scope["query_string"]
        asked = _QUERY.fullmatch(query)
        if query and asked is None:
            raise Refusal(400, f"the query takes bytes=N, N from 1 to {LARGEST}")
        size = int(asked[1]) if asked else _SIZE
        if not 1 <= size <= LARGEST:
            raise Refusal(400, f"the query takes bytes=N, N from 1 to {LARGEST}")
        body, source = await self._items.get(key, size, bypass=_bypasses(scope["headers"]))
        said = (b"x-cache", source.encode()), (b"cache-status", _STATUS[source])
        return 200, body, _JSON, said

    async def _put(self, key: str, scope: Message, receive: Receive) -> Answer:
        while (await receive()).get("more_body"):
            pass
        if not _bypasses(scope["headers"]):
            try:
                await self._items.forget(key)
            except ValkeyctlError as error:
                raise Refusal(503, f"the item was not forgotten ({error.code})") from error
        return 204, b"", _JSON, ()

    async def _flush(self) -> Answer:
        try:
            await self._items.forget_all()
        except ValkeyctlError as error:
            raise Refusal(503, f"the items were not forgotten ({error.code})") from error
        return 200, b'{"flushed": "items"}', _JSON, ()

    async def _health(self) -> bytes:
        """Return what ``valkeyctl keys warm`` asks for: whether anything could be stored."""
        try:
            await self._client.ping()
        except ValkeyctlError as error:
            store = {"state": "down", "reason": error.code}
        else:
            store = {"state": "up"}
        return json.dumps({"status": "ok", "store": store}).encode()

    def _metrics(self) -> bytes:
        name = "valkeyctl_origin_calls_total"
        return (
            f"# HELP {name} Items that the origin was asked for.\n# TYPE {name} counter\n"
            f"{name} {self._items.origin.calls}\n"
        ).encode()


def _bypasses(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Say whether the caller wants the cache left alone.

    Raises:
        Refusal: 400; its wish is neither on nor off. A typo there would make a comparison
            of cached and uncached measure nothing.
    """
    for name, value in headers:
        if name == b"x-valkeyctl-cache":
            wish = value.strip().lower()
            if wish not in (b"on", b"off"):
                raise Refusal(400, "'x-valkeyctl-cache' must be on or off")
            return wish == b"off"
    return False
